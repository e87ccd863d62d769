//! Online scoring: the bank asks, the platform checks consent, counts the use and adds its points, the bank gives reasons.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tally_crypto::transcript::{Digest, commit};
use tally_model::{Fitted, Scorecard, Scoring as _, Unseen};
use tally_policy::{Cleared, Form, Purpose};
use tally_protocol::kind::MessageKind;
use tally_protocol::scoring::{
    MOST_REQUESTS, PointsLost, ScoreOutcome, ScoreRequest, ScoreRequests, ScoreResponse, ScoreResponses,
};
use tally_protocol::session::{Contract, Holder};

use super::applicant::own_codes;
use super::calls::{Asked, Served};
use super::clearance::Application;
use super::group::Outward;
use super::monitor::Seen;
use super::score_consent::form_of;
use super::serving::Side;
use super::step::Step;
use super::{Engine, book};
use crate::control::{Reply, ScoreOrder};
use crate::failure::{self, Failure};
use crate::store::{ModelState, Record};

/// A score that waits for the platform's answer.
pub(super) struct Waiting {
    pub(super) reply: Reply,
    pub(super) deadline: Instant,
    pub(super) held: Held,
}

/// What a bank keeps of a score, to give it again if a value turns out to have been wrong.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) session: String,
    pub(super) subject: String,
    /// Entry of the request.
    pub(super) entry: u64,
    /// Codes of the bank's own fields, in contract order.
    pub(super) own: Vec<u16>,
    reasons: usize,
    /// Why the bank asked; not kept of scores from before this was compared with consents.
    #[serde(default)]
    pub(super) purpose: Option<Purpose>,
    /// What monitoring needs.
    #[serde(default)]
    pub(super) seen: Seen,
    /// What was answered last.
    pub(super) result: Option<Value>,
    /// The call of the scoring service that it answers.
    #[serde(default)]
    pub(super) asked: Option<Asked>,
}

impl Record for Held {
    const TYPE: &'static str = "score-held";
}

impl Held {
    /// The same score with another result.
    pub(super) fn with(&self, result: Value) -> Self {
        Self { result: Some(result), ..self.clone() }
    }
}

/// What the platform keeps of a score.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Given {
    pub(super) session: String,
    pub(super) subject: String,
    pub(super) bank: String,
    pub(super) purpose: Purpose,
    pub(super) form: Form,
    pub(super) time: i64,
    /// Codes of the platform's fields, in contract order; for monitoring.
    #[serde(default)]
    pub(super) codes: Vec<u16>,
}

impl Record for Given {
    const TYPE: &'static str = "score-given";
}

const PATIENCE: Duration = Duration::from_secs(10);

impl Engine {
    /// Bank: begins a score; the answer follows when the platform has answered.
    pub(super) fn begin_score(
        &mut self,
        order: ScoreOrder,
        served: Option<&Served>,
        reply: Reply,
    ) -> Result<(), Failure> {
        if self.is_platform() {
            return Err(failure::usage("applicants are scored at a bank's node"));
        }
        let session = self.choose_model(order.session.as_deref())?;
        let model = &self.models[&session];
        let contract = Arc::clone(&model.contract);
        let own = own_codes(|place, number| model.fitted.code(place, number), contract.terms(), &order)?;
        let names = contract.terms().fields_of(Holder::Banks).map(|field| field.name.as_str());
        if let Some(unseen) = refused_code(&model.fitted, contract.terms(), names.zip(&own), &[]) {
            return Err(failure::refused(unseen).coded("value-unseen"));
        }
        let platform = contract.terms().platform().map(|platform| platform.name.clone()).unwrap_or_default();
        if !self.connected.contains_key(&platform) {
            return Err(failure::retry(format!("no score: {platform} is out of reach; try again when it is back"))
                .coded("peer-unreachable"));
        }
        let random: [u8; 16] = super::random_bytes()?;
        let (id, seen) = (self.canonical(&order.id)?, Seen::of(&order));
        // The platform needs the application's name where a consent rests on it, and knows it from there.
        let named = |application: &Digest| self.register.is_named(&id, self.me(), application);
        let request = ScoreRequest {
            request: hex::encode(random),
            session: session.clone(),
            model: model.digest,
            subject: id.clone(),
            purpose: order.purpose,
            application: seen.application().filter(named),
            consent: served.and_then(|served| served.consent),
        };
        let applicant = commit("applicant", &random, request.subject.as_bytes());
        let subject = request.subject.clone();
        let caller = served.map(|served| served.caller);
        let mut held = Held {
            session: session.clone(),
            subject,
            entry: 0,
            own,
            reasons: order.reasons,
            purpose: Some(order.purpose),
            seen,
            result: None,
            asked: served.map(Served::asked),
        };
        self.step(|engine, step| {
            let me = engine.me().to_owned();
            let entry = step.record(Some(&session), &me, book::score_request(&request, applicant, caller));
            engine.store.put_opening(entry, &engine.subject_tag(&request.subject), &random, &request.subject)?;
            held.entry = entry;
            if let Some(key) = served.and_then(|served| served.key.as_ref()) {
                engine.keep_call(key, &request.request, &held)?;
            }
            Ok(())
        })?;
        let deadline = served.map_or_else(|| Instant::now() + PATIENCE, |served| served.deadline);
        let waiting = Waiting { reply, deadline, held };
        self.waiting_scores.insert(request.request.clone(), waiting);
        self.group.ask(platform, request);
        Ok(())
    }

    /// Bank: everything that the group asks the platform leaves in one message a session.
    pub(super) fn send_asked(&mut self) -> Result<(), Failure> {
        for ((platform, session), requests) in self.group.asked() {
            for part in requests.chunks(MOST_REQUESTS) {
                let body = ScoreRequests(part.to_vec()).encode();
                self.step(|engine, step| {
                    engine.write(step, &platform, &session, MessageKind::ScoreRequest, "score", body)
                })?;
            }
        }
        Ok(())
    }

    /// Platform: answers the requests of a message; a refusal is an answer too.
    pub(super) fn score_requests(
        &mut self,
        step: &mut Step,
        peer: &str,
        session: &str,
        body: &[u8],
    ) -> Result<(), Failure> {
        let ScoreRequests(requests) = ScoreRequests::decode(body)
            .filter(|ScoreRequests(requests)| requests.iter().all(|request| request.session == session))
            .ok_or_else(|| failure::refused(format!("{peer} sent something that is no list of score requests")))?;
        let responses = requests.into_iter().map(|request| self.score_request(step, peer, request));
        let body = ScoreResponses(responses.collect::<Result<_, _>>()?).encode();
        self.write(step, peer, session, MessageKind::ScoreResponse, "score", body)
    }

    fn score_request(&mut self, step: &mut Step, peer: &str, request: ScoreRequest) -> Result<ScoreResponse, Failure> {
        let session = Some(request.session.as_str());
        let applicant = applicant_commitment(&request)
            .ok_or_else(|| failure::refused(format!("{peer} sent a score request with a malformed name")))?;
        step.record(session, peer, book::score_request(&request, applicant, None));
        let outcome = self.decide_score(step, peer, &request)?;
        step.record(session, self.me(), book::score_response(&request.request, &outcome));
        Ok(ScoreResponse { request: request.request, outcome })
    }

    fn decide_score(&mut self, step: &mut Step, peer: &str, request: &ScoreRequest) -> Result<ScoreOutcome, Failure> {
        let refuse = |code: &str, reason: String| Ok(ScoreOutcome::Refused { code: code.into(), reason });
        let known = self.models.get(&request.session).filter(|model| model.digest == request.model);
        let Some(model) = known else {
            return refuse("unknown-model", "this model was not released here, or is not fit to serve".into());
        };
        let contract = Arc::clone(&model.contract);
        let form = form_of(&model.fitted);
        if self.find_model(Some(&request.session))?.state == ModelState::Retired {
            return refuse("model-retired", "the platform has retired this model".into());
        }
        if contract.terms().party(peer).is_none() {
            return refuse("not-a-party", format!("{peer} is no party of the session that made the model"));
        }
        let asked = Application {
            grantee: peer,
            session: &request.session,
            subject: &request.subject,
            purpose: request.purpose,
            application: request.application,
            consent: request.consent,
            form,
        };
        let (decision, entry) = self.decide(step, contract.terms(), &asked)?;
        let subject = match decision {
            Ok(subject) => subject,
            Err((code, reason)) => return refuse(&code, reason),
        };
        // Only who may be told of an enterprise is told that it is not there; nothing was used then.
        let Some(outcome) = self.platform_part(&request.session, &subject) else {
            return refuse("unknown-enterprise", "the platform's data set does not hold this enterprise".into());
        };
        if let ScoreOutcome::Refused { .. } = outcome {
            return Ok(outcome);
        }
        let consent = subject.consents().first().copied().unwrap_or_default();
        self.use_consent(step, &consent, entry, 1)?;
        let given = Given {
            session: request.session.clone(),
            subject: request.subject.clone(),
            bank: peer.into(),
            purpose: request.purpose,
            form,
            time: step.now,
            codes: self.platform_codes(&request.session, &subject),
        };
        self.store.put_score(entry, &request.request, &consent, &given)?;
        Ok(outcome)
    }

    /// The codes that the platform's part of a cleared enterprise's score rests on.
    fn platform_codes(&self, session: &str, subject: &Cleared<String>) -> Vec<u16> {
        match self.models.get(session).map(|model| &model.side) {
            Some(Side::Platform { rows, .. }) => rows.get(subject.as_str()).cloned().unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// The platform's part of a cleared enterprise's score; `None` if its data set does not hold the enterprise.
    pub(super) fn platform_part(&self, session: &str, subject: &Cleared<String>) -> Option<ScoreOutcome> {
        let model = self.models.get(session)?;
        let Side::Platform { half, rows } = &model.side else { return None };
        let mut codes = rows.get(subject.as_str())?.clone();
        let disputed = self.disputed_fields(subject);
        let mut withheld = Vec::new();
        for ((name, _), code) in half.tables.iter().zip(&mut codes) {
            if disputed.contains(name.as_str()) {
                *code = 0;
                withheld.push(name.clone());
            }
        }
        let consent = subject.consents().first().copied().unwrap_or_default();
        Some(match &model.fitted {
            Fitted::Statistics(_) => return None,
            Fitted::Scorecard(fit) => {
                let scorecard = Scorecard::new(fit);
                let names = || half.tables.iter().map(|(name, _)| name.as_str());
                if let Some(reason) =
                    refused_code(&model.fitted, model.contract.terms(), names().zip(&codes), &withheld)
                {
                    return Some(ScoreOutcome::Refused { code: "value-unseen".into(), reason });
                }
                let (points, lost) = points_of(&scorecard, names(), &codes, &withheld);
                ScoreOutcome::Scored { points, lost, consent, withheld }
            }
            Fitted::Trees(fit) => {
                let offered = fit.fields.iter().skip(fit.fields.len().saturating_sub(codes.len()));
                let codes = offered.zip(codes).map(|(field, code)| if field.splits > 0 { code } else { 0 }).collect();
                ScoreOutcome::Coded { codes, consent, withheld }
            }
        })
    }

    /// Bank: the platform's answers complete the scores.
    pub(super) fn score_responses(
        &mut self,
        step: &mut Step,
        peer: &str,
        session: &str,
        body: &[u8],
    ) -> Result<(), Failure> {
        let ScoreResponses(responses) = ScoreResponses::decode(body)
            .ok_or_else(|| failure::refused(format!("{peer} sent something that is no list of score responses")))?;
        // All of them before any: what is refused leaves everyone waiting.
        responses.iter().try_for_each(|response| self.check_asked(peer, session, &response.request))?;
        responses.into_iter().try_for_each(|response| self.score_response(step, peer, session, &response))
    }

    fn score_response(
        &mut self,
        step: &mut Step,
        peer: &str,
        session: &str,
        response: &ScoreResponse,
    ) -> Result<(), Failure> {
        let entry = step.record(Some(session), peer, book::score_response(&response.request, &response.outcome));
        let (reply, mut held) = match self.waiting_scores.remove(&response.request) {
            Some(Waiting { reply, held, .. }) => (Some(reply), held),
            None => match self.late_call(&response.request)? {
                Some(held) => {
                    self.keep_request_opening(&response.request, &held)?;
                    (None, held)
                }
                None => return Ok(()),
            },
        };
        let answer = self.complete(&held, &response.request, &response.outcome, None);
        if let (Ok(result), Some(consent)) = (&answer, consent_of(&response.outcome)) {
            held.result = Some(result.clone());
            held.seen = held.seen.and(&response.outcome);
            self.store.put_score(held.entry, &response.request, &consent, &held)?;
        }
        let answer = match &held.asked {
            Some(asked) => self.answer_call(&response.request, &held, asked, answer, entry)?,
            None => answer,
        };
        if let Some(reply) = reply {
            step.reply(reply, answer);
        }
        Ok(())
    }

    /// A score that comes late is found by the opening of its request, which may have reached the end of its life meanwhile.
    fn keep_request_opening(&self, request: &str, held: &Held) -> Result<(), Failure> {
        if !self.store.openings(held.entry..=held.entry, None)?.is_empty() {
            return Ok(());
        }
        let salt =
            salt_of(request).ok_or_else(|| failure::internal("a request of this node has no name of its own"))?;
        self.store.put_opening(held.entry, &self.subject_tag(&held.subject), &salt, &held.subject)
    }

    /// Bank: the score that the platform's part completes.
    /// `before` is the consent under which it was told already, if it was.
    pub(super) fn complete(
        &self,
        held: &Held,
        request: &str,
        outcome: &ScoreOutcome,
        before: Option<Digest>,
    ) -> Result<Value, Failure> {
        let gone =
            || failure::refused("no score (unknown-model): the model went out of use meanwhile").coded("unknown-model");
        let model = self.models.get(&held.session).ok_or_else(gone)?;
        let terms = model.contract.terms();
        let own = terms.fields_of(Holder::Banks).map(|field| field.name.as_str());
        let strange = || failure::refused("the platform answered for another kind of model");
        if let Some(consent) = consent_of(outcome) {
            self.check_consent(model, held, consent, before)?;
        }
        let (score, probability, parts, mut lost, withheld) = match (&model.fitted, outcome) {
            (_, ScoreOutcome::Refused { code, reason }) => {
                return Err(failure::refused(format!("no score ({code}): {reason}")).coded(code));
            }
            (Fitted::Scorecard(fit), ScoreOutcome::Scored { points, lost, withheld, .. }) => {
                let scorecard = Scorecard::new(fit);
                let (own_points, mut all) = points_of(&scorecard, own, &held.own, &[]);
                all.extend(lost.iter().cloned());
                let score = scorecard.base_points() + own_points + points;
                let parts = json!({ "base": scorecard.base_points(), "bank": own_points, "platform": points });
                (score, scorecard.probability(score), parts, all, withheld)
            }
            (Fitted::Trees(fit), ScoreOutcome::Coded { codes, withheld, .. }) => {
                let all: Vec<u16> = held.own.iter().chain(codes).copied().collect();
                if all.len() != fit.fields.len() {
                    return Err(strange());
                }
                let log_odds = fit.score(&all);
                let (factor, offset) = terms.model.scale();
                let reasons = fit.contributions(&all).reasons(fit.fields.len());
                let lost = reasons.into_iter().map(|(field, log_odds)| PointsLost {
                    field: fit.fields[field].name.clone(),
                    points: (factor * log_odds).round() as i64,
                });
                let score = (offset - factor * log_odds).round() as i64;
                (score, fit.probability(log_odds), Value::Null, lost.collect(), withheld)
            }
            _ => return Err(strange()),
        };
        let joint: f64 = probability;
        let calibrated = model.calibrated(libm::log(joint / (1.0 - joint)));
        lost.retain(|lost| lost.points > 0);
        lost.sort_by(|a, b| b.points.cmp(&a.points).then_with(|| a.field.cmp(&b.field)));
        lost.truncate(held.reasons);
        let titles = match &model.side {
            Side::Bank { titles, .. } => Some(titles),
            Side::Platform { .. } => None,
        };
        let reasons = lost.into_iter().map(|reason| {
            let text = titles.and_then(|titles| titles.get(&reason.field)).cloned();
            json!({ "field": reason.field, "points": reason.points, "text": text })
        });
        Ok(json!({
            "request": request,
            "score": score,
            "probability": calibrated.unwrap_or(joint),
            "joint_probability": joint,
            "points": parts,
            "reasons": reasons.collect::<Vec<_>>(),
            "session": held.session,
            "model": model.digest,
            "consent": consent_of(outcome),
            "withheld": withheld,
        }))
    }

    /// Scores that the platform did not answer in time are no scores.
    pub(super) fn give_up_scores(&mut self) {
        let late: Vec<_> = self
            .waiting_scores
            .iter()
            .filter(|(_, waiting)| waiting.deadline <= Instant::now())
            .map(|(request, _)| request.clone())
            .collect();
        for request in late {
            if let Some(waiting) = self.waiting_scores.remove(&request) {
                let text = "no score: the platform did not answer in time; try again";
                self.group.hold(Outward::Reply(waiting.reply, Err(failure::retry(text).coded("timeout"))));
            }
        }
    }
}

fn consent_of(outcome: &ScoreOutcome) -> Option<Digest> {
    match outcome {
        ScoreOutcome::Scored { consent, .. } | ScoreOutcome::Coded { consent, .. } => Some(*consent),
        ScoreOutcome::Refused { .. } => None,
    }
}

/// The commitment to the applicant, salted with the request's random name: the same in both logs.
fn applicant_commitment(request: &ScoreRequest) -> Option<Digest> {
    Some(commit("applicant", &salt_of(&request.request)?, request.subject.as_bytes()))
}

/// The salt that a request's name is.
fn salt_of(request: &str) -> Option<[u8; 16]> {
    let mut salt = [0; 16];
    hex::decode_to_slice(request, &mut salt).ok()?;
    Some(salt)
}

/// Why a code is not scored, where the contract refuses values of a kind that no training row had; not one that is withheld over an
/// objection, since an objection refuses nobody a score.
fn refused_code<'a>(
    fitted: &Fitted,
    terms: &Contract,
    mut codes: impl Iterator<Item = (&'a str, &'a u16)>,
    withheld: &[String],
) -> Option<String> {
    let fit = fitted.scorecard().filter(|_| terms.model.missing_unseen == Some(Unseen::Refuse))?;
    let scorecard = Scorecard::new(fit);
    let unseen = |(name, code): &(&str, &u16)| {
        scorecard.field(name).is_some_and(|field| field.is_unseen(**code))
            && !withheld.iter().any(|other| other == name)
    };
    let (name, code) = codes.find(unseen)?;
    let what = if *code == 0 { "is missing" } else { "has a value" };
    Some(format!("field `{name}` {what}, as in no row that the model was fitted on: the contract gives no score then"))
}

/// Summed points of fields by their codes, and what each lost against its best bin. A value that is withheld over an objection costs
/// nothing where none was missing in training.
fn points_of<'a>(
    scorecard: &Scorecard<'_>,
    names: impl Iterator<Item = &'a str>,
    codes: &[u16],
    withheld: &[String],
) -> (i64, Vec<PointsLost>) {
    let mut points = 0;
    let mut lost = Vec::new();
    for (name, code) in names.zip(codes) {
        let Some(field) = scorecard.field(name) else { continue };
        if field.is_unseen(*code) && withheld.iter().any(|other| other == name) {
            continue;
        }
        points += field.points(*code);
        lost.push(PointsLost { field: name.into(), points: scorecard.points_lost(field, *code) });
    }
    (points, lost)
}
