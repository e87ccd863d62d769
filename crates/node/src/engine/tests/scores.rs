//! A score counts at the bank under a consent that allows it by the bank's own register, whatever the platform says.

use serde_json::Value;
use tally_crypto::transcript::Digest;
use tally_policy::{Consent, Fetch, Form, Level, Purpose, application_digest};
use tally_protocol::outcome::OutcomeReport;
use tally_protocol::scoring::{ScoreOutcome, ScoreRequests, ScoreResponses};

use super::super::*;
use super::consortium::{Consortium, PLATFORM, Posted};
use super::day::Day;
use crate::control::ScoreOrder;

/// The platform's answer about an applicant, as `change` makes it of the honest one; what the bank's caller hears.
fn answered(
    day: &mut Day,
    order: &ScoreOrder,
    change: impl FnOnce(&mut ScoreOutcome, &mut String),
) -> Result<Value, Failure> {
    let (reply, mut answer) = Reply::channel();
    let (all, asked) = (&mut day.all, order.clone());
    all.turn("bank-1", |engine| engine.obey(Command::Score(asked), reply)).unwrap();
    let (mut honest, before) = (None, all.post.len());
    // Up to the answer, which this platform does not send as it is.
    all.pump(|all| {
        honest = all.nodes[PLATFORM].store.next_unacknowledged("bank-1", all.sent(PLATFORM, "bank-1")).unwrap();
        all.post.len() > before && honest.is_some()
    });
    let letter = honest.unwrap();
    let ScoreResponses(mut responses) = ScoreResponses::decode(&letter.body).unwrap();
    let mut session = letter.session.clone();
    change(&mut responses[0].outcome, &mut session);
    let body = ScoreResponses(responses).encode();
    all.replace(
        PLATFORM,
        "bank-1",
        letter.sequence,
        &Posted { from: PLATFORM, to: "bank-1", session, kind: letter.kind, body },
    );
    answer.try_recv().unwrap_or_else(|_| Err(failure::unavailable("nobody answered")))
}

fn under(consent: Digest) -> impl FnOnce(&mut ScoreOutcome, &mut String) {
    move |outcome, _| match outcome {
        ScoreOutcome::Scored { consent: named, .. } | ScoreOutcome::Coded { consent: named, .. } => *named = consent,
        ScoreOutcome::Refused { code, reason } => panic!("{code}: {reason}"),
    }
}

/// A further consent, at the bank.
fn also(day: &mut Day, name: &str, change: impl FnOnce(&mut Consent)) -> Digest {
    let subject = day.was.applicant.id.clone();
    day.all.consent(&subject, "bank-1", &["bank-1"], |consent| {
        consent.consent_id = name.into();
        change(consent);
    })
}

#[test]
fn a_consent_that_does_not_allow_the_score_is_refused_whatever_the_platform_says() {
    let mut day = Day::new();
    let order = day.was.applicant.clone();
    let honest = answered(&mut day, &order, |_, _| {});
    assert!(honest.as_ref().is_ok_and(|score| score["score"].is_i64()), "{honest:?}");
    let provider = day.all.consent(&order.id, PLATFORM, &["bank-1"], |consent| {
        consent.consent_id = "told".into();
        consent.providers = vec!["bank-1".into()];
    });
    let others = [
        (provider, "no-consent"),
        (also(&mut day, "other-provider", |consent| consent.providers = vec!["bank-1".into()]), "provider"),
        (also(&mut day, "other-purpose", |consent| consent.purposes = vec![Purpose::PostLoanMonitoring]), "purpose"),
        (also(&mut day, "other-category", |consent| consent.categories = vec!["loan-outcome".into()]), "category"),
        (also(&mut day, "other-field", |consent| consent.fields = vec!["court_cases_24m".into()]), "category"),
        (also(&mut day, "lower-level", |consent| consent.max_level = Level::L1), "level"),
        (
            also(&mut day, "other-application", |consent| {
                (consent.fetch, consent.application) = (Fetch::OneTime, Some("a-7".into()));
            }),
            "application",
        ),
        (Digest([9; 32]), "no-consent"),
    ];
    for (consent, code) in others {
        let answer = answered(&mut day, &order, under(consent));
        let refusal = answer.expect_err(code);
        assert_eq!(refusal.code.as_deref(), Some(code), "{refusal}");
    }
    let closed = also(&mut day, "most-closed", |consent| consent.form = Form::Sealed);
    assert!(answered(&mut day, &order, under(closed)).is_ok(), "a scorecard's points are in the most closed form");
}

/// The name of an application leaves only where a consent rests on it, and then the score does.
#[test]
fn an_application_is_named_to_the_platform_only_where_a_consent_names_it() {
    let mut day = Day::new();
    let mut order = day.was.applicant.clone();
    let named = |all: &Consortium| {
        let asked = all.post.iter().rev().find(|posted| posted.kind == "score-request").unwrap();
        ScoreRequests::decode(&asked.body).unwrap().0[0].application
    };
    for application in [None, Some("000123")] {
        order.application = application.map(Into::into);
        assert!(day.all.score("bank-1", &order).is_ok());
        assert_eq!(named(&day.all), None);
    }
    let consent = also(&mut day, "one-loan", |consent| {
        (consent.fetch, consent.application) = (Fetch::OneTime, Some("000123".into()));
    });
    assert!(answered(&mut day, &order, under(consent)).is_ok());
    assert_eq!(named(&day.all), Some(application_digest("000123")));
    // Of another application nothing is told, and the consent does not count for it.
    order.application = Some("000124".into());
    assert_eq!(answered(&mut day, &order, under(consent)).unwrap_err().code.as_deref(), Some("application"));
    assert_eq!(named(&day.all), None);
}

/// An answer in another session than the question is refused, and leaves the caller waiting for the right one.
#[test]
fn an_answer_must_come_where_it_was_asked() {
    let mut day = Day::new();
    let (order, other) = (day.was.applicant.clone(), day.was.proposed.clone());
    let first = day.all.nodes["bank-1"].ledger.next();
    let answer = answered(&mut day, &order, move |_, session| *session = other);
    assert_eq!(answer.unwrap_err().message, "nobody answered");
    assert_eq!(day.all.nodes["bank-1"].waiting_scores.len(), 1);
    let refused = |entry: &tally_audit::Entry| matches!(entry.body, tally_audit::Body::Refusal { .. });
    assert!(day.all.entries("bank-1", first).iter().any(refused));
}

/// Of outcomes the platform learns which are of one application, and no number of an application that a guess would find.
#[test]
fn outcomes_are_told_under_names_of_the_banks_own() {
    let mut day = Day::new();
    let told = |day: &Day| {
        let reports = day.all.post.iter().filter(|posted| posted.kind == "outcome");
        let reports: Vec<_> = reports.map(|posted| OutcomeReport::decode(&posted.body).unwrap()).collect();
        reports.into_iter().map(|report| report.outcomes).collect::<Vec<_>>()
    };
    let first = told(&day);
    assert_eq!((first.len(), first[0].len()), (1, 2));
    for one in &first[0] {
        assert!(["a-0", "a-1"].iter().all(|number| one.application != application_digest(number)));
        assert_eq!(one.named, None);
    }
    // What was not taken in is told again, under the same name.
    day.all.tell("bank-1", Command::OutcomeReport { purpose: Purpose::PostLoanMonitoring });
    day.all.pump(|_| false);
    let again = told(&day);
    assert_eq!(again.len(), 2);
    assert!(again[1].iter().all(|one| first[0].iter().any(|before| before.application == one.application)));
}

/// A value that no training row lacked: leaving it out gains nothing, since it has the points of the field's worst class.
#[test]
fn leaving_a_value_out_gains_no_points() {
    let mut day = Day::new();
    let fit = day.all.tell("bank-1", Command::ModelShow { model: None })["results"]["fit"].clone();
    let fields = fit["fields"].as_array().unwrap();
    let mut looked_at = 0;
    for name in day.was.applicant.fields.keys().cloned().collect::<Vec<_>>() {
        let Some(field) = fields.iter().find(|field| field["name"] == name.as_str() && field["dropped"].is_null())
        else {
            continue;
        };
        let rows = field["good"][0].as_i64().unwrap() + field["bad"][0].as_i64().unwrap();
        if rows > 0 {
            continue;
        }
        let mut score = |value: Value| {
            let mut order = day.was.applicant.clone();
            order.fields.insert(name.clone(), value);
            day.all.score("bank-1", &order).ok()?["score"].as_i64()
        };
        let without = score(Value::Null).unwrap();
        let given: Vec<_> = ["0", "1", "3", "5", "7", "10", "50", "500", "5000"]
            .iter()
            .filter_map(|value| score(serde_json::json!(value)))
            .collect();
        assert!(given.len() > 2 && given.iter().all(|score| without <= *score), "{name}: {without} of {given:?}");
        looked_at += 1;
    }
    assert!(looked_at > 0, "{fit}");
}
