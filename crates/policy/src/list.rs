//! The sharing list: which field a department shares, at which level, in which forms, for which purposes.
//!
//! JSON in a DSSE envelope signed by the list authority. A field that is not on the list does not exist for a session.

use serde::{Deserialize, Serialize};
use tally_crypto::sign::{Envelope, EnvelopeError, VerifyKey};
use tally_crypto::transcript::Digest;
use tally_model::text::Text;

use crate::Purpose;

/// Media type of a list's payload.
pub const LIST_TYPE: &str = "application/vnd.tallystick.sharing-list+json";

/// Sensitivity of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// Public.
    L1,
    /// Internal, shared with consent.
    L2,
    /// Sensitive: never leaves its holder.
    L3,
    /// Never takes part.
    L4,
}

/// Form in which a field travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// As it is.
    Raw,
    /// As codes of bins, so many together that they may tell one enterprise from all others: a form of consents only.
    BinnedVector,
    /// As the code of a bin, under a row key.
    Binned,
    /// Not at all: sums and final scores only.
    Sealed,
}

/// A list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharingList {
    /// Version; a higher one replaces a lower one for new sessions.
    pub version: u32,
    /// Whose list.
    pub city: Text,
    /// Date of issue, ISO 8601.
    pub issued: String,
    /// The fields.
    pub fields: Vec<ListField>,
}

/// A field on the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListField {
    /// Name.
    pub name: String,
    /// Name for people.
    pub title: Text,
    /// Department that is answerable for it.
    pub owner: String,
    /// Category that consents name.
    pub category: String,
    /// Sensitivity.
    pub level: Level,
    /// Numbers or categories.
    pub kind: FieldKind,
    /// Forms in which it may travel.
    pub forms: Vec<Form>,
    /// Purposes that it may be used for.
    pub purposes: Vec<Purpose>,
    /// Days after which the department must have refreshed it.
    pub refresh_days: u32,
}

/// Numbers or categories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum FieldKind {
    /// Numbers.
    Numeric,
    /// One of these values.
    Category {
        /// The values, in code order.
        values: Vec<String>,
    },
}

/// A list whose signature and rules were checked; only [`SharingList::open`] makes one.
#[derive(Clone, Debug)]
pub struct SignedList {
    list: SharingList,
    digest: Digest,
}

/// Why a list was refused.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The envelope does not hold.
    #[error("sharing list: {0}: ask the list authority for a signed list")]
    Envelope(#[from] EnvelopeError),
    /// No authority of the consortium has signed it.
    #[error("sharing list: not signed by a list authority of the registry: ask the list authority for a signed list")]
    Authority,
    /// The payload is not a list.
    #[error("sharing list: the payload is not a list: {0}")]
    Format(String),
    /// A field breaks a rule.
    #[error("sharing list, field `{field}`: {reason}")]
    Field {
        /// The field.
        field: String,
        /// The rule.
        reason: &'static str,
    },
}

impl FieldKind {
    /// The values of a category, in code order; none for numbers.
    pub fn values(&self) -> &[String] {
        match self {
            Self::Numeric => &[],
            Self::Category { values } => values,
        }
    }
}

impl SharingList {
    /// The list in an envelope without signatures.
    pub fn envelope(&self) -> Envelope {
        // Panic safety: the type holds only texts, numbers and lists.
        Envelope::new(LIST_TYPE, &serde_json::to_vec(self).expect("lists serialise"))
    }

    /// Reads a list that one of `authorities` has signed.
    ///
    /// # Errors
    /// Names the missing signature or the field that breaks a rule.
    pub fn open(envelope: &Envelope, authorities: &[VerifyKey]) -> Result<SignedList, ListError> {
        let payload = authorities
            .iter()
            .find_map(|authority| envelope.open(LIST_TYPE, &[*authority]).ok())
            .ok_or(ListError::Authority)?;
        let list: SharingList =
            serde_json::from_slice(&payload).map_err(|error| ListError::Format(error.to_string()))?;
        list.check()?;
        Ok(SignedList { list, digest: Digest::of_bytes(&payload) })
    }

    fn check(&self) -> Result<(), ListError> {
        for (place, field) in self.fields.iter().enumerate() {
            let refuse = |reason| Err(ListError::Field { field: field.name.clone(), reason });
            if self.fields[..place].iter().any(|other| other.name == field.name) {
                return refuse("stands twice");
            }
            match field.level {
                Level::L4 if !field.forms.is_empty() => return refuse("level 4 never takes part, in no form"),
                Level::L3 if field.forms.iter().any(|form| *form != Form::Sealed) => {
                    return refuse("level 3 takes part sealed only");
                }
                Level::L2 if field.forms.contains(&Form::Raw) => return refuse("level 2 does not travel raw"),
                _ => {}
            }
        }
        Ok(())
    }
}

impl SignedList {
    /// Version.
    pub fn version(&self) -> u32 {
        self.list.version
    }

    /// Digest of the signed payload.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The fields.
    pub fn fields(&self) -> &[ListField] {
        &self.list.fields
    }

    /// A field by name.
    pub fn field(&self, name: &str) -> Option<&ListField> {
        self.list.fields.iter().find(|field| field.name == name)
    }

    /// The whole list.
    pub fn list(&self) -> &SharingList {
        &self.list
    }
}
