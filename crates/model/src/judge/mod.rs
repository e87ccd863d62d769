//! The sums that judge a fitted model, one after the other.
//!
//! ```text
//! Scores (hold-out) -> Scores (training) -> Counts (hold-out) -> Compare -> Swap -> Validation
//! ```
//!
//! Two scores of the same rows are not compared by a histogram of pairs of cells: with both margins known, a run of cells that
//! is counted together could be taken apart by subtraction. Once the margins are out, DeLong's covariance is a sum over rows
//! of products of known steps, so two numbers do, and they are exact ([`Comparison`]). The swap set is one table of two by two
//! ([`SwapLines`]), shown as a whole or not at all, since its margins and any one cell give the other three.

use serde::{Deserialize, Serialize};

use crate::fit::FieldFit;
use crate::metrics::{
    AucDifference, Cell, Placed, ScoreCells, Stability, SwapSet, auc_difference, nearest_cut, points_shift,
    stability_index,
};
use crate::request::{Comparison, FieldBins, Kind, Model, RowSet, ScoreGrid, SumRequest, Sums, SwapLines};

#[cfg(test)]
mod tests;

/// The cells of every score.
const GRID: ScoreGrid = ScoreGrid { low: -10.0, step: 0.05, cells: 402 };
/// Share of the rows that both scores approve in the swap set, as nearly as their groups allow.
const APPROVAL: f64 = 0.8;

/// How a fitted model does: everything that follows from the sums that judge it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validation {
    /// Hold-out rows by log-odds of bad under the joint model.
    pub joint: ScoreCells,
    /// The same rows by log-odds under the banks' own models.
    pub bank_only: ScoreCells,
    /// Training rows under the joint model.
    pub joint_train: ScoreCells,
    /// Training rows under the banks' own models.
    pub bank_only_train: ScoreCells,
    /// Hold-out rows per code of every field of the plan.
    pub fields: Vec<FieldRows>,
    /// What the histograms cannot tell; `None` where they hold no good or no bad rows, or where a bank left in between.
    pub compared: Option<Compared>,
    /// Who changes sides between the scores at the same approval rate; `None` where too few banks stand behind a part.
    pub swap: Option<SwapSet>,
}

/// Hold-out rows of one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldRows {
    /// Rows per code, in the code that they are counted in.
    pub rows: Vec<Cell>,
    /// The code that each code is counted in; empty if the field is withheld.
    pub counted_in: Vec<usize>,
}

/// Sums over the hold-out rows of each row's own log-odds, not of its cell's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compared {
    /// Products of the two scores' placements.
    pub products: Placed,
    /// Mean squared error of the probabilities: joint, bank-only.
    pub brier: [f64; 2],
    /// Mean negative log-likelihood in nats: joint, bank-only.
    pub log_loss: [f64; 2],
    /// Mean probability of bad per reliability band: joint, bank-only.
    pub expected: [Vec<f64>; 2],
}

/// Asks for the sums in turn.
#[derive(Clone, Debug)]
pub(crate) struct Judge {
    model: Model,
    bins: Vec<FieldBins>,
    row_cap: u64,
    noisy: bool,
    /// Banks in the hold-out histograms.
    cohort: Vec<String>,
    stage: Stage,
    found: Validation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Holdout,
    Train,
    Fields,
    Compare,
    Swap,
    Done,
}

impl Validation {
    /// The hold-out rows.
    pub fn holdout(&self) -> Cell {
        self.joint.groups.iter().fold(Cell::default(), |sum, group| sum.plus(group.rows))
    }

    /// The difference of the AUCs, joint less bank-only, with DeLong's interval; `None` without the sums for it.
    pub fn auc_difference(&self) -> Option<AucDifference> {
        let products = self.compared.as_ref()?.products;
        Some(auc_difference(&self.joint.histogram()?, &self.bank_only.histogram()?, products))
    }

    /// Stability index of a field between training and hold-out rows, and the shift of its mean points; `None` where it is
    /// withheld, no shift where the two samples count codes together in different ways.
    pub fn field_stability(&self, place: usize, field: &FieldFit) -> Option<(Stability, Option<f64>)> {
        let holdout = self.fields.get(place)?;
        let first = |counted: &[usize], code: usize| counted.get(code) == Some(&code);
        let starts: Vec<_> = (0..field.good.len())
            .filter(|code| first(&field.counted_in, *code) && first(&holdout.counted_in, *code))
            .collect();
        let sums = |rows: &mut dyn Iterator<Item = i64>| {
            let mut sums = vec![0; starts.len()];
            for (code, rows) in rows.enumerate() {
                if let Some(group) = starts.partition_point(|start| *start <= code).checked_sub(1) {
                    sums[group] += rows;
                }
            }
            sums
        };
        let expected = sums(&mut field.good.iter().zip(&field.bad).map(|(good, bad)| good + bad));
        let actual = sums(&mut holdout.rows.iter().map(|cell| cell.rows()));
        let points: Vec<_> = starts.iter().filter_map(|code| field.points.get(*code).copied()).collect();
        let same = field.counted_in == holdout.counted_in;
        let shift = same.then(|| points_shift(&expected, &actual, &points)).flatten();
        Some((stability_index(&expected, &actual)?, shift))
    }
}

impl Judge {
    /// Where sums carry noise, each costs privacy: the model is then judged by its hold-out histogram alone.
    pub(crate) fn new(model: Model, bins: Vec<FieldBins>, row_cap: u64, noisy: bool) -> Self {
        let none = ScoreCells { grid: GRID, groups: Vec::new() };
        let found = Validation {
            joint: none.clone(),
            bank_only: none.clone(),
            joint_train: none.clone(),
            bank_only_train: none,
            fields: Vec::new(),
            compared: None,
            swap: None,
        };
        Self { model, bins, row_cap, noisy, cohort: Vec::new(), stage: Stage::Holdout, found }
    }

    /// The next sum; `None` if there is no more to ask.
    pub(crate) fn ask(&self) -> Option<SumRequest> {
        let model = self.model.clone();
        let count = |rows, kind| Some(SumRequest { rows, scale_bits: 0, kind });
        match self.stage {
            Stage::Holdout => count(RowSet::Holdout, Kind::Scores { model, grid: GRID, alone: self.noisy }),
            Stage::Train => count(RowSet::Train, Kind::Scores { model, grid: GRID, alone: false }),
            Stage::Fields => count(RowSet::Holdout, Kind::Counts(self.bins.clone())),
            Stage::Compare => {
                let (joint, bank_only) = (self.found.joint.clone(), self.found.bank_only.clone());
                let comparison = Comparison { model, joint, bank_only };
                let scale_bits = comparison.scale_bits(self.row_cap);
                Some(SumRequest { rows: RowSet::Holdout, scale_bits, kind: Kind::Compare(comparison) })
            }
            Stage::Swap => count(RowSet::Holdout, Kind::Swap(self.lines(model)?)),
            Stage::Done => None,
        }
    }

    /// Takes in the answer to what was asked.
    pub(crate) fn answer(&mut self, request: &SumRequest, sums: &Sums) {
        match &request.kind {
            Kind::Scores { grid, .. } => self.scores(*grid, sums),
            Kind::Counts(bins) => self.fields(bins, sums),
            Kind::Compare(comparison) => self.compare(comparison, request.scale_bits, sums),
            Kind::Swap(_) => self.found.swap = swap_set(sums),
            Kind::Ranges(_) | Kind::Moments(_) | Kind::Histogram(_) | Kind::Loss(_) => {}
        }
        self.stage = match self.stage {
            Stage::Holdout if self.noisy => Stage::Done,
            Stage::Holdout => Stage::Train,
            Stage::Train => Stage::Fields,
            Stage::Fields if self.comparable() => Stage::Compare,
            Stage::Compare => Stage::Swap,
            Stage::Fields | Stage::Swap | Stage::Done => Stage::Done,
        };
    }

    /// What the sums say of the model.
    pub(crate) fn verdict(self) -> Validation {
        self.found
    }

    fn scores(&mut self, grid: ScoreGrid, sums: &Sums) {
        let (joint, bank_only) = sums.values.split_at((2 * grid.cells as usize).min(sums.values.len()));
        let joint = ScoreCells::released(grid, sums.fold.groups(0), joint);
        let bank_only = ScoreCells::released(grid, sums.fold.groups(1), bank_only);
        if self.stage == Stage::Train {
            (self.found.joint_train, self.found.bank_only_train) = (joint, bank_only);
        } else {
            (self.found.joint, self.found.bank_only) = (joint, bank_only);
            self.cohort.clone_from(&sums.cohort);
        }
    }

    fn fields(&mut self, bins: &[FieldBins], sums: &Sums) {
        let mut cells = sums.values.chunks_exact(2).map(|cell| Cell { good: cell[0], bad: cell[1] });
        let field = |(axis, bins): (usize, &FieldBins)| FieldRows {
            rows: cells.by_ref().take(bins.codes()).collect(),
            counted_in: sums.fold.counted_in(axis, bins.codes()).unwrap_or_default(),
        };
        self.found.fields = bins.iter().enumerate().map(field).collect();
    }

    /// Both histograms are there, over the same rows.
    fn comparable(&self) -> bool {
        let totals = [&self.found.joint, &self.found.bank_only].map(|scores| scores.histogram().map(|all| all.total()));
        totals[0].is_some() && totals[0] == totals[1]
    }

    fn compare(&mut self, comparison: &Comparison, scale_bits: u32, sums: &Sums) {
        // Without a bank that has left since, the sums are not over the histograms' rows.
        let Some(joint) = comparison.joint.histogram().filter(|_| sums.cohort == self.cohort) else { return };
        let unit = libm::ldexp(1.0, -i32::try_from(scale_bits).unwrap_or(0));
        let mut words = sums.values.iter().map(|word| *word as f64 * unit);
        let mut next = || words.next().unwrap_or_default();
        let rows = joint.total().rows() as f64;
        let products = Placed { good: next(), bad: next() };
        let (brier, log_loss) = ([next() / rows, next() / rows], [next() / rows, next() / rows]);
        let expected = [&comparison.joint, &comparison.bank_only].map(|scores| {
            let bands = scores.histogram().map(|histogram| histogram.bands(Comparison::BANDS)).unwrap_or_default();
            bands.into_iter().map(|band| next() / band.total.rows() as f64).collect()
        });
        self.found.compared = Some(Compared { products, brier, log_loss, expected });
    }

    /// The lines of the swap set; `None` where a score has no histogram.
    fn lines(&self, model: Model) -> Option<SwapLines> {
        let (joint, bank_only) = (&self.found.joint, &self.found.bank_only);
        let (first, second) = (joint.histogram()?, bank_only.histogram()?);
        let (cut, approved) = nearest_cut(&first, APPROVAL * first.total().rows() as f64);
        let (other, _) = nearest_cut(&second, approved as f64);
        let line = |scores: &ScoreCells, cut: usize| scores.groups.get(cut).map_or(GRID.cells, |group| group.first);
        Some(SwapLines { model, grid: GRID, joint: line(joint, cut), bank_only: line(bank_only, other) })
    }
}

/// The table of two by two; `None` if it is withheld.
fn swap_set(sums: &Sums) -> Option<SwapSet> {
    let mut cells = sums.values.chunks_exact(2).map(|cell| Cell { good: cell[0], bad: cell[1] });
    let mut next = || cells.next().unwrap_or_default();
    let swap = SwapSet { both: next(), swap_in: next(), swap_out: next(), neither: next() };
    (!sums.fold.groups(0).is_empty()).then_some(swap)
}
