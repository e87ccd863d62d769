//! Shamir shares over the scalar field of ristretto255, with Feldman commitments.
//!
//! A secret is the constant term of a random polynomial of degree `threshold - 1`; share `i` is its value at `i` (1, 2, …).
//! The commitments are the coefficients times the generator, so that a rebuilt secret is checked at once and, where it does
//! not fit, every share by itself. References: Shamir, CACM 1979; Feldman, FOCS 1987.
//!
//! Cost: committing is `threshold` base multiplications, checking a share is one multi-scalar multiplication of that size.

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::traits::VartimeMultiscalarMul;
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::group::{Point, Scalar, half};

/// A secret polynomial; erased on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Polynomial(Vec<Scalar>);

impl Polynomial {
    /// A random polynomial with `secret` at zero, such that `threshold` shares determine it.
    pub fn random(secret: Scalar, threshold: usize, rng: &mut impl CryptoRng) -> Self {
        let rest = (1..threshold).map(|_| Scalar::random(rng));
        Self(std::iter::once(secret).chain(rest).collect())
    }

    /// The share of holder `index`, counted from 1.
    pub fn share(&self, index: u32) -> Scalar {
        let x = Scalar::from(index);
        self.0.iter().rev().fold(Scalar::ZERO, |value, coefficient| value * x + coefficient)
    }

    /// The coefficients times the generator, the constant one first; `None` if one of them is zero, which chance does not
    /// bring about.
    pub fn commitments(&self) -> Option<Vec<Point>> {
        let halves: Vec<_> =
            self.0.iter().map(|coefficient| RistrettoPoint::mul_base(&(coefficient * half()))).collect();
        Point::from_halves(&halves)
    }
}

/// True if `share` is what the polynomial gives holder `index` whose commitments are `public` and, from the linear term on,
/// `rest`; false if one of them is not a point.
pub fn check(public: &[u8; 32], rest: &[[u8; 32]], index: u32, share: &Scalar) -> bool {
    let x = Scalar::from(index);
    let powers = std::iter::successors(Some(Scalar::ONE), |power| Some(power * x));
    let powers: Vec<_> = powers.take(rest.len() + 1).collect();
    let terms: Option<Vec<_>> = std::iter::once(public).chain(rest).map(Point::from_bytes).collect();
    terms.is_some_and(|terms| {
        let expected = RistrettoPoint::vartime_multiscalar_mul(&powers, terms.iter().map(Point::element));
        RistrettoPoint::mul_base(share) == expected
    })
}

/// The Lagrange coefficients that take the shares of distinct holders `indices` to the value at zero.
pub fn weights_at_zero(indices: &[u32]) -> Vec<Scalar> {
    let points: Vec<_> = indices.iter().map(|&index| Scalar::from(index)).collect();
    let mut denominators: Vec<Scalar> =
        points.iter().enumerate().map(|(i, x)| others(&points, i).map(|other| other - x).product()).collect();
    Scalar::invert_batch_alloc(&mut denominators);
    (0..points.len()).map(|i| others(&points, i).product::<Scalar>() * denominators[i]).collect()
}

/// The secret from shares and their [`weights_at_zero`].
pub fn combine(weights: &[Scalar], shares: &[Scalar]) -> Scalar {
    weights.iter().zip(shares).map(|(weight, share)| weight * share).sum()
}

fn others(points: &[Scalar], left_out: usize) -> impl Iterator<Item = &Scalar> {
    points.iter().enumerate().filter(move |(i, _)| *i != left_out).map(|(_, point)| point)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::base_products;
    use crate::seed::Seed;

    #[test]
    fn any_threshold_of_shares_gives_the_secret() {
        let mut rng = Seed::new([5; 32]).rng("share", &[]);
        let secret = Scalar::random(&mut rng);
        let polynomial = Polynomial::random(secret, 3, &mut rng);
        for indices in [[1, 2, 3], [5, 2, 4], [1, 4, 5]] {
            let shares: Vec<_> = indices.iter().map(|&index| polynomial.share(index)).collect();
            assert_eq!(combine(&weights_at_zero(&indices), &shares), secret);
        }
        let two = [polynomial.share(1), polynomial.share(2)];
        assert_ne!(combine(&weights_at_zero(&[1, 2]), &two), secret);
    }

    #[test]
    fn a_wrong_share_is_seen() {
        let mut rng = Seed::new([6; 32]).rng("share", &[]);
        let polynomial = Polynomial::random(Scalar::random(&mut rng), 4, &mut rng);
        let commitments: Vec<_> = polynomial.commitments().unwrap().iter().map(|point| *point.as_bytes()).collect();
        let (public, rest) = commitments.split_first().unwrap();
        assert!(check(public, rest, 3, &polynomial.share(3)));
        assert!(!check(public, rest, 4, &polynomial.share(3)));
        assert!(!check(public, rest, 3, &(polynomial.share(3) + Scalar::ONE)));
        assert!(!check(public, &[[0xff; 32]; 3], 3, &polynomial.share(3)));
        assert_eq!(*public, base_products(&[polynomial.share(0)])[0]);
    }
}
