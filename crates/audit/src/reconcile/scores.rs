//! Scores: asked for by the bank, allowed by a decision, answered once, alike in both logs.

use std::collections::{BTreeMap, BTreeSet};

use tally_crypto::transcript::Digest;

use super::history::History;
use super::{Finding, Kind, ends_before, find, in_sessions, is_platform};
use crate::entry::{Body, Entry};
use crate::verify::VerifiedLog;

/// What one log has of scores so far.
#[derive(Default)]
struct Desk<'a> {
    /// Open requests: who asks, and why.
    open: BTreeMap<Digest, (&'a str, &'a str)>,
    answered: BTreeSet<Digest>,
    /// What was allowed and not used yet: to whom, and why.
    allowed: Vec<(&'a str, &'a str)>,
    models: BTreeSet<Digest>,
}

/// No answer without its request, no score without a decision that allowed it before, no request for an unknown model.
pub(super) fn answers(log: &VerifiedLog, findings: &mut Vec<Finding>) {
    let platform = is_platform(log);
    let mut desk = Desk::default();
    for entry in &log.entries {
        for (kind, what) in desk.next(entry, platform) {
            findings.push(Finding::own(kind, &log.party, entry.index, what));
        }
    }
}

impl<'a> Desk<'a> {
    fn next(&mut self, entry: &'a Entry, platform: bool) -> Vec<(Kind, String)> {
        let mut wrong = Vec::new();
        match &entry.body {
            Body::ModelRelease { model, .. } => {
                self.models.insert(*model);
            }
            Body::ScoreRequest { request, purpose, model, .. } => {
                if !self.models.contains(model) {
                    wrong.push((Kind::Score, "a score by a model that was never released".into()));
                }
                if self.answered.contains(request) || self.open.insert(*request, (&entry.actor, purpose)).is_some() {
                    wrong.push((Kind::Score, "a score that was asked for before".into()));
                }
            }
            Body::Decision { grantee, purpose, allow, consent, failed, .. } => {
                if *allow != consent.is_some() || *allow != failed.is_none() {
                    let how = if *allow { "allowed under no consent" } else { "denied without a reason" };
                    wrong.push((Kind::Decision, how.into()));
                }
                // Outside of sessions they allow warnings.
                if *allow && entry.session.is_some() {
                    self.allowed.push((grantee, purpose));
                }
            }
            Body::ScoreResponse { request, outcome } => {
                self.answered.insert(*request);
                match self.open.remove(request) {
                    None => wrong.push((Kind::Score, "a score that nobody asked for".into())),
                    Some(asked) if platform && outcome == "scored" && !self.take(asked) => {
                        wrong.push((Kind::Decision, "a score without an allowing decision".into()));
                    }
                    Some(_) => {}
                }
            }
            Body::ScoreCorrection { request, .. } if !self.answered.contains(request) => {
                wrong.push((Kind::Score, "the correction of a score that was never given".into()));
            }
            _ => {}
        }
        wrong
    }

    /// Uses up a decision.
    fn take(&mut self, asked: (&str, &str)) -> bool {
        let place = self.allowed.iter().position(|allowed| *allowed == asked);
        place.map(|place| self.allowed.swap_remove(place)).is_some()
    }
}

/// What one log says of a request or its answer.
type Said<'a> = BTreeMap<(Digest, &'static str), (&'a str, &'a Entry)>;

/// Requests and answers are the same in the bank's log and in the platform's.
pub(super) fn both_sides(logs: &[VerifiedLog], history: &History, findings: &mut Vec<Finding>) {
    let said: Vec<_> = logs.iter().map(|log| (log, of(log))).collect();
    for (platform, there) in said.iter().filter(|(log, _)| is_platform(log)) {
        let mut asked_by = BTreeMap::new();
        for ((request, what), (_, entry)) in there {
            if *what == "request" {
                asked_by.insert(*request, entry.actor.as_str());
            }
        }
        for (bank, here) in said.iter().filter(|(log, _)| !is_platform(log)) {
            for (key, (session, entry)) in here {
                match there.get(key) {
                    Some((_, other)) if same(&other.body, &entry.body) => {}
                    Some((_, other)) => {
                        let what = format!(
                            "the score {} is another than at {} (entry {})",
                            key.1, platform.party, other.index
                        );
                        let parties = history.culprits(&[&bank.party, &platform.party], Some(session));
                        findings.push(Finding::fault(Kind::Score, parties, &bank.party, entry.index, what));
                    }
                    None => findings.push(missing(platform, bank, key.1, entry)),
                }
            }
            let own = there.iter().filter(|((request, _), _)| asked_by.get(request) == Some(&bank.party.as_str()));
            for (key, (_, entry)) in own.filter(|(key, _)| !here.contains_key(key)) {
                findings.push(missing(bank, platform, key.1, entry));
            }
        }
    }
    strangers(logs, findings);
}

/// For which caller of its scoring service a bank asks is its own affair.
fn same(one: &Body, other: &Body) -> bool {
    match (one, other) {
        (
            Body::ScoreRequest { request, applicant, purpose, model, caller: _ },
            Body::ScoreRequest { request: name, applicant: whom, purpose: why, model: by, caller: _ },
        ) => (request, applicant, purpose, model) == (name, whom, why, by),
        _ => one == other,
    }
}

fn of(log: &VerifiedLog) -> Said<'_> {
    let said = in_sessions(log).filter_map(|(session, entry)| match &entry.body {
        Body::ScoreRequest { request, .. } => Some(((*request, "request"), (session, entry))),
        Body::ScoreResponse { request, .. } => Some(((*request, "answer"), (session, entry))),
        _ => None,
    });
    said.collect()
}

/// `log` lacks what `other` has.
fn missing(log: &VerifiedLog, other: &VerifiedLog, what: &str, entry: &Entry) -> Finding {
    let what = format!("a score {what} is missing that {} has at entry {}", other.party, entry.index);
    // A message may be on its way as long as nothing later was logged.
    Finding::own(Kind::Score, &log.party, None, what).unless(ends_before(log, entry.time))
}

/// A bank asks under a contract that it is a party of.
fn strangers(logs: &[VerifiedLog], findings: &mut Vec<Finding>) {
    for log in logs {
        let mut parties: BTreeMap<&str, &[String]> = BTreeMap::new();
        for (session, entry) in in_sessions(log) {
            match &entry.body {
                Body::SessionContract { parties: named, .. } => {
                    parties.insert(session, named);
                }
                Body::ScoreRequest { .. } => {
                    let known = parties.get(session).is_some_and(|named| named.contains(&entry.actor));
                    if !known && find(logs, &entry.actor).is_some() {
                        let what = format!("{} asks for a score of a session that it is no party of", entry.actor);
                        findings.push(Finding::own(Kind::Score, &log.party, entry.index, what));
                    }
                }
                _ => {}
            }
        }
    }
}
