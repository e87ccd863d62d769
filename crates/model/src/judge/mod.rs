//! The sums that judge a fitted model, one after the other.
//!
//! ```text
//! Scores (hold-out) -> Scores (training) -> Counts (hold-out) -> Within -> Compare -> Swap -> Segments -> Validation
//! ```
//!
//! Two scores of the same rows are not compared by a histogram of pairs of cells: with both margins known, a run of cells that
//! is counted together could be taken apart by subtraction. Once the margins are out, DeLong's covariance is a sum over rows
//! of products of known steps, so two numbers do, and they are exact ([`Comparison`]). The swap set and the rows that both
//! scores have below the cells of their KS are asked together ([`SwapLines`]), since two such tables could be subtracted; where
//! they may not be shown together, the swap set is asked alone.

use serde::{Deserialize, Serialize};

mod segments;
mod swap;
mod within;

pub use self::segments::{Judging, Rules, SegmentField, SegmentPlan, SegmentRows, Segmented};
pub use self::swap::SwapLines;
pub use self::within::{BLUR, Within, WithinFigures, WithinSums, within_one};
use crate::fit::FieldFit;
use crate::metrics::{
    AucDifference, Cell, Figures, KsDifference, Placed, ScoreCells, Stability, SwapSet, Withheld, auc_difference,
    ks_difference, nearest_cut, points_shift, stability_index,
};
use crate::request::{Comparison, FieldBins, Kind, Model, RowSet, ScoreGrid, SumRequest, Sums};

#[cfg(test)]
mod tests;

/// The cells of every score.
const GRID: ScoreGrid = ScoreGrid { low: -10.0, step: 0.05, cells: 402 };

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
    /// Both models on pairs of rows of one bank; absent where too few banks have rows of both kinds, where a bank left in between,
    /// and where nobody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<WithinSums>,
    /// What the figures stand under.
    #[serde(default, skip_serializing_if = "Rules::is_first")]
    pub rules: Rules,
    /// Who changes sides between the scores at the same approval rate; `None` where too few banks stand behind a part, or where a
    /// bank left in between.
    pub swap: Option<SwapSet>,
    /// Rows that both scores have below the line where its KS is reached; absent where the table may not be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_at_ks: Option<Cell>,
    /// The rows of every field that the plan judges the models on segments of; none where a bank left in between.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<SegmentRows>,
}

impl Validation {
    /// Where nothing was judged.
    pub(crate) fn nothing() -> Self {
        let scores = || ScoreCells { grid: GRID, groups: Vec::new() };
        Self {
            joint: scores(),
            bank_only: scores(),
            joint_train: scores(),
            bank_only_train: scores(),
            fields: Vec::new(),
            compared: None,
            within: None,
            rules: Rules::First,
            swap: None,
            approved_at_ks: None,
            segments: Vec::new(),
        }
    }
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

impl FieldRows {
    /// Share of the rows in codes that are counted together with others; 1 if the field is withheld.
    pub fn folded(&self) -> f64 {
        folded(&self.rows, &self.counted_in)
    }
}

/// Share of the rows in codes that are counted together with others; 1 where nothing is shown.
pub(crate) fn folded(rows: &[Cell], counted_in: &[usize]) -> f64 {
    let all: i64 = rows.iter().map(|cell| cell.rows()).sum();
    let together = |code: usize| counted_in.iter().filter(|first| **first == code).count() > 1;
    let folded: i64 = rows.iter().enumerate().filter(|(code, _)| together(*code)).map(|(_, cell)| cell.rows()).sum();
    if counted_in.is_empty() || all <= 0 { 1.0 } else { folded as f64 / all as f64 }
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
    judging: Judging,
    /// Banks in the hold-out histograms.
    cohort: Vec<String>,
    /// They are in every sum since.
    whole: bool,
    stage: Stage,
    found: Validation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Holdout,
    Train,
    Fields,
    Within,
    Compare,
    /// With the lines of the KS too.
    Lines,
    Swap,
    Segments,
    Done,
}

impl Validation {
    /// The hold-out rows.
    pub fn holdout(&self) -> Cell {
        self.joint.rows()
    }

    /// Both models within banks.
    ///
    /// # Errors
    /// Says why there are no such figures.
    pub fn within_banks(&self) -> Result<WithinFigures, Withheld> {
        let missing =
            if self.rules.is_first() || self.fields.is_empty() { Withheld::NotAsked } else { Withheld::FewBanks };
        self.within.as_ref().map(WithinSums::figures).ok_or(missing)
    }

    /// Figures of released scores; under the first rules however coarse they are.
    pub(crate) fn figures_of(&self, scores: &ScoreCells) -> Option<Figures> {
        if self.rules.is_first() { scores.figures() } else { scores.told().ok().map(|told| told.figures()) }
    }

    /// The difference of the pooled AUCs, joint less bank-only, with DeLong's interval; `None` without the sums for it.
    pub fn auc_difference(&self) -> Option<AucDifference> {
        let products = self.compared.as_ref()?.products;
        Some(auc_difference(&self.joint.told().ok()?, &self.bank_only.told().ok()?, products))
    }

    /// The difference of the KS distances, joint less bank-only; `None` without histograms, or where one has its KS with more
    /// of the bad rows approved than of the good.
    pub fn ks_difference(&self) -> Option<KsDifference> {
        ks_difference(&self.joint.told().ok()?, &self.bank_only.told().ok()?, self.approved_at_ks, self.swap.as_ref())
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
    pub(crate) fn new(model: Model, bins: Vec<FieldBins>, row_cap: u64, noisy: bool, judging: &Judging) -> Self {
        let found = Validation { rules: judging.rules, ..Validation::nothing() };
        let (judging, cohort) = (judging.clone(), Vec::new());
        Self { model, bins, row_cap, noisy, judging, cohort, whole: true, stage: Stage::Holdout, found }
    }

    /// The next sum; `None` if there is no more to ask.
    pub(crate) fn ask(&self) -> Option<SumRequest> {
        let model = self.model.clone();
        let count = |rows, kind| Some(SumRequest { rows, scale_bits: 0, kind });
        match self.stage {
            Stage::Holdout => count(RowSet::Holdout, Kind::Scores { model, grid: GRID, alone: self.noisy }),
            Stage::Train => count(RowSet::Train, Kind::Scores { model, grid: GRID, alone: false }),
            Stage::Fields => count(RowSet::Holdout, Kind::Counts(self.bins.clone())),
            Stage::Within => {
                let kind = Kind::Within(Within { model, rows: self.found.holdout() });
                Some(SumRequest { rows: RowSet::Holdout, scale_bits: Within::SCALE_BITS, kind })
            }
            Stage::Compare => {
                let (joint, bank_only) = (self.found.joint.clone(), self.found.bank_only.clone());
                let comparison = Comparison { model, joint, bank_only };
                let scale_bits = comparison.scale_bits(self.row_cap);
                Some(SumRequest { rows: RowSet::Holdout, scale_bits, kind: Kind::Compare(comparison) })
            }
            Stage::Lines => count(RowSet::Holdout, Kind::Swap(self.lines(true)?)),
            Stage::Swap => count(RowSet::Holdout, Kind::Swap(self.lines(false)?)),
            Stage::Segments => count(RowSet::Holdout, Kind::Segments(self.segmented())),
            Stage::Done => None,
        }
    }

    /// Takes in the answer to what was asked.
    pub(crate) fn answer(&mut self, request: &SumRequest, sums: &Sums) {
        self.whole &= self.stage == Stage::Holdout || sums.cohort == self.cohort;
        match &request.kind {
            Kind::Scores { grid, .. } => self.scores(*grid, sums),
            Kind::Counts(bins) => self.fields(bins, sums),
            Kind::Compare(comparison) => self.compare(comparison, request.scale_bits, sums),
            Kind::Within(_) => {
                let shown = self.whole && !sums.fold.groups(0).is_empty();
                self.found.within = WithinSums::released(&sums.values, request.scale_bits).filter(|_| shown);
            }
            Kind::Swap(lines) => self.swap(lines, sums),
            Kind::Segments(asked) => self.segments(asked, sums),
            Kind::Ranges(_)
            | Kind::Spans(_)
            | Kind::Moments(_)
            | Kind::Histogram(_)
            | Kind::Loss(_)
            | Kind::Statistics(_) => {}
        }
        self.stage = match self.stage {
            Stage::Holdout if self.noisy => Stage::Done,
            Stage::Holdout => Stage::Train,
            Stage::Train => Stage::Fields,
            // What follows is held against the histograms: over other banks it would show the rows of who left and nothing else.
            _ if !self.whole => Stage::Done,
            Stage::Fields if !self.judging.rules.is_first() && self.found.holdout().rows() > 0 => Stage::Within,
            Stage::Fields | Stage::Within if self.comparable() => Stage::Compare,
            Stage::Compare => Stage::Lines,
            Stage::Lines if self.found.swap.is_none() && sums.fold.groups(0).is_empty() => Stage::Swap,
            Stage::Lines | Stage::Swap if !self.segmented().fields.is_empty() => Stage::Segments,
            Stage::Fields | Stage::Within | Stage::Lines | Stage::Swap | Stage::Segments | Stage::Done => Stage::Done,
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

    /// The lines of the swap set and, if asked, where each score's KS is reached; `None` where a score has no histogram.
    fn lines(&self, with_ks: bool) -> Option<SwapLines> {
        let (joint, bank_only) = (&self.found.joint, &self.found.bank_only);
        let (first, second) = (joint.histogram()?, bank_only.histogram()?);
        let (cut, approved) = nearest_cut(&first, self.judging.approval * first.total().rows() as f64);
        let (other, _) = nearest_cut(&second, approved as f64);
        let mut pairs = vec![[line(joint, cut), line(bank_only, other)]];
        if with_ks {
            pairs.push([line(joint, first.ks().cell + 1), line(bank_only, second.ks().cell + 1)]);
        }
        Some(SwapLines { model: self.model.clone(), grid: GRID, pairs })
    }

    /// The swap set, and what both approve at the lines of their KS, where the table is shown.
    fn swap(&mut self, asked: &SwapLines, sums: &Sums) {
        if sums.fold.groups(0).is_empty() || !self.whole {
            return;
        }
        let mut both = asked.approved(&sums.values).into_iter();
        let (Some([joint, bank_only]), Some(approved)) = (asked.pairs.first(), both.next()) else { return };
        let upto = |scores: &ScoreCells, line: u32| {
            let inside = scores.groups.iter().filter(|group| group.first < line);
            inside.fold(Cell::default(), |sum, group| sum.plus(group.rows))
        };
        let (first, second) = (upto(&self.found.joint, *joint), upto(&self.found.bank_only, *bank_only));
        let (swap_in, swap_out) = (first.minus(approved), second.minus(approved));
        let neither = self.found.holdout().minus(first).minus(swap_out);
        // A row that was withdrawn since is in the histograms and not here.
        if [swap_in, swap_out, neither].iter().any(|cell| cell.good.min(cell.bad) < 0) {
            return;
        }
        self.found.swap = Some(SwapSet { both: approved, swap_in, swap_out, neither });
        self.found.approved_at_ks = both.next();
    }

    /// The segments of the fields that are judged apart and not withheld.
    fn segmented(&self) -> Segmented {
        let starts = |scores: &ScoreCells| scores.groups.iter().map(|group| group.first).collect();
        let field = |plan: &SegmentPlan| {
            SegmentField::new(*plan, self.bins.get(plan.field)?, self.found.fields.get(plan.field)?)
        };
        Segmented {
            model: self.model.clone(),
            grid: GRID,
            joint: starts(&self.found.joint),
            bank_only: starts(&self.found.bank_only),
            fields: self.judging.segments.iter().filter_map(field).collect(),
        }
    }

    fn segments(&mut self, asked: &Segmented, sums: &Sums) {
        if !self.whole {
            return;
        }
        let mut words = sums.values.as_slice();
        let mut axis = 0;
        let mut next = |scores: &ScoreCells, field: &SegmentField| {
            let (own, rest) = words.split_at((2 * field.count() * scores.groups.len()).min(words.len()));
            words = rest;
            axis += 1;
            Segmented::released(scores, field.count(), sums.fold.groups(axis - 1), own)
        };
        let (found, bins) = (&mut self.found, &self.bins);
        let rows = |plan: &SegmentPlan| {
            let Some(field) = asked.fields.iter().find(|field| field.field == plan.field) else {
                return SegmentRows::withheld(plan.field, bins.get(plan.field).cloned().unwrap_or(FieldBins::Codes(0)));
            };
            let (joint, bank_only) = (next(&found.joint, field), next(&found.bank_only, field));
            let SegmentField { field, bins, segments } = field.clone();
            SegmentRows { field, bins, segments, joint, bank_only }
        };
        found.segments = self.judging.segments.iter().map(rows).collect();
    }
}

/// The first cell that a score declines at a cut of its groups.
fn line(scores: &ScoreCells, cut: usize) -> u32 {
    scores.groups.get(cut).map_or(GRID.cells, |group| group.first)
}
