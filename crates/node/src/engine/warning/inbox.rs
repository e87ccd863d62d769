//! Bank: warnings about enterprises of its portfolio, and what its operators do with them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tally_audit::Body;
use tally_crypto::sign::Signature;
use tally_crypto::transcript::{Digest, commit};
use tally_policy::Question;
use tally_protocol::kind::MessageKind;
use tally_protocol::warning::{Outcome, Warning, WarningAck, WarningOutcome, Warnings};

use super::super::step::Step;
use super::super::{Engine, now, random_bytes};
use super::{WARNING_LABEL, action_digest};
use crate::control::WarningAction;
use crate::failure::{self, Failure, unless_fatal};
use crate::store::{Record, StoredWarning, WarningState};

/// What a bank keeps of a warning.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Taken {
    warning: Warning,
    taken: i64,
    #[serde(default)]
    handled: Vec<Handled>,
}

impl Record for Taken {
    const TYPE: &'static str = "warning-taken";
}

/// What an operator did.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Handled {
    time: i64,
    operator: String,
    action: WarningAction,
    note: Option<String>,
    signature: Signature,
}

impl Taken {
    fn outcome(&self) -> Option<Outcome> {
        self.handled.iter().rev().find_map(|one| match one.action {
            WarningAction::Close(outcome) => Some(outcome),
            WarningAction::Acknowledge => None,
        })
    }
}

impl Engine {
    /// Keeps the warnings of its portfolio and acknowledges all of them alike.
    pub(in crate::engine) fn take_warnings(&mut self, step: &mut Step, peer: &str, body: &[u8]) -> Result<(), Failure> {
        let (raised, recalled) = Warnings::decode(body)
            .ok_or_else(|| failure::refused(format!("{peer} sent something that is not a message of warnings")))?
            .into_parts();
        let warnings = raised.iter().map(|warning| warning.id).chain(recalled.iter().copied()).collect();
        let portfolio = if raised.is_empty() { BTreeSet::new() } else { self.portfolio()? };
        // Asked once, for borrowers and strangers alike: without a list in force no warning may be kept.
        let listed = unless_fatal(self.watchdog().map(drop))?.is_ok();
        let mut refused = 0u64;
        for warning in raised.into_iter().filter(|warning| portfolio.contains(&warning.subject)) {
            if listed && self.may_be_kept(peer, &warning)? {
                self.keep_warning(step, peer, warning)?;
            } else {
                refused += 1;
            }
        }
        if refused > 0 {
            tracing::warn!(from = peer, refused, "warnings came under consents that are not in force here");
        }
        for id in recalled {
            // Those outside of the portfolio are not here.
            if let Some(mut kept) = self.store.warning::<Taken>(&id)? {
                kept.state = WarningState::Recalled;
                self.store.put_warning(&kept)?;
            }
        }
        let ack = WarningAck { warnings };
        self.write(step, peer, "", MessageKind::WarningAck, "control", ack.encode())?;
        step.record(None, self.me(), Body::WarningAck { warnings: ack.warnings });
        Ok(())
    }

    /// The consent that the platform names must allow it here too: neither node alone can let data through. Its uses may be used
    /// up, by this warning at the latest.
    fn may_be_kept(&self, platform: &str, warning: &Warning) -> Result<bool, Failure> {
        // Which fields the rule looked at, the bank does not know.
        let question = Question { provider: platform, ..self.watching(self.me(), &[], warning.day, now()) };
        let cleared = self.watchdog()?.again(&warning.subject, &question);
        Ok(cleared.is_some_and(|cleared| cleared.consents().contains(&warning.consent)))
    }

    fn keep_warning(&self, step: &Step, peer: &str, warning: Warning) -> Result<(), Failure> {
        if self.store.warning::<Taken>(&warning.id)?.is_some() {
            return Ok(());
        }
        tracing::info!(rule = warning.rule, severity = %warning.severity, from = peer, "early warning");
        self.store.put_warning(&StoredWarning {
            id: warning.id,
            bank: self.me().into(),
            rule: warning.rule.clone(),
            state: WarningState::New,
            subject: self.subject_tag(&warning.subject),
            consent: warning.consent,
            what: Taken { warning, taken: step.now, handled: Vec::new() },
        })
    }

    /// Enterprises that this bank watches.
    fn portfolio(&self) -> Result<BTreeSet<String>, Failure> {
        let named = self.config.warning.portfolio.as_deref();
        let mut portfolio = BTreeSet::new();
        for info in self.store.datasets()?.iter() {
            if named.is_none_or(|named| named == info.name) {
                portfolio.extend(self.store.dataset(&info.name)?.identifiers);
            }
        }
        if portfolio.is_empty() {
            let named = named.unwrap_or("any");
            tracing::warn!(data_set = named, "warnings came, but there is no portfolio to watch: import the data set");
        }
        Ok(portfolio)
    }

    pub(super) fn list_inbox(&self, all: bool) -> Result<Value, Failure> {
        let mut kept = self.store.warnings::<Taken>()?;
        let (now, open) = (now(), [WarningState::New, WarningState::Acknowledged]);
        kept.retain(|kept| all || (open.contains(&kept.state) && now < kept.what.warning.expires));
        // The gravest first, among these the newest.
        kept.reverse();
        kept.sort_by_key(|kept| std::cmp::Reverse((kept.what.warning.severity, kept.what.warning.day)));
        Ok(kept.iter().map(|kept| in_short(kept, now)).collect())
    }

    /// An operator has seen a warning, or says what came of it; an outcome is told to the platform, by its rule.
    pub(super) fn handle_warning(
        &mut self,
        id: Digest,
        action: WarningAction,
        operator: &str,
        note: Option<String>,
        signature: &Signature,
    ) -> Result<Value, Failure> {
        let platform = self.config.link.platform.clone();
        let platform =
            platform.ok_or_else(|| failure::usage("warnings are dealt with at the bank that they are for"))?;
        let key = self.store.operator(operator)?.key;
        if !key.verify(WARNING_LABEL, action_digest(&id, action).as_bytes(), signature) {
            return Err(failure::refused(format!(
                "what is done to the warning is not signed by operator `{operator}`"
            )));
        }
        let kept = self.store.warning::<Taken>(&id)?;
        let mut kept = kept.ok_or_else(|| {
            failure::data(format!("there is no warning {id} here: see `tallystick warning list --all`"))
        })?;
        kept.state = match (kept.state, action) {
            (WarningState::New, WarningAction::Acknowledge) => WarningState::Acknowledged,
            (WarningState::New | WarningState::Acknowledged, WarningAction::Close(_)) => WarningState::Closed,
            (WarningState::Recalled, _) => {
                return Err(failure::refused("the warning was recalled: it rested on a value that was wrong"));
            }
            (WarningState::Closed, _) => return Err(failure::refused("the warning is closed already")),
            _ => return Err(failure::refused("the warning is acknowledged already")),
        };
        self.step(|engine, step| {
            let signature = *signature;
            kept.what.handled.push(Handled { time: step.now, operator: operator.into(), action, note, signature });
            engine.store.put_warning(&kept)?;
            let salt = random_bytes()?;
            let state = if kept.state == WarningState::Closed { "closed" } else { "acknowledged" };
            let body = Body::WarningHandle { warning: commit("warning", &salt, id.as_bytes()), state: state.into() };
            let entry = step.record(None, operator, body);
            engine.store.put_opening(entry, &kept.subject, &salt, &kept.what.warning.subject)?;
            if let WarningAction::Close(outcome) = action {
                let told = WarningOutcome { rule: kept.rule.clone(), outcome };
                let body = Body::WarningOutcome { rule: kept.rule.clone(), outcome: outcome.to_string() };
                step.record(None, operator, body);
                engine.write(step, &platform, "", MessageKind::WarningOutcome, "control", told.encode())?;
            }
            Ok(in_short(&kept, step.now))
        })
    }

    /// Warnings whose consent's data life is over, at a bank.
    pub(in crate::engine) fn warnings_due(&self) -> Result<Vec<Digest>, Failure> {
        if self.is_platform() {
            return Ok(Vec::new());
        }
        let time = now();
        let over = |consent: &Digest| match self.register.data_life_ends(consent, time) {
            Some(end) => end <= time,
            None => self.register.state(consent, time).is_none(),
        };
        let kept = self.store.warning_consents()?;
        Ok(kept.into_iter().filter(|(_, consent)| over(consent)).map(|(id, _)| id).collect())
    }
}

fn in_short(kept: &StoredWarning<Taken>, now: i64) -> Value {
    let Warning { subject, rule, rules, severity, text, day, expires, consent, .. } = &kept.what.warning;
    let handled = kept.what.handled.iter().map(|one| {
        let action = match one.action {
            WarningAction::Acknowledge => "acknowledged".to_owned(),
            WarningAction::Close(outcome) => outcome.to_string(),
        };
        json!({ "time": one.time, "operator": one.operator, "action": action, "note": one.note })
    });
    json!({
        "warning": kept.id,
        "subject": subject,
        "rule": rule,
        "rules": rules,
        "severity": severity,
        "text": text,
        "day": day,
        "state": kept.state,
        "outcome": kept.what.outcome(),
        "taken": kept.what.taken,
        "expires": expires,
        "expired": *expires <= now,
        "consent": consent,
        "handled": handled.collect::<Vec<_>>(),
    })
}
