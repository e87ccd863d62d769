//! Released models at this node: which one scores where none is named, which score by name, which no more.
//!
//! A model that was released first, or while no other is in use, becomes the champion; later ones are challengers. Passing
//! one into use, and taking one out of it, is the decision of an operator of the validation role, who must not have approved
//! the session that made it, signed with that operator's key.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tally_audit::Body;
use tally_audit::order::{Decision, SignedOrder};
use tally_policy::State;

use super::calls::moment;
use super::step::Step;
use super::{Engine, book, now};
use crate::failure::{self, Failure};
use crate::store::{ModelChange, ModelRecord, ModelState, OperatorRole, SessionRecord};

/// A model, as callers of the scoring service see it.
pub(super) fn told(record: &ModelRecord) -> Value {
    json!({
        "digest": record.model,
        "session": record.session,
        "algorithm": record.algorithm,
        "state": record.state,
        "released": moment(record.released),
    })
}

impl Engine {
    /// Enters a model that a session has released.
    pub(super) fn register_model(&mut self, step: &mut Step, session: &SessionRecord) -> Result<(), Failure> {
        let (Some(model), algorithm) = (session.model, self.contract_of(session)?.terms().model.algorithm.clone())
        else {
            return Ok(());
        };
        let models = self.store.models()?;
        let used = models.iter().any(|record| record.state == ModelState::Champion);
        // The same model of a later session stays what an operator, or its first release, made of it.
        let earlier = models.iter().find(|record| record.model == model);
        let state = match earlier {
            Some(earlier) => earlier.state,
            None if used => ModelState::Challenger,
            None => ModelState::Champion,
        };
        let mut changes = earlier.map(|earlier| earlier.changes.clone()).unwrap_or_default();
        changes.push(ModelChange { time: step.now, state, operator: None, reason: None });
        self.store.put_model(&ModelRecord {
            model,
            session: session.session.clone(),
            algorithm,
            state,
            released: step.now,
            changes,
        })
    }

    pub(super) fn list_models(&self) -> Result<Value, Failure> {
        Ok(self.store.models()?.iter().map(|record| self.in_short(record)).collect())
    }

    /// The models that score here, as callers of the scoring service see them.
    pub(super) fn serving_models(&self) -> Result<Value, Failure> {
        let records = self.store.models()?;
        let serving: Vec<_> = records.iter().filter(|record| self.serves(record)).map(told).collect();
        Ok(json!({ "models": serving }))
    }

    fn serves(&self, record: &ModelRecord) -> bool {
        record.state != ModelState::Retired && self.models.contains_key(&record.session)
    }

    fn in_short(&self, record: &ModelRecord) -> Value {
        json!({
            "model": record.model,
            "session": record.session,
            "algorithm": record.algorithm,
            "state": record.state,
            "released": record.released,
            "serves": self.serves(record),
            "fault": self.unfit.get(&record.session),
        })
    }

    pub(super) fn show_model(&self, named: Option<&str>) -> Result<Value, Failure> {
        let record = self.find_model(named)?;
        let session = self.known_session(&record.session)?;
        let mut shown = self.in_short(&record);
        shown["changes"] = json!(record.changes);
        shown["approvals"] = json!(session.approvals);
        shown["history"] = json!(session.history);
        shown["envelope"] = json!(session.envelope);
        shown["node"] = json!(self.me());
        shown["data_version"] = json!(session.data_version);
        shown["lineage"] = self.lineage(&session)?;
        shown["titles"] = json!(self.titles()?);
        shown["results"] = self.session_results(&record.session)?;
        Ok(shown)
    }

    /// A model for a file, if it may leave the node; the decision is logged.
    pub(super) fn export_model(&mut self, named: Option<&str>, format: &str) -> Result<Value, Failure> {
        let record = self.find_model(named)?;
        let contract = self.contract_of(&self.known_session(&record.session)?)?;
        let refusal = if let Some(fault) = self.unfit.get(&record.session) {
            Some(("model-unfit", format!("it does not reproduce its golden vectors: {fault}")))
        } else {
            self.check_list(contract.terms()).err().map(|failure| ("not-listed", failure.message))
        };
        let failed = refusal.as_ref().map(|(code, _)| (*code).to_owned());
        let body = Body::Export { object: record.model, format: format.into(), allow: failed.is_none(), failed };
        let me = self.me().to_owned();
        self.step(|_, step| {
            step.record(Some(&record.session), &me, body);
            Ok(())
        })?;
        match refusal {
            Some((code, reason)) => Err(failure::refused(format!("no export ({code}): {reason}"))),
            None => self.show_model(named),
        }
    }

    /// The rows that a model rests on, per bank, and how many of their consents have been revoked or have expired since.
    fn lineage(&self, session: &SessionRecord) -> Result<Value, Failure> {
        let mut shown = serde_json::Map::new();
        for (bank, entry) in &session.clearances {
            let consents = self.store.rows_by_consent(*entry)?;
            let all: u64 = consents.iter().map(|(_, rows)| rows).sum();
            let mut states = BTreeMap::<State, u64>::new();
            for (consent, rows) in &consents {
                let Some(state) = self.register.state(consent, now()) else { continue };
                *states.entry(state).or_default() += rows;
            }
            let revoked = states.get(&State::Revoked).copied().unwrap_or_default();
            shown.insert(
                bank.clone(),
                json!({
                    "rows": all,
                    "states": states,
                    "revoked_share": revoked as f64 / all.max(1) as f64,
                }),
            );
        }
        Ok(shown.into())
    }

    /// A model by its digest, the digest's first digits, or its session; the champion where nothing is named.
    pub(super) fn find_model(&self, named: Option<&str>) -> Result<ModelRecord, Failure> {
        let models = self.store.models()?;
        let Some(named) = named else {
            let champion = models.iter().find(|record| record.state == ModelState::Champion);
            return champion.cloned().ok_or_else(|| {
                failure::data("there is no champion here: name a model, see `model list`").coded("unknown-model")
            });
        };
        let fits = |record: &ModelRecord| {
            record.session == named || (named.len() >= 6 && record.model.to_string().starts_with(named))
        };
        let mut found = models.iter().filter(|record| fits(record));
        match (found.next(), found.next()) {
            (Some(record), None) => Ok(record.clone()),
            (None, _) => {
                let text = format!("model `{named}` is not known here: see `tallystick model list`");
                Err(failure::data(text).coded("unknown-model"))
            }
            (Some(_), Some(_)) => Err(failure::usage(format!("`{named}` fits several models: give more digits"))),
        }
    }

    pub(super) fn change_model(&mut self, order: SignedOrder) -> Result<Value, Failure> {
        let given = self.given(order)?;
        let Decision::ModelState { model, state, reason } = given.signed.order.decision.clone() else {
            return Err(failure::usage("the order is no decision over a model"));
        };
        let (state, operator) = (state.as_str(), given.person.name.as_str());
        let mut record = self.find_model(Some(&model.to_string()))?;
        let session = self.known_session(&record.session)?;
        if given.person.role != OperatorRole::Validation {
            let text =
                format!("operator `{operator}` has the development role: models are passed by the validation role");
            return Err(failure::refused(text));
        }
        if self.check_another(&session.approvals, &given.person).is_err() {
            return Err(failure::refused(format!("operator `{operator}` approved the session that made this model")));
        }
        let new = serde_json::from_value(json!(state)).map_err(|_| {
            failure::usage(format!("`{state}` is no state of a model: champion, challenger or retired"))
        })?;
        if record.state == new {
            return Err(failure::refused(format!("the model is {state} already")));
        }
        if new != ModelState::Retired
            && let Some(fault) = self.unfit.get(&record.session)
        {
            return Err(failure::refused(format!("the model does not reproduce its golden vectors: {fault}")));
        }
        let change = ModelChange { time: now(), state: new, operator: Some(operator.into()), reason };
        let others = self.store.models()?;
        self.step(|engine, step| {
            let order = engine.keep_order(&given, Some(&record.session))?;
            let before = others.iter().filter(|other| new == ModelState::Champion && other.model != model);
            for mut other in before.filter(|other| other.state == ModelState::Champion).cloned() {
                other.state = ModelState::Challenger;
                other.changes.push(ModelChange { state: ModelState::Challenger, reason: None, ..change.clone() });
                step.record(Some(&other.session), operator, book::model_state(&other.model, "challenger", order));
                engine.store.put_model(&other)?;
            }
            record.state = new;
            record.changes.push(change);
            step.record(Some(&record.session), operator, book::model_state(&model, state, order));
            engine.store.put_model(&record)?;
            Ok(engine.in_short(&record))
        })
    }
}
