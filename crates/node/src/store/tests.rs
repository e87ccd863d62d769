use tally_audit::{Body, Ledger, Sent, SignedReceipt};
use tally_crypto::sign::SigningKey;
use tally_crypto::transcript::Digest;

use super::*;
use crate::failure::FailureKind;

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    Store::create(&path).unwrap();
    let store = Store::open(&path, Seed::new([7; 32])).unwrap();
    (folder, store)
}

/// After the disk has undone the transaction, a step would be committed without those before it.
#[test]
fn a_step_needs_its_transaction() {
    let (_folder, store) = store();
    store.begin().unwrap();
    store.begin_step().unwrap();
    store.keep_step().unwrap();
    store.run("ROLLBACK").unwrap();
    assert_eq!(store.begin_step().unwrap_err().kind, FailureKind::Write);
    store.begin().unwrap();
    store.begin_step().unwrap();
}

#[test]
fn calls_that_have_expired_are_found_without_reading_the_others() {
    let (_folder, store) = store();
    for expires in 0..4u8 {
        let key = Digest([expires; 32]);
        store.put_call(&key, &key, &expires.to_string(), expires.into(), &0).unwrap();
    }
    store.forget_calls(1).unwrap();
    let left: Vec<i64> = store.column("SELECT expires FROM call ORDER BY expires", []).unwrap();
    assert_eq!(left, [2, 3]);
    let plan: Vec<String> =
        store.rows("EXPLAIN QUERY PLAN DELETE FROM call WHERE expires <= 1", [], |row| row.get(3)).unwrap();
    assert!(plan.iter().all(|step| step.contains("USING INDEX call_by_end")), "{plan:?}");
}

/// What belongs together lies under one entry of the log: whose a score is, its opening tells, as long as it is kept.
#[test]
fn scores_are_found_by_the_openings_of_their_entries() {
    let (_folder, store) = store();
    let (tag, other, consent) = (Digest([1; 32]), Digest([2; 32]), Digest([3; 32]));
    for (entry, tag) in [(4, tag), (5, other), (6, tag), (7, tag)] {
        store.put_opening(entry, &tag, &[0; 16], "91350200M000100Y43").unwrap();
    }
    for (entry, request) in [(4, "a"), (5, "b"), (7, "c")] {
        store.put_score(entry, request, &consent, &entry).unwrap();
    }
    let kept = |tag| store.scores_of::<u64>(tag).unwrap().into_iter().map(|(request, _, kept)| (request, kept));
    assert_eq!(kept(&tag).collect::<Vec<_>>(), [("a".into(), 4), ("c".into(), 7)]);
    assert_eq!(store.openings_before(7).unwrap(), [6]);
    assert!(store.is_score_of("c", &tag).unwrap() && !store.is_score_of("b", &tag).unwrap());
    assert_eq!(store.kept_scores(&["b", "c", "d"].into()).unwrap(), ["b".into(), "c".into()].into());
    store.erase_score(4, "a").unwrap();
    assert_eq!(kept(&tag).collect::<Vec<_>>(), [("c".into(), 7)]);
    assert_eq!(store.openings_before(7).unwrap(), [4, 6]);
    let plan: Vec<String> = store
        .rows("EXPLAIN QUERY PLAN SELECT 1 FROM opening JOIN score USING (entry) WHERE subject = x'00'", [], |row| {
            row.get(3)
        })
        .unwrap();
    assert!(plan.iter().all(|step| step.starts_with("SEARCH")), "{plan:?}");
}

impl Store {
    /// What each table holds, as digests of its rows; of sealed values their beginning, which is drawn anew whenever one is written.
    pub(crate) fn dump(&self) -> std::collections::BTreeMap<String, Vec<Digest>> {
        let tables: Vec<String> =
            self.column("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name", []).unwrap();
        let rows = |table: &String| {
            let names: Vec<String> = self.column("SELECT name FROM pragma_table_info(?1)", [table]).unwrap();
            let value = |name: &String| {
                format!("CASE typeof({name}) WHEN 'blob' THEN hex(substr({name}, 1, 64)) ELSE {name} END || '/'")
            };
            let row = names.iter().map(value).collect::<Vec<_>>().join(" || ");
            let rows: Vec<Option<String>> = self.column(&format!("SELECT {row} FROM {table}"), []).unwrap();
            rows.into_iter().map(|row| Digest::of_bytes(row.unwrap_or_default().as_bytes())).collect()
        };
        tables.iter().map(|table| (table.clone(), rows(table))).collect()
    }
}

#[test]
fn numbers_of_an_undone_step_are_given_again() {
    let (_folder, store) = store();
    store.begin().unwrap();
    for (kept, number) in [(true, 1), (false, 2), (true, 2), (true, 3)] {
        store.begin_step().unwrap();
        assert_eq!(store.next_sequence("bank-1").unwrap(), number);
        if kept { store.keep_step().unwrap() } else { store.undo_step().unwrap() }
    }
    store.commit().unwrap();
    assert_eq!(store.next_sequence("bank-1").unwrap(), 4);
    assert_eq!((store.next_sequence("bank-2").unwrap(), store.received("bank-1").unwrap()), (1, 0));
}

#[test]
fn receipts_of_one_peer_are_found_page_by_page() {
    let (_folder, store) = store();
    let mut ledger = Ledger::new("n");
    let mut batch = ledger.batch();
    batch.append(None, 1, "n", Body::AuditAccess { object: Digest([0; 32]) }).unwrap();
    batch.commit(|_| Ok::<_, ()>(())).unwrap();
    let key = SigningKey::from_seed(&Seed::new([1; 32]));
    let sent = Sent { from: "bank-1", to: "platform", sequence: 1, session: "", kind: "session", body: b"" };
    let receipt = SignedReceipt::sign(&ledger.receipt(0).unwrap(), &sent, &key);
    for (number, peer) in ["bank-1", "bank-2", "bank-2", "bank-2", "bank-1"].into_iter().enumerate() {
        store.take_in(peer, number as u64 + 1, &receipt).unwrap();
    }
    let page = |after| store.receipts("bank-1", after, 2).map(|(found, next)| (found.len(), next)).unwrap();
    assert_eq!([page(0), page(2), page(4)], [(1, Some(2)), (0, Some(4)), (1, None)]);
    assert_eq!((store.received("bank-1").unwrap(), store.received("bank-2").unwrap()), (5, 4));
}
