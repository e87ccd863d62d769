//! What this node hands to auditors.

use serde_json::{Value, json};
use tally_audit::trace::Disclosed;
use tally_audit::{Body, Entry};
use tally_crypto::sign::{Envelope, Signature};
use tally_crypto::transcript::Digest;

use super::{Engine, now};
use crate::control::OpenOrder;
use crate::failure::{self, Failure};

/// Label of an operator's signature over an order to open commitments.
pub(crate) const OPEN_LABEL: &str = "tallystick-open-order";

/// Label of an operator's signature over an order to disclose a session's inputs.
pub(crate) const DISCLOSE_LABEL: &str = "tallystick-disclose-order";

/// How old an order may be, in milliseconds.
const ORDER_LIFE: u64 = 600_000;

impl Engine {
    /// Opens chosen commitments of the log, one JSON object a line; that this was done is in the log before anything is told.
    /// What was erased is opened no more.
    pub(super) fn open_entries(
        &mut self,
        order: &OpenOrder,
        operator: &str,
        signature: &Signature,
    ) -> Result<Value, Failure> {
        self.check_order((OPEN_LABEL, &order.digest(), order.time), operator, signature)?;
        let disclosed = self.chosen_openings(order)?;
        if disclosed.is_empty() {
            return Err(failure::data("the log has no commitments of this choice that can be opened"));
        }
        let lines = disclosed.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>();
        let text = lines.map_err(failure::internal)?.join("\n") + "\n";
        let object = Digest::of_bytes(text.as_bytes());
        self.record_access(operator, object)?;
        Ok(json!({ "openings": text, "count": disclosed.len(), "object": object }))
    }

    /// Opens what this bank put into a session: its rows, and the secrets of its masks. Logged before anything is told.
    pub(super) fn disclose_inputs(
        &mut self,
        order: &OpenOrder,
        operator: &str,
        signature: &Signature,
    ) -> Result<Value, Failure> {
        self.check_order((DISCLOSE_LABEL, &order.digest(), order.time), operator, signature)?;
        let record = self.known_session(order.session.as_deref().unwrap_or_default())?;
        let disclosed = self.run_again(&record)?;
        let bytes = disclosed.encode();
        let object = Digest::of_bytes(&bytes);
        self.record_access(operator, object)?;
        Ok(json!({
            "bank": disclosed.bank,
            "rows": disclosed.rows(),
            "object": object,
            "disclosed": hex::encode(bytes),
        }))
    }

    /// An order, by its digest, which covers the time at which it was given: signed by the operator, and not long ago.
    pub(super) fn check_order(
        &self,
        (label, order, time): (&str, &Digest, i64),
        operator: &str,
        signature: &Signature,
    ) -> Result<(), Failure> {
        let person = self.store.operator(operator)?;
        if !person.key.verify(label, order.as_bytes(), signature) {
            return Err(failure::refused(format!("the order is not signed by operator `{operator}`")));
        }
        if outdated(time, now()) {
            return Err(failure::refused("the order is more than ten minutes old: give it again"));
        }
        Ok(())
    }

    fn chosen_openings(&self, order: &OpenOrder) -> Result<Vec<Disclosed>, Failure> {
        let subject = order.subject.as_deref().map(|subject| self.canonical(subject)).transpose()?;
        let tag = subject.map(|subject| self.subject_tag(&subject));
        let range = order.from.unwrap_or(0)..=order.to.unwrap_or(u64::MAX);
        let mut chosen = Vec::new();
        for (entry, salt, value) in self.store.openings(range, tag.as_ref())? {
            let logged = Entry::decode(&self.store.entry(entry)?).map_err(failure::internal)?;
            if order.session.is_some() && order.session != logged.session {
                continue;
            }
            let opening = Disclosed { log: self.me().into(), entry, salt: hex::encode(salt), value };
            // Of a change to a consent the enterprise is known here, and the log commits to the consent.
            chosen.extend(Some(opening).filter(|opening| opening.opens(&logged)));
        }
        Ok(chosen)
    }

    /// Logs that somebody read something, by its digest.
    fn record_access(&mut self, operator: &str, object: Digest) -> Result<(), Failure> {
        self.step(|_, step| {
            step.record(None, operator, Body::AuditAccess { object });
            Ok(())
        })
    }

    /// What an auditor verifies and replays: the contract, the statements that the parties signed at the end, and at the platform
    /// the transcript of every round that it released.
    pub(super) fn session_evidence(&self, session: &str) -> Result<Value, Failure> {
        let record = self.known_session(session)?;
        let mut statements = Vec::new();
        for fact in ["round-result", "model-release"] {
            let envelope = self.store.result(session, fact)?;
            let envelope = envelope.map(|bytes| serde_json::from_slice::<Envelope>(&bytes)).transpose();
            statements.extend(envelope.map_err(failure::internal)?);
        }
        let mut transcripts = Vec::new();
        // A round that was called off has none.
        for name in self.store.result_names(session, "transcript-")? {
            let transcript = self.store.result(session, &name)?;
            transcripts.extend(transcript.map(hex::encode));
        }
        Ok(json!({ "contract": record.envelope, "statements": statements, "transcripts": transcripts }))
    }
}

/// Whether an order of this time is carried out no more, or not yet.
fn outdated(time: i64, now: i64) -> bool {
    now.abs_diff(time) > ORDER_LIFE
}

#[cfg(test)]
mod tests {
    use super::outdated;

    #[test]
    fn an_order_holds_for_ten_minutes_whatever_its_time() {
        let now = 1_800_000_000_000;
        for (time, expected) in
            [(now, false), (now - 600_000, false), (now + 600_000, false), (now - 600_001, true), (now + 600_001, true)]
        {
            assert_eq!(outdated(time, now), expected, "{time}");
        }
        assert!(outdated(i64::MIN, now) && outdated(i64::MAX, now));
    }
}
