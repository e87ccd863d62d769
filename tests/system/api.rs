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

    over_grpc(&trial, &caller, &applicants[5], answer);

    let log = trial.log();
    for word in ["token.issue", "\"outcome\":\"replayed\"", "\"outcome\":\"conflict\"", "\"caller\":\""] {
        assert!(log.contains(word), "{word}");
    }
    trial.verified(&[&token, subject, "core-banking-x"]);
}

/// The same answer over gRPC, and the same refusals.
fn over_grpc(trial: &Trial, caller: &Caller, applicant: &Value, other: &Value) {
    use tally_node::scoring::field_value::Kind;
    use tally_node::scoring::{FieldValue, ScoreRequest};
    let value = |value: &Value| {
        let number = value.as_f64().map(Kind::Number);
        FieldValue { kind: number.or_else(|| value.as_str().map(|text| Kind::Text(text.into()))) }
    };
    let fields = applicant["fields"].as_object().unwrap();
    let request = ScoreRequest {
        applicant: applicant["applicant"].as_str().unwrap().into(),
        purpose: "loan-underwriting".into(),
        fields: fields.iter().map(|(name, of)| (name.clone(), value(of))).collect(),
        challenger: Some("0123456789abcdef".into()),
        ..ScoreRequest::default()
    };
    let ask = |caller: &Caller, request: ScoreRequest| caller.score_over_grpc(&trial.authority, &trial.pair, request);
    let told = ask(caller, request.clone()).unwrap();
    let (score, rest) = (told.score.unwrap(), caller.score(applicant).body);
    assert_eq!((Some(score.score), Some(score.probability)), (rest["score"].as_i64(), rest["probability"].as_f64()));
    assert_eq!(score.model.unwrap().digest, other["model"]["digest"].as_str().unwrap());
    assert!(score.reference_only && score.log.is_some() && score.band.is_some() && score.reasons.len() == 4);
    let Some(tally_node::scoring::score_answer::Second::ChallengerProblem(problem)) = told.second else { panic!() };
    assert_eq!(problem.code, "unknown-model");
    let wrong = ScoreRequest { purpose: "marketing".into(), ..request.clone() };
    let guarantee = ScoreRequest { purpose: "guarantee".into(), ..request.clone() };
    let anonymous = caller.with("tst_wrong");
    for (caller, request, code, word) in [
        (caller, wrong, tonic::Code::InvalidArgument, "BAD_REQUEST"),
        (caller, guarantee, tonic::Code::PermissionDenied, "OUT_OF_PURPOSE"),
        (&anonymous, request, tonic::Code::Unauthenticated, "UNAUTHORIZED"),
    ] {
        let status = ask(caller, request).unwrap_err();
        assert_eq!(status.code(), code, "{status:?}");
        assert!(String::from_utf8_lossy(status.details()).contains(word));
    }
}

/// Every refusal has its status and code, and is in the log.
#[test]
fn a_refusal_says_why_and_is_never_a_score() {
    let trial = Trial::new("[api.enterprise]\nper_minute = 60\nburst = 12\n");
    let (token, batch) = (trial.issue("core", "score"), trial.issue("nightly", "batch"));
    let caller = trial.caller().with(&token);
    let applicants = trial.applicants();
    let city = City::generate(&Options { seed: SEED, enterprises: ENTERPRISES, banks: 3, consent_rate: 0.85 });
    let changed = |place: usize, name: &str, value: Value| {
        let mut request = applicants[place].clone();
        request[name] = value;
        request
    };

    trial.refused(&trial.caller().score(&applicants[0]), 401, "unauthorized");
    trial.refused(&trial.caller().with("tst_guess").score(&applicants[0]), 401, "unauthorized");
    trial.refused(&trial.caller().with(&batch).score(&applicants[0]), 403, "forbidden");
    trial.refused(&caller.post("{", None), 400, "bad-request");
    let wrong_field = caller.score(&changed(0, "fields", json!({ "shoe_size": 43 })));
    trial.refused(&wrong_field, 400, "bad-request");
    assert_eq!(wrong_field.body["field"], "fields.shoe_size");
    let wrong_code = caller.score(&changed(0, "applicant", json!("91440300708461136A")));
    trial.refused(&wrong_code, 400, "bad-request");
    assert_eq!(wrong_code.body["field"], "applicant");
    let wrong_purpose = caller.score(&changed(0, "purpose", json!("marketing")));
    trial.refused(&wrong_purpose, 400, "bad-request");
    assert_eq!(wrong_purpose.body["field"], "purpose");
    trial.refused(&caller.score_once(&applicants[0], &"k".repeat(300)), 400, "bad-request");
    let stranger = json!("91440300708461136T");
    trial.refused(&caller.score(&changed(0, "applicant", stranger.clone())), 403, "no-consent");
    trial.refused(&caller.score(&changed(0, "purpose", json!("guarantee"))), 403, "out-of-purpose");
    trial.refused(&caller.score(&changed(0, "model", json!("0123456789abcdef"))), 404, "unknown-model");
    // The consent of another applicant is none.
    let other = consent_digest(&city, applicants[1]["applicant"].as_str().unwrap(), "bank-1").to_string();
    trial.refused(&caller.score(&changed(0, "consent", json!(other))), 403, "no-consent");
    let (status, text) = caller.get("/v1/decisions").unwrap();
    assert_eq!((status, serde_json::from_str::<Value>(&text).unwrap()["code"].clone()), (404, json!("not-found")));

    // What the enterprise decides counts at once, also for an answer that was given before.
    let subject = applicants[3]["applicant"].as_str().unwrap();
    trial.scored(&caller.score_once(&applicants[3], "before"));
    let paused = trial.consent_event(&city, subject, None, EventKind::Pause);
    trial.refused(&caller.score(&applicants[3]), 403, "consent-paused");
    trial.refused(&caller.score_once(&applicants[3], "before"), 403, "consent-paused");
    let resumed = trial.consent_event(&city, subject, Some(paused), EventKind::Resume);
    assert!(caller.score_once(&applicants[3], "before").replayed);
    trial.consent_event(&city, subject, Some(resumed), EventKind::Revoke);
    trial.refused(&caller.score(&applicants[3]), 403, "consent-revoked");
    trial.refused(&caller.score_once(&applicants[3], "after"), 403, "consent-revoked");

    // One enterprise too often.
    let limited = (0..20).map(|_| caller.score(&changed(0, "applicant", stranger.clone()))).find(|a| a.status == 429);
    let limited = limited.unwrap();
    trial.refused(&limited, 429, "rate-limited");
    assert!(limited.retry_after.is_some_and(|seconds| seconds >= 1));

    // A challenger that does not exist leaves the champion's answer as it is.
    let both = caller.score(&changed(4, "challenger", json!("0123456789abcdef")));
    trial.scored(&both);
    assert_eq!(both.body["challenger"]["problem"]["code"], "unknown-model");

    // Retired models do not score; a token that was ended opens nothing.
    let model = both.body["model"]["digest"].as_str().unwrap();
    let secret = trial.left.root.join("secret");
    let add = ["operator", "add", "zhao", "--role", "validation", "--secret-file", text(&secret)];
    done(&[add.as_slice(), &["--node", text(&trial.bank)]].concat());
    let retire = ["model", "retire", &model[..12], "--operator", "zhao", "--secret-file", text(&secret)];
    done(&[retire.as_slice(), &["--node", text(&trial.bank)]].concat());
    trial.refused(&caller.score(&changed(5, "model", json!(model))), 410, "model-retired");
    assert!(trial.token(&["revoke", "core"], "lin").status.success());
    trial.refused(&caller.score(&applicants[5]), 401, "unauthorized");

    let log = trial.log();
    for code in ["unauthorized", "forbidden", "bad-request", "no-consent", "paused", "rate-limited", "model-retired"] {
        assert!(log.contains(&format!("\"outcome\":\"{code}\"")), "{code}");
    }
    assert!(log.contains("token.revoke"));
    trial.verified(&[&token, &batch, subject]);
}

/// A platform that is silent, a node that has enough to do, a platform that is gone; and back.
#[test]
fn no_caller_hangs_and_a_late_answer_is_not_lost() {
    let mut trial = Trial::new("in_flight = 2\ndeadline_ms = 2500\n");
    let token = trial.issue("core", "score");
    let caller = trial.caller().with(&token);
    let applicants = trial.applicants();
    let subject = applicants[0]["applicant"].as_str().unwrap();
    let used = trial.uses(subject);
    trial.left.signal("platform", "STOP");
    let calls: Vec<_> = (0..2)
        .map(|place| {
            let (caller, request) = (caller.clone(), applicants[place].clone());
            std::thread::spawn(move || caller.score_once(&request, &format!("key-{place}")))
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    let shed = caller.score(&applicants[2]);
    trial.refused(&shed, 503, "overloaded");
    assert!(shed.retry_after.is_some() && calls.iter().all(|call| !call.is_finished()));
    for call in calls {
        let answer = call.join().unwrap();
        trial.refused(&answer, 504, "timeout");
        assert!(answer.retry_after.is_some());
    }
    trial.left.signal("platform", "CONT");
    // The platform's late answers are kept under their keys: the use that they cost is not counted twice.
    let deadline = Instant::now() + Duration::from_secs(20);
    let late = loop {
        let answer = caller.score_once(&applicants[0], "key-0");
        if answer.status == 200 {
            break answer;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
    };
    trial.scored(&late);
    assert_eq!(trial.uses(subject), used + 1);
    trial.until_ready();

    trial.left.stop("platform");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = caller.score(&applicants[3]);
        if answer.body["code"] == "peer-unreachable" {
            trial.refused(&answer, 503, "peer-unreachable");
            assert!(answer.retry_after.is_some());
            break;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
    }
    assert_eq!(caller.get("/readyz").unwrap().0, 503);
    assert_eq!(caller.get("/livez").unwrap().0, 200);
    // What was answered stays answered.
    assert_eq!(caller.score_once(&applicants[0], "key-0").body, late.body);
    trial.left.go_on("platform");
    trial.until_ready();
    trial.scored(&caller.score(&applicants[3]));
    trial.verified(&[&token, subject]);
}

/// Where the contract says so, the bank's own model answers while the platform is away, and says that it is not the other.
#[test]
fn the_banks_own_model_answers_where_the_contract_lets_it() {
    let mut trial = Trial::new("fallback_validity_days = 3\n");
    let template = trial.left.root.join("fallback.toml");
    let shipped = std::fs::read_to_string(crate::left::template()).unwrap();
    std::fs::write(&template, shipped + "\n[scoring]\nfallback = \"bank-only\"\n").unwrap();
    let proposed = trial.left.propose_from(&template, 3);
    assert!(proposed.status.success(), "{}", error_of(&proposed));
    let session = crate::program::last_object(&proposed)["session"].as_str().unwrap().to_owned();
    trial.left.approve("platform", &session);
    for bank in ["bank-1", "bank-2", "bank-3"] {
        trial.left.wait(bank, &session, &["proposed"]);
        let shown = run(&["session", "show", &session, "--node", text(&trial.left.directory(bank))]);
        assert!(String::from_utf8_lossy(&shown.stdout).contains("marked as fallback"));
        trial.left.approve(bank, &session);
    }
    trial.left.wait("bank-1", &session, &["closed"]);
    let token = trial.issue("core", "score");
    let caller = trial.caller().with(&token);
    let mut request = trial.applicants()[0].clone();
    let champion = request.clone();
    request["model"] = json!(session);
    let joint = caller.score(&request);
    trial.scored(&joint);
    assert_eq!((&joint.body["fallback"], &joint.body["consent"].is_string()), (&json!(false), &true));
    trial.left.stop("platform");
    let deadline = Instant::now() + Duration::from_secs(20);
    let alone = loop {
        let answer = caller.score_once(&request, "alone");
        if answer.status == 200 {
            break answer;
        }
        assert!(Instant::now() < deadline && answer.status == 504, "{answer:?}");
    };
    trial.scored(&alone);
    let body = &alone.body;
    assert_eq!((&body["fallback"], &body["consent"], &body["points"]), (&json!(true), &Value::Null, &Value::Null));
    assert_eq!(body["model"]["algorithm"], "bank-only");
    assert!(body["valid_until"].as_str() < joint.body["valid_until"].as_str());
    let own = body["reasons"].as_array().unwrap();
    assert!(own.iter().all(|reason| request["fields"].get(reason["field"].as_str().unwrap()).is_some()), "{own:?}");
    assert_eq!(caller.score_once(&request, "alone").body, alone.body);
    // Another contract does not allow it.
    trial.refused(&caller.score(&champion), 503, "peer-unreachable");
    assert!(trial.log().contains("\"outcome\":\"fallback\""));
    trial.left.go_on("platform");
    trial.until_ready();
    trial.verified(&[&token, request["applicant"].as_str().unwrap()]);
}
