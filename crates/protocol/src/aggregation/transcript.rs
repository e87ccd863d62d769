//! The record of a round: enough for anyone to recompute the sum, too little to open a survivor's input.
//!
//! Self masks of survivors and pairwise keys of dropped banks are in it; the pairwise masks between survivors are not, and
//! they cover every survivor's vector.

use serde::{Deserialize, Serialize};
use tally_crypto::group::Scalar;
use tally_crypto::prg::{Sign, apply_masks};
use tally_crypto::share::{self, Commitments};
use tally_crypto::transcript::Digest;

use super::Roster;
use super::masks::{own_mask, pairwise_mask, pairwise_sign, roll_digest};
use super::messages::{Agreement, Keys, Masked, Offer, Unmask};

/// One round, from offer to shares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transcript {
    /// What was asked, and of whom.
    pub offer: Offer,
    /// Keys of the batch.
    pub keys: Vec<Keys>,
    /// The masked vectors of the survivors.
    pub masked: Vec<Masked>,
    /// Signatures over the survivors.
    pub agreements: Vec<Agreement>,
    /// Shares of the masks.
    pub unmask: Vec<Unmask>,
}

/// What does not hold in a transcript.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TranscriptError {
    /// The bytes are not a transcript.
    #[error("the bytes are not a transcript")]
    Encoding,
    /// A signed part does not hold.
    #[error("{0}")]
    Part(#[from] super::Misbehaved),
    /// The banks of the parts do not fit one another.
    #[error("{0} do not fit the offer")]
    Set(&'static str),
    /// Too few good shares of a secret.
    #[error(
        "the mask of {subject} cannot be rebuilt: the shares from {culprits} do not fit its commitment; either they were \
         changed there, or {subject} dealt them so, which the sealed shares show"
    )]
    Shares {
        /// Whose mask.
        subject: String,
        /// Whose shares of it do not fit the commitments.
        culprits: String,
    },
}

impl Transcript {
    /// The transcript as bytes.
    pub fn encode(&self) -> Vec<u8> {
        // Panic safety: serialising to a growing vector cannot fail for types without custom errors.
        postcard::to_allocvec(self).expect("transcripts serialise")
    }

    /// Reads a transcript; trailing bytes are refused.
    ///
    /// # Errors
    /// Fails if the bytes are not a transcript.
    pub fn decode(bytes: &[u8]) -> Result<Self, TranscriptError> {
        match postcard::take_from_bytes(bytes) {
            Ok((transcript, [])) => Ok(transcript),
            _ => Err(TranscriptError::Encoding),
        }
    }

    /// Names of the survivors, in order.
    pub fn survivors(&self) -> Vec<String> {
        self.masked.iter().map(|masked| masked.member.clone()).collect()
    }

    /// Checks every signature and commitment and computes the sum.
    ///
    /// # Errors
    /// Names the part that does not hold.
    pub fn recompute(&self, roster: &Roster) -> Result<Vec<i64>, TranscriptError> {
        self.check(roster, &self.offer.digest(roster))?;
        self.sum(roster)
    }

    /// Computes the sum from parts whose signatures were checked when they came; every rebuilt secret is checked here.
    pub(super) fn sum(&self, roster: &Roster) -> Result<Vec<i64>, TranscriptError> {
        let offer = self.offer.digest(roster);
        let roll = roll_digest(roster, &self.keys);
        let survivors = self.survivors();
        let mut sum = vec![0u64; self.offer.spec.words as usize];
        for masked in &self.masked {
            for (total, word) in sum.iter_mut().zip(&masked.words) {
                *total = total.wrapping_add(*word);
            }
        }
        let holders = Holders::new(roster, &self.unmask)?;
        let mut masks = Vec::new();
        for (place, name) in self.offer.cohort.iter().enumerate() {
            let survived = survivors.contains(name);
            let secret = self.rebuild(roster, &holders, place, name, survived)?;
            if survived {
                masks.push((own_mask(&secret, &roll, &offer), Sign::Subtract));
            } else {
                // The dropped bank's own half of each pairwise mask is what cancels the survivors' halves.
                for other in &survivors {
                    let public = self.public(other, true)?.public;
                    let seed = pairwise_mask(&secret, &public, &roll, &offer, name, other);
                    masks.push((seed, pairwise_sign(name, other)));
                }
            }
        }
        apply_masks(&masks, &mut sum);
        Ok(sum.into_iter().map(u64::cast_signed).collect())
    }

    fn check(&self, roster: &Roster, offer: &Digest) -> Result<(), TranscriptError> {
        let survivors = self.survivors();
        for keys in &self.keys {
            keys.verify(roster)?;
        }
        let round = self.offer.spec.round;
        if self.keys.iter().any(|keys| keys.batch != self.offer.spec.batch()) {
            return Err(TranscriptError::Set("the keys"));
        }
        for masked in &self.masked {
            masked.verify(roster, offer)?;
            if masked.words.len() != self.offer.spec.words as usize || masked.round != round {
                return Err(TranscriptError::Set("the masked vectors"));
            }
        }
        let known = survivors.iter().all(|name| self.offer.cohort.contains(name));
        if !known || !survivors.is_sorted_by(|a, b| a < b) || survivors.len() < roster.quorum() {
            return Err(TranscriptError::Set("the survivors"));
        }
        for agreement in &self.agreements {
            agreement.verify(roster, offer, &survivors)?;
            if agreement.round != round {
                return Err(TranscriptError::Set("the agreements"));
            }
        }
        let mut signers: Vec<_> = self.agreements.iter().map(|one| &one.member).collect();
        signers.sort();
        signers.dedup();
        if signers.len() < roster.threshold() {
            return Err(TranscriptError::Set("the agreements"));
        }
        for unmask in &self.unmask {
            unmask.verify(roster, offer)?;
            if unmask.shares.len() != self.offer.cohort.len() || unmask.round != round {
                return Err(TranscriptError::Set("the shares"));
            }
        }
        Ok(())
    }

    /// Rebuilds a secret from the first shares that suffice; where it does not fit its commitment, every share is checked
    /// by itself, and the wrong ones are left out.
    fn rebuild(
        &self,
        roster: &Roster,
        holders: &Holders,
        place: usize,
        name: &str,
        own: bool,
    ) -> Result<Scalar, TranscriptError> {
        let commitments = self.public(name, !own)?;
        let share = |unmask: &Unmask| Option::<Scalar>::from(Scalar::from_canonical_bytes(unmask.shares[place]));
        let first: Option<Vec<_>> = self.unmask[..roster.threshold()].iter().map(share).collect();
        if let Some(secret) = first.map(|shares| share::combine(&holders.weights, &shares))
            && commitments.opens(&secret)
        {
            return Ok(secret);
        }
        let mut good = (Vec::new(), Vec::new());
        let mut culprits = Vec::new();
        for (unmask, &index) in self.unmask.iter().zip(&holders.indices) {
            match share(unmask).filter(|share| commitments.check(index, share)) {
                Some(share) => {
                    good.0.push(index);
                    good.1.push(share);
                }
                None => culprits.push(unmask.member.as_str()),
            }
        }
        if good.0.len() < roster.threshold() {
            return Err(TranscriptError::Shares { subject: name.into(), culprits: culprits.join(", ") });
        }
        good.0.truncate(roster.threshold());
        Ok(share::combine(&share::weights_at_zero(&good.0), &good.1))
    }

    fn public(&self, name: &str, pairwise: bool) -> Result<&Commitments, TranscriptError> {
        let keys = self.keys.iter().find(|keys| keys.member == name).ok_or(TranscriptError::Set("the keys"))?;
        let round = &keys.rounds[self.offer.spec.slot()];
        Ok(if pairwise { &round.pairwise } else { &round.own })
    }
}

/// Who sent shares, and the weights of the first ones that suffice: the same for every secret of a round.
struct Holders {
    indices: Vec<u32>,
    weights: Vec<Scalar>,
}

impl Holders {
    fn new(roster: &Roster, unmask: &[Unmask]) -> Result<Self, TranscriptError> {
        let indices = unmask.iter().map(|unmask| roster.index(&unmask.member)).collect::<Option<Vec<_>>>();
        let indices = indices.ok_or(TranscriptError::Set("the shares"))?;
        let mut distinct = indices.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() < roster.threshold() || distinct.len() != indices.len() {
            return Err(TranscriptError::Set("the shares"));
        }
        let weights = share::weights_at_zero(&indices[..roster.threshold()]);
        Ok(Self { indices, weights })
    }
}
