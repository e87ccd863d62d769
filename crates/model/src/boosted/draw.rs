//! Which rows a draw lets in: a keyed hash of the row's identifier, so that every holder knows it and nobody chooses it.

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;

/// A share of the rows, by public hash.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draw {
    /// Key of the hash.
    key: Digest,
    /// Share of the rows below the line, between 0 and 1.
    share: f64,
    /// True if the rows below the line are in, false if the others are.
    below: bool,
}

impl Draw {
    /// The rows below the line of a draw named by seed, purpose and number.
    pub fn new(seed: &Digest, purpose: &str, number: u32, share: f64) -> Self {
        let key = Digest::of("tallystick/draw/v1", &[seed.as_bytes(), purpose.as_bytes(), &number.to_be_bytes()]);
        Self { key, share, below: true }
    }

    /// All the other rows.
    pub fn complement(self) -> Self {
        Self { below: !self.below, ..self }
    }

    /// True if a row with this [`row_hash`] is in.
    pub fn holds(&self, row: u64) -> bool {
        (self.place(row) < self.share) == self.below
    }

    /// Where a row lies between 0 and 1.
    pub(crate) fn place(&self, row: u64) -> f64 {
        let word =
            |at: usize| self.key.0[at..at + 8].iter().rev().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
        // The upper 53 bits are exact in a double.
        (siphash([word(0), word(8)], row) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The public hash of a row's identifier: the first eight bytes of its SHA-256, big-endian.
pub fn row_hash(identifier: &str) -> u64 {
    let digest = Digest::of_bytes(identifier.as_bytes());
    digest.as_bytes()[..8].iter().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// SipHash-2-4 of one little-endian word (Aumasson and Bernstein, 2012).
fn siphash(key: [u64; 2], word: u64) -> u64 {
    const LENGTH: u64 = 8 << 56;
    let mut v = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    for word in [word, LENGTH] {
        v[3] ^= word;
        rounds(&mut v, 2);
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    rounds(&mut v, 4);
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

fn rounds(v: &mut [u64; 4], count: usize) {
    for _ in 0..count {
        v[0] = v[0].wrapping_add(v[1]);
        v[1] = v[1].rotate_left(13) ^ v[0];
        v[0] = v[0].rotate_left(32);
        v[2] = v[2].wrapping_add(v[3]);
        v[3] = v[3].rotate_left(16) ^ v[2];
        v[0] = v[0].wrapping_add(v[3]);
        v[3] = v[3].rotate_left(21) ^ v[0];
        v[2] = v[2].wrapping_add(v[1]);
        v[1] = v[1].rotate_left(17) ^ v[2];
        v[2] = v[2].rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_siphash() {
        // Reference implementation, vectors.h: key 00 01 … 0f, message 00 01 … 07.
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        assert_eq!(siphash(key, 0x0706_0504_0302_0100), 0x93f5_f579_9a93_2462);
    }

    #[test]
    fn a_draw_and_its_complement_share_the_rows() {
        let draw = Draw::new(&Digest::default(), "test", 1, 0.25);
        let rows: Vec<_> = (0..10_000).map(|row| row_hash(&row.to_string())).collect();
        let inside = rows.iter().filter(|row| draw.holds(**row)).count();
        assert!((2300..2700).contains(&inside), "{inside}");
        assert!(rows.iter().all(|row| draw.holds(*row) != draw.complement().holds(*row)));
        let other = Draw::new(&Digest::default(), "test", 2, 0.25);
        let both = rows.iter().filter(|row| draw.holds(**row) && other.holds(**row)).count();
        assert!((500..750).contains(&both), "{both}");
    }
}
