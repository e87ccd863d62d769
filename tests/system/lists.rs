//! Lists and snapshots that change under a session: what was agreed stays, or the session stops and says why.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use tally_city::{City, Options, signed_list};
use tally_policy::{Form, Level, SharingList};

use crate::left::{Trial, template};
use crate::program::{done, error_of, last_object, run, text};

const NODES: [&str; 4] = ["platform", "bank-1", "bank-2", "bank-3"];
const SEED: u64 = 11;
const ENTERPRISES: usize = 1200;

impl Trial {
    fn node(&self, name: &str) -> PathBuf {
        self.left.directory(name)
    }

    fn list(&self, name: &str, change: impl FnOnce(&mut SharingList)) -> PathBuf {
        let path = self.left.root.join(name);
        std::fs::write(&path, signed_list(&self.city, change).unwrap()).unwrap();
        path
    }

    fn import_list(&self, node: &str, file: &Path) -> Output {
        run(&["list", "import", text(file), "--node", text(&self.node(node)), "--json"])
    }

    /// Scores the first applicant of a bank with the model of a session.
    fn score(&self, session: &str) -> Output {
        let applicants = std::fs::read_to_string(self.left.root.join("inputs/applicants-bank-1.csv")).unwrap();
        let id = applicants.lines().nth(1).unwrap().split(',').next().unwrap();
        let order = json!({ "id": id, "purpose": "loan-underwriting", "fields": {}, "session": session });
        let request = self.left.root.join("request.json");
        std::fs::write(&request, order.to_string()).unwrap();
        run(&["score", "one", "--json", "--node", text(&self.node("bank-1")), "--request", text(&request)])
    }

    fn import_data(&self, file: &Path) -> Value {
        let platform = self.node("platform");
        let import = ["dataset", "import", text(file), "--name", "enterprises", "--as-of", "2026-06-30"];
        done(&[import.as_slice(), &["--node", text(&platform)]].concat())
    }

    fn approve_everywhere(&self, session: &str) {
        self.left.approve("platform", session);
        for bank in &NODES[1..] {
            self.left.wait(bank, session, &["proposed"]);
            self.left.approve(bank, session);
        }
    }

    fn audit(&mut self) -> Value {
        NODES.iter().for_each(|node| self.left.stop_gently(node));
        let registry = self.left.root.join("registry.json");
        let nodes = NODES.map(|node| self.node(node));
        let mut audit = vec!["audit", "verify", "--json", "--registry", text(&registry)];
        audit.extend(nodes.iter().map(|node| text(node)));
        last_object(&run(&audit))
    }
}

fn field<'a>(list: &'a mut SharingList, name: &str) -> &'a mut tally_policy::ListField {
    list.fields.iter_mut().find(|field| field.name == name).unwrap()
}

fn refused(output: &Output, words: &[&str]) {
    let error = error_of(output);
    assert_eq!(output.status.code(), Some(77), "{error}");
    for word in words {
        assert!(error.contains(word), "`{word}` is missing: {error}");
    }
}

fn sealed(list: &mut SharingList) {
    list.version = 2;
    let courts = field(list, "court_cases_24m");
    (courts.level, courts.forms) = (Level::L3, vec![Form::Sealed]);
}

fn secret(list: &mut SharingList) {
    list.version = 3;
    let courts = field(list, "court_cases_24m");
    (courts.level, courts.forms) = (Level::L4, Vec::new());
}

/// A list that changes between proposal and scoring: the session goes on under its own, new ones follow the new one, and what
/// becomes secret is refused at once.
#[test]
fn a_later_list_rules_later_sessions_only_but_a_secret_is_one_everywhere() {
    let mut trial = Trial::new(SEED, ENTERPRISES);
    let session = trial.left.propose(3);
    let later = trial.list("list-2.json", sealed);
    for node in NODES {
        let imported = trial.import_list(node, &later);
        assert!(imported.status.success(), "{}", error_of(&imported));
    }
    trial.approve_everywhere(&session);
    assert_eq!(trial.left.wait("platform", &session, &["closed", "aborted"])["stage"], "closed");
    NODES.iter().for_each(|node| drop(trial.left.wait(node, &session, &["closed"])));
    let shown = run(&["session", "show", &session, "--node", text(&trial.node("bank-1"))]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("sharing list: version 1") && shown.contains("version 2 of the sharing list"), "{shown}");
    // A new session would have to leave the field at home.
    refused(&trial.left.propose_from(&template(), 3), &["court_cases_24m", "form"]);
    // The model of the old session scores under its own list, also after a start.
    trial.left.stop("platform");
    trial.left.go_on("platform");
    std::thread::sleep(std::time::Duration::from_millis(500));
    let scored = trial.score(&session);
    assert!(scored.status.success(), "{}", error_of(&scored));
    let platform = trial.node("platform");
    let changes = done(&["list", "diff", "--node", text(&platform)])["changes"].clone();
    let terms: Vec<_> = changes.as_array().unwrap().iter().map(|change| change["term"].as_str().unwrap()).collect();
    assert_eq!(terms, ["forms", "level"]);
    let first = done(&["list", "show", "--version", "1", "--node", text(&platform)]);
    assert_eq!((&first["version"], &first["versions"]), (&json!(1), &json!([1, 2])));
    // What the newest list makes secret is refused in running business too.
    let newest = trial.list("list-3.json", secret);
    assert!(trial.import_list("platform", &newest).status.success());
    refused(&trial.score(&session), &["withdrawn", "court_cases_24m"]);
    refused(&trial.left.propose_from(&template(), 3), &["court_cases_24m", "level 4"]);
    let audit = trial.audit();
    assert!(audit["verified"] == true && audit["reconciled"] == true, "{audit}");
}

/// Every list that must not come in, and the words that say why.
#[test]
fn lists_that_must_not_come_in_are_named() {
    let trial = Trial::new(SEED, ENTERPRISES);
    let import = |change: &dyn Fn(&mut SharingList)| trial.import_list("bank-1", &trial.list("bad.json", change));
    let second = trial.list("list-2.json", sealed);
    for _ in 0..2 {
        assert!(trial.import_list("bank-1", &second).status.success());
    }
    refused(&import(&|list| list.version = 2), &["version 2", "other content"]);
    refused(
        &import(&|list| {
            secret(list);
            field(list, "district").forms = Vec::new();
        }),
        &["`district`", "no form"],
    );
    refused(
        &import(&|list| {
            list.version = 3;
            field(list, "tax_growth").until = Some("2025-01-01".parse().unwrap());
            field(list, "tax_growth").from = Some("2025-01-02".parse().unwrap());
        }),
        &["`tax_growth`", "2025-01-01", "exchange"],
    );
    let good = std::fs::read_to_string(&second).unwrap();
    let unsigned = trial.left.root.join("unsigned.json");
    let mut envelope: Value = serde_json::from_str(&good).unwrap();
    envelope["signatures"] = json!([]);
    std::fs::write(&unsigned, envelope.to_string()).unwrap();
    refused(&trial.import_list("bank-1", &unsigned), &["unsigned.json", "not signed"]);
    let other = City::generate(&Options { seed: SEED + 1, enterprises: 10, banks: 3, consent_rate: 0.85 });
    let foreign = trial.left.root.join("foreign.json");
    std::fs::write(&foreign, signed_list(&other, |list| list.version = 9).unwrap()).unwrap();
    refused(&trial.import_list("bank-1", &foreign), &["foreign.json", "authority"]);
    let registry = trial.left.root.join("registry.json");
    refused(&run(&["list", "verify", text(&foreign), "--registry", text(&registry)]), &["authority"]);
    assert!(run(&["list", "verify", text(&second), "--registry", text(&registry)]).status.success());
    let newest = done(&["list", "show", "--node", text(&trial.node("bank-1"))]);
    assert_eq!((&newest["version"], &newest["versions"]), (&json!(2), &json!([1, 2])));
}

/// A data set that was exchanged after the banks were asked: the session stops before a row leaves, and says so.
#[test]
fn a_swapped_snapshot_stops_the_session() {
    let mut trial = Trial::new(SEED, ENTERPRISES);
    let original = trial.left.root.join("inputs/platform.csv");
    let swapped = trial.left.root.join("swapped.csv");
    let table = std::fs::read_to_string(&original).unwrap();
    let mut lines: Vec<_> = table.lines().map(str::to_owned).collect();
    let mut cells: Vec<_> = lines[7].split(',').map(str::to_owned).collect();
    cells[1] = "987654".into();
    lines[7] = cells.join(",");
    std::fs::write(&swapped, lines.join("\n")).unwrap();
    let before = trial.import_data(&original)["commitment"].clone();
    // Asked, then exchanged: under the same name and day.
    let session = trial.left.propose(3);
    trial.left.approve("platform", &session);
    assert_ne!(trial.import_data(&swapped)["commitment"], before);
    for bank in &NODES[1..] {
        trial.left.wait(bank, &session, &["proposed"]);
        trial.left.approve(bank, &session);
    }
    let stopped = trial.left.wait("platform", &session, &["closed", "aborted"]);
    assert_eq!(stopped["stage"], "aborted");
    let reason = stopped["reason"].as_str().unwrap();
    assert!(reason.contains("no longer the snapshot") && reason.contains("enterprises"), "{reason}");
    // Exchanged before the platform's own approval.
    assert_eq!(trial.import_data(&original)["commitment"], before);
    let second = trial.left.propose(3);
    trial.import_data(&swapped);
    let (platform, secret) = (trial.node("platform"), trial.left.root.join("secret"));
    let approve = ["session", "approve", &second, "--operator", "chen", "--secret-file", text(&secret)];
    refused(&run(&[approve.as_slice(), &["--node", text(&platform)]].concat()), &["no longer the snapshot"]);
    // The same file again is the same snapshot.
    trial.import_data(&original);
    trial.approve_everywhere(&second);
    assert_eq!(trial.left.wait("platform", &second, &["closed", "aborted"])["stage"], "closed");
    NODES.iter().for_each(|node| drop(trial.left.wait(node, &second, &["closed"])));
    opened_rows_hold(&trial, &before);
    let audit = trial.audit();
    assert!(audit["verified"] == true && audit["reconciled"] == true, "{audit}");
}

/// One row, opened to an auditor, against the commitment that the contract names.
fn opened_rows_hold(trial: &Trial, commitment: &Value) {
    let table = std::fs::read_to_string(trial.left.root.join("inputs/platform.csv")).unwrap();
    let id = table.lines().nth(5).unwrap().split(',').next().unwrap();
    let opened = done(&["dataset", "open", "enterprises", "--id", id, "--node", text(&trial.node("platform"))]);
    let file = trial.left.root.join("row.json");
    let verify = |opened: &Value| {
        std::fs::write(&file, opened.to_string()).unwrap();
        run(&["dataset", "verify", text(&file), "--commitment", commitment.as_str().unwrap(), "--json"])
    };
    assert!(verify(&opened).status.success());
    let mut changed = opened.clone();
    let row = opened["opening"]["row"].as_str().unwrap();
    changed["opening"]["row"] = json!(row.replacen(":0", ":1", 1));
    assert_eq!(verify(&changed).status.code(), Some(1));
}

/// What a bank got in earlier sessions counts in the verdict on the next one.
#[test]
fn a_verdict_counts_what_a_bank_has_already() {
    let trial = Trial::new(SEED, ENTERPRISES);
    let few = trial.left.root.join("few.toml");
    let left_out = "leave_out = [\"tax_paid_12m\", \"tax_growth\", \"court_cases_24m\", \"court_judgment_amount\", \
                    \"power_kwh_12m\", \"power_drop\", \"insured_employees\", \"insured_change\", \"penalty_count\", \
                    \"procurement_wins_24m\"]\n";
    std::fs::write(&few, left_out.to_owned() + &std::fs::read_to_string(template()).unwrap()).unwrap();
    let proposed = last_object(&trial.left.propose_from(&few, 3));
    assert_eq!(proposed["level"], "L2");
    for bank in &NODES[1..] {
        let verdict = &proposed["disclosures"][bank];
        assert_eq!((&verdict["release"]["fields"], &verdict["cumulative"]["fields"]), (&json!(5), &json!(15)));
        assert!(verdict["release"]["groups"].as_u64() <= verdict["cumulative"]["groups"].as_u64(), "{verdict}");
        // The same rows as in the session before.
        assert_eq!(verdict["difference"], Value::Null);
    }
}
