//! Sizes of a store, from the number of keys alone, and where in it a hashed key stands.

use crate::field::Block;

/// Statistical error: a set fails to encode with probability 2^-40.
const STATISTICAL: f64 = 40.0;

/// Keys a bin holds on average.
const BIN_KEYS: u64 = 1 << 15;

/// A hashed key: 256 uniform bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Key {
    spread: [u32; 4],
    point: [u64; 2],
}

impl Key {
    /// A key from the output of a hash function keyed after the set was fixed.
    pub fn from_hash(bytes: &[u8; 32]) -> Self {
        let (words, _) = bytes.as_chunks::<4>();
        let (halves, _) = bytes[16..].as_chunks::<8>();
        let spread = [0, 1, 2, 3].map(|i| u32::from_le_bytes(words[i]));
        Self { spread, point: [0, 1].map(|i| u64::from_le_bytes(halves[i])) }
    }

    /// The point of the dense part.
    pub(super) fn point(&self) -> Block {
        u128::from(self.point[1]) << 64 | u128::from(self.point[0])
    }
}

/// Sizes of a store that encodes up to a given number of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    bins: usize,
    capacity: usize,
    sparse: usize,
    dense: usize,
}

impl Layout {
    /// The layout for at most `keys` keys, 2^32 at most; both parties compute the same one.
    pub fn new(keys: u64) -> Self {
        let keys = keys.clamp(1, 1 << 32);
        let bins = (keys / BIN_KEYS).max(1);
        let capacity = room(keys, bins);
        let (sparse, dense) = widths(capacity, STATISTICAL + libm::log2(bins as f64));
        Self { bins: bins as usize, capacity: capacity as usize, sparse, dense }
    }

    /// Words of a store.
    pub fn words(&self) -> usize {
        self.bins * self.width()
    }

    /// Number of bins.
    pub fn bins(&self) -> usize {
        self.bins
    }

    /// Most keys of one bin.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Sparse words of a bin; they come before its dense words.
    pub(super) fn sparse(&self) -> usize {
        self.sparse
    }

    /// Words of a bin.
    pub(super) fn width(&self) -> usize {
        self.sparse + self.dense
    }

    /// The bin of a key.
    pub(super) fn bin(&self, key: &Key) -> usize {
        scale(key.spread[0], self.bins)
    }

    /// The three sparse columns of a key, all different.
    pub(super) fn columns(&self, key: &Key) -> [usize; 3] {
        let [_, first, second, third] = key.spread;
        let a = scale(first, self.sparse);
        let mut b = scale(second, self.sparse - 1);
        b += usize::from(b >= a);
        let mut c = scale(third, self.sparse - 2);
        c += usize::from(c >= a.min(b));
        c += usize::from(c >= a.max(b));
        [a, b, c]
    }
}

/// Maps a uniform word to `0..range`; the bias is `range` / 2^32.
fn scale(word: u32, range: usize) -> usize {
    ((u64::from(word) * range as u64) >> 32) as usize
}

/// Room of a bin: more keys fall into any of `bins` with probability at most 2^-40 (Chernoff's bound for a binomial tail,
/// union over the bins).
pub fn room(keys: u64, bins: u64) -> u64 {
    if bins == 1 {
        return keys;
    }
    let (n, p) = (keys as f64, 1.0 / bins as f64);
    let exponent = |room: u64| {
        let share = room as f64 / n;
        let divergence = share * libm::log2(share / p) + (1.0 - share) * libm::log2((1.0 - share) / (1.0 - p));
        n * divergence - libm::log2(bins as f64)
    };
    let (mut low, mut high) = (keys / bins, keys - 1);
    while low + 1 < high {
        let middle = low.midpoint(high);
        if exponent(middle) >= STATISTICAL { high = middle } else { low = middle }
    }
    high
}

/// Sparse and dense columns for `keys` keys at statistical error 2^-`bits`: the published fit for weight 3.
fn widths(keys: u64, bits: f64) -> (usize, usize) {
    const EXPANSION: f64 = 1.223;
    let n = keys as f64;
    let weight = libm::log2(3.0);
    let slope = libm::exp2(
        0.555 * libm::log2(n) + 0.093 * weight * weight * weight - 1.01 * weight * weight + 2.925 * weight - 0.133,
    );
    let offset = -9.2 - slope * EXPANSION;
    let expansion = (bits - offset) / slope;
    let sparse = libm::ceil(expansion * n).max(3.0);
    let dense = libm::floor(bits / libm::log2(expansion * n)).max(1.0);
    (sparse as usize, dense as usize)
}
