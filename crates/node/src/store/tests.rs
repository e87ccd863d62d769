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
        store.put_call(&key, &key, &expires.to_string(), expires.into(), &()).unwrap();
    }
    store.forget_calls(1).unwrap();
    let left: Vec<i64> = store.column("SELECT expires FROM call ORDER BY expires", []).unwrap();
    assert_eq!(left, [2, 3]);
    let plan: Vec<String> =
        store.rows("EXPLAIN QUERY PLAN DELETE FROM call WHERE expires <= 1", [], |row| row.get(3)).unwrap();
    assert!(plan.iter().all(|step| step.contains("USING INDEX call_by_end")), "{plan:?}");
}
