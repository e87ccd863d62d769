//! Early warning: what changes at the platform reaches the banks that watch the enterprise, as a rule's name, never as a value.
//!
//! **Parties.** The platform with its data set and the rules that an operator approved; each bank with its portfolio.
//!
//! **Inputs.** Platform: two snapshots of the watched fields, or of the platform's points by a released model; the rules;
//! consents for `post-loan-monitoring`. Bank: the identifiers of its portfolio.
//!
//! **Outputs.** Bank: warnings about enterprises of its portfolio. Platform: per rule how many warnings left and were taken in,
//! and what banks made of them.
//!
//! **What each learns.** The bank: that a rule's condition became true of an enterprise that consents to being watched by it:
//! the rule, its severity, the day, until when it counts. No value travels in any form, so rules may look at fields that stay
//! at the platform. The platform: nothing about which enterprises a bank holds. It sends every warning that a consent covers;
//! the bank's node drops those outside of its portfolio, and acknowledges all of them alike. An outcome names the rule and
//! not the enterprise. The alternative, a subscription per enterprise, would spare a bank those warnings that it drops, and
//! would tell the platform who borrows there and when that ends; the consent alone tells it that the bank *may* watch, which it
//! knows as the keeper of the register. Where a rule gave a bank a single warning, an outcome tells that its portfolio holds
//! this enterprise; a bank that minds leaves it unreported.
//!
//! **Assumptions.** Semi-honest parties, an authenticated link. A bank that keeps what it should drop learns warnings about
//! enterprises that consented to its watching them, and that are not its borrowers.
//!
//! **Cost.** One message a run and bank, or several of at most [`MOST`] warnings, with about 250 bytes a warning, one with 33 bytes a warning back.
//!
//! ```text
//! platform                                     bank
//!   | warning: raised, recalled                  |
//!   |------------------------------------------->|  keeps those of its portfolio
//!   |                warning-ack: all of them    |
//!   |<-------------------------------------------|
//!   |                warning-outcome: rule, what |  when an operator closes one
//!   |<-------------------------------------------|
//! ```

mod change;
mod rules;
#[cfg(test)]
mod tests;

pub use change::{Change, Event, Reading, Snapshot};
pub use rules::{Condition, Rule, Rules, RulesError, Severity, Source};

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;
use tally_model::text::Text;
use tally_policy::{Cleared, Day};

use crate::wire;

/// Most warnings in one message: whoever takes it in names all of them in one entry of its log, which holds 65,535 bytes.
pub const MOST: usize = 500;

/// Platform to bank: what came up, and what came up wrongly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warnings {
    raised: Vec<Warning>,
    recalled: Vec<Digest>,
}

/// One warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Its [name](Event::id).
    pub id: Digest,
    /// Canonical identifier of the enterprise.
    pub subject: String,
    /// Name of the rule.
    pub rule: String,
    /// Version of the rules.
    pub rules: u32,
    /// How serious.
    pub severity: Severity,
    /// What it means.
    pub text: Text,
    /// Day of the data.
    pub day: Day,
    /// Until when it counts, Unix milliseconds.
    pub expires: i64,
    /// Consent under which it leaves.
    pub consent: Digest,
}

/// Bank to platform: taken in, whether the portfolio holds the enterprise or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarningAck {
    /// The warnings, raised or recalled.
    pub warnings: Vec<Digest>,
}

/// Bank to platform: what came of a warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarningOutcome {
    /// The rule that had raised it.
    pub rule: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a warning: a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// There was nothing to it.
    FalseAlarm,
    /// The bank knew already.
    Known,
    /// Looked at; nothing was done.
    NoAction,
    /// The borrower was spoken to.
    Contacted,
    /// More collateral or a guarantee was taken.
    CollateralAdded,
    /// The limit was cut.
    LimitCut,
    /// The loan was restructured.
    Restructured,
    /// The borrower defaulted.
    Defaulted,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::FalseAlarm,
        Self::Known,
        Self::NoAction,
        Self::Contacted,
        Self::CollateralAdded,
        Self::LimitCut,
        Self::Restructured,
        Self::Defaulted,
    ];

    /// Whether the warning was of use: the bank acted on it, or would have had to.
    pub fn useful(self) -> bool {
        !matches!(self, Self::FalseAlarm | Self::Known | Self::NoAction)
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::FalseAlarm => "false-alarm",
            Self::Known => "known",
            Self::NoAction => "no-action",
            Self::Contacted => "contacted",
            Self::CollateralAdded => "collateral-added",
            Self::LimitCut => "limit-cut",
            Self::Restructured => "restructured",
            Self::Defaulted => "defaulted",
        })
    }
}

impl Warnings {
    /// Warnings that consents cover.
    pub fn raised(warnings: Cleared<Vec<Warning>>) -> Self {
        Self { raised: warnings.into_inner(), recalled: Vec::new() }
    }

    /// Warnings that rested on a value which was wrong. They name no enterprise.
    pub fn recalled(recalled: Vec<Digest>) -> Self {
        Self { raised: Vec::new(), recalled }
    }

    /// Both parts of the message.
    pub fn into_parts(self) -> (Vec<Warning>, Vec<Digest>) {
        (self.raised, self.recalled)
    }
}

impl Warnings {
    /// The message as bytes.
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// Reads a message; one with more than [`MOST`] warnings, a warning twice, or trailing bytes is refused.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let message: Self = wire::decode(bytes)?;
        let names = message.raised.iter().map(|warning| warning.id).chain(message.recalled.iter().copied());
        bounded(names).then_some(message)
    }
}

impl WarningAck {
    /// The message as bytes.
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// Reads a message; one with more than [`MOST`] warnings, a warning twice, or trailing bytes is refused.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let ack: Self = wire::decode(bytes)?;
        bounded(ack.warnings.iter().copied()).then_some(ack)
    }
}

impl WarningOutcome {
    /// The message as bytes.
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// Reads a message; trailing bytes are refused.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        wire::decode(bytes)
    }
}

/// Whether these are names of warnings that one message may hold.
fn bounded(names: impl Iterator<Item = Digest>) -> bool {
    let mut seen = BTreeSet::new();
    names.take(MOST + 1).all(|name| seen.insert(name)) && seen.len() <= MOST
}
