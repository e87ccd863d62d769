//! What a node begins with: its log's first entry.

use super::step::Step;
use super::{Engine, book};
use crate::failure::Failure;

impl Engine {
    /// The log's first entry.
    pub(super) fn record_genesis(&mut self, step: &mut Step) -> Result<(), Failure> {
        let me = self.me().to_owned();
        let vkey = tally_audit::note::vkey(&me, &self.keys.log().verify_key());
        step.record(None, &me, book::genesis(self.config.node.role, vkey));
        Ok(())
    }
}
