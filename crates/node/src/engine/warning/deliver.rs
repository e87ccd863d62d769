//! Platform: warnings leave for banks that are there, under a decision each, and are called back where they were wrong.

use std::collections::{BTreeMap, BTreeSet};

use tally_audit::Body;
use tally_crypto::transcript::{Digest, commit};
use tally_policy::{Cleared, Condition, Purpose};
use tally_protocol::kind::MessageKind;
use tally_protocol::warning::{MOST, Snapshot, Warning, WarningAck, WarningOutcome, Warnings};

use super::super::step::Step;
use super::super::{Engine, random_bytes};
use super::{CORRECTED, Issued};
use crate::failure::{self, Failure, unless_fatal};
use crate::store::{StoredWarning, WarningState};

impl Engine {
    /// Sends a bank what waits for it.
    pub(super) fn deliver_warnings(&mut self, bank: &str) -> Result<(), Failure> {
        let mut of_subject: BTreeMap<String, Vec<StoredWarning<Issued>>> = BTreeMap::new();
        for kept in self.store.pending_warnings::<Issued>(bank)? {
            of_subject.entry(kept.what.subject.clone()).or_default().push(kept);
        }
        for part in parts(of_subject.into_values(), MOST) {
            if let Err(failure) = unless_fatal(self.step(|engine, step| engine.deliver(step, bank, part)))? {
                tracing::warn!(bank, %failure, "warnings were not delivered");
            }
        }
        Ok(())
    }

    /// Sends warnings, those about an enterprise together.
    fn deliver(&mut self, step: &mut Step, bank: &str, part: Vec<Vec<StoredWarning<Issued>>>) -> Result<(), Failure> {
        let mut leaving = Vec::new();
        for pending in part {
            let Some(subject) = pending.first().map(|kept| kept.what.subject.clone()) else { continue };
            leaving.extend(self.decide_warnings(step, bank, &subject, pending)?);
        }
        if leaving.is_empty() {
            return Ok(());
        }
        let warnings = Cleared::join(leaving).map(|warnings| warnings.into_values().collect());
        self.write(step, bank, "", MessageKind::Warning, "warning", Warnings::raised(warnings).encode())
    }

    /// What may leave of the warnings about an enterprise: one decision, one use of its consent.
    fn decide_warnings(
        &mut self,
        step: &mut Step,
        bank: &str,
        subject: &str,
        pending: Vec<StoredWarning<Issued>>,
    ) -> Result<Vec<(Digest, Cleared<Warning>)>, Failure> {
        let (disputed, clearance) = (self.disputed_fields(subject), self.watchdog()?);
        let mut ready = Vec::new();
        for mut kept in pending {
            let fields: Vec<_> = kept.what.fields.iter().map(String::as_str).collect();
            if fields.iter().any(|field| disputed.contains(field)) {
                // It waits until the objection is settled.
                continue;
            }
            let question = self.watching(bank, &fields, kept.what.day, step.now);
            let code = match clearance.subject(subject, &question) {
                Err(condition) if !condition.is_temporary() => condition.code(),
                _ if kept.what.expires <= step.now => "lapsed",
                // It waits until the condition holds again.
                Err(_) => continue,
                Ok(_) => {
                    ready.push(kept);
                    continue;
                }
            };
            self.drop_warning(step, &mut kept, WarningState::Dropped, code)?;
        }
        let (Some(newest), list) = (ready.iter().map(|kept| kept.what.day).max(), self.sharing_list()?.version())
        else {
            return Ok(Vec::new());
        };
        let fields: BTreeSet<&str> =
            ready.iter().flat_map(|kept| kept.what.fields.iter().map(String::as_str)).collect();
        let fields: Vec<_> = fields.into_iter().collect();
        let decision = clearance.subject(subject, &self.watching(bank, &fields, newest, step.now));
        if decision.as_ref().is_err_and(Condition::is_temporary) {
            return Ok(Vec::new());
        }
        let salt = random_bytes()?;
        let consent = decision.as_ref().ok().and_then(|cleared| cleared.consents().first()).copied();
        let body = Body::Decision {
            grantee: bank.into(),
            purpose: Purpose::PostLoanMonitoring.to_string(),
            subject: commit("subject", &salt, subject.as_bytes()),
            allow: decision.is_ok(),
            failed: decision.as_ref().err().map(|condition| condition.code().into()),
            consent: consent.map(|consent| commit("consent", &salt, consent.as_bytes())),
            list,
        };
        let entry = step.record(None, self.me(), body);
        self.store.put_opening(entry, &self.subject_tag(subject), &salt, subject)?;
        let (cleared, consent) = match (decision, consent) {
            (Ok(cleared), Some(consent)) => (cleared, consent),
            (Err(condition), _) => {
                for mut kept in ready {
                    self.drop_warning(step, &mut kept, WarningState::Dropped, condition.code())?;
                }
                return Ok(Vec::new());
            }
            (Ok(_), None) => return Err(failure::internal("a clearance that rests on no consent")),
        };
        self.use_consent(step, &consent, entry, 1)?;
        let mut leaving = Vec::new();
        for mut kept in ready {
            (kept.state, kept.consent, kept.what.delivered) = (WarningState::Delivered, consent, Some(step.now));
            step.record(None, self.me(), Body::WarningDeliver { warning: kept.id, grantee: bank.into() });
            self.store.put_warning(&kept)?;
            leaving.push((kept.id, cleared.clone().map(|subject| told(&kept, subject, consent))));
        }
        Ok(leaving)
    }

    fn drop_warning(
        &self,
        step: &mut Step,
        kept: &mut StoredWarning<Issued>,
        state: WarningState,
        code: &str,
    ) -> Result<(), Failure> {
        let (warning, grantee, reason) = (kept.id, kept.bank.clone(), code.to_owned());
        step.record(None, self.me(), Body::WarningDrop { warning, grantee, reason });
        (kept.state, kept.what.dropped) = (state, Some(code.into()));
        self.store.put_warning(kept)
    }

    /// A value was wrong: warnings that rest on it do not leave any more or are called back, and what it read before is compared
    /// with the right one at the next run.
    pub(in crate::engine) fn recall_warnings(
        &mut self,
        step: &mut Step,
        subject: &str,
        field: &str,
    ) -> Result<(), Failure> {
        let mut recalled: BTreeMap<String, Vec<Digest>> = BTreeMap::new();
        let about = self.store.warnings_about::<Issued>(&self.subject_tag(subject))?;
        // The newest first, so that the oldest reading is the one that stays.
        for mut kept in about.into_iter().rev() {
            let left = matches!(kept.state, WarningState::Delivered | WarningState::Acknowledged);
            let open = left || kept.state == WarningState::Pending;
            let rests = kept.what.fields.iter().any(|name| name == field) && kept.what.expires > step.now;
            if !(open && rests) {
                continue;
            }
            if left {
                recalled.entry(kept.bank.clone()).or_default().push(kept.id);
            }
            let state = if left { WarningState::Recalled } else { WarningState::Dropped };
            self.drop_warning(step, &mut kept, state, CORRECTED)?;
            let baseline: Option<Snapshot> = self.store.warning_baseline(&kept.what.source)?;
            if let Some(mut baseline) = baseline {
                baseline.put(&kept.what.column, subject, &kept.what.before);
                self.store.put_warning_baseline(&kept.what.source, &baseline)?;
            }
        }
        for (bank, ids) in recalled {
            for part in ids.chunks(MOST) {
                self.write(
                    step,
                    &bank,
                    "",
                    MessageKind::Warning,
                    "warning",
                    Warnings::recalled(part.to_vec()).encode(),
                )?;
            }
        }
        Ok(())
    }

    /// A bank's node has taken warnings in.
    pub(in crate::engine) fn take_warning_ack(
        &mut self,
        step: &mut Step,
        peer: &str,
        body: &[u8],
    ) -> Result<(), Failure> {
        let ack = WarningAck::decode(body)
            .ok_or_else(|| failure::refused(format!("{peer} sent something that is not an acknowledgement")))?;
        for id in &ack.warnings {
            let kept =
                self.store.warning::<Issued>(id)?.filter(|kept| kept.bank == peer && kept.what.delivered.is_some());
            let strange = || failure::refused(format!("{peer} acknowledged a warning that it was not sent"));
            let mut kept = kept.ok_or_else(strange)?;
            if kept.state == WarningState::Delivered {
                kept.state = WarningState::Acknowledged;
                self.store.put_warning(&kept)?;
            }
        }
        step.record(None, peer, Body::WarningAck { warnings: ack.warnings });
        Ok(())
    }

    /// What a bank made of a warning of a rule: as many at most as it was sent.
    pub(in crate::engine) fn take_warning_outcome(
        &mut self,
        step: &mut Step,
        peer: &str,
        body: &[u8],
    ) -> Result<(), Failure> {
        let told = WarningOutcome::decode(body)
            .ok_or_else(|| failure::refused(format!("{peer} sent something that is not an outcome of a warning")))?;
        let sent = [WarningState::Delivered, WarningState::Acknowledged, WarningState::Recalled];
        let counts = self.store.warning_counts()?;
        let sent: u64 =
            sent.into_iter().filter_map(|state| counts.get(&(peer.to_owned(), told.rule.clone(), state))).sum();
        let outcomes = self.store.warning_outcomes()?;
        let before: u64 = outcomes
            .iter()
            .filter(|(bank, rule, ..)| bank == peer && *rule == told.rule)
            .map(|(.., count)| count)
            .sum();
        if before >= sent {
            return Err(failure::refused(format!(
                "{peer} told more outcomes of rule `{}` than it was sent warnings",
                told.rule
            )));
        }
        let outcome = told.outcome.to_string();
        self.store.count_warning_outcome(peer, &told.rule, &outcome)?;
        step.record(None, peer, Body::WarningOutcome { rule: told.rule, outcome });
        Ok(())
    }
}

/// Groups in parts of `most` members, none in two of them: an enterprise is decided about, and its consent used, once. What is
/// over of a group larger than a part waits for the next time.
fn parts<T>(groups: impl IntoIterator<Item = Vec<T>>, most: usize) -> Vec<Vec<Vec<T>>> {
    let (mut parts, mut room) = (Vec::<Vec<Vec<T>>>::new(), 0);
    for mut group in groups {
        group.truncate(most);
        match parts.last_mut().filter(|_| group.len() <= room) {
            Some(part) => {
                room -= group.len();
                part.push(group);
            }
            None => {
                room = most - group.len();
                parts.push(vec![group]);
            }
        }
    }
    parts
}

/// The warning as it leaves.
fn told(kept: &StoredWarning<Issued>, subject: &str, consent: Digest) -> Warning {
    let Issued { severity, text, rules, day, expires, .. } = kept.what.clone();
    Warning {
        id: kept.id,
        subject: subject.into(),
        rule: kept.rule.clone(),
        rules,
        severity,
        text,
        day,
        expires,
        consent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_enterprise_is_cut_in_two() {
        let groups = |sizes: &[usize]| sizes.iter().map(|size| vec![(); *size]).collect::<Vec<_>>();
        let sizes = |parts: Vec<Vec<Vec<()>>>| -> Vec<Vec<usize>> {
            parts.iter().map(|part| part.iter().map(Vec::len).collect()).collect()
        };
        assert_eq!(sizes(parts(groups(&[2, 2, 2, 1, 4]), 5)), [vec![2, 2], vec![2, 1], vec![4]]);
        assert_eq!(sizes(parts(groups(&[7, 5]), 5)), [[5], [5]]);
        assert!(parts(groups(&[]), 5).is_empty());
    }
}
