//! Mask streams: AES-128-CTR (NIST SP 800-38A) under a key from a 32-byte seed, read as little-endian 64-bit words.
//!
//! A seed masks one vector of one round and is never used again, so the counter starts at zero. Keystream and addition run
//! in blocks that stay in the first-level cache.

use aes::Aes128;
use aes::cipher::consts::U16;
use aes::cipher::{Array, BlockCipherEncrypt as _, KeyInit as _};
use rayon::prelude::*;
use zeroize::Zeroize as _;

use crate::seed::Seed;

/// Blocks of keystream made at a time: they stay in the first-level cache, and fill the widest pipelines.
const BLOCKS: usize = 256;

/// Words that all masks are applied to before the next ones are fetched: long vectors pass through memory once.
const WORDS: usize = 8 * 2 * BLOCKS;

/// What a mask does to a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It is added.
    Add,
    /// It is taken away.
    Subtract,
}

/// Applies the mask of every seed to `words`, modulo 2^64, on every core.
pub fn apply_masks(masks: &[(Seed, Sign)], words: &mut [u64]) {
    let ciphers = ciphers(masks);
    words.par_chunks_mut(WORDS).enumerate().for_each(|(number, words)| apply(&ciphers, number, words));
}

/// The sum of `vectors`, `length` words each, modulo 2^64 with the mask of every seed applied. Every vector is read once; one
/// of another length is left out.
pub fn masked_sum(vectors: &[&[u64]], masks: &[(Seed, Sign)], length: usize) -> Vec<u64> {
    let ciphers = ciphers(masks);
    let vectors: Vec<_> = vectors.iter().filter(|vector| vector.len() == length).collect();
    let mut sum = vec![0u64; length];
    sum.par_chunks_mut(WORDS).enumerate().for_each(|(number, sum)| {
        let chunks: Vec<_> = vectors.iter().map(|vector| &vector[number * WORDS..]).collect();
        add(&chunks, sum);
        apply(&ciphers, number, sum);
    });
    sum
}

/// Adds four vectors at a time, since one stream alone does not fill the memory bus.
fn add(vectors: &[&[u64]], sum: &mut [u64]) {
    let (fours, rest) = vectors.as_chunks::<4>();
    for [a, b, c, d] in fours {
        for ((((total, a), b), c), d) in sum.iter_mut().zip(*a).zip(*b).zip(*c).zip(*d) {
            *total = total.wrapping_add(*a).wrapping_add(*b).wrapping_add(*c).wrapping_add(*d);
        }
    }
    for words in rest {
        sum.iter_mut().zip(*words).for_each(|(total, word)| *total = total.wrapping_add(*word));
    }
}

fn ciphers(masks: &[(Seed, Sign)]) -> Vec<(Aes128, Sign)> {
    masks.iter().map(|(seed, sign)| (cipher(seed), *sign)).collect()
}

fn cipher(seed: &Seed) -> Aes128 {
    let derived = seed.derive("tallystick/mask-key", &[]);
    let mut key = [0; 16];
    key.copy_from_slice(&derived.expose()[..16]);
    let cipher = Aes128::new(&key.into());
    key.zeroize();
    cipher
}

/// Applies every mask to chunk `number` of a vector. Counter blocks are little-endian, and the same for every mask.
fn apply(ciphers: &[(Aes128, Sign)], number: usize, words: &mut [u64]) {
    let mut counters = [Array::from([0; 16]); BLOCKS];
    let mut keystream = [Array::from([0; 16]); BLOCKS];
    let first = (number * WORDS / 2) as u64;
    for (first, words) in (first..).step_by(BLOCKS).zip(words.chunks_mut(2 * BLOCKS)) {
        let counters = &mut counters[..words.len().div_ceil(2)];
        let keystream = &mut keystream[..words.len().div_ceil(2)];
        for (number, counter) in (first..).zip(counters.iter_mut()) {
            *counter = u128::from(number).to_le_bytes().into();
        }
        for (cipher, sign) in ciphers {
            // Panic safety: both slices were cut to the same length.
            cipher.encrypt_blocks_b2b(counters, keystream).expect("as many counters as blocks");
            match sign {
                Sign::Add => combine(words, keystream, u64::wrapping_add),
                Sign::Subtract => combine(words, keystream, u64::wrapping_sub),
            }
        }
    }
    keystream.iter_mut().for_each(|block| block.zeroize());
}

#[inline(always)]
fn combine(words: &mut [u64], keystream: &[Array<u8, U16>], with: impl Fn(u64, u64) -> u64) {
    let (pairs, rest) = words.as_chunks_mut::<2>();
    for (pair, block) in pairs.iter_mut().zip(keystream) {
        let [low, high] = halves(block);
        *pair = [with(pair[0], low), with(pair[1], high)];
    }
    if let ([word], Some(block)) = (rest, keystream.last()) {
        *word = with(*word, halves(block)[0]);
    }
}

#[inline(always)]
fn halves(block: &Array<u8, U16>) -> [u64; 2] {
    let word = u128::from_le_bytes((*block).into());
    [word as u64, (word >> 64) as u64]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_cancel_and_do_not_depend_on_blocks() {
        let plain: Vec<u64> = (0..10_001).map(|n: u64| n.wrapping_mul(0x0123_4567_89ab_cdef)).collect();
        let mask = |sign| [(Seed::new([8; 32]), sign)];
        let mut masked = plain.clone();
        apply_masks(&mask(Sign::Add), &mut masked);
        assert_ne!(masked, plain);
        let mut short = plain[..10].to_vec();
        apply_masks(&mask(Sign::Add), &mut short);
        assert_eq!(short, masked[..10]);
        apply_masks(&mask(Sign::Subtract), &mut masked);
        assert_eq!(masked, plain);
    }

    #[test]
    fn a_masked_sum_is_sum_and_masks() {
        let long: Vec<u64> = (0..10_001).map(|n: u64| n.wrapping_mul(0x0123_4567_89ab_cdef)).collect();
        let other: Vec<_> = long.iter().rev().copied().collect();
        let masks = [(Seed::new([8; 32]), Sign::Subtract), (Seed::new([7; 32]), Sign::Add)];
        for count in 0..10 {
            let vectors: Vec<&[u64]> = [&long[..], &other].into_iter().cycle().take(count).collect();
            let mut expected = vec![0u64; long.len()];
            for vector in &vectors {
                expected.iter_mut().zip(*vector).for_each(|(total, word)| *total = total.wrapping_add(*word));
            }
            apply_masks(&masks, &mut expected);
            assert_eq!(masked_sum(&vectors, &masks, long.len()), expected);
        }
    }

    #[test]
    fn the_keystream_is_counter_mode() {
        use aes::cipher::{KeyIvInit as _, StreamCipher as _};
        let seed = Seed::new([9; 32]);
        let mut words = vec![0; 2 * WORDS + 7];
        let key: [u8; 16] = seed.derive("tallystick/mask-key", &[]).expose()[..16].try_into().unwrap();
        apply_masks(&[(seed, Sign::Add)], &mut words);
        let mut bytes = vec![0; words.len() * 8];
        ctr::Ctr64LE::<Aes128>::new(&key.into(), &[0; 16].into()).apply_keystream(&mut bytes);
        assert!(words.iter().flat_map(|word| word.to_le_bytes()).eq(bytes));
    }

    #[test]
    fn a_mask_is_pinned() {
        // Another mask for the same seed would break sums between versions.
        let mut words = [0; 2];
        apply_masks(&[(Seed::new([0; 32]), Sign::Add)], &mut words);
        assert_eq!(words, [14_211_102_344_224_614_267, 10_875_975_267_150_114_830]);
    }
}
