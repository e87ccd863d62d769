//! The aggregator: relays keys and shares, adds masked vectors, removes the masks with the shares of the survivors.

use std::collections::BTreeMap;

use tally_crypto::transcript::Digest;

use super::masks::roll_digest;
use super::messages::{
    Agreement, Commitments, Keys, Masked, Misbehaved, Offer, Part, RoundSpec, SealedShares, Shares, Signed, Survivors,
    ToAggregator, ToMember, Unmask,
};
use super::{Roster, Transcript};

/// What the aggregator does after a message.
#[derive(Debug)]
pub enum Event {
    /// Send this to each of these banks; the bytes are the same for all.
    Send {
        /// The banks.
        to: Vec<String>,
        /// The message.
        message: ToMember,
    },
    /// The message of a bank was taken in and is now thrown away, since its signature does not hold: the bank is awaited
    /// again.
    Refused {
        /// The bank.
        from: String,
        /// What does not hold.
        misbehaved: Misbehaved,
    },
    /// A round is done.
    Released {
        /// Number of the round.
        round: u32,
        /// Banks in the sum.
        cohort: Vec<String>,
        /// The sum.
        sums: Vec<i64>,
        /// Everything that leads to it.
        transcript: Box<Transcript>,
    },
    /// A bank dropped out of a round that all must stay in: nothing is released, and the sum is asked again from those who
    /// are left.
    CalledOff {
        /// Number of the round.
        round: u32,
        /// The banks that are left.
        cohort: Vec<String>,
    },
}

/// Why the aggregation cannot go on: too few banks are left.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{phase}: {have} banks answered, {need} are needed")]
pub struct Stopped {
    /// What was awaited.
    pub phase: &'static str,
    /// Banks that answered.
    pub have: usize,
    /// Banks needed.
    pub need: usize,
    /// Banks that did not answer.
    pub missing: Vec<String>,
}

/// The aggregator's state machine over all rounds of a session.
///
/// Signatures are checked together, once everyone who is asked has answered: that is three times cheaper than one by one.
pub struct Aggregator {
    roster: Roster,
    cohort: Vec<String>,
    /// Banks that were asked when the running batch was opened.
    opened_for: usize,
    batch: Option<Batch>,
    phase: Phase,
    /// Signatures of the running phase.
    unchecked: Vec<Signed>,
}

/// The keys of a batch, in order of name, and the commitments behind them, one a round.
struct Batch {
    number: u32,
    keys: Vec<Keys>,
    commitments: Vec<Vec<Commitments>>,
    roll: Digest,
}

enum Phase {
    Idle,
    Keying {
        spec: RoundSpec,
        keys: BTreeMap<String, (Keys, Vec<Commitments>)>,
    },
    Dealing {
        spec: RoundSpec,
        shares: BTreeMap<String, Vec<SealedShares>>,
    },
    /// Each vector with its digest.
    Masking {
        round: Round,
        masked: BTreeMap<String, (Masked, Digest)>,
    },
    Agreeing {
        round: Round,
        masked: Vec<Masked>,
        survivors: Survivors,
        agreements: BTreeMap<String, Agreement>,
    },
    Unmasking {
        round: Round,
        masked: Vec<Masked>,
        agreements: Vec<Agreement>,
        unmask: BTreeMap<String, Unmask>,
    },
}

/// What was offered, and its digest.
struct Round {
    offer: Offer,
    digest: Digest,
}

type Events = Vec<Event>;

impl Aggregator {
    /// An aggregator that asks every bank of the roster.
    pub fn new(roster: Roster) -> Self {
        let cohort: Vec<String> = roster.names().map(Into::into).collect();
        Self { roster, opened_for: cohort.len(), cohort, batch: None, phase: Phase::Idle, unchecked: Vec::new() }
    }

    /// Begins a round; where its batch has no keys yet, they are made first.
    ///
    /// # Errors
    /// Refuses while another round runs.
    pub fn open_round(&mut self, spec: RoundSpec) -> Result<Events, Misbehaved> {
        if !matches!(self.phase, Phase::Idle) {
            return Err(Misbehaved::Unexpected { who: "this aggregator".into(), what: "another round" });
        }
        if self.batch.as_ref().is_some_and(|batch| batch.number == spec.batch()) {
            return Ok(vec![self.offer(spec)]);
        }
        let batch = spec.batch();
        self.opened_for = self.cohort.len();
        self.phase = Phase::Keying { spec, keys: BTreeMap::new() };
        Ok(vec![self.to_cohort(ToMember::OpenBatch { batch })])
    }

    /// Takes in one message of a bank.
    ///
    /// # Errors
    /// Refuses what is not awaited or not well formed; the state stays as it was. A signature that does not hold is refused
    /// by an event, once everyone has answered.
    pub fn receive(&mut self, from: &str, message: ToAggregator) -> Result<Events, Misbehaved> {
        if !self.awaits(from) {
            return Err(unexpected(from, "a message of a bank that is not asked, or comes too late,"));
        }
        match (&mut self.phase, message) {
            (Phase::Keying { spec, keys }, ToAggregator::Keys(one, commitments)) => {
                own(from, &one.member)?;
                let signed = one.signed(&self.roster)?;
                if one.batch != spec.batch() || commitments.len() != one.rounds.len() {
                    return Err(unexpected(from, "keys of another batch"));
                }
                for (slot, commitments) in commitments.iter().enumerate() {
                    one.commits_to(slot, commitments, &self.roster)?;
                }
                self.unchecked.push(signed);
                keys.insert(from.into(), (one, commitments));
            }
            (Phase::Dealing { spec, shares }, ToAggregator::Shares(Shares { batch, sealed })) => {
                let others = self.cohort.iter().filter(|name| *name != from);
                let complete = sealed.iter().map(|one| &one.to).eq(others) && sealed.iter().all(|one| one.from == from);
                if batch != spec.batch() || !complete {
                    return Err(Misbehaved::Malformed { who: from.into(), what: "shares that do not fit the roll" });
                }
                shares.insert(from.into(), sealed);
            }
            (Phase::Masking { round, masked }, ToAggregator::Masked(one)) => {
                own(from, &one.member)?;
                round.is(from, one.round)?;
                if one.words.len() != round.offer.spec.words as usize {
                    return Err(Misbehaved::Malformed { who: from.into(), what: "a vector of another length" });
                }
                let vector = Masked::vector(&one.words);
                self.unchecked.push(one.signed(&self.roster, &round.digest, &vector)?);
                masked.insert(from.into(), (one, vector));
            }
            (Phase::Agreeing { round, survivors, agreements, .. }, ToAggregator::Agreement(one)) => {
                own(from, &one.member)?;
                round.is(from, one.round)?;
                self.unchecked.push(one.signed(&self.roster, &round.digest, survivors)?);
                agreements.insert(from.into(), one);
            }
            (Phase::Unmasking { round, unmask, .. }, ToAggregator::Unmask(one)) => {
                own(from, &one.member)?;
                round.is(from, one.round)?;
                if one.shares.len() != round.offer.cohort.len() {
                    return Err(Misbehaved::Malformed { who: from.into(), what: "shares that do not fit the offer" });
                }
                self.unchecked.push(one.signed(&self.roster, &round.digest)?);
                unmask.insert(from.into(), one);
            }
            _ => return Err(unexpected(from, "this kind of message")),
        }
        if !self.cohort.iter().all(|name| self.phase.has(name)) {
            return Ok(Vec::new());
        }
        let mut events = self.check_signatures();
        if events.is_empty() {
            events = self.advance()?;
        }
        Ok(events)
    }

    /// The banks that are still asked.
    pub fn cohort(&self) -> &[String] {
        &self.cohort
    }

    /// The banks that the running phase waits for.
    pub fn waiting_for(&self) -> Vec<String> {
        self.cohort.iter().filter(|name| !self.phase.has(name)).cloned().collect()
    }

    /// Digest of the roll of the running batch.
    #[cfg(test)]
    pub(super) fn roll(&self) -> Digest {
        self.batch.as_ref().map(|batch| batch.roll).unwrap_or_default()
    }

    fn awaits(&self, from: &str) -> bool {
        !self.phase.has(from) && self.cohort.iter().any(|name| name == from)
    }

    /// Goes on without the banks that have not answered; they stay out of every later round.
    ///
    /// # Errors
    /// Stops if too few are left.
    pub fn give_up_waiting(&mut self) -> Result<Events, Stopped> {
        if self.waiting_for().is_empty() {
            return Ok(Vec::new());
        }
        let mut events = self.check_signatures();
        let missing = self.waiting_for();
        let have = self.cohort.len() - missing.len();
        let need = self.roster.quorum();
        if have < need {
            return Err(Stopped { phase: self.phase.name(), have, need, missing });
        }
        self.cohort.retain(|name| !missing.contains(name));
        if let Phase::Masking { round: Round { offer, .. }, .. } = &self.phase
            && offer.spec.part.is_of_all()
        {
            events.push(Event::CalledOff { round: offer.spec.round, cohort: self.cohort.clone() });
            self.phase = Phase::Idle;
            return Ok(events);
        }
        events.extend(self.advance().map_err(|_| Stopped { phase: "unmasking", have, need, missing })?);
        Ok(events)
    }

    /// Checks the signatures of the phase; messages without a good one are forgotten.
    fn check_signatures(&mut self) -> Events {
        let mut events = Vec::new();
        for (from, what) in Signed::refused(std::mem::take(&mut self.unchecked)) {
            self.phase.forget(&from);
            events.push(Event::Refused { misbehaved: Misbehaved::Signature { who: from.clone(), what }, from });
        }
        events
    }

    /// Everyone who is still asked has answered, and every signature holds.
    fn advance(&mut self) -> Result<Events, Misbehaved> {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle => Ok(Vec::new()),
            Phase::Keying { spec, keys } => {
                let number = spec.batch();
                let (keys, commitments): (Vec<_>, _) = keys.into_values().unzip();
                let roll = ToMember::Roll { batch: number, keys: keys.clone() };
                let digest = roll_digest(&self.roster, &keys);
                self.batch = Some(Batch { number, keys, commitments, roll: digest });
                self.phase = Phase::Dealing { spec, shares: BTreeMap::new() };
                Ok(vec![self.to_cohort(roll)])
            }
            Phase::Dealing { spec, shares } => {
                let batch = spec.batch();
                let mut dealt: BTreeMap<String, Vec<_>> = BTreeMap::new();
                for one in shares.into_values().flatten() {
                    dealt.entry(one.to.clone()).or_default().push(one);
                }
                let asked = dealt.into_iter().filter(|(to, _)| self.cohort.contains(to));
                let deliver = |(to, shares)| Event::Send { to: vec![to], message: ToMember::Deliver { batch, shares } };
                let mut events: Events = asked.map(deliver).collect();
                // What banks were to be asked rests on who is there: with fewer, another part may come first.
                events.push(match spec.part {
                    Part::Rows | Part::Whole => self.offer(spec),
                    _ if self.opened_for == self.cohort.len() => self.offer(spec),
                    _ => Event::CalledOff { round: spec.round, cohort: self.cohort.clone() },
                });
                Ok(events)
            }
            Phase::Masking { round, masked } => {
                let (masked, vectors): (Vec<_>, Vec<_>) = masked.into_values().unzip();
                let names = masked.iter().map(|one| one.member.clone()).collect();
                let survivors = Survivors { names, vectors };
                let message = ToMember::Survivors {
                    round: round.offer.spec.round,
                    survivors: survivors.names.clone(),
                    vectors: survivors.vectors.clone(),
                };
                self.phase = Phase::Agreeing { round, masked, survivors, agreements: BTreeMap::new() };
                Ok(vec![self.to_cohort(message)])
            }
            Phase::Agreeing { round, masked, agreements, .. } => {
                let agreements: Vec<_> = agreements.into_values().collect();
                let message = ToMember::Quorum { round: round.offer.spec.round, agreements: agreements.clone() };
                self.phase = Phase::Unmasking { round, masked, agreements, unmask: BTreeMap::new() };
                Ok(vec![self.to_cohort(message)])
            }
            Phase::Unmasking { round: Round { offer, .. }, masked, agreements, unmask } => {
                let round = offer.spec.round;
                let slot = offer.spec.slot();
                let (keys, commitments) = self.batch.as_ref().map(|batch| batch.round(slot)).unwrap_or_default();
                let unmask = unmask.into_values().collect();
                let transcript = Transcript { offer, keys, commitments, masked, agreements, unmask };
                let sums = transcript
                    .sum(&self.roster)
                    .map_err(|_| unexpected("the banks", "a set of shares that do not fit their commitments"))?;
                let cohort = transcript.survivors();
                Ok(vec![Event::Released { round, cohort, sums, transcript: Box::new(transcript) }])
            }
        }
    }

    fn offer(&mut self, spec: RoundSpec) -> Event {
        let offer = Offer { spec, cohort: self.cohort.clone() };
        let roll = self.batch.as_ref().map(|batch| batch.roll).unwrap_or_default();
        let digest = offer.digest(&self.roster, &roll);
        let event = self.to_cohort(ToMember::Offer(offer.clone()));
        self.phase = Phase::Masking { round: Round { offer, digest }, masked: BTreeMap::new() };
        event
    }

    fn to_cohort(&self, message: ToMember) -> Event {
        Event::Send { to: self.cohort.clone(), message }
    }
}

impl Round {
    fn is(&self, from: &str, number: u32) -> Result<(), Misbehaved> {
        if self.offer.spec.round == number { Ok(()) } else { Err(unexpected(from, "a message of another round")) }
    }
}

impl Batch {
    /// The keys, and the commitments of one round.
    fn round(&self, slot: usize) -> (Vec<Keys>, Vec<Commitments>) {
        (self.keys.clone(), self.commitments.iter().filter_map(|rounds| rounds.get(slot).cloned()).collect())
    }
}

impl Phase {
    /// True if nothing more is awaited from `name`.
    fn has(&self, name: &str) -> bool {
        match self {
            Self::Idle => true,
            Self::Keying { keys, .. } => keys.contains_key(name),
            Self::Dealing { shares, .. } => shares.contains_key(name),
            Self::Masking { masked, .. } => masked.contains_key(name),
            Self::Agreeing { agreements, .. } => agreements.contains_key(name),
            Self::Unmasking { unmask, .. } => unmask.contains_key(name),
        }
    }

    fn forget(&mut self, name: &str) {
        match self {
            Self::Idle => None,
            Self::Keying { keys, .. } => keys.remove(name).map(drop),
            Self::Dealing { shares, .. } => shares.remove(name).map(drop),
            Self::Masking { masked, .. } => masked.remove(name).map(drop),
            Self::Agreeing { agreements, .. } => agreements.remove(name).map(drop),
            Self::Unmasking { unmask, .. } => unmask.remove(name).map(drop),
        };
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Keying { .. } => "keys",
            Self::Dealing { .. } => "shares",
            Self::Masking { .. } => "masked vectors",
            Self::Agreeing { .. } => "agreement on the survivors",
            Self::Unmasking { .. } => "unmasking",
        }
    }
}

fn own(from: &str, member: &str) -> Result<(), Misbehaved> {
    if from == member { Ok(()) } else { Err(unexpected(from, "a message in another bank's name")) }
}

fn unexpected(who: &str, what: &'static str) -> Misbehaved {
    Misbehaved::Unexpected { who: who.into(), what }
}
