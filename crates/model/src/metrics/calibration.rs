//! How far probabilities can be believed: Brier score, log-loss, reliability, Hosmer-Lemeshow.
//!
//! A cell's rows are taken at the middle of its log-odds. On a grid of width `h` that moves no row's log-odds by more than
//! `h / 2`, nor its probability by more than `h / 8`; [`Resolved::error`] is the sharper bound for the histogram at hand.
//! It vanishes if a request also sums the squared error, the loss and, per cell, the probability of each row.

use super::estimate::{Estimate, Test};
use super::histogram::{Cell, Histogram};
use crate::contribution::{logistic, softplus};
use crate::request::{RowSet, ScoreGrid};

/// A mean over rows that are known to their cell only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resolved {
    /// The mean with every row at the middle of its cell, and its sampling interval.
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

impl ScoreGrid {
    /// Ends of a cell; those of the open cells are infinite.
    pub fn ends(&self, cell: usize) -> (f64, f64) {
        let end = |place: usize| self.low + self.step * place as f64;
        let low = if cell == 0 { f64::NEG_INFINITY } else { end(cell - 1) };
        let high = if cell + 1 >= self.cells as usize { f64::INFINITY } else { end(cell) };
        (low, high)
    }

    /// Log-odds that stand for a cell: the middle; for an open cell, half a width beyond its end.
    pub fn middle(&self, cell: usize) -> f64 {
        self.low + self.step * (cell as f64 - 0.5)
    }
}

/// Mean squared error of the probabilities.
pub fn brier(histogram: &Histogram, grid: &ScoreGrid) -> Resolved {
    resolve(histogram, grid, |z, bad| {
        let error = if bad { logistic(-z) } else { logistic(z) };
        error * error
    })
}

/// Mean negative log-likelihood, in nats.
pub fn log_loss(histogram: &Histogram, grid: &ScoreGrid) -> Resolved {
    resolve(histogram, grid, |z, bad| if bad { softplus(-z) } else { softplus(z) })
}

/// Expected against observed share of bad rows in quantile bands, lowest risk first.
pub fn reliability(histogram: &Histogram, grid: &ScoreGrid, bands: usize) -> Vec<ReliabilityBand> {
    let bands = histogram.bands(bands).into_iter();
    bands
        .map(|band| {
            let cells = band.cells.map(|cell| histogram.cells()[cell].rows() as f64 * logistic(grid.middle(cell)));
            ReliabilityBand {
                rows: band.total,
                expected: cells.sum::<f64>() / band.total.rows() as f64,
                observed: Estimate::proportion(band.total.bad, band.total.rows()),
            }
        })
        .collect()
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
fn resolve(histogram: &Histogram, grid: &ScoreGrid, loss: impl Fn(f64, bool) -> f64) -> Resolved {
    let (mut low, mut sum, mut square, mut high) = (0.0, 0.0, 0.0, 0.0);
    for (place, cell) in histogram.cells().iter().enumerate() {
        let (left, right) = grid.ends(place);
        for (count, bad, best, worst) in [(cell.good, false, left, right), (cell.bad, true, right, left)] {
            if count == 0 {
                continue;
            }
            let (rows, value) = (count as f64, loss(grid.middle(place), bad));
            low += rows * loss(best, bad);
            sum += rows * value;
            square += rows * value * value;
            high += rows * loss(worst, bad);
        }
    }
    let rows = histogram.total().rows() as f64;
    let mean = sum / rows;
    let variance = (square / rows - mean * mean) / (rows - 1.0);
    let error = (high - sum).max(sum - low) / rows;
    Resolved {
        estimate: Estimate::normal(mean, variance, 0.0, f64::INFINITY),
        error: error.is_finite().then_some(error),
    }
}
