//! The prime-order group ristretto255 (RFC 9496) with points that are validated when they are decoded.

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::traits::IsIdentity;
use rayon::prelude::*;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use curve25519_dalek::scalar::Scalar;

/// A group element other than the identity, kept with its canonical encoding.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Point {
    element: RistrettoPoint,
    encoding: [u8; 32],
}

impl Point {
    /// Decodes a point; the identity and every non-canonical encoding are refused (RFC 9497, section 4.1).
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        let element = CompressedRistretto(*bytes).decompress()?;
        (!element.is_identity()).then_some(Self { element, encoding: *bytes })
    }

    /// Encodes `element`; `None` for the identity.
    pub fn from_element(element: RistrettoPoint) -> Option<Self> {
        (!element.is_identity()).then(|| Self { element, encoding: element.compress().0 })
    }

    /// Encodes the doubles of `halves`, eight times cheaper a point than one by one; `None` if one is the identity.
    pub fn from_halves(halves: &[RistrettoPoint]) -> Option<Vec<Self>> {
        let encodings = RistrettoPoint::double_and_compress_batch(halves);
        let point = |(half, encoding): (&RistrettoPoint, &CompressedRistretto)| {
            (!half.is_identity()).then(|| Self { element: half + half, encoding: encoding.0 })
        };
        halves.iter().zip(&encodings).map(point).collect()
    }

    /// The generator times `scalar`; `None` if that is the identity.
    pub fn base(scalar: &Scalar) -> Option<Self> {
        Self::from_element(RistrettoPoint::mul_base(scalar))
    }

    /// The group element.
    pub fn element(&self) -> &RistrettoPoint {
        &self.element
    }

    /// The canonical encoding.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.encoding
    }
}

/// The inverse of two: what is encoded in batches has to be given by halves.
pub(crate) fn half() -> Scalar {
    Scalar::from(2u8).invert()
}

/// Encodings of the generator times each scalar.
pub fn base_products(scalars: &[Scalar]) -> Vec<[u8; 32]> {
    let half = half();
    let halves: Vec<_> = scalars.par_iter().map(|scalar| RistrettoPoint::mul_base(&(scalar * half))).collect();
    encode_doubles(&halves)
}

/// Encodings of each scalar times its point, on every core. In variable time: only for scalars that are public.
pub fn public_products(factors: &[(Scalar, &Point)]) -> Vec<[u8; 32]> {
    let half = half();
    let product = |(scalar, point): &(Scalar, &Point)| {
        RistrettoPoint::vartime_double_scalar_mul_basepoint(&(scalar * half), point.element(), &Scalar::ZERO)
    };
    let halves: Vec<_> = factors.par_iter().map(product).collect();
    encode_doubles(&halves)
}

fn encode_doubles(halves: &[RistrettoPoint]) -> Vec<[u8; 32]> {
    RistrettoPoint::double_and_compress_batch(halves).into_iter().map(|encoding| encoding.0).collect()
}

impl std::fmt::Debug for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Point({}…)", hex::encode(&self.encoding[..4]))
    }
}

impl Serialize for Point {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&hex::encode(self.encoding))
        } else {
            self.encoding.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = if deserializer.is_human_readable() {
            let mut bytes = [0; 32];
            hex::decode_to_slice(String::deserialize(deserializer)?, &mut bytes).map_err(de::Error::custom)?;
            bytes
        } else {
            <[u8; 32]>::deserialize(deserializer)?
        };
        Self::from_bytes(&bytes).ok_or_else(|| de::Error::custom("not a point of ristretto255 other than the identity"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn products_in_batches_are_the_products() {
        let mut rng = Seed::new([4; 32]).rng("group", &[]);
        let scalars: Vec<_> = (0..5).map(|_| Scalar::random(&mut rng)).chain([Scalar::ONE]).collect();
        let point = Point::base(&scalars[0]).unwrap();
        for (scalar, encoding) in scalars.iter().zip(base_products(&scalars)) {
            assert_eq!(encoding, RistrettoPoint::mul_base(scalar).compress().0);
        }
        let factors: Vec<_> = scalars.iter().map(|scalar| (*scalar, &point)).collect();
        for (scalar, encoding) in scalars.iter().zip(public_products(&factors)) {
            assert_eq!(encoding, (point.element() * scalar).compress().0);
        }
    }
}
