//! Row keys: the bank gets a tag and a key for each of its own enterprises, the platform for each of its consented ones.
//!
//! **Parties.** Platform, bank.
//!
//! **Inputs.** Platform: identifiers of enterprises that consented to this bank and purpose. Bank: its own cleared
//! identifiers. Both distinct and canonical. [`Terms`] that both have signed.
//!
//! **Outputs.** Each party: a [`RowSecret`] for each of its identifiers, the same at both for the same identifier. With them
//! the platform seals rows that the bank alone can open, and only those of its own enterprises ([`seal_rows`],
//! [`open_rows`]).
//!
//! **What each learns.** The platform: how many identifiers the bank brings (vector OLE: rounded up), never which match. The bank: how many rows the platform offers ([`rung`] hides the exact number), and of those that it does
//! not hold pseudorandom tags and sealed payloads; at most the capped number of evaluations. Nothing that the bank sends,
//! and no length or moment of it, depends on what matched.
//!
//! **Engines**, chosen in the contract ([`Engine`]):
//!
//! | engine | for | header |
//! |---|---|---|
//! | 2HashDH | small sets, exact caps, look-ups, incremental updates | [`dh`] |
//! | vector OLE | 2^14 rows and more | [`vole`] |
//!
//! [`cardinality`] counts common enterprises without telling which, before there is a contract on fields.
//!
//! **References.** See the engines. A tag is 128 bits, so that a deviating platform cannot aim two identifiers at one tag;
//! the key is another 256 bits of the same output.
//!
//! ```text
//! Platform --Announce(rows, set, key)--> Bank
//!          <--- engine's messages --->          each gets its row secrets
//!          --rows (sorted by tag)------> open
//! ```

pub mod cardinality;
pub mod dh;
mod ideal;
mod identifiers;
mod machine;
mod messages;
mod rows;
#[cfg(test)]
mod tests;
pub mod vole;

pub use ideal::ideal;
pub use identifiers::Identifiers;
pub use machine::{Bank, Platform, Step};
pub use messages::{Announcement, CHUNK, Misbehaved, ToBank, ToPlatform, Words};
pub use rows::{Keyed, Opened, RowSecret, SealedRow, check_tags, open_rows, pad_rows, rung, seal_rows};

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;

/// How row secrets are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Engine {
    /// 2HashDH with a proof for every batch (RFC 9497, VOPRF).
    #[serde(rename = "2hashdh")]
    Voprf,
    /// 2HashDH without proofs (RFC 9497, OPRF).
    #[serde(rename = "2hashdh-base")]
    Oprf,
    /// The first form of the vector OLE. No run uses it any more, since its mask could be taken off the bank's set (SECURITY.md);
    /// documents that name it are still read.
    #[serde(rename = "vole")]
    VoleV1,
    /// Vector OLE and an oblivious key-value store.
    #[serde(rename = "vole-v2")]
    Vole,
}

impl Engine {
    /// The engine for a bank that may have `evaluations` identifiers evaluated: below 2^14 the set-up of the vector OLE costs
    /// more than it saves.
    pub fn by_size(evaluations: u64) -> Self {
        if evaluations < 1 << 14 { Self::Voprf } else { Self::Vole }
    }

    /// That a new run may use it.
    ///
    /// # Errors
    /// Fails for a form that was withdrawn, with what to do.
    pub fn check(self) -> Result<(), Misbehaved> {
        if self == Self::VoleV1 { Err(Misbehaved::Withdrawn) } else { Ok(()) }
    }
}

impl std::fmt::Display for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Voprf => "2hashdh",
            Self::Oprf => "2hashdh-base",
            Self::VoleV1 => "vole",
            Self::Vole => "vole-v2",
        })
    }
}

/// What both parties have signed about an alignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Digest of the contract.
    pub session: Digest,
    /// Purpose of the contract.
    pub purpose: String,
    /// Name of the bank.
    pub bank: String,
    /// How row secrets are computed.
    pub engine: Engine,
    /// Most identifiers that the bank may have evaluated.
    pub cap: u64,
    /// Where a run that was cut off goes on.
    pub resume: Resume,
}

/// Where a run goes on: both parties have agreed on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resume {
    /// Fresh randomness of both parties, new in every attempt, so that no secret of a broken attempt serves twice.
    pub attempt: Digest,
    /// Units that both parties have finished: shards of the vector OLE, batches of 2HashDH. Their row secrets stand.
    pub finished: u32,
}

impl Terms {
    /// Binds every row secret to session, purpose and bank.
    fn context(&self) -> Digest {
        let parts: [&[u8]; 3] = [self.session.as_bytes(), self.purpose.as_bytes(), self.bank.as_bytes()];
        Digest::of("tallystick/row-context/v1", &parts)
    }
}
