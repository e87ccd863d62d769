//! The best split of a node, from its histogram.

use super::plan::{BoostedPlan, Monotone};
use super::request::Cell;

/// One field's cells of a node, in the order of the codes, code 0 (missing) first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    cells: Vec<Cell>,
    /// True where a group of cells ends: released sums may stand for several neighbouring cells together, and then only the
    /// sum over the group means something.
    ends: Vec<bool>,
}

/// The lowest and highest value that monotone fields above leave to a node.
pub(super) type Bounds = [f64; 2];

/// Every value.
pub(super) const UNBOUNDED: Bounds = [f64::NEG_INFINITY, f64::INFINITY];

/// What splits are judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    lambda: f64,
    gamma: f64,
    min_child_weight: f64,
    min_rows: i64,
    /// Real value of one unit of a sum.
    unit: f64,
}

/// A split that may be made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) field: u32,
    pub(super) last_left: u16,
    pub(super) missing_left: bool,
    pub(super) gain: f64,
    pub(super) left: Cell,
    pub(super) right: Cell,
    pub(super) left_bounds: Bounds,
    pub(super) right_bounds: Bounds,
}

/// One way to cut an axis in two.
struct Cut {
    last_left: u16,
    missing_left: bool,
    left: Cell,
}

/// Splits that gain less are noise, as in XGBoost.
const LEAST_GAIN: f64 = 1e-6;

impl Axis {
    /// A released axis, `first` the first cells of its groups; none of them if it is withheld.
    pub(super) fn new(cells: Vec<Cell>, first: &[usize]) -> Self {
        let mut ends = vec![false; cells.len()];
        for end in first.iter().skip(1).copied().chain((!first.is_empty()).then_some(cells.len())) {
            if let Some(end) = end.checked_sub(1).and_then(|last| ends.get_mut(last)) {
                *end = true;
            }
        }
        Self { cells, ends }
    }

    /// Sum of all cells; `None` if the axis is withheld.
    pub(super) fn total(&self) -> Option<Cell> {
        let shown = self.ends.last().copied().unwrap_or_default();
        shown.then(|| self.cells.iter().fold(Cell::default(), |sum, cell| sum.plus(*cell)))
    }

    /// Every way to cut between groups, missing rows on either side. Where the missing rows share a group with values, they
    /// go where it goes.
    fn cuts(&self) -> impl Iterator<Item = Cut> {
        let missing = self.cells.first().copied().unwrap_or_default();
        let apart = self.ends.first().copied().unwrap_or_default();
        let mut values = Cell::default();
        let ends = self.cells.iter().zip(&self.ends).enumerate().filter_map(move |(code, (cell, end))| {
            if code > 0 {
                values = values.plus(*cell);
            }
            end.then_some((code as u16, values))
        });
        ends.flat_map(move |(last_left, values)| {
            let right = apart.then_some(Cut { last_left, missing_left: false, left: values });
            let left = Cut { last_left, missing_left: true, left: values.plus(missing) };
            right.into_iter().chain([left])
        })
    }
}

impl Rules {
    pub(super) fn new(plan: &BoostedPlan, unit: f64) -> Self {
        Self {
            lambda: plan.lambda,
            gamma: plan.gamma,
            min_child_weight: plan.min_child_weight,
            min_rows: i64::try_from(plan.min_rows.max(1)).unwrap_or(i64::MAX),
            unit,
        }
    }

    /// Sum of `h`; noise may have pushed it below zero.
    pub(super) fn cover(&self, sum: Cell) -> f64 {
        sum.h.max(0) as f64 * self.unit
    }

    /// The value of a node: `-G / (H + lambda)`, within its bounds.
    pub(super) fn value(&self, sum: Cell, bounds: Bounds) -> f64 {
        let curvature = self.cover(sum) + self.lambda;
        if curvature <= 0.0 {
            return 0.0f64.clamp(bounds[0], bounds[1]);
        }
        (-(sum.g as f64 * self.unit) / curvature).clamp(bounds[0], bounds[1])
    }

    /// By how much a value lowers the penalised loss, twice; `G^2 / (H + lambda)` for the unbounded one.
    fn gain(&self, sum: Cell, value: f64) -> f64 {
        -(2.0 * (sum.g as f64 * self.unit) * value + (self.cover(sum) + self.lambda) * value * value)
    }

    /// The split with the largest gain; of equals the first, in the order of fields and codes. `None` if none is worth it.
    pub(super) fn best(
        &self,
        fields: &[(u32, Monotone)],
        axes: &[Axis],
        sum: Cell,
        bounds: Bounds,
    ) -> Option<Candidate> {
        let parent = self.gain(sum, self.value(sum, bounds));
        let mut best: Option<Candidate> = None;
        for ((field, monotone), axis) in fields.iter().zip(axes) {
            let missing = axis.cells.first().map_or(0, |cell| cell.rows);
            for cut in axis.cuts() {
                let right = sum.minus(cut.left);
                let Some((gain, mid)) = self.judge(*monotone, cut.left, right, bounds) else { continue };
                let gain = gain - parent;
                if gain > best.as_ref().map_or(LEAST_GAIN, |best| best.gain) && gain >= self.gamma {
                    let (left_bounds, right_bounds) = inherited(*monotone, bounds, mid);
                    // A value that nobody lacks here but someone may later: with the many.
                    let apart = missing == 0 && axis.ends.first() == Some(&true);
                    let missing_left = if apart { cut.left.rows >= right.rows } else { cut.missing_left };
                    best = Some(Candidate {
                        field: *field,
                        last_left: cut.last_left,
                        missing_left,
                        gain,
                        left: cut.left,
                        right,
                        left_bounds,
                        right_bounds,
                    });
                }
            }
        }
        best
    }

    /// The gain of two children and the middle of their values; `None` if they may not be.
    fn judge(&self, monotone: Monotone, left: Cell, right: Cell, bounds: Bounds) -> Option<(f64, f64)> {
        let large = |sum: Cell| sum.rows >= self.min_rows && self.cover(sum) >= self.min_child_weight;
        if !large(left) || !large(right) {
            return None;
        }
        let (low, high) = (self.value(left, bounds), self.value(right, bounds));
        let allowed = match monotone {
            Monotone::Free => true,
            Monotone::Rising => low <= high,
            Monotone::Falling => low >= high,
        };
        allowed.then(|| (self.gain(left, low) + self.gain(right, high), (low + high) / 2.0))
    }
}

/// What is left to the children of a split on a monotone field: neither may cross the middle of their values.
fn inherited(monotone: Monotone, [low, high]: Bounds, mid: f64) -> (Bounds, Bounds) {
    match monotone {
        Monotone::Free => ([low, high], [low, high]),
        Monotone::Rising => ([low, mid], [mid, high]),
        Monotone::Falling => ([mid, high], [low, mid]),
    }
}
