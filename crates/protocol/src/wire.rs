//! Messages as bytes: postcard, into one buffer of the right size, and without trailing bytes.

use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};

/// The message as bytes.
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    let size = postcard::experimental::serialized_size(message).unwrap_or_default();
    let buffer = Buffer(Vec::with_capacity(size));
    // Panic safety: serialising to a growing vector cannot fail for types without custom errors.
    postcard::serialize_with_flavor(message, buffer).expect("messages serialise")
}

/// The message that `bytes` are; nothing if they are none, or more than one.
pub fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Option<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Some(message),
        _ => None,
    }
}

/// Where bytes go: postcard's own vector cannot be given its size beforehand.
struct Buffer(Vec<u8>);

impl Flavor for Buffer {
    type Output = Vec<u8>;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.0)
    }
}
