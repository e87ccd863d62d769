//! Making a node's directory: all of it, or nothing.

use std::os::unix::fs::DirBuilderExt as _;

use serde::{Deserialize, Serialize};
use tally_city::ca::Authority;
use tally_crypto::sign::VerifyKey;

use crate::config::{Config, Role, check_name};
use crate::directory::Directory;
use crate::failure::{self, Failure};
use crate::keys::NodeKeys;
use crate::store::Store;

/// `request.json`: what a node asks of the consortium. It holds nothing secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CertificateRequest {
    /// Party name.
    pub(crate) name: String,
    /// Role.
    pub(crate) role: Role,
    /// Key that signs contracts and rounds.
    pub(crate) node_key: VerifyKey,
    /// Verifier key of the log.
    pub(crate) log_vkey: String,
    /// Certificate signing request, PEM.
    pub(crate) csr: String,
}

/// Makes keys, configuration, empty store and certificate request.
pub(crate) fn create(
    directory: &Directory,
    name: &str,
    role: Role,
    (link, ca_key): (&str, Option<VerifyKey>),
    passphrase: &[u8],
) -> Result<(), Failure> {
    check_name(name).map_err(failure::usage)?;
    let toml = config_text(name, role, link, ca_key);
    Config::parse(&toml).map_err(failure::usage)?;
    check_length(directory)?;
    if directory.config().exists() || directory.store().exists() {
        let text = format!("{}: there is a node here already: choose another directory", directory.path().display());
        return Err(failure::unwritable(text));
    }
    let cannot = |error: std::io::Error| failure::unwritable(format!("{}: {error}", directory.path().display()));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory.path()).map_err(cannot)?;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory.keys()).map_err(cannot)?;
    let (tls_key, csr) = tally_city::ca::csr(name).map_err(failure::internal)?;
    let keys = NodeKeys::generate(tls_key)?;
    keys.write(&directory.node_keys(), passphrase)?;
    let request = CertificateRequest {
        name: name.into(),
        role,
        node_key: keys.signing().verify_key(),
        log_vkey: tally_audit::note::vkey(name, &keys.log().verify_key()),
        csr,
    };
    let text = serde_json::to_string_pretty(&request).map_err(failure::internal)?;
    std::fs::write(directory.request(), text).map_err(cannot)?;
    std::fs::write(directory.log_vkey(), format!("{}\n", request.log_vkey)).map_err(cannot)?;
    Store::create(&directory.store())?;
    // Last, so that a directory without it is known to be unfinished.
    std::fs::write(directory.config(), toml).map_err(cannot)
}

/// Bytes of a socket's path that the system takes.
const MOST_BYTES: usize = 107;

/// The control socket lies in the directory, and its path must not be too long.
fn check_length(directory: &Directory) -> Result<(), Failure> {
    let socket = std::path::absolute(directory.path()).map_err(failure::unwritable)?.join("control.sock");
    let bytes = socket.as_os_str().len();
    if bytes <= MOST_BYTES {
        return Ok(());
    }
    Err(failure::usage(format!(
        "{}: a node's socket lies in its directory, and the system takes at most {MOST_BYTES} bytes of its path ({}), this \
         one has {bytes}: choose a shorter path",
        directory.path().display(),
        socket.display()
    )))
}

/// Has a trial authority answer the directory's request and puts the certificate there.
pub(crate) fn certify(authority: &mut Authority, directory: &Directory) -> Result<(), Failure> {
    let text = std::fs::read_to_string(directory.request()).map_err(failure::internal)?;
    let request: CertificateRequest = serde_json::from_str(&text).map_err(failure::internal)?;
    let certificate = crate::cli::issue(authority, &request)?;
    std::fs::write(directory.path().join("node.crt"), certificate).map_err(failure::unwritable)
}

fn config_text(name: &str, role: Role, link: &str, ca_key: Option<VerifyKey>) -> String {
    let pin = ca_key.map_or_else(String::new, |key| format!("ca_key = \"{key}\"\n"));
    let role = match role {
        Role::Platform => "platform",
        Role::Bank => "bank",
    };
    format!(
        "# Every key is explained in deploy/{role}.toml.\n[node]\nname = {name:?}\nrole = \"{role}\"\n\n[link]\n{link}\n\n\
         [files]\nregistry = \"registry.json\"\nca_certificate = \"ca.crt\"\ncertificate = \"node.crt\"\n{pin}\n\
         [session]\napprovals = 1\n\n[log]\ncheckpoint_seconds = 1\n"
    )
}
