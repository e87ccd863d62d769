//! A bank's side of secure aggregation.

use std::collections::BTreeMap;
use std::sync::Arc;

use tally_crypto::group::{Point, Scalar};
use tally_crypto::prg::{Sign, apply_masks};
use tally_crypto::seal::{open_once, seal_once};
use tally_crypto::seed::Seed;
use tally_crypto::share::Polynomial;
use tally_crypto::sign::{Signature, SigningKey};
use tally_crypto::transcript::Digest;
use zeroize::Zeroize as _;

use super::disclosed::RoundSecret;
use super::masks::{own_mask, pairwise_mask, pairwise_sign, roll_digest, transport_key};
use super::messages::{
    Agreement, Commitments, Keys, Masked, Misbehaved, Offer, RoundKeys, RoundSpec, SealedShares, Shares, Signed,
    Survivors, ToAggregator, ToMember, Unmask,
};
use super::{ROUNDS_PER_BATCH, Roster};

/// What a bank does after a message.
#[derive(Debug)]
pub enum Reaction {
    /// Send this to the aggregator.
    Send(ToAggregator),
    /// Compute the values of this round and call [`Contributor::contribute`].
    Offered(Offer),
    /// This bank is about to help to release the sum of the round over these banks: what follows leaves only if the ledger
    /// ([`Release`](super::Release)) admits it.
    Releasing {
        /// Number of the round.
        round: u32,
        /// Banks in the sum, in order.
        cohort: Vec<String>,
    },
}

/// A bank's state machine over all rounds of a session.
pub struct Contributor {
    roster: Roster,
    me: String,
    key: Arc<SigningKey>,
    seed: Seed,
    batches: BTreeMap<u32, Batch>,
    round: Option<Round>,
    answered: Option<Answered>,
    next_round: u32,
    cohort: Vec<String>,
}

/// A batch on its way: keys made, roll seen, shares held.
enum Batch {
    Opened(Secrets),
    Rolled { secrets: Secrets, keys: Vec<Keys>, roll: Digest },
    Ready { secrets: Secrets, keys: Vec<Keys>, roll: Digest, held: BTreeMap<String, Vec<[Scalar; 2]>> },
}

/// One bank's secrets of a batch; polynomials erase themselves.
struct Secrets {
    transport: Scalar,
    rounds: Vec<RoundSecrets>,
}

struct RoundSecrets {
    pairwise: Polynomial,
    own: Polynomial,
}

impl RoundSecrets {
    /// What the other banks see of the secrets, and what the aggregator sees besides; nothing where a term is zero.
    fn publish(&self) -> Option<(RoundKeys, Commitments)> {
        let (pairwise, own) = (self.pairwise.commitments()?, self.own.commitments()?);
        let encodings = |points: &[Point]| points.iter().skip(1).map(|point| *point.as_bytes()).collect();
        let commitments = Commitments { pairwise: encodings(&pairwise), own: encodings(&own) };
        let (pairwise, own) = (*pairwise.first()?, *own.first()?.as_bytes());
        Some((RoundKeys { pairwise, own, commitments: commitments.digest() }, commitments))
    }
}

impl Drop for Secrets {
    fn drop(&mut self) {
        self.transport.zeroize();
    }
}

/// The round that is running: offered, contributed, agreed; an answered round is gone.
struct Round {
    offer: Offer,
    digest: Digest,
    state: RoundState,
}

enum RoundState {
    Offered,
    /// Gave this vector.
    Contributed(Digest),
    Agreed(Survivors),
}

/// A round that this bank helped to open: what its sum must be recomputed from.
struct Answered {
    offer: Offer,
    survivors: Survivors,
}

impl Contributor {
    /// A bank of the roster; everything secret derives from `seed`, so that a restarted node repeats itself.
    ///
    /// # Errors
    /// Fails if the roster does not name `me` with this key.
    pub fn new(roster: Roster, me: &str, key: Arc<SigningKey>, seed: Seed) -> Result<Self, Misbehaved> {
        if roster.key(me) != Some(&key.verify_key()) {
            return Err(Misbehaved::Malformed {
                who: me.into(),
                what: "the roster does not name this bank with its key",
            });
        }
        let cohort = roster.names().map(Into::into).collect();
        Ok(Self {
            roster,
            me: me.into(),
            key,
            seed,
            batches: BTreeMap::new(),
            round: None,
            answered: None,
            next_round: 0,
            cohort,
        })
    }

    /// Takes in one message of the aggregator.
    ///
    /// # Errors
    /// Refuses everything that an honest aggregator would not send; nothing is answered then.
    pub fn receive(&mut self, message: ToMember) -> Result<Vec<Reaction>, Misbehaved> {
        match message {
            ToMember::OpenBatch { batch } => self.open_batch(batch).map(send),
            ToMember::Roll { batch, keys } => self.deal(batch, keys).map(send),
            ToMember::Deliver { batch, shares } => self.hold(batch, &shares).map(|()| Vec::new()),
            ToMember::Offer(offer) => self.consider(offer).map(|offer| vec![Reaction::Offered(offer)]),
            ToMember::Survivors { round, survivors, vectors } => {
                self.agree(round, Survivors { names: survivors, vectors })
            }
            ToMember::Quorum { round, agreements } => self.unmask(round, &agreements).map(send),
        }
    }

    /// Who takes part, and the thresholds.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Masks the values of the offered round.
    ///
    /// # Errors
    /// Refuses a round that was not offered, or values of another length.
    pub fn contribute(&mut self, spec: &RoundSpec, values: Vec<i64>) -> Result<ToAggregator, Misbehaved> {
        let Some(Round { offer, digest, state: state @ RoundState::Offered }) = &mut self.round else {
            return Err(unexpected(&self.me, "a contribution"));
        };
        if offer.spec != *spec || values.len() != spec.words as usize {
            return Err(Misbehaved::Malformed { who: self.me.clone(), what: "values that do not fit the offer" });
        }
        let Some(Batch::Ready { secrets, keys, roll, .. }) = self.batches.get(&spec.batch()) else {
            return Err(unexpected(&self.me, "a contribution without shares"));
        };
        // The same bits as ring elements, in the same place: a vector may be megabytes.
        let mut words: Vec<u64> = bytemuck::cast_vec(values);
        let secret = &secrets.rounds[spec.slot()];
        let mut masks = vec![(own_mask(&secret.own.share(0), roll, digest), Sign::Add)];
        for other in offer.cohort.iter().filter(|name| **name != self.me) {
            let public = keys_of(keys, other)?.pairwise(spec.slot());
            let seed = pairwise_mask(&secret.pairwise.share(0), &public, roll, digest, &self.me, other);
            masks.push((seed, pairwise_sign(&self.me, other)));
        }
        apply_masks(&masks, &mut words);
        let vector = Masked::vector(&words);
        *state = RoundState::Contributed(vector);
        let signature = Masked::sign(digest, &vector, &self.key);
        Ok(ToAggregator::Masked(Masked { member: self.me.clone(), round: spec.round, words, signature }))
    }

    /// Recomputes a released sum from its transcript, which comes without the keys: those of the roll are taken. It must be of
    /// the round that this bank last helped to open, with the vectors that it agreed to.
    ///
    /// # Errors
    /// Names the part that does not hold.
    pub fn recompute(&self, mut transcript: super::Transcript) -> Result<Vec<i64>, super::TranscriptError> {
        let wrong = super::TranscriptError::Set("the transcript and the round that this bank agreed to");
        let Some(answered) = &self.answered else { return Err(wrong) };
        let Some(Batch::Ready { keys, .. }) = self.batches.get(&answered.offer.spec.batch()) else { return Err(wrong) };
        transcript.keys.clone_from(keys);
        if transcript.offer != answered.offer || transcript.agreed() != answered.survivors {
            return Err(wrong);
        }
        transcript.recompute(&self.roster)
    }

    /// The banks of the round that this bank last helped to open.
    pub fn answered(&self) -> Option<(u32, &[String])> {
        self.answered.as_ref().map(|answered| (answered.offer.spec.round, answered.survivors.names.as_slice()))
    }

    /// This bank's secrets of a round whose keys are made: only ever for an auditor.
    pub fn disclose(&self, spec: &RoundSpec) -> Option<RoundSecret> {
        let Some(Batch::Ready { secrets, .. }) = self.batches.get(&spec.batch()) else { return None };
        let round = &secrets.rounds[spec.slot()];
        Some(RoundSecret::new(spec, &round.pairwise.share(0), &round.own.share(0)))
    }

    /// The secret of the self mask in a slot of the first batch: what an attack must not lead to.
    #[cfg(test)]
    pub(super) fn self_secret(&self, slot: usize) -> Scalar {
        match &self.batches[&0] {
            Batch::Opened(secrets) | Batch::Rolled { secrets, .. } | Batch::Ready { secrets, .. } => {
                secrets.rounds[slot].own.share(0)
            }
        }
    }

    fn open_batch(&mut self, batch: u32) -> Result<ToAggregator, Misbehaved> {
        if batch != self.next_round.div_ceil(ROUNDS_PER_BATCH) || self.batches.contains_key(&batch) {
            return Err(unexpected("the aggregator", "this batch"));
        }
        // Batches before the running one hold secrets of finished rounds only.
        self.batches.retain(|known, _| known + 1 >= batch);
        let mut rng = self.seed.rng("batch", &[&batch.to_be_bytes()]);
        let threshold = self.roster.threshold();
        let transport = Scalar::random(&mut rng);
        let rounds: Vec<_> = (0..ROUNDS_PER_BATCH)
            .map(|_| RoundSecrets {
                pairwise: Polynomial::random(Scalar::random(&mut rng), threshold, &mut rng),
                own: Polynomial::random(Scalar::random(&mut rng), threshold, &mut rng),
            })
            .collect();
        let zero =
            || Misbehaved::Malformed { who: self.me.clone(), what: "drew a zero key: try again with another seed" };
        let (public, commitments): (Vec<_>, Vec<_>) =
            rounds.iter().map(RoundSecrets::publish).collect::<Option<Vec<_>>>().ok_or_else(zero)?.into_iter().unzip();
        let mut keys = Keys {
            member: self.me.clone(),
            batch,
            transport: Point::base(&transport).ok_or_else(zero)?,
            rounds: public,
            signature: Signature([0; 64]),
        };
        keys.sign(&self.roster, &self.key);
        self.batches.insert(batch, Batch::Opened(Secrets { transport, rounds }));
        Ok(ToAggregator::Keys(keys, commitments))
    }

    fn deal(&mut self, batch: u32, keys: Vec<Keys>) -> Result<ToAggregator, Misbehaved> {
        let Some(Batch::Opened(secrets)) = self.batches.remove(&batch) else {
            return Err(unexpected("the aggregator", "this roll of keys"));
        };
        self.check_roll(batch, &keys, &secrets)?;
        let roll = roll_digest(&self.roster, &keys);
        let mut sealed = Vec::new();
        for other in keys.iter().filter(|other| other.member != self.me) {
            let index = self.index(&other.member)?;
            let plain: Vec<u8> = secrets
                .rounds
                .iter()
                .flat_map(|round| [round.pairwise.share(index).to_bytes(), round.own.share(index).to_bytes()])
                .flatten()
                .collect();
            let key = transport_key(&secrets.transport, &other.transport, &roll, &self.me, &other.member);
            let ciphertext = seal_once(&key, roll.as_bytes(), &plain);
            sealed.push(SealedShares { from: self.me.clone(), to: other.member.clone(), sealed: ciphertext });
        }
        self.batches.insert(batch, Batch::Rolled { secrets, keys, roll });
        Ok(ToAggregator::Shares(Shares { batch, sealed }))
    }

    fn check_roll(&self, batch: u32, keys: &[Keys], secrets: &Secrets) -> Result<(), Misbehaved> {
        if keys.len() < self.roster.quorum() {
            return Err(Misbehaved::TooFew { have: keys.len(), need: self.roster.quorum() });
        }
        if !keys.is_sorted_by(|a, b| a.member < b.member) || keys.iter().any(|one| one.batch != batch) {
            return Err(Misbehaved::Malformed {
                who: "the aggregator".into(),
                what: "a roll that is not in strict order",
            });
        }
        Signed::check(keys.iter().map(|one| one.signed(&self.roster)).collect::<Result<_, _>>()?)?;
        let mine = keys_of(keys, &self.me)?;
        if Some(mine.transport) != Point::base(&secrets.transport) {
            return Err(Misbehaved::Malformed { who: "the aggregator".into(), what: "replaced this bank's keys" });
        }
        Ok(())
    }

    fn hold(&mut self, batch: u32, shares: &[SealedShares]) -> Result<(), Misbehaved> {
        let Some(Batch::Rolled { secrets, keys, roll }) = self.batches.remove(&batch) else {
            return Err(unexpected("the aggregator", "this delivery of shares"));
        };
        let mine = self.index(&self.me)?;
        let own = secrets.rounds.iter().map(|round| [round.pairwise.share(mine), round.own.share(mine)]).collect();
        let mut held = BTreeMap::from([(self.me.clone(), own)]);
        for one in shares {
            let dealer = keys_of(&keys, &one.from)?;
            let key = transport_key(&secrets.transport, &dealer.transport, &roll, &one.from, &self.me);
            let wrong = || Misbehaved::Share { dealer: one.from.clone() };
            let plain = open_once(&key, roll.as_bytes(), &one.sealed).map_err(|_| wrong())?;
            let pairs = read_shares(&plain).ok_or_else(wrong)?;
            if one.to != self.me || held.insert(one.from.clone(), pairs).is_some() {
                return Err(wrong());
            }
        }
        if held.len() < self.roster.quorum() {
            return Err(Misbehaved::TooFew { have: held.len(), need: self.roster.quorum() });
        }
        self.batches.insert(batch, Batch::Ready { secrets, keys, roll, held });
        Ok(())
    }

    fn consider(&mut self, offer: Offer) -> Result<Offer, Misbehaved> {
        let spec = &offer.spec;
        if spec.round < self.next_round {
            return Err(Misbehaved::AskedAgain(spec.round));
        }
        let Some(Batch::Ready { held, roll, .. }) = self.batches.get(&spec.batch()) else {
            return Err(unexpected("the aggregator", "an offer before the shares"));
        };
        let known = offer.cohort.iter().all(|name| held.contains_key(name) && self.cohort.contains(name));
        if !offer.cohort.is_sorted_by(|a, b| a < b) || !known || !offer.cohort.contains(&self.me) {
            return Err(Misbehaved::Malformed {
                who: "the aggregator".into(),
                what: "a cohort that grew, or leaves this bank out",
            });
        }
        if offer.cohort.len() < self.roster.quorum() {
            return Err(Misbehaved::TooFew { have: offer.cohort.len(), need: self.roster.quorum() });
        }
        let digest = offer.digest(&self.roster, roll);
        self.next_round = spec.round + 1;
        self.cohort.clone_from(&offer.cohort);
        self.round = Some(Round { offer: offer.clone(), digest, state: RoundState::Offered });
        Ok(offer)
    }

    fn agree(&mut self, number: u32, survivors: Survivors) -> Result<Vec<Reaction>, Misbehaved> {
        let quorum = self.roster.quorum();
        let round = self.round.as_mut().filter(|round| round.offer.spec.round == number);
        let Some(Round { offer, digest, state }) = round else { return Err(Misbehaved::AskedAgain(number)) };
        let RoundState::Contributed(own) = state else { return Err(Misbehaved::AskedAgain(number)) };
        let malformed = |what| Err(Misbehaved::Malformed { who: "the aggregator".into(), what });
        let names = &survivors.names;
        let subset = names.iter().all(|name| offer.cohort.contains(name));
        let Some(mine) = names.iter().position(|name| *name == self.me) else {
            return malformed("survivors that are not of the cohort");
        };
        if !names.is_sorted_by(|a, b| a < b) || !subset || survivors.vectors.len() != names.len() {
            return malformed("survivors that are not of the cohort");
        }
        if survivors.vectors[mine] != *own {
            return malformed("another vector in this bank's name");
        }
        let need = if offer.spec.part.is_of_all() { offer.cohort.len() } else { quorum };
        if names.len() < need {
            return Err(Misbehaved::TooFew { have: names.len(), need });
        }
        let signature = Agreement::sign(digest, &survivors, &self.key);
        let releasing = Reaction::Releasing { round: number, cohort: names.clone() };
        *state = RoundState::Agreed(survivors);
        let agreement = Agreement { member: self.me.clone(), round: number, signature };
        Ok(vec![releasing, Reaction::Send(ToAggregator::Agreement(agreement))])
    }

    fn unmask(&mut self, number: u32, agreements: &[Agreement]) -> Result<ToAggregator, Misbehaved> {
        let round = self.round.take_if(|round| round.offer.spec.round == number);
        let Some(Round { offer, digest, state: RoundState::Agreed(survivors) }) = round else {
            return Err(Misbehaved::AskedAgain(number));
        };
        let mut signers: Vec<_> = agreements.iter().map(|one| &one.member).collect();
        signers.sort();
        signers.dedup();
        let signed = agreements.iter().map(|one| {
            if one.round != number || !survivors.contains(&one.member) {
                return Err(Misbehaved::Signature { who: one.member.clone(), what: "the survivors" });
            }
            one.signed(&self.roster, &digest, &survivors)
        });
        Signed::check(signed.collect::<Result<_, _>>()?)?;
        if signers.len() < self.roster.threshold() {
            return Err(Misbehaved::TooFew { have: signers.len(), need: self.roster.threshold() });
        }
        let Some(Batch::Ready { held, .. }) = self.batches.get(&offer.spec.batch()) else {
            return Err(unexpected("the aggregator", "an unmasking"));
        };
        let shares = offer.cohort.iter().map(|name| {
            let [pairwise, own] = held.get(name).ok_or_else(|| unexpected(name, "a share"))?[offer.spec.slot()];
            Ok(if survivors.contains(name) { own } else { pairwise }.to_bytes())
        });
        let shares = shares.collect::<Result<Vec<_>, Misbehaved>>()?;
        let signature = Unmask::sign(&digest, &shares, &self.key);
        self.answered = Some(Answered { offer, survivors });
        Ok(ToAggregator::Unmask(Unmask { member: self.me.clone(), round: number, shares, signature }))
    }

    fn index(&self, name: &str) -> Result<u32, Misbehaved> {
        self.roster.index(name).ok_or_else(|| unexpected(name, "a bank outside the roster"))
    }
}

fn send(message: ToAggregator) -> Vec<Reaction> {
    vec![Reaction::Send(message)]
}

fn unexpected(who: &str, what: &'static str) -> Misbehaved {
    Misbehaved::Unexpected { who: who.into(), what }
}

fn keys_of<'a>(keys: &'a [Keys], name: &str) -> Result<&'a Keys, Misbehaved> {
    keys.iter().find(|one| one.member == name).ok_or_else(|| unexpected(name, "a bank without keys"))
}

fn read_shares(plain: &[u8]) -> Option<Vec<[Scalar; 2]>> {
    let (scalars, rest) = plain.as_chunks::<32>();
    if !rest.is_empty() || scalars.len() != 2 * ROUNDS_PER_BATCH as usize {
        return None;
    }
    let read = |bytes: &[u8; 32]| Option::<Scalar>::from(Scalar::from_canonical_bytes(*bytes));
    scalars.chunks_exact(2).map(|pair| Some([read(&pair[0])?, read(&pair[1])?])).collect()
}
