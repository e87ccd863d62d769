use std::path::Path;

use super::*;

const SESSION: &str = "s-1";

fn store(folder: &Path) -> Store {
    let path = folder.join("store.sqlite");
    if !path.exists() {
        Store::create(&path).unwrap();
    }
    Store::open(&path, Seed::new([7; 32])).unwrap()
}

/// Whether any file of the folder holds these bytes: tables, freed pages, the write-ahead log.
fn holds(folder: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|file| {
        let read = std::fs::read(file.unwrap().path()).unwrap();
        read.windows(bytes.len()).any(|window| window == bytes)
    })
}

fn sealed(store: &Store, statement: &str) -> Vec<Vec<u8>> {
    store.column(statement, []).unwrap()
}

/// A session of some size, and others beside it.
fn begin(store: &Store) -> Vec<Vec<u8>> {
    store.begin().unwrap();
    for session in ["s-0", SESSION, "s-2"] {
        store.draw_secret(session).unwrap();
        (0..40u8).for_each(|input| store.journal(session, &vec![input; 3000]).unwrap());
    }
    store.commit().unwrap();
    let of_secret = "SELECT sealed FROM session_secret WHERE session = 's-1'";
    let of_journal = "SELECT substr(sealed, 1, 24) FROM journal WHERE session = 's-1'";
    [sealed(store, of_secret), sealed(store, of_journal)].concat()
}

/// Who has the storage key and the disk as it is after the end finds nothing to open.
#[test]
fn an_erased_secret_is_in_no_page_and_not_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let kept = begin(&store);
    assert!(kept.len() == 41 && kept.iter().all(|bytes| holds(folder.path(), bytes)));
    store.begin().unwrap();
    store.erase_session(SESSION).unwrap();
    store.commit().unwrap();
    assert!(store.secret(SESSION).unwrap().is_none());
    assert_eq!(kept.iter().filter(|bytes| holds(folder.path(), bytes)).count(), 0);
    assert!(store.secret("s-0").unwrap().is_some() && store.has_journal("s-2").unwrap());
}

/// Killed after the commit and before the log was emptied: the next start empties it.
#[test]
fn a_kill_after_the_erasure_leaves_nothing_after_the_next_start() {
    let (folder, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let killed = store(folder.path());
    let kept = begin(&killed);
    killed.begin().unwrap();
    killed.erase_session(SESSION).unwrap();
    killed.erased.set(false);
    killed.commit().unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap().flatten() {
        std::fs::copy(file.path(), after.path().join(file.file_name())).unwrap();
    }
    assert!(kept.iter().any(|bytes| holds(after.path(), bytes)), "nothing was left to erase");
    let _store = store(after.path());
    assert_eq!(kept.iter().filter(|bytes| holds(after.path(), bytes)).count(), 0);
}

#[test]
fn secrets_are_drawn_once_and_are_no_function_of_the_session_or_the_key() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, other) = (store(one.path()), store(other.path()));
    one.draw_secret(SESSION).unwrap();
    other.draw_secret(SESSION).unwrap();
    let secret = |store: &Store| *store.secret(SESSION).unwrap().unwrap().expose();
    assert_ne!(secret(&one), secret(&other));
    assert!(one.draw_secret(SESSION).is_err());
}
