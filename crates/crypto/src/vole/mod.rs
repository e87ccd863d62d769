//! The parts of a pseudorandom vector OLE over GF(2^128): `C = B + A Δ`, where one party holds Δ and `B`, the other `A` and
//! `C`. The messages between the parties are those of the alignment; here stand the computations of each.
//!
//! | module | what it computes |
//! |---|---|
//! | [`base`] | 128 oblivious transfers from ristretto255 (Masny, Rindal, CCS 2019) |
//! | [`extension`] | correlated transfers from those (Ishai et al., CRYPTO 2003), checked as in Roy, CRYPTO 2022 |
//! | [`tree`] | punctured pseudorandom functions from binary trees with fixed-key AES (Goldreich, Goldwasser, Micali) |
//! | [`code`] | the expand-convolute code that stretches sparse noise to a pseudorandom vector (eprint 2023/882) |
//!
//! **Parameters** ([`Shape`]). Dual learning parity with noise over GF(2^128), regular noise of weight 128 in a vector of
//! twice the output's length, code ExConv7x24: expander weight 7 (four regular, three uniform), convolution width 24,
//! applied twice, systematic. With libOTe's estimate of the code's pseudo distance, a quarter of its length, linear tests
//! have bias at most (1 - 2/4)^128 = 2^-128. The code Silver is not offered: it was broken. Vectors shorter than 2^14
//! words are lengthened to that, where the estimate has been made.

pub mod base;
pub mod code;
pub mod extension;
pub mod tree;

/// Noise blocks, one noisy entry each.
pub const NOISE: usize = 128;

/// Bits of a field element, and base transfers.
pub const BITS: usize = 128;

/// Shortest vector that is generated.
const SHORTEST: usize = 1 << 14;

/// Sizes of one vector OLE, from the words asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    block: usize,
}

impl Shape {
    /// The shape that gives at least `words` words.
    pub fn new(words: usize) -> Self {
        Self { block: (words.max(SHORTEST) * 2).div_ceil(NOISE).next_multiple_of(2) }
    }

    /// Length of a noise block: leaves of a tree.
    pub fn block(self) -> usize {
        self.block
    }

    /// Length of the noisy vector; the code halves it.
    pub fn noisy(self) -> usize {
        self.block * NOISE
    }

    /// Levels of a tree below its root.
    pub fn depth(self) -> usize {
        tree::depth(self.block)
    }

    /// Correlated transfers for the paths of all trees.
    pub fn path_transfers(self) -> usize {
        NOISE * self.depth()
    }

    /// All correlated transfers: paths, then 128 bits for each noise value and for the mask of the check.
    pub fn transfers(self) -> usize {
        self.path_transfers() + BITS * (NOISE + 1)
    }
}
