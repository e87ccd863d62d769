//! How masks and sealing keys follow from keys: written once for banks, aggregator and auditors.

use hkdf::Hkdf;
use sha2::Sha256;
use tally_crypto::group::{Point, Scalar};
use tally_crypto::prg::Sign;
use tally_crypto::seed::Seed;
use tally_crypto::transcript::{Digest, Transcript};

use super::Roster;
use super::messages::Keys;

/// Names the keys of a batch: every mask is bound to the whole roll.
pub(super) fn roll_digest(roster: &Roster, keys: &[Keys]) -> Digest {
    let mut transcript = Transcript::new("tallystick/roll/v1");
    for one in keys {
        transcript.append(one.digest(roster).as_bytes());
    }
    transcript.digest()
}

/// The mask that a bank puts over its own vector.
pub(super) fn own_mask(own: &Scalar, roll: &Digest, offer: &Digest) -> Seed {
    let info = Digest::of("tallystick/own-mask/v1", &[offer.as_bytes()]);
    expand(own.as_bytes(), roll, &info)
}

/// The mask that `one` and `other` share in a round, from one's secret and the other's public key.
pub(super) fn pairwise_mask(
    secret: &Scalar,
    public: &Point,
    roll: &Digest,
    offer: &Digest,
    one: &str,
    other: &str,
) -> Seed {
    shared_mask((public.element() * secret).compress().as_bytes(), roll, offer, one, other)
}

/// The mask that `one` and `other` share in a round, from the point that both can compute.
pub(super) fn shared_mask(shared: &[u8; 32], roll: &Digest, offer: &Digest, one: &str, other: &str) -> Seed {
    let (low, high) = if one < other { (one, other) } else { (other, one) };
    let info = Digest::of("tallystick/pairwise-mask/v1", &[offer.as_bytes(), low.as_bytes(), high.as_bytes()]);
    expand(shared, roll, &info)
}

/// What the mask that `member` shares with `other` does to the vector of `member`: the one earlier in order adds it.
pub(super) fn pairwise_sign(member: &str, other: &str) -> Sign {
    if member < other { Sign::Add } else { Sign::Subtract }
}

/// The key that seals the shares of `from` for `to` in a batch.
pub(super) fn transport_key(secret: &Scalar, public: &Point, roll: &Digest, from: &str, to: &str) -> Seed {
    let shared = (public.element() * secret).compress();
    let info = Digest::of("tallystick/share-transport/v1", &[from.as_bytes(), to.as_bytes()]);
    expand(shared.as_bytes(), roll, &info)
}

fn expand(secret: &[u8], salt: &Digest, info: &Digest) -> Seed {
    let mut bytes = [0; 32];
    Hkdf::<Sha256>::new(Some(salt.as_bytes()), secret)
        .expand(info.as_bytes(), &mut bytes)
        // Panic safety: 32 bytes are far below the limit of 255 blocks.
        .expect("32 bytes fit an HKDF output");
    Seed::new(bytes)
}
