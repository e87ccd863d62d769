//! Secret seeds: one per session, everything random of the session is derived from it by label.
//!
//! A node that is killed and started again derives the same keys, blinds and shares, so that it can only repeat what it
//! has said, never answer twice with different randomness. HKDF-SHA-256 (RFC 5869) and ChaCha20 (RFC 8439).

use chacha20::ChaCha20Rng;
use hkdf::Hkdf;
use rand_core::SeedableRng;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// 32 secret bytes; erased on drop, never printed, copied only by [`Seed::derive`].
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Seed([u8; 32]);

impl Seed {
    /// A seed from bytes that the caller knows to be uniform.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A fresh seed from the operating system.
    ///
    /// # Errors
    /// Fails where the operating system gives no randomness.
    pub fn from_os() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// The child seed of this one for `label` and `parts`; children of different labels or parts are independent.
    pub fn derive(&self, label: &str, parts: &[&[u8]]) -> Self {
        let mut child = [0; 32];
        let info = crate::transcript::Digest::of(label, parts);
        Hkdf::<Sha256>::new(Some(b"tallystick/seed/v1"), &self.0)
            .expand(info.as_bytes(), &mut child)
            // Panic safety: 32 bytes are far below the limit of 255 blocks.
            .expect("32 bytes fit an HKDF output");
        Self(child)
    }

    /// A generator whose output is fixed by this seed, `label` and `parts`.
    pub fn rng(&self, label: &str, parts: &[&[u8]]) -> ChaCha20Rng {
        ChaCha20Rng::from_seed(self.derive(label, parts).0)
    }

    /// The secret bytes, for a cipher or for sealed storage.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::Rng;

    #[test]
    fn derivation_is_repeatable_and_separated() {
        let seed = Seed::new([7; 32]);
        assert_eq!(seed.derive("a", &[b"1"]).expose(), seed.derive("a", &[b"1"]).expose());
        assert_ne!(seed.derive("a", &[b"1"]).expose(), seed.derive("a", &[b"2"]).expose());
        assert_ne!(seed.derive("a", &[]).expose(), seed.derive("b", &[]).expose());
        assert_eq!(seed.rng("r", &[]).next_u64(), seed.rng("r", &[]).next_u64());
        assert_eq!(format!("{seed:?}"), "Seed(redacted)");
    }
}
