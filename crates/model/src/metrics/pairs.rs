//! Two scores of the same rows: the difference of their AUCs, and who changes sides at the same approval rate.
//!
//! One holder's rows are compared by a [`PairHistogram`]. Over several holders the two histograms and the sums of
//! [`Placed`] do, which say the same of the difference and nothing of single pairs of cells.

use serde::{Deserialize, Serialize};

use super::estimate::{Estimate, two_sided};
use super::histogram::{Cell, Histogram, total};
use super::ranking::variance_of_mean;

/// Good and bad rows per pair of score cells; both axes in order of rising risk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairHistogram {
    /// `cells[first * width + second]`.
    cells: Vec<Cell>,
    width: usize,
    first: Histogram,
    second: Histogram,
}

/// Sums over rows of the product of a row's placements under two scores, good rows and bad rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placed {
    /// Over good rows: share of the bad rows that score worse.
    pub good: f64,
    /// Over bad rows: share of the good rows that score better.
    pub bad: f64,
}

/// The AUCs of two scores and their difference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AucDifference {
    /// AUC of the first score on this grid.
    pub first: f64,
    /// AUC of the second score on this grid.
    pub second: f64,
    /// First less second, with DeLong's interval for correlated curves.
    pub difference: Estimate,
    /// Two-sided p-value of no difference.
    pub p_value: f64,
}

/// The KS distances of two scores and their difference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KsDifference {
    /// KS of the first score on this grid.
    pub first: f64,
    /// KS of the second score on this grid.
    pub second: f64,
    /// First less second. As for one KS, the interval takes the cells of the two maxima as given: it is then that of a mean over
    /// good rows less one over bad rows.
    pub difference: Estimate,
    /// Two-sided p-value of no difference.
    pub p_value: f64,
    /// Whether the rows below both cells were counted. If not, interval and p-value are the largest that the histograms, and the
    /// swap set where there is one, leave possible.
    pub counted: bool,
}

/// What two cut-offs with about the same approval rate do to the same applicants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwapSet {
    /// Approved by both.
    pub both: Cell,
    /// Approved by the first score only.
    pub swap_in: Cell,
    /// Approved by the second score only.
    pub swap_out: Cell,
    /// Approved by neither.
    pub neither: Cell,
}

impl PairHistogram {
    /// A histogram of pairs, row by row of the first score; `None` if the cells do not fill rows of `width`, or under
    /// the conditions of [`Histogram::new`].
    pub fn new(cells: Vec<Cell>, width: usize) -> Option<Self> {
        total(&cells)?;
        if width == 0 || !cells.len().is_multiple_of(width) {
            return None;
        }
        let sum = |cells: &mut dyn Iterator<Item = &Cell>| cells.fold(Cell::default(), |sum, cell| sum.plus(*cell));
        let first = cells.chunks_exact(width).map(|row| sum(&mut row.iter())).collect();
        let second = (0..width).map(|place| sum(&mut cells.iter().skip(place).step_by(width))).collect();
        Some(Self { first: Histogram::new(first)?, second: Histogram::new(second)?, cells, width })
    }

    /// The first score alone.
    pub fn first(&self) -> &Histogram {
        &self.first
    }

    /// The second score alone.
    pub fn second(&self) -> &Histogram {
        &self.second
    }

    /// AUC of the first score less that of the second (DeLong et al. 1988: the covariance of the two AUCs over the same
    /// rows; here as the variance of each row's difference in placement, which is the same).
    pub fn auc_difference(&self) -> AucDifference {
        let (first, second) = (self.first.area(), self.second.area());
        let (of_first, of_second) = (self.first.placements(), self.second.placements());
        let deviation = |first_place: &[f64], second_place: &[f64], place: usize| {
            first_place[place / self.width] - second_place[place % self.width] - (first - second)
        };
        let cells = || self.cells.iter().enumerate();
        let bad = cells().map(|(place, cell)| (cell.bad, deviation(&of_first.bad, &of_second.bad, place)));
        let good = cells().map(|(place, cell)| (cell.good, deviation(&of_first.good, &of_second.good, place)));
        AucDifference::new(first, second, variance_of_mean(bad) + variance_of_mean(good))
    }

    /// Swap set where each score approves its least risky rows: the first about `approval` of them, the second as nearly
    /// as its cells allow the same number.
    pub fn swap_set(&self, approval: f64) -> SwapSet {
        let wanted = approval.clamp(0.0, 1.0) * self.first.total().rows() as f64;
        let (first_cut, approved) = nearest_cut(&self.first, wanted);
        let (second_cut, _) = nearest_cut(&self.second, approved as f64);
        let none = Cell::default();
        let mut swap = SwapSet { both: none, swap_in: none, swap_out: none, neither: none };
        for (place, cell) in self.cells.iter().enumerate() {
            let side = match (place / self.width < first_cut, place % self.width < second_cut) {
                (true, true) => &mut swap.both,
                (true, false) => &mut swap.swap_in,
                (false, true) => &mut swap.swap_out,
                (false, false) => &mut swap.neither,
            };
            *side = side.plus(*cell);
        }
        swap
    }
}

/// The same from the scores' histograms over the same rows and the sums of products of placements on them.
pub fn auc_difference(first: &Histogram, second: &Histogram, products: Placed) -> AucDifference {
    let (left, right) = (first.area(), second.area());
    let covariance = |product: f64, rows: i64| {
        let rows = rows as f64;
        if rows < 2.0 { 0.0 } else { (product / rows - left * right) / (rows - 1.0) }
    };
    let all = first.total();
    let shared = covariance(products.good, all.good) + covariance(products.bad, all.bad);
    AucDifference::new(left, right, first.auc_variance() + second.auc_variance() - 2.0 * shared)
}

/// The difference of two KS distances, from the scores' histograms over the same rows, the rows below both cells of the maxima
/// if they were counted, and the swap set at some other lines; `None` where a maximum is one of more bad than good rows below.
///
/// With `u = [first below] - [second below]` of a row, the difference is the mean of `u` over good rows less that over bad rows.
/// Its variance needs how many rows are below both: where they were not counted, the fewest that the margins allow (Fréchet),
/// and no fewer than those that both scores approve in the swap set less what each approves there and not here.
pub fn ks_difference(
    first: &Histogram,
    second: &Histogram,
    below_both: Option<Cell>,
    swap: Option<&SwapSet>,
) -> Option<KsDifference> {
    let (one, other, all) = (first.below_ks(), second.below_ks(), first.total());
    let distance = |below: Cell| below.good as f64 / all.good as f64 - below.bad as f64 / all.bad as f64;
    if distance(one) < 0.0 || distance(other) < 0.0 {
        return None;
    }
    let variance = |kind: fn(Cell) -> i64| {
        let (one, other, all) = (kind(one), kind(other), kind(all));
        let approved = swap.map(|swap| {
            let both = kind(swap.both);
            both - (both + kind(swap.swap_in) - one).max(0) - (both + kind(swap.swap_out) - other).max(0)
        });
        let fewest = (one + other - all).max(0).max(approved.unwrap_or(0));
        let both = below_both.map_or(fewest, kind);
        let (rows, moved) = (all as f64, (one + other - 2 * both) as f64);
        let mean = (one - other) as f64 / rows;
        (moved / rows - mean * mean) / rows
    };
    let variance = variance(|cell| cell.good) + variance(|cell| cell.bad);
    let (left, right) = (distance(one), distance(other));
    Some(KsDifference {
        first: left,
        second: right,
        difference: Estimate::normal(left - right, variance, -1.0, 1.0),
        p_value: p_value_of(left - right, variance),
        counted: below_both.is_some(),
    })
}

/// Two-sided p-value of a gap that is normal around zero if nothing is wrong.
pub(crate) fn p_value_of(gap: f64, variance: f64) -> f64 {
    match (variance > 0.0, gap == 0.0) {
        (true, _) => two_sided(gap / variance.sqrt()),
        (false, same) => f64::from(u8::from(same)),
    }
}

impl AucDifference {
    fn new(first: f64, second: f64, variance: f64) -> Self {
        let gap = first - second;
        Self {
            first,
            second,
            difference: Estimate::normal(gap, variance, -1.0, 1.0),
            p_value: p_value_of(gap, variance),
        }
    }
}

impl SwapSet {
    /// Share of the rows that the first and the second score approve.
    pub fn approval(&self) -> (f64, f64) {
        let all = self.both.plus(self.swap_in).plus(self.swap_out).plus(self.neither).rows() as f64;
        let share = |only: Cell| self.both.plus(only).rows() as f64 / all;
        (share(self.swap_in), share(self.swap_out))
    }

    /// Bad rate among the rows that the first and the second score approve.
    pub fn approved_bad_rate(&self) -> (f64, f64) {
        (self.both.plus(self.swap_in).bad_rate(), self.both.plus(self.swap_out).bad_rate())
    }
}

/// Cells below the cut, and their rows, where these are nearest to `wanted`.
pub(crate) fn nearest_cut(histogram: &Histogram, wanted: f64) -> (usize, i64) {
    let (mut rows, mut best) = (0i64, (0, 0i64));
    for (place, cell) in histogram.cells().iter().enumerate() {
        rows += cell.rows();
        if (rows as f64 - wanted).abs() < (best.1 as f64 - wanted).abs() {
            best = (place + 1, rows);
        }
    }
    best
}
