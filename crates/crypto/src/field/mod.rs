//! The field `GF(2)[X] / (X^128 + X^7 + X^2 + X + 1)`: the arithmetic of the vector OLE and of the key-value store.
//!
//! An element is a [`u128`] whose bit `i` is the coefficient of `X^i`; its byte encoding is little-endian. Addition is
//! exclusive or. Every operation over a slice has one portable path and one for processors with carry-less
//! multiplication (`kernel`); the choice is made at run time and both give the same words.

mod kernel;
mod portable;

use rand_core::CryptoRng;

/// An element of GF(2^128), or any other 128-bit word that is added by exclusive or.
pub type Block = u128;

/// A uniform element.
pub fn random(rng: &mut impl CryptoRng) -> Block {
    u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64())
}

/// The product of two elements.
pub fn mul(a: Block, b: Block) -> Block {
    let mut product = [a];
    mul_each(&mut product, &[b]);
    product[0]
}

/// Multiplies each element of `a` by the element of `b` in the same place; the shorter slice sets the length.
pub fn mul_each(a: &mut [Block], b: &[Block]) {
    if !kernel::mul_each(a, b) {
        portable::mul_each(a, b);
    }
}

/// Adds `constant` times `values` to `sums`, element by element; the shorter slice sets the length.
pub fn add_multiple(sums: &mut [Block], values: &[Block], constant: Block) {
    if !kernel::add_multiple(sums, values, constant) {
        portable::add_multiple(sums, values, constant);
    }
}

/// The value at `point` of the polynomial whose coefficients are `coefficients`, the constant one first.
pub fn evaluate(coefficients: &[Block], point: Block) -> Block {
    kernel::evaluate(coefficients, point).unwrap_or_else(|| portable::evaluate(coefficients, point))
}

/// `point` to the power of `exponent`.
pub fn power(point: Block, mut exponent: u64) -> Block {
    let (mut result, mut square) = (1, point);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = mul(result, square);
        }
        square = mul(square, square);
        exponent >>= 1;
    }
    result
}

/// The inverse of `element`, by Fermat's theorem; zero for zero.
pub fn invert(element: Block) -> Block {
    // 2^128 - 2 is 127 ones and a zero.
    let mut result = 1;
    let mut square = element;
    for _ in 1..128 {
        square = mul(square, square);
        result = mul(result, square);
    }
    result
}

/// Reduces a product of 255 bits, `low + high X^128`.
#[inline(always)]
fn reduce(low: u128, high: u128) -> u128 {
    let carry = (high >> 127) ^ (high >> 126) ^ (high >> 121);
    let high = high ^ carry;
    low ^ high ^ (high << 1) ^ (high << 2) ^ (high << 7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Shift and add, from the definition.
    fn school(mut a: Block, b: Block) -> Block {
        let mut product = 0;
        for bit in 0..128 {
            if b >> bit & 1 == 1 {
                product ^= a;
            }
            a = (a << 1) ^ if a >> 127 == 1 { 0x87 } else { 0 };
        }
        product
    }

    #[test]
    fn corners() {
        let ones = u128::MAX;
        for a in [0, 1, 2, 0x87, 1 << 127, ones, ones - 1] {
            for b in [0, 1, 2, 0x87, 1 << 127, ones, ones - 1] {
                assert_eq!(mul(a, b), school(a, b), "{a:x} {b:x}");
            }
            assert_eq!(mul(a, invert(a)), u128::from(a != 0));
        }
        assert_eq!(power(3, 0), 1);
        assert_eq!(power(3, 3), mul(3, mul(3, 3)));
        assert_eq!(evaluate(&[], 7), 0);
    }

    proptest! {
        #[test]
        fn both_paths_agree_in_every_lane(
            a in prop::collection::vec(any::<u128>(), 0..40),
            b in prop::collection::vec(any::<u128>(), 0..40),
            c: u128,
        ) {
            let expected: Vec<_> =
                a.iter().enumerate().map(|(i, &a)| b.get(i).map_or(a, |&b| school(a, b))).collect();
            for multiply in [mul_each, portable::mul_each] {
                let mut product = a.clone();
                multiply(&mut product, &b);
                prop_assert_eq!(&product, &expected);
            }
            let expected: Vec<_> =
                a.iter().enumerate().map(|(i, &a)| b.get(i).map_or(a, |&b| a ^ school(b, c))).collect();
            for add in [add_multiple, portable::add_multiple] {
                let mut sums = a.clone();
                add(&mut sums, &b, c);
                prop_assert_eq!(&sums, &expected);
            }
            let expected = a.iter().rev().fold(0, |sum, &a| school(sum, c) ^ a);
            prop_assert_eq!(evaluate(&a, c), expected);
            prop_assert_eq!(portable::evaluate(&a, c), expected);
        }
    }
}
