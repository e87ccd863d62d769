//! What a trainer fits: fields, parameters, bounds. Public, part of the contract.

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;

/// A scorecard's plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Fields in the order of a table's columns.
    pub fields: Vec<FieldPlan>,
    /// Equal-frequency bins of a number.
    pub bins: u16,
    /// Added to each cell of a WOE table.
    pub smoothing: f64,
    /// Fields below this information value are dropped.
    pub min_iv: f64,
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
    /// Public randomness of the session.
    pub seed: Digest,
    /// Sums carry noise: so many Newton steps are taken, none is taken back, and counts below zero count as zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newton_steps: Option<u32>,
}

/// One field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldPlan {
    /// Name.
    pub name: String,
    /// How its values reach the table.
    pub source: FieldSource,
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

impl Plan {
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
        let checks = [
            (!self.fields.is_empty() && self.fields.len() <= MAX_FIELDS, "between 1 and 400 fields"),
            ((2..=50).contains(&self.bins), "bins: between 2 and 50"),
            (positive(self.smoothing) && self.smoothing <= 10.0, "smoothing: above 0, at most 10"),
            (self.min_iv.is_finite() && self.min_iv >= 0.0, "min_iv: not negative"),
            (positive(self.c), "c: above 0"),
            ((1..=1 << 32).contains(&self.row_cap), "row_cap: between 1 and 2^32"),
            (positive(self.pdo), "pdo: above 0"),
            (self.base_score.is_finite(), "base_score: a number"),
            (positive(self.base_odds), "base_odds: above 0"),
        ];
        match checks.into_iter().find(|(holds, _)| !holds) {
            Some((_, reason)) => Err(PlanError(reason)),
            None => Ok(()),
        }
    }
}
