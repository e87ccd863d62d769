//! Checkpoints: notes that state a tree's size and root.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tally_crypto::sign::{SigningKey, VerifyKey};
use tally_crypto::transcript::Digest;

use super::{ED25519, LogSigner, Note, NoteError, VerifierKey, parse_decimal, parse_hash, standard_verifier};

/// What a checkpoint states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the log.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root over them.
    pub root: Digest,
    /// Further lines, of no meaning here; ours have none.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// A checkpoint without extension lines.
    pub fn new(origin: &str, size: u64, root: Digest) -> Self {
        Self { origin: origin.into(), size, root, extensions: Vec::new() }
    }

    /// The text that is signed.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(self.root.as_bytes()));
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Reads the text of a note.
    ///
    /// # Errors
    /// Fails unless it is origin, size and root, and perhaps extension lines, spelled in the one permitted way.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let read = || {
            let mut lines = text.strip_suffix('\n')?.split('\n');
            let (origin, size, root) = (lines.next()?, parse_decimal(lines.next()?)?, parse_hash(lines.next()?)?);
            let extensions: Vec<_> = lines.map(String::from).collect();
            let full = !origin.is_empty() && extensions.iter().all(|line| !line.is_empty());
            full.then(|| Self { origin: origin.into(), size, root, extensions })
        };
        read().ok_or(NoteError::Form("a checkpoint that is not origin, size and root"))
    }

    /// The note of this checkpoint, signed by the log.
    pub fn sign(&self, key: &SigningKey) -> String {
        let mut note = Note { text: self.text(), signatures: Vec::new() };
        note.sign(&LogSigner::new(&self.origin, key), 0);
        note.to_string()
    }

    /// Reads a signed note; unknown signatures are ignored, the log's own must hold.
    ///
    /// # Errors
    /// Fails if the note is malformed or the key `name` has not signed it.
    pub fn open(note: &str, name: &str, key: &VerifyKey) -> Result<Self, NoteError> {
        Self::open_note(&Note::parse(note)?, name, key)
    }

    /// As [`Checkpoint::open`], for a note that was read before.
    ///
    /// # Errors
    /// Fails if the key `name` has not signed it, or the text is no checkpoint.
    pub fn open_note(note: &Note, name: &str, key: &VerifyKey) -> Result<Self, NoteError> {
        let unsigned = || NoteError::Signature(name.into());
        let verifier = standard_verifier(&VerifierKey::ed25519(name, ED25519, key)).ok_or_else(unsigned)?;
        note.verify_one(verifier.as_ref())?.ok_or_else(unsigned)?;
        Self::parse(note.text())
    }
}
