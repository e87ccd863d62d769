//! What each bank has got of the platform's data: fields with their bins, and row sets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;
use tally_protocol::session::BinTable;

use super::Store;
use crate::failure::{self, Failure};

/// One release of codes to a bank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Disclosed {
    /// The session.
    pub(crate) session: String,
    /// The fields with the bins that their codes stand for.
    pub(crate) tables: Vec<(String, BinTable)>,
    /// Names the set of rows.
    pub(crate) rows: Digest,
}

/// Names of the fields that were released, by grantee and data set.
pub(super) type Fields = BTreeMap<(String, String), BTreeSet<String>>;

impl Store {
    /// Notes a release that is about to leave.
    pub(crate) fn put_disclosed(&self, grantee: &str, dataset: &str, release: &Disclosed) -> Result<(), Failure> {
        self.disclosed.forget();
        let bytes = serde_json::to_vec(release).map_err(failure::internal)?;
        let sealed = self.vault.seal("disclosure", &format!("{}/{grantee}", release.session), &bytes)?;
        let statement = "INSERT INTO disclosure (session, grantee, dataset, sealed) VALUES (?1, ?2, ?3, ?4)";
        self.execute(statement, (&release.session, grantee, dataset, sealed)).map(drop)
    }

    /// What a bank has got of a data set, whatever its day, in order.
    pub(crate) fn disclosed(&self, grantee: &str, dataset: &str) -> Result<Vec<Disclosed>, Failure> {
        let statement = "SELECT session, sealed FROM disclosure WHERE grantee = ?1 AND dataset = ?2 ORDER BY rowid";
        let rows = self.rows(statement, [grantee, dataset], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)))?;
        let open = |(session, sealed): (String, Vec<u8>)| {
            let bytes = self.vault.open("disclosure", &format!("{session}/{grantee}"), &sealed)?;
            serde_json::from_slice(&bytes).map_err(failure::record)
        };
        rows.into_iter().map(open).collect()
    }

    /// Names of the fields that were released, by grantee and data set.
    pub(crate) fn disclosed_fields(&self) -> Result<Arc<Fields>, Failure> {
        self.disclosed.or_read(|| {
            let mut fields = Fields::new();
            let places = self.rows("SELECT DISTINCT grantee, dataset FROM disclosure", [], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
            })?;
            for (grantee, dataset) in places {
                let releases = self.disclosed(&grantee, &dataset)?;
                let names = releases.into_iter().flat_map(|release| release.tables).map(|(name, _)| name);
                fields.insert((grantee, dataset), names.collect());
            }
            Ok(fields)
        })
    }

    /// Keeps a set of rows under its digest.
    pub(crate) fn put_row_set(&self, set: &Digest, names: &[u8]) -> Result<(), Failure> {
        let sealed = self.vault.seal("row-set", &set.to_string(), names)?;
        self.execute("INSERT OR IGNORE INTO row_set (digest, sealed) VALUES (?1, ?2)", (set.as_bytes(), sealed))
            .map(drop)
    }

    /// A set of rows.
    pub(crate) fn row_set(&self, set: &Digest) -> Result<Vec<u8>, Failure> {
        let sealed: Option<Vec<u8>> =
            self.column("SELECT sealed FROM row_set WHERE digest = ?1", [set.as_bytes()])?.pop();
        let sealed = sealed.ok_or_else(|| failure::internal("a set of rows is missing from the store"))?;
        self.vault.open("row-set", &set.to_string(), &sealed)
    }
}
