//! Messages that went the wrong way about what their receiver keeps once ended its node, again after each restart.

use tally_audit::Body;
use tally_audit::order::{Data, Decision, Order};
use tally_city::consent_event;
use tally_crypto::seed::Seed;
use tally_crypto::sign::SigningKey;
use tally_crypto::transcript::Digest;
use tally_policy::EventKind;
use tally_protocol::scoring::Correction;

use super::consortium::{Consortium, OPERATOR, PLATFORM, Posted, operator};
use super::day::Day;
use crate::control::Command;
use crate::engine::now;
use crate::store::OperatorRole;

/// A platform that acknowledges its own warning: whether the bank's node ended told whether the enterprise is its borrower.
#[test]
fn a_warning_that_comes_back_as_an_acknowledgement_ends_no_bank() {
    let mut day = Day::new();
    let sample = day.samples("warning-ack").into_iter().find(|posted| posted.from == "bank-1").unwrap();
    let kept =
        day.all.tell("bank-1", crate::control::Command::Warning(crate::control::WarningOrder::List { all: true }));
    assert!(!kept.as_array().unwrap().is_empty());
    day.all.forge(&Posted { from: PLATFORM, to: "bank-1", ..sample }).unwrap();
    day.all.open();
}

/// A bank that corrects what the platform gave out: whether the platform ended told whether somebody had the enterprise scored.
#[test]
fn a_correction_from_a_bank_ends_no_platform() {
    let mut day = Day::new();
    let sample = day.samples("correction").into_iter().find(|posted| posted.to == "bank-1").unwrap();
    day.all.forge(&Posted { from: "bank-2", to: PLATFORM, ..sample }).unwrap();
    day.all.open();
}

/// A bank keeps the corrections that it is told, and reads them at every start: they are as short as honest ones.
#[test]
fn corrections_fill_no_memory() {
    let mut day = Day::new();
    let sample = day.samples("correction").into_iter().find(|posted| posted.to == "bank-1").unwrap();
    let honest = Correction::decode(&sample.body).unwrap();
    let cases = day.all.tell("bank-1", Command::SubjectCases).as_array().unwrap().len();
    let again = honest.scores.first().cloned().into_iter().flat_map(|one| [one.clone(), one]).collect::<Vec<_>>();
    assert!(!again.is_empty());
    for (case, change) in [
        ("c1", Correction { subject: "e".repeat(1 << 20), ..honest.clone() }),
        ("c2", Correction { subject: "e".repeat(2 << 20), ..honest.clone() }),
        ("c3", Correction { sessions: vec!["s".repeat(1000)], ..honest.clone() }),
        ("c4", Correction { sessions: vec!["s".into(); 2000], ..honest.clone() }),
        ("c5", Correction { scores: again, ..honest.clone() }),
    ] {
        let body = Correction { case: case.into(), ..change }.encode();
        day.all.forge(&Posted { from: PLATFORM, to: "bank-1", body, ..sample.clone() }).unwrap();
    }
    assert_eq!(day.all.tell("bank-1", Command::SubjectCases).as_array().unwrap().len(), cases);
}

/// The end of a consent that the platform forwards: a log that grew by more for its own borrower told whose borrower it is, since
/// receipts tell how long a log is.
#[test]
fn a_log_grows_alike_whoever_takes_a_consent_back() {
    let mut day = Day::new();
    let lines = |file: &str| std::fs::read_to_string(day.all.input(file)).unwrap();
    let borrowers: Vec<String> =
        lines("bank-1.csv").lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()).collect();
    let subjects: Vec<String> = lines("consents-bank-1.jsonl").lines().map(subject_of).collect();
    let grown = [true, false].map(|held| {
        let subject = subjects.iter().find(|subject| borrowers.contains(subject) == held).unwrap();
        day.all.turn(PLATFORM, |_| Ok::<_, String>(())).unwrap();
        day.all.settle(PLATFORM, "bank-1");
        let before = day.all.entries("bank-1", 0).len() as u64;
        let (_, line) = consent_event(&day.all.city, subject, "bank-1", None, EventKind::Revoke, now()).unwrap();
        let path = day.all.write("event.jsonl", &format!("{line}\n"));
        day.all.tell(PLATFORM, Command::ConsentImport { path });
        day.all.turn(PLATFORM, |_| Ok::<_, String>(())).unwrap();
        day.all.settle(PLATFORM, "bank-1");
        let entries = day.all.entries("bank-1", before);
        let taken = entries.iter().find_map(|entry| match entry.body {
            Body::ConsentEnded { changed, forwarded, .. } => Some((changed, forwarded)),
            _ => None,
        });
        assert_eq!(taken, Some((u64::from(held), u64::from(held))));
        entries.iter().map(|entry| std::mem::discriminant(&entry.body)).collect::<Vec<_>>()
    });
    assert_eq!(grown[0], grown[1]);
}

/// Whom a signed consent is about.
fn subject_of(line: &str) -> String {
    let envelope: tally_crypto::sign::Envelope = serde_json::from_str(line).unwrap();
    let consent: serde_json::Value = serde_json::from_slice(&envelope.unverified_payload().unwrap()).unwrap();
    consent["subject"].as_str().unwrap().to_owned()
}

/// An approval counts only while its operator acts: a stolen key that signed before its owner was ended signs nothing.
#[test]
fn an_approval_of_who_was_ended_does_not_count() {
    let mut day = Day::new();
    let all = &mut day.all;
    let key = |name: &str| SigningKey::from_seed(&Seed::new(Digest::of_bytes(name.as_bytes()).0));
    let sign = |all: &mut Consortium, who: &str, key: &SigningKey, decision: Decision| {
        let order = Order::new("bank-1", now(), decision).sign(who, key);
        all.tell("bank-1", Command::OperatorSign { order });
    };
    let add = |name: &str| Decision::OperatorAdd {
        name: name.into(),
        key: key(name).verify_key(),
        role: OperatorRole::Development.to_string(),
    };
    for name in ["lin", "zhao"] {
        let (key, role) = (key(name).verify_key(), OperatorRole::Development);
        all.tell("bank-1", Command::OperatorAdd { name: name.into(), key, role });
        sign(all, OPERATOR, &operator(), add(name));
    }
    all.node("bank-1").config.session.approvals = 2;
    let (session, contract) = (day.was.proposed.clone(), contract_of(all, &day.was.proposed));
    all.approve("bank-1", &session, contract);
    for who in ["lin", "zhao"] {
        sign(all, who, &key(who), Decision::OperatorEnd { name: OPERATOR.into() });
    }
    let approve = |all: &mut Consortium, who: &str| {
        let datasets = all.nodes["bank-1"].store.datasets().unwrap();
        let data = Some(Data { dataset: datasets[0].name.clone(), root: datasets[0].commitment });
        let order = Order::new("bank-1", now(), Decision::SessionApprove { contract, data }).sign(who, &key(who));
        all.tell("bank-1", Command::SessionApprove { session: session.clone(), order })["approvals"].clone()
    };
    assert_eq!(approve(all, "lin"), 1);
    assert_eq!(approve(all, "zhao"), 2);
}

fn contract_of(all: &Consortium, session: &str) -> Digest {
    let record = all.nodes["bank-1"].store.session(session).unwrap().unwrap();
    all.nodes["bank-1"].contract_of(&record).unwrap().digest()
}
