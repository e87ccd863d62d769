//! From a draft to a contract that every party has signed, each after its own operators approved.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tally_audit::order::{Data, Decision, SignedOrder};
use tally_crypto::sign::{Envelope, Signature};
use tally_crypto::transcript::Digest;
use tally_model::text::Text;
use tally_protocol::kind::MessageKind;
use tally_protocol::session::{Fault, PartyRole, SealedContract, Stage};

use super::step::Step;
use super::{Engine, book, now};
use crate::failure::{self, Failure};
use crate::store::{OperatorRole, SessionRecord};

/// A bank's signature over the contract.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    contract: Digest,
    signature: Signature,
}

impl Engine {
    /// What an approval signs besides the contract: the data set that this bank would bring, as it is here now.
    pub(super) fn data_to_approve(&self, session: &str, named: Option<String>) -> Result<Value, Failure> {
        let record = self.known_session(session)?;
        if self.is_platform() {
            return Ok(json!({ "data": null }));
        }
        let dataset = self.choose_dataset(&record, named)?;
        let root = self.known_dataset(&dataset)?.commitment;
        Ok(json!({ "data": Data { dataset, root } }))
    }

    /// An operator's approval; with enough of them the node signs.
    pub(super) fn approve(&mut self, session: &str, order: SignedOrder) -> Result<Value, Failure> {
        let mut record = self.known_session(session)?;
        if record.stage > Stage::Proposed || (self.is_platform() && record.stage != Stage::Draft) {
            return Err(failure::refused(format!(
                "session {session} is {}: there is nothing to approve",
                record.stage
            )));
        }
        let given = self.given(order)?;
        let Decision::SessionApprove { contract, data } = &given.signed.order.decision else {
            return Err(failure::usage("the order is no approval of a session"));
        };
        if record.contract != *contract {
            return Err(failure::refused("the operator approved another contract than the one that lies here"));
        }
        if self.contract_of(&record)?.terms().expires < now() {
            return Err(failure::refused(format!("session {session}: the contract has expired: propose a new one")));
        }
        let operator = given.person.name.as_str();
        if given.person.role != OperatorRole::Development {
            return Err(failure::refused(format!("operator `{operator}` passes models and approves no sessions")));
        }
        self.check_another(&record.approvals, &given.person)?;
        let standing = self.contract_of(&record)?;
        self.check_list(standing.terms())?;
        let terms = standing.terms();
        let weighed = terms.balance.is_some_and(|balance| balance.cell_share.is_some() || terms.noise.is_some());
        let guarded = weighed && terms.withdrawal.is_some();
        if !guarded && !standing.terms().is_statistics() {
            return Err(failure::refused(format!(
                "session {session}: the contract lacks `balance`, `balance.cell_share` or `withdrawal`, so its sums could show one bank's rows: \
                 have it proposed by a platform of this version"
            )));
        }
        if self.is_platform() && standing.terms().is_statistics() {
            // The platform brings nothing.
        } else if self.is_platform() {
            self.check_snapshot(&standing.terms().snapshot)?;
        } else {
            self.approve_data(&mut record, data.clone())?;
        }
        // Who was ended since, or has another role, has no say.
        let active = self.active()?;
        let may = |one: &crate::store::Operator| one.role == OperatorRole::Development;
        record.approvals.retain(|name| active.iter().any(|one| one.name == *name && may(one)));
        record.approvals.push(operator.into());
        let complete = record.approvals.len() >= usize::from(self.config.session.approvals);
        let (stage, approvals) = (record.stage, record.approvals.len());
        let contract = *contract;
        self.step(|engine, step| {
            let order = engine.keep_order(&given, Some(session))?;
            step.record(Some(session), &given.person.name, book::approval(contract, order));
            engine.store.put_session(&record)?;
            if complete { engine.sign(step, record) } else { Ok(()) }
        })?;
        let stage = self.store.session(session)?.map_or(stage, |record| record.stage);
        let needed = self.config.session.approvals;
        let warnings = self.warnings_of_labels(session)?;
        Ok(
            json!({ "session": session, "stage": stage, "approvals": approvals, "needed": needed, "warnings": warnings }),
        )
    }

    /// What a bank's own operator should know of its labels before anything is trained; nobody else is told.
    fn warnings_of_labels(&self, session: &str) -> Result<Vec<Text>, Failure> {
        let record = self.known_session(session)?;
        let Some(name) = record.dataset.as_deref().filter(|_| !self.is_platform()) else { return Ok(Vec::new()) };
        let data = self.store.dataset(name)?;
        let Some(labels) = data.label.as_ref() else { return Ok(Vec::new()) };
        let bad = labels.iter().filter(|label| **label == 1).count();
        let (zh, en) = match (labels.len() - bad, bad) {
            (_, 0) => ("没有坏样本", "no bad loan"),
            (0, _) => ("没有好样本", "no good loan"),
            _ => return Ok(Vec::new()),
        };
        Ok(vec![Text::new(
            &format!("数据集 {name} 中{zh}：本行不会有自有模型，本行的提升与校准不予给出；本节点不会将此告知其他方"),
            &format!(
                "data set `{name}` holds {en}: this bank gets no model of its own, and neither uplift nor calibration of its own; \
                 this node tells nobody else"
            ),
        )])
    }

    /// All who approve sign the same data, which are those that are here.
    fn approve_data(&self, record: &mut SessionRecord, data: Option<Data>) -> Result<(), Failure> {
        let data = data.ok_or_else(|| failure::refused("a bank's approval names the data set that it brings"))?;
        let dataset = self.choose_dataset(record, Some(data.dataset.clone()))?;
        if self.known_dataset(&dataset)?.commitment != data.root {
            let text = format!("data set `{dataset}` is not what the operator approved: it was imported anew since");
            return Err(failure::refused(format!("{text}; look at it, and approve again")));
        }
        if let Some(earlier) = record.approved_data.as_ref().filter(|earlier| **earlier != data) {
            let who = record.approvals.join(" and ");
            let text = if earlier.dataset == dataset {
                format!("operator {who} approved with data set `{dataset}` as it was before it was imported anew")
            } else {
                format!("operator {who} approved with data set `{}`, not `{dataset}`", earlier.dataset)
            };
            return Err(failure::refused(format!(
                "{text}: agree on one, or reject the session and have it proposed again"
            )));
        }
        record.dataset = Some(dataset);
        record.approved_data = Some(data);
        Ok(())
    }

    fn sign(&mut self, step: &mut Step, mut record: SessionRecord) -> Result<(), Failure> {
        record.envelope.sign(&self.signing).map_err(failure::internal)?;
        let contract = self.contract_of(&record)?;
        if self.is_platform() {
            let body = serde_json::to_vec(&record.envelope).map_err(failure::internal)?;
            for bank in contract.terms().banks() {
                self.write(step, &bank.name, &record.session, MessageKind::Proposal, "contract", body.clone())?;
            }
            self.reach(step, &mut record, Stage::Proposed)?;
        } else {
            let text = record.envelope.signed_text().map_err(failure::internal)?;
            let signed = Signed { contract: record.contract, signature: self.signing.sign_raw(&text) };
            let body = serde_json::to_vec(&signed).map_err(failure::internal)?;
            let platform = contract.terms().platform().map(|platform| platform.name.clone());
            let platform = platform.ok_or_else(|| failure::internal("the contract names no platform"))?;
            self.write(step, &platform, &record.session, MessageKind::Signature, "contract", body)?;
        }
        self.store.put_session(&record)
    }

    /// Platform to bank: a contract to approve.
    pub(super) fn proposal(&mut self, step: &mut Step, peer: &str, session: &str, body: &[u8]) -> Result<(), Failure> {
        let envelope: Envelope = serde_json::from_slice(body)
            .map_err(|_| failure::refused(format!("{peer} proposed something that is not a contract")))?;
        let contract = self.check_proposal(peer, &envelope)?;
        let terms = contract.terms();
        if terms.session != session {
            return Err(failure::refused(format!("{peer} proposed session {} under another name", terms.session)));
        }
        if self.store.session(&terms.session)?.is_some() {
            return Err(failure::refused(format!("{peer} proposed session {} twice", terms.session)));
        }
        let mut record = SessionRecord {
            session: terms.session.clone(),
            contract: contract.digest(),
            envelope,
            stage: Stage::Proposed,
            reason: None,
            dataset: None,
            clearances: BTreeMap::new(),
            withdrawn: BTreeSet::new(),
            data_version: None,
            own_secret: false,
            approved_data: None,
            approvals: Vec::new(),
            history: Vec::new(),
            model: None,
        };
        self.reach(step, &mut record, Stage::Proposed)?;
        self.store.put_session(&record)
    }

    fn check_proposal(&self, peer: &str, envelope: &Envelope) -> Result<SealedContract, Failure> {
        let refused = |error: String| failure::refused(format!("{peer}: {error}"));
        let contract = SealedContract::read(envelope).map_err(|error| refused(error.to_string()))?;
        contract.terms().alignment.engine.check().map_err(|error| refused(error.to_string()))?;
        let terms = contract.terms();
        let refuse = |reason: String| Err(failure::refused(format!("{peer} proposed a contract that {reason}")));
        if terms.platform().is_none_or(|platform| platform.name != peer) {
            return refuse("does not name the sender as the platform".into());
        }
        if terms.party(self.me()).is_none_or(|party| party.role != PartyRole::Bank) {
            return refuse(format!("does not name {} as a bank", self.me()));
        }
        for party in &terms.parties {
            if self.registry.party(&party.name).is_none_or(|known| known.node_key != party.node_key) {
                return refuse(format!("names a key for {} that the registry does not know", party.name));
            }
        }
        if let Some(platform) = terms.platform() {
            let signed = envelope.open(tally_crypto::sign::STATEMENT_TYPE, &[platform.node_key]);
            signed.map_err(|error| failure::refused(format!("{peer}: {error}")))?;
        }
        if terms.expires < now() {
            return refuse("has expired".into());
        }
        Ok(contract)
    }

    /// Bank to platform: the bank's signature.
    pub(super) fn signature(&mut self, step: &mut Step, peer: &str, session: &str, body: &[u8]) -> Result<(), Failure> {
        let mut record = self.known_session(session)?;
        if record.stage != Stage::Proposed {
            return Ok(());
        }
        let wrong = |reason: &str| failure::refused(format!("{peer} {reason}"));
        let signed: Signed =
            serde_json::from_slice(body).map_err(|_| wrong("sent something that is not a signature"))?;
        let contract = self.contract_of(&record)?;
        let key = contract.terms().party(peer).map(|party| party.node_key);
        let key = key.ok_or_else(|| wrong("is not a party of the contract"))?;
        let text = record.envelope.signed_text().map_err(failure::internal)?;
        if signed.contract != record.contract || !key.verify_raw(&text, &signed.signature) {
            return Err(wrong("did not sign this contract"));
        }
        record.envelope.attach(key, signed.signature);
        if SealedContract::verify(&record.envelope).is_err() {
            return self.store.put_session(&record);
        }
        let body = serde_json::to_vec(&record.envelope).map_err(failure::internal)?;
        for bank in contract.terms().banks() {
            self.write(step, &bank.name, session, MessageKind::Contract, "contract", body.clone())?;
        }
        self.conclude(step, record)
    }

    /// Platform to bank: the contract with every signature.
    pub(super) fn contract(&mut self, step: &mut Step, peer: &str, session: &str, body: &[u8]) -> Result<(), Failure> {
        let mut record = self.known_session(session)?;
        let wrong = |reason: String| failure::refused(format!("{peer} {reason}"));
        let envelope: Envelope =
            serde_json::from_slice(body).map_err(|_| wrong("sent something that is not a contract".into()))?;
        let contract = SealedContract::verify(&envelope).map_err(|error| wrong(format!("sent a {error}")))?;
        if contract.digest() != record.contract || record.approvals.is_empty() || record.stage != Stage::Proposed {
            return Err(wrong("concluded a contract that was not approved here".into()));
        }
        record.envelope = envelope;
        self.conclude(step, record)
    }

    fn conclude(&mut self, step: &mut Step, mut record: SessionRecord) -> Result<(), Failure> {
        let contract = self.contract_of(&record)?;
        let me = self.me().to_owned();
        step.record(Some(&record.session), &me, book::contract(&contract));
        self.reach(step, &mut record, Stage::Approved)?;
        self.store.put_session(&record)?;
        self.start(step, record)
    }

    /// Refuses a proposed session and tells the platform why.
    pub(super) fn reject(&mut self, session: &str, reason: &str) -> Result<Value, Failure> {
        let record = self.known_session(session)?;
        if record.stage > Stage::Proposed {
            return Err(failure::refused(format!("session {session} is {}: abort it instead", record.stage)));
        }
        let fault = Fault { culprit: self.me().into(), reason: format!("rejected by its operator: {reason}") };
        self.step(|engine, step| {
            if !engine.is_platform() {
                let contract = engine.contract_of(&record)?;
                if let Some(platform) = contract.terms().platform() {
                    let body = reason.as_bytes().to_vec();
                    engine.write(step, &platform.name, session, MessageKind::Rejection, "contract", body)?;
                }
            }
            engine.abort(step, record, fault, false)
        })?;
        Ok(json!({ "session": session, "stage": Stage::Aborted }))
    }

    /// Bank to platform: the proposal is refused; the session ends for everyone.
    pub(super) fn rejection(&mut self, step: &mut Step, peer: &str, session: &str, body: &[u8]) -> Result<(), Failure> {
        let record = self.known_session(session)?;
        if record.stage != Stage::Proposed || self.contract_of(&record)?.terms().party(peer).is_none() {
            return Err(failure::refused(format!("{peer} rejected a session that is not proposed to it")));
        }
        let reason = format!("rejected by its operator: {}", String::from_utf8_lossy(body));
        self.abort(step, record, Fault { culprit: peer.into(), reason }, true)
    }
}
