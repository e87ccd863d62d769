//! Row keys: the bank opens the platform's rows of its own enterprises, the platform never learns which.
//!
//! **Parties.** Platform (sender), bank (receiver).
//!
//! **Inputs.** Platform: identifiers of enterprises that consented to this bank and purpose, a payload each. Bank: its own
//! cleared identifiers. Both distinct and canonical. A session digest that both have signed.
//!
//! **Outputs.** Bank: the payloads of the enterprises in both sets. Platform: nothing.
//!
//! **What each learns.** The platform: how many identifiers the bank brings. The bank: how many the platform brings, and
//! pseudorandom tags and sealed payloads of those that it does not hold; at most `cap` evaluations of the function.
//! Nothing that the bank sends depends on what matched.
//!
//! **Assumptions.** One-more gap Diffie-Hellman on ristretto255, random oracle. Against a deviating bank: at most `cap`
//! evaluations. Against a deviating platform: one committed key, proven for every batch; a row that does not open counts
//! as missing and causes no signal.
//!
//! **Cost.** Platform: one multiplication a row and one an evaluated identifier. Bank: two an identifier. On the wire 64 bytes
//! an identifier and 48 bytes plus payload a row.
//!
//! **References.** RFC 9497 (ristretto255-SHA512, VOPRF mode). Jarecki, Liu, SCN 2010. RFC 5869 for the row key.
//!
//! ```text
//! Sender    --Announcement(public key, rows, set)-->  Receiver<Blinding>
//!           --SealedRow … (sorted by tag)--------->
//!           <--Blinded chunk----------------------
//!           --Evaluated chunk (with proof)-------->  Receiver<Keyed> -- open -->  rows
//! ```

mod bank;
mod ideal;
mod messages;
mod platform;
#[cfg(test)]
mod tests;

pub use bank::{Blinding, Keyed, Opened, Receiver};
pub use ideal::ideal;
pub use messages::{Announcement, Blinded, CHUNK, Evaluated, Misbehaved, SealedRow};
pub use platform::Sender;

use hkdf::Hkdf;
use sha2::Sha256;
use tally_crypto::seed::Seed;
use tally_crypto::transcript::Digest;

/// Tag and row key of one enterprise: both from the function's output, independent of one another.
struct RowSecret {
    tag: [u8; 16],
    key: Seed,
}

impl RowSecret {
    /// Binds the output to session, bank and purpose; a tag reveals nothing on its key.
    fn derive(output: &[u8; 64], context: &Digest) -> Self {
        let mut bytes = [0; 48];
        Hkdf::<Sha256>::new(Some(context.as_bytes()), output)
            .expand(b"tallystick/row/v1", &mut bytes)
            // Panic safety: 48 bytes are far below the limit of 255 blocks.
            .expect("48 bytes fit an HKDF output");
        let (mut tag, mut key) = ([0; 16], [0; 32]);
        tag.copy_from_slice(&bytes[..16]);
        key.copy_from_slice(&bytes[16..]);
        Self { tag, key: Seed::new(key) }
    }
}

fn context(session: &Digest, purpose: &str, bank: &str) -> Digest {
    Digest::of("tallystick/row-context/v1", &[session.as_bytes(), purpose.as_bytes(), bank.as_bytes()])
}
