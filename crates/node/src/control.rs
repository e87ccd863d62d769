//! The node's control socket: one JSON line a command, one JSON line an answer.
//!
//! `control.sock` lies in the node's directory, readable by its owner only. The command line, the demo and an operator's own
//! scripts all speak this; nothing else changes a running node.

mod place;
mod reply;
mod socket;
mod warning;

pub(crate) use reply::{Awaited, Reply};
pub(crate) use socket::listen;
pub use warning::{WarningAction, WarningOrder};

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tally_audit::order::SignedOrder;
use tally_crypto::sign::{Signature, VerifyKey};
use tally_crypto::transcript::Digest;

use crate::api::TokenTerms;
use crate::failure::{self, Failure};
use crate::store::OperatorRole;

/// What a node can be told to do. Paths are absolute and read by the node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Name, role, peers, memory, bytes, log size.
    Status,
    /// Adds the first operator's public key; that of a later one waits for the others' signatures.
    OperatorAdd {
        /// Operator's name.
        name: String,
        /// Public key.
        key: VerifyKey,
        /// What the operator may do.
        #[serde(default)]
        role: OperatorRole,
    },
    /// An operator's signature under a change of the operators.
    OperatorSign {
        /// What is decided.
        order: SignedOrder,
    },
    /// The orders that operators have signed, for auditors.
    OperatorOrders {
        /// Those of this session; all if absent.
        session: Option<String>,
    },
    /// Lists operators.
    OperatorList,
    /// Reads a data set from a file.
    DatasetImport(DatasetImport),
    /// Lists data sets, with their quality.
    DatasetList,
    /// Opens one row to an auditor.
    DatasetOpen {
        /// The data set.
        dataset: String,
        /// The row's identifier.
        identifier: String,
        /// Its day of observation, in a data set with cohorts.
        #[serde(default)]
        cohort: Option<tally_policy::Day>,
    },
    /// Reads a signed sharing list.
    ListImport {
        /// The file.
        path: PathBuf,
    },
    /// Shows a sharing list.
    ListShow {
        /// Its version; the newest if absent.
        #[serde(default)]
        version: Option<u32>,
    },
    /// Reads consents, one envelope a line.
    ConsentImport {
        /// The file.
        path: PathBuf,
    },
    /// Counts consents by grantee and state.
    ConsentStatus,
    /// The proof that a consent is in this node's register.
    ConsentReceipt {
        /// Digest of the consent.
        consent: Digest,
    },
    /// What is held about an enterprise, under which consents, who used it.
    SubjectReport {
        /// Its identifier.
        subject: String,
    },
    /// An enterprise objects to a value.
    SubjectObject {
        /// Its identifier.
        subject: String,
        /// The field.
        field: String,
        /// Why.
        reason: String,
    },
    /// An objection is settled.
    SubjectSettle {
        /// Name of the case.
        case: String,
        /// The right value, as text; absent if the objection is rejected.
        value: Option<String>,
        /// Why.
        reason: String,
    },
    /// Objections here, and corrections that other nodes have sent.
    SubjectCases,
    /// Deletes what has reached the end of its life.
    ErasureRun,
    /// Certificates of what was deleted.
    ErasureList,
    /// Asks leave to take a model out of the node.
    ModelExport {
        /// Digest or its first digits, or the session that made it.
        model: Option<String>,
        /// In which format.
        format: String,
    },
    /// Writes the draft of a session.
    SessionPropose {
        /// Text of the session template.
        template: String,
        /// Text of the banks' field dictionary.
        dictionary: String,
        /// The platform's data set.
        dataset: String,
        /// Banks to invite.
        banks: Vec<String>,
        /// Seconds to wait for a bank, instead of the template's.
        patience_seconds: Option<u32>,
    },
    /// Shows a session's contract.
    SessionShow {
        /// Session name; the only open one if absent.
        session: Option<String>,
    },
    /// The contract and every round's transcript, for auditors.
    SessionEvidence {
        /// Session name.
        session: String,
    },
    /// Bank: opens what it put into a session to an auditor.
    SessionDisclose {
        /// Names the session, and nothing else.
        order: OpenOrder,
        /// Who decides.
        operator: String,
        /// The operator's signature over the order.
        signature: Signature,
    },
    /// Opens chosen commitments of the log to an auditor.
    AuditOpen {
        /// Which ones.
        order: OpenOrder,
        /// Who decides.
        operator: String,
        /// The operator's signature over the order.
        signature: Signature,
    },
    /// The data that this node would bring to a session: what an approval signs.
    SessionData {
        /// Session name.
        session: String,
        /// Data set; the node's only one if absent.
        dataset: Option<String>,
    },
    /// An operator's approval of a contract.
    SessionApprove {
        /// Session name.
        session: String,
        /// Names the contract and the data.
        order: SignedOrder,
    },
    /// Refuses a proposed session.
    SessionReject {
        /// Session name.
        session: String,
        /// Why, for the proposer.
        reason: String,
    },
    /// Stops a session.
    SessionAbort {
        /// Session name.
        session: String,
        /// Why, for the other parties.
        reason: String,
    },
    /// Where sessions stand.
    SessionStatus {
        /// Session name; all if absent.
        session: Option<String>,
    },
    /// The fit, and a bank's own figures.
    SessionResults {
        /// Session name.
        session: String,
    },
    /// Lists released models.
    ModelList,
    /// Shows a model: its state, its fit, and where it came from.
    ModelShow {
        /// Digest or its first digits, or the session that made it; the champion if absent.
        model: Option<String>,
    },
    /// Changes whether a model scores.
    ModelChange {
        /// Names the model and its new state.
        order: SignedOrder,
    },
    /// Reads outcomes of loans from a file.
    OutcomeImport {
        /// The file.
        path: PathBuf,
        /// How it is written, if it is CSV.
        #[serde(default)]
        form: tally_data::CsvForm,
    },
    /// Counts outcomes, or shows that of one application.
    OutcomeShow {
        /// The bank's number of the application.
        application: Option<String>,
    },
    /// Tells the platform what has changed, as far as consents allow it.
    OutcomeReport {
        /// What for.
        purpose: tally_policy::Purpose,
    },
    /// What the scores that were given say of a model.
    MonitorReport {
        /// Digest or its first digits, or the session that made it; the champion if absent.
        model: Option<String>,
        /// Months of the outcome window, instead of the contract's.
        window: Option<u32>,
    },
    /// Scores one applicant.
    Score(ScoreOrder),
    /// Scores rows of a file.
    ScoreBatch(BatchOrder),
    /// Names of the bank's own fields that a model reads.
    ScoreFields {
        /// The model, by its digest or session; the champion if absent.
        model: Option<String>,
    },
    /// An operator's signature under a token of the scoring service.
    TokenIssue {
        /// What the token allows.
        terms: TokenTerms,
        /// Names the terms by their digest.
        order: SignedOrder,
    },
    /// Lists tokens, without what they are.
    TokenList,
    /// Ends a token.
    TokenRevoke {
        /// Names it.
        order: SignedOrder,
    },
    /// Early warnings.
    Warning(WarningOrder),
    /// Platform: enters a count of shared enterprises into the log, before the bank is told; asked by `align --cardinality`.
    AlignCount {
        /// The bank.
        bank: String,
        /// Digest of what both have signed for the run.
        contract: Digest,
    },
    /// Writes tiles and a checkpoint for every durable entry.
    LogPublish,
    /// Notes that an auditor reads the log; asked by the node's own HTTP service.
    LogAccess {
        /// The auditor.
        auditor: String,
    },
    /// What a peer has signed for messages that were taken in, one page.
    LogReceipts {
        /// The peer.
        peer: String,
        /// What to go on behind, as the page before says; 0 to begin.
        after: u64,
    },
}

/// A data set to read.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetImport {
    /// Name to keep it under.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Text of the field dictionary (bank); the sharing list serves at the platform.
    pub dictionary: Option<String>,
    /// Column of the label, 0 or 1 (bank).
    pub label: Option<String>,
    /// Column of the identifier.
    pub identifier: String,
    /// Column of the day of observation, where an identifier has rows of several days.
    #[serde(default)]
    pub cohort: Option<String>,
    /// Identifiers are Unified Social Credit Codes, to be checked.
    pub credit_codes: bool,
    /// File column to field.
    pub map: std::collections::BTreeMap<String, String>,
    /// Date of the snapshot, ISO 8601.
    pub as_of: String,
    /// Values that do not fit the dictionary count as missing, and are counted, instead of refusing the file.
    #[serde(default)]
    pub misfits_missing: bool,
    /// How the file is written, if it is CSV.
    #[serde(default)]
    pub form: tally_data::CsvForm,
}

/// Commitments of the log to open; what is `None` does not matter.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenOrder {
    /// First entry.
    pub from: Option<u64>,
    /// Last entry.
    pub to: Option<u64>,
    /// Entries of this session.
    pub session: Option<String>,
    /// Entries about this enterprise.
    pub subject: Option<String>,
    /// When it was given, Unix milliseconds: an old order is not carried out.
    pub time: i64,
}

impl OpenOrder {
    /// What the operator signs.
    pub(crate) fn digest(&self) -> Digest {
        // Panic safety: the type holds only texts and numbers.
        Digest::of("tallystick/open-order/v1", &[&serde_json::to_vec(self).expect("orders serialise")])
    }
}

/// An applicant to score.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreOrder {
    /// Session that made the model; the newest model if absent.
    #[serde(default)]
    pub session: Option<String>,
    /// The applicant's identifier.
    pub id: String,
    /// Why the bank asks.
    pub purpose: tally_policy::Purpose,
    /// Number of the loan application, which a one-time consent names; it stays here.
    #[serde(default)]
    pub application: Option<String>,
    /// The bank's own fields: numbers, category values, or null where missing.
    pub fields: std::collections::BTreeMap<String, Value>,
    /// Reasons wanted.
    #[serde(default = "three")]
    pub reasons: usize,
}

/// Rows of a file to score: each is asked about once, however often the order is repeated.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchOrder {
    /// Random name of the run.
    pub batch: String,
    /// Session that made the model, or its digest; the champion if absent.
    #[serde(default)]
    pub model: Option<String>,
    /// Why the bank asks.
    pub purpose: tally_policy::Purpose,
    /// Reasons wanted.
    pub reasons: usize,
    /// The rows, by their number in the file.
    pub rows: Vec<(u64, BatchApplicant)>,
}

/// An applicant of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchApplicant {
    /// The applicant's identifier.
    pub id: String,
    /// Number of the loan application.
    #[serde(default)]
    pub application: Option<String>,
    /// The bank's own fields.
    pub fields: std::collections::BTreeMap<String, Value>,
}

fn three() -> usize {
    3
}

/// An answer on the socket.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Ok(Value),
    Failed(Failure),
}

/// Tells the node in `directory` to do something and waits for its answer.
///
/// # Errors
/// The node's own failure, or that no node is running there.
pub fn tell(directory: &Path, command: &Command) -> Result<Value, Failure> {
    let socket = directory.join("control.sock");
    let gone = |error: std::io::Error| {
        failure::unavailable(format!(
            "{}: no node answers ({error}): start it with `tallystick serve --node {}`",
            socket.display(),
            directory.display()
        ))
    };
    let mut stream = UnixStream::connect(&socket).map_err(gone)?;
    stream.set_read_timeout(Some(Duration::from_secs(600))).map_err(gone)?;
    let mut text = serde_json::to_vec(command).map_err(failure::internal)?;
    text.push(b'\n');
    stream.write_all(&text).map_err(gone)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).map_err(gone)?;
    match serde_json::from_str(&line) {
        Ok(Answer::Ok(value)) => Ok(value),
        Ok(Answer::Failed(failure)) => Err(failure),
        Err(_) => Err(failure::unavailable(format!("{}: the node stopped before it answered", directory.display()))),
    }
}
