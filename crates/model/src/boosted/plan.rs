//! What boosted trees are fitted on: fields, parameters, bounds. Public, part of the contract.

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;

use super::draw::Draw;
use super::kernel::MAX_SCALE_BITS;
use super::request::Histogram;
use crate::judge::Judging;
use crate::plan::{FieldSource, PlanError};
use crate::quantiles::{CutSearch, Terms};
use crate::trainer::scale_of;

/// The plan of a forest. Parameters are named and defined as XGBoost's, where it has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoostedPlan {
    /// Fields in the order of a table's columns.
    pub fields: Vec<BoostedFieldPlan>,
    /// Equal-frequency bins of a number.
    pub bins: u16,
    /// How cut points are sought.
    #[serde(default, skip_serializing_if = "CutSearch::is_first")]
    pub search: CutSearch,
    /// Most trees.
    pub trees: u32,
    /// In which order nodes are split, and how far.
    pub growth: Growth,
    /// Each tree's values are multiplied by this (`eta`).
    pub learning_rate: f64,
    /// L2 penalty of the values.
    pub lambda: f64,
    /// Least gain of a split.
    pub gamma: f64,
    /// Least sum of `h` in a child.
    pub min_child_weight: f64,
    /// Share of the rows that a tree is grown on (`subsample`), drawn by seed.
    pub row_share: f64,
    /// Share of the fields that a tree may use (`colsample_bytree`), drawn by seed.
    pub field_share: f64,
    /// When to stop before the last tree.
    pub early_stopping: Option<EarlyStopping>,
    /// Most rows of all banks together: bounds every sum.
    pub row_cap: u64,
    /// Ranges and children with fewer rows are not cut out.
    pub min_rows: u64,
    /// Public randomness of the session.
    pub seed: Digest,
    /// Sums carry noise: counts below zero count as zero.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub noisy: bool,
    /// What the fitted model is judged by.
    #[serde(default)]
    pub judging: Judging,
}

/// One field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoostedFieldPlan {
    /// Name.
    pub name: String,
    /// How its values reach the table. Codes count as ordered.
    pub source: FieldSource,
    /// Whether the risk may only rise or only fall with it.
    #[serde(default)]
    pub monotone: Monotone,
}

/// How the log-odds of bad may move with a field's value; rows without a value are free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Monotone {
    /// Either way.
    #[default]
    Free,
    /// Never down.
    Rising,
    /// Never up.
    Falling,
}

/// In which order nodes are split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Growth {
    /// Level by level: one sum a level.
    DepthWise {
        /// Splits between root and leaf.
        max_depth: u32,
    },
    /// The leaf with the largest gain first: one sum a split.
    LeafWise {
        /// Most leaves.
        max_leaves: u32,
        /// Splits between root and leaf.
        max_depth: u32,
    },
}

/// Stops when the loss on rows that no tree was grown on has not fallen for some trees; the later trees are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyStopping {
    /// Trees without a lower loss.
    pub patience: u32,
    /// The rows.
    pub on: JudgedOn,
}

/// Rows that decide when to stop.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum JudgedOn {
    /// The hold-out rows; figures on them are then a little too good.
    Holdout,
    /// A fold of the training rows, drawn by seed.
    Fold {
        /// Its share of them.
        share: f64,
    },
}

/// Most fields, as of a scorecard.
const MAX_FIELDS: usize = 400;
/// Codes are stored in a byte.
const MAX_BINS: usize = 254;
/// A node of a tree is split at most so often below the root.
const MAX_DEPTH: u32 = 12;
const MAX_LEAVES: u32 = 1024;

impl BoostedPlan {
    /// How bins are sought.
    pub(crate) fn search(&self) -> Terms {
        Terms { search: self.search, bins: self.bins, min_rows: self.min_rows, noisy: self.noisy }
    }

    /// Checks the bounds; with them no sum of any request can overflow, since every request derives its scale from them.
    ///
    /// # Errors
    /// Names the parameter.
    pub fn check(&self) -> Result<(), PlanError> {
        let share = |number: f64| number > 0.0 && number <= 1.0;
        let at_least_0 = |number: f64| number.is_finite() && number >= 0.0;
        let few = |field: &BoostedFieldPlan| match &field.source {
            FieldSource::Values => true,
            FieldSource::Categories { values } => values.len() <= MAX_BINS,
            FieldSource::Codes { bins } => usize::from(*bins) <= MAX_BINS,
        };
        let judged = |stopping: &EarlyStopping| match stopping.on {
            JudgedOn::Holdout => true,
            JudgedOn::Fold { share } => share > 0.0 && share <= 0.5,
        };
        let checks = [
            (!self.fields.is_empty() && self.fields.len() <= MAX_FIELDS, "between 1 and 400 fields"),
            (self.fields.iter().all(few), "fields: at most 254 codes"),
            ((2..=254).contains(&self.bins), "bins: between 2 and 254"),
            ((1..=2000).contains(&self.trees), "trees: between 1 and 2000"),
            ((1..=MAX_DEPTH).contains(&self.growth.max_depth()), "max_depth: between 1 and 12"),
            ((2..=MAX_LEAVES).contains(&self.growth.max_leaves()), "max_leaves: between 2 and 1024"),
            (share(self.learning_rate), "learning_rate: above 0, at most 1"),
            (at_least_0(self.lambda), "lambda: not negative"),
            (at_least_0(self.gamma), "gamma: not negative"),
            (at_least_0(self.min_child_weight), "min_child_weight: not negative"),
            (share(self.row_share), "row_share: above 0, at most 1"),
            (share(self.field_share), "field_share: above 0, at most 1"),
            (self.early_stopping.as_ref().is_none_or(|stopping| stopping.patience >= 1), "patience: at least 1"),
            (self.early_stopping.as_ref().is_none_or(judged), "early_stopping: a fold above 0, at most 0.5"),
            ((1..=1 << 32).contains(&self.row_cap), "row_cap: between 1 and 2^32"),
        ];
        match checks.into_iter().find(|(holds, _)| !holds) {
            Some((_, reason)) => Err(PlanError(reason)),
            None => self.judging.check(self.fields.len()),
        }
    }

    /// No sum of the plan has a larger [sensitivity](crate::SumRequest::sensitivity): the loss of a row moves its word by less
    /// than `2^62 / row cap`, since that is how its scale is chosen.
    pub fn largest_sensitivity(&self) -> f64 {
        let loss = libm::ldexp(1.0, 62) / self.row_cap as f64 + 1.5;
        loss.max(Histogram::sensitivity(self.fields.len(), self.gradient_bits()))
    }

    /// Bits of the scale of `g` and `h`.
    pub(crate) fn gradient_bits(&self) -> u32 {
        scale_of(1.0, self.row_cap).min(MAX_SCALE_BITS)
    }

    /// The training rows that trees are grown on: all, or those outside the fold that decides when to stop.
    pub(crate) fn grown_on(&self) -> Vec<Draw> {
        self.fold().map(Draw::complement).into_iter().collect()
    }

    /// The rows that one tree is grown on.
    pub(crate) fn rows_of_tree(&self, tree: u32) -> Vec<Draw> {
        let mut draws = self.grown_on();
        if self.row_share < 1.0 {
            draws.push(Draw::new(&self.seed, "rows", tree, self.row_share));
        }
        draws
    }

    /// The fields that one tree may use, in order; at least one.
    pub(crate) fn fields_of_tree(&self, tree: u32) -> Vec<u32> {
        let fields = (0..self.fields.len() as u32).filter(|field| !self.judging.is_apart(*field as usize));
        if self.field_share >= 1.0 {
            return fields.collect();
        }
        let draw = Draw::new(&self.seed, "fields", tree, self.field_share);
        let mut order: Vec<_> = fields.map(|field| (draw.place(u64::from(field)), field)).collect();
        order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        order.truncate(((self.field_share * order.len() as f64) as usize).max(1));
        let mut fields: Vec<_> = order.into_iter().map(|(_, field)| field).collect();
        fields.sort_unstable();
        fields
    }

    /// The fold that decides when to stop, if there is one.
    pub(crate) fn fold(&self) -> Option<Draw> {
        match self.early_stopping?.on {
            JudgedOn::Holdout => None,
            JudgedOn::Fold { share } => Some(Draw::new(&self.seed, "fold", 0, share)),
        }
    }
}

impl Growth {
    /// Splits between root and leaf.
    pub fn max_depth(&self) -> u32 {
        match self {
            Self::DepthWise { max_depth } | Self::LeafWise { max_depth, .. } => *max_depth,
        }
    }

    /// Most leaves.
    pub fn max_leaves(&self) -> u32 {
        match self {
            Self::DepthWise { .. } => MAX_LEAVES,
            Self::LeafWise { max_leaves, .. } => *max_leaves,
        }
    }
}
