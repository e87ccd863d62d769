//! What boosting leaves: the forest with its figures.

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;

use super::contribution::log_odds;
use super::forest::{Forest, Shape};
use super::plan::{BoostedFieldPlan, Monotone};
use super::shap::Contributions;
use crate::contribution::{ContributionError, logistic};
use crate::fit::RoundRecord;
use crate::golden::Scoring;
use crate::judge::Validation;
use crate::metrics::Figures;
use crate::quantiles::CoarseCuts;
use crate::request::FieldBins;
use crate::rows::Table;

/// Fitted boosted trees: the same at every party, since all of it follows from released sums.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoostedFit {
    /// Every field of the plan, in order; its bins stand in the forest, the cuts of a platform field at the platform.
    pub fields: Vec<BoostedField>,
    /// The trees.
    pub forest: Forest,
    /// Mean loss on the rows that decide when to stop, after each tree that was grown; empty without early stopping.
    pub losses: Vec<f64>,
    /// Rows that the trees are grown on.
    pub train_rows: i64,
    /// Of these, bad.
    pub train_bad: i64,
    /// Rows that the model is judged on.
    pub holdout_rows: i64,
    /// Of these, bad.
    pub holdout_bad: i64,
    /// Figures of the joint model on the hold-out rows.
    pub joint: Option<Figures>,
    /// Figures of the banks' own models on the same rows.
    pub bank_only: Option<Figures>,
    /// What the sums that judge the model say.
    pub validation: Validation,
    /// Every released sum that led here.
    pub rounds: Vec<RoundRecord>,
}

/// One field of a [`BoostedFit`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoostedField {
    /// Name.
    pub name: String,
    /// Whether the risk may only rise or only fall with it.
    pub monotone: Monotone,
    /// Splits on it.
    pub splits: u32,
    /// Sum of their gains.
    pub gain: f64,
    /// What is to be said where its bins stayed coarse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coarse: Option<CoarseCuts>,
}

impl BoostedFit {
    /// Names the model; equal fits have equal digests.
    pub fn digest(&self) -> Digest {
        // Panic safety: the type holds only finite numbers, texts and lists.
        Digest::of("tallystick/boosted-fit/v1", &[&serde_json::to_vec(self).expect("fits serialise")])
    }

    /// Log-odds of bad of every row of a table in plan order.
    ///
    /// # Errors
    /// Fails if the table does not have the model's columns.
    pub fn log_odds(&self, table: &Table) -> Result<Vec<f64>, ContributionError> {
        table.check()?;
        log_odds(&self.forest, table)
    }

    /// Probability of bad at these log-odds.
    pub fn probability(&self, log_odds: f64) -> f64 {
        logistic(log_odds)
    }

    /// The code of a number in a field; 0 where the field or its cuts are not known here.
    pub fn code(&self, field: usize, value: f64) -> u16 {
        self.forest.bins().get(field).map_or(0, |bins| bins.code(value))
    }

    /// Mean log-odds of bad of the rows that the trees were grown on, by the cover of the nodes.
    pub fn expected(&self) -> f64 {
        self.forest.expected()
    }

    /// The same at each code of a field, the other fields unknown (partial dependence); empty if there is no such field.
    pub fn dependence(&self, field: usize) -> Vec<f64> {
        u32::try_from(field).map(|field| self.forest.dependence(field)).unwrap_or_default()
    }

    /// Per field, the sum of `h` over the nodes that split on it.
    pub fn cover(&self) -> Vec<f64> {
        let mut cover = vec![0.0; self.fields.len()];
        for node in self.forest.trees().iter().flat_map(|tree| &tree.nodes) {
            if let Shape::Split(split) = node.shape
                && let Some(sum) = cover.get_mut(split.field as usize)
            {
                *sum += node.cover;
            }
        }
        cover
    }

    /// What each field adds to an applicant's log-odds, by the applicant's codes in plan order.
    pub fn contributions(&self, codes: &[u16]) -> Contributions {
        Contributions::new(&self.forest, codes)
    }
}

impl Scoring for BoostedFit {
    fn widths(&self) -> Vec<usize> {
        self.forest.bins().iter().map(FieldBins::codes).collect()
    }

    fn cuts(&self, field: usize) -> &[f64] {
        match &self.forest.bins()[field] {
            FieldBins::Cuts(cuts) | FieldBins::Special { cuts, .. } => cuts,
            FieldBins::Codes(_) => &[],
        }
    }

    fn code(&self, field: usize, value: f64) -> u16 {
        Self::code(self, field, value)
    }

    /// Log-odds of bad.
    fn score(&self, codes: &[u16]) -> f64 {
        self.forest.log_odds(|field| codes.get(field as usize).copied().unwrap_or(0))
    }
}

impl BoostedField {
    /// A field without splits.
    pub(super) fn unused(plan: &BoostedFieldPlan) -> Self {
        Self { name: plan.name.clone(), monotone: plan.monotone, splits: 0, gain: 0.0, coarse: None }
    }
}
