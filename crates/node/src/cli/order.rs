//! Orders of operators, signed where their keys are.

use std::path::{Path, PathBuf};

use tally_audit::order::{Decision, Order, SignedOrder};

use crate::config::Config;
use crate::directory::Directory;
use crate::engine::now;
use crate::failure::Failure;
use crate::{keys, secret};

/// Who signs.
#[derive(clap::Args)]
pub(super) struct Signer {
    /// The operator who decides.
    #[arg(long, value_name = "NAME")]
    operator: String,
    /// File with the operator's passphrase; asked for if absent.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

impl Signer {
    /// An order for the node in this directory, given now.
    pub(super) fn sign(&self, node: &Path, decision: Decision) -> Result<SignedOrder, Failure> {
        let passphrase = secret::read(self.secret_file.as_deref(), &format!("operator-{}", self.operator))?;
        sign(node, &self.operator, &passphrase, decision)
    }
}

/// The same under a passphrase that was read before.
pub(crate) fn sign(node: &Path, operator: &str, passphrase: &[u8], decision: Decision) -> Result<SignedOrder, Failure> {
    let directory = Directory::new(node);
    let key = keys::open_operator(&directory.operator_key(operator), passphrase)?;
    let name = Config::read(&directory.config())?.node.name;
    Ok(Order::new(&name, now(), decision).sign(operator, &key))
}
