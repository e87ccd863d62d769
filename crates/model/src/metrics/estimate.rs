//! Estimates with 95 % intervals, tests with p-values, and the distributions they need.

use serde::{Deserialize, Serialize};

/// Quantile of the standard normal distribution at 0.975.
const Z: f64 = 1.959_963_984_540_054;

/// A figure and its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// A test's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// The statistic.
    pub statistic: f64,
    /// Degrees of freedom.
    pub degrees: u32,
    /// Chance of a statistic at least as large if nothing is wrong.
    pub p_value: f64,
}

impl Estimate {
    /// Normal interval around `value`, cut off at the ends of `[floor, ceiling]`.
    pub(crate) fn normal(value: f64, variance: f64, floor: f64, ceiling: f64) -> Self {
        let reach = Z * variance.max(0.0).sqrt();
        Self { value, low: (value - reach).max(floor), high: (value + reach).min(ceiling) }
    }

    /// Normal interval of the logit of a share among `trials`, carried back; a share of 0 or 1 has no width.
    pub(super) fn logit(value: f64, trials: f64) -> Self {
        if value <= 0.0 || value >= 1.0 {
            return Self { value, low: value, high: value };
        }
        let (centre, reach) = (libm::log(value / (1.0 - value)), Z / (trials * value * (1.0 - value)).sqrt());
        let share = crate::contribution::logistic;
        Self { value, low: share(centre - reach), high: share(centre + reach) }
    }

    /// Wilson's score interval of a proportion (Wilson, JASA 22, 1927); without trials, everything is possible.
    pub fn proportion(successes: i64, trials: i64) -> Self {
        if trials <= 0 {
            return Self { value: 0.0, low: 0.0, high: 1.0 };
        }
        let (n, p) = (trials as f64, successes as f64 / trials as f64);
        let scale = 1.0 + Z * Z / n;
        let centre = (p + Z * Z / (2.0 * n)) / scale;
        let reach = Z / scale * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        Self { value: p, low: (centre - reach).max(0.0), high: (centre + reach).min(1.0) }
    }

    /// The same with every number mapped by an increasing function.
    pub(crate) fn map(self, f: impl Fn(f64) -> f64) -> Self {
        Self { value: f(self.value), low: f(self.low), high: f(self.high) }
    }
}

impl Test {
    /// A statistic that is chi-squared if nothing is wrong.
    pub(super) fn chi_squared(statistic: f64, degrees: u32) -> Self {
        Self { statistic, degrees, p_value: chi_squared_tail(statistic, degrees) }
    }
}

/// Two-sided p-value of a standard normal statistic.
pub(super) fn two_sided(z: f64) -> f64 {
    libm::erfc(z.abs() / std::f64::consts::SQRT_2)
}

/// Chance that a chi-squared variable exceeds `x`: the finite sums for even and odd degrees (Abramowitz, Stegun, 26.4.4-5).
fn chi_squared_tail(x: f64, degrees: u32) -> f64 {
    if degrees == 0 || x <= 0.0 {
        return 1.0;
    }
    let half = x / 2.0;
    let odd = degrees % 2 == 1;
    let (mut term, mut sum, mut place) = if odd {
        let first = libm::exp(-half) * (half / std::f64::consts::PI).sqrt() * 2.0;
        (first, libm::erfc(half.sqrt()), 1.5)
    } else {
        (libm::exp(-half), 0.0, 1.0)
    };
    for _ in 0..degrees / 2 {
        sum += term;
        term *= half / place;
        place += 1.0;
    }
    sum.min(1.0)
}
