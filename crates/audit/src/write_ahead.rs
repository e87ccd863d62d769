//! Write-ahead: a message may leave only with the receipt of a durable entry.
//!
//! A [`Receipt`] has private fields. It comes from [`Ledger::receipt`], which knows only entries that [`Batch::commit`] has
//! seen written or that were read back from the store.

use std::collections::BTreeMap;

use tally_crypto::merkle::{Frontier, leaf_hash};
use tally_crypto::transcript::Digest;

use crate::entry::{Body, Entry};

/// Proof that an entry is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    index: u64,
    leaf: Digest,
}

impl Receipt {
    /// Place of the entry in the log.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Leaf hash of the entry.
    pub fn leaf(&self) -> Digest {
        self.leaf
    }
}

/// What a node must know of its log to go on with it.
#[derive(Clone, Debug)]
pub struct Ledger {
    node: String,
    frontier: Frontier,
    leaves: Vec<Digest>,
    sessions: BTreeMap<String, (u64, Digest)>,
    time: i64,
}

/// Why a log cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// A stored entry cannot be read.
    #[error("log entry {0} of the store cannot be read: {1}")]
    Entry(u64, String),
    /// An entry is longer than a tile bundle can hold.
    #[error("a log entry has {0} bytes, the format allows 65535")]
    TooLong(usize),
}

impl Ledger {
    /// The ledger of `node` after the stored entries.
    ///
    /// # Errors
    /// Names the entry that cannot be read.
    pub fn recover(node: &str, entries: impl IntoIterator<Item = Vec<u8>>) -> Result<Self, LedgerError> {
        let mut ledger = Self::new(node);
        entries.into_iter().try_for_each(|bytes| ledger.replay(&bytes))?;
        Ok(ledger)
    }

    /// The ledger of a node without entries yet.
    pub fn new(node: &str) -> Self {
        Self {
            node: node.into(),
            frontier: Frontier::default(),
            leaves: Vec::new(),
            sessions: BTreeMap::new(),
            time: i64::MIN,
        }
    }

    /// Takes in a stored entry that follows.
    ///
    /// # Errors
    /// Names the entry if it cannot be read.
    pub fn replay(&mut self, bytes: &[u8]) -> Result<(), LedgerError> {
        let entry = Entry::decode(bytes).map_err(|reason| LedgerError::Entry(self.size(), reason))?;
        self.take(&entry, leaf_hash(bytes));
        Ok(())
    }

    /// Durable entries.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Root over the durable entries.
    pub fn root(&self) -> Digest {
        self.frontier.root()
    }

    /// The receipt of a durable entry.
    pub fn receipt(&self, index: u64) -> Option<Receipt> {
        let leaf = *self.leaves.get(usize::try_from(index).ok()?)?;
        Some(Receipt { index, leaf })
    }

    /// Begins a batch of entries that become durable together.
    pub fn batch(&mut self) -> Batch<'_> {
        Batch { next: self.clone_head(), entries: Vec::new(), ledger: self }
    }

    fn clone_head(&self) -> Head {
        Head { size: self.size(), sessions: BTreeMap::new(), time: self.time }
    }

    fn take(&mut self, entry: &Entry, leaf: Digest) {
        self.frontier.append(leaf);
        self.leaves.push(leaf);
        self.time = entry.time;
        if let (Some(session), Some(seq)) = (&entry.session, entry.seq) {
            self.sessions.insert(session.clone(), (seq + 1, leaf));
        }
    }
}

/// Entries on their way; dropped, they leave no trace.
pub struct Batch<'a> {
    ledger: &'a mut Ledger,
    next: Head,
    entries: Vec<(Entry, Vec<u8>)>,
}

struct Head {
    size: u64,
    sessions: BTreeMap<String, (u64, Digest)>,
    time: i64,
}

impl Batch<'_> {
    /// Place of its first entry in the log.
    pub fn first(&self) -> u64 {
        self.ledger.size()
    }

    /// Adds an entry; its place in the log.
    ///
    /// # Errors
    /// Fails if the entry is longer than the format allows.
    pub fn append(&mut self, session: Option<&str>, time: i64, actor: &str, body: Body) -> Result<u64, LedgerError> {
        // A clock that goes back must not break the order of the log.
        let time = time.max(self.next.time);
        let known =
            session.map(|name| self.next.sessions.get(name).or_else(|| self.ledger.sessions.get(name)).copied());
        let entry = Entry {
            v: 1,
            index: self.next.size,
            time,
            node: self.ledger.node.clone(),
            actor: actor.into(),
            session: session.map(Into::into),
            seq: known.map(|known| known.map_or(0, |(seq, _)| seq)),
            prev: known.flatten().map(|(_, leaf)| leaf),
            body,
        };
        let bytes = entry.encode();
        if bytes.len() > usize::from(u16::MAX) {
            return Err(LedgerError::TooLong(bytes.len()));
        }
        if let (Some(name), Some(seq)) = (session, entry.seq) {
            self.next.sessions.insert(name.into(), (seq + 1, leaf_hash(&bytes)));
        }
        self.next.size += 1;
        self.next.time = time;
        self.entries.push((entry, bytes));
        Ok(self.next.size - 1)
    }

    /// Has `write` make the entries durable, with whatever else belongs to them; then they are part of the log.
    ///
    /// # Errors
    /// Passes on the failure of `write`; the ledger is then as it was.
    pub fn commit<E>(self, write: impl FnOnce(&[Vec<u8>]) -> Result<(), E>) -> Result<(), E> {
        let (entries, bytes): (Vec<_>, Vec<_>) = self.entries.into_iter().unzip();
        write(&bytes)?;
        for (entry, bytes) in entries.iter().zip(&bytes) {
            self.ledger.take(entry, leaf_hash(bytes));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(n: u8) -> Body {
        Body::AuditAccess { object: Digest([n; 32]) }
    }

    #[test]
    fn only_durable_entries_have_receipts() {
        let mut ledger = Ledger::recover("n", []).unwrap();
        let mut stored = Vec::new();
        let mut batch = ledger.batch();
        assert_eq!(batch.append(Some("s"), 5, "n", body(1)), Ok(0));
        assert_eq!(batch.append(Some("s"), 4, "n", body(2)), Ok(1));
        assert_eq!(batch.commit(|_| Err("disk full")), Err("disk full"));
        assert_eq!(ledger.receipt(0), None);
        let mut batch = ledger.batch();
        batch.append(Some("s"), 5, "n", body(1)).unwrap();
        batch.append(Some("s"), 4, "n", body(2)).unwrap();
        batch
            .commit(|bytes| {
                stored.extend_from_slice(bytes);
                Ok::<_, ()>(())
            })
            .unwrap();
        assert!(ledger.receipt(1).is_some());
        let second = Entry::decode(&stored[1]).unwrap();
        assert_eq!((second.seq, second.prev, second.time), (Some(1), ledger.receipt(0).map(|r| r.leaf()), 5));
        let recovered = Ledger::recover("n", stored).unwrap();
        assert_eq!((recovered.root(), recovered.size()), (ledger.root(), 2));
    }

    #[test]
    fn unknown_fields_are_refused() {
        let mut ledger = Ledger::recover("n", []).unwrap();
        let mut batch = ledger.batch();
        batch.append(None, 1, "n", body(1)).unwrap();
        let mut text = String::new();
        batch.commit(|bytes| String::from_utf8(bytes[0].clone()).map(|line| text = line)).unwrap();
        assert!(Entry::decode(text.as_bytes()).is_ok());
        assert!(Entry::decode(text.replacen("{", "{\"name\":\"x\",", 1).as_bytes()).is_err());
        assert!(Entry::decode(text.replace("\"v\":1", "\"v\": 1").as_bytes()).is_err());
    }
}
