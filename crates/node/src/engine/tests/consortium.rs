//! A consortium whose engines a test moves by hand.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use tally_audit::order::{Data, Decision, Order};
use tally_audit::{Entry, NamedKey, Sent, SignedReceipt};
use tally_city::ca::Authority;
use tally_city::{City, Options, signed_consent, signed_list};
use tally_crypto::seed::Seed;
use tally_crypto::sign::SigningKey;
use tally_net::{Event, Incoming};
use tally_policy::{Consent, FieldKind, Form, Level, ListField, Purpose, SharingList};

use super::super::*;
use crate::control::{DatasetImport, ScoreOrder};
use crate::node_directory;
use crate::store::OperatorRole;

/// Number of the last message from one to another.
pub(super) type Last = BTreeMap<(&'static str, &'static str), u64>;

pub(super) const PLATFORM: &str = "platform";
pub(super) const BANKS: [&str; 3] = ["bank-1", "bank-2", "bank-3"];
const PASSPHRASE: &[u8] = b"consortium";
pub(super) const OPERATOR: &str = "chen";
/// The field that rules watch, and that is objected to.
pub(super) const FIELD: &str = "court_cases_24m";

/// The nodes, and all that went between them.
pub(super) struct Consortium {
    pub(super) folder: tempfile::TempDir,
    pub(super) city: City,
    pub(super) nodes: BTreeMap<&'static str, Engine>,
    /// Number of the last message from one to another.
    pub(super) last: Last,
    pub(super) post: Vec<Posted>,
}

/// A message as it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Posted {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    pub(super) session: String,
    pub(super) kind: String,
    pub(super) body: Vec<u8>,
}

pub(super) fn operator() -> SigningKey {
    SigningKey::from_seed(&Seed::new([4; 32]))
}

/// Adds what banks tell of their loans to the sharing list.
fn with_outcomes(list: &mut SharingList) {
    let names = ["outcome_granted", "outcome_amount", "outcome_rate", "outcome_start", "outcome_state"];
    let field = |name: &str| ListField {
        name: name.into(),
        title: list.fields[0].title.clone(),
        owner: "banks".into(),
        category: "loan-outcome".into(),
        level: Level::L2,
        kind: FieldKind::Numeric,
        forms: vec![Form::Binned],
        purposes: vec![Purpose::PostLoanMonitoring],
        from: None,
        until: None,
        refresh_days: 31,
    };
    let fields: Vec<_> = names.map(field).into();
    list.fields.extend(fields);
}

impl Consortium {
    /// Nodes that are enrolled, connected and have their lists, consents and data.
    pub(super) fn new() -> Self {
        let (folder, city) = (in_memory(), city());
        city.write(&folder.path().join("inputs")).unwrap();
        let mut all = Self { folder, city, nodes: BTreeMap::new(), last: Last::new(), post: Vec::new() };
        all.enrol();
        all.bring_data();
        all
    }

    fn enrol(&mut self) {
        let root = self.folder.path().to_owned();
        let named = |file: &str| -> NamedKey {
            serde_json::from_str(&std::fs::read_to_string(root.join("inputs").join(file)).unwrap()).unwrap()
        };
        let mut authority = Authority::init(&root.join("consortium"), PASSPHRASE, crate::cli::today()).unwrap();
        authority.appoint_registrar(named("registrar.json")).unwrap();
        authority.appoint_list_authority(named("authority.json")).unwrap();
        for name in [PLATFORM].into_iter().chain(BANKS) {
            let directory = self.directory(name);
            let (role, link) = match name {
                PLATFORM => (Role::Platform, "listen = \"127.0.0.1:0\""),
                _ => (Role::Bank, "dial = \"127.0.0.1:9\"\nplatform = \"platform\""),
            };
            node_directory::create(&directory, name, role, (link, Some(authority.key())), PASSPHRASE).unwrap();
            node_directory::certify(&mut authority, &directory).unwrap();
        }
        let config = self.directory(PLATFORM).config();
        let text =
            std::fs::read_to_string(&config).unwrap() + "\n[warning]\nrules = \"warnings.toml\"\nevery_hours = 0\n";
        std::fs::write(config, text).unwrap();
        std::fs::write(self.directory(PLATFORM).path().join("warnings.toml"), rules()).unwrap();
        for name in [PLATFORM].into_iter().chain(BANKS) {
            for file in ["registry.json", "ca.crt"] {
                std::fs::copy(root.join("consortium").join(file), self.directory(name).path().join(file)).unwrap();
            }
        }
        self.open();
        for name in [PLATFORM].into_iter().chain(BANKS) {
            let (key, role) = (operator().verify_key(), OperatorRole::Development);
            self.tell(name, Command::OperatorAdd { name: OPERATOR.into(), key, role });
        }
    }

    /// Opens every node, as after a start, and lets them see each other.
    pub(super) fn open(&mut self) {
        self.nodes.clear();
        for name in [PLATFORM].into_iter().chain(BANKS) {
            let directory = self.directory(name);
            let keys = NodeKeys::read(&directory.node_keys(), PASSPHRASE).unwrap();
            let config = Config::read(&directory.config()).unwrap();
            self.nodes.insert(name, Engine::open(directory, config, keys).unwrap());
        }
        for bank in BANKS {
            self.turn(PLATFORM, |engine| engine.happen(Event::Up { peer: bank.into() })).unwrap();
            self.turn(bank, |engine| engine.happen(Event::Up { peer: PLATFORM.into() })).unwrap();
        }
    }

    fn bring_data(&mut self) {
        let list = self.write("list-2.json", &signed_list(&self.city, with_outcomes).unwrap());
        let dictionary = std::fs::read_to_string(self.input("dictionary.json")).unwrap();
        for name in [PLATFORM].into_iter().chain(BANKS) {
            self.tell(name, Command::ListImport { path: list.clone() });
            let platform = name == PLATFORM;
            let of: Vec<_> = if platform { BANKS.to_vec() } else { vec![name] };
            for bank in of {
                let path = self.input(&format!("consents-{bank}.jsonl"));
                self.tell(name, Command::ConsentImport { path });
            }
            let import = DatasetImport {
                name: if platform { "enterprises".into() } else { "loans".into() },
                path: self.input(&format!("{name}.csv")),
                dictionary: (!platform).then(|| dictionary.clone()),
                label: (!platform).then(|| "y".into()),
                ..self.platforms("2026-06-30")
            };
            self.tell(name, Command::DatasetImport(import));
        }
    }

    pub(super) fn platforms(&self, day: &str) -> DatasetImport {
        DatasetImport {
            name: "enterprises".into(),
            path: self.input("platform.csv"),
            dictionary: None,
            label: None,
            identifier: "id".into(),
            cohort: None,
            credit_codes: true,
            map: BTreeMap::new(),
            misfits_missing: false,
            as_of: day.into(),
            form: tally_data::CsvForm::default(),
        }
    }

    pub(super) fn directory(&self, node: &str) -> Directory {
        Directory::new(self.folder.path().join(node))
    }

    pub(super) fn input(&self, file: &str) -> PathBuf {
        self.folder.path().join("inputs").join(file)
    }

    pub(super) fn write(&self, file: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(file);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A consent of an enterprise, given to nodes; its digest.
    pub(super) fn consent(
        &mut self,
        subject: &str,
        grantee: &str,
        nodes: &[&'static str],
        change: impl FnOnce(&mut Consent),
    ) -> tally_crypto::transcript::Digest {
        let line = signed_consent(&self.city, subject, grantee, change).unwrap();
        let path = self.write("consent.jsonl", &format!("{line}\n"));
        for node in nodes {
            self.tell(node, Command::ConsentImport { path: path.clone() });
        }
        let envelope: tally_crypto::sign::Envelope = serde_json::from_str(&line).unwrap();
        envelope.payload_digest().unwrap()
    }

    pub(super) fn node(&mut self, name: &str) -> &mut Engine {
        self.nodes.get_mut(name).unwrap()
    }

    /// What an operator would be answered.
    pub(super) fn tell(&mut self, node: &str, command: Command) -> Value {
        self.node(node).ask(command).unwrap()
    }

    /// One turn of a node's loop.
    pub(super) fn turn<E: std::fmt::Display>(
        &mut self,
        node: &str,
        act: impl FnOnce(&mut Engine) -> Result<(), E>,
    ) -> Result<(), String> {
        let engine = self.node(node);
        engine.gather().map_err(|error| error.to_string())?;
        act(engine).map_err(|error| error.to_string())?;
        engine.gather().map_err(|error| error.to_string())?;
        engine.tick().map_err(|error| error.to_string())?;
        engine.commit().map_err(|error| error.to_string())
    }

    /// Hands over what waits, one message each way, until nothing does or `enough`.
    pub(super) fn pump(&mut self, mut enough: impl FnMut(&Self) -> bool) {
        for node in [PLATFORM].into_iter().chain(BANKS) {
            self.turn(node, |_| Ok::<_, String>(())).unwrap();
        }
        let ways: Vec<_> = BANKS.into_iter().flat_map(|bank| [(PLATFORM, bank), (bank, PLATFORM)]).collect();
        loop {
            let mut moved = false;
            for (from, to) in ways.iter().copied() {
                if enough(self) {
                    return;
                }
                moved |= self.hand_over(from, to);
            }
            if !moved {
                return;
            }
        }
    }

    fn hand_over(&mut self, from: &'static str, to: &'static str) -> bool {
        let last = self.last.get(&(from, to)).copied().unwrap_or(0);
        let Some(letter) = self.nodes[from].store.next_unacknowledged(to, last).unwrap() else { return false };
        self.last.insert((from, to), letter.sequence);
        let posted = Posted { from, to, session: letter.session, kind: letter.kind, body: letter.body };
        self.take(letter.sequence, letter.entry, &posted).unwrap();
        self.post.push(posted);
        let sequence = letter.sequence;
        let arrived = Event::Acknowledged { peer: to.into(), sequence };
        // What has arrived is forgotten at once, so that nothing of it happens later.
        self.turn(from, |engine| engine.happen(arrived).and_then(|()| engine.forget_acknowledged())).unwrap();
        true
    }

    /// Hands over what one has for the other.
    pub(super) fn settle(&mut self, from: &'static str, to: &'static str) {
        while self.hand_over(from, to) {}
    }

    fn take(&mut self, sequence: u64, entry: u64, posted: &Posted) -> Result<(), String> {
        let Posted { from, to, session, kind, body } = posted;
        let (sent, peer) = (Sent { from, to, sequence, session, kind, body }, (*from).to_owned());
        let sender = &self.nodes[from];
        let receipt = SignedReceipt::sign(&sender.ledger.receipt(entry).unwrap(), &sent, &sender.signing);
        let (session, kind, body) = (session.clone(), kind.clone(), body.clone());
        let message = Incoming { sequence, session, kind, body, receipt };
        self.turn(to, |engine| engine.happen(Event::Message { peer, message }))
    }

    /// Hands over what the sender's own node would not have sent; why the receiver's stopped, if it did.
    pub(super) fn forge(&mut self, posted: &Posted) -> Result<(), String> {
        self.settle(posted.from, posted.to);
        let sequence = self.nodes[posted.from].store.next_sequence(posted.to).unwrap();
        assert_eq!(sequence, self.nodes[posted.to].store.received(posted.from).unwrap() + 1);
        self.last.insert((posted.from, posted.to), sequence);
        self.take(sequence, 0, posted)?;
        assert_eq!(self.nodes[posted.to].store.received(posted.from).unwrap(), sequence, "it would be sent again");
        Ok(())
    }

    /// Number of the last message that went.
    pub(super) fn sent(&self, from: &'static str, to: &'static str) -> u64 {
        self.last.get(&(from, to)).copied().unwrap_or(0)
    }

    /// Hands over another message in the place of the one that waits under this number.
    pub(super) fn replace(&mut self, from: &'static str, to: &'static str, sequence: u64, posted: &Posted) {
        self.last.insert((from, to), sequence);
        self.take(sequence, 0, posted).unwrap();
    }

    /// Log entries of a node from `first` on.
    pub(super) fn entries(&self, node: &str, first: u64) -> Vec<Entry> {
        let entries = self.nodes[node].store.entries(first, 1 << 20).unwrap();
        entries.iter().map(|bytes| Entry::decode(bytes).unwrap()).collect()
    }

    pub(super) fn propose(&mut self) -> (String, tally_crypto::transcript::Digest) {
        let template = include_str!("../../../../../models/templates/scorecard.toml");
        let template = template.replace("evaluations = 4194304", "evaluations = 2048");
        let dictionary = std::fs::read_to_string(self.input("dictionary.json")).unwrap();
        let banks = BANKS.map(Into::into).to_vec();
        let dataset = "enterprises".into();
        let proposed = self.tell(
            PLATFORM,
            Command::SessionPropose { template, dictionary, dataset, banks, patience_seconds: Some(600) },
        );
        let session = proposed["session"].as_str().unwrap().to_owned();
        (session, proposed["contract"].as_str().unwrap().parse().unwrap())
    }

    pub(super) fn approve(&mut self, node: &str, session: &str, contract: tally_crypto::transcript::Digest) {
        let data = (node != PLATFORM).then(|| {
            let datasets = self.nodes[node].store.datasets().unwrap();
            Data { dataset: datasets[0].name.clone(), root: datasets[0].commitment }
        });
        let order = Order::new(node, now(), Decision::SessionApprove { contract, data }).sign(OPERATOR, &operator());
        self.tell(node, Command::SessionApprove { session: session.into(), order });
    }

    /// A session that the platform has proposed to every bank.
    pub(super) fn proposed(&mut self) -> (String, tally_crypto::transcript::Digest) {
        let (session, contract) = self.propose();
        self.approve(PLATFORM, &session, contract);
        self.pump(|_| false);
        (session, contract)
    }

    pub(super) fn stage(&self, node: &str, session: &str) -> Option<tally_protocol::session::Stage> {
        self.nodes[node].store.session(session).unwrap().map(|record| record.stage)
    }

    /// Asks for a score; the answer, once the messages went.
    pub(super) fn score(&mut self, bank: &'static str, order: &ScoreOrder) -> Result<Value, Failure> {
        let (reply, mut answer) = Reply::channel();
        let order = order.clone();
        self.turn(bank, |engine| engine.obey(Command::Score(order), reply)).unwrap();
        self.pump(|_| false);
        answer.try_recv().unwrap()
    }
}

/// A folder that goes with the test; fast, since nodes wait for the disk at every turn.
pub(super) fn in_memory() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

pub(super) fn city() -> City {
    City::generate(&Options { seed: 41, enterprises: 500, banks: BANKS.len(), consent_rate: 0.9 })
}

pub(super) fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() { copy(&path, &to) } else { std::fs::copy(path, to).map(drop).unwrap() }
    }
}

/// One rule over a field, whose warnings count for years: the days of these data lie in the past.
pub(super) fn rules() -> String {
    format!(
        "version = 1\ndataset = \"enterprises\"\n[[rule]]\nid = \"court-case-opened\"\nof = {{ field = \"{FIELD}\" }}\n\
         when = {{ rises_by = 1.0 }}\nseverity = \"watch\"\ndays = 3660\ntext = {{ zh = \"涉诉\", en = \"a case\" }}\n"
    )
}
