//! What a call goes through, whichever protocol brought it.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tally_crypto::transcript::Digest;
use tally_data::IdentifierKind;
use tokio::sync::Semaphore;

use super::gate::{Caller, Gate, Shown};
use super::limit::{Limit, Rate};
use super::problem::{Code, Problem};
use super::request::ScoreRequest;
use super::section::ApiSection;
use super::token::Scope;
use crate::control::{Command, Reply};
use crate::engine::{self, Call, Key, Served, Work};
use crate::failure::Failure;

/// Beyond the caller's deadline: the engine answers by itself at the deadline, unless it is busy.
const GRACE: Duration = Duration::from_millis(500);

/// How long the engine's word on how it is holds.
const PROBED: Duration = Duration::from_millis(200);

/// How long the engine may take to say how it is.
const PROBE: Duration = Duration::from_secs(2);

/// The service.
pub(crate) struct Service {
    section: ApiSection,
    gate: Arc<Gate>,
    engine: Sender<Work>,
    in_flight: Arc<Semaphore>,
    callers: Mutex<Limit<Digest>>,
    enterprises: Mutex<Limit<String>>,
    began: Instant,
    /// What the last probe found, and when.
    probed: tokio::sync::Mutex<Option<(Instant, Result<(), Problem>)>>,
}

/// What a caller gets.
#[derive(Debug)]
pub(crate) struct Scored {
    /// The answer.
    pub(crate) answer: Value,
    /// It was given before, under the same idempotency key.
    pub(crate) replayed: bool,
}

impl Service {
    /// A service in front of the engine.
    pub(crate) fn new(section: &ApiSection, gate: Arc<Gate>, engine: Sender<Work>) -> Self {
        let rate = |of: super::section::RateSection| Rate::per_minute(of.per_minute, of.burst);
        Self {
            section: section.clone(),
            gate,
            engine,
            in_flight: Arc::new(Semaphore::new(section.in_flight as usize)),
            callers: Mutex::new(Limit::new(rate(section.caller))),
            enterprises: Mutex::new(Limit::new(rate(section.enterprise))),
            began: Instant::now(),
            probed: tokio::sync::Mutex::default(),
        }
    }

    /// The caller, if it may do this and has not called too often.
    pub(crate) async fn admit(&self, shown: Shown<'_>, scope: Scope) -> Result<Caller, Problem> {
        let caller = self
            .gate
            .caller(shown, &self.section.certificates, engine::now())
            .inspect_err(|problem| self.gate.count_refused(None, problem.code))?;
        self.take(&self.callers, &caller, caller.pseudonym, "this caller has made too many calls")?;
        if !caller.may(scope) {
            let problem = Problem::new(Code::Forbidden, format!("the caller does not have the scope `{scope}`"));
            return Err(self.refuse(&caller, problem).await);
        }
        Ok(caller)
    }

    /// A refusal that is in the log.
    pub(crate) async fn refuse(&self, caller: &Caller, problem: Problem) -> Problem {
        let call = Call::Refused { caller: caller.pseudonym, code: problem.code.as_str().into() };
        self.hear(call).await.map_or_else(|other| other, |_| problem)
    }

    /// The models that serve.
    pub(crate) async fn models(&self, caller: &Caller) -> Result<Value, Problem> {
        self.hear(Call::Models { caller: caller.pseudonym }).await
    }

    /// Scores an applicant.
    pub(crate) async fn score(
        &self,
        caller: &Caller,
        request: &ScoreRequest,
        key: Option<&str>,
    ) -> Result<Scored, Problem> {
        // Another spelling of a credit code is the same enterprise.
        let named = request.applicant.trim();
        let applicant = IdentifierKind::Uscc.canonical(named).unwrap_or_else(|_| named.to_owned());
        self.take(&self.enterprises, caller, applicant, "this enterprise is asked about too often")?;
        let models = if request.challenger.is_some() { 2 } else { 1 };
        let place = self.in_flight.clone().try_acquire_many_owned(models).map(Arc::new).map_err(|_| {
            self.gate.count_refused(Some(caller.pseudonym), Code::Overloaded);
            Problem::new(Code::Overloaded, "as many scores are under way as the node takes on")
        })?;
        let deadline = Instant::now() + self.patience();
        let body = request.digest();
        let begin = |model: Option<String>, part: &str| {
            let name = |key: &str| {
                Digest::of("tallystick/api-key/v1", &[caller.pseudonym.as_bytes(), key.as_bytes(), part.as_bytes()])
            };
            let key = key.map(|key| Key { name: name(key), body });
            let (order, consent) = (request.order(model), request.consent);
            let served = Served { order, caller: caller.pseudonym, fallback: true, consent, key, deadline };
            let (reply, answer) = Reply::channel();
            self.submit(Call::Score(Box::new(served)), reply.with(&place));
            answer
        };
        let mut champion = begin(request.model.clone(), "");
        let mut challenger = request.challenger.clone().map(|model| begin(Some(model), "challenger"));
        let both = async {
            let first = champion.recv().await;
            let second = match &mut challenger {
                Some(answer) => Some(answer.recv().await),
                None => None,
            };
            (first, second)
        };
        let Ok((first, second)) = tokio::time::timeout_at((deadline + GRACE).into(), both).await else {
            return Err(Problem::new(Code::Timeout, "the node did not answer in time"));
        };
        let mut scored = told(first)?;
        if let Some(second) = second {
            scored.answer["challenger"] = match told(second) {
                Ok(second) => second.answer,
                Err(problem) => json!({ "problem": problem.to_json() }),
            };
        }
        Ok(scored)
    }

    /// Whether a score could be had now; if not, why. Many probes cost the engine no more than one.
    pub(crate) async fn ready(&self) -> Result<(), Problem> {
        let mut probed = self.probed.lock().await;
        if let Some((_, found)) = probed.as_ref().filter(|(time, _)| time.elapsed() < PROBED) {
            return found.clone();
        }
        let found = self.probe().await;
        *probed = Some((Instant::now(), found.clone()));
        found
    }

    async fn probe(&self) -> Result<(), Problem> {
        let (reply, mut answer) = Reply::channel();
        // The engine has stopped if nobody receives; the answer then ends too.
        let _ = self.engine.send(Work::Control(Command::Status, reply));
        let status = match tokio::time::timeout(PROBE, answer.recv()).await {
            Ok(Some(Ok(status))) => status,
            Ok(Some(Err(failure))) => return Err(failure.into()),
            Ok(None) => return Err(stopping()),
            Err(_) => return Err(Problem::new(Code::Overloaded, "the engine is busy")),
        };
        let none = |name: &str| status[name].as_array().is_none_or(Vec::is_empty);
        if none("peers") {
            return Err(Problem::new(Code::PeerUnreachable, "the platform is out of reach"));
        }
        if none("models") {
            return Err(Problem::new(Code::UnknownModel, "no model serves here yet"));
        }
        Ok(())
    }

    /// What the engine answers, in time.
    async fn hear(&self, call: Call) -> Result<Value, Problem> {
        let (reply, mut answer) = Reply::channel();
        self.submit(call, reply);
        match tokio::time::timeout(self.patience(), answer.recv()).await {
            Ok(answer) => Ok(answer.ok_or_else(stopping)??),
            Err(_) => Err(Problem::new(Code::Overloaded, "the node has no time to answer")),
        }
    }

    fn submit(&self, call: Call, reply: Reply) {
        // As above.
        let _ = self.engine.send(Work::Serve(call, reply));
    }

    fn take<K: std::hash::Hash + Eq>(
        &self,
        limit: &Mutex<Limit<K>>,
        caller: &Caller,
        of: K,
        why: &str,
    ) -> Result<(), Problem> {
        let now = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let taken = limit.lock().unwrap_or_else(PoisonError::into_inner).take(of, now);
        taken.map_err(|wait| {
            self.gate.count_refused(Some(caller.pseudonym), Code::RateLimited);
            Problem::limited(why, wait)
        })
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(self.section.deadline_ms.into())
    }
}

fn told(answer: Option<Result<Value, Failure>>) -> Result<Scored, Problem> {
    let mut answer = answer.ok_or_else(stopping)??;
    Ok(match answer.get_mut("replayed") {
        Some(kept) => Scored { answer: kept.take(), replayed: true },
        None => Scored { answer, replayed: false },
    })
}

fn stopping() -> Problem {
    Problem::new(Code::Overloaded, "the node is stopping")
}
