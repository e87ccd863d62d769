//! The record of a round: enough for anyone to recompute the sum, too little to open a survivor's input.
//!
//! Self masks of survivors and pairwise keys of dropped banks are in it; the pairwise masks between survivors are not, and
//! they cover every survivor's vector.

use serde::{Deserialize, Serialize};
use tally_crypto::group::{Scalar, base_products, public_products};
use tally_crypto::prg::{Sign, masked_sum};
use tally_crypto::seed::Seed;
use tally_crypto::share;
use tally_crypto::transcript::Digest;

use super::Roster;
use super::masks::{own_mask, pairwise_sign, roll_digest, shared_mask};
use super::messages::{Agreement, Commitments, Keys, Masked, Offer, RoundKeys, Signed, Survivors, Unmask};
use crate::wire;

/// One round, from offer to shares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transcript {
    /// What was asked, and of whom.
    pub offer: Offer,
    /// Keys of the batch, in order of name.
    pub keys: Vec<Keys>,
    /// The commitments behind each of them, of this round.
    pub commitments: Vec<Commitments>,
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
        wire::encode(self)
    }

    /// Reads a transcript; trailing bytes are refused.
    ///
    /// # Errors
    /// Fails if the bytes are not a transcript.
    pub fn decode(bytes: &[u8]) -> Result<Self, TranscriptError> {
        wire::decode(bytes).ok_or(TranscriptError::Encoding)
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
        self.check(roster, &self.offer.digest(roster, &roll_digest(roster, &self.keys)))?;
        self.sum(roster)
    }

    /// The same without the keys, for a bank that has them from the roll.
    pub fn without_keys(mut self) -> Self {
        self.keys = Vec::new();
        self
    }

    /// The survivors and their vectors.
    pub(super) fn agreed(&self) -> Survivors {
        let vectors = self.masked.iter().map(|masked| Masked::vector(&masked.words)).collect();
        Survivors { names: self.survivors(), vectors }
    }

    /// Computes the sum from parts whose signatures were checked when they came; every rebuilt secret is checked here.
    pub(super) fn sum(&self, roster: &Roster) -> Result<Vec<i64>, TranscriptError> {
        let roll = roll_digest(roster, &self.keys);
        let offer = self.offer.digest(roster, &roll);
        let survivors = self.survivors();
        let secrets = self.secrets(roster, &survivors)?;
        let mut masks = self.pairwise_masks(&secrets, &survivors, &roll, &offer)?;
        let own = secrets.iter().filter(|secret| secret.survived);
        masks.extend(own.map(|secret| (own_mask(&secret.value, &roll, &offer), Sign::Subtract)));
        let vectors: Vec<_> = self.masked.iter().map(|masked| masked.words.as_slice()).collect();
        let sum = masked_sum(&vectors, &masks, self.offer.spec.words as usize);
        Ok(bytemuck::cast_vec(sum))
    }

    /// The dropped banks' own halves of their pairwise masks, which cancel the survivors' halves.
    fn pairwise_masks(
        &self,
        secrets: &[Secret<'_>],
        survivors: &[String],
        roll: &Digest,
        offer: &Digest,
    ) -> Result<Vec<(Seed, Sign)>, TranscriptError> {
        let public = survivors.iter().map(|name| Ok((name, &self.public(name)?.0.pairwise)));
        let public = public.collect::<Result<Vec<_>, TranscriptError>>()?;
        let dropped = secrets.iter().filter(|secret| !secret.survived);
        let pairs = dropped.flat_map(|secret| public.iter().map(move |(other, key)| (secret, *other, *key)));
        let (factors, names): (Vec<_>, Vec<_>) =
            pairs.map(|(secret, other, key)| ((secret.value, key), (secret.name, other))).unzip();
        // The secrets of dropped banks are public: they stand in the transcript.
        let shared = public_products(&factors);
        let mask = |(shared, (name, other)): (&[u8; 32], &(&str, &String))| {
            (shared_mask(shared, roll, offer, name, other), pairwise_sign(name, other))
        };
        Ok(shared.iter().zip(&names).map(mask).collect())
    }

    fn check(&self, roster: &Roster, offer: &Digest) -> Result<(), TranscriptError> {
        let spec = &self.offer.spec;
        let survivors = self.survivors();
        let known = survivors.iter().all(|name| self.offer.cohort.contains(name));
        if !known || !survivors.is_sorted_by(|a, b| a < b) || survivors.len() < roster.quorum() {
            return Err(TranscriptError::Set("the survivors"));
        }
        if spec.part.is_of_all() && survivors != self.offer.cohort {
            return Err(TranscriptError::Set("the survivors of a part that every bank must stay for"));
        }
        let one_batch = self.keys.iter().all(|keys| keys.batch == spec.batch());
        let ordered = self.keys.is_sorted_by(|a, b| a.member < b.member);
        if !one_batch || !ordered || self.keys.len() != self.commitments.len() {
            return Err(TranscriptError::Set("the keys"));
        }
        self.check_signatures(roster, offer)?;
        let fits = |masked: &Masked| masked.words.len() == spec.words as usize && masked.round == spec.round;
        if !self.masked.iter().all(fits) {
            return Err(TranscriptError::Set("the masked vectors"));
        }
        let strange = |one: &Agreement| one.round != spec.round || !survivors.contains(&one.member);
        if self.agreements.iter().any(strange) {
            return Err(TranscriptError::Set("the agreements"));
        }
        let mut signers: Vec<_> = self.agreements.iter().map(|one| &one.member).collect();
        signers.sort();
        signers.dedup();
        if signers.len() < roster.threshold() {
            return Err(TranscriptError::Set("the agreements"));
        }
        let fits = |unmask: &Unmask| unmask.shares.len() == self.offer.cohort.len() && unmask.round == spec.round;
        if !self.unmask.iter().all(fits) {
            return Err(TranscriptError::Set("the shares"));
        }
        Ok(())
    }

    fn check_signatures(&self, roster: &Roster, offer: &Digest) -> Result<(), TranscriptError> {
        let survivors = self.agreed();
        let mut signed = Vec::new();
        for (keys, commitments) in self.keys.iter().zip(&self.commitments) {
            signed.push(keys.signed(roster)?);
            keys.commits_to(self.offer.spec.slot(), commitments, roster)?;
        }
        for (masked, vector) in self.masked.iter().zip(&survivors.vectors) {
            signed.push(masked.signed(roster, offer, vector)?);
        }
        for agreement in &self.agreements {
            signed.push(agreement.signed(roster, offer, &survivors)?);
        }
        for unmask in &self.unmask {
            signed.push(unmask.signed(roster, offer)?);
        }
        Ok(Signed::check(signed)?)
    }

    /// The secret of every bank of the offer: of the self mask if it survived, else its pairwise key.
    ///
    /// Rebuilt from the first shares that suffice; where one does not fit its key, every share is checked by itself, and the
    /// wrong ones are left out.
    fn secrets(&self, roster: &Roster, survivors: &[String]) -> Result<Vec<Secret<'_>>, TranscriptError> {
        let holders = Holders::new(roster, &self.unmask)?;
        let first = &self.unmask[..roster.threshold()];
        let rebuilt: Vec<_> = (0..self.offer.cohort.len()).map(|place| holders.rebuild(first, place)).collect();
        let public = base_products(&rebuilt.iter().map(|secret| secret.unwrap_or_default()).collect::<Vec<_>>());
        let mut secrets = Vec::new();
        for (place, name) in self.offer.cohort.iter().enumerate() {
            let survived = survivors.contains(name);
            let (keys, commitments) = self.public(name)?;
            let (key, rest) = match survived {
                true => (&keys.own, &commitments.own),
                false => (keys.pairwise.as_bytes(), &commitments.pairwise),
            };
            let value = match rebuilt[place].filter(|_| public[place] == *key) {
                Some(value) => value,
                None => self.rebuild_from_good(roster, &holders, place, key, rest)?,
            };
            secrets.push(Secret { name, survived, value });
        }
        Ok(secrets)
    }

    fn rebuild_from_good(
        &self,
        roster: &Roster,
        holders: &Holders,
        place: usize,
        key: &[u8; 32],
        rest: &[[u8; 32]],
    ) -> Result<Scalar, TranscriptError> {
        let mut good = (Vec::new(), Vec::new());
        let mut culprits = Vec::new();
        for (unmask, &index) in self.unmask.iter().zip(&holders.indices) {
            match unmask.share(place).filter(|value| share::check(key, rest, index, value)) {
                Some(share) => {
                    good.0.push(index);
                    good.1.push(share);
                }
                None => culprits.push(unmask.member.as_str()),
            }
        }
        if good.0.len() < roster.threshold() {
            let subject = self.offer.cohort[place].clone();
            return Err(TranscriptError::Shares { subject, culprits: culprits.join(", ") });
        }
        good.0.truncate(roster.threshold());
        Ok(share::combine(&share::weights_at_zero(&good.0), &good.1))
    }

    /// A bank's keys of the round, and the commitments behind them.
    pub(super) fn public(&self, name: &str) -> Result<(&RoundKeys, &Commitments), TranscriptError> {
        let found = self.keys.iter().zip(&self.commitments).find(|(keys, _)| keys.member == name);
        let round = found.and_then(|(keys, commitments)| Some((keys.rounds.get(self.offer.spec.slot())?, commitments)));
        round.ok_or(TranscriptError::Set("the keys"))
    }
}

/// A rebuilt secret of a bank.
struct Secret<'a> {
    name: &'a str,
    survived: bool,
    value: Scalar,
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

    fn rebuild(&self, first: &[Unmask], place: usize) -> Option<Scalar> {
        let shares: Option<Vec<_>> = first.iter().map(|unmask| unmask.share(place)).collect();
        shares.map(|shares| share::combine(&self.weights, &shares))
    }
}

impl Unmask {
    /// The share that stands at `place`; nothing if it is no scalar.
    fn share(&self, place: usize) -> Option<Scalar> {
        Scalar::from_canonical_bytes(*self.shares.get(place)?).into()
    }
}
