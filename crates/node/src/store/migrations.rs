//! Versions of the store's schema: numbered steps that only go forward.
//!
//! A new store runs every step; an older one runs those that it lacks, in one transaction, after a copy of it was made beside it
//! (`store.sqlite.schema-7`). A node that is killed on the way, or whose disk fills up, finds the store as it was. The store keeps the
//! checksum of each step, so that a build that has another text under the same number refuses the store.
//!
//! To change the schema, add `migrations/NNNN_name.sql` with the next number and its line in [`MIGRATIONS`]. A step that was
//! released never changes.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tally_crypto::transcript::Digest;

use crate::failure::{self, Failure};

/// One step: the version that it leads to, its name, and its statements.
struct Migration {
    number: i64,
    name: &'static str,
    sql: &'static str,
}

macro_rules! migrations {
    ($($number:literal => $name:literal),* $(,)?) => {
        &[$(Migration { number: $number, name: $name, sql: include_str!(concat!("migrations/", $name)) }),*]
    };
}

/// Every step, in order, without gaps. The first one makes the oldest schema that can be upgraded.
const MIGRATIONS: &[Migration] = migrations! {
    7 => "0007_base.sql",
    8 => "0008_session_secret.sql",
    9 => "0009_operators.sql",
};

/// The table of steps that were done. Stores of version 7 were made without it.
const DONE: &str =
    "CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum BLOB NOT NULL,
    done INTEGER NOT NULL) STRICT;";

/// The version that this build reads and writes.
fn newest() -> i64 {
    MIGRATIONS.last().map_or(0, |step| step.number)
}

/// Makes the tables of a new store, all or none.
pub(super) fn create(connection: &Connection) -> rusqlite::Result<()> {
    run(connection, MIGRATIONS, MIGRATIONS.iter().map(|step| step.number).collect())
}

/// Brings the store at `path` to the version of this build. Returns the copy that was made before, if anything had to be done.
///
/// # Errors
/// Fails with the remedy where the store is of a version that this build does not know, where there is no room for the copy, or
/// where a step was done by a build with another text of it; nothing is changed then.
pub(super) fn upgrade(connection: &Connection, path: &Path) -> Result<Option<PathBuf>, Failure> {
    let version = version(connection).map_err(|error| super::cannot_open(path, &error))?;
    check_version(path, version)?;
    check_done(connection, path)?;
    if version == newest() {
        return Ok(None);
    }
    let copy = copy(connection, path, version)?;
    let steps: Vec<i64> = MIGRATIONS.iter().map(|step| step.number).filter(|number| *number > version).collect();
    run(connection, MIGRATIONS, steps).map_err(|error| {
        failure::unwritable(format!(
            "{}: the upgrade from schema {version} to {} failed ({error}); the store is as it was: check the disk, start again",
            path.display(),
            newest()
        ))
    })?;
    Ok(Some(copy))
}

fn check_version(path: &Path, version: i64) -> Result<(), Failure> {
    let oldest = MIGRATIONS.first().map_or(0, |step| step.number);
    let store = path.display();
    if version > newest() {
        let (beside, newest) = (copy_path(path, newest()), newest());
        let way_back = if beside.exists() {
            format!("or put {} in its place, which loses what was done since", beside.display())
        } else {
            "or restore a backup from before the upgrade".into()
        };
        return Err(failure::misconfigured(format!(
            "{store}: written by a newer release (schema {version}, this one reads up to {newest}): run that release, {way_back}"
        )));
    }
    if version < oldest {
        return Err(failure::misconfigured(format!(
            "{store}: schema {version} is older than {oldest}, the oldest that can be upgraded: make a new node directory"
        )));
    }
    Ok(())
}

/// What was done is what this build would have done.
fn check_done(connection: &Connection, path: &Path) -> Result<(), Failure> {
    let cannot = |error| super::cannot_open(path, &error);
    for (number, checksum) in done(connection).map_err(cannot)? {
        let known = MIGRATIONS.iter().find(|step| step.number == number);
        if let Some(step) = known.filter(|step| step.checksum()[..] != checksum) {
            return Err(failure::misconfigured(format!(
                "{}: schema {number} was made by another build of {}: run the release that this store was upgraded with",
                path.display(),
                step.name
            )));
        }
    }
    Ok(())
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

fn done(connection: &Connection) -> rusqlite::Result<Vec<(i64, Vec<u8>)>> {
    if !connection.table_exists(None, "migration")? {
        return Ok(Vec::new());
    }
    let mut ready = connection.prepare("SELECT number, checksum FROM migration ORDER BY number")?;
    ready.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Runs the steps `numbers` in one transaction. The first one of all is noted as done in stores that have no table of steps.
fn run(connection: &Connection, all: &[Migration], numbers: Vec<i64>) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(DONE)?;
    for step in all {
        if numbers.contains(&step.number) {
            transaction.execute_batch(step.sql)?;
            transaction.pragma_update(None, "user_version", step.number)?;
        }
        transaction.execute(
            "INSERT OR IGNORE INTO migration (number, name, checksum, done) VALUES (?1, ?2, ?3, unixepoch())",
            (step.number, step.name, step.checksum()),
        )?;
    }
    transaction.commit()
}

/// A consistent copy of the store as it is, durable under its final name or not there at all.
fn copy(connection: &Connection, path: &Path, version: i64) -> Result<PathBuf, Failure> {
    let copy = copy_path(path, version);
    let partial = copy.with_extension("partial");
    let write = || -> Result<(), String> {
        remove_if_there(&partial).map_err(|error| error.to_string())?;
        let into = partial.to_str().ok_or("the path is not UTF-8")?;
        connection.execute("VACUUM INTO ?1", [into]).map_err(|error| error.to_string())?;
        settle(&partial, &copy).map_err(|error| error.to_string())
    };
    write().map_err(|error| {
        // What is left of a copy that failed is of no use, and may be what filled the disk.
        let _ = remove_if_there(&partial);
        failure::unwritable(format!(
            "{}: cannot copy the store before its upgrade ({error}); nothing was changed: make room for a second store there",
            copy.display()
        ))
    })?;
    Ok(copy)
}

/// `store.sqlite.schema-7` beside `store.sqlite`.
fn copy_path(path: &Path, version: i64) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{name}.schema-{version}"))
}

fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn settle(partial: &Path, copy: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let file = std::fs::File::open(partial)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.sync_all()?;
    std::fs::rename(partial, copy)?;
    let folder = copy.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()
}

impl Migration {
    fn checksum(&self) -> [u8; 32] {
        Digest::of_bytes(self.sql.as_bytes()).0
    }
}

#[cfg(test)]
mod tests;
