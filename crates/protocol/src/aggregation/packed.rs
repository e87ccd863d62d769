//! Lists of one size as one run of bytes: on the wire a masked word is as long as its ring is wide, whatever its value, and
//! megabytes are copied, not visited byte by byte.

/// Words of 64 bits, little-endian.
pub(super) mod words {
    use std::borrow::Cow;

    use serde::{Deserialize as _, Deserializer, Serializer, de};

    /// The little-endian bytes of `words`; where that is how they lie in memory, nothing is copied.
    pub(crate) fn bytes(words: &[u64]) -> Cow<'_, [u8]> {
        if cfg!(target_endian = "little") {
            Cow::Borrowed(bytemuck::cast_slice(words))
        } else {
            Cow::Owned(words.iter().flat_map(|word| word.to_le_bytes()).collect())
        }
    }

    pub(crate) fn serialize<S: Serializer>(words: &[u64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&bytes(words))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
        match <&[u8]>::deserialize(deserializer)?.as_chunks() {
            (words, []) => Ok(words.iter().map(|word| u64::from_le_bytes(*word)).collect()),
            _ => Err(de::Error::custom("not a whole number of 8-byte words")),
        }
    }
}

/// Scalars and points as they are encoded, 32 bytes each.
pub(super) mod rows {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(rows: &[[u8; 32]], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(rows.as_flattened())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<[u8; 32]>, D::Error> {
        match <&[u8]>::deserialize(deserializer)?.as_chunks() {
            (rows, []) => Ok(rows.to_vec()),
            _ => Err(de::Error::custom("not a whole number of 32-byte rows")),
        }
    }
}

/// Bytes.
pub(super) mod bytes {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        <&[u8]>::deserialize(deserializer).map(Into::into)
    }
}
