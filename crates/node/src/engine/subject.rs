//! An enterprise's own view: what is held about it, under which consents, who used what and when, with proofs.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tally_audit::{Body, Entry};
use tally_crypto::merkle::inclusion_proof;
use tally_crypto::transcript::Digest;
use tally_data::{Dataset, Values};

use super::consents::{consent_leaf, consent_salt};
use super::scoring::Given;
use super::{Engine, now};
use crate::failure::{self, Failure};

impl Engine {
    /// Everything about one enterprise, for that enterprise.
    pub(super) fn subject_report(&mut self, subject: &str) -> Result<Value, Failure> {
        let subject = self.canonical(subject)?;
        self.publish()?;
        let report = json!({
            "node": self.me(),
            "subject": subject,
            "time": now(),
            "held": self.held(&subject)?,
            "consents": self.register.of_subject(&subject, now()),
            "uses": self.uses_of(&subject)?,
            "log": self.entries_about(&subject)?,
            "scores": self.scores_about(&subject)?,
            "warnings": self.warnings_about(&subject)?,
            "outcomes": self.outcomes_about(&subject)?,
            "cases": self.disputes.iter().filter(|case| case.subject == subject).collect::<Vec<_>>(),
        });
        let object = Digest::of_bytes(report.to_string().as_bytes());
        let me = self.me().to_owned();
        self.step(|_, step| {
            step.record(None, &me, Body::AuditAccess { object });
            Ok(())
        })?;
        Ok(report)
    }

    /// The values that this node's data sets hold.
    fn held(&self, subject: &str) -> Result<Vec<Value>, Failure> {
        let mut held = Vec::new();
        for info in self.store.datasets()?.iter() {
            let dataset = self.store.dataset(&info.name)?;
            let disputed = self.disputed_fields(subject);
            held.extend(dataset.rows_of(subject).into_iter().map(|row| {
                json!({
                    "data_set": info.name,
                    "as_of": info.as_of,
                    "cohort": dataset.cohort(row),
                    "commitment": info.commitment,
                    "values": values_of(&dataset, row),
                    "under_objection": disputed,
                })
            }));
        }
        Ok(held)
    }

    /// Sessions and scores that each consent was used for.
    fn uses_of(&self, subject: &str) -> Result<Vec<Value>, Failure> {
        let standing = self.register.of_subject(subject, now());
        let grantees: BTreeMap<_, _> = standing.into_iter().map(|one| (one.consent, one.grantee)).collect();
        let mut used = Vec::new();
        self.store.each_use(|consent, entry, time| {
            if let Some(grantee) = grantees.get(&consent) {
                used.push((consent, grantee, entry, time));
            }
        })?;
        let shown = |(consent, grantee, entry, time)| {
            Ok(json!({ "consent": consent, "grantee": grantee, "time": time, "proof": self.proof_of(entry)? }))
        };
        used.into_iter().map(shown).collect()
    }

    /// Log entries whose commitments open to this enterprise.
    fn entries_about(&self, subject: &str) -> Result<Vec<Value>, Failure> {
        let entries = self.store.openings_of(&self.subject_tag(subject))?;
        entries.into_iter().map(|entry| self.proof_of(entry)).collect()
    }

    fn scores_about(&self, subject: &str) -> Result<Vec<Value>, Failure> {
        if !self.is_platform() {
            return Ok(Vec::new());
        }
        let given = self.store.scores_of::<Given>(&self.subject_tag(subject))?;
        let shown = |(request, consent, given): (String, Digest, Given)| {
            json!({
                "request": request,
                "consent": consent,
                "bank": given.bank,
                "purpose": given.purpose,
                "session": given.session,
                "time": given.time,
            })
        };
        Ok(given.into_iter().map(shown).collect())
    }

    /// An entry of the log with what proves that it stands there: leaf, path and size of the tree that the checkpoint signs.
    fn proof_of(&self, number: u64) -> Result<Value, Failure> {
        let bytes = self.store.entry(number)?;
        let entry: Entry = Entry::decode(&bytes).map_err(failure::internal)?;
        Ok(json!({
            "index": number,
            "entry": entry,
            "bytes": hex::encode(&bytes),
            "size": self.log.size(),
            "path": self.log.inclusion_proof(number)?,
        }))
    }

    /// The proof that a consent is in the register: it verifies with the checkpoint and the log's key alone.
    pub(super) fn consent_receipt(&mut self, consent: &Digest) -> Result<Value, Failure> {
        let (entry, kept) = self.store.consent(consent)?.ok_or_else(|| {
            failure::data(format!("consent {consent} is not here: see `tallystick subject report CODE`"))
        })?;
        self.publish()?;
        let together = self.store.consents_of(entry)?;
        let storage = self.keys.storage();
        let place = together.iter().position(|other| other == consent).unwrap_or_default();
        let leaves: Vec<_> = together.iter().map(|other| consent_leaf(&storage, other)).collect();
        let checkpoint = std::fs::read_to_string(self.directory.log().join("checkpoint")).map_err(failure::internal)?;
        Ok(json!({
            "version": 1,
            "node": self.me(),
            "consent": consent,
            "envelope": serde_json::from_str::<Value>(&kept.document).map_err(failure::internal)?,
            "salt": hex::encode(consent_salt(&storage, consent)),
            "place": place,
            "together": leaves.len(),
            "path": inclusion_proof(&leaves, place),
            "log": self.proof_of(entry)?,
            "checkpoint": checkpoint,
            "log_vkey": tally_audit::note::vkey(self.me(), &self.keys.log().verify_key()),
        }))
    }
}

/// A row's values by field; null where missing.
fn values_of(dataset: &Dataset, row: usize) -> Map<String, Value> {
    let value = |values: &Values| match values {
        Values::Numeric(numbers) => json!(numbers[row]),
        Values::Category { codes, values } => {
            json!(usize::from(codes[row]).checked_sub(1).and_then(|place| values.get(place)))
        }
    };
    dataset.columns.iter().map(|column| (column.name.clone(), value(&column.values))).collect()
}
