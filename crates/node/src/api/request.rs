//! `POST /v1/scores`: what a caller may send. A mistake names the member that it is in.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};
use tally_crypto::transcript::Digest;
use tally_policy::Purpose;

use super::problem::Problem;
use crate::control::ScoreOrder;

/// Most reasons that a call may ask for.
pub(crate) const MOST_REASONS: usize = 20;

/// Reasons that a call gets which asks for no number.
const REASONS: usize = 4;

/// Most of the bank's own fields that a call may bring.
const MOST_FIELDS: usize = 512;

/// One applicant to score.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ScoreRequest {
    /// Unified Social Credit Code, or the identifier that the data sets use.
    pub(crate) applicant: String,
    /// Why the bank asks.
    pub(crate) purpose: Purpose,
    /// Digest of the consent that the caller relies on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) consent: Option<Digest>,
    /// Number of the loan application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) application: Option<String>,
    /// The bank's own fields: numbers, category values, or null where missing.
    pub(crate) fields: BTreeMap<String, Value>,
    /// Reasons wanted.
    pub(crate) reasons: usize,
    /// Digest of the model or its first digits, or its session; the champion if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<String>,
    /// A second model that scores the same applicant, for comparison.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) challenger: Option<String>,
}

impl ScoreRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// Names the member that is wrong.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Problem> {
        let value =
            serde_json::from_slice(body).map_err(|error| Problem::of_field("body", format!("no JSON: {error}")))?;
        Self::of(value)
    }

    /// Reads a JSON object.
    ///
    /// # Errors
    /// Names the member that is wrong.
    pub(crate) fn of(value: Value) -> Result<Self, Problem> {
        let Value::Object(mut members) = value else { return Err(Problem::of_field("body", "expected an object")) };
        let request = Self {
            applicant: required(&mut members, "applicant")?,
            purpose: required(&mut members, "purpose")?,
            consent: member(&mut members, "consent")?,
            application: member(&mut members, "application")?,
            fields: member(&mut members, "fields")?.unwrap_or_default(),
            reasons: member(&mut members, "reasons")?.unwrap_or(REASONS),
            model: member(&mut members, "model")?,
            challenger: member(&mut members, "challenger")?,
        };
        if let Some(unknown) = members.keys().next() {
            return Err(Problem::of_field(unknown.clone(), "there is no such member"));
        }
        request.check()?;
        Ok(request)
    }

    /// What types cannot say.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        let short = |text: &Option<String>| text.as_ref().is_none_or(|text| (1..=128).contains(&text.len()));
        let holds = [
            ((1..=128).contains(&self.applicant.len()), "applicant", "from 1 to 128 bytes"),
            (short(&self.application), "application", "from 1 to 128 bytes"),
            (short(&self.model), "model", "from 1 to 128 bytes"),
            (short(&self.challenger), "challenger", "from 1 to 128 bytes"),
            (self.reasons <= MOST_REASONS, "reasons", "at most 20"),
            (self.fields.len() <= MOST_FIELDS, "fields", "at most 512"),
        ];
        if let Some((_, field, expected)) = holds.into_iter().find(|(holds, ..)| !holds) {
            return Err(Problem::of_field(field, expected));
        }
        let scalar = |value: &Value| matches!(value, Value::Null | Value::Number(_) | Value::String(_));
        match self.fields.iter().find(|(_, value)| !scalar(value)) {
            Some((name, _)) => Err(Problem::of_field(format!("fields.{name}"), "expected a number, a text or null")),
            None => Ok(()),
        }
    }

    /// Digest by which an idempotency key knows the request again.
    pub(crate) fn digest(&self) -> Digest {
        // Panic safety: the type holds only texts, numbers and lists.
        let text = serde_json::to_vec(self).expect("requests serialise");
        Digest::of("tallystick/api-request/v1", &[&text])
    }

    /// The order for the model called `model`.
    pub(crate) fn order(&self, model: Option<String>) -> ScoreOrder {
        ScoreOrder {
            session: model,
            id: self.applicant.clone(),
            purpose: self.purpose,
            application: self.application.clone(),
            fields: self.fields.clone(),
            reasons: self.reasons,
        }
    }
}

fn required<T: serde::de::DeserializeOwned>(members: &mut Map<String, Value>, name: &str) -> Result<T, Problem> {
    member(members, name)?.ok_or_else(|| Problem::of_field(name, "this member is missing"))
}

fn member<T: serde::de::DeserializeOwned>(members: &mut Map<String, Value>, name: &str) -> Result<Option<T>, Problem> {
    match members.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            serde_json::from_value(value).map(Some).map_err(|error| Problem::of_field(name, error.to_string()))
        }
    }
}
