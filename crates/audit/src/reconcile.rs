//! The parties' logs against one another: what one says, the others must say too.

mod sources;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;

use crate::entry::{Body, Entry, Passage};
use crate::verify::VerifiedLog;

/// Something that the logs do not agree on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// The parties concerned.
    pub parties: Vec<String>,
    /// What was found.
    pub what: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Explained by a log that was copied before the other, or a message that was on its way.
    Warning,
    /// One of the parties does not tell the truth, or its log is not complete.
    Fault,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Fault => "fault",
        };
        write!(f, "{severity} [{}] {}", self.parties.join(", "), self.what)
    }
}

/// Joins the logs and returns what does not fit; empty if everything does.
pub fn reconcile(logs: &[VerifiedLog]) -> Vec<Finding> {
    let mut findings = Vec::new();
    passages(logs, &mut findings);
    shared_facts(logs, &mut findings);
    for log in logs {
        cohorts(log, &mut findings);
        scores(log, &mut findings);
        sources::data(log, &mut findings);
        sources::disclosures(log, &mut findings);
    }
    findings
}

fn fault(parties: &[&str], what: String) -> Finding {
    Finding { severity: Severity::Fault, parties: parties.iter().map(ToString::to_string).collect(), what }
}

/// Every message that left was taken in, unchanged, under the receipt of the entry that covers it.
fn passages(logs: &[VerifiedLog], findings: &mut Vec<Finding>) {
    for sender in logs {
        for receiver in logs.iter().filter(|receiver| receiver.party != sender.party) {
            let sent = stream(sender, &receiver.party, true);
            let taken = stream(receiver, &sender.party, false);
            let last = taken.keys().next_back().copied().unwrap_or(0);
            let parties = [sender.party.as_str(), receiver.party.as_str()];
            for (sequence, (leaf, passage)) in &sent {
                let Some((_, other)) = taken.get(sequence) else {
                    let severity = if *sequence > last { Severity::Warning } else { Severity::Fault };
                    let what = format!("message {sequence} ({}) left but was not taken in", passage.kind);
                    findings.push(Finding { severity, ..fault(&parties, what) });
                    continue;
                };
                if other.digest != passage.digest || other.bytes != passage.bytes || other.kind != passage.kind {
                    findings.push(fault(&parties, format!("message {sequence} differs between the two logs")));
                }
                if other.receipt != Some(*leaf) {
                    findings
                        .push(fault(&parties, format!("message {sequence} came with the receipt of another entry")));
                }
            }
            let last = sent.keys().next_back().copied().unwrap_or(0);
            let late = taken.range(last + 1..).count();
            if late > 0 {
                let what = format!(
                    "{late} messages after message {last} were taken in; the copy of {}'s log ends before them",
                    sender.party
                );
                findings.push(Finding { severity: Severity::Warning, ..fault(&parties, what) });
            }
            for sequence in taken.range(..last).map(|(sequence, _)| sequence).filter(|place| !sent.contains_key(place))
            {
                findings.push(fault(&parties, format!("message {sequence} was taken in but never left")));
            }
        }
    }
}

fn stream<'a>(log: &'a VerifiedLog, peer: &str, out: bool) -> BTreeMap<u64, (Digest, &'a Passage)> {
    let passages = log.entries.iter().zip(&log.leaves).filter_map(|(entry, leaf)| match &entry.body {
        Body::Egress(passage) if out => Some((leaf, passage)),
        Body::Ingress(passage) if !out => Some((leaf, passage)),
        _ => None,
    });
    passages
        .filter(|(_, passage)| passage.peer == peer)
        .map(|(leaf, passage)| (passage.sequence, (*leaf, passage)))
        .collect()
}

/// Contracts, alignments, sums and models are the same wherever they are logged.
fn shared_facts(logs: &[VerifiedLog], findings: &mut Vec<Finding>) {
    let mut facts: BTreeMap<(String, String), Vec<(&str, &Body)>> = BTreeMap::new();
    for log in logs {
        for entry in &log.entries {
            if let (Some(session), Some(name)) = (&entry.session, fact_name(&entry.body)) {
                facts.entry((session.clone(), name)).or_default().push((&log.party, &entry.body));
            }
        }
    }
    for ((session, name), told) in facts {
        let differs = told.iter().find(|(_, body)| *body != told[0].1);
        if let Some((party, _)) = differs {
            findings
                .push(fault(&[told[0].0, party], format!("session {session}: {name} differs between the two logs")));
        }
        let parties: BTreeSet<_> = told.iter().map(|(party, _)| *party).collect();
        if parties.len() < told.len() {
            findings.push(fault(
                &parties.into_iter().collect::<Vec<_>>(),
                format!("session {session}: {name} is logged twice"),
            ));
        }
    }
}

fn fact_name(body: &Body) -> Option<String> {
    match body {
        Body::SessionContract { .. } => Some("the contract".into()),
        Body::PsiRun { bank, .. } => Some(format!("the alignment with {bank}")),
        Body::RoundResult { round, .. } => Some(format!("the sum of round {round}")),
        Body::ModelRelease { .. } => Some("the model".into()),
        _ => None,
    }
}

/// No sum over fewer banks than the contract allows, and none before the contract.
fn cohorts(log: &VerifiedLog, findings: &mut Vec<Finding>) {
    let mut minimum: BTreeMap<&str, u32> = BTreeMap::new();
    for Entry { session, body, index, .. } in &log.entries {
        let Some(session) = session.as_deref() else { continue };
        match body {
            Body::SessionContract { min_cohort, .. } => {
                minimum.insert(session, *min_cohort);
            }
            Body::RoundResult { round, cohort, .. } => {
                let what = match minimum.get(session) {
                    None => format!("entry {index}: a sum before the contract"),
                    Some(least) if (cohort.len() as u64) < u64::from(*least) => {
                        format!(
                            "entry {index}: round {round} sums over {} banks, the contract demands {least}",
                            cohort.len()
                        )
                    }
                    Some(_) => continue,
                };
                findings.push(fault(&[&log.party], what));
            }
            _ => {}
        }
    }
}

/// No answer without its request; no score without a decision that allowed it.
fn scores(log: &VerifiedLog, findings: &mut Vec<Finding>) {
    let platform =
        log.entries.iter().any(|entry| matches!(&entry.body, Body::Genesis { role, .. } if role == "platform"));
    let mut asked = BTreeSet::new();
    let mut allowed = 0u64;
    for Entry { body, index, .. } in &log.entries {
        match body {
            Body::ScoreRequest { request, .. } => {
                asked.insert(*request);
            }
            Body::Decision { allow: true, .. } => allowed += 1,
            Body::ScoreResponse { request, outcome } => {
                if !asked.remove(request) {
                    findings.push(fault(&[&log.party], format!("entry {index}: a score that nobody asked for")));
                }
                if platform && outcome == "scored" {
                    match allowed.checked_sub(1) {
                        Some(rest) => allowed = rest,
                        None => {
                            findings.push(fault(
                                &[&log.party],
                                format!("entry {index}: a score without an allowing decision"),
                            ));
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u64, session: Option<&str>, body: Body) -> Entry {
        let node = String::new();
        Entry {
            v: 1,
            index,
            time: 0,
            node,
            actor: "a".into(),
            session: session.map(Into::into),
            seq: None,
            prev: None,
            body,
        }
    }

    fn log(party: &str, bodies: Vec<Body>) -> VerifiedLog {
        let genesis = Body::Genesis { role: party.into(), log_vkey: String::new(), software: String::new() };
        let bodies = std::iter::once(genesis).chain(bodies);
        let entries: Vec<_> = (0..).zip(bodies).map(|(index, body)| entry(index, Some("s"), body)).collect();
        let leaves = (0..entries.len()).map(leaf).collect();
        VerifiedLog { party: party.into(), entries, leaves, root: Digest::default() }
    }

    fn leaf(index: usize) -> Digest {
        Digest::of_bytes(&index.to_be_bytes())
    }

    fn passage(peer: &str, sequence: u64, receipt: Option<usize>) -> Passage {
        let form = receipt.is_none().then(|| "masked".into());
        let digest = Digest([3; 32]);
        Passage {
            peer: peer.into(),
            sequence,
            kind: "session".into(),
            form,
            digest,
            bytes: 5,
            receipt: receipt.map(leaf),
        }
    }

    fn out(sequence: u64) -> Body {
        Body::Egress(passage("platform", sequence, None))
    }

    fn taken(sequence: u64, receipt: usize) -> Body {
        Body::Ingress(passage("bank", sequence, Some(receipt)))
    }

    fn contract(min_cohort: u32) -> Body {
        Body::SessionContract {
            contract: Digest::default(),
            parties: vec![],
            purpose: String::new(),
            fields: BTreeMap::new(),
            list: 1,
            dataset: String::new(),
            as_of: String::new(),
            data: Digest::default(),
            min_cohort,
        }
    }

    fn result(sums: u8, cohort: usize) -> Body {
        let cohort = (0..cohort).map(|bank| bank.to_string()).collect();
        Body::RoundResult { round: 0, request: Digest::default(), sums: Digest([sums; 32]), cohort }
    }

    fn found(bank: Vec<Body>, platform: Vec<Body>) -> Vec<String> {
        reconcile(&[log("bank", bank), log("platform", platform)]).iter().map(ToString::to_string).collect()
    }

    fn commit() -> Body {
        let (dataset, as_of, fields) = (String::new(), String::new(), Vec::new());
        Body::DatasetCommit { dataset, as_of, fields, rows: 0, root: Digest::default() }
    }

    #[test]
    fn logs_that_fit_have_no_findings() {
        let platform = vec![commit(), taken(1, 1), contract(3), result(1, 3)];
        assert!(found(vec![out(1), contract(3), result(1, 3)], platform).is_empty());
    }

    #[test]
    fn every_planted_fault_is_found() {
        let one = |bank: Vec<Body>, platform: Vec<Body>, word: &str| {
            let findings = found(bank, platform);
            assert!(findings.iter().any(|finding| finding.contains(word)), "{word}: {findings:?}");
        };
        one(vec![out(1), out(2)], vec![taken(2, 2)], "fault [bank, platform] message 1 (session) left");
        one(vec![out(1), out(2)], vec![taken(1, 1)], "warning [bank, platform] message 2");
        one(
            vec![out(2)],
            vec![taken(1, 1), taken(2, 2)],
            "fault [bank, platform] message 1 was taken in but never left",
        );
        one(vec![out(1)], vec![taken(1, 1), taken(2, 2)], "warning [bank, platform] 1 messages after message 1");
        one(vec![out(1)], vec![taken(1, 7)], "receipt of another entry");
        let mut changed = passage("bank", 1, Some(1));
        changed.bytes = 6;
        one(vec![out(1)], vec![Body::Ingress(changed)], "differs between the two logs");
        one(vec![contract(3)], vec![contract(4)], "the contract differs");
        one(vec![contract(3), result(1, 3)], vec![contract(3), result(2, 3)], "the sum of round 0 differs");
        one(vec![contract(3), result(1, 2)], vec![], "sums over 2 banks");
        one(vec![result(1, 3)], vec![], "before the contract");
        one(vec![contract(3), contract(3)], vec![], "logged twice");
        let response = || Body::ScoreResponse { request: Digest::default(), outcome: "scored".into() };
        one(vec![response()], vec![], "nobody asked");
        one(vec![], vec![response()], "without an allowing decision");
    }
}
