use tally_crypto::seed::Seed;
use tally_crypto::sign::SigningKey;

use super::super::tests::{rewrite, whole_session};
use super::super::{Kind, Severity};
use super::*;
use crate::receipt::Sent;
use crate::write_ahead::Ledger;

/// The log of bank-1, and a receipt for each of its messages; their bodies are not looked at here, so digests are the bodies'.
fn signed() -> (VerifiedLog, Vec<SignedReceipt>) {
    let log = whole_session().into_iter().find(|log| log.party == "bank-1").unwrap();
    let bodies = |sequence: u64| format!("bank-1 platform {sequence}").into_bytes();
    let ledger = Ledger::recover("bank-1", log.entries.iter().map(crate::Entry::encode)).unwrap();
    let key = SigningKey::from_seed(&Seed::new([1; 32]));
    let sent = log.entries.iter().filter_map(|entry| match &entry.body {
        Body::Egress(passage) => {
            let body = bodies(passage.sequence);
            let message = Sent {
                from: "bank-1",
                to: &passage.peer,
                sequence: passage.sequence,
                session: entry.session.as_deref().unwrap_or_default(),
                kind: &passage.kind,
                body: &body,
            };
            Some(SignedReceipt::sign(&ledger.receipt(entry.index).unwrap(), &message, &key))
        }
        _ => None,
    });
    (log.clone(), sent.collect())
}

fn kinds(receipts: &[SignedReceipt], log: VerifiedLog, copied: i64) -> Vec<(Severity, Kind)> {
    let findings = promises(receipts, &[log], copied);
    assert!(findings.iter().all(|finding| finding.parties == ["bank-1"]));
    findings.iter().map(|finding| (finding.severity, finding.kind)).collect()
}

#[test]
fn kept_promises_have_no_findings_and_other_logs_are_passed_over() {
    let (log, receipts) = signed();
    assert!(receipts.len() > 3);
    assert_eq!(kinds(&receipts, log.clone(), i64::MAX), []);
    assert_eq!(promises(&receipts, &[], i64::MAX), []);
}

#[test]
fn an_entry_in_another_ones_place_convicts_at_once() {
    let (log, receipts) = signed();
    let place = receipts[1].promise().index as usize;
    let changed = rewrite(&log, |entries| entries[place].actor.push('x'));
    let broken = receipts.iter().filter(|receipt| receipt.promise().index >= place as u64).count();
    let found = kinds(&receipts, changed, i64::MIN);
    assert_eq!(found, vec![(Severity::Fault, Kind::Unpublished); broken]);
}

#[test]
fn a_withheld_entry_is_a_fault_once_it_is_due_or_passed_by() {
    let (log, receipts) = signed();
    let last = receipts.last().unwrap();
    let cut = last.promise().index as usize;
    let short = rewrite(&log, |entries| entries.truncate(cut));
    let one = std::slice::from_ref(last);
    assert_eq!(kinds(one, short.clone(), last.promise().due()), [(Severity::Warning, Kind::Unpublished)]);
    assert_eq!(kinds(one, short.clone(), last.promise().due() + 1), [(Severity::Fault, Kind::Unpublished)]);
    let later = rewrite(&short, |entries| entries.last_mut().unwrap().time = last.promise().time + 1);
    assert_eq!(kinds(one, later, i64::MIN), [(Severity::Fault, Kind::Unpublished)]);
}

#[test]
fn a_receipt_of_an_entry_that_covers_something_else_is_found() {
    let (log, _) = signed();
    let ledger = Ledger::recover("bank-1", log.entries.iter().map(crate::Entry::encode)).unwrap();
    let key = SigningKey::from_seed(&Seed::new([1; 32]));
    let message = Sent { from: "bank-1", to: "platform", sequence: 1, session: "s", kind: "session", body: b"x" };
    let receipt = SignedReceipt::sign(&ledger.receipt(0).unwrap(), &message, &key);
    assert_eq!(kinds(&[receipt], log, i64::MIN), [(Severity::Fault, Kind::Receipt)]);
}

#[test]
fn a_receipt_of_another_session_than_its_entry_is_found() {
    let (log, receipts) = signed();
    let ledger = Ledger::recover("bank-1", log.entries.iter().map(crate::Entry::encode)).unwrap();
    let key = SigningKey::from_seed(&Seed::new([1; 32]));
    let promise = receipts[0].promise();
    let body = format!("bank-1 platform {}", promise.sequence).into_bytes();
    let Promise { to, sequence, kind, .. } = promise;
    let message = Sent { from: "bank-1", to, sequence: *sequence, session: "another", kind, body: &body };
    let receipt = SignedReceipt::sign(&ledger.receipt(promise.index).unwrap(), &message, &key);
    assert_eq!(kinds(&[receipt], log, i64::MIN), [(Severity::Fault, Kind::Receipt)]);
}
