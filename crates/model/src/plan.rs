//! What a trainer fits: fields, parameters, bounds. Public, part of the contract.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;

use crate::coarse::{CoarsePlan, Order};
use crate::judge::Judging;
use crate::quantiles::{Bins, CutSearch, Terms};
use crate::request::{FieldBins, RowTerms};
use crate::selection::{SelectionPlan, Steps};

/// A scorecard's plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Fields in the order of a table's columns.
    pub fields: Vec<FieldPlan>,
    /// Equal-frequency bins of a number: the fine classes.
    pub bins: u16,
    /// How cut points are sought.
    #[serde(default, skip_serializing_if = "CutSearch::is_first")]
    pub search: CutSearch,
    /// Which fine classes are joined; none if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coarse: Option<CoarsePlan>,
    /// Added to both cells of a class that has only good or only bad rows.
    pub smoothing: f64,
    /// Fields below this information value are dropped.
    pub min_iv: f64,
    /// Which of the others are kept.
    pub selection: SelectionPlan,
    /// Inverse strength of the L2 penalty, as scikit-learn's `C`.
    pub c: f64,
    /// Most rows of all banks together: bounds every sum.
    pub row_cap: u64,
    /// Ranges with fewer rows are not refined.
    pub min_rows: u64,
    /// Points that double the odds.
    pub pdo: f64,
    /// Score at the base odds.
    pub base_score: f64,
    /// Good-to-bad odds at the base score.
    pub base_odds: f64,
    /// What a field's points are compared with where reasons for a score are given.
    pub reasons: ReasonBasis,
    /// What rows bring to the fit besides their label.
    #[serde(default, skip_serializing_if = "RowTerms::is_plain")]
    pub rows: RowTerms,
    /// What becomes of an applicant's value of a kind that no training row had; [`Unseen::Neutral`] if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<Unseen>,
    /// Public randomness of the session.
    pub seed: Digest,
    /// Sums carry noise: so many Newton steps are taken, none is taken back, and counts below zero count as zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newton_steps: Option<u32>,
    /// What the fitted model is judged by.
    #[serde(default)]
    pub judging: Judging,
}

/// One field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldPlan {
    /// Name.
    pub name: String,
    /// How its values reach the table.
    pub source: FieldSource,
    /// Cut points of a number that someone chose: upper ends of the bins. Nothing is searched or joined then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cuts: Vec<f64>,
    /// Values of a number that stand for something else (`-999: no account`), each with a bin of its own, after the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub special: Vec<f64>,
    /// Whether the codes from the platform are in no order.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unordered: bool,
}

impl FieldSource {
    /// What is known of the bins of such a field before any row is counted.
    pub(crate) fn known_bins(&self) -> Bins<'_> {
        match self {
            Self::Values => Bins::Sought(&[]),
            Self::Categories { values } => {
                Bins::Given(FieldBins::Codes(u16::try_from(values.len()).unwrap_or(u16::MAX)))
            }
            Self::Codes { bins } => Bins::Given(FieldBins::Codes(*bins)),
        }
    }
}

impl FieldPlan {
    /// A field without anything special.
    pub fn new(name: &str, source: FieldSource) -> Self {
        Self { name: name.into(), source, cuts: Vec::new(), special: Vec::new(), unordered: false }
    }

    /// What is known of its bins before any row is counted.
    pub(crate) fn known_bins(&self) -> Bins<'_> {
        match &self.source {
            FieldSource::Values if self.cuts.is_empty() => Bins::Sought(&self.special),
            FieldSource::Values => Bins::Given(FieldBins::of_number(self.cuts.clone(), &self.special)),
            source => source.known_bins(),
        }
    }

    /// Which of its codes may be joined, and how they relate.
    pub(crate) fn joinable(&self, bins: &FieldBins) -> (Range<usize>, Order) {
        let special = if matches!(self.source, FieldSource::Categories { .. }) { 0 } else { self.special.len() };
        let order = match &self.source {
            _ if !self.cuts.is_empty() => Order::Given,
            FieldSource::Categories { .. } => Order::Unordered,
            FieldSource::Codes { .. } if self.unordered => Order::Unordered,
            FieldSource::Values | FieldSource::Codes { .. } => Order::Ordered,
        };
        (1..bins.codes().saturating_sub(special).max(1), order)
    }
}

/// What the points of an applicant's bin are compared with; the largest differences are the reasons for the score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReasonBasis {
    /// The most points that the field can give.
    #[default]
    Maximum,
    /// The mean points of the rows that the model is fitted on.
    Mean,
}

/// What becomes of an applicant's value of a kind that no training row had: missing where none was missing, a special value that
/// nobody had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unseen {
    /// It has the points of the field's worst class: to leave a value out never gains points.
    Worst,
    /// It has the points of even evidence, more than a bad value has.
    Neutral,
    /// The applicant is not scored.
    Refuse,
}

/// How a field's values reach the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum FieldSource {
    /// Numbers at the banks, binned on pooled counts.
    Values,
    /// Category codes at the banks: 0 missing, then one code a value.
    Categories {
        /// The value of code 1, 2, ….
        values: Vec<String>,
    },
    /// Bin codes from the platform: 0 missing, then one code a bin.
    Codes {
        /// Bins, the missing bin not counted.
        bins: u16,
    },
}

/// Why a plan was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("plan: {0}")]
pub struct PlanError(pub(crate) &'static str);

/// Most fields: bounds the Hessian's words.
const MAX_FIELDS: usize = 400;
/// Most chosen cut points or special values of a field, and one.
const MAX_CUTS: usize = 101;

impl Plan {
    /// How bins are sought.
    pub(crate) fn search(&self) -> Terms {
        Terms { search: self.search, bins: self.bins, min_rows: self.min_rows, noisy: self.newton_steps.is_some() }
    }

    /// No sum of the plan has a larger [sensitivity](crate::SumRequest::sensitivity): a row moves each word of the widest
    /// one by less than `2^62 / row cap`, since that is how its scale is chosen, and by half a unit of rounding.
    pub fn largest_sensitivity(&self) -> f64 {
        let width = self.fields.len() as f64 + 1.0;
        let words = 1.0 + width + width * (width + 1.0) / 2.0;
        words.sqrt() * (libm::ldexp(1.0, 62) / self.row_cap as f64 + 0.5)
    }

    /// Checks the bounds; with them no sum of any request can overflow, since every request derives its scale from them.
    ///
    /// # Errors
    /// Names the parameter.
    pub fn check(&self) -> Result<(), PlanError> {
        let positive = |number: f64| number.is_finite() && number > 0.0;
        let share = |number: f64| (0.0..=1.0).contains(&number);
        let selection = &self.selection;
        let selects = selection.sign || selection.steps != Steps::None;
        let classes = self.coarse.as_ref().is_none_or(|coarse| (2..=50).contains(&coarse.max_classes));
        let shares = self.coarse.as_ref().is_none_or(|coarse| (0.0..=0.5).contains(&coarse.min_share));
        let rising = |cuts: &[f64]| cuts.iter().all(|cut| cut.is_finite()) && cuts.is_sorted_by(|a, b| a < b);
        let chosen = self.fields.iter().all(|field| rising(&field.cuts) && field.cuts.len() < MAX_CUTS);
        let special = self.fields.iter().all(|field| rising(&field.special) && field.special.len() < MAX_CUTS);
        let checks = [
            (!self.fields.is_empty() && self.fields.len() <= MAX_FIELDS, "between 1 and 400 fields"),
            ((2..=64).contains(&self.bins), "bins: between 2 and 64"),
            (positive(self.smoothing) && self.smoothing <= 10.0, "smoothing: above 0, at most 10"),
            (self.min_iv.is_finite() && self.min_iv >= 0.0, "min_iv: not negative"),
            (classes, "coarse.max_classes: between 2 and 50"),
            (shares, "coarse.min_share: between 0 and 0.5"),
            (chosen, "cuts: distinct numbers in order, at most 100"),
            (special, "special: distinct numbers in order, at most 100"),
            (share(selection.max_correlation), "selection.max_correlation: between 0 and 1"),
            (selection.max_vif.is_none_or(|vif| vif.is_finite() && vif >= 1.0), "selection.max_vif: at least 1"),
            (share(selection.enter) && share(selection.leave), "selection.enter, selection.leave: between 0 and 1"),
            (selection.enter <= selection.leave, "selection.leave: not below selection.enter"),
            (self.newton_steps.is_none() || !selects, "selection.steps, selection.sign: not with noise on the sums"),
            (self.rows.weight_cap.is_none_or(|cap| positive(cap) && cap <= 1e6), "weight_cap: above 0, at most 10^6"),
            (self.rows.offset_cap.is_none_or(|cap| positive(cap) && cap <= 100.0), "offset_cap: above 0, at most 100"),
            (positive(self.c), "c: above 0"),
            ((1..=1 << 32).contains(&self.row_cap), "row_cap: between 1 and 2^32"),
            (positive(self.pdo), "pdo: above 0"),
            (self.base_score.is_finite(), "base_score: a number"),
            (positive(self.base_odds), "base_odds: above 0"),
        ];
        match checks.into_iter().find(|(holds, _)| !holds) {
            Some((_, reason)) => Err(PlanError(reason)),
            None => self.judging.check(self.fields.len()),
        }
    }
}
