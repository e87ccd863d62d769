//! Verbs of auditors: they need copies of logs and the registry, nothing else.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Value, json};
use tally_audit::reconcile::{Severity, reconcile};
use tally_audit::verify::{VerifiedLog, verify_log};
use tally_audit::{Body, Registry};
use tally_crypto::sign::{Envelope, VerifyKey};
use tally_protocol::session::{Replayed, SealedContract, replay};

use super::Printed;
use super::node::read_text;
use crate::failure::{self, Failure};

/// `tallystick audit …`.
#[derive(Subcommand)]
pub(super) enum AuditVerb {
    /// Verify logs, each by itself and against one another.
    Verify {
        /// Node directories, log directories, or copies of them.
        #[arg(required = true, value_name = "DIR")]
        logs: Vec<PathBuf>,
        /// The consortium's signed registry.
        #[arg(long, value_name = "FILE")]
        registry: PathBuf,
        /// The consortium's public key, hexadecimal, from a source other than the registry.
        #[arg(long, value_name = "KEY")]
        ca_key: Option<String>,
    },
    /// Recompute every released sum of a session from its transcripts, without opening a bank's vector.
    Replay {
        /// What `session evidence` wrote.
        evidence: PathBuf,
        /// The consortium's signed registry.
        #[arg(long, value_name = "FILE")]
        registry: PathBuf,
        /// Logs that must hold the same sums: node directories, log directories, or copies of them.
        #[arg(long = "log", value_name = "DIR")]
        logs: Vec<PathBuf>,
    },
}

impl AuditVerb {
    pub(super) fn run(self) -> Result<Printed, Failure> {
        let (logs, registry, ca_key) = match self {
            Self::Verify { logs, registry, ca_key } => (logs, registry, ca_key),
            Self::Replay { evidence, registry, logs } => return replay_all(&evidence, &registry, &logs),
        };
        let ca_key = ca_key.map(|text| {
            serde_json::from_value::<VerifyKey>(json!(text))
                .map_err(|_| failure::usage("--ca-key: 64 hexadecimal digits, as `ca_key` in the registry"))
        });
        let value = audit(&logs, &registry, ca_key.transpose()?.as_ref())?;
        let holds = value["verified"] == true && value["reconciled"] == true;
        Ok(Printed { text: in_words(&value), value, holds })
    }
}

/// The registry, signed by its consortium, which must have the key that is given.
fn read_registry(path: &Path, ca_key: Option<&VerifyKey>) -> Result<Registry, Failure> {
    let wrong = |error: tally_audit::RegistryError| failure::refused(format!("{}: {error}", path.display()));
    let registry = Registry::parse(&read_text(path)?).map_err(wrong)?;
    if let Some(key) = ca_key {
        registry.demand(key).map_err(wrong)?;
    }
    Ok(registry)
}

/// Verifies every log and joins those that hold.
pub(crate) fn audit(logs: &[PathBuf], registry: &Path, ca_key: Option<&VerifyKey>) -> Result<Value, Failure> {
    let registry_read = read_registry(registry, ca_key)?;
    let mut verified = Vec::new();
    let mut shown = Vec::new();
    let mut findings = Vec::new();
    for directory in logs {
        match verify_log(directory, &registry_read) {
            Ok(log) => {
                shown.push(json!({ "party": log.party, "entries": log.entries.len(), "root": log.root }));
                verified.push(log);
            }
            Err(error) => {
                shown.push(json!({ "log": directory, "error": error.to_string() }));
                findings.push(format!("fault {error}"));
            }
        }
    }
    let joined = reconcile(&verified);
    let reconciled = joined.iter().all(|finding| finding.severity != Severity::Fault);
    findings.extend(joined.iter().map(ToString::to_string));
    let all = verified.len() == logs.len();
    Ok(json!({ "verified": all, "reconciled": all && reconciled, "logs": shown, "findings": findings }))
}

/// The file of `session evidence`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Evidence {
    contract: Envelope,
    transcripts: Vec<String>,
}

fn replay_all(path: &Path, registry: &Path, logs: &[PathBuf]) -> Result<Printed, Failure> {
    let wrong = |reason: String| failure::data(format!("{}: {reason}", path.display()));
    let evidence: Evidence = serde_json::from_str(&read_text(path)?).map_err(|error| wrong(error.to_string()))?;
    let registry = read_registry(registry, None)?;
    let contract = SealedContract::verify(&evidence.contract).map_err(|error| wrong(error.to_string()))?;
    for party in &contract.terms().parties {
        if registry.party(&party.name).is_none_or(|known| known.node_key != party.node_key) {
            return Err(wrong(format!("the contract names {} with a key that is not in the registry", party.name)));
        }
    }
    let verified = logs.iter().map(|log| verify_log(log, &registry)).collect::<Result<Vec<_>, _>>();
    let verified = verified.map_err(failure::check)?;
    let (mut rounds, mut findings) = (Vec::new(), Vec::new());
    let mut next = 0;
    for (number, transcript) in evidence.transcripts.iter().enumerate() {
        let bytes = hex::decode(transcript).map_err(|error| wrong(format!("transcript {number}: {error}")))?;
        match replay(&contract, &bytes) {
            Ok(replayed) if replayed.round < next => {
                findings.push(format!("transcript {number}: round {} does not follow the one before", replayed.round));
            }
            Ok(replayed) => {
                next = replayed.round + 1;
                for log in verified.iter().filter(|log| !holds_sum(log, &contract.terms().session, &replayed)) {
                    findings.push(format!("round {}: the log of {} does not hold this sum", replayed.round, log.party));
                }
                let Replayed { round, cohort, sums, words, .. } = replayed;
                rounds.push(json!({ "round": round, "banks": cohort, "words": words, "sums": sums }));
            }
            Err(reason) => findings.push(format!("transcript {number}: {reason}")),
        }
    }
    let holds = findings.is_empty();
    let text = if holds { format!("{} sums recomputed, bit for bit", rounds.len()) } else { findings.join("\n") };
    Ok(Printed { value: json!({ "holds": holds, "rounds": rounds, "findings": findings }), text, holds })
}

fn holds_sum(log: &VerifiedLog, session: &str, replayed: &Replayed) -> bool {
    log.entries.iter().any(|entry| {
        let body = Body::RoundResult {
            round: replayed.round,
            request: replayed.request,
            sums: replayed.sums,
            cohort: replayed.cohort.clone(),
        };
        entry.session.as_deref() == Some(session) && entry.body == body
    })
}

fn in_words(value: &Value) -> String {
    let mut lines = Vec::new();
    for log in value["logs"].as_array().into_iter().flatten() {
        lines.push(match log["error"].as_str() {
            Some(error) => format!("DOES NOT HOLD  {error}"),
            None => format!(
                "holds  {:<12} {} entries, root {}",
                log["party"].as_str().unwrap_or_default(),
                log["entries"],
                log["root"].as_str().unwrap_or_default()
            ),
        });
    }
    for finding in value["findings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        lines.push(finding.into());
    }
    let verdict = match (&value["verified"], &value["reconciled"]) {
        (Value::Bool(true), Value::Bool(true)) => "every log holds, and they agree with one another",
        (Value::Bool(true), _) => "every log holds, but they do NOT agree",
        _ => "NOT every log holds",
    };
    lines.push(verdict.into());
    lines.join("\n")
}
