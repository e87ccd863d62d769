//! What one list says otherwise than another.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{ListField, SharingList};

/// One field that stands otherwise.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "change")]
pub enum Change {
    /// The field is new.
    Added {
        /// The field.
        field: ListField,
    },
    /// The field is gone.
    Removed {
        /// The field.
        field: ListField,
    },
    /// A term of the field has changed.
    Changed {
        /// Name of the field.
        field: String,
        /// The term, as the list's JSON names it.
        term: String,
        /// Its value before; null if there was none.
        before: Value,
        /// Its value now; null if there is none.
        now: Value,
    },
}

/// Everything in which `later` differs from `earlier`, field by field in the order of names.
pub fn difference(earlier: &SharingList, later: &SharingList) -> Vec<Change> {
    let named = |list: &SharingList, name: &str| list.fields.iter().find(|field| field.name == name).cloned();
    let mut names: Vec<_> = earlier.fields.iter().chain(&later.fields).map(|field| field.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let changes = names.into_iter().flat_map(|name| match (named(earlier, name), named(later, name)) {
        (Some(before), Some(now)) => terms_changed(&before, &now),
        (Some(field), None) => vec![Change::Removed { field }],
        (None, Some(field)) => vec![Change::Added { field }],
        (None, None) => Vec::new(),
    });
    changes.collect()
}

fn terms_changed(before: &ListField, now: &ListField) -> Vec<Change> {
    let (earlier, later) = (terms(before), terms(now));
    let mut names: Vec<_> = earlier.keys().chain(later.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let value = |terms: &Map<String, Value>, name: &str| terms.get(name).cloned().unwrap_or_default();
    let changed = names.into_iter().map(|name| (name, value(&earlier, name), value(&later, name)));
    changed
        .filter(|(_, was, is)| was != is)
        .map(|(term, was, is)| Change::Changed { field: now.name.clone(), term: term.clone(), before: was, now: is })
        .collect()
}

fn terms(field: &ListField) -> Map<String, Value> {
    match serde_json::to_value(field) {
        Ok(Value::Object(terms)) => terms,
        _ => Map::new(),
    }
}
