//! Counts of shared enterprises that a platform tells banks outside any session, bank by bank: a bank that asks again and again, with
//! one enterprise more each time, learns of each whether it is there, so how often it asked stands in the log.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tally_audit::Body;
use tally_crypto::transcript::Digest;

use super::Engine;
use crate::failure::{self, Failure};

/// Name of the record of how many there were, beside the results of sessions.
const COUNTS: &str = "align-counts";

impl Engine {
    /// Enters a count that is about to be told.
    pub(super) fn enter_count(&mut self, bank: &str, contract: Digest) -> Result<Value, Failure> {
        if !self.is_platform() {
            return Err(failure::usage("counts are told, and entered, by the platform"));
        }
        if self.registry.party(bank).is_none_or(|party| party.role != "bank") {
            return Err(failure::data(format!("`{bank}` is no bank of the registry")));
        }
        self.step(|engine, step| {
            let kept = engine.store.result("", COUNTS)?;
            let read = |kept: Vec<u8>| serde_json::from_slice::<BTreeMap<String, u64>>(&kept).map_err(failure::record);
            let mut counts = kept.map(read).transpose()?.unwrap_or_default();
            let runs = counts.entry(bank.into()).or_default();
            *runs += 1;
            let runs = *runs;
            engine.store.put_result("", COUNTS, &serde_json::to_vec(&counts).map_err(failure::internal)?)?;
            step.record(None, engine.me(), Body::AlignCount { bank: bank.into(), contract, runs });
            Ok(json!({ "bank": bank, "runs": runs }))
        })
    }
}
