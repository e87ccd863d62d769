//! What tests share: a log that grows, and a folder in memory that fails where it is told to.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Error, ErrorKind};
use std::path::{Path, PathBuf};

use tally_crypto::seed::Seed;
use tally_crypto::sign::SigningKey;
use tally_crypto::transcript::Digest;

use crate::entry::Body;
use crate::files::{Folder, Item, PublishError, Publisher, STAGED};
use crate::registry::{Registry, RegistryParty};
use crate::write_ahead::Ledger;

pub(crate) const ORIGIN: &str = "bank-1";

pub(crate) fn key() -> SigningKey {
    SigningKey::from_seed(&Seed::new([7; 32]))
}

pub(crate) fn registry() -> Registry {
    let mut registry = Registry::new(&key());
    let log_vkey = crate::note::vkey(ORIGIN, &key().verify_key());
    let node_key = key().verify_key();
    registry.parties.push(RegistryParty {
        name: ORIGIN.into(),
        role: "bank".into(),
        node_key,
        log_vkey,
        tls_key: None,
    });
    registry.sign(&key());
    registry
}

/// A node's stored entries and its ledger.
pub(crate) struct Stored {
    pub(crate) ledger: Ledger,
    pub(crate) entries: Vec<Vec<u8>>,
}

impl Stored {
    pub(crate) fn new() -> Self {
        Self { ledger: Ledger::new(ORIGIN), entries: Vec::new() }
    }

    pub(crate) fn of(size: u64) -> Self {
        let mut stored = Self::new();
        stored.grow(size);
        stored
    }

    /// Entries up to `size` become durable.
    pub(crate) fn grow(&mut self, size: u64) {
        let mut batch = self.ledger.batch();
        for n in batch.first()..size {
            let body = match n {
                0 => Body::Genesis { role: "bank".into(), log_vkey: "k".into(), software: "0".into() },
                n => Body::AuditAccess { object: Digest::of_bytes(&n.to_be_bytes()) },
            };
            batch.append((n > 0).then_some("s"), n as i64, ORIGIN, body).unwrap();
        }
        let entries = &mut self.entries;
        batch
            .commit(|bytes| {
                entries.extend_from_slice(bytes);
                Ok::<_, ()>(())
            })
            .unwrap();
    }

    /// Publishes what `publisher` has not taken yet.
    pub(crate) fn publish(&self, publisher: &mut Publisher, folder: &dyn Folder) -> Result<(), PublishError> {
        for page in self.entries[publisher.size() as usize..].chunks(400) {
            publisher.append(folder, page)?;
        }
        publisher.seal(folder, ORIGIN, self.ledger.root(), &key())
    }

    /// As a node does that starts.
    pub(crate) fn resume(&self, folder: &dyn Folder) -> Result<Publisher, PublishError> {
        let mut publisher = Publisher::resume(folder, ORIGIN, &key().verify_key())?;
        self.publish(&mut publisher, folder)?;
        Ok(publisher)
    }
}

/// A folder in memory.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    pub(crate) files: RefCell<BTreeMap<PathBuf, Vec<u8>>>,
    /// Changes so far.
    pub(crate) changes: Cell<usize>,
    /// After so many changes every further one fails, the first of them half done.
    pub(crate) stop: Cell<Option<usize>>,
}

impl Memory {
    fn change(&self) -> io::Result<()> {
        let done = self.changes.replace(self.changes.get() + 1);
        let full = self.stop.get().is_some_and(|stop| done >= stop);
        if full { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn staged(path: &Path) -> PathBuf {
        Path::new(STAGED).join(path.to_string_lossy().replace('/', "-"))
    }
}

impl Folder for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.files.borrow().get(path).cloned().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Item>> {
        let files = self.files.borrow();
        let below = files.keys().filter_map(|file| file.strip_prefix(path).ok());
        let item = |rest: &Path| {
            let mut parts = rest.components();
            let name = parts.next()?.as_os_str().to_str()?.to_owned();
            Some(Item { name, folder: parts.next().is_some() })
        };
        let items: BTreeSet<_> = below.filter_map(item).collect();
        if items.is_empty() { Err(Error::from(ErrorKind::NotFound)) } else { Ok(items.into_iter().collect()) }
    }

    fn stage(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let done = self.change();
        let written = if done.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
        self.files.borrow_mut().insert(Self::staged(path), written.into());
        done
    }

    fn reveal(&self, path: &Path) -> io::Result<()> {
        self.change()?;
        let bytes = self.files.borrow_mut().remove(&Self::staged(path));
        self.files.borrow_mut().insert(path.into(), bytes.ok_or(ErrorKind::NotFound)?);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.change()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let inner: Vec<_> = self.files.borrow().keys().filter(|file| file.starts_with(path)).cloned().collect();
        for file in inner {
            self.change()?;
            self.files.borrow_mut().remove(&file);
        }
        Ok(())
    }
}
