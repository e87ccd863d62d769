//! What the scoring service keeps: tokens, and answers by idempotency key.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tally_crypto::transcript::Digest;

use super::Store;
use super::record::{Record, from_bytes, to_bytes};
use super::records::{parse, text};
use crate::failure::Failure;

impl Store {
    pub(crate) fn put_token(&self, name: &str, record: &impl Serialize) -> Result<(), Failure> {
        self.execute("INSERT OR REPLACE INTO token (name, record) VALUES (?1, ?2)", (name, text(record)?)).map(drop)
    }

    /// Tokens by name.
    pub(crate) fn tokens<T: DeserializeOwned>(&self) -> Result<Vec<T>, Failure> {
        let records: Vec<String> = self.column("SELECT record FROM token ORDER BY name", [])?;
        records.iter().map(|record| parse(record)).collect()
    }

    /// Keeps a call under its key, for `request` to the platform, until `expires`.
    pub(crate) fn put_call(
        &self,
        key: &Digest,
        body: &Digest,
        request: &str,
        expires: i64,
        kept: &impl Record,
    ) -> Result<(), Failure> {
        let sealed = self.seal_call(request, kept)?;
        let statement = "INSERT OR REPLACE INTO call (key, body, request, expires, sealed) VALUES (?1, ?2, ?3, ?4, ?5)";
        self.execute(statement, (key.as_bytes(), body.as_bytes(), request, expires, sealed)).map(drop)
    }

    /// Puts the answer to what is kept under a key.
    pub(crate) fn answer_call(&self, key: &Digest, request: &str, kept: &impl Record) -> Result<(), Failure> {
        let sealed = self.seal_call(request, kept)?;
        let statement = "UPDATE call SET sealed = ?3 WHERE key = ?1 AND request = ?2";
        self.execute(statement, (key.as_bytes(), request, sealed)).map(drop)
    }

    /// Body, request and what is kept under a key that has not expired.
    pub(crate) fn call<T: Record>(&self, key: &Digest, now: i64) -> Result<Option<(Digest, String, T)>, Failure> {
        let statement = "SELECT body, request, sealed FROM call WHERE key = ?1 AND expires > ?2";
        let row = self.rows(statement, (key.as_bytes(), now), |row| {
            Ok((Digest(row.get(0)?), row.get::<_, String>(1)?, row.get::<_, Vec<u8>>(2)?))
        })?;
        let open = |(body, request, sealed): (Digest, String, Vec<u8>)| {
            let kept = self.open_call(&request, &sealed)?;
            Ok((body, request, kept))
        };
        row.into_iter().next().map(open).transpose()
    }

    /// What is kept for a request to the platform.
    pub(crate) fn call_of<T: Record>(&self, request: &str) -> Result<Option<T>, Failure> {
        let sealed: Option<Vec<u8>> = self.column("SELECT sealed FROM call WHERE request = ?1", [request])?.pop();
        sealed.map(|sealed| self.open_call(request, &sealed)).transpose()
    }

    /// Forgets a key: what is asked under it next is new.
    pub(crate) fn forget_call(&self, key: &Digest) -> Result<(), Failure> {
        self.execute("DELETE FROM call WHERE key = ?1", [key.as_bytes()]).map(drop)
    }

    /// Forgets every key that has expired.
    pub(crate) fn forget_calls(&self, now: i64) -> Result<(), Failure> {
        self.execute("DELETE FROM call WHERE expires <= ?1", [now]).map(drop)
    }

    fn seal_call(&self, request: &str, kept: &impl Record) -> Result<Vec<u8>, Failure> {
        self.vault.seal("call", request, &to_bytes(kept)?)
    }

    fn open_call<T: Record>(&self, request: &str, sealed: &[u8]) -> Result<T, Failure> {
        from_bytes("call", &self.vault.open("call", request, sealed)?)
    }
}
