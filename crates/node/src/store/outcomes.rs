//! Outcomes of loans, sealed: at a bank what it recorded, at the platform what banks told.

use std::collections::BTreeSet;

use tally_crypto::transcript::Digest;

use super::Store;
use super::record::{Record, from_bytes, to_bytes};
use super::records::text;
use crate::failure::Failure;

impl Store {
    /// Keeps an outcome under the keyed hash of its application; `tag` is that of the enterprise, `consent` what a platform
    /// keeps it under.
    pub(crate) fn put_outcome(
        &self,
        name: &Digest,
        tag: &Digest,
        consent: &Digest,
        outcome: &impl Record,
    ) -> Result<(), Failure> {
        let sealed = self.vault.seal("outcome", &name.to_string(), &to_bytes(outcome)?)?;
        let statement = "INSERT INTO outcome (name, subject, consent, sealed) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT (name) DO UPDATE SET subject = ?2, consent = ?3, sealed = ?4";
        self.execute(statement, (name.as_bytes(), tag.as_bytes(), consent.as_bytes(), sealed)).map(drop)
    }

    /// The outcome of an application.
    pub(crate) fn outcome<T: Record>(&self, name: &Digest) -> Result<Option<T>, Failure> {
        let found = self.outcomes_where("name = ?1", [name.as_bytes()])?;
        Ok(found.into_iter().next())
    }

    /// All outcomes, in the order in which their applications came.
    pub(crate) fn outcomes<T: Record>(&self) -> Result<Vec<T>, Failure> {
        self.outcomes_where("1", [])
    }

    /// The outcomes of an enterprise.
    pub(crate) fn outcomes_of<T: Record>(&self, tag: &Digest) -> Result<Vec<T>, Failure> {
        self.outcomes_where("subject = ?1", [tag.as_bytes()])
    }

    /// Outcomes that are kept under a consent: their names, each with the consent.
    pub(crate) fn outcome_consents(&self) -> Result<Vec<(Digest, Digest)>, Failure> {
        let statement = "SELECT name, consent FROM outcome WHERE consent <> zeroblob(32) ORDER BY rowid";
        self.rows(statement, [], |row| Ok((Digest(row.get(0)?), Digest(row.get(1)?))))
    }

    /// Deletes an outcome.
    pub(crate) fn erase_outcome(&self, name: &Digest) -> Result<(), Failure> {
        self.execute("DELETE FROM outcome WHERE name = ?1", [name.as_bytes()]).map(drop)
    }

    /// Whether the score of a request is kept here as one of the enterprise whose keyed hash is `tag`.
    pub(crate) fn is_score_of(&self, request: &str, tag: &Digest) -> Result<bool, Failure> {
        let statement = "SELECT 1 FROM opening JOIN score USING (entry) WHERE subject = ?1 AND request = ?2";
        self.any(statement, (tag.as_bytes(), request))
    }

    /// Of these requests, those whose scores are kept here, of whomever; looks at every score, if there are any requests.
    pub(crate) fn kept_scores(&self, requests: &BTreeSet<&str>) -> Result<BTreeSet<String>, Failure> {
        if requests.is_empty() {
            return Ok(BTreeSet::new());
        }
        let statement = "SELECT request FROM score WHERE request IN (SELECT value FROM json_each(?1))";
        Ok(self.column(statement, [text(requests)?])?.into_iter().collect())
    }

    fn outcomes_where<T: Record>(&self, condition: &str, values: impl rusqlite::Params) -> Result<Vec<T>, Failure> {
        let statement = format!("SELECT name, sealed FROM outcome WHERE {condition} ORDER BY rowid");
        let rows = self.rows(&statement, values, |row| Ok((Digest(row.get(0)?), row.get::<_, Vec<u8>>(1)?)))?;
        let open = |(name, sealed): (Digest, Vec<u8>)| {
            let outcome = self.vault.open("outcome", &name.to_string(), &sealed)?;
            from_bytes("outcome", &outcome)
        };
        rows.into_iter().map(open).collect()
    }
}
