//! When the log is published, how much of it shows, and who reads it.
//!
//! Whoever sees a log's checkpoints (witnesses, and everybody where it is served) sees when it grows and by how much. So
//! publication goes by the clock, on ticks that all nodes share, and the log is filled up with `noop` entries to a multiple
//! of `log.pad`. A tick in which nothing happened publishes nothing: that a node was idle is not hidden.

use serde_json::{Value, json};
use tally_audit::Body;
use tally_crypto::transcript::Digest;

use super::{Engine, now, random_bytes};
use crate::failure::Failure;

impl Engine {
    /// Number of the present tick since 1970.
    pub(super) fn publication_tick(&self) -> i64 {
        now().div_euclid(i64::from(self.config.log.checkpoint_seconds.max(1)) * 1000)
    }

    /// Fills what is published next up to a multiple of what the configuration says.
    pub(super) fn pad_log(&mut self) -> Result<(), Failure> {
        let pad = u64::from(self.config.log.pad.max(1));
        let missing = self.ledger.next().next_multiple_of(pad) - self.ledger.next();
        if missing == 0 || self.ledger.next() == self.log.size() {
            return Ok(());
        }
        let me = self.me().to_owned();
        self.step(|_, step| {
            for _ in 0..missing {
                // Random: its leaf hash, which stands in others' proofs, tells nobody that it is empty.
                step.record(None, &me, Body::Noop { salt: Digest(random_bytes()?) });
            }
            Ok(())
        })
    }

    /// Notes that an auditor reads the log, as it stands under its present checkpoint.
    pub(super) fn note_access(&mut self, auditor: &str) -> Result<Value, Failure> {
        let checkpoint = self.log.checkpoint()?;
        let object = checkpoint.map(|note| Digest::of_bytes(note.text().as_bytes())).unwrap_or_default();
        tracing::info!(auditor, "reads the log");
        self.step(|_, step| {
            step.record(None, auditor, Body::AuditAccess { object });
            Ok(json!({ "auditor": auditor, "object": object }))
        })
    }
}
