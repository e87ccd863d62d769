//! The sharing list: which field a department shares, at which level, in which forms, for which purposes, from when to when.
//!
//! JSON in a DSSE envelope signed by the list authority. A field that is not on the list does not exist for a session.
//!
//! A form that the list names permits every more closed one, as far as the level goes: what may travel raw may travel
//! binned. Every version is kept ([`ListHistory`]): a session goes on under the version that its contract names, a later one
//! rules the sessions proposed after it. Only a field that the newest version puts at level 4 is refused everywhere at once.

mod difference;
mod history;
#[cfg(test)]
pub(crate) mod tests;

pub use difference::{Change, difference};
pub use history::{HistoryError, ListHistory};

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tally_crypto::sign::{Envelope, VerifyKey};
use tally_crypto::transcript::Digest;
use tally_model::text::Text;

use crate::{Condition, Day, Purpose};

/// Media type of a list's payload.
pub const LIST_TYPE: &str = "application/vnd.tallystick.sharing-list+json";

/// Most values of a category: enough for the industries of GB/T 4754 (about 1,400) and the counties of GB/T 2260 (about
/// 3,000). More would be names rather than kinds, and nearly every cell of a sum would be folded into another.
pub const MOST_CATEGORIES: usize = 4096;

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
    /// Day of issue.
    pub issued: Day,
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
    /// Forms in which it may travel; none at level 4.
    pub forms: Vec<Form>,
    /// Purposes that it may be used for.
    pub purposes: Vec<Purpose>,
    /// First day on which it is shared; from ever if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Day>,
    /// Last day on which it is shared; for good if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Day>,
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
    /// Nobody has signed it.
    #[error("sharing list: not signed: ask the list authority for a signed list")]
    Unsigned,
    /// No authority of the consortium has signed it, or its content was changed after it was signed.
    #[error(
        "sharing list: no list authority of the registry has signed this content: ask the list authority for a signed \
         list, or the consortium to appoint the authority"
    )]
    Authority,
    /// The payload is not a list.
    #[error("sharing list: the payload is not a list: {0}: ask the list authority to correct it")]
    Format(String),
    /// A field breaks a rule.
    #[error("sharing list, field `{field}`: {reason}")]
    Field {
        /// The field, or its place where it has no name.
        field: String,
        /// The rule, and the remedy.
        reason: String,
    },
}

impl std::fmt::Display for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::BinnedVector => "binned-vector",
            Self::Binned => "binned",
            Self::Sealed => "sealed",
        })
    }
}

impl Level {
    /// Level of a set of fields: the highest of them; `None` without fields. A set is as sensitive as its most sensitive
    /// field (JR/T 0197-2020).
    pub fn highest(levels: impl IntoIterator<Item = Self>) -> Option<Self> {
        levels.into_iter().max()
    }

    /// Whether fields of this level may travel in `form` at all.
    pub fn allows(self, form: Form) -> bool {
        match self {
            Self::L1 => true,
            Self::L2 => form != Form::Raw,
            Self::L3 => form == Form::Sealed,
            Self::L4 => false,
        }
    }
}

impl FieldKind {
    /// A category's values are there, differ, and are no more than [`MOST_CATEGORIES`].
    ///
    /// # Errors
    /// Says what is wrong, with the number of values and the most that there may be.
    pub fn check(&self) -> Result<(), String> {
        let Self::Category { values } = self else { return Ok(()) };
        let distinct: BTreeSet<_> = values.iter().collect();
        if values.is_empty() || distinct.len() < values.len() || values.iter().any(String::is_empty) {
            return Err("its values must be present, distinct and not empty".into());
        }
        if values.len() > MOST_CATEGORIES {
            return Err(format!(
                "has {} values, at most {MOST_CATEGORIES} are possible: group them into fewer kinds",
                values.len()
            ));
        }
        Ok(())
    }

    /// The values of a category, in code order; none for numbers.
    pub fn values(&self) -> &[String] {
        match self {
            Self::Numeric => &[],
            Self::Category { values } => values,
        }
    }
}

impl ListField {
    /// Whether the field may travel in `form`: the level allows it, and the list names it or a more open one. A vector of
    /// codes is, field by field, codes.
    pub fn permits(&self, form: Form) -> bool {
        let form = if form == Form::BinnedVector { Form::Binned } else { form };
        self.level.allows(form) && self.forms.iter().any(|named| *named <= form)
    }

    /// Whether it is shared on `day`.
    pub fn valid_on(&self, day: Day) -> bool {
        self.from.is_none_or(|from| from <= day) && self.until.is_none_or(|until| day <= until)
    }

    fn check(&self) -> Result<(), String> {
        let wrong = |reason: &str| Err(reason.to_owned());
        if self.forms.contains(&Form::BinnedVector) {
            return wrong("`binned-vector` is a form of consents: name `binned`");
        }
        match self.level {
            Level::L4 if !self.forms.is_empty() => return wrong("level 4 never takes part: leave its forms empty"),
            Level::L3 if self.forms.iter().any(|form| *form != Form::Sealed) => {
                return wrong("level 3 takes part sealed only: name no other form, or another level");
            }
            Level::L2 if self.forms.contains(&Form::Raw) => {
                return wrong("level 2 does not travel raw: name `binned` or `sealed`, or level 1");
            }
            Level::L4 => {}
            _ if self.forms.is_empty() => return wrong("has no form: name its forms, or level 4"),
            _ if self.purposes.is_empty() => return wrong("has no purpose: name its purposes, or level 4"),
            _ => {}
        }
        if let (Some(from), Some(until)) = (self.from, self.until)
            && until < from
        {
            return Err(format!("is valid until {until}, before {from}, from which it is: exchange the days"));
        }
        if self.refresh_days == 0 {
            return wrong("refresh_days is 0: name the days after which it must be refreshed, at least 1");
        }
        if self.owner.is_empty() || self.category.is_empty() {
            return wrong("has no owner or no category: name both");
        }
        self.kind.check()
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
    /// Names the missing signature or the field that breaks a rule, and the remedy.
    pub fn open(envelope: &Envelope, authorities: &[VerifyKey]) -> Result<SignedList, ListError> {
        if envelope.signatures.is_empty() {
            return Err(ListError::Unsigned);
        }
        let payload = authorities
            .iter()
            .find_map(|authority| envelope.open(LIST_TYPE, &[*authority]).ok())
            .ok_or(ListError::Authority)?;
        let list: SharingList = serde_json::from_slice(&payload).map_err(|error| misread(&payload, &error))?;
        list.check()?;
        Ok(SignedList { list, digest: Digest::of_bytes(&payload) })
    }

    fn check(&self) -> Result<(), ListError> {
        if self.version == 0 {
            return Err(ListError::Format("versions begin with 1".into()));
        }
        let mut seen = BTreeSet::new();
        for (place, field) in self.fields.iter().enumerate() {
            if field.name.is_empty() {
                return Err(ListError::Field { field: format!("#{}", place + 1), reason: "has no name".into() });
            }
            let twice = || Err("stands twice: remove one of the two".to_owned());
            let checked = if seen.insert(&field.name) { field.check() } else { twice() };
            checked.map_err(|reason| ListError::Field { field: field.name.clone(), reason })?;
        }
        Ok(())
    }
}

/// Names the field that cannot be read, where there is one, and the place in the payload.
fn misread(payload: &[u8], error: &serde_json::Error) -> ListError {
    let place = format!("line {}, column {} of the payload", error.line(), error.column());
    let value: Value = serde_json::from_slice(payload).unwrap_or_default();
    for (number, field) in value["fields"].as_array().into_iter().flatten().enumerate() {
        if let Err(wrong) = ListField::deserialize(field) {
            let name = field["name"].as_str().map_or_else(|| format!("#{}", number + 1), Into::into);
            let reason = format!("{wrong} ({place}): ask the list authority to correct it");
            return ListError::Field { field: name, reason };
        }
    }
    ListError::Format(error.to_string())
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

    /// Whether the list permits a use of a field, whoever consents.
    ///
    /// # Errors
    /// Names the condition that fails.
    pub fn permits(&self, name: &str, form: Form, purpose: Purpose, day: Day) -> Result<&ListField, Condition> {
        let field = self.field(name).ok_or_else(|| Condition::NotListed(name.into()))?;
        if !field.permits(form) {
            return Err(Condition::Form(name.into()));
        }
        if !field.purposes.contains(&purpose) {
            return Err(Condition::FieldPurpose(name.into()));
        }
        if !field.valid_on(day) {
            return Err(Condition::NotValid(name.into()));
        }
        Ok(field)
    }

    /// Whether the list puts a field at level 4, where nobody may use it.
    pub fn forbids(&self, name: &str) -> bool {
        self.field(name).is_some_and(|field| field.level == Level::L4)
    }
}
