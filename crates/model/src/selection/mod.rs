//! Which fields a scorecard keeps, and why the others go; everything from the sums that the fit takes anyway.
//!
//! **Screens.** A field below the least information value goes before any fit. The first sum of the fit, at zero
//! coefficients, holds the Gram matrix of the WOE columns: there every row has the weight 1/4 in the Hessian. It gives
//! correlations (of two fields that are too close the one of lower information value goes) and variance inflation
//! factors (the largest goes until none is above the limit). With row weights or offsets these are weighted likewise.
//!
//! **Steps.** A sum runs over the columns of all fields that passed, also of those without a coefficient, so at an
//! optimum it gives the quadratic approximation of the loss for *every* set of fields. On it, fields leave by Wald's test and
//! enter by the score test, one after the other, without further sums (Lawless and Singhal, Efficient screening of
//! nonnormal regression models, Biometrics 34, 1978). The set that this path ends with is then fitted, two or three sums, and a
//! likelihood ratio test of the exact losses confirms the move or takes half of it back. Tests are of the loss without
//! penalty. Where a bank left in between, losses are not comparable, and the move stands on its approximation.
//!
//! P-values take the WOE as given. They were found on the same rows, so a field with many classes looks more significant than
//! it is.
//!
//! **Sign.** A field whose coefficient speaks against its evidence (more bad loans where its table shows fewer) leaves.

mod approximation;
mod fitting;
#[cfg(test)]
mod oracle;
mod screen;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub(crate) use self::fitting::{Candidate, Coefficient, Fitting};
use crate::text::Text;

/// A column of which the others leave no larger share is their combination.
const DETERMINED: f64 = 1e-9;

/// How fields are selected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectionPlan {
    /// Largest correlation of two fields' WOE; 1 lets all pass.
    pub max_correlation: f64,
    /// Largest variance inflation factor; absent, all pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_vif: Option<f64>,
    /// Whether a field leaves whose coefficient speaks against its evidence.
    pub sign: bool,
    /// Which steps are taken.
    pub steps: Steps,
    /// A field enters below this p-value.
    pub enter: f64,
    /// A field leaves above this p-value; not below `enter`.
    pub leave: f64,
}

impl Default for SelectionPlan {
    /// Every field that has enough information value is kept.
    fn default() -> Self {
        Self { max_correlation: 1.0, max_vif: None, sign: false, steps: Steps::None, enter: 0.05, leave: 0.1 }
    }
}

/// Steps of the selection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Steps {
    /// None: every field that passes the screens has a coefficient.
    #[default]
    None,
    /// From no field upwards.
    Forward,
    /// From all fields downwards.
    Backward,
    /// From all fields; those that left may come back.
    Both,
}

/// Why a field is not in the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "why", deny_unknown_fields)]
pub enum DropReason {
    /// Models are judged by it and not fitted on it.
    Apart,
    /// Too few banks stand behind any of its bins.
    FewBanks,
    /// Its information value is too low.
    InformationValue {
        /// The least that the plan asks for.
        least: f64,
    },
    /// No two classes satisfy the terms of a class (least share, good and bad rows, trend), though its bins say something.
    Classes {
        /// Information value of its bins.
        fine_iv: f64,
    },
    /// It says the same as a field of higher information value.
    Correlation {
        /// That field.
        with: String,
        /// Correlation of the two.
        correlation: f64,
    },
    /// The other fields together say the same.
    Vif {
        /// Its variance inflation factor.
        vif: f64,
    },
    /// Its coefficient speaks against its evidence.
    Sign {
        /// The coefficient of its WOE in the log-odds of bad, which should be negative.
        coefficient: f64,
    },
    /// It adds too little to the others.
    Significance {
        /// P-value of the last test.
        p: f64,
    },
}

impl SelectionPlan {
    /// Only the screen by information value.
    pub fn none() -> Self {
        Self { max_correlation: 1.0, max_vif: None, sign: false, steps: Steps::None, enter: 0.05, leave: 0.1 }
    }

    fn settles(&self) -> bool {
        self.sign || self.steps != Steps::None
    }
}

impl DropReason {
    /// For people.
    pub fn text(&self) -> Text {
        match self {
            Self::Apart => Text::new("仅用于分群评价", "for segments only"),
            Self::FewBanks => Text::new("各分箱的参与银行数均不足", "too few banks stand behind any of its bins"),
            Self::InformationValue { least } => {
                Text::new(&format!("信息值低于 {least}"), &format!("information value below {least}"))
            }
            Self::Classes { fine_iv } => Text::new(
                &format!("没有满足要求的分组（min_share、min_good、min_bad、trend）；细分箱信息值为 {fine_iv:.4}"),
                &format!(
                    "no classes satisfy the terms (min_share, min_good, min_bad, trend); the fine bins' information value is \
                     {fine_iv:.4}"
                ),
            ),
            Self::Correlation { with, correlation } => Text::new(
                &format!("与字段 {with} 的相关系数为 {correlation:.3}，后者信息值更高"),
                &format!("correlation {correlation:.3} with {with}, which has the higher information value"),
            ),
            Self::Vif { vif } => Text::new(
                &format!("方差膨胀因子为 {vif:.2}：其余字段已包含该信息"),
                &format!("variance inflation factor {vif:.2}: the other fields say the same"),
            ),
            Self::Sign { coefficient } => Text::new(
                &format!("系数方向与证据权重相反（{coefficient:.4}）"),
                &format!("the coefficient speaks against the evidence ({coefficient:.4})"),
            ),
            Self::Significance { p } => {
                Text::new(&format!("对其余字段无显著增量（p = {p:.4}）"), &format!("adds too little (p = {p:.4})"))
            }
        }
    }
}
