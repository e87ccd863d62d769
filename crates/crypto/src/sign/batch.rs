//! Many Ed25519 signatures checked at once, three times cheaper than one by one.
//!
//! A claim holds if `8 (s B - R - h A) = 0`; a batch is one random combination of these equations. The factor eight makes
//! the check of a batch and of a single claim the same relation, which the check without it is not: there, signatures that
//! their own signer spoiled by small-order points could pass together and fail alone, and an auditor would refuse what the
//! aggregator took. Keys of small order and scalars that are not reduced are refused as in the strict check, so that a
//! signature still binds its signer to one message. Reference: Chalkias, Garillot, Nikolaenko, "Taming the many EdDSAs",
//! SSR 2020, algorithm 2 and section 5.
//!
//! The coefficients are 128 bits each, drawn by a hash of all claims: nobody can fit a signature to them.

use std::collections::BTreeMap;

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT as BASE;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{IsIdentity as _, VartimeMultiscalarMul as _};
use rand_core::Rng as _;
use sha2::{Digest as _, Sha512};

use super::{Signature, VerifyKey, labelled};
use crate::seed::Seed;
use crate::transcript::Transcript;

/// A signature, and whose and of what it is said to be.
#[derive(Clone, Debug)]
pub struct Claim {
    key: VerifyKey,
    signature: Signature,
    challenge: [u8; 64],
}

/// The terms of a claim's equation.
struct Equation {
    key: [u8; 32],
    s: Scalar,
    r: EdwardsPoint,
    h: Scalar,
    a: EdwardsPoint,
}

impl Claim {
    /// The claim that `signature` is by `key` over `message` under `label`.
    pub fn new(key: &VerifyKey, label: &str, message: &[u8], signature: &Signature) -> Self {
        Self::raw(key, &labelled(label, message), signature)
    }

    /// The claim that `signature` is by `key` over exactly these bytes.
    pub fn raw(key: &VerifyKey, message: &[u8], signature: &Signature) -> Self {
        let hash = Sha512::new().chain_update(&signature.0[..32]).chain_update(key.as_bytes());
        Self { key: *key, signature: *signature, challenge: hash.chain_update(message).finalize().into() }
    }

    fn equation(&self) -> Option<Equation> {
        let (r, s) = self.signature.0.split_first_chunk::<32>()?;
        let s = Option::from(Scalar::from_canonical_bytes(s.try_into().ok()?))?;
        let r = CompressedEdwardsY(*r).decompress()?;
        Some(Equation {
            key: *self.key.as_bytes(),
            s,
            r,
            h: Scalar::from_bytes_mod_order_wide(&self.challenge),
            a: self.key.0.to_edwards(),
        })
    }
}

/// The places of the claims that do not hold: found one by one where the batch does not hold.
pub fn refuted(claims: &[Claim]) -> Vec<usize> {
    let equations: Vec<_> = claims.iter().map(Claim::equation).collect();
    let all: Option<Vec<_>> = equations.iter().map(Option::as_ref).collect();
    if all.is_some_and(|all| hold(&all, &coefficients(claims))) {
        return Vec::new();
    }
    let alone = |equation: &Option<Equation>| equation.as_ref().is_some_and(|one| hold(&[one], &[Scalar::ONE]));
    equations.iter().enumerate().filter(|(_, equation)| !alone(equation)).map(|(place, _)| place).collect()
}

fn hold(equations: &[&Equation], coefficients: &[Scalar]) -> bool {
    let base: Scalar = equations.iter().zip(coefficients).map(|(equation, z)| equation.s * z).sum();
    // A key that has signed often counts once.
    let mut keys: BTreeMap<[u8; 32], (Scalar, EdwardsPoint)> = BTreeMap::new();
    for (one, z) in equations.iter().zip(coefficients) {
        keys.entry(one.key).or_insert((Scalar::ZERO, one.a)).0 += one.h * z;
    }
    let nonces = equations.iter().zip(coefficients).map(|(one, z)| (*z, one.r));
    let terms = std::iter::once((-base, BASE)).chain(nonces).chain(keys.into_values());
    let (scalars, points): (Vec<_>, Vec<_>) = terms.unzip();
    EdwardsPoint::vartime_multiscalar_mul(scalars, points).mul_by_cofactor().is_identity()
}

fn coefficients(claims: &[Claim]) -> Vec<Scalar> {
    let mut transcript = Transcript::new("tallystick/signature-batch/v1");
    for claim in claims {
        // The challenge is a hash of key, first half and message.
        transcript.append(&claim.challenge);
        transcript.append(&claim.signature.0[32..]);
    }
    let mut rng = Seed::new(transcript.digest().0).rng("coefficients", &[]);
    let draw = |_: &Claim| {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Scalar::from(u128::from_le_bytes(bytes))
    };
    claims.iter().map(draw).collect()
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::EIGHT_TORSION;

    use super::super::SigningKey;
    use super::*;

    fn claims(count: u8) -> Vec<Claim> {
        let claim = |number: u8| {
            let key = SigningKey::from_seed(&Seed::new([number; 32]));
            Claim::new(&key.verify_key(), "l", &[number], &key.sign("l", &[number]))
        };
        (1..=count).map(claim).collect()
    }

    #[test]
    fn every_false_claim_is_named() {
        assert!(refuted(&[]).is_empty());
        let good = claims(70);
        assert!(refuted(&good).is_empty());
        let (key, signature) = (good[3].key, good[3].signature);
        let changed = |byte: usize, bit: u8| {
            let mut changed = signature;
            changed.0[byte] ^= bit;
            Claim::new(&key, "l", &[4], &changed)
        };
        let wrong = [
            Claim::new(&key, "l", &[5], &signature),
            Claim::new(&key, "m", &[4], &signature),
            Claim::new(&good[4].key, "l", &[4], &signature),
            changed(0, 1),
            changed(32, 1),
            changed(63, 0x80),
        ];
        for wrong in wrong {
            let mut claims = good.clone();
            claims[3] = wrong.clone();
            claims[60] = wrong;
            assert_eq!(refuted(&claims), [3, 60]);
        }
    }

    /// Whoever holds a key can spoil its signatures by a point of small order: alone and together they count the same.
    #[test]
    fn small_order_parts_do_not_tell_a_batch_from_its_members() {
        let secret = Scalar::from(77u8);
        let key = VerifyKey::from_bytes(&(secret * BASE).compress().0).unwrap();
        let spoiled = |torsion: &EdwardsPoint, message: &[u8]| {
            let nonce = Scalar::from(99u8);
            let r = (nonce * BASE + torsion).compress();
            let mut signature = Signature([0; 64]);
            signature.0[..32].copy_from_slice(r.as_bytes());
            let challenge = Claim::new(&key, "l", message, &signature).challenge;
            let s = nonce + Scalar::from_bytes_mod_order_wide(&challenge) * secret;
            signature.0[32..].copy_from_slice(s.as_bytes());
            Claim::new(&key, "l", message, &signature)
        };
        let spoiled: Vec<_> = EIGHT_TORSION.iter().enumerate().map(|(n, point)| spoiled(point, &[n as u8])).collect();
        assert!(refuted(&spoiled).is_empty());
        assert!(spoiled.iter().all(|one| refuted(std::slice::from_ref(one)).is_empty()));
    }
}
