//! What the scores that were given say of the models that gave them.
//!
//! A bank knows its applicants' scores, the codes of its own fields, of scorecards the platform's points as one sum, and what
//! became of the loans. The platform knows the codes of its own fields, and no score. Each reports what it knows; nothing
//! leaves the node.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tally_crypto::transcript::Digest;
use tally_model::Fitted;
use tally_model::monitor::{Applicant, Development, LoanSeen, Report};
use tally_policy::{Day, application_digest};
use tally_protocol::scoring::ScoreOutcome;
use tally_protocol::session::{Contract, Holder};

use super::outcomes::Recorded;
use super::scoring::{Given, Held};
use super::{Engine, now};
use crate::control::ScoreOrder;
use crate::failure::{self, Failure};

/// Months after its start within which a loan that goes bad counts as bad, where the contract does not say.
const WINDOW: u32 = 12;

/// What a bank keeps of a score for monitoring.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Seen {
    /// When it was asked, Unix milliseconds; 0 of scores from before this was kept.
    time: i64,
    /// The application, by its name.
    application: Option<Digest>,
    /// Points of the platform's fields together.
    points: Option<i64>,
    /// Codes of the platform's fields, where they travelled.
    codes: Vec<u16>,
}

impl Seen {
    /// Of an applicant that is about to be asked about.
    pub(super) fn of(order: &ScoreOrder) -> Self {
        let application = order.application.as_deref().map(application_digest);
        Self { time: now(), application, ..Self::default() }
    }

    /// The application, by its name.
    pub(super) fn application(&self) -> Option<Digest> {
        self.application
    }

    /// With what the platform answered.
    pub(super) fn and(self, outcome: &ScoreOutcome) -> Self {
        match outcome {
            ScoreOutcome::Scored { points, .. } => Self { points: Some(*points), ..self },
            ScoreOutcome::Coded { codes, .. } => Self { codes: codes.clone(), ..self },
            ScoreOutcome::Refused { .. } => self,
        }
    }
}

impl Engine {
    /// The report on a model, the champion if none is named; `window` in months.
    pub(super) fn monitor(&self, model: Option<&str>, window: Option<u32>) -> Result<Value, Failure> {
        let record = self.find_model(model)?;
        let session = self.known_session(&record.session)?;
        let contract = self.contract_of(&session)?;
        let terms = contract.terms();
        let text = self.store.result(&record.session, "fit")?;
        let text = text.ok_or_else(|| failure::internal("the fit of a released model is missing"))?;
        let fit: Fitted = serde_json::from_slice(&text).map_err(failure::internal)?;
        let fields = self.fields_known(&fit, terms);
        let development = Development::of(&fit, |name| fields.contains(&name));
        let places: Vec<_> = development
            .fields
            .iter()
            .map(|field| fields.iter().position(|name| *name == field.name).unwrap_or(usize::MAX))
            .collect();
        let months = window.or(terms.sample.as_ref().map(|sample| sample.outcome_months)).unwrap_or(WINDOW);
        let applicants = if self.is_platform() {
            self.applicants_given(&record.session, &places)?
        } else {
            self.applicants_held(&record.session, &places, months)?
        };
        let report = Report::new(&development, &applicants);
        Ok(json!({
            "node": self.me(),
            "role": self.config.node.role,
            "model": record.model,
            "session": record.session,
            "title": terms.title,
            "algorithm": record.algorithm,
            "window_months": months,
            "latest": report.latest(),
            "report": report,
            "titles": self.titles()?,
        }))
    }

    /// The fields whose codes this node knows of its scores, in the order in which it keeps them.
    fn fields_known<'a>(&self, fit: &Fitted, terms: &'a Contract) -> Vec<&'a str> {
        let of = |holder| terms.fields_of(holder).map(|field| field.name.as_str());
        match (self.is_platform(), fit) {
            (true, _) => of(Holder::Platform).collect(),
            (false, Fitted::Trees(_)) => of(Holder::Banks).chain(of(Holder::Platform)).collect(),
            (false, _) => of(Holder::Banks).collect(),
        }
    }

    /// Platform: whom it gave scores of, with the codes that it used.
    fn applicants_given(&self, session: &str, places: &[usize]) -> Result<Vec<Applicant>, Failure> {
        let given = self.store.scores::<Given>()?;
        let given = given.into_iter().map(|(_, given)| given);
        let applicant = |given: Given| Applicant {
            month: month(given.time),
            log_odds: f64::NAN,
            codes: pick(&given.codes, places),
            partial: None,
            loan: None,
        };
        Ok(given.filter(|given| given.session == session && !given.codes.is_empty()).map(applicant).collect())
    }

    /// Bank: whom it scored, with what became of them.
    fn applicants_held(&self, session: &str, places: &[usize], months: u32) -> Result<Vec<Applicant>, Failure> {
        let recorded: Vec<Recorded> = self.store.outcomes()?;
        let mut scores = self.store.scores::<Held>()?;
        scores.retain(|(_, held)| held.session == session && held.seen.time > 0 && probability(held).is_some());
        let outcomes = joined(&recorded, &scores);
        let applicant = |((_, held), outcome): (&(String, Held), Option<&Recorded>)| {
            let probability = probability(held)?;
            let all = [held.own.as_slice(), &held.seen.codes].concat();
            Some(Applicant {
                month: month(held.seen.time),
                log_odds: libm::log(probability / (1.0 - probability)),
                codes: pick(&all, places),
                partial: held.seen.points,
                loan: outcome.and_then(|outcome| seen(outcome, months)),
            })
        };
        Ok(scores.iter().zip(outcomes).filter_map(applicant).collect())
    }
}

/// Under the joint model, which is what a model's development is told in.
fn probability(held: &Held) -> Option<f64> {
    let result = held.result.as_ref()?;
    result["joint_probability"].as_f64().or_else(|| result["probability"].as_f64())
}

/// Of each score what became of its loan: the outcome that names it or, of outcomes that name no score, that of its
/// application, if the application has no later score. Both are of the same enterprise.
fn joined<'a>(recorded: &'a [Recorded], scores: &[(String, Held)]) -> Vec<Option<&'a Recorded>> {
    let (mut by_request, mut by_application) = (BTreeMap::new(), BTreeMap::new());
    for one in recorded {
        let subject = one.latest.subject.as_str();
        match one.latest.request.as_deref() {
            Some(request) => drop(by_request.insert((request, subject), one)),
            None => drop(by_application.insert((application_digest(&one.latest.application), subject), one)),
        }
    }
    let mut latest = BTreeMap::<(Digest, &str), (i64, &str)>::new();
    for (request, held) in scores {
        let Some(application) = held.seen.application else { continue };
        let known = latest.entry((application, &held.subject)).or_default();
        *known = (*known).max((held.seen.time, request.as_str()));
    }
    let outcome = |(request, held): &(String, Held)| {
        let named = by_request.get(&(request.as_str(), held.subject.as_str()));
        let of_application = || {
            let key = (held.seen.application?, held.subject.as_str());
            let is_latest = latest.get(&key).is_some_and(|(_, latest)| *latest == request.as_str());
            by_application.get(&key).filter(|_| is_latest)
        };
        named.or_else(of_application).copied()
    };
    scores.iter().map(outcome).collect()
}

/// What is known of a loan after its window of so many months. A loan that was not bad within it, and whose next state is bad,
/// may have become so within it: it counts as if the window were not over.
fn seen(outcome: &Recorded, months: u32) -> Option<LoanSeen> {
    let end = outcome.latest.loan.as_ref()?.start.after_months(months);
    let bad = outcome.states.range(..=end).any(|(_, state)| state.is_bad());
    let good = outcome.states.range(end..).next().is_some_and(|(_, state)| !state.is_bad());
    Some(LoanSeen { bad, mature: if bad { outcome.latest.as_of >= end } else { good } })
}

fn month(time: i64) -> String {
    Day::of(time).to_string()[..7].to_owned()
}

fn pick(codes: &[u16], places: &[usize]) -> Vec<u16> {
    places.iter().map(|place| codes.get(*place).copied().unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(request: &str, subject: &str, application: &str, time: i64) -> (String, Held) {
        let seen = Seen { time, application: Some(application_digest(application)), ..Seen::default() };
        let held = json!({
            "session": "s",
            "subject": subject,
            "entry": 0,
            "own": [],
            "reasons": 0,
            "seen": seen,
            "result": { "probability": 0.5 },
        });
        (request.into(), serde_json::from_value(held).unwrap())
    }

    /// An outcome of a loan from the first day of 2024, with its state on some days.
    fn recorded(application: &str, subject: &str, request: Option<&str>, states: &[(&str, &str)]) -> Recorded {
        let (as_of, state) = states.last().unwrap();
        let mut latest = json!({
            "application": application, "subject": subject, "as_of": as_of,
            "loan": { "amount": 1, "rate": 1.0, "start": "2024-01-01", "state": state },
        });
        if let Some(request) = request {
            latest["request"] = request.into();
        }
        let states: BTreeMap<_, _> = states.iter().copied().collect();
        serde_json::from_value(json!({ "latest": latest, "states": states, "told": null })).unwrap()
    }

    #[test]
    fn a_loan_is_joined_to_one_score_of_its_enterprise() {
        let current = [("2025-02-01", "current")];
        let outcomes = [
            recorded("a", "e1", None, &current),
            recorded("b", "e1", Some("r3"), &current),
            recorded("c", "e1", Some("r5"), &current),
        ];
        let scores = [
            held("r1", "e1", "a", 1),
            // The latest score of the first application; the next one is of another enterprise.
            held("r2", "e1", "a", 9),
            held("r4", "e2", "a", 10),
            held("r3", "e1", "b", 2),
            // The second application was scored again; its outcome names the score that counted.
            held("r6", "e1", "b", 3),
            held("r5", "e2", "c", 3),
        ];
        let names = joined(&outcomes, &scores).into_iter().map(|one| one.map(|one| one.latest.application.as_str()));
        assert_eq!(names.collect::<Vec<_>>(), [None, Some("a"), None, Some("b"), None, None]);
    }

    #[test]
    fn a_loan_is_good_only_if_it_was_seen_good_after_its_window() {
        let found = |states: &[(&str, &str)]| {
            let seen = seen(&recorded("a", "e", None, states), 12).unwrap();
            (seen.bad, seen.mature)
        };
        assert_eq!(found(&[("2024-12-31", "current")]), (false, false));
        assert_eq!(found(&[("2025-01-01", "current")]), (false, true));
        assert_eq!(found(&[("2024-06-01", "current"), ("2025-06-01", "default")]), (false, false));
        assert_eq!(found(&[("2025-06-01", "default")]), (false, false));
        assert_eq!(found(&[("2025-01-02", "current"), ("2025-06-01", "default")]), (false, true));
        assert_eq!(found(&[("2024-06-01", "default")]), (true, false));
        assert_eq!(found(&[("2024-06-01", "default"), ("2025-06-01", "default")]), (true, true));
    }
}
