//! From a template to a contract that every party has signed, each after its own operators approved.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tally_crypto::sign::{Envelope, Signature};
use tally_crypto::transcript::Digest;
use tally_data::Dictionary;
use tally_model::text::Text;
use tally_model::{CoarsePlan, ReasonBasis, SelectionPlan};
use tally_policy::{Day, Form, Level, Purpose};
use tally_protocol::aggregation::NoiseTerms;
use tally_protocol::alignment::Engine as AlignmentEngine;
use tally_protocol::session::{
    AlignmentTerms, Contract, Fault, FieldTerms, Holder, JudgingTerms, Limits, ListReference, ModelTerms, Party,
    PartyRole, Recompute, RowColumns, SampleTerms, ScoringTerms, SealedContract, Snapshot, Stage, StatisticsTerms,
    TreeTerms,
};

use super::step::Step;
use super::{Engine, book, now, random_bytes};
use crate::failure::{self, Failure};
use crate::store::{OperatorRole, SessionRecord};

/// Label under which operators sign the digest of a contract that they approve.
pub(crate) const APPROVAL_LABEL: &str = "session-approval";

/// A session template: `models/templates/*.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Template {
    title: Text,
    purpose: Purpose,
    algorithm: String,
    #[serde(default)]
    bins: u16,
    #[serde(default)]
    coarse: Option<CoarsePlan>,
    #[serde(default)]
    selection: SelectionPlan,
    #[serde(default)]
    reasons: ReasonBasis,
    #[serde(default)]
    rows: RowColumns,
    #[serde(default)]
    leave_out: Vec<String>,
    #[serde(default)]
    sample: Option<SampleTerms>,
    #[serde(default)]
    cuts: BTreeMap<String, Vec<f64>>,
    #[serde(default)]
    special: BTreeMap<String, Vec<f64>>,
    // What a plan needs and finds 0, it refuses; statistics need none of them.
    #[serde(default)]
    smoothing: f64,
    #[serde(default)]
    min_iv: f64,
    #[serde(default)]
    c: f64,
    #[serde(default)]
    pdo: f64,
    #[serde(default)]
    base_score: f64,
    #[serde(default)]
    base_odds: f64,
    #[serde(default)]
    statistics: Option<StatisticsTerms>,
    #[serde(default)]
    trees: Option<TreeTerms>,
    #[serde(default)]
    judging: JudgingTerms,
    #[serde(default)]
    min_cohort: Option<u32>,
    #[serde(default)]
    min_cell: Option<u32>,
    #[serde(default)]
    min_rows: u64,
    row_cap: u64,
    #[serde(default)]
    evaluations: Option<u64>,
    #[serde(default)]
    engine: Option<AlignmentEngine>,
    #[serde(default = "padded")]
    padding: bool,
    rounds: u32,
    #[serde(default)]
    recompute: Recompute,
    #[serde(default)]
    noise: Option<NoiseTerms>,
    #[serde(default)]
    scoring: ScoringTerms,
    patience_seconds: u32,
    expires_days: u32,
    #[serde(default)]
    retention_days: u32,
}

/// Fewest banks behind a cell where the template does not say: two more than may collude with the platform, however many banks
/// must stay.
fn least_cell(members: u32) -> u32 {
    ((2 * (2 * members / 3 + 1)).saturating_sub(members + 1) + 2).min(members)
}

fn padded() -> bool {
    true
}

/// A bank's signature over the contract.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    contract: Digest,
    signature: Signature,
}

impl Template {
    /// Reads the text of a template.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        toml::from_str(text).map_err(|error| failure::data(format!("session template: {error}")))
    }

    /// The banks' fields that take part: those that statistics need, or all that are not set apart.
    fn takes(&self, name: &str) -> bool {
        match &self.statistics {
            Some(statistics) => statistics.fields().contains(name),
            None => !self.columns_apart().contains(&name),
        }
    }

    /// Columns of the data sets that are no fields of the model.
    fn columns_apart(&self) -> Vec<&str> {
        let rows = [&self.rows.weight, &self.rows.offset].into_iter().flatten().map(|column| column.column.as_str());
        let holdout = self.sample.as_ref().and_then(|sample| sample.holdout.column());
        self.leave_out.iter().map(String::as_str).chain(rows).chain(holdout).collect()
    }
}

impl Engine {
    /// Writes the draft of a session from a template, the sharing list and the banks' dictionary.
    pub(super) fn propose(
        &mut self,
        template: &str,
        dictionary: &str,
        dataset: &str,
        banks: &[String],
        patience_seconds: Option<u32>,
    ) -> Result<Value, Failure> {
        if !self.is_platform() {
            return Err(failure::usage("only the platform proposes sessions"));
        }
        let mut template = Template::parse(template)?;
        template.patience_seconds = patience_seconds.unwrap_or(template.patience_seconds);
        let dictionary = Dictionary::parse(dictionary).map_err(failure::data)?;
        let mut contract = self.draft(&template, &dictionary, dataset, banks)?;
        self.check_list(&contract)?;
        if !contract.is_statistics() {
            super::sample::check_cohorts(dataset, &self.known_dataset(dataset)?.cohorts, &contract)?;
            contract.disclosures = self.expected_disclosures(&contract, &self.store.dataset(dataset)?)?;
        }
        let envelope = contract.envelope();
        let sealed = SealedContract::read(&envelope).map_err(failure::data)?;
        let record = SessionRecord {
            session: contract.session.clone(),
            contract: sealed.digest(),
            envelope,
            stage: Stage::Draft,
            reason: None,
            dataset: (!contract.is_statistics()).then(|| dataset.into()),
            clearances: BTreeMap::new(),
            withdrawn: BTreeSet::new(),
            data_version: None,
            approvals: Vec::new(),
            history: vec![(Stage::Draft, now())],
            model: None,
        };
        self.step(|engine, step| {
            let me = engine.me().to_owned();
            step.record(Some(&record.session), &me, book::session_state(Stage::Draft, None));
            engine.store.put_session(&record)
        })?;
        Ok(json!({
            "session": record.session,
            "contract": record.contract,
            "stage": record.stage,
            "level": contract.level(),
            "list": contract.list.version,
            "snapshot": contract.snapshot,
            "disclosures": contract.disclosures,
        }))
    }

    fn draft(
        &self,
        template: &Template,
        dictionary: &Dictionary,
        dataset: &str,
        banks: &[String],
    ) -> Result<Contract, Failure> {
        let list = self.sharing_list()?;
        let (offered, snapshot) = match &template.statistics {
            Some(statistics) => (Vec::new(), Snapshot::none(statistics.as_of)),
            None => (self.offered(template, dataset)?, self.snapshot(dataset)?),
        };
        let own = dictionary.fields.iter().filter(|field| template.takes(&field.name)).map(|field| FieldTerms {
            name: field.name.clone(),
            holder: Holder::Banks,
            level: Level::L3,
            form: Form::Sealed,
            categories: field.kind.values().to_vec(),
        });
        let evaluations = template.evaluations.or(template.statistics.is_some().then_some(1));
        let evaluations = evaluations.ok_or_else(|| failure::data("session template: `evaluations` is missing"))?;
        let random = Digest(random_bytes()?);
        let members = u32::try_from(banks.len()).map_err(failure::usage)?;
        let created = now();
        Ok(Contract {
            version: 1,
            session: hex::encode(random_bytes::<8>()?),
            title: template.title.clone(),
            purpose: template.purpose,
            parties: self.parties(banks)?,
            fields: own.chain(offered).collect(),
            list: ListReference { version: list.version(), digest: list.digest() },
            sample: template
                .sample
                .clone()
                .map(|sample| SampleTerms { snapshot: snapshot.as_of.to_string(), ..sample }),
            snapshot,
            disclosures: BTreeMap::new(),
            alignment: AlignmentTerms {
                engine: template.engine.unwrap_or(AlignmentEngine::by_size(evaluations)),
                padding: template.padding,
            },
            model: ModelTerms {
                algorithm: template.algorithm.clone(),
                bins: template.bins,
                coarse: template.coarse.clone(),
                selection: template.selection.clone(),
                reasons: template.reasons,
                rows: template.rows.clone(),
                cuts: template.cuts.clone(),
                special: template.special.clone(),
                smoothing: template.smoothing,
                min_iv: template.min_iv,
                c: template.c,
                pdo: template.pdo,
                base_score: template.base_score,
                base_odds: template.base_odds,
                trees: template.trees.clone(),
                judging: template.judging.clone(),
                statistics: template.statistics.clone(),
            },
            limits: Limits {
                min_cohort: template.min_cohort.unwrap_or(members),
                min_cell: template.min_cell.unwrap_or(least_cell(members)),
                recompute: template.recompute,
                min_rows: template.min_rows,
                row_cap: template.row_cap,
                evaluations,
                rounds: template.rounds,
            },
            noise: template.noise,
            scoring: template.scoring,
            patience_seconds: template.patience_seconds,
            created,
            expires: created + i64::from(template.expires_days) * Day::MILLISECONDS,
            retention_days: template.retention_days,
            seed: random,
        })
    }

    /// The platform's fields of a session.
    fn offered(&self, template: &Template, dataset: &str) -> Result<Vec<FieldTerms>, Failure> {
        let (list, data) = (self.sharing_list()?, self.store.dataset(dataset)?);
        let offered = data.columns.iter().filter(|column| template.takes(&column.name)).map(|column| {
            let field = list.field(&column.name).ok_or_else(|| {
                let reason = "is not on the sharing list: add it there or leave it out of the data set";
                failure::refused(format!("field `{}` of data set `{dataset}` {reason}", column.name))
            })?;
            Ok(FieldTerms {
                name: field.name.clone(),
                holder: Holder::Platform,
                level: field.level,
                form: Form::Binned,
                categories: field.kind.values().to_vec(),
            })
        });
        offered.collect()
    }

    fn parties(&self, banks: &[String]) -> Result<Vec<Party>, Failure> {
        let mut names: Vec<_> = banks.iter().map(String::as_str).chain([self.me()]).collect();
        names.sort_unstable();
        names.dedup();
        let party = |name: &str| {
            let known = self.registry.party(name).ok_or_else(|| {
                failure::data(format!("party `{name}` is not in the registry: issue its certificate first"))
            })?;
            let role = if name == self.me() { PartyRole::Platform } else { PartyRole::Bank };
            Ok(Party { name: name.into(), role, node_key: known.node_key })
        };
        names.into_iter().map(party).collect()
    }

    /// An operator's approval; with enough of them the node signs.
    pub(super) fn approve(
        &mut self,
        session: &str,
        operator: &str,
        contract: Digest,
        signature: &Signature,
        dataset: Option<String>,
    ) -> Result<Value, Failure> {
        let mut record = self.known_session(session)?;
        if record.stage > Stage::Proposed || (self.is_platform() && record.stage != Stage::Draft) {
            return Err(failure::refused(format!(
                "session {session} is {}: there is nothing to approve",
                record.stage
            )));
        }
        if record.contract != contract {
            return Err(failure::refused("the operator approved another contract than the one that lies here"));
        }
        if self.contract_of(&record)?.terms().expires < now() {
            return Err(failure::refused(format!("session {session}: the contract has expired: propose a new one")));
        }
        let person = self.store.operator(operator)?;
        if person.role != OperatorRole::Development {
            return Err(failure::refused(format!("operator `{operator}` passes models and approves no sessions")));
        }
        if !person.key.verify(APPROVAL_LABEL, contract.as_bytes(), signature) {
            return Err(failure::refused(format!("the approval is not signed by operator `{operator}`")));
        }
        if record.approvals.iter().any(|name| name == operator) {
            return Err(failure::refused(format!("operator `{operator}` has approved already: a second person must")));
        }
        let standing = self.contract_of(&record)?;
        self.check_list(standing.terms())?;
        if self.is_platform() && standing.terms().is_statistics() {
            // The platform brings nothing.
        } else if self.is_platform() {
            self.check_snapshot(&standing.terms().snapshot)?;
        } else {
            record.dataset = Some(self.choose_dataset(&record, dataset)?);
        }
        record.approvals.push(operator.into());
        let complete = record.approvals.len() >= usize::from(self.config.session.approvals);
        let (stage, approvals) = (record.stage, record.approvals.len());
        self.step(|engine, step| {
            step.record(Some(session), operator, book::approval(contract));
            engine.store.put_session(&record)?;
            if complete { engine.sign(step, record) } else { Ok(()) }
        })?;
        let stage = self.store.session(session)?.map_or(stage, |record| record.stage);
        let needed = self.config.session.approvals;
        Ok(json!({ "session": session, "stage": stage, "approvals": approvals, "needed": needed }))
    }

    fn sign(&mut self, step: &mut Step, mut record: SessionRecord) -> Result<(), Failure> {
        record.envelope.sign(&self.signing).map_err(failure::internal)?;
        let contract = self.contract_of(&record)?;
        if self.is_platform() {
            let body = serde_json::to_vec(&record.envelope).map_err(failure::internal)?;
            for bank in contract.terms().banks() {
                self.write(step, &bank.name, &record.session, "proposal", "contract", body.clone())?;
            }
            self.reach(step, &mut record, Stage::Proposed)?;
        } else {
            let text = record.envelope.signed_text().map_err(failure::internal)?;
            let signed = Signed { contract: record.contract, signature: self.signing.sign_raw(&text) };
            let body = serde_json::to_vec(&signed).map_err(failure::internal)?;
            let platform = contract.terms().platform().map(|platform| platform.name.clone());
            let platform = platform.ok_or_else(|| failure::internal("the contract names no platform"))?;
            self.write(step, &platform, &record.session, "signature", "contract", body)?;
        }
        self.store.put_session(&record)
    }

    /// Platform to bank: a contract to approve.
    pub(super) fn proposal(&mut self, step: &mut Step, peer: &str, body: &[u8]) -> Result<(), Failure> {
        let envelope: Envelope = serde_json::from_slice(body)
            .map_err(|_| failure::refused(format!("{peer} proposed something that is not a contract")))?;
        let contract = self.check_proposal(peer, &envelope)?;
        let terms = contract.terms();
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
            approvals: Vec::new(),
            history: Vec::new(),
            model: None,
        };
        self.reach(step, &mut record, Stage::Proposed)?;
        self.store.put_session(&record)
    }

    fn check_proposal(&self, peer: &str, envelope: &Envelope) -> Result<SealedContract, Failure> {
        let contract = SealedContract::read(envelope).map_err(|error| failure::refused(format!("{peer}: {error}")))?;
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
            self.write(step, &bank.name, session, "contract", "contract", body.clone())?;
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
                    engine.write(step, &platform.name, session, "rejection", "contract", body)?;
                }
            }
            engine.abort(step, record, fault, false)
        })?;
        Ok(json!({ "session": session, "stage": Stage::Aborted }))
    }

    /// Bank to platform: the proposal is refused; the session ends for everyone.
    pub(super) fn rejection(&mut self, step: &mut Step, peer: &str, session: &str, body: &[u8]) -> Result<(), Failure> {
        let record = self.known_session(session)?;
        if record.stage > Stage::Proposed || self.contract_of(&record)?.terms().party(peer).is_none() {
            return Err(failure::refused(format!("{peer} rejected a session that is not proposed to it")));
        }
        let reason = format!("rejected by its operator: {}", String::from_utf8_lossy(body));
        self.abort(step, record, Fault { culprit: peer.into(), reason }, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The templates parse as they are, and with every key that they only show.
    #[test]
    fn templates_parse_with_and_without_what_they_leave_out() {
        for text in [
            include_str!("../../../../models/templates/scorecard.toml"),
            include_str!("../../../../models/templates/trees.toml"),
            include_str!("../../../../models/templates/statistics.toml"),
        ] {
            Template::parse(text).unwrap();
            let key = |line: &str| {
                let shown = line.strip_prefix("# ")?;
                let name = shown.split(" = ").next()?;
                let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_[].".contains(c));
                (plain && (shown.contains(" = ") || shown.starts_with('['))).then(|| shown.to_owned())
            };
            let lines: Vec<_> = text.lines().map(|line| key(line).unwrap_or_else(|| line.into())).collect();
            let shown = lines.iter().zip(text.lines()).filter(|(all, line)| all != line).count();
            assert!(shown > 3);
            let all = Template::parse(&lines.join("\n")).unwrap();
            assert!(all.min_cohort.is_some() && all.min_cell.is_some());
        }
    }
}
