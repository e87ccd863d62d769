//! Messages of secure aggregation. Whatever a bank says is signed under a label of its own and bound to roster and round.

use serde::{Deserialize, Serialize};
use tally_crypto::group::Point;
use tally_crypto::sign::{Claim, Signature, SigningKey, refuted};
use tally_crypto::transcript::{Digest, Transcript};

use super::{ROUNDS_PER_BATCH, Roster, packed};

/// What a round sums.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundSpec {
    /// Number of the round, from 0.
    pub round: u32,
    /// Digest of the sum request.
    pub request: Digest,
    /// Which part of it.
    pub part: Part,
    /// Length of the vectors.
    pub words: u32,
}

/// Part of a sum request that one round takes ([`tally_model::release`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// A sum without cells, in one round.
    Whole,
    /// Which bank has rows in which cells, as packed indicators.
    Presence,
    /// The cells, folded. Every bank of the offer must stay: with fewer, too few might stand behind a cell.
    Cells,
    /// How many rows the banks have together, and how many banks have enough of them.
    Rows,
    /// A sum without cells over banks whose rows were counted. Every bank of the offer must stay: with fewer, the rows of one
    /// might be nearly all.
    Firm,
    /// The rows of each group of cells. Every bank of the offer must stay, as for the cells.
    Sizes,
    /// How many banks want each group joined to the one before it. Every bank of the offer must stay: each has a say.
    Joins,
}

impl Part {
    /// Whether every bank of the offer must stay.
    pub(crate) fn is_of_all(self) -> bool {
        matches!(self, Self::Cells | Self::Firm | Self::Sizes | Self::Joins)
    }
}

/// A round and the banks that are asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// What is summed.
    pub spec: RoundSpec,
    /// The banks asked, in order of name.
    pub cohort: Vec<String>,
}

/// Aggregator to bank.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ToMember {
    /// Make keys for a batch of rounds.
    OpenBatch {
        /// Number of the batch.
        batch: u32,
    },
    /// The keys of every bank of the batch.
    Roll {
        /// Number of the batch.
        batch: u32,
        /// In order of name.
        keys: Vec<Keys>,
    },
    /// The shares that the others sealed for this bank.
    Deliver {
        /// Number of the batch.
        batch: u32,
        /// One a sender.
        shares: Vec<SealedShares>,
    },
    /// Contribute to a round.
    Offer(Offer),
    /// The banks whose vectors arrived.
    Survivors {
        /// Number of the round.
        round: u32,
        /// In order of name.
        survivors: Vec<String>,
        /// Digest of the vector of each.
        vectors: Vec<Digest>,
    },
    /// Enough banks have signed the same survivors.
    Quorum {
        /// Number of the round.
        round: u32,
        /// Who signed.
        agreements: Vec<Agreement>,
    },
}

/// Bank to aggregator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ToAggregator {
    /// Keys for a batch, and the commitments behind them, one a round.
    Keys(Keys, Vec<Commitments>),
    /// Shares for every other bank of the batch.
    Shares(Shares),
    /// A masked vector.
    Masked(Masked),
    /// Signature over the survivors.
    Agreement(Agreement),
    /// Shares that remove the masks.
    Unmask(Unmask),
}

/// One bank's keys for one batch: what every other bank needs to know of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// Whose.
    pub member: String,
    /// Number of the batch.
    pub batch: u32,
    /// Key that seals shares on their way.
    pub transport: Point,
    /// One a round of the batch.
    pub rounds: Vec<RoundKeys>,
    /// By the member.
    pub signature: Signature,
}

/// The public keys of one round's two secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundKeys {
    /// Of the pairwise key.
    pub pairwise: Point,
    /// Of the self mask: only ever compared with, so that it is decoded only where shares are checked by themselves.
    pub own: [u8; 32],
    /// Digest of the round's [`Commitments`].
    pub commitments: Digest,
}

/// Feldman commitments to one round's two secrets, from the linear term on; the constant terms are the [`RoundKeys`]. They
/// go to the aggregator only, and tell who sent a wrong share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commitments {
    /// Of the pairwise key.
    #[serde(with = "packed::rows")]
    pub pairwise: Vec<[u8; 32]>,
    /// Of the self mask.
    #[serde(with = "packed::rows")]
    pub own: Vec<[u8; 32]>,
}

/// Sealed shares from one bank to all others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shares {
    /// Number of the batch.
    pub batch: u32,
    /// One a receiver, in order of name.
    pub sealed: Vec<SealedShares>,
}

/// Shares of every round of a batch, sealed for one bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedShares {
    /// Who dealt them.
    pub from: String,
    /// Whom they are for.
    pub to: String,
    /// The ciphertext.
    #[serde(with = "packed::bytes")]
    pub sealed: Vec<u8>,
}

/// A masked vector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Masked {
    /// Whose.
    pub member: String,
    /// Number of the round.
    pub round: u32,
    /// Input plus masks, modulo 2^64; eight little-endian bytes each on the wire.
    #[serde(with = "packed::words")]
    pub words: Vec<u64>,
    /// By the member, over the offer and the words.
    pub signature: Signature,
}

/// A signature over the survivors of a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// Who signed.
    pub member: String,
    /// Number of the round.
    pub round: u32,
    /// Over the offer and the survivors.
    pub signature: Signature,
}

/// One bank's shares of a round's masks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmask {
    /// Whose shares.
    pub member: String,
    /// Number of the round.
    pub round: u32,
    /// For every bank of the offer in order: of the self mask if it survived, else of the pairwise key.
    #[serde(with = "packed::rows")]
    pub shares: Vec<[u8; 32]>,
    /// By the member, over the offer and the shares.
    pub signature: Signature,
}

/// How a peer broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misbehaved {
    /// A message came that this state does not await.
    #[error("{who}: {what} is not awaited now")]
    Unexpected {
        /// Sender, or the subject of the message.
        who: String,
        /// Kind of message.
        what: &'static str,
    },
    /// A signature does not hold.
    #[error("{who}: the signature of {what} does not hold")]
    Signature {
        /// Whose signature.
        who: String,
        /// Of what.
        what: &'static str,
    },
    /// A message is not well formed.
    #[error("{who}: {what}")]
    Malformed {
        /// Sender, or the subject of the message.
        who: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A dealt share does not fit its dealer's commitment.
    #[error("{dealer} dealt a share that does not fit its commitment")]
    Share {
        /// Who dealt it.
        dealer: String,
    },
    /// Fewer banks than the roster demands.
    #[error("{have} banks are in the set, {need} are needed")]
    TooFew {
        /// In the set.
        have: usize,
        /// Needed.
        need: usize,
    },
    /// The aggregator asked twice, or for another set than was signed.
    #[error("the aggregator asked again in round {0} after the answer was given")]
    AskedAgain(u32),
}

impl RoundSpec {
    /// The batch that holds this round's keys.
    pub fn batch(&self) -> u32 {
        self.round / ROUNDS_PER_BATCH
    }

    /// Place of the round in its batch.
    pub(super) fn slot(&self) -> usize {
        (self.round % ROUNDS_PER_BATCH) as usize
    }
}

impl Offer {
    /// Names the offer in masks and signatures: a bank that was shown another offer gives noise.
    pub fn digest(&self, roster: &Roster, roll: &Digest) -> Digest {
        let mut transcript = Transcript::new("tallystick/offer/v3");
        transcript.append(roster.digest().as_bytes());
        transcript.append(roll.as_bytes());
        transcript.append_u64(self.spec.round.into());
        transcript.append(self.spec.request.as_bytes());
        transcript.append_u64(self.spec.part as u64);
        transcript.append_u64(self.spec.words.into());
        for name in &self.cohort {
            transcript.append(name.as_bytes());
        }
        transcript.digest()
    }
}

impl Keys {
    /// The public key of a round's pairwise masks.
    pub(super) fn pairwise(&self, slot: usize) -> Point {
        self.rounds[slot].pairwise
    }

    pub(super) fn sign(&mut self, roster: &Roster, key: &SigningKey) {
        self.signature = key.sign("aggregation-keys", self.digest(roster).as_bytes());
    }

    pub(super) fn signed(&self, roster: &Roster) -> Result<Signed, Misbehaved> {
        if self.rounds.len() != ROUNDS_PER_BATCH as usize {
            return Err(malformed(&self.member, "keys of another shape than the roster's"));
        }
        Signed::new(roster, &self.member, "aggregation-keys", "keys", &self.digest(roster), &self.signature)
    }

    /// True if `commitments` are those that this bank signed for the round at `slot`, and as many as the roster asks for.
    pub(super) fn commits_to(&self, slot: usize, commitments: &Commitments, roster: &Roster) -> Result<(), Misbehaved> {
        let length = roster.threshold() - 1;
        let right = [&commitments.pairwise, &commitments.own].iter().all(|one| one.len() == length);
        if right && self.rounds.get(slot).is_some_and(|round| round.commitments == commitments.digest()) {
            return Ok(());
        }
        Err(malformed(&self.member, "commitments that are not the signed ones"))
    }

    pub(super) fn digest(&self, roster: &Roster) -> Digest {
        let mut transcript = Transcript::new("tallystick/keys/v2");
        transcript.append(roster.digest().as_bytes());
        transcript.append(self.member.as_bytes());
        transcript.append_u64(self.batch.into());
        transcript.append(self.transport.as_bytes());
        for round in &self.rounds {
            transcript.append(round.pairwise.as_bytes());
            transcript.append(&round.own);
            transcript.append(round.commitments.as_bytes());
        }
        transcript.digest()
    }
}

impl Commitments {
    pub(super) fn digest(&self) -> Digest {
        Digest::of("tallystick/commitments/v1", &[self.pairwise.as_flattened(), self.own.as_flattened()])
    }
}

impl Masked {
    /// Names a vector. BLAKE3 over the words, since a vector may be megabytes; SHA-256 over the rest, as everywhere.
    pub(super) fn vector(words: &[u64]) -> Digest {
        Digest(*blake3::hash(&packed::words::bytes(words)).as_bytes())
    }

    pub(super) fn sign(offer: &Digest, vector: &Digest, key: &SigningKey) -> Signature {
        key.sign("aggregation-masked", Self::digest(offer, vector).as_bytes())
    }

    pub(super) fn signed(&self, roster: &Roster, offer: &Digest, vector: &Digest) -> Result<Signed, Misbehaved> {
        let digest = Self::digest(offer, vector);
        Signed::new(roster, &self.member, "aggregation-masked", "the masked vector", &digest, &self.signature)
    }

    fn digest(offer: &Digest, vector: &Digest) -> Digest {
        Digest::of("tallystick/masked/v3", &[offer.as_bytes(), vector.as_bytes()])
    }
}

/// The banks in a sum and their vectors: what banks sign before they give any share, so that nobody can choose another vector
/// once the others are open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Survivors {
    /// In order of name.
    pub(super) names: Vec<String>,
    /// One each.
    pub(super) vectors: Vec<Digest>,
}

impl Survivors {
    pub(super) fn contains(&self, name: &String) -> bool {
        self.names.contains(name)
    }
}

impl Agreement {
    pub(super) fn sign(offer: &Digest, survivors: &Survivors, key: &SigningKey) -> Signature {
        key.sign("aggregation-survivors", Self::digest(offer, survivors).as_bytes())
    }

    pub(super) fn signed(&self, roster: &Roster, offer: &Digest, survivors: &Survivors) -> Result<Signed, Misbehaved> {
        let digest = Self::digest(offer, survivors);
        Signed::new(roster, &self.member, "aggregation-survivors", "the survivors", &digest, &self.signature)
    }

    fn digest(offer: &Digest, survivors: &Survivors) -> Digest {
        let mut transcript = Transcript::new("tallystick/survivors/v2");
        transcript.append(offer.as_bytes());
        for (name, vector) in survivors.names.iter().zip(&survivors.vectors) {
            transcript.append(name.as_bytes());
            transcript.append(vector.as_bytes());
        }
        transcript.digest()
    }
}

impl Unmask {
    pub(super) fn sign(offer: &Digest, shares: &[[u8; 32]], key: &SigningKey) -> Signature {
        key.sign("aggregation-unmask", Self::digest(offer, shares).as_bytes())
    }

    pub(super) fn signed(&self, roster: &Roster, offer: &Digest) -> Result<Signed, Misbehaved> {
        let digest = Self::digest(offer, &self.shares);
        Signed::new(roster, &self.member, "aggregation-unmask", "the shares", &digest, &self.signature)
    }

    fn digest(offer: &Digest, shares: &[[u8; 32]]) -> Digest {
        Digest::of("tallystick/unmask/v1", &[offer.as_bytes(), shares.as_flattened()])
    }
}

/// A bank's signature that is still to be checked.
#[must_use]
pub(super) struct Signed {
    who: String,
    what: &'static str,
    claim: Claim,
}

impl Signed {
    fn new(
        roster: &Roster,
        who: &str,
        label: &str,
        what: &'static str,
        digest: &Digest,
        signature: &Signature,
    ) -> Result<Self, Misbehaved> {
        let key = roster.key(who).ok_or_else(|| Misbehaved::Signature { who: who.into(), what })?;
        Ok(Self { who: who.into(), what, claim: Claim::new(key, label, digest.as_bytes(), signature) })
    }

    /// Checks all together: whose do not hold, and of what.
    pub(super) fn refused(all: Vec<Self>) -> Vec<(String, &'static str)> {
        let (named, claims): (Vec<_>, Vec<_>) = all.into_iter().map(|one| ((one.who, one.what), one.claim)).unzip();
        refuted(&claims).into_iter().map(|place| named[place].clone()).collect()
    }

    /// Checks all together.
    pub(super) fn check(all: Vec<Self>) -> Result<(), Misbehaved> {
        match Self::refused(all).into_iter().next() {
            Some((who, what)) => Err(Misbehaved::Signature { who, what }),
            None => Ok(()),
        }
    }
}

fn malformed(who: &str, what: &'static str) -> Misbehaved {
    Misbehaved::Malformed { who: who.into(), what }
}
