//! How both models do on segments of the hold-out rows: regions, industries, sizes.
//!
//! Segments are made of the codes that the hold-out rows of a field were counted in, so no segment total is new. Their scores
//! divide the released histograms: each histogram's groups are the cells here, the segments are the sides of an
//! [`Axis`](crate::release::Axis), and the release rules keep what the two sums tell together behind enough banks. Where some
//! segment stands on too few, the field is withheld as a whole, since what is missing of it would be the segment.

use serde::{Deserialize, Serialize};

use super::FieldRows;
use crate::contribution::{BothScores, ContributionError, codes};
use crate::dossier::short;
use crate::metrics::{Cell, ScoreCells, ScoreGroup, Segment, by_segment};
use crate::plan::PlanError;
use crate::release::Axis;
use crate::request::{FieldBins, Model, RowSet, ScoreGrid};
use crate::rows::Table;
use crate::text::{Language, Text};
use crate::trainer::TrainError;

/// What a fitted model is judged by, beside what every model is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judging {
    /// Share of the rows that both scores approve in the swap set, as nearly as their groups allow.
    pub approval: f64,
    /// Fields on whose segments the models are judged apart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<SegmentPlan>,
    /// What figures stand under.
    #[serde(default, skip_serializing_if = "Rules::is_first")]
    pub rules: Rules,
    /// Fewest bad rows that a model is fitted on.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub min_bad: u64,
}

/// What a model's figures stand under; each session's contract says which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rules {
    /// Joint against bank-only over pooled rows; a scorecard's bank-only model is linfa's, without selection; a figure is given
    /// however coarse the groups that it rests on; a model may be left without a field.
    #[default]
    First,
    /// Within banks too; the bank-only model is fitted as the joint one; figures that folding has emptied are withheld; a class
    /// with rows of one kind is smoothed before a field is lost; a model without a field is none.
    WithinBanks,
}

/// A field on whose segments the models are judged apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentPlan {
    /// Position of the field.
    pub field: usize,
    /// Codes are ranges of a number: neighbours are taken together, to fifths of the rows.
    pub ordered: bool,
    /// Whether models are fitted on the field as well.
    pub fitted: bool,
}

/// Good and bad rows per segment of each field and group of each score: per field `good, bad` of the joint model's groups,
/// there segment by segment, then of the banks' own models' groups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Segmented {
    /// The joint model.
    pub model: Model,
    /// The cells of both scores.
    pub grid: ScoreGrid,
    /// First cells of the groups of the joint model's released histogram.
    pub joint: Vec<u32>,
    /// Those of the banks' own models.
    pub bank_only: Vec<u32>,
    /// The fields.
    pub fields: Vec<SegmentField>,
}

/// A field's segments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentField {
    /// Position of the field.
    pub field: usize,
    /// Its bins.
    pub bins: FieldBins,
    /// The segment of each code.
    pub segments: Vec<u16>,
}

/// Hold-out rows of a field's segments by log-odds of bad.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentRows {
    /// Position of the field.
    pub field: usize,
    /// Its bins; the cuts of a platform field stay at the platform.
    pub bins: FieldBins,
    /// The segment of each code; none if the field's rows are withheld.
    pub segments: Vec<u16>,
    /// Per segment, under the joint model; none if these are withheld.
    pub joint: Vec<ScoreCells>,
    /// The same under the banks' own models.
    pub bank_only: Vec<ScoreCells>,
}

/// Bands that the codes of a number are taken together to.
const BANDS: i64 = 5;
/// Most segments of a field; of more, those with the fewest rows are taken together.
const MOST_SEGMENTS: usize = 12;
/// A segment with a smaller share of the rows than one in so many is taken together with others.
const LEAST_SHARE: i64 = 25;
/// Most fields.
const MOST_FIELDS: usize = 8;

impl Default for Judging {
    /// Four in five approved, no segments.
    fn default() -> Self {
        Self { approval: 0.8, segments: Vec::new(), rules: Rules::First, min_bad: 0 }
    }
}

impl Rules {
    /// True for those of the first contracts.
    pub fn is_first(&self) -> bool {
        *self == Self::First
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Judging {
    /// Checks the terms against the number of fields.
    pub(crate) fn check(&self, fields: usize) -> Result<(), PlanError> {
        let known = self.segments.iter().all(|segment| segment.field < fields);
        let mut named: Vec<_> = self.segments.iter().map(|segment| segment.field).collect();
        named.sort_unstable();
        let fitted = fields > self.segments.iter().filter(|segment| !segment.fitted).count();
        let checks = [
            (self.approval > 0.0 && self.approval < 1.0, "approval: between 0 and 1"),
            (known && named.is_sorted_by(|a, b| a < b), "segments: distinct fields of the plan"),
            (named.len() <= MOST_FIELDS, "segments: at most 8 fields"),
            (fitted, "segments: some field must be left to fit"),
        ];
        match checks.into_iter().find(|(holds, _)| !holds) {
            Some((_, reason)) => Err(PlanError(reason)),
            None => Ok(()),
        }
    }

    /// Refuses to go on with too few bad rows.
    pub(crate) fn check_rows(&self, good: i64, bad: i64) -> Result<(), TrainError> {
        if good <= 0 || bad <= 0 {
            return Err(TrainError::Rows { good, bad });
        }
        let enough = u64::try_from(bad).is_ok_and(|bad| bad >= self.min_bad);
        if enough { Ok(()) } else { Err(TrainError::FewBad { bad, least: self.min_bad }) }
    }

    /// Refuses a model that uses no field.
    pub(crate) fn check_fields(&self, used: usize) -> Result<(), TrainError> {
        if used > 0 || self.rules.is_first() { Ok(()) } else { Err(TrainError::NoField) }
    }

    /// Whether a field only divides the rows that models are judged on.
    pub(crate) fn is_apart(&self, field: usize) -> bool {
        self.segments.iter().any(|segment| segment.field == field && !segment.fitted)
    }
}

impl Segmented {
    /// Words of the answer.
    pub(crate) fn words(&self) -> usize {
        self.axes().iter().map(|axis| axis.cells * axis.sides * axis.words).sum()
    }

    /// Per field one of the joint model and one of the banks' own models.
    pub(crate) fn axes(&self) -> Vec<Axis> {
        let axes = |field: &SegmentField| {
            let axis = |groups: &[u32]| Axis {
                cells: groups.len(),
                sides: field.count(),
                words: 2,
                counts: 2,
                known: Vec::new(),
                parts: (0..groups.len()).collect(),
                last_apart: false,
            };
            [axis(&self.joint), axis(&self.bank_only)]
        };
        self.fields.iter().flat_map(axes).collect()
    }

    /// What the rows add.
    pub(crate) fn add(&self, rows: &[BothScores], table: &Table, words: &mut [i64]) -> Result<(), ContributionError> {
        let group = |groups: &[u32], score: f64| {
            groups.partition_point(|first| *first as usize <= self.grid.cell(score)).saturating_sub(1)
        };
        let mut first = 0;
        for field in &self.fields {
            let (codes, count) = (codes(table, field.field, &field.bins)?, field.count());
            let second = first + 2 * count * self.joint.len();
            for row in rows {
                let segment = field.segments.get(usize::from(codes[row.row])).copied().map_or(0, usize::from);
                let place = |group: usize| 2 * (group * count + segment) + usize::from(row.bad);
                words[first + place(group(&self.joint, row.joint))] += 1;
                words[second + place(group(&self.bank_only, row.bank_only))] += 1;
            }
            first = second + 2 * count * self.bank_only.len();
        }
        Ok(())
    }

    /// The rows of a field's segments, from its words and the groups of its axis.
    pub(super) fn released(scores: &ScoreCells, count: usize, groups: &[usize], words: &[i64]) -> Vec<ScoreCells> {
        let segment = |segment: usize| {
            let ends = groups.iter().skip(1).copied().chain([scores.groups.len()]);
            let group = |(&first, end): (&usize, usize)| {
                let words = words.get(2 * (first * count + segment)..)?;
                let rows = Cell { good: *words.first()?, bad: *words.get(1)? };
                let last = scores.groups.get(end.checked_sub(1)?)?.last;
                (rows.rows() > 0).then_some(ScoreGroup { first: scores.groups.get(first)?.first, last, rows })
            };
            ScoreCells { grid: scores.grid, groups: groups.iter().zip(ends).filter_map(group).collect() }
        };
        if groups.is_empty() { Vec::new() } else { (0..count).map(segment).collect() }
    }
}

impl SegmentField {
    /// The segments of a field, from its hold-out rows; `None` where these are withheld.
    pub(super) fn new(plan: SegmentPlan, bins: &FieldBins, rows: &FieldRows) -> Option<Self> {
        let segments = segments(rows, plan.ordered)?;
        Some(Self { field: plan.field, bins: bins.clone(), segments })
    }

    /// Number of segments.
    pub(super) fn count(&self) -> usize {
        count(&self.segments)
    }
}

impl SegmentRows {
    /// A field that is withheld.
    pub(super) fn withheld(field: usize, bins: FieldBins) -> Self {
        Self { field, bins, segments: Vec::new(), joint: Vec::new(), bank_only: Vec::new() }
    }

    /// Codes of each segment, in order.
    pub fn codes(&self) -> Vec<Vec<usize>> {
        let of = |segment| (0..self.segments.len()).filter(move |code| usize::from(self.segments[*code]) == segment);
        (0..count(&self.segments)).map(|segment| of(segment).collect()).collect()
    }

    /// Names of the segments, from the values of code 1, 2, … or else from these bins.
    pub fn names(&self, values: &[String], bins: &FieldBins, language: Language) -> Vec<String> {
        self.codes().iter().map(|codes| name(codes, bins, values, language)).collect()
    }

    /// Figures of the joint and of the banks' own models on each segment, by the segments' names: without an evaluation where one
    /// of them is withheld or too coarse, empty where both are withheld. Segments without rows are left out.
    pub fn figures(&self, names: &[String]) -> Vec<[Segment; 2]> {
        let named = |scores: &[ScoreCells]| by_segment(names.iter().map(String::as_str).zip(scores), RowSet::Holdout);
        let (mut joint, mut bank_only) = (named(&self.joint), named(&self.bank_only));
        let unknown = |known: &[Segment]| {
            known.iter().map(|one| Segment { evaluation: None, open: 0.5, ..one.clone() }).collect()
        };
        if joint.is_empty() {
            joint = unknown(&bank_only);
        } else if bank_only.is_empty() {
            bank_only = unknown(&joint);
        }
        let pairs = joint.into_iter().zip(bank_only).map(|(joint, bank_only)| [joint, bank_only]);
        pairs.filter(|[joint, _]| joint.rows.rows() > 0).collect()
    }
}

fn count(segments: &[u16]) -> usize {
    segments.iter().max().map_or(0, |last| usize::from(*last) + 1)
}

/// What the codes of a segment stand for: neighbouring ranges of a number as one.
fn name(codes: &[usize], bins: &FieldBins, values: &[String], language: Language) -> String {
    let say = |zh: &str, en: &str| Text::new(zh, en).in_language(language).to_owned();
    let numbers = |cuts: &[f64], run: &[usize]| match (run.first(), run.last()) {
        (Some(first), Some(last)) => match (first.checked_sub(2).and_then(|cut| cuts.get(cut)), cuts.get(last - 1)) {
            (None, None) => say("全部", "all"),
            (None, Some(high)) => format!("≤ {}", short(*high)),
            (Some(low), None) => format!("> {}", short(*low)),
            (Some(low), Some(high)) => format!("({}, {}]", short(*low), short(*high)),
        },
        _ => String::new(),
    };
    let part = |run: &[usize]| match (run, bins) {
        ([0], _) => say("缺失", "missing"),
        ([code], FieldBins::Special { cuts, special }) if *code > cuts.len() + 1 => {
            format!("= {}", special.get(code - cuts.len() - 2).map_or_else(String::new, |value| short(*value)))
        }
        (run, FieldBins::Cuts(cuts) | FieldBins::Special { cuts, .. }) => numbers(cuts, run),
        ([code], FieldBins::Codes(_)) if *code <= values.len() => values[code - 1].clone(),
        ([code], FieldBins::Codes(_)) => format!("{} {code}", say("分箱", "bin")),
        (run, FieldBins::Codes(_)) => {
            let ends = [run.first(), run.last()].map(|code| code.copied().unwrap_or_default());
            format!("{} {}–{}", say("分箱", "bins"), ends[0], ends[1])
        }
    };
    // Missing and special values, and values of a category, stand by themselves.
    let ranges = match bins {
        FieldBins::Cuts(cuts) | FieldBins::Special { cuts, .. } => 1..cuts.len() + 2,
        FieldBins::Codes(bins) => values.len().max(1)..usize::from(*bins) + 1,
    };
    let joined = |one: &usize, next: &usize| next - one == 1 && ranges.contains(one) && ranges.contains(next);
    let parts: Vec<_> = codes.chunk_by(joined).map(part).collect();
    parts.join(say("、", ", ").as_str())
}

/// The segment of every code, numbered by their first codes; `None` where the rows are withheld.
fn segments(rows: &FieldRows, ordered: bool) -> Option<Vec<u16>> {
    let shown: Vec<usize> = (0..rows.rows.len()).filter(|code| rows.counted_in.get(*code) == Some(code)).collect();
    let counts: Vec<i64> = shown.iter().map(|code| rows.rows[*code].rows()).collect();
    if shown.is_empty() {
        return None;
    }
    // Rows without a value are no range of the number.
    let missing = usize::from(ordered && shown.len() > 1 && shown[1] == 1);
    let mut runs: Vec<usize> = if ordered { bands(&counts, missing) } else { (0..shown.len()).collect() };
    if ordered {
        join_small_neighbours(&counts, &mut runs);
    } else {
        join_smallest(&counts, &mut runs);
    }
    let of = |code: &usize| shown.partition_point(|first| first <= code).saturating_sub(1);
    let runs: Vec<usize> = rows.counted_in.iter().map(|code| runs[of(code)]).collect();
    let mut order: Vec<usize> = Vec::new();
    let mut number = |run: &usize| {
        let place = order.iter().position(|known| known == run).unwrap_or_else(|| {
            order.push(*run);
            order.len() - 1
        });
        u16::try_from(place).unwrap_or(u16::MAX)
    };
    Some(runs.iter().map(&mut number).collect())
}

/// Fifths of the rows after the first `apart` places, which stay by themselves: a place goes where its middle row is.
fn bands(counts: &[i64], apart: usize) -> Vec<usize> {
    let all: i64 = counts[apart..].iter().sum();
    let mut below = 0;
    let band = |(place, count): (usize, &i64)| {
        if place < apart {
            return 0;
        }
        let middle = 2 * below + count;
        below += count;
        apart + usize::try_from((middle * BANDS / (2 * all.max(1))).min(BANDS - 1)).unwrap_or(0)
    };
    counts.iter().enumerate().map(band).collect()
}

/// Gives neighbours the same run until none has too small a share.
fn join_small_neighbours(counts: &[i64], runs: &mut [usize]) {
    let all: i64 = counts.iter().sum();
    loop {
        let rows = |run: usize| {
            counts.iter().zip(runs.iter()).filter(|(_, of)| **of == run).map(|(count, _)| count).sum::<i64>()
        };
        let Some(place) = (0..runs.len()).find(|place| rows(runs[*place]) * LEAST_SHARE < all) else { return };
        let small = runs[place];
        let before = runs[..place].last().copied();
        let after = runs[place..].iter().copied().find(|run| *run != small);
        let Some(other) = before.or(after) else { return };
        runs.iter_mut().filter(|run| **run == small).for_each(|run| *run = other);
    }
}

/// Gives one run to all places with too small a share, and to the smallest beyond the most that there may be; together with the
/// smallest of the others if their share is still too small.
fn join_smallest(counts: &[i64], runs: &mut [usize]) {
    let all: i64 = counts.iter().sum();
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by_key(|place| (std::cmp::Reverse(counts[*place]), *place));
    let large = order.iter().filter(|place| counts[**place] * LEAST_SHARE >= all).count();
    let mut kept = if counts.len() > MOST_SEGMENTS { large.min(MOST_SEGMENTS - 1) } else { large };
    let rows: i64 = order[kept..].iter().map(|place| counts[*place]).sum();
    if kept < counts.len() && rows * LEAST_SHARE < all {
        kept = kept.saturating_sub(1);
    }
    let rest = &order[kept..];
    if let Some(first) = rest.iter().min() {
        rest.iter().for_each(|place| runs[*place] = *first);
    }
}
