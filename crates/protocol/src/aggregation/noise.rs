//! Noise as an option of the contract: discrete Gaussian, accounted in zero-concentrated differential privacy.
//!
//! **What is promised.** Of one row more or less at any bank, the released sums of the session tell no more than `rho_session`
//! of zCDP allows, given which cells are populated at how many banks (that much is released without noise, to fold sparse
//! cells) and although everyone sees the sums.
//!
//! **How.** A released sum may spend `rho_round`. A row moves the sum by at most its request's sensitivity, so the noise of
//! the whole sum needs the variance `sensitivity^2 / (2 rho_round)`. Each bank adds its part before masking. Banks that collude
//! with the aggregator subtract theirs, so a bank's part has that variance divided by the banks that are honest in every sum,
//! `quorum - colluders`; what the others add is surplus. Variances below 16 are raised to 16: a sum of discrete Gaussians of
//! that width differs from one of them by less than 2^-200.
//!
//! **References.** Canonne, Kamath, Steinke, NeurIPS 2020 (sampler, of the `prio` crate, on integers only; conversion to epsilon
//! and delta). Bun, Steinke, TCC 2016 (zCDP). Kairouz, Liu, Steinke, ICML 2021 (sums of discrete Gaussians).

use prio::dp::Rational;
use prio::dp::distributions::DiscreteGaussian;
use rand::distr::Distribution as _;
use serde::{Deserialize, Serialize};
use tally_crypto::seed::Seed;
use tally_crypto::transcript::Digest;

use super::Roster;

/// What a contract says of noise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoiseTerms {
    /// zCDP that one released sum spends.
    pub rho_round: f64,
    /// zCDP that all sums of the session may spend together.
    pub rho_session: f64,
    /// Newton steps: under noise a search does not converge, so their number is fixed.
    pub newton_steps: u32,
}

/// Smallest variance of a bank's part.
const MIN_VARIANCE: f64 = 16.0;
/// Largest deviation of a bank's part, as a power of two: 16 deviations of the sum over 1023 banks stay below 2^60.
const MAX_DEVIATION_BITS: f64 = 50.0;

/// Why no noise can be added.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum NoiseError {
    /// Terms out of bounds.
    #[error("noise: {0}")]
    Terms(&'static str),
    /// The session's budget is spent.
    #[error("the session's privacy budget is spent: {spent} of {budget} rho, and a sum takes {round}")]
    Spent {
        /// Spent so far.
        spent: f64,
        /// Of this.
        budget: f64,
        /// One sum.
        round: f64,
    },
}

impl NoiseTerms {
    /// Checks the bounds; the largest sum with all noise in it stays below 2^63, since without noise it is below 2^62.
    ///
    /// # Errors
    /// Names what is out of bounds.
    pub fn check(&self) -> Result<(), NoiseError> {
        let positive = |rho: f64| rho.is_finite() && (1e-6..=100.0).contains(&rho);
        let refuse = |reason| Err(NoiseError::Terms(reason));
        if !positive(self.rho_round) || !positive(self.rho_session) {
            return refuse("rho_round and rho_session lie between 1e-6 and 100");
        }
        if self.rho_round > self.rho_session {
            return refuse("one sum spends more than the session may");
        }
        if !(1..=30).contains(&self.newton_steps) {
            return refuse("newton_steps lies between 1 and 30");
        }
        Ok(())
    }

    /// Checks that the noise of any sum of the plan leaves room in a word: `sensitivity` is that of the widest one.
    ///
    /// # Errors
    /// Asks for a larger row cap or budget.
    pub fn fits(&self, roster: &Roster, sensitivity: f64) -> Result<(), NoiseError> {
        if libm::log2(self.variance(roster, sensitivity)) / 2.0 > MAX_DEVIATION_BITS {
            return Err(NoiseError::Terms("the noise is too wide for a word: raise rho_round"));
        }
        Ok(())
    }

    /// Variance of one bank's part.
    fn variance(&self, roster: &Roster, sensitivity: f64) -> f64 {
        let honest = (roster.quorum() - roster.colluders()) as f64;
        (sensitivity * sensitivity / (2.0 * self.rho_round * honest)).max(MIN_VARIANCE)
    }
}

/// One bank's noise over a session, and what the session has spent.
pub struct Noise {
    terms: NoiseTerms,
    released: u32,
}

impl Noise {
    /// Nothing is spent yet.
    pub fn new(terms: NoiseTerms) -> Self {
        Self { terms, released: 0 }
    }

    /// Books one released sum; what is booked stays so, whether the sum comes about or not.
    ///
    /// # Errors
    /// Refuses what the budget does not cover.
    pub fn spend(&mut self) -> Result<(), NoiseError> {
        let (spent, round) = (self.spent(), self.terms.rho_round);
        // A sum of rounded numbers may lie a little above the budget that it fills.
        if spent + round > self.terms.rho_session * (1.0 + 1e-9) {
            return Err(NoiseError::Spent { spent, budget: self.terms.rho_session, round });
        }
        self.released += 1;
        Ok(())
    }

    /// zCDP spent so far.
    pub fn spent(&self) -> f64 {
        f64::from(self.released) * self.terms.rho_round
    }

    /// Adds this bank's part to the words of one sum that may be other than zero. `seed` is this bank's, `label` the round's
    /// offer: a restarted bank adds the same noise again, another round other noise.
    ///
    /// # Errors
    /// Fails if the noise does not fit a word.
    pub fn add(
        &self,
        roster: &Roster,
        sensitivity: f64,
        seed: &Seed,
        label: &Digest,
        values: &mut [i64],
        shown: impl Fn(usize) -> bool,
    ) -> Result<(), NoiseError> {
        self.terms.fits(roster, sensitivity)?;
        let gaussian = gaussian(self.terms.variance(roster, sensitivity))?;
        let mut rng = seed.rng("tallystick/noise/v1", &[label.as_bytes()]);
        for (_, value) in values.iter_mut().enumerate().filter(|(word, _)| shown(*word)) {
            let noise = i64::try_from(gaussian.sample(&mut rng)).map_err(|_| NoiseError::Terms("a word overflows"))?;
            *value = value.checked_add(noise).ok_or(NoiseError::Terms("a word overflows"))?;
        }
        Ok(())
    }
}

/// The discrete Gaussian with a standard deviation of at least the root of `variance`, a multiple of 2^-16.
fn gaussian(variance: f64) -> Result<DiscreteGaussian, NoiseError> {
    let invalid = |_| NoiseError::Terms("the deviation is not a number");
    let steps = (variance.sqrt() * 65536.0).ceil() as u64;
    let deviation = Rational::from_unsigned(u128::from(steps), 65536u128).map_err(invalid)?;
    DiscreteGaussian::new(deviation).map_err(invalid)
}

/// The smallest epsilon that `rho` of zCDP gives for `delta` (Canonne, Kamath, Steinke, corollary 13).
pub fn epsilon(rho: f64, delta: f64) -> f64 {
    // delta(eps) = min over alpha > 1 of exp((alpha - 1)(alpha rho - eps)) / (alpha - 1) (1 - 1/alpha)^alpha
    let log_delta = |epsilon: f64, alpha: f64| {
        (alpha - 1.0) * (alpha * rho - epsilon) - libm::log(alpha - 1.0) + alpha * libm::log1p(-1.0 / alpha)
    };
    let reached = |epsilon: f64| {
        let (mut low, mut high) = (1.0 + 1e-9, (epsilon + 1.0) / rho + 2.0);
        for _ in 0..200 {
            let (left, right) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
            if log_delta(epsilon, left) < log_delta(epsilon, right) { high = right } else { low = left }
        }
        log_delta(epsilon, (low + high) / 2.0) <= libm::log(delta)
    };
    let (mut low, mut high) = (0.0, rho + 2.0 * (rho * libm::log(1.0 / delta)).sqrt() + 1e-9);
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if reached(middle) { high = middle } else { low = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregation::RosterMember;
    use tally_crypto::sign::SigningKey;

    fn roster(banks: usize) -> Roster {
        let key = SigningKey::from_seed(&Seed::new([1; 32])).verify_key();
        let members = (0..banks).map(|bank| RosterMember { name: format!("bank-{bank}"), key }).collect();
        Roster::new(Digest::default(), members, 3).unwrap()
    }

    fn terms(rho_round: f64, rho_session: f64) -> NoiseTerms {
        NoiseTerms { rho_round, rho_session, newton_steps: 5 }
    }

    #[test]
    fn the_budget_is_spent_round_by_round_and_then_refused() {
        let mut noise = Noise::new(terms(0.1, 1.0));
        for _ in 0..10 {
            noise.spend().unwrap();
        }
        assert!((noise.spent() - 1.0).abs() < 1e-9);
        assert!(matches!(noise.spend(), Err(NoiseError::Spent { .. })));
        assert!(
            terms(0.0, 1.0).check().is_err() && terms(2.0, 1.0).check().is_err() && terms(0.1, 1.0).check().is_ok()
        );
    }

    #[test]
    fn epsilon_is_the_published_conversion() {
        // By the same corollary in arithmetic of fifty digits (tests/vectors/epsilon.py).
        for (rho, delta, expected) in EPSILONS {
            assert!((epsilon(rho, delta) - expected).abs() < 1e-6, "{rho} {delta}: {}", epsilon(rho, delta));
        }
        // Never worse than the simple bound.
        assert!(epsilon(0.5, 1e-6) < 0.5 + 2.0 * (0.5f64 * 1e6f64.ln()).sqrt());
    }

    const EPSILONS: [(f64, f64, f64); 3] =
        [(0.5, 1e-6, 5.221_534_444_5), (0.1, 1e-6, 2.141_938_928_4), (1.0, 1e-5, 7.077_196_695_8)];

    /// Deviation and mean of the noise, and the same noise again for the same label.
    #[test]
    fn noise_has_the_promised_width() {
        let (roster, noise) = (roster(4), Noise::new(terms(0.01, 1.0)));
        let draw = |label: u8| {
            let mut values = vec![0i64; 20_000];
            let seed = Seed::new([7; 32]);
            noise.add(&roster, 10.0, &seed, &Digest([label; 32]), &mut values, |word| word != 3).unwrap();
            values
        };
        let values = draw(1);
        assert_eq!((values[3], values.clone()), (0, draw(1)));
        assert_ne!(values, draw(2));
        let mean = values.iter().sum::<i64>() as f64 / values.len() as f64;
        let variance = values.iter().map(|value| (*value as f64 - mean).powi(2)).sum::<f64>() / values.len() as f64;
        // Four banks, quorum three, one may collude: the variance 100 / 0.02 is shared by two.
        let expected = 100.0 / 0.02 / 2.0;
        assert!(mean.abs() < 4.0 * (expected / 20_000.0f64).sqrt(), "{mean}");
        assert!((variance / expected - 1.0).abs() < 4.0 * (2.0 / 20_000.0f64).sqrt(), "{variance}");
    }

    /// An attacker who knows everything but one row, and every colluding bank's noise, tells the two worlds apart no better
    /// than the claimed epsilon allows: a lower bound on epsilon from his errors, with 99.9 % confidence.
    #[test]
    fn the_empirical_epsilon_stays_below_the_claimed_one() {
        let roster = roster(3);
        let (rho, delta) = (0.125, 1e-5);
        let noise = Noise::new(terms(rho, 1.0));
        let trials = 20_000u32;
        // One count, sensitivity one; two of three banks are honest.
        let released = |world: i64, trial: u32| {
            let mut sum = [world];
            for bank in 0..2 {
                let label = Digest::of("trial", &[&trial.to_be_bytes(), &[world as u8]]);
                noise.add(&roster, 1.0, &Seed::new([bank; 32]), &label, &mut sum, |_| true).unwrap();
            }
            sum[0]
        };
        let [without, with] = [0, 1].map(|world| (0..trials).map(|trial| released(world, trial)).collect::<Vec<_>>());
        for threshold in 0..12 {
            let above = |sums: &[i64]| sums.iter().filter(|sum| **sum >= threshold).count() as f64 / f64::from(trials);
            // Hoeffding's bound on both rates.
            let margin = ((2.0f64 / 0.0005).ln() / (2.0 * f64::from(trials))).sqrt();
            let lower = (above(&with) - margin - delta).max(0.0) / (above(&without) + margin);
            assert!(lower.ln() <= epsilon(rho, delta), "{threshold}");
        }
    }
}
