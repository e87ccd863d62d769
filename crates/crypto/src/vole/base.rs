//! Oblivious transfer from ristretto255: the chooser gets one of two random seeds a pair, the other party gets both.
//!
//! Masny and Rindal, *Endemic Oblivious Transfer* (CCS 2019), section 4, in one exchange: for choice `b` the chooser sends
//! `r_b = a G - H_b(r_{1-b})` beside a random `r_{1-b}`; the answer is `y G`; seed `j` is a hash of `y (r_j + H_j(r_{1-j}))`.
//! Secure against a deviating party under the computational Diffie-Hellman assumption in the random oracle model. Points
//! are validated when decoded; the identity is refused.

use curve25519_dalek::ristretto::RistrettoPoint;
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha512};

use super::BITS;
use crate::field::Block;
use crate::group::{Point, Scalar};
use crate::seed::Seed;
use crate::transcript::Digest;

/// The chooser's secrets until the answer comes.
pub struct Chooser {
    context: Digest,
    choices: Block,
    secrets: Vec<Scalar>,
    pairs: Vec<[Point; 2]>,
}

/// A message is not what the protocol foresees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} pairs of points came where {BITS} are needed")]
pub struct PairCount(pub usize);

impl Chooser {
    /// Chooses with the bits of `choices`; `context` names the session. The pairs are for the other party.
    pub fn new(context: Digest, choices: Block, rng: &mut impl CryptoRng) -> Self {
        let (mut secrets, mut pairs) = (Vec::with_capacity(BITS), Vec::with_capacity(BITS));
        while pairs.len() < BITS {
            let index = pairs.len();
            let bit = choices >> index & 1 == 1;
            let secret = Scalar::random(rng);
            let mut uniform = [0; 64];
            rng.fill_bytes(&mut uniform);
            // The identity turns up with probability 2^-252; then the pair is drawn again.
            let Some(other) = Point::from_element(RistrettoPoint::from_uniform_bytes(&uniform)) else { continue };
            let chosen = RistrettoPoint::mul_base(&secret) - oracle(&context, index, bit, &other);
            let Some(chosen) = Point::from_element(chosen) else { continue };
            pairs.push(if bit { [other, chosen] } else { [chosen, other] });
            secrets.push(secret);
        }
        Self { context, choices, secrets, pairs }
    }

    /// The 128 pairs to send.
    pub fn pairs(&self) -> &[[Point; 2]] {
        &self.pairs
    }

    /// The seed of each choice.
    pub fn seeds(&self, answer: &Point) -> Vec<Seed> {
        let seed = |(index, (secret, pair)): (usize, (&Scalar, &[Point; 2]))| {
            let bit = self.choices >> index & 1 == 1;
            seed(&self.context, index, bit, pair, answer, &(answer.element() * secret))
        };
        self.secrets.iter().zip(&self.pairs).enumerate().map(seed).collect()
    }
}

impl Drop for Chooser {
    fn drop(&mut self) {
        use zeroize::Zeroize as _;
        self.choices.zeroize();
        self.secrets.zeroize();
    }
}

/// Answers the chooser: the point to send and both seeds of every pair.
///
/// # Errors
/// Refuses another number of pairs than 128.
pub fn answer(
    context: Digest,
    pairs: &[[Point; 2]],
    rng: &mut impl CryptoRng,
) -> Result<(Point, Vec<[Seed; 2]>), PairCount> {
    if pairs.len() != BITS {
        return Err(PairCount(pairs.len()));
    }
    let (secret, answer) = loop {
        let secret = Scalar::random(rng);
        if let Some(answer) = Point::base(&secret) {
            break (secret, answer);
        }
    };
    let both = |(index, pair): (usize, &[Point; 2])| {
        [false, true].map(|bit| {
            let [own, other] = if bit { [&pair[1], &pair[0]] } else { [&pair[0], &pair[1]] };
            let shared = (own.element() + oracle(&context, index, bit, other)) * secret;
            seed(&context, index, bit, pair, &answer, &shared)
        })
    };
    Ok((answer, pairs.iter().enumerate().map(both).collect()))
}

fn oracle(context: &Digest, index: usize, bit: bool, point: &Point) -> RistrettoPoint {
    let hash = Sha512::new()
        .chain_update(b"tallystick/base-ot-point/v1")
        .chain_update(context.as_bytes())
        .chain_update([index as u8, u8::from(bit)])
        .chain_update(point.as_bytes())
        .finalize();
    RistrettoPoint::from_uniform_bytes(&hash.into())
}

fn seed(context: &Digest, index: usize, bit: bool, pair: &[Point; 2], answer: &Point, shared: &RistrettoPoint) -> Seed {
    let place = [index as u8, u8::from(bit)];
    let shared = shared.compress().0;
    let [first, second] = [pair[0].as_bytes(), pair[1].as_bytes()];
    let parts: [&[u8]; 6] = [context.as_bytes(), &place, first, second, answer.as_bytes(), &shared];
    Seed::new(Digest::of("tallystick/base-ot-seed/v1", &parts).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chooser_gets_the_seed_of_its_bit_alone() {
        let mut rng = Seed::new([3; 32]).rng("base", &[]);
        let context = Digest::of_bytes(b"session");
        let choices = 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210;
        let chooser = Chooser::new(context, choices, &mut rng);
        let (point, both) = answer(context, chooser.pairs(), &mut rng).unwrap();
        for (index, (mine, [zero, one])) in chooser.seeds(&point).iter().zip(&both).enumerate() {
            let (chosen, other) = if choices >> index & 1 == 1 { (one, zero) } else { (zero, one) };
            assert_eq!(mine.expose(), chosen.expose());
            assert_ne!(mine.expose(), other.expose());
        }
        let elsewhere = answer(Digest::of_bytes(b"other"), chooser.pairs(), &mut rng).unwrap().1;
        assert!(both.iter().zip(&elsewhere).all(|(a, b)| a[0].expose() != b[0].expose()));
        assert_eq!(answer(context, &chooser.pairs()[1..], &mut rng).err(), Some(PairCount(127)));
    }
}
