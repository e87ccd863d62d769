//! What a node begins with: its log's first entry, its operators.

use std::path::Path;

use serde_json::{Value, json};
use tally_crypto::sign::VerifyKey;

use super::step::Step;
use super::{Engine, book};
use crate::failure::{self, Failure};
use crate::store::{Operator, OperatorRole};

impl Engine {
    /// The log's first entry.
    pub(super) fn record_genesis(&mut self, step: &mut Step) -> Result<(), Failure> {
        let me = self.me().to_owned();
        let vkey = tally_audit::note::vkey(&me, &self.keys.log().verify_key());
        step.record(None, &me, book::genesis(self.config.node.role, vkey));
        Ok(())
    }

    pub(super) fn add_operator(
        &mut self,
        step: &mut Step,
        name: &str,
        key: VerifyKey,
        role: OperatorRole,
    ) -> Result<Value, Failure> {
        self.store.add_operator(name, key, role, step.now)?;
        step.record(None, name, book::operator(&key));
        Ok(json!({ "operator": name, "key": key, "role": role }))
    }

    pub(super) fn list_operators(&self) -> Result<Value, Failure> {
        let operators = self.store.operators()?;
        let shown = |one: Operator| json!({ "operator": one.name, "key": one.key, "role": one.role });
        Ok(operators.into_iter().map(shown).collect())
    }
}

pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    failure::data(format!("{}: cannot read the file: {error}", path.display()))
}
