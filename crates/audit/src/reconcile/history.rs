//! Whose log no longer holds what its peers have receipts of.

use std::collections::{BTreeMap, BTreeSet};

use tally_crypto::transcript::Digest;

use super::{Finding, Kind};
use crate::entry::Body;
use crate::verify::VerifiedLog;

/// What receipts tell of each log and session: entries are chained, so a change shows in every receipt that follows it.
pub(super) struct History {
    rewritten: BTreeMap<(String, String), Mark>,
}

/// The first receipt that its sender's log does not hold any more.
struct Mark {
    receiver: String,
    entry: u64,
    count: usize,
}

/// Of each place in the sender's log: whether the receipt holds, who has it, and at which entry.
type Receipts<'a> = BTreeMap<u64, (bool, &'a str, u64)>;

impl History {
    pub(super) fn of(logs: &[VerifiedLog]) -> Self {
        let mut left: BTreeMap<(&str, &str, u64), (u64, Digest)> = BTreeMap::new();
        for log in logs {
            for (entry, leaf) in log.entries.iter().zip(&log.leaves) {
                if let Body::Egress(passage) = &entry.body {
                    left.insert((&log.party, &passage.peer, passage.sequence), (entry.index, *leaf));
                }
            }
        }
        // By sender and session: the places of its receipts, whether they hold, and who has them.
        let mut receipts: BTreeMap<(&str, &str), Receipts<'_>> = BTreeMap::new();
        for receiver in logs {
            for entry in &receiver.entries {
                let (Body::Ingress(passage), Some(session)) = (&entry.body, entry.session.as_deref()) else { continue };
                let Some((place, leaf)) = left.get(&(&passage.peer, &receiver.party, passage.sequence)) else {
                    continue;
                };
                let known = receipts.entry((&passage.peer, session)).or_default();
                known.insert(*place, (Some(*leaf) == passage.receipt, &receiver.party, entry.index));
            }
        }
        let mut rewritten: BTreeMap<(String, String), Mark> = BTreeMap::new();
        for ((sender, session), known) in receipts {
            let broken: Vec<_> = known.values().rev().take_while(|(holds, ..)| !holds).collect();
            if let Some((_, receiver, entry)) = broken.last() {
                let mark = Mark { receiver: (*receiver).into(), entry: *entry, count: broken.len() };
                rewritten.insert((sender.into(), session.into()), mark);
            }
        }
        // One receipt alone says no more than that two logs differ, and it may be the receiver who changed it.
        let changed: BTreeSet<_> =
            rewritten.iter().filter(|(_, mark)| mark.count > 1).map(|(key, _)| key.clone()).collect();
        rewritten.retain(|(_, session), mark| {
            mark.count > 1 || !changed.contains(&(mark.receiver.clone(), session.clone()))
        });
        Self { rewritten }
    }

    /// Whether the log of `party` was changed after its peers had receipts of it.
    pub(super) fn changed(&self, party: &str, session: Option<&str>) -> bool {
        session.is_some_and(|session| self.rewritten.contains_key(&(party.into(), session.into())))
    }

    /// Those of `parties` whose logs were changed, or all of them if none or every one was.
    pub(super) fn culprits<'a>(&self, parties: &[&'a str], session: Option<&str>) -> Vec<&'a str> {
        let changed: Vec<_> = parties.iter().copied().filter(|party| self.changed(party, session)).collect();
        if changed.is_empty() { parties.to_vec() } else { changed }
    }

    pub(super) fn rewritten(&self, findings: &mut Vec<Finding>) {
        for ((party, session), Mark { receiver, entry, count }) in &self.rewritten {
            let what = format!(
                "session {session}: {count} receipts of {party} from here on are of entries that its log does not hold"
            );
            let parties: &[&str] = if *count > 1 { &[party] } else { &[party, receiver] };
            findings.push(Finding::fault(Kind::Rewritten, parties.iter().copied(), receiver, *entry, what));
        }
    }
}
