//! Mask streams: AES-128-CTR (NIST SP 800-38A) under a key from a 32-byte seed, read as little-endian 64-bit words.
//!
//! A seed masks one vector of one round and is never used again, so the counter starts at zero. Keystream and addition run
//! in blocks that stay in the first-level cache.

use aes::Aes128;
use aes::cipher::{KeyIvInit as _, StreamCipher as _};
use zeroize::Zeroize as _;

use crate::seed::Seed;

const BLOCK_WORDS: usize = 1024;

/// Adds the mask of `seed` to `words`, modulo 2^64.
pub fn add_mask(seed: &Seed, words: &mut [u64]) {
    apply(seed, words, u64::wrapping_add);
}

/// Takes the mask of `seed` from `words`, modulo 2^64.
pub fn subtract_mask(seed: &Seed, words: &mut [u64]) {
    apply(seed, words, u64::wrapping_sub);
}

fn apply(seed: &Seed, words: &mut [u64], combine: fn(u64, u64) -> u64) {
    let derived = seed.derive("tallystick/mask-key", &[]);
    let mut key = [0; 16];
    key.copy_from_slice(&derived.expose()[..16]);
    let mut cipher = ctr::Ctr64LE::<Aes128>::new(&key.into(), &[0; 16].into());
    key.zeroize();
    let mut keystream = [0u8; BLOCK_WORDS * 8];
    for block in words.chunks_mut(BLOCK_WORDS) {
        let bytes = &mut keystream[..block.len() * 8];
        bytes.fill(0);
        cipher.apply_keystream(bytes);
        let (masks, _) = bytes.as_chunks::<8>();
        for (word, mask) in block.iter_mut().zip(masks) {
            *word = combine(*word, u64::from_le_bytes(*mask));
        }
    }
    keystream.zeroize();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_cancel_and_do_not_depend_on_blocks() {
        let seed = Seed::new([8; 32]);
        let plain: Vec<u64> = (0..3000).map(|n: u64| n.wrapping_mul(0x0123_4567_89ab_cdef)).collect();
        let mut masked = plain.clone();
        add_mask(&seed, &mut masked);
        assert_ne!(masked, plain);
        let mut short = plain[..10].to_vec();
        add_mask(&seed, &mut short);
        assert_eq!(short, masked[..10]);
        subtract_mask(&seed, &mut masked);
        assert_eq!(masked, plain);
    }

    #[test]
    fn a_mask_is_pinned() {
        // Another mask for the same seed would break sums between versions.
        let mut words = [0; 2];
        add_mask(&Seed::new([0; 32]), &mut words);
        assert_eq!(words, [14_211_102_344_224_614_267, 10_875_975_267_150_114_830]);
    }
}
