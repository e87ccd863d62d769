//! A day in the life of the consortium, in which every kind of message goes and every table is filled.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tally_city::consent_event;
use tally_policy::{EventKind, Purpose};
use tally_protocol::session::Stage;

use super::super::*;
use super::consortium::{
    BANKS, Consortium, FIELD, Last, OPERATOR, PLATFORM, Posted, city, copy, in_memory, operator, rules,
};
use crate::control::{DatasetImport, ScoreOrder, WarningAction, WarningOrder};

/// What a day in the life of the consortium leaves behind.
pub(super) struct Day {
    pub(super) all: Consortium,
    pub(super) was: Was,
}

/// The same while no node runs: every test goes on from a copy of it.
struct Left {
    folder: tempfile::TempDir,
    last: Last,
    post: Vec<Posted>,
    was: Was,
}

/// What happened on that day.
#[derive(Clone)]
pub(super) struct Was {
    /// Sessions by what became of them.
    pub(super) closed: String,
    pub(super) rejected: String,
    pub(super) running: String,
    pub(super) proposed: String,
    /// An applicant of bank-1 that was scored.
    pub(super) applicant: ScoreOrder,
}

impl Day {
    /// The day, once lived, and copied for every test.
    pub(super) fn new() -> Self {
        static LEFT: std::sync::OnceLock<Left> = std::sync::OnceLock::new();
        let left = LEFT.get_or_init(Left::after_the_day);
        let folder = in_memory();
        copy(left.folder.path(), folder.path());
        let (last, post) = (left.last.clone(), left.post.clone());
        let mut all = Consortium { folder, city: city(), nodes: BTreeMap::new(), last, post };
        all.open();
        Self { all, was: left.was.clone() }
    }

    /// What went of this kind, a few of them, each of another length.
    pub(super) fn samples(&self, kind: &str) -> Vec<Posted> {
        let mut lengths = BTreeSet::new();
        let mut samples: Vec<_> = self.all.post.iter().filter(|posted| posted.kind == kind).cloned().collect();
        samples.retain(|posted| lengths.len() < 4 && lengths.insert((posted.from == PLATFORM, posted.body.len())));
        samples
    }
}

impl Left {
    /// Every kind of message goes, and every table is filled.
    fn after_the_day() -> Self {
        let mut all = Consortium::new();
        let (closed, contract) = all.proposed();
        BANKS.iter().for_each(|bank| all.approve(bank, &closed, contract));
        all.pump(|_| false);
        assert_eq!(all.stage("bank-1", &closed), Some(Stage::Closed));
        let applicant = all.score_somebody();
        all.warn();
        all.tell_outcomes();
        all.correct(&applicant.id);
        all.revoke_one();
        let (rejected, _) = all.proposed();
        all.tell("bank-1", Command::SessionReject { session: rejected.clone(), reason: "not now".into() });
        all.pump(|_| false);
        let (proposed, _) = all.proposed();
        let (running, contract) = all.proposed();
        BANKS.iter().for_each(|bank| all.approve(bank, &running, contract));
        let underway = |all: &Consortium| BANKS.iter().all(|bank| all.stage(bank, &running) >= Some(Stage::Prepared));
        all.pump(|all| underway(all));
        assert!(underway(&all));
        all.propose();
        let was = Was { closed, rejected, running, proposed, applicant };
        let Consortium { folder, last, post, .. } = all;
        Self { folder, last, post, was }
    }
}

impl Consortium {
    fn score_somebody(&mut self) -> ScoreOrder {
        let mut reader = csv::Reader::from_path(self.input("applicants-bank-1.csv")).unwrap();
        let header = reader.headers().unwrap().clone();
        let orders: Vec<_> = reader.records().map(|record| applicant(&header, &record.unwrap())).collect();
        let mut refusals = Vec::new();
        let order = orders
            .into_iter()
            .find(|order| self.score("bank-1", order).map_err(|refusal| refusals.push(refusal)).is_ok());
        order.unwrap_or_else(|| panic!("{refusals:?}"))
    }

    /// The watched field rises for every third enterprise, and a bank deals with a warning.
    fn warn(&mut self) {
        let text = rules();
        let signature = operator().sign(RULES_LABEL, tally_protocol::warning::Rules::digest_of(&text).as_bytes());
        let order = WarningOrder::Approve { rules: text, operator: OPERATOR.into(), signature };
        self.tell(PLATFORM, Command::Warning(order));
        self.tell(PLATFORM, Command::Warning(WarningOrder::Run));
        let rows = std::fs::read_to_string(self.input("platform.csv")).unwrap();
        let column = rows.lines().next().unwrap().split(',').position(|name| name == FIELD).unwrap();
        let risen = |(place, line): (usize, &str)| {
            let mut cells: Vec<_> = line.split(',').map(String::from).collect();
            if place % 3 == 1 {
                cells[column] = (cells[column].parse().unwrap_or(0.0) + 2.0f64).to_string();
            }
            cells.join(",") + "\n"
        };
        let path = self.write("next.csv", &rows.lines().enumerate().map(risen).collect::<String>());
        let next = DatasetImport { path, ..self.platforms("2026-07-01") };
        self.tell(PLATFORM, Command::DatasetImport(next));
        self.pump(|_| false);
        let inbox = self.tell("bank-1", Command::Warning(WarningOrder::List { all: true }));
        let warning = inbox[0]["warning"].as_str().unwrap().parse().unwrap();
        let action = WarningAction::Close(tally_protocol::warning::Outcome::Contacted);
        let signature = operator().sign(WARNING_LABEL, action_digest(&warning, action).as_bytes());
        let order = WarningOrder::Handle { warning, action, operator: OPERATOR.into(), note: None, signature };
        self.tell("bank-1", Command::Warning(order));
        self.pump(|_| false);
    }

    /// Two outcomes at bank-1, of which the platform takes in one.
    fn tell_outcomes(&mut self) {
        let loans = std::fs::read_to_string(self.input("bank-1.csv")).unwrap();
        let customers: Vec<_> =
            loans.lines().skip(1).take(2).map(|line| line.split(',').next().unwrap().to_owned()).collect();
        let head = "application,id,granted,amount,rate,start,state,as_of\n";
        let row =
            |(place, id): (usize, &String)| format!("a-{place},{id},1,1500000.00,4.35,2026-01-05,current,2026-06-30\n");
        let rows: String = customers.iter().enumerate().map(row).collect();
        let path = self.write("outcomes.csv", &format!("{head}{rows}"));
        self.tell("bank-1", Command::OutcomeImport { path, form: tally_data::CsvForm::default() });
        for (subject, nodes) in customers.iter().zip([&[PLATFORM, "bank-1"][..], &["bank-1"][..]]) {
            self.consent(subject, PLATFORM, nodes, |consent| {
                consent.providers = vec!["bank-1".into()];
                consent.purposes = vec![Purpose::PostLoanMonitoring];
                consent.categories = vec!["loan-outcome".into()];
            });
        }
        self.tell("bank-1", Command::OutcomeReport { purpose: Purpose::PostLoanMonitoring });
        self.pump(|_| false);
        let shown = self.tell("bank-1", Command::OutcomeShow { application: None });
        assert_eq!(shown["refused_by_platform"]["no-consent"], 1, "{shown}");
    }

    /// An enterprise takes its consent to bank-3 back.
    fn revoke_one(&mut self) {
        let consents = std::fs::read_to_string(self.input("consents-bank-3.jsonl")).unwrap();
        let envelope: tally_crypto::sign::Envelope = serde_json::from_str(consents.lines().next().unwrap()).unwrap();
        let consent: Value = serde_json::from_slice(&envelope.unverified_payload().unwrap()).unwrap();
        let subject = consent["subject"].as_str().unwrap();
        let (_, line) = consent_event(&self.city, subject, "bank-3", None, EventKind::Revoke, now()).unwrap();
        let path = self.write("event.jsonl", &format!("{line}\n"));
        [PLATFORM, "bank-3"]
            .iter()
            .for_each(|node| drop(self.tell(node, Command::ConsentImport { path: path.clone() })));
    }

    /// One objection is settled by a correction, another one is open.
    fn correct(&mut self, subject: &str) {
        for (field, right) in [(FIELD, Some("0")), ("tax_arrears_count", None)] {
            let reason = "wrong".to_owned();
            let (subject, field) = (subject.to_owned(), field.to_owned());
            let case = self.tell(PLATFORM, Command::SubjectObject { subject, field, reason: reason.clone() });
            let case = case["case"].as_str().unwrap().to_owned();
            if let Some(value) = right.map(Into::into) {
                self.tell(PLATFORM, Command::SubjectSettle { case, value: Some(value), reason });
            }
        }
        self.pump(|_| false);
    }
}

/// The row of a file of applicants, whose first column is the identifier.
fn applicant(header: &csv::StringRecord, row: &csv::StringRecord) -> ScoreOrder {
    let value = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
    let fields = header.iter().zip(row).skip(1).map(|(name, text)| (name.to_owned(), value(text))).collect();
    let (id, purpose) = (row[0].to_owned(), Purpose::LoanUnderwriting);
    ScoreOrder { session: None, id, purpose, application: None, fields, reasons: 3 }
}
