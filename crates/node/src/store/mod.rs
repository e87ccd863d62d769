//! The node's store: one SQLite file, written in one transaction for a group of steps.
//!
//! Everything that a step causes (log entries, journal, messages to send, uses counted) is committed together or not at
//! all; a step is a savepoint of its group's transaction. Messages leave only after the commit. Whatever names an enterprise or carries a value is sealed ([`Vault`]).

mod calls;
mod consents;
mod disclosures;
mod kept;
mod letters;
mod migrations;
mod operators;
mod outcomes;
mod record;
mod records;
mod secrets;
mod subjects;
#[cfg(test)]
mod tests;
mod vault;
mod warnings;
mod witness;

pub(crate) use disclosures::Disclosed;
pub(crate) use letters::Letter;
pub(crate) use operators::Operator;
pub(crate) use record::Record;
pub(crate) use records::OperatorRole;
pub(crate) use records::{DatasetInfo, ModelChange, ModelRecord, ModelState, SessionRecord};
pub(crate) use vault::Vault;
pub(crate) use warnings::{StoredWarning, WarningState};

use std::cell::Cell;
use std::path::Path;

use rusqlite::Connection;
use tally_crypto::seed::Seed;

use self::kept::Kept;
use crate::failure::{self, Failure};

/// Every commit waits for the disk. The file belongs to one process as long as it is open, which then needs no locks of the
/// system; what undoes a savepoint stays in memory, as do 8 MiB of pages. What is deleted is overwritten with zeros.
const SETTINGS: &str = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                        PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192; \
                        PRAGMA secure_delete = ON;";

/// An open store.
pub(crate) struct Store {
    connection: Connection,
    vault: Vault,
    models: Kept<Vec<ModelRecord>>,
    datasets: Kept<Vec<DatasetInfo>>,
    disclosed: Kept<disclosures::Fields>,
    peers: Kept<letters::Peers>,
    /// Secrets were erased whose older pages the write-ahead log may still hold.
    erased: Cell<bool>,
}

impl Store {
    /// Makes the file and its tables.
    pub(crate) fn create(path: &Path) -> Result<(), Failure> {
        let connection = Connection::open(path).map_err(|error| cannot_open(path, &error))?;
        connection
            .execute_batch("PRAGMA journal_mode = WAL;")
            .and_then(|()| migrations::create(&connection))
            .map_err(|error| cannot_open(path, &error))
    }

    /// Opens the file, which is brought to the version of this build; values are sealed under `key`.
    ///
    /// # Errors
    /// Fails with the remedy where the file is missing, belongs to another process, or cannot be upgraded.
    pub(crate) fn open(path: &Path, key: Seed) -> Result<Self, Failure> {
        if !path.exists() {
            let text = format!("{}: there is no store: make a node directory with `tallystick init`", path.display());
            return Err(failure::misconfigured(text));
        }
        let connection = Connection::open(path).map_err(|error| cannot_open(path, &error))?;
        connection.execute_batch(SETTINGS).map_err(|error| cannot_open(path, &error))?;
        if let Some(copy) = migrations::upgrade(&connection, path)? {
            tracing::warn!(copy = %copy.display(), "store upgraded; delete the copy once the node works");
        }
        let (models, datasets, disclosed, peers, erased) = Default::default();
        let store = Self { connection, vault: Vault::new(key), models, datasets, disclosed, peers, erased };
        // A node that was killed between an erasure and what follows its commit.
        store.empty_log()?;
        Ok(store)
    }

    /// Begins a transaction.
    pub(crate) fn begin(&self) -> Result<(), Failure> {
        self.run_cached("BEGIN IMMEDIATE")
    }

    /// Makes the transaction durable.
    ///
    /// # Errors
    /// Fails where a full or failing disk has undone it.
    pub(crate) fn commit(&self) -> Result<(), Failure> {
        self.check_open()?;
        self.run_cached("COMMIT")?;
        if self.erased.take() { self.empty_log() } else { Ok(()) }
    }

    /// True within a transaction.
    pub(crate) fn is_open(&self) -> bool {
        !self.connection.is_autocommit()
    }

    fn check_open(&self) -> Result<(), Failure> {
        let undone = || failure::unwritable("the store has undone its transaction: check the disk");
        self.is_open().then_some(()).ok_or_else(undone)
    }

    /// Begins a step within the transaction. Outside of one the step would be durable by itself, without what belongs before it.
    ///
    /// # Errors
    /// Fails where a full or failing disk has undone the transaction.
    pub(crate) fn begin_step(&self) -> Result<(), Failure> {
        self.check_open()?;
        self.run_cached("SAVEPOINT step")
    }

    /// Keeps the step.
    pub(crate) fn keep_step(&self) -> Result<(), Failure> {
        self.run_cached("RELEASE step")
    }

    /// Undoes the step, not the transaction, unless a full or failing disk has undone all of it.
    pub(crate) fn undo_step(&self) -> Result<(), Failure> {
        self.models.forget();
        self.datasets.forget();
        self.disclosed.forget();
        self.peers.forget();
        if self.is_open() { self.run("ROLLBACK TO step; RELEASE step") } else { Ok(()) }
    }

    /// Adds log entries from `first` on.
    pub(crate) fn append_entries(&self, first: u64, leaves: &[Vec<u8>]) -> Result<(), Failure> {
        let mut insert =
            self.connection.prepare_cached("INSERT INTO entry (number, leaf) VALUES (?1, ?2)").map_err(write_failed)?;
        for (number, leaf) in (first..).zip(leaves) {
            insert.execute((number, leaf)).map_err(write_failed)?;
        }
        Ok(())
    }

    /// Log entries from `first` on, in order, `most` of them.
    pub(crate) fn entries(&self, first: u64, most: u64) -> Result<Vec<Vec<u8>>, Failure> {
        self.column("SELECT leaf FROM entry WHERE number >= ?1 ORDER BY number LIMIT ?2", [first, most])
    }

    /// The log entry of this number.
    pub(crate) fn entry(&self, number: u64) -> Result<Vec<u8>, Failure> {
        let entry: Option<Vec<u8>> = self.column("SELECT leaf FROM entry WHERE number = ?1", [number])?.pop();
        entry.ok_or_else(|| failure::data(format!("the log has no entry {number}")))
    }

    fn run_cached(&self, statement: &str) -> Result<(), Failure> {
        self.execute(statement, []).map(drop)
    }

    fn run(&self, statement: &str) -> Result<(), Failure> {
        self.connection.execute_batch(statement).map_err(write_failed)
    }

    fn execute(&self, statement: &str, values: impl rusqlite::Params) -> Result<usize, Failure> {
        self.connection.prepare_cached(statement).and_then(|mut ready| ready.execute(values)).map_err(write_failed)
    }

    fn column<T: rusqlite::types::FromSql>(
        &self,
        statement: &str,
        values: impl rusqlite::Params,
    ) -> Result<Vec<T>, Failure> {
        self.rows(statement, values, |row| row.get(0))
    }

    fn rows<T>(
        &self,
        statement: &str,
        values: impl rusqlite::Params,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Failure> {
        let mut ready = self.connection.prepare_cached(statement).map_err(read_failed)?;
        ready.query_map(values, read).and_then(Iterator::collect).map_err(read_failed)
    }

    /// Whether a statement finds anything.
    fn any(&self, statement: &str, values: impl rusqlite::Params) -> Result<bool, Failure> {
        let mut ready = self.connection.prepare_cached(statement).map_err(read_failed)?;
        ready.exists(values).map_err(read_failed)
    }
}

fn cannot_open(path: &Path, error: &rusqlite::Error) -> Failure {
    if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) {
        return failure::unavailable(format!("{}: a node is running in this directory already", path.display()));
    }
    failure::unwritable(format!("{}: cannot open the store: {error}: check the disk and the owner", path.display()))
}

fn write_failed(error: rusqlite::Error) -> Failure {
    failure::unwritable(format!(
        "the store cannot be written ({error}): check that the disk is neither full nor read-only"
    ))
}

fn read_failed(error: rusqlite::Error) -> Failure {
    failure::unread(format!("the store cannot be read ({error}): check the disk"))
}
