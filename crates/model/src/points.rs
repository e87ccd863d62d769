//! From log-odds to points: `score = offset - factor x log-odds of bad`, so that the base odds have the base score and every
//! PDO points double the odds. Reference: Siddiqi, Credit Risk Scorecards, 2006, chapter 6.

use crate::plan::Plan;

/// The scale of a scorecard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    /// Points a unit of log-odds: `PDO / ln 2`.
    pub(crate) factor: f64,
    /// Score at even odds.
    pub(crate) offset: f64,
}

impl Scale {
    pub(crate) fn of(plan: &Plan) -> Self {
        let factor = plan.pdo / std::f64::consts::LN_2;
        Self { factor, offset: plan.base_score - factor * libm::log(plan.base_odds) }
    }

    /// Points before any field.
    pub(crate) fn base_points(&self, intercept: f64) -> i64 {
        points(self.offset - self.factor * intercept)
    }

    /// Points of each code of a field.
    pub(crate) fn field_points(&self, coefficient: f64, woe: &[f64]) -> Vec<i64> {
        woe.iter().map(|woe| points(-self.factor * coefficient * woe)).collect()
    }
}

/// Whole points, half to even.
pub(crate) fn points(value: f64) -> i64 {
    value.round_ties_even() as i64
}

#[cfg(test)]
mod tests;
