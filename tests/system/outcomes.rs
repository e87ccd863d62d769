//! What became of loans: recorded at a bank, told to the platform under a consent, or not told.

use std::path::PathBuf;

use serde_json::{Value, json};
use tally_city::{event_of, signed_consent, signed_list};
use tally_crypto::sign::Envelope;
use tally_crypto::transcript::Digest;
use tally_policy::{EventKind, FieldKind, Form, Level, ListField, Purpose, SharingList};

use crate::left::Trial;
use crate::program::{done, error_of, last_object, run, text};

const SEED: u64 = 17;
const ENTERPRISES: usize = 1200;
const NODES: [&str; 4] = ["platform", "bank-1", "bank-2", "bank-3"];

impl Trial {
    fn at(&self, node: &str, verb: &[&str]) -> Value {
        done(&[verb, &["--node", text(&self.left.directory(node))]].concat())
    }

    /// Identifiers of a bank's customers.
    fn customers(&self, bank: &str) -> Vec<String> {
        let file = std::fs::read_to_string(self.left.root.join(format!("inputs/{bank}.csv"))).unwrap();
        file.lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()).collect()
    }

    /// A consent of an enterprise to the platform, for what a bank tells of its loans.
    fn consent(&self, subject: &str, provider: &str) -> (Digest, String) {
        let line = signed_consent(&self.city, subject, "platform", |consent| {
            consent.providers = vec![provider.into()];
            consent.purposes = vec![Purpose::PostLoanMonitoring];
            consent.categories = vec!["loan-outcome".into()];
        });
        let line = line.unwrap();
        let envelope: Envelope = serde_json::from_str(&line).unwrap();
        (envelope.payload_digest().unwrap(), line)
    }

    fn import_consents(&self, nodes: &[&str], lines: &[String]) {
        let file = self.file("lines.jsonl", &lines.iter().map(|line| format!("{line}\n")).collect::<String>());
        for node in nodes {
            self.at(node, &["consent", "import", text(&file)]);
        }
    }
}

/// Adds what a bank tells of its loans to a sharing list.
fn with_outcomes(list: &mut SharingList) {
    list.version = 2;
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

#[test]
fn outcomes_are_recorded_and_told_where_the_enterprise_allows_it() {
    let mut trial = Trial::new(SEED, ENTERPRISES);
    let customers = trial.customers("bank-1");
    let [one, two, three] = [&customers[0], &customers[1], &customers[2]];
    let head = "application,id,granted,amount,rate,start,state,as_of\n";
    let rows = format!(
        "{head}a-1,{one},1,1500000.00,4.35,2026-01-05,current,2026-06-30\na-2,{two},1,800000,3.9,2026-02-10,overdue-more,2026-06-30\n\
         a-3,{three},0,,,,,2026-03-01\na-4,{one},1,12,x,2026-01-05,current,2026-06-30\nnot-a-code,1,0,,,,,\n"
    );
    let file = trial.file("outcomes.csv", &rows);
    let rejects = trial.left.root.join("rejects.csv");
    let node = trial.left.directory("bank-1");
    let import = |file: &PathBuf| {
        run(&["outcome", "import", text(file), "--rejects", text(&rejects), "--node", text(&node), "--json"])
    };
    let output = import(&file);
    assert_eq!(output.status.code(), Some(1), "{}", error_of(&output));
    let imported = last_object(&output);
    assert_eq!((&imported["new"], &imported["rows"]), (&json!(3), &json!(5)));
    assert_eq!((&imported["wrong"][0]["line"], &imported["wrong"][0]["column"]), (&json!(5), &json!("rate")));
    assert_eq!(std::fs::read_to_string(&rejects).unwrap().lines().count(), 3);
    // The rejects, corrected; and the same file once more: nothing is taken in twice.
    let corrected = std::fs::read_to_string(&rejects).unwrap().replace(",x,", ",4,");
    let output = import(&trial.file("corrected.csv", &corrected));
    assert_eq!(
        (last_object(&output)["new"].clone(), last_object(&output)["wrong"][0]["line"].clone()),
        (json!(1), json!(3))
    );
    assert_eq!(last_object(&import(&file))["known"], 3);
    // An application does not change its enterprise.
    let moved = trial.file("moved.csv", &format!("{head}a-3,{one},0,,,,,2026-03-02\n"));
    assert!(last_object(&import(&moved))["wrong"][0]["reason"].as_str().unwrap().contains("another enterprise"));
    let shown = trial.at("bank-1", &["outcome", "show"]);
    assert_eq!(
        (&shown["applications"], &shown["states"]["overdue-more"], &shown["states"]["declined"]),
        (&json!(4), &json!(1), &json!(1))
    );
    assert_eq!(shown["vintages"]["2026-02"]["bad"], 1);

    // Not on the sharing list: nobody may tell it, whoever consents.
    let refused = run(&["outcome", "report", "--node", text(&node)]);
    assert_eq!(refused.status.code(), Some(77));
    assert!(error_of(&refused).contains("outcome_granted"), "{}", error_of(&refused));
    let list = signed_list(&trial.city, with_outcomes);
    let list = trial.file("list-2.json", &list.unwrap());
    NODES.iter().for_each(|node| drop(trial.at(node, &["list", "import", text(&list)])));
    // The platform's data set still has the platform's fields only.
    let platform_csv = trial.left.root.join("inputs/platform.csv");
    trial.at("platform", &["dataset", "import", text(&platform_csv), "--name", "enterprises", "--as-of", "2026-06-30"]);

    let without = trial.at("bank-1", &["outcome", "report"]);
    assert_eq!(
        (&without["due"], &without["reported"], &without["denied"]["no-consent"]),
        (&json!(4), &json!(0), &json!(4))
    );
    // One consents at both nodes; the second's revocation has reached the platform only.
    let (_, first) = trial.consent(one, "bank-1");
    let (digest, second) = trial.consent(two, "bank-1");
    trial.import_consents(&["platform", "bank-1"], &[first, second]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let (_, revoked) =
        event_of(&trial.city, two, digest, None, EventKind::Revoke, i64::try_from(now).unwrap()).unwrap();
    trial.import_consents(&["platform"], std::slice::from_ref(&revoked));
    let told = trial.at("bank-1", &["outcome", "report"]);
    assert_eq!((&told["reported"], &told["denied"]["no-consent"]), (&json!(3), &json!(1)));
    let taken = || trial.at("platform", &["outcome", "show"])["reported"]["bank-1"].clone();
    wait(|| taken() == json!({ "current": 2 }));
    wait(|| trial.at("bank-1", &["outcome", "show"])["refused_by_platform"]["revoked"] == 1);
    // What the platform did not take in is due again, and now the bank knows why it may not leave.
    trial.import_consents(&["bank-1"], &[revoked]);
    let again = trial.at("bank-1", &["outcome", "report"]);
    assert_eq!((&again["due"], &again["reported"], &again["denied"]["revoked"]), (&json!(2), &json!(0), &json!(1)));
    // A change of state is told anew, and replaces what was told before.
    let later = format!("{head}a-1,{one},1,1500000.00,4.35,2026-01-05,default,2026-09-30\n");
    assert_eq!(last_object(&import(&trial.file("later.csv", &later)))["changed"], 1);
    assert_eq!(trial.at("bank-1", &["outcome", "report"])["reported"], 1);
    wait(|| taken() == json!({ "current": 1, "default": 1 }));

    // The enterprise sees it, at both nodes, with the use of its consent.
    for node in ["platform", "bank-1"] {
        let report = trial.at(node, &["subject", "report", one]);
        assert_eq!(report["outcomes"].as_array().unwrap().len(), 2, "{node}");
        let uses = report["uses"].as_array().unwrap();
        let kinds: Vec<_> = uses.iter().map(|used| used["proof"]["entry"]["entry"]["type"].as_str().unwrap()).collect();
        assert_eq!(kinds.iter().filter(|kind| **kind == "outcome.report").count(), 2, "{node}: {kinds:?}");
    }

    // The platform's newest list forbids it, the bank does not know yet: it hears why nothing was taken in.
    let forbidding = signed_list(&trial.city, |list| list.version = 3);
    let forbidding = trial.file("list-3.json", &forbidding.unwrap());
    trial.at("platform", &["list", "import", text(&forbidding)]);
    let paid = format!("{head}a-1,{one},1,1500000.00,4.35,2026-01-05,closed,2026-10-31\n");
    assert_eq!(last_object(&import(&trial.file("paid.csv", &paid)))["changed"], 1);
    assert_eq!(trial.at("bank-1", &["outcome", "report"])["reported"], 1);
    wait(|| trial.at("bank-1", &["outcome", "show"])["refused_by_platform"]["not-listed"] == 1);
    assert_eq!(taken(), json!({ "current": 1, "default": 1 }));

    NODES.iter().for_each(|node| trial.left.stop_gently(node));
    let registry = trial.left.root.join("registry.json");
    let nodes = NODES.map(|node| trial.left.directory(node));
    let mut audit = vec!["audit", "verify", "--json", "--registry", text(&registry)];
    audit.extend(nodes.iter().map(|node| text(node)));
    let audit = last_object(&run(&audit));
    assert!(audit["verified"] == true && audit["reconciled"] == true, "{audit}");
    // Nobody's name, number or amount is in clear in a store.
    for node in ["platform", "bank-1"] {
        let store =
            std::fs::read_dir(trial.left.directory(node)).unwrap().flatten().filter(|entry| entry.path().is_file());
        for path in store.map(|entry| entry.path()) {
            let bytes = std::fs::read(&path).unwrap();
            let clear = bytes.windows(18).any(|window| window == one.as_bytes());
            assert!(!clear, "{}", path.display());
        }
    }
}

fn wait(holds: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "it does not become so");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
