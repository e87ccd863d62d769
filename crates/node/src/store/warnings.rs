//! Early warnings, what their rules read last, and what banks made of them.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;

use super::Store;
use super::record::{Record, from_bytes, to_bytes};
use super::records::{parse, text};
use crate::failure::{self, Failure};

/// Where a warning stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum WarningState {
    /// Platform: has not left.
    Pending,
    /// Platform: has left.
    Delivered,
    /// Platform: the bank's node has it. Bank: an operator has seen it.
    Acknowledged,
    /// Platform: will not leave.
    Dropped,
    /// It rested on a value that was wrong.
    Recalled,
    /// Bank: nobody has seen it.
    New,
    /// Bank: an operator has said what came of it.
    Closed,
}

/// A warning as it lies in the store.
#[derive(Clone, Debug)]
pub(crate) struct StoredWarning<T> {
    /// Its name.
    pub(crate) id: Digest,
    /// The bank that it is for.
    pub(crate) bank: String,
    /// The rule.
    pub(crate) rule: String,
    /// Where it stands.
    pub(crate) state: WarningState,
    /// Keyed hash of the enterprise.
    pub(crate) subject: Digest,
    /// The consent that it rests on; zeros until it leaves.
    pub(crate) consent: Digest,
    /// What is kept of it.
    pub(crate) what: T,
}

const COLUMNS: &str = "SELECT id, bank, rule, state, subject, consent, sealed FROM warning";

impl Store {
    /// Keeps a warning, in the place of what was kept of it.
    pub(crate) fn put_warning<T: Record>(&self, kept: &StoredWarning<T>) -> Result<(), Failure> {
        let sealed = self.vault.seal("warning", &kept.id.to_string(), &to_bytes(&kept.what)?)?;
        let statement = "INSERT INTO warning (id, bank, rule, state, subject, consent, sealed) \
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO UPDATE \
                         SET state = excluded.state, consent = excluded.consent, sealed = excluded.sealed";
        let (id, subject, consent) = (kept.id.as_bytes(), kept.subject.as_bytes(), kept.consent.as_bytes());
        self.execute(statement, (id, &kept.bank, &kept.rule, text(&kept.state)?, subject, consent, sealed)).map(drop)
    }

    /// A warning by its name.
    pub(crate) fn warning<T: Record>(&self, id: &Digest) -> Result<Option<StoredWarning<T>>, Failure> {
        Ok(self.warnings_where(&format!("{COLUMNS} WHERE id = ?1"), [id.as_bytes()])?.pop())
    }

    /// All warnings, the oldest first.
    pub(crate) fn warnings<T: Record>(&self) -> Result<Vec<StoredWarning<T>>, Failure> {
        self.warnings_where(&format!("{COLUMNS} ORDER BY rowid"), [])
    }

    /// Warnings that have not left for a bank, the oldest first.
    pub(crate) fn pending_warnings<T: Record>(&self, bank: &str) -> Result<Vec<StoredWarning<T>>, Failure> {
        let statement = format!("{COLUMNS} WHERE state = ?1 AND bank = ?2 ORDER BY rowid");
        self.warnings_where(&statement, [text(&WarningState::Pending)?, bank.into()])
    }

    /// Warnings about an enterprise, by its keyed hash, the oldest first.
    pub(crate) fn warnings_about<T: Record>(&self, tag: &Digest) -> Result<Vec<StoredWarning<T>>, Failure> {
        self.warnings_where(&format!("{COLUMNS} WHERE subject = ?1 ORDER BY rowid"), [tag.as_bytes()])
    }

    fn warnings_where<T: Record>(
        &self,
        statement: &str,
        values: impl rusqlite::Params,
    ) -> Result<Vec<StoredWarning<T>>, Failure> {
        let rows = self.rows(statement, values, |row| {
            let digest = |place| Ok::<_, rusqlite::Error>(Digest(row.get::<_, [u8; 32]>(place)?));
            let state: String = row.get(3)?;
            Ok((digest(0)?, row.get(1)?, row.get(2)?, state, digest(4)?, digest(5)?, row.get::<_, Vec<u8>>(6)?))
        })?;
        let open = |(id, bank, rule, state, subject, consent, sealed): (Digest, _, _, String, _, _, Vec<u8>)| {
            let what = self.vault.open("warning", &id.to_string(), &sealed)?;
            let what = from_bytes("warning", &what)?;
            Ok(StoredWarning { id, bank, rule, state: parse(&state)?, subject, consent, what })
        };
        rows.into_iter().map(open).collect()
    }

    /// How many warnings there are of each bank, rule and state.
    pub(crate) fn warning_counts(&self) -> Result<BTreeMap<(String, String, WarningState), u64>, Failure> {
        let statement = "SELECT bank, rule, state, COUNT(*) FROM warning GROUP BY bank, rule, state";
        let rows = self.rows(statement, [], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get::<_, u64>(3)?))
        })?;
        rows.into_iter().map(|(bank, rule, state, count)| Ok(((bank, rule, parse(&state)?), count))).collect()
    }

    /// Names of warnings, each with the consent that it rests on.
    pub(crate) fn warning_consents(&self) -> Result<Vec<(Digest, Digest)>, Failure> {
        self.rows("SELECT id, consent FROM warning ORDER BY rowid", [], |row| {
            Ok((Digest(row.get(0)?), Digest(row.get(1)?)))
        })
    }

    /// Deletes what is kept of a warning.
    pub(crate) fn erase_warning(&self, id: &Digest) -> Result<(), Failure> {
        self.execute("DELETE FROM warning WHERE id = ?1", [id.as_bytes()]).map(drop)
    }

    /// Keeps rules with their approval.
    pub(crate) fn put_warning_rules(&self, version: u32, approval: &impl Serialize) -> Result<(), Failure> {
        let statement = "INSERT INTO warning_rules (version, approval) VALUES (?1, ?2)";
        self.execute(statement, (version, text(approval)?)).map(drop)
    }

    /// The approval of the newest rules.
    pub(crate) fn newest_warning_rules<T: DeserializeOwned>(&self) -> Result<Option<T>, Failure> {
        let newest = "SELECT approval FROM warning_rules ORDER BY version DESC LIMIT 1";
        self.column::<String>(newest, [])?.pop().map(|approval| parse(&approval)).transpose()
    }

    /// Keeps what rules read last of a source.
    pub(crate) fn put_warning_baseline(&self, source: &str, baseline: &impl Serialize) -> Result<(), Failure> {
        let bytes = postcard::to_allocvec(baseline).map_err(failure::internal)?;
        let sealed = self.vault.seal("warning_baseline", source, &bytes)?;
        let statement = "INSERT OR REPLACE INTO warning_baseline (source, sealed) VALUES (?1, ?2)";
        self.execute(statement, (source, sealed)).map(drop)
    }

    /// What rules read last of a source.
    pub(crate) fn warning_baseline<T: DeserializeOwned>(&self, source: &str) -> Result<Option<T>, Failure> {
        let statement = "SELECT sealed FROM warning_baseline WHERE source = ?1";
        let sealed: Option<Vec<u8>> = self.column(statement, [source])?.pop();
        let open = |sealed: Vec<u8>| {
            let bytes = self.vault.open("warning_baseline", source, &sealed)?;
            postcard::from_bytes(&bytes).map_err(failure::record)
        };
        sealed.map(open).transpose()
    }

    /// Counts what a bank made of a warning.
    pub(crate) fn count_warning_outcome(&self, bank: &str, rule: &str, outcome: &str) -> Result<(), Failure> {
        let statement = "INSERT INTO warning_outcome (bank, rule, outcome, count) VALUES (?1, ?2, ?3, 1) \
                         ON CONFLICT (bank, rule, outcome) DO UPDATE SET count = count + 1";
        self.execute(statement, (bank, rule, outcome)).map(drop)
    }

    /// What banks made of warnings: bank, rule, outcome, how often.
    pub(crate) fn warning_outcomes(&self) -> Result<Vec<(String, String, String, u64)>, Failure> {
        let statement = "SELECT bank, rule, outcome, count FROM warning_outcome ORDER BY bank, rule, outcome";
        self.rows(statement, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
    }
}
