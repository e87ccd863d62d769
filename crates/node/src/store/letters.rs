//! Messages between nodes: numbered per peer, kept until acknowledged, taken in once and in order; of those taken in, what their
//! senders have signed.

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

impl Store {
    /// The next number in the stream to `peer`.
    pub(crate) fn next_sequence(&self, peer: &str) -> Result<u64, Failure> {
        self.execute("INSERT OR IGNORE INTO peer (name, sent, received) VALUES (?1, 0, 0)", [peer])?;
        self.execute("UPDATE peer SET sent = sent + 1 WHERE name = ?1", [peer])?;
        Ok(self.column("SELECT sent FROM peer WHERE name = ?1", [peer])?.pop().unwrap_or(1))
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

    /// The messages that `peer` has not acknowledged, in order.
    pub(crate) fn unacknowledged(&self, peer: &str) -> Result<Vec<Letter>, Failure> {
        let rows = self.rows(
            "SELECT sequence, session, kind, entry, sealed FROM outbox WHERE peer = ?1 ORDER BY sequence",
            [peer],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get::<_, Vec<u8>>(4)?)),
        )?;
        let open = |(sequence, session, kind, entry, sealed): (u64, String, String, u64, Vec<u8>)| {
            let body = self.vault.open("outbox", &place(peer, sequence), &sealed)?;
            Ok(Letter { peer: peer.into(), sequence, session, kind, entry, body })
        };
        rows.into_iter().map(open).collect()
    }

    /// Forgets what `peer` has acknowledged, up to and including `sequence`.
    pub(crate) fn acknowledged(&self, peer: &str, sequence: u64) -> Result<(), Failure> {
        self.execute("DELETE FROM outbox WHERE peer = ?1 AND sequence <= ?2", (peer, sequence)).map(drop)
    }

    /// The number of the last message taken in from `peer`, 0 if none.
    pub(crate) fn received(&self, peer: &str) -> Result<u64, Failure> {
        Ok(self.column("SELECT received FROM peer WHERE name = ?1", [peer])?.pop().unwrap_or(0))
    }

    /// Notes that the message `sequence` of `peer` is taken in, under this receipt.
    pub(crate) fn take_in(&self, peer: &str, sequence: u64, receipt: &SignedReceipt) -> Result<(), Failure> {
        let keep = "INSERT OR REPLACE INTO receipt (peer, sequence, signed) VALUES (?1, ?2, ?3)";
        self.execute(keep, (peer, sequence, receipt.encode()))?;
        self.execute("INSERT OR IGNORE INTO peer (name, sent, received) VALUES (?1, 0, 0)", [peer])?;
        self.execute("UPDATE peer SET received = ?2 WHERE name = ?1", (peer, sequence)).map(drop)
    }

    /// Receipts of `peer` for the messages behind `sequence`, in order, `most` of them: each with its message's number.
    pub(crate) fn receipts(&self, peer: &str, sequence: u64, most: u64) -> Result<Vec<(u64, Vec<u8>)>, Failure> {
        let statement =
            "SELECT sequence, signed FROM receipt WHERE peer = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3";
        self.rows(statement, (peer, sequence, most), |row| Ok((row.get(0)?, row.get(1)?)))
    }
}

fn place(peer: &str, sequence: u64) -> String {
    format!("{peer}/{sequence}")
}
