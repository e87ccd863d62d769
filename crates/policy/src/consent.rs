//! Consent: an immutable artefact, signed by the enterprise and countersigned by a registrar that is not the platform.
//!
//! Modelled on the consent artefact of India's account aggregators (ReBIT) and ISO/IEC TS 27560: who, to whom, for what,
//! which categories, which form, from when to when, how often. What is signed never changes; an amendment is a new
//! artefact that supersedes.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tally_crypto::sign::{Envelope, VerifyKey};
use tally_crypto::transcript::Digest;

use crate::{Form, Purpose};

/// Media type of a consent's payload.
pub const CONSENT_TYPE: &str = "application/vnd.tallystick.consent+json";

/// A consent, as the enterprise signs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// Random name.
    pub consent_id: String,
    /// Format version, 1.
    pub version: u32,
    /// The consent that this one replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<String>,
    /// What kind of subject.
    pub subject_kind: SubjectKind,
    /// Canonical identifier of the subject.
    pub subject: String,
    /// Who signed for it.
    pub signer: Signer,
    /// The one institution that may use the data.
    pub grantee: String,
    /// Whose data.
    pub providers: Vec<String>,
    /// What for.
    pub purposes: Vec<Purpose>,
    /// Categories of the sharing list; `*` is every category.
    pub categories: Vec<String>,
    /// The most open form allowed.
    pub form: Form,
    /// From when, Unix milliseconds.
    pub not_before: i64,
    /// Until when, Unix milliseconds.
    pub not_after: i64,
    /// How often.
    pub fetch: Fetch,
    /// Days after which the grantee deletes what it got.
    pub data_life_days: u32,
    /// The notice that was shown.
    pub notice: Notice,
}

/// What kind of subject consents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectKind {
    /// A company.
    Enterprise,
    /// A sole trader: personal information law applies.
    SoleTrader,
    /// A natural person.
    Person,
}

/// Who signed, and how sure the registrar is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signer {
    /// `legal-representative` or `authorised-agent`.
    pub role: String,
    /// How the identity was checked, such as `e-licence`.
    pub assurance: String,
    /// The key that signed.
    pub key: VerifyKey,
}

/// How often data may be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fetch {
    /// Once.
    OneTime,
    /// As often as needed within the window.
    Standing,
    /// At most so often.
    Periodic {
        /// Uses in all.
        max_uses: u32,
    },
}

/// The notice that the enterprise saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// Digest of its text.
    pub digest: Digest,
    /// Its version.
    pub version: String,
    /// Its language.
    pub language: String,
}

/// A consent whose signatures were checked; only verification makes one.
#[derive(Clone, Debug)]
pub struct VerifiedConsent {
    consent: Consent,
    digest: Digest,
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

impl Consent {
    /// The consent in an envelope without signatures.
    pub fn envelope(&self) -> Envelope {
        // Panic safety: the type holds only texts, numbers and lists.
        Envelope::new(CONSENT_TYPE, &serde_json::to_vec(self).expect("consents serialise"))
    }

    /// Uses that the consent allows; `None` for any number.
    pub fn max_uses(&self) -> Option<u64> {
        match self.fetch {
            Fetch::OneTime => Some(1),
            Fetch::Standing => None,
            Fetch::Periodic { max_uses } => Some(max_uses.into()),
        }
    }
}

impl VerifiedConsent {
    /// Reads a consent signed by its own subject's key and by one of `registrars`.
    ///
    /// # Errors
    /// Says what does not hold.
    pub fn open(document: &str, registrars: &[VerifyKey]) -> Result<Self, String> {
        let envelope: Envelope =
            serde_json::from_str(document).map_err(|error| format!("not a signed consent: {error}"))?;
        let payload = envelope.unverified_payload().map_err(|error| error.to_string())?;
        let consent: Consent =
            serde_json::from_slice(&payload).map_err(|error| format!("not a consent of version 1: {error}"))?;
        envelope
            .open(CONSENT_TYPE, &[consent.signer.key])
            .map_err(|error| format!("the enterprise's signature does not hold ({error}): ask it to sign again"))?;
        if !registrars.iter().any(|registrar| envelope.open(CONSENT_TYPE, &[*registrar]).is_ok()) {
            return Err("not countersigned by a registrar of the registry: register the consent first".into());
        }
        if consent.version != 1 || consent.not_after <= consent.not_before {
            return Err("another version, or a window that ends before it begins".into());
        }
        Ok(Self { consent, digest: Digest::of_bytes(&payload) })
    }

    /// The terms.
    pub fn consent(&self) -> &Consent {
        &self.consent
    }

    /// Names the consent: digest of the signed payload.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// Reads many consents on every core.
///
/// # Errors
/// Names the first line that does not hold.
pub fn verify_all(
    lines: &[impl AsRef<str> + Sync],
    registrars: &[VerifyKey],
) -> Result<Vec<VerifiedConsent>, ConsentError> {
    let open = |(place, line): (usize, &_)| {
        let line: &str = AsRef::as_ref(line);
        VerifiedConsent::open(line, registrars).map_err(|reason| ConsentError { line: place + 1, reason })
    };
    lines.par_iter().enumerate().map(|(place, line)| open((place, line))).collect::<Vec<_>>().into_iter().collect()
}
