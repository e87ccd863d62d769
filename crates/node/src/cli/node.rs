//! Verbs that make, start and fill one node.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use tally_crypto::sign::VerifyKey;

use super::{Printed, words};
use crate::config::Role;
use crate::directory::Directory;
use crate::failure::{self, Failure};
use crate::secret;

/// `tallystick init`.
#[derive(Args)]
pub(super) struct InitArguments {
    /// The directory to make.
    #[arg(long, value_name = "DIR")]
    node: PathBuf,
    /// Party name, such as bank-1.
    #[arg(long)]
    name: String,
    /// What the node is.
    #[arg(long, value_enum)]
    role: Role,
    /// Platform: address and port to listen on.
    #[arg(long, default_value = "0.0.0.0:7443")]
    listen: String,
    /// Bank: host and port of the platform.
    #[arg(long, value_name = "HOST:PORT")]
    dial: Option<String>,
    /// Bank: party name of the platform.
    #[arg(long, default_value = "platform")]
    platform: String,
    /// The consortium's key, as it has told it (`ca init` prints it): registries that another key has signed are refused. Without
    /// it the node is pinned to the first registry that it reads.
    #[arg(long, value_name = "KEY", value_parser = crate::registry::parse)]
    ca_key: Option<VerifyKey>,
    /// File with the passphrase that seals the keys; asked for if absent.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

impl InitArguments {
    pub(super) fn run(self) -> Result<Printed, Failure> {
        let passphrase = secret::read(self.secret_file.as_deref(), "tallystick")?;
        let link = match self.role {
            Role::Platform => format!("listen = {:?}", self.listen),
            Role::Bank => {
                let dial = self.dial.ok_or_else(|| failure::usage("a bank needs --dial HOST:PORT of the platform"))?;
                format!("dial = {dial:?}\nplatform = {:?}", self.platform)
            }
        };
        let directory = Directory::new(&self.node);
        crate::node_directory::create(&directory, &self.name, self.role, (&link, self.ca_key), &passphrase)?;
        let request = directory.request();
        let text = format!(
            "made {}\nnext: `tallystick ca issue --ca CA --request {}`, then put node.crt, ca.crt and registry.json there",
            self.node.display(),
            request.display()
        );
        Ok(Printed { value: json!({ "node": self.node, "request": request }), text, holds: true })
    }
}

/// `tallystick serve`.
#[derive(Args)]
pub(super) struct ServeArguments {
    /// The node's directory.
    #[arg(long, value_name = "DIR")]
    node: PathBuf,
    /// Stop when standard input ends: for a parent that must not leave nodes behind.
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
    /// File with the passphrase; else systemd's credential `tallystick`, else a prompt.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

impl ServeArguments {
    pub(super) fn run(self) -> Result<Printed, Failure> {
        trace_to_stderr();
        let passphrase = secret::read(self.secret_file.as_deref(), "tallystick")?;
        crate::serve::serve(Directory::new(&self.node), &passphrase, self.until_stdin_closes)?;
        Ok(words::plain(json!({ "stopped": self.node })))
    }
}

/// What a service has to say goes to standard error.
pub(super) fn trace_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("TALLYSTICK_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}

/// The node reads files by itself, wherever it was started.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| failure::data(format!("{}: {error}", path.display())))
}

/// A text file given to a verb.
pub(super) fn read_text(path: &Path) -> Result<String, Failure> {
    crate::given_file::text(path)
}
