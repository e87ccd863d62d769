//! The field dictionary: names, kinds and titles of the fields that banks bring.

use serde::{Deserialize, Serialize};
use tally_model::text::Text;
pub use tally_policy::FieldKind;

/// A dictionary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dictionary {
    /// The fields.
    pub fields: Vec<FieldDefinition>,
}

/// One field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldDefinition {
    /// Name.
    pub name: String,
    /// Name for people.
    pub title: Text,
    /// Numbers or categories.
    pub kind: FieldKind,
}

impl Dictionary {
    /// Reads a dictionary in JSON.
    ///
    /// # Errors
    /// Says which key is wrong, or which field stands twice.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim_start_matches('\u{feff}');
        let dictionary: Self = serde_json::from_str(text).map_err(|error| format!("field dictionary: {error}"))?;
        for (place, field) in dictionary.fields.iter().enumerate() {
            if dictionary.fields[..place].iter().any(|other| other.name == field.name) {
                return Err(format!("field dictionary: field `{}` stands twice", field.name));
            }
            field.kind.check().map_err(|reason| format!("field dictionary: field `{}` {reason}", field.name))?;
        }
        Ok(dictionary)
    }

    /// A field by name.
    pub fn field(&self, name: &str) -> Option<&FieldDefinition> {
        self.fields.iter().find(|field| field.name == name)
    }
}
