//! Values against the JSON Schema of the interface's OpenAPI document: the keywords that it uses, any other one is an error.

use serde_json::Value;

/// Panics with the place if `value` does not fit the schema called `name`.
pub(crate) fn check(document: &Value, name: &str, value: &Value) {
    let schema = &document["components"]["schemas"][name];
    assert!(schema.is_object(), "no schema {name}");
    if let Err(place) = fits(document, schema, value) {
        panic!("{name}: {place}\n{value:#}");
    }
}

fn fits(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    for (keyword, expected) in schema.as_object().ok_or("no schema")? {
        let holds = match keyword.as_str() {
            "$ref" => {
                let target = document.pointer(expected.as_str().unwrap_or_default().trim_start_matches('#'));
                fits(document, target.ok_or("a reference leads nowhere")?, value)?;
                true
            }
            "allOf" => {
                expected.as_array().into_iter().flatten().try_for_each(|one| fits(document, one, value))?;
                true
            }
            "oneOf" => {
                let all = expected.as_array().into_iter().flatten();
                all.filter(|one| fits(document, one, value).is_ok()).count() == 1
            }
            "type" => {
                let one = |name: &Value| is_a(value, name.as_str().unwrap_or_default());
                expected.as_array().map_or_else(|| one(expected), |names| names.iter().any(one))
            }
            "const" => value == expected,
            "enum" => expected.as_array().is_some_and(|all| all.contains(value)),
            "required" => {
                let names = expected.as_array().into_iter().flatten().filter_map(Value::as_str);
                if let Some(missing) = names.into_iter().find(|name| value.get(name).is_none()) {
                    return Err(format!("`{missing}` is missing"));
                }
                true
            }
            "properties" => {
                for (name, schema) in expected.as_object().into_iter().flatten() {
                    if let Some(value) = value.get(name) {
                        fits(document, schema, value).map_err(|place| format!("{name}: {place}"))?;
                    }
                }
                true
            }
            "additionalProperties" if *expected == Value::Bool(false) => {
                let known = &schema["properties"];
                match value.as_object().into_iter().flatten().find(|(name, _)| known.get(name).is_none()) {
                    Some((unknown, _)) => return Err(format!("`{unknown}` is not known")),
                    None => true,
                }
            }
            "items" => {
                value.as_array().into_iter().flatten().try_for_each(|value| fits(document, expected, value))?;
                true
            }
            "minimum" => value.as_f64() >= expected.as_f64(),
            "maximum" => value.as_f64() <= expected.as_f64(),
            "pattern" => {
                // The only patterns are of so many hexadecimal digits.
                let digits: usize = expected
                    .as_str()
                    .unwrap_or_default()
                    .trim_matches(['^', '$', '}'])
                    .rsplit('{')
                    .next()
                    .unwrap()
                    .parse()
                    .unwrap();
                value
                    .as_str()
                    .is_some_and(|text| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
            }
            "description" | "format" | "unevaluatedProperties" => true,
            other => return Err(format!("keyword {other}")),
        };
        if !holds {
            return Err(format!("{keyword} does not hold of {value}"));
        }
    }
    Ok(())
}

fn is_a(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    }
}
