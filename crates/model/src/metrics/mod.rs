//! How well scores separate good from bad, and how far their probabilities can be believed.
//!
//! Everything here is computed from released histograms: good and bad rows per score cell, cells in order of rising risk.
//! Rows of one cell are tied and ties count half, so a figure is exact for the scores rounded to their cells. What cells hide
//! is the order of the pairs inside one cell for the ranking figures, and is bounded by [`Resolved::error`] where a cell
//! stands for a probability. Where a release rule counts cells together, the groups take the place of the cells.
//!
//! | figure | here | interval | source |
//! |---|---|---|---|
//! | AUC, Gini | [`Histogram::auc`] | DeLong, normal | DeLong et al., Biometrics 44, 1988; Sun and Xu, IEEE SPL 21, 2014 |
//! | KS | [`Histogram::ks`] | normal at the cell of the maximum | Raghavachari, Ann. Stat. 1, 1973 |
//! | average precision | [`Histogram::average_precision`] | logit | Boyd, Eng, Page, ECML 2013 |
//! | ROC, precision and recall, gains | [`Histogram::roc`], … | | Fawcett, Pattern Recogn. Lett. 27, 2006 |
//! | Brier score, log-loss | [`brier`], [`log_loss`] | central limit theorem over rows | Brier, 1950 |
//! | reliability, Hosmer-Lemeshow | [`reliability`], [`hosmer_lemeshow`] | Wilson per band | Hosmer, Lemeshow, 2013, section 5.2 |
//! | difference of two KS distances | [`ks_difference`] | normal at the cells of the maxima | as for one |
//! | difference of two AUCs, swap set | [`PairHistogram`] | DeLong with covariance | DeLong et al., 1988 |
//! | stability index of scores and fields | [`stability_index`] | chi-squared p-value | Siddiqi, 2006; Yurdakul, Naranjo, 2020 |
//! | cut-off table | [`cut_offs`] | | Siddiqi, Credit Risk Scorecards, 2006, chapter 7 |

mod calibration;
mod cutoff;
mod estimate;
mod evaluation;
mod histogram;
mod pairs;
mod ranking;
mod scores;
mod stability;
#[cfg(test)]
mod tests;

pub use calibration::{
    CalibratedBand, ReliabilityBand, Resolved, brier, calibrated, hosmer_lemeshow, log_loss, reliability,
};
pub use cutoff::{CutOff, cut_offs};
pub use estimate::{Estimate, Test};
pub use evaluation::{Evaluation, Segment, by_segment};
pub use histogram::{Band, Cell, Histogram};
pub use pairs::{AucDifference, KsDifference, PairHistogram, Placed, SwapSet, auc_difference, ks_difference};
pub(crate) use pairs::{nearest_cut, p_value_of};
pub use ranking::{Figures, Gain, Ks, PrecisionRecall, RocPoint};
pub(crate) use ranking::{Placements, variance_of_mean};
pub use scores::{ScoreCells, ScoreGroup, Withheld};
pub use stability::{Stability, points_shift, score_stability, stability_index};

/// From good and bad counts per score cell, cells in order of rising risk; `None` without good or without bad rows.
pub fn from_cells(cells: impl IntoIterator<Item = (i64, i64)>) -> Option<Figures> {
    Histogram::new(cells.into_iter().map(Cell::from).collect()).map(|histogram| histogram.figures())
}

/// From the scores themselves, higher ones worse; `None` without good or without bad rows.
pub fn exact(scores: &[f64], labels: &[u8]) -> Option<Figures> {
    let mut rows: Vec<_> = scores.iter().zip(labels).collect();
    rows.sort_unstable_by(|a, b| a.0.total_cmp(b.0));
    let cells = rows.chunk_by(|a, b| a.0 == b.0).map(|cell| {
        let bad = cell.iter().filter(|(_, label)| **label == 1).count() as i64;
        (cell.len() as i64 - bad, bad)
    });
    from_cells(cells)
}
