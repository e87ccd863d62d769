//! What peers have signed for the messages that this node took in, to hold against their logs.

use serde_json::{Value, json};

use super::Engine;
use crate::failure::{self, Failure};

/// Receipts of all peers that one answer is looked for among.
const PAGE: u64 = 4096;

impl Engine {
    /// Receipts of `peer` behind number `after` of the store, one page; with the number to go on behind, if there are more.
    pub(super) fn receipts(&self, peer: &str, after: u64) -> Result<Value, Failure> {
        if self.registry.party(peer).is_none() {
            return Err(failure::data(format!("the registry names no party `{peer}`")));
        }
        let (page, next) = self.store.receipts(peer, after, PAGE)?;
        let lines = page.into_iter().map(|signed| String::from_utf8(signed).map_err(failure::internal));
        let lines = lines.collect::<Result<Vec<_>, Failure>>()?;
        Ok(json!({ "receipts": lines, "next": next }))
    }
}
