//! The aggregator: relays keys and shares, adds masked vectors, removes the masks with the shares of the survivors.

use std::collections::BTreeMap;

use super::messages::{
    Agreement, Keys, Masked, Misbehaved, Offer, Part, RoundSpec, SealedShares, Shares, ToAggregator, ToMember, Unmask,
};
use super::{Roster, Transcript};

/// What the aggregator does after a message.
#[derive(Debug)]
pub enum Event {
    /// Send this to a bank.
    Send {
        /// The bank.
        to: String,
        /// The message.
        message: ToMember,
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
pub struct Aggregator {
    roster: Roster,
    cohort: Vec<String>,
    batch: Option<(u32, Vec<Keys>)>,
    phase: Phase,
}

enum Phase {
    Idle,
    Keying { spec: RoundSpec, keys: BTreeMap<String, Keys> },
    Dealing { spec: RoundSpec, shares: BTreeMap<String, Vec<SealedShares>> },
    Masking { offer: Offer, masked: BTreeMap<String, Masked> },
    Agreeing { offer: Offer, masked: Vec<Masked>, agreements: BTreeMap<String, Agreement> },
    Unmasking { offer: Offer, masked: Vec<Masked>, agreements: Vec<Agreement>, unmask: BTreeMap<String, Unmask> },
}

type Events = Vec<Event>;

impl Aggregator {
    /// An aggregator that asks every bank of the roster.
    pub fn new(roster: Roster) -> Self {
        let cohort = roster.names().map(Into::into).collect();
        Self { roster, cohort, batch: None, phase: Phase::Idle }
    }

    /// Begins a round; where its batch has no keys yet, they are made first.
    ///
    /// # Errors
    /// Refuses while another round runs.
    pub fn open_round(&mut self, spec: RoundSpec) -> Result<Events, Misbehaved> {
        if !matches!(self.phase, Phase::Idle) {
            return Err(Misbehaved::Unexpected { who: "this aggregator".into(), what: "another round" });
        }
        if self.batch.as_ref().is_some_and(|(batch, _)| *batch == spec.batch()) {
            return Ok(self.offer(spec));
        }
        let batch = spec.batch();
        self.phase = Phase::Keying { spec, keys: BTreeMap::new() };
        Ok(self.to_cohort(&ToMember::OpenBatch { batch }))
    }

    /// Takes in one message of a bank.
    ///
    /// # Errors
    /// Refuses what is not awaited or not signed; the state stays as it was.
    pub fn receive(&mut self, from: &str, message: ToAggregator) -> Result<Events, Misbehaved> {
        if !self.waiting_for().iter().any(|name| name == from) {
            return Err(unexpected(from, "a message of a bank that is not asked, or comes too late,"));
        }
        match (&mut self.phase, message) {
            (Phase::Keying { spec, keys }, ToAggregator::Keys(one)) => {
                own(from, &one.member)?;
                one.verify(&self.roster)?;
                if one.batch != spec.batch() {
                    return Err(unexpected(from, "keys of another batch"));
                }
                keys.insert(from.into(), one);
            }
            (Phase::Dealing { spec, shares }, ToAggregator::Shares(Shares { batch, sealed })) => {
                let others = self.cohort.iter().filter(|name| *name != from);
                let complete = sealed.iter().map(|one| &one.to).eq(others) && sealed.iter().all(|one| one.from == from);
                if batch != spec.batch() || !complete {
                    return Err(Misbehaved::Malformed { who: from.into(), what: "shares that do not fit the roll" });
                }
                shares.insert(from.into(), sealed);
            }
            (Phase::Masking { offer, masked }, ToAggregator::Masked(one)) => {
                own(from, &one.member)?;
                one.verify(&self.roster, &offer.digest(&self.roster))?;
                if one.words.len() != offer.spec.words as usize {
                    return Err(Misbehaved::Malformed { who: from.into(), what: "a vector of another length" });
                }
                masked.insert(from.into(), one);
            }
            (Phase::Agreeing { offer, masked, agreements }, ToAggregator::Agreement(one)) => {
                own(from, &one.member)?;
                let survivors: Vec<_> = masked.iter().map(|one| one.member.clone()).collect();
                one.verify(&self.roster, &offer.digest(&self.roster), &survivors)?;
                agreements.insert(from.into(), one);
            }
            (Phase::Unmasking { offer, unmask, .. }, ToAggregator::Unmask(one)) => {
                own(from, &one.member)?;
                one.verify(&self.roster, &offer.digest(&self.roster))?;
                unmask.insert(from.into(), one);
            }
            _ => return Err(unexpected(from, "this kind of message")),
        }
        if self.waiting_for().is_empty() { self.advance() } else { Ok(Vec::new()) }
    }

    /// The banks that the running phase waits for.
    pub fn waiting_for(&self) -> Vec<String> {
        fn missing<T>(asked: &[String], answered: &BTreeMap<String, T>) -> Vec<String> {
            asked.iter().filter(|name| !answered.contains_key(*name)).cloned().collect()
        }
        match &self.phase {
            Phase::Idle => Vec::new(),
            Phase::Keying { keys, .. } => missing(&self.cohort, keys),
            Phase::Dealing { shares, .. } => missing(&self.cohort, shares),
            Phase::Masking { masked, .. } => missing(&self.cohort, masked),
            Phase::Agreeing { agreements, .. } => missing(&self.cohort, agreements),
            Phase::Unmasking { unmask, .. } => missing(&self.cohort, unmask),
        }
    }

    /// Goes on without the banks that have not answered; they stay out of every later round.
    ///
    /// # Errors
    /// Stops if too few are left.
    pub fn give_up_waiting(&mut self) -> Result<Events, Stopped> {
        let missing = self.waiting_for();
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let have = self.cohort.len() - missing.len();
        let need = self.roster.quorum();
        if have < need {
            return Err(Stopped { phase: self.phase.name(), have, need, missing });
        }
        self.cohort.retain(|name| !missing.contains(name));
        if let Phase::Masking { offer: Offer { spec: RoundSpec { round, part: Part::Cells, .. }, .. }, .. } =
            &self.phase
        {
            let called_off = Event::CalledOff { round: *round, cohort: self.cohort.clone() };
            self.phase = Phase::Idle;
            return Ok(vec![called_off]);
        }
        self.advance().map_err(|_| Stopped { phase: "unmasking", have, need, missing })
    }

    /// Everyone who is still asked has answered.
    fn advance(&mut self) -> Result<Events, Misbehaved> {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle => Ok(Vec::new()),
            Phase::Keying { spec, keys } => {
                let batch = spec.batch();
                let keys: Vec<_> = keys.into_values().collect();
                self.batch = Some((batch, keys.clone()));
                self.phase = Phase::Dealing { spec, shares: BTreeMap::new() };
                Ok(self.to_cohort(&ToMember::Roll { batch, keys }))
            }
            Phase::Dealing { spec, shares } => {
                let batch = spec.batch();
                let dealt = |to: &String| {
                    let shares = shares.values().flatten().filter(|one| one.to == *to).cloned().collect();
                    Event::Send { to: to.clone(), message: ToMember::Deliver { batch, shares } }
                };
                let mut events: Events = self.cohort.iter().map(dealt).collect();
                events.extend(self.offer(spec));
                Ok(events)
            }
            Phase::Masking { offer, masked } => {
                let round = offer.spec.round;
                let masked: Vec<_> = masked.into_values().collect();
                let survivors = masked.iter().map(|one| one.member.clone()).collect();
                self.phase = Phase::Agreeing { offer, masked, agreements: BTreeMap::new() };
                Ok(self.to_cohort(&ToMember::Survivors { round, survivors }))
            }
            Phase::Agreeing { offer, masked, agreements } => {
                let round = offer.spec.round;
                let agreements: Vec<_> = agreements.into_values().collect();
                let events = self.to_cohort(&ToMember::Quorum { round, agreements: agreements.clone() });
                self.phase = Phase::Unmasking { offer, masked, agreements, unmask: BTreeMap::new() };
                Ok(events)
            }
            Phase::Unmasking { offer, masked, agreements, unmask } => {
                let keys = self.batch.as_ref().map(|(_, keys)| keys.clone()).unwrap_or_default();
                let round = offer.spec.round;
                let unmask = unmask.into_values().collect();
                let transcript = Transcript { offer, keys, masked, agreements, unmask };
                let sums = transcript
                    .sum(&self.roster)
                    .map_err(|_| unexpected("the banks", "a set of shares that do not fit their commitments"))?;
                let cohort = transcript.survivors();
                Ok(vec![Event::Released { round, cohort, sums, transcript: Box::new(transcript) }])
            }
        }
    }

    fn offer(&mut self, spec: RoundSpec) -> Events {
        let offer = Offer { spec, cohort: self.cohort.clone() };
        let events = self.to_cohort(&ToMember::Offer(offer.clone()));
        self.phase = Phase::Masking { offer, masked: BTreeMap::new() };
        events
    }

    fn to_cohort(&self, message: &ToMember) -> Events {
        self.cohort.iter().map(|name| Event::Send { to: name.clone(), message: message.clone() }).collect()
    }
}

impl Phase {
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
