//! `tallystick audit reconcile`, `trace` and `report`: what several logs tell together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use tally_audit::SignedReceipt;
use tally_audit::files::{Directory, inclusion_proof};
use tally_audit::proof::Proof;
use tally_audit::reconcile::{Finding, Severity, one_copy_each, promises, reconcile, traffic};
use tally_audit::report::report;
use tally_audit::trace::{Disclosed, Question, Step, trace};
use tally_audit::verify::{Trust, VerifiedLog, VerifiedTree, log_folder, verify_under};
use tally_crypto::sign::Envelope;
use tally_policy::SharingList;

use super::receipts::read_receipts;
use super::{TrustArguments, page, read_json};
use crate::cli::node::read_text;
use crate::cli::{Language, Printed};
use crate::failure::{self, Failure};

/// Copies of logs, and whom their reader trusts.
#[derive(Args)]
struct Logs {
    /// Node directories, log directories, or copies of them.
    #[arg(required = true, value_name = "DIR")]
    logs: Vec<PathBuf>,
    #[command(flatten)]
    trust: TrustArguments,
}

#[derive(Args)]
pub(in crate::cli) struct ReconcileArguments {
    #[command(flatten)]
    logs: Logs,
    /// Receipts that peers hold of these logs, as `audit receipts` writes them: what was promised must be there.
    #[arg(long, value_name = "FILE", requires = "registry")]
    receipts: Vec<PathBuf>,
    /// When the copies were taken, RFC 3339: entries that were due by then and are not there are faults.
    #[arg(long, value_name = "TIME", requires = "receipts")]
    copied: Option<jiff::Timestamp>,
}

#[derive(Args)]
pub(in crate::cli) struct TraceArguments {
    #[command(flatten)]
    logs: Logs,
    /// Sessions over this field.
    #[arg(long, value_name = "NAME", required_unless_present_any = ["dataset", "session"])]
    field: Option<String>,
    /// Sessions over this data set.
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// This session.
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
    /// What concerns this bank.
    #[arg(long, value_name = "NAME")]
    bank: Option<String>,
    /// What nodes have disclosed of one enterprise with `audit open`: a JSON object a line.
    #[arg(long, value_name = "FILE")]
    openings: Option<PathBuf>,
}

#[derive(Args)]
pub(in crate::cli) struct ReportArguments {
    #[command(flatten)]
    logs: Logs,
    /// The signed sharing list, which names the department of each field; its signature is checked with a registry.
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// Write the report as a page to print.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// A log with the place that it was read from.
type Read = (PathBuf, VerifiedTree);

/// One log of each party, and where each was read from.
type Each = (Vec<VerifiedLog>, Vec<Read>);

impl Logs {
    /// The logs, and what does not hold between several copies of one.
    fn read(&self) -> Result<(Each, Vec<Finding>), Failure> {
        let (registry, policy) = self.trust.read()?;
        let trust = Trust { registry: registry.as_ref(), policy: policy.as_ref() };
        let read = self.logs.iter().map(|directory| {
            let (log, tree) = verify_under(directory, trust).map_err(failure::check)?;
            Ok((log, (log_folder(directory), tree)))
        });
        let (read, findings) = one_copy_each(read.collect::<Result<Vec<_>, Failure>>()?);
        Ok((read.into_iter().unzip(), findings))
    }

    /// The same, where every log must be of one history.
    fn read_whole(&self) -> Result<Each, Failure> {
        let (each, findings) = self.read()?;
        findings.first().map_or(Ok(each), |finding| Err(failure::check(finding)))
    }
}

impl ReconcileArguments {
    pub(super) fn run(self) -> Result<Printed, Failure> {
        let ((logs, _), mut findings) = self.logs.read()?;
        findings.extend(reconcile(&logs));
        let promised = self.promised()?;
        let copied = self.copied.map_or(i64::MIN, jiff::Timestamp::as_millisecond);
        findings.extend(promises(&promised, &logs, copied));
        let holds = findings.iter().all(|finding| finding.severity != Severity::Fault);
        let pairs = traffic(&logs);
        let mut lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
        lines.extend(pairs.iter().map(|pair| {
            let (sent, taken) = (pair.sent, pair.taken);
            format!(
                "{} to {}: {sent} messages, {} bytes left; {taken}, {} bytes taken in",
                pair.from, pair.to, pair.sent_bytes, pair.taken_bytes
            )
        }));
        lines.push(if holds { "the logs agree with one another" } else { "the logs do NOT agree" }.into());
        let shown = findings.iter().map(|finding| {
            let mut shown = json!(finding);
            shown["advice"] = finding.kind.advice().into();
            shown
        });
        let shown: Vec<_> = shown.collect();
        let value = json!({ "reconciled": holds, "findings": shown, "traffic": pairs, "receipts": promised.len() });
        Ok(Printed { value, text: lines.join("\n"), holds })
    }

    fn promised(&self) -> Result<Vec<SignedReceipt>, Failure> {
        let (Some(registry), _) = self.logs.trust.read()? else { return Ok(Vec::new()) };
        let read = self.receipts.iter().map(|path| read_receipts(path, &registry));
        Ok(read.collect::<Result<Vec<_>, _>>()?.concat())
    }
}

impl TraceArguments {
    pub(super) fn run(self) -> Result<Printed, Failure> {
        let (logs, read) = self.logs.read_whole()?;
        let question = Question {
            field: self.field.as_deref(),
            dataset: self.dataset.as_deref(),
            session: self.session.as_deref(),
            bank: self.bank.as_deref(),
        };
        let openings: Vec<Disclosed> = self.openings.as_deref().map(read_lines).transpose()?.unwrap_or_default();
        let steps = trace(&logs, question, &openings).map_err(failure::check)?;
        let folders: BTreeMap<_, _> = logs.iter().map(|log| log.party.as_str()).zip(&read).collect();
        let mut shown = Vec::new();
        for step in &steps {
            let mut one = json!(step);
            one["proof"] = proof_of(step, folders[step.log.as_str()])?.into();
            shown.push(one);
        }
        let text: Vec<_> = steps.iter().map(in_words).collect();
        let text = if text.is_empty() { "no entry of these logs is on such a way".into() } else { text.join("\n") };
        Ok(Printed { value: json!({ "steps": shown }), text, holds: true })
    }
}

/// A `.tlog-proof` of the step's entry.
fn proof_of(step: &Step, (folder, tree): &Read) -> Result<String, Failure> {
    let path = inclusion_proof(&Directory::new(folder), step.entry, tree.checkpoint.size)
        .map_err(|error| failure::data(format!("{}: {error}", folder.display())))?;
    Ok(Proof { extra: None, index: step.entry, path, checkpoint: tree.note.clone() }.to_string())
}

fn in_words(step: &Step) -> String {
    let mut says = json!(step.says);
    if let Value::Object(fields) = &mut says {
        fields.retain(|name, value| {
            let digest = value.as_str().is_some_and(|text| text.len() == 64);
            name != "type" && !digest && !value.is_object() && !value.is_array()
        });
    }
    let says: Vec<_> = says.as_object().into_iter().flatten().map(|(name, value)| format!("{name} {value}")).collect();
    let leaf = step.leaf.to_string();
    format!(
        "{:<10} {:>7}  {}  {:<16} {}",
        step.log,
        step.entry,
        leaf.get(..12).unwrap_or(&leaf),
        step.kind,
        says.join(", ")
    )
}

impl ReportArguments {
    pub(super) fn run(self, language: Language) -> Result<Printed, Failure> {
        let (logs, _) = self.logs.read_whole()?;
        let owners = self.list.as_deref().map(|path| self.owners(path)).transpose()?.unwrap_or_default();
        let counted = report(&logs, &owners);
        if let Some(path) = &self.html {
            std::fs::write(path, page::render(&counted, language))
                .map_err(|error| failure::unwritable(format!("{}: {error}", path.display())))?;
        }
        let lines = counted.usage.iter().map(|one| {
            format!(
                "{}  {:<20} {:<18} {:<10} sessions {:>3}, rows cleared {:>7}, scores given {:>5}, refused {:>5}",
                one.month,
                one.provider,
                one.purpose,
                one.bank,
                one.sessions.len(),
                one.rows_cleared,
                one.scores_given,
                one.scores_refused
            )
        });
        Ok(Printed { text: lines.collect::<Vec<_>>().join("\n"), value: json!(counted), holds: true })
    }

    /// The department of each field.
    fn owners(&self, path: &Path) -> Result<BTreeMap<String, String>, Failure> {
        let envelope: Envelope = read_json(path)?;
        let (registry, _) = self.logs.trust.read()?;
        let registry = registry.ok_or_else(|| failure::usage("--list: needs --registry, which names its authority"))?;
        let list = SharingList::open(&envelope, &registry.list_authority_keys())
            .map_err(|error| failure::refused(format!("{}: {error}", path.display())))?;
        let fields = list.list().fields.iter();
        Ok(fields.map(|field| (field.name.clone(), field.owner.clone())).collect())
    }
}

fn read_lines<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>, Failure> {
    let text = read_text(path)?;
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let read = |(number, line)| {
        let wrong = |error| failure::data(format!("{}: line {number}: {error}", path.display()));
        serde_json::from_str(line).map_err(wrong)
    };
    lines.map(read).collect()
}
