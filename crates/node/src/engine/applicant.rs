//! The bank's own fields of an applicant, as the model reads them.

use serde_json::Value;
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
    let code = |(place, terms): (usize, &FieldTerms)| match order.fields.get(&terms.name).unwrap_or(&Value::Null) {
        Value::Null => Ok(0),
        Value::Number(number) if terms.categories.is_empty() => Ok(code_of(place, number.as_f64().unwrap_or(f64::NAN))),
        value => category_code(&terms.categories, value).ok_or_else(|| {
            let expected = if terms.categories.is_empty() { "a number".into() } else { terms.categories.join(", ") };
            failure::data(format!("field `{}` of the applicant: expected {expected}, or null", terms.name))
                .about(format!("fields.{}", terms.name))
        }),
    };
    terms.fields_of(Holder::Banks).enumerate().map(code).collect()
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
