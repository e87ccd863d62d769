//! The platform's side of a session: offers rows, adds masked vectors, runs the trainer on the released sums.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rayon::prelude::*;
use tally_crypto::seed::Seed;
use tally_crypto::sign::SigningKey;
use tally_crypto::transcript::Digest;
use tally_model::{Ask, Fitted, Learner};
use tally_policy::Cleared;

use super::attest::{Announced, RoundResult, Signatures, Statements};
use super::bins::{BinTable, bin};
use super::guard::few_rows;
use super::join::encode_codes;
use super::messages::{FromBank, FromPlatform};
use super::offering::BankAlignment;
use super::parts::{Asked, Reached};
use super::platform_data::{PlatformData, PlatformHalf};
use super::training::told_plainly;
use super::transcript::AlignmentTranscript;
use super::withdrawal::{Ended, Offered};
use super::{Contract, Fact, Fault, Holder, Output, Recompute, SealedContract, Stage};
use crate::aggregation::{Aggregator, Event, Part, RoundSpec, Transcript};
use crate::alignment::{self, Identifiers, ToBank, rung};

/// What happens to a platform's session; the journal of these is the session.
#[derive(Debug)]
pub enum PlatformInput {
    /// The contract is signed by all and the data are cleared.
    Prepared(Cleared<PlatformData>),
    /// The consents of these enterprises to this bank have ended.
    Withdraw {
        /// The bank.
        bank: String,
        /// The consents.
        ended: Vec<Ended>,
    },
    /// A message of a bank.
    Message {
        /// Its sender.
        from: String,
        /// The message.
        message: FromBank,
    },
    /// The contract's patience has passed without progress.
    PatienceOver,
}

/// The platform's state machine.
pub struct PlatformSession {
    contract: SealedContract,
    me: String,
    key: Arc<SigningKey>,
    seed: Seed,
    tables: Vec<(String, BinTable)>,
    bins: Vec<u16>,
    offered: BTreeMap<String, Offered>,
    phase: Phase,
}

enum Phase {
    Preparing,
    Aligning(BTreeMap<String, BankAlignment>),
    /// Statistics: banks that are not ready yet.
    Gathering(BTreeSet<String>),
    Training(Box<Training>),
    Comparing(Box<Comparing>),
    Finished,
}

struct Training {
    trainer: Learner,
    aggregator: Aggregator,
    asked: Asked,
    /// The part of it that is asked.
    part: Part,
    round: u32,
    cohort: Vec<String>,
    /// Rounds in which a sum was released.
    results: Vec<RoundResult>,
}

/// The model is there; every bank of the last cohort is to sign it.
struct Comparing {
    fit: Box<Fitted>,
    waiting: BTreeSet<String>,
    statements: Statements,
    signed: BTreeMap<String, Signatures>,
}

type Outputs = Vec<Output<FromPlatform>>;

impl PlatformSession {
    /// A session that waits for its data.
    ///
    /// # Errors
    /// Fails if the contract names no platform.
    pub fn new(contract: SealedContract, key: Arc<SigningKey>, seed: Seed) -> Result<Self, Fault> {
        let platform = contract.terms().platform().ok_or_else(|| Fault::new("contract", "names no platform"))?;
        let me = platform.name.clone();
        Ok(Self {
            contract,
            me,
            key,
            seed,
            tables: Vec::new(),
            bins: Vec::new(),
            offered: BTreeMap::new(),
            phase: Phase::Preparing,
        })
    }

    /// Applies one input.
    ///
    /// # Errors
    /// A fault ends the session; it names the culprit.
    pub fn apply(&mut self, input: PlatformInput) -> Result<Outputs, Fault> {
        match input {
            PlatformInput::Prepared(data) => self.prepare(data.into_inner()),
            PlatformInput::Withdraw { bank, ended } => Ok(self.withdraw(bank, &ended)),
            PlatformInput::Message { from, message } => self.receive(&from, message),
            PlatformInput::PatienceOver => self.go_on_without(),
        }
    }

    /// The banks that the session waits for; empty where nothing is awaited.
    pub fn waiting_for(&self) -> Vec<String> {
        match &self.phase {
            Phase::Preparing | Phase::Finished => Vec::new(),
            Phase::Aligning(banks) => {
                banks.iter().filter(|(_, bank)| !bank.aligned).map(|(name, _)| name.clone()).collect()
            }
            Phase::Gathering(waiting) => waiting.iter().cloned().collect(),
            Phase::Training(training) => training.aggregator.waiting_for(),
            Phase::Comparing(comparing) => comparing.waiting.iter().cloned().collect(),
        }
    }

    /// The round that is running, for people.
    pub fn round(&self) -> Option<u32> {
        match &self.phase {
            Phase::Training(training) => Some(training.round),
            _ => None,
        }
    }

    /// The platform's half of the model.
    pub fn half(&self) -> PlatformHalf {
        PlatformHalf { tables: self.tables.clone() }
    }

    fn prepare(&mut self, data: PlatformData) -> Result<Outputs, Fault> {
        if !matches!(self.phase, Phase::Preparing) {
            return Err(Fault::new(&self.me, "the data were prepared twice"));
        }
        if self.contract.terms().is_statistics() {
            return Ok(self.gather());
        }
        let names: Vec<_> = self.contract.terms().fields_of(Holder::Platform).map(|field| field.name.clone()).collect();
        let (tables, codes) = bin(self.contract.terms(), &data.columns);
        self.bins = tables.iter().map(BinTable::bins).collect();
        self.tables = names.into_iter().zip(tables).collect();
        let digest = self.half().digest();
        let mut outputs = Vec::new();
        let mut alignments = BTreeMap::new();
        let banks: Vec<_> = self.contract.terms().banks().map(|bank| bank.name.clone()).collect();
        for bank in banks {
            let rows = data.consented.get(&bank).map(Vec::as_slice).unwrap_or_default();
            let alignment = self.offer(&bank, &data.identifiers, rows, &codes, digest, &mut outputs)?;
            alignments.insert(bank, alignment);
        }
        self.phase = Phase::Aligning(alignments);
        Ok(outputs)
    }

    /// Statistics: tells the banks to begin.
    fn gather(&mut self) -> Outputs {
        let banks: BTreeSet<_> = self.contract.terms().banks().map(|bank| bank.name.clone()).collect();
        let begin = |to: &String| Output::Send { to: to.clone(), message: FromPlatform::Begin };
        let outputs = banks.iter().map(begin).collect();
        self.phase = Phase::Gathering(banks);
        outputs
    }

    fn offer(
        &mut self,
        bank: &str,
        identifiers: &[String],
        rows: &[u32],
        codes: &[Vec<u16>],
        tables: Digest,
        outputs: &mut Outputs,
    ) -> Result<BankAlignment, Fault> {
        let terms = self.contract.terms();
        let names = || rows.iter().map(|&row| identifiers[row as usize].clone());
        self.offered.insert(bank.into(), Offered::new(names()));
        let identifiers: Identifiers = names().collect();
        let payloads = rows.par_iter().map(|&row| encode_codes(codes.iter().map(|column| column[row as usize])));
        let count = rows.len() as u64;
        let announced = if terms.alignment.padding { rung(count) } else { count };
        let alignment_terms = terms.alignment_terms(self.contract.digest(), bank);
        let (machine, step) = alignment::Platform::start(&alignment_terms, identifiers, announced, &self.seed)
            .map_err(|error| Fault::new(&self.me, error))?;
        let mut alignment = BankAlignment {
            machine,
            transcript: AlignmentTranscript::new(),
            keyed: Vec::new(),
            payloads: payloads.collect(),
            announced,
            aligned: false,
        };
        let offered = self.offered.entry(bank.into()).or_default();
        let send = alignment.take(step, &self.seed, offered).map_err(|error| Fault::new(&self.me, error))?;
        if let Some(FromPlatform::Alignment(ToBank::Announce(announcement))) = send.first() {
            outputs.push(Output::Record(Fact::ConsentSet {
                bank: bank.into(),
                rows: announcement.rows,
                set: announcement.set,
            }));
        }
        let announce = FromPlatform::Announce { bins: self.bins.clone(), tables };
        let messages = std::iter::once(announce).chain(send);
        outputs.extend(messages.map(|message| Output::Send { to: bank.into(), message }));
        Ok(alignment)
    }

    /// Rows whose consent to `bank` has ended: left out if they are not sealed yet, else their events are forwarded to the bank.
    fn withdraw(&mut self, bank: String, ended: &[Ended]) -> Outputs {
        if matches!(self.phase, Phase::Preparing | Phase::Finished) {
            return Vec::new();
        }
        let Some(offered) = self.offered.get_mut(&bank) else { return Vec::new() };
        let (rows, told) = offered.withdraw(ended);
        if rows == 0 {
            return Vec::new();
        }
        let mut outputs = vec![Output::Record(Fact::Withdrawn { bank: bank.clone(), rows })];
        if !told.is_empty() {
            outputs.push(Output::Record(Fact::Named { bank: bank.clone(), rows: told.len() as u64 }));
            outputs.push(Output::Send { to: bank, message: FromPlatform::Withdrawn { rows: told } });
        }
        outputs
    }

    fn receive(&mut self, from: &str, message: FromBank) -> Result<Outputs, Fault> {
        match (&mut self.phase, message) {
            (_, FromBank::Aborted(stop)) => Err(stop.into()),
            (Phase::Aligning(banks), FromBank::Alignment(message)) => {
                let bank = banks.get_mut(from).ok_or_else(|| Fault::new(from, "is not a bank of this contract"))?;
                let offered = self.offered.entry(from.into()).or_default();
                let send = bank.receive(message, &self.seed, offered).map_err(|error| Fault::new(from, error))?;
                Ok(send.into_iter().map(|message| Output::Send { to: from.into(), message }).collect())
            }
            (Phase::Aligning(banks), FromBank::Aligned) => {
                let bank = banks.get_mut(from).ok_or_else(|| Fault::new(from, "is not a bank of this contract"))?;
                bank.aligned = true;
                let transcript = bank.transcript.digest();
                let mut outputs = vec![Output::Record(Fact::Alignment { bank: from.into(), transcript })];
                if banks.values().all(|bank| bank.aligned) {
                    outputs.extend(self.train()?);
                }
                Ok(outputs)
            }
            (Phase::Gathering(waiting), FromBank::Aligned) => {
                waiting.remove(from);
                if waiting.is_empty() { self.train() } else { Ok(Vec::new()) }
            }
            (Phase::Training(training), FromBank::Aggregation(step)) => match training.aggregator.receive(from, step) {
                Ok(events) => self.follow(events),
                Err(misbehaved) => Ok(vec![Output::Refused(Fault::new(from, misbehaved))]),
            },
            (Phase::Comparing(comparing), FromBank::Fitted { model, signatures }) => {
                comparing.take(&self.contract, from, model, signatures)?;
                if comparing.waiting.is_empty() { self.release() } else { Ok(Vec::new()) }
            }
            // A bank that was given up catches up with what it has missed; what it says comes too late to count.
            (_, FromBank::Aligned | FromBank::Aggregation(_) | FromBank::Fitted { .. }) => Ok(Vec::new()),
            (_, FromBank::Alignment(_)) => Err(Fault::new(from, "sent a step of the alignment outside of it")),
        }
    }

    fn train(&mut self) -> Result<Outputs, Fault> {
        let terms = self.contract.terms();
        let trainer = terms.course(&self.bins).learner().map_err(|error| Fault::new(&self.me, error))?;
        let roster = self.contract.roster()?;
        let Ask::Sum(request) = trainer.next() else {
            return Err(Fault::new(&self.me, "the trainer asks for nothing"));
        };
        let cohort = terms.banks().map(|bank| bank.name.clone()).collect();
        let asked = Asked::first(request, terms);
        let (aggregator, part) = (Aggregator::new(roster), Part::Rows);
        let mut training = Training { trainer, aggregator, asked, part, round: 0, cohort, results: Vec::new() };
        let events = open_round(&mut training, self.contract.terms(), &self.me)?;
        self.phase = Phase::Training(Box::new(training));
        let mut outputs = vec![Output::Stage(Stage::Aligned), Output::Stage(Stage::Prepared)];
        outputs.extend(self.follow(events)?);
        Ok(outputs)
    }

    fn follow(&mut self, events: Vec<Event>) -> Result<Outputs, Fault> {
        let mut outputs = Vec::new();
        let mut queue = std::collections::VecDeque::from(events);
        while let Some(event) = queue.pop_front() {
            match event {
                Event::Send { to, message } => {
                    let message = |to| Output::Send { to, message: FromPlatform::Aggregation(message.clone()) };
                    outputs.extend(to.into_iter().map(message));
                }
                Event::Refused { from, misbehaved } => outputs.push(Output::Refused(Fault::new(&from, misbehaved))),
                Event::Released { round, cohort, sums, transcript } => {
                    outputs.push(Output::Evidence { round, transcript: transcript.encode() });
                    queue.extend(self.released(round, cohort, sums, *transcript, &mut outputs)?);
                }
                Event::CalledOff { cohort, .. } => queue.extend(self.ask_again(cohort)?),
            }
        }
        Ok(outputs)
    }

    fn released(
        &mut self,
        round: u32,
        cohort: Vec<String>,
        sums: Vec<i64>,
        transcript: Transcript,
        outputs: &mut Outputs,
    ) -> Result<Vec<Event>, Fault> {
        let Phase::Training(training) = &mut self.phase else { return Ok(Vec::new()) };
        let request = training.asked.request();
        let result = RoundResult::new(round, request, &cohort, &sums);
        outputs.push(Output::Record(result.fact()));
        training.results.push(result);
        let limits = &self.contract.terms().limits;
        let recomputed = limits.recompute == Recompute::EverySum || told_plainly(training.part);
        let transcript = recomputed.then(|| Box::new(transcript.without_keys()));
        for bank in self.contract.terms().banks() {
            let transcript = transcript.clone().filter(|_| cohort.contains(&bank.name));
            let (part, cohort, sums) = (training.part, cohort.clone(), sums.clone());
            let message = FromPlatform::Released { round, part, cohort, sums, transcript };
            outputs.push(Output::Send { to: bank.name.clone(), message });
        }
        training.cohort.clone_from(&cohort);
        let evaluated = request.evaluates();
        let reached = training.asked.release(training.part, &cohort, sums, self.contract.terms()).ok_or_else(|| {
            Fault::new(
                &cohort.join(", "),
                format!("round {round}: one of them gave numbers that are no counts of rows"),
            )
        })?;
        if let Reached::Sums(sums) = reached {
            let blame = |error| Fault::new(&self.me, format!("round {round}: {error}"));
            training.trainer.answer(sums).map_err(blame)?;
            match training.trainer.next() {
                Ask::Sum(request) => {
                    if request.evaluates() && !evaluated {
                        outputs.push(Output::Stage(Stage::Trained));
                    }
                    training.asked = training.asked.then(request);
                }
                Ask::Done(fit) => {
                    outputs.push(Output::Stage(Stage::Evaluated));
                    let waiting = training.cohort.iter().cloned().collect();
                    let results = std::mem::take(&mut training.results);
                    let announced = Announced { bins: self.bins.clone(), tables: self.half().digest() };
                    let statements = Statements::new(&self.contract, results, &announced, fit.digest());
                    let (fit, signed) = (Box::new(fit), BTreeMap::new());
                    self.phase = Phase::Comparing(Box::new(Comparing { fit, waiting, statements, signed }));
                    return Ok(Vec::new());
                }
            }
        }
        self.next_round()
    }

    /// Asks for the same part again, of fewer banks.
    fn ask_again(&mut self, cohort: Vec<String>) -> Result<Vec<Event>, Fault> {
        if let Phase::Training(training) = &mut self.phase {
            training.cohort = cohort;
        }
        self.next_round()
    }

    fn next_round(&mut self) -> Result<Vec<Event>, Fault> {
        let Phase::Training(training) = &mut self.phase else { return Ok(Vec::new()) };
        training.round += 1;
        if training.round >= self.contract.terms().limits.rounds {
            return Err(Fault::new("contract", "the fit needs more rounds than `limits.rounds` allows"));
        }
        open_round(training, self.contract.terms(), &self.me)
    }

    fn release(&mut self) -> Result<Outputs, Fault> {
        let Phase::Comparing(comparing) = std::mem::replace(&mut self.phase, Phase::Finished) else {
            return Ok(Vec::new());
        };
        let Comparing { fit, waiting, statements, mut signed } = *comparing;
        signed.insert(self.me.clone(), statements.sign(&self.key));
        let model = fit.digest();
        let rounds = u32::try_from(fit.rounds().len()).unwrap_or(u32::MAX);
        let unsigned = |bank: &String| Output::Refused(Fault::new(bank, "did not sign the results in time"));
        let mut outputs: Outputs = waiting.iter().map(unsigned).collect();
        outputs.extend([Output::Record(Fact::Model { model, rounds }), Output::Model(fit)]);
        outputs.extend(statements.attested(&self.contract, &signed).map(Output::Attested));
        for bank in self.contract.terms().banks() {
            let message = FromPlatform::Complete { model, signed: signed.clone() };
            outputs.push(Output::Send { to: bank.name.clone(), message });
        }
        outputs.extend([Output::Stage(Stage::Released), Output::Stage(Stage::Closed)]);
        Ok(outputs)
    }

    fn go_on_without(&mut self) -> Result<Outputs, Fault> {
        let patience = self.contract.terms().patience_seconds;
        match &mut self.phase {
            Phase::Preparing | Phase::Finished => Ok(Vec::new()),
            Phase::Aligning(_) | Phase::Gathering(_) => {
                let missing = self.waiting_for();
                let (roster, banks) = (self.contract.roster()?, self.contract.terms().banks().count());
                let (threshold, present) = (roster.threshold(), banks - missing.len());
                if present < threshold {
                    let reason = format!(
                        "did not get ready within {patience} s; {present} of {banks} banks are there, {threshold} are \
                         needed: start the node again and propose a new session"
                    );
                    return Err(Fault::new(&missing.join(", "), reason));
                }
                self.train()
            }
            Phase::Training(training) => {
                let events = training.aggregator.give_up_waiting().map_err(|stopped| {
                    let reason = format!(
                        "did not answer within {patience} s in round {} ({stopped}): start the node again and \
                         propose a new session",
                        training.round
                    );
                    Fault::new(&stopped.missing.join(", "), reason)
                })?;
                self.follow(events)
            }
            Phase::Comparing(comparing) => {
                let (have, need) = (comparing.signed.len(), self.contract.terms().limits.min_cohort as usize);
                if have < need {
                    let missing: Vec<_> = comparing.waiting.iter().cloned().collect();
                    let reason = format!(
                        "did not sign the results within {patience} s; {have} banks did, {need} are needed: start the \
                         node again and propose a new session"
                    );
                    return Err(Fault::new(&missing.join(", "), reason));
                }
                self.release()
            }
        }
    }
}

impl Comparing {
    /// A bank has computed the same model, and signs both statements once.
    fn take(
        &mut self,
        contract: &SealedContract,
        from: &str,
        model: Digest,
        signatures: Signatures,
    ) -> Result<(), Fault> {
        let key = contract.terms().party(from).map(|bank| bank.node_key);
        let key = key.ok_or_else(|| Fault::new(from, "is not a bank of this contract"))?;
        if model != self.fit.digest() {
            return Err(Fault::new(from, "computed another model from the same sums"));
        }
        self.statements.check(&key, &signatures).map_err(|what| Fault::new(from, format!("did not sign {what}")))?;
        if self.signed.insert(from.into(), signatures).is_some_and(|before| before != signatures) {
            return Err(Fault::new(from, "signed the results twice, and differently"));
        }
        self.waiting.remove(from);
        Ok(())
    }
}

fn open_round(training: &mut Training, terms: &Contract, me: &str) -> Result<Vec<Event>, Fault> {
    let asked = &training.asked;
    let part = asked.part(training.aggregator.cohort());
    if !asked.stands(part, terms) {
        return Err(few_rows(terms));
    }
    training.part = part;
    let words = u32::try_from(asked.words(part)).map_err(|error| Fault::new(me, error))?;
    let spec = RoundSpec { round: training.round, request: asked.request().digest(), part, words };
    training.aggregator.open_round(spec).map_err(|error| Fault::new(me, error))
}

#[cfg(test)]
impl PlatformSession {
    /// Deviates: seals something else as the row of `identifier` for `bank`.
    pub(super) fn seal_instead(&mut self, bank: &str, identifier: &str, payload: &[u8]) {
        let place = self.offered.get(bank).and_then(|offered| offered.place(identifier));
        let Phase::Aligning(banks) = &mut self.phase else { return };
        let row = banks.get_mut(bank).zip(place).and_then(|(bank, place)| bank.payloads.get_mut(place));
        row.into_iter().for_each(|row| *row = payload.to_vec());
    }
}
