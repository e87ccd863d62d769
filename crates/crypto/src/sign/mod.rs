//! Signatures: Ed25519 (RFC 8032) under a domain label, and DSSE envelopes ([`Envelope`]), which may
//! hold in-toto statements ([`Statement`]).
//!
//! A label goes before every message, so that a signature made for one purpose is worth nothing for another. Verification
//! is strict (no small-order keys, no malleable scalars); many signatures are checked at once by [`refuted`].

mod batch;
mod envelope;
mod statement;

pub use batch::{Claim, refuted};
pub use envelope::{Envelope, EnvelopeError, EnvelopeSignature};
pub use statement::{Predicate, STATEMENT_TYPE, Statement, Subject, predicate_type};

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::Signer as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::seed::Seed;
use crate::transcript::Digest;

/// An Ed25519 secret key; erased on drop, never printed.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key that `seed` determines.
    pub fn from_seed(seed: &Seed) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed.expose()))
    }

    /// The public half.
    pub fn verify_key(&self) -> VerifyKey {
        VerifyKey(self.0.verifying_key())
    }

    /// Signs `message` under `label`.
    pub fn sign(&self, label: &str, message: &[u8]) -> Signature {
        self.sign_raw(&labelled(label, message))
    }

    /// Signs exactly these bytes: for formats that fix the signed text (signed notes, DSSE).
    pub fn sign_raw(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:?}, secret redacted)", self.verify_key())
    }
}

/// An Ed25519 public key. Text formats carry it as base64, binary formats as 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VerifyKey(ed25519_dalek::VerifyingKey);

impl VerifyKey {
    /// Decodes a key; a point that is not on the curve, or of small order, is refused.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).ok()?;
        (!key.is_weak()).then_some(Self(key))
    }

    /// The 32 bytes of RFC 8032.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// True if `signature` is this key's over `message` under `label`.
    pub fn verify(&self, label: &str, message: &[u8], signature: &Signature) -> bool {
        self.verify_raw(&labelled(label, message), signature)
    }

    /// True if `signature` is this key's over exactly these bytes.
    pub fn verify_raw(&self, message: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        self.0.verify_strict(message, &signature).is_ok()
    }

    /// A short name of the key: the first 16 hexadecimal digits of its SHA-256.
    pub fn id(&self) -> String {
        hex::encode(&Digest::of_bytes(self.as_bytes()).0[..8])
    }
}

impl fmt::Display for VerifyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(self.as_bytes()))
    }
}

impl fmt::Debug for VerifyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyKey({})", self.id())
    }
}

impl Serialize for VerifyKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.as_bytes().serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for VerifyKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = if deserializer.is_human_readable() {
            decode_text::<32, D::Error>(&String::deserialize(deserializer)?)?
        } else {
            <[u8; 32]>::deserialize(deserializer)?
        };
        Self::from_bytes(&bytes).ok_or_else(|| de::Error::custom("not an Ed25519 public key"))
    }
}

/// An Ed25519 signature. Text formats carry it as base64, binary formats as 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({}…)", hex::encode(&self.0[..4]))
    }
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&BASE64.encode(self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            decode_text(&String::deserialize(deserializer)?).map(Self)
        } else {
            let bytes = <Vec<u8>>::deserialize(deserializer)?;
            let bytes = bytes.try_into().map_err(|_| de::Error::custom("a signature has 64 bytes"))?;
            Ok(Self(bytes))
        }
    }
}

fn decode_text<const N: usize, E: de::Error>(text: &str) -> Result<[u8; N], E> {
    let bytes = BASE64.decode(text).map_err(|_| E::custom("not base64"))?;
    bytes.try_into().map_err(|_| E::custom(format_args!("expected {N} bytes of base64")))
}

fn labelled(label: &str, message: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(label.len() + message.len() + 24);
    text.extend_from_slice(b"tallystick/v1/");
    text.extend_from_slice(label.as_bytes());
    text.push(0);
    text.extend_from_slice(message);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_label_and_message_only() {
        let key = SigningKey::from_seed(&Seed::new([1; 32]));
        let signature = key.sign("roster", b"text");
        let public = key.verify_key();
        assert!(public.verify("roster", b"text", &signature));
        assert!(!public.verify("other", b"text", &signature));
        assert!(!public.verify("roster", b"texT", &signature));
    }

    #[test]
    fn weak_and_malformed_keys_are_refused() {
        assert!(VerifyKey::from_bytes(&[0; 32]).is_none());
        let mut identity = [0; 32];
        identity[0] = 1;
        assert!(VerifyKey::from_bytes(&identity).is_none());
    }

    #[test]
    fn keys_and_signatures_survive_both_kinds_of_format() {
        let key = SigningKey::from_seed(&Seed::new([2; 32]));
        let pair = (key.verify_key(), key.sign("l", b"m"));
        let text = serde_json::to_string(&pair).unwrap();
        assert_eq!(serde_json::from_str::<(VerifyKey, Signature)>(&text).unwrap(), pair);
        let bytes = postcard::to_allocvec(&pair).unwrap();
        assert_eq!(postcard::from_bytes::<(VerifyKey, Signature)>(&bytes).unwrap(), pair);
    }
}
