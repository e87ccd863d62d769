//! Tests of the service without a network.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};
use tally_crypto::seed::Seed;
use tally_crypto::transcript::Digest;

use super::gate::{Gate, Grant, Shown};
use super::limit::{Limit, Rate};
use super::problem::{Code, Problem, code_named};
use super::request::ScoreRequest;
use super::section::ApiSection;
use super::token::{Scope, TokenTerms};
use crate::failure;

const SECOND: u64 = 1_000_000_000;

#[test]
fn a_limit_lets_the_burst_through_and_then_the_rate() {
    let mut limit = Limit::new(Rate::per_minute(60, 5));
    let at_once = |limit: &mut Limit<u8>, now: u64| (0..20).filter(|_| limit.take(1, now).is_ok()).count();
    assert_eq!(at_once(&mut limit, 0), 5);
    let wait = limit.take(1, 0).unwrap_err();
    assert_eq!(wait, SECOND);
    assert!(limit.take(1, wait - 1).is_err());
    assert!(limit.take(1, wait).is_ok());
    // Who waits gets no more than the burst back; another one has a limit of its own.
    assert_eq!(at_once(&mut limit, 1000 * SECOND), 5);
    assert!(limit.take(2, 1000 * SECOND).is_ok());
}

/// Whatever the times of the calls, never more than burst + rate x time pass.
#[test]
fn a_limit_holds_over_every_window() {
    let mut limit = Limit::new(Rate::per_minute(600, 10));
    let (mut now, mut state, mut passed) = (0u64, 12345u64, Vec::new());
    for _ in 0..20_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        now += (state >> 33) % (SECOND / 20);
        if limit.take((), now).is_ok() {
            passed.push(now);
        }
    }
    assert!(passed.len() > 1000);
    for (place, first) in passed.iter().enumerate() {
        for (more, last) in passed[place..].iter().enumerate().step_by(7).take(40) {
            assert!(more as u64 <= 10 + (last - first) / (SECOND / 10), "{more} calls in {} ns", last - first);
        }
    }
}

#[test]
fn a_limit_forgets_those_who_owe_nothing() {
    let mut limit = Limit::new(Rate::per_minute(60, 1));
    for caller in 0..100_000u64 {
        assert!(limit.take(caller, caller * SECOND / 10).is_ok());
    }
    assert!(limit.len() < 3000, "{}", limit.len());
}

/// Every condition of the clearance has a code of its own kind; nothing that is not known becomes a score or a 500.
#[test]
fn conditions_become_codes() {
    for (condition, code) in [
        ("no-consent", "no-consent"),
        ("provider", "no-consent"),
        ("not-yet", "no-consent"),
        ("superseded", "no-consent"),
        ("revoked", "consent-revoked"),
        ("paused", "consent-paused"),
        ("expired", "consent-expired"),
        ("exhausted", "consent-exhausted"),
        ("too-soon", "consent-exhausted"),
        ("purpose", "out-of-purpose"),
        ("application", "out-of-purpose"),
        ("category", "consent-scope"),
        ("level", "consent-scope"),
        ("form", "consent-scope"),
        ("binned-vector", "consent-scope"),
        ("mode", "consent-scope"),
        ("data-range", "consent-scope"),
        ("not-listed", "not-listed"),
        ("not-valid", "not-listed"),
        ("withdrawn", "not-listed"),
        ("unknown-enterprise", "unknown-enterprise"),
        ("unknown-model", "unknown-model"),
        ("not-a-party", "unknown-model"),
        ("model-retired", "model-retired"),
        ("model-unfit", "model-unfit"),
        ("peer-unreachable", "peer-unreachable"),
        ("timeout", "timeout"),
        ("something-new", "forbidden"),
    ] {
        let problem = Problem::from(failure::refused("why").coded(condition));
        assert_eq!(problem.code.as_str(), code, "{condition}");
        let told = problem.condition.as_deref().unwrap_or(code);
        assert_eq!(told, condition);
    }
    for code in Code::ALL {
        assert_eq!(code_named(code.as_str()), *code);
    }
}

/// What failed inside is not told outside.
#[test]
fn failures_of_the_node_keep_their_details() {
    let problem = Problem::from(failure::unwritable("/secret/path: disk full"));
    assert_eq!(problem.code, Code::Internal);
    assert!(!problem.to_json().to_string().contains("secret"));
}

#[test]
fn mistakes_in_a_request_name_their_member() {
    let good = json!({ "applicant": "x", "purpose": "loan-underwriting" });
    let request = ScoreRequest::parse(good.to_string().as_bytes()).unwrap();
    assert_eq!((request.reasons, request.fields.len()), (4, 0));
    let changed = |name: &str, value: Value| {
        let mut request = good.clone();
        request[name] = value;
        request.to_string()
    };
    for (body, field) in [
        ("{".to_owned(), "body"),
        ("[]".to_owned(), "body"),
        ("\u{0}".to_owned(), "body"),
        (json!({ "purpose": "loan-underwriting" }).to_string(), "applicant"),
        (json!({ "applicant": "x" }).to_string(), "purpose"),
        (changed("applicant", json!("")), "applicant"),
        (changed("applicant", json!("x".repeat(200))), "applicant"),
        (changed("applicant", json!(7)), "applicant"),
        (changed("purpose", json!("marketing")), "purpose"),
        (changed("consent", json!("abc")), "consent"),
        (changed("application", json!("")), "application"),
        (changed("fields", json!([])), "fields"),
        (changed("fields", json!({ "a": [1] })), "fields.a"),
        (changed("fields", json!({ "a": true })), "fields.a"),
        (changed("reasons", json!(-1)), "reasons"),
        (changed("reasons", json!(21)), "reasons"),
        (changed("model", json!({})), "model"),
        (changed("challenger", json!("")), "challenger"),
        (changed("decision", json!(true)), "decision"),
    ] {
        let problem = ScoreRequest::parse(body.as_bytes()).unwrap_err();
        assert_eq!((problem.code, problem.field.as_deref()), (Code::BadRequest, Some(field)), "{body}");
    }
}

/// What JSON cannot say does not count as missing.
#[test]
fn numbers_over_grpc_are_finite() {
    use super::wire::FieldValue;
    use super::wire::field_value::Kind;
    let read = |number: f64| {
        let fields = [("age".to_owned(), FieldValue { kind: Some(Kind::Number(number)) })].into();
        super::grpc::read(super::wire::ScoreRequest {
            applicant: "x".into(),
            purpose: "loan-underwriting".into(),
            fields,
            ..Default::default()
        })
    };
    assert_eq!(read(1.5).unwrap().0.fields["age"], json!(1.5));
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let problem = read(number).unwrap_err();
        assert_eq!((problem.code, problem.field.as_deref()), (Code::BadRequest, Some("fields.age")));
    }
}

/// The same request however it is written, another one for every member.
#[test]
fn a_request_is_known_by_its_digest() {
    let parse = |text: &str| ScoreRequest::parse(text.as_bytes()).unwrap().digest();
    let one = parse(r#"{"applicant":"x","purpose":"guarantee","fields":{"a":1,"b":null},"consent":null}"#);
    assert_eq!(
        one,
        parse(r#"{ "purpose": "guarantee", "fields": {"b": null, "a": 1}, "applicant": "x", "reasons": 4 }"#)
    );
    for other in [
        r#"{"applicant":"y","purpose":"guarantee","fields":{"a":1,"b":null}}"#,
        r#"{"applicant":"x","purpose":"pre-screening","fields":{"a":1,"b":null}}"#,
        r#"{"applicant":"x","purpose":"guarantee","fields":{"a":2,"b":null}}"#,
        r#"{"applicant":"x","purpose":"guarantee","fields":{"a":1}}"#,
        r#"{"applicant":"x","purpose":"guarantee","fields":{"a":1,"b":null},"model":"m"}"#,
        r#"{"applicant":"x","purpose":"guarantee","fields":{"a":1,"b":null},"challenger":"m"}"#,
    ] {
        assert_ne!(one, parse(other), "{other}");
    }
}

fn terms(certificate: Option<&str>) -> TokenTerms {
    TokenTerms {
        name: "core".into(),
        scopes: BTreeSet::from([Scope::Score]),
        expires: "2026-06-30".parse().unwrap(),
        certificate: certificate.map(Into::into),
    }
}

#[test]
fn the_gate_knows_tokens_by_their_digest_until_they_end() {
    let gate = Gate::new(Seed::new([7; 32]));
    let grant = |token: &str, certificate| {
        (Digest::of_bytes(token.as_bytes()), Grant::new(gate.pseudonym("core"), &terms(certificate)))
    };
    gate.admit_only(HashMap::from([grant("tst_good", None), grant("tst_bound", Some("core-banking"))]));
    let by_name = BTreeMap::from([("by-name".to_owned(), vec![Scope::Models])]);
    let ask = |authorization: Option<&str>, certificate: Option<&str>, now: i64| {
        gate.caller(Shown { certificate, authorization }, &by_name, now).map_err(|problem| problem.code)
    };
    let end = terms(None).ends();
    let caller = ask(Some("Bearer tst_good"), None, end - 1).unwrap();
    assert!(caller.may(Scope::Score) && !caller.may(Scope::Models));
    assert!(ask(Some("Bearer tst_bound"), Some("core-banking"), 0).is_ok());
    assert!(ask(None, Some("by-name"), 0).unwrap().may(Scope::Models));
    assert!(ask(Some("bearer tst_good"), None, 0).is_ok());
    for (authorization, certificate, now) in [
        (Some("Bearer tst_good"), None, end),
        (Some("Bearer tst_goof"), None, 0),
        (Some("Bearer "), None, 0),
        (Some("Basic tst_good"), None, 0),
        (Some("tst_good"), None, 0),
        (Some("Bearer tst_bound"), None, 0),
        (Some("Bearer tst_bound"), Some("other"), 0),
        // A wrong token is not mended by a certificate that would do alone.
        (Some("Bearer wrong"), Some("by-name"), 0),
        (None, Some("other"), 0),
        (None, None, 0),
    ] {
        assert_eq!(ask(authorization, certificate, now).unwrap_err(), Code::Unauthorized);
    }
    gate.admit_only(HashMap::new());
    assert!(ask(Some("Bearer tst_good"), None, 0).is_err());
}

#[test]
fn operators_sign_every_term() {
    let good = terms(None);
    let others = [
        TokenTerms { name: "other".into(), ..good.clone() },
        TokenTerms { scopes: BTreeSet::from([Scope::Score, Scope::Models]), ..good.clone() },
        TokenTerms { expires: "2026-07-01".parse().unwrap(), ..good.clone() },
        terms(Some("core-banking")),
    ];
    for other in others {
        assert_ne!(other.digest(), good.digest());
    }
    assert!(good.check(good.ends()).is_err());
    assert!(TokenTerms { scopes: BTreeSet::new(), ..good.clone() }.check(0).is_err());
    assert!(TokenTerms { name: "Zhang San".into(), ..good }.check(0).is_err());
}

#[test]
fn mistakes_in_the_section_are_named() {
    assert!(ApiSection::default().check().is_ok());
    for (text, word) in [
        ("certificate = \"a\"", "api.key"),
        ("token_approvals = 3", "token_approvals"),
        ("in_flight = 0", "in_flight"),
        ("deadline_ms = 1", "deadline_ms"),
        ("[certificates]\ncore = [\"score\"]", "client_ca"),
        ("[caller]\nper_minute = 0\nburst = 1", "rates"),
    ] {
        let section: ApiSection = toml::from_str(text).unwrap();
        let error = section.check().unwrap_err();
        assert!(error.contains(word), "{error}");
    }
    assert!(toml::from_str::<ApiSection>("[certificates]\ncore = [\"everything\"]").is_err());
}

/// Refusals in sum are told once a second, each once.
#[test]
fn refusals_are_counted_by_caller_and_code() {
    let gate = Gate::new(Seed::new([7; 32]));
    let start = std::time::Instant::now();
    let caller = Some(gate.pseudonym("core"));
    (0..1000).for_each(|_| gate.count_refused(None, Code::Unauthorized));
    (0..3).for_each(|_| gate.count_refused(caller, Code::RateLimited));
    let told = gate.refused_since(start);
    assert_eq!(told, BTreeMap::from([((None, "unauthorized"), 1000), ((caller, "rate-limited"), 3)]));
    gate.count_refused(None, Code::Unauthorized);
    assert!(gate.refused_since(start + std::time::Duration::from_millis(900)).is_empty());
    assert_eq!(gate.refused_since(start + std::time::Duration::from_secs(1))[&(None, "unauthorized")], 1);
}

/// The document describes what the types read and write.
#[test]
fn the_openapi_document_is_that_of_the_types() {
    let document: Value = serde_json::from_str(super::openapi::text()).unwrap();
    let validated: Value = serde_json::from_str(include_str!("../../../../tests/oracle/openapi.json")).unwrap();
    let digest = Digest::of_bytes(super::openapi::text().as_bytes());
    assert_eq!(validated["valid"], json!(digest), "validate the document anew: tests/oracle/openapi.py");
    let schemas = &document["components"]["schemas"];
    let members = |value: &Value| -> BTreeSet<String> { value.as_object().unwrap().keys().cloned().collect() };
    let whole = ScoreRequest {
        applicant: "x".into(),
        purpose: tally_policy::Purpose::Guarantee,
        consent: Some(Digest::default()),
        application: Some("1".into()),
        fields: BTreeMap::new(),
        reasons: 4,
        model: Some("m".into()),
        challenger: Some("m".into()),
    };
    let written = serde_json::to_value(&whole).unwrap();
    assert_eq!(ScoreRequest::parse(written.to_string().as_bytes()).unwrap(), whole);
    assert_eq!(members(&schemas["ScoreRequest"]["properties"]), members(&written));
    for purpose in schemas["ScoreRequest"]["properties"]["purpose"]["enum"].as_array().unwrap() {
        serde_json::from_value::<tally_policy::Purpose>(purpose.clone()).unwrap();
    }
    let codes: Vec<_> = schemas["Problem"]["properties"]["code"]["enum"].as_array().unwrap().iter().collect();
    let all: Vec<_> = Code::ALL.iter().map(|code| json!(code.as_str())).collect();
    assert_eq!(codes, all.iter().collect::<Vec<_>>());
    let mut problem = Problem::limited("why", 1);
    (problem.field, problem.condition) = (Some("f".into()), Some("c".into()));
    assert_eq!(members(&schemas["Problem"]["properties"]), members(&problem.to_json()));
    let responses = &document["paths"]["/v1/scores"]["post"]["responses"];
    // What a path or a method that is none says belongs to no operation.
    for code in Code::ALL.iter().filter(|code| !matches!(code, Code::NotFound | Code::MethodNotAllowed)) {
        let told = responses[code.status().to_string()]["description"].as_str().unwrap_or_default();
        assert!(told.contains(code.as_str()), "{}", code.as_str());
    }
    references(&document, &document);
}

fn references(document: &Value, value: &Value) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| match value.as_str().filter(|_| name == "$ref") {
                Some(target) => assert!(document.pointer(target.trim_start_matches('#')).is_some(), "{target}"),
                None => references(document, value),
            })
        }
        Value::Array(items) => items.iter().for_each(|item| references(document, item)),
        _ => {}
    }
}
