//! How well scores rank: AUC, KS, Gini, ROC, precision and recall, gains.

use serde::{Deserialize, Serialize};

use super::estimate::Estimate;
use super::histogram::{Cell, Histogram};

/// The three figures; higher scores mean worse loans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Area under the ROC curve: the chance that a bad loan scores worse than a good one.
    pub auc: f64,
    /// Kolmogorov-Smirnov distance between the score distributions.
    pub ks: f64,
    /// `2 AUC - 1`.
    pub gini: f64,
}

/// The largest distance between the score distributions of good and bad rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ks {
    /// The distance.
    pub distance: Estimate,
    /// It is reached between this cell and the next.
    pub cell: usize,
}

/// A point of the ROC curve: what is declined if everything from some cell upwards is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RocPoint {
    /// Share of the good rows declined.
    pub good_declined: f64,
    /// Share of the bad rows declined.
    pub bad_declined: f64,
}

/// A point of the precision-recall curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrecisionRecall {
    /// Share of bad rows among the declined.
    pub precision: f64,
    /// Share of the bad rows that are declined.
    pub recall: f64,
}

/// One band of a gains table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gain {
    /// Rows of the band.
    pub band: Cell,
    /// Rows of this band and the riskier ones.
    pub cumulative: Cell,
    /// Share of all rows in this band and the riskier ones.
    pub population: f64,
    /// Share of all bad rows in them.
    pub captured: f64,
    /// Bad rate of the band over that of all rows.
    pub lift: f64,
    /// Bad rate of this band and the riskier ones over that of all rows.
    pub cumulative_lift: f64,
}

/// For each cell, the share of opposite rows that a row of the cell is on the right side of, ties half
/// (DeLong's structural components; Sun and Xu's midranks come to the same).
pub(crate) struct Placements {
    /// Of a bad row: share of the good rows below.
    pub(crate) bad: Vec<f64>,
    /// Of a good row: share of the bad rows above.
    pub(crate) good: Vec<f64>,
}

impl Histogram {
    /// AUC, KS and Gini.
    pub fn figures(&self) -> Figures {
        let auc = self.area();
        Figures { auc, ks: self.largest_distance().0, gini: 2.0 * auc - 1.0 }
    }

    /// Area under the ROC curve with DeLong's interval; without width where a kind has one row only.
    pub fn auc(&self) -> Estimate {
        Estimate::normal(self.area(), self.auc_variance(), 0.0, 1.0)
    }

    /// Gini coefficient, `2 AUC - 1`, with the interval of the AUC.
    pub fn gini(&self) -> Estimate {
        self.auc().map(|auc| 2.0 * auc - 1.0)
    }

    /// Kolmogorov-Smirnov distance. The interval takes the cell of the maximum as given and is that of a difference of two
    /// proportions, which is the limit where the maximum is unique; the estimate is a maximum and so a little too large.
    pub fn ks(&self) -> Ks {
        let (distance, cell) = self.largest_distance();
        let (good, bad) = (self.total().good as f64, self.total().bad as f64);
        let upto = self.below_ks();
        let (p, q) = (upto.good as f64 / good, upto.bad as f64 / bad);
        let variance = p * (1.0 - p) / good + q * (1.0 - q) / bad;
        Ks { distance: Estimate::normal(distance, variance, 0.0, 1.0), cell }
    }

    /// The rows up to the cell of the KS, which is among them.
    pub(crate) fn below_ks(&self) -> Cell {
        let (_, cell) = self.largest_distance();
        self.cells()[..=cell].iter().fold(Cell::default(), |sum, cell| sum.plus(*cell))
    }

    /// The ROC curve from (0, 0) to (1, 1), one point a cell that holds rows.
    pub fn roc(&self) -> Vec<RocPoint> {
        let (good, bad) = (self.total().good as f64, self.total().bad as f64);
        let point = |declined: Cell| RocPoint {
            good_declined: declined.good as f64 / good,
            bad_declined: declined.bad as f64 / bad,
        };
        std::iter::once(point(Cell::default())).chain(self.riskiest_first().map(point)).collect()
    }

    /// The precision-recall curve, one point a cell that holds rows, from the riskiest.
    pub fn precision_recall(&self) -> Vec<PrecisionRecall> {
        let bad = self.total().bad as f64;
        let point =
            |declined: Cell| PrecisionRecall { precision: declined.bad_rate(), recall: declined.bad as f64 / bad };
        self.riskiest_first().map(point).collect()
    }

    /// Average precision: `sum (R_i - R_(i-1)) P_i` over the curve, not interpolated.
    pub fn average_precision(&self) -> Estimate {
        let mut recall = 0.0;
        let area = self.precision_recall().into_iter().fold(0.0, |sum, point| {
            let step = point.recall - recall;
            recall = point.recall;
            sum + step * point.precision
        });
        Estimate::logit(area, self.total().bad as f64)
    }

    /// The gains table in quantile bands, riskiest first.
    pub fn gains(&self, bands: usize) -> Vec<Gain> {
        let all = self.total();
        let mut cumulative = Cell::default();
        let gain = |band: Cell| {
            cumulative = cumulative.plus(band);
            Gain {
                band,
                cumulative,
                population: cumulative.rows() as f64 / all.rows() as f64,
                captured: cumulative.bad as f64 / all.bad as f64,
                lift: band.bad_rate() / all.bad_rate(),
                cumulative_lift: cumulative.bad_rate() / all.bad_rate(),
            }
        };
        self.bands(bands).into_iter().rev().map(|band| band.total).map(gain).collect()
    }

    /// Placements of the rows of each cell.
    pub(crate) fn placements(&self) -> Placements {
        let (all_good, all_bad) = (self.total().good as f64, self.total().bad as f64);
        let (mut good, mut bad) = (0i64, 0i64);
        let mut placements = Placements { bad: Vec::new(), good: Vec::new() };
        for cell in self.cells() {
            placements.bad.push((good as f64 + cell.good as f64 / 2.0) / all_good);
            bad += cell.bad;
            placements.good.push((all_bad - bad as f64 + cell.bad as f64 / 2.0) / all_bad);
            good += cell.good;
        }
        placements
    }

    /// DeLong's variance of the AUC.
    pub(super) fn auc_variance(&self) -> f64 {
        let auc = self.area();
        let placements = self.placements();
        let bad = self.cells().iter().zip(&placements.bad).map(|(cell, place)| (cell.bad, place - auc));
        let good = self.cells().iter().zip(&placements.good).map(|(cell, place)| (cell.good, place - auc));
        variance_of_mean(bad) + variance_of_mean(good)
    }

    /// Area under the ROC curve; pairs are counted in integers.
    pub(super) fn area(&self) -> f64 {
        let (mut good, mut twice_pairs) = (0i128, 0i128);
        for cell in self.cells() {
            twice_pairs += i128::from(cell.bad) * (2 * good + i128::from(cell.good));
            good += i128::from(cell.good);
        }
        twice_pairs as f64 / (2.0 * self.total().good as f64 * self.total().bad as f64)
    }

    fn largest_distance(&self) -> (f64, usize) {
        let all = self.total();
        let (mut upto, mut largest) = (Cell::default(), (0.0, 0));
        for (place, cell) in self.cells().iter().enumerate() {
            upto = upto.plus(*cell);
            let distance = (upto.good as f64 / all.good as f64 - upto.bad as f64 / all.bad as f64).abs();
            if distance > largest.0 {
                largest = (distance, place);
            }
        }
        largest
    }

    /// Sums from the riskiest cell downwards, at each cell that holds rows.
    fn riskiest_first(&self) -> impl Iterator<Item = Cell> {
        let cells = self.cells().iter().rev().filter(|cell| cell.rows() > 0);
        cells.scan(Cell::default(), |sum, cell| {
            *sum = sum.plus(*cell);
            Some(*sum)
        })
    }
}

/// Variance of the mean of deviations that each stand for several rows: `sum d^2 / (n - 1) / n`; 0 for a single row.
pub(crate) fn variance_of_mean(deviations: impl Iterator<Item = (i64, f64)>) -> f64 {
    let (mut rows, mut sum) = (0i64, 0.0);
    for (count, deviation) in deviations {
        rows += count;
        sum += count as f64 * deviation * deviation;
    }
    if rows < 2 { 0.0 } else { sum / (rows - 1) as f64 / rows as f64 }
}
