//! Authenticated encryption: AES-256-GCM (NIST SP 800-38D), keys from passphrases by Argon2id (RFC 9106).
//!
//! Two uses, never mixed: a *one-time* key seals exactly one message under the all-zero nonce; a *storage* key seals many
//! values, each under a fresh random nonce that is stored before the ciphertext.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use argon2::{Algorithm, Argon2, Params, Version};

use crate::seed::Seed;

/// Bytes that a one-time seal adds.
pub const TAG_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;

/// Why a sealed value could not be opened or made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SealError {
    /// Wrong key, wrong context or changed bytes.
    #[error("the sealed value does not open: wrong key, wrong place or changed bytes")]
    Open,
    /// No randomness for a nonce.
    #[error("the operating system gives no randomness")]
    Randomness,
    /// The passphrase function refused its parameters.
    #[error("the passphrase could not be turned into a key")]
    Passphrase,
}

/// Seals the one message that `key` will ever seal; `context` is authenticated, not sent.
pub fn seal_once(key: &Seed, context: &[u8], message: &[u8]) -> Vec<u8> {
    encrypt(key, &[0; NONCE_BYTES], context, message)
}

/// Opens what [`seal_once`] made.
///
/// # Errors
/// Fails if key, context or bytes differ.
pub fn open_once(key: &Seed, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
    decrypt(key, &[0; NONCE_BYTES], context, sealed)
}

/// Seals a value at rest under a fresh random nonce; `context` names its place (table, row), so that values cannot be swapped.
///
/// # Errors
/// Fails if the operating system gives no randomness.
pub fn seal_at_rest(key: &Seed, context: &[u8], message: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(|_| SealError::Randomness)?;
    let mut sealed = nonce.to_vec();
    sealed.extend(encrypt(key, &nonce, context, message));
    Ok(sealed)
}

/// Opens what [`seal_at_rest`] made.
///
/// # Errors
/// Fails if key, context or bytes differ.
pub fn open_at_rest(key: &Seed, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
    let (nonce, ciphertext) = sealed.split_first_chunk().ok_or(SealError::Open)?;
    decrypt(key, nonce, context, ciphertext)
}

/// The storage key that `passphrase` and `salt` give: Argon2id, 19 MiB, two passes, one lane.
///
/// # Errors
/// Fails only if the parameters are refused.
pub fn key_from_passphrase(passphrase: &[u8], salt: &[u8; 16]) -> Result<Seed, SealError> {
    let params = Params::new(19 * 1024, 2, 1, Some(32)).map_err(|_| SealError::Passphrase)?;
    let mut key = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase, salt, &mut key)
        .map_err(|_| SealError::Passphrase)?;
    Ok(Seed::new(key))
}

fn encrypt(key: &Seed, nonce: &[u8; NONCE_BYTES], context: &[u8], message: &[u8]) -> Vec<u8> {
    Aes256Gcm::new(key.expose().into())
        .encrypt(&Nonce::from(*nonce), Payload { msg: message, aad: context })
        // Panic safety: AES-GCM refuses only messages of 64 GiB and more.
        .expect("the message is below the limit of the cipher")
}

fn decrypt(key: &Seed, nonce: &[u8; NONCE_BYTES], context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
    Aes256Gcm::new(key.expose().into())
        .decrypt(&Nonce::from(*nonce), Payload { msg: sealed, aad: context })
        .map_err(|_| SealError::Open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_only_in_its_place() {
        let key = Seed::new([3; 32]);
        let sealed = seal_at_rest(&key, b"table/1", b"value").unwrap();
        assert_eq!(open_at_rest(&key, b"table/1", &sealed).unwrap(), b"value");
        assert_eq!(open_at_rest(&key, b"table/2", &sealed), Err(SealError::Open));
        assert_eq!(open_at_rest(&Seed::new([4; 32]), b"table/1", &sealed), Err(SealError::Open));
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(open_at_rest(&key, b"table/1", &changed).is_err());
        }
        assert_eq!(open_at_rest(&key, b"", b"short"), Err(SealError::Open));
    }

    #[test]
    fn passphrases_are_salted() {
        let one = key_from_passphrase(b"secret", &[1; 16]).unwrap();
        let two = key_from_passphrase(b"secret", &[2; 16]).unwrap();
        assert_ne!(one.expose(), two.expose());
    }
}
