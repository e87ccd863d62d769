//! Early warning with real nodes: what changed reaches exactly the banks that may watch and have a borrower, once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tally_city::{City, Options, consent_event, consent_id, signed_consent, signed_list};
use tally_crypto::sign::Envelope;
use tally_crypto::transcript::Digest;
use tally_policy::{EventKind, Form, Level};

use crate::left::Left;
use crate::program::{done, error_of, last_object, run, text};

const BANKS: [&str; 3] = ["bank-1", "bank-2", "bank-3"];
const ENTERPRISES: usize = 1200;
const SEED: u64 = 7;

/// Bank, enterprise, rule.
type Found = BTreeSet<(String, String, String)>;

/// A consortium whose platform watches.
struct Trial {
    _folder: tempfile::TempDir,
    left: Left,
    city: City,
    /// The platform's file of the demo, and what was changed in it since.
    rows: Vec<Vec<String>>,
    header: Vec<String>,
    consented: BTreeMap<&'static str, BTreeSet<String>>,
    customers: BTreeMap<&'static str, BTreeSet<String>>,
    day: u32,
}

impl Trial {
    /// A trial under the shipped rules over fields, or others.
    fn new(rules: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let left = Left::of_demo(folder.path(), SEED, ENTERPRISES);
        let read = |name: &str| std::fs::read_to_string(left.root.join("inputs").join(name)).unwrap();
        let cells = |text: &str| -> Vec<Vec<String>> {
            text.lines().map(|line| line.split(',').map(Into::into).collect()).collect()
        };
        let mut rows = cells(&read("platform.csv"));
        let header = rows.remove(0);
        let subject = |line: &str| {
            let envelope: Envelope = serde_json::from_str(line).unwrap();
            let consent: Value = serde_json::from_slice(&envelope.unverified_payload().unwrap()).unwrap();
            consent["subject"].as_str().unwrap().to_owned()
        };
        let consents = |bank: &str| read(&format!("consents-{bank}.jsonl")).lines().map(subject).collect();
        let loans = |bank: &str| {
            cells(&read(&format!("{bank}.csv"))).into_iter().skip(1).map(|mut row| row.remove(0)).collect()
        };
        let mut trial = Self {
            consented: BANKS.map(|bank| (bank, consents(bank))).into(),
            customers: BANKS.map(|bank| (bank, loans(bank))).into(),
            city: City::generate(&Options { seed: SEED, enterprises: ENTERPRISES, banks: 3, consent_rate: 0.85 }),
            left,
            rows,
            header,
            day: 1,
            _folder: folder,
        };
        trial.watch(rules);
        trial
    }

    /// Names rules in the platform's configuration, has them approved, and takes the first look.
    fn watch(&mut self, rules: &str) {
        let platform = self.left.directory("platform");
        std::fs::write(platform.join("warnings.toml"), rules).unwrap();
        self.left.stop("platform");
        let config = std::fs::read_to_string(platform.join("node.toml")).unwrap();
        std::fs::write(platform.join("node.toml"), config + "\n[warning]\nrules = \"warnings.toml\"\n").unwrap();
        self.left.go_on("platform");
        self.until(|| done(&["status", "--node", text(&platform)])["peers"].as_array().unwrap().len() == BANKS.len());
        assert_eq!(self.order("run", "platform", &[]).status.code(), Some(77), "rules that nobody approved");
        let secret = self.left.root.join("secret");
        self.order_done("approve", "platform", &["--operator", "chen", "--secret-file", text(&secret)]);
        let first = self.order_done("run", "platform", &[]);
        assert_eq!(
            (&first["issued"], first["withheld"].as_object().map(serde_json::Map::len)),
            (&json!(0), Some(0)),
            "{first}"
        );
    }

    fn order(&self, verb: &str, node: &str, more: &[&str]) -> Output {
        let directory = self.left.directory(node);
        let order = ["warning", verb, "--node", text(&directory), "--json"];
        run(&[order.as_slice(), more].concat())
    }

    fn order_done(&self, verb: &str, node: &str, more: &[&str]) -> Value {
        let output = self.order(verb, node, more);
        assert!(output.status.success(), "{verb}: {}", error_of(&output));
        last_object(&output)
    }

    fn column(&self, field: &str) -> usize {
        self.header.iter().position(|name| name == field).unwrap()
    }

    fn value(&self, subject: &str, field: &str) -> f64 {
        let row = self.rows.iter().find(|row| row[0] == subject).unwrap();
        row[self.column(field)].parse().unwrap_or(f64::NAN)
    }

    fn set(&mut self, subject: &str, field: &str, value: f64) {
        let column = self.column(field);
        self.rows.iter_mut().find(|row| row[0] == subject).unwrap()[column] = value.to_string();
    }

    /// Imports the platform's rows as of the next day.
    fn next_day(&mut self) -> Value {
        self.day += 1;
        self.same_day()
    }

    fn same_day(&self) -> Value {
        let lines = std::iter::once(&self.header).chain(&self.rows).map(|row| row.join(",") + "\n");
        let path = self.left.root.join("next.csv");
        std::fs::write(&path, lines.collect::<String>()).unwrap();
        let (platform, day) = (self.left.directory("platform"), format!("2026-07-{:02}", self.day));
        let import = ["dataset", "import", text(&path), "--name", "enterprises", "--as-of", &day];
        done(&[import.as_slice(), &["--node", text(&platform)]].concat())
    }

    /// Enterprises that consented to the bank and borrow there, or do not.
    fn watched(&self, bank: &str, customer: bool) -> Vec<String> {
        let own = |subject: &&String| self.customers[bank].contains(*subject) == customer;
        self.consented[bank].iter().filter(own).cloned().collect()
    }

    /// What banks must find when these enterprises change under a rule.
    fn expected(&self, changed: &[(&str, &str)]) -> Found {
        let mut found = Found::new();
        for bank in BANKS {
            for (subject, rule) in changed {
                if self.consented[bank].contains(*subject) && self.customers[bank].contains(*subject) {
                    found.insert((bank.into(), (*subject).into(), (*rule).into()));
                }
            }
        }
        found
    }

    fn inbox(&self, bank: &str) -> Vec<Value> {
        self.order_done("list", bank, &["--all"]).as_array().unwrap().clone()
    }

    fn found(&self) -> Found {
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        let of = |bank: &str| {
            let inbox = self.inbox(bank).into_iter();
            inbox.map(|one| (bank.to_owned(), word(&one["subject"]), word(&one["rule"]))).collect::<Vec<_>>()
        };
        let all: Vec<_> = BANKS.iter().flat_map(|bank| of(bank)).collect();
        let found: Found = all.iter().cloned().collect();
        assert_eq!(found.len(), all.len(), "a warning stands twice");
        found
    }

    /// Waits until every warning that is to leave was acknowledged.
    fn settled(&self) {
        self.until(|| {
            let report = self.order_done("report", "platform", &[]);
            let total = |rule: &Value, name: &str| rule["total"][name].as_u64().unwrap();
            let quiet = |rule: &Value| {
                total(rule, "pending") == 0
                    && total(rule, "delivered") == total(rule, "acknowledged") + total(rule, "recalled")
            };
            report.as_array().unwrap().iter().all(quiet)
        });
    }

    fn until(&self, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !holds() {
            let report = self.order_done("report", "platform", &[]);
            assert!(Instant::now() < deadline, "{report}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn total(&self, name: &str) -> u64 {
        let report = self.order_done("report", "platform", &[]);
        report.as_array().unwrap().iter().map(|rule| rule["total"][name].as_u64().unwrap()).sum()
    }

    fn end_consent(&self, subject: &str, bank: &str, kind: EventKind, nodes: &[&str]) -> Digest {
        self.follow_consent(subject, bank, None, kind, nodes)
    }

    /// Something happens to a consent, after what happened last; its digest.
    fn follow_consent(
        &self,
        subject: &str,
        bank: &str,
        last: Option<Digest>,
        kind: EventKind,
        nodes: &[&str],
    ) -> Digest {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let time = i64::try_from(since.as_millis()).unwrap();
        let (digest, line) = consent_event(&self.city, subject, bank, last, kind, time).unwrap();
        self.import("consent", &line, nodes);
        digest
    }

    /// Gives a list or a line of consents to nodes.
    fn import(&self, what: &str, document: &str, nodes: &[&str]) {
        let file = self.left.root.join("document");
        std::fs::write(&file, format!("{document}\n")).unwrap();
        for node in nodes {
            done(&[what, "import", text(&file), "--node", text(&self.left.directory(node))]);
        }
    }

    fn verified(mut self) {
        let nodes: Vec<PathBuf> = ["platform"].iter().chain(&BANKS).map(|node| self.left.directory(node)).collect();
        ["platform"].iter().chain(&BANKS).for_each(|node| self.left.stop_gently(node));
        let registry = self.left.root.join("registry.json");
        let mut audit = vec!["audit", "verify", "--json", "--registry", text(&registry)];
        audit.extend(nodes.iter().map(|node| text(node)));
        let value = last_object(&run(&audit));
        assert!(value["verified"] == true && value["reconciled"] == true, "{value}");
    }
}

/// The shipped rules without those over points; their warnings count for years, since the days of these data lie in the past.
fn field_rules() -> String {
    let all = include_str!("../../models/templates/warnings.toml");
    let rules = all.split_once("# Migration").unwrap().0;
    let longer = |line: &str| if line.starts_with("days =") { "days = 3660\n".into() } else { format!("{line}\n") };
    rules.lines().map(longer).collect()
}

/// A known set of changes: exactly its warnings, at exactly the banks that may watch and have the borrower, once.
#[test]
fn what_changed_reaches_exactly_those_who_may_watch_it() {
    let mut trial = Trial::new(&field_rules());
    let cases: Vec<_> = trial.rows.iter().map(|row| row[0].clone()).step_by(20).collect();
    let arrears: Vec<_> = trial.rows.iter().map(|row| row[0].clone()).skip(7).step_by(25).collect();
    for subject in &cases {
        trial.set(subject, "court_cases_24m", trial.value(subject, "court_cases_24m") + 1.0);
    }
    let arrears: Vec<_> = arrears.into_iter().filter(|one| trial.value(one, "tax_arrears_count") == 0.0).collect();
    arrears.iter().for_each(|subject| trial.set(subject, "tax_arrears_count", 1.0));
    // What gets better, or was never known, is no warning.
    let better: Vec<_> = trial.rows.iter().skip(3).step_by(31).map(|row| row[0].clone()).collect();
    better.iter().for_each(|subject| trial.set(subject, "penalty_count", 0.0));
    trial.next_day();
    trial.settled();
    let changed: Vec<_> = cases.iter().map(|one| (one.as_str(), "court-case-opened")).collect();
    let changed: Vec<_> =
        changed.into_iter().chain(arrears.iter().map(|one| (one.as_str(), "tax-arrears-appear"))).collect();
    let expected = trial.expected(&changed);
    assert!(expected.len() > 10 && BANKS.iter().all(|bank| expected.iter().any(|(one, ..)| one == bank)));
    assert_eq!(trial.found(), expected);
    // Every consent to watch had its warning, whether the bank has the borrower or not, and none without consent.
    let consented =
        |bank: &&str| changed.iter().filter(|(subject, _)| trial.consented[*bank].contains(*subject)).count() as u64;
    let sent: u64 = BANKS.iter().map(consented).sum();
    assert!(sent > expected.len() as u64);
    assert_eq!((trial.total("issued"), trial.total("acknowledged")), (sent, sent));
    let used = changed.iter().find(|(subject, _)| trial.consented["bank-1"].contains(*subject)).unwrap();
    let report = done(&["subject", "report", used.0, "--node", text(&trial.left.directory("platform"))]);
    let watched = |one: &Value| one["proof"]["entry"]["entry"]["purpose"] == "post-loan-monitoring";
    let uses = report["uses"].as_array().unwrap().iter().filter(|one| watched(one) && one["grantee"] == "bank-1");
    assert_eq!(uses.count(), 1, "{report}");
    assert!(!report["warnings"].as_array().unwrap().is_empty());

    // The same import again, and the same day after a restart, give none.
    trial.same_day();
    trial.left.stop("platform");
    trial.left.go_on("platform");
    assert_eq!(trial.order_done("run", "platform", &[])["issued"], 0);
    assert_eq!((trial.found(), trial.total("issued")), (expected, sent));
    trial.verified();
}

/// Consents that end, kills on either side, and what operators do with warnings.
#[test]
fn ended_consents_get_nothing_and_the_rest_arrives_once() {
    let mut trial = Trial::new(&field_rules());
    let own = trial.watched("bank-1", true);
    let [revoked, paused, late, first, second, asleep] = [0, 1, 2, 3, 4, 5].map(|place: usize| own[place].clone());
    trial.end_consent(&revoked, "bank-1", EventKind::Revoke, &["platform", "bank-1"]);
    trial.end_consent(&paused, "bank-1", EventKind::Pause, &["platform", "bank-1"]);
    trial.left.stop("bank-1");
    for subject in [&revoked, &paused, &late, &first, &second, &asleep] {
        trial.set(subject, "court_cases_24m", trial.value(subject, "court_cases_24m") + 1.0);
    }
    trial.next_day();
    // The bank is away: what waits for it under a consent that ends now is dropped, the rest outlives a kill of the platform.
    trial.end_consent(&late, "bank-1", EventKind::Revoke, &["platform"]);
    let pause = trial.end_consent(&asleep, "bank-1", EventKind::Pause, &["platform"]);
    trial.left.stop("platform");
    trial.left.go_on("platform");
    trial.left.go_on("bank-1");
    // Under a consent that is paused it waits, and arrives once that is resumed.
    trial.until(|| trial.inbox("bank-1").len() == 2);
    let state = |subject: &str| {
        let all = trial.order_done("list", "platform", &["--all"]);
        let own = |one: &&Value| one["subject"] == subject && one["bank"] == "bank-1";
        all.as_array().unwrap().iter().find(own).unwrap()["state"].clone()
    };
    assert_eq!(state(&asleep), "pending");
    trial.follow_consent(&asleep, "bank-1", Some(pause), EventKind::Resume, &["platform"]);
    trial.left.stop("platform");
    trial.left.go_on("platform");
    trial.settled();
    let gone = [revoked.as_str(), paused.as_str(), late.as_str()];
    let expected: Found = trial
        .expected(&[&revoked, &paused, &late, &first, &second, &asleep].map(|one| (one.as_str(), "court-case-opened")))
        .into_iter()
        .filter(|(bank, subject, _)| bank != "bank-1" || !gone.contains(&subject.as_str()))
        .collect();
    assert_eq!(trial.found(), expected);
    let all = trial.order_done("list", "platform", &["--all"]);
    let dropped: Vec<_> = all.as_array().unwrap().iter().filter(|one| one["state"] == "dropped").collect();
    assert_eq!(dropped.len(), 1, "{all}");
    assert_eq!((&dropped[0]["subject"], &dropped[0]["dropped"]), (&json!(late), &json!("revoked")));
    trial.left.stop("bank-1");
    trial.left.stop("platform");
    trial.left.go_on("platform");
    trial.left.go_on("bank-1");
    assert_eq!(trial.found(), expected);

    // A named operator acknowledges and closes; the platform hears the outcome by its rule.
    let inbox = trial.inbox("bank-1");
    let name = |subject: &str| {
        let one = inbox.iter().find(|one| one["subject"] == subject).unwrap();
        one["warning"].as_str().unwrap().to_owned()
    };
    let secret = trial.left.root.join("secret");
    let by = ["--operator", "chen", "--secret-file", text(&secret)];
    let (one, two) = (name(&first), name(&second));
    let acknowledged = trial.order_done("ack", "bank-1", &[by.as_slice(), &[&one[..16]]].concat());
    assert_eq!(
        (&acknowledged["state"], &acknowledged["handled"][0]["operator"]),
        (&json!("acknowledged"), &json!("chen"))
    );
    let again = trial.order("ack", "bank-1", &[by.as_slice(), &[one.as_str()]].concat());
    assert!(error_of(&again).contains("acknowledged already"), "{}", error_of(&again));
    let stranger = trial.order("ack", "bank-1", &[two.as_str(), "--operator", "li", "--secret-file", text(&secret)]);
    assert!(!stranger.status.success());
    trial.order_done("close", "bank-1", &[by.as_slice(), &[one.as_str(), "--outcome", "limit-cut"]].concat());
    trial.order_done("close", "bank-1", &[by.as_slice(), &[two.as_str(), "--outcome", "false-alarm"]].concat());
    trial.order_done("close", "bank-1", &[by.as_slice(), &[name(&asleep).as_str(), "--outcome", "known"]].concat());
    let bad = trial.order("close", "bank-1", &[by.as_slice(), &[one.as_str(), "--outcome", "nothing"]].concat());
    assert_eq!(bad.status.code(), Some(2));
    let open = trial.order_done("list", "bank-1", &[]);
    assert!(open.as_array().unwrap().is_empty(), "{open}");
    trial.until(|| {
        let report = trial.order_done("report", "platform", &[]);
        report[0]["banks"]["bank-1"]["outcomes"] == json!({ "false-alarm": 1, "known": 1, "limit-cut": 1 })
    });
    let report = trial.order_done("report", "platform", &[]);
    assert_eq!(
        (&report[0]["rule"], &report[0]["total"]["useful_share"]),
        (&json!("court-case-opened"), &json!(1.0 / 3.0))
    );
    trial.verified();
}

/// A value under objection is held back; rejected, its warning comes; corrected, what was said of it is called back.
#[test]
fn objections_hold_warnings_back_and_corrections_recall_them() {
    let mut trial = Trial::new(&field_rules());
    let own = trial.watched("bank-1", true);
    let (kept, wrong) = (own[0].clone(), own[1].clone());
    let platform = trial.left.directory("platform");
    let field = "court_cases_24m";
    let object = |subject: &str| {
        let object =
            ["subject", "object", subject, "--field", field, "--reason", "not ours", "--node", text(&platform)];
        done(&object)["case"].as_str().unwrap().to_owned()
    };
    let settle = |case: &str, how: &[&str]| {
        let settle = ["subject", "settle", case, "--reason", "looked up", "--node", text(&platform)];
        done(&[settle.as_slice(), how].concat())
    };
    let case = object(&kept);
    for subject in [&kept, &wrong] {
        trial.set(subject, field, trial.value(subject, field) + 2.0);
    }
    trial.next_day();
    trial.settled();
    let rule = "court-case-opened";
    assert_eq!(trial.found(), trial.expected(&[(&wrong, rule)]));
    settle(&case, &["--reject"]);
    trial.settled();
    assert_eq!(trial.found(), trial.expected(&[(&wrong, rule), (&kept, rule)]));

    // The second value was wrong: it was one case less, which is a case all the same, and a warning of its own.
    let right = (trial.value(&wrong, field) - 1.0).to_string();
    settle(&object(&wrong), &["--value", &right]);
    trial.settled();
    let states = |subject: &str| {
        let inbox = trial.inbox("bank-1");
        let mut states: Vec<_> =
            inbox.iter().filter(|one| one["subject"] == subject).map(|one| one["state"].clone()).collect();
        states.sort_by_key(ToString::to_string);
        states
    };
    assert_eq!(states(&wrong), [json!("new"), json!("recalled")]);
    // The first one was looked at as well, and was right: the same change is a warning once more.
    let same = trial.value(&kept, field).to_string();
    settle(&object(&kept), &["--value", &same]);
    trial.settled();
    assert_eq!(states(&kept), [json!("new"), json!("recalled")]);

    // A field that stays at the platform warns where the consent reaches its level, and nowhere else.
    let list = signed_list(&trial.city, |list| {
        list.version = 2;
        let courts = list.fields.iter_mut().find(|one| one.name == field).unwrap();
        (courts.level, courts.forms) = (Level::L3, vec![Form::Sealed]);
    });
    trial.import("list", &list.unwrap(), &["platform", "bank-1", "bank-2", "bank-3"]);
    let deep = signed_consent(&trial.city, &kept, "bank-1", |consent| {
        (consent.consent_id, consent.supersedes) = ("deep".into(), Some(consent_id(&kept, "bank-1")));
        (consent.granted, consent.not_before) = (consent.granted + 1, consent.not_before + 1);
        consent.max_level = Level::L3;
    });
    trial.import("consent", &deep.unwrap(), &["platform", "bank-1"]);
    let (before, count) = (trial.inbox("bank-1").len(), trial.total("issued"));
    for subject in [&kept, &wrong] {
        trial.set(subject, field, trial.value(subject, field) + 1.0);
    }
    trial.next_day();
    trial.settled();
    let inbox = trial.inbox("bank-1");
    assert_eq!((inbox.len(), trial.total("issued")), (before + 1, count + 1));
    assert_eq!(inbox.iter().filter(|one| one["subject"] == kept.as_str()).count(), 3);
    trial.verified();
}

/// Points that fell since the last run: the same that the bank's own scores show.
#[test]
fn migration_of_points_is_what_scores_show() {
    let rules = "version = 1\ndataset = \"enterprises\"\n[[rule]]\nid = \"points-fell\"\nof = { points = \"champion\" }\n\
                 when = { falls_by = 5.0 }\nseverity = \"watch\"\ndays = 3660\ntext = { zh = \"下降\", en = \"fell\" }\n";
    let mut trial = Trial::new(rules);
    let own: Vec<_> = trial.watched("bank-1", true).into_iter().take(12).collect();
    let score = |trial: &Trial, subject: &str| {
        let order = json!({ "id": subject, "purpose": "loan-underwriting", "fields": {} });
        let request = trial.left.root.join("request.json");
        std::fs::write(&request, order.to_string()).unwrap();
        let bank = trial.left.directory("bank-1");
        done(&["score", "one", "--node", text(&bank), "--request", text(&request)])["score"].as_i64().unwrap()
    };
    trial.settled();
    let before: Vec<_> = own.iter().map(|subject| score(&trial, subject)).collect();
    for (place, subject) in own.iter().enumerate() {
        trial.set(subject, "court_cases_24m", (place % 4) as f64);
        trial.set(subject, "tax_arrears_count", (place % 3) as f64);
    }
    trial.next_day();
    trial.settled();
    let fell = own.iter().zip(before).filter(|(subject, before)| before - score(&trial, subject) >= 5);
    let fell: Vec<_> = fell.map(|(subject, _)| (subject.as_str(), "points-fell")).collect();
    assert!(!fell.is_empty() && fell.len() < own.len());
    assert_eq!(trial.found(), trial.expected(&fell));
    assert_eq!(trial.order_done("run", "platform", &[])["issued"], 0);
    trial.verified();
}
