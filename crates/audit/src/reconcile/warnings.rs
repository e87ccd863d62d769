//! Early warnings: issued once, delivered once, under a decision; acknowledged by the bank that they were sent to.

use std::collections::{BTreeMap, BTreeSet};

use tally_crypto::transcript::Digest;

use super::{Finding, Kind, ends_before, find, is_platform};
use crate::entry::{Body, Entry};
use crate::verify::VerifiedLog;

/// Where a warning stands in the platform's log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Issued,
    Delivered,
    Ended,
}

/// No warning leaves that was not issued, twice, after it was dropped, or without a decision that allows it.
pub(super) fn deliveries(log: &VerifiedLog, findings: &mut Vec<Finding>) {
    if !is_platform(log) {
        return;
    }
    let mut standing: BTreeMap<(Digest, &str), Standing> = BTreeMap::new();
    // Banks for which a decision outside of sessions has allowed a message that has not left yet.
    let mut allowed: BTreeSet<&str> = BTreeSet::new();
    for Entry { session, body, index, .. } in &log.entries {
        let mut wrong = |kind, what: &str| findings.push(Finding::own(kind, &log.party, *index, what));
        match body {
            Body::Decision { grantee, allow: true, .. } if session.is_none() => {
                allowed.insert(grantee);
            }
            Body::WarningIssue { warning, grantee, .. } => {
                let before = standing.insert((*warning, grantee), Standing::Issued);
                if before.is_some() {
                    wrong(Kind::Warning, "a warning was issued twice");
                }
            }
            Body::WarningDeliver { warning, grantee } => {
                if standing.insert((*warning, grantee), Standing::Delivered) != Some(Standing::Issued) {
                    wrong(Kind::Warning, "a warning was delivered that was not waiting");
                }
                if !allowed.contains(grantee.as_str()) {
                    wrong(Kind::Decision, "a warning was delivered without an allowing decision");
                }
            }
            Body::WarningDrop { warning, grantee, .. } => {
                let before = standing.insert((*warning, grantee), Standing::Ended);
                if before.is_none_or(|before| before == Standing::Ended) {
                    wrong(Kind::Warning, "a warning was dropped that was neither waiting nor delivered");
                }
            }
            Body::Egress(passage) if passage.kind == "warning" => {
                allowed.remove(passage.peer.as_str());
            }
            _ => {}
        }
    }
}

/// A bank takes in what the platform has sent it, and nothing else.
pub(super) fn acknowledged(logs: &[VerifiedLog], findings: &mut Vec<Finding>) {
    let said: BTreeSet<(&str, &[Digest])> = logs.iter().flat_map(own_acks).collect();
    for platform in logs.iter().filter(|log| is_platform(log)) {
        let mut sent: BTreeSet<(&str, Digest)> = BTreeSet::new();
        for entry in &platform.entries {
            let bank = entry.actor.as_str();
            match &entry.body {
                Body::WarningDeliver { warning, grantee } => {
                    sent.insert((grantee, *warning));
                }
                Body::WarningAck { warnings } => {
                    if !warnings.iter().all(|warning| sent.contains(&(bank, *warning))) {
                        let what = format!("{bank} acknowledged a warning that it was not sent");
                        findings.push(Finding::own(Kind::Warning, &platform.party, entry.index, what));
                    }
                    let Some(there) = find(logs, bank).filter(|_| !said.contains(&(bank, warnings.as_slice()))) else {
                        continue;
                    };
                    let what = format!("{bank} acknowledged warnings otherwise in its own log");
                    let parties = [platform.party.as_str(), bank];
                    let finding = Finding::fault(Kind::Warning, parties, &platform.party, entry.index, what);
                    findings.push(finding.unless(ends_before(there, entry.time)));
                }
                _ => {}
            }
        }
    }
}

/// What a log says that its owner has acknowledged.
fn own_acks(log: &VerifiedLog) -> impl Iterator<Item = (&str, &[Digest])> {
    log.entries.iter().filter_map(|entry| match &entry.body {
        Body::WarningAck { warnings } => Some((log.party.as_str(), warnings.as_slice())),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Passage;
    use crate::reconcile::Severity;

    const ONE: Digest = Digest([1; 32]);

    fn log(party: &str, bodies: Vec<(&str, Body)>) -> VerifiedLog {
        let role = if party == "platform" { "platform" } else { "bank" };
        let genesis = Body::Genesis { role: role.into(), log_vkey: String::new(), software: String::new() };
        let entry = |(index, (actor, body)): (u64, (&str, Body))| Entry {
            v: 1,
            index,
            time: 0,
            node: party.into(),
            actor: actor.into(),
            session: None,
            seq: None,
            prev: None,
            body,
        };
        let entries = (0..).zip(std::iter::once((party, genesis)).chain(bodies)).map(entry).collect();
        VerifiedLog { party: party.into(), entries, leaves: Vec::new(), root: Digest::default() }
    }

    fn issue() -> (&'static str, Body) {
        let (grantee, rule, severity) = ("bank".into(), "court-case-opened".into(), "watch".into());
        ("platform", Body::WarningIssue { warning: ONE, grantee, subject: Digest::default(), rule, severity })
    }

    fn decide() -> (&'static str, Body) {
        let (grantee, purpose, consent) = ("bank".into(), "post-loan-monitoring".into(), Some(Digest::default()));
        let subject = Digest::default();
        ("platform", Body::Decision { grantee, purpose, subject, allow: true, failed: None, consent, list: 1 })
    }

    fn deliver() -> (&'static str, Body) {
        ("platform", Body::WarningDeliver { warning: ONE, grantee: "bank".into() })
    }

    fn leave() -> (&'static str, Body) {
        let (peer, kind, form) = ("bank".into(), "warning".into(), Some("warning".into()));
        let digest = Digest::default();
        ("platform", Body::Egress(Passage { peer, sequence: 1, kind, form, digest, bytes: 1, receipt: None }))
    }

    fn fall() -> (&'static str, Body) {
        ("platform", Body::WarningDrop { warning: ONE, grantee: "bank".into(), reason: "revoked".into() })
    }

    fn ack() -> (&'static str, Body) {
        ("bank", Body::WarningAck { warnings: vec![ONE] })
    }

    fn found(platform: Vec<(&str, Body)>, bank: Vec<(&str, Body)>) -> String {
        let (logs, mut findings) = ([log("platform", platform), log("bank", bank)], Vec::new());
        logs.iter().for_each(|log| deliveries(log, &mut findings));
        acknowledged(&logs, &mut findings);
        findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_warning_that_went_its_way_has_no_finding() {
        let way = vec![issue(), decide(), deliver(), leave(), ack(), fall()];
        assert_eq!(found(way, vec![ack()]), "");
        assert_eq!(found(vec![issue(), fall()], vec![]), "");
    }

    #[test]
    fn a_copy_that_ends_before_an_acknowledgement_accuses_nobody() {
        let platform = log("platform", vec![issue(), decide(), deliver(), leave(), ack()]);
        let of = |time: i64| {
            let mut platform = platform.clone();
            platform.entries.iter_mut().for_each(|entry| entry.time = time);
            let mut findings = Vec::new();
            acknowledged(&[platform, log("bank", Vec::new())], &mut findings);
            findings.iter().map(|finding| finding.severity).collect::<Vec<_>>()
        };
        assert_eq!((of(0), of(1)), (vec![Severity::Fault], vec![Severity::Warning]));
    }

    #[test]
    fn every_planted_fault_is_found() {
        for (platform, bank, word) in [
            (vec![issue(), issue()], vec![], "issued twice"),
            (vec![decide(), deliver(), leave()], vec![], "not waiting"),
            (vec![issue(), decide(), deliver(), deliver(), leave()], vec![], "not waiting"),
            (vec![issue(), fall(), decide(), deliver(), leave()], vec![], "not waiting"),
            (vec![issue(), deliver(), leave()], vec![], "without an allowing decision"),
            (vec![issue(), decide(), leave(), deliver()], vec![], "without an allowing decision"),
            (vec![fall()], vec![], "neither waiting"),
            (vec![issue(), decide(), deliver(), leave(), ack()], vec![], "otherwise in its own log"),
            (vec![issue(), ack()], vec![ack()], "that it was not sent"),
        ] {
            let findings = found(platform, bank);
            assert!(findings.contains(word), "{word}: {findings}");
        }
    }
}
