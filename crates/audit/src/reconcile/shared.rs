//! Facts of a session that its parties hold alike.

use std::collections::{BTreeMap, BTreeSet};

use tally_crypto::transcript::Digest;

use super::history::History;
use super::{Finding, Kind, ends_before, find, in_sessions, is_platform};
use crate::entry::{Body, Entry};
use crate::verify::VerifiedLog;

/// Contracts, alignments, sums, models and signed statements are the same wherever they are logged, stand once, and each party has them.
pub(super) fn facts(logs: &[VerifiedLog], history: &History, findings: &mut Vec<Finding>) {
    let mut told: BTreeMap<(&str, String), Vec<(&str, &Entry)>> = BTreeMap::new();
    for log in logs {
        for (session, entry) in in_sessions(log) {
            if let Some(name) = name(&entry.body) {
                told.entry((session, name)).or_default().push((&log.party, entry));
            }
        }
    }
    for ((session, name), told) in &told {
        differing(session, name, told, history, findings);
        twice(session, name, told, findings);
        for party in who(&told[0].1.body, logs) {
            let Some(log) = find(logs, &party).filter(|log| told.iter().all(|(teller, _)| *teller != log.party)) else {
                continue;
            };
            let (teller, entry) = told[0];
            // Statements come with the message that ends a session, to one bank after the other.
            if matches!(entry.body, Body::Attestation { .. }) && !released(log, session) {
                continue;
            }
            let what = format!("session {session}: {name} is not in it; {teller} has it at entry {}", entry.index);
            let finding = Finding::own(Kind::FactMissing, &log.party, None, what);
            findings.push(finding.unless(ends_before(log, entry.time)));
        }
    }
}

fn released(log: &VerifiedLog, session: &str) -> bool {
    in_sessions(log).any(|(name, entry)| {
        name == session && matches!(&entry.body, Body::SessionState { stage, .. } if stage == "released")
    })
}

fn name(body: &Body) -> Option<String> {
    match body {
        Body::SessionContract { .. } => Some("the contract".into()),
        Body::PsiRun { bank, .. } => Some(format!("the alignment with {bank}")),
        Body::RoundResult { round, .. } => Some(format!("the sum of round {round}")),
        Body::ModelRelease { .. } => Some("the model".into()),
        Body::Attestation { fact, .. } => Some(format!("the signed statement `{fact}`")),
        _ => None,
    }
}

/// Who must hold a fact; sums and models have rules of their own, since banks may leave.
fn who(body: &Body, logs: &[VerifiedLog]) -> Vec<String> {
    match body {
        Body::SessionContract { parties, .. } | Body::Attestation { signers: parties, .. } => parties.clone(),
        Body::PsiRun { bank, .. } => {
            let platforms = logs.iter().filter(|log| is_platform(log)).map(|log| &log.party);
            std::iter::once(bank).chain(platforms).cloned().collect()
        }
        _ => Vec::new(),
    }
}

/// Named are the parties whose logs were changed; else the minority; else all.
fn differing(session: &str, name: &str, told: &[(&str, &Entry)], history: &History, findings: &mut Vec<Finding>) {
    let votes = |body: &Body| told.iter().filter(|(_, entry)| entry.body == *body).count();
    let Some((_, most)) = told.iter().max_by_key(|(_, entry)| votes(&entry.body)) else { return };
    let most = votes(&most.body);
    if most == told.len() {
        return;
    }
    let majority = 2 * most > told.len();
    let all: Vec<_> = told.iter().map(|(party, _)| *party).collect();
    let changed: Vec<_> = all.iter().copied().filter(|party| history.changed(party, Some(session))).collect();
    let odd = told.iter().filter(|(_, entry)| majority && votes(&entry.body) < most);
    let odd: Vec<_> = odd.map(|(party, _)| *party).collect();
    let culprits = [odd, changed, all].into_iter().find(|named| !named.is_empty()).unwrap_or_default();
    let place = told.iter().find(|(party, _)| culprits.contains(party)).unwrap_or(&told[0]);
    let what = format!("session {session}: {name} is another than in the other logs");
    let culprits: BTreeSet<_> = culprits.into_iter().collect();
    findings.push(Finding::fault(Kind::FactDiffers, culprits, place.0, place.1.index, what));
}

fn twice(session: &str, name: &str, told: &[(&str, &Entry)], findings: &mut Vec<Finding>) {
    let mut seen = BTreeSet::new();
    for (party, entry) in told {
        if !seen.insert(*party) {
            let what = format!("session {session}: {name} stands in it twice");
            findings.push(Finding::own(Kind::FactTwice, party, entry.index, what));
        }
    }
}

/// A version of the sharing list is the same list everywhere, and a contract's was there before it.
pub(super) fn lists(logs: &[VerifiedLog], findings: &mut Vec<Finding>) {
    let mut known: BTreeMap<u32, Vec<(&str, u64, Digest)>> = BTreeMap::new();
    for log in logs {
        let (mut loaded, mut pinned) = (BTreeSet::new(), BTreeMap::new());
        for entry in &log.entries {
            let wrong = match &entry.body {
                Body::PolicyLoad { version, list } => {
                    loaded.insert(*version);
                    known.entry(*version).or_default().push((&log.party, entry.index, *list));
                    None
                }
                Body::SessionContract { list, .. } => {
                    pinned.insert(entry.session.as_deref(), *list);
                    (!loaded.contains(list)).then(|| format!("the contract names list {list}, which was not loaded"))
                }
                Body::Decision { list, .. } => {
                    let other = pinned.get(&entry.session.as_deref()).filter(|pinned| *pinned != list);
                    other.map(|pinned| format!("decided under list {list}, the contract names list {pinned}"))
                }
                _ => None,
            };
            findings.extend(wrong.map(|what| Finding::own(Kind::List, &log.party, entry.index, what)));
        }
    }
    for (version, told) in known {
        let votes = |list: Digest| told.iter().filter(|(.., other)| *other == list).count();
        let most = told.iter().map(|(.., list)| votes(*list)).max().unwrap_or(0);
        for (party, entry, _) in
            told.iter().filter(|(.., list)| votes(*list) < most || 2 * most <= told.len() && most < told.len())
        {
            let what = format!("version {version} of the sharing list is another list than in other logs");
            findings.push(Finding::own(Kind::List, party, *entry, what));
        }
    }
}
