//! Sums: over enough banks, of vectors that were given, at everybody who took part; and the models that rest on them.

use std::collections::{BTreeMap, BTreeSet};

use tally_crypto::transcript::Digest;

use super::{Finding, Kind, ends_before, find, in_sessions, is_platform};
use crate::entry::{Body, Entry};
use crate::verify::VerifiedLog;

/// No sum over fewer banks than the contract allows, over others than its parties, or out of turn.
pub(super) fn cohorts(log: &VerifiedLog, findings: &mut Vec<Finding>) {
    let mut contracts: BTreeMap<&str, (u32, &[String])> = BTreeMap::new();
    let mut last: BTreeMap<&str, u32> = BTreeMap::new();
    for (session, entry) in in_sessions(log) {
        match &entry.body {
            Body::SessionContract { min_cohort, parties, .. } => {
                contracts.insert(session, (*min_cohort, parties));
            }
            Body::RoundResult { round, cohort, .. } => {
                let before = last.insert(session, *round);
                let Some((least, parties)) = contracts.get(session) else { continue };
                let stranger = cohort.iter().find(|bank| !parties.contains(bank));
                let distinct = cohort.iter().collect::<BTreeSet<_>>().len() as u64;
                let wrong = match stranger {
                    _ if distinct < u64::from(*least) => {
                        Some((Kind::Cohort, format!("sums over {distinct} banks, the contract demands {least}")))
                    }
                    Some(stranger) => Some((Kind::Cohort, format!("sums over {stranger}, who is no party"))),
                    None if before.is_some_and(|before| before >= *round) => {
                        Some((Kind::Order, "follows a later round".into()))
                    }
                    None => None,
                };
                findings.extend(wrong.map(|(kind, what)| {
                    Finding::own(kind, &log.party, entry.index, format!("session {session}: round {round} {what}"))
                }));
            }
            _ => {}
        }
    }
}

/// Every sum is in the logs of the platform and of the banks in it, as far as they go on.
pub(super) fn present(logs: &[VerifiedLog], findings: &mut Vec<Finding>) {
    let mut sums: BTreeMap<(&str, u32), (&VerifiedLog, &Entry, BTreeSet<&str>)> = BTreeMap::new();
    for log in logs {
        for (session, entry) in in_sessions(log) {
            let Body::RoundResult { round, cohort, .. } = &entry.body else { continue };
            let (_, _, banks) = sums.entry((session, *round)).or_insert((log, entry, BTreeSet::new()));
            banks.extend(cohort.iter().map(String::as_str));
        }
    }
    let held: BTreeMap<&str, BTreeSet<(&str, u32)>> = logs.iter().map(|log| (log.party.as_str(), held(log))).collect();
    for ((session, round), (teller, told, banks)) in sums {
        let platforms = logs.iter().filter(|log| is_platform(log)).map(|log| log.party.as_str());
        let expected: BTreeSet<_> = banks.into_iter().chain(platforms).collect();
        for log in expected.into_iter().filter_map(|party| find(logs, party)) {
            let own = &held[log.party.as_str()];
            if own.contains(&(session, round)) {
                continue;
            }
            // A party that stopped before the sum reached it has not left it out.
            let on = own.range((session, round)..).any(|(name, _)| *name == session);
            let what = format!(
                "session {session}: the sum of round {round} is missing; {} has it at entry {}",
                teller.party, told.index
            );
            let finding = Finding::own(Kind::FactMissing, &log.party, None, what);
            findings.push(finding.unless(!on && (ends_before(log, told.time) || stopped(log, session))));
        }
    }
}

/// The rounds of which a log has sums; a model stands behind all of them.
fn held(log: &VerifiedLog) -> BTreeSet<(&str, u32)> {
    let place = |(session, entry): (_, &Entry)| match entry.body {
        Body::RoundResult { round, .. } => Some((session, round)),
        Body::ModelRelease { .. } => Some((session, u32::MAX)),
        _ => None,
    };
    in_sessions(log).filter_map(place).collect()
}

fn stopped(log: &VerifiedLog, session: &str) -> bool {
    in_sessions(log).any(|(name, entry)| {
        name == session && matches!(&entry.body, Body::SessionState { stage, .. } if stage == "aborted")
    })
}

/// Each vector that a bank committed to left it, and each bank in a sum committed to one for this very request.
pub(super) fn contributions(logs: &[VerifiedLog], findings: &mut Vec<Finding>) {
    let commits: BTreeMap<_, _> = logs.iter().flat_map(commits).collect();
    for log in logs {
        let left = log.entries.iter().filter_map(|entry| match &entry.body {
            Body::Egress(passage) => Some((entry.session.as_deref(), passage.digest)),
            _ => None,
        });
        let left: BTreeSet<(Option<&str>, Digest)> = left.collect();
        let last = log.entries.last().map(|entry| entry.index);
        for (session, entry) in in_sessions(log) {
            let Body::RoundCommit { round, masked, .. } = &entry.body else { continue };
            if !left.contains(&(Some(session), *masked)) && last != Some(entry.index) {
                let what = format!("session {session}: the vector of round {round} is not the one that left");
                findings.push(Finding::own(Kind::Contribution, &log.party, entry.index, what));
            }
        }
        given(log, &commits, findings);
    }
}

/// The requests that a bank gave vectors for in a session, by round; and when its copy ends.
type Commits<'a> = BTreeMap<(&'a str, &'a str), (&'a VerifiedLog, BTreeSet<(u32, Digest)>)>;

fn commits(log: &VerifiedLog) -> Commits<'_> {
    let mut all = Commits::new();
    for (session, entry) in in_sessions(log) {
        if let Body::RoundCommit { round, request, .. } = &entry.body {
            all.entry((&log.party, session)).or_insert((log, BTreeSet::new())).1.insert((*round, *request));
        }
    }
    all
}

fn given(log: &VerifiedLog, commits: &Commits<'_>, findings: &mut Vec<Finding>) {
    for (session, entry) in in_sessions(log) {
        let Body::RoundResult { round, request, cohort, .. } = &entry.body else { continue };
        for bank in cohort {
            // Without any commitment the session pools nothing, or its entries are missing altogether, which receipts show.
            let Some((other, given)) = commits.get(&(bank.as_str(), session)) else { continue };
            if !given.contains(&(*round, *request)) {
                let what = format!("session {session}: {bank} is in the sum of round {round} without a vector for it");
                let parties = BTreeSet::from([log.party.as_str(), bank]);
                let finding = Finding::fault(Kind::Contribution, parties, &log.party, entry.index, what);
                findings.push(finding.unless(ends_before(other, entry.time)));
            }
        }
    }
}

/// A model rests on the sums in the log, and a session that released one holds it.
pub(super) fn models(log: &VerifiedLog, findings: &mut Vec<Finding>) {
    let mut requests: BTreeMap<&str, BTreeSet<Digest>> = BTreeMap::new();
    let mut released: BTreeSet<&str> = BTreeSet::new();
    for (session, entry) in in_sessions(log) {
        let what = match &entry.body {
            Body::RoundResult { request, .. } => {
                requests.entry(session).or_default().insert(*request);
                continue;
            }
            Body::ModelRelease { rounds, .. } => {
                released.insert(session);
                let known = requests.get(session).map_or(0, BTreeSet::len) as u64;
                let short = known < u64::from(*rounds) || known == 0;
                short.then(|| format!("the model rests on {rounds} sums, {known} of them are here"))
            }
            Body::SessionState { stage, .. } if stage == "released" && !released.contains(session) => {
                Some("a model was released that is not here".into())
            }
            _ => continue,
        };
        findings.extend(
            what.map(|what| Finding::own(Kind::Model, &log.party, entry.index, format!("session {session}: {what}"))),
        );
    }
}
