//! `tallystick audit bundle`: evidence of one entry, made from a copy of a log and verified from the file alone.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use tally_audit::Registry;
use tally_audit::evidence::{Evidence, EvidenceError, Opening, Proven, concerns};
use tally_audit::files::Directory;
use tally_audit::policy::Policy;
use tally_audit::verify::{Trust, log_folder, verify_under};
use tally_crypto::sign::Envelope;

use super::replay::SessionEvidence;
use super::{TrustArguments, parse_ca_key, read_json, read_policy};
use crate::cli::Printed;
use crate::cli::node::read_text;
use crate::failure::{self, Failure};

/// `tallystick audit bundle …`.
#[derive(Subcommand)]
pub(in crate::cli) enum BundleVerb {
    /// Put one entry with everything that proves it into a file.
    Make(MakeArguments),
    /// Put every entry that concerns one party, with its proof, into a file: what a bank is given instead of the log.
    Party(PartyArguments),
    /// Verify such a file; nothing else is read but what is named here.
    Verify(VerifyArguments),
}

#[derive(Args)]
pub(in crate::cli) struct MakeArguments {
    /// A node's directory, a log, or a copy of one.
    #[arg(long, value_name = "DIR")]
    log: PathBuf,
    /// Number of the entry.
    #[arg(long, value_name = "N")]
    entry: u64,
    #[command(flatten)]
    trust: TrustArguments,
    /// What a commitment of the entry was made to: JSON with `field`, `salt` and `value`.
    #[arg(long = "opening", value_name = "FILE")]
    openings: Vec<PathBuf>,
    /// The signed document that the entry names: a DSSE envelope, or what `session evidence` wrote, which holds it.
    #[arg(long, value_name = "FILE")]
    envelope: Option<PathBuf>,
    /// The file to write.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Args)]
pub(in crate::cli) struct PartyArguments {
    /// The party: entries in which it acts, or is named.
    party: String,
    /// A node's directory, a log, or a copy of one.
    #[arg(long, value_name = "DIR")]
    log: PathBuf,
    #[command(flatten)]
    trust: TrustArguments,
    /// The file to write: evidence of one entry a line, the registry in the first.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Args)]
pub(in crate::cli) struct VerifyArguments {
    /// The file of evidence.
    file: PathBuf,
    /// The consortium's public key: the registry in the file counts if it has signed it.
    #[arg(long, value_name = "KEY")]
    ca_key: Option<String>,
    /// The log's verifier key.
    #[arg(long, value_name = "VKEY", conflicts_with = "policy", required_unless_present_any = ["ca_key", "policy"])]
    vkey: Option<String>,
    /// A trust policy (C2SP tlog-policy).
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

impl BundleVerb {
    pub(super) fn run(self) -> Result<Printed, Failure> {
        match self {
            Self::Make(arguments) => arguments.run(),
            Self::Party(arguments) => arguments.run(),
            Self::Verify(arguments) => arguments.run(),
        }
    }
}

impl MakeArguments {
    fn run(self) -> Result<Printed, Failure> {
        let (registry, policy) = self.trust.read()?;
        let trust = Trust { registry: registry.as_ref(), policy: policy.as_ref() };
        let folder = Directory::new(log_folder(&self.log));
        let mut evidence = Evidence::gather(&folder, self.entry, trust)
            .map_err(|error| failure::data(format!("{}: {error}", self.log.display())))?;
        for path in &self.openings {
            evidence.openings.push(read_json::<Opening>(path)?);
        }
        evidence.envelope = self.envelope.as_deref().map(|path| envelope_of(path, &evidence.entry)).transpose()?;
        // What does not hold is not handed out.
        let proven = evidence.verify(trust).map_err(refused)?;
        let text = serde_json::to_string_pretty(&evidence).map_err(failure::internal)?;
        std::fs::write(&self.output, text + "\n")
            .map_err(|error| failure::unwritable(format!("{}: {error}", self.output.display())))?;
        Ok(printed(&proven, &self.output))
    }
}

impl PartyArguments {
    fn run(self) -> Result<Printed, Failure> {
        let (registry, policy) = self.trust.read()?;
        let trust = Trust { registry: registry.as_ref(), policy: policy.as_ref() };
        let (log, tree) = verify_under(&self.log, trust).map_err(failure::check)?;
        let folder = Directory::new(log_folder(&self.log));
        let cannot = |error: std::io::Error| failure::unwritable(format!("{}: {error}", self.output.display()));
        let mut file = BufWriter::new(File::create(&self.output).map_err(cannot)?);
        let mut count = 0;
        for entry in log.entries.iter().filter(|entry| concerns(entry, &self.party)) {
            let mut evidence = Evidence::under(&folder, entry.index, &tree.note, tree.checkpoint.size)
                .map_err(|error| failure::data(format!("{}: {error}", self.log.display())))?;
            evidence.registry = registry.clone().filter(|_| count == 0);
            let line = serde_json::to_string(&evidence).map_err(failure::internal)?;
            writeln!(file, "{line}").map_err(cannot)?;
            count += 1;
        }
        file.flush().map_err(cannot)?;
        let (output, party) = (self.output.display(), &self.party);
        let text = format!("{output}: {count} of {} entries of {} concern {party}", log.entries.len(), log.party);
        Ok(Printed { value: json!({ "log": log.party, "party": party, "entries": count }), text, holds: true })
    }
}

impl VerifyArguments {
    fn run(self) -> Result<Printed, Failure> {
        let wrong = |error: EvidenceError| failure::data(format!("{}: {error}", self.file.display()));
        let all = Evidence::parse_all(&read_text(&self.file)?).map_err(wrong)?;
        let registry = self.ca_key.as_deref().map(|key| registry_of(&all[0], key)).transpose()?;
        let policy = match (&self.policy, &self.vkey) {
            (Some(path), _) => Some(read_policy(path)?),
            (None, Some(vkey)) => Some(
                Policy::parse(format!("log {}\nquorum none\n", vkey.trim()).as_bytes())
                    .map_err(|error| failure::usage(format!("--vkey: {}", error.reason)))?,
            ),
            (None, None) => None,
        };
        let trust = Trust { registry: registry.as_ref(), policy: policy.as_ref() };
        let proven = all.iter().map(|one| one.verify(trust)).collect::<Result<Vec<_>, _>>().map_err(refused)?;
        if let [one] = proven.as_slice() {
            return Ok(printed(one, &self.file));
        }
        let lines = proven.iter().map(|one| printed(one, &self.file));
        let (values, lines): (Vec<_>, Vec<_>) = lines.map(|one| (one.value, one.text)).unzip();
        Ok(Printed { value: json!({ "holds": true, "entries": values }), text: lines.join("\n"), holds: true })
    }
}

/// The registry in the file, if the consortium with this key has signed it.
fn registry_of(evidence: &Evidence, ca_key: &str) -> Result<Registry, Failure> {
    let key = parse_ca_key(ca_key)?;
    let registry = evidence.registry.as_ref().ok_or_else(|| failure::check("the file carries no registry"))?;
    let text = serde_json::to_string(registry).map_err(failure::internal)?;
    let registry =
        Registry::parse(&text).map_err(|error| failure::check(format!("the registry in the file: {error}")))?;
    registry.demand(&key).map_err(|error| failure::check(format!("the registry in the file: {error}")))?;
    Ok(registry)
}

/// An envelope from a file: of several the one whose digest the entry holds.
fn envelope_of(path: &Path, entry: &str) -> Result<Envelope, Failure> {
    let Ok(SessionEvidence { contract, statements, .. }) = read_json(path) else { return read_json(path) };
    let named = |envelope: &Envelope| envelope.payload_digest().is_ok_and(|digest| entry.contains(&digest.to_string()));
    let found = std::iter::once(contract).chain(statements).find(named);
    found.ok_or_else(|| failure::data(format!("{}: the entry names none of its documents", path.display())))
}

fn refused(error: EvidenceError) -> Failure {
    failure::check(format!("the evidence does not hold: {error}"))
}

fn printed(proven: &Proven, file: &Path) -> Printed {
    let (entry, checkpoint) = (&proven.entry, &proven.witnessed.checkpoint);
    let cosigned: Vec<_> = proven.witnessed.cosigned.iter().map(|one| one.witness.clone()).collect();
    let document = proven.document.as_ref();
    let mut text = format!(
        "{}: entry {} of {}, under its checkpoint of {} entries",
        file.display(),
        entry.index,
        entry.node,
        checkpoint.size
    );
    for (words, names) in [
        (", cosigned by ", &cosigned),
        (", opened: ", &proven.opened),
        (", document signed by ", &document.map(|document| document.signed_by.clone()).unwrap_or_default()),
    ] {
        if !names.is_empty() {
            text += &format!("{words}{}", names.join(", "));
        }
    }
    let document = document.map(|document| json!({ "field": document.field, "signed_by": document.signed_by }));
    let value = json!({
        "holds": true,
        "log": entry.node,
        "index": entry.index,
        "entry": entry,
        "size": checkpoint.size,
        "root": checkpoint.root,
        "cosigned": cosigned,
        "opened": proven.opened,
        "document": document,
    });
    Printed { value, text, holds: true }
}
