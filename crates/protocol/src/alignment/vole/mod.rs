//! Row secrets from a vector oblivious linear evaluation and an oblivious key-value store: the engine for large sets.
//!
//! **Parties, inputs, outputs**: see [`alignment`](super).
//!
//! **What each learns.** Platform: the room that the bank asks for, its number of identifiers rounded up to two digits and at
//! most the contract's cap ([`rung`](super::rung)); it fixes every length that the bank sends. Bank: the
//! function on the identifiers it encodes, and of the platform's set the announced number of rows.
//!
//! **How.** Both sides obtain `C = B + A Δ` over GF(2^128), the platform Δ and `B`, the bank `A` and `C`. The bank encodes its
//! set in a store `P` whose value at identifier `x` is a hash `h(x)`, and sends `P + A`. The platform computes
//! `K = B + (P + A) Δ = C + P Δ`. By linearity of decoding, `K(y) - h(y) Δ = C(y) + (P(y) - h(y)) Δ`: for an encoded `y` this
//! is the bank's `C(y)`, for any other it is offset by a non-zero multiple of Δ. Row secrets are a keyed hash of that value
//! and of the identifier's hash.
//!
//! **What the platform can compute from the words `P + A`.** Of an identifier `y` that it knows to be encoded it has one equation,
//! `Decode(A, y) = Decode(words, y) - h(y)`, over GF(2^128), where decoding is linear over that field with public coefficients (three
//! words of the sparse part, powers of the key's point for the dense part). These are at most 0.8 sums for each word of `A`; all else
//! about `A` is under the store's free words. To tell others from encoded identifiers it would have to tell those sums from uniform
//! ones: learning parity with noise, with fewer samples than the code's [parameters](tally_crypto::vole) are estimated for, which also
//! say what keeps sums over GF(2) … GF(2^64) from splitting. Over GF(2), squaring makes the second dense word linear in the point's
//! square, which is why the attack in `tests` takes all bits of word and point together. Words of two shards, of two attempts, and of
//! answers to different messages of the platform are under noise of their own.
//!
//! **Assumptions.** Against deviating parties, in the random oracle model: computational Diffie-Hellman on ristretto255 (base
//! transfers), AES-128 under public keys as an ideal permutation (trees), dual learning parity with noise for ExConv7x24
//! (parameters in [`tally_crypto::vole`]). Each deviation has its counter:
//!
//! | who | deviation | counter |
//! |---|---|---|
//! | bank | different bits in the columns of the transfer extension, to learn Δ | universal hash of every column; `k` bits of Δ cost a chance of 2^-`k` |
//! | platform | wrong sums in a tree, to learn where the noise is | both sides evaluate their vectors at a point that the bank draws after the trees; `k` bits of the noisy places cost a chance of 2^-`k` of not being found, and the abort itself is a bit |
//! | either | choosing the hash, the code or the store to fit its set | all are drawn from two shares, the platform's committed to first |
//! | bank | a store that decodes to the right hash on identifiers chosen later | the output is hashed under a coin whose platform share is opened after the vector is fixed |
//! | platform | a coin that fits outputs it prefers | its share is committed to before it sees the vector, and the bank checks the opening |
//! | platform | two identifiers under one tag, a row twice | 128-bit tags, strictly ascending, as many as announced |
//!
//! **Cap on evaluations.** The platform fixes the number of words `m` from the room `n` that the bank asked for before the
//! first step, refuses more than the contract's cap, and refuses a vector of another length. Each evaluation that the bank obtains is one equation `P(x) = h(x)` of 128 bits over `m` words, so that at
//! most `m` equations can hold by construction: `m ≤ 1.32 n` at 2^20 and more, 1.44 `n` at 1,000, 2.03 `n` at 100, and up to 3 `n`
//! where few identifiers meet so many offered rows that they are spread over many shards ([`Layout`](tally_crypto::okvs::Layout)). One more than `m` would have to
//! hold by chance: among `D` candidate identifiers a set of `m + k` that is consistent exists with probability at most
//! `C(D, m + k) 2^(-128 k)`, which for a register of 1.9e8 codes bounds the total by 1.07 `m`; no way to find such a set is
//! known. The contract books `m`, and extra evaluations help only on enterprises that consented to this bank. An honest
//! node refuses to bring more than `n`; where `n + 1` must be impossible for a deviating bank too, the contract takes
//! 2HashDH, whose count is exact.
//!
//! **Cost.** For 2^20 rows a side about 38 bytes a row: 21.0 for the vector (1.31 words a row), 16 for a tag, 0.3 for the
//! set-up of 300 kB. A tag takes 16 bytes where a set intersection makes do with 10, because a row secret must not be aimed
//! at by the platform, and because it names a row. Computation is hashing, AES and carry-less products, linear in the rows.
//!
//! **Shards.** More than 2^20 identifiers are spread by a keyed hash over shards of about 2^20, one run each, so that memory
//! is bounded by one run; a shard is also the unit that a repeated run need not do again.
//!
//! **References.** Raghuraman, Rindal, *Blazing Fast PSI from Improved OKVS and Subfield VOLE* (CCS 2022), malicious variant.
//! Rindal, Schoppmann (EUROCRYPT 2021). Weng et al., *Wolverine* (S&P 2021), for the check of the trees.
//!
//! ```text
//! Platform                                   Bank
//!   --Announce(rows, set)-------------------->
//!   <--Capacity(identifiers)------------------
//!   --Bases(pairs, commitment)--------------->
//!   <--Transfers(answer, share, extension)----
//!   --Trees(share, sums, commitment)--------->
//!   <--Challenge(point, masked noise)---------
//!   --Checked(hash)-------------------------->  verifies, then fixes its vector
//!   <--Vector …, Coin(share)------------------
//!   --Coin(share)---------------------------->  both derive the row secrets of this shard
//! ```

mod bank;
mod hash;
mod platform;
mod shards;
#[cfg(test)]
mod tests;

pub(super) use bank::Bank;
pub(super) use platform::Platform;

use tally_crypto::field::{Block, mul};
use tally_crypto::transcript::Digest;
use tally_crypto::vole::{BITS, NOISE};

/// Words of the vector in one message: 1 MiB.
const WORDS_PER_MESSAGE: usize = 1 << 16;

/// The commitment to a share of public randomness.
fn commitment(kind: &str, context: &Digest, share: &[u8; 32]) -> Digest {
    Digest::of("tallystick/vole-share/v2", &[kind.as_bytes(), context.as_bytes(), share])
}

/// Pad of a correlated transfer.
fn pad(context: &Digest, transfer: usize, row: Block) -> Block {
    let hash = blake3::Hasher::new_keyed(context.as_bytes())
        .update(&(transfer as u64).to_le_bytes())
        .update(&row.to_le_bytes())
        .finalize();
    let mut pad = [0; 16];
    pad.copy_from_slice(&hash.as_bytes()[..16]);
    u128::from_le_bytes(pad)
}

/// The noise values and, last, the mask of the check: 128 single-bit correlations each make one of the whole field.
fn compose(rows: &[Block]) -> Vec<Block> {
    let value = |rows: &[Block]| rows.iter().rev().fold(0, |sum, row| mul(sum, 2) ^ row);
    let values: Vec<_> = rows.chunks(BITS).map(value).collect();
    debug_assert_eq!(values.len(), NOISE + 1);
    values
}
