//! A bank's side of a session: opens its rows, contributes masked vectors, runs the same trainer as everyone.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tally_crypto::seed::Seed;
use tally_crypto::sign::SigningKey;
use tally_crypto::transcript::Digest;
use tally_model::{Ask, Column, Table};
use tally_policy::Cleared;

use super::attest::{Announced, Statements};
use super::disclosed::DisclosedBank;
use super::join::{decode_codes, every_row, join};
use super::messages::{FromBank, FromPlatform};
use super::parts::Asked;
use super::training::{Answering, Training};
use super::transcript::AlignmentTranscript;
use super::twins;
use super::withdrawal::{EndedRow, Origin, Origins};
use super::{Fact, Fault, Holder, Output, PlatformHalf, SealedContract, Stage};
use crate::aggregation::{Contributor, Misbehaved, Noise, Reaction, Release};
use crate::alignment::{self, Identifiers, Keyed, SealedRow, Step, ToBank, ToPlatform, open_rows};

/// What a bank brings: its cleared loan rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BankData {
    /// One identifier a row, distinct.
    pub identifiers: Vec<String>,
    /// 1 for a loan that went bad.
    pub label: Vec<u8>,
    /// The contract's bank fields, in contract order.
    pub columns: Vec<Column>,
    /// True for a row that is held out.
    pub holdout: Vec<bool>,
    /// Weights in the fit; empty where the contract has none.
    pub weight: Vec<f64>,
    /// Offsets in the fit; empty where the contract has none.
    pub offset: Vec<f64>,
}

/// What happens to a bank's session; the journal of these is the session.
#[derive(Debug)]
pub enum BankInput {
    /// The contract is signed by all and the data are cleared.
    Prepared(Cleared<BankData>),
    /// A message of the platform.
    Message(FromPlatform),
    /// The consents of these enterprises have ended, as this bank's register knows.
    Withdraw(BTreeSet<String>),
}

/// Most messages that wait for this bank's data: an honest platform sends a few before it hears of the bank.
const MOST_EARLY: usize = 16;

/// A bank's state machine.
pub struct BankSession {
    contract: SealedContract,
    me: String,
    platform: String,
    key: Arc<SigningKey>,
    seed: Seed,
    early: Vec<FromPlatform>,
    announced: Announced,
    /// Rows that the platform offers, and rows of which it said that their consents have ended.
    offered: u64,
    named: u64,
    recording: bool,
    disclosed: Option<Box<DisclosedBank>>,
    phase: Phase,
}

enum Phase {
    Preparing,
    Waiting(BankData),
    Opening(Box<Opening>),
    Training(Box<Training>),
    Fitted { model: Digest, statements: Box<Statements> },
    Finished,
}

struct Opening {
    data: BankData,
    machine: alignment::Bank,
    announced: Option<u64>,
    keyed: Vec<Keyed>,
    done: bool,
    transcript: AlignmentTranscript,
    rows: Vec<SealedRow>,
    /// Rows whose consents ended while they were being opened, as the platform says.
    named: Vec<EndedRow>,
    /// Enterprises whose consents ended meanwhile, as this bank's register knows.
    ended: BTreeSet<String>,
}

type Outputs = Vec<Output<FromBank>>;

mod giving;

impl BankSession {
    /// A session that waits for its data.
    ///
    /// # Errors
    /// Fails if the contract does not name this bank or names no platform.
    pub fn new(contract: SealedContract, me: &str, key: Arc<SigningKey>, seed: Seed) -> Result<Self, Fault> {
        let platform = contract.terms().platform().ok_or_else(|| Fault::new("contract", "names no platform"))?;
        let platform = platform.name.clone();
        if contract.terms().party(me).is_none() {
            return Err(Fault::new(&platform, format!("sent a contract that does not name {me}")));
        }
        Ok(Self {
            contract,
            me: me.into(),
            platform,
            key,
            seed,
            early: Vec::new(),
            announced: Announced::default(),
            offered: 0,
            named: 0,
            recording: false,
            disclosed: None,
            phase: Phase::Preparing,
        })
    }

    /// The same session, which keeps what it would disclose to an auditor.
    pub fn recording(self) -> Self {
        Self { recording: true, ..self }
    }

    /// What a recording session would disclose, once it has rows to train on.
    pub fn disclosed(&self) -> Option<&DisclosedBank> {
        self.disclosed.as_deref()
    }

    /// Applies one input.
    ///
    /// # Errors
    /// A fault ends the session; it names the culprit.
    pub fn apply(&mut self, input: BankInput) -> Result<Outputs, Fault> {
        match input {
            BankInput::Prepared(data) => {
                self.check(&data)?;
                self.phase = Phase::Waiting(data.into_inner());
                let mut outputs = Vec::new();
                for message in std::mem::take(&mut self.early) {
                    outputs.extend(self.receive(message)?);
                }
                Ok(outputs)
            }
            BankInput::Message(message) => self.receive(message),
            BankInput::Withdraw(identifiers) => Ok(self.withdraw(identifiers)),
        }
    }

    /// The round that is running, for people.
    pub fn round(&self) -> Option<u32> {
        match &self.phase {
            Phase::Training(training) => Some(training.next_round()),
            _ => None,
        }
    }

    fn check(&self, data: &BankData) -> Result<(), Fault> {
        let rows = data.identifiers.len();
        let fields = self.contract.terms().fields_of(Holder::Banks).count();
        let lengths = data.columns.iter().all(|column| match column {
            Column::Values(values) => values.len() == rows,
            Column::Codes(codes) => codes.len() == rows,
        });
        if !matches!(self.phase, Phase::Preparing) {
            return Err(Fault::new(&self.me, "the data were prepared twice"));
        }
        if data.columns.len() != fields || data.label.len() != rows || !lengths {
            return Err(Fault::new(&self.me, "the data set does not have the contract's fields in every row"));
        }
        Ok(())
    }

    fn receive(&mut self, message: FromPlatform) -> Result<Outputs, Fault> {
        match (&mut self.phase, message) {
            (_, FromPlatform::Aborted(stop)) => Err(stop.into()),
            (Phase::Preparing, _) if self.early.len() >= MOST_EARLY => {
                Err(Fault::new(&self.platform, "sent more than a session begins with before this bank had its data"))
            }
            (Phase::Preparing, message) => {
                self.early.push(message);
                Ok(Vec::new())
            }
            (Phase::Waiting(_), FromPlatform::Announce { bins, tables }) if !self.contract.terms().is_statistics() => {
                self.open(Announced { bins, tables })
            }
            (Phase::Waiting(_), FromPlatform::Begin) if self.contract.terms().is_statistics() => self.begin(),
            (Phase::Opening(opening), FromPlatform::Rows(rows)) => {
                let room = opening.announced.unwrap_or(0).saturating_sub(opening.rows.len() as u64);
                if rows.len() as u64 > room {
                    return Err(Fault::new(&self.platform, "sent more rows than it announced"));
                }
                opening.transcript.rows(&rows);
                opening.rows.extend(rows);
                self.try_align()
            }
            (Phase::Opening(opening), FromPlatform::Alignment(message)) => {
                let step = opening.receive(message).map_err(|error| Fault::new(&self.platform, error))?;
                let to = &self.platform;
                let send = step.into_iter().map(FromBank::Alignment);
                let mut outputs: Outputs = send.map(|message| Output::Send { to: to.clone(), message }).collect();
                outputs.extend(self.try_align()?);
                Ok(outputs)
            }
            (Phase::Opening(_) | Phase::Training(_), FromPlatform::Withdrawn { rows }) => self.named(rows),
            // The model is made; what became of its rows, the lineage tells.
            (Phase::Fitted { .. } | Phase::Finished, FromPlatform::Withdrawn { .. }) => Ok(Vec::new()),
            (Phase::Training(training), FromPlatform::Aggregation(step)) => {
                let reactions = training.contributor.receive(step).map_err(|error| blame(&self.platform, error))?;
                self.react(reactions)
            }
            (Phase::Training(_), FromPlatform::Released { round, part, cohort, sums, transcript }) => {
                self.released((round, part), cohort, sums, transcript.map(|transcript| *transcript))
            }
            (Phase::Fitted { model, statements }, FromPlatform::Complete { model: theirs, signed }) => {
                if *model != theirs {
                    return Err(Fault::new(&self.platform, "completed the session with another model"));
                }
                statements.check_all(&self.contract, &signed).map_err(|reason| Fault::new(&self.platform, reason))?;
                let attested = statements.clone().attested(&self.contract, &signed);
                self.phase = Phase::Finished;
                let stages = [Stage::Released, Stage::Closed].map(Output::Stage);
                Ok(attested.map(Output::Attested).into_iter().chain(stages).collect())
            }
            (_, FromPlatform::Complete { .. }) => {
                Err(Fault::new(&self.platform, "completed the session before this bank had its model"))
            }
            // What a platform sends to a bank that it has given up comes when nothing is asked of this bank any more.
            (Phase::Fitted { .. }, FromPlatform::Aggregation(_)) => Ok(Vec::new()),
            _ => Err(Fault::new(&self.platform, "sent a message that this stage of the session does not foresee")),
        }
    }

    fn open(&mut self, announced: Announced) -> Result<Outputs, Fault> {
        let Phase::Waiting(data) = std::mem::replace(&mut self.phase, Phase::Preparing) else {
            return Ok(Vec::new());
        };
        let terms = self.contract.terms();
        announced.check(terms).map_err(|reason| Fault::new(&self.platform, reason))?;
        self.announced = announced;
        let identifiers: Identifiers = data.identifiers.iter().collect();
        let fact = Fact::ConsentSet {
            bank: self.me.clone(),
            rows: data.identifiers.len() as u64,
            set: identifiers.commitment("tallystick/own-set/v2", &self.seed),
        };
        let terms = terms.alignment_terms(self.contract.digest(), &self.me);
        let machine =
            alignment::Bank::new(&terms, identifiers, &self.seed).map_err(|error| Fault::new(&self.me, error))?;
        self.phase = Phase::Opening(Box::new(Opening {
            data,
            machine,
            announced: None,
            keyed: Vec::new(),
            done: false,
            transcript: AlignmentTranscript::new(),
            rows: Vec::new(),
            named: Vec::new(),
            ended: BTreeSet::new(),
        }));
        Ok(vec![Output::Record(fact)])
    }

    /// Statistics: all rows take part as they are.
    fn begin(&mut self) -> Result<Outputs, Fault> {
        let Phase::Waiting(data) = std::mem::replace(&mut self.phase, Phase::Preparing) else {
            return Ok(Vec::new());
        };
        self.check_cap(data.identifiers.len() as u64)?;
        let table = every_row(&data);
        self.announced.tables = PlatformHalf { tables: Vec::new() }.digest();
        self.start_training(table, Origins::default())?;
        Ok(vec![
            Output::Stage(Stage::Aligned),
            Output::Stage(Stage::Prepared),
            Output::Send { to: self.platform.clone(), message: FromBank::Aligned },
        ])
    }

    fn try_align(&mut self) -> Result<Outputs, Fault> {
        let Phase::Opening(opening) = &self.phase else { return Ok(Vec::new()) };
        let Some(announced) = opening.announced else { return Ok(Vec::new()) };
        self.offered = announced;
        if !opening.done || (opening.rows.len() as u64) < announced {
            return Ok(Vec::new());
        }
        let Phase::Opening(mut opening) = std::mem::replace(&mut self.phase, Phase::Preparing) else {
            return Ok(Vec::new());
        };
        self.check_cap(announced.min(opening.data.identifiers.len() as u64))?;
        let misbehaved = |error| Fault::new(&self.platform, error);
        let rows = open_rows(&opening.keyed, &opening.rows, announced).map_err(misbehaved)?;
        let decoded = rows.opened.into_iter().map(|(row, payload)| (row, decode_codes(&payload, &self.announced.bins)));
        let (mut opened, mut unread) = (Vec::new(), rows.missing as u64);
        for (row, codes) in decoded {
            match codes {
                Some(codes) => opened.push((row, codes)),
                None => unread += 1,
            }
        }
        self.check_twins(&opened)?;
        let transcript = opening.transcript.digest();
        let mut outputs =
            vec![Output::Record(Fact::Alignment { bank: self.me.clone(), transcript }), Output::Unread(unread)];
        let table = join(&opening.data, &opened, self.announced.bins.len());
        let mut origins = opening.origins(&opened);
        origins.end(std::mem::take(&mut opening.ended));
        self.start_training(table, origins)?;
        outputs.extend(self.open_events(std::mem::take(&mut opening.named)));
        outputs.push(Output::Stage(Stage::Aligned));
        outputs.push(Output::Stage(Stage::Prepared));
        outputs.push(Output::Send { to: self.platform.clone(), message: FromBank::Aligned });
        Ok(outputs)
    }

    /// Whether two fields of the platform tell a few of this bank's rows apart.
    fn check_twins(&self, opened: &[(usize, Vec<u16>)]) -> Result<(), Fault> {
        let terms = self.contract.terms();
        let least =
            terms.balance.filter(|_| terms.noise.is_none()).and_then(|balance| balance.drawn_between(&self.seed));
        let Some(least) = least else { return Ok(()) };
        let codes = opened.iter().map(|(_, codes)| codes.as_slice());
        let Some(pair) = twins::found(codes, &self.announced.bins, least) else { return Ok(()) };
        let name = |place: usize| terms.fields_of(Holder::Platform).nth(place).map_or("", |field| field.name.as_str());
        let reason = format!(
            "fields `{}` and `{}` divide its rows alike but for a few, so that their sums would tell these apart: propose a \
             session without one of the two, with fewer bins, or without `balance.twins`",
            name(pair[0]),
            name(pair[1])
        );
        Err(Fault::new(&self.me, reason))
    }

    /// What this bank has learned by itself.
    fn withdraw(&mut self, identifiers: BTreeSet<String>) -> Outputs {
        match &mut self.phase {
            Phase::Preparing | Phase::Fitted { .. } | Phase::Finished => Vec::new(),
            Phase::Waiting(_) => {
                if let Phase::Waiting(data) = std::mem::replace(&mut self.phase, Phase::Preparing) {
                    self.phase = Phase::Waiting(data.without(&identifiers));
                }
                Vec::new()
            }
            Phase::Opening(opening) => {
                opening.ended.extend(identifiers);
                Vec::new()
            }
            Phase::Training(training) => {
                training.origins.end(identifiers);
                Vec::new()
            }
        }
    }

    /// The platform says of rows that their consents have ended.
    fn named(&mut self, rows: Vec<EndedRow>) -> Result<Outputs, Fault> {
        let offered = match &self.phase {
            Phase::Opening(opening) => opening.announced.unwrap_or(0),
            _ => self.offered,
        };
        self.named = self.named.saturating_add(rows.len() as u64);
        if self.named > offered {
            return Err(Fault::new(&self.platform, "named more rows than it announced"));
        }
        let mut outputs = vec![Output::Record(Fact::Named { bank: self.me.clone(), rows: rows.len() as u64 })];
        match &mut self.phase {
            Phase::Opening(opening) => opening.named.extend(rows),
            _ => outputs.extend(self.open_events(rows)),
        }
        Ok(outputs)
    }

    /// What the platform says of consents that ended, where it is about rows of this bank: for the node to verify. What does not
    /// open is passed over: a word about it would tell which rows the bank has.
    fn open_events(&self, named: Vec<EndedRow>) -> Outputs {
        let Phase::Training(training) = &self.phase else { return Vec::new() };
        training.origins.open(named).into_iter().map(Output::Ended).collect()
    }

    /// Whether so many rows may take part. What is asked is how many could open, since how many did is nobody's business: whoever
    /// offers the rows would learn from a session that stops.
    fn check_cap(&self, rows: u64) -> Result<(), Fault> {
        if rows <= self.contract.terms().limits.row_cap {
            return Ok(());
        }
        Err(Fault::new(&self.me, "has more rows than `limits.row_cap` allows: propose the session with a larger one"))
    }

    fn start_training(&mut self, table: Table, origins: Origins) -> Result<(), Fault> {
        let course = self.contract.terms().course(&self.announced.bins);
        let trainer = course.learner().map_err(|error| Fault::new(&self.me, error))?;
        let Ask::Sum(request) = trainer.next() else {
            return Err(Fault::new(&self.me, "the trainer asks for nothing"));
        };
        let rounds_seed = self.seed.derive("tallystick/aggregation", &[self.contract.digest().as_bytes()]);
        let contributor = Contributor::new(self.contract.roster()?, &self.me, self.key.clone(), rounds_seed)
            .map_err(|error| Fault::new(&self.me, error))?;
        let asked = Asked::first(request, self.contract.terms());
        let noise = self.contract.terms().noise.map(Noise::new);
        self.phase = Phase::Training(Box::new(Training {
            answering: Answering::new(table),
            origins,
            trainer,
            contributor,
            asked,
            noise,
            results: Vec::new(),
            out: false,
            offered: None,
            floor_passed: [false; 2],
        }));
        Ok(())
    }

    fn react(&mut self, reactions: Vec<Reaction>) -> Result<Outputs, Fault> {
        let mut outputs = Vec::new();
        for reaction in reactions {
            match reaction {
                Reaction::Send(message) => {
                    let message = FromBank::Aggregation(message);
                    outputs.push(Output::Send { to: self.platform.clone(), message });
                }
                Reaction::Offered(offer) => outputs.extend(self.contribute(&offer)?),
                Reaction::Releasing { round, cohort } => outputs.push(Output::Releasing(Release { round, cohort })),
            }
        }
        Ok(outputs)
    }
}

impl Opening {
    /// Where the opened rows come from, in their order.
    fn origins(&self, opened: &[(usize, Vec<u16>)]) -> Origins {
        let mut secrets = vec![None; self.data.identifiers.len()];
        for keyed in &self.keyed {
            secrets[keyed.row as usize] = Some(&keyed.secret);
        }
        let origin = |(row, _): &(usize, _)| {
            Some(Origin::new(secrets[*row]?, &self.data.identifiers[*row], self.data.holdout[*row]))
        };
        Origins::new(opened.iter().filter_map(origin))
    }

    fn receive(&mut self, message: ToBank) -> Result<Vec<ToPlatform>, alignment::Misbehaved> {
        self.transcript.sent_to_bank(&message);
        if let ToBank::Announce(announcement) = &message {
            self.announced = Some(announcement.rows);
        }
        let Step { send, keyed, done } = self.machine.receive(message)?;
        send.iter().for_each(|message| self.transcript.sent_to_platform(message));
        self.keyed.extend(keyed);
        self.done |= done;
        Ok(send)
    }
}

/// Who is to be named for a step of the aggregation that does not hold: the platform, but for what another bank has dealt.
fn blame(platform: &str, error: Misbehaved) -> Fault {
    match error {
        Misbehaved::Share { dealer } => {
            let reason = format!("dealt shares that do not open, unless {platform} changed them on their way");
            Fault::new(&dealer, reason)
        }
        error => Fault::new(platform, error),
    }
}
