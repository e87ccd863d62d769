//! Verbs of auditors: they need copies of logs and public keys, nothing else, but `open`, by which a node discloses to them.

mod bundle;
mod disclose;
mod fetch;
mod open;
mod orders;
mod page;
mod receipts;
mod replay;
mod scan;
mod terms;
mod trail;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};
use tally_audit::Registry;
use tally_audit::policy::Policy;
use tally_audit::reconcile::{Severity, one_copy_each, reconcile};
use tally_audit::verify::{Trust, verify_under};
use tally_crypto::sign::VerifyKey;

pub(super) use disclose::DiscloseArguments;

use super::node::read_text;
use super::{Language, Printed};
use crate::failure::{self, Failure};

/// `tallystick audit …`.
#[derive(Subcommand)]
pub(super) enum AuditVerb {
    /// Verify logs, each by itself and against one another.
    Verify {
        /// Node directories, log directories, or copies of them.
        #[arg(required = true, value_name = "DIR")]
        logs: Vec<PathBuf>,
        #[command(flatten)]
        trust: TrustArguments,
    },
    /// Join verified logs: what differs, who has to answer for it, and what went between them.
    Reconcile(trail::ReconcileArguments),
    /// Copy a log that is served over HTTP, or go on with a copy.
    Fetch(fetch::FetchArguments),
    /// Let an auditor read this node's log over HTTP: prints a token, once.
    Token(fetch::TokenArguments),
    /// Look for terms, and for whatever has the form of an identifier, in every byte of logs.
    Scan(scan::ScanArguments),
    /// Take what a peer has signed for out of a node, to hold against the peer's log.
    Receipts(receipts::ReceiptsArguments),
    /// Follow a field from its data set to the scores, each entry with its proof.
    Trace(trail::TraceArguments),
    /// Count the use of data by provider, purpose, bank and month.
    Report(trail::ReportArguments),
    /// Open chosen commitments of a node's log to an auditor; the node logs it first.
    Open(open::OpenArguments),
    /// Check that what persons decided at a node was signed by them, as its log says.
    Orders(orders::OrdersArguments),
    /// One entry with everything that proves it, in one file.
    #[command(subcommand)]
    Bundle(bundle::BundleVerb),
    /// Replay a session from its transcripts: every released sum again, and the model that follows from them.
    Replay(replay::ReplayArguments),
}

/// Whom an auditor trusts.
#[derive(clap::Args)]
pub(super) struct TrustArguments {
    /// The consortium's signed registry; a bundle carries it on.
    #[arg(long, value_name = "FILE", required_unless_present = "policy")]
    registry: Option<PathBuf>,
    /// The consortium's public key, as `ca_key` in the registry, from a source other than the registry.
    #[arg(long, value_name = "KEY", requires = "registry")]
    ca_key: Option<String>,
    /// A trust policy (C2SP tlog-policy): logs, witnesses, and how many of these must have cosigned.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

impl AuditVerb {
    pub(super) fn run(self, language: Language) -> Result<Printed, Failure> {
        let (logs, trust) = match self {
            Self::Verify { logs, trust } => (logs, trust),
            Self::Bundle(verb) => return verb.run(),
            Self::Reconcile(arguments) => return arguments.run(),
            Self::Fetch(arguments) => return arguments.run(),
            Self::Token(arguments) => return arguments.run(),
            Self::Scan(arguments) => return arguments.run(),
            Self::Receipts(arguments) => return arguments.run(),
            Self::Trace(arguments) => return arguments.run(),
            Self::Report(arguments) => return arguments.run(language),
            Self::Open(arguments) => return arguments.run(),
            Self::Orders(arguments) => return arguments.run(),
            Self::Replay(arguments) => return arguments.run(),
        };
        let (registry, policy) = trust.read()?;
        let value = audit_under(&logs, Trust { registry: registry.as_ref(), policy: policy.as_ref() })?;
        let holds = value["verified"] == true && value["reconciled"] == true;
        Ok(Printed { text: in_words(&value), value, holds })
    }
}

impl TrustArguments {
    fn read(&self) -> Result<(Option<Registry>, Option<Policy>), Failure> {
        let ca_key = self.ca_key.as_deref().map(parse_ca_key).transpose()?;
        let registry = self.registry.as_deref().map(|path| read_registry(path, ca_key.as_ref())).transpose()?;
        Ok((registry, self.policy.as_deref().map(read_policy).transpose()?))
    }
}

fn parse_ca_key(text: &str) -> Result<VerifyKey, Failure> {
    let wrong = |_| failure::usage("--ca-key: the text of `ca_key` in the registry");
    serde_json::from_value(json!(text)).map_err(wrong)
}

fn read_policy(path: &Path) -> Result<Policy, Failure> {
    let wrong = |error: String| failure::data(format!("{}: {error}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    Policy::parse(&bytes).map_err(|error| wrong(error.to_string()))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    serde_json::from_str(&read_text(path)?).map_err(|error| failure::data(format!("{}: {error}", path.display())))
}

/// The registry, signed by its consortium, which must have the key that is given.
pub(super) fn read_registry(path: &Path, ca_key: Option<&VerifyKey>) -> Result<Registry, Failure> {
    let wrong = |error: tally_audit::RegistryError| failure::refused(format!("{}: {error}", path.display()));
    let registry = Registry::parse(&read_text(path)?).map_err(wrong)?;
    if let Some(key) = ca_key {
        registry.demand(key).map_err(wrong)?;
    }
    Ok(registry)
}

/// Verifies every log under the registry and joins those that hold.
pub(crate) fn audit(logs: &[PathBuf], registry: &Path, ca_key: Option<&VerifyKey>) -> Result<Value, Failure> {
    let registry = read_registry(registry, ca_key)?;
    audit_under(logs, Trust { registry: Some(&registry), policy: None })
}

fn audit_under(logs: &[PathBuf], trust: Trust<'_>) -> Result<Value, Failure> {
    let mut verified = Vec::new();
    let mut shown = Vec::new();
    let mut findings = Vec::new();
    for directory in logs {
        match verify_under(directory, trust) {
            Ok((log, tree)) => {
                let (party, entries, root) = (&log.party, log.entries.len(), log.root);
                let cosigned = tree.cosigned.iter().map(|one| json!({ "witness": one.witness, "time": one.time }));
                let cosigned: Vec<_> = cosigned.collect();
                shown.push(json!({ "party": party, "entries": entries, "root": root, "cosigned": cosigned }));
                verified.push((log, ()));
            }
            Err(error) => {
                shown.push(json!({ "log": directory, "error": error.to_string() }));
                findings.push(format!("fault {error}"));
            }
        }
    }
    let all = verified.len() == logs.len();
    let (verified, mut joined) = one_copy_each(verified);
    let verified: Vec<_> = verified.into_iter().map(|(log, ())| log).collect();
    joined.extend(reconcile(&verified));
    let reconciled = joined.iter().all(|finding| finding.severity != Severity::Fault);
    findings.extend(joined.iter().map(ToString::to_string));
    Ok(json!({ "verified": all, "reconciled": all && reconciled, "logs": shown, "findings": findings }))
}

fn in_words(value: &Value) -> String {
    let mut lines = Vec::new();
    for log in value["logs"].as_array().into_iter().flatten() {
        lines.push(match log["error"].as_str() {
            Some(error) => format!("DOES NOT HOLD  {error}"),
            None => format!(
                "holds  {:<12} {} entries, root {}{}",
                log["party"].as_str().unwrap_or_default(),
                log["entries"],
                log["root"].as_str().unwrap_or_default(),
                cosigners_in_words(&log["cosigned"]),
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

fn cosigners_in_words(cosigned: &Value) -> String {
    let names: Vec<_> = cosigned.as_array().into_iter().flatten().filter_map(|one| one["witness"].as_str()).collect();
    if names.is_empty() { String::new() } else { format!(", cosigned by {}", names.join(", ")) }
}
