//! How far probabilities can be believed: Brier score, log-loss, reliability, Hosmer-Lemeshow.
//!
//! A group of cells stands for the log-odds in its middle. In a group of width `h` that moves no row's log-odds by more than
//! `h / 2`, nor its probability by more than `h / 8`; [`Resolved::error`] is the sharper bound for the histogram at hand.

use super::estimate::{Estimate, Test};
use super::histogram::{Cell, Histogram};
use super::scores::ScoreCells;
use crate::contribution::{logistic, softplus};
use crate::request::RowSet;

/// A mean over rows that are known to their cell only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resolved {
    /// The mean with every row in the middle of its group, and its sampling interval.
    pub estimate: Estimate,
    /// Bound of what the middle can be wrong by; `None` if an open cell leaves it unbounded.
    pub error: Option<f64>,
}

/// One band of a reliability table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReliabilityBand {
    /// Rows.
    pub rows: Cell,
    /// Mean predicted probability of bad.
    pub expected: f64,
    /// Observed share of bad rows.
    pub observed: Estimate,
}

/// Mean squared error of the probabilities; `None` where there is no histogram.
pub fn brier(scores: &ScoreCells) -> Option<Resolved> {
    resolve(scores, |z, bad| {
        let error = if bad { logistic(-z) } else { logistic(z) };
        error * error
    })
}

/// Mean negative log-likelihood, in nats; `None` where there is no histogram.
pub fn log_loss(scores: &ScoreCells) -> Option<Resolved> {
    resolve(scores, |z, bad| if bad { softplus(-z) } else { softplus(z) })
}

/// Expected against observed share of bad rows in quantile bands, lowest risk first; empty where there is no histogram.
pub fn reliability(scores: &ScoreCells, bands: usize) -> Vec<ReliabilityBand> {
    let Some(histogram) = scores.histogram() else { return Vec::new() };
    let probability = |place: usize| histogram.cells()[place].rows() as f64 * logistic(scores.middle(place));
    let bands = histogram.bands(bands).into_iter();
    bands
        .map(|band| ReliabilityBand {
            rows: band.total,
            expected: band.cells.map(probability).sum::<f64>() / band.total.rows() as f64,
            observed: Estimate::proportion(band.total.bad, band.total.rows()),
        })
        .collect()
}

/// A reliability band and the log-odds between which it lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CalibratedBand {
    /// Lower end; minus infinity for the lowest.
    pub low: f64,
    /// Upper end; infinity for the highest.
    pub high: f64,
    /// What was expected and observed in it.
    pub rows: ReliabilityBand,
}

/// The reliability table with the ends of its bands.
pub fn calibrated(scores: &ScoreCells, bands: usize) -> Vec<CalibratedBand> {
    let Some(histogram) = scores.histogram() else { return Vec::new() };
    let cells = histogram.bands(bands).into_iter().map(|band| band.cells);
    let last = histogram.cells().len();
    let ended = cells.zip(reliability(scores, bands)).map(|(cells, rows)| CalibratedBand {
        low: if cells.start == 0 { f64::NEG_INFINITY } else { scores.ends(cells.start).0 },
        high: if cells.end == last { f64::INFINITY } else { scores.ends(cells.end - 1).1 },
        rows,
    });
    ended.collect()
}

impl CalibratedBand {
    /// The band that a probability of bad falls into; one where no row was, into the band below.
    pub fn of(bands: &[Self], probability: f64) -> Option<&Self> {
        let log_odds = libm::log(probability / (1.0 - probability));
        bands.get(bands.partition_point(|band| band.low <= log_odds).saturating_sub(1))
    }

    /// Probabilities of bad between which it lies.
    pub fn probabilities(&self) -> (f64, f64) {
        (logistic(self.low), logistic(self.high))
    }
}

/// Hosmer-Lemeshow test over a reliability table: `sum (O - E)^2 / (E (1 - E / n))`.
///
/// Two degrees of freedom are lost on the rows that the model was fitted on, none on hold-out rows.
pub fn hosmer_lemeshow(bands: &[ReliabilityBand], rows: RowSet) -> Test {
    let statistic = bands.iter().fold(0.0, |sum, band| {
        let n = band.rows.rows() as f64;
        let expected = n * band.expected;
        let gap = band.rows.bad as f64 - expected;
        sum + gap * gap / (expected * (1.0 - band.expected))
    });
    let lost = if rows == RowSet::Train { 2 } else { 0 };
    Test::chi_squared(statistic, u32::try_from(bands.len()).unwrap_or(u32::MAX).saturating_sub(lost))
}

/// Mean of a row's loss, which rises with its log-odds if it is good and falls if it is bad.
fn resolve(scores: &ScoreCells, loss: impl Fn(f64, bool) -> f64) -> Option<Resolved> {
    let histogram = scores.histogram()?;
    let (mut low, mut sum, mut square, mut high) = (0.0, 0.0, 0.0, 0.0);
    for (place, cell) in histogram.cells().iter().enumerate() {
        let (left, right) = scores.ends(place);
        for (count, bad, best, worst) in [(cell.good, false, left, right), (cell.bad, true, right, left)] {
            if count == 0 {
                continue;
            }
            let (rows, value) = (count as f64, loss(scores.middle(place), bad));
            low += rows * loss(best, bad);
            sum += rows * value;
            square += rows * value * value;
            high += rows * loss(worst, bad);
        }
    }
    let error = (high - sum).max(sum - low) / histogram.total().rows() as f64;
    Some(Resolved { estimate: mean_of_losses(&histogram, sum, square), error: error.is_finite().then_some(error) })
}

/// A mean loss from the sums of the losses and of their squares, with the interval of a mean.
pub(super) fn mean_of_losses(histogram: &Histogram, sum: f64, square: f64) -> Estimate {
    let rows = histogram.total().rows() as f64;
    let mean = sum / rows;
    Estimate::normal(mean, (square / rows - mean * mean) / (rows - 1.0), 0.0, f64::INFINITY)
}
