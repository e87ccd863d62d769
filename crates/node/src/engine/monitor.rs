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
        let mut by_request = BTreeMap::new();
        let mut by_application = BTreeMap::new();
        for one in &recorded {
            by_request.extend(one.latest.request.as_deref().map(|request| (request, one)));
            by_application.insert(application_digest(&one.latest.application), one);
        }
        let mut applicants = Vec::new();
        for (request, held) in self.store.scores::<Held>()? {
            let probability = held.result.as_ref().and_then(|result| result["probability"].as_f64());
            let (true, Some(probability)) = (held.session == session && held.seen.time > 0, probability) else {
                continue;
            };
            let outcome = by_request.get(request.as_str()).copied();
            let outcome = outcome.or_else(|| by_application.get(&held.seen.application?).copied());
            let all = [held.own.as_slice(), &held.seen.codes].concat();
            applicants.push(Applicant {
                month: month(held.seen.time),
                log_odds: libm::log(probability / (1.0 - probability)),
                codes: pick(&all, places),
                partial: held.seen.points,
                loan: outcome.and_then(|outcome| seen(outcome, months)),
            });
        }
        Ok(applicants)
    }
}

/// What is known of a loan after its window of so many months.
fn seen(outcome: &Recorded, months: u32) -> Option<LoanSeen> {
    let end = outcome.latest.loan.as_ref()?.start.after_months(months);
    let bad = outcome.states.iter().any(|(day, state)| *day <= end && state.is_bad());
    Some(LoanSeen { bad, mature: outcome.latest.as_of >= end })
}

fn month(time: i64) -> String {
    Day::of(time).to_string()[..7].to_owned()
}

fn pick(codes: &[u16], places: &[usize]) -> Vec<u16> {
    places.iter().map(|place| codes.get(*place).copied().unwrap_or(0)).collect()
}
