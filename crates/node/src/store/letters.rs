//! Messages between nodes: numbered per peer, kept until acknowledged, taken in once and in order; of those taken in, what their
//! senders have signed.

use std::collections::BTreeMap;

use tally_audit::SignedReceipt;

use super::Store;
use crate::failure::Failure;

/// A message to a peer that may have to be sent again.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    /// The receiving party.
    pub(crate) peer: String,
    /// Its number in the stream to this peer, from 1.
    pub(crate) sequence: u64,
    /// The session it belongs to, or empty.
    pub(crate) session: String,
    /// What kind of message it is.
    pub(crate) kind: String,
    /// The log entry that covers it.
    pub(crate) entry: u64,
    /// The message.
    pub(crate) body: Vec<u8>,
}

/// The last message to a peer, and the last from it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Last {
    sent: u64,
    received: u64,
}

/// The same of every peer.
pub(super) type Peers = BTreeMap<String, Last>;

impl Store {
    /// The next number in the stream to `peer`.
    pub(crate) fn next_sequence(&self, peer: &str) -> Result<u64, Failure> {
        let last = self.last_of(peer)?;
        let sent = last.sent + 1;
        self.put_last(peer, Last { sent, ..last }).map(|()| sent)
    }

    /// Keeps a message until it is acknowledged.
    pub(crate) fn post(&self, letter: &Letter) -> Result<(), Failure> {
        let sealed = self.vault.seal("outbox", &place(&letter.peer, letter.sequence), &letter.body)?;
        self.execute(
            "INSERT INTO outbox (peer, sequence, session, kind, entry, sealed) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            (&letter.peer, letter.sequence, &letter.session, &letter.kind, letter.entry, sealed),
        )?;
        Ok(())
    }

    /// The first message behind number `last` that `peer` has not acknowledged.
    pub(crate) fn next_unacknowledged(&self, peer: &str, last: u64) -> Result<Option<Letter>, Failure> {
        let statement = "SELECT sequence, session, kind, entry, sealed FROM outbox WHERE peer = ?1 AND sequence > ?2
            ORDER BY sequence LIMIT 1";
        let row = self.rows(statement, (peer, last), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get::<_, Vec<u8>>(4)?))
        })?;
        let open = |(sequence, session, kind, entry, sealed): (u64, String, String, u64, Vec<u8>)| {
            let body = self.vault.open("outbox", &place(peer, sequence), &sealed)?;
            Ok(Letter { peer: peer.into(), sequence, session, kind, entry, body })
        };
        row.into_iter().next().map(open).transpose()
    }

    /// Whether a message of this kind to `peer` has not been acknowledged.
    pub(crate) fn is_under_way(&self, peer: &str, kind: &str) -> Result<bool, Failure> {
        self.any("SELECT 1 FROM outbox WHERE peer = ?1 AND kind = ?2", [peer, kind])
    }

    /// Forgets what `peer` has acknowledged, up to and including `sequence`.
    pub(crate) fn acknowledged(&self, peer: &str, sequence: u64) -> Result<(), Failure> {
        self.execute("DELETE FROM outbox WHERE peer = ?1 AND sequence <= ?2", (peer, sequence)).map(drop)
    }

    /// The number of the last message taken in from `peer`, 0 if none.
    pub(crate) fn received(&self, peer: &str) -> Result<u64, Failure> {
        Ok(self.last_of(peer)?.received)
    }

    /// Notes that the message `sequence` of `peer` is taken in, under this receipt.
    pub(crate) fn take_in(&self, peer: &str, sequence: u64, receipt: &SignedReceipt) -> Result<(), Failure> {
        self.execute("INSERT INTO receipt (peer, signed) VALUES (?1, ?2)", (peer, receipt.encode()))?;
        let last = self.last_of(peer)?;
        self.put_last(peer, Last { received: sequence, ..last })
    }

    /// Receipts of `peer` among the `span` behind number `after` of this store, in order; with the last number looked at, if
    /// there are further ones.
    pub(crate) fn receipts(&self, peer: &str, after: u64, span: u64) -> Result<(Vec<Vec<u8>>, Option<u64>), Failure> {
        // The store counts to 2^63 - 1.
        let end = after.saturating_add(span).min(i64::MAX as u64);
        let statement = "SELECT signed FROM receipt WHERE number > ?1 AND number <= ?2 AND peer = ?3 ORDER BY number";
        let found = self.column(statement, (after.min(end), end, peer))?;
        let last: Option<u64> = self.column("SELECT number FROM receipt ORDER BY number DESC LIMIT 1", [])?.pop();
        Ok((found, last.filter(|last| *last > end).map(|_| end)))
    }

    fn last_of(&self, peer: &str) -> Result<Last, Failure> {
        let peers = self.peers.or_read(|| {
            let rows = self.rows("SELECT name, sent, received FROM peer", [], |row| {
                Ok((row.get(0)?, Last { sent: row.get(1)?, received: row.get(2)? }))
            })?;
            Ok(rows.into_iter().collect())
        })?;
        Ok(peers.get(peer).copied().unwrap_or_default())
    }

    fn put_last(&self, peer: &str, last: Last) -> Result<(), Failure> {
        let statement = "INSERT OR REPLACE INTO peer (name, sent, received) VALUES (?1, ?2, ?3)";
        self.execute(statement, (peer, last.sent, last.received))?;
        self.peers.change(|peers| {
            peers.insert(peer.into(), last);
        });
        Ok(())
    }
}

fn place(peer: &str, sequence: u64) -> String {
    format!("{peer}/{sequence}")
}
