//! Boosted trees from released sums: histogram gradient boosting with XGBoost's objective for a binary label.
//!
//! ```text
//! Spans … (quantiles) -> Loss (base rate) -> { Histogram per level or leaf -> Loss } per tree -> Scores … (judge) -> Done
//! ```
//!
//! With `g = p - y` and `h = p (1 - p)` of every row under the forest so far, a node's value is `-G / (H + lambda)` and a
//! split's gain `G_L^2 / (H_L + lambda) + G_R^2 / (H_R + lambda) - G^2 / (H + lambda)` (Chen and Guestrin, XGBoost, KDD 2016,
//! equations 6 and 7, without the constant half). `G`, `H` and the row count per (node, field, bin) are all that a
//! [`Booster`] sees.
//!
//! What is shown: cells are counted with their neighbours until enough banks stand behind each ([`release`](crate::release)),
//! and splits fall between such groups only. A parent less one child of its split is the other child, so the two are released
//! together, in groups that are safe in both and made of the parent's: nothing that a field's histograms of one tree show,
//! added and subtracted in any way, stands on the rows of fewer banks.
//!
//! That is not so across trees and fields. Nodes of two trees whose splits differ by one bin can be subtracted, and the
//! difference is that bin's rows, of one bank maybe. So can the histograms of two fields that hold nearly the same, and a
//! child's row count, known from the field of the split, can be taken from its parent's histogram of another field, where one
//! child's rows all lie in a few bins. And if a bank leaves between two sums, they differ by its rows; a minimum cohort of all
//! banks rules that out. Against the rest there is noise, or few trees.
//!
//! Categories count as ordered, by their codes: a split sends the first ones left. XGBoost's partition would order them by
//! `G / (H + lambda)` at each node; here cells are released together with their neighbours in the order of the codes, at the
//! children of a split in groups of the parent's, and a split names one code. To tell a category in the middle from all others
//! takes two splits; a list of values in a sensible order helps.
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
mod siblings;
mod split;
#[cfg(test)]
pub(crate) mod tests;

pub use booster::{Booster, bank_only};
pub use draw::{Draw, row_hash};
pub use fit::{BoostedField, BoostedFit};
pub use forest::{Forest, Node, Shape, Split, Tree};
pub use holder::Holder;
pub use plan::{BoostedFieldPlan, BoostedPlan, EarlyStopping, Growth, JudgedOn, Monotone};
pub use request::{Asked, Cell, Histogram, Loss};
pub use shap::Contributions;

pub(crate) use contribution::{histogram, log_odds, loss};
