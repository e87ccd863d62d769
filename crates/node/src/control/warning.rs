//! What a node can be told about early warnings.

use serde::{Deserialize, Serialize};
use tally_crypto::sign::Signature;
use tally_crypto::transcript::Digest;
use tally_protocol::warning::Outcome;

/// An order about early warnings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case", deny_unknown_fields)]
pub enum WarningOrder {
    /// Platform: an operator approves rules.
    Approve {
        /// Text of the file.
        rules: String,
        /// Who approves.
        operator: String,
        /// The operator's signature over the text's digest.
        signature: Signature,
    },
    /// Platform: the rules that the configuration names, as they stand in their file.
    Rules,
    /// Platform: compares the data with what they were, now.
    Run,
    /// Lists warnings: at the platform those issued, at a bank those of its portfolio.
    List {
        /// With those that are done with.
        #[serde(default)]
        all: bool,
    },
    /// Shows one.
    Show {
        /// Its name or the first digits.
        warning: String,
    },
    /// Bank: an operator deals with a warning.
    Handle {
        /// Its name.
        warning: Digest,
        /// How.
        action: WarningAction,
        /// Who.
        operator: String,
        /// Why, for the record here.
        #[serde(default)]
        note: Option<String>,
        /// The operator's signature over warning and action.
        signature: Signature,
    },
    /// Platform: per rule how many were issued, taken in, of use.
    Report,
}

/// What an operator does to a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WarningAction {
    /// Has seen it.
    Acknowledge,
    /// Says what came of it.
    Close(Outcome),
}
