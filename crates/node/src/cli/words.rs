//! JSON in words: what a person reads where no verb has better ones.

use serde_json::Value;

use super::{Language, Printed};

/// An answer in JSON and in indented words.
pub(super) fn plain(value: Value) -> Printed {
    let mut text = String::new();
    write_value(&mut text, &value, 0);
    Printed { text: text.trim_end().to_owned(), value, holds: true }
}

/// Lines one below the other; a word where there are none.
pub(super) fn listed(lines: &[String], language: Language) -> String {
    match (lines, language) {
        ([], Language::Zh) => "无".into(),
        ([], Language::En) => "none".into(),
        _ => lines.join("\n"),
    }
}

fn write_value(text: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                write_field(text, &indent, &name.replace('_', " "), field, depth);
            }
        }
        Value::Array(items) if items.is_empty() => text.push_str(&format!("{indent}none\n")),
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
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            let items: Vec<_> = items.iter().map(word).collect();
            text.push_str(&format!("{indent}{name} {}\n", if items.is_empty() { "-".into() } else { items.join(" ") }));
        }
        Value::Object(_) | Value::Array(_) => {
            text.push_str(&format!("{indent}{name}\n"));
            write_value(text, value, depth + 1);
        }
        scalar if matches!(name, "time" | "released") => text.push_str(&format!("{indent}{name} {}\n", moment(scalar))),
        scalar => text.push_str(&format!("{indent}{name} {}\n", word(scalar))),
    }
}

pub(super) fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".into(),
        Value::Number(number) if number.is_f64() => {
            let whole = |number: f64| number.fract() == 0.0 && number.abs() < 1e15;
            let text = |number: f64| if whole(number) { format!("{number}") } else { format!("{number:.4}") };
            number.as_f64().map(text).unwrap_or_default()
        }
        other => other.to_string(),
    }
}

/// Unix milliseconds as a date and time, UTC.
pub(super) fn moment(value: &Value) -> String {
    let time = value.as_i64().and_then(|time| jiff::Timestamp::from_millisecond(time).ok());
    time.map_or_else(|| word(value), |time| time.to_string())
}
