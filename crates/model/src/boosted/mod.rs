//! Boosted trees from released sums: histogram gradient boosting with XGBoost's objective for a binary label.
//!
//! ```text
//! Ranges x 3 (quantiles) -> Loss (base rate) -> { Histogram per level or leaf -> Loss } per tree -> Scores … (judge) -> Done
//! ```
//!
//! With `g = p - y` and `h = p (1 - p)` of every row under the forest so far, a node's value is `-G / (H + lambda)` and a
//! split's gain `G_L^2 / (H_L + lambda) + G_R^2 / (H_R + lambda) - G^2 / (H + lambda)` (Chen and Guestrin, XGBoost, KDD 2016,
//! equations 6 and 7, without the constant half). `G`, `H` and the row count per (node, field, bin) are all that a
//! [`Booster`] sees; the larger child of a split is its parent minus the smaller one, so it is never asked.
//!
//! What is shown: cells are counted with their neighbours until enough banks stand behind each ([`release`](crate::release)),
//! and splits fall between such groups only. That holds for every cell of every sum, not for differences: a parent less one
//! child is the other child, and trees that split alike but for one bin differ by that bin's rows, so that a cell of a
//! difference may stand on the rows of fewer banks. Against that there is noise, or few trees.
//!
//! A [`Holder`] answers as [`contribution`](crate::contribution()) does, but keeps codes, log-odds and the rows of every node
//! between requests.

mod booster;
mod codes;
mod contribution;
mod draw;
mod fit;
mod forest;
mod grower;
mod holder;
mod kernel;
mod partition;
mod plan;
mod request;
mod shap;
mod split;
#[cfg(test)]
mod tests;

pub use booster::{Booster, bank_only};
pub use draw::{Draw, row_hash};
pub use fit::{BoostedField, BoostedFit};
pub use forest::{Forest, Node, Shape, Split, Tree};
pub use holder::Holder;
pub use plan::{BoostedFieldPlan, BoostedPlan, EarlyStopping, Growth, JudgedOn, Monotone};
pub use request::{Cell, Histogram, Loss};
pub use shap::Contributions;

pub(crate) use contribution::{histogram, log_odds, loss};
