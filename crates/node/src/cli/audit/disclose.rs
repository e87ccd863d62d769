//! `tallystick session evidence --disclose`: what a bank put into a session, for its auditor alone.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};
use tally_protocol::session::DisclosedBank;

use super::open::{sign, write_private};
use crate::cli::NodeArgument;
use crate::cli::node::read_text;
use crate::control::{Command, OpenOrder};
use crate::failure::{self, Failure};

#[derive(Args)]
pub(in crate::cli) struct DiscloseArguments {
    /// Bank: also write what this node put into the session, its rows and the secrets of its masks, for an auditor alone; the
    /// file is readable by its owner only, and the node logs the disclosure first.
    #[arg(long, value_name = "FILE", requires = "operator")]
    disclose: Option<PathBuf>,
    /// Who decides on a disclosure; stands in the log.
    #[arg(long, value_name = "NAME")]
    operator: Option<String>,
    /// File with the operator's passphrase; asked for if absent.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

/// The file of a disclosure.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Disclosure {
    bank: String,
    disclosed: String,
}

impl DiscloseArguments {
    /// Writes the disclosure, if one is asked for.
    pub(in crate::cli) fn run(self, node: &NodeArgument, session: &str) -> Result<(), Failure> {
        let (Some(output), Some(operator)) = (self.disclose, self.operator) else { return Ok(()) };
        if output.exists() {
            return Err(failure::unwritable(format!("{}: is there already", output.display())));
        }
        let (session, time) = (Some(session.into()), crate::engine::now());
        let order = OpenOrder { from: None, to: None, session, subject: None, time };
        let secret = self.secret_file.as_deref();
        let signature = sign(node, &operator, secret, (crate::engine::DISCLOSE_LABEL, &order))?;
        let told = node.tell(&Command::SessionDisclose { order, operator, signature })?;
        let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
        let file = Disclosure { bank: text("bank"), disclosed: text("disclosed") };
        write_private(&output, &serde_json::to_vec(&file).map_err(failure::internal)?)
    }
}

/// Reads such a file.
pub(super) fn read_disclosed(path: &Path) -> Result<DisclosedBank, Failure> {
    let wrong = |reason: String| failure::data(format!("{}: {reason}", path.display()));
    let file: Disclosure = serde_json::from_str(&read_text(path)?).map_err(|error| wrong(error.to_string()))?;
    let bytes = hex::decode(&file.disclosed).map_err(|error| wrong(error.to_string()))?;
    DisclosedBank::decode(&bytes, &file.bank).map_err(|fault| wrong(fault.to_string()))
}
