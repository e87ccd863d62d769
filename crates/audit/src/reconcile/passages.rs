//! Messages: every one that left was taken in, unchanged, under the receipt of the entry that covers it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tally_crypto::transcript::Digest;

use super::history::History;
use super::{Finding, Kind, ends_before};
use crate::entry::{Body, Entry, Passage};
use crate::verify::VerifiedLog;

/// What went from one node to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// The sender.
    pub from: String,
    /// The receiver.
    pub to: String,
    /// Messages in the sender's log.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Messages in the receiver's log.
    pub taken: u64,
    /// Their bytes.
    pub taken_bytes: u64,
}

/// One message in one of the logs.
struct Logged<'a> {
    entry: &'a Entry,
    leaf: Digest,
    passage: &'a Passage,
}

/// Messages and bytes of each pair of logs, to compare with the counters of operating systems and proxies.
pub fn traffic(logs: &[VerifiedLog]) -> Vec<Traffic> {
    let mut all = Vec::new();
    for (sender, receiver) in pairs(logs) {
        let (sent, taken) = (stream(sender, &receiver.party, true), stream(receiver, &sender.party, false));
        let bytes = |stream: &[Logged<'_>]| stream.iter().map(|one| one.passage.bytes).fold(0, u64::saturating_add);
        all.push(Traffic {
            from: sender.party.clone(),
            to: receiver.party.clone(),
            sent: sent.len() as u64,
            sent_bytes: bytes(&sent),
            taken: taken.len() as u64,
            taken_bytes: bytes(&taken),
        });
    }
    all.retain(|pair| pair.sent + pair.taken > 0);
    all
}

pub(super) fn passages(logs: &[VerifiedLog], history: &History, findings: &mut Vec<Finding>) {
    for (sender, receiver) in pairs(logs) {
        let (sent, taken) = (stream(sender, &receiver.party, true), stream(receiver, &sender.party, false));
        numbers(&sender.party, &sent, findings);
        numbers(&receiver.party, &taken, findings);
        let pair = Pair { sender, receiver, history };
        let by_number: BTreeMap<_, _> = taken.iter().map(|one| (one.passage.sequence, one)).collect();
        for one in &sent {
            if let Some(other) = by_number.get(&one.passage.sequence) {
                pair.compare(one, other, findings);
            }
        }
        pair.not_taken(&sent, &taken, findings);
        pair.never_left(&sent, &taken, findings);
    }
}

fn pairs(logs: &[VerifiedLog]) -> impl Iterator<Item = (&VerifiedLog, &VerifiedLog)> {
    logs.iter().flat_map(move |sender| {
        logs.iter().filter(|receiver| receiver.party != sender.party).map(move |receiver| (sender, receiver))
    })
}

fn stream<'a>(log: &'a VerifiedLog, peer: &str, out: bool) -> Vec<Logged<'a>> {
    let logged = log.entries.iter().zip(&log.leaves).filter_map(|(entry, leaf)| match &entry.body {
        Body::Egress(passage) if out => Some(Logged { entry, leaf: *leaf, passage }),
        Body::Ingress(passage) if !out => Some(Logged { entry, leaf: *leaf, passage }),
        _ => None,
    });
    logged.filter(|one| one.passage.peer == peer).collect()
}

/// Numbers of a stream go up by one, from 1.
fn numbers(owner: &str, stream: &[Logged<'_>], findings: &mut Vec<Finding>) {
    for (one, expected) in
        stream.iter().zip(std::iter::once(1).chain(stream.iter().map(|one| one.passage.sequence.saturating_add(1))))
    {
        let Passage { peer, sequence, .. } = one.passage;
        if *sequence != expected {
            let what = format!("message {sequence} with {peer} stands where message {expected} should");
            findings.push(Finding::own(Kind::Stream, owner, one.entry.index, what));
        }
    }
}

struct Pair<'a> {
    sender: &'a VerifiedLog,
    receiver: &'a VerifiedLog,
    history: &'a History,
}

impl Pair<'_> {
    fn culprits(&self, entry: &Entry) -> Vec<&str> {
        self.history.culprits(&[&self.sender.party, &self.receiver.party], entry.session.as_deref())
    }

    fn compare(&self, sent: &Logged<'_>, taken: &Logged<'_>, findings: &mut Vec<Finding>) {
        let (out, took, index) = (sent.passage, taken.passage, sent.entry.index);
        let differing = [
            ("digest", out.digest != took.digest),
            ("length", out.bytes != took.bytes),
            ("kind", out.kind != took.kind),
            ("session", sent.entry.session != taken.entry.session),
        ];
        let differing: Vec<_> = differing.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect();
        let named =
            |what: String, kind| Finding::fault(kind, self.culprits(sent.entry), &self.sender.party, index, what);
        if !differing.is_empty() {
            let what = format!(
                "message {} to {} has another {} there (entry {})",
                out.sequence,
                self.receiver.party,
                differing.join(" and "),
                taken.entry.index
            );
            findings.push(named(what, Kind::MessageDiffers));
        }
        // A log that was changed is named once, not at each of the receipts that follow.
        let said = self.history.changed(&self.sender.party, sent.entry.session.as_deref());
        if took.receipt != Some(sent.leaf) && !said {
            let what = format!(
                "message {} was taken in by {} (entry {}) under the receipt of another entry",
                out.sequence, self.receiver.party, taken.entry.index
            );
            findings.push(named(what, Kind::Receipt));
        }
    }

    /// What left and was not taken in. A receiver that took in later messages of this stream has left it out.
    fn not_taken(&self, sent: &[Logged<'_>], taken: &[Logged<'_>], findings: &mut Vec<Finding>) {
        let (within, behind) = without(sent, taken);
        for one in within {
            let Passage { sequence, kind, .. } = one.passage;
            let what = format!("message {sequence} ({kind}) left for {} but was not taken in", self.receiver.party);
            let culprits = [self.receiver.party.as_str()];
            findings.push(Finding::fault(Kind::NotTaken, culprits, &self.sender.party, one.entry.index, what));
        }
        let Some(first) = behind.first() else { return };
        let what = format!("{} messages from here on were not taken in by {}", behind.len(), self.receiver.party);
        let finding =
            Finding::fault(Kind::NotTaken, self.culprits(first.entry), &self.sender.party, first.entry.index, what);
        findings.push(finding.unless(!self.history.changed(&self.receiver.party, first.entry.session.as_deref())));
    }

    /// What was taken in and never left. A sender that sent later messages has left it out.
    fn never_left(&self, sent: &[Logged<'_>], taken: &[Logged<'_>], findings: &mut Vec<Finding>) {
        let (within, behind) = without(taken, sent);
        for one in within {
            let Passage { sequence, kind, .. } = one.passage;
            let what = format!("message {sequence} ({kind}) of {} was taken in, but never left", self.sender.party);
            let culprits = [self.sender.party.as_str()];
            findings.push(Finding::fault(Kind::NeverLeft, culprits, &self.receiver.party, one.entry.index, what));
        }
        let Some(first) = behind.first() else { return };
        let what = format!("{} messages of {} from here on never left", behind.len(), self.sender.party);
        let finding =
            Finding::fault(Kind::NeverLeft, self.culprits(first.entry), &self.receiver.party, first.entry.index, what);
        let last = behind.last().map_or(i64::MAX, |last| last.entry.time);
        findings.push(finding.unless(ends_before(self.sender, last)));
    }
}

/// Messages of one log that the other lacks: those before its last one, and those behind it.
fn without<'a, 'b>(stream: &'b [Logged<'a>], other: &[Logged<'_>]) -> (Vec<&'b Logged<'a>>, Vec<&'b Logged<'a>>) {
    let known: BTreeSet<_> = other.iter().map(|one| one.passage.sequence).collect();
    let last = known.last().copied().unwrap_or(0);
    let missing = stream.iter().filter(|one| !known.contains(&one.passage.sequence));
    missing.partition(|one| one.passage.sequence < last)
}
