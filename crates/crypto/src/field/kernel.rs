//! The path for x86-64 processors with carry-less multiplication. The one module of the project that holds unsafe code.
//!
//! Every function first asks the processor and says `false` or `None` where it cannot serve; the caller then takes the
//! portable path. The only unsafe act is the call of a function compiled for a processor feature that was just found.
#![allow(unsafe_code)]

use super::Block;

#[cfg(target_arch = "x86_64")]
pub(super) fn mul_each(a: &mut [Block], b: &[Block]) -> bool {
    let able = able();
    if able {
        // SAFETY: `able` has found every feature that the function is compiled for.
        unsafe { x86::mul_each(a, b) }
    }
    able
}

#[cfg(target_arch = "x86_64")]
pub(super) fn add_multiple(sums: &mut [Block], values: &[Block], constant: Block) -> bool {
    let able = able();
    if able {
        // SAFETY: `able` has found every feature that the function is compiled for.
        unsafe { x86::add_multiple(sums, values, constant) }
    }
    able
}

#[cfg(target_arch = "x86_64")]
pub(super) fn evaluate(coefficients: &[Block], point: Block) -> Option<Block> {
    // SAFETY: `able` has found every feature that the function is compiled for.
    able().then(|| unsafe { x86::evaluate(coefficients, point) })
}

#[cfg(target_arch = "x86_64")]
fn able() -> bool {
    is_x86_feature_detected!("pclmulqdq") && is_x86_feature_detected!("avx2")
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn mul_each(_: &mut [Block], _: &[Block]) -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn add_multiple(_: &mut [Block], _: &[Block], _: Block) -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn evaluate(_: &[Block], _: Block) -> Option<Block> {
    None
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m128i, _mm_clmulepi64_si128, _mm_cvtsi128_si64, _mm_set_epi64x, _mm_setzero_si128, _mm_slli_si128,
        _mm_srli_si128, _mm_unpackhi_epi64, _mm_xor_si128,
    };

    use super::Block;

    /// Independent products in flight: enough to hide the latency of one.
    const LANES: usize = 8;

    #[target_feature(enable = "pclmulqdq,avx2")]
    pub(super) fn mul_each(a: &mut [Block], b: &[Block]) {
        for (a, b) in a.iter_mut().zip(b) {
            *a = store(mul(load(*a), load(*b)));
        }
    }

    #[target_feature(enable = "pclmulqdq,avx2")]
    pub(super) fn add_multiple(sums: &mut [Block], values: &[Block], constant: Block) {
        let constant = load(constant);
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum ^= store(mul(load(*value), constant));
        }
    }

    #[target_feature(enable = "pclmulqdq,avx2")]
    pub(super) fn evaluate(coefficients: &[Block], point: Block) -> Block {
        let point = load(point);
        let mut stride = point;
        for _ in 1..LANES {
            stride = mul(stride, point);
        }
        // Lane k holds the polynomial of the coefficients k, k + LANES, …, at point^LANES.
        let mut lanes = [_mm_setzero_si128(); LANES];
        let (groups, rest) = coefficients.as_chunks::<LANES>();
        for (lane, coefficient) in lanes.iter_mut().zip(rest) {
            *lane = load(*coefficient);
        }
        for group in groups.iter().rev() {
            for (lane, coefficient) in lanes.iter_mut().zip(group) {
                *lane = _mm_xor_si128(mul(*lane, stride), load(*coefficient));
            }
        }
        let mut value = _mm_setzero_si128();
        for lane in lanes.iter().rev() {
            value = _mm_xor_si128(mul(value, point), *lane);
        }
        store(value)
    }

    #[inline]
    #[target_feature(enable = "pclmulqdq,avx2")]
    fn load(block: Block) -> __m128i {
        _mm_set_epi64x((block >> 64) as i64, block as i64)
    }

    #[inline]
    #[target_feature(enable = "pclmulqdq,avx2")]
    fn store(word: __m128i) -> Block {
        let low = _mm_cvtsi128_si64(word) as u64;
        let high = _mm_cvtsi128_si64(_mm_unpackhi_epi64(word, word)) as u64;
        u128::from(high) << 64 | u128::from(low)
    }

    /// Karatsuba's three products would cost more shuffles than the fourth product does; the reduction folds the upper
    /// half twice by X^7 + X^2 + X + 1.
    #[inline]
    #[target_feature(enable = "pclmulqdq,avx2")]
    fn mul(a: __m128i, b: __m128i) -> __m128i {
        let low = _mm_clmulepi64_si128::<0x00>(a, b);
        let high = _mm_clmulepi64_si128::<0x11>(a, b);
        let middle = _mm_xor_si128(_mm_clmulepi64_si128::<0x01>(a, b), _mm_clmulepi64_si128::<0x10>(a, b));
        let low = _mm_xor_si128(low, _mm_slli_si128::<8>(middle));
        let high = _mm_xor_si128(high, _mm_srli_si128::<8>(middle));
        let fold = _mm_set_epi64x(0, 0x87);
        // The upper 64 bits of `high` stand for X^192 and fold into bits 64 to 134, the lower ones into bits 0 to 70.
        let upper = _mm_clmulepi64_si128::<0x01>(high, fold);
        let low = _mm_xor_si128(low, _mm_slli_si128::<8>(upper));
        let high = _mm_xor_si128(high, _mm_srli_si128::<8>(upper));
        _mm_xor_si128(low, _mm_clmulepi64_si128::<0x00>(high, fold))
    }
}
