//! Consents, their events and uses, and what opens the log's commitments to them.

use rayon::prelude::*;
use tally_crypto::transcript::Digest;
use tally_policy::KeptConsent;

use super::{Store, Vault};
use crate::failure::{self, Failure};

impl Vault {
    /// A consent as it lies in the store.
    pub(crate) fn seal_consent(&self, digest: &Digest, kept: &KeptConsent) -> Result<Vec<u8>, Failure> {
        let bytes = postcard::to_allocvec(kept).map_err(failure::internal)?;
        self.seal("consent", &digest.to_string(), &bytes)
    }
}

impl Store {
    /// Seals values without the connection, so that many can be sealed at once.
    pub(crate) fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Adds a [sealed](Vault::seal_consent) consent that log entry `entry` covers; false if it is here already.
    pub(crate) fn add_consent(&self, digest: &Digest, entry: u64, sealed: &[u8]) -> Result<bool, Failure> {
        let statement = "INSERT OR IGNORE INTO consent (digest, entry, sealed) VALUES (?1, ?2, ?3)";
        Ok(self.execute(statement, (digest.as_bytes(), entry, sealed))? == 1)
    }

    /// Consents in order of arrival: at most `limit` after the number `after`, each with its number.
    pub(crate) fn consents(&self, after: u64, limit: usize) -> Result<Vec<(u64, KeptConsent)>, Failure> {
        let statement = "SELECT number, digest, sealed FROM consent WHERE number > ?1 ORDER BY number LIMIT ?2";
        let rows = self.rows(statement, (after, limit as u64), |row| {
            Ok((row.get(0)?, row.get::<_, [u8; 32]>(1)?, row.get::<_, Vec<u8>>(2)?))
        })?;
        let vault = &self.vault;
        let open = |(number, digest, sealed): (u64, [u8; 32], Vec<u8>)| {
            let kept = vault.open("consent", &Digest(digest).to_string(), &sealed)?;
            Ok((number, postcard::from_bytes(&kept).map_err(failure::record)?))
        };
        rows.into_par_iter().map(open).collect()
    }

    /// One consent, and the log entry that covers it.
    pub(crate) fn consent(&self, digest: &Digest) -> Result<Option<(u64, KeptConsent)>, Failure> {
        let statement = "SELECT entry, sealed FROM consent WHERE digest = ?1";
        let row = self.rows(statement, [digest.as_bytes()], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)))?.pop();
        let Some((entry, sealed)) = row else { return Ok(None) };
        let kept = self.vault.open("consent", &digest.to_string(), &sealed)?;
        Ok(Some((entry, postcard::from_bytes(&kept).map_err(failure::record)?)))
    }

    /// The consents that a log entry covers, in order.
    pub(crate) fn consents_of(&self, entry: u64) -> Result<Vec<Digest>, Failure> {
        let statement = "SELECT digest FROM consent WHERE entry = ?1 ORDER BY number";
        Ok(self.column(statement, [entry])?.into_iter().map(Digest).collect())
    }

    /// Adds a signed event; false if it is here already.
    pub(crate) fn add_consent_event(&self, digest: &Digest, document: &str) -> Result<bool, Failure> {
        let sealed = self.vault.seal("consent_event", &digest.to_string(), document.as_bytes())?;
        let statement = "INSERT OR IGNORE INTO consent_event (digest, sealed) VALUES (?1, ?2)";
        Ok(self.execute(statement, (digest.as_bytes(), sealed))? == 1)
    }

    /// All signed events, in order of arrival.
    pub(crate) fn consent_events(&self) -> Result<Vec<String>, Failure> {
        let rows = self.rows("SELECT digest, sealed FROM consent_event ORDER BY number", [], |row| {
            Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, Vec<u8>>(1)?))
        })?;
        let open = |(digest, sealed): ([u8; 32], Vec<u8>)| {
            let document = self.vault.open("consent_event", &Digest(digest).to_string(), &sealed)?;
            String::from_utf8(document).map_err(failure::record)
        };
        rows.into_iter().map(open).collect()
    }

    /// Counts one use of a consent by the decision entry that allowed it.
    pub(crate) fn count_use(&self, consent: &Digest, decision: u64, rows: u64, time: i64) -> Result<(), Failure> {
        let statement = "INSERT INTO consent_use (decision, digest, rows, time) VALUES (?1, ?2, ?3, ?4)";
        self.execute(statement, (decision, consent.as_bytes(), rows, time)).map(drop)
    }

    /// Shows every use that was counted, in order: consent, decision and time.
    pub(crate) fn each_use(&self, mut show: impl FnMut(Digest, u64, i64)) -> Result<(), Failure> {
        // However many rows there are: a list of nothings takes no memory.
        self.rows("SELECT digest, decision, time FROM consent_use", [], |row| {
            show(Digest(row.get(0)?), row.get(1)?, row.get(2)?);
            Ok(())
        })
        .map(drop)
    }

    /// The consents that a decision or clearance rests on.
    pub(crate) fn used_by(&self, decision: u64) -> Result<Vec<Digest>, Failure> {
        let statement = "SELECT digest FROM consent_use WHERE decision = ?1 ORDER BY digest";
        Ok(self.column(statement, [decision])?.into_iter().map(Digest).collect())
    }

    /// The consents that a clearance rests on, with the rows that each cleared.
    pub(crate) fn rows_by_consent(&self, decision: u64) -> Result<Vec<(Digest, u64)>, Failure> {
        let statement = "SELECT digest, rows FROM consent_use WHERE decision = ?1 ORDER BY digest";
        self.rows(statement, [decision], |row| Ok((Digest(row.get(0)?), row.get(1)?)))
    }

    /// Keeps what opens the commitment of a log entry: its salt and the subject, whose keyed hash is `tag`.
    pub(crate) fn put_opening(&self, entry: u64, tag: &Digest, salt: &[u8; 16], subject: &str) -> Result<(), Failure> {
        let opening = [salt.as_slice(), subject.as_bytes()].concat();
        let sealed = self.vault.seal("opening", &entry.to_string(), &opening)?;
        let statement = "INSERT INTO opening (entry, subject, sealed) VALUES (?1, ?2, ?3)";
        self.execute(statement, (entry, tag.as_bytes(), sealed)).map(drop)
    }

    /// The log entries about a subject, by its keyed hash.
    pub(crate) fn openings_of(&self, tag: &Digest) -> Result<Vec<u64>, Failure> {
        self.column("SELECT entry FROM opening WHERE subject = ?1 ORDER BY entry", [tag.as_bytes()])
    }
}
