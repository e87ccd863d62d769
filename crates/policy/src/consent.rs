//! Consent: an immutable artefact, signed by the enterprise and countersigned by a registrar that is not the platform.
//!
//! Modelled on the consent artefact of India's account aggregators (ReBIT) and ISO/IEC TS 27560: who, to whom, for what,
//! which categories, which form, from when to when, how often. What is signed never changes: an amendment is a new
//! artefact that supersedes, everything else that happens to a consent is an [event](crate::event).

use serde::{Deserialize, Serialize};
use tally_crypto::sign::{Envelope, VerifyKey};
use tally_crypto::transcript::Digest;

use crate::{Day, Form, Level, Purpose};

/// Media type of a consent's payload.
pub const CONSENT_TYPE: &str = "application/vnd.tallystick.consent+json";

/// A consent, as the enterprise signs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// Format version, 1.
    pub version: u32,
    /// Unique name among the subject's consents, such as a UUID of version 7.
    pub consent_id: String,
    /// The consent of the same subject that this one amends.
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
    /// The application that a one-time consent belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// Categories of the sharing list; `*` is every category.
    pub categories: Vec<String>,
    /// Fields of these categories; all if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// The most sensitive level allowed.
    pub max_level: Level,
    /// The most open form allowed.
    pub form: Form,
    /// Days that the data may be of, `YYYY-MM-DD`; any if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Days>,
    /// When it was given, Unix milliseconds.
    pub granted: i64,
    /// From when it holds, Unix milliseconds; not before it was given.
    pub not_before: i64,
    /// Until when, Unix milliseconds.
    pub not_after: i64,
    /// How often.
    pub fetch: Fetch,
    /// Days after its end within which the grantee deletes what it got.
    pub data_life_days: u32,
    /// What the grantee may do with the data.
    pub mode: Mode,
    /// Whether the grantee may hand the data on.
    pub onward: Onward,
    /// The notice that was shown.
    pub notice: Notice,
    /// Where and how the subject withdraws.
    pub withdrawal: String,
}

/// What kind of subject.
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
    /// In which capacity.
    pub role: SignerRole,
    /// How the identity was checked, such as `e-licence`.
    pub assurance: String,
    /// Level of that check in the registrar's terms, such as `high`.
    pub assurance_level: String,
    /// The key that signed.
    pub key: VerifyKey,
    /// Digest of the agent's mandate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mandate: Option<Digest>,
    /// Digest of the certificate or electronic licence that binds the key to the signer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Digest>,
}

/// In which capacity somebody signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignerRole {
    /// Represents the enterprise by law.
    LegalRepresentative,
    /// Acts under a mandate.
    AuthorisedAgent,
    /// The natural person itself.
    Subject,
}

/// From one day to another, both included.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Days {
    /// First day.
    pub from: Day,
    /// Last day.
    pub to: Day,
}

/// How often data may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fetch {
    /// Once, for the application that the consent names.
    OneTime,
    /// As often as needed within the window.
    Standing,
    /// At most so often.
    Periodic {
        /// Uses in all.
        max_uses: u32,
        /// Least days between two uses.
        #[serde(default)]
        every_days: u32,
    },
}

/// What a grantee may do with data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Look at a result.
    View,
    /// Compute with it.
    Compute,
    /// Keep it for its data life.
    Store,
}

/// Whether data may be handed on: a set of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Onward {
    /// To nobody.
    Never,
}

/// The notice that the subject saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// Digest of its text.
    pub digest: Digest,
    /// Its version.
    pub version: String,
    /// Its language.
    pub language: String,
    /// When it was shown, Unix milliseconds; not after the consent was given.
    pub shown_at: i64,
}

impl Consent {
    /// The consent in an envelope without signatures.
    pub fn envelope(&self) -> Envelope {
        // Panic safety: the type holds only texts, numbers and lists.
        Envelope::new(CONSENT_TYPE, &serde_json::to_vec(self).expect("consents serialise"))
    }

    /// Checks the consent by itself, as of `now`.
    ///
    /// # Errors
    /// Says what does not hold, and the remedy.
    pub(crate) fn check(&self, now: i64) -> Result<(), String> {
        let one_time = self.fetch == Fetch::OneTime;
        let agent = self.signer.role == SignerRole::AuthorisedAgent;
        let person = self.signer.role == SignerRole::Subject;
        let holds = [
            (self.version == 1, "another version of the format: this build reads version 1"),
            (!self.consent_id.is_empty() && !self.subject.is_empty() && !self.grantee.is_empty(), "a name is empty"),
            (self.not_before < self.not_after, "its window ends before it begins: ask for a consent with a window"),
            (self.granted <= self.not_before, "back-dated: it would hold from before it was given; ask for a new one"),
            (self.granted <= now + CLOCK_SKEW, "given in the future: check the clocks of registrar and node"),
            (self.notice.shown_at <= self.granted, "given before its notice was shown: ask for a new one"),
            (!self.purposes.is_empty(), "names no purpose"),
            (!self.categories.is_empty(), "names no category: `*` is every category"),
            (!self.providers.is_empty(), "names no provider of the data"),
            (one_time == self.application.is_some(), "a one-time consent names its application, no other consent does"),
            (!agent || self.signer.mandate.is_some(), "an agent signed without a mandate: attach its digest"),
            (!person || self.subject_kind == SubjectKind::Person, "an enterprise is signed for by a representative"),
            (self.max_level != Level::L4, "level 4 is shared with nobody"),
            (!self.withdrawal.is_empty(), "does not say how to withdraw it"),
        ];
        match holds.into_iter().find(|(holds, _)| !holds) {
            Some((_, reason)) => Err(reason.into()),
            None => Ok(()),
        }
    }
}

impl Fetch {
    /// Uses allowed; `None` for any number.
    pub fn max_uses(&self) -> Option<u32> {
        match self {
            Self::OneTime => Some(1),
            Self::Standing => None,
            Self::Periodic { max_uses, .. } => Some(*max_uses),
        }
    }
}

/// How far another clock may be ahead, milliseconds.
pub(crate) const CLOCK_SKEW: i64 = 5 * 60 * 1000;
