//! Verbs of the consortium's certificate authority, for trials.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;
use tally_audit::{NamedKey, RegistryParty};
use tally_city::ca::{Authority, CaError, Day};

use super::node::read_text;
use super::{Printed, words};
use crate::config::{Role, check_name};
use crate::failure::{self, Failure};
use crate::node_directory::CertificateRequest;
use crate::secret;

/// `tallystick ca …`.
#[derive(Subcommand)]
pub(super) enum CaVerb {
    /// Make an authority: its keys, certificate and an empty registry.
    Init {
        #[command(flatten)]
        place: Place,
    },
    /// Issue a node's certificate on its request.json, and enter the node in the registry.
    Issue {
        #[command(flatten)]
        place: Place,
        /// The node's request.json.
        #[arg(long, value_name = "FILE")]
        request: PathBuf,
        /// Where the certificate goes; beside the request if absent.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Enter a registrar of consents or an authority of sharing lists: {"name", "key"}.
    Appoint {
        #[command(flatten)]
        place: Place,
        /// Who countersigns consents.
        #[arg(long, value_name = "FILE", required_unless_present = "list_authority")]
        registrar: Option<PathBuf>,
        /// Who signs sharing lists.
        #[arg(long, value_name = "FILE")]
        list_authority: Option<PathBuf>,
    },
}

/// Where the authority is and how it opens.
#[derive(clap::Args)]
pub(super) struct Place {
    /// The authority's directory.
    #[arg(long, value_name = "DIR")]
    ca: PathBuf,
    /// File with the authority's passphrase; asked for if absent.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

impl Place {
    fn open(&self) -> Result<Authority, Failure> {
        let passphrase = secret::read(self.secret_file.as_deref(), "tallystick-ca")?;
        Authority::open(&self.ca, &passphrase).map_err(failed)
    }
}

impl CaVerb {
    pub(super) fn run(self) -> Result<Printed, Failure> {
        match self {
            Self::Init { place } => {
                let passphrase = secret::read(place.secret_file.as_deref(), "tallystick-ca")?;
                let authority = Authority::init(&place.ca, &passphrase, today()).map_err(failed)?;
                let files = ["ca.crt", "registry.json"].map(|file| place.ca.join(file));
                // Nodes are pinned to it: it goes to them by another way than the registry.
                let ca_key = authority.key();
                Ok(words::plain(json!({ "certificate": files[0], "registry": files[1], "ca_key": ca_key })))
            }
            Self::Issue { place, request, output } => {
                let wrong = |error| failure::data(format!("{}: not a certificate request: {error}", request.display()));
                let asked = serde_json::from_str(&read_text(&request)?).map_err(wrong)?;
                let certificate = issue(&mut place.open()?, &asked)?;
                let output = output.unwrap_or_else(|| request.with_file_name("node.crt"));
                let cannot = |error| failure::unwritable(format!("{}: {error}", output.display()));
                std::fs::write(&output, certificate).map_err(cannot)?;
                let registry = place.ca.join("registry.json");
                Ok(words::plain(json!({ "party": asked.name, "certificate": output, "registry": registry })))
            }
            Self::Appoint { place, registrar, list_authority } => {
                let mut authority = place.open()?;
                if let Some(path) = &registrar {
                    authority.appoint_registrar(named_key(path)?).map_err(failed)?;
                }
                if let Some(path) = &list_authority {
                    authority.appoint_list_authority(named_key(path)?).map_err(failed)?;
                }
                Ok(words::plain(json!({ "registry": place.ca.join("registry.json") })))
            }
        }
    }
}

/// Issues a certificate (PEM) and enters the node in the registry.
pub(crate) fn issue(authority: &mut Authority, request: &CertificateRequest) -> Result<String, Failure> {
    check_name(&request.name).map_err(failure::data)?;
    let role = match request.role {
        Role::Platform => "platform",
        Role::Bank => "bank",
    };
    let party = RegistryParty {
        name: request.name.clone(),
        role: role.into(),
        node_key: request.node_key,
        log_vkey: request.log_vkey.clone(),
        // That of the request, which the authority looks at.
        tls_key: None,
    };
    authority.issue(&request.csr, party, today()).map_err(failed)
}

/// Today, UTC.
pub(crate) fn today() -> Day {
    let date = jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::now()).date();
    // Months and days are positive.
    (date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
}

fn named_key(path: &Path) -> Result<NamedKey, Failure> {
    serde_json::from_str(&read_text(path)?)
        .map_err(|error| failure::data(format!("{}: not a named key: {error}", path.display())))
}

fn failed(error: CaError) -> Failure {
    match error {
        CaError::File { .. } => failure::unwritable(error),
        CaError::Certificate { .. } => failure::data(error),
        CaError::Passphrase(_) | CaError::Known(_) => failure::refused(error),
    }
}
