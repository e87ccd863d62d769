//! Where a field went: from the data set that it stands in to every score that rests on it, entry by entry.
//!
//! Without openings the trail is that of a field, since entries name no enterprise. With openings, which a node discloses for one
//! enterprise, decisions and scores are those of this enterprise alone.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::{Digest, commit};

use crate::entry::{Body, Entry};
use crate::reconcile::is_platform;
use crate::verify::VerifiedLog;

/// What is asked; what is `None` does not matter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Question<'a> {
    /// Sessions over this field.
    pub field: Option<&'a str>,
    /// Sessions over this data set.
    pub dataset: Option<&'a str>,
    /// This session.
    pub session: Option<&'a str>,
    /// What concerns this bank.
    pub bank: Option<&'a str>,
}

/// What a commitment was made to, as a node discloses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disclosed {
    /// Whose log.
    pub log: String,
    /// The entry.
    pub entry: u64,
    /// The salt, 32 hexadecimal digits.
    pub salt: String,
    /// The value.
    pub value: String,
}

/// One entry on the way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// Whose log.
    pub log: String,
    /// Its place in it.
    pub entry: u64,
    /// Its leaf hash.
    pub leaf: Digest,
    /// Unix milliseconds.
    pub time: i64,
    /// The session.
    pub session: Option<String>,
    /// The entry's type, as in the log.
    pub kind: String,
    /// Whom it concerns.
    pub bank: Option<String>,
    /// What the entry says.
    pub says: Body,
}

/// Why a trace was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// An opening does not open what the entry commits to.
    #[error("the opening of entry {1} of {0} is not what the entry commits to")]
    Opening(String, u64),
    /// Openings are of several enterprises.
    #[error("the openings are of more than one enterprise")]
    Subjects,
}

/// The entries on the field's way, in the order of time.
///
/// # Errors
/// Names the opening that does not hold.
pub fn trace(logs: &[VerifiedLog], question: Question<'_>, openings: &[Disclosed]) -> Result<Vec<Step>, TraceError> {
    let subject = Subject::of(logs, openings)?;
    let (sessions, roots) = sessions(logs, question);
    let rules = watching(logs, question);
    let mut warnings = BTreeSet::new();
    let mut steps = Vec::new();
    for log in logs {
        // Who asked for each score.
        let mut asked: BTreeMap<Digest, &str> = BTreeMap::new();
        for (entry, leaf) in log.entries.iter().zip(&log.leaves) {
            if let Body::ScoreRequest { request, .. } = &entry.body {
                asked.insert(*request, &entry.actor);
            }
            let here = match (&entry.body, entry.session.as_deref()) {
                (Body::DatasetCommit { root, .. }, _) => roots.contains(root),
                (Body::Dispute { field, .. }, _) => question.field == Some(field),
                (Body::WarningIssue { warning, rule, .. }, _) if rules.contains(rule.as_str()) => {
                    warnings.insert(*warning);
                    true
                }
                (Body::WarningDeliver { warning, .. } | Body::WarningDrop { warning, .. }, _) => {
                    warnings.contains(warning)
                }
                (_, Some(session)) => sessions.contains(session),
                _ => false,
            };
            let bank = bank(log, entry, &asked);
            let his = question.bank.is_none() || bank.is_none() || bank == question.bank;
            if here && his && on_the_way(&entry.body) && subject.concerns(log, entry) {
                steps.push(step(log, entry, *leaf, bank));
            }
        }
    }
    steps.sort_by(|one, other| (one.time, &one.log, one.entry).cmp(&(other.time, &other.log, other.entry)));
    Ok(steps)
}

/// The sessions that are asked for, and the roots of the data that they read.
fn sessions<'a>(logs: &'a [VerifiedLog], question: Question<'_>) -> (BTreeSet<&'a str>, BTreeSet<Digest>) {
    let (mut sessions, mut roots) = (BTreeSet::new(), BTreeSet::new());
    for entry in logs.iter().flat_map(|log| &log.entries) {
        let (Some(session), Body::SessionContract { fields, dataset, data, .. }) =
            (entry.session.as_deref(), &entry.body)
        else {
            continue;
        };
        let asked = question.field.is_none_or(|field| fields.contains_key(field))
            && question.dataset.is_none_or(|name| name == dataset)
            && question.session.is_none_or(|name| name == session);
        if asked {
            sessions.insert(session);
            roots.insert(*data);
        }
    }
    (sessions, roots)
}

/// Rules of early warning that look at the field that is asked for.
fn watching<'a>(logs: &'a [VerifiedLog], question: Question<'_>) -> BTreeSet<&'a str> {
    let rules = logs.iter().flat_map(|log| &log.entries).filter_map(|entry| match &entry.body {
        Body::WarningRules { fields, .. } => Some(fields),
        _ => None,
    });
    let over = |(_, field): &(&String, &String)| question.field == Some(field.as_str());
    rules.flatten().filter(over).map(|(rule, _)| rule.as_str()).collect()
}

/// What tells of data on their way; masked vectors and control messages do not.
fn on_the_way(body: &Body) -> bool {
    match body {
        Body::DatasetCommit { .. }
        | Body::SessionContract { .. }
        | Body::Clearance { .. }
        | Body::ConsentSet { .. }
        | Body::ConsentWithdrawn { .. }
        | Body::ConsentEnded { .. }
        | Body::PsiRun { .. }
        | Body::FeatureDisclose(_)
        | Body::RoundResult { .. }
        | Body::ModelRelease { .. }
        | Body::Attestation { .. }
        | Body::ScoreRequest { .. }
        | Body::Decision { .. }
        | Body::ScoreResponse { .. }
        | Body::ScoreCorrection { .. }
        | Body::WarningIssue { .. }
        | Body::WarningDeliver { .. }
        | Body::WarningDrop { .. }
        | Body::Dispute { .. } => true,
        Body::Egress(passage) => matches!(passage.form.as_deref(), Some("raw" | "binned")),
        _ => false,
    }
}

fn bank<'a>(log: &'a VerifiedLog, entry: &'a Entry, asked: &BTreeMap<Digest, &'a str>) -> Option<&'a str> {
    match &entry.body {
        Body::Clearance { grantee, .. } | Body::Decision { grantee, .. } => Some(grantee),
        Body::WarningIssue { grantee, .. }
        | Body::WarningDeliver { grantee, .. }
        | Body::WarningDrop { grantee, .. } => Some(grantee),
        Body::FeatureDisclose(disclosure) => Some(&disclosure.grantee),
        Body::ConsentSet { bank, .. }
        | Body::ConsentWithdrawn { bank, .. }
        | Body::ConsentEnded { bank, .. }
        | Body::PsiRun { bank, .. } => Some(bank),
        Body::Egress(passage) if is_platform(log) => Some(&passage.peer),
        Body::Egress(_) => Some(&log.party),
        Body::ScoreRequest { request, .. }
        | Body::ScoreResponse { request, .. }
        | Body::ScoreCorrection { request, .. } => asked.get(request).copied(),
        _ => None,
    }
}

/// The one enterprise that openings are of.
struct Subject<'a> {
    /// Whether there are openings at all.
    one: bool,
    /// Entries that were opened, and the decisions that belong to opened requests or the other way round.
    entries: BTreeSet<(&'a str, u64)>,
    /// Its scores.
    requests: BTreeSet<Digest>,
    /// Its early warnings.
    warnings: BTreeSet<Digest>,
}

impl<'a> Subject<'a> {
    fn of(logs: &'a [VerifiedLog], openings: &[Disclosed]) -> Result<Self, TraceError> {
        if openings.windows(2).any(|two| two[0].value != two[1].value) {
            return Err(TraceError::Subjects);
        }
        let (entries, requests, warnings) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut subject = Self { one: !openings.is_empty(), entries, requests, warnings };
        for opening in openings {
            let log = logs.iter().find(|log| log.party == opening.log);
            let entry = log.and_then(|log| log.entries.get(usize::try_from(opening.entry).ok()?));
            let (Some(log), Some(entry)) = (log, entry.filter(|entry| opening.opens(entry))) else {
                return Err(TraceError::Opening(opening.log.clone(), opening.entry));
            };
            subject.entries.insert((&log.party, entry.index));
        }
        logs.iter().for_each(|log| subject.join(log));
        Ok(subject)
    }

    /// A decision stands between the request that it is about and its answer.
    fn join(&mut self, log: &'a VerifiedLog) {
        let mut asked: BTreeMap<&str, (u64, Digest)> = BTreeMap::new();
        for entry in &log.entries {
            let opened = self.entries.contains(&(log.party.as_str(), entry.index));
            match &entry.body {
                Body::ScoreRequest { request, .. } => {
                    asked.insert(&entry.actor, (entry.index, *request));
                    if opened {
                        self.requests.insert(*request);
                    }
                }
                Body::WarningIssue { warning, .. } if opened => {
                    self.warnings.insert(*warning);
                }
                Body::Decision { grantee, .. } if entry.session.is_some() => {
                    let Some((_, request)) = asked.get(grantee.as_str()) else { continue };
                    if opened {
                        self.requests.insert(*request);
                    } else if self.requests.contains(request) {
                        self.entries.insert((&log.party, entry.index));
                    }
                }
                _ => {}
            }
        }
    }

    fn concerns(&self, log: &VerifiedLog, entry: &Entry) -> bool {
        match &entry.body {
            _ if !self.one => true,
            Body::ScoreRequest { request, .. }
            | Body::ScoreResponse { request, .. }
            | Body::ScoreCorrection { request, .. } => self.requests.contains(request),
            Body::WarningDeliver { warning, .. } | Body::WarningDrop { warning, .. } => self.warnings.contains(warning),
            Body::Decision { .. } | Body::Dispute { .. } | Body::WarningIssue { .. } => {
                self.entries.contains(&(log.party.as_str(), entry.index))
            }
            // Of sessions only the root over all rows is in the log.
            _ => true,
        }
    }
}

impl Disclosed {
    /// Whether this is what the entry commits to.
    pub fn opens(&self, entry: &Entry) -> bool {
        let mut salt = [0; 16];
        if hex::decode_to_slice(&self.salt, &mut salt).is_err() {
            return false;
        }
        let (label, committed) = match &entry.body {
            Body::ScoreRequest { applicant, .. } | Body::ApiCall { applicant: Some(applicant), .. } => {
                ("applicant", applicant)
            }
            Body::Decision { subject, .. } | Body::Dispute { subject, .. } | Body::WarningIssue { subject, .. } => {
                ("subject", subject)
            }
            _ => return false,
        };
        commit(label, &salt, self.value.as_bytes()) == *committed
    }
}

fn step(log: &VerifiedLog, entry: &Entry, leaf: Digest, bank: Option<&str>) -> Step {
    let body = serde_json::to_value(&entry.body).unwrap_or_default();
    Step {
        log: log.party.clone(),
        entry: entry.index,
        leaf,
        time: entry.time,
        session: entry.session.clone(),
        kind: body["type"].as_str().unwrap_or_default().into(),
        bank: bank.map(Into::into),
        says: entry.body.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::whole_session;

    fn kinds(steps: &[Step], bank: &str) -> Vec<String> {
        let his =
            steps.iter().filter(|step| step.log == "platform" && step.bank.as_deref().is_none_or(|name| name == bank));
        his.map(|step| step.kind.clone()).filter(|kind| kind != "round.result").collect()
    }

    const WAY: [&str; 13] = [
        "dataset.commit",
        "session.contract",
        "clearance",
        "consent.set",
        "feature.disclose",
        "egress",
        "psi.run",
        "model.release",
        "attestation",
        "attestation",
        "score.request",
        "decision",
        "score.response",
    ];

    #[test]
    fn a_field_is_followed_from_its_data_set_to_the_scores() {
        let logs = whole_session();
        let question = Question { field: Some("tax"), bank: Some("bank-2"), ..Question::default() };
        let steps = trace(&logs, question, &[]).unwrap();
        assert_eq!(kinds(&steps, "bank-2"), WAY);
        assert!(steps.iter().all(|step| step.bank.as_deref().is_none_or(|bank| bank == "bank-2")));
        let other = Question { field: Some("court"), ..Question::default() };
        assert_eq!(trace(&logs, other, &[]).unwrap(), vec![]);
        let other = Question { session: Some("another"), ..Question::default() };
        assert_eq!(trace(&logs, other, &[]).unwrap(), vec![]);
    }

    #[test]
    fn warnings_over_a_field_are_on_its_way() {
        let mut logs = whole_session();
        let platform = logs.iter_mut().find(|log| log.party == "platform").unwrap();
        let (mut entry, leaf) = (platform.entries[1].clone(), platform.leaves[1]);
        let of = |rule: &str, warning| Body::WarningIssue {
            warning: Digest([warning; 32]),
            grantee: "bank-1".into(),
            subject: Digest::default(),
            rule: rule.into(),
            severity: "watch".into(),
        };
        let left = |warning| Body::WarningDeliver { warning: Digest([warning; 32]), grantee: "bank-1".into() };
        let fields = [("arrears".to_owned(), "tax".to_owned()), ("cases".to_owned(), "court".to_owned())].into();
        let rules = Body::WarningRules { version: 1, rules: Digest::default(), fields };
        entry.session = None;
        for body in [rules, of("arrears", 1), of("cases", 2), left(1), left(2)] {
            let index = platform.entries.len() as u64;
            platform.entries.push(Entry { index, body, ..entry.clone() });
            platform.leaves.push(leaf);
        }
        let question = Question { field: Some("tax"), ..Question::default() };
        let steps = trace(&logs, question, &[]).unwrap();
        let warned: Vec<_> = steps.iter().filter(|step| step.kind.starts_with("warning")).collect();
        assert_eq!(
            warned.iter().map(|step| step.kind.as_str()).collect::<Vec<_>>(),
            ["warning.issue", "warning.deliver"]
        );
        assert!(warned.iter().all(|step| step.bank.as_deref() == Some("bank-1")));
    }

    #[test]
    fn openings_leave_the_scores_of_one_enterprise() {
        let logs = whole_session();
        let place = |log: &str| logs.iter().find(|one| one.party == log).unwrap();
        let request =
            place("bank-2").entries.iter().find(|entry| matches!(entry.body, Body::ScoreRequest { .. })).unwrap();
        let opening = Disclosed {
            log: "bank-2".into(),
            entry: request.index,
            salt: hex::encode([2; 16]),
            value: "91330100AAAAAAAA2X".into(),
        };
        let question = Question { field: Some("tax"), ..Question::default() };
        let steps = trace(&logs, question, std::slice::from_ref(&opening)).unwrap();
        let scores: Vec<_> = steps
            .iter()
            .filter(|step| matches!(step.kind.as_str(), "score.request" | "decision" | "score.response"))
            .collect();
        // Two in the bank's log, three in the platform's.
        assert_eq!(scores.len(), 5);
        assert!(scores.iter().all(|step| step.bank.as_deref() == Some("bank-2")));
        let wrong = Disclosed { value: "91330100AAAAAAAA3X".into(), ..opening.clone() };
        assert_eq!(
            trace(&logs, question, std::slice::from_ref(&wrong)),
            Err(TraceError::Opening("bank-2".into(), request.index))
        );
        assert_eq!(trace(&logs, question, &[opening, wrong]), Err(TraceError::Subjects));
    }
}
