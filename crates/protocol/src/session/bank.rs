//! A bank's side of a session: opens its rows, contributes masked vectors, runs the same trainer as everyone.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tally_crypto::seed::Seed;
use tally_crypto::sign::SigningKey;
use tally_crypto::transcript::Digest;
use tally_model::{Ask, Column, Table};
use tally_policy::Cleared;

use super::attest::{Announced, RoundResult, Statements};
use super::disclosed::DisclosedBank;
use super::join::{decode_codes, every_row, join};
use super::messages::{FromBank, FromPlatform};
use super::parts::{Asked, Reached};
use super::training::{Answering, Training};
use super::transcript::AlignmentTranscript;
use super::withdrawal::{Origin, Origins};
use super::{Fact, Fault, Holder, Output, PlatformHalf, SealedContract, Stage};
use crate::aggregation::{Contributor, Noise, Offer, Reaction, Release, Transcript};
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
    /// The consents of these enterprises have ended.
    Withdraw(BTreeSet<String>),
}

/// A bank's state machine.
pub struct BankSession {
    contract: SealedContract,
    me: String,
    platform: String,
    key: Arc<SigningKey>,
    seed: Seed,
    early: Vec<FromPlatform>,
    announced: Announced,
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
    gone: Gone,
}

/// Rows whose consent ended while they were being opened.
#[derive(Default)]
struct Gone {
    tags: BTreeSet<[u8; 16]>,
    identifiers: BTreeSet<String>,
}

type Outputs = Vec<Output<FromBank>>;

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
            (Phase::Opening(opening), FromPlatform::Withdrawn { tags }) => {
                opening.gone.tags.extend(tags);
                Ok(Vec::new())
            }
            (Phase::Training(_), FromPlatform::Withdrawn { tags }) => {
                let tags: BTreeSet<_> = tags.into_iter().collect();
                Ok(self.leave(|origin| tags.contains(&origin.tag)))
            }
            // The model is made; what became of its rows, the lineage tells.
            (Phase::Fitted { .. } | Phase::Finished, FromPlatform::Withdrawn { .. }) => Ok(Vec::new()),
            (Phase::Training(training), FromPlatform::Aggregation(step)) => {
                let reactions =
                    training.contributor.receive(step).map_err(|error| Fault::new(&self.platform, error))?;
                self.react(reactions)
            }
            (Phase::Training(_), FromPlatform::Released { round, cohort, sums, transcript }) => {
                self.released(round, cohort, sums, transcript.map(|transcript| *transcript))
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
            gone: Gone::default(),
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
        if !opening.done || (opening.rows.len() as u64) < announced {
            return Ok(Vec::new());
        }
        let Phase::Opening(opening) = std::mem::replace(&mut self.phase, Phase::Preparing) else {
            return Ok(Vec::new());
        };
        self.check_cap(announced.min(opening.data.identifiers.len() as u64))?;
        let blame = |error| Fault::new(&self.platform, error);
        let rows = open_rows(&opening.keyed, &opening.rows, announced).map_err(blame)?;
        let decoded = rows.opened.into_iter().map(|(row, payload)| (row, decode_codes(&payload, &self.announced.bins)));
        let (mut opened, mut unread) = (Vec::new(), rows.missing as u64);
        for (row, codes) in decoded {
            match codes {
                Some(codes) => opened.push((row, codes)),
                None => unread += 1,
            }
        }
        let transcript = opening.transcript.digest();
        let mut outputs =
            vec![Output::Record(Fact::Alignment { bank: self.me.clone(), transcript }), Output::Unread(unread)];
        let table = join(&opening.data, &opened, self.announced.bins.len());
        let origins = opening.origins(&opened);
        self.start_training(table, origins)?;
        let gone = &opening.gone;
        let left = |origin: &Origin| gone.tags.contains(&origin.tag) || gone.identifiers.contains(&origin.identifier);
        outputs.extend(self.leave(left));
        outputs.push(Output::Stage(Stage::Aligned));
        outputs.push(Output::Stage(Stage::Prepared));
        outputs.push(Output::Send { to: self.platform.clone(), message: FromBank::Aligned });
        Ok(outputs)
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
                opening.gone.identifiers.extend(identifiers);
                Vec::new()
            }
            Phase::Training(_) => self.leave(|origin| identifiers.contains(&origin.identifier)),
        }
    }

    /// Rows leave the table: they count in no sum that is asked from now on.
    fn leave(&mut self, gone: impl Fn(&Origin) -> bool) -> Outputs {
        let Phase::Training(training) = &mut self.phase else { return Vec::new() };
        let table = training.answering.table();
        let Some((table, places)) = training.origins.withdraw(table, gone) else { return Vec::new() };
        training.answering.replace(table);
        let rows = places.len() as u64;
        if let Some(disclosed) = &mut self.disclosed {
            disclosed.left(places);
        }
        vec![Output::Record(Fact::Withdrawn { bank: self.me.clone(), rows })]
    }

    /// Whether so many rows may take part. What is asked is how many could open, since how many did is nobody's business: whoever
    /// offers the rows would learn from a session that stops.
    fn check_cap(&self, rows: u64) -> Result<(), Fault> {
        if rows <= self.contract.terms().limits.row_cap {
            return Ok(());
        }
        Err(Fault::new(&self.me, "has more rows than `limits.row_cap` allows: propose the session with a larger one"))
    }

    fn start_training(&mut self, mut table: Table, origins: Origins) -> Result<(), Fault> {
        let course = self.contract.terms().course(&self.announced.bins);
        table.baseline = course.bank_only(&table).map_err(|error| Fault::new(&self.me, error))?;
        let trainer = course.learner().map_err(|error| Fault::new(&self.me, error))?;
        let Ask::Sum(request) = trainer.next() else {
            return Err(Fault::new(&self.me, "the trainer asks for nothing"));
        };
        let rounds_seed = self.seed.derive("tallystick/aggregation", &[self.contract.digest().as_bytes()]);
        let contributor = Contributor::new(self.contract.roster()?, &self.me, self.key.clone(), rounds_seed)
            .map_err(|error| Fault::new(&self.me, error))?;
        let asked = Asked::new(request);
        let noise = self.contract.terms().noise.map(Noise::new);
        let disclosed = || Box::new(DisclosedBank::new(&self.me, self.contract.digest(), table.clone()));
        self.disclosed = self.recording.then(disclosed);
        self.phase = Phase::Training(Box::new(Training {
            answering: Answering::new(table),
            origins,
            trainer,
            contributor,
            asked,
            noise,
            results: Vec::new(),
            out: false,
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

    fn contribute(&mut self, offer: &Offer) -> Result<Outputs, Fault> {
        let Phase::Training(training) = &mut self.phase else { return Ok(Vec::new()) };
        let spec = &offer.spec;
        let blame = |reason: String| Err(Fault::new(&self.platform, format!("round {}: {reason}", spec.round)));
        if spec.request != training.asked.request().digest() || spec.part != training.asked.part() {
            return blame("asked for a sum that the contract's trainer does not ask next".into());
        }
        if training.out {
            return blame("asked this bank again after a sum was released without it".into());
        }
        let limits = &self.contract.terms().limits;
        if spec.round >= limits.rounds {
            return blame(format!("asked for more rounds than the contract's {}", limits.rounds));
        }
        let values = match training.answering.values(&training.asked, &offer.cohort, limits.min_cell) {
            Ok(Some(values)) => values,
            Ok(None) => return blame("asked banks for cells whose indicators they did not give".into()),
            Err(error) => return Err(Fault::new(&self.me, error)),
        };
        let values =
            training.noisy(offer, limits.min_cell, &self.seed, values).map_err(|error| Fault::new(&self.me, error))?;
        let message =
            training.contributor.contribute(spec, values).map_err(|error| Fault::new(&self.platform, error))?;
        if let Some(disclosed) = &mut self.disclosed {
            disclosed.gave(training.contributor.disclose(spec));
        }
        let message = FromBank::Aggregation(message);
        let masked = Digest::of_bytes(&message.encode());
        let fact = Fact::Contributed { round: spec.round, request: spec.request, masked };
        Ok(vec![Output::Record(fact), Output::Send { to: self.platform.clone(), message }])
    }

    fn released(
        &mut self,
        round: u32,
        cohort: Vec<String>,
        sums: Vec<i64>,
        transcript: Option<Transcript>,
    ) -> Result<Outputs, Fault> {
        let Phase::Training(training) = &mut self.phase else { return Ok(Vec::new()) };
        training
            .check(&self.me, &self.contract, (round, &cohort, &sums), transcript)
            .map_err(|reason| Fault::new(&self.platform, format!("round {round}: {reason}")))?;
        let unasked = || Fault::new(&self.platform, format!("released a sum that round {round} did not ask"));
        if round < training.next_round() {
            return Err(unasked());
        }
        let request = training.asked.request();
        let result = RoundResult::new(round, request, &cohort, &sums);
        let mut outputs = vec![Output::Record(result.fact())];
        let evaluated = request.evaluates();
        training.results.push(result);
        let reached = training.asked.release(&cohort, sums, self.contract.terms()).ok_or_else(unasked)?;
        let Reached::Sums(sums) = reached else {
            return Ok(outputs);
        };
        training.trainer.answer(sums).map_err(|error| Fault::new(&self.platform, format!("round {round}: {error}")))?;
        match training.trainer.next() {
            Ask::Sum(request) => {
                if request.evaluates() && !evaluated {
                    outputs.push(Output::Stage(Stage::Trained));
                }
                training.asked = Asked::new(request);
                training.answering.next();
            }
            Ask::Done(fit) => {
                let model = fit.digest();
                let rounds = u32::try_from(fit.rounds().len()).unwrap_or(u32::MAX);
                let results = std::mem::take(&mut training.results);
                let statements = Statements::new(&self.contract, results, &self.announced, model);
                let signatures = statements.sign(&self.key);
                outputs.extend([
                    Output::Stage(Stage::Evaluated),
                    Output::Record(Fact::Model { model, rounds }),
                    Output::Table(Box::new(training.answering.table().clone())),
                    Output::Model(Box::new(fit)),
                    Output::Send { to: self.platform.clone(), message: FromBank::Fitted { model, signatures } },
                ]);
                self.phase = Phase::Fitted { model, statements: Box::new(statements) };
            }
        }
        Ok(outputs)
    }
}

impl Opening {
    /// Where the opened rows come from, in their order.
    fn origins(&self, opened: &[(usize, Vec<u16>)]) -> Origins {
        let mut tags = vec![[0; 16]; self.data.identifiers.len()];
        for keyed in &self.keyed {
            tags[keyed.row as usize] = keyed.secret.tag;
        }
        let origin =
            |(row, _): &(usize, _)| Origin { tag: tags[*row], identifier: self.data.identifiers[*row].clone() };
        Origins::new(opened.iter().map(origin))
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
