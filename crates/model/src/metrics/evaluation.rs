//! All figures of one score on one set of rows, and the same for segments of the rows.

use super::calibration::{Resolved, brier, hosmer_lemeshow, log_loss, reliability};
use super::estimate::{Estimate, Test};
use super::histogram::Cell;
use super::ranking::Ks;
use super::scores::ScoreCells;
use crate::request::RowSet;

/// Most by which ties may leave the AUC of a segment open.
const COARSEST: f64 = 0.05;

/// Quantile bands of the reliability table.
const RELIABILITY_BANDS: usize = 10;

/// All figures of one score on one set of rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// The rows.
    pub rows: Cell,
    /// Share of bad rows.
    pub bad_rate: Estimate,
    /// Area under the ROC curve.
    pub auc: Estimate,
    /// `2 AUC - 1`.
    pub gini: Estimate,
    /// Kolmogorov-Smirnov distance.
    pub ks: Ks,
    /// Average precision.
    pub average_precision: Estimate,
    /// Brier score.
    pub brier: Resolved,
    /// Log-loss.
    pub log_loss: Resolved,
    /// Hosmer-Lemeshow test over deciles.
    pub hosmer_lemeshow: Test,
}

/// The figures of one segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Name.
    pub name: String,
    /// Its rows.
    pub rows: Cell,
    /// What the order of the rows inside groups may add to its AUC or take from it: half the share of pairs of a good and a bad
    /// row that are tied.
    pub open: f64,
    /// Its figures; `None` without good or without bad rows, or where its groups are so coarse that its AUC is open by more than
    /// 0.05.
    pub evaluation: Option<Evaluation>,
}

impl Evaluation {
    /// The figures of released scores; `None` without good or without bad rows.
    pub fn new(scores: &ScoreCells, rows: RowSet) -> Option<Self> {
        let histogram = scores.histogram()?;
        let total = histogram.total();
        Some(Self {
            rows: total,
            bad_rate: Estimate::proportion(total.bad, total.rows()),
            auc: histogram.auc(),
            gini: histogram.gini(),
            ks: histogram.ks(),
            average_precision: histogram.average_precision(),
            brier: brier(scores)?,
            log_loss: log_loss(scores)?,
            hosmer_lemeshow: hosmer_lemeshow(&reliability(scores, RELIABILITY_BANDS), rows),
        })
    }
}

/// The same figures for each segment's scores.
pub fn by_segment<'a>(segments: impl IntoIterator<Item = (&'a str, &'a ScoreCells)>, rows: RowSet) -> Vec<Segment> {
    let segment = |(name, scores): (&str, &ScoreCells)| Segment {
        name: name.into(),
        rows: scores.rows(),
        open: scores.open(),
        evaluation: Evaluation::new(scores, rows).filter(|_| scores.open() <= COARSEST),
    };
    segments.into_iter().map(segment).collect()
}
