//! Calls of the scoring service: answered once a key, told in full, and in the log before their answer leaves.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tally_audit::Body;
use tally_crypto::transcript::Digest;
use tally_model::Fitted;
use tally_model::metrics::{CalibratedBand, calibrated};
use tally_policy::{Day, State};

use super::group::Outward;
use super::scoring::{Held, Waiting};
use super::{Engine, models, now};
use crate::control::{Reply, ScoreOrder};
use crate::failure::{self, Failure, FailureKind, Fatal, unless_fatal};
use crate::store::Record;

/// Bands of the calibration table.
const BANDS: usize = 10;

/// What the scoring service asks of the engine.
pub(crate) enum Call {
    /// A score.
    Score(Box<Served>),
    /// The models that serve.
    Models {
        /// Pseudonym of the caller.
        caller: Digest,
    },
    /// Nothing: the service refuses a call, and that is to be in the log before the caller hears of it.
    Refused {
        /// Pseudonym of the caller.
        caller: Digest,
        /// Code of the refusal.
        code: String,
    },
}

/// A score that a caller of the service asks for.
pub(crate) struct Served {
    /// Whom to score, with what.
    pub(crate) order: ScoreOrder,
    /// Pseudonym of the caller.
    pub(crate) caller: Digest,
    /// The bank's own model may answer while the platform is away, where the contract lets it.
    pub(crate) fallback: bool,
    /// The consent that the caller relies on: no score under another one.
    pub(crate) consent: Option<Digest>,
    /// Under which the answer is kept.
    pub(crate) key: Option<Key>,
    /// When the caller stops waiting.
    pub(crate) deadline: Instant,
}

/// An idempotency key with what was asked under it.
pub(crate) struct Key {
    /// Digest of caller and key.
    pub(crate) name: Digest,
    /// Digest of the request.
    pub(crate) body: Digest,
}

/// What is kept of a call beside its score.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Asked {
    /// The consent that the caller relies on.
    consent: Option<Digest>,
    /// Name of the idempotency key.
    key: Option<Digest>,
}

/// A call under a key, as the store keeps it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Kept {
    /// What an answer of the platform completes.
    Asked(Box<Held>),
    /// What was answered.
    Answered(Value),
}

impl Record for Kept {
    const TYPE: &'static str = "call";
}

impl Served {
    pub(super) fn asked(&self) -> Asked {
        Asked { consent: self.consent, key: self.key.as_ref().map(|key| key.name) }
    }
}

/// What was observed on hold-out rows, by bands of log-odds.
pub(super) fn bands(fit: &Fitted) -> Vec<CalibratedBand> {
    calibrated(&fit.validation().joint, BANDS)
}

impl Engine {
    /// Begins what a caller asks for; a refusal is logged first.
    ///
    /// # Errors
    /// Fails where nothing may go on.
    pub(super) fn attend(&mut self, call: Call, reply: Reply) -> Result<(), Fatal> {
        if let Some(answer) = unless_fatal(self.answer_or_begin(call, &reply))?.transpose() {
            self.group.hold(Outward::Reply(reply, answer));
        }
        Ok(())
    }

    /// The answer, unless it follows.
    fn answer_or_begin(&mut self, call: Call, reply: &Reply) -> Result<Option<Value>, Failure> {
        match call {
            Call::Refused { caller, code } => {
                self.log_calls(&[(Some(caller), code.as_str(), 1)])?;
                Ok(Some(Value::Null))
            }
            Call::Models { caller } => {
                self.log_calls(&[(Some(caller), "models", 1)])?;
                self.serving_models().map(Some)
            }
            Call::Score(served) => match self.begin_call(&served, reply)? {
                Ok(()) => Ok(None),
                Err(refusal) => {
                    self.log_calls(&[(Some(served.caller), code_of(&refusal), 1)])?;
                    Err(refusal)
                }
            },
        }
    }

    /// Begins a score; inside is the refusal that is to be logged and told.
    ///
    /// # Errors
    /// Fails where nothing may go on.
    pub(super) fn begin_call(&mut self, served: &Served, reply: &Reply) -> Result<Result<(), Failure>, Fatal> {
        unless_fatal(self.begin_served(served, reply))
    }

    fn begin_served(&mut self, served: &Served, reply: &Reply) -> Result<(), Failure> {
        if served.deadline <= Instant::now() {
            return Err(failure::retry("the node was too busy to begin in time").coded("timeout"));
        }
        if let Some(key) = &served.key
            && self.begun_before(served, key, reply)?
        {
            return Ok(());
        }
        if let Some(consent) = &served.consent {
            let subject = self.canonical(&served.order.id)?;
            self.check_relied_on(consent, &subject)?;
        }
        match self.begin_score(served.order.clone(), Some(served), reply.clone()) {
            // Nothing was sent, so no consent can have been used.
            Err(failure) if served.fallback && failure.code.as_deref() == Some("peer-unreachable") => {
                self.fall_back(served, reply, failure)
            }
            begun => begun,
        }
    }

    /// Answers a call whose key is known, or waits on; false if the key is new.
    fn begun_before(&mut self, served: &Served, key: &Key, reply: &Reply) -> Result<bool, Failure> {
        let Some((body, request, kept)) = self.store.call::<Kept>(&key.name, now())? else { return Ok(false) };
        if body != key.body {
            let text = "this idempotency key was used for another request: take a new one";
            return Err(failure::usage(text).coded("conflict"));
        }
        match kept {
            Kept::Answered(answer) => {
                self.check_still(&answer)?;
                self.log_calls(&[(Some(served.caller), "replayed", 1)])?;
                self.group.hold(Outward::Reply(reply.clone(), Ok(json!({ "replayed": answer }))));
            }
            Kept::Asked(_) if self.waiting_scores.contains_key(&request) => {
                let text = "a request with this idempotency key is under way: ask again when it is done";
                return Err(failure::retry(text).coded("conflict"));
            }
            // Asked before, not answered in time: the message is on its way, and is not asked again.
            Kept::Asked(held) => {
                let waiting = Waiting { reply: reply.clone(), deadline: served.deadline, held: *held };
                self.waiting_scores.insert(request, waiting);
            }
        }
        Ok(true)
    }

    /// Before the platform is asked: what the register here says of the consent that the caller relies on.
    fn check_relied_on(&self, consent: &Digest, subject: &str) -> Result<(), Failure> {
        let state = self.register.state(consent, now()).filter(|_| self.register.subject(consent) == Some(subject));
        match state {
            Some(State::Active) => Ok(()),
            state => {
                let code = state.map_or("no-consent".into(), |state| state.to_string());
                let text = format!("no score ({code}): consent {consent} is not in force for this applicant");
                Err(failure::refused(text).coded(&code).about("consent"))
            }
        }
    }

    /// An answer is not given again once the consent that it rests on has ended; its uses may be exhausted, by that answer.
    fn check_still(&self, answer: &Value) -> Result<(), Failure> {
        let Some(consent) = answer["consent"].as_str().and_then(|consent| consent.parse().ok()) else { return Ok(()) };
        match self.register.state(&consent, now()) {
            Some(State::Active | State::Exhausted) => Ok(()),
            state => {
                let code = state.map_or("no-consent".into(), |state| state.to_string());
                let text = format!("the consent that the answer rests on has ended ({code})");
                Err(failure::refused(text).coded(&code))
            }
        }
    }

    pub(super) fn keep_call(&self, key: &Key, request: &str, held: &Held) -> Result<(), Failure> {
        self.keep_under(key, request, &Kept::Asked(Box::new(held.clone())))
    }

    /// Keeps an answer that nobody else has to complete.
    pub(super) fn keep_answer(&self, key: &Key, request: &str, answer: &Value) -> Result<(), Failure> {
        self.keep_under(key, request, &Kept::Answered(answer.clone()))
    }

    fn keep_under(&self, key: &Key, request: &str, kept: &Kept) -> Result<(), Failure> {
        let hours = self.config.api.clone().unwrap_or_default().idempotency_hours;
        let expires = now() + i64::from(hours) * 3_600_000;
        self.store.put_call(&key.name, &key.body, request, expires, kept)
    }

    /// What was held for a call that nobody waits for any more, if it has a key.
    pub(super) fn late_call(&self, request: &str) -> Result<Option<Held>, Failure> {
        Ok(match self.store.call_of::<Kept>(request)? {
            Some(Kept::Asked(held)) => Some(*held),
            Some(Kept::Answered(_)) | None => None,
        })
    }

    /// The answer of the service from the score; kept where it has a key, unless it is a refusal, which may be asked again.
    pub(super) fn answer_call(
        &self,
        request: &str,
        held: &Held,
        asked: &Asked,
        scored: Result<Value, Failure>,
        entry: u64,
    ) -> Result<Result<Value, Failure>, Failure> {
        let answer = scored.and_then(|score| self.told_in_full(held, asked, &score, entry));
        if let Some(key) = &asked.key {
            match &answer {
                Ok(answer) => self.store.answer_call(key, request, &Kept::Answered(answer.clone()))?,
                Err(_) => self.store.forget_call(key)?,
            }
        }
        Ok(answer)
    }

    fn told_in_full(&self, held: &Held, asked: &Asked, score: &Value, entry: u64) -> Result<Value, Failure> {
        let consent: Option<Digest> = score["consent"].as_str().and_then(|consent| consent.parse().ok());
        if asked.consent.is_some() && asked.consent != consent {
            let text = "the platform used another consent of the applicant than the one that the call names";
            return Err(failure::refused(text).coded("conflict").about("consent"));
        }
        let record = self.find_model(Some(&held.session))?;
        let life = self.config.api.clone().unwrap_or_default().validity_days;
        let oldest = now() + i64::from(life) * Day::MILLISECONDS;
        let ends = consent.and_then(|consent| self.register.not_after(&consent));
        Ok(json!({
            "request_id": score["request"],
            "score": score["score"],
            "points": score["points"],
            "probability": score["probability"],
            "band": self.band(&held.session, score["probability"].as_f64().unwrap_or(f64::NAN)),
            "reasons": score["reasons"],
            "model": models::told(&record),
            "consent": consent,
            "withheld": score["withheld"],
            "log": {
                "origin": self.me(),
                "request": { "entry": held.entry, "leaf": self.ledger.receipt(held.entry).map(|receipt| receipt.leaf()) },
                "answer": { "entry": entry },
            },
            "valid_until": moment(ends.map_or(oldest, |ends| ends.min(oldest))),
            "fallback": false,
            "reference_only": true,
            "notice": notice(),
        }))
    }

    /// What was observed on the hold-out rows of the band that a probability lies in; null where the model has no calibration.
    fn band(&self, session: &str, probability: f64) -> Value {
        let bands = self.models.get(session).map(|model| model.bands.as_slice()).unwrap_or_default();
        let Some(band) = CalibratedBand::of(bands, probability) else { return Value::Null };
        let (low, high) = band.probabilities();
        json!({
            "probability": { "low": low, "high": high },
            "rows": band.rows.rows.rows(),
            "expected_bad_rate": band.rows.expected,
            "observed_bad_rate": band.rows.observed,
        })
    }

    /// Logs calls that asked the platform for nothing: whose, what came of them, and how many.
    pub(super) fn log_calls(&mut self, calls: &[(Option<Digest>, &str, u64)]) -> Result<(), Failure> {
        if calls.is_empty() {
            return Ok(());
        }
        let me = self.me().to_owned();
        self.step(|_, step| {
            for &(caller, outcome, count) in calls {
                step.record(None, &me, Body::ApiCall { caller, applicant: None, outcome: outcome.into(), count });
            }
            Ok(())
        })
    }

    /// Calls that the limits refused since the last time, one entry a caller and code: an entry each would let a flood fill
    /// the disk, and nothing was done for them that had to be durable first.
    pub(super) fn log_refused_calls(&mut self) -> Result<(), Failure> {
        let refused = self.gate.refused_since(Instant::now());
        let calls: Vec<_> = refused.into_iter().map(|((caller, code), count)| (caller, code, count)).collect();
        self.log_calls(&calls)
    }
}

/// Said with every score.
pub(super) fn notice() -> Value {
    json!({
        "zh": "评分仅供参考，是否授信由银行自行决定。",
        "en": "The score is for reference only: the bank decides.",
    })
}

/// The code of a failure: its own, or that of its kind.
pub(crate) fn code_of(failure: &Failure) -> &str {
    if let Some(code) = &failure.code {
        return code;
    }
    match failure.kind {
        FailureKind::Usage | FailureKind::Data => "bad-request",
        FailureKind::Refused | FailureKind::Check => "forbidden",
        FailureKind::Retry | FailureKind::Unavailable => "overloaded",
        FailureKind::Internal | FailureKind::Record | FailureKind::Write | FailureKind::Read | FailureKind::Config => {
            "internal"
        }
    }
}

/// RFC 3339, to the second.
pub(super) fn moment(time: i64) -> String {
    jiff::Timestamp::from_second(time.div_euclid(1000)).map(|time| time.to_string()).unwrap_or_default()
}
