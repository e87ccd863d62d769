//! Verbs of a public witness: who has no node, and cosigns the logs of nodes.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;
use tally_audit::note::VerifierKey;
use tally_crypto::sign::VerifyKey;

use super::node::read_text;
use super::{Printed, words};
use crate::failure::{self, Failure};
use crate::{keys, secret, serve, witness};

/// `tallystick witness …`.
#[derive(Subcommand)]
pub(super) enum WitnessVerb {
    /// Make a witness's folder and key; prints the verifier key that policies name.
    Init {
        /// The folder to make.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Name of the key, such as regulator.example/witness; never to be used for another key.
        #[arg(long)]
        name: String,
        /// File with the passphrase that seals the key; asked for if absent.
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
    },
    /// Cosign what logs show, over HTTP (C2SP tlog-witness); each checkpoint only if it goes on from the one before.
    Serve {
        /// The witness's folder.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Address and port to listen on; TLS is the matter of a proxy before it.
        #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7481")]
        listen: String,
        /// The consortium's signed registry: the logs of its parties are known.
        #[arg(long, value_name = "FILE", required_unless_present = "logs")]
        registry: Option<PathBuf>,
        /// The consortium's public key, as `ca_key` in the registry, from a source other than the registry.
        #[arg(long, value_name = "KEY", requires = "registry", value_parser = crate::registry::parse)]
        ca_key: Option<VerifyKey>,
        /// Verifier key of a log that is known.
        #[arg(long = "log", value_name = "VKEY")]
        logs: Vec<String>,
        /// File with the passphrase; else systemd's credential `tallystick-witness`, else a prompt.
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
        /// Stop when standard input ends.
        #[arg(long, hide = true)]
        until_stdin_closes: bool,
    },
}

/// What systemd calls the passphrase.
const CREDENTIAL: &str = "tallystick-witness";

impl WitnessVerb {
    pub(super) fn run(self) -> Result<Printed, Failure> {
        match self {
            Self::Init { dir, name, secret_file } => {
                let passphrase = secret::read(secret_file.as_deref(), CREDENTIAL)?;
                let cannot = |error: std::io::Error| failure::unwritable(format!("{}: {error}", dir.display()));
                std::fs::create_dir_all(&dir).map_err(cannot)?;
                let cosigner = keys::create_witness(&dir.join("witness.key"), &name, &passphrase)?;
                let vkey = cosigner.verifier_key().to_string();
                std::fs::write(dir.join("witness.vkey"), format!("{vkey}\n")).map_err(cannot)?;
                Ok(words::plain(json!({ "witness": dir, "vkey": vkey })))
            }
            Self::Serve { dir, listen, registry, ca_key, logs, secret_file, until_stdin_closes } => {
                super::node::trace_to_stderr();
                let logs = known_logs(registry, ca_key.as_ref(), &logs)?;
                let vkey: VerifierKey = parse_vkey(&read_text(&dir.join("witness.vkey"))?)?;
                let passphrase = secret::read(secret_file.as_deref(), CREDENTIAL)?;
                let key = keys::open_witness(&dir.join("witness.key"), &passphrase)?;
                let public = witness::open(&dir, vkey.name(), key, &logs)?;
                serve::serve_witness(public, &dir, &listen, until_stdin_closes)?;
                Ok(words::plain(json!({ "stopped": dir })))
            }
        }
    }
}

fn known_logs(
    registry: Option<PathBuf>,
    ca_key: Option<&VerifyKey>,
    logs: &[String],
) -> Result<Vec<VerifierKey>, Failure> {
    let mut known = logs.iter().map(|log| parse_vkey(log)).collect::<Result<Vec<_>, _>>()?;
    if let Some(path) = registry {
        let registry = super::audit::read_registry(&path, ca_key)?;
        for party in registry.parties {
            known.push(parse_vkey(&party.log_vkey)?);
        }
    }
    Ok(known)
}

fn parse_vkey(text: &str) -> Result<VerifierKey, Failure> {
    let text = text.trim();
    text.parse().map_err(|error| failure::data(format!("`{text}`: not a verifier key: {error}")))
}
