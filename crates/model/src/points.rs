//! From log-odds to points: `score = offset - factor x log-odds of bad`, so that the base odds have the base score and every
//! PDO points double the odds. Reference: Siddiqi, Credit Risk Scorecards, 2006, chapter 6.

use crate::plan::Plan;

/// The scale of scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Points a unit of log-odds: `PDO / ln 2`.
    pub factor: f64,
    /// Score at even odds.
    pub offset: f64,
}

impl Scale {
    /// The scale on which `pdo` points double the good-to-bad odds, and `base_odds` have `base_score`.
    pub fn new(pdo: f64, base_score: f64, base_odds: f64) -> Self {
        let factor = pdo / std::f64::consts::LN_2;
        Self { factor, offset: base_score - factor * libm::log(base_odds) }
    }

    pub(crate) fn of(plan: &Plan) -> Self {
        Self::new(plan.pdo, plan.base_score, plan.base_odds)
    }

    /// The score of log-odds of bad, not rounded.
    pub fn score(&self, log_odds: f64) -> f64 {
        self.offset - self.factor * log_odds
    }

    /// Points before any field.
    pub(crate) fn base_points(&self, intercept: f64) -> i64 {
        points(self.score(intercept))
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
