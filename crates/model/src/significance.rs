//! Tail probabilities of the tests that select fields.

/// The chance that a chi-square of `freedom` degrees is at least `value`.
///
/// By the recurrence `Q(k + 2) = Q(k) + (x/2)^(k/2) e^(-x/2) / Gamma(k/2 + 1)` from `Q(1) = erfc(sqrt(x/2))` or
/// `Q(2) = e^(-x/2)`; Abramowitz and Stegun, 26.4.4 and 26.4.5.
pub(crate) fn chi_square_tail(value: f64, freedom: usize) -> f64 {
    if value.is_nan() || value <= 0.0 || freedom == 0 {
        return 1.0;
    }
    let half = value / 2.0;
    let odd = freedom % 2 == 1;
    let mut tail = if odd { libm::erfc(half.sqrt()) } else { libm::exp(-half) };
    // The next term of the recurrence: x^a e^-x / Gamma(a + 1) with a = 1/2 or 1.
    let (mut exponent, mut term) = if odd {
        (0.5, half.sqrt() * libm::exp(-half) * std::f64::consts::FRAC_2_SQRT_PI)
    } else {
        (1.0, half * libm::exp(-half))
    };
    for _ in 0..freedom.saturating_sub(1) / 2 {
        tail += term;
        exponent += 1.0;
        term *= half / exponent;
    }
    tail.min(1.0)
}

/// The two-sided p-value of a standard normal statistic.
pub(crate) fn two_sided(z: f64) -> f64 {
    chi_square_tail(z * z, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_those_of_the_tables() {
        // Abramowitz and Stegun, table 26.8, and scipy 1.16: chi2.sf.
        for (value, freedom, expected) in [
            (3.841_458_820_694_124, 1, 0.05),
            (5.991_464_547_107_98, 2, 0.05),
            (7.814_727_903_251_178, 3, 0.05),
            (18.307_038_053_275_146, 10, 0.05),
            (24.995_790_139_728_616, 15, 0.05),
            (6.634_896_601_021_213, 1, 0.01),
        ] {
            assert!((chi_square_tail(value, freedom) - expected).abs() < 1e-12, "{value} {freedom}");
        }
        assert_eq!(chi_square_tail(0.0, 3), 1.0);
        assert_eq!(chi_square_tail(f64::NAN, 1), 1.0);
        assert!((two_sided(-1.959_963_984_540_054) - 0.05).abs() < 1e-12);
    }
}
