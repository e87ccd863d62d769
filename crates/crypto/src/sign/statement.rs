//! in-toto Statements v1: what a DSSE envelope says of which things, in a form that other tools read.
//!
//! `{"_type", "subject": [{"name", "digest"}], "predicateType", "predicate"}`. in-toto leaves open how a statement is spelt; here
//! there is one spelling, and what has another one is refused, so that parties who know the same facts sign the same bytes.
//! Digests under `sha256` are those of documents; what is hashed under a label of ours has a name of its own.
//! Reference: in-toto Attestation Framework, spec/v1/statement.md.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Envelope;
use crate::transcript::Digest;

/// Media type of the payload of an envelope that holds a statement.
pub const STATEMENT_TYPE: &str = "application/vnd.in-toto+json";

/// What the field `_type` says.
const V1: &str = "https://in-toto.io/Statement/v1";

/// What a statement says of its subjects: a closed schema with a URI of its own.
pub trait Predicate: Serialize + DeserializeOwned {
    /// The URI.
    const TYPE: &'static str;
}

/// A statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Statement<P> {
    #[serde(rename = "_type")]
    kind: String,
    /// What it is about.
    pub subject: Vec<Subject>,
    predicate_type: String,
    /// What it says.
    pub predicate: P,
}

/// A thing that a statement is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Its name.
    pub name: String,
    /// Its digest, by the name of the hash.
    pub digest: BTreeMap<String, Digest>,
}

impl Subject {
    /// The thing called `name`, whose `hash` is `digest`.
    pub fn new(name: impl Into<String>, hash: &str, digest: Digest) -> Self {
        Self { name: name.into(), digest: [(hash.into(), digest)].into() }
    }
}

impl<P: Predicate> Statement<P> {
    /// A statement about `subject`.
    pub fn new(subject: Vec<Subject>, predicate: P) -> Self {
        Self { kind: V1.into(), subject, predicate_type: P::TYPE.into(), predicate }
    }

    /// The statement in an envelope without signatures.
    pub fn envelope(&self) -> Envelope {
        // Panic safety: predicates hold only texts, numbers, lists and maps with texts for keys.
        Envelope::new(STATEMENT_TYPE, &serde_json::to_vec(self).expect("statements serialise"))
    }

    /// Reads the payload of an envelope.
    ///
    /// # Errors
    /// Says what is wrong: not JSON of this form, another kind of statement, or another spelling of it.
    pub fn read(payload: &[u8]) -> Result<Self, String> {
        let read: Self = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
        if read.kind != V1 || read.predicate_type != P::TYPE {
            return Err(format!("a statement of type `{}`, expected `{}`", read.predicate_type, P::TYPE));
        }
        match serde_json::to_vec(&read) {
            Ok(spelt) if spelt == payload => Ok(read),
            _ => Err("not in canonical form".into()),
        }
    }
}

/// The URI of what a payload says of its subjects, if it is a statement; nothing else of it is looked at.
pub fn predicate_type(payload: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Any {
        #[serde(rename = "_type")]
        kind: String,
        predicate_type: String,
    }
    let any: Any = serde_json::from_slice(payload).ok()?;
    (any.kind == V1).then_some(any.predicate_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Weight {
        grams: f64,
    }

    impl Predicate for Weight {
        const TYPE: &'static str = "https://example.com/weight/v1";
    }

    #[test]
    fn a_statement_has_one_spelling() {
        let stick = Subject::new("stick", "sha256", Digest::of_bytes(b"stick"));
        let statement = Statement::new(vec![stick], Weight { grams: 0.1 + 0.2 });
        let payload = statement.envelope().unverified_payload().unwrap();
        let text = String::from_utf8(payload.clone()).unwrap();
        assert!(
            text.starts_with(r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"stick","digest":{"#)
        );
        assert_eq!(Statement::<Weight>::read(&payload).unwrap(), statement);
        assert_eq!(predicate_type(&payload).as_deref(), Some(Weight::TYPE));
        for (from, to) in [
            ("\"grams\":", "\"grams\": "),
            ("\"grams\":", "\"ounces\":0,\"grams\":"),
            ("weight/v1", "weight/v2"),
            ("Statement/v1", "Statement/v0.1"),
            ("\"subject\"", "\"more\":1,\"subject\""),
        ] {
            assert!(Statement::<Weight>::read(text.replace(from, to).as_bytes()).is_err(), "{to}");
        }
        assert_eq!(predicate_type(b"{}"), None);
    }
}
