use tally_crypto::seed::Seed;

use super::super::Store;
use super::*;
use crate::failure::FailureKind;

/// A store as the release with schema 7 made it: without a table of steps.
fn version_7(folder: &Path) -> PathBuf {
    let path = folder.join("store.db");
    let connection = Connection::open(&path).unwrap();
    let text = "INSERT INTO operator VALUES ('chen', 'k', 'approver', 1);";
    let sql =
        format!("PRAGMA journal_mode = WAL; BEGIN; {} {text} PRAGMA user_version = 7; COMMIT;", MIGRATIONS[0].sql);
    connection.execute_batch(&sql).unwrap();
    path
}

fn open(path: &Path) -> Result<Store, Failure> {
    Store::open(path, Seed::new([7; 32]))
}

/// A step that was released never changes, and the files of the folder are those of the list.
#[test]
fn steps_are_complete_in_order_and_pinned() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/migrations");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".sql"))
        .collect();
    files.sort();
    assert_eq!(files, MIGRATIONS.iter().map(|step| step.name).collect::<Vec<_>>());
    for (number, step) in (7..).zip(MIGRATIONS) {
        assert_eq!(step.number, number, "{}", step.name);
        assert!(step.name.starts_with(&format!("{number:04}_")), "{}", step.name);
    }
    let pinned = [
        "58410ef5398d282644f6fa4a583dd5e425f134bed1686a2039089ae4e1a1a8af",
        "477acbbe5eac760522883c7aa5b132ee0905bff524069129c8c4d5e8edc33f2a",
        "03731c02a6b5403d263c86f8900cbdbfc18e04c0ee1e0dfff4e8d78387dfe8f2",
    ];
    assert_eq!(pinned.len(), MIGRATIONS.len(), "pin the checksum of the new step here");
    for (step, pinned) in MIGRATIONS.iter().zip(pinned) {
        assert_eq!(hex::encode(step.checksum()), pinned, "{} was changed: add a new step instead", step.name);
    }
}

#[test]
fn an_old_store_is_copied_and_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = version_7(folder.path());
    let store = open(&path).unwrap();
    assert_eq!(version(&store.connection).unwrap(), newest());
    assert_eq!(done(&store.connection).unwrap().len(), if newest() == 7 { 0 } else { MIGRATIONS.len() });
    assert_eq!(store.column::<String>("SELECT name FROM operator", []).unwrap(), ["chen"]);
    drop(store);
    let copy = copy_path(&path, 7);
    assert_eq!(copy.exists(), newest() > 7);
    if copy.exists() {
        assert_eq!(version(&Connection::open(&copy).unwrap()).unwrap(), 7);
        std::fs::remove_file(&copy).unwrap();
        open(&path).unwrap();
        assert!(!copy.exists(), "nothing is copied where nothing has to be done");
    }
}

/// What an older store becomes is what a new store is.
#[test]
fn old_and_new_stores_have_the_same_tables() {
    let folder = tempfile::tempdir().unwrap();
    let old = version_7(folder.path());
    let new = folder.path().join("new.db");
    Store::create(&new).unwrap();
    let schema = |path: &Path| -> Vec<String> {
        let store = open(path).unwrap();
        let all = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name != 'migration' ORDER BY name";
        store.column(all, []).unwrap()
    };
    assert_eq!(schema(&old), schema(&new));
}

#[test]
fn a_store_of_a_newer_release_is_refused_with_the_way_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = version_7(folder.path());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let refused = open(&path).err().unwrap();
    assert_eq!(refused.kind, FailureKind::Config);
    assert!(refused.message.contains("schema 99") && refused.message.contains("restore a backup"), "{refused}");
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 6).unwrap();
    assert!(open(&path).err().unwrap().message.contains("older than 7"));
}

#[test]
fn a_step_of_another_build_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    Store::create(&path).unwrap();
    Connection::open(&path).unwrap().execute("UPDATE migration SET checksum = x'00' WHERE number = 7", []).unwrap();
    let refused = open(&path).err().unwrap();
    assert!(refused.message.contains("0007_base.sql"), "{refused}");
}

/// A step that fails half way leaves the store, and every other step of the same upgrade, undone.
#[test]
fn a_failed_step_undoes_all() {
    let folder = tempfile::tempdir().unwrap();
    let connection = Connection::open(version_7(folder.path())).unwrap();
    let steps = [
        Migration { number: 8, name: "0008_good.sql", sql: "CREATE TABLE good (a INTEGER) STRICT;" },
        Migration {
            number: 9,
            name: "0009_bad.sql",
            sql: "CREATE TABLE half (a INTEGER) STRICT; CREATE TABLE good (a INTEGER);",
        },
    ];
    assert!(run(&connection, &steps, vec![8, 9]).is_err());
    assert_eq!(version(&connection).unwrap(), 7);
    for table in ["good", "half", "migration"] {
        assert!(!connection.table_exists(None, table).unwrap(), "{table}");
    }
    assert!(run(&connection, &steps[..1], vec![8]).is_ok());
    assert_eq!(version(&connection).unwrap(), 8);
}

#[test]
fn a_copy_that_cannot_be_made_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = version_7(folder.path());
    let connection = Connection::open(&path).unwrap();
    std::fs::create_dir(copy_path(&path, 7)).unwrap();
    let refused = copy(&connection, &path, 7).unwrap_err();
    assert_eq!(refused.kind, FailureKind::Write);
    assert!(refused.message.contains("nothing was changed"), "{refused}");
    assert!(!copy_path(&path, 7).with_extension("partial").exists());
}
