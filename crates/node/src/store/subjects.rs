//! What the store keeps about single enterprises: scores given, objections, and certificates of what was deleted.

use tally_crypto::sign::Envelope;
use tally_crypto::transcript::Digest;

use super::Store;
use super::record::{Record, from_bytes, to_bytes};
use super::records::{parse, text};
use crate::failure::{self, Failure};

impl Store {
    /// Keeps what belongs to a score, under its request's name; the [opening](Store::put_opening) of `entry` tells whose it is.
    pub(crate) fn put_score(
        &self,
        entry: u64,
        request: &str,
        consent: &Digest,
        kept: &impl Record,
    ) -> Result<(), Failure> {
        let sealed = self.vault.seal("score", request, &to_bytes(kept)?)?;
        let statement = "INSERT OR REPLACE INTO score (entry, request, consent, sealed) VALUES (?1, ?2, ?3, ?4)";
        self.execute(statement, (entry, request, consent.as_bytes(), sealed)).map(drop)
    }

    /// Scores of an enterprise, by its keyed hash: request, consent, and what was kept.
    pub(crate) fn scores_of<T: Record>(&self, tag: &Digest) -> Result<Vec<(String, Digest, T)>, Failure> {
        let statement = "SELECT request, consent, score.sealed FROM opening JOIN score USING (entry) WHERE subject = ?1 ORDER BY entry";
        let rows = self.rows(statement, [tag.as_bytes()], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, [u8; 32]>(1)?, row.get::<_, Vec<u8>>(2)?))
        })?;
        let open = |(request, consent, sealed): (String, [u8; 32], Vec<u8>)| {
            let kept = self.vault.open("score", &request, &sealed)?;
            Ok((request, Digest(consent), from_bytes("score", &kept)?))
        };
        rows.into_iter().map(open).collect()
    }

    /// All scores, in order: request and what was kept.
    pub(crate) fn scores<T: Record>(&self) -> Result<Vec<(String, T)>, Failure> {
        let rows = self.rows("SELECT request, sealed FROM score ORDER BY entry", [], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?))
        })?;
        let open = |(request, sealed): (String, Vec<u8>)| {
            let kept = self.vault.open("score", &request, &sealed)?;
            Ok((request, from_bytes("score", &kept)?))
        };
        rows.into_iter().map(open).collect()
    }

    /// Scores by their entries and requests, each with the consent that it rests on.
    pub(crate) fn score_consents(&self) -> Result<Vec<(u64, String, Digest)>, Failure> {
        self.rows("SELECT entry, request, consent FROM score ORDER BY entry", [], |row| {
            Ok((row.get(0)?, row.get(1)?, Digest(row.get(2)?)))
        })
    }

    /// Deletes what is kept of a score, and its answer under an idempotency key.
    pub(crate) fn erase_score(&self, entry: u64, request: &str) -> Result<(), Failure> {
        self.execute("DELETE FROM call WHERE request = ?1", [request])?;
        self.execute("DELETE FROM score WHERE entry = ?1", [entry]).map(drop)
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
                opening.split_first_chunk().ok_or_else(|| failure::record("an opening is too short"))?;
            Ok((entry, *salt, String::from_utf8(value.to_vec()).map_err(failure::record)?))
        };
        rows.into_iter().map(open).collect()
    }

    /// Numbers of openings of entries before `first`, but for those that tell whose a score is.
    pub(crate) fn openings_before(&self, first: u64) -> Result<Vec<u64>, Failure> {
        let statement =
            "SELECT entry FROM opening WHERE entry < ?1 AND entry NOT IN (SELECT entry FROM score) ORDER BY entry";
        self.column(statement, [first])
    }

    /// Deletes an opening: its commitment in the log can be opened no more.
    pub(crate) fn erase_opening(&self, entry: u64) -> Result<(), Failure> {
        self.execute("DELETE FROM opening WHERE entry = ?1", [entry]).map(drop)
    }

    /// Keeps a case under its number; `tag` is the keyed hash of the enterprise.
    pub(crate) fn put_dispute(&self, number: u64, tag: &Digest, case: &impl Record) -> Result<(), Failure> {
        let sealed = self.vault.seal("dispute", &number.to_string(), &to_bytes(case)?)?;
        let statement = "INSERT OR REPLACE INTO dispute (number, subject, sealed) VALUES (?1, ?2, ?3)";
        self.execute(statement, (number, tag.as_bytes(), sealed)).map(drop)
    }

    /// All cases, in order.
    pub(crate) fn disputes<T: Record>(&self) -> Result<Vec<T>, Failure> {
        let rows = self.rows("SELECT number, sealed FROM dispute ORDER BY number", [], |row| {
            Ok((row.get::<_, u64>(0)?, row.get::<_, Vec<u8>>(1)?))
        })?;
        let open = |(number, sealed): (u64, Vec<u8>)| {
            let case = self.vault.open("dispute", &number.to_string(), &sealed)?;
            from_bytes("dispute", &case)
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
