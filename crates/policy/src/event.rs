//! What happens to a consent after it was given: signed events, each chained to the one before.
//!
//! An event names its predecessor (the first one the consent itself), so that none can be left out, put in another order or
//! played again: a `resume` of last year does not undo today's `pause`. That a consent expires or is used up needs no
//! event; it follows from the artefact and the uses counted.

use serde::{Deserialize, Serialize};
use tally_crypto::sign::{Envelope, VerifyKey};
use tally_crypto::transcript::Digest;

/// Media type of an event's payload.
pub const EVENT_TYPE: &str = "application/vnd.tallystick.consent-event+json";

/// Something that a subject, or a registrar for it, does to a consent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsentEvent {
    /// Format version, 1.
    pub version: u32,
    /// The consent.
    pub consent: Digest,
    /// Digest of the event before; of the consent for its first event.
    pub previous: Digest,
    /// What happens.
    pub kind: EventKind,
    /// When, Unix milliseconds.
    pub time: i64,
    /// Why, in the registrar's words; no names.
    #[serde(default)]
    pub reason: String,
    /// Who signs: the consent's signer, or a registrar.
    pub key: VerifyKey,
}

/// What happens to a consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// It does not hold until resumed.
    Pause,
    /// It holds again.
    Resume,
    /// It never holds again.
    Revoke,
}

/// An event whose signature was checked; whether it fits the consent, the register knows.
#[derive(Clone, Debug)]
pub struct VerifiedEvent {
    event: ConsentEvent,
    digest: Digest,
}

impl ConsentEvent {
    /// The event in an envelope without signatures.
    pub fn envelope(&self) -> Envelope {
        // Panic safety: the type holds only texts, numbers and digests.
        Envelope::new(EVENT_TYPE, &serde_json::to_vec(self).expect("events serialise"))
    }
}

impl VerifiedEvent {
    /// Reads an event that the key which it names has signed.
    ///
    /// # Errors
    /// Says what does not hold.
    pub fn open(document: &str) -> Result<Self, String> {
        let envelope: Envelope =
            serde_json::from_str(document).map_err(|error| format!("not a signed consent event: {error}"))?;
        let payload = envelope.unverified_payload().map_err(|error| error.to_string())?;
        if envelope.payload_type != EVENT_TYPE {
            return Err(format!("a document of type `{}`, not a consent event", envelope.payload_type));
        }
        let event: ConsentEvent =
            serde_json::from_slice(&payload).map_err(|error| format!("not an event of version 1: {error}"))?;
        if event.version != 1 {
            return Err("another version of the format: this build reads version 1".into());
        }
        envelope.open(EVENT_TYPE, &[event.key]).map_err(|error| format!("the signature does not hold: {error}"))?;
        Ok(Self { event, digest: Digest::of_bytes(&payload) })
    }

    /// What happens.
    pub fn event(&self) -> &ConsentEvent {
        &self.event
    }

    /// Names the event: digest of the signed payload.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl std::fmt::Display for EventKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Revoke => "revoke",
        })
    }
}
