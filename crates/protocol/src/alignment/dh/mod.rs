//! 2HashDH: row secrets from an oblivious pseudorandom function over ristretto255.
//!
//! **Parties, inputs, outputs**: see [`alignment`](super).
//!
//! **What each learns.** Platform: the number of the bank's identifiers. Bank: exactly one evaluation for each blinded point,
//! at most the contract's cap of them. In verifiable mode the bank knows that one announced key evaluated every batch.
//!
//! **Assumptions.** One-more gap Diffie-Hellman on ristretto255 in the random oracle model; `Q` evaluations cost at most
//! `log2(Q) / 2` bits of the group's 126 by the static Diffie-Hellman oracle. The key belongs to one session, or to one
//! epoch where evaluations are kept ([`Evaluations`]); row secrets are bound to the session in both cases.
//!
//! **Cost.** Platform: one multiplication a row and one an evaluated identifier; bank: two an identifier; in verifiable mode
//! the proof of a batch adds about a fifth. On the wire 64 bytes an identifier and 16 a row. Points are encoded in batches,
//! batches use every core, and at most [`WINDOW`] batches are under way, so that neither side holds the other's set.
//!
//! **References.** RFC 9497 (ristretto255-SHA512). Jarecki, Liu, SCN 2010.

mod bank;
mod evaluations;
mod platform;

pub(super) use bank::Bank;
pub use evaluations::{EpochKey, Evaluations};
pub(super) use platform::Platform;

use super::Engine;
use tally_crypto::oprf::Mode;

/// Batches that the bank sends ahead of their answers.
pub const WINDOW: usize = 4;

/// The mode of kept evaluations: proven, since their key lives longer.
pub const KEPT: Mode = Mode::Voprf;

fn mode(engine: Engine) -> Mode {
    match engine {
        Engine::Oprf => Mode::Oprf,
        Engine::Voprf | Engine::VoleV1 | Engine::Vole => Mode::Voprf,
    }
}
