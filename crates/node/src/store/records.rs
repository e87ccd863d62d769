//! Operators, lists, data sets, consents, sessions and their journals.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tally_audit::order::Data;
use tally_crypto::sign::Envelope;
use tally_crypto::transcript::Digest;
use tally_data::{Dataset, Dictionary, FieldQuality};
use tally_policy::Day;
use tally_protocol::session::Stage;

use super::Store;
use crate::failure::{self, Failure};

/// What is known of a data set without opening it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DatasetInfo {
    /// Name given at import.
    pub(crate) name: String,
    /// Date of the snapshot, ISO 8601.
    pub(crate) as_of: String,
    /// Rows.
    pub(crate) rows: u64,
    /// Days of observation of the rows; none if all are of the data set's own day.
    #[serde(default)]
    pub(crate) cohorts: BTreeSet<Day>,
    /// The fields.
    pub(crate) dictionary: Dictionary,
    /// Has labels.
    pub(crate) labelled: bool,
    /// Identifiers are credit codes.
    pub(crate) credit_codes: bool,
    /// What was missing or did not fit, per field.
    pub(crate) quality: Vec<FieldQuality>,
    /// Platform: version of the sharing list whose fields it has.
    pub(crate) list: Option<u32>,
    /// Salted Merkle root over the rows.
    pub(crate) commitment: Digest,
    /// When it was imported, Unix milliseconds.
    pub(crate) imported: i64,
}

/// A session as this node sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SessionRecord {
    /// Name of the session.
    pub(crate) session: String,
    /// The contract with the signatures so far.
    pub(crate) envelope: Envelope,
    /// Digest of the contract.
    pub(crate) contract: Digest,
    /// Where it stands.
    pub(crate) stage: Stage,
    /// Why it was aborted.
    #[serde(default)]
    pub(crate) reason: Option<String>,
    /// This node's data set for it.
    pub(crate) dataset: Option<String>,
    /// Per bank, the log entry of the clearance whose consents the session rests on.
    #[serde(default)]
    pub(crate) clearances: BTreeMap<String, u64>,
    /// Those of its consents that have ended since, and whose rows were withdrawn.
    #[serde(default)]
    pub(crate) withdrawn: BTreeSet<Digest>,
    /// Commitment of that data set when the session began with it.
    #[serde(default)]
    pub(crate) data_version: Option<Digest>,
    /// Its secrets were drawn for it alone. Sessions that an older release began derive them from the node's key.
    #[serde(default)]
    pub(crate) own_secret: bool,
    /// The data set as its operators approved it.
    #[serde(default)]
    pub(crate) approved_data: Option<Data>,
    /// Operators of this node who have approved.
    pub(crate) approvals: Vec<String>,
    /// When each stage was reached, Unix milliseconds.
    pub(crate) history: Vec<(Stage, i64)>,
    /// Digest of the released model.
    #[serde(default)]
    pub(crate) model: Option<Digest>,
}

/// What an operator may do: nobody both makes a model and passes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum OperatorRole {
    /// Approves sessions.
    #[default]
    Development,
    /// Passes models into use and takes them out of it.
    Validation,
}

impl std::fmt::Display for OperatorRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Development => "development",
            Self::Validation => "validation",
        })
    }
}

/// A released model as this node uses it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ModelRecord {
    /// Digest of the fit.
    pub(crate) model: Digest,
    /// Session that made it.
    pub(crate) session: String,
    /// `scorecard` or `trees`.
    pub(crate) algorithm: String,
    /// Whether it scores.
    pub(crate) state: ModelState,
    /// When it was released, Unix milliseconds.
    pub(crate) released: i64,
    /// Every change of state: when, to what, by which operator, why.
    pub(crate) changes: Vec<ModelChange>,
}

/// Whether a model scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ModelState {
    /// Scores where no model is named.
    Champion,
    /// Scores where it is named.
    Challenger,
    /// Scores no more.
    Retired,
}

/// One change of a model's state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ModelChange {
    /// When, Unix milliseconds.
    pub(crate) time: i64,
    /// The new state.
    pub(crate) state: ModelState,
    /// Who decided; the session itself at the release.
    pub(crate) operator: Option<String>,
    /// Why.
    pub(crate) reason: Option<String>,
}

impl SessionRecord {
    /// True if nothing more can happen.
    pub(crate) fn ended(&self) -> bool {
        matches!(self.stage, Stage::Closed | Stage::Aborted)
    }
}

impl Store {
    pub(crate) fn put_model(&self, record: &ModelRecord) -> Result<(), Failure> {
        self.models.forget();
        let statement = "INSERT OR REPLACE INTO model (digest, record) VALUES (?1, ?2)";
        self.execute(statement, (record.model.as_bytes(), text(record)?)).map(drop)
    }

    /// Released models, the oldest first.
    pub(crate) fn models(&self) -> Result<Arc<Vec<ModelRecord>>, Failure> {
        self.models.or_read(|| {
            let records: Vec<String> = self.column("SELECT record FROM model", [])?;
            let mut records: Vec<ModelRecord> = records.iter().map(|record| parse(record)).collect::<Result<_, _>>()?;
            records.sort_by_key(|record| record.released);
            Ok(records)
        })
    }

    pub(crate) fn put_list(&self, version: u32, envelope: &Envelope, now: i64) -> Result<(), Failure> {
        let statement = "INSERT OR IGNORE INTO list (version, envelope, imported) VALUES (?1, ?2, ?3)";
        self.execute(statement, (version, text(envelope)?, now)).map(drop)
    }

    /// Every list, the oldest first.
    pub(crate) fn lists(&self) -> Result<Vec<Envelope>, Failure> {
        let envelopes: Vec<String> = self.column("SELECT envelope FROM list ORDER BY version", [])?;
        envelopes.iter().map(|envelope| parse(envelope)).collect()
    }

    pub(crate) fn put_dataset(&self, info: &DatasetInfo, dataset: &Dataset) -> Result<(), Failure> {
        self.datasets.forget();
        let bytes = postcard::to_allocvec(dataset).map_err(failure::internal)?;
        let sealed = self.vault.seal("dataset", &info.name, &bytes)?;
        let statement = "INSERT OR REPLACE INTO dataset (name, info, sealed) VALUES (?1, ?2, ?3)";
        self.execute(statement, (&info.name, text(info)?, sealed)).map(drop)
    }

    /// Every data set, by name.
    pub(crate) fn datasets(&self) -> Result<Arc<Vec<DatasetInfo>>, Failure> {
        self.datasets.or_read(|| {
            let infos: Vec<String> = self.column("SELECT info FROM dataset ORDER BY name", [])?;
            infos.iter().map(|info| parse(info)).collect()
        })
    }

    pub(crate) fn dataset(&self, name: &str) -> Result<Dataset, Failure> {
        let sealed: Option<Vec<u8>> = self.column("SELECT sealed FROM dataset WHERE name = ?1", [name])?.pop();
        let sealed = sealed.ok_or_else(|| {
            failure::data(format!("data set `{name}` is not here: import it with `tallystick dataset import`"))
        })?;
        postcard::from_bytes(&self.vault.open("dataset", name, &sealed)?).map_err(failure::record)
    }

    /// Sets of banks over which sums of this version of the data were released, each with its session.
    pub(crate) fn releases(&self, version: &Digest) -> Result<Vec<(String, Vec<String>)>, Failure> {
        let statement = "SELECT session, cohort FROM release WHERE version = ?1 ORDER BY rowid";
        let rows = self.rows(statement, [version.as_bytes()], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
        rows.into_iter().map(|(session, cohort)| Ok((session, parse(&cohort)?))).collect()
    }

    /// Notes a set of banks whose sum this bank is about to help to release.
    pub(crate) fn put_release(&self, version: &Digest, session: &str, cohort: &[String]) -> Result<(), Failure> {
        let statement = "INSERT OR IGNORE INTO release (version, session, cohort) VALUES (?1, ?2, ?3)";
        self.execute(statement, (version.as_bytes(), session, text(&cohort)?)).map(drop)
    }

    pub(crate) fn put_session(&self, record: &SessionRecord) -> Result<(), Failure> {
        let statement = "INSERT OR REPLACE INTO session (id, record) VALUES (?1, ?2)";
        self.execute(statement, (&record.session, text(record)?)).map(drop)
    }

    pub(crate) fn sessions(&self) -> Result<Vec<SessionRecord>, Failure> {
        let records: Vec<String> = self.column("SELECT record FROM session ORDER BY rowid", [])?;
        records.iter().map(|record| parse(record)).collect()
    }

    pub(crate) fn session(&self, id: &str) -> Result<Option<SessionRecord>, Failure> {
        let record: Option<String> = self.column("SELECT record FROM session WHERE id = ?1", [id])?.pop();
        record.map(|record| parse(&record)).transpose()
    }

    /// Adds an input to a session's journal.
    pub(crate) fn journal(&self, session: &str, input: &[u8]) -> Result<(), Failure> {
        let next: u64 = self
            .column("SELECT COALESCE(MAX(number) + 1, 0) FROM journal WHERE session = ?1", [session])?
            .pop()
            .unwrap_or(0);
        let sealed = self.vault.seal("journal", &format!("{session}/{next}"), input)?;
        let statement = "INSERT INTO journal (session, number, sealed) VALUES (?1, ?2, ?3)";
        self.execute(statement, (session, next, sealed)).map(drop)
    }

    /// The inputs of a session, in order, one at a time: a journal may be large.
    pub(crate) fn replay(
        &self,
        session: &str,
        mut apply: impl FnMut(Vec<u8>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let numbers: Vec<u64> =
            self.column("SELECT number FROM journal WHERE session = ?1 ORDER BY number", [session])?;
        for number in numbers {
            let statement = "SELECT sealed FROM journal WHERE session = ?1 AND number = ?2";
            let sealed: Option<Vec<u8>> = self.column(statement, (session, number))?.pop();
            let sealed = sealed.ok_or_else(|| failure::internal("the journal changed while it was read"))?;
            apply(self.vault.open("journal", &format!("{session}/{number}"), &sealed)?)?;
        }
        Ok(())
    }

    /// Whether a session's journal is here.
    pub(crate) fn has_journal(&self, session: &str) -> Result<bool, Failure> {
        self.any("SELECT 1 FROM journal WHERE session = ?1", [session])
    }

    /// Keeps a named result of a session.
    pub(crate) fn put_result(&self, session: &str, name: &str, value: &[u8]) -> Result<(), Failure> {
        let sealed = self.vault.seal("result", &format!("{session}/{name}"), value)?;
        let statement = "INSERT OR REPLACE INTO result (session, name, sealed) VALUES (?1, ?2, ?3)";
        self.execute(statement, (session, name, sealed)).map(drop)
    }

    /// A named result of a session.
    pub(crate) fn result(&self, session: &str, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        let statement = "SELECT sealed FROM result WHERE session = ?1 AND name = ?2";
        let sealed: Option<Vec<u8>> = self.column(statement, (session, name))?.pop();
        sealed.map(|sealed| self.vault.open("result", &format!("{session}/{name}"), &sealed)).transpose()
    }

    /// Names of a session's results that begin so and end in a number, in the order of that.
    pub(crate) fn result_names(&self, session: &str, beginning: &str) -> Result<Vec<String>, Failure> {
        let statement = "SELECT name FROM result WHERE session = ?1 AND substr(name, 1, length(?2)) = ?2
            ORDER BY length(name), name";
        self.column(statement, (session, beginning))
    }
}

pub(super) fn text(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(failure::internal)
}

pub(super) fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Failure> {
    serde_json::from_str(text)
        .map_err(|error| failure::record(format!("the store holds a record of another version: {error}")))
}
