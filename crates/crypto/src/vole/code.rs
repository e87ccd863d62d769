//! The expand-convolute code ExConv7x24: the dual map that compresses a sparse vector of length 2n to a pseudorandom one of
//! length n.
//!
//! Raghuraman, Rindal, Tanguy, *Expand-Convolute Codes for Pseudorandom Correlation Generators from LPN* (CRYPTO 2023,
//! eprint 2023/882), in the form of libOTe (`ExConvCode`, `CoeffCtxGF128`): systematic, the second half of the vector is convolved
//! twice, then every output adds to the first half seven entries of the second, one in each quarter and, times `g`, three anywhere. In a
//! convolution the new entry `y[j]` is `g (x[j] + y[j-25])` plus a random half of the 24 entries `y[j-24] … y[j-1]`, around the end.
//!
//! The multiplier `g`, a generator of GF(2^128), stands in both parts, so that no sum of outputs with binary coefficients has
//! only binary coefficients in the noise. **It must be left out of neither.** With `g = 1` the map is a binary matrix: every
//! output but those at the noisy places of the first half is a GF(2)-combination of the noise values of the second half, all outputs lie
//! in one GF(2)-space whose dimension is the number of these values, and whoever sees enough of them under a key-value store finds
//! that space and reads the store. With `g` in the convolution alone, the expander is a binary matrix that lacks about `e^-7` of its
//! rank (places of the second half that no output picks), and each binary word of its left kernel cancels the second half with its
//! multipliers: such a sum of outputs is a GF(2)-combination of noise values of the first half. The tests hold both.
//!
//! Left out of libOTe's code, and why that is safe: its multiplier 4234123421 (any generator of the field serves, and `X^61` needs no
//! carry-less product), its generator of coefficients (AES-CTR in its place), convolution widths other than 24. Added to it: the
//! multiplier in the expander.

use aes::Aes128;
use aes::cipher::{KeyIvInit as _, StreamCipher as _};
use rayon::prelude::*;

use crate::field::Block;
use crate::transcript::Digest;

const REGULAR: usize = 4;
const UNIFORM: usize = 3;
const WIDTH: usize = 24;
/// Outputs that share one stream of picks.
const CHUNK: usize = 1 << 14;

/// Compresses `vector`, of even length of at least 64 entries, in place to its first half; `W` words are compressed side by
/// side by the same map. `seed` fixes the map.
pub fn compress<const W: usize>(vector: &mut Vec<[Block; W]>, seed: &Digest) {
    let outputs = vector.len() / 2;
    let (first, second) = vector.split_at_mut(outputs);
    for pass in 0..2 {
        convolve(second, &mut Stream::new(seed, "convolution", pass));
    }
    expand(first, second, seed);
    vector.truncate(outputs);
}

fn convolve<const W: usize>(entries: &mut [[Block; W]], stream: &mut Stream) {
    let length = entries.len();
    for at in 0..=WIDTH {
        let coefficients = stream.next();
        for distance in (0..at.min(WIDTH)).filter(|distance| coefficients >> distance & 1 == 1) {
            let from = entries[at - 1 - distance];
            add(&mut entries[at], &from);
        }
    }
    for at in WIDTH + 1..length {
        let coefficients = stream.next();
        let (before, from) = entries[at - WIDTH - 1..=at].split_at_mut(WIDTH + 1);
        let mut sum = [0; W];
        for (distance, entry) in before[1..].iter().rev().enumerate() {
            let mask = u128::from(coefficients >> distance & 1).wrapping_neg();
            for (sum, word) in sum.iter_mut().zip(entry) {
                *sum ^= word & mask;
            }
        }
        for ((word, sum), furthest) in from[0].iter_mut().zip(sum).zip(before[0]) {
            *word = turn(*word ^ furthest) ^ sum;
        }
    }
    // Around the end: the last entries reach into the first ones.
    for at in 0..=WIDTH {
        let coefficients = stream.next();
        let furthest = entries[length + at - 1 - WIDTH];
        add(&mut entries[at], &furthest);
        entries[at] = entries[at].map(turn);
        for distance in (at..WIDTH).filter(|distance| coefficients >> distance & 1 == 1) {
            let from = entries[length + at - 1 - distance];
            add(&mut entries[at], &from);
        }
    }
}

/// The product with `X^61`, which generates the multiplicative group of GF(2^128).
#[inline(always)]
fn turn(word: Block) -> Block {
    const DEGREE: u32 = 61;
    let over = word >> (128 - DEGREE);
    (word << DEGREE) ^ over ^ (over << 1) ^ (over << 2) ^ (over << 7)
}

fn expand<const W: usize>(outputs: &mut [[Block; W]], entries: &[[Block; W]], seed: &Digest) {
    outputs.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, outputs)| {
        let mut stream = Stream::new(seed, "expander", chunk as u64);
        for output in outputs {
            let picks = stream.picks(entries.len());
            let sum = |picks: &[usize]| {
                let mut sum = [0; W];
                picks.iter().for_each(|pick| add(&mut sum, &entries[*pick]));
                sum
            };
            let (regular, uniform) = picks.split_at(REGULAR);
            add(output, &sum(regular));
            add(output, &sum(uniform).map(turn));
        }
    });
}

#[inline(always)]
fn add<const W: usize>(sum: &mut [Block; W], entry: &[Block; W]) {
    for (sum, word) in sum.iter_mut().zip(entry) {
        *sum ^= word;
    }
}

/// Public pseudorandom 32-bit words: AES-128-CTR under a key from the code's seed.
struct Stream {
    cipher: ctr::Ctr64LE<Aes128>,
    buffer: Box<[u8; Stream::BYTES]>,
    at: usize,
}

impl Stream {
    const BYTES: usize = 4096;

    fn new(seed: &Digest, part: &str, number: u64) -> Self {
        let key = Digest::of("tallystick/code/v2", &[seed.as_bytes(), part.as_bytes(), &number.to_be_bytes()]);
        let (key, _) = key.0.as_chunks::<16>();
        let cipher = ctr::Ctr64LE::<Aes128>::new(&key[0].into(), &[0; 16].into());
        Self { cipher, buffer: Box::new([0; Self::BYTES]), at: Self::BYTES }
    }

    #[inline(always)]
    fn next(&mut self) -> u32 {
        if self.at == Self::BYTES {
            self.buffer.fill(0);
            self.cipher.apply_keystream(self.buffer.as_mut_slice());
            self.at = 0;
        }
        let bytes = [0, 1, 2, 3].map(|i| self.buffer[self.at + i]);
        self.at += 4;
        u32::from_le_bytes(bytes)
    }

    /// The entries of one output: one in each quarter of `entries`, then those anywhere.
    #[inline(always)]
    fn picks(&mut self, entries: usize) -> [usize; REGULAR + UNIFORM] {
        let quarter = entries / REGULAR;
        std::array::from_fn(
            |pick| {
                if pick < REGULAR { pick * quarter + self.below(quarter) } else { self.below(entries) }
            },
        )
    }

    /// A word below `range`; the bias is `range` / 2^32.
    #[inline(always)]
    fn below(&mut self, range: usize) -> usize {
        ((u64::from(self.next()) * range as u64) >> 32) as usize
    }
}

#[cfg(test)]
mod tests;
