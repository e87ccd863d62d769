//! Secure aggregation: the platform learns the sum of the banks' integer vectors, and nothing else.
//!
//! **Parties.** Aggregator (platform), members (three or more banks), named and keyed by a [`Roster`] that every bank has
//! signed as part of the contract.
//!
//! **Inputs.** Each bank: a vector of 64-bit integers a round. Everyone: the round's [`RoundSpec`].
//!
//! **Outputs.** The sum modulo 2^64 over the banks that survived the round, and a [`Transcript`] from which anyone can
//! recompute it without opening a single input.
//!
//! **What each learns.** The aggregator: the sum over at least `max(threshold, minimum cohort)` banks, and who took part. A
//! bank: what the session publishes, the sum. Fewer than `threshold` shares of a secret say nothing.
//!
//! **Assumptions.** The aggregator may deviate arbitrarily together with `c` banks as long as `2t > n + c`; gap
//! Diffie-Hellman on ristretto255, random oracle, AES as a pseudorandom function. A bank may choose its input freely.
//!
//! **Shares are checked when a secret is rebuilt**, not when they are dealt: the rebuilt secret against its public key at once,
//! every share by itself only where that fails; wrong ones are left out and their senders named. Checking at receipt would
//! cost a bank of fifty some 26 ms a round, four times everything else it does. So banks see each other's public keys only;
//! the commitments behind them, whose digest the keys carry under the signature, go to the aggregator and into the transcript.
//!
//! **Signatures are checked together**, by the aggregator once everyone has answered, by a bank over the whole roll: one
//! that does not hold is then found by itself, and its sender named.
//!
//! **Cost.** Online, a bank computes one mask for every other bank and one for itself, 8 bytes a word on the wire, three short
//! trips. Keys and shares are exchanged once for [`ROUNDS_PER_BATCH`] rounds.
//!
//! **References.** Bonawitz et al., CCS 2017, the variant against a malicious server (figure 4, with the consistency check).
//! Feldman, FOCS 1987. Binding of masks to the request: Pasquini, Francati, Ateniese, CCS 2022, section 6.
//!
//! ```text
//! once a batch   OpenBatch ->  <- Keys, commitments   Roll(all keys) ->  <- Shares   Deliver(shares) ->
//! every round    Offer ->      <- Masked      Survivors ->  <- Agreement     Quorum ->  <- Unmask
//! ```
//!
//! **What may be released** is the banks' to enforce: a sum with cells takes two rounds, so that no cell stands on few banks
//! ([`Part`], [`tally_model::release`]); sums are released for one set of banks only ([`Release`]); noise and its budget where the
//! contract asks for them ([`Noise`]).
//!
//! Every bank derives from the survivors that it signed which shares it gives: of the self mask for a survivor, of the
//! pairwise key for one that dropped out, never both, and answers a round once. What it signs names the survivors' vectors
//! too, and the offer names the roll of keys: nobody can choose a vector once the others are open, and a bank that recomputes the
//! sum ([`Contributor::recompute`]), as an auditor does later, cannot be shown another.

mod bank;
mod disclosed;
mod ideal;
mod ledger;
mod masks;
mod messages;
mod noise;
mod packed;
mod platform;
mod roster;
#[cfg(test)]
mod tests;
mod transcript;

pub use bank::{Contributor, Reaction};
pub use disclosed::RoundSecret;
pub use ideal::ideal;
pub use ledger::{Differencing, Release};
pub use messages::{
    Agreement, Commitments, Keys, Masked, Misbehaved, Offer, Part, RoundKeys, RoundSpec, SealedShares, Shares,
    ToAggregator, ToMember, Unmask,
};
pub use noise::{Noise, NoiseError, NoiseTerms, epsilon};
pub use platform::{Aggregator, Event, Stopped};
pub use roster::{Roster, RosterError, RosterMember};
pub use transcript::{Transcript, TranscriptError};

/// Rounds whose keys and shares are exchanged together.
pub const ROUNDS_PER_BATCH: u32 = 16;
