//! Write-ahead: a message may leave only with the receipt of a durable entry.
//!
//! A [`Receipt`] has private fields. It comes from [`Ledger::receipt`], which knows only entries that were read back from the
//! store or that [`Ledger::settle`] has seen become durable. Entries of several steps are staged one after another and become
//! durable together: the disk is waited for once.

use std::collections::BTreeMap;

use tally_crypto::merkle::{Frontier, leaf_hash};
use tally_crypto::transcript::Digest;

use crate::entry::{Body, Entry};

/// Proof that an entry is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    index: u64,
    leaf: Digest,
    time: i64,
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

    /// Time of the entry, Unix milliseconds: the same however often the receipt is asked for.
    pub fn time(&self) -> i64 {
        self.time
    }
}

/// What a node must know of its log to go on with it.
#[derive(Clone, Debug)]
pub struct Ledger {
    node: String,
    frontier: Frontier,
    /// Leaf hash and time of every entry.
    durable: Vec<(Digest, i64)>,
    sessions: BTreeMap<String, (u64, Digest)>,
    time: i64,
    staged: Vec<(Entry, Digest)>,
    ahead: Head,
}

/// Where the next entry goes, with the sessions that have moved on.
#[derive(Clone, Debug)]
struct Head {
    size: u64,
    sessions: BTreeMap<String, (u64, Digest)>,
    time: i64,
}

/// Why a log cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// A stored entry cannot be read.
    #[error("log entry {0} of the store cannot be read: {1}")]
    Entry(u64, String),
    /// A stored entry does not follow the one before it.
    #[error("log entry {found} of the store stands where entry {expected} should: restore the store from a copy")]
    Gap {
        /// Number that follows.
        expected: u64,
        /// Number that was found.
        found: u64,
    },
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
            durable: Vec::new(),
            sessions: BTreeMap::new(),
            time: i64::MIN,
            staged: Vec::new(),
            ahead: Head { size: 0, sessions: BTreeMap::new(), time: i64::MIN },
        }
    }

    /// Takes in a stored entry that follows.
    ///
    /// # Errors
    /// Names the entry if it cannot be read, or has the number of another.
    pub fn replay(&mut self, bytes: &[u8]) -> Result<(), LedgerError> {
        let entry = Entry::decode(bytes).map_err(|reason| LedgerError::Entry(self.size(), reason))?;
        if entry.index != self.size() {
            return Err(LedgerError::Gap { expected: self.size(), found: entry.index });
        }
        self.take(&entry, leaf_hash(bytes));
        self.look_ahead();
        Ok(())
    }

    /// Durable entries.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Durable and staged entries: the place of the next one.
    pub fn next(&self) -> u64 {
        self.ahead.size
    }

    /// Root over the durable entries.
    pub fn root(&self) -> Digest {
        self.frontier.root()
    }

    /// The receipt of a durable entry.
    pub fn receipt(&self, index: u64) -> Option<Receipt> {
        let (leaf, time) = *self.durable.get(usize::try_from(index).ok()?)?;
        Some(Receipt { index, leaf, time })
    }

    /// Begins a batch of entries that are staged together, after those that are staged already.
    pub fn batch(&mut self) -> Batch<'_> {
        let next = Head { sessions: BTreeMap::new(), ..self.ahead };
        Batch { next, entries: Vec::new(), ledger: self }
    }

    /// Has `commit` make everything staged durable; then it is part of the log.
    ///
    /// # Errors
    /// Passes on the failure of `commit`; nothing is staged any more then.
    pub fn settle<E>(&mut self, commit: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let staged = std::mem::take(&mut self.staged);
        let outcome = commit();
        if outcome.is_ok() {
            for (entry, leaf) in &staged {
                self.take(entry, *leaf);
            }
        }
        self.look_ahead();
        outcome
    }

    fn look_ahead(&mut self) {
        self.ahead = Head { size: self.size(), sessions: BTreeMap::new(), time: self.time };
    }

    fn take(&mut self, entry: &Entry, leaf: Digest) {
        self.frontier.append(leaf);
        self.durable.push((leaf, entry.time));
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

impl Batch<'_> {
    /// Place of its first entry in the log.
    pub fn first(&self) -> u64 {
        self.ledger.next()
    }

    /// Adds an entry; its place in the log.
    ///
    /// # Errors
    /// Fails if the entry is longer than the format allows.
    pub fn append(&mut self, session: Option<&str>, time: i64, actor: &str, body: Body) -> Result<u64, LedgerError> {
        // A clock that goes back must not break the order of the log.
        let time = time.max(self.next.time);
        let known = session.map(|name| {
            let [ahead, durable] = [&self.ledger.ahead.sessions, &self.ledger.sessions];
            self.next.sessions.get(name).or_else(|| ahead.get(name)).or_else(|| durable.get(name)).copied()
        });
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

    /// Has `write` lay the entries down in the transaction that [`Ledger::settle`] will commit.
    ///
    /// # Errors
    /// Passes on the failure of `write`; the ledger is then as it was.
    pub fn stage<E>(mut self, write: impl FnOnce(&[Vec<u8>]) -> Result<(), E>) -> Result<(), E> {
        self.lay(write)
    }

    /// Stages and settles a batch that is a transaction of its own.
    ///
    /// # Errors
    /// Passes on the failure of `write`; the ledger is then as it was.
    pub fn commit<E>(mut self, write: impl FnOnce(&[Vec<u8>]) -> Result<(), E>) -> Result<(), E> {
        self.lay(write)?;
        self.ledger.settle(|| Ok(()))
    }

    fn lay<E>(&mut self, write: impl FnOnce(&[Vec<u8>]) -> Result<(), E>) -> Result<(), E> {
        let (entries, bytes): (Vec<_>, Vec<_>) = std::mem::take(&mut self.entries).into_iter().unzip();
        write(&bytes)?;
        self.ledger.staged.extend(entries.into_iter().zip(bytes.iter().map(|bytes| leaf_hash(bytes))));
        self.ledger.ahead.sessions.append(&mut self.next.sessions);
        (self.ledger.ahead.size, self.ledger.ahead.time) = (self.next.size, self.next.time);
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
        assert_eq!(batch.stage(|_| Err("disk full")), Err("disk full"));
        assert_eq!(ledger.next(), 0);
        let mut lay = |bytes: &[Vec<u8>]| -> Result<(), ()> {
            stored = [stored.as_slice(), bytes].concat();
            Ok(())
        };
        for (time, n) in [(5, 1), (4, 2)] {
            let mut batch = ledger.batch();
            batch.append(Some("s"), time, "n", body(n)).unwrap();
            batch.stage(&mut lay).unwrap();
        }
        assert_eq!((ledger.next(), ledger.size(), ledger.receipt(0)), (2, 0, None));
        ledger.settle(|| Ok::<_, ()>(())).unwrap();
        assert_eq!(ledger.receipt(1).map(|receipt| (receipt.index(), receipt.time())), Some((1, 5)));
        let second = Entry::decode(&stored[1]).unwrap();
        assert_eq!((second.seq, second.prev, second.time), (Some(1), ledger.receipt(0).map(|r| r.leaf()), 5));
        let recovered = Ledger::recover("n", stored).unwrap();
        assert_eq!((recovered.root(), recovered.size()), (ledger.root(), 2));
    }

    #[test]
    fn a_store_with_a_gap_is_no_log() {
        let mut ledger = Ledger::new("n");
        let mut stored = Vec::new();
        let mut batch = ledger.batch();
        for n in 0..3 {
            batch.append(None, 5, "n", body(n)).unwrap();
        }
        let lay = |bytes: &[Vec<u8>]| -> Result<(), ()> {
            stored = bytes.to_vec();
            Ok(())
        };
        batch.stage(lay).unwrap();
        assert_eq!(Ledger::recover("n", stored.clone()).unwrap().size(), 3);
        stored.remove(1);
        let gap = Ledger::recover("n", stored).unwrap_err();
        assert_eq!(gap, LedgerError::Gap { expected: 1, found: 2 });
    }

    #[test]
    fn what_did_not_become_durable_is_not_in_the_log() {
        let mut ledger = Ledger::recover("n", []).unwrap();
        let mut batch = ledger.batch();
        batch.append(Some("s"), 5, "n", body(1)).unwrap();
        batch.stage(|_| Ok::<_, ()>(())).unwrap();
        assert_eq!(ledger.settle(|| Err("disk full")), Err("disk full"));
        assert_eq!((ledger.next(), ledger.size(), ledger.receipt(0)), (0, 0, None));
        let mut batch = ledger.batch();
        let mut text = String::new();
        assert_eq!(batch.append(Some("s"), 1, "n", body(3)), Ok(0));
        batch.stage(|bytes| String::from_utf8(bytes[0].clone()).map(|line| text = line)).unwrap();
        let entry = Entry::decode(text.as_bytes()).unwrap();
        assert_eq!((entry.seq, entry.prev, entry.time), (Some(0), None, 1));
    }

    #[test]
    fn unknown_fields_are_refused() {
        let mut ledger = Ledger::recover("n", []).unwrap();
        let mut batch = ledger.batch();
        batch.append(None, 1, "n", body(1)).unwrap();
        let mut text = String::new();
        batch.stage(|bytes| String::from_utf8(bytes[0].clone()).map(|line| text = line)).unwrap();
        assert!(Entry::decode(text.as_bytes()).is_ok());
        assert!(Entry::decode(text.replacen("{", "{\"name\":\"x\",", 1).as_bytes()).is_err());
        assert!(Entry::decode(text.replace("\"v\":1", "\"v\": 1").as_bytes()).is_err());
    }
}
