//! Verbs about single enterprises: their consents, their view of what is held, their objections, and deletion.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Value, json};
use tally_audit::note::{Checkpoint, parse_vkey};
use tally_audit::{Body, Entry};
use tally_crypto::merkle::{leaf_hash, verify_inclusion};
use tally_crypto::sign::Envelope;
use tally_crypto::transcript::{Digest, commit};

use super::node::{absolute, read_text};
use super::words::moment;
use super::{Language, NodeArgument, Printed, words};
use crate::control::Command;
use crate::failure::{self, Failure};

/// `tallystick consent …`.
#[derive(Subcommand)]
pub(super) enum ConsentVerb {
    /// Read consents and consent events, one signed envelope a line; every signature is checked.
    Import {
        /// The file.
        file: PathBuf,
        #[command(flatten)]
        node: NodeArgument,
    },
    /// Count consents by grantee and state.
    Show {
        #[command(flatten)]
        node: NodeArgument,
    },
    /// Write the proof that a consent is in the register, for the enterprise to keep.
    Receipt {
        /// Digest of the consent, as `subject report` shows it.
        consent: Digest,
        #[command(flatten)]
        node: NodeArgument,
        /// The file.
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Verify such a proof, without any node.
    Verify {
        /// What `consent receipt` wrote.
        receipt: PathBuf,
        /// Verifier key of the node's log (`log.vkey`), from a source other than the receipt.
        #[arg(long, value_name = "FILE")]
        vkey: PathBuf,
    },
}

/// `tallystick subject …`.
#[derive(Subcommand)]
pub(super) enum SubjectVerb {
    /// What is held about an enterprise, under which consents, who used what and when, with proofs.
    Report {
        /// Its identifier.
        code: String,
        #[command(flatten)]
        node: NodeArgument,
    },
    /// Enter an enterprise's objection to a value: it is withheld until settled.
    Object {
        /// Its identifier.
        code: String,
        #[command(flatten)]
        node: NodeArgument,
        /// The field.
        #[arg(long)]
        field: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Settle an objection: put in the right value, or reject it.
    Settle {
        /// Name of the case.
        case: String,
        #[command(flatten)]
        node: NodeArgument,
        /// The right value.
        #[arg(long, conflicts_with = "reject", required_unless_present = "reject")]
        value: Option<String>,
        /// The value stands.
        #[arg(long)]
        reject: bool,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// List objections, and corrections that another node has sent with the scores given again.
    Cases {
        #[command(flatten)]
        node: NodeArgument,
    },
}

/// `tallystick erasure …`.
#[derive(Subcommand)]
pub(super) enum ErasureVerb {
    /// Delete now what is due; a running node does so once a day.
    Run {
        #[command(flatten)]
        node: NodeArgument,
    },
    /// Show the signed certificates of what was deleted.
    Show {
        #[command(flatten)]
        node: NodeArgument,
    },
}

impl ConsentVerb {
    pub(super) fn run(self) -> Result<Printed, Failure> {
        match self {
            Self::Import { file, node } => {
                node.tell(&Command::ConsentImport { path: absolute(&file)? }).map(words::plain)
            }
            Self::Show { node } => node.tell(&Command::ConsentStatus).map(words::plain),
            Self::Receipt { consent, node, output } => {
                let receipt = node.tell(&Command::ConsentReceipt { consent })?;
                let text = serde_json::to_string_pretty(&receipt).map_err(failure::internal)?;
                std::fs::write(&output, text)
                    .map_err(|error| failure::unwritable(format!("{}: {error}", output.display())))?;
                Ok(words::plain(json!({ "output": output })))
            }
            Self::Verify { receipt, vkey } => verify_receipt(&receipt, &vkey),
        }
    }
}

impl SubjectVerb {
    pub(super) fn run(self, language: Language) -> Result<Printed, Failure> {
        let (node, command) = match self {
            Self::Report { code, node } => {
                let value = node.tell(&Command::SubjectReport { subject: code })?;
                return Ok(Printed { text: report_in_words(&value, language), value, holds: true });
            }
            Self::Object { code, node, field, reason } => {
                (node, Command::SubjectObject { subject: code, field, reason })
            }
            Self::Settle { case, node, value, reason, .. } => (node, Command::SubjectSettle { case, value, reason }),
            Self::Cases { node } => (node, Command::SubjectCases),
        };
        node.tell(&command).map(words::plain)
    }
}

impl ErasureVerb {
    pub(super) fn run(self) -> Result<Printed, Failure> {
        match self {
            Self::Run { node } => node.tell(&Command::ErasureRun),
            Self::Show { node } => node.tell(&Command::ErasureList),
        }
        .map(words::plain)
    }
}

/// The report for the enterprise to read; the proofs stand in the JSON.
fn report_in_words(report: &Value, language: Language) -> String {
    let say = |zh: &'static str, en: &'static str| if language == Language::Zh { zh } else { en };
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), Into::into);
    let words = |list: &Value| list.as_array().into_iter().flatten().map(word).collect::<Vec<_>>().join(", ");
    let each = |name: &str| report[name].as_array().cloned().unwrap_or_default();
    let mut lines = vec![format!("{} {} {}", word(&report["subject"]), say("于节点", "at"), word(&report["node"]))];
    for held in each("held") {
        let cohort = held["cohort"].as_str().map(|day| format!(", {} {day}", say("观察日", "observed on")));
        let (data_set, as_of, cohort) = (word(&held["data_set"]), word(&held["as_of"]), cohort.unwrap_or_default());
        lines.push(format!("{} {data_set}, {as_of}{cohort}", say("持有数据集", "held in")));
        let disputed: Vec<_> = held["under_objection"].as_array().into_iter().flatten().map(word).collect();
        for (field, value) in held["values"].as_object().into_iter().flatten() {
            let mark = if disputed.contains(field) { say("  (异议中)", "  (under objection)") } else { "" };
            lines.push(format!("  {field:<24} {}{mark}", words::word(value)));
        }
    }
    for consent in each("consents") {
        let uses = match &consent["max_uses"] {
            Value::Null => word(&consent["uses"]),
            most => format!("{}/{most}", consent["uses"]),
        };
        lines.push(format!(
            "{} {}: {}, {} {}, {} {uses}\n  {}",
            say("授权给", "consent to"),
            word(&consent["grantee"]),
            words(&consent["purposes"]),
            word(&consent["state"]),
            moment(&consent["window"][2]),
            say("次数", "uses"),
            word(&consent["consent"]),
        ));
        for event in consent["events"].as_array().into_iter().flatten() {
            lines.push(format!("  {} {}", moment(&event["time"]), word(&event["kind"])));
        }
    }
    for used in each("uses") {
        let entry = &used["proof"]["entry"];
        let what = match entry["entry"]["type"].as_str() {
            Some("clearance") => say("用于联合建模会话", "in session"),
            Some("outcome.report") => say("用于融资成效反馈", "for a report of loan outcomes"),
            _ if entry["session"].is_null() => say("用于贷后预警", "for an early warning"),
            _ => say("用于评分，会话", "for a score, model of session"),
        };
        lines.push(format!(
            "{} {} {what} {} ({} {})",
            moment(&used["time"]),
            word(&used["grantee"]),
            word(&entry["session"]),
            say("日志条目", "log entry"),
            used["proof"]["index"]
        ));
    }
    for case in each("cases") {
        lines.push(format!(
            "{} {}: {} {}",
            say("异议", "case"),
            word(&case["case"]),
            word(&case["field"]),
            word(&case["state"])
        ));
    }
    lines.join("\n")
}

/// What a receipt says.
#[derive(Deserialize)]
struct Receipt {
    version: u32,
    node: String,
    consent: Digest,
    envelope: Envelope,
    salt: String,
    place: u64,
    together: u64,
    path: Vec<Digest>,
    log: Logged,
    checkpoint: String,
}

/// A log entry and where it stands.
#[derive(Deserialize)]
struct Logged {
    index: u64,
    bytes: String,
    size: u64,
    path: Vec<Digest>,
}

/// From the consent to the checkpoint that the log's key has signed.
fn verify_receipt(path: &Path, vkey: &Path) -> Result<Printed, Failure> {
    let wrong = |what: &str| failure::refused(format!("{}: {what}", path.display()));
    let receipt: Receipt = serde_json::from_str(&read_text(path)?)
        .map_err(|error| failure::data(format!("{}: not a receipt: {error}", path.display())))?;
    let (name, key) =
        parse_vkey(read_text(vkey)?.trim()).map_err(|error| failure::data(format!("{}: {error}", vkey.display())))?;
    if receipt.version != 1 || receipt.node != name {
        return Err(wrong("another version, or of another node than the key"));
    }
    if receipt.envelope.payload_digest().ok() != Some(receipt.consent) {
        return Err(wrong("the envelope holds another consent"));
    }
    let bytes = hex::decode(&receipt.log.bytes).map_err(|_| wrong("the log entry is not hexadecimal"))?;
    let checkpoint = Checkpoint::open(&receipt.checkpoint, &name, &key)
        .map_err(|error| wrong(&format!("the checkpoint does not hold: {error}")))?;
    let logged = &receipt.log;
    let stands = checkpoint.size == logged.size
        && verify_inclusion(&leaf_hash(&bytes), logged.index, logged.size, &logged.path, &checkpoint.root);
    if !stands {
        return Err(wrong("the log entry is not under the checkpoint"));
    }
    let entry = Entry::decode(&bytes).map_err(|error| wrong(&format!("the log entry cannot be read: {error}")))?;
    let Body::ConsentLoad { root, count } = entry.body else {
        return Err(wrong("the log entry is not one of consents"));
    };
    let mut salt = [0; 16];
    hex::decode_to_slice(&receipt.salt, &mut salt).map_err(|_| wrong("the salt is not 32 hexadecimal digits"))?;
    let leaf = leaf_hash(commit("consent", &salt, receipt.consent.as_bytes()).as_bytes());
    if receipt.together != count || !verify_inclusion(&leaf, receipt.place, count, &receipt.path, &root) {
        return Err(wrong("the consent is not under the log entry"));
    }
    let payload: Value = receipt
        .envelope
        .unverified_payload()
        .ok()
        .and_then(|payload| serde_json::from_slice(&payload).ok())
        .unwrap_or_default();
    Ok(words::plain(json!({
        "holds": true,
        "node": name,
        "time": entry.time,
        "log_entry": logged.index,
        "consent": receipt.consent,
        "grantee": payload["grantee"],
        "purposes": payload["purposes"],
        "not_after": payload["not_after"],
    })))
}
