//! A bank's side of a session: opens its rows, contributes masked vectors, runs the same trainer as everyone.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tally_crypto::seed::Seed;
use tally_crypto::sign::SigningKey;
use tally_crypto::transcript::Digest;
use tally_model::boosted::Holder as RowHolder;
use tally_model::release::{pack, presence};
use tally_model::{Ask, Column, ContributionError, Learner, SumRequest, Table};
use tally_policy::Cleared;

use super::join::{decode_codes, join};
use super::messages::{FromBank, FromPlatform};
use super::parts::{Asked, Reached};
use super::transcript::AlignmentTranscript;
use super::withdrawal::{Origin, Origins};
use super::{Fact, Fault, Holder, Output, Recompute, SealedContract, Stage};
use crate::aggregation::{Contributor, Noise, NoiseError, Offer, Part, Reaction, Release, Transcript};
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
    phase: Phase,
}

enum Phase {
    Preparing,
    Waiting(BankData),
    Opening(Box<Opening>),
    Training(Box<Training>),
    Fitted { model: Digest },
    Finished,
}

struct Opening {
    data: BankData,
    machine: alignment::Bank,
    announced: Option<u64>,
    keyed: Vec<Keyed>,
    done: bool,
    bins: Vec<u16>,
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

struct Training {
    rows: RowHolder,
    origins: Origins,
    trainer: Learner,
    contributor: Contributor,
    asked: Asked,
    /// What this bank's rows add to the sum that is asked, once it was computed.
    own: Option<Vec<i64>>,
    noise: Option<Noise>,
    /// Number of the next round.
    round: u32,
    /// A sum was released without this bank: it takes part no more.
    out: bool,
}

type Outputs = Vec<Output<FromBank>>;

/// Most bins of a platform field without order: a code of its own for every enterprise would turn counts into a list of them.
const MOST_CATEGORIES: u16 = 64;

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
        Ok(Self { contract, me: me.into(), platform, key, seed, early: Vec::new(), phase: Phase::Preparing })
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
            Phase::Training(training) => Some(training.round),
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
            (Phase::Waiting(_), FromPlatform::Announce { bins, .. }) => self.open(bins),
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
            (Phase::Fitted { model }, FromPlatform::Complete { model: theirs }) => {
                if *model != theirs {
                    return Err(Fault::new(&self.platform, "completed the session with another model"));
                }
                self.phase = Phase::Finished;
                Ok(vec![Output::Stage(Stage::Released), Output::Stage(Stage::Closed)])
            }
            (_, FromPlatform::Complete { .. }) => {
                Err(Fault::new(&self.platform, "completed the session before this bank had its model"))
            }
            // What a platform sends to a bank that it has given up comes when nothing is asked of this bank any more.
            (Phase::Fitted { .. }, FromPlatform::Aggregation(_)) => Ok(Vec::new()),
            _ => Err(Fault::new(&self.platform, "sent a message that this stage of the session does not foresee")),
        }
    }

    fn open(&mut self, bins: Vec<u16>) -> Result<Outputs, Fault> {
        let Phase::Waiting(data) = std::mem::replace(&mut self.phase, Phase::Preparing) else {
            return Ok(Vec::new());
        };
        let terms = self.contract.terms();
        let most = terms.model.bins.max(MOST_CATEGORIES);
        let possible = bins.iter().all(|bins| (1..=most).contains(bins));
        if bins.len() != terms.fields_of(Holder::Platform).count() || !possible {
            return Err(Fault::new(&self.platform, "announced bins that do not fit the contract's fields"));
        }
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
            bins,
            transcript: AlignmentTranscript::new(),
            rows: Vec::new(),
            gone: Gone::default(),
        }));
        Ok(vec![Output::Record(fact)])
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
        let blame = |error| Fault::new(&self.platform, error);
        let rows = open_rows(&opening.keyed, &opening.rows, announced).map_err(blame)?;
        let opened = rows
            .opened
            .into_iter()
            .map(|(row, payload)| Ok((row, decode_codes(&payload, &opening.bins, &self.platform)?)))
            .collect::<Result<Vec<_>, Fault>>()?;
        let transcript = opening.transcript.digest();
        let mut outputs = vec![Output::Record(Fact::Alignment { bank: self.me.clone(), transcript })];
        let table = join(&opening.data, &opened, opening.bins.len());
        let origins = opening.origins(&opened);
        self.start_training(table, origins, &opening.bins)?;
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
        let Some((table, rows)) = training.origins.withdraw(training.rows.table(), gone) else { return Vec::new() };
        training.rows = RowHolder::new(table);
        vec![Output::Record(Fact::Withdrawn { bank: self.me.clone(), rows })]
    }

    fn start_training(&mut self, mut table: Table, origins: Origins, bins: &[u16]) -> Result<(), Fault> {
        if table.rows() as u64 > self.contract.terms().limits.row_cap {
            return Err(Fault::new(
                &self.me,
                "has more rows than `limits.row_cap` allows: propose the session with a larger one",
            ));
        }
        let course = self.contract.terms().course(bins);
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
        self.phase = Phase::Training(Box::new(Training {
            rows: RowHolder::new(table),
            origins,
            trainer,
            contributor,
            asked,
            own: None,
            noise,
            round: 0,
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
        let values = match training.values(offer, limits.min_cell) {
            Ok(Some(values)) => values,
            Ok(None) => return blame("asked banks for cells whose indicators they did not give".into()),
            Err(error) => return Err(Fault::new(&self.me, error)),
        };
        let values =
            training.noisy(offer, limits.min_cell, &self.seed, values).map_err(|error| Fault::new(&self.me, error))?;
        let message =
            training.contributor.contribute(spec, values).map_err(|error| Fault::new(&self.platform, error))?;
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
        if round < training.round {
            return Err(unasked());
        }
        let request = training.asked.request();
        let mut outputs = vec![Output::Record(release_fact(round, request, &cohort, &sums))];
        let evaluated = request.evaluates();
        training.round = round + 1;
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
                training.own = None;
            }
            Ask::Done(fit) => {
                let model = fit.digest();
                let rounds = u32::try_from(fit.rounds().len()).unwrap_or(u32::MAX);
                outputs.extend([
                    Output::Stage(Stage::Evaluated),
                    Output::Record(Fact::Model { model, rounds }),
                    Output::Table(Box::new(training.rows.table().clone())),
                    Output::Model(Box::new(fit)),
                    Output::Send { to: self.platform.clone(), message: FromBank::Fitted { model } },
                ]);
                self.phase = Phase::Fitted { model };
            }
        }
        Ok(outputs)
    }
}

impl Training {
    /// Checks a released sum against what the banks sent, where the contract has this bank do so.
    fn check(
        &mut self,
        me: &String,
        contract: &SealedContract,
        (round, cohort, sums): (u32, &Vec<String>, &[i64]),
        transcript: Option<Transcript>,
    ) -> Result<(), String> {
        if !cohort.contains(me) {
            self.out = true;
            return Ok(());
        }
        if self.contributor.answered() != Some((round, cohort)) {
            return Err("released a sum over banks that this bank did not agree to".into());
        }
        let every = contract.terms().limits.recompute == Recompute::EverySum;
        if !every && self.asked.part() != Part::Presence {
            return Ok(());
        }
        let transcript = transcript.ok_or("released a sum without what it is recomputed from")?;
        let recomputed = self.contributor.recompute(transcript).map_err(|error| error.to_string())?;
        if recomputed == sums { Ok(()) } else { Err("released another sum than the banks' vectors give".into()) }
    }

    /// What this bank adds in a round; `None` if the offer asks banks that gave no indicators.
    fn values(&mut self, offer: &Offer, least: u32) -> Result<Option<Vec<i64>>, ContributionError> {
        let own = match self.own.take() {
            Some(own) => own,
            None => self.rows.contribution(self.asked.request())?,
        };
        let axes = self.asked.axes();
        let values = match self.asked.part() {
            Part::Presence => Some(pack(&presence(axes, &own))),
            Part::Whole | Part::Cells => self.asked.fold(&offer.cohort, least).map(|fold| {
                let mut values = own.clone();
                fold.apply(axes, &mut values);
                values
            }),
        };
        self.own = Some(own);
        Ok(values)
    }

    /// The values with this bank's part of the noise, where the contract asks for it; who has rows at all is told without.
    fn noisy(&mut self, offer: &Offer, least: u32, seed: &Seed, mut values: Vec<i64>) -> Result<Vec<i64>, NoiseError> {
        let Some(noise) = self.noise.as_mut().filter(|_| offer.spec.part != Part::Presence) else { return Ok(values) };
        noise.spend()?;
        let roster = self.contributor.roster();
        let shown = self.asked.fold(&offer.cohort, least).map(|fold| self.asked.shown(&fold)).unwrap_or_default();
        let sensitivity = self.asked.request().sensitivity();
        let shown = |word: usize| shown.get(word).copied().unwrap_or(true);
        let label = Digest::of(
            "tallystick/noise-of-round/v1",
            &[&offer.spec.round.to_be_bytes(), offer.spec.request.as_bytes()],
        );
        noise.add(roster, sensitivity, seed, &label, &mut values, shown)?;
        Ok(values)
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

/// The log's record of a released sum: the same at every party.
pub(super) fn release_fact(round: u32, request: &SumRequest, cohort: &[String], sums: &[i64]) -> Fact {
    Fact::Released { round, request: request.digest(), sums: sums_digest(sums), cohort: cohort.to_vec() }
}

/// Names a released sum in logs.
pub(super) fn sums_digest(sums: &[i64]) -> Digest {
    let bytes: Vec<u8> = sums.iter().flat_map(|word| word.to_be_bytes()).collect();
    Digest::of("tallystick/sums/v1", &[&bytes])
}
