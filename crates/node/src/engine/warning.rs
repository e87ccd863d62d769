//! Early warning: the platform watches what changes, banks keep an inbox.
//!
//! What leaves, to whom, and what each side learns stands in [`tally_protocol::warning`]. A run compares the data set with what
//! the rules read last (the baseline, which is the platform's own), looks at rows that moved and that some consent lets a bank
//! watch, and issues warnings. A warning leaves in a step of its own, once its bank is there, under a second decision of the
//! policy engine, which counts the use: so nothing is delivered, nor waits to be sent, under a consent that has ended since. Where
//! that decision may come out otherwise soon (the enterprise has paused its consent, or it was used a short while ago), the
//! warning waits until it expires.

mod deliver;
mod inbox;
mod issue;
mod rules;

pub(crate) use rules::RULES_LABEL;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tally_crypto::transcript::Digest;
use tally_model::text::Text;
use tally_policy::{Clearance, Day, Form, Purpose, Question};
use tally_protocol::warning::{Outcome, Reading, Severity};

use super::disputes::CaseState;
use super::{Engine, go_on, now};
use crate::control::{WarningAction, WarningOrder};
use crate::failure::{self, Failure, Fatal, unless_fatal};
use crate::store::{Record, StoredWarning, WarningState};

/// Label under which operators sign what they do to a warning.
pub(crate) const WARNING_LABEL: &str = "warning-action";

/// What an operator signs: the warning and the action.
pub(crate) fn action_digest(warning: &Digest, action: WarningAction) -> Digest {
    let action = match action {
        WarningAction::Acknowledge => "acknowledge".to_owned(),
        WarningAction::Close(outcome) => format!("close/{outcome}"),
    };
    Digest::of("tallystick/warning-action/v1", &[warning.as_bytes(), action.as_bytes()])
}

/// What the engine remembers between ticks.
#[derive(Default)]
pub(super) struct Desk {
    /// Banks for which something may wait.
    waiting: BTreeSet<String>,
    /// When the last run was, Unix milliseconds.
    last_run: i64,
}

/// What the platform keeps of a warning.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Issued {
    subject: String,
    severity: Severity,
    text: Text,
    /// Version of the rules.
    rules: u32,
    day: Day,
    issued: i64,
    expires: i64,
    /// Fields of the platform that it rests on.
    fields: Vec<String>,
    /// The baseline and the column in it that the rule looked at, and what stood there before.
    source: String,
    column: String,
    before: Reading<'static>,
    /// When it left.
    delivered: Option<i64>,
    /// Why it did not, or was recalled.
    #[serde(default)]
    dropped: Option<String>,
}

impl Record for Issued {
    const TYPE: &'static str = "warning-issued";
}

/// Why a warning was called back, or did not leave: a value that it rests on was wrong.
const CORRECTED: &str = "corrected";

/// Name of the record of the last run, beside the baselines.
const LAST_RUN: &str = "last-run";

/// Whether a run is due.
fn due(last: i64, every_hours: u32, now: i64) -> bool {
    every_hours > 0 && now - last >= i64::from(every_hours) * 3_600_000
}

impl Engine {
    pub(super) fn load_warnings(&mut self) -> Result<(), Failure> {
        self.warnings.last_run = self.store.warning_baseline(LAST_RUN)?.unwrap_or(0);
        self.look_for_waiting()
    }

    /// Notes the banks that warnings wait for: those that could not leave then may be free to leave now.
    pub(super) fn look_for_waiting(&mut self) -> Result<(), Failure> {
        let pending = self.store.warning_counts()?;
        let waiting = pending.into_keys().filter(|(.., state)| *state == WarningState::Pending);
        self.warnings.waiting.extend(waiting.map(|(bank, ..)| bank));
        Ok(())
    }

    pub(super) fn obey_warning(&mut self, order: WarningOrder) -> Result<Value, Failure> {
        match order {
            WarningOrder::Approve { rules, operator, signature } => self.approve_rules(&rules, &operator, &signature),
            WarningOrder::Rules => self.show_rules(),
            WarningOrder::Run => self.run_warnings(),
            WarningOrder::List { all } => self.list_warnings(all),
            WarningOrder::Show { warning } => self.show_warning(&warning),
            WarningOrder::Handle { warning, action, operator, note, signature } => {
                self.handle_warning(warning, action, &operator, note, &signature)
            }
            WarningOrder::Report => self.warning_report(),
        }
    }

    /// Runs on schedule, and sends what waits for banks that are here.
    pub(super) fn tick_warnings(&mut self) -> Result<(), Fatal> {
        if self.config.warning.rules.is_some() && due(self.warnings.last_run, self.config.warning.every_hours, now()) {
            // A run that fails is tried again at the next hour of the schedule, not at the next tick.
            self.warnings.last_run = now();
            self.run_by_itself()?;
        }
        let here = |bank: &&String| self.connected.contains_key(*bank);
        for bank in self.warnings.waiting.iter().filter(here).cloned().collect::<Vec<_>>() {
            self.warnings.waiting.remove(&bank);
            go_on("warnings were not delivered", self.deliver_warnings(&bank))?;
        }
        Ok(())
    }

    /// After an import of the data set that the rules watch.
    pub(super) fn warn_after_import(&mut self, dataset: &str) -> Result<(), Failure> {
        let watched = self.config.warning.rules.is_some() && self.is_platform();
        if watched && self.approved_rules().is_ok_and(|rules| rules.dataset == dataset) {
            return Ok(self.run_by_itself()?);
        }
        Ok(())
    }

    /// After an objection was settled: what was held back is free, a corrected value is looked at anew.
    pub(super) fn warn_after_settlement(&mut self) -> Result<(), Failure> {
        if self.config.warning.rules.is_none() {
            return Ok(());
        }
        self.look_for_waiting()?;
        Ok(self.run_by_itself()?)
    }

    /// A run that nobody has asked for: what stands in its way is for the journal.
    fn run_by_itself(&mut self) -> Result<(), Fatal> {
        match unless_fatal(self.run_warnings())? {
            Ok(run) => tracing::info!(issued = %run["issued"], "looked for early warnings"),
            Err(failure) => tracing::warn!(%failure, "no early warnings"),
        }
        Ok(())
    }

    /// What a bank's watching asks of consents.
    fn watching<'a>(&'a self, bank: &'a str, fields: &'a [&'a str], day: Day, time: i64) -> Question<'a> {
        Question {
            grantee: bank,
            provider: self.me(),
            purpose: Purpose::PostLoanMonitoring,
            fields,
            // No value travels in any form.
            form: Form::Sealed,
            vector: 0,
            as_of: Some(day),
            application: None,
            consent: None,
            time,
        }
    }

    /// Watching is a use by itself, whatever contract made a model: the newest list rules it.
    fn watchdog(&self) -> Result<Clearance<'_>, Failure> {
        Ok(Clearance::new(self.sharing_list()?, &self.register))
    }

    /// Subjects and fields under objection.
    fn under_objection(&self) -> BTreeSet<(&str, &str)> {
        let open = self.disputes.iter().filter(|case| case.state == CaseState::Open);
        open.map(|case| (case.subject.as_str(), case.field.as_str())).collect()
    }

    /// What is kept of warnings about an enterprise, for its own view.
    pub(super) fn warnings_about(&self, subject: &str) -> Result<Vec<Value>, Failure> {
        if !self.is_platform() {
            return Ok(Vec::new());
        }
        let issued = self.store.warnings_about::<Issued>(&self.subject_tag(subject))?;
        Ok(issued.iter().map(issued_in_short).collect())
    }

    pub(super) fn list_warnings(&self, all: bool) -> Result<Value, Failure> {
        if !self.is_platform() {
            return self.list_inbox(all);
        }
        let open = [WarningState::Pending, WarningState::Delivered, WarningState::Acknowledged];
        let now = now();
        let mut issued = self.store.warnings::<Issued>()?;
        issued.retain(|kept| all || (open.contains(&kept.state) && now < kept.what.expires));
        Ok(issued.iter().map(issued_in_short).collect())
    }

    fn show_warning(&self, named: &str) -> Result<Value, Failure> {
        let all = self.list_warnings(true)?;
        let fits = |one: &&Value| {
            named.len() >= 6 && one["warning"].as_str().is_some_and(|warning| warning.starts_with(named))
        };
        let found: Vec<_> = all.as_array().into_iter().flatten().filter(fits).collect();
        match found[..] {
            [one] => Ok(one.clone()),
            [] => {
                Err(failure::data(format!("there is no warning `{named}` here: see `tallystick warning list --all`")))
            }
            _ => Err(failure::usage(format!("`{named}` fits several warnings: give more digits"))),
        }
    }

    /// Per rule how many warnings were issued, what became of them, and whether they were of use.
    pub(super) fn warning_report(&self) -> Result<Value, Failure> {
        if !self.is_platform() {
            return Err(failure::usage(
                "the platform counts warnings and outcomes: a bank sees its own with `warning list`",
            ));
        }
        let mut rules: BTreeMap<String, BTreeMap<String, Counts>> = BTreeMap::new();
        for ((bank, rule, state), count) in self.store.warning_counts()? {
            rules.entry(rule).or_default().entry(bank).or_default().add(state, count);
        }
        for (bank, rule, outcome, count) in self.store.warning_outcomes()? {
            let counts = rules.entry(rule).or_default().entry(bank).or_default();
            *counts.outcomes.entry(outcome).or_default() += count;
        }
        let shown = rules.into_iter().map(|(rule, banks)| {
            let mut total = Counts::default();
            banks.values().for_each(|counts| total.join(counts));
            json!({ "rule": rule, "total": total.shown(), "banks": banks.iter()
                .map(|(bank, counts)| (bank.clone(), counts.shown())).collect::<serde_json::Map<_, _>>() })
        });
        Ok(shown.collect())
    }
}

/// What became of a rule's warnings.
#[derive(Default)]
struct Counts {
    pending: u64,
    delivered: u64,
    acknowledged: u64,
    dropped: u64,
    recalled: u64,
    outcomes: BTreeMap<String, u64>,
}

impl Counts {
    fn add(&mut self, state: WarningState, count: u64) {
        match state {
            WarningState::Pending => self.pending += count,
            WarningState::Delivered => self.delivered += count,
            WarningState::Acknowledged => self.acknowledged += count,
            WarningState::Dropped => self.dropped += count,
            WarningState::Recalled => self.recalled += count,
            WarningState::New | WarningState::Closed => {}
        }
    }

    fn join(&mut self, other: &Self) {
        self.pending += other.pending;
        self.delivered += other.delivered;
        self.acknowledged += other.acknowledged;
        self.dropped += other.dropped;
        self.recalled += other.recalled;
        for (outcome, count) in &other.outcomes {
            *self.outcomes.entry(outcome.clone()).or_default() += count;
        }
    }

    fn shown(&self) -> Value {
        let useful =
            |outcome: &str| serde_json::from_value(json!(outcome)).is_ok_and(|outcome: Outcome| outcome.useful());
        let told: u64 = self.outcomes.values().sum();
        let of_use: u64 = self.outcomes.iter().filter(|(name, _)| useful(name)).map(|(_, count)| count).sum();
        json!({
            "issued": self.pending + self.delivered + self.acknowledged + self.dropped + self.recalled,
            "pending": self.pending,
            // What was acknowledged has been delivered.
            "delivered": self.delivered + self.acknowledged + self.recalled,
            "acknowledged": self.acknowledged,
            "dropped": self.dropped,
            "recalled": self.recalled,
            "outcomes": self.outcomes,
            "useful_share": (told > 0).then(|| of_use as f64 / told as f64),
        })
    }
}

fn issued_in_short(kept: &StoredWarning<Issued>) -> Value {
    let StoredWarning { id, bank, rule, state, what, .. } = kept;
    json!({
        "warning": id,
        "bank": bank,
        "subject": what.subject,
        "rule": rule,
        "severity": what.severity,
        "text": what.text,
        "day": what.day,
        "state": state,
        "issued": what.issued,
        "delivered": what.delivered,
        "expires": what.expires,
        "dropped": what.dropped,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_due_by_the_hour_or_never() {
        let hour = 3_600_000;
        assert!(due(0, 24, 24 * hour) && !due(1, 24, 24 * hour) && !due(0, 0, i64::MAX));
    }

    #[test]
    fn what_an_operator_signs_tells_actions_apart() {
        let warning = Digest([1; 32]);
        let mut actions: Vec<_> = Outcome::ALL.map(WarningAction::Close).to_vec();
        actions.push(WarningAction::Acknowledge);
        let digests: BTreeSet<_> = actions.iter().map(|action| action_digest(&warning, *action)).collect();
        assert_eq!(digests.len(), actions.len());
    }
}
