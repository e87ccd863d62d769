//! The way of an operator, verb by verb: what the demo does, anybody can do by hand.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::program::{Served, done, error_of, last_object, run, text, until};

struct Consortium {
    _folder: tempfile::TempDir,
    root: PathBuf,
    secret: PathBuf,
}

impl Consortium {
    /// Inputs of a small city, a consortium, and four enrolled nodes.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        let secret = root.join("secret");
        std::fs::write(&secret, "correct horse battery staple\n").unwrap();
        let city = Self { _folder: folder, root, secret };
        done(&["demo", "--enterprises", "1500", "--keep", text(&city.path("made"))]);
        let (ca, secret) = (city.path("ca"), city.secret.clone());
        let open = ["--ca", text(&ca), "--secret-file", text(&secret)];
        done(&[["ca", "init"].as_slice(), &open].concat());
        let (registrar, authority) = (city.path("made/inputs/registrar.json"), city.path("made/inputs/authority.json"));
        let keys = ["--registrar", text(&registrar), "--list-authority", text(&authority)];
        done(&[["ca", "appoint"].as_slice(), &keys, &open].concat());
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        for node in NODES {
            let directory = city.path(node);
            let role: &[&str] = if node == "platform" {
                &["--role", "platform", "--listen", &port]
            } else {
                &["--role", "bank", "--dial", &port]
            };
            let make = ["init", "--node", text(&directory), "--name", node, "--secret-file", text(&secret)];
            done(&[make.as_slice(), role].concat());
            let request = directory.join("request.json");
            done(&[["ca", "issue", "--request", text(&request)].as_slice(), &open].concat());
        }
        for node in NODES {
            for file in ["ca.crt", "registry.json"] {
                std::fs::copy(ca.join(file), city.path(node).join(file)).unwrap();
            }
        }
        city
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn input(&self, name: &str) -> PathBuf {
        self.path("made/inputs").join(name)
    }

    fn fill(&self, node: &str) {
        let (directory, dictionary) = (self.path(node), self.input("dictionary.json"));
        let at = ["--node", text(&directory)];
        done(&[["operator", "add", "wang", "--secret-file", text(&self.secret)].as_slice(), &at].concat());
        done(&[["list", "import", text(&self.input("list.json"))].as_slice(), &at].concat());
        for bank in BANKS.iter().filter(|bank| node == "platform" || node == **bank) {
            let consents = self.input(&format!("consents-{bank}.jsonl"));
            done(&[["consent", "import", text(&consents)].as_slice(), &at].concat());
        }
        let file = self.input(&format!("{node}.csv"));
        // Outcomes are known a month after the platform's snapshot.
        let as_of = if node == "platform" { "2026-06-30" } else { "2026-07-31" };
        let mut import = vec!["dataset", "import", text(&file), "--as-of", as_of];
        if node == "platform" {
            import.extend(["--name", "enterprises"]);
        } else {
            import.extend(["--dictionary", text(&dictionary), "--label", "y"]);
        }
        done(&[import.as_slice(), &at].concat());
    }

    fn approve(&self, node: &str) -> Value {
        let directory = self.path(node);
        done(&[
            "session",
            "approve",
            "--operator",
            "wang",
            "--node",
            text(&directory),
            "--secret-file",
            text(&self.secret),
        ])
    }

    fn wait(&self, node: &str, stage: &str) {
        let directory = self.path(node);
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let sessions = done(&["session", "status", "--node", text(&directory)]);
            if sessions[0]["stage"] == stage {
                return;
            }
            assert!(Instant::now() < deadline && sessions[0]["stage"] != "aborted", "{node}: {sessions}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn score(&self, bank: &str, applicant: &Value) -> std::process::Output {
        let request = self.path("request.json");
        std::fs::write(&request, applicant.to_string()).unwrap();
        run(&["score", "one", "--json", "--node", text(&self.path(bank)), "--request", text(&request)])
    }
}

const BANKS: [&str; 3] = ["bank-1", "bank-2", "bank-3"];
const NODES: [&str; 4] = ["platform", "bank-1", "bank-2", "bank-3"];

#[test]
fn from_enrolment_to_a_score_by_hand() {
    let city = Consortium::new();
    let mut nodes: Vec<_> = NODES.iter().map(|node| Served::start(&city.path(node), &city.secret)).collect();
    NODES.iter().for_each(|node| city.fill(node));
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/templates/scorecard.toml");
    let template = city.path("scorecard.toml");
    let judging = "\n[judging]\napproval = 0.7\nsegments = [\"industry\", \"registered_capital\"]\nsegments_only = [\"industry\"]\n\
                   [sample]\nobserved = \"2026-06-30\"\noutcome_months = 1\noutcome = { zh = \"逾期\", en = \"past due\" }\n";
    std::fs::write(&template, std::fs::read_to_string(shipped).unwrap() + judging).unwrap();
    let (platform, dictionary) = (city.path("platform"), city.input("dictionary.json"));
    let mut propose = vec!["session", "propose", "--node", text(&platform), "--template", text(&template)];
    propose.extend(["--dictionary", text(&dictionary)]);
    BANKS.iter().for_each(|bank| propose.extend(["--bank", bank]));
    let session = done(&propose)["session"].as_str().unwrap().to_owned();
    assert_eq!(city.approve("platform")["stage"], "proposed");
    for bank in BANKS {
        city.wait(bank, "proposed");
        let shown = run(&["session", "show", "--node", text(&city.path(bank))]);
        assert!(String::from_utf8_lossy(&shown.stdout).contains("joint-modelling"));
        city.approve(bank);
    }
    NODES.iter().for_each(|node| city.wait(node, "closed"));
    let bank = city.path("bank-1");
    let results = done(&["session", "results", &session, "--node", text(&bank)]);
    assert!(results["own"]["joint"]["auc"].as_f64().unwrap() > 0.5, "{results}");
    judged(&results);
    scores(&city);
    let evidence = city.path("evidence.json");
    done(&["session", "evidence", &session, "--node", text(&platform), "--output", text(&evidence)]);
    // Stopped and started again, the model is still there, and the same.
    nodes.clear();
    replays(&city, &evidence);
    let _nodes: Vec<_> = NODES.iter().map(|node| Served::start(&city.path(node), &city.secret)).collect();
    std::thread::sleep(Duration::from_millis(500));
    scores(&city);
    let applicants = city.input("applicants-bank-1.csv");
    let output = city.path("scores.csv");
    let batch =
        done(&["score", "batch", "--node", text(&bank), "--input", text(&applicants), "--output", text(&output)]);
    assert_eq!((&batch["scored"], &batch["without_score"]), (&json!(10), &json!(0)));
    models(&city);
}

/// Segments of the template, of a field that the model does not have and of one that it may have.
fn judged(results: &Value) {
    let judged = &results["judged"];
    let [by_industry, by_capital] = &judged["segments"].as_array().unwrap()[..] else { panic!("{judged}") };
    assert_eq!((&by_industry["field"], &by_capital["field"]), (&json!("industry"), &json!("registered_capital")));
    let dropped = results["fit"]["fields"].as_array().unwrap().iter().find(|field| field["name"] == "industry");
    assert_eq!(dropped.unwrap()["dropped"], json!({ "why": "apart" }));
    for field in [by_industry, by_capital].into_iter().filter(|field| field["withheld"] == false) {
        let rows = field["segments"].as_array().unwrap().iter().map(|segment| segment["rows"].as_i64().unwrap());
        assert_eq!(rows.sum::<i64>(), results["fit"]["holdout_rows"].as_i64().unwrap(), "{field}");
    }
    assert!(judged["ks"]["difference"]["low"].as_f64() <= judged["ks"]["difference"]["high"].as_f64(), "{judged}");
}

/// A model in files, and out of use: by an operator who did not make it, for good.
fn models(city: &Consortium) {
    let (bank, secret) = (city.path("bank-1"), text(&city.secret).to_owned());
    let at = ["--node", text(&bank)];
    let listed = done(&[["model", "list"].as_slice(), &at].concat());
    assert_eq!((&listed[0]["state"], &listed[0]["serves"]), (&json!("champion"), &json!(true)));
    for (format, mark) in [
        ("json", "tallystick-model/v1"),
        ("card", "field,class,label_zh"),
        ("pmml", "http://www.dmg.org/PMML-4_4"),
        ("dossier", "<!DOCTYPE html>"),
    ] {
        let output = city.path(format);
        done(&[["model", "export", "--format", format, "--output", text(&output)].as_slice(), &at].concat());
        assert!(std::fs::read_to_string(&output).unwrap().contains(mark), "{format}");
    }
    let model = listed[0]["model"].as_str().unwrap();
    let same = done(&[["model", "compare", model].as_slice(), &at].concat());
    assert_eq!(same["difference"]["auc"], json!(0.0));
    let retire = |operator: &str| {
        let order = ["model", "retire", &model[..12], "--operator", operator, "--secret-file", &secret];
        run(&[order.as_slice(), &at].concat())
    };
    let refused = retire("wang");
    assert_eq!(refused.status.code(), Some(77), "{}", error_of(&refused));
    let add = ["operator", "add", "lin", "--role", "validation", "--secret-file", &secret];
    let waits = done(&[add.as_slice(), &at].concat());
    assert_eq!((&waits["signed"], &waits["needed"]), (&json!([]), &json!(1)), "{waits}");
    let refused = retire("lin");
    assert!(error_of(&refused).contains("not known here"), "{}", error_of(&refused));
    let sign = ["operator", "sign", "lin", "--operator", "wang", "--secret-file", &secret];
    done(&[sign.as_slice(), &at].concat());
    assert!(retire("lin").status.success());
    decisions_are_proven(city, &bank);
    let applicants = std::fs::read_to_string(city.input("applicants-bank-1.csv")).unwrap();
    let id = applicants.lines().nth(1).unwrap().split(',').next().unwrap().to_owned();
    let session = listed[0]["session"].as_str().unwrap();
    let request = json!({ "id": id, "purpose": "loan-underwriting", "fields": {}, "session": session });
    let refused = city.score("bank-1", &request);
    assert_eq!(refused.status.code(), Some(77));
    assert!(error_of(&refused).contains("retired"), "{}", error_of(&refused));
}

/// An auditor sees who decided, from the log and the orders alone.
fn decisions_are_proven(city: &Consortium, bank: &Path) {
    let (orders, registry) = (city.path("orders.jsonl"), city.path("ca/registry.json"));
    done(&["operator", "orders", "--node", text(bank), "--output", text(&orders)]);
    let check = |file: &Path| {
        let arguments = ["audit", "orders", text(file), "--log", text(bank), "--registry", text(&registry), "--json"];
        last_object(&run(&arguments))
    };
    // The approval, the second operator, the model.
    assert!(until(|| check(&orders)["entries"] == json!(3)), "{}", check(&orders));
    assert_eq!(check(&orders)["holds"], json!(true));
    let lines = std::fs::read_to_string(&orders).unwrap();
    let changed = city.path("changed.jsonl");
    std::fs::write(&changed, lines.replace("development", "validation").replace("retired", "champion")).unwrap();
    assert_eq!(check(&changed)["holds"], json!(false));
}

/// An auditor recomputes every sum, finds it in every log, and sees any changed bit.
fn replays(city: &Consortium, evidence: &Path) {
    let registry = city.path("ca/registry.json");
    let logs: Vec<_> = NODES.iter().map(|node| city.path(node)).collect();
    let mut arguments = vec!["audit", "replay", text(evidence), "--registry", text(&registry), "--json"];
    logs.iter().for_each(|log| arguments.extend(["--log", text(log)]));
    let mut verify = vec!["audit", "verify", "--registry", text(&registry), "--json"];
    logs.iter().for_each(|log| verify.push(text(log)));
    let verified = last_object(&run(&verify));
    assert_eq!((&verified["verified"], &verified["reconciled"]), (&json!(true), &json!(true)), "{verified}");
    let replayed = last_object(&run(&arguments));
    assert_eq!((&replayed["holds"], &replayed["findings"]), (&json!(true), &json!([])));
    assert!(replayed["rounds"].as_array().unwrap().len() > 5);
    let good = std::fs::read_to_string(evidence).unwrap();
    let value: Value = serde_json::from_str(&good).unwrap();
    let transcript = value["transcripts"][3].as_str().unwrap();
    for place in [100, transcript.len() / 2, transcript.len() - 10] {
        let mut changed = transcript.as_bytes().to_vec();
        changed[place] = if changed[place] == b'0' { b'1' } else { b'0' };
        let changed = good.replace(transcript, std::str::from_utf8(&changed).unwrap());
        std::fs::write(evidence, changed).unwrap();
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(1), "digit {place}");
        assert!(last_object(&output)["findings"][0].as_str().unwrap().starts_with("transcript 3: "));
    }
    std::fs::write(evidence, good).unwrap();
}

#[test]
fn strangers_and_impostors_are_refused_and_the_refusal_is_logged() {
    let city = Consortium::new();
    let _platform = Served::start(&city.path("platform"), &city.secret);
    // A bank of another consortium, under the name of one of this.
    let (other, impostor) = (city.path("other-ca"), city.path("impostor"));
    let open = ["--ca", text(&other), "--secret-file", text(&city.secret)];
    done(&[["ca", "init"].as_slice(), &open].concat());
    let dial = std::fs::read_to_string(city.path("platform/address")).unwrap();
    let make = ["init", "--node", text(&impostor), "--name", "bank-1", "--role", "bank", "--dial", &dial];
    done(&[make.as_slice(), &["--secret-file", text(&city.secret)]].concat());
    done(&[["ca", "issue", "--request", text(&impostor.join("request.json"))].as_slice(), &open].concat());
    std::fs::copy(other.join("registry.json"), impostor.join("registry.json")).unwrap();
    std::fs::copy(city.path("ca/ca.crt"), impostor.join("ca.crt")).unwrap();
    let _impostor = Served::start(&impostor, &city.secret);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !logged(&city.path("platform/log"), "\"type\":\"refusal\"") {
        assert!(Instant::now() < deadline, "no refusal in the log");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(done(&["status", "--node", text(&city.path("platform"))])["peers"], json!([]));
}

fn logged(folder: &Path, words: &str) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| {
        if path.is_dir() {
            logged(&path, words)
        } else {
            std::fs::read(&path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(words))
        }
    })
}

fn scores(city: &Consortium) {
    let table = std::fs::read_to_string(city.input("applicants-bank-1.csv")).unwrap();
    let id = table.lines().nth(1).unwrap().split(',').next().unwrap().to_owned();
    let applicant =
        |id: &str, purpose: &str| json!({ "id": id, "purpose": purpose, "fields": { "interest_rate": 6.5 } });
    let scored = city.score("bank-1", &applicant(&id, "loan-underwriting"));
    assert!(scored.status.success(), "{}", error_of(&scored));
    assert_eq!(last_object(&scored)["reasons"].as_array().unwrap().len(), 3);
    for (request, code, word) in [
        (applicant(&id, "guarantee"), 77, "purpose"),
        (applicant("91440300708461136T", "loan-underwriting"), 77, "no-consent"),
        (applicant("91440300708461136A", "loan-underwriting"), 65, "check character"),
        (json!({ "id": id, "purpose": "loan-underwriting", "fields": { "shoe_size": 43 } }), 65, "shoe_size"),
        (applicant(&id, "marketing"), 65, "marketing"),
    ] {
        let refused = city.score("bank-1", &request);
        assert_eq!(refused.status.code(), Some(code), "{}", error_of(&refused));
        assert!(error_of(&refused).contains(word), "{word}: {}", error_of(&refused));
    }
}
