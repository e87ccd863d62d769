//! RFC 9497: oblivious pseudorandom functions, ristretto255-SHA512, base mode (OPRF) and verifiable mode (VOPRF).
//!
//! The client learns `F(key, input)` and nothing on the key; the server learns nothing on the input. In verifiable mode a
//! batched proof of equal discrete logarithms (section 2.2) shows that one committed key evaluated every element.
//!
//! Cost: blinding and finalising are one scalar multiplication each an input, evaluating is one; batches use every core.

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::traits::VartimeMultiscalarMul as _;
use rand_core::CryptoRng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha512};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::group::{Point, Scalar};

/// The two modes of this module, with the context strings of section 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Base mode: no proof.
    Oprf,
    /// Verifiable mode: every evaluation is proven against the public key.
    Voprf,
}

/// Why an evaluation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OprfError {
    /// The input hashes to the identity, which nobody can find.
    #[error("the input cannot be blinded")]
    Input,
    /// Not as many elements came back as were sent.
    #[error("the evaluation has another number of elements than the request")]
    Count,
    /// The proof does not hold for the announced public key.
    #[error("the evaluation is not proven under the announced public key")]
    Proof,
    /// The key derivation of section 3.2.1 failed 256 times.
    #[error("no key can be derived from this seed")]
    Key,
}

/// A server's secret key; erased on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ServerKey {
    scalar: Scalar,
    #[zeroize(skip)]
    public: Point,
    #[zeroize(skip)]
    mode: Mode,
}

/// A client's secret for one input; erased on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Blind(Scalar);

/// A proof that one key evaluated a whole batch (section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    challenge: [u8; 32],
    response: [u8; 32],
}

impl ServerKey {
    /// DeriveKeyPair of section 3.2.1.
    ///
    /// # Errors
    /// Fails if no counter gives a key, which nobody can bring about.
    pub fn derive(mode: Mode, seed: &[u8; 32], info: &[u8]) -> Result<Self, OprfError> {
        let mut input = seed.to_vec();
        input.extend(length(info));
        input.extend_from_slice(info);
        let label = [b"DeriveKeyPair".as_slice(), &mode.context()].concat();
        for counter in 0..=255 {
            input.push(counter);
            let scalar = hash_to_scalar(&input, &label);
            input.pop();
            if let Some(public) = Point::base(&scalar) {
                return Ok(Self { scalar, public, mode });
            }
        }
        Err(OprfError::Key)
    }

    /// The public key.
    pub fn public(&self) -> Point {
        self.public
    }

    /// `F(key, input)` of every input, computed by the server alone (section 3.3.1, Evaluate).
    ///
    /// # Errors
    /// Fails if an input hashes to the identity.
    pub fn evaluate(&self, inputs: &[impl AsRef<[u8]> + Sync]) -> Result<Vec<[u8; 64]>, OprfError> {
        let half = self.scalar * half();
        let batch = |inputs: &[_]| multiply_hashed(self.mode, inputs, |_| half).map(|points| outputs(inputs, &points));
        Ok(inputs.par_chunks(BATCH).map(batch).collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// Evaluates a batch of blinded elements, with the proof of the verifiable mode.
    pub fn blind_evaluate(&self, blinded: &[Point], rng: &mut impl CryptoRng) -> (Vec<Point>, Option<Proof>) {
        let evaluated = multiply(blinded, &self.scalar);
        let proof = (self.mode == Mode::Voprf).then(|| self.prove(blinded, &evaluated, rng));
        (evaluated, proof)
    }

    /// GenerateProof of section 2.2.1.
    fn prove(&self, blinded: &[Point], evaluated: &[Point], rng: &mut impl CryptoRng) -> Proof {
        let (m, z) = composites(self.mode, &self.public, blinded, evaluated, Some(&self.scalar));
        let nonce = Scalar::random(rng);
        let commitments = (RistrettoPoint::mul_base(&nonce), m * nonce);
        let challenge = challenge(self.mode, &self.public, (&m, &z), (&commitments.0, &commitments.1));
        let response = nonce - challenge * self.scalar;
        Proof { challenge: challenge.to_bytes(), response: response.to_bytes() }
    }
}

impl std::fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServerKey({:?}, secret redacted)", self.public)
    }
}

/// Blinds every input (section 3.3.1, Blind).
///
/// # Errors
/// Fails if an input hashes to the identity.
pub fn blind(
    mode: Mode,
    inputs: &[impl AsRef<[u8]> + Sync],
    rng: &mut impl CryptoRng,
) -> Result<(Vec<Blind>, Vec<Point>), OprfError> {
    blind_with(mode, inputs, inputs.iter().map(|_| Blind(Scalar::random(rng))).collect())
}

fn blind_with(
    mode: Mode,
    inputs: &[impl AsRef<[u8]> + Sync],
    blinds: Vec<Blind>,
) -> Result<(Vec<Blind>, Vec<Point>), OprfError> {
    let half = half();
    let batch = |(inputs, blinds): (&[_], &[Blind])| multiply_hashed(mode, inputs, |at| blinds[at].0 * half);
    let points = inputs.par_chunks(BATCH).zip(blinds.par_chunks(BATCH)).map(batch).collect::<Result<Vec<_>, _>>()?;
    Ok((blinds, points.concat()))
}

/// Checks the proof over a batch, in verifiable mode, and unblinds it: one output of 64 bytes an input (sections 3.3.1 and
/// 3.3.2, Finalize).
///
/// # Errors
/// Fails if the numbers of elements differ or the proof does not hold or is missing.
pub fn finalize(
    mode: Mode,
    inputs: &[impl AsRef<[u8]> + Sync],
    blinds: &[Blind],
    blinded: &[Point],
    (evaluated, proof): (&[Point], Option<&Proof>),
    public: &Point,
) -> Result<Vec<[u8; 64]>, OprfError> {
    if inputs.len() != blinds.len() || inputs.len() != blinded.len() || inputs.len() != evaluated.len() {
        return Err(OprfError::Count);
    }
    if mode == Mode::Voprf {
        verify(mode, public, blinded, evaluated, proof.ok_or(OprfError::Proof)?)?;
    }
    unblind(inputs, blinds, evaluated)
}

fn unblind(
    inputs: &[impl AsRef<[u8]> + Sync],
    blinds: &[Blind],
    evaluated: &[Point],
) -> Result<Vec<[u8; 64]>, OprfError> {
    let mut inverses: Vec<_> = blinds.iter().map(|blind| blind.0).collect();
    Scalar::invert_batch_alloc(&mut inverses);
    let half = half();
    let batch = |((inputs, inverses), points): ((&[_], &[Scalar]), &[Point])| {
        let halves: Vec<_> =
            points.iter().zip(inverses).map(|(point, inverse)| point.element() * (inverse * half)).collect();
        Point::from_halves(&halves).map(|points| outputs(inputs, &points)).ok_or(OprfError::Input)
    };
    let results = inputs
        .par_chunks(BATCH)
        .zip(inverses.par_chunks(BATCH))
        .zip(evaluated.par_chunks(BATCH))
        .map(batch)
        .collect::<Result<Vec<_>, _>>();
    inverses.zeroize();
    Ok(results?.concat())
}

/// Elements that share one inversion when they are encoded, and the grain of parallel work.
pub(crate) const BATCH: usize = 256;

/// One half in the scalar field: encoding in batches doubles each point, so scalars are halved before.
pub(crate) fn half() -> Scalar {
    Scalar::from(2u8).invert()
}

/// Every point times `scalar`, which is not zero.
pub(crate) fn multiply(points: &[Point], scalar: &Scalar) -> Vec<Point> {
    let half = scalar * half();
    let batch = |points: &[Point]| {
        let halves: Vec<_> = points.iter().map(|point| point.element() * half).collect();
        // Panic safety: neither the scalar nor a point is zero in a group of prime order.
        Point::from_halves(&halves).expect("products of non-zero factors")
    };
    points.par_chunks(BATCH).map(batch).collect::<Vec<_>>().concat()
}

/// Each input's group element times twice `half_scalar` of its place.
pub(crate) fn multiply_hashed(
    mode: Mode,
    inputs: &[impl AsRef<[u8]>],
    half_scalar: impl Fn(usize) -> Scalar,
) -> Result<Vec<Point>, OprfError> {
    let halves: Vec<_> =
        inputs.iter().enumerate().map(|(at, input)| mode.hash_to_element(input.as_ref()) * half_scalar(at)).collect();
    Point::from_halves(&halves).ok_or(OprfError::Input)
}

fn outputs(inputs: &[impl AsRef<[u8]>], points: &[Point]) -> Vec<[u8; 64]> {
    inputs.iter().zip(points).map(|(input, point)| output(input.as_ref(), point.as_bytes())).collect()
}

/// VerifyProof of section 2.2.2.
///
/// # Errors
/// Fails if the proof does not hold or is not canonical.
pub fn verify(
    mode: Mode,
    public: &Point,
    blinded: &[Point],
    evaluated: &[Point],
    proof: &Proof,
) -> Result<(), OprfError> {
    let canonical = |bytes| Option::<Scalar>::from(Scalar::from_canonical_bytes(bytes)).ok_or(OprfError::Proof);
    let (claimed, response) = (canonical(proof.challenge)?, canonical(proof.response)?);
    let (m, z) = composites(mode, public, blinded, evaluated, None);
    let first = RistrettoPoint::mul_base(&response) + public.element() * claimed;
    let second = m * response + z * claimed;
    if challenge(mode, public, (&m, &z), (&first, &second)) == claimed { Ok(()) } else { Err(OprfError::Proof) }
}

impl Mode {
    fn context(self) -> Vec<u8> {
        let number = match self {
            Self::Oprf => 0,
            Self::Voprf => 1,
        };
        [b"OPRFV1-".as_slice(), &[number], b"-ristretto255-SHA512"].concat()
    }

    fn hash_to_element(self, input: &[u8]) -> RistrettoPoint {
        let label = [b"HashToGroup-".as_slice(), &self.context()].concat();
        RistrettoPoint::from_uniform_bytes(&expand_message(input, &label))
    }
}

/// ComputeComposites (section 2.2.1); with the key the second composite is a product instead of a sum.
fn composites(
    mode: Mode,
    public: &Point,
    blinded: &[Point],
    evaluated: &[Point],
    key: Option<&Scalar>,
) -> (RistrettoPoint, RistrettoPoint) {
    let context = mode.context();
    let seed_label = [b"Seed-".as_slice(), &context].concat();
    let seed = Sha512::new()
        .chain_update(length(public.as_bytes()))
        .chain_update(public.as_bytes())
        .chain_update(length(&seed_label))
        .chain_update(&seed_label)
        .finalize();
    let scalar_label = [b"HashToScalar-".as_slice(), &context].concat();
    let weight = |(index, (c, d)): (usize, (&Point, &Point))| {
        let mut input = length(&seed).to_vec();
        input.extend_from_slice(&seed);
        // A batch never has more than 2^16 elements: RFC 9497 numbers them in two bytes.
        input.extend_from_slice(&(index as u16).to_be_bytes());
        for point in [c, d] {
            input.extend(length(point.as_bytes()));
            input.extend_from_slice(point.as_bytes());
        }
        input.extend_from_slice(b"Composite");
        hash_to_scalar(&input, &scalar_label)
    };
    let weights: Vec<_> = blinded.par_iter().zip(evaluated).enumerate().map(weight).collect();
    // Multiplications of many points at once get cheaper a point the more there are.
    const PART: usize = 2048;
    let combine = |points: &[Point]| -> RistrettoPoint {
        let part = |(points, weights): (&[Point], &[Scalar])| {
            // Everything here is public, so that variable time gives nothing away.
            RistrettoPoint::vartime_multiscalar_mul(weights, points.iter().map(Point::element))
        };
        points.par_chunks(PART).zip(weights.par_chunks(PART)).map(part).sum()
    };
    let m = combine(blinded);
    let z = key.map_or_else(|| combine(evaluated), |key| m * key);
    (m, z)
}

fn challenge(
    mode: Mode,
    public: &Point,
    (m, z): (&RistrettoPoint, &RistrettoPoint),
    (first, second): (&RistrettoPoint, &RistrettoPoint),
) -> Scalar {
    let mut input = Vec::with_capacity(5 * 34 + 9);
    for encoding in [*public.as_bytes(), m.compress().0, z.compress().0, first.compress().0, second.compress().0] {
        input.extend(length(&encoding));
        input.extend_from_slice(&encoding);
    }
    input.extend_from_slice(b"Challenge");
    hash_to_scalar(&input, &[b"HashToScalar-".as_slice(), &mode.context()].concat())
}

fn output(input: &[u8], element: &[u8; 32]) -> [u8; 64] {
    Sha512::new()
        .chain_update(length(input))
        .chain_update(input)
        .chain_update(length(element))
        .chain_update(element)
        .chain_update(b"Finalize")
        .finalize()
        .into()
}

fn hash_to_scalar(input: &[u8], label: &[u8]) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&expand_message(input, label))
}

/// expand_message_xmd of RFC 9380, section 5.3.1, with SHA-512 and 64 bytes of output: a single block.
fn expand_message(message: &[u8], label: &[u8]) -> [u8; 64] {
    // Panic safety: every label of this module is far shorter than 256 bytes.
    let label_length = [u8::try_from(label.len()).expect("labels are short")];
    let first = Sha512::new()
        .chain_update([0; 128])
        .chain_update(message)
        .chain_update([0, 64, 0])
        .chain_update(label)
        .chain_update(label_length)
        .finalize();
    Sha512::new().chain_update(first).chain_update([1]).chain_update(label).chain_update(label_length).finalize().into()
}

/// I2OSP(len, 2); every caller's part is below 2^16 bytes, which `hash` checks for inputs.
fn length(bytes: &[u8]) -> [u8; 2] {
    (bytes.len() as u16).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use hex_literal::hex;

    /// RFC 9497, appendix A.1: seed and key info shared by all modes.
    fn key(mode: Mode) -> ServerKey {
        ServerKey::derive(mode, &[0xa3; 32], b"test key").unwrap()
    }

    fn scalar(bytes: [u8; 32]) -> Scalar {
        Scalar::from_canonical_bytes(bytes).unwrap()
    }

    #[test]
    fn base_mode_vectors() {
        let key = key(Mode::Oprf);
        assert_eq!(key.scalar.to_bytes(), hex!("5ebcea5ee37023ccb9fc2d2019f9d7737be85591ae8652ffa9ef0f4d37063b0e"));
        let blind = scalar(hex!("64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706"));
        let vectors: [(&[u8], _, _, _); 2] = [
            (
                &[0],
                hex!("609a0ae68c15a3cf6903766461307e5c8bb2f95e7e6550e1ffa2dc99e412803c"),
                hex!("7ec6578ae5120958eb2db1745758ff379e77cb64fe77b0b2d8cc917ea0869c7e"),
                hex!(
                    "527759c3d9366f277d8c6020418d96bb393ba2afb20ff90df23fb7708264e2f3"
                    "ab9135e3bd69955851de4b1f9fe8a0973396719b7912ba9ee8aa7d0b5e24bcf6"
                ),
            ),
            (
                &[0x5a; 17],
                hex!("da27ef466870f5f15296299850aa088629945a17d1f5b7f5ff043f76b3c06418"),
                hex!("b4cbf5a4f1eeda5a63ce7b77c7d23f461db3fcab0dd28e4e17cecb5c90d02c25"),
                hex!(
                    "f4a74c9c592497375e796aa837e907b1a045d34306a749db9f34221f7e750cb4"
                    "f2a6413a6bf6fa5e19ba6348eb673934a722a7ede2e7621306d18951e7cf2c73"
                ),
            ),
        ];
        for (input, blinded, evaluated, expected) in vectors {
            let (secrets, sent) = blind_with(Mode::Oprf, &[input], vec![Blind(blind)]).unwrap();
            assert_eq!(*sent[0].as_bytes(), blinded);
            let (points, proof) = key.blind_evaluate(&sent, &mut Seed::new([1; 32]).rng("t", &[]));
            assert_eq!(*points[0].as_bytes(), evaluated);
            assert_eq!(proof, None);
            let opened = finalize(Mode::Oprf, &[input], &secrets, &sent, (&points, None), &key.public());
            assert_eq!(opened.unwrap(), [expected]);
            assert_eq!(key.evaluate(&[input]).unwrap(), [expected]);
        }
    }

    #[test]
    fn verifiable_mode_vectors() {
        let key = key(Mode::Voprf);
        assert_eq!(key.scalar.to_bytes(), hex!("e6f73f344b79b379f1a0dd37e07ff62e38d9f71345ce62ae3a9bc60b04ccd909"));
        assert_eq!(*key.public.as_bytes(), hex!("c803e2cc6b05fc15064549b5920659ca4a77b2cca6f04f6b357009335476ad4e"));
        let blind = scalar(hex!("64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706"));
        let first = || blind_with(Mode::Voprf, &[[0]], vec![Blind(blind)]).unwrap();
        let (secrets, sent) = first();
        assert_eq!(*sent[0].as_bytes(), hex!("863f330cc1a1259ed5a5998a23acfd37fb4351a793a5b3c090b642ddc439b945"));
        let (points, _) = key.blind_evaluate(&sent, &mut Seed::new([1; 32]).rng("t", &[]));
        assert_eq!(*points[0].as_bytes(), hex!("aa8fa048764d5623868679402ff6108d2521884fa138cd7f9c7669a9a014267e"));
        let outputs = [
            hex!(
                "b58cfbe118e0cb94d79b5fd6a6dafb98764dff49c14e1770b566e42402da1a7d"
                "a4d8527693914139caee5bd03903af43a491351d23b430948dd50cde10d32b3c"
            ),
            hex!(
                "8a9a2f3c7f085b65933594309041fc1898d42d0858e59f90814ae90571a6df60"
                "356f4610bf816f27afdd84f47719e480906d27ecd994985890e5f539e7ea74b6"
            ),
        ];
        assert_eq!(key.evaluate(&[[0]]).unwrap(), outputs[..1]);
        // Test vector 1: a batch of one.
        let proof = Proof {
            challenge: hex!("ddef93772692e535d1a53903db24367355cc2cc78de93b3be5a8ffcc6985dd06"),
            response: hex!("6d4346421d17bf5117a2a1ff0fcb2a759f58a539dfbe857a40bce4cf49ec600d"),
        };
        let opened = finalize(Mode::Voprf, &[[0]], &secrets, &sent, (&points, Some(&proof)), &key.public()).unwrap();
        assert_eq!(opened, outputs[..1]);
        // Test vector 3: a batch of two under one proof.
        let inputs = [[0].as_slice(), &[0x5a; 17]];
        let second = scalar(hex!("222a5e897cf59db8145db8d16e597e8facb80ae7d4e26d9881aa6f61d645fc0e"));
        let (blinds, blinded) = blind_with(Mode::Voprf, &inputs, vec![Blind(blind), Blind(second)]).unwrap();
        let (evaluated, _) = key.blind_evaluate(&blinded, &mut Seed::new([1; 32]).rng("t", &[]));
        let proof = Proof {
            challenge: hex!("cc203910175d786927eeb44ea847328047892ddf8590e723c37205cb74600b0a"),
            response: hex!("5ab5337c8eb4ceae0494c2cf89529dcf94572ed267473d567aeed6ab873dee08"),
        };
        let opened =
            finalize(Mode::Voprf, &inputs, &blinds, &blinded, (&evaluated, Some(&proof)), &key.public()).unwrap();
        assert_eq!(opened, outputs);
    }

    #[test]
    fn a_batch_opens_and_every_change_is_refused() {
        let key = key(Mode::Voprf);
        let mut rng = Seed::new([9; 32]).rng("batch", &[]);
        let inputs: Vec<_> = (0..600u16).map(|n| n.to_be_bytes().repeat(9)).collect();
        let (blinds, blinded) = blind(Mode::Voprf, &inputs, &mut rng).unwrap();
        let (evaluated, proof) = key.blind_evaluate(&blinded, &mut rng);
        let proof = proof.unwrap();
        let finish = |evaluated: &[Point], proof: Option<&Proof>, public: &Point| {
            finalize(Mode::Voprf, &inputs, &blinds, &blinded, (evaluated, proof), public)
        };
        assert_eq!(finish(&evaluated, Some(&proof), &key.public()), key.evaluate(&inputs));
        assert_eq!(finish(&evaluated, None, &key.public()), Err(OprfError::Proof));
        let open = |evaluated: &[Point], proof: &Proof, public: &Point| finish(evaluated, Some(proof), public).err();
        let mut swapped = evaluated.clone();
        swapped.swap(0, 1);
        assert_eq!(open(&swapped, &proof, &key.public()), Some(OprfError::Proof));
        assert_eq!(open(&evaluated[1..], &proof, &key.public()), Some(OprfError::Count));
        assert_eq!(open(&evaluated, &proof, &evaluated[0]), Some(OprfError::Proof));
        for byte in 0..32 {
            let mut changed = proof;
            changed.response[byte] ^= 1;
            assert_eq!(open(&evaluated, &changed, &key.public()), Some(OprfError::Proof));
        }
    }
}
