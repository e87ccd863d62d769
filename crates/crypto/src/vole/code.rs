//! The expand-convolute code ExConv7x24: the dual map that compresses a sparse vector of length 2n to a pseudorandom one of
//! length n.
//!
//! Raghuraman, Rindal, Tanguy, *Expand-Convolute Codes for Pseudorandom Correlation Generators from LPN* (CRYPTO 2023,
//! eprint 2023/882), in the form of libOTe: systematic, the second half of the vector is convolved twice (each entry takes
//! up the one 25 places before it and a random half of the 24 between, around the end), then every output adds to the first
//! half seven entries of the second, one in each quarter and three anywhere. The map is linear over GF(2) and public.

use aes::Aes128;
use aes::cipher::{KeyIvInit as _, StreamCipher as _};
use rayon::prelude::*;

use crate::field::Block;
use crate::transcript::Digest;

const REGULAR: usize = 4;
const UNIFORM: usize = 3;
const WIDTH: usize = 24;

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
        take_up(entries, at, at, coefficients);
    }
    for at in WIDTH + 1..length {
        let coefficients = stream.next();
        let (before, from) = entries[at - WIDTH - 1..=at].split_at_mut(WIDTH + 1);
        let mut sum = before[0];
        for (distance, entry) in before[1..].iter().rev().enumerate() {
            let mask = u128::from(coefficients >> distance & 1).wrapping_neg();
            for (sum, word) in sum.iter_mut().zip(entry) {
                *sum ^= word & mask;
            }
        }
        for (word, sum) in from[0].iter_mut().zip(sum) {
            *word ^= sum;
        }
    }
    // Around the end: the last entries reach into the first ones.
    for at in 0..=WIDTH {
        let coefficients = stream.next();
        for distance in at..=WIDTH {
            if distance == WIDTH || coefficients >> distance & 1 == 1 {
                let from = entries[length + at - 1 - distance];
                add(&mut entries[at], &from);
            }
        }
    }
}

/// Adds to entry `at` those of the `reach` entries before it that `coefficients` selects.
fn take_up<const W: usize>(entries: &mut [[Block; W]], at: usize, reach: usize, coefficients: u32) {
    for distance in 0..reach.min(WIDTH) {
        if coefficients >> distance & 1 == 1 {
            let from = entries[at - 1 - distance];
            add(&mut entries[at], &from);
        }
    }
}

fn expand<const W: usize>(outputs: &mut [[Block; W]], entries: &[[Block; W]], seed: &Digest) {
    const CHUNK: usize = 1 << 14;
    let quarter = entries.len() / REGULAR;
    outputs.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, outputs)| {
        let mut stream = Stream::new(seed, "expander", chunk as u64);
        for output in outputs {
            let mut sum = [0; W];
            for region in 0..REGULAR {
                add(&mut sum, &entries[region * quarter + stream.below(quarter)]);
            }
            for _ in 0..UNIFORM {
                add(&mut sum, &entries[stream.below(entries.len())]);
            }
            add(output, &sum);
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
        let key = Digest::of("tallystick/code/v1", &[seed.as_bytes(), part.as_bytes(), &number.to_be_bytes()]);
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

    /// A word below `range`; the bias is `range` / 2^32.
    #[inline(always)]
    fn below(&mut self, range: usize) -> usize {
        ((u64::from(self.next()) * range as u64) >> 32) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    fn random(length: usize, label: &str) -> Vec<Block> {
        let mut rng = Seed::new([4; 32]).rng(label, &[]);
        (0..length).map(|_| crate::field::random(&mut rng)).collect()
    }

    #[test]
    fn the_map_is_linear_and_the_same_for_words_side_by_side() {
        let seed = Digest::of_bytes(b"code");
        let (a, b) = (random(4000, "a"), random(4000, "b"));
        let single = |vector: &[Block]| {
            let mut vector: Vec<_> = vector.iter().map(|&word| [word]).collect();
            compress(&mut vector, &seed);
            vector.into_iter().map(|[word]| word).collect::<Vec<_>>()
        };
        let sum: Vec<_> = a.iter().zip(&b).map(|(a, b)| a ^ b).collect();
        let sums: Vec<_> = single(&a).iter().zip(single(&b)).map(|(a, b)| a ^ b).collect();
        assert_eq!(single(&sum), sums);
        let mut pairs: Vec<_> = a.iter().zip(&b).map(|(&a, &b)| [a, b]).collect();
        compress(&mut pairs, &seed);
        assert_eq!(pairs.iter().map(|pair| pair[0]).collect::<Vec<_>>(), single(&a));
        assert_eq!(pairs.iter().map(|pair| pair[1]).collect::<Vec<_>>(), single(&b));
    }

    #[test]
    fn one_noisy_entry_reaches_half_of_a_convolution_and_much_of_the_output() {
        let seed = Digest::of_bytes(b"weight");
        for at in [0, 1999, 2000, 2500, 3999] {
            let mut vector = vec![[0u128]; 4000];
            vector[at] = [1];
            compress(&mut vector, &seed);
            let weight = vector.iter().filter(|entry| entry[0] != 0).count();
            // The first half is the systematic part: one output alone. An entry of the second half spreads over half of all.
            let expected = if at < 2000 { 1..=1 } else { 800..=1200 };
            assert!(expected.contains(&weight), "entry {at} reaches {weight} outputs");
        }
    }
}
