//! Consent from its import to what an enterprise sees of it: what ends bites at once, everywhere.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use tally_city::{City, Options, consent_digest, consent_event, consent_id, signed_consent};
use tally_crypto::transcript::Digest;
use tally_policy::{EventKind, Fetch, Purpose};

use crate::left::Left;
use crate::program::{done, error_of, run, text};

/// A consortium with a trained model, and the city that its enterprises live in.
struct Trial {
    _folder: tempfile::TempDir,
    left: Left,
    city: City,
}

const ENTERPRISES: usize = 1200;
const SEED: u64 = 7;

impl Trial {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let city = City::generate(&Options { seed: SEED, enterprises: ENTERPRISES, banks: 3, consent_rate: 0.85 });
        Self { left: Left::of_demo(folder.path(), SEED, ENTERPRISES), city, _folder: folder }
    }

    /// Applicants of a bank: identifier and own fields.
    fn applicants(&self, bank: &str) -> Vec<(String, Value)> {
        let file = std::fs::read_to_string(self.left.root.join(format!("inputs/applicants-{bank}.csv"))).unwrap();
        let mut lines = file.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let header = lines.next().unwrap();
        let fields = |row: &[&str]| {
            let value = |text: &str| text.parse::<f64>().map_or_else(|_| json!(text), |number| json!(number));
            let fields = header.iter().zip(row).skip(1).filter(|(_, text)| !text.is_empty());
            fields.map(|(name, text)| ((*name).to_owned(), value(text))).collect::<serde_json::Map<_, _>>()
        };
        lines.map(|row| (row[0].to_owned(), json!(fields(&row)))).collect()
    }

    fn write(&self, name: &str, lines: &[String]) -> PathBuf {
        let path = self.left.root.join(name);
        std::fs::write(&path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        path
    }

    fn import(&self, node: &str, file: &Path) -> Output {
        run(&["consent", "import", text(file), "--node", text(&self.left.directory(node)), "--json"])
    }

    /// Puts lines into the registers of these nodes.
    fn import_into(&self, nodes: &[&str], lines: &[String]) {
        let file = self.write("lines.jsonl", lines);
        for node in nodes {
            let output = self.import(node, &file);
            assert!(output.status.success(), "{node}: {}", error_of(&output));
        }
    }

    fn score(&self, bank: &str, (id, fields): &(String, Value), change: impl Fn(&mut Value)) -> Output {
        let mut order = json!({ "id": id, "purpose": "loan-underwriting", "fields": fields });
        change(&mut order);
        let request = self.left.root.join("request.json");
        std::fs::write(&request, order.to_string()).unwrap();
        let node = self.left.directory(bank);
        run(&["score", "one", "--json", "--node", text(&node), "--request", text(&request)])
    }

    fn scored(&self, bank: &str, applicant: &(String, Value)) -> Value {
        let output = self.score(bank, applicant, |_| {});
        assert!(output.status.success(), "{}", error_of(&output));
        crate::program::last_object(&output)
    }

    fn refused(&self, bank: &str, applicant: &(String, Value), word: &str) {
        let output = self.score(bank, applicant, |_| {});
        assert_eq!(output.status.code(), Some(77), "{}", error_of(&output));
        assert!(error_of(&output).contains(word), "{}", error_of(&output));
    }

    /// A borrower of bank-1 whose consent a session has used there, and that is another than this one.
    fn borrower(&self, other: &str) -> String {
        let file = std::fs::read_to_string(self.left.root.join("inputs/bank-1.csv")).unwrap();
        let ids = file.lines().skip(1).filter_map(|line| line.split(',').next());
        let used = |id: &&str| self.report("bank-1", id)["uses"].as_array().is_some_and(|uses| !uses.is_empty());
        ids.filter(|id| *id != other).find(used).unwrap().to_owned()
    }

    fn report(&self, node: &str, subject: &str) -> Value {
        done(&["subject", "report", subject, "--node", text(&self.left.directory(node))])
    }

    fn lineage(&self, node: &str, session: &str) -> Value {
        done(&["model", "show", session, "--node", text(&self.left.directory(node))])["lineage"].clone()
    }

    fn event(&self, subject: &str, previous: Option<Digest>, kind: EventKind, time: i64) -> (Digest, String) {
        consent_event(&self.city, subject, "bank-1", previous, kind, time).unwrap()
    }

    /// No identifier and no value of the platform is in clear in any node's store or log, its own included.
    fn nothing_in_clear(&self) {
        let file = std::fs::read_to_string(self.left.root.join("inputs/platform.csv")).unwrap();
        let rows: Vec<Vec<&str>> = file.lines().skip(1).map(|line| line.split(',').collect()).collect();
        let identifiers: Vec<_> = rows.iter().map(|row| row[0].as_bytes()).collect();
        // Values with more digits than chance would give.
        let values =
            rows.iter().flatten().filter(|text| text.contains('.')).filter_map(|text| text.parse::<f64>().ok());
        let long = |value: &f64| value.to_le_bytes().iter().all(|byte| *byte != 0);
        let values: HashSet<_> =
            values.filter(long).flat_map(|value| [value.to_le_bytes(), value.to_be_bytes()]).collect();
        assert!(values.len() > 100);
        let identifiers: HashSet<_> = identifiers.into_iter().collect();
        for node in ["platform", "bank-1", "bank-2", "bank-3"] {
            let mut folders = vec![self.left.directory(node)];
            while let Some(folder) = folders.pop() {
                for entry in std::fs::read_dir(folder).unwrap().flatten() {
                    if entry.path().is_dir() {
                        folders.push(entry.path());
                    } else if entry.path().is_file() {
                        let bytes = std::fs::read(entry.path()).unwrap();
                        let clear = bytes.windows(18).any(|window| identifiers.contains(window))
                            || bytes.windows(8).any(|window| values.contains(window));
                        assert!(!clear, "{}", entry.path().display());
                    }
                }
            }
        }
    }

    fn verified(&self) {
        let registry = self.left.root.join("registry.json");
        let nodes = ["platform", "bank-1", "bank-2", "bank-3"].map(|node| self.left.directory(node));
        let mut audit = vec!["audit", "verify", "--registry", text(&registry)];
        audit.extend(nodes.iter().map(|node| text(node)));
        for node in &nodes {
            // A checkpoint over everything that has happened.
            done(&["subject", "report", &self.applicants("bank-1")[9].0, "--node", text(node)]);
        }
        audit.push("--json");
        let value = crate::program::last_object(&run(&audit));
        self.nothing_in_clear();
        assert!(value["verified"] == true && value["reconciled"] == true, "{value}");
    }
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

fn platform_log(trial: &Trial) -> String {
    let mut text = String::new();
    let mut folders = vec![trial.left.directory("platform").join("log/tile/entries")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            match entry.path().is_dir() {
                true => folders.push(entry.path()),
                false => text.push_str(&String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap())),
            }
        }
    }
    text
}

/// Between training and scoring: paused, resumed, revoked, each at once; the model tells how many of its rows are gone.
#[test]
fn what_ends_after_training_ends_scoring() {
    let trial = Trial::new();
    let applicants = trial.applicants("bank-1");
    let subject = applicants[0].0.as_str();
    let both = ["platform", "bank-1"];
    let first = trial.scored("bank-1", &applicants[0]);
    let session = first["session"].as_str().unwrap().to_owned();
    assert_eq!(trial.lineage("platform", &session)["bank-1"]["revoked_share"], 0.0);

    let (paused, line) = trial.event(subject, None, EventKind::Pause, now());
    trial.import_into(&both, std::slice::from_ref(&line));
    trial.refused("bank-1", &applicants[0], "paused");
    // The same line once more is known; out of order, changed or torn, it is refused with line and reason.
    let file = trial.write("again.jsonl", std::slice::from_ref(&line));
    assert!(String::from_utf8_lossy(&trial.import("platform", &file).stdout).contains("\"known\":1"));
    let bad = [
        (trial.event(subject, None, EventKind::Revoke, now()).1, "played again"),
        (trial.event(subject, Some(paused), EventKind::Resume, 1).1, "back-dated"),
        (trial.event(subject, Some(paused), EventKind::Resume, now() + 3_600_000).1, "future"),
        (line.replace("\"sig\":\"", "\"sig\":\"AA"), "line 2"),
        ("{".into(), "line 2"),
    ];
    for (wrong, word) in bad {
        let output = trial.import("platform", &trial.write("bad.jsonl", &[line.clone(), wrong]));
        assert_eq!(output.status.code(), Some(77), "{}", error_of(&output));
        assert!(error_of(&output).contains("line 2") && error_of(&output).contains(word), "{}", error_of(&output));
    }

    let (resumed, line) = trial.event(subject, Some(paused), EventKind::Resume, now());
    trial.import_into(&both, &[line]);
    assert_eq!(trial.scored("bank-1", &applicants[0])["score"], first["score"]);

    // One broken node cannot let data through alone: here the bank knows of the end first, then the platform.
    let (_, line) = trial.event(subject, Some(resumed), EventKind::Revoke, now());
    trial.import_into(&["bank-1"], std::slice::from_ref(&line));
    trial.refused("bank-1", &applicants[0], "revoked");
    trial.import_into(&["platform"], &[line]);
    trial.refused("bank-1", &applicants[0], "revoked");
    let lineage = trial.lineage("platform", &session)["bank-1"].clone();
    assert_eq!(lineage["states"]["revoked"], 1);
    assert!(lineage["revoked_share"].as_f64().unwrap() > 0.0);

    let report = trial.report("platform", subject);
    assert_eq!(report["consents"][0]["state"], "revoked");
    assert_eq!(report["consents"][0]["events"].as_array().unwrap().len(), 3);
    // The clearance of the session, and the scores that the platform allowed: the demo's own, and three here.
    assert_eq!(report["uses"].as_array().unwrap().len(), 5);
    assert_eq!(report["scores"].as_array().unwrap().len(), 4);
    trial.verified();
}

/// Between approval and alignment, and between the alignment and the end of training.
#[test]
fn what_ends_before_or_during_training_leaves_it() {
    let mut trial = Trial::new();
    let applicants = trial.applicants("bank-1");
    let before = trial.left.propose(3);
    trial.left.approve("platform", &before);
    for bank in ["bank-1", "bank-2", "bank-3"] {
        trial.left.wait(bank, &before, &["proposed"]);
    }
    trial.left.approve("bank-1", &before);
    trial.left.approve("bank-2", &before);
    let old = trial.scored("bank-1", &applicants[1]);
    let rows = |trial: &Trial, session: &str| trial.lineage("platform", session)["bank-1"]["rows"].as_u64().unwrap();
    let offered = rows(&trial, old["session"].as_str().unwrap());
    trial.import_into(&["platform", "bank-1"], &[trial.event(&applicants[0].0, None, EventKind::Revoke, now()).1]);
    trial.left.approve("bank-3", &before);
    trial.left.wait("platform", &before, &["closed"]);
    assert_eq!(rows(&trial, &before), offered - 1);

    let during = trial.left.propose(3);
    trial.left.approve("platform", &during);
    for bank in ["bank-1", "bank-2", "bank-3"] {
        trial.left.wait(bank, &during, &["proposed"]);
    }
    trial.left.approve("bank-1", &during);
    trial.left.approve("bank-2", &during);
    trial.left.approve("bank-3", &during);
    // The signature must have arrived: a bank that is killed sends it again only when it is back.
    trial.left.wait("platform", &during, &["approved", "aligned", "prepared", "trained"]);
    trial.left.stop("bank-3");
    // The platform alone takes the event in; the bank has it from there, and verifies it, where it has opened the row.
    trial.left.wait("bank-1", &during, &["prepared", "trained"]);
    let held = trial.borrower(&applicants[0].0);
    let line = trial.event(&held, None, EventKind::Revoke, now()).1;
    trial.import_into(&["platform"], &[line]);
    trial.left.go_on("bank-3");
    trial.left.wait("platform", &during, &["closed"]);
    assert_eq!(rows(&trial, &during), offered - 1);
    assert_eq!(trial.lineage("platform", &during)["bank-1"]["states"]["revoked"], 1);
    trial.verified();
    assert!(platform_log(&trial).contains("consent.withdrawn"));
    assert_eq!(trial.report("bank-1", &held)["consents"][0]["state"], "revoked");
}

/// Consents of every kind that must not count, each with its reason.
#[test]
fn consents_that_do_not_hold_are_refused_with_their_reason() {
    let trial = Trial::new();
    let applicants = trial.applicants("bank-1");
    let subject = applicants[0].0.as_str();
    let consent = |grantee: &str, change: &dyn Fn(&mut tally_policy::Consent)| {
        signed_consent(&trial.city, subject, grantee, |consent| {
            consent.consent_id = "another".into();
            change(consent);
        })
        .unwrap()
    };
    let good = consent("bank-1", &|_| {});
    let refused = |node: &str, line: String, word: &str| {
        let output = trial.import(node, &trial.write("bad.jsonl", &[good.clone(), line]));
        assert_eq!(output.status.code(), Some(77), "{word}: {}", error_of(&output));
        assert!(error_of(&output).contains("line 2") && error_of(&output).contains(word), "{}", error_of(&output));
    };
    refused("bank-1", consent("bank-2", &|_| {}), "bank-2");
    refused("platform", consent("bank-1", &|c| c.providers = vec!["other".into()]), "provider");
    refused("platform", consent("bank-1", &|c| c.granted = c.not_before + 1), "back-dated");
    refused("platform", consent("bank-1", &|c| c.fetch = Fetch::OneTime), "application");
    refused("platform", consent("bank-1", &|c| c.data_life_days = 1), "consent_id");
    refused("platform", good.replace("payload\":\"", "payload\":\"A"), "not");
    let elsewhere = City::generate(&Options { seed: 8, enterprises: 10, banks: 3, consent_rate: 1.0 });
    let foreign = signed_consent(&elsewhere, subject, "bank-1", |c| c.consent_id = "foreign".into()).unwrap();
    refused("platform", foreign, "registrar");

    // One-time: for its application, once.
    let one_time = |c: &mut tally_policy::Consent| {
        c.fetch = Fetch::OneTime;
        c.application = Some("loan-7".into());
        c.supersedes = Some(consent_id(subject, "bank-1"));
        c.granted += 1;
        c.not_before += 1;
    };
    trial.import_into(&["platform", "bank-1"], &[consent("bank-1", &one_time)]);
    trial.refused("bank-1", &applicants[0], "application");
    let for_loan = |order: &mut Value| order["application"] = "loan-7".into();
    let output = trial.score("bank-1", &applicants[0], for_loan);
    assert!(output.status.success(), "{}", error_of(&output));
    let again = trial.score("bank-1", &applicants[0], for_loan);
    assert!(error_of(&again).contains("exhausted"), "{}", error_of(&again));

    // Another purpose than the consent's, and one that is none.
    let guarantee = trial.score("bank-1", &applicants[1], |order| order["purpose"] = json!(Purpose::Guarantee));
    assert!(error_of(&guarantee).contains("purpose"), "{}", error_of(&guarantee));
    let marketing = trial.score("bank-1", &applicants[1], |order| order["purpose"] = "marketing".into());
    assert!(error_of(&marketing).contains("marketing"), "{}", error_of(&marketing));
    trial.verified();
    let log = platform_log(&trial);
    for code in ["application", "exhausted", "purpose"] {
        assert!(log.contains(&format!("\"allow\":false,\"failed\":\"{code}\"")), "{code}");
    }
    assert!(!log.contains(subject));
}

/// Rows of one file travel together; each use of a consent counts for the rows after it all the same.
#[test]
fn a_consent_to_three_uses_gives_three_scores_of_one_file() {
    let trial = Trial::new();
    let input = trial.left.root.join("inputs/applicants-bank-1.csv");
    let file = std::fs::read_to_string(&input).unwrap();
    let [header, limited, other] = file.lines().take(3).collect::<Vec<_>>()[..] else { panic!("{file}") };
    let subject = limited.split(',').next().unwrap();
    let three_uses = |c: &mut tally_policy::Consent| {
        c.consent_id = "three-uses".into();
        c.fetch = Fetch::Periodic { max_uses: 3, every_days: 0 };
        c.supersedes = Some(consent_id(subject, "bank-1"));
        (c.granted, c.not_before) = (c.granted + 1, c.not_before + 1);
    };
    let line = signed_consent(&trial.city, subject, "bank-1", three_uses).unwrap();
    trial.import_into(&["platform", "bank-1"], &[line]);
    let lines = [vec![header], vec![limited; 8], vec![other; 8]].concat();
    let rows = trial.write("rows.csv", &lines.into_iter().map(str::to_owned).collect::<Vec<_>>());
    let (node, output) = (trial.left.directory("bank-1"), trial.left.root.join("scores.csv"));
    let batch = done(&["score", "batch", "--node", text(&node), "--input", text(&rows), "--output", text(&output)]);
    assert_eq!((&batch["scored"], &batch["without_score"]), (&json!(11), &json!(5)));
    let scored = std::fs::read_to_string(&output).unwrap();
    let mine = scored.lines().skip(1).filter(|line| line.starts_with(subject));
    assert_eq!(mine.filter(|line| line.contains("exhausted")).count(), 5, "{scored}");
    trial.verified();
}

/// An enterprise objects, is proved right, and whoever used the old value hears of it; its receipt verifies without a node.
#[test]
fn an_objection_withholds_and_a_correction_reaches_who_used_the_value() {
    let trial = Trial::new();
    let applicants = trial.applicants("bank-1");
    let subject = applicants[0].0.as_str();
    let (platform, bank) = (trial.left.directory("platform"), trial.left.directory("bank-1"));
    let before = trial.scored("bank-1", &applicants[0]);
    let field = "tax_arrears_count";
    let object = ["subject", "object", subject, "--field", field, "--reason", "paid in May"];
    let case = done(&[object.as_slice(), &["--node", text(&platform)]].concat());
    let withheld = trial.scored("bank-1", &applicants[0]);
    assert_eq!(withheld["withheld"], json!([field]));
    let settle = |value: &str| {
        let case = case["case"].as_str().unwrap();
        let settle = ["subject", "settle", case, "--value", value, "--reason", "receipt seen"];
        run(&[settle.as_slice(), &["--node", text(&platform), "--json"]].concat())
    };
    assert!(error_of(&settle("many")).contains("expected a number"));
    let settled = settle("9");
    assert!(settled.status.success(), "{}", error_of(&settled));
    assert_eq!(crate::program::last_object(&settled)["banks_told"], json!(["bank-1"]));
    let after = trial.scored("bank-1", &applicants[0]);
    assert_eq!(after["withheld"], json!([]));
    assert!(after["score"].as_i64() < before["score"].as_i64(), "{after} {before}");
    let told = done(&["subject", "cases", "--node", text(&bank)]);
    let scores = told[0]["scores"].as_array().unwrap();
    let again = scores.iter().find(|score| score["request"] == before["request"]).unwrap();
    assert_eq!((&again["was"]["score"], &again["is"]["score"]), (&before["score"], &after["score"]));
    assert_eq!(told[0]["sessions"], json!([before["session"]]));

    let consent = consent_digest(&trial.city, subject, "bank-1").to_string();
    let receipt = trial.left.root.join("receipt.json");
    done(&["consent", "receipt", &consent, "--node", text(&platform), "--output", text(&receipt)]);
    let vkey = platform.join("log.vkey");
    let verify = || run(&["consent", "verify", text(&receipt), "--vkey", text(&vkey), "--json"]);
    assert!(verify().status.success(), "{}", error_of(&verify()));
    let honest = std::fs::read_to_string(&receipt).unwrap();
    for (from, to) in
        [("\"place\": ", "\"place\": 1"), ("\"salt\": \"", "\"salt\": \"00"), ("\"size\": ", "\"size\": 1")]
    {
        std::fs::write(&receipt, honest.replacen(from, to, 1)).unwrap();
        assert!(!verify().status.success(), "{from}");
    }
    let held = &trial.report("platform", subject)["held"][0]["values"][field];
    assert_eq!(held.as_f64(), Some(9.0));
    trial.verified();
}

/// A consent whose data life is nought, revoked: what the bank kept of its score goes, with a certificate; the log still holds.
#[test]
fn what_has_reached_the_end_of_its_life_is_deleted_with_a_certificate() {
    let trial = Trial::new();
    let applicants = trial.applicants("bank-1");
    let subject = applicants[0].0.as_str();
    let bank = trial.left.directory("bank-1");
    let short = signed_consent(&trial.city, subject, "bank-1", |consent| {
        consent.consent_id = "short".into();
        consent.supersedes = Some(consent_id(subject, "bank-1"));
        (consent.granted, consent.not_before) = (consent.granted + 1, consent.not_before + 1);
        consent.data_life_days = 0;
    });
    trial.import_into(&["platform", "bank-1"], &[short.unwrap()]);
    trial.scored("bank-1", &applicants[0]);
    trial.scored("bank-1", &applicants[1]);
    let erase = || done(&["erasure", "run", "--node", text(&bank)]);
    assert_eq!(erase()["scores"], 0);
    let of = trial.report("bank-1", subject)["consents"][0]["consent"].as_str().unwrap().parse().unwrap();
    let revoke = tally_city::event_of(&trial.city, subject, of, None, EventKind::Revoke, now()).unwrap().1;
    trial.import_into(&["platform", "bank-1"], &[revoke]);
    let erased = erase();
    assert_eq!((&erased["scores"], erased["certificates"].as_array().unwrap().len()), (&json!(1), 1), "{erased}");
    assert_eq!(erase()["scores"], 0);
    let certificates = done(&["erasure", "show", "--node", text(&bank)]);
    assert_eq!(certificates[0]["payloadType"], "application/vnd.in-toto+json");
    trial.verified();
}
