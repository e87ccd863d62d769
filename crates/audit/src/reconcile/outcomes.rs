//! Outcomes of loans: allowed at the bank before they leave, and decided about at the platform, all of them.

use std::collections::BTreeMap;

use tally_crypto::transcript::Digest;

use super::history::History;
use super::{Finding, Kind, ends_before, find};
use crate::entry::{Body, Entry};
use crate::verify::VerifiedLog;

/// Each message of outcomes has a decision of its own before it.
pub(super) fn allowed(log: &VerifiedLog, findings: &mut Vec<Finding>) {
    let mut open = BTreeMap::<&str, u64>::new();
    for Entry { body, index, .. } in &log.entries {
        match body {
            Body::OutcomeReport { provider, grantee, allowed, .. } if *provider == log.party && *allowed > 0 => {
                *open.entry(grantee).or_default() += 1;
            }
            Body::Egress(passage) if passage.kind == "outcome" => {
                let decided = open.get_mut(passage.peer.as_str()).filter(|decided| **decided > 0);
                match decided {
                    Some(decided) => *decided -= 1,
                    None => {
                        let what = format!("outcomes left for {} before they were allowed", passage.peer);
                        findings.push(Finding::own(Kind::Decision, &log.party, *index, what));
                    }
                }
            }
            _ => {}
        }
    }
}

/// What a receiver decided about is what the bank let go, under the same purpose.
pub(super) fn both_sides(logs: &[VerifiedLog], history: &History, findings: &mut Vec<Finding>) {
    let told = told(logs);
    for log in logs {
        for entry in &log.entries {
            let Body::OutcomeReport { report, provider, purpose, allowed, denied, .. } = &entry.body else { continue };
            let Some(bank) = find(logs, provider).filter(|bank| bank.party != log.party) else { continue };
            let decided = denied.values().fold(*allowed, |sum, count| sum.saturating_add(*count));
            let what = match told.get(&(provider.as_str(), *report)) {
                None => format!("{provider} does not hold the report of outcomes that was decided about here"),
                Some(said) if *said == (decided, purpose.as_str()) => continue,
                Some((left, _)) => {
                    format!(
                        "{decided} outcomes of a report were decided about, {provider} let {left} go, or for another purpose"
                    )
                }
            };
            let parties = history.culprits(&[&log.party, provider], None);
            let finding = Finding::fault(Kind::Decision, parties, &log.party, entry.index, what);
            findings.push(finding.unless(ends_before(bank, entry.time)));
        }
    }
}

/// By log and report: how many outcomes were let go, and for which purpose.
fn told(logs: &[VerifiedLog]) -> BTreeMap<(&str, Digest), (u64, &str)> {
    let mut told = BTreeMap::new();
    for log in logs {
        for entry in &log.entries {
            if let Body::OutcomeReport { report, purpose, allowed, .. } = &entry.body {
                told.entry((log.party.as_str(), *report)).or_insert((*allowed, purpose.as_str()));
            }
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Passage;

    fn log(party: &str, bodies: Vec<Body>) -> VerifiedLog {
        let entry = |(index, body): (u64, Body)| Entry {
            v: 1,
            index,
            time: 0,
            node: party.into(),
            actor: party.into(),
            session: None,
            seq: None,
            prev: None,
            body,
        };
        let entries = (0..).zip(bodies).map(entry).collect();
        VerifiedLog { party: party.into(), entries, leaves: Vec::new(), root: Digest::default() }
    }

    fn report(name: u8, allowed: u64, denied: u64, purpose: &str) -> Body {
        Body::OutcomeReport {
            report: Digest([name; 32]),
            provider: "bank".into(),
            grantee: "platform".into(),
            purpose: purpose.into(),
            allowed,
            denied: BTreeMap::from([("revoked".to_owned(), denied)]),
            basis: Digest::default(),
            list: 1,
        }
    }

    fn left() -> Body {
        let (peer, kind, form) = ("platform".into(), "outcome".into(), Some("binned".into()));
        Body::Egress(Passage { peer, sequence: 1, kind, form, digest: Digest::default(), bytes: 1, receipt: None })
    }

    fn found(bank: Vec<Body>, platform: Vec<Body>) -> String {
        let logs = [log("bank", bank), log("platform", platform)];
        let mut findings = Vec::new();
        logs.iter().for_each(|log| allowed(log, &mut findings));
        both_sides(&logs, &History::of(&logs), &mut findings);
        findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn reports_that_agree_have_no_finding() {
        let purpose = "post-loan-monitoring";
        // The platform refuses one of three; a report of which nothing is allowed does not leave.
        let bank = vec![report(1, 3, 9, purpose), left(), report(2, 0, 4, purpose)];
        assert_eq!(found(bank, vec![report(1, 2, 1, purpose)]), "");
    }

    #[test]
    fn every_planted_fault_is_found() {
        let purpose = "post-loan-monitoring";
        let one = |bank: Vec<Body>, platform: Vec<Body>, word: &str| {
            let findings = found(bank, platform);
            assert!(findings.contains(word), "{word}: {findings}");
        };
        one(vec![left()], Vec::new(), "before they were allowed");
        one(vec![report(1, 0, 4, purpose), left()], Vec::new(), "before they were allowed");
        one(vec![report(1, 3, 0, purpose), left(), left()], Vec::new(), "entry 2: outcomes left");
        one(vec![left(), report(1, 3, 0, purpose)], Vec::new(), "entry 0");
        let honest = || vec![report(1, 3, 0, purpose), left()];
        one(honest(), vec![report(1, 3, 1, purpose)], "4 outcomes of a report");
        one(honest(), vec![report(1, 3, 0, "pre-screening")], "another purpose");
        one(honest(), vec![report(2, 3, 0, purpose)], "does not hold the report");
        one(honest(), vec![report(1, 1, u64::MAX, purpose)], "outcomes of a report");
    }
}
