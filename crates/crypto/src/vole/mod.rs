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
//! **Parameters** ([`Shape`]). Dual learning parity with noise over GF(2^128), regular noise of weight 384 (one entry a block, at
//! a uniform place, with a uniform value of the field) in a vector of twice the output's length, code ExConv7x24: expander weight 7
//! (four regular, three uniform), convolution width 24, applied twice, systematic, with a multiplier in both.
//!
//! **Why weight 384.** A linear test over GF(2^128) takes a word `w` of the code: the sum of `w_i` times the noise. Where `w` meets a
//! noisy place, the sum is uniform, since the noise value is; so the test is blind only to what misses every noisy place, and its
//! bias is at most the chance of that, the product over blocks of `1 - d_b`, where `d_b` is the share of non-zero entries of `w` in
//! block `b`. By concavity this is at most `(1 - d)^384` for a word whose share of non-zero entries is `d`. (The bound
//! `(1 - 2d)^t` holds for noise bits, where a met place turns the sum by a bit; the earlier weight of 128 was taken from it, and
//! gives `(3/4)^128 = 2^-53` here.) Estimates of `d`:
//!
//! - a quarter, the pseudo distance that libOTe assumes of this code over GF(2): `(3/4)^384 = 2^-159`;
//! - words of that share exist, by elimination over GF(2) among outputs; none with clearly less has been found;
//! - the weight stands for 128 bits against fixed tests down to `d = 0.206`. No lower bound of the distance is proven; this is an estimate, as for every
//!   code of this family.
//!
//! *Linear tests over GF(2)*: a sum of bits of outputs is `tr(a_1 y_1) + … = tr(a_1 y_1 + …)`, the trace of one test over GF(2^128),
//! and uniform wherever that is.
//! *Splitting*: a code over a smaller field K gives 128 / [K : GF(2)] instances over K with the same noisy places, and outputs that lie in
//! a K-space of few dimensions, which the noise fixes and no test chosen beforehand sees. That broke the first form, over GF(2). It
//! takes sums of outputs, with coefficients in K, in which all noise has coefficients in K. The multiplier in convolution and expander
//! leaves none over GF(2) that reaches the second half or cancels it ([`code`]). The second line of defence is the number of noise
//! values: 192 in each half, more than the 128 dimensions of the field, so that combinations of one half's values over GF(2) span
//! everything but with chance 2^-64.
//! *What is seen*: a platform that reads a key-value store under the outputs sees at most 0.8 sums of them for each output
//! ([`crate::okvs`]: keys to words), the rest being uniform; all estimates here are for one who sees every output.
//! *Guessing noise-free places* (information-set decoding, Prange): the code's rate is one half, so each guess of half of the places
//! is free of noise with chance `2^-384`. *Algebraic attacks on regular noise* (Briaud, Øygarden, EUROCRYPT 2023) gain most at low
//! rates and few blocks; at rate one half with 384 blocks they do not come near the guessing above.
//! *The systematic half*: 192 blocks lie in the first half of the vector, where each noisy entry touches one output. A word of few
//! outputs misses those, and meets nearly every place of the second half.
//!
//! The code Silver is not offered: it was broken. Vectors shorter than 2^14 words are lengthened to that, where the estimate has
//! been made.
//!
//! **Sources.** Boyle et al., CCS 2022 (EA codes), section on linear tests, for the argument over any field; Raghuraman, Rindal,
//! Tanguy (CRYPTO 2023) for the code; libOTe's `CoeffCtx::mulConst` for the multiplier and why it is needed.

pub mod base;
pub mod code;
pub mod extension;
pub mod tree;

/// Noise blocks, one noisy entry each; a multiple of [`BITS`], so that the paths' transfers fill whole words.
pub const NOISE: usize = 384;

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
