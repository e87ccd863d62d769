//! What everything random of a session is made from: 32 bytes, drawn once, gone for good when they are erased.
//!
//! A deleted row is overwritten with zeros (`secure_delete`), but the pages as they were before lie on in the write-ahead log
//! until it is used again; so it is emptied after the commit that erases. What a file system or a disk keeps of blocks that
//! were given back, and what a backup holds, is out of this program's reach.

use tally_crypto::seed::Seed;

use super::Store;
use crate::failure::{self, Failure};

const TABLE: &str = "session_secret";

impl Store {
    /// Draws the secret of a session that starts.
    ///
    /// # Errors
    /// Fails if the session has one already, or the operating system gives no randomness.
    pub(crate) fn draw_secret(&self, session: &str) -> Result<(), Failure> {
        let secret = Seed::from_os().map_err(failure::internal)?;
        let sealed = self.vault.seal(TABLE, session, secret.expose())?;
        let statement = "INSERT INTO session_secret (session, sealed) VALUES (?1, ?2)";
        self.execute(statement, (session, sealed)).map(drop)
    }

    /// The secret of a session; none once it was erased.
    pub(crate) fn secret(&self, session: &str) -> Result<Option<Seed>, Failure> {
        let statement = "SELECT sealed FROM session_secret WHERE session = ?1";
        let sealed: Option<Vec<u8>> = self.column(statement, [session])?.pop();
        let Some(sealed) = sealed else { return Ok(None) };
        let bytes = zeroize::Zeroizing::new(self.vault.open(TABLE, session, &sealed)?);
        let secret = bytes.as_slice().try_into().map_err(|_| failure::internal("a session's secret has 32 bytes"))?;
        Ok(Some(Seed::new(secret)))
    }

    /// Erases what a session was made from: its secret, and its journal with the rows that it opened.
    pub(crate) fn erase_session(&self, session: &str) -> Result<(), Failure> {
        self.execute("DELETE FROM session_secret WHERE session = ?1", [session])?;
        self.execute("DELETE FROM journal WHERE session = ?1", [session])?;
        self.erased.set(true);
        Ok(())
    }

    /// Takes over what the write-ahead log holds, and cuts it to nothing.
    pub(super) fn empty_log(&self) -> Result<(), Failure> {
        self.run("PRAGMA wal_checkpoint(TRUNCATE)")
    }
}

#[cfg(test)]
mod tests;
