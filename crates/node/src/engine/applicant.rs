//! The bank's own fields of an applicant, as the model reads them.

use serde_json::Value;
use tally_data::some_of;
use tally_protocol::session::{Contract, FieldTerms, Holder};

use crate::control::ScoreOrder;
use crate::failure::{self, Failure};

/// Codes of the bank's own fields of an applicant, in contract order, which is the trainer's.
pub(super) fn own_codes(
    code_of: impl Fn(usize, f64) -> u16,
    terms: &Contract,
    order: &ScoreOrder,
) -> Result<Vec<u16>, Failure> {
    let known: Vec<_> = terms.fields_of(Holder::Banks).map(|field| field.name.as_str()).collect();
    if let Some(unknown) = order.fields.keys().find(|name| !known.contains(&name.as_str())) {
        let text = format!("field `{unknown}` is not a bank field of this model: it takes {}", known.join(", "));
        return Err(failure::data(text).about(format!("fields.{unknown}")));
    }
    let code = |(place, terms): (usize, &FieldTerms)| {
        let code = match order.fields.get(&terms.name).unwrap_or(&Value::Null) {
            Value::Null => Ok(0),
            value if terms.categories.is_empty() => number(value).map(|number| code_of(place, number)),
            value => category_code(&terms.categories, value)
                .ok_or_else(|| format!("expected {}, or null", some_of(&terms.categories))),
        };
        code.map_err(|reason| {
            failure::data(format!("field `{}` of the applicant: {reason}", terms.name))
                .about(format!("fields.{}", terms.name))
        })
    };
    terms.fields_of(Holder::Banks).enumerate().map(code).collect()
}

/// A number, or text that is one, as files have it; else what to write.
fn number(value: &Value) -> Result<f64, String> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) if !text.trim().is_empty() => return tally_data::number(text.trim()),
        _ => None,
    };
    number.filter(|number| number.is_finite()).ok_or_else(|| "expected a number, or null".into())
}

fn category_code(categories: &[String], value: &Value) -> Option<u16> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let place = categories.iter().position(|category| *category == text)?;
    u16::try_from(place + 1).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_is_a_number_only_where_the_field_is_numeric() {
        for (value, expected) in [
            (json!(1.5), Some(1.5)),
            (json!("01"), Some(1.0)),
            (json!(" -2e3 "), Some(-2000.0)),
            (json!("1,5"), None),
            (json!("NaN"), None),
            (json!("inf"), None),
            (json!("1e999"), None),
            (json!(""), None),
            (json!(true), None),
        ] {
            assert_eq!(number(&value).ok(), expected, "{value}");
        }
        let categories = ["01", "1", "2.50"].map(String::from);
        for (value, expected) in [
            (json!("01"), Some(1)),
            (json!("1"), Some(2)),
            (json!(1), Some(2)),
            (json!("2.50"), Some(3)),
            (json!(2.5), None),
        ] {
            assert_eq!(category_code(&categories, &value), expected, "{value}");
        }
    }
}
