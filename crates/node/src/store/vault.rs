//! Sealing of columns: a value opens only under the node's key and in the row where it was put.

use tally_crypto::seal;
use tally_crypto::seed::Seed;

use crate::failure::{self, Failure};

/// The storage key and its two verbs.
pub(crate) struct Vault {
    key: Seed,
}

impl Vault {
    pub(crate) fn new(key: Seed) -> Self {
        Self { key }
    }

    /// Seals `value` for the row `place` of `table`.
    pub(crate) fn seal(&self, table: &str, place: &str, value: &[u8]) -> Result<Vec<u8>, Failure> {
        seal::seal_at_rest(&self.key, &context(table, place), value).map_err(failure::internal)
    }

    /// Opens the value of the row `place` of `table`.
    pub(crate) fn open(&self, table: &str, place: &str, sealed: &[u8]) -> Result<Vec<u8>, Failure> {
        seal::open_at_rest(&self.key, &context(table, place), sealed).map_err(|_| {
            failure::unread(format!("store: a row of table `{table}` does not open: restore the store from the backup"))
        })
    }
}

fn context(table: &str, place: &str) -> Vec<u8> {
    format!("{table}/{place}").into_bytes()
}
