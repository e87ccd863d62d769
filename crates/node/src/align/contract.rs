//! The contract of one alignment: signed by both sides before anything derived from an identifier leaves.

use serde::{Deserialize, Serialize};
use tally_crypto::seed::Seed;
use tally_crypto::sign::{Envelope, VerifyKey};
use tally_crypto::transcript::Digest;
use tally_protocol::alignment::{Engine, Resume, Terms};

use super::work::SavedRun;
use crate::failure::{self, Failure};

/// Media type of the payload.
pub(super) const ALIGNMENT_TYPE: &str = "application/vnd.tallystick.alignment-contract+json";

/// What both sides agree on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AlignContract {
    /// Format version, 1.
    pub(super) version: u32,
    /// 32 hexadecimal digits, drawn by the platform.
    pub(super) run: String,
    /// Why: `alignment` or `feasibility`.
    pub(super) purpose: String,
    /// The side that offers.
    pub(super) platform: Signer,
    /// The side that learns matches.
    pub(super) bank: Signer,
    /// How.
    pub(super) engine: Engine,
    /// Whether only the number of shared enterprises is told.
    pub(super) cardinality: bool,
    /// Smallest number that is told.
    pub(super) floor: u64,
    /// Most identifiers that the bank brings.
    pub(super) evaluations: u64,
    /// Rows that the platform offers, rounded up unless it chose otherwise.
    pub(super) rows: u64,
    /// Salted commitment to the bank's identifiers.
    pub(super) bank_set: Digest,
    /// What identifiers are and how they were spelled alike; contracts of earlier versions did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) identifiers: Option<Spelling>,
}

/// What identifiers are, and how both sides spell them before they are compared. The number is that of the rule: a rule that
/// changes gets another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Spelling {
    /// Unified Social Credit Codes: trimmed, half width, upper case, check character right.
    #[serde(rename = "uscc/1")]
    Uscc,
    /// Text, trimmed.
    #[serde(rename = "text/1")]
    Text,
}

impl std::fmt::Display for Spelling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Uscc => "credit codes (--kind uscc)",
            Self::Text => "text (--kind text)",
        })
    }
}

impl Spelling {
    /// Both sides must spell alike.
    pub(super) fn check(self, own: &str, theirs: Self, other: &str) -> Result<(), Failure> {
        if self == theirs {
            return Ok(());
        }
        Err(failure::refused(format!(
            "{own} takes identifiers as {self}, {other} as {theirs}: nothing would match; give both sides the same --kind"
        )))
    }
}

/// What the greeting and the contract have settled.
pub(super) struct Agreed {
    /// The contract.
    pub(super) contract: AlignContract,
    /// Its envelope.
    pub(super) envelope: Envelope,
    /// What the machines need.
    pub(super) terms: Terms,
    /// Everything random of this side.
    pub(super) seed: Seed,
    /// Where the run stands.
    pub(super) run: SavedRun,
}

/// A side of the contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signer {
    /// Party name.
    pub(super) name: String,
    /// Its signing key.
    pub(super) key: VerifyKey,
    /// Fingerprint of its certificate.
    pub(super) certificate: Digest,
}

impl AlignContract {
    /// The unsigned envelope.
    pub(super) fn envelope(&self) -> Result<Envelope, Failure> {
        Ok(Envelope::new(ALIGNMENT_TYPE, &serde_json::to_vec(self).map_err(failure::internal)?))
    }

    /// Reads a contract that all of `keys` have signed, with its digest.
    pub(super) fn open(envelope: &Envelope, keys: &[VerifyKey]) -> Result<(Self, Digest), Failure> {
        let payload = envelope
            .open(ALIGNMENT_TYPE, keys)
            .map_err(|error| failure::refused(format!("the other side's contract: {error}")))?;
        let contract: Self = serde_json::from_slice(&payload)
            .map_err(|error| failure::refused(format!("the other side's contract is not of version 1: {error}")))?;
        Ok((contract, Digest::of_bytes(&payload)))
    }

    /// What the machines need.
    pub(super) fn terms(&self, digest: Digest, resume: Resume) -> Terms {
        Terms {
            session: digest,
            purpose: self.purpose.clone(),
            bank: self.bank.name.clone(),
            engine: self.engine,
            cap: self.evaluations,
            resume,
        }
    }

    /// In words, for both sides to read.
    pub(super) fn in_words(&self) -> String {
        let what = if self.cardinality {
            format!("count of shared enterprises, told from {} on", self.floor)
        } else {
            format!("tags by {}", self.engine)
        };
        let (platform, bank) = (&self.platform.name, &self.bank.name);
        let (rows, evaluations) = (self.rows, self.evaluations);
        format!("contract {}: {what}; {platform} offers {rows} rows, {bank} brings at most {evaluations}", self.run)
    }
}
