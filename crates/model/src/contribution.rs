//! The meaning of a request: what the rows at hand add to its sum.

use crate::binning::order_key;
use crate::boosted;
use crate::judge::{Segmented, SwapLines, Within};
use crate::metrics::{Histogram, Placements, ScoreCells};
use crate::request::{Comparison, FieldBins, Kind, LinearModel, Model, RangeField, ScoreGrid, SumRequest};
use crate::rows::{Column, Table};
use crate::spans::SpanField;

/// Why rows cannot answer a request.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContributionError {
    /// The table has no such column, or one of the other kind.
    #[error("the table has no column {0} of the kind that the request sums")]
    Column(usize),
    /// The banks' own scores are not there.
    #[error("the table has no scores of the bank's own model")]
    Baseline,
    /// A released histogram holds no good or no bad rows.
    #[error("the request compares scores by a histogram without good or without bad rows")]
    Histogram,
    /// The hashes that draw rows are not there.
    #[error("the table has no hashes of its rows' identifiers")]
    Hashes,
    /// A row's weight or offset is not there or beyond what the request allows.
    #[error("the table has no {what} between {least} and {most} at row {row}")]
    Row {
        /// `weight` or `offset`.
        what: &'static str,
        /// The row.
        row: usize,
        /// Lower bound.
        least: String,
        /// Upper bound.
        most: String,
    },
    /// A column, the labels or the splits differ in length.
    #[error("the table's columns differ in length")]
    Length,
}

/// What the rows of `table` add to the sum, one integer a word.
///
/// # Errors
/// Fails if the table does not have the columns that the request names.
pub fn contribution(request: &SumRequest, table: &Table) -> Result<Vec<i64>, ContributionError> {
    table.check()?;
    let chosen: Vec<usize> = request.rows.of(table).collect();
    let mut words = vec![0i64; request.words()];
    match &request.kind {
        Kind::Ranges(fields) => ranges(fields, table, &chosen, &mut words)?,
        Kind::Spans(fields) => spans(fields, table, &chosen, &mut words)?,
        Kind::Counts(fields) => counts(fields, table, &chosen, &mut words)?,
        Kind::Moments(model) => moments(model, request.scale_bits, table, &chosen, &mut words)?,
        Kind::Histogram(asked) => boosted::histogram(asked, request.scale_bits, table, &chosen, &mut words)?,
        Kind::Statistics(asked) => asked.contribution(table, &chosen, &mut words)?,
        Kind::Loss(asked) => boosted::loss(asked, request.scale_bits, table, &chosen, &mut words)?,
        Kind::Scores { model, .. }
        | Kind::Compare(Comparison { model, .. })
        | Kind::Swap(SwapLines { model, .. })
        | Kind::Segments(Segmented { model, .. })
        | Kind::Within(Within { model, .. }) => {
            judge(request, &model.log_odds(table)?, table, &chosen, &mut words)?;
        }
    }
    Ok(words)
}

/// The codes of one column under the given bins.
pub(crate) fn codes(table: &Table, field: usize, bins: &FieldBins) -> Result<Vec<u16>, ContributionError> {
    match (table.columns.get(field), bins) {
        (Some(Column::Values(values)), FieldBins::Cuts(_) | FieldBins::Special { .. }) => {
            Ok(values.iter().map(|value| bins.code(*value)).collect())
        }
        // A code beyond the announced bins says as little as a missing one.
        (Some(Column::Codes(codes)), FieldBins::Codes(bins)) => {
            Ok(codes.iter().map(|&code| if code <= *bins { code } else { 0 }).collect())
        }
        _ => Err(ContributionError::Column(field)),
    }
}

/// The WOE columns of a model, one value a row.
pub(crate) fn woe_columns(model: &LinearModel, table: &Table) -> Result<Vec<Vec<f64>>, ContributionError> {
    model
        .terms
        .iter()
        .map(|term| {
            let codes = codes(table, term.field, &term.bins)?;
            Ok(codes.into_iter().map(|code| term.woe.get(usize::from(code)).copied().unwrap_or(0.0)).collect())
        })
        .collect()
}

/// Log-odds of bad of one row: intercept first, then the terms in order, so that every machine rounds alike.
pub(crate) fn log_odds(model: &LinearModel, columns: &[Vec<f64>], row: usize) -> f64 {
    let mut sum = model.intercept;
    for (term, column) in model.terms.iter().zip(columns) {
        sum += term.coefficient * column[row];
    }
    sum
}

impl Model {
    /// Log-odds of bad of every row of a table in plan order.
    pub(crate) fn log_odds(&self, table: &Table) -> Result<Vec<f64>, ContributionError> {
        match self {
            Self::Linear(model) => {
                let columns = woe_columns(model, table)?;
                Ok((0..table.rows()).map(|row| log_odds(model, &columns, row)).collect())
            }
            Self::Forest(forest) => boosted::log_odds(forest, table),
        }
    }
}

fn ranges(fields: &[RangeField], table: &Table, rows: &[usize], words: &mut [i64]) -> Result<(), ContributionError> {
    let mut offset = 0;
    for asked in fields {
        let Some(Column::Values(values)) = table.columns.get(asked.field) else {
            return Err(ContributionError::Column(asked.field));
        };
        for value in rows.iter().map(|&row| values[row]) {
            let key = order_key(value);
            // Missing and special values are the first cell, where no number lies: the axis has all rows, as every other has.
            if value.is_nan() || asked.special.binary_search(&key).is_ok() {
                words[offset] += i64::from(asked.depth == 0);
                continue;
            }
            let prefix = key >> (64 - asked.depth - asked.refine);
            let parent = prefix >> asked.refine;
            if let Ok(place) = asked.parents.binary_search(&parent) {
                let cell = (prefix - (parent << asked.refine)) as usize;
                words[offset + (place << asked.refine) + cell] += 1;
            }
        }
        offset += asked.words();
    }
    Ok(())
}

fn spans(fields: &[SpanField], table: &Table, rows: &[usize], words: &mut [i64]) -> Result<(), ContributionError> {
    let mut rest = words;
    for asked in fields {
        let (own, after) = std::mem::take(&mut rest).split_at_mut(asked.words());
        asked.add(table, rows, own)?;
        rest = after;
    }
    Ok(())
}

fn counts(fields: &[FieldBins], table: &Table, rows: &[usize], words: &mut [i64]) -> Result<(), ContributionError> {
    let mut offset = 0;
    for (field, bins) in fields.iter().enumerate() {
        let codes = codes(table, field, bins)?;
        for &row in rows {
            words[offset + 2 * usize::from(codes[row]) + usize::from(table.label[row] == 1)] += 1;
        }
        offset += 2 * bins.codes();
    }
    Ok(())
}

fn moments(
    model: &LinearModel,
    scale_bits: u32,
    table: &Table,
    rows: &[usize],
    words: &mut [i64],
) -> Result<(), ContributionError> {
    let columns = woe_columns(model, table)?;
    let weights = row_values("weight", &table.weight, model.rows.weight_cap.map(|cap| (0.0, cap)), table, rows)?;
    let offsets = row_values("offset", &table.offset, model.rows.offset_cap.map(|cap| (-cap, cap)), table, rows)?;
    let scale = libm::ldexp(1.0, i32::try_from(scale_bits).unwrap_or(0));
    let mut x = vec![1.0; model.width()];
    for &row in rows {
        let scale = weights.map_or(scale, |weights| weights[row] * scale);
        for (value, column) in x[1..].iter_mut().zip(&columns) {
            *value = column[row];
        }
        let z = log_odds(model, &columns, row) + offsets.map_or(0.0, |offsets| offsets[row]);
        let y = f64::from(table.label[row]);
        let p = logistic(z);
        let mut words = words.iter_mut();
        let mut add = |value: f64| {
            if let Some(word) = words.next() {
                *word = word.wrapping_add((value * scale).round_ties_even() as i64);
            }
        };
        add(softplus(z) - y * z);
        for value in &x {
            add((p - y) * value);
        }
        let weight = p * (1.0 - p);
        for (first, left) in x.iter().enumerate() {
            for right in &x[first..] {
                add(weight * left * right);
            }
        }
    }
    Ok(())
}

/// A value a row within its bounds, where the request takes one.
fn row_values<'a>(
    what: &'static str,
    values: &'a [f64],
    bounds: Option<(f64, f64)>,
    table: &Table,
    rows: &[usize],
) -> Result<Option<&'a [f64]>, ContributionError> {
    let Some((least, most)) = bounds else { return Ok(None) };
    let fits = |row: usize| values.len() == table.rows() && (least..=most).contains(&values[row]);
    match rows.iter().find(|row| !fits(**row)) {
        Some(&row) => Err(ContributionError::Row { what, row, least: least.to_string(), most: most.to_string() }),
        None => Ok(Some(values)),
    }
}

/// What the rows add to a sum that judges a model, by the log-odds that it gives to every row of the table.
pub(crate) fn judge(
    request: &SumRequest,
    joint: &[f64],
    table: &Table,
    rows: &[usize],
    words: &mut [i64],
) -> Result<(), ContributionError> {
    let rows = both_scores(joint, table, rows)?;
    match &request.kind {
        Kind::Scores { grid, alone, .. } => scores(*grid, *alone, rows, words),
        Kind::Compare(comparison) => compare(comparison, request.scale_bits, rows, words)?,
        Kind::Swap(lines) => lines.add(rows, words),
        Kind::Segments(asked) => asked.add(&rows.collect::<Vec<_>>(), table, words)?,
        Kind::Within(asked) => asked.add(rows, table, request.scale_bits, words),
        Kind::Ranges(_)
        | Kind::Spans(_)
        | Kind::Counts(_)
        | Kind::Moments(_)
        | Kind::Histogram(_)
        | Kind::Loss(_)
        | Kind::Statistics(_) => {}
    }
    Ok(())
}

fn scores(grid: ScoreGrid, alone: bool, rows: impl Iterator<Item = BothScores>, words: &mut [i64]) {
    let half = 2 * grid.cells as usize;
    for row in rows {
        words[2 * grid.cell(row.joint) + usize::from(row.bad)] += 1;
        if !alone {
            words[half + 2 * grid.cell(row.bank_only) + usize::from(row.bad)] += 1;
        }
    }
}

fn compare(
    comparison: &Comparison,
    scale_bits: u32,
    rows: impl Iterator<Item = BothScores>,
    words: &mut [i64],
) -> Result<(), ContributionError> {
    let joint = Placing::new(&comparison.joint)?;
    let bank_only = Placing::new(&comparison.bank_only)?;
    let scale = libm::ldexp(1.0, i32::try_from(scale_bits).unwrap_or(0));
    let mut add = |word: usize, value: f64| {
        words[word] = words[word].wrapping_add((value * scale).round_ties_even() as i64);
    };
    for row in rows {
        let product = joint.placement(row.joint, row.bad) * bank_only.placement(row.bank_only, row.bad);
        add(usize::from(row.bad), product);
        let reach = |score: f64| score.clamp(-Comparison::REACH, Comparison::REACH);
        for (place, score) in [reach(row.joint), reach(row.bank_only)].into_iter().enumerate() {
            let wrong = if row.bad { -score } else { score };
            let miss = logistic(wrong);
            add(2 + place, miss * miss);
            add(4 + place, softplus(wrong));
        }
        add(6 + joint.band(row.joint), logistic(reach(row.joint)));
        add(6 + joint.bands + bank_only.band(row.bank_only), logistic(reach(row.bank_only)));
    }
    Ok(())
}

/// A row's log-odds of bad under both models.
pub(crate) struct BothScores {
    pub(crate) row: usize,
    pub(crate) joint: f64,
    pub(crate) bank_only: f64,
    pub(crate) bad: bool,
}

fn both_scores<'a>(
    joint: &'a [f64],
    table: &'a Table,
    rows: &'a [usize],
) -> Result<impl Iterator<Item = BothScores> + 'a, ContributionError> {
    if table.baseline.len() != table.rows() {
        return Err(ContributionError::Baseline);
    }
    Ok(rows.iter().map(move |&row| BothScores {
        row,
        joint: joint[row],
        bank_only: table.baseline[row],
        bad: table.label[row] == 1,
    }))
}

/// Where a score's rows lie on its released histogram.
struct Placing<'a> {
    scores: &'a ScoreCells,
    placements: Placements,
    /// The reliability band of each group.
    band: Vec<usize>,
    bands: usize,
}

impl<'a> Placing<'a> {
    fn new(scores: &'a ScoreCells) -> Result<Self, ContributionError> {
        let histogram: Histogram = scores.histogram().ok_or(ContributionError::Histogram)?;
        let bands = histogram.bands(Comparison::BANDS);
        let band = (0..scores.groups.len()).map(|group| bands.partition_point(|band| band.cells.end <= group));
        let band = band.collect();
        Ok(Self { scores, placements: histogram.placements(), band, bands: bands.len() })
    }

    fn placement(&self, score: f64, bad: bool) -> f64 {
        let of = if bad { &self.placements.bad } else { &self.placements.good };
        of[self.scores.group(score)]
    }

    fn band(&self, score: f64) -> usize {
        self.band[self.scores.group(score)]
    }
}

/// `1 / (1 + e^-z)` without overflow.
pub(crate) fn logistic(z: f64) -> f64 {
    if z >= 0.0 {
        1.0 / (1.0 + libm::exp(-z))
    } else {
        let e = libm::exp(z);
        e / (1.0 + e)
    }
}

/// `ln(1 + e^z)` without overflow.
pub(crate) fn softplus(z: f64) -> f64 {
    if z > 0.0 { z + libm::log1p(libm::exp(-z)) } else { libm::log1p(libm::exp(z)) }
}
