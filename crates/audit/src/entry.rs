//! Entries: a closed schema. What is not a field here cannot be logged; unknown fields are refused when a log is read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;

/// One entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Format version, 1.
    pub v: u32,
    /// Place in the log, from 0.
    pub index: u64,
    /// When, Unix milliseconds; never earlier than the entry before.
    pub time: i64,
    /// Whose log.
    pub node: String,
    /// Who acted: a party or an operator.
    pub actor: String,
    /// The session, if it belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Place among this node's entries of the session, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Leaf hash of the session's entry before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<Digest>,
    /// What happened.
    #[serde(rename = "entry")]
    pub body: Body,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
pub enum Body {
    /// The log begins.
    #[serde(rename = "node.genesis")]
    Genesis {
        /// Role of the node.
        role: String,
        /// Verifier key of the log.
        log_vkey: String,
        /// Version of the program.
        software: String,
    },
    /// A person may act at the node.
    #[serde(rename = "operator.add")]
    OperatorAdd {
        /// Short name of the person's key.
        key: String,
        /// The person; in entries of older releases, who acted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// What the person may do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<String>,
        /// Digests of the orders of those who decided it; none for the first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        orders: Vec<Digest>,
    },
    /// A person acts in another role.
    #[serde(rename = "operator.change")]
    OperatorChange {
        /// The person.
        name: String,
        /// What the person may do now.
        role: String,
        /// Digests of the orders of those who decided it.
        orders: Vec<Digest>,
    },
    /// A person acts no more.
    #[serde(rename = "operator.end")]
    OperatorEnd {
        /// The person.
        name: String,
        /// Digests of the orders of those who decided it.
        orders: Vec<Digest>,
    },
    /// A sharing list was loaded.
    #[serde(rename = "policy.load")]
    PolicyLoad {
        /// Its version.
        version: u32,
        /// Digest of the signed payload.
        list: Digest,
    },
    /// Consents were added to the register.
    #[serde(rename = "consent.load")]
    ConsentLoad {
        /// How many.
        count: u64,
        /// Merkle root (RFC 6962) over salted commitments to them, in order of arrival.
        root: Digest,
    },
    /// Something happened to a consent.
    #[serde(rename = "consent.change")]
    ConsentChange {
        /// `pause`, `resume` or `revoke`.
        change: String,
        /// Salted commitment to the consent.
        consent: Digest,
        /// Salted commitment to the signed event.
        event: Digest,
        /// When it took effect, Unix milliseconds.
        effective: i64,
    },
    /// Consents that a running session rested on have ended.
    #[serde(rename = "consent.ended")]
    ConsentEnded {
        /// The bank that they were given to.
        bank: String,
        /// Ended by an event that this log has.
        changed: u64,
        /// Ended by their own terms, or by a newer consent.
        expired: u64,
        /// Events that the platform forwarded, of which a bank's log has no entry each: its length would tell which rows it has.
        #[serde(default, skip_serializing_if = "is_zero")]
        forwarded: u64,
    },
    /// Events of ended consents went from the platform to a bank, under the keys of the rows.
    #[serde(rename = "consent.named")]
    ConsentNamed {
        /// The bank.
        bank: String,
        /// About how many rows.
        rows: u64,
    },
    /// Rows left a running session, since their consents had ended.
    #[serde(rename = "consent.withdrawn")]
    ConsentWithdrawn {
        /// The bank that held them, or was offered them.
        bank: String,
        /// How many.
        rows: u64,
    },
    /// An enterprise objects to a value, or its objection was settled.
    #[serde(rename = "dispute")]
    Dispute {
        /// Name of the case.
        case: String,
        /// Salted commitment to the enterprise.
        subject: Digest,
        /// The field.
        field: String,
        /// `open`, `rejected` or `corrected`.
        state: String,
    },
    /// Something was deleted at the end of its life.
    #[serde(rename = "erase")]
    Erase {
        /// What kind of thing: `score`, `warning`, `opening`.
        kind: String,
        /// How many.
        count: u64,
        /// Digest of the signed certificate.
        certificate: Digest,
    },
    /// Somebody took a model or a report out of the node.
    #[serde(rename = "export")]
    Export {
        /// Digest of the model.
        object: Digest,
        /// In which format.
        format: String,
        /// Allowed or not.
        allow: bool,
        /// Code of the condition that failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed: Option<String>,
    },
    /// A data set was imported.
    #[serde(rename = "dataset.commit")]
    DatasetCommit {
        /// Its name.
        dataset: String,
        /// Date of the snapshot.
        as_of: String,
        /// Its fields.
        fields: Vec<String>,
        /// Rows.
        rows: u64,
        /// Salted Merkle root over the rows.
        root: Digest,
    },
    /// An operator approved a contract.
    #[serde(rename = "operator.approve")]
    OperatorApprove {
        /// The contract.
        contract: Digest,
        /// Digest of the operator's order.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order: Option<Digest>,
    },
    /// Every party has signed a contract.
    #[serde(rename = "session.contract")]
    SessionContract {
        /// Digest of the contract, the statement that all parties signed; their own logs carry the same.
        contract: Digest,
        /// The parties.
        parties: Vec<String>,
        /// The purpose.
        purpose: String,
        /// The platform's fields with their levels.
        fields: BTreeMap<String, String>,
        /// Version of the sharing list.
        list: u32,
        /// The platform's data set.
        dataset: String,
        /// Its day.
        as_of: String,
        /// Salted Merkle root over its rows.
        data: Digest,
        /// Fewest banks in a sum.
        min_cohort: u32,
    },
    /// A session reached a stage.
    #[serde(rename = "session.state")]
    SessionState {
        /// The stage.
        stage: String,
        /// Digest of the reason, where it was aborted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Digest>,
    },
    /// The set offered to, or brought to, the alignment with a bank.
    #[serde(rename = "consent.set")]
    ConsentSet {
        /// The bank.
        bank: String,
        /// Rows.
        rows: u64,
        /// Salted commitment.
        set: Digest,
    },
    /// An alignment was done; the transcript is equal at both sides.
    #[serde(rename = "psi.run")]
    PsiRun {
        /// The bank.
        bank: String,
        /// Hash over all its messages.
        transcript: Digest,
    },
    /// This bank gave a masked vector.
    #[serde(rename = "round.commit")]
    RoundCommit {
        /// Number of the round.
        round: u32,
        /// Digest of the sum request.
        request: Digest,
        /// Digest of the masked vector's message.
        masked: Digest,
    },
    /// A sum was released; equal at every party.
    #[serde(rename = "round.result")]
    RoundResult {
        /// Number of the round.
        round: u32,
        /// Digest of the sum request.
        request: Digest,
        /// Digest of the sum.
        sums: Digest,
        /// Banks in it.
        cohort: Vec<String>,
    },
    /// A model was computed; equal at every party.
    #[serde(rename = "model.release")]
    ModelRelease {
        /// Digest of the fit.
        model: Digest,
        /// Sums that led to it.
        rounds: u32,
    },
    /// Parties have signed a fact in common; equal at every party that the session's end reached.
    #[serde(rename = "attestation")]
    Attestation {
        /// `round-result`: the sums of the session; `model-release`: its model.
        fact: String,
        /// Digest of the signed statement (in-toto Statement v1), the payload of a DSSE envelope.
        env: Digest,
        /// Who signed.
        signers: Vec<String>,
    },
    /// An operator passed a model into use, or took it out.
    #[serde(rename = "model.state")]
    ModelState {
        /// Digest of the fit.
        model: Digest,
        /// `champion`, `challenger` or `retired`.
        state: String,
        /// Digest of the operator's order.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order: Option<Digest>,
    },
    /// A bank calibrated a released model to its own book; the calibration itself stays with it.
    #[serde(rename = "model.calibration")]
    Calibration {
        /// Digest of the fit.
        model: Digest,
        /// Digest of the calibration.
        calibration: Digest,
    },
    /// A message leaves for a peer.
    #[serde(rename = "egress")]
    Egress(Passage),
    /// A message of a peer was taken in.
    #[serde(rename = "ingress")]
    Ingress(Passage),
    /// A bank asks for a score.
    #[serde(rename = "score.request")]
    ScoreRequest {
        /// Digest of the request's random name.
        request: Digest,
        /// Salted commitment to the applicant.
        applicant: Digest,
        /// The purpose.
        purpose: String,
        /// The model.
        model: Digest,
        /// Bank: pseudonym of the caller of its scoring service who asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        caller: Option<Digest>,
    },
    /// A token of the scoring service was given out, under operators' signatures.
    #[serde(rename = "token.issue")]
    TokenIssue {
        /// SHA-256 of the token.
        token: Digest,
        /// Pseudonym of the caller that holds it.
        caller: Digest,
        /// What it allows.
        scopes: Vec<String>,
        /// When it ends, Unix milliseconds.
        expires: i64,
        /// Short names of the keys that signed.
        keys: Vec<String>,
        /// Digests of the orders under which it was given out.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        orders: Vec<Digest>,
    },
    /// A token was ended.
    #[serde(rename = "token.revoke")]
    TokenRevoke {
        /// SHA-256 of the token.
        token: Digest,
        /// Digest of the operator's order.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order: Option<Digest>,
    },
    /// Calls of the scoring service that asked the platform for nothing: refused, answered from what was kept, by the bank's own
    /// model, or with the models that serve.
    #[serde(rename = "api.call")]
    ApiCall {
        /// Pseudonym of the caller, where it showed who it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        caller: Option<Digest>,
        /// Salted commitment to the applicant, where the bank's own model answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        applicant: Option<Digest>,
        /// Code of the refusal, `replayed`, `fallback`, or `models`.
        outcome: String,
        /// How many: refusals by the limits, and of rows of a file, are counted together, so that a flood does not fill the log.
        count: u64,
    },
    /// The platform decided whether data may be used.
    #[serde(rename = "decision")]
    Decision {
        /// Who asks.
        grantee: String,
        /// The purpose.
        purpose: String,
        /// Salted commitment to the subject.
        subject: Digest,
        /// Allowed or not.
        allow: bool,
        /// Code of the condition that failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed: Option<String>,
        /// Salted commitment to the consent that allowed it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        consent: Option<Digest>,
        /// Version of the sharing list.
        list: u32,
    },
    /// The rows of a session were cleared: by the platform for a bank, by a bank for itself.
    #[serde(rename = "clearance")]
    Clearance {
        /// The bank.
        grantee: String,
        /// Rows allowed.
        allowed: u64,
        /// Rows denied, by condition.
        denied: BTreeMap<String, u64>,
        /// Digest over list and consents.
        basis: Digest,
        /// Salted Merkle root over the rows of the data set that was read.
        data: Digest,
    },
    /// Rows of codes are about to leave for a bank, each under its row key.
    #[serde(rename = "feature.disclose")]
    FeatureDisclose(Disclosure),
    /// A score was answered.
    #[serde(rename = "score.response")]
    ScoreResponse {
        /// Digest of the request's random name.
        request: Digest,
        /// `scored`, or the code of the refusal.
        outcome: String,
    },
    /// A score was given again, since a value that it rested on was wrong.
    #[serde(rename = "score.correction")]
    ScoreCorrection {
        /// Digest of the request's random name.
        request: Digest,
        /// `scored`, or the code of the refusal.
        outcome: String,
    },
    /// An operator approved rules of early warning.
    #[serde(rename = "warning.rules")]
    WarningRules {
        /// Their version.
        version: u32,
        /// Digest of their text.
        rules: Digest,
        /// The field that each rule looks at; rules over points of a model are not among them.
        fields: BTreeMap<String, String>,
    },
    /// The platform compared its data with what they were.
    #[serde(rename = "warning.run")]
    WarningRun {
        /// Version of the rules.
        rules: u32,
        /// Salted Merkle root over the rows that were read.
        data: Digest,
        /// Warnings issued.
        issued: u64,
    },
    /// A warning came up for a bank that may watch.
    #[serde(rename = "warning.issue")]
    WarningIssue {
        /// Its name: a keyed digest.
        warning: Digest,
        /// The bank.
        grantee: String,
        /// Salted commitment to the enterprise.
        subject: Digest,
        /// The rule.
        rule: String,
        /// `info`, `watch` or `severe`.
        severity: String,
    },
    /// A warning is about to leave for its bank.
    #[serde(rename = "warning.deliver")]
    WarningDeliver {
        /// Its name.
        warning: Digest,
        /// The bank.
        grantee: String,
    },
    /// A warning does not leave, or is called back.
    #[serde(rename = "warning.drop")]
    WarningDrop {
        /// Its name.
        warning: Digest,
        /// The bank.
        grantee: String,
        /// Code of the condition that failed; `lapsed`, or `corrected` where it rested on a wrong value.
        reason: String,
    },
    /// A bank took warnings in, whether it holds the enterprises or not.
    #[serde(rename = "warning.ack")]
    WarningAck {
        /// Their names.
        warnings: Vec<Digest>,
    },
    /// An operator of a bank dealt with a warning.
    #[serde(rename = "warning.handle")]
    WarningHandle {
        /// Salted commitment to its name.
        warning: Digest,
        /// `acknowledged` or `closed`.
        state: String,
    },
    /// What came of a warning of a rule.
    #[serde(rename = "warning.outcome")]
    WarningOutcome {
        /// The rule.
        rule: String,
        /// What came of it.
        outcome: String,
    },
    /// A bank took in outcomes of its loans.
    #[serde(rename = "outcome.import")]
    OutcomeImport {
        /// Outcomes that are new or have changed.
        rows: u64,
        /// Merkle root (RFC 6962) over salted commitments to them, in order of arrival.
        root: Digest,
    },
    /// Whether outcomes of enterprises may be told: by the bank before they leave, by the receiver before it keeps them.
    #[serde(rename = "outcome.report")]
    OutcomeReport {
        /// Digest of the report's random name.
        report: Digest,
        /// The bank.
        provider: String,
        /// Who gets them.
        grantee: String,
        /// The purpose.
        purpose: String,
        /// Outcomes allowed.
        allowed: u64,
        /// Outcomes denied, by condition.
        denied: BTreeMap<String, u64>,
        /// Digest over list and consents.
        basis: Digest,
        /// Version of the sharing list.
        list: u32,
    },
    /// A connection or message was refused.
    #[serde(rename = "refusal")]
    Refusal {
        /// Who it claimed to be.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        peer: Option<String>,
        /// Digest of the reason; of several the last one's.
        reason: Digest,
        /// `connection` or `message`.
        what: String,
        /// How many: those that follow one of their kind are counted together, so that a flood does not fill the log.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        count: u64,
    },
    /// The platform is about to tell a bank how many enterprises both hold, outside any session.
    #[serde(rename = "align.count")]
    AlignCount {
        /// The bank.
        bank: String,
        /// Digest of what both have signed for this run.
        contract: Digest,
        /// Which such run with this bank it is, from 1.
        runs: u64,
    },
    /// An auditor read something.
    #[serde(rename = "audit.access")]
    AuditAccess {
        /// Digest of what was opened; of the checkpoint's text, where it was the log over HTTP.
        object: Digest,
    },
    /// Nothing: fills the log up, so that its size tells less of what happened.
    #[serde(rename = "noop")]
    Noop {
        /// Random bytes.
        salt: Digest,
    },
}

fn one() -> u64 {
    1
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn is_one(count: &u64) -> bool {
    *count == 1
}

/// One message between two nodes; both logs carry the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passage {
    /// The other party.
    pub peer: String,
    /// Number in the stream from sender to receiver, from 1.
    pub sequence: u64,
    /// Kind of message.
    pub kind: String,
    /// Form of the information: contract, alignment, binned, masked, aggregate, score, warning, control. Known to the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<String>,
    /// Digest of the message.
    pub digest: Digest,
    /// Its length.
    pub bytes: u64,
    /// The sender's log entry that covers it. Known to the receiver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Digest>,
}

/// How far the rows that a bank is given tell enterprises apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disclosure {
    /// The bank.
    pub grantee: String,
    /// Form that the consent of each row names.
    pub form: String,
    /// Rows.
    pub rows: u64,
    /// Fewest rows that a group should have.
    pub k: u32,
    /// Groups by the fields that leave now.
    pub release: GroupCounts,
    /// Groups by these and the fields that the bank got earlier.
    pub cumulative: GroupCounts,
    /// Rows in which the row set differs from the closest other one that the bank got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<u64>,
}

/// Rows in groups of equal codes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupCounts {
    /// Fields.
    pub fields: u32,
    /// Groups.
    pub groups: u64,
    /// Rows of the smallest.
    pub smallest: u64,
    /// Rows alone in their group.
    pub unique: u64,
    /// Rows in groups of fewer than k.
    pub below: u64,
}

impl Entry {
    /// The entry as the bytes that are hashed: one line of JSON.
    pub fn encode(&self) -> Vec<u8> {
        // Panic safety: the type holds only texts, numbers and lists.
        serde_json::to_vec(self).expect("entries serialise")
    }

    /// Reads an entry; unknown fields and other spellings of the same entry are refused.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let entry: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if entry.encode() == bytes { Ok(entry) } else { Err("not in canonical form".into()) }
    }
}
