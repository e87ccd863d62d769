//! JSON in words: what a person reads where no verb has better ones.

use serde_json::Value;

use super::Printed;

/// An answer in JSON and in indented words.
pub(super) fn plain(value: Value) -> Printed {
    let mut text = String::new();
    write_value(&mut text, &value, 0);
    Printed { text: text.trim_end().to_owned(), value, holds: true }
}

fn write_value(text: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                write_field(text, &indent, &name.replace('_', " "), field, depth);
            }
        }
        Value::Array(items) => {
            for item in items {
                write_field(text, &indent, "-", item, depth);
            }
        }
        scalar => text.push_str(&format!("{indent}{}\n", word(scalar))),
    }
}

fn write_field(text: &mut String, indent: &str, name: &str, value: &Value, depth: usize) {
    match value {
        Value::Object(_) | Value::Array(_) => {
            text.push_str(&format!("{indent}{name}\n"));
            write_value(text, value, depth + 1);
        }
        scalar => text.push_str(&format!("{indent}{name} {}\n", word(scalar))),
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".into(),
        other => other.to_string(),
    }
}
