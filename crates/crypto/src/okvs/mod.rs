//! An oblivious key-value store over GF(2^128): words from which every encoded key decodes to its value and that hide
//! which keys were encoded.
//!
//! Keys fall into bins by hash, so that a bin stays in the second-level cache and bins are encoded in parallel. In a bin a
//! key has three columns of the sparse part and a point `h`; its value is the sum of the three words plus the polynomial
//! `D_1 h + … + D_g h^g` of the dense part. Rows are peeled from columns of weight one; rows that no peeling reaches are
//! solved through the dense part. Free columns and free dense words are random.
//!
//! **Parameters** ([`Layout`]): Garimella et al. (CRYPTO 2021) and Raghuraman, Rindal (CCS 2022), weight 3: expansion and
//! number of dense columns by the fit that both publish for a statistical error of 2^-40 over all bins; bins of about 2^15
//! keys with a capacity by Chernoff's bound, error 2^-40.
//!
//! **Obliviousness.** If the values are uniform, the store is uniform whatever the keys: each key fixes one word by an
//! equation with a fresh uniform right-hand side, every other word is drawn at random.
//!
//! **Cost.** About 1.29 words a key at 2^20 keys; encoding is linear.

mod encode;
mod layout;
#[cfg(test)]
mod tests;

pub use encode::encode;
pub use layout::{Key, Layout, room};

use rayon::prelude::*;

use crate::field::{Block, mul_each};

/// Why a set could not be encoded. Both happen with probability 2^-40 for distinct hashed keys: run again with a new seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OkvsError {
    /// A bin received more keys than it has room for.
    #[error("bin {bin} received {keys} keys and has room for {capacity}: a key stands twice, or the set is too large")]
    Overflow {
        /// Number of the bin.
        bin: usize,
        /// Keys that fell into it.
        keys: usize,
        /// Its capacity.
        capacity: usize,
    },
    /// The rows of a bin have no solution.
    #[error("bin {0} has no solution: a key stands twice, or the seed was unlucky")]
    Singular(usize),
}

/// Keys in order of their bins, so that encoding and decoding walk through memory once.
pub struct Grouped {
    keys: Vec<Key>,
    origin: Vec<u32>,
    starts: Vec<usize>,
}

impl Grouped {
    /// Groups `keys`, at most 2^32 of them, by the bins of `layout`.
    pub fn new(layout: &Layout, keys: &[Key]) -> Self {
        let mut starts = vec![0usize; layout.bins() + 1];
        for key in keys {
            starts[layout.bin(key) + 1] += 1;
        }
        for bin in 0..layout.bins() {
            starts[bin + 1] += starts[bin];
        }
        let mut next = starts.clone();
        let mut grouped = vec![Key::default(); keys.len()];
        let mut origin = vec![0u32; keys.len()];
        for (position, key) in (0u32..).zip(keys) {
            let place = &mut next[layout.bin(key)];
            grouped[*place] = *key;
            origin[*place] = position;
            *place += 1;
        }
        Self { keys: grouped, origin, starts }
    }

    /// Where each grouped key stood before.
    pub fn origin(&self) -> &[u32] {
        &self.origin
    }

    fn bin(&self, bin: usize) -> &[Key] {
        &self.keys[self.starts[bin]..self.starts[bin + 1]]
    }
}

/// The value of every key of `grouped` in `store`, in grouped order; keys that were never encoded decode to what looks
/// random. `store` has [`Layout::words`] words.
pub fn decode(layout: &Layout, grouped: &Grouped, store: &[Block]) -> Vec<Block> {
    assert_eq!(store.len(), layout.words(), "a store has the words of its layout");
    let mut values = vec![0; grouped.keys.len()];
    let mut parts = Vec::with_capacity(layout.bins());
    let mut rest = values.as_mut_slice();
    for bin in 0..layout.bins() {
        let (part, after) = rest.split_at_mut(grouped.bin(bin).len());
        parts.push(part);
        rest = after;
    }
    parts.into_par_iter().enumerate().zip(store.par_chunks(layout.width())).for_each(|((bin, values), words)| {
        let (sparse, dense) = words.split_at(layout.sparse());
        let keys = grouped.bin(bin);
        add_dense(keys, dense, values);
        for (key, value) in keys.iter().zip(values) {
            let [a, b, c] = layout.columns(key);
            *value ^= sparse[a] ^ sparse[b] ^ sparse[c];
        }
    });
    values
}

/// Adds the dense part of each key to its value.
fn add_dense(keys: &[Key], dense: &[Block], values: &mut [Block]) {
    const BATCH: usize = 256;
    for (keys, values) in keys.chunks(BATCH).zip(values.chunks_mut(BATCH)) {
        let mut points = [0; BATCH];
        for (point, key) in points.iter_mut().zip(keys) {
            *point = key.point();
        }
        let mut sums = [0; BATCH];
        for word in dense.iter().rev() {
            sums.iter_mut().for_each(|sum| *sum ^= word);
            mul_each(&mut sums[..keys.len()], &points);
        }
        values.iter_mut().zip(sums).for_each(|(value, sum)| *value ^= sum);
    }
}
