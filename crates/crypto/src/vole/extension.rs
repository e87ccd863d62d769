//! Correlated transfers from 128 base transfers: for each of the receiver's bits `x`, `t = q + x Δ`, where the sender holds
//! Δ and `q`, the receiver `x` and `t`.
//!
//! Ishai, Kilian, Nissim, Petrank (CRYPTO 2003): the receiver stretches both seeds of each base transfer to a column and
//! sends their sum with its bits. That it used the same bits in every column is checked by a universal hash of each column
//! (Roy, *SoftSpokenOT*, CRYPTO 2022, section 4), a polynomial over GF(2^128) at a point drawn from the message; the first
//! 128 bits are random, hide the hashes and are used for nothing else. A receiver that cheats learns `k` bits of Δ with
//! probability 2^-`k` and is caught otherwise.

use rand_core::Rng as _;
use serde::{Deserialize, Serialize};

use super::BITS;
use crate::field::{Block, evaluate, random};
use crate::seed::Seed;
use crate::transcript::Digest;

/// The receiver's message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Corrections {
    /// Column after column: the sum of both stretched seeds and the bits.
    pub columns: Vec<Block>,
    /// Hash of the bits.
    pub bits: Block,
    /// Hash of each column under the first seed.
    pub hashes: Vec<Block>,
}

/// What is wrong with the receiver's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtensionError {
    /// Another number of words than the shape of the vector demands.
    #[error("the oblivious transfers have {0} words, not the number that the contract's size demands")]
    Size(usize),
    /// Different bits in different columns.
    #[error("the oblivious transfers do not hold together")]
    Inconsistent,
}

/// The receiver's half: `choices` holds 128 bits a word, the bit of transfer `i` in word `i / 128`. Returns the message and
/// one `t` a transfer.
pub fn receive(
    context: &Digest,
    seeds: &[[Seed; 2]],
    choices: &[Block],
    rng: &mut impl rand_core::CryptoRng,
) -> (Corrections, Vec<Block>) {
    let mut bits = vec![random(rng)];
    bits.extend_from_slice(choices);
    let mut columns = Vec::with_capacity(BITS * bits.len());
    let mut kept = Vec::with_capacity(BITS * bits.len());
    for [zero, one] in seeds {
        let (first, second) = (stretch(zero, bits.len()), stretch(one, bits.len()));
        columns.extend(first.iter().zip(&second).zip(&bits).map(|((first, second), bits)| first ^ second ^ bits));
        kept.extend(first);
    }
    let point = challenge(context, &columns);
    let hashes = kept.chunks(bits.len()).map(|column| evaluate(column, point)).collect();
    let corrections = Corrections { columns, bits: evaluate(&bits, point), hashes };
    (corrections, rows(&kept, bits.len()))
}

/// The sender's half: checks the message and returns one `q` a transfer; `transfers` is a multiple of 128.
///
/// # Errors
/// Refuses a message of another size and one whose columns do not hold together.
pub fn send(
    context: &Digest,
    delta: Block,
    seeds: &[Seed],
    corrections: &Corrections,
    transfers: usize,
) -> Result<Vec<Block>, ExtensionError> {
    let words = transfers.div_ceil(BITS) + 1;
    if corrections.columns.len() != words * BITS || corrections.hashes.len() != BITS || seeds.len() != BITS {
        return Err(ExtensionError::Size(corrections.columns.len()));
    }
    let mut columns = Vec::with_capacity(BITS * words);
    for (index, (seed, correction)) in seeds.iter().zip(corrections.columns.chunks(words)).enumerate() {
        let mask = mask(delta, index);
        columns
            .extend(stretch(seed, words).iter().zip(correction).map(|(word, correction)| word ^ (correction & mask)));
    }
    let point = challenge(context, &corrections.columns);
    let mut difference = 0;
    for (index, (column, hash)) in columns.chunks(words).zip(&corrections.hashes).enumerate() {
        difference |= evaluate(column, point) ^ hash ^ (corrections.bits & mask(delta, index));
    }
    if difference != 0 {
        return Err(ExtensionError::Inconsistent);
    }
    Ok(rows(&columns, words))
}

/// All ones where bit `index` of `delta` is set.
fn mask(delta: Block, index: usize) -> Block {
    (delta >> index & 1).wrapping_neg()
}

fn stretch(seed: &Seed, words: usize) -> Vec<Block> {
    let mut rng = seed.rng("tallystick/ot-extension-column", &[]);
    let mut bytes = vec![0; words * 16];
    rng.fill_bytes(&mut bytes);
    bytes.as_chunks().0.iter().map(|bytes| u128::from_le_bytes(*bytes)).collect()
}

/// The point of the check, fixed by what the receiver has sent.
fn challenge(context: &Digest, columns: &[Block]) -> Block {
    let mut hash = blake3::Hasher::new_derive_key("tallystick ot extension check v1");
    hash.update(context.as_bytes());
    for word in columns {
        hash.update(&word.to_le_bytes());
    }
    let mut point = [0; 16];
    hash.finalize_xof().fill(&mut point);
    u128::from_le_bytes(point)
}

/// The transposed matrix without the 128 rows that only serve the check.
fn rows(columns: &[Block], words: usize) -> Vec<Block> {
    let mut rows = Vec::with_capacity((words - 1) * BITS);
    for word in 1..words {
        let mut square: [Block; BITS] = std::array::from_fn(|column| columns[column * words + word]);
        transpose(&mut square);
        rows.extend_from_slice(&square);
    }
    rows
}

/// Transposes 128 x 128 bits by swapping ever smaller quarters.
fn transpose(square: &mut [Block; BITS]) {
    let mut half = BITS / 2;
    let mut mask = u128::MAX >> half;
    while half > 0 {
        for row in (0..BITS).filter(|row| row & half == 0) {
            let swap = (square[row] >> half ^ square[row + half]) & mask;
            square[row] ^= swap << half;
            square[row + half] ^= swap;
        }
        half /= 2;
        mask ^= mask << half;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parties(delta: Block) -> (Vec<[Seed; 2]>, Vec<Seed>) {
        let seed = |index: u8, bit: u8| Seed::new([index ^ (bit * 0x80) ^ 0x2a; 32]);
        let both = (0..128).map(|index| [seed(index, 0), seed(index, 1)]).collect();
        let one = (0..128).map(|index| seed(index, (delta >> index & 1) as u8)).collect();
        (both, one)
    }

    #[test]
    fn transfers_are_correlated_and_every_flipped_bit_is_caught() {
        let delta = 0xdead_beef_0bad_cafe_1234_5678_9abc_def1;
        let (both, one) = parties(delta);
        let context = Digest::of_bytes(b"session");
        let choices = [0xffff_0000_1234_5678_9abc_def0_1357_9bdf, 7, u128::MAX];
        let (message, t) = receive(&context, &both, &choices, &mut Seed::new([1; 32]).rng("c", &[]));
        let q = send(&context, delta, &one, &message, 384).unwrap();
        for transfer in 0..384 {
            let bit = choices[transfer / 128] >> (transfer % 128) & 1;
            assert_eq!(t[transfer], q[transfer] ^ (delta & bit.wrapping_neg()), "transfer {transfer}");
        }
        assert_eq!(send(&context, delta, &one, &message, 512), Err(ExtensionError::Size(512)));
        // A correction that differs in one column is caught where Δ has a one, and always by the challenge elsewhere.
        for column in 0..128 {
            let mut changed = message.clone();
            changed.columns[column * 4 + 2] ^= 1 << (column / 2);
            assert_eq!(send(&context, delta, &one, &changed, 384), Err(ExtensionError::Inconsistent));
        }
        let mut changed = message.clone();
        changed.bits ^= 1;
        assert_eq!(send(&context, delta, &one, &changed, 384), Err(ExtensionError::Inconsistent));
        let mut changed = message;
        changed.hashes[5] ^= 2;
        assert_eq!(send(&context, delta, &one, &changed, 384), Err(ExtensionError::Inconsistent));
    }

    #[test]
    fn transposing_moves_every_bit() {
        let mut square: [Block; BITS] =
            std::array::from_fn(|row| (row as u128 + 3).wrapping_pow(37).rotate_left(row as u32));
        let before = square;
        transpose(&mut square);
        for (row, word) in square.iter().enumerate() {
            for (column, original) in before.iter().enumerate() {
                assert_eq!(word >> column & 1, original >> row & 1);
            }
        }
    }
}
