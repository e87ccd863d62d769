//! Hashing of structured values: every part is length-prefixed, every use has a label.
//!
//! SHA-256 (FIPS 180-4). A digest over parts `p_1 … p_n` under a label `L` is
//! `SHA-256(len(L) ‖ L ‖ len(p_1) ‖ p_1 ‖ … )` with 64-bit big-endian lengths, so that no two part lists collide.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest. Text formats carry it as 64 hexadecimal digits, binary formats as 32 bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// SHA-256 of the bytes alone, as other tools compute it.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Digest of `parts` under `label`, length-prefixed.
    pub fn of(label: &str, parts: &[&[u8]]) -> Self {
        let mut transcript = Transcript::new(label);
        for part in parts {
            transcript.append(part);
        }
        transcript.digest()
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first eight hexadecimal digits, for people.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 64];
        hex::encode_to_slice(self.0, &mut digits).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Digest {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(|_| de::Error::custom("a digest is 64 hexadecimal digits"))
        } else {
            <[u8; 32]>::deserialize(deserializer).map(Self)
        }
    }
}

/// A running hash over labelled, length-prefixed parts.
#[derive(Clone)]
pub struct Transcript(Sha256);

impl Transcript {
    /// An empty transcript under `label`.
    pub fn new(label: &str) -> Self {
        let mut transcript = Self(Sha256::new());
        transcript.append(label.as_bytes());
        transcript
    }

    /// Adds one part.
    pub fn append(&mut self, part: &[u8]) {
        self.0.update((part.len() as u64).to_be_bytes());
        self.0.update(part);
    }

    /// Adds one number.
    pub fn append_u64(&mut self, number: u64) {
        self.append(&number.to_be_bytes());
    }

    /// The digest of all that was added.
    pub fn digest(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// A salted commitment to `value`: hiding as long as the 16-byte salt stays secret, binding under SHA-256.
pub fn commit(label: &str, salt: &[u8; 16], value: &[u8]) -> Digest {
    Digest::of("tallystick/commitment/v1", &[label.as_bytes(), salt, value])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(Digest::of("l", &[b"ab", b"c"]), Digest::of("l", &[b"a", b"bc"]));
        assert_ne!(Digest::of("l", &[b"ab"]), Digest::of("la", &[b"b"]));
    }

    #[test]
    fn of_bytes_is_plain_sha256() {
        // FIPS 180-4, example "abc".
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of_bytes(b"abc").to_string(), expected);
        assert_eq!(expected.parse(), Ok(Digest::of_bytes(b"abc")));
    }
}
