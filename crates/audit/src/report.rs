//! Who used whose data for what, from logs alone: by provider, purpose, bank and month.
//!
//! Counts are those of the platform's log, where one is given, since it holds the providers' data; else of the banks' own logs.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tally_crypto::transcript::Digest;

use crate::entry::{Body, Entry};
use crate::reconcile::is_platform;
use crate::verify::VerifiedLog;

/// What the logs tell of the use of data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The logs that were read.
    pub logs: Vec<Span>,
    /// Use, by provider, purpose, bank and month.
    pub usage: Vec<Usage>,
    /// What was denied, by reason.
    pub denials: Vec<Denials>,
    /// Consents, objections, deletion and access, by log and month.
    pub events: Vec<Events>,
}

/// How far a log goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Whose.
    pub party: String,
    /// Entries.
    pub entries: u64,
    /// Root over them.
    pub root: Digest,
    /// Months of the first and the last entry.
    pub months: Option<(String, String)>,
    /// Whether usage and denials are counted from it.
    pub counted: bool,
}

/// Use of one provider's fields by one bank for one purpose in one month.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Department that is answerable for the fields; the field itself where no sharing list tells.
    pub provider: String,
    /// The purpose.
    pub purpose: String,
    /// The bank.
    pub bank: String,
    /// The month, `2026-11`.
    pub month: String,
    /// Its fields in these sessions.
    pub fields: BTreeSet<String>,
    /// Sessions agreed or used.
    pub sessions: BTreeSet<String>,
    /// Rows cleared for sessions.
    pub rows_cleared: u64,
    /// Rows whose codes were given to the bank.
    pub rows_disclosed: u64,
    /// Scores asked for.
    pub scores_asked: u64,
    /// Scores given.
    pub scores_given: u64,
    /// Scores refused.
    pub scores_refused: u64,
    /// Scores given again, since a value was wrong.
    pub scores_corrected: u64,
}

/// What was denied to one bank for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Denials {
    /// The month.
    pub month: String,
    /// The bank.
    pub bank: String,
    /// The purpose.
    pub purpose: String,
    /// Code of the condition that failed.
    pub reason: String,
    /// Rows of sessions.
    pub rows: u64,
    /// Scores.
    pub scores: u64,
}

/// Other events of one log in one month.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Events {
    /// Whose log.
    pub log: String,
    /// The month.
    pub month: String,
    /// How many of each kind, such as `consent-revoke`, `objection-open`, `erase-score`, `export`, `audit-access`.
    pub counts: BTreeMap<String, u64>,
}

/// Counts what the logs hold; `owners` names the department of each field, as far as it is known.
pub fn report(logs: &[VerifiedLog], owners: &BTreeMap<String, String>) -> Report {
    let any_platform = logs.iter().any(is_platform);
    let mut report = Report::default();
    let mut tally = Tally::new(owners);
    for log in logs {
        let counted = !any_platform || is_platform(log);
        let months = log.entries.first().zip(log.entries.last());
        let months = months.map(|(first, last)| (month(first.time), month(last.time)));
        let (party, entries, root) = (log.party.clone(), log.entries.len() as u64, log.root);
        report.logs.push(Span { party, entries, root, months, counted });
        if counted {
            tally.sessions.clear();
            log.entries.iter().for_each(|entry| tally.take(entry));
        }
        report.events.extend(events(log));
    }
    report.usage = tally.usage.into_values().collect();
    report.denials = tally.denials.into_values().collect();
    report
}

/// What a session's contract says.
struct Agreed {
    purpose: String,
    /// Fields of each provider.
    providers: BTreeMap<String, BTreeSet<String>>,
}

struct Tally<'a> {
    owners: &'a BTreeMap<String, String>,
    sessions: BTreeMap<String, Agreed>,
    /// Who asked for each score, and why.
    asked: BTreeMap<Digest, (String, String)>,
    usage: BTreeMap<[String; 4], Usage>,
    denials: BTreeMap<[String; 4], Denials>,
}

impl<'a> Tally<'a> {
    fn new(owners: &'a BTreeMap<String, String>) -> Self {
        let (sessions, asked) = (BTreeMap::new(), BTreeMap::new());
        Self { owners, sessions, asked, usage: BTreeMap::new(), denials: BTreeMap::new() }
    }

    fn take(&mut self, entry: &Entry) {
        let Some(session) = entry.session.as_deref() else { return };
        match &entry.body {
            Body::SessionContract { purpose, fields, .. } => {
                let mut providers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
                for field in fields.keys() {
                    let owner = self.owners.get(field).unwrap_or(field);
                    providers.entry(owner.clone()).or_default().insert(field.clone());
                }
                self.sessions.insert(session.into(), Agreed { purpose: purpose.clone(), providers });
            }
            Body::Clearance { grantee, allowed, denied, .. } => {
                let purpose = self.purpose(session);
                self.used(entry, session, grantee, &purpose, |usage| add(&mut usage.rows_cleared, *allowed));
                for (reason, rows) in denied {
                    add(&mut self.denied(entry, grantee, &purpose, reason).rows, *rows);
                }
            }
            Body::FeatureDisclose(disclosure) => {
                let purpose = self.purpose(session);
                self.used(entry, session, &disclosure.grantee, &purpose, |usage| {
                    add(&mut usage.rows_disclosed, disclosure.rows);
                });
            }
            Body::ScoreRequest { request, purpose, .. } => {
                self.asked.insert(*request, (entry.actor.clone(), purpose.clone()));
                self.used(entry, session, &entry.actor, purpose, |usage| usage.scores_asked += 1);
            }
            Body::ScoreResponse { request, outcome } => {
                let Some((bank, purpose)) = self.asked.get(request).cloned() else { return };
                self.used(entry, session, &bank, &purpose, |usage| match outcome.as_str() {
                    "scored" => usage.scores_given += 1,
                    _ => usage.scores_refused += 1,
                });
                if outcome != "scored" {
                    self.denied(entry, &bank, &purpose, outcome).scores += 1;
                }
            }
            Body::ScoreCorrection { request, .. } => {
                let Some((bank, purpose)) = self.asked.get(request).cloned() else { return };
                self.used(entry, session, &bank, &purpose, |usage| usage.scores_corrected += 1);
            }
            _ => {}
        }
    }

    fn purpose(&self, session: &str) -> String {
        self.sessions.get(session).map(|agreed| agreed.purpose.clone()).unwrap_or_default()
    }

    /// Counts something for every provider of the session.
    fn used(&mut self, entry: &Entry, session: &str, bank: &str, purpose: &str, count: impl Fn(&mut Usage)) {
        let Some(agreed) = self.sessions.get(session) else { return };
        for (provider, fields) in &agreed.providers {
            let key = [provider.clone(), purpose.into(), bank.into(), month(entry.time)];
            let usage = self.usage.entry(key.clone()).or_insert_with(|| {
                let [provider, purpose, bank, month] = key;
                Usage { provider, purpose, bank, month, ..Usage::default() }
            });
            usage.fields.extend(fields.iter().cloned());
            usage.sessions.insert(session.into());
            count(usage);
        }
    }

    fn denied(&mut self, entry: &Entry, bank: &str, purpose: &str, reason: &str) -> &mut Denials {
        let key = [month(entry.time), bank.into(), purpose.into(), reason.into()];
        self.denials.entry(key.clone()).or_insert_with(|| {
            let [month, bank, purpose, reason] = key;
            Denials { month, bank, purpose, reason, rows: 0, scores: 0 }
        })
    }
}

/// Adds a number that a log states, whatever it is.
fn add(sum: &mut u64, stated: u64) {
    *sum = sum.saturating_add(stated);
}

fn events(log: &VerifiedLog) -> Vec<Events> {
    let mut months: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for entry in &log.entries {
        let (kind, count) = match &entry.body {
            Body::ConsentLoad { count, .. } => ("consent-load".into(), *count),
            Body::ConsentChange { change, .. } => (format!("consent-{change}"), 1),
            Body::ConsentWithdrawn { rows, .. } => ("rows-withdrawn".into(), *rows),
            Body::Dispute { state, .. } => (format!("objection-{state}"), 1),
            Body::ScoreCorrection { .. } => ("score-correction".into(), 1),
            Body::WarningIssue { .. } => ("warning-issue".into(), 1),
            Body::WarningDeliver { .. } => ("warning-deliver".into(), 1),
            Body::WarningDrop { reason, .. } => (format!("warning-drop-{reason}"), 1),
            Body::WarningOutcome { outcome, .. } => (format!("warning-outcome-{outcome}"), 1),
            Body::OutcomeImport { rows, .. } => ("outcome-import".into(), *rows),
            Body::OutcomeReport { allowed, .. } => ("outcome-report".into(), *allowed),
            Body::Erase { kind, count, .. } => (format!("erase-{kind}"), *count),
            Body::Export { allow, .. } => (if *allow { "export" } else { "export-refused" }.into(), 1),
            Body::Refusal { what, count, .. } => (format!("refused-{what}"), *count),
            Body::AlignCount { .. } => ("align-count".into(), 1),
            Body::AuditAccess { .. } => ("audit-access".into(), 1),
            Body::TokenIssue { .. } => ("token-issue".into(), 1),
            Body::TokenRevoke { .. } => ("token-revoke".into(), 1),
            Body::ApiCall { outcome, count, .. } => (format!("api-{outcome}"), *count),
            _ => continue,
        };
        add(months.entry(month(entry.time)).or_default().entry(kind).or_default(), count);
    }
    let events = |(month, counts)| Events { log: log.party.clone(), month, counts };
    months.into_iter().map(events).collect()
}

/// The month in UTC of a time in Unix milliseconds; days to dates after H. Hinnant, `civil_from_days`.
fn month(time: i64) -> String {
    let days = time.div_euclid(86_400_000) + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_those_of_the_calendar() {
        let day = 86_400_000;
        let known = [
            (0, "1970-01"),
            (30, "1970-01"),
            (31, "1970-02"),
            (11_016, "2000-02"),
            (11_017, "2000-03"),
            (-1, "1969-12"),
        ];
        for (days, expected) in known {
            assert_eq!(month(days * day), expected);
        }
        assert_eq!(month(1_795_564_800_000), "2026-11");
    }

    #[test]
    fn numbers_without_bounds_are_counted() {
        let mut logs = crate::reconcile::whole_session();
        for entry in logs.iter_mut().flat_map(|log| &mut log.entries) {
            match &mut entry.body {
                Body::Clearance { allowed, denied, .. } => {
                    *allowed = u64::MAX;
                    denied.values_mut().for_each(|rows| *rows = u64::MAX);
                }
                Body::FeatureDisclose(disclosure) => disclosure.rows = u64::MAX,
                Body::ConsentLoad { count, .. } => *count = u64::MAX,
                Body::Egress(passage) | Body::Ingress(passage) => {
                    (passage.sequence, passage.bytes) = (u64::MAX, u64::MAX);
                }
                _ => {}
            }
        }
        for log in &mut logs {
            log.entries.extend_from_within(..);
            log.leaves.extend_from_within(..);
        }
        let counted = report(&logs, &BTreeMap::new());
        assert!(counted.usage.iter().any(|one| one.rows_cleared == u64::MAX && one.rows_disclosed == u64::MAX));
        assert!(counted.denials.iter().all(|one| one.rows == u64::MAX));
        assert!(crate::reconcile::traffic(&logs).iter().all(|pair| pair.sent_bytes == u64::MAX));
        assert!(!crate::reconcile::reconcile(&logs).is_empty());
    }

    #[test]
    fn each_providers_use_is_counted_once_a_session_and_bank() {
        let logs = crate::reconcile::whole_session();
        let owners = [("tax".to_owned(), "tax bureau".to_owned())].into();
        let counted = report(&logs, &owners);
        assert_eq!(counted.logs.iter().filter(|span| span.counted).count(), 1);
        let usage: Vec<_> = counted
            .usage
            .iter()
            .map(|one| (one.bank.as_str(), one.purpose.as_str(), one.rows_cleared, one.scores_given))
            .collect();
        let expected = ["bank-1", "bank-2", "bank-3"];
        assert_eq!(usage[..3], expected.map(|bank| (bank, "joint-modelling", 7, 0)));
        assert_eq!(usage[3..], expected.map(|bank| (bank, "loan-underwriting", 0, 1)));
        assert!(counted.usage.iter().all(|one| one.provider == "tax bureau" && one.sessions.len() == 1));
        assert!(counted.denials.iter().all(|one| one.reason == "no-consent" && one.rows == 2));
        assert_eq!(counted.denials.len(), 3);
    }
}
