//! The scoring service as a bank's own systems meet it: over TLS, with certificates and tokens, against real nodes.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tally_city::{SystemsAuthority, consent_digest, signed_consent};
use tally_policy::{EventKind, Fetch};

use crate::caller::Caller;
use crate::program::{done, error_of, run, tallystick, text};
use crate::schema;
use crate::serving::Serving;

#[test]
fn a_score_over_https_with_what_it_rests_on() {
    let mut trial = Serving::new("[api.certificates]\ncore-banking = [\"score\"]\n");
    let token = trial.issue("core", "score,models");
    let caller = trial.caller().with(&token);
    let applicants = trial.applicants();
    let subject = applicants[0]["applicant"].as_str().unwrap();
    assert_eq!(caller.get("/livez").unwrap().0, 200);
    // Nobody without a certificate comes further than the handshake.
    assert!(Caller::new(&trial.bank, &trial.authority, None).get("/livez").is_err());
    let stranger = SystemsAuthority::new().unwrap().issue("core-banking").unwrap();
    assert!(Caller::new(&trial.bank, &trial.authority, Some(&stranger)).get("/livez").is_err());

    let first = caller.score(&applicants[0]);
    trial.scored(&first);
    let answer = &first.body;
    assert_eq!(answer["reasons"].as_array().unwrap().len(), 4);
    assert!(answer["reasons"][0]["text"]["zh"].is_string() && answer["reasons"][0]["text"]["en"].is_string());
    let points = &answer["points"];
    let sum = ["base", "bank", "platform"].iter().map(|part| points[part].as_i64().unwrap()).sum::<i64>();
    assert_eq!(answer["score"].as_i64(), Some(sum));
    let (band, probability) = (&answer["band"], answer["probability"].as_f64().unwrap());
    assert!(band["probability"]["low"].as_f64().unwrap() <= probability);
    assert!(band["observed_bad_rate"]["low"].as_f64() <= band["observed_bad_rate"]["value"].as_f64());
    assert!(band["rows"].as_u64().unwrap() > 0);
    let city = Serving::city();
    let consent = consent_digest(&city, subject, "bank-1").to_string();
    assert_eq!(answer["consent"], json!(consent));
    // The command line gives the same score, and the entry of the log is the one that the receipt names.
    let order = trial.left.root.join("order.json");
    let fields = &applicants[0]["fields"];
    std::fs::write(&order, json!({ "id": subject, "purpose": "loan-underwriting", "fields": fields }).to_string())
        .unwrap();
    let by_hand = done(&["score", "one", "--node", text(&trial.bank), "--request", text(&order)]);
    assert_eq!((&by_hand["score"], &by_hand["probability"]), (&answer["score"], &answer["probability"]));

    // By certificate alone, with every option.
    let mut request = applicants[1].clone();
    let model = answer["model"]["digest"].as_str().unwrap();
    request["challenger"] = json!(model[..12]);
    request["application"] = json!("loan-1");
    request["reasons"] = json!(2);
    request["consent"] = json!(consent_digest(&city, request["applicant"].as_str().unwrap(), "bank-1").to_string());
    let full = trial.caller().score(&request);
    trial.scored(&full);
    assert_eq!(full.body["challenger"]["score"], full.body["score"]);
    assert_eq!(full.body["reasons"].as_array().unwrap().len(), 2);

    // Once a key: the same answer, also after a restart, and no other use of the consent.
    let subject = applicants[2]["applicant"].as_str().unwrap();
    let used = trial.uses(subject);
    let once = caller.score_once(&applicants[2], "application-3");
    trial.scored(&once);
    assert!(!once.replayed);
    let again = caller.score_once(&applicants[2], "application-3");
    assert!(again.replayed);
    assert_eq!(again.body, once.body);
    let mut other = applicants[2].clone();
    other["reasons"] = json!(1);
    trial.refused(&caller.score_once(&other, "application-3"), 409, "conflict");
    trial.restart();
    let caller = trial.caller().with(&token);
    let later = caller.score_once(&applicants[2], "application-3");
    assert!(later.replayed);
    assert_eq!(later.body, once.body);
    assert_eq!(trial.uses(subject), used + 1);
    // Another caller's keys are its own.
    assert!(!trial.caller().score_once(&applicants[2], "application-3").replayed);

    over_grpc(&trial, &caller, &applicants[5], answer);

    // Of two consents the one that the caller names, and no use of the other.
    let subject = applicants[3]["applicant"].as_str().unwrap();
    trial.import(signed_consent(&city, subject, "bank-1", |consent| consent.consent_id = "second".into()).unwrap());
    let consent = json!(consent_digest(&city, subject, "bank-1").to_string());
    assert_ne!(caller.score(&applicants[3]).body["consent"], consent);
    let (mut request, used) = (applicants[3].clone(), trial.uses(subject));
    request["consent"] = consent.clone();
    let named = caller.score(&request);
    trial.scored(&named);
    assert_eq!((&named.body["consent"], trial.uses(subject)), (&consent, used + 1));

    let (status, listed) = caller.get("/v1/models").unwrap();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    schema::check(&trial.document, "Models", &listed);
    assert_eq!((status, &listed["models"][0]), (200, &answer["model"]));
    assert_eq!(trial.caller().get("/v1/models").unwrap().0, 403);
    assert_eq!(caller.get("/v1/scores").unwrap().0, 405);

    let log = trial.log();
    for word in [
        "token.issue",
        "\"outcome\":\"models\"",
        "\"outcome\":\"replayed\"",
        "\"outcome\":\"conflict\"",
        "\"caller\":\"",
    ] {
        assert!(log.contains(word), "{word}");
    }
    trial.verified(&[&token, subject, "core-banking-x"]);
}

/// The same answer over gRPC, and the same refusals.
fn over_grpc(trial: &Serving, caller: &Caller, applicant: &Value, other: &Value) {
    use tally_node::scoring::field_value::Kind;
    use tally_node::scoring::{FieldValue, ScoreRequest};
    let value = |value: &Value| {
        let number = value.as_f64().map(Kind::Number);
        FieldValue { kind: number.or_else(|| value.as_str().map(|text| Kind::Text(text.into()))) }
    };
    let fields = applicant["fields"].as_object().unwrap();
    let request = ScoreRequest {
        applicant: applicant["applicant"].as_str().unwrap().into(),
        purpose: "loan-underwriting".into(),
        fields: fields.iter().map(|(name, of)| (name.clone(), value(of))).collect(),
        challenger: Some("0123456789abcdef".into()),
        ..ScoreRequest::default()
    };
    let ask = |caller: &Caller, request: ScoreRequest| caller.score_over_grpc(&trial.authority, &trial.pair, request);
    let told = ask(caller, request.clone()).unwrap();
    let (score, rest) = (told.score.unwrap(), caller.score(applicant).body);
    assert_eq!((Some(score.score), Some(score.probability)), (rest["score"].as_i64(), rest["probability"].as_f64()));
    assert_eq!(score.model.unwrap().digest, other["model"]["digest"].as_str().unwrap());
    assert!(score.reference_only && score.log.is_some() && score.band.is_some() && score.reasons.len() == 4);
    let Some(tally_node::scoring::score_answer::Second::ChallengerProblem(problem)) = told.second else { panic!() };
    assert_eq!(problem.code, "unknown-model");
    let wrong = ScoreRequest { purpose: "marketing".into(), ..request.clone() };
    let guarantee = ScoreRequest { purpose: "guarantee".into(), ..request.clone() };
    let anonymous = caller.with("tst_wrong");
    for (caller, request, code, word) in [
        (caller, wrong, tonic::Code::InvalidArgument, "BAD_REQUEST"),
        (caller, guarantee, tonic::Code::PermissionDenied, "OUT_OF_PURPOSE"),
        (&anonymous, request, tonic::Code::Unauthenticated, "UNAUTHORIZED"),
    ] {
        let status = ask(caller, request).unwrap_err();
        assert_eq!(status.code(), code, "{status:?}");
        assert!(String::from_utf8_lossy(status.details()).contains(word));
    }
}

/// Every refusal has its status and code, and is in the log.
#[test]
fn a_refusal_says_why_and_is_never_a_score() {
    let trial = Serving::new("[api.enterprise]\nper_minute = 60\nburst = 12\n");
    let (token, reader) = (trial.issue("core", "score"), trial.issue("nightly", "models"));
    let caller = trial.caller().with(&token);
    let applicants = trial.applicants();
    let city = Serving::city();
    let changed = |place: usize, name: &str, value: Value| {
        let mut request = applicants[place].clone();
        request[name] = value;
        request
    };

    trial.refused(&trial.caller().score(&applicants[0]), 401, "unauthorized");
    trial.refused(&trial.caller().with("tst_guess").score(&applicants[0]), 401, "unauthorized");
    trial.refused(&trial.caller().with(&reader).score(&applicants[0]), 403, "forbidden");
    trial.refused(&caller.post("{", None), 400, "bad-request");
    trial.refused(&caller.post(&" ".repeat(100_000), None), 413, "too-large");
    let wrong_field = caller.score(&changed(0, "fields", json!({ "shoe_size": 43 })));
    trial.refused(&wrong_field, 400, "bad-request");
    assert_eq!(wrong_field.body["field"], "fields.shoe_size");
    let wrong_code = caller.score(&changed(0, "applicant", json!("91440300708461136A")));
    trial.refused(&wrong_code, 400, "bad-request");
    assert_eq!(wrong_code.body["field"], "applicant");
    let wrong_purpose = caller.score(&changed(0, "purpose", json!("marketing")));
    trial.refused(&wrong_purpose, 400, "bad-request");
    assert_eq!(wrong_purpose.body["field"], "purpose");
    trial.refused(&caller.score_once(&applicants[0], &"k".repeat(300)), 400, "bad-request");
    let stranger = json!("91440300708461136T");
    trial.refused(&caller.score(&changed(0, "applicant", stranger.clone())), 403, "no-consent");
    trial.refused(&caller.score(&changed(0, "purpose", json!("guarantee"))), 403, "out-of-purpose");
    trial.refused(&caller.score(&changed(0, "model", json!("0123456789abcdef"))), 404, "unknown-model");
    // The consent of another applicant is none.
    let other = consent_digest(&city, applicants[1]["applicant"].as_str().unwrap(), "bank-1").to_string();
    trial.refused(&caller.score(&changed(0, "consent", json!(other))), 403, "no-consent");
    let (status, told) = caller.get("/v1/decisions").unwrap();
    assert_eq!((status, serde_json::from_str::<Value>(&told).unwrap()["code"].clone()), (404, json!("not-found")));

    // What the enterprise decides counts at once, also for an answer that was given before.
    let subject = applicants[3]["applicant"].as_str().unwrap();
    trial.scored(&caller.score_once(&applicants[3], "before"));
    let paused = trial.consent_event(&city, subject, None, EventKind::Pause);
    trial.refused(&caller.score(&applicants[3]), 403, "consent-paused");
    trial.refused(&caller.score_once(&applicants[3], "before"), 403, "consent-paused");
    let resumed = trial.consent_event(&city, subject, Some(paused), EventKind::Resume);
    assert!(caller.score_once(&applicants[3], "before").replayed);
    trial.consent_event(&city, subject, Some(resumed), EventKind::Revoke);
    trial.refused(&caller.score(&applicants[3]), 403, "consent-revoked");
    trial.refused(&caller.score_once(&applicants[3], "after"), 403, "consent-revoked");

    // A one-time consent: for its application, once; the answer itself stays.
    let subject = applicants[6]["applicant"].as_str().unwrap();
    trial.amend(&city, subject, |consent| {
        consent.fetch = Fetch::OneTime;
        consent.application = Some("loan-7".into());
    });
    trial.refused(&caller.score(&applicants[6]), 403, "out-of-purpose");
    let for_loan = changed(6, "application", json!("loan-7"));
    let once = caller.score_once(&for_loan, "loan-7");
    trial.scored(&once);
    trial.refused(&caller.score(&for_loan), 403, "consent-exhausted");
    assert_eq!(caller.score_once(&for_loan, "loan-7").body, once.body);
    let subject = applicants[7]["applicant"].as_str().unwrap();
    trial.amend(&city, subject, |consent| consent.not_after = consent.not_before + 1000);
    let expired = caller.score(&applicants[7]);
    trial.refused(&expired, 403, "consent-expired");
    assert_eq!(expired.body["condition"], "expired");

    // Only who may ask of an enterprise hears that the platform does not know it, and that is no use of the consent.
    let unknown = stranger.as_str().unwrap();
    trial.import(signed_consent(&city, unknown, "bank-1", |_| {}).unwrap());
    trial.refused(&caller.score(&changed(0, "applicant", stranger.clone())), 404, "unknown-enterprise");
    assert_eq!(trial.uses(unknown), 0);

    // One enterprise too often.
    let limited = (0..20).map(|_| caller.score(&changed(0, "applicant", stranger.clone()))).find(|a| a.status == 429);
    let limited = limited.unwrap();
    trial.refused(&limited, 429, "rate-limited");
    assert!(limited.retry_after.is_some_and(|seconds| seconds >= 1));

    // A challenger that does not exist leaves the champion's answer as it is.
    let both = caller.score(&changed(4, "challenger", json!("0123456789abcdef")));
    trial.scored(&both);
    assert_eq!(both.body["challenger"]["problem"]["code"], "unknown-model");

    // Retired models do not score; a token that was ended opens nothing.
    let model = both.body["model"]["digest"].as_str().unwrap();
    let secret = trial.left.root.join("secret");
    let add = ["operator", "add", "zhao", "--role", "validation", "--secret-file", text(&secret)];
    let signed = ["--signer", "chen", "--signer-secret-file", text(&secret)];
    done(&[add.as_slice(), &signed, &["--node", text(&trial.bank)]].concat());
    let retire = ["model", "retire", &model[..12], "--operator", "zhao", "--secret-file", text(&secret)];
    done(&[retire.as_slice(), &["--node", text(&trial.bank)]].concat());
    trial.refused(&caller.score(&changed(5, "model", json!(model))), 410, "model-retired");
    assert!(trial.token(&["revoke", "core"], "lin").status.success());
    trial.refused(&caller.score(&applicants[5]), 401, "unauthorized");

    let log = trial.log();
    for code in ["unauthorized", "forbidden", "bad-request", "no-consent", "paused", "rate-limited", "model-retired"] {
        assert!(log.contains(&format!("\"outcome\":\"{code}\"")), "{code}");
    }
    assert!(log.contains("token.revoke"));
    trial.verified(&[&token, &reader, subject]);
}

/// A platform that is silent, a node that has enough to do, a platform that is gone; and back.
#[test]
fn no_caller_hangs_and_a_late_answer_is_not_lost() {
    let mut trial = Serving::new("in_flight = 2\ndeadline_ms = 2500\n");
    let token = trial.issue("core", "score");
    let caller = trial.caller().with(&token);
    let applicants = trial.applicants();
    let subject = applicants[0]["applicant"].as_str().unwrap();
    let used = trial.uses(subject);
    trial.left.signal("platform", "STOP");
    let calls: Vec<_> = (0..2)
        .map(|place| {
            let (caller, request) = (caller.clone(), applicants[place].clone());
            std::thread::spawn(move || caller.score_once(&request, &format!("key-{place}")))
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    let shed = caller.score(&applicants[2]);
    trial.refused(&shed, 503, "overloaded");
    assert!(shed.retry_after.is_some() && calls.iter().all(|call| !call.is_finished()));
    for call in calls {
        let answer = call.join().unwrap();
        trial.refused(&answer, 504, "timeout");
        assert!(answer.retry_after.is_some());
    }
    // Not even a bank that dies meanwhile loses what it has asked.
    trial.left.stop("bank-1");
    trial.left.go_on("bank-1");
    trial.left.signal("platform", "CONT");
    trial.until_ready();
    let caller = trial.caller().with(&token);
    // The platform's late answers are kept under their keys: the use that they cost is not counted twice.
    let deadline = Instant::now() + Duration::from_secs(20);
    let late = loop {
        let answer = caller.score_once(&applicants[0], "key-0");
        if answer.status == 200 {
            break answer;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
    };
    trial.scored(&late);
    assert_eq!(trial.uses(subject), used + 1);
    trial.until_ready();

    trial.left.stop("platform");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = caller.score(&applicants[3]);
        if answer.body["code"] == "peer-unreachable" {
            trial.refused(&answer, 503, "peer-unreachable");
            assert!(answer.retry_after.is_some());
            break;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while caller.get("/readyz").unwrap().0 != 503 {
        assert!(Instant::now() < deadline);
    }
    assert_eq!(caller.get("/livez").unwrap().0, 200);
    // What was answered stays answered.
    assert_eq!(caller.score_once(&applicants[0], "key-0").body, late.body);
    trial.left.go_on("platform");
    trial.until_ready();
    trial.scored(&caller.score(&applicants[3]));
    trial.verified(&[&token, subject]);
}

/// Where the contract says so, the bank's own model answers while the platform is away, and says that it is not the other.
#[test]
fn the_banks_own_model_answers_where_the_contract_lets_it() {
    let mut trial = Serving::new("fallback_validity_days = 3\n");
    let template = trial.left.root.join("fallback.toml");
    let shipped = std::fs::read_to_string(crate::left::template()).unwrap();
    // Another model than the demo's.
    let shipped = shipped.replace("\nc = 1.0\n", "\nc = 0.5\n");
    std::fs::write(&template, shipped + "\n[scoring]\nfallback = \"bank-only\"\n").unwrap();
    let proposed = trial.left.propose_from(&template, 3);
    assert!(proposed.status.success(), "{}", error_of(&proposed));
    let session = crate::program::last_object(&proposed)["session"].as_str().unwrap().to_owned();
    trial.left.approve("platform", &session);
    for bank in ["bank-1", "bank-2", "bank-3"] {
        trial.left.wait(bank, &session, &["proposed"]);
        let shown = run(&["session", "show", &session, "--node", text(&trial.left.directory(bank))]);
        assert!(String::from_utf8_lossy(&shown.stdout).contains("marked as fallback"));
        trial.left.approve(bank, &session);
    }
    trial.left.wait("bank-1", &session, &["closed"]);
    let token = trial.issue("core", "score");
    let caller = trial.caller().with(&token);
    let mut request = trial.applicants()[0].clone();
    let champion = request.clone();
    request["model"] = json!(session);
    let joint = caller.score(&request);
    trial.scored(&joint);
    assert_eq!((&joint.body["fallback"], &joint.body["consent"].is_string()), (&json!(false), &true));
    trial.left.stop("platform");
    let deadline = Instant::now() + Duration::from_secs(20);
    let alone = loop {
        let answer = caller.score_once(&request, "alone");
        if answer.status == 200 {
            break answer;
        }
        assert!(Instant::now() < deadline && answer.status == 504, "{answer:?}");
    };
    trial.scored(&alone);
    let body = &alone.body;
    assert_eq!((&body["fallback"], &body["consent"], &body["points"]), (&json!(true), &Value::Null, &Value::Null));
    assert_eq!(body["model"]["algorithm"], "bank-only");
    assert!(body["valid_until"].as_str() < joint.body["valid_until"].as_str());
    let own = body["reasons"].as_array().unwrap();
    assert!(own.iter().all(|reason| request["fields"].get(reason["field"].as_str().unwrap()).is_some()), "{own:?}");
    assert_eq!(caller.score_once(&request, "alone").body, alone.body);
    // Another contract does not allow it.
    trial.refused(&caller.score(&champion), 503, "peer-unreachable");
    assert!(trial.log().contains("\"outcome\":\"fallback\""));

    // Rows of a file wait for the platform, and the log tells of them in sum.
    let (input, output) = (trial.left.root.join("three.csv"), trial.left.root.join("three-scored.csv"));
    let file = std::fs::read_to_string(trial.left.root.join("inputs/applicants-bank-1.csv")).unwrap();
    std::fs::write(&input, file.lines().take(4).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let files = ["--input", text(&input), "--output", text(&output)];
    let batch =
        [&["score", "batch", "--model", session.as_str(), "--node", text(&trial.bank)], files.as_slice()].concat();
    let batch = tallystick(&batch).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    assert!(trial.log().contains("\"outcome\":\"peer-unreachable\",\"count\":3"));
    trial.left.go_on("platform");
    assert!(batch.wait_with_output().unwrap().status.success());
    let scored = std::fs::read_to_string(&output).unwrap();
    let consents: Vec<_> = scored.lines().skip(1).map(|line| line.split(',').nth(5).unwrap()).collect();
    assert!(consents.len() == 3 && consents.iter().all(|consent| consent.len() == 64), "{scored}");
    trial.until_ready();
    trial.verified(&[&token, request["applicant"].as_str().unwrap()]);
}
