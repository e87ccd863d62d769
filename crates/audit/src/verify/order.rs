//! Schema and order of entries: what can be said of each with what came before it.

use std::collections::BTreeMap;

use tally_crypto::transcript::Digest;

use crate::entry::{Body, Entry};

/// What is known of the entries so far.
#[derive(Debug, Default)]
pub struct Order {
    next: u64,
    node: Option<String>,
    time: i64,
    /// Of each session, the number and leaf hash of its last entry.
    sessions: BTreeMap<String, (u64, Digest)>,
}

impl Order {
    /// Whose entries these are, once there is one.
    pub fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }

    /// Reads the next entry.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn next(&mut self, bytes: &[u8], leaf: &Digest) -> Result<Entry, String> {
        let entry = Entry::decode(bytes)?;
        let first = self.node.is_none();
        let node = self.node.get_or_insert_with(|| entry.node.clone());
        if entry.v != 1 || entry.index != self.next || entry.node != *node {
            return Err("carries another version, place or node".into());
        }
        if !first && entry.time < self.time {
            return Err("is earlier than the entry before".into());
        }
        if first != matches!(entry.body, Body::Genesis { .. }) {
            return Err("a log begins with its genesis, once".into());
        }
        self.follow(&entry, leaf)?;
        self.time = entry.time;
        self.next += 1;
        Ok(entry)
    }

    /// Number and link within the session.
    fn follow(&mut self, entry: &Entry, leaf: &Digest) -> Result<(), String> {
        let wrong = || "does not follow the session's entry before".to_owned();
        let Some(session) = &entry.session else {
            return if entry.seq.is_none() && entry.prev.is_none() { Ok(()) } else { Err(wrong()) };
        };
        match self.sessions.get_mut(session) {
            Some((last, before)) if entry.seq == Some(*last + 1) && entry.prev == Some(*before) => {
                (*last, *before) = (*last + 1, *leaf);
                Ok(())
            }
            None if entry.seq == Some(0) && entry.prev.is_none() => {
                self.sessions.insert(session.clone(), (0, *leaf));
                Ok(())
            }
            _ => Err(wrong()),
        }
    }
}
