//! Where data came from, and what was known of a release before it: within one log.

use std::collections::{BTreeMap, BTreeSet};

use tally_crypto::transcript::Digest;

use super::{Finding, Kind, is_platform};
use crate::entry::{Body, Disclosure, Entry};
use crate::verify::VerifiedLog;

/// What was read is what was committed, and at the platform what the contract names.
pub(super) fn data(log: &VerifiedLog, findings: &mut Vec<Finding>) {
    let platform = is_platform(log);
    let mut committed: BTreeMap<Digest, BTreeSet<(&str, &str)>> = BTreeMap::new();
    let mut pinned: BTreeMap<&str, Digest> = BTreeMap::new();
    for Entry { session, body, index, .. } in &log.entries {
        let what = match (session.as_deref(), body) {
            (_, Body::DatasetCommit { dataset, as_of, root, .. }) => {
                committed.entry(*root).or_default().insert((dataset, as_of));
                continue;
            }
            (Some(session), Body::SessionContract { dataset, as_of, data, .. }) if platform => {
                pinned.insert(session, *data);
                // To statistics the platform brings no data.
                let known = dataset.is_empty()
                    || committed.get(data).is_some_and(|names| names.contains(&(dataset.as_str(), as_of.as_str())));
                (!known).then_some("the contract names data that were not committed before")
            }
            (session, Body::Clearance { data, .. }) => {
                let named = session.and_then(|session| pinned.get(session));
                match () {
                    () if !committed.contains_key(data) => Some("data were read that were not committed before"),
                    () if platform && session.is_some() && named.is_none() => {
                        Some("data were read before the contract")
                    }
                    () if platform && session.is_some() && named != Some(data) => {
                        Some("other data were read than the contract names")
                    }
                    () => None,
                }
            }
            _ => None,
        };
        findings.extend(what.map(|what| Finding::own(Kind::Data, &log.party, *index, what)));
    }
}

/// No row of codes leaves before the check of what it discloses is in the log, with the number of rows that were cleared.
pub(super) fn disclosures(log: &VerifiedLog, findings: &mut Vec<Finding>) {
    let mut cleared: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut checked: BTreeSet<(&str, &str)> = BTreeSet::new();
    for Entry { session, body, index, .. } in &log.entries {
        let Some(session) = session.as_deref() else { continue };
        let what = match body {
            Body::Clearance { grantee, allowed, .. } => {
                cleared.insert((session, grantee), *allowed);
                continue;
            }
            Body::FeatureDisclose(Disclosure { grantee, rows, .. }) => {
                checked.insert((session, grantee));
                let same = cleared.get(&(session, grantee.as_str())) == Some(rows);
                (!same).then(|| format!("the release to {grantee} was checked over other rows than were cleared"))
            }
            Body::Egress(passage) if passage.form.as_deref() == Some("binned") => {
                let known = checked.contains(&(session, passage.peer.as_str()));
                (!known).then(|| format!("rows of codes left for {} before their release was checked", passage.peer))
            }
            _ => continue,
        };
        findings.extend(what.map(|what| Finding::own(Kind::Disclosure, &log.party, *index, what)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{GroupCounts, Passage};

    const DATA: Digest = Digest([1; 32]);
    const OTHER: Digest = Digest([2; 32]);

    fn log(role: &str, bodies: Vec<Body>) -> VerifiedLog {
        let genesis = Body::Genesis { role: role.into(), log_vkey: String::new(), software: String::new() };
        let entry = |(index, body): (u64, Body)| Entry {
            v: 1,
            index,
            time: 0,
            node: String::new(),
            actor: "a".into(),
            session: (index > 1).then(|| "s".into()),
            seq: None,
            prev: None,
            body,
        };
        let entries: Vec<_> = (0..).zip(std::iter::once(genesis).chain(bodies)).map(entry).collect();
        VerifiedLog { party: role.into(), entries, leaves: Vec::new(), root: Digest::default() }
    }

    fn commit(root: Digest) -> Body {
        let fields = Vec::new();
        Body::DatasetCommit { dataset: "enterprises".into(), as_of: "2026-06-30".into(), fields, rows: 9, root }
    }

    fn contract(data: Digest, as_of: &str) -> Body {
        Body::SessionContract {
            contract: Digest::default(),
            parties: Vec::new(),
            purpose: String::new(),
            fields: BTreeMap::new(),
            list: 1,
            dataset: "enterprises".into(),
            as_of: as_of.into(),
            data,
            min_cohort: 3,
        }
    }

    fn clearance(data: Digest) -> Body {
        let (grantee, denied, basis) = ("bank".into(), BTreeMap::new(), Digest::default());
        Body::Clearance { grantee, allowed: 7, denied, basis, data }
    }

    fn disclose(rows: u64) -> Body {
        let counts = || GroupCounts { fields: 2, groups: 1, smallest: rows, unique: 0, below: 0 };
        let (release, cumulative) = (counts(), counts());
        let (grantee, form) = ("bank".into(), "binned".into());
        Body::FeatureDisclose(Disclosure { grantee, form, rows, k: 20, release, cumulative, difference: None })
    }

    fn rows() -> Body {
        let (peer, kind, form) = ("bank".into(), "session".into(), Some("binned".into()));
        Body::Egress(Passage { peer, sequence: 1, kind, form, digest: Digest::default(), bytes: 1, receipt: None })
    }

    fn found(role: &str, bodies: Vec<Body>) -> String {
        let (log, mut findings) = (log(role, bodies), Vec::new());
        data(&log, &mut findings);
        disclosures(&log, &mut findings);
        findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn data_that_were_committed_named_and_checked_have_no_finding() {
        let day = "2026-06-30";
        let whole = vec![commit(DATA), contract(DATA, day), clearance(DATA), disclose(7), rows()];
        assert_eq!(found("platform", whole), "");
        // A bank's own data are not the contract's.
        assert_eq!(found("bank", vec![commit(OTHER), contract(DATA, day), clearance(OTHER)]), "");
    }

    #[test]
    fn every_planted_fault_is_found() {
        let day = "2026-06-30";
        let one = |role: &str, bodies: Vec<Body>, word: &str| {
            let findings = found(role, bodies);
            assert!(findings.contains(word), "{word}: {findings}");
        };
        one("platform", vec![commit(OTHER), contract(DATA, day)], "names data that were not committed");
        one("platform", vec![commit(DATA), contract(DATA, "2026-07-01")], "names data that were not committed");
        let swapped = vec![commit(DATA), contract(DATA, day), commit(OTHER), clearance(OTHER)];
        one("platform", swapped, "entry 4: other data were read than the contract names");
        one("platform", vec![commit(DATA), commit(DATA), clearance(DATA)], "before the contract");
        one("platform", vec![commit(DATA), contract(DATA, day), clearance(OTHER)], "read that were not committed");
        one("bank", vec![commit(DATA), clearance(OTHER)], "read that were not committed");
        let early = vec![commit(DATA), contract(DATA, day), clearance(DATA), rows(), disclose(7)];
        one("platform", early, "entry 4: rows of codes left for bank before");
        let fewer = vec![commit(DATA), contract(DATA, day), clearance(DATA), disclose(6), rows()];
        one("platform", fewer, "over other rows than were cleared");
    }
}
