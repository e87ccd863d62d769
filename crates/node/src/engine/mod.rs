//! The engine: one thread that owns the store, the log and the sessions of a node.
//!
//! Every piece of work (a message, a command, a tick) is one [`Step`]: it changes state, collects log entries and messages,
//! and is kept as a whole or not at all. Steps that wait for the engine at the same time are one [`Group`], committed as one
//! transaction; messages, acknowledgements and answers leave only after the commit, each message with the receipt of the log
//! entry that covers it. A node killed at any moment starts again from what was committed: sessions are rebuilt by
//! replaying their journals, unacknowledged messages are sent again, byte for byte.

mod applicant;
mod approval;
mod batch;
mod book;
mod calibration;
mod calls;
mod clearance;
mod consents;
mod counts;
mod datasets;
mod disclosure;
mod disputes;
mod erasure;
mod evidence;
mod fallback;
mod group;
mod import;
mod letters;
mod lists;
mod models;
mod monitor;
mod operators;
mod orders;
mod outcomes;
mod proposal;
mod publication;
mod receipts;
mod refusals;
mod reports;
mod sample;
mod score_consent;
mod scoring;
mod serving;
mod sessions;
mod statistics;
mod step;
mod subject;
#[cfg(test)]
mod tests;
mod tokens;
mod underway;
mod warning;
mod witness;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tally_audit::{Ledger, Registry};
use tally_crypto::sign::SigningKey;
use tally_net::{Event, Link, Room};
use tally_policy::{ListHistory, Register};

use crate::api::Gate;
use crate::config::{Config, Role};
use crate::control::{Command, Reply};
use crate::directory::Directory;
use crate::failure::{self, Failure, Fatal, unless_fatal};
use crate::keys::NodeKeys;
use crate::log::{self, PublishedLog};
use crate::store::Store;

pub(crate) use calls::{Call, Key, Served, code_of};
pub(crate) use clearance::{bank_rows, platform_column, platform_rows};
pub(crate) use datasets::dictionary_of;
pub(crate) use evidence::{DISCLOSE_LABEL, OPEN_LABEL};
pub(crate) use reports::baselines;
pub(crate) use sample::sampled;
use sessions::Live;
pub(crate) use warning::{RULES_LABEL, WARNING_LABEL, action_digest};

/// How often consents and list entries that have expired are looked for among running sessions.
const SWEEP: Duration = Duration::from_secs(60);

/// What reaches the engine.
pub(crate) enum Work {
    /// Something happened on the network; the room that it takes is given back when it was dealt with.
    Net(Event, Room),
    /// A command, and where its answer goes.
    Control(Command, Reply),
    /// A call of the scoring service, and where its answer goes.
    Serve(Call, Reply),
    /// The node shall stop.
    Stop,
}

/// Everything a running node holds.
pub(crate) struct Engine {
    directory: Directory,
    config: Config,
    keys: NodeKeys,
    signing: Arc<SigningKey>,
    registry: Registry,
    store: Store,
    ledger: Ledger,
    lists: ListHistory,
    register: Register,
    live: BTreeMap<String, Live>,
    models: BTreeMap<String, serving::Model>,
    /// Why a released model does not serve, by session.
    unfit: BTreeMap<String, String>,
    waiting_scores: BTreeMap<String, scoring::Waiting>,
    patience: BTreeMap<String, Instant>,
    connected: BTreeMap<String, underway::UnderWay>,
    disputes: Vec<disputes::Case>,
    last_sweep: Instant,
    last_erasure: i64,
    link: Option<Link>,
    group: group::Group,
    log: PublishedLog,
    witnessing: witness::Witnessing,
    refusals: refusals::Refusals,
    warnings: warning::Desk,
    gate: Arc<Gate>,
    last_tick: i64,
}

impl Engine {
    /// Opens the store and recovers the log, the registers and the open sessions.
    pub(crate) fn open(directory: Directory, config: Config, keys: NodeKeys) -> Result<Self, Failure> {
        let store = Store::open(&directory.store(), keys.storage())?;
        let ledger = log::recover(&store, &config.node.name)?;
        let log = PublishedLog::open(&directory.log(), &config.node.name, keys.log())?;
        let registry = crate::registry::read(&directory, &config)?;
        let witnessing = witness::Witnessing::open(&directory, &config, &keys, &registry, &store)?;
        let mut engine = Self {
            signing: Arc::new(keys.signing()),
            registry,
            ledger,
            lists: ListHistory::default(),
            register: Register::default(),
            live: BTreeMap::new(),
            models: BTreeMap::new(),
            unfit: BTreeMap::new(),
            waiting_scores: BTreeMap::new(),
            patience: BTreeMap::new(),
            connected: BTreeMap::new(),
            disputes: Vec::new(),
            last_sweep: Instant::now(),
            last_erasure: 0,
            link: None,
            group: group::Group::default(),
            log,
            witnessing,
            refusals: refusals::Refusals::default(),
            warnings: warning::Desk::default(),
            gate: Arc::new(Gate::new(keys.storage())),
            last_tick: 0,
            directory,
            config,
            keys,
            store,
        };
        engine.check_identity()?;
        engine.gather()?;
        engine.load_registers()?;
        engine.load_disputes()?;
        engine.load_tokens()?;
        engine.load_warnings()?;
        if engine.ledger.next() == 0 {
            engine.step(Engine::record_genesis)?;
        }
        engine.publish()?;
        engine.resume_sessions()?;
        engine.commit()?;
        Ok(engine)
    }

    /// Works until told to stop.
    ///
    /// # Errors
    /// Stops where the store cannot be written: nothing may happen that is not durable.
    pub(crate) fn run(mut self, link: Link, work: &Receiver<Work>) -> Result<(), Fatal> {
        self.link = Some(link);
        loop {
            let next = work.recv_timeout(Duration::from_millis(50));
            self.gather()?;
            let stop = match next {
                Ok(next) => self.work_off(next, work)?,
                Err(RecvTimeoutError::Timeout) => {
                    self.forget_acknowledged()?;
                    false
                }
                Err(RecvTimeoutError::Disconnected) => true,
            };
            self.gather()?;
            self.tick()?;
            self.commit()?;
            self.log.advance(&self.store, &self.ledger).map_err(Fatal::because)?;
            if stop {
                return self.publish().map_err(Fatal::because);
            }
        }
    }

    /// Takes in what waits, as long as the group has room; whether the node shall stop.
    fn work_off(&mut self, first: Work, work: &Receiver<Work>) -> Result<bool, Fatal> {
        let mut next = Ok(first);
        while let Ok(piece) = next {
            self.gather()?;
            match piece {
                Work::Net(event, _room) => self.happen(event)?,
                Work::Control(command, reply) => self.obey(command, reply)?,
                Work::Serve(call, reply) => self.attend(call, reply)?,
                Work::Stop => return Ok(true),
            }
            if !self.group.has_room() {
                break;
            }
            next = work.try_recv();
        }
        Ok(false)
    }

    fn obey(&mut self, command: Command, reply: Reply) -> Result<(), Fatal> {
        if let Command::Score(order) = command {
            if let Err(failure) = unless_fatal(self.begin_score(order, None, reply.clone()))? {
                self.group.hold(group::Outward::Reply(reply, Err(failure)));
            }
            return Ok(());
        }
        if let Command::ScoreBatch(order) = command {
            return go_on("a batch was not begun", self.begin_batch(order, reply)).map(drop);
        }
        self.commit()?;
        self.gather()?;
        let answer = self.answer(command);
        self.group.hold(group::Outward::Reply(reply, answer));
        self.commit()
    }

    /// Answers a command of this process, durably.
    pub(crate) fn ask(&mut self, command: Command) -> Result<Value, Failure> {
        self.gather()?;
        let answer = self.answer(command);
        self.commit()?;
        answer
    }

    fn answer(&mut self, command: Command) -> Result<Value, Failure> {
        match command {
            Command::Status => self.status(),
            Command::OperatorAdd { name, key, role } => self.add_operator(&name, key, role),
            Command::OperatorSign { order } => self.change_operators(order),
            Command::OperatorOrders { session } => self.orders(session.as_deref()),
            Command::OperatorList => self.list_operators(),
            Command::DatasetImport(order) => self.import_dataset(&order),
            Command::DatasetList => self.list_datasets(),
            Command::DatasetOpen { dataset, identifier, cohort } => self.open_row(&dataset, &identifier, cohort),
            Command::ListImport { path } => self.import_list(&path),
            Command::ListShow { version } => self.show_list(version),
            Command::ConsentImport { path } => self.import_consents(&path),
            Command::ConsentStatus => self.consent_status(),
            Command::ConsentReceipt { consent } => self.consent_receipt(&consent),
            Command::SubjectReport { subject } => self.subject_report(&subject),
            Command::SubjectObject { subject, field, reason } => self.object(&subject, &field, &reason),
            Command::SubjectSettle { case, value, reason } => self.settle(&case, value.as_deref(), &reason),
            Command::SubjectCases => self.list_cases(),
            Command::ErasureRun => self.erase_due(),
            Command::ErasureList => self.certificates(),
            Command::ModelExport { model, format } => self.export_model(model.as_deref(), &format),
            Command::SessionPropose { template, dictionary, dataset, banks, patience_seconds } => {
                self.propose(&template, &dictionary, &dataset, &banks, patience_seconds)
            }
            Command::SessionEvidence { session } => self.session_evidence(&session),
            Command::SessionDisclose { order, operator, signature } => {
                self.disclose_inputs(&order, &operator, &signature)
            }
            Command::AuditOpen { order, operator, signature } => self.open_entries(&order, &operator, &signature),
            Command::SessionShow { session } => self.show_session(session.as_deref()),
            Command::SessionData { session, dataset } => self.data_to_approve(&session, dataset),
            Command::SessionApprove { session, order } => self.approve(&session, order),
            Command::SessionReject { session, reason } => self.reject(&session, &reason),
            Command::SessionAbort { session, reason } => self.abort_by_operator(&session, &reason),
            Command::SessionStatus { session } => self.session_status(session.as_deref()),
            Command::SessionResults { session } => self.session_results(&session),
            Command::ModelList => self.list_models(),
            Command::ModelShow { model } => self.show_model(model.as_deref()),
            Command::ModelChange { order } => self.change_model(order),
            Command::TokenIssue { terms, order } => self.issue_token(&terms, order),
            Command::TokenList => self.list_tokens(),
            Command::TokenRevoke { order } => self.revoke_token(order),
            Command::Score(_) | Command::ScoreBatch(_) => Err(failure::internal("scores are answered later")),
            Command::ScoreFields { model } => self.fields_scored(model.as_deref()),
            Command::LogAccess { auditor } => self.note_access(&auditor),
            Command::LogReceipts { peer, after } => self.receipts(&peer, after),
            Command::AlignCount { bank, contract } => self.enter_count(&bank, contract),
            Command::Warning(order) => self.obey_warning(order),
            Command::OutcomeImport { path, form } => self.import_outcomes(&path, &form),
            Command::OutcomeShow { application } => self.show_outcomes(application.as_deref()),
            Command::OutcomeReport { purpose } => self.report_outcomes(purpose),
            Command::MonitorReport { model, window } => self.monitor(model.as_deref(), window),
            Command::LogPublish => self.publish().map(|()| serde_json::json!({ "entries": self.log.size() })),
        }
    }

    fn tick(&mut self) -> Result<(), Fatal> {
        self.lose_patience()?;
        self.give_up_scores();
        go_on("refused calls were not logged", self.log_refused_calls())?;
        go_on("refusals were not logged", self.log_refusals())?;
        self.tick_warnings()?;
        if self.last_sweep.elapsed() >= SWEEP {
            self.last_sweep = Instant::now();
            go_on("running sessions were not looked at again", self.look_again())?;
            go_on("warnings that wait were not looked for", self.look_for_waiting())?;
            go_on("nothing was erased", self.erase_nightly())?;
            go_on("expired calls were not forgotten", self.store.forget_calls(now()))?;
        }
        go_on("answers of witnesses were not taken", self.take_public_answers())?;
        let tick = self.publication_tick();
        if self.ledger.next() > self.log.size() && self.last_tick != tick {
            self.last_tick = tick;
            // What is not published was promised to peers: a node that cannot publish says nothing more.
            self.publish().map_err(Fatal::because)?;
        }
        Ok(())
    }

    /// Writes tiles and checkpoint for every entry.
    fn publish(&mut self) -> Result<(), Failure> {
        self.gather()?;
        self.pad_log()?;
        self.commit()?;
        self.gather()?;
        if !self.directory.config().exists() {
            let text = format!("{}: the node's directory is gone", self.directory.path().display());
            return Err(failure::unwritable(text));
        }
        self.log.publish(&self.store, &self.ledger)?;
        self.ask_witnesses()
    }

    /// The consents of this node.
    pub(crate) fn register(&self) -> &Register {
        &self.register
    }

    /// Who may call the scoring service; the service asks it, this engine fills it.
    pub(crate) fn gate(&self) -> Arc<Gate> {
        self.gate.clone()
    }

    fn me(&self) -> &str {
        &self.config.node.name
    }

    fn is_platform(&self) -> bool {
        self.config.node.role == Role::Platform
    }

    /// The registry must name this node with the keys that it holds.
    fn check_identity(&self) -> Result<(), Failure> {
        let me = self.me();
        let entry = self.registry.party(me).ok_or_else(|| {
            failure::misconfigured(format!(
                "the registry does not name {me}: ask the consortium to issue a certificate"
            ))
        })?;
        if entry.node_key != self.signing.verify_key() {
            let text = format!("the registry names another key for {me}: this directory was made after the registry");
            return Err(failure::misconfigured(text));
        }
        Ok(())
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Fresh bytes of the operating system.
fn random_bytes<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(failure::internal)?;
    Ok(bytes)
}

/// What was done by the engine's own accord: where it failed, that is for the operator, and the engine goes on, unless nothing may.
fn go_on<T>(undone: &str, done: Result<T, Failure>) -> Result<Option<T>, Fatal> {
    let done = unless_fatal(done)?.inspect_err(|failure| tracing::error!(%failure, "{undone}"));
    Ok(done.ok())
}
