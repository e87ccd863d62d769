//! Running sessions: inputs are journaled, machines are moved, what they ask is done.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tally_crypto::seed::Seed;
use tally_crypto::transcript::Digest;
use tally_model::{Fitted, Table};
use tally_policy::Cleared;
use tally_protocol::kind::MessageKind;
use tally_protocol::session::{
    BankData, BankInput, BankSession, DisclosedBank, Ended, Fact, Fault, FromBank, FromPlatform, Output, PartyRole,
    PlatformData, PlatformInput, PlatformSession, SampleTerms, SealedContract, Stage, Stop,
};

use super::step::Step;
use super::{Engine, book, go_on, now};
use crate::failure::{self, Failure, Fatal, unless_fatal};
use crate::store::SessionRecord;

/// The machine of a running session.
pub(super) enum Live {
    Platform(Box<PlatformSession>),
    Bank(Box<BankSession>),
}

/// What a journal holds: the inputs of a machine, in order.
#[derive(Serialize, Deserialize)]
enum Input {
    PlatformData(PlatformData),
    BankData(BankData),
    Message {
        from: String,
        body: Vec<u8>,
    },
    PatienceOver,
    /// Enterprises whose consent to a bank has ended.
    Withdraw {
        bank: String,
        identifiers: Vec<String>,
    },
    /// The same at the platform, with what the enterprises signed.
    WithdrawOnEvents {
        bank: String,
        ended: Vec<Ended>,
    },
}

/// Name of the number of rows that a bank holds and could not read, among the results of a session.
pub(super) const UNREAD_ROWS: &str = "unread-rows";

/// Characters of a reason to stop that are kept and passed on.
const REASON_CHARS: usize = 1000;

/// What a machine asks, whichever machine it is.
enum Request {
    Send { to: String, form: &'static str, body: Vec<u8> },
    Other(Output<()>),
}

impl Engine {
    /// Loads the open sessions after a start; expired ones end.
    pub(super) fn resume_sessions(&mut self) -> Result<(), Failure> {
        for record in self.store.sessions()? {
            if record.model.is_some() && !self.contract_of(&record)?.terms().is_statistics() {
                self.load_model(&record)?;
            }
            if !record.ended() && record.stage >= Stage::Approved {
                self.load(&record)?;
                self.renew_patience(&record.session);
            }
        }
        Ok(())
    }

    /// A message of a running session.
    pub(super) fn session_message(
        &mut self,
        step: &mut Step,
        from: &str,
        session: &str,
        body: &[u8],
    ) -> Result<(), Failure> {
        let record = self.known_session(session)?;
        let sender = if self.is_platform() { PartyRole::Bank } else { PartyRole::Platform };
        if self.contract_of(&record)?.terms().party(from).is_none_or(|party| party.role != sender) {
            return Err(failure::refused(format!("{from} is no party of session {session} that this node hears from")));
        }
        if record.ended() {
            return Ok(());
        }
        if record.stage < Stage::Approved {
            return self.stopped_early(step, record, from, body);
        }
        self.apply(step, record, Input::Message { from: from.into(), body: body.to_vec() })
    }

    /// Starts the machine of an approved session with this node's cleared data.
    pub(super) fn start(&mut self, step: &mut Step, mut record: SessionRecord) -> Result<(), Failure> {
        let datasets = self.store.datasets()?;
        let dataset = datasets.iter().find(|info| record.dataset.as_ref() == Some(&info.name));
        record.data_version = dataset.map(|info| info.commitment);
        if let Some(approved) = record.approved_data.as_ref().filter(|data| Some(data.root) != record.data_version) {
            let reason = format!("data set `{}` was imported anew since its operators approved", approved.dataset);
            let fault = Fault { culprit: self.me().into(), reason };
            return self.abort(step, record, fault, true);
        }
        self.store.draw_secret(&record.session)?;
        record.own_secret = true;
        let input = if self.is_platform() {
            self.platform_data(step, &mut record).map(|data| Input::PlatformData(data.into_inner()))
        } else {
            self.bank_data(step, &mut record).map(|data| Input::BankData(data.into_inner()))
        };
        match input {
            Ok(input) => self.apply(step, record, input),
            Err(failure) => {
                let fault = Fault { culprit: self.me().into(), reason: failure.message };
                self.abort(step, record, fault, true)
            }
        }
    }

    /// Takes the rows of consents that have ended out of a running session.
    pub(super) fn withdraw(
        &mut self,
        step: &mut Step,
        session: &str,
        bank: &str,
        ended: BTreeSet<(Digest, String)>,
        forwarded: u64,
    ) -> Result<(), Failure> {
        let mut record = self.known_session(session)?;
        let contract = self.contract_of(&record)?;
        let sample = contract.terms().sample.as_ref();
        let keys = |subject: &String| SampleTerms::keys_of(sample, subject).into_iter();
        let me = self.me().to_owned();
        step.record(Some(session), &me, self.ended_in_the_log(bank, &ended, forwarded));
        if ended.is_empty() {
            return Ok(());
        }
        let input = if self.is_platform() {
            let events = self.events_of(&ended.iter().map(|(consent, _)| *consent).collect())?;
            let row = |(consent, subject): &(Digest, String)| Ended {
                identifiers: keys(subject).collect(),
                events: events.get(consent).map(|events| events.join("\n")),
            };
            Input::WithdrawOnEvents { bank: bank.into(), ended: ended.iter().map(row).collect() }
        } else {
            let identifiers = ended.iter().flat_map(|(_, subject)| keys(subject)).collect();
            Input::Withdraw { bank: bank.into(), identifiers }
        };
        record.withdrawn.extend(ended.into_iter().map(|(consent, _)| consent));
        self.apply(step, record, input)
    }

    /// Banks that a session has waited for too long are left behind, or named as the reason to stop.
    pub(super) fn lose_patience(&mut self) -> Result<(), Fatal> {
        let over: Vec<_> = self
            .patience
            .iter()
            .filter(|(_, deadline)| **deadline <= Instant::now())
            .map(|(session, _)| session.clone())
            .collect();
        for session in over {
            self.patience.remove(&session);
            go_on("a session was not taken further", self.go_on_without(&session))?;
        }
        Ok(())
    }

    fn go_on_without(&mut self, session: &str) -> Result<(), Failure> {
        let Some(record) = self.store.session(session)?.filter(|record| !record.ended()) else { return Ok(()) };
        self.step(|engine, step| engine.apply(step, record, Input::PatienceOver))
    }

    fn apply(&mut self, step: &mut Step, record: SessionRecord, input: Input) -> Result<(), Failure> {
        let session = record.session.clone();
        if self.contract_of(&record)?.terms().expires < step.now {
            let reason = "its term is over: propose a new session".into();
            return self.abort(step, record, Fault { culprit: "contract".into(), reason }, true);
        }
        self.load(&record)?;
        self.store.journal(&session, &postcard::to_allocvec(&input).map_err(failure::internal)?)?;
        step.touch(&session);
        let from_peer_abort = is_abort(&input, self.is_platform());
        let live = self.live.get_mut(&session).ok_or_else(|| failure::internal("the session is not loaded"))?;
        let requests = match move_machine(live, input) {
            Ok(requests) => self.enter_releases(&record, requests)?,
            Err(fault) => Err(fault),
        };
        match requests {
            Ok(requests) if !self.is_platform() && requests.iter().any(asks_who_left) => {
                let (ended, rest): (Vec<_>, Vec<_>) =
                    requests.into_iter().partition(|request| matches!(request, Request::Other(Output::Ended(_))));
                let events =
                    |request| if let Request::Other(Output::Ended(events)) = request { Some(events) } else { None };
                let events: Vec<String> = ended.into_iter().filter_map(events).collect();
                self.fulfil(step, record, rest)?;
                self.take_forwarded(step, &session, &events)?;
            }
            Ok(requests) => self.fulfil(step, record, requests)?,
            Err(fault) => self.abort(step, record, fault, !from_peer_abort)?,
        }
        self.renew_patience(&session);
        Ok(())
    }

    /// Enters the sums that this bank is about to help to release into its ledger, in the transaction of the step; a sum that
    /// the ledger does not admit ends the session, and nothing of this step leaves. Sessions that began side by side meet
    /// here for the first time.
    fn enter_releases(
        &self,
        record: &SessionRecord,
        requests: Vec<Request>,
    ) -> Result<Result<Vec<Request>, Fault>, Failure> {
        let is_release = |request: &Request| matches!(request, Request::Other(Output::Releasing(_)));
        let (releases, rest): (Vec<_>, Vec<_>) = requests.into_iter().partition(is_release);
        if releases.is_empty() {
            return Ok(Ok(rest));
        }
        let contract = self.contract_of(record)?;
        if let Err(refusal) = unless_fatal(self.check_sample(record, contract.terms()))? {
            return Ok(Err(Fault { culprit: self.me().into(), reason: refusal.message }));
        }
        let least = contract.terms().limits.min_cell as usize;
        let version = record.data_version.unwrap_or_default();
        for request in releases {
            let Request::Other(Output::Releasing(release)) = request else { continue };
            let others = self.store.releases(&version)?;
            for (session, cohort) in others.iter().filter(|(session, _)| *session != record.session) {
                if let Err(found) = release.check([cohort.as_slice()], least) {
                    let reason = format!("does not help to release a sum beside those of session {session}: {found}");
                    return Ok(Err(Fault { culprit: self.me().into(), reason }));
                }
            }
            self.store.put_release(&version, &record.session, &release.cohort)?;
        }
        Ok(Ok(rest))
    }

    fn fulfil(&mut self, step: &mut Step, mut record: SessionRecord, requests: Vec<Request>) -> Result<(), Failure> {
        let session = record.session.clone();
        let me = self.me().to_owned();
        let mut table = None;
        for request in requests {
            match request {
                Request::Send { to, form, body } => {
                    self.write(step, &to, &session, MessageKind::Session, form, body)?
                }
                Request::Other(Output::Record(fact)) => {
                    step.record(Some(&session), &me, book::fact(&fact));
                }
                Request::Other(Output::Refused(fault)) => {
                    step.record(Some(&session), &fault.culprit, book::refused_message(&fault.culprit, &fault.reason));
                }
                Request::Other(Output::Evidence { round, transcript }) => {
                    self.store.put_result(&session, &format!("transcript-{round}"), &transcript)?;
                }
                // Kept in every session, and in no log: others see that grow.
                Request::Other(Output::Unread(rows)) => {
                    self.store.put_result(&session, UNREAD_ROWS, rows.to_string().as_bytes())?;
                }
                // Of statistics the bank keeps nothing of its own.
                Request::Other(Output::Table(_)) if self.contract_of(&record)?.terms().is_statistics() => {}
                Request::Other(Output::Table(own)) => {
                    self.keep_label_diversity(&record, &own)?;
                    table = Some(own);
                }
                Request::Other(Output::Attested(attestation)) => {
                    step.record(Some(&session), &me, book::attestation(&attestation));
                    let envelope = serde_json::to_vec(&attestation.envelope).map_err(failure::internal)?;
                    self.store.put_result(&session, attestation.fact, &envelope)?;
                }
                Request::Other(Output::Model(fit)) => self.keep_model(step, &mut record, &fit, table.as_deref())?,
                Request::Other(Output::Stage(stage)) => self.reach(step, &mut record, stage)?,
                Request::Other(Output::Send { .. } | Output::Releasing(_) | Output::Ended(_)) => {}
            }
        }
        self.store.put_session(&record)?;
        if record.ended() {
            self.forget(&session)?;
        }
        Ok(())
    }

    /// Notes that a session has reached a stage.
    pub(super) fn reach(&mut self, step: &mut Step, record: &mut SessionRecord, stage: Stage) -> Result<(), Failure> {
        record.stage = stage;
        record.history.push((stage, step.now));
        let me = self.me().to_owned();
        step.record(Some(&record.session), &me, book::session_state(stage, record.reason.as_deref()));
        tracing::info!(session = record.session, %stage, "session");
        if stage == Stage::Released && !self.contract_of(record)?.terms().is_statistics() {
            self.register_model(step, record)?;
            self.load_model(record)?;
        }
        Ok(())
    }

    /// Ends a session with a reason that names the culprit, and tells the others.
    pub(super) fn abort(
        &mut self,
        step: &mut Step,
        mut record: SessionRecord,
        fault: Fault,
        tell: bool,
    ) -> Result<(), Failure> {
        // What a peer gives as the reason is its own text: as much of it as people read.
        let short = |text: &str| text.chars().take(REASON_CHARS).collect::<String>();
        let fault = Fault { culprit: short(&fault.culprit), reason: short(&fault.reason) };
        let stop = Stop::from(fault.clone());
        if tell {
            let contract = self.contract_of(&record)?;
            let me = self.me().to_owned();
            if self.is_platform() {
                let body = FromPlatform::Aborted(stop).encode();
                for bank in contract.terms().banks() {
                    self.write(step, &bank.name, &record.session, MessageKind::Session, "control", body.clone())?;
                }
            } else if let Some(platform) = contract.terms().platform().filter(|platform| platform.name != me) {
                let body = FromBank::Aborted(stop).encode();
                self.write(step, &platform.name, &record.session, MessageKind::Session, "control", body)?;
            }
        }
        record.reason = Some(fault.to_string());
        tracing::warn!(session = record.session, reason = %fault, "session aborted");
        self.reach(step, &mut record, Stage::Aborted)?;
        self.store.put_session(&record)?;
        self.forget(&record.session)
    }

    /// The secrets of an ended session go, unless this bank keeps them for its auditor; its record, model and evidence stay.
    fn forget(&mut self, session: &str) -> Result<(), Failure> {
        self.live.remove(session);
        self.patience.remove(session);
        let unread = self.unread_rows(session)?.unwrap_or(0);
        if unread > 0 {
            tracing::warn!(
                session,
                unread,
                "rows of the platform did not open or held no codes of the contract's fields"
            );
        }
        let kept = !self.is_platform() && self.config.retention.inputs_days > 0;
        if kept { Ok(()) } else { self.store.erase_session(session) }
    }

    /// What everything random of a session is derived from.
    fn session_secret(&self, record: &SessionRecord) -> Result<Seed, Failure> {
        if !record.own_secret {
            return Ok(self.keys.older_session(record.contract.as_bytes()));
        }
        let erased = || failure::data(format!("the secrets of session {} were erased when it ended", record.session));
        self.store.secret(&record.session)?.ok_or_else(erased)
    }

    /// What this bank put into a session: its journal, run once more.
    pub(super) fn run_again(&self, record: &SessionRecord) -> Result<DisclosedBank, Failure> {
        if self.is_platform() {
            return Err(failure::refused("the platform gives no vectors: banks disclose what they put in"));
        }
        let not_kept = || {
            let text =
                "what this bank put into session {} is not kept: set `inputs_days` in `[retention]` before a session";
            failure::data(text.replace("{}", &record.session))
        };
        if !self.store.has_journal(&record.session)? {
            return Err(not_kept());
        }
        let contract = self.contract_of(record)?;
        let seed = self.session_secret(record)?;
        let machine = BankSession::new(contract, self.me(), self.signing.clone(), seed).map_err(failure::internal)?;
        let mut live = Live::Bank(Box::new(machine.recording()));
        self.store.replay(&record.session, |bytes| {
            let input = postcard::from_bytes(&bytes).map_err(failure::internal)?;
            // The input that ended the session was a fault; what came before it was not.
            let _ = move_machine(&mut live, input);
            Ok(())
        })?;
        let Live::Bank(machine) = live else { return Err(failure::internal("a bank runs a bank's session")) };
        machine.disclosed().cloned().ok_or_else(not_kept)
    }

    /// A session that this node knows.
    pub(super) fn known_session(&self, session: &str) -> Result<SessionRecord, Failure> {
        self.store.session(session)?.ok_or_else(|| {
            failure::data(format!("session {session} is not known here: see `tallystick session status`"))
        })
    }

    /// The contract of a session that was stored here, hence checked before.
    pub(super) fn contract_of(&self, record: &SessionRecord) -> Result<SealedContract, Failure> {
        SealedContract::read(&record.envelope).map_err(failure::internal)
    }

    fn stopped_early(
        &mut self,
        step: &mut Step,
        record: SessionRecord,
        from: &str,
        body: &[u8],
    ) -> Result<(), Failure> {
        let stop = if self.is_platform() {
            match FromBank::decode(body, from) {
                Ok(FromBank::Aborted(stop)) => Some(stop),
                _ => None,
            }
        } else {
            match FromPlatform::decode(body, from) {
                Ok(FromPlatform::Aborted(stop)) => Some(stop),
                _ => None,
            }
        };
        let stop = stop.ok_or_else(|| failure::refused(format!("{from} works in a session that is not approved")))?;
        self.abort(step, record, stop.into(), self.is_platform())
    }

    fn load(&mut self, record: &SessionRecord) -> Result<(), Failure> {
        if self.live.contains_key(&record.session) {
            return Ok(());
        }
        let contract = self.contract_of(record)?;
        let seed = self.session_secret(record)?;
        let made = if self.is_platform() {
            PlatformSession::new(contract, self.signing.clone(), seed).map(|machine| Live::Platform(Box::new(machine)))
        } else {
            BankSession::new(contract, self.me(), self.signing.clone(), seed)
                .map(|machine| Live::Bank(Box::new(machine)))
        };
        let mut live = made.map_err(failure::internal)?;
        self.store.replay(&record.session, |bytes| {
            let input = postcard::from_bytes(&bytes).map_err(failure::internal)?;
            // What the machine asked was done when the input was journaled; only its state matters here.
            move_machine(&mut live, input).map(drop).map_err(failure::internal)
        })?;
        self.live.insert(record.session.clone(), live);
        Ok(())
    }

    fn renew_patience(&mut self, session: &str) {
        let waits = match self.live.get(session) {
            Some(Live::Platform(machine)) => !machine.waiting_for().is_empty(),
            _ => false,
        };
        let seconds = self
            .store
            .session(session)
            .ok()
            .flatten()
            .and_then(|record| self.contract_of(&record).ok())
            .map_or(60, |contract| contract.terms().patience_seconds);
        if waits {
            self.patience.insert(session.into(), Instant::now() + Duration::from_secs(seconds.into()));
        } else {
            self.patience.remove(session);
        }
    }

    fn keep_model(
        &mut self,
        step: &mut Step,
        record: &mut SessionRecord,
        fit: &Fitted,
        table: Option<&Table>,
    ) -> Result<(), Failure> {
        let text = serde_json::to_vec(fit).map_err(failure::internal)?;
        self.store.put_result(&record.session, "fit", &text)?;
        record.model = Some(fit.digest());
        if matches!(fit, Fitted::Statistics(_)) {
            return Ok(());
        }
        self.keep_golden(&record.session, fit)?;
        if let Some(Live::Platform(machine)) = self.live.get(&record.session) {
            let half = serde_json::to_vec(&machine.half()).map_err(failure::internal)?;
            self.store.put_result(&record.session, "half", &half)?;
        }
        if let Some(table) = table {
            let own = super::reports::own_evaluation(fit, table, self.contract_of(record)?.terms())?;
            let own = serde_json::to_vec(&own).map_err(failure::internal)?;
            self.store.put_result(&record.session, "own", &own)?;
            self.keep_bank_only(record, table)?;
            self.keep_calibration(step, record, fit, table)?;
        }
        Ok(())
    }

    pub(super) fn abort_by_operator(&mut self, session: &str, reason: &str) -> Result<serde_json::Value, Failure> {
        let record = self.known_session(session)?;
        if record.ended() {
            return Err(failure::refused(format!("session {session} is {} already", record.stage)));
        }
        let fault = Fault { culprit: self.me().into(), reason: format!("stopped by its operator: {reason}") };
        self.step(|engine, step| engine.abort(step, record, fault, true))?;
        Ok(serde_json::json!({ "session": session, "stage": Stage::Aborted, "time": now() }))
    }
}

fn move_machine(live: &mut Live, input: Input) -> Result<Vec<Request>, Fault> {
    match (live, input) {
        (Live::Platform(machine), Input::PlatformData(data)) => {
            machine.apply(PlatformInput::Prepared(Cleared::journaled(data))).map(from_platform)
        }
        (Live::Platform(machine), Input::Message { from, body }) => {
            let message = FromBank::decode(&body, &from)?;
            machine.apply(PlatformInput::Message { from, message }).map(from_platform)
        }
        (Live::Platform(machine), Input::PatienceOver) => machine.apply(PlatformInput::PatienceOver).map(from_platform),
        // Of a version that forwarded no events.
        (Live::Platform(machine), Input::Withdraw { bank, identifiers }) => {
            let ended = vec![Ended { identifiers, events: None }];
            machine.apply(PlatformInput::Withdraw { bank, ended }).map(from_platform)
        }
        (Live::Platform(machine), Input::WithdrawOnEvents { bank, ended }) => {
            machine.apply(PlatformInput::Withdraw { bank, ended }).map(from_platform)
        }
        (Live::Bank(machine), Input::BankData(data)) => {
            machine.apply(BankInput::Prepared(Cleared::journaled(data))).map(from_bank)
        }
        (Live::Bank(machine), Input::Withdraw { identifiers, .. }) => {
            machine.apply(BankInput::Withdraw(identifiers.into_iter().collect())).map(from_bank)
        }
        (Live::Bank(machine), Input::Message { from, body }) => {
            machine.apply(BankInput::Message(FromPlatform::decode(&body, &from)?)).map(from_bank)
        }
        _ => Err(Fault { culprit: "this node".into(), reason: "its journal holds an input of the other role".into() }),
    }
}

fn is_abort(input: &Input, platform: bool) -> bool {
    let Input::Message { from, body } = input else { return false };
    // A bank's stop is passed on to the other banks; a platform's stop has reached them all.
    !platform && matches!(FromPlatform::decode(body, from), Ok(FromPlatform::Aborted(_)))
}

fn from_platform(outputs: Vec<Output<FromPlatform>>) -> Vec<Request> {
    outputs.into_iter().map(|output| generalise(output, |message| (message.form(), message.encode()))).collect()
}

fn from_bank(outputs: Vec<Output<FromBank>>) -> Vec<Request> {
    outputs.into_iter().map(|output| generalise(output, |message| (message.form(), message.encode()))).collect()
}

fn generalise<M>(output: Output<M>, encode: impl FnOnce(M) -> (&'static str, Vec<u8>)) -> Request {
    match output {
        Output::Send { to, message } => {
            let (form, body) = encode(message);
            Request::Send { to, form, body }
        }
        Output::Record(fact) => Request::Other(Output::Record(fact)),
        Output::Stage(stage) => Request::Other(Output::Stage(stage)),
        Output::Unread(rows) => Request::Other(Output::Unread(rows)),
        Output::Table(table) => Request::Other(Output::Table(table)),
        Output::Model(fit) => Request::Other(Output::Model(fit)),
        Output::Attested(attestation) => Request::Other(Output::Attested(attestation)),
        Output::Ended(events) => Request::Other(Output::Ended(events)),
        Output::Releasing(release) => Request::Other(Output::Releasing(release)),
        Output::Refused(fault) => Request::Other(Output::Refused(fault)),
        Output::Evidence { round, transcript } => Request::Other(Output::Evidence { round, transcript }),
    }
}

/// Whether this is a step after which rows may leave: the platform has named some, or the bank knows which it has.
fn asks_who_left(request: &Request) -> bool {
    matches!(request, Request::Other(Output::Record(Fact::Named { .. } | Fact::Alignment { .. })))
}
