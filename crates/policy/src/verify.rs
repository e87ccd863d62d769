//! Consents whose signatures hold. Many are checked at once: one combined equation for both signatures of each.
//!
//! The check is that of [`refuted`], for one consent as for a million, so that a consent holds alone if and only if it holds
//! in a file.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tally_crypto::sign::{Claim, Envelope, VerifyKey, refuted};
use tally_crypto::transcript::Digest;

use crate::consent::{CONSENT_TYPE, Consent};

/// A consent whose signatures were checked, by this node now or, if it comes from the node's own sealed store, earlier.
#[derive(Clone, Debug)]
pub struct VerifiedConsent {
    consent: Consent,
    digest: Digest,
    registrar: VerifyKey,
}

/// A consent as a node keeps it: the signed bytes, and who countersigned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptConsent {
    /// The envelope.
    pub document: String,
    /// The registrar whose signature was checked.
    pub registrar: VerifyKey,
}

/// Why a consent was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ConsentError {
    /// Line of the file, from 1.
    pub line: usize,
    /// What is wrong, and the remedy.
    pub reason: String,
}

/// Against whom and when consents are checked.
#[derive(Clone, Copy, Debug)]
pub struct Authority<'a> {
    /// Keys that may countersign.
    pub registrars: &'a [VerifyKey],
    /// Now, Unix milliseconds.
    pub now: i64,
}

/// Signatures checked together: as many as make one equation cheap, few enough for every core.
const TOGETHER: usize = 1024;

impl VerifiedConsent {
    /// Reads a consent signed by its own subject's key and by one of the registrars.
    ///
    /// # Errors
    /// Says what does not hold.
    pub fn open(document: &str, authority: Authority<'_>) -> Result<Self, String> {
        verify_chunk(&[document], authority)
            .map_err(|error| error.reason)
            .and_then(|mut all| all.pop().ok_or_else(|| "not a consent".into()))
    }

    /// A consent of the node's own sealed store, where it was put after [`VerifiedConsent::open`]; `None` if its registrar
    /// is one no more.
    ///
    /// # Errors
    /// Says what cannot be read.
    pub fn kept(kept: &KeptConsent, registrars: &[VerifyKey]) -> Result<Option<Self>, String> {
        if !registrars.contains(&kept.registrar) {
            return Ok(None);
        }
        let (consent, payload, _) = read(&kept.document)?;
        Ok(Some(Self { consent, digest: Digest::of_bytes(&payload), registrar: kept.registrar }))
    }

    /// The terms.
    pub fn consent(&self) -> &Consent {
        &self.consent
    }

    /// Names the consent: digest of the signed payload.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Who countersigned.
    pub fn registrar(&self) -> VerifyKey {
        self.registrar
    }
}

/// Reads many consents on every core.
///
/// # Errors
/// Names the first line that does not hold.
pub fn verify_all(
    lines: &[impl AsRef<str> + Sync],
    authority: Authority<'_>,
) -> Result<Vec<VerifiedConsent>, ConsentError> {
    let chunks: Vec<_> = lines.par_chunks(TOGETHER).map(|chunk| verify_chunk(chunk, authority)).collect();
    let mut verified = Vec::with_capacity(lines.len());
    for (place, chunk) in chunks.into_iter().enumerate() {
        verified.extend(chunk.map_err(|error| ConsentError { line: place * TOGETHER + error.line, ..error })?);
    }
    Ok(verified)
}

fn verify_chunk(lines: &[impl AsRef<str>], authority: Authority<'_>) -> Result<Vec<VerifiedConsent>, ConsentError> {
    let mut verified = Vec::with_capacity(lines.len());
    let mut claims = Vec::with_capacity(2 * lines.len());
    let mut unread = None;
    for (place, line) in lines.iter().enumerate() {
        match claim(line.as_ref(), authority) {
            Ok((consent, [enterprise, registrar])) => {
                verified.push(consent);
                claims.extend([enterprise, registrar]);
            }
            Err(reason) => {
                unread = Some(ConsentError { line: place + 1, reason });
                break;
            }
        }
    }
    match (refuted(&claims).first(), unread) {
        (Some(place), _) => {
            let reason = match place % 2 {
                0 => "the enterprise's signature does not hold: ask it to sign again",
                _ => "the registrar's signature does not hold: register the consent again",
            };
            Err(ConsentError { line: place / 2 + 1, reason: reason.into() })
        }
        (None, Some(error)) => Err(error),
        (None, None) => Ok(verified),
    }
}

/// The consent of a line, and the two signatures that make it one.
fn claim(document: &str, authority: Authority<'_>) -> Result<(VerifiedConsent, [Claim; 2]), String> {
    let (consent, payload, envelope) = read(document)?;
    consent.check(authority.now)?;
    let text = envelope.signed_text().map_err(|error| error.to_string())?;
    let signed = |key: &VerifyKey| {
        let id = key.id();
        let signature = envelope.signatures.iter().find(|one| one.keyid == id)?;
        Some(Claim::raw(key, &text, &signature.sig))
    };
    let enterprise = signed(&consent.signer.key)
        .ok_or("it lacks the enterprise's signature: ask it to sign with the key that it names")?;
    let found = authority.registrars.iter().find_map(|key| Some((*key, signed(key)?)));
    let (registrar, countersigned) =
        found.ok_or("not countersigned by a registrar of the registry: register the consent first")?;
    let digest = Digest::of_bytes(&payload);
    Ok((VerifiedConsent { consent, digest, registrar }, [enterprise, countersigned]))
}

fn read(document: &str) -> Result<(Consent, Vec<u8>, Envelope), String> {
    let envelope: Envelope =
        serde_json::from_str(document).map_err(|error| format!("not a signed consent: {error}"))?;
    if envelope.payload_type != CONSENT_TYPE {
        return Err(format!("a document of type `{}`, not a consent", envelope.payload_type));
    }
    let payload = envelope.unverified_payload().map_err(|error| error.to_string())?;
    let consent = serde_json::from_slice(&payload).map_err(|error| format!("not a consent of version 1: {error}"))?;
    Ok((consent, payload, envelope))
}
