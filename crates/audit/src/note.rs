//! Signed notes, verifier keys and checkpoints (C2SP signed-note v1.0.0 and tlog-checkpoint v1.0.0).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tally_crypto::sign::{Signature, SigningKey, VerifyKey};
use tally_crypto::transcript::Digest;

/// Signature type of Ed25519 over the note text.
const ED25519: u8 = 1;

/// What a checkpoint states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the log.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root over them.
    pub root: Digest,
}

/// Why a note was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not of the form of a note, checkpoint or key.
    #[error("{0}")]
    Form(&'static str),
    /// The known key's signature is absent or wrong.
    #[error("no valid signature by `{0}`")]
    Signature(String),
}

/// The verifier key text of `key` under `name`: `name+id+base64(type || key)`.
pub fn vkey(name: &str, key: &VerifyKey) -> String {
    format!("{name}+{}+{}", hex::encode(key_id(name, key)), BASE64.encode(typed(key)))
}

/// Reads a verifier key: its name and key.
///
/// # Errors
/// Fails unless the text is an Ed25519 verifier key whose id fits.
pub fn parse_vkey(text: &str) -> Result<(String, VerifyKey), NoteError> {
    let wrong = NoteError::Form("not an Ed25519 verifier key: name+id+key");
    let mut parts = text.trim().splitn(3, '+');
    let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else { return Err(wrong) };
    let bytes = BASE64.decode(key).map_err(|_| wrong.clone())?;
    let [ED25519, rest @ ..] = bytes.as_slice() else { return Err(wrong) };
    let key = rest.try_into().ok().and_then(VerifyKey::from_bytes).ok_or_else(|| wrong.clone())?;
    if name.is_empty() || hex::encode(key_id(name, &key)) != id { Err(wrong) } else { Ok((name.into(), key)) }
}

impl Checkpoint {
    /// The signed note of this checkpoint.
    pub fn sign(&self, key: &SigningKey) -> String {
        let text = self.text();
        let signature = key.sign_raw(text.as_bytes());
        let id = key_id(&self.origin, &key.verify_key());
        let line = BASE64.encode([id.as_slice(), &signature.0].concat());
        format!("{text}\n\u{2014} {} {line}\n", self.origin)
    }

    /// Reads a signed note; unknown signatures are ignored, the log's own must hold.
    ///
    /// # Errors
    /// Fails if the note is malformed or the key `name` has not signed it.
    pub fn open(note: &str, name: &str, key: &VerifyKey) -> Result<Self, NoteError> {
        let end = note.rfind("\n\n").ok_or(NoteError::Form("a note without signatures"))?;
        let (text, signatures) = (&note[..=end], &note[end + 2..]);
        if !signatures.ends_with('\n') {
            return Err(NoteError::Form("a note that does not end with a line break"));
        }
        let id = key_id(name, key);
        let mut known = false;
        for line in signatures.lines() {
            let (signer, encoded) = line
                .strip_prefix("\u{2014} ")
                .and_then(|rest| rest.split_once(' '))
                .ok_or(NoteError::Form("a signature line that is malformed"))?;
            let bytes = BASE64.decode(encoded).map_err(|_| NoteError::Form("a signature that is not base64"))?;
            let (line_id, signature) =
                bytes.split_at_checked(4).ok_or(NoteError::Form("a signature that is too short"))?;
            if signer == name && line_id == id {
                let signature = signature.try_into().map(Signature).map_err(|_| NoteError::Signature(name.into()))?;
                if !key.verify_raw(text.as_bytes(), &signature) {
                    return Err(NoteError::Signature(name.into()));
                }
                known = true;
            }
        }
        if !known {
            return Err(NoteError::Signature(name.into()));
        }
        Self::parse(text)
    }

    fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(self.root.as_bytes()))
    }

    fn parse(text: &str) -> Result<Self, NoteError> {
        let wrong = NoteError::Form("a checkpoint that is not origin, size and root");
        let mut lines = text.lines();
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(wrong);
        };
        let number: u64 = size.parse().map_err(|_| wrong.clone())?;
        let root = BASE64.decode(root).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| wrong.clone())?;
        let checkpoint = Self { origin: origin.into(), size: number, root: Digest(root) };
        // The text is compared whole: no leading zeroes, no extension lines that this reader does not know.
        if checkpoint.text() == text { Ok(checkpoint) } else { Err(wrong) }
    }
}

fn typed(key: &VerifyKey) -> Vec<u8> {
    [&[ED25519], key.as_bytes().as_slice()].concat()
}

fn key_id(name: &str, key: &VerifyKey) -> [u8; 4] {
    let digest = Digest::of_bytes(&[name.as_bytes(), b"\n", &typed(key)].concat());
    [digest.0[0], digest.0[1], digest.0[2], digest.0[3]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use tally_crypto::seed::Seed;

    #[test]
    fn the_published_example_verifies() {
        // The example of Go's golang.org/x/mod/sumdb/note.
        let (name, key) = parse_vkey("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
        assert_eq!(name, "PeterNeumann");
        let text =
            "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
        let bytes = BASE64
            .decode("x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=")
            .unwrap();
        assert!(key.verify_raw(text.as_bytes(), &Signature(bytes[4..].try_into().unwrap())));
        assert_eq!(bytes[..4], key_id(&name, &key));
    }

    #[test]
    fn a_checkpoint_opens_under_its_key_only() {
        let key = SigningKey::from_seed(&Seed::new([1; 32]));
        let checkpoint = Checkpoint { origin: "bank-1".into(), size: 17, root: Digest([9; 32]) };
        let note = checkpoint.sign(&key);
        let public = key.verify_key();
        assert_eq!(Checkpoint::open(&note, "bank-1", &public), Ok(checkpoint));
        assert!(Checkpoint::open(&note.replace("17", "18"), "bank-1", &public).is_err());
        assert!(Checkpoint::open(&note, "bank-2", &public).is_err());
        let (name, read) = parse_vkey(&vkey("bank-1", &public)).unwrap();
        assert_eq!((name.as_str(), read), ("bank-1", public));
        assert!(parse_vkey("bank-1+00000000+AA==").is_err());
    }
}
