//! DSSE v1 envelopes: a payload with its type and one or more signatures, in JSON.
//!
//! The signed text is the pre-authentication encoding `"DSSEv1" SP len(type) SP type SP len(body) SP body`; nothing is
//! canonicalised, the payload bytes are kept as they were signed. Reference: secure-systems-lab DSSE, protocol.md.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::{Signature, SigningKey, VerifyKey};
use crate::transcript::Digest;

/// A signed document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Envelope {
    /// Media type of the payload.
    pub payload_type: String,
    /// The payload, base64.
    payload: String,
    /// Who signed it.
    pub signatures: Vec<EnvelopeSignature>,
}

/// One signature of an [`Envelope`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvelopeSignature {
    /// [`VerifyKey::id`] of the signer; a hint, never trusted.
    pub keyid: String,
    /// The signature over the pre-authentication encoding.
    pub sig: Signature,
}

/// Why an envelope was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EnvelopeError {
    /// The payload is not base64.
    #[error("the payload is not base64")]
    Encoding,
    /// The envelope carries another type of document.
    #[error("the payload type is `{found}`, expected `{expected}`")]
    Type {
        /// What the envelope says.
        found: String,
        /// What the reader wants.
        expected: String,
    },
    /// A signature that the reader requires is absent or wrong.
    #[error("no valid signature by key {0}")]
    Signature(String),
}

impl Envelope {
    /// An envelope without signatures yet.
    pub fn new(payload_type: &str, payload: &[u8]) -> Self {
        Self { payload_type: payload_type.into(), payload: BASE64.encode(payload), signatures: Vec::new() }
    }

    /// Adds `key`'s signature.
    ///
    /// # Errors
    /// Fails if the payload is not base64.
    pub fn sign(&mut self, key: &SigningKey) -> Result<(), EnvelopeError> {
        let sig = key.sign_raw(&self.signed_text()?);
        self.attach(key.verify_key(), sig);
        Ok(())
    }

    /// Adds a signature that was made elsewhere over [`Envelope::signed_text`].
    pub fn attach(&mut self, key: VerifyKey, sig: Signature) {
        let keyid = key.id();
        self.signatures.retain(|known| known.keyid != keyid);
        self.signatures.push(EnvelopeSignature { keyid, sig });
    }

    /// The payload, after every one of `keys` has been found among the signers.
    ///
    /// # Errors
    /// Fails if the type differs or a required signature is absent or wrong.
    pub fn open(&self, payload_type: &str, keys: &[VerifyKey]) -> Result<Vec<u8>, EnvelopeError> {
        if self.payload_type != payload_type {
            let (found, expected) = (self.payload_type.clone(), payload_type.into());
            return Err(EnvelopeError::Type { found, expected });
        }
        let text = self.signed_text()?;
        for key in keys {
            let signed = self.signatures.iter().any(|one| one.keyid == key.id() && key.verify_raw(&text, &one.sig));
            if !signed {
                return Err(EnvelopeError::Signature(key.id()));
            }
        }
        self.unverified_payload()
    }

    /// The payload without any check: only to learn which keys to demand of [`Envelope::open`].
    ///
    /// # Errors
    /// Fails if the payload is not base64.
    pub fn unverified_payload(&self) -> Result<Vec<u8>, EnvelopeError> {
        BASE64.decode(&self.payload).map_err(|_| EnvelopeError::Encoding)
    }

    /// The bytes that are signed: DSSE's pre-authentication encoding.
    ///
    /// # Errors
    /// Fails if the payload is not base64.
    pub fn signed_text(&self) -> Result<Vec<u8>, EnvelopeError> {
        let body = self.unverified_payload()?;
        let kind = &self.payload_type;
        let mut text = format!("DSSEv1 {} {kind} {} ", kind.len(), body.len()).into_bytes();
        text.extend_from_slice(&body);
        Ok(text)
    }

    /// The digest of the payload alone: the name of the document, whoever has signed it so far.
    ///
    /// # Errors
    /// Fails if the payload is not base64.
    pub fn payload_digest(&self) -> Result<Digest, EnvelopeError> {
        Ok(Digest::of_bytes(&self.unverified_payload()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn pre_authentication_encoding_is_the_published_one() {
        // protocol.md of DSSE v1, "Hello world" example.
        let envelope = Envelope::new("http://example.com/HelloWorld", b"hello world");
        assert_eq!(envelope.signed_text().unwrap(), b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn every_named_key_must_have_signed() {
        let (one, two) = (SigningKey::from_seed(&Seed::new([1; 32])), SigningKey::from_seed(&Seed::new([2; 32])));
        let mut envelope = Envelope::new("t", b"body");
        envelope.sign(&one).unwrap();
        assert_eq!(envelope.open("t", &[one.verify_key()]).unwrap(), b"body");
        assert!(envelope.open("t", &[one.verify_key(), two.verify_key()]).is_err());
        assert!(envelope.open("u", &[one.verify_key()]).is_err());
        envelope.sign(&two).unwrap();
        envelope.signatures[0].sig.0[0] ^= 1;
        assert!(envelope.open("t", &[one.verify_key()]).is_err());
        assert!(envelope.open("t", &[two.verify_key()]).is_ok());
    }
}
