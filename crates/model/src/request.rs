//! Sum requests: public, canonical, named by a digest.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;

use crate::binning;
use crate::boosted::{Forest, Histogram, Loss};
use crate::judge::{Segmented, SwapLines, Within};
use crate::metrics::ScoreCells;
use crate::release::Fold;
use crate::rows::Table;
use crate::spans::SpanField;
use crate::statistics::Tabulation;

/// One sum over rows that a trainer asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SumRequest {
    /// Which rows.
    pub rows: RowSet,
    /// Real values are multiplied by two to this power before they are rounded; 0 for counts.
    pub scale_bits: u32,
    /// What is summed.
    pub kind: Kind,
}

/// Which rows a sum runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowSet {
    /// Rows that a model is fitted on.
    Train,
    /// Rows that it is judged on.
    Holdout,
}

/// What is summed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Rows per range of each field: one pass of the quantile search.
    Ranges(Vec<RangeField>),
    /// Rows per cell of spans of each field: one pass of the search that divides what it knows.
    Spans(Vec<SpanField>),
    /// Good and bad rows per bin of every field: `good, bad` for code 0, 1, ….
    Counts(Vec<FieldBins>),
    /// Loss, gradient and upper triangle of the Hessian of the logistic loss.
    Moments(LinearModel),
    /// Good and bad rows per score cell, of the model and then of the banks' own models.
    Scores {
        /// The joint model.
        model: Model,
        /// The cells.
        grid: ScoreGrid,
        /// Only the joint model: under noise, since a row moves the banks' own models and with them the cells of other rows.
        alone: bool,
    },
    /// Both scores of each row, once their histograms are known.
    Compare(Comparison),
    /// Good and bad rows that both scores approve, at one or two pairs of lines.
    Swap(SwapLines),
    /// Good and bad rows per segment and group of both scores.
    Segments(Segmented),
    /// Both scores on pairs of rows of one bank.
    Within(Within),
    /// Gradient histograms of boosted trees.
    Histogram(Histogram),
    /// Loss of boosted trees, then good and bad rows.
    Loss(Loss),
    /// Amounts and counts by public cells.
    Statistics(Tabulation),
}

/// Ranges of one numeric field: the parents are cut into `2^refine` ranges each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeField {
    /// Position of the field.
    pub field: usize,
    /// Leading bits that name a parent.
    pub depth: u32,
    /// The parents, in order.
    pub parents: Vec<u64>,
    /// Further bits counted.
    pub refine: u32,
    /// Values that are not counted, as the bits of their [order](crate::binning) in rising order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub special: Vec<u64>,
}

/// Bins of one field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FieldBins {
    /// Upper ends of the bins of a number, the last bin open.
    Cuts(Vec<f64>),
    /// The same, and values with a bin of their own after the last one.
    Special {
        /// Upper ends of the bins.
        cuts: Vec<f64>,
        /// The values, in rising order.
        special: Vec<f64>,
    },
    /// As many codes as this, the missing code not counted.
    Codes(u16),
}

/// A model that gives every row its log-odds of bad.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// A scorecard's.
    Linear(LinearModel),
    /// Boosted trees.
    Forest(Arc<Forest>),
}

/// A logistic model over WOE columns: the log-odds of bad are `intercept + sum of coefficient x WOE`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinearModel {
    /// Intercept.
    pub intercept: f64,
    /// The columns.
    pub terms: Vec<Term>,
    /// What rows bring to the loss besides their label; nothing to a score.
    #[serde(default, skip_serializing_if = "RowTerms::is_plain")]
    pub rows: RowTerms,
}

/// What a row brings to a logistic loss besides its label. The caps bound the sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowTerms {
    /// Rows have weights between 0 and this; absent, every row counts once. Counts of rows are not weighted, so a WOE is that of
    /// the rows: the same for weights that depend on the outcome alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_cap: Option<f64>,
    /// Rows have a part of the log-odds of bad that is not fitted, of at most this size; absent, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_cap: Option<f64>,
}

/// One column of a [`LinearModel`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Term {
    /// Position of the field.
    pub field: usize,
    /// Its bins.
    pub bins: FieldBins,
    /// WOE of code 0, 1, ….
    pub woe: Vec<f64>,
    /// Its coefficient.
    pub coefficient: f64,
}

/// Equal cells of log-odds, open at both ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreGrid {
    /// Where the second cell begins.
    pub low: f64,
    /// Width of a cell.
    pub step: f64,
    /// Number of cells, the open ones included.
    pub cells: u32,
}

/// Sums over rows that are placed on the released histograms of two scores, the joint model's and the banks' own.
///
/// Words: products of placements over good rows and over bad rows; squared error, joint and bank-only; loss, joint and
/// bank-only; then the probability of bad per reliability band, joint and bank-only. Log-odds are cut off at 32.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The joint model.
    pub model: Model,
    /// Its released histogram.
    pub joint: ScoreCells,
    /// That of the banks' own models.
    pub bank_only: ScoreCells,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums {
    /// One integer a word; zero for cells that are counted in another one.
    pub values: Vec<i64>,
    /// Banks in the sum, in order.
    pub cohort: Vec<String>,
    /// Banks whose indicators led to the fold, in order: all of the cohort, and those that dropped out since. Empty for a sum
    /// without cells.
    pub seen: Vec<String>,
    /// Which cells are counted together.
    pub fold: Fold,
}

impl SumRequest {
    /// Names the request; equal requests have equal digests at every party.
    pub fn digest(&self) -> Digest {
        // A forest is named, not written out: its digest grows with it, tree by tree.
        let mut rest = self.clone();
        let forest = rest.kind.forest_mut().map(std::mem::take);
        // Panic safety: the type holds only finite numbers and lists.
        let rest = serde_json::to_vec(&rest).expect("requests serialise");
        match forest {
            Some(forest) => Digest::of("tallystick/sum-request/v1", &[&rest, forest.digest().as_bytes()]),
            None => Digest::of("tallystick/sum-request/v1", &[&rest]),
        }
    }

    /// Words of the answer.
    pub fn words(&self) -> usize {
        match &self.kind {
            Kind::Ranges(fields) => fields.iter().map(RangeField::words).sum(),
            Kind::Spans(fields) => fields.iter().map(SpanField::words).sum(),
            Kind::Counts(fields) => fields.iter().map(|bins| 2 * bins.codes()).sum(),
            Kind::Moments(model) => model.moment_words(),
            Kind::Scores { grid, alone, .. } => grid.cells as usize * if *alone { 2 } else { 4 },
            Kind::Compare(comparison) => comparison.words(),
            Kind::Swap(lines) => lines.words(),
            Kind::Segments(asked) => asked.words(),
            Kind::Within(_) => Within::WORDS,
            Kind::Histogram(asked) => asked.words(),
            Kind::Loss(_) => Loss::WORDS,
            Kind::Statistics(asked) => asked.words(),
        }
    }

    /// The words of an answer that are counts of rows.
    pub fn counts<'a>(&self, words: &'a mut [i64]) -> impl Iterator<Item = &'a mut i64> + use<'a> {
        // Of every so many words, these are counts.
        let (every, counts) = match &self.kind {
            Kind::Ranges(_)
            | Kind::Spans(_)
            | Kind::Counts(_)
            | Kind::Scores { .. }
            | Kind::Swap(_)
            | Kind::Segments(_) => (1, 0..1),
            Kind::Histogram(_) => (3, 2..3),
            Kind::Loss(_) => (3, 1..3),
            Kind::Statistics(asked) => (asked.width(), asked.amounts()..asked.width()),
            Kind::Moments(_) | Kind::Compare(_) | Kind::Within(_) => (1, 0..0),
        };
        words.iter_mut().enumerate().filter(move |(word, _)| counts.contains(&(word % every))).map(|(_, word)| word)
    }

    /// How far one row more or less moves the sum, in the Euclidean norm and in the sum's own units, rounding included.
    /// Follows from the request alone.
    pub fn sensitivity(&self) -> f64 {
        match &self.kind {
            Kind::Ranges(fields) => (fields.len() as f64).sqrt(),
            Kind::Spans(fields) => (fields.len() as f64).sqrt(),
            Kind::Counts(fields) => (fields.len() as f64).sqrt(),
            // With the banks' own models it has no bound.
            Kind::Scores { alone, .. } => {
                if *alone {
                    1.0
                } else {
                    f64::INFINITY
                }
            }
            Kind::Swap(_) => 1.0,
            // Nor have these, which are not asked under noise.
            Kind::Segments(_) | Kind::Within(_) => f64::INFINITY,
            Kind::Moments(model) => self.scaled(model.moment_norm()),
            Kind::Compare(_) => self.scaled(Comparison::row_norm()),
            Kind::Histogram(asked) => Histogram::sensitivity(asked.fields.len(), self.scale_bits),
            Kind::Loss(asked) => asked.sensitivity(self.scale_bits),
            Kind::Statistics(asked) => asked.sensitivity(),
        }
    }

    /// A norm in the sum's units; each of the words is rounded by half a unit at most.
    fn scaled(&self, norm: f64) -> f64 {
        let scale = libm::ldexp(1.0, i32::try_from(self.scale_bits).unwrap_or(0));
        scale * norm + 0.5 * (self.words() as f64).sqrt()
    }

    /// True for the sums that judge a fitted model.
    pub fn evaluates(&self) -> bool {
        // Losses on the hold-out rows say when to stop.
        self.rows == RowSet::Holdout && !matches!(self.kind, Kind::Loss(_)) || matches!(self.kind, Kind::Scores { .. })
    }
}

impl Kind {
    /// The forest in it.
    pub(crate) fn forest(&self) -> Option<&Arc<Forest>> {
        match self {
            Self::Histogram(Histogram { forest, .. }) | Self::Loss(Loss { forest, .. }) => Some(forest),
            Self::Scores { model: Model::Forest(forest), .. }
            | Self::Compare(Comparison { model: Model::Forest(forest), .. })
            | Self::Swap(SwapLines { model: Model::Forest(forest), .. })
            | Self::Segments(Segmented { model: Model::Forest(forest), .. })
            | Self::Within(Within { model: Model::Forest(forest), .. }) => Some(forest),
            _ => None,
        }
    }

    fn forest_mut(&mut self) -> Option<&mut Arc<Forest>> {
        match self {
            Self::Histogram(Histogram { forest, .. }) | Self::Loss(Loss { forest, .. }) => Some(forest),
            Self::Scores { model: Model::Forest(forest), .. }
            | Self::Compare(Comparison { model: Model::Forest(forest), .. })
            | Self::Swap(SwapLines { model: Model::Forest(forest), .. })
            | Self::Segments(Segmented { model: Model::Forest(forest), .. })
            | Self::Within(Within { model: Model::Forest(forest), .. }) => Some(forest),
            _ => None,
        }
    }
}

impl RowSet {
    /// The rows of the table that are in it, upwards.
    pub(crate) fn of(self, table: &Table) -> impl Iterator<Item = usize> {
        (0..table.rows()).filter(move |&row| table.holdout[row] == (self == Self::Holdout))
    }
}

impl RangeField {
    /// Cells of this field.
    pub fn words(&self) -> usize {
        self.parents.len() << self.refine
    }
}

impl FieldBins {
    /// The bins of a number with these cut points, and with these special values after them.
    pub fn of_number(cuts: Vec<f64>, special: &[f64]) -> Self {
        match special {
            [] => Self::Cuts(cuts),
            special => Self::Special { cuts, special: special.to_vec() },
        }
    }

    /// The code of a number; 0 where it is missing, and where the cuts are not known here.
    pub fn code(&self, value: f64) -> u16 {
        match self {
            Self::Cuts(cuts) => binning::code(cuts, value),
            Self::Special { cuts, special } => binning::code_apart(cuts, special, value),
            Self::Codes(_) => 0,
        }
    }

    /// Number of codes, the missing code included.
    pub fn codes(&self) -> usize {
        match self {
            Self::Cuts(cuts) => cuts.len() + 2,
            Self::Special { cuts, special } => cuts.len() + special.len() + 2,
            Self::Codes(bins) => usize::from(*bins) + 1,
        }
    }
}

impl LinearModel {
    /// Columns, the intercept included.
    pub fn width(&self) -> usize {
        self.terms.len() + 1
    }

    /// Largest log-odds of bad of a row, either way.
    pub(crate) fn reach(&self) -> f64 {
        let terms = self.terms.iter().map(|term| term.coefficient.abs() * term.extent()).sum::<f64>();
        self.intercept.abs() + terms + self.rows.offset_cap.unwrap_or(0.0)
    }

    /// Largest Euclidean norm of one row's loss, gradient and upper Hessian: the loss is at most `|z| + ln 2`, the error of a
    /// probability at most 1, its weight `p (1 - p)` at most 1/4; all times the row's weight.
    fn moment_norm(&self) -> f64 {
        let loss = self.reach() + std::f64::consts::LN_2;
        let squares = 1.0 + self.terms.iter().map(|term| term.extent() * term.extent()).sum::<f64>();
        self.rows.weight() * (loss * loss + squares + squares * squares / 16.0).sqrt()
    }

    fn moment_words(&self) -> usize {
        let width = self.width();
        1 + width + width * (width + 1) / 2
    }
}

impl Comparison {
    /// Quantile bands of the reliability tables.
    pub(crate) const BANDS: usize = 10;
    /// Largest log-odds, either sign.
    pub(crate) const REACH: f64 = 32.0;

    fn words(&self) -> usize {
        let bands = |scores: &ScoreCells| scores.histogram().map_or(0, |histogram| histogram.bands(Self::BANDS).len());
        6 + bands(&self.joint) + bands(&self.bank_only)
    }

    /// Largest Euclidean norm of one row's words: a product and two probabilities, two squared errors, two losses of at
    /// most the reach and `ln 2`.
    fn row_norm() -> f64 {
        let loss = Self::REACH + std::f64::consts::LN_2;
        (5.0 + 2.0 * loss * loss).sqrt()
    }

    /// The largest power of two with `row cap x largest loss x scale < 2^62`.
    pub(crate) fn scale_bits(&self, row_cap: u64) -> u32 {
        let bits = 61 - libm::ilogb((Self::REACH + 1.0) * row_cap as f64);
        u32::try_from(bits.clamp(0, 52)).unwrap_or(0)
    }
}

impl Term {
    /// Largest WOE, either way.
    pub(crate) fn extent(&self) -> f64 {
        self.woe.iter().fold(0.0f64, |largest, woe| largest.max(woe.abs()))
    }
}

impl RowTerms {
    /// True where a row brings only its label.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Largest weight of a row.
    pub(crate) fn weight(&self) -> f64 {
        self.weight_cap.unwrap_or(1.0)
    }
}

impl ScoreGrid {
    /// The cell of a score.
    pub fn cell(&self, score: f64) -> usize {
        let place = ((score - self.low) / self.step).floor() + 1.0;
        // A saturating cast: scores beyond the grid fall into its open ends, and a NaN into the first.
        (place.max(0.0) as usize).min(self.cells as usize - 1)
    }
}
