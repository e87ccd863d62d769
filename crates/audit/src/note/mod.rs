//! Signed notes, verifier keys, checkpoints and cosignatures (C2SP signed-note v1.0.0, tlog-checkpoint v1.0.0,
//! tlog-cosignature v1.0.1).
//!
//! A note is a text and lines of signatures. Which algorithms count is a matter of the [`Verifier`]s that a reader brings:
//! lines of other keys are ignored, a wrong line of a key that is brought refuses the note.

mod checkpoint;
mod key;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tally_crypto::sign::VerifyKey;
use tally_crypto::transcript::Digest;

pub use checkpoint::Checkpoint;
pub use key::{
    COSIGNATURE, Cosigner, ED25519, KeyId, LogSigner, ML_DSA_44, OWN, OpenKey, Signed, Signer, Verifier, VerifierKey,
    standard_verifier,
};

/// Most signature lines that a note may have; the standard demands room for 16.
const MOST_SIGNATURES: usize = 100;

/// Longest note, in bytes.
const LONGEST: usize = 1 << 20;

/// A text with signatures, of which none is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What is signed, with its last line break.
    text: String,
    /// The signatures, in the order of their lines.
    pub signatures: Vec<SignatureLine>,
}

/// One line of signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureLine {
    /// Name of the key.
    pub name: String,
    /// Its short number.
    pub id: KeyId,
    /// The signature, in the form of its type.
    pub signature: Vec<u8>,
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

impl Note {
    /// A note without signatures yet.
    ///
    /// # Errors
    /// Fails unless the text ends in a line break and has no control characters.
    pub fn new(text: String) -> Result<Self, NoteError> {
        if !text.ends_with('\n') {
            return Err(NoteError::Form("a note whose text does not end with a line break"));
        }
        refuse_control(&text)?;
        Ok(Self { text, signatures: Vec::new() })
    }

    /// Reads a note; no signature is verified.
    ///
    /// # Errors
    /// Says what is malformed.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > LONGEST {
            return Err(NoteError::Form("a note that is longer than a mebibyte"));
        }
        refuse_control(note)?;
        let end = note.rfind("\n\n").ok_or(NoteError::Form("a note without signatures"))?;
        let (text, lines) = (&note[..=end], &note[end + 2..]);
        let signatures = SignatureLine::parse_all(lines)?;
        if signatures.is_empty() {
            return Err(NoteError::Form("a note without signatures"));
        }
        Ok(Self { text: text.into(), signatures })
    }

    /// What is signed, with its last line break.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Adds the signature of `signer`; `time` in seconds since 1970, for types that state it.
    pub fn sign(&mut self, signer: &dyn Signer, time: u64) {
        let signature = signer.sign(&self.text, time);
        self.add(SignatureLine { name: signer.name().into(), id: signer.id(), signature });
    }

    /// Adds a line; an earlier line of the same key is replaced.
    pub fn add(&mut self, line: SignatureLine) {
        self.signatures.retain(|known| (&known.name, known.id) != (&line.name, line.id));
        self.signatures.push(line);
    }

    /// What each of `verifiers` has signed here, in their order; `None` for a key without a line.
    ///
    /// # Errors
    /// Refuses the note if any line of a verifier's key is wrong; lines of other keys are ignored.
    pub fn verify(&self, verifiers: &[&dyn Verifier]) -> Result<Vec<Option<Signed>>, NoteError> {
        verifiers.iter().map(|verifier| self.verify_one(*verifier)).collect()
    }

    /// What `verifier` has signed here; `None` without a line of its key.
    pub(crate) fn verify_one(&self, verifier: &dyn Verifier) -> Result<Option<Signed>, NoteError> {
        let mut signed = None;
        for line in &self.signatures {
            if line.name == verifier.name() && line.id == verifier.id() {
                let valid = verifier.verify(&self.text, &line.signature);
                signed = Some(valid.ok_or_else(|| NoteError::Signature(line.name.clone()))?);
            }
        }
        Ok(signed)
    }
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| write!(f, "{line}"))
    }
}

impl SignatureLine {
    /// Reads lines of signatures, each with its line break.
    ///
    /// # Errors
    /// Says what is malformed.
    pub fn parse_all(lines: &str) -> Result<Vec<Self>, NoteError> {
        if !lines.is_empty() && !lines.ends_with('\n') {
            return Err(NoteError::Form("a note that does not end with a line break"));
        }
        // Not `lines()`, which takes a carriage return for part of the break.
        let signatures: Vec<_> = lines.split_terminator('\n').map(Self::parse).collect::<Result<_, _>>()?;
        if signatures.len() > MOST_SIGNATURES {
            return Err(NoteError::Form("a note with more than a hundred signatures"));
        }
        Ok(signatures)
    }

    fn parse(line: &str) -> Result<Self, NoteError> {
        let (name, encoded) = line
            .strip_prefix("\u{2014} ")
            .and_then(|rest| rest.split_once(' '))
            .filter(|(name, _)| key::is_name(name))
            .ok_or(NoteError::Form("a signature line that is malformed"))?;
        let bytes = BASE64.decode(encoded).map_err(|_| NoteError::Form("a signature that is not base64"))?;
        match bytes.split_first_chunk() {
            Some((id, signature)) if !signature.is_empty() => {
                Ok(Self { name: name.into(), id: KeyId(*id), signature: signature.into() })
            }
            _ => Err(NoteError::Form("a signature that is too short")),
        }
    }
}

impl std::fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = [self.id.0.as_slice(), &self.signature].concat();
        writeln!(f, "\u{2014} {} {}", self.name, BASE64.encode(bytes))
    }
}

/// The verifier key text of a log's `key` under `name`: `name+id+base64(type || key)`.
pub fn vkey(name: &str, key: &VerifyKey) -> String {
    VerifierKey::ed25519(name, ED25519, key).to_string()
}

/// Reads a log's Ed25519 verifier key: its name and key.
///
/// # Errors
/// Fails unless the text is an Ed25519 verifier key whose id fits.
pub fn parse_vkey(text: &str) -> Result<(String, VerifyKey), NoteError> {
    let read: VerifierKey = text.trim().parse()?;
    match read.ed25519_key() {
        Some(key) if read.kind() == ED25519 => Ok((read.name().into(), key)),
        _ => Err(NoteError::Form("not an Ed25519 verifier key: name+id+key")),
    }
}

/// A digest as a line of base64.
pub(crate) fn hash_line(hash: &Digest) -> String {
    format!("{}\n", BASE64.encode(hash.as_bytes()))
}

/// Reads a digest in base64, without its line break.
pub(crate) fn parse_hash(text: &str) -> Option<Digest> {
    BASE64.decode(text).ok()?.try_into().ok().map(Digest)
}

/// Reads a decimal number without sign and leading zeroes.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|digit| digit.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

fn refuse_control(text: &str) -> Result<(), NoteError> {
    let control = |byte: u8| byte < b' ' && byte != b'\n';
    if text.bytes().any(control) { Err(NoteError::Form("a note with control characters")) } else { Ok(()) }
}
