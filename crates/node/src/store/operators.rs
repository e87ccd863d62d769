//! Persons who act at this node, changes of them that wait for signatures, and the orders that they gave.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tally_audit::order::SignedOrder;
use tally_crypto::sign::VerifyKey;
use tally_crypto::transcript::Digest;

use super::Store;
use super::records::{OperatorRole, parse, text};
use crate::failure::{self, Failure};

/// A person who acts at this node, by a key of their own.
#[derive(Clone, Debug)]
pub(crate) struct Operator {
    /// Name.
    pub(crate) name: String,
    /// Public key.
    pub(crate) key: VerifyKey,
    /// What they may do.
    pub(crate) role: OperatorRole,
    /// When they ceased to be one, Unix milliseconds.
    pub(crate) ended: Option<i64>,
}

impl Store {
    pub(crate) fn add_operator(&self, name: &str, key: VerifyKey, role: OperatorRole, now: i64) -> Result<(), Failure> {
        let statement = "INSERT INTO operator (name, key, role, added) VALUES (?1, ?2, ?3, ?4)";
        self.execute(statement, (name, key.to_string(), text(&role)?, now)).map(drop)
    }

    pub(crate) fn change_operator(&self, name: &str, role: OperatorRole) -> Result<(), Failure> {
        self.execute("UPDATE operator SET role = ?2 WHERE name = ?1", (name, text(&role)?)).map(drop)
    }

    pub(crate) fn end_operator(&self, name: &str, now: i64) -> Result<(), Failure> {
        self.execute("UPDATE operator SET ended = ?2 WHERE name = ?1", (name, now)).map(drop)
    }

    /// Everybody who is one, or was.
    pub(crate) fn operators(&self) -> Result<Vec<Operator>, Failure> {
        let rows = self.rows("SELECT name, key, role, ended FROM operator ORDER BY name", [], |row| {
            Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get(3)?))
        })?;
        let operator = |(name, key, role, ended): (String, String, String, Option<i64>)| {
            Ok(Operator { name, key: parse(&format!("\"{key}\""))?, role: parse(&role)?, ended })
        };
        rows.into_iter().map(operator).collect()
    }

    /// The operator called `name`, who may act now.
    pub(crate) fn operator(&self, name: &str) -> Result<Operator, Failure> {
        let found = self.operators()?.into_iter().find(|operator| operator.name == name).ok_or_else(|| {
            failure::refused(format!("operator `{name}` is not known here: add it with `tallystick operator add`"))
        })?;
        if found.ended.is_some() {
            return Err(failure::refused(format!("operator `{name}` was ended, and acts here no more")));
        }
        Ok(found)
    }

    /// Keeps a change of the operator `name` that waits; one that waited before is forgotten.
    pub(crate) fn put_operator_change(&self, name: &str, change: &impl Serialize) -> Result<(), Failure> {
        let statement = "INSERT OR REPLACE INTO operator_change (name, record) VALUES (?1, ?2)";
        self.execute(statement, (name, text(change)?)).map(drop)
    }

    pub(crate) fn operator_change<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Failure> {
        let record: Option<String> = self.column("SELECT record FROM operator_change WHERE name = ?1", [name])?.pop();
        record.map(|record| parse(&record)).transpose()
    }

    pub(crate) fn operator_changes<T: DeserializeOwned>(&self) -> Result<Vec<(String, T)>, Failure> {
        let statement = "SELECT name, record FROM operator_change ORDER BY name";
        let rows = self.rows(statement, [], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
        rows.into_iter().map(|(name, record)| Ok((name, parse(&record)?))).collect()
    }

    pub(crate) fn forget_operator_change(&self, name: &str) -> Result<(), Failure> {
        self.execute("DELETE FROM operator_change WHERE name = ?1", [name]).map(drop)
    }

    /// Keeps an order.
    ///
    /// # Errors
    /// Fails if it is kept already.
    pub(crate) fn put_order(&self, digest: &Digest, session: Option<&str>, order: &SignedOrder) -> Result<(), Failure> {
        let statement = "INSERT INTO operator_order (digest, session, record) VALUES (?1, ?2, ?3)";
        self.execute(statement, (digest.as_bytes(), session, text(order)?)).map(drop)
    }

    pub(crate) fn has_order(&self, digest: &Digest) -> Result<bool, Failure> {
        self.any("SELECT 1 FROM operator_order WHERE digest = ?1", [digest.as_bytes()])
    }

    /// Orders in the order in which they were taken; those of a session, where one is named.
    pub(crate) fn orders(&self, session: Option<&str>) -> Result<Vec<SignedOrder>, Failure> {
        let statement = "SELECT record FROM operator_order WHERE ?1 IS NULL OR session = ?1 ORDER BY rowid";
        let records: Vec<String> = self.column(statement, [session])?;
        records.iter().map(|record| parse(record)).collect()
    }
}
