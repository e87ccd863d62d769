//! Commuting exponents on ristretto255: `H(x)^a^b = H(x)^b^a`, for counting common elements without telling which.
//!
//! Hashing to the group is that of RFC 9380 (expand_message_xmd with SHA-512) through [`oprf`](crate::oprf).

use rand_core::CryptoRng;
use rayon::prelude::*;
use zeroize::ZeroizeOnDrop;

use crate::group::{Point, Scalar};
use crate::oprf::{BATCH, Mode, OprfError, half, multiply, multiply_hashed};

/// A secret exponent; erased on drop.
#[derive(ZeroizeOnDrop)]
pub struct Exponent(Scalar);

impl Exponent {
    /// A fresh exponent.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(Scalar::random(rng))
    }

    /// Every input's group element to this exponent.
    ///
    /// # Errors
    /// Fails if an input hashes to the identity, which nobody can find.
    pub fn raise_hashed(&self, inputs: &[impl AsRef<[u8]> + Sync]) -> Result<Vec<Point>, OprfError> {
        let scalar = self.0 * half();
        let batch = |inputs: &[_]| multiply_hashed(Mode::Oprf, inputs, |_| scalar);
        Ok(inputs.par_chunks(BATCH).map(batch).collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// Every point to this exponent.
    pub fn raise(&self, points: &[Point]) -> Vec<Point> {
        multiply(points, &self.0)
    }

    /// Every point to the inverse of this exponent.
    pub fn lower(&self, points: &[Point]) -> Vec<Point> {
        multiply(points, &self.0.invert())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn exponents_commute_and_are_undone() {
        let mut rng = Seed::new([1; 32]).rng("e", &[]);
        let (a, b) = (Exponent::random(&mut rng), Exponent::random(&mut rng));
        let inputs: Vec<_> = (0..300u16).map(u16::to_be_bytes).collect();
        let (by_a, by_b) = (a.raise_hashed(&inputs).unwrap(), b.raise_hashed(&inputs).unwrap());
        assert_eq!(b.raise(&by_a), a.raise(&by_b));
        assert_eq!(a.lower(&b.raise(&by_a)), by_b);
    }
}
