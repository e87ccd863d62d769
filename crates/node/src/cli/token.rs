//! Verbs of tokens of the scoring service.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use tally_crypto::sign::Signature;
use tally_crypto::transcript::Digest;
use tally_policy::Day;

use super::{NodeArgument, Printed, words};
use crate::api::{Scope, TokenTerms};
use crate::control::Command;
use crate::directory::Directory;
use crate::engine::{TOKEN_LABEL, now, revocation_digest};
use crate::failure::{self, Failure};
use crate::{keys, secret};

/// `tallystick token …`.
#[derive(Subcommand)]
pub(super) enum TokenVerb {
    /// Sign the terms of a token; with the last signature that it needs it is printed, this once.
    Issue {
        #[command(flatten)]
        node: NodeArgument,
        /// Name of the calling system.
        #[arg(long)]
        name: String,
        /// What it may do.
        #[arg(long, value_enum, value_delimiter = ',', default_value = "score")]
        scopes: Vec<Scope>,
        /// Last day, YYYY-MM-DD.
        #[arg(long, value_name = "DAY")]
        expires: String,
        /// Subject name of the client certificate without which the token is of no use.
        #[arg(long, value_name = "NAME")]
        certificate: Option<String>,
        #[command(flatten)]
        signer: Signer,
    },
    /// List tokens and where they stand.
    List {
        #[command(flatten)]
        node: NodeArgument,
    },
    /// End a token at once.
    Revoke {
        #[command(flatten)]
        node: NodeArgument,
        /// Its name.
        name: String,
        #[command(flatten)]
        signer: Signer,
    },
}

/// Who signs.
#[derive(clap::Args)]
pub(super) struct Signer {
    /// The operator.
    #[arg(long, value_name = "NAME")]
    operator: String,
    /// File with the operator's passphrase; asked for if absent.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

impl TokenVerb {
    pub(super) fn run(self) -> Result<Printed, Failure> {
        match self {
            Self::Issue { node, name, scopes, expires, certificate, signer } => {
                let expires: Day = expires.parse().map_err(failure::usage)?;
                let terms = TokenTerms { name, scopes: scopes.into_iter().collect(), expires, certificate };
                let time = now();
                let signature = signer.sign(&node.node, &terms.digest(time))?;
                node.tell(&Command::TokenIssue { terms, time, operator: signer.operator, signature }).map(words::plain)
            }
            Self::List { node } => node.tell(&Command::TokenList).map(words::plain),
            Self::Revoke { node, name, signer } => {
                let time = now();
                let signature = signer.sign(&node.node, &revocation_digest(&name, time))?;
                node.tell(&Command::TokenRevoke { name, time, operator: signer.operator, signature }).map(words::plain)
            }
        }
    }
}

impl Signer {
    fn sign(&self, node: &Path, digest: &Digest) -> Result<Signature, Failure> {
        let passphrase = secret::read(self.secret_file.as_deref(), &format!("operator-{}", self.operator))?;
        let key = keys::open_operator(&Directory::new(node).operator_key(&self.operator), &passphrase)?;
        Ok(key.sign(TOKEN_LABEL, digest.as_bytes()))
    }
}
