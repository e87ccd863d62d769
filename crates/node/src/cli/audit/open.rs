//! `tallystick audit open`: what a node discloses to an auditor of what its log commits to.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use tally_crypto::sign::Signature;

use crate::cli::{NodeArgument, Printed};
use crate::control::{Command, OpenOrder};
use crate::directory::Directory;
use crate::failure::{self, Failure};
use crate::{keys, secret};

#[derive(Args)]
pub(in crate::cli) struct OpenArguments {
    #[command(flatten)]
    node: NodeArgument,
    /// First entry of the log to open.
    #[arg(long, value_name = "N", required_unless_present_any = ["to", "session", "subject"])]
    from: Option<u64>,
    /// Last entry to open.
    #[arg(long, value_name = "N")]
    to: Option<u64>,
    /// Entries of this session.
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
    /// Entries about this enterprise.
    #[arg(long, value_name = "CODE")]
    subject: Option<String>,
    /// Who decides; stands in the log.
    #[arg(long, value_name = "NAME")]
    operator: String,
    /// File with the operator's passphrase; asked for if absent.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Where the openings go, one JSON object a line, readable by its owner only.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
}

impl OpenArguments {
    pub(super) fn run(self) -> Result<Printed, Failure> {
        if self.output.exists() {
            return Err(failure::unwritable(format!("{}: is there already", self.output.display())));
        }
        let (from, to, session, subject) = (self.from, self.to, self.session, self.subject);
        let order = OpenOrder { from, to, session, subject, time: crate::engine::now() };
        let (operator, secret) = (self.operator, self.secret_file.as_deref());
        let signature = sign(&self.node, &operator, secret, (crate::engine::OPEN_LABEL, &order))?;
        let told = self.node.tell(&Command::AuditOpen { order, operator, signature })?;
        let openings = told["openings"].as_str().ok_or_else(|| failure::internal("the node told no openings"))?;
        write_private(&self.output, openings.as_bytes())?;
        let text = format!("{}: {} openings, in the log as {}", self.output.display(), told["count"], told["object"]);
        let value = json!({ "output": self.output, "count": told["count"], "object": told["object"] });
        Ok(Printed { text, value, holds: true })
    }
}

/// An operator's signature over an order, under the label of what is ordered.
pub(super) fn sign(
    node: &NodeArgument,
    operator: &str,
    secret: Option<&Path>,
    (label, order): (&str, &OpenOrder),
) -> Result<Signature, Failure> {
    let passphrase = secret::read(secret, &format!("operator-{operator}"))?;
    let key = keys::open_operator(&Directory::new(&node.node).operator_key(operator), &passphrase)?;
    Ok(key.sign(label, order.digest().as_bytes()))
}

/// Writes a new file that nobody else can read; one that is there already is not touched.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(bytes))
        .map_err(|error| failure::unwritable(format!("{}: {error}", path.display())))
}
