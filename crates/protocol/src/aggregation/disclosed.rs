//! A bank's vector of a round, opened with what the bank discloses: for an auditor, and for nobody else.
//!
//! A round's two secrets take the masks off this bank's vector, and off no other: of every pair only the part of this bank is
//! known then. Whoever holds the disclosures of all banks of a sum but one knows that one's vector too, as the sum less the
//! rest.

use serde::{Deserialize, Serialize};
use tally_crypto::group::{Point, Scalar};
use tally_crypto::prg::{Sign, apply_masks};
use tally_crypto::transcript::Digest;

use super::masks::{own_mask, pairwise_mask, pairwise_sign, roll_digest};
use super::transcript::{Transcript, TranscriptError};
use super::{Roster, RoundSpec};

/// A bank's secrets of one round.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundSecret {
    /// The round.
    pub round: u32,
    /// Its pairwise key.
    pairwise: [u8; 32],
    /// That of its self mask.
    own: [u8; 32],
}

impl std::fmt::Debug for RoundSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RoundSecret(round {}, redacted)", self.round)
    }
}

impl RoundSecret {
    pub(super) fn new(spec: &RoundSpec, pairwise: &Scalar, own: &Scalar) -> Self {
        Self { round: spec.round, pairwise: pairwise.to_bytes(), own: own.to_bytes() }
    }
}

impl Transcript {
    /// The vector that `member` gave in this round, without its masks: what it put in, to the last bit, if `secret` is what the
    /// keys were made of that it signed.
    ///
    /// # Errors
    /// Says what does not fit: another round, no vector of this bank, or other secrets.
    pub fn open(&self, roster: &Roster, member: &str, secret: &RoundSecret) -> Result<Vec<i64>, TranscriptError> {
        let wrong = TranscriptError::Set("the disclosed secrets");
        let spec = &self.offer.spec;
        let masked = self.masked.iter().find(|masked| masked.member == member).filter(|_| secret.round == spec.round);
        let scalar = |bytes: &[u8; 32]| Option::<Scalar>::from(Scalar::from_canonical_bytes(*bytes));
        let secrets = scalar(&secret.pairwise).zip(scalar(&secret.own));
        let (Some(masked), Some((pairwise, own))) = (masked, secrets) else { return Err(wrong) };
        let (keys, _) = self.public(member)?;
        let made = |secret: &Scalar| Point::base(secret).map(|point| *point.as_bytes());
        if made(&pairwise) != Some(*keys.pairwise.as_bytes()) || made(&own) != Some(keys.own) {
            return Err(wrong);
        }
        let roll = roll_digest(roster, &self.keys);
        let offer: Digest = self.offer.digest(roster, &roll);
        let mut masks = vec![(own_mask(&own, &roll, &offer), Sign::Subtract)];
        for other in self.offer.cohort.iter().filter(|name| *name != member) {
            let (theirs, _) = self.public(other)?;
            let seed = pairwise_mask(&pairwise, &theirs.pairwise, &roll, &offer, member, other);
            let off = match pairwise_sign(member, other) {
                Sign::Add => Sign::Subtract,
                Sign::Subtract => Sign::Add,
            };
            masks.push((seed, off));
        }
        let mut words = masked.words.clone();
        apply_masks(&masks, &mut words);
        Ok(bytemuck::cast_vec(words))
    }
}
