//! Credit models from sums over rows: binning, scorecard, logistic regression, boosted trees, evaluation.
//!
//! **The idea.** Every fit is a sequence of sums over rows. A [`Trainer`] is a deterministic state machine: it says which
//! [`SumRequest`] it wants next and takes in the [`Sums`]; it never sees a row and cannot tell who answers. [`contribution`]
//! gives the meaning of a request: each row's value is rounded half to even at the request's scale, then integers are
//! added, so that any grouping of the rows gives the same sum, bit for bit. [`Plain`] answers from tables at hand and is
//! what a federated fit is compared with. [`release`] says which cells of a sum are counted together before anyone sees it.
//!
//! `exp` and `ln` come from the pure-Rust `libm`, never from the machine, so that all processors agree.

mod baseline;
pub mod binning;
pub mod boosted;
mod card;
mod coarse;
mod contribution;
pub mod dossier;
mod fit;
mod golden;
mod judge;
mod leakage;
mod learner;
mod local;
mod logistic;
pub mod markup;
mod matrix;
pub mod metrics;
pub mod monitor;
pub mod outcome;
mod plain;
mod plan;
pub mod pmml;
mod points;
mod quantiles;
pub mod release;
mod request;
mod rows;
mod selection;
mod significance;
mod spans;
pub mod statistics;
#[cfg(test)]
mod tests;
pub mod text;
mod trainer;
mod woe;

pub use baseline::{BankOnly, BaselineError, OwnField, bank_only, own_scorecard};
pub use card::{CardRow, Meaning, card_csv};
pub use coarse::{CoarsePlan, Trend};
pub use contribution::{ContributionError, contribution};
pub use fit::{FieldFit, Fit, RoundRecord, Scorecard};
pub use golden::{Golden, NotGolden, Scoring};
pub use judge::{
    BLUR, Compared, FieldRows, Judging, Rules, SegmentField, SegmentPlan, SegmentRows, Segmented, SwapLines,
    Validation, Within, WithinFigures, WithinSums, within_one,
};
pub use leakage::Leak;
pub use learner::{Course, Fitted, Learner};
pub use local::{Book, Calibration, LEAST_TO_CALIBRATE};
pub use plain::Plain;
pub use plan::{FieldPlan, FieldSource, Plan, PlanError, ReasonBasis, Unseen};
pub use points::Scale;
pub use quantiles::{CoarseCuts, CutSearch};
pub use request::{
    Comparison, FieldBins, Kind, LinearModel, Model, RangeField, RowSet, RowTerms, ScoreGrid, SumRequest, Sums,
};
pub use rows::{Column, Table, is_holdout, row_key};
pub use selection::{DropReason, SelectionPlan, Steps};
pub use spans::{Piece, Span, SpanField};
pub use trainer::{Ask, TrainError, Trainer};
