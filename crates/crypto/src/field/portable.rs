//! The portable path: carry-less products from integer products whose operands have holes for the carries.
//!
//! The technique is that of BearSSL's `ctmul64`: constant time wherever 64-bit multiplication is.

use super::{Block, reduce};

pub(super) fn mul_each(a: &mut [Block], b: &[Block]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a = mul(*a, *b);
    }
}

pub(super) fn add_multiple(sums: &mut [Block], values: &[Block], constant: Block) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum ^= mul(*value, constant);
    }
}

pub(super) fn evaluate(coefficients: &[Block], point: Block) -> Block {
    coefficients.iter().rev().fold(0, |value, coefficient| mul(value, point) ^ coefficient)
}

fn mul(a: Block, b: Block) -> Block {
    let (a0, a1) = (a as u64, (a >> 64) as u64);
    let (b0, b1) = (b as u64, (b >> 64) as u64);
    let (low, high) = (product(a0, b0), product(a1, b1));
    let middle = product(a0 ^ a1, b0 ^ b1) ^ low ^ high;
    reduce(low ^ (middle << 64), high ^ (middle >> 64))
}

fn product(a: u64, b: u64) -> u128 {
    let high = low_half(a.reverse_bits(), b.reverse_bits()).reverse_bits() >> 1;
    u128::from(high) << 64 | u128::from(low_half(a, b))
}

/// The low 64 bits of the carry-less product: one bit in four of each operand, so that carries fall into the holes.
fn low_half(a: u64, b: u64) -> u64 {
    const MASK: u64 = 0x1111_1111_1111_1111;
    let part = |word: u64, shift: u32| word & (MASK << shift);
    let mut result = 0;
    for shift in 0..4 {
        let mut sum = 0;
        for first in 0..4 {
            sum ^= part(a, first).wrapping_mul(part(b, (4 + shift - first) % 4));
        }
        result |= part(sum, shift);
    }
    result
}
