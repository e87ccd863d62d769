//! How both models rank the loans of one bank, taken over the banks.
//!
//! Pooled scores are also compared between banks: a bank's own model has an intercept of its own, so the pooled AUC credits it
//! with telling the banks apart, which no loan officer asks of it. Here a good and a bad row of the same bank are a pair, and
//!
//! ```text
//! AUC = sum over banks of (weight x AUC of the bank's rows) / sum of the weights
//! ```
//!
//! with a variance of `sum of weight^2 x variance of the bank's AUC / (sum of weights)^2`, since rows of two banks are
//! independent; the bank's variances and covariance are DeLong's. Scores are compared as they are, not by the cells of a grid.
//!
//! **The weight** is the number of the bank's pairs, good rows times bad rows, but not quite: a sum of whole pairs can be
//! factored. Of three banks, one knows how many good and how many bad rows the other two have together, and the pairs of both
//! would then say, by the divisors of one number, how many each has. So a bank's weight is moved by up to [`BLUR`] either way, by
//! a hash of its rows, which nobody else has: the same whenever the sum is asked over these rows, at the bank, in a replay of what
//! it disclosed, and in the pooled fit. The figure is exactly the mean of the banks' own AUCs by these weights.
//!
//! A bank stands behind the sum if it has two good and two bad rows. It is shown if enough do; that some bank does not is all that
//! is told of the others.

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;

use crate::contribution::BothScores;
use crate::metrics::{Cell, Estimate, p_value_of, variance_of_mean};
use crate::release::Axis;
use crate::request::Model;
use crate::rows::{Column, Table};

/// Largest share by which a bank's weight differs from its pairs.
pub const BLUR: f64 = 0.02;

/// Both models on pairs of rows of one bank. Words: the bank's AUC under the joint and under its own model times its weight;
/// the variances of the two and of their difference times the weight's square; the weight, as a share of all pairs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Within {
    /// The joint model.
    pub model: Model,
    /// The hold-out rows, all banks together.
    pub rows: Cell,
}

/// Sums over banks of what [`Within`] asks of each.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithinSums {
    /// AUC under the joint model times weight.
    pub joint: f64,
    /// AUC under the bank's own model times weight.
    pub bank_only: f64,
    /// Variance of the first times the weight's square.
    pub joint_variance: f64,
    /// Variance of the second times the weight's square.
    pub bank_only_variance: f64,
    /// Variance of the difference times the weight's square.
    pub variance: f64,
    /// Weight, as a share of the pairs that all rows together have.
    pub weight: f64,
}

/// What the sums say.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithinFigures {
    /// AUC of the joint model within banks, with DeLong's interval.
    pub joint: Estimate,
    /// AUC of the banks' own models within banks.
    pub bank_only: Estimate,
    /// The first less the second, with DeLong's interval for correlated curves.
    pub difference: Estimate,
    /// Two-sided p-value of no difference.
    pub p_value: f64,
}

impl Within {
    /// Words of the answer.
    pub(crate) const WORDS: usize = 6;
    /// Every word is below 2; of the smallest, nine digits are left.
    pub(crate) const SCALE_BITS: u32 = 52;

    /// One cell, which a bank stands behind if it has a weight.
    pub(crate) fn axis() -> Axis {
        Axis::told_by(1, Self::WORDS, 1)
    }

    /// What a bank adds.
    pub(crate) fn add(&self, rows: impl Iterator<Item = BothScores>, table: &Table, bits: u32, words: &mut [i64]) {
        let pairs = self.rows.good as f64 * self.rows.bad as f64;
        let Some(sums) = within(rows, table).filter(|_| pairs > 0.0).map(|own| own.over(pairs)) else { return };
        let scale = libm::ldexp(1.0, i32::try_from(bits).unwrap_or(0));
        for (word, value) in words.iter_mut().zip(sums.words()) {
            *word = word.wrapping_add((value * scale).round_ties_even() as i64);
        }
    }
}

impl WithinSums {
    /// The sums of released words; `None` if they are withheld.
    pub(crate) fn released(words: &[i64], bits: u32) -> Option<Self> {
        let unit = libm::ldexp(1.0, -i32::try_from(bits).unwrap_or(0));
        let [joint, bank_only, joint_variance, bank_only_variance, variance, weight] =
            <[i64; Within::WORDS]>::try_from(words).ok()?.map(|word| word as f64 * unit);
        (weight > 0.0).then_some(Self { joint, bank_only, joint_variance, bank_only_variance, variance, weight })
    }

    /// The AUCs and their difference.
    pub fn figures(&self) -> WithinFigures {
        let square = self.weight * self.weight;
        let (joint, bank_only) = (self.joint / self.weight, self.bank_only / self.weight);
        let (difference, variance) = (joint - bank_only, self.variance / square);
        WithinFigures {
            joint: Estimate::normal(joint, self.joint_variance / square, 0.0, 1.0),
            bank_only: Estimate::normal(bank_only, self.bank_only_variance / square, 0.0, 1.0),
            difference: Estimate::normal(difference, variance, -1.0, 1.0),
            p_value: p_value_of(difference, variance),
        }
    }

    fn words(&self) -> [f64; Within::WORDS] {
        [self.joint, self.bank_only, self.joint_variance, self.bank_only_variance, self.variance, self.weight]
    }

    /// By weights in so many pairs.
    fn over(self, pairs: f64) -> Self {
        let [joint, bank_only, joint_variance, bank_only_variance, variance, weight] = self.words();
        let square = pairs * pairs;
        Self {
            joint: joint / pairs,
            bank_only: bank_only / pairs,
            joint_variance: joint_variance / square,
            bank_only_variance: bank_only_variance / square,
            variance: variance / square,
            weight: weight / pairs,
        }
    }
}

/// One bank's rows, the weight in pairs; `None` with fewer than two rows of a kind.
fn within(rows: impl Iterator<Item = BothScores>, table: &Table) -> Option<WithinSums> {
    let mut rows: Vec<_> = rows.map(|row| (row.joint, row.bank_only, row.bad)).collect();
    // In an order of their own, so that the sums are the same in whatever order the rows come.
    rows.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
    let bad: Vec<bool> = rows.iter().map(|row| row.2).collect();
    let bads = bad.iter().filter(|bad| **bad).count();
    let goods = bad.len() - bads;
    if goods < 2 || bads < 2 {
        return None;
    }
    let scores = |of: fn(&(f64, f64, bool)) -> f64| rows.iter().map(of).collect::<Vec<_>>();
    let joint = placed(&scores(|row| row.0), &bad, goods, bads);
    let own = placed(&scores(|row| row.1), &bad, goods, bads);
    let gap: Vec<f64> = joint.places.iter().zip(&own.places).map(|(joint, own)| joint - own).collect();
    let weight = goods as f64 * bads as f64 * (1.0 + blur(table));
    let square = weight * weight;
    Some(WithinSums {
        joint: weight * joint.auc,
        bank_only: weight * own.auc,
        joint_variance: square * variance(&joint.places, &bad, joint.auc),
        bank_only_variance: square * variance(&own.places, &bad, own.auc),
        variance: square * variance(&gap, &bad, joint.auc - own.auc),
        weight,
    })
}

/// A score's AUC, and of every row the share of the other kind that it is on the right side of.
struct Ranked {
    auc: f64,
    places: Vec<f64>,
}

fn placed(scores: &[f64], bad: &[bool], goods: usize, bads: usize) -> Ranked {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let mut places = vec![0.0; scores.len()];
    let (mut below, mut twice_won) = (Cell::default(), 0i128);
    for tied in order.chunk_by(|a, b| scores[*a] == scores[*b]) {
        let worse = tied.iter().filter(|row| bad[**row]).count() as i64;
        let here = Cell { good: tied.len() as i64 - worse, bad: worse };
        let above = bads as i64 - below.bad - here.bad;
        for &row in tied {
            places[row] = if bad[row] {
                (2 * below.good + here.good) as f64 / (2 * goods) as f64
            } else {
                (2 * above + here.bad) as f64 / (2 * bads) as f64
            };
        }
        twice_won += i128::from(here.bad) * i128::from(2 * below.good + here.good);
        below = below.plus(here);
    }
    Ranked { auc: twice_won as f64 / (2.0 * goods as f64 * bads as f64), places }
}

/// DeLong's variance of a mean placement, or of a difference of two.
fn variance(places: &[f64], bad: &[bool], mean: f64) -> f64 {
    let of = |kind: bool| {
        let rows = places.iter().zip(bad).filter(move |(_, bad)| **bad == kind);
        variance_of_mean(rows.map(|(place, _)| (1, place - mean)))
    };
    of(true) + of(false)
}

/// By which share the weight of these rows is moved: from a hash of what they hold, whatever their order.
fn blur(table: &Table) -> f64 {
    let row = |row: usize| {
        let values = table.columns.iter().flat_map(|column| match column {
            Column::Values(values) => values[row].to_bits().to_be_bytes(),
            Column::Codes(codes) => u64::from(codes[row]).to_be_bytes(),
        });
        let bytes: Vec<u8> = values.chain([table.label[row], u8::from(table.holdout[row])]).collect();
        number(Digest::of("tallystick/within/row/v1", &[&bytes]))
    };
    let sum = (0..table.rows()).fold(0u64, |sum, next| sum.wrapping_add(row(next)));
    let drawn = number(Digest::of("tallystick/within/v1", &[&sum.to_be_bytes()]));
    BLUR * (2.0 * (drawn >> 11) as f64 / (1u64 << 53) as f64 - 1.0)
}

fn number(digest: Digest) -> u64 {
    digest.as_bytes().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A bank's own part, for its own eyes: its AUCs, their difference, and its weight in pairs.
pub fn within_one(joint: &[f64], table: &Table) -> Option<(WithinFigures, f64)> {
    let holdout = (0..table.rows()).filter(|&row| table.holdout[row]);
    let scored = holdout.map(|row| BothScores {
        row,
        joint: joint[row],
        bank_only: table.baseline[row],
        bad: table.label[row] == 1,
    });
    let sums = within(scored, table)?;
    Some((sums.figures(), sums.weight))
}
