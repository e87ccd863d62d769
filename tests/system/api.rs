//! The scoring service as a bank's own systems meet it: over TLS, with certificates and tokens, against real nodes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tally_city::{City, Options, consent_digest, consent_event};
use tally_policy::EventKind;

use crate::caller::{Answer, Authority, Caller, Pair};
use crate::left::Left;
use crate::program::{done, error_of, run, text};
use crate::schema;

const ENTERPRISES: usize = 1200;
const SEED: u64 = 7;

/// A city whose first bank serves scores.
struct Trial {
    _folder: tempfile::TempDir,
    left: Left,
    authority: Authority,
    pair: Pair,
    bank: PathBuf,
    document: Value,
}

impl Trial {
    /// `settings` are further keys of `[api]`.
    fn new(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let left = Left::of_demo(folder.path(), SEED, ENTERPRISES);
        let authority = Authority::new();
        let (server, pair) = (authority.issue("scores.bank-1"), authority.issue("core-banking"));
        let bank = left.directory("bank-1");
        for (file, pem) in
            [("api.crt", &server.certificate), ("api.key", &server.key), ("clients.crt", &authority.pem())]
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

    fn restart(&mut self) {
        self.left.stop_gently("bank-1");
        self.left.go_on("bank-1");
        self.until_ready();
    }

    fn until_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.caller().get("/readyz").unwrap().0 != 200 {
            assert!(Instant::now() < deadline, "the service is not ready");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn caller(&self) -> Caller {
        Caller::new(&self.bank, &self.authority, Some(&self.pair))
    }

    fn operator(&self, name: &str) {
        let secret = self.left.root.join("secret");
        done(&["operator", "add", name, "--secret-file", text(&secret), "--node", text(&self.bank)]);
    }

    fn token(&self, arguments: &[&str], operator: &str) -> std::process::Output {
        let secret = self.left.root.join("secret");
        let signer = ["--operator", operator, "--secret-file", text(&secret), "--node", text(&self.bank), "--json"];
        run(&[&["token"], arguments, &signer].concat())
    }

    /// A token with these scopes, signed by two operators.
    fn issue(&self, name: &str, scopes: &str) -> String {
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
    fn applicants(&self) -> Vec<Value> {
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
    fn refused(&self, answer: &Answer, status: u16, code: &str) {
        assert_eq!((answer.status, &answer.body["code"]), (status, &json!(code)), "{answer:?}");
        assert_eq!(answer.media_type, "application/problem+json");
        schema::check(&self.document, "Problem", &answer.body);
        assert!(answer.body.get("score").is_none());
    }

    fn scored(&self, answer: &Answer) {
        assert_eq!(answer.status, 200, "{answer:?}");
        schema::check(&self.document, "ScoreAnswer", &answer.body);
    }

    fn consent_event(
        &self,
        city: &City,
        subject: &str,
        previous: Option<tally_crypto::transcript::Digest>,
        kind: EventKind,
    ) -> tally_crypto::transcript::Digest {
        let (digest, line) = consent_event(city, subject, "bank-1", previous, kind, now()).unwrap();
        let path = self.left.root.join("event.jsonl");
        std::fs::write(&path, line + "\n").unwrap();
        for node in ["platform", "bank-1"] {
            done(&["consent", "import", text(&path), "--node", text(&self.left.directory(node))]);
        }
        digest
    }

    /// Uses of data about an enterprise that the platform has counted.
    fn uses(&self, subject: &str) -> usize {
        let platform = self.left.directory("platform");
        let report = done(&["subject", "report", subject, "--node", text(&platform)]);
        report["uses"].as_array().unwrap().len()
    }

    fn log(&self) -> String {
        std::thread::sleep(Duration::from_millis(1500));
        texts(&self.bank.join("log/tile/entries"))
    }

    /// Logs hold, and no applicant and no token is in clear in the bank's files.
    fn verified(&self, secrets: &[&str]) {
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

#[test]
fn a_score_over_https_with_what_it_rests_on() {
    let mut trial = Trial::new("[api.certificates]\ncore-banking = [\"score\"]\n");
    let token = trial.issue("core", "score,batch");
    let caller = trial.caller().with(&token);
    let applicants = trial.applicants();
    let subject = applicants[0]["applicant"].as_str().unwrap();
    assert_eq!(caller.get("/livez").unwrap().0, 200);
    // Nobody without a certificate comes further than the handshake.
    assert!(Caller::new(&trial.bank, &trial.authority, None).get("/livez").is_err());
    let stranger = Authority::new().issue("core-banking");
    assert!(Caller::new(&trial.bank, &trial.authority, Some(&stranger)).get("/livez").is_err());

    let first = caller.score(&applicants[0]);
    trial.scored(&first);
    let answer = &first.body;
    assert_eq!(answer["reasons"].as_array().unwrap().len(), 4);
    assert!(answer["reasons"][0]["text"]["zh"].is_string() && answer["reasons"][0]["text"]["en"].is_string());
    let points = &answer["points"];
    let sum = ["base", "bank", "platform"].iter().map(|part| points[part].as_i64().unwrap()).sum::<i64>();
    assert_eq!(answer["score"].as_i64(), Some(sum));
    let (band, probability) = (&answer["band"], answer["probability"].as_f64().unwrap());
    assert!(band["probability"]["low"].as_f64().unwrap() <= probability);
    assert!(band["observed_bad_rate"]["low"].as_f64() <= band["observed_bad_rate"]["value"].as_f64());
    assert!(band["rows"].as_u64().unwrap() > 0);
    let city = City::generate(&Options { seed: SEED, enterprises: ENTERPRISES, banks: 3, consent_rate: 0.85 });
    let consent = consent_digest(&city, subject, "bank-1").to_string();
    assert_eq!(answer["consent"], json!(consent));
    // The command line gives the same score, and the entry of the log is the one that the receipt names.
    let order = trial.left.root.join("order.json");
    let fields = &applicants[0]["fields"];
    std::fs::write(&order, json!({ "id": subject, "purpose": "loan-underwriting", "fields": fields }).to_string())
        .unwrap();
    let by_hand = done(&["score", "one", "--node", text(&trial.bank), "--request", text(&order)]);
    assert_eq!((&by_hand["score"], &by_hand["probability"]), (&answer["score"], &answer["probability"]));

    // By certificate alone, with every option.
    let mut request = applicants[1].clone();
    let model = answer["model"]["digest"].as_str().unwrap();
    request["challenger"] = json!(model[..12]);
    request["application"] = json!("loan-1");
    request["reasons"] = json!(2);
    request["consent"] = json!(consent_digest(&city, request["applicant"].as_str().unwrap(), "bank-1").to_string());
    let full = trial.caller().score(&request);
    trial.scored(&full);
    assert_eq!(full.body["challenger"]["score"], full.body["score"]);
    assert_eq!(full.body["reasons"].as_array().unwrap().len(), 2);

    // Once a key: the same answer, also after a restart, and no other use of the consent.
    let subject = applicants[2]["applicant"].as_str().unwrap();
    let used = trial.uses(subject);
    let once = caller.score_once(&applicants[2], "application-3");
    trial.scored(&once);
    assert!(!once.replayed);
    let again = caller.score_once(&applicants[2], "application-3");
    assert!(again.replayed);
    assert_eq!(again.body, once.body);
    let mut other = applicants[2].clone();
    other["reasons"] = json!(1);
    trial.refused(&caller.score_once(&other, "application-3"), 409, "conflict");
    trial.restart();
    let caller = trial.caller().with(&token);
    let later = caller.score_once(&applicants[2], "application-3");
    assert!(later.replayed);
    assert_eq!(later.body, once.body);
    assert_eq!(trial.uses(subject), used + 1);
    // Another caller's keys are its own.
    assert!(!trial.caller().score_once(&applicants[2], "application-3").replayed);

    let log = trial.log();
    for word in ["token.issue", "\"outcome\":\"replayed\"", "\"outcome\":\"conflict\"", "\"caller\":\""] {
        assert!(log.contains(word), "{word}");
    }
    trial.verified(&[&token, subject, "core-banking-x"]);
}
