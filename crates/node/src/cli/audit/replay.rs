//! `tallystick audit replay`: a session again, from what `session evidence` wrote.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};
use tally_audit::reconcile::one_copy_each;
use tally_audit::verify::{VerifiedLog, verify_log};
use tally_audit::{Body, Registry};
use tally_crypto::sign::Envelope;
use tally_crypto::transcript::Digest;
use tally_protocol::session::{Derived, Replay, Replayed, SealedContract};

use super::disclose::read_disclosed;
use super::{read_json, read_registry};
use crate::cli::Printed;
use crate::failure::{self, Failure};

#[derive(Args)]
pub(in crate::cli) struct ReplayArguments {
    /// What `session evidence` wrote at the platform.
    evidence: PathBuf,
    /// The consortium's signed registry.
    #[arg(long, value_name = "FILE")]
    registry: PathBuf,
    /// What a bank disclosed with `session evidence --disclose`: its vectors are made again from its rows.
    #[arg(long, value_name = "FILE")]
    disclosed: Vec<PathBuf>,
    /// Logs that must hold the same sums and the same model: node directories, log directories, or copies of them.
    #[arg(long = "log", value_name = "DIR")]
    logs: Vec<PathBuf>,
}

/// What no replay can show.
const NOT_SHOWN: [&str; 3] = [
    "that the rows behind a vector are true, or all that the bank had: hold them against its data set's commitment",
    "anything of the vectors of a bank that disclosed nothing, beyond that it signed them and what they add up to",
    "what programs did that wrote no log",
];

/// The file of `session evidence`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionEvidence {
    /// The contract with all signatures.
    pub(super) contract: Envelope,
    /// What the parties signed at the end: the sums, then the model.
    pub(super) statements: Vec<Envelope>,
    /// Of each round that released a sum, in order, hexadecimal.
    transcripts: Vec<String>,
}

impl ReplayArguments {
    pub(super) fn run(self) -> Result<Printed, Failure> {
        let wrong = |reason: String| failure::data(format!("{}: {reason}", self.evidence.display()));
        let evidence: SessionEvidence = read_json(&self.evidence)?;
        if evidence.transcripts.is_empty() {
            return Err(wrong("there are no transcripts in it: the platform keeps them".into()));
        }
        let registry = read_registry(&self.registry, None)?;
        let contract = SealedContract::verify(&evidence.contract).map_err(|error| wrong(error.to_string()))?;
        known_keys(&contract, &registry).map_err(wrong)?;
        let logs = self.logs.iter().map(|log| Ok((verify_log(log, &registry).map_err(failure::check)?, ())));
        let (logs, forks) = one_copy_each(logs.collect::<Result<Vec<_>, Failure>>()?);
        let session = contract.terms().session.clone();
        let logs = logs.into_iter().map(|(log, ())| log).collect();
        let findings = forks.iter().map(ToString::to_string).collect();
        let mut told = Told { session, logs, findings, ..Told::default() };
        let mut replay = Replay::new(contract, &evidence.statements).map_err(wrong)?;
        for path in &self.disclosed {
            let refused = |reason| failure::data(format!("{}: {reason}", path.display()));
            replay.disclose(read_disclosed(path)?).map_err(refused)?;
        }
        for (number, transcript) in evidence.transcripts.iter().enumerate() {
            let bytes = hex::decode(transcript).map_err(|error| wrong(format!("transcript {number}: {error}")))?;
            match replay.take(&bytes) {
                Ok(replayed) => told.sum(replayed),
                Err(reason) => {
                    // The trainer cannot go on without this sum.
                    told.findings.push(format!("transcript {number}: {reason}; nothing was replayed from here on"));
                    return Ok(told.printed(None));
                }
            }
        }
        // An aborted session has sums and no model.
        let mut model = None;
        if !evidence.statements.is_empty() {
            match replay.conclude(&evidence.statements) {
                Ok(derived) => {
                    told.model(&derived, &evidence.statements);
                    model = Some(derived);
                }
                Err(reason) => told.findings.push(reason),
            }
        }
        Ok(told.printed(model))
    }
}

fn known_keys(contract: &SealedContract, registry: &Registry) -> Result<(), String> {
    let unknown = contract
        .terms()
        .parties
        .iter()
        .find(|party| registry.party(&party.name).is_none_or(|known| known.node_key != party.node_key));
    match unknown {
        Some(party) => Err(format!("the contract names {} with a key that is not in the registry", party.name)),
        None => Ok(()),
    }
}

/// What was replayed so far, and the logs that must hold it.
#[derive(Default)]
struct Told {
    session: String,
    logs: Vec<VerifiedLog>,
    rounds: Vec<Value>,
    /// Of each bank that disclosed its inputs, how many of its vectors were made again.
    compared: BTreeMap<String, u64>,
    findings: Vec<String>,
}

impl Told {
    fn sum(&mut self, replayed: Replayed) {
        let Replayed { round, request, cohort, sums, words, compared } = replayed;
        for (bank, same) in compared {
            match same {
                Ok(()) => *self.compared.entry(bank).or_default() += 1,
                Err(reason) => self.findings.push(format!("round {round}: {reason}")),
            }
        }
        let body = Body::RoundResult { round, request, sums, cohort: cohort.clone() };
        self.demand(&format!("round {round}"), "this sum", |held| *held == body);
        self.rounds.push(json!({ "round": round, "banks": cohort, "words": words, "sums": sums }));
    }

    fn model(&mut self, derived: &Derived, statements: &[Envelope]) {
        let model = derived.fit.digest();
        self.demand("the model", "it", |held| matches!(held, Body::ModelRelease { model: held, .. } if *held == model));
        let digests: Vec<Digest> = statements.iter().filter_map(|one| one.payload_digest().ok()).collect();
        for digest in digests {
            self.demand("a statement that was signed", "it", |held| {
                matches!(held, Body::Attestation { env, signers, .. }
                    if *env == digest && signers.iter().all(|name| derived.signers.contains(name)))
            });
        }
    }

    fn demand(&mut self, what: &str, it: &str, holds: impl Fn(&Body) -> bool) {
        for log in &self.logs {
            let own = log.entries.iter().filter(|entry| entry.session.as_deref() == Some(&self.session));
            if !own.map(|entry| &entry.body).any(&holds) {
                self.findings.push(format!("{what}: the log of {} does not hold {it}", log.party));
            }
        }
    }

    fn printed(self, model: Option<Derived>) -> Printed {
        let holds = self.findings.is_empty();
        let mut lines = vec![format!("{} sums recomputed, bit for bit", self.rounds.len())];
        lines.extend(model.iter().map(|model| {
            format!("model {} follows from them; signed by {}", model.fit.digest(), model.signers.join(", "))
        }));
        let again = self.compared.iter();
        lines.extend(
            again.map(|(bank, rounds)| format!("{rounds} vectors of {bank} follow from its rows, bit for bit")),
        );
        lines.extend(NOT_SHOWN.map(|what| format!("not shown: {what}")));
        let model = model.map(|model| {
            json!({ "digest": model.fit.digest(), "algorithm": json!(model.fit)["algorithm"], "signed_by": model.signers })
        });
        let text = if holds { lines.join("\n") } else { self.findings.join("\n") };
        let value = json!({ "holds": holds, "rounds": self.rounds, "model": model, "compared": self.compared,
            "findings": self.findings, "not_shown": NOT_SHOWN });
        Printed { value, text, holds }
    }
}
