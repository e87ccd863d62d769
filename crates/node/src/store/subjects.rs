//! What the store keeps about single enterprises: scores given, objections, and certificates of what was deleted.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tally_crypto::sign::Envelope;
use tally_crypto::transcript::Digest;

use super::Store;
use super::records::{parse, text};
use crate::failure::{self, Failure};

impl Store {
    /// Keeps what belongs to a score, under its request's name; `tag` is the keyed hash of the enterprise.
    pub(crate) fn put_score(
        &self,
        request: &str,
        tag: &Digest,
        consent: &Digest,
        kept: &impl Serialize,
    ) -> Result<(), Failure> {
        let bytes = serde_json::to_vec(kept).map_err(failure::internal)?;
        let sealed = self.vault.seal("score", request, &bytes)?;
        let statement = "INSERT OR REPLACE INTO score (request, subject, consent, sealed) VALUES (?1, ?2, ?3, ?4)";
        self.execute(statement, (request, tag.as_bytes(), consent.as_bytes(), sealed)).map(drop)
    }

    /// Scores of an enterprise: request, consent, and what was kept.
    pub(crate) fn scores_of<T: DeserializeOwned>(&self, tag: &Digest) -> Result<Vec<(String, Digest, T)>, Failure> {
        let statement = "SELECT request, consent, sealed FROM score WHERE subject = ?1 ORDER BY rowid";
        let rows = self.rows(statement, [tag.as_bytes()], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, [u8; 32]>(1)?, row.get::<_, Vec<u8>>(2)?))
        })?;
        let open = |(request, consent, sealed): (String, [u8; 32], Vec<u8>)| {
            let kept = self.vault.open("score", &request, &sealed)?;
            Ok((request, Digest(consent), serde_json::from_slice(&kept).map_err(failure::internal)?))
        };
        rows.into_iter().map(open).collect()
    }

    /// All scores, in order: request and what was kept.
    pub(crate) fn scores<T: DeserializeOwned>(&self) -> Result<Vec<(String, T)>, Failure> {
        let rows = self.rows("SELECT request, sealed FROM score ORDER BY rowid", [], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?))
        })?;
        let open = |(request, sealed): (String, Vec<u8>)| {
            let kept = self.vault.open("score", &request, &sealed)?;
            let kept = serde_json::from_slice(&kept).map_err(failure::internal)?;
            Ok((request, kept))
        };
        rows.into_iter().map(open).collect()
    }

    /// Requests of scores, each with the consent that it rests on.
    pub(crate) fn score_consents(&self) -> Result<Vec<(String, Digest)>, Failure> {
        let rows = self.rows("SELECT request, consent FROM score ORDER BY rowid", [], |row| {
            Ok((row.get(0)?, Digest(row.get(1)?)))
        })?;
        Ok(rows)
    }

    /// Deletes what is kept of a score, and its answer under an idempotency key.
    pub(crate) fn erase_score(&self, request: &str) -> Result<(), Failure> {
        self.execute("DELETE FROM call WHERE request = ?1", [request])?;
        self.execute("DELETE FROM score WHERE request = ?1", [request]).map(drop)
    }

    /// Openings of entries in a range, in order: the entry, the salt, and the value; of one subject where its keyed hash is given.
    pub(crate) fn openings(
        &self,
        entries: std::ops::RangeInclusive<u64>,
        tag: Option<&Digest>,
    ) -> Result<Vec<(u64, [u8; 16], String)>, Failure> {
        let statement =
            "SELECT entry, sealed FROM opening WHERE entry BETWEEN ?1 AND ?2 AND (?3 IS NULL OR subject = ?3)
            ORDER BY entry";
        // The store counts to 2^63 - 1.
        let last = (*entries.end()).min(i64::MAX as u64);
        let tag = tag.map(|tag| tag.as_bytes().to_vec());
        let rows = self.rows(statement, (*entries.start(), last, tag), |row| {
            Ok((row.get::<_, u64>(0)?, row.get::<_, Vec<u8>>(1)?))
        })?;
        let open = |(entry, sealed): (u64, Vec<u8>)| {
            let opening = self.vault.open("opening", &entry.to_string(), &sealed)?;
            let (salt, value) =
                opening.split_first_chunk().ok_or_else(|| failure::internal("an opening is too short"))?;
            Ok((entry, *salt, String::from_utf8(value.to_vec()).map_err(failure::internal)?))
        };
        rows.into_iter().map(open).collect()
    }

    /// Numbers of openings of entries before `first`.
    pub(crate) fn openings_before(&self, first: u64) -> Result<Vec<u64>, Failure> {
        self.column("SELECT entry FROM opening WHERE entry < ?1 ORDER BY entry", [first])
    }

    /// Deletes an opening: its commitment in the log can be opened no more.
    pub(crate) fn erase_opening(&self, entry: u64) -> Result<(), Failure> {
        self.execute("DELETE FROM opening WHERE entry = ?1", [entry]).map(drop)
    }

    /// Keeps a case under its number; `tag` is the keyed hash of the enterprise.
    pub(crate) fn put_dispute(&self, number: u64, tag: &Digest, case: &impl Serialize) -> Result<(), Failure> {
        let bytes = serde_json::to_vec(case).map_err(failure::internal)?;
        let sealed = self.vault.seal("dispute", &number.to_string(), &bytes)?;
        let statement = "INSERT OR REPLACE INTO dispute (number, subject, sealed) VALUES (?1, ?2, ?3)";
        self.execute(statement, (number, tag.as_bytes(), sealed)).map(drop)
    }

    /// All cases, in order.
    pub(crate) fn disputes<T: DeserializeOwned>(&self) -> Result<Vec<T>, Failure> {
        let rows = self.rows("SELECT number, sealed FROM dispute ORDER BY number", [], |row| {
            Ok((row.get::<_, u64>(0)?, row.get::<_, Vec<u8>>(1)?))
        })?;
        let open = |(number, sealed): (u64, Vec<u8>)| {
            let case = self.vault.open("dispute", &number.to_string(), &sealed)?;
            serde_json::from_slice(&case).map_err(failure::internal)
        };
        rows.into_iter().map(open).collect()
    }

    /// Keeps a signed certificate.
    pub(crate) fn put_certificate(&self, envelope: &Envelope) -> Result<(), Failure> {
        self.execute("INSERT INTO certificate (envelope) VALUES (?1)", [text(envelope)?]).map(drop)
    }

    /// All certificates, in order.
    pub(crate) fn certificates(&self) -> Result<Vec<Envelope>, Failure> {
        let rows: Vec<String> = self.column("SELECT envelope FROM certificate ORDER BY number", [])?;
        rows.iter().map(|row| parse(row)).collect()
    }
}
