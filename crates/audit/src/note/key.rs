//! Keys of notes: their text form, and what signs and verifies with them.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tally_crypto::sign::{Signature, SigningKey, VerifyKey};
use tally_crypto::transcript::Digest;

use super::NoteError;

/// Type of Ed25519 over the note text.
pub const ED25519: u8 = 0x01;
/// Type of a timestamped Ed25519 cosignature.
pub const COSIGNATURE: u8 = 0x04;
/// Type of a timestamped ML-DSA-44 cosignature.
pub const ML_DSA_44: u8 = 0x06;
/// Types without a number of their own: a longer identifier follows the byte.
pub const OWN: u8 = 0xff;

/// Short number of a key: the first four bytes of `SHA-256(name || 0x0A || type || public key)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 4]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// What a valid signature states beside the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    /// When it was made, in seconds since 1970, for types that say so.
    pub time: Option<u64>,
}

/// Verifies lines of one key.
pub trait Verifier: Send + Sync {
    /// Name of the key.
    fn name(&self) -> &str;
    /// Its short number.
    fn id(&self) -> KeyId;
    /// What `signature` states about `text`; `None` if it is not this key's.
    fn verify(&self, text: &str, signature: &[u8]) -> Option<Signed>;
}

/// Signs with one key.
pub trait Signer: Send {
    /// Name of the key.
    fn name(&self) -> &str;
    /// Its short number.
    fn id(&self) -> KeyId;
    /// The signature over `text`; `time`, in seconds since 1970, for types that state it.
    fn sign(&self, text: &str, time: u64) -> Vec<u8>;
}

/// Opens keys of the types that a reader knows.
pub type OpenKey<'a> = &'a dyn Fn(&VerifierKey) -> Option<Box<dyn Verifier>>;

/// The text form of a public key, of whatever type: `<name>+<id>+<base64(type || key)>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: KeyId,
    kind: u8,
    key: Vec<u8>,
}

impl VerifierKey {
    /// A key of `kind`, numbered as the standard recommends.
    ///
    /// # Errors
    /// Fails if the name is empty or has white space or a plus sign.
    pub fn new(name: &str, kind: u8, key: &[u8]) -> Result<Self, NoteError> {
        let wrong = NoteError::Form("a key's name that is empty or has white space or a plus sign");
        let known = Self { name: name.into(), id: key_id(name, kind, key), kind, key: key.into() };
        if is_name(name) { Ok(known) } else { Err(wrong) }
    }

    pub(super) fn ed25519(name: &str, kind: u8, key: &VerifyKey) -> Self {
        let key = key.as_bytes();
        Self { name: name.into(), id: key_id(name, kind, key), kind, key: key.into() }
    }

    /// Name of the key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its short number.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Type of its signatures.
    pub fn kind(&self) -> u8 {
        self.kind
    }

    /// The public key, in the form of its type.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The public key, if it is one of Ed25519.
    pub fn ed25519_key(&self) -> Option<VerifyKey> {
        let key = self.key.as_slice().try_into().ok()?;
        matches!(self.kind, ED25519 | COSIGNATURE).then(|| VerifyKey::from_bytes(key)).flatten()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let typed = [&[self.kind], self.key.as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, self.id, BASE64.encode(typed))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let wrong = NoteError::Form("not a verifier key: name+id+key");
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(typed)) = (parts.next(), parts.next(), parts.next()) else { return Err(wrong) };
        let bytes = BASE64.decode(typed).map_err(|_| wrong.clone())?;
        let Some((kind, key)) = bytes.split_first().filter(|(_, key)| !key.is_empty()) else { return Err(wrong) };
        let mut number = [0; 4];
        hex::decode_to_slice(id, &mut number).map_err(|_| wrong.clone())?;
        let read = Self { name: name.into(), id: KeyId(number), kind: *kind, key: key.into() };
        // The standard only recommends how keys are numbered; the types that are verified here demand it.
        let numbered = read.id == key_id(name, *kind, key) || !matches!(*kind, ED25519 | COSIGNATURE | ML_DSA_44);
        let sound = !matches!(*kind, ED25519 | COSIGNATURE) || read.ed25519_key().is_some();
        // Compared whole: hexadecimal in capitals is another text.
        if is_name(name) && numbered && sound && read.to_string() == text { Ok(read) } else { Err(wrong) }
    }
}

/// The verifier of a key whose type this crate knows: Ed25519 over the text, and Ed25519 cosignatures.
pub fn standard_verifier(key: &VerifierKey) -> Option<Box<dyn Verifier>> {
    let public = key.ed25519_key()?;
    Some(Box::new(Ed25519Verifier { public, timestamped: key.kind == COSIGNATURE, key: key.clone() }))
}

struct Ed25519Verifier {
    key: VerifierKey,
    public: VerifyKey,
    timestamped: bool,
}

impl Verifier for Ed25519Verifier {
    fn name(&self) -> &str {
        self.key.name()
    }

    fn id(&self) -> KeyId {
        self.key.id()
    }

    fn verify(&self, text: &str, signature: &[u8]) -> Option<Signed> {
        if !self.timestamped {
            let signature = Signature(signature.try_into().ok()?);
            return self.public.verify_raw(text.as_bytes(), &signature).then_some(Signed { time: None });
        }
        let (time, signature) = signature.split_first_chunk()?;
        let (time, signature) = (u64::from_be_bytes(*time), Signature(signature.try_into().ok()?));
        let holds = i64::try_from(time).is_ok() && self.public.verify_raw(cosigned(text, time).as_bytes(), &signature);
        holds.then_some(Signed { time: Some(time) })
    }
}

/// A log's own key: Ed25519 over the text of its checkpoints.
pub struct LogSigner<'a> {
    name: String,
    key: &'a SigningKey,
}

impl<'a> LogSigner<'a> {
    /// The signer of the log called `name`.
    pub fn new(name: &str, key: &'a SigningKey) -> Self {
        Self { name: name.into(), key }
    }
}

impl Signer for LogSigner<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> KeyId {
        key_id(&self.name, ED25519, self.key.verify_key().as_bytes())
    }

    fn sign(&self, text: &str, _time: u64) -> Vec<u8> {
        self.key.sign_raw(text.as_bytes()).0.to_vec()
    }
}

/// A witness's key: timestamped Ed25519 cosignatures.
///
/// What is signed does not hold the cosigner's name, so a key serves one name only.
pub struct Cosigner {
    name: String,
    key: SigningKey,
}

impl Cosigner {
    /// The cosigner called `name`.
    ///
    /// # Errors
    /// Fails if the name is empty or has white space or a plus sign.
    pub fn new(name: &str, key: SigningKey) -> Result<Self, NoteError> {
        VerifierKey::new(name, COSIGNATURE, key.verify_key().as_bytes())?;
        Ok(Self { name: name.into(), key })
    }

    /// Its public key.
    pub fn verifier_key(&self) -> VerifierKey {
        VerifierKey::ed25519(&self.name, COSIGNATURE, &self.key.verify_key())
    }
}

impl Signer for Cosigner {
    fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> KeyId {
        self.verifier_key().id()
    }

    fn sign(&self, text: &str, time: u64) -> Vec<u8> {
        // The standard allows no larger time; this one is 292 billion years away.
        let time = time.min(i64::MAX.unsigned_abs());
        [time.to_be_bytes().as_slice(), &self.key.sign_raw(cosigned(text, time).as_bytes()).0].concat()
    }
}

/// What a cosigner signs: two lines, then the whole text.
fn cosigned(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// True for what may name a key.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|letter: char| letter.is_whitespace() || letter == '+')
}

fn key_id(name: &str, kind: u8, key: &[u8]) -> KeyId {
    let digest = Digest::of_bytes(&[name.as_bytes(), b"\n", &[kind], key].concat());
    KeyId([digest.0[0], digest.0[1], digest.0[2], digest.0[3]])
}
