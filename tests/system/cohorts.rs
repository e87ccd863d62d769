//! Several days of observation in one session: rows by enterprise and cohort, consent by enterprise.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use tally_city::{City, Options, consent_event};
use tally_policy::EventKind;

use crate::left::{Left, template};
use crate::program::{done, error_of, last_object, run, text};

const BANKS: [&str; 3] = ["bank-1", "bank-2", "bank-3"];
const NODES: [&str; 4] = ["platform", "bank-1", "bank-2", "bank-3"];
/// The cohorts, each with the shift by which its numbers differ from the demo's files.
const DAYS: [(&str, f64); 2] = [("2026-03-31", 0.0), ("2026-05-30", 1.0)];
const ENTERPRISES: usize = 1200;
const SEED: u64 = 7;

/// The nodes that a demo left, with a second data set in two cohorts at each.
struct Trial {
    _folder: tempfile::TempDir,
    left: Left,
}

impl Trial {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let trial = Self { left: Left::of_demo(folder.path(), SEED, ENTERPRISES), _folder: folder };
        NODES.iter().for_each(|node| trial.import(node, "2026-06-30"));
        trial
    }

    /// Imports the node's file of the demo as a history: every row once a cohort.
    fn import(&self, node: &str, as_of: &str) {
        let output = self.import_as_of(node, &self.history(node), as_of);
        assert!(output.status.success(), "{}", error_of(&output));
    }

    fn import_as_of(&self, node: &str, file: &Path, as_of: &str) -> Output {
        let (directory, dictionary) = (self.left.directory(node), self.left.root.join("inputs/dictionary.json"));
        let mut order = vec!["dataset", "import", text(file), "--node", text(&directory), "--name", "history"];
        order.extend(["--cohort", "day", "--as-of", as_of, "--json"]);
        if node != "platform" {
            order.extend(["--label", "y", "--dictionary", text(&dictionary)]);
        }
        run(&order)
    }

    fn history(&self, node: &str) -> PathBuf {
        let file = std::fs::read_to_string(self.left.root.join(format!("inputs/{node}.csv"))).unwrap();
        let (header, rows) = file.split_once('\n').unwrap();
        let header = header.trim_end();
        let amount = header.split(',').position(|name| name == "registered_capital");
        let mut history = format!("day,{header}\n");
        for (day, shift) in DAYS {
            for row in rows.lines() {
                let moved = row.split(',').enumerate().map(|(place, value)| match value.parse::<f64>() {
                    Ok(number) if Some(place) == amount => (number + shift).to_string(),
                    _ => value.to_owned(),
                });
                history += &format!("{day},{}\n", moved.collect::<Vec<_>>().join(","));
            }
        }
        let path = self.left.root.join(format!("history-{node}.csv"));
        std::fs::write(&path, history).unwrap();
        path
    }

    fn template(&self, cohorts: &str, outcome_months: u32) -> PathBuf {
        let sample = format!(
            "\n[sample]\nobserved = \"2026-05-30\"\n{cohorts}\noutcome_months = {outcome_months}\n\
             outcome = {{ zh = \"逾期\", en = \"past due\" }}\n"
        );
        let path = self.left.root.join("cohorts.toml");
        std::fs::write(&path, std::fs::read_to_string(template()).unwrap() + &sample).unwrap();
        path
    }

    fn propose(&self, dataset: &str, template: &Path) -> Output {
        let (platform, dictionary) = (self.left.directory("platform"), self.left.root.join("inputs/dictionary.json"));
        let mut propose = vec!["session", "propose", "--node", text(&platform), "--template", text(template)];
        propose.extend(["--dictionary", text(&dictionary), "--dataset", dataset, "--json"]);
        BANKS.iter().for_each(|bank| propose.extend(["--bank", bank]));
        run(&propose)
    }

    /// A session over the histories that the platform has approved and the banks have got.
    fn proposed(&self, outcome_months: u32) -> String {
        let cohorts = "cohorts = [\"2026-03-31\", \"2026-05-30\"]";
        let output = self.propose("history", &self.template(cohorts, outcome_months));
        assert!(output.status.success(), "{}", error_of(&output));
        let session = last_object(&output)["session"].as_str().unwrap().to_owned();
        self.left.approve("platform", &session);
        BANKS.iter().for_each(|bank| drop(self.left.wait(bank, &session, &["proposed"])));
        session
    }

    fn approve(&self, bank: &str, session: &str, dataset: &str) -> Output {
        let (directory, secret) = (self.left.directory(bank), self.left.root.join("secret"));
        let order = ["session", "approve", session, "--operator", "chen", "--secret-file", text(&secret)];
        run(&[order.as_slice(), &["--node", text(&directory), "--dataset", dataset]].concat())
    }

    fn approved(&self, bank: &str, session: &str) {
        let output = self.approve(bank, session, "history");
        assert!(output.status.success(), "{}", error_of(&output));
    }

    fn refused(&self, bank: &str, session: &str, dataset: &str, word: &str) {
        let output = self.approve(bank, session, dataset);
        assert_eq!(output.status.code(), Some(77), "{}", error_of(&output));
        assert!(error_of(&output).contains(word), "{}", error_of(&output));
    }

    fn lineage(&self, session: &str, bank: &str) -> Value {
        let platform = self.left.directory("platform");
        done(&["model", "show", session, "--node", text(&platform)])["lineage"][bank].clone()
    }

    /// Revokes a consent to the first bank at the platform and there.
    fn revoke(&self, subject: &str) {
        let city = City::generate(&Options { seed: SEED, enterprises: ENTERPRISES, banks: 3, consent_rate: 0.85 });
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let time = i64::try_from(since.as_millis()).unwrap();
        let (_, line) = consent_event(&city, subject, "bank-1", None, EventKind::Revoke, time).unwrap();
        let file = self.left.root.join("revoked.jsonl");
        std::fs::write(&file, line + "\n").unwrap();
        for node in ["platform", "bank-1"] {
            done(&["consent", "import", text(&file), "--node", text(&self.left.directory(node))]);
        }
    }

    fn applicant(&self, place: usize) -> String {
        let file = std::fs::read_to_string(self.left.root.join("inputs/applicants-bank-1.csv")).unwrap();
        file.lines().nth(place + 1).unwrap().split(',').next().unwrap().to_owned()
    }
}

/// Both cohorts count, an enterprise's rows come and leave together, and a use of its consent is one.
#[test]
fn two_cohorts_train_together_and_leave_with_their_enterprise() {
    let mut trial = Trial::new();
    let sessions = done(&["session", "status", "--node", text(&trial.left.directory("platform"))]);
    let single = trial.lineage(sessions[0]["session"].as_str().unwrap(), "bank-1")["rows"].as_u64().unwrap();
    let session = trial.proposed(1);
    BANKS.iter().for_each(|bank| trial.approved(bank, &session));
    let closed = trial.left.wait("platform", &session, &["closed", "aborted"]);
    assert_eq!(closed["stage"], "closed", "{closed}");
    assert_eq!(trial.lineage(&session, "bank-1")["rows"], json!(2 * single));
    let bank = trial.left.directory("bank-1");
    let results = done(&["session", "results", &session, "--node", text(&bank)]);
    assert!(results["fit"]["train_rows"].as_u64() > Some(0), "{results}");

    let platform = trial.left.directory("platform");
    let subject = trial.applicant(0);
    let report = done(&["subject", "report", &subject, "--node", text(&platform)]);
    let held = report["held"].as_array().unwrap().iter().filter(|held| held["data_set"] == "history");
    assert_eq!(held.map(|held| held["cohort"].as_str().unwrap()).collect::<Vec<_>>(), DAYS.map(|(day, _)| day));
    let open = ["dataset", "open", "history", "--id", &subject, "--node", text(&platform)];
    assert!(error_of(&run(&open)).contains("--cohort"));
    let opened = done(&[open.as_slice(), &["--cohort", DAYS[1].0]].concat());
    assert!(opened["opening"]["row"].as_str().unwrap().contains(DAYS[1].0), "{opened}");

    // Before the session begins, and while it runs: one revocation, two rows.
    trial.revoke(&trial.applicant(1));
    let during = trial.proposed(1);
    trial.approved("bank-1", &during);
    trial.approved("bank-2", &during);
    trial.approved("bank-3", &during);
    trial.left.wait("platform", &during, &["approved", "aligned", "prepared", "trained"]);
    trial.left.stop("bank-3");
    trial.revoke(&trial.applicant(2));
    trial.left.go_on("bank-3");
    let closed = trial.left.wait("platform", &during, &["closed", "aborted"]);
    assert_eq!(closed["stage"], "closed", "{closed}");
    let lineage = trial.lineage(&during, "bank-1");
    assert_eq!(lineage["rows"], json!(2 * single - 2));
    assert_eq!(lineage["states"]["revoked"], 2);
}

/// A window that is not over, a data set without cohorts, a contract without them: each refused with its remedy.
#[test]
fn cohorts_that_do_not_fit_are_refused() {
    let trial = Trial::new();
    let immature = trial.proposed(2);
    trial.refused("bank-1", &immature, "history", "cohort 2026-05-30 are known only from 2026-07-30 on");
    let mature = trial.proposed(1);
    trial.refused("bank-1", &mature, "loans", "--cohort COLUMN");
    for (dataset, cohorts, word) in [
        ("enterprises", "cohorts = [\"2026-03-31\", \"2026-05-30\"]", "--cohort COLUMN"),
        ("history", "cohorts = [\"2026-04-30\", \"2026-05-30\"]", "no rows of cohort 2026-04-30"),
    ] {
        let output = trial.propose(dataset, &trial.template(cohorts, 1));
        assert!(!output.status.success() && error_of(&output).contains(word), "{}", error_of(&output));
    }
    let plain = trial.propose("history", &template());
    assert!(error_of(&plain).contains("[sample] cohorts"), "{}", error_of(&plain));
    let late = trial.import_as_of("platform", &trial.left.root.join("history-platform.csv"), "2026-04-30");
    assert!(error_of(&late).contains("--as-of"), "{}", error_of(&late));
}
