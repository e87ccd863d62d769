//! A bank that serves scores: the nodes that a demo left, with a certificate and a section `[api]`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tally_city::{City, Options, SystemsAuthority, SystemsPair, consent_event, consent_id, signed_consent};
use tally_crypto::transcript::Digest;
use tally_policy::{Consent, EventKind};

use crate::caller::{Answer, Caller};
use crate::left::Left;
use crate::program::{done, error_of, run, text};
use crate::schema;

pub(crate) const ENTERPRISES: usize = 1200;
pub(crate) const SEED: u64 = 7;

/// A city whose first bank serves scores.
pub(crate) struct Serving {
    _folder: tempfile::TempDir,
    pub(crate) left: Left,
    pub(crate) authority: SystemsAuthority,
    pub(crate) pair: SystemsPair,
    pub(crate) bank: PathBuf,
    pub(crate) document: Value,
}

impl Serving {
    /// `settings` are further keys of `[api]`.
    pub(crate) fn new(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let left = Left::of_demo(folder.path(), SEED, ENTERPRISES);
        let authority = SystemsAuthority::new().unwrap();
        let (server, pair) = (authority.issue("scores.bank-1").unwrap(), authority.issue("core-banking").unwrap());
        let bank = left.directory("bank-1");
        for (file, pem) in
            [("api.crt", &server.certificate), ("api.key", &server.key), ("clients.crt", &authority.certificate())]
        {
            std::fs::write(bank.join(file), pem).unwrap();
        }
        let section = format!(
            "\n[api]\nlisten = \"127.0.0.1:0\"\ncertificate = \"api.crt\"\nkey = \"api.key\"\n\
             client_ca = \"clients.crt\"\n{settings}"
        );
        let config = std::fs::read_to_string(bank.join("node.toml")).unwrap();
        std::fs::write(bank.join("node.toml"), config + &section).unwrap();
        let mut trial = Self { _folder: folder, left, authority, pair, bank, document: Value::Null };
        trial.restart();
        let (status, document) = trial.caller().get("/v1/openapi.json").unwrap();
        assert_eq!(status, 200);
        trial.document = serde_json::from_str(&document).unwrap();
        trial.operator("lin");
        trial
    }

    pub(crate) fn restart(&mut self) {
        self.left.stop_gently("bank-1");
        self.left.go_on("bank-1");
        self.until_ready();
    }

    pub(crate) fn until_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.caller().get("/readyz").unwrap().0 != 200 {
            assert!(Instant::now() < deadline, "the service is not ready");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn caller(&self) -> Caller {
        Caller::new(&self.bank, &self.authority, Some(&self.pair))
    }

    pub(crate) fn operator(&self, name: &str) {
        let secret = self.left.root.join("secret");
        let add = ["operator", "add", name, "--secret-file", text(&secret), "--node", text(&self.bank)];
        done(&[add.as_slice(), &["--signer", "chen", "--signer-secret-file", text(&secret)]].concat());
    }

    pub(crate) fn token(&self, arguments: &[&str], operator: &str) -> std::process::Output {
        let secret = self.left.root.join("secret");
        let signer = ["--operator", operator, "--secret-file", text(&secret), "--node", text(&self.bank), "--json"];
        run(&[&["token"], arguments, &signer].concat())
    }

    /// A token with these scopes, signed by two operators.
    pub(crate) fn issue(&self, name: &str, scopes: &str) -> String {
        let terms = ["issue", "--name", name, "--scopes", scopes, "--expires", "2099-12-31"];
        let first = self.token(&terms, "chen");
        assert!(first.status.success(), "{}", error_of(&first));
        assert!(!String::from_utf8_lossy(&first.stdout).contains("tst_"));
        let again = self.token(&terms, "chen");
        assert_eq!(again.status.code(), Some(77), "{}", error_of(&again));
        let second = crate::program::last_object(&self.token(&terms, "lin"));
        second["token"].as_str().unwrap().to_owned()
    }

    /// Applicants of the bank: requests without anything optional.
    pub(crate) fn applicants(&self) -> Vec<Value> {
        let file = std::fs::read_to_string(self.left.root.join("inputs/applicants-bank-1.csv")).unwrap();
        let mut lines = file.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let header = lines.next().unwrap();
        let request = |row: Vec<&str>| {
            let value = |text: &str| text.parse::<f64>().map_or_else(|_| json!(text), |number| json!(number));
            let fields = header.iter().zip(&row).skip(1).filter(|(_, text)| !text.is_empty());
            let fields: serde_json::Map<_, _> = fields.map(|(name, text)| ((*name).to_owned(), value(text))).collect();
            json!({ "applicant": row[0], "purpose": "loan-underwriting", "fields": fields })
        };
        lines.map(request).collect()
    }

    /// A refusal: its status, code and form.
    pub(crate) fn refused(&self, answer: &Answer, status: u16, code: &str) {
        assert_eq!((answer.status, &answer.body["code"]), (status, &json!(code)), "{answer:?}");
        assert_eq!(answer.media_type, "application/problem+json");
        schema::check(&self.document, "Problem", &answer.body);
        assert!(answer.body.get("score").is_none());
    }

    pub(crate) fn scored(&self, answer: &Answer) {
        assert_eq!(answer.status, 200, "{answer:?}");
        schema::check(&self.document, "ScoreAnswer", &answer.body);
    }

    pub(crate) fn consent_event(
        &self,
        city: &City,
        subject: &str,
        previous: Option<Digest>,
        kind: EventKind,
    ) -> Digest {
        let (digest, line) = consent_event(city, subject, "bank-1", previous, kind, now()).unwrap();
        self.import(line);
        digest
    }

    /// The city that the demo made.
    pub(crate) fn city() -> City {
        City::generate(&Options { seed: SEED, enterprises: ENTERPRISES, banks: 3, consent_rate: 0.85 })
    }

    /// An enterprise's consent to the bank, amended.
    pub(crate) fn amend(&self, city: &City, subject: &str, change: impl FnOnce(&mut Consent)) {
        let line = signed_consent(city, subject, "bank-1", |consent| {
            consent.consent_id = format!("amended-{}", &subject[..6]);
            consent.supersedes = Some(consent_id(subject, "bank-1"));
            (consent.granted, consent.not_before) = (consent.granted + 1, consent.not_before + 1);
            change(consent);
        });
        self.import(line.unwrap());
    }

    pub(crate) fn import(&self, line: String) {
        let path = self.left.root.join("line.jsonl");
        std::fs::write(&path, line + "\n").unwrap();
        for node in ["platform", "bank-1"] {
            done(&["consent", "import", text(&path), "--node", text(&self.left.directory(node))]);
        }
    }

    /// Uses of data about an enterprise that the platform has counted.
    pub(crate) fn uses(&self, subject: &str) -> usize {
        let platform = self.left.directory("platform");
        let report = done(&["subject", "report", subject, "--node", text(&platform)]);
        report["uses"].as_array().unwrap().len()
    }

    pub(crate) fn log(&self) -> String {
        std::thread::sleep(Duration::from_millis(1500));
        texts(&self.bank.join("log/tile/entries"))
    }

    /// Logs hold, and no applicant and no token is in clear in the bank's files.
    pub(crate) fn verified(&self, secrets: &[&str]) {
        std::thread::sleep(Duration::from_millis(2500));
        let registry = self.left.root.join("registry.json");
        let nodes = ["platform", "bank-1", "bank-2", "bank-3"].map(|node| self.left.directory(node));
        let mut audit = vec!["audit", "verify", "--registry", text(&registry), "--json"];
        audit.extend(nodes.iter().map(|node| text(node)));
        let value = crate::program::last_object(&run(&audit));
        assert!(value["verified"] == true && value["reconciled"] == true, "{value}");
        let everything = texts(&self.bank);
        for secret in secrets {
            assert!(!everything.contains(secret), "{secret} is in clear");
        }
    }
}

fn texts(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let text = |path: PathBuf| match path.is_dir() {
        true => texts(&path),
        false => String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned(),
    };
    entries.map(text).collect()
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}
