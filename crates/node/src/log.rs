//! The node's log: entries become durable in the store, and are published from there as tiles and checkpoint.

mod http;
pub(crate) mod tokens;

use std::path::Path;
use std::thread::JoinHandle;

use tally_audit::Ledger;
use tally_audit::files::{
    Directory, PublishError, Publisher, TILE, consistency_proof, inclusion_proof, read_checkpoint, write_cosigned,
};
use tally_audit::note::Note;
use tally_audit::write_ahead::Batch;
use tally_crypto::sign::SigningKey;
use tally_crypto::transcript::Digest;

use crate::failure::{self, Failure};
use crate::store::Store;

pub(crate) use http::Service;

/// Entries read from the store at once.
const PAGE: u64 = 4096;

/// The published log.
pub(crate) struct PublishedLog {
    folder: Directory,
    origin: String,
    key: SigningKey,
    publisher: Publisher,
    /// Writes full tiles beside the engine, which does not wait for their disk; what the publisher is once it is done.
    ahead: Option<JoinHandle<Result<Publisher, PublishError>>>,
}

impl PublishedLog {
    /// The log of the node called `origin` in `directory`; what it lacks, the next publication writes.
    pub(crate) fn open(directory: &Path, origin: &str, key: SigningKey) -> Result<Self, Failure> {
        let folder = Directory::new(directory);
        let publisher = Publisher::resume(&folder, origin, &key.verify_key()).map_err(failed)?;
        Ok(Self { folder, origin: origin.into(), key, publisher, ahead: None })
    }

    /// Entries under the checkpoint.
    pub(crate) fn size(&self) -> u64 {
        self.publisher.published()
    }

    /// Audit path of an entry under the checkpoint, from the tiles; empty for one that no checkpoint covers yet.
    pub(crate) fn inclusion_proof(&self, index: u64) -> Result<Vec<Digest>, Failure> {
        inclusion_proof(&self.folder, index, self.size()).map_err(failure::internal)
    }

    /// Proof that the tree of `new` entries begins with the tree of `old`.
    pub(crate) fn consistency_proof(&self, old: u64, new: u64) -> Result<Vec<Digest>, Failure> {
        consistency_proof(&self.folder, old, new).map_err(failure::internal)
    }

    /// The published checkpoint, with the cosignatures that it has.
    pub(crate) fn checkpoint(&self) -> Result<Option<Note>, Failure> {
        let read = read_checkpoint(&self.folder, &self.origin, &self.key.verify_key()).map_err(failed)?;
        Ok(read.map(|(note, _)| note))
    }

    /// Puts cosignatures under the published checkpoint, if it is still the one that was cosigned.
    pub(crate) fn put_cosigned(&self, note: &Note) -> Result<(), Failure> {
        write_cosigned(&self.folder, &self.origin, &self.key.verify_key(), note).map_err(failed)
    }

    /// Has the tiles written that durable entries fill, unless some are being written: the less is left for the next
    /// publication, which nothing else can go on beside. Until then the checkpoint does not cover them.
    pub(crate) fn advance(&mut self, store: &Store, ledger: &Ledger) -> Result<(), Failure> {
        if self.ahead.as_ref().is_some_and(|ahead| !ahead.is_finished()) {
            return Ok(());
        }
        self.catch_up()?;
        let first = self.publisher.size();
        let full = ledger.size() / TILE * TILE;
        if full <= first {
            return Ok(());
        }
        let entries = store.entries(first, PAGE.min(full - first))?;
        let (folder, mut publisher) = (self.folder.beside(), self.publisher.clone());
        self.ahead = Some(std::thread::spawn(move || publisher.append(&folder, &entries).map(|()| publisher)));
        Ok(())
    }

    /// Waits for the tiles that are being written.
    fn catch_up(&mut self) -> Result<(), Failure> {
        let Some(ahead) = self.ahead.take() else { return Ok(()) };
        let written = ahead.join().map_err(|_| failure::internal("tiles of the log were not written"))?;
        self.publisher = written.map_err(failed)?;
        Ok(())
    }

    /// Writes tiles and checkpoint for every durable entry.
    pub(crate) fn publish(&mut self, store: &Store, ledger: &Ledger) -> Result<(), Failure> {
        self.catch_up()?;
        while self.publisher.size() < ledger.size() {
            let most = PAGE.min(ledger.size() - self.publisher.size());
            let entries = store.entries(self.publisher.size(), most)?;
            if entries.is_empty() {
                return Err(failure::internal("the store has fewer entries than the ledger"));
            }
            self.publisher.append(&self.folder, &entries).map_err(failed)?;
        }
        self.publisher.seal(&self.folder, &self.origin, ledger.root(), &self.key).map_err(failed)
    }
}

/// What is being written belongs to the log as long as the log is open.
impl Drop for PublishedLog {
    fn drop(&mut self) {
        drop(self.ahead.take().map(JoinHandle::join));
    }
}

/// The ledger of the node called `name`, after everything in the store.
pub(crate) fn recover(store: &Store, name: &str) -> Result<Ledger, Failure> {
    let mut ledger = Ledger::new(name);
    loop {
        let entries = store.entries(ledger.size(), PAGE)?;
        if entries.is_empty() {
            return Ok(ledger);
        }
        for bytes in entries {
            ledger.replay(&bytes).map_err(failure::internal)?;
        }
    }
}

/// Lays the entries of a step down in the open transaction.
pub(crate) fn stage(store: &Store, batch: Batch<'_>) -> Result<(), Failure> {
    let first = batch.first();
    batch.stage(|entries: &[Vec<u8>]| store.append_entries(first, entries))
}

fn failed(error: PublishError) -> Failure {
    match error {
        PublishError::File { .. } => failure::unwritable(format!("{error}: check the disk of the log")),
        PublishError::Root => failure::internal(error),
        _ => failure::misconfigured(error),
    }
}
