//! Purposes: a closed set. What is not financing support has no code, so it cannot be asked for.

use serde::{Deserialize, Serialize};

/// Why data are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Deciding on a loan application.
    LoanUnderwriting,
    /// Judging who may be offered a loan.
    PreScreening,
    /// Watching a loan that was granted.
    PostLoanMonitoring,
    /// Fitting a model; nothing about the subject comes out.
    JointModelling,
    /// Deciding on a guarantee.
    Guarantee,
    /// Checking a model on later data.
    ModelValidation,
    /// Sums over many enterprises and several institutions; nothing about a single one comes out.
    Statistics,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::LoanUnderwriting,
        Self::PreScreening,
        Self::PostLoanMonitoring,
        Self::JointModelling,
        Self::Guarantee,
        Self::ModelValidation,
        Self::Statistics,
    ];
}

impl std::fmt::Display for Purpose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::LoanUnderwriting => "loan-underwriting",
            Self::PreScreening => "pre-screening",
            Self::PostLoanMonitoring => "post-loan-monitoring",
            Self::JointModelling => "joint-modelling",
            Self::Guarantee => "guarantee",
            Self::ModelValidation => "model-validation",
            Self::Statistics => "statistics",
        })
    }
}
