//! Deletion at the end of data's life, with a signed certificate.
//!
//! What a bank keeps of a score, and what a platform was told of a loan, goes when the data life of the consent that it rests
//! on is over; what a bank put into a session, after the days for which it keeps that for auditors, or those of the contract;
//! what opens the log's commitments goes after the years that records must be kept, and not before the score that it belongs
//! to. The tree of the log stays as it is: a commitment whose salt is gone can be opened by nobody.

use serde_json::{Value, json};
use tally_audit::Body;
use tally_crypto::sign::Envelope;
use tally_crypto::transcript::Digest;
use tally_policy::Day;

use super::step::Step;
use super::{Engine, now};
use crate::failure::{self, Failure};
use crate::store::SessionRecord;

/// Media type of a certificate: an in-toto statement of version 1.
pub(crate) const CERTIFICATE_TYPE: &str = "application/vnd.in-toto+json";

/// The predicate of a certificate.
const PREDICATE: &str = "https://tallystick.example/attestation/erasure-certificate/v1";

impl Engine {
    /// Deletes what is due; what was deleted, and under which certificates.
    pub(super) fn erase_due(&mut self) -> Result<Value, Failure> {
        let scores = self.scores_due()?;
        let warnings = self.warnings_due()?;
        let inputs = self.inputs_due()?;
        let outcomes = self.outcomes_due()?;
        let (openings, certificates) = self.step(|engine, step| {
            for (entry, request) in &scores {
                engine.store.erase_score(*entry, request)?;
            }
            for outcome in &outcomes {
                engine.store.erase_outcome(outcome)?;
            }
            // After the scores: an opening goes with the score that it belongs to.
            let openings = engine.openings_due()?;
            for entry in &openings {
                engine.store.erase_opening(*entry)?;
            }
            for warning in &warnings {
                engine.store.erase_warning(warning)?;
            }
            for session in &inputs {
                engine.store.erase_session(session)?;
            }
            let names = |text: String| Digest::of_bytes(text.as_bytes());
            let scores = scores.iter().map(|(_, request)| names(format!("score/{request}"))).collect();
            let opened = openings.iter().map(|entry| names(format!("opening/{entry}"))).collect();
            let warnings = warnings.iter().map(|warning| names(format!("warning/{warning}"))).collect();
            let inputs = inputs.iter().map(|session| names(format!("inputs/{session}"))).collect();
            let told = outcomes.iter().map(|outcome| names(format!("outcome/{outcome}"))).collect();
            let made = [
                engine.certify(step, "outcome", "data life of the consent is over", told)?,
                engine.certify(step, "score", "data life of the consent is over", scores)?,
                engine.certify(step, "warning", "data life of the consent is over", warnings)?,
                engine.certify(step, "opening", "records are kept no longer", opened)?,
                engine.certify(step, "inputs", "inputs of a session are kept no longer", inputs)?,
            ];
            Ok((openings.len(), made.into_iter().flatten().collect::<Vec<_>>()))
        })?;
        self.last_erasure = now();
        Ok(json!({
            "scores": scores.len(),
            "warnings": warnings.len(),
            "outcomes": outcomes.len(),
            "openings": openings,
            "certificates": certificates,
        }))
    }

    /// Once a day.
    pub(super) fn erase_nightly(&mut self) -> Result<(), Failure> {
        if now() - self.last_erasure < Day::MILLISECONDS {
            return Ok(());
        }
        let done = self.erase_due()?;
        tracing::info!(scores = %done["scores"], openings = %done["openings"], "deleted what was due");
        Ok(())
    }

    pub(super) fn certificates(&self) -> Result<Value, Failure> {
        serde_json::to_value(self.store.certificates()?).map_err(failure::internal)
    }

    /// Scores whose consent's data life is over; those of consents that are here no more included.
    fn scores_due(&self) -> Result<Vec<(u64, String)>, Failure> {
        let kept = self.store.score_consents()?;
        let due = kept.into_iter().filter(|(_, _, consent)| self.life_is_over(consent));
        Ok(due.map(|(entry, request, _)| (entry, request)).collect())
    }

    /// Outcomes that banks told under consents whose data life is over.
    fn outcomes_due(&self) -> Result<Vec<Digest>, Failure> {
        let kept = self.store.outcome_consents()?;
        Ok(kept.into_iter().filter(|(_, consent)| self.life_is_over(consent)).map(|(name, _)| name).collect())
    }

    fn life_is_over(&self, consent: &Digest) -> bool {
        let time = now();
        match self.register.data_life_ends(consent, time) {
            Some(end) => end <= time,
            None => self.register.state(consent, time).is_none(),
        }
    }

    /// Openings of entries older than the configured years, but for those of scores that are still kept.
    fn openings_due(&self) -> Result<Vec<u64>, Failure> {
        let oldest = now() - i64::from(self.config.retention.openings_days) * Day::MILLISECONDS;
        let mut due = Vec::new();
        for entry in self.store.openings_before(self.ledger.size())? {
            let bytes = self.store.entry(entry)?;
            let time = tally_audit::Entry::decode(&bytes).map_err(failure::internal)?.time;
            if time > oldest {
                break;
            }
            due.push(entry);
        }
        Ok(due)
    }

    /// Ended sessions whose inputs this bank has kept for long enough.
    fn inputs_due(&self) -> Result<Vec<String>, Failure> {
        let mut due = Vec::new();
        for record in self.store.sessions()?.into_iter().filter(SessionRecord::ended) {
            let days = self.contract_of(&record)?.terms().retention_days.min(self.config.retention.inputs_days);
            let ended = record.history.last().map_or(0, |(_, time)| *time);
            let over = ended + i64::from(days) * Day::MILLISECONDS <= now();
            if over && self.store.has_journal(&record.session)? {
                due.push(record.session);
            }
        }
        Ok(due)
    }

    /// Signs and logs what was deleted; nothing if that is nothing.
    fn certify(
        &self,
        step: &mut Step,
        kind: &str,
        basis: &str,
        objects: Vec<Digest>,
    ) -> Result<Option<Digest>, Failure> {
        if objects.is_empty() {
            return Ok(None);
        }
        let subjects: Vec<_> =
            objects.iter().map(|digest| json!({ "name": kind, "digest": { "sha256": digest } })).collect();
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": subjects,
            "predicateType": PREDICATE,
            "predicate": { "node": self.me(), "time": step.now, "method": "row deleted from the store", "basis": basis },
        });
        let mut envelope = Envelope::new(CERTIFICATE_TYPE, statement.to_string().as_bytes());
        envelope.sign(&self.signing).map_err(failure::internal)?;
        let certificate = envelope.payload_digest().map_err(failure::internal)?;
        self.store.put_certificate(&envelope)?;
        let body = Body::Erase { kind: kind.into(), count: objects.len() as u64, certificate };
        step.record(None, self.me(), body);
        Ok(Some(certificate))
    }
}
