//! Verbs of tokens of the scoring service.

use clap::Subcommand;
use tally_audit::order::Decision;
use tally_policy::Day;

use super::order::Signer;
use super::{NodeArgument, Printed, words};
use crate::api::{Scope, TokenTerms};
use crate::control::Command;
use crate::failure::{self, Failure};

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

impl TokenVerb {
    pub(super) fn run(self) -> Result<Printed, Failure> {
        match self {
            Self::Issue { node, name, scopes, expires, certificate, signer } => {
                let expires: Day = expires.parse().map_err(failure::usage)?;
                let terms = TokenTerms { name, scopes: scopes.into_iter().collect(), expires, certificate };
                let order = signer.sign(&node.node, Decision::TokenIssue { terms: terms.digest() })?;
                node.tell(&Command::TokenIssue { terms, order }).map(words::plain)
            }
            Self::List { node } => node.tell(&Command::TokenList).map(words::plain),
            Self::Revoke { node, name, signer } => {
                let order = signer.sign(&node.node, Decision::TokenRevoke { name })?;
                node.tell(&Command::TokenRevoke { order }).map(words::plain)
            }
        }
    }
}
