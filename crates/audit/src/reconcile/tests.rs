//! A session of a platform and three banks, whole; then one lie at a time, told from the beginning or written in afterwards.

use std::collections::{BTreeMap, BTreeSet};

use tally_crypto::merkle::{leaf_hash, root};
use tally_crypto::transcript::{Digest, commit};

use super::{Kind, Severity, reconcile, traffic};
use crate::entry::{Body, Disclosure, Entry, GroupCounts, Passage};
use crate::verify::VerifiedLog;
use crate::write_ahead::Ledger;

#[path = "lies.rs"]
mod lies;

use lies::{Told, catalogue};

const BANKS: [&str; 3] = ["bank-1", "bank-2", "bank-3"];
const PLATFORM: &str = "platform";
const SESSION: &str = "s";

fn digest(text: &str) -> Digest {
    Digest::of_bytes(text.as_bytes())
}

/// What a node writes instead of an entry: nothing, the entry, another, or more than one.
type Lie<'a> = &'a dyn Fn(&str, &Body) -> Vec<Body>;

fn honest(_: &str, body: &Body) -> Vec<Body> {
    vec![body.clone()]
}

/// The logs of a platform and three banks after a whole session, in this order: banks, platform.
pub(crate) fn whole_session() -> Vec<VerifiedLog> {
    World::logs(&honest)
}

/// Nodes that log as they go.
struct World<'a> {
    lie: Lie<'a>,
    ledgers: BTreeMap<&'static str, Ledger>,
    entries: BTreeMap<&'static str, Vec<Vec<u8>>>,
    numbers: BTreeMap<(&'static str, &'static str), u64>,
    time: i64,
}

impl<'a> World<'a> {
    /// The logs of the whole session, as its nodes write them.
    fn logs(lie: Lie<'a>) -> Vec<VerifiedLog> {
        let parties = BANKS.into_iter().chain([PLATFORM]);
        let ledgers = parties.clone().map(|party| (party, Ledger::new(party))).collect();
        let entries = parties.clone().map(|party| (party, Vec::new())).collect();
        let mut world = World { lie, ledgers, entries, numbers: BTreeMap::new(), time: 0 };
        world.begin();
        world.agree();
        world.align();
        (0..3).for_each(|round| world.sum(round));
        world.release();
        BANKS.into_iter().for_each(|bank| world.score(bank));
        let VerifiedLogs(logs) = parties.map(|party| verified(party, &world.entries[party])).collect();
        logs
    }

    fn log(&mut self, party: &'static str, session: bool, actor: &str, body: &Body) -> Option<Digest> {
        self.time += 1;
        let ledger = self.ledgers.get_mut(party).unwrap();
        let mut batch = ledger.batch();
        for body in (self.lie)(party, body) {
            batch.append(session.then_some(SESSION), self.time, actor, body).unwrap();
        }
        let kept = self.entries.get_mut(party).unwrap();
        let mut leaf = None;
        let done = batch.commit(|bytes| {
            leaf = bytes.first().map(|bytes| leaf_hash(bytes));
            kept.extend_from_slice(bytes);
            Ok::<_, ()>(())
        });
        done.unwrap();
        leaf
    }

    fn own(&mut self, party: &'static str, body: Body) {
        self.log(party, true, party, &body);
    }

    fn send(&mut self, from: &'static str, to: &'static str, kind: &str, form: &str) -> Digest {
        let sequence = self.numbers.entry((from, to)).or_insert(0);
        *sequence += 1;
        let digest = digest(&format!("{from} {to} {sequence}"));
        let out = Passage {
            peer: to.into(),
            sequence: *sequence,
            kind: kind.into(),
            form: Some(form.into()),
            digest,
            bytes: 100 + *sequence,
            receipt: None,
        };
        let taken = Passage { peer: from.into(), form: None, ..out.clone() };
        let receipt = self.log(from, true, from, &Body::Egress(out)).or(Some(Digest::default()));
        self.log(to, true, from, &Body::Ingress(Passage { receipt, ..taken }));
        digest
    }

    fn begin(&mut self) {
        for party in BANKS.into_iter().chain([PLATFORM]) {
            let role = if party == PLATFORM { "platform" } else { "bank" };
            let genesis = Body::Genesis { role: role.into(), log_vkey: String::new(), software: "0".into() };
            self.log(party, false, party, &genesis);
            self.log(party, false, party, &Body::PolicyLoad { version: 1, list: digest("list") });
            let dataset = Body::DatasetCommit {
                dataset: "data".into(),
                as_of: "2026-06-30".into(),
                fields: vec!["tax".into()],
                rows: 9,
                root: digest(party),
            };
            self.log(party, false, party, &dataset);
        }
    }

    fn agree(&mut self) {
        for bank in BANKS {
            self.send(PLATFORM, bank, "contract", "contract");
        }
        for party in BANKS.into_iter().chain([PLATFORM]) {
            let contract = Body::SessionContract {
                contract: digest("contract"),
                parties: BANKS.into_iter().chain([PLATFORM]).map(Into::into).collect(),
                purpose: "joint-modelling".into(),
                fields: [("tax".into(), "L2".into())].into(),
                list: 1,
                dataset: "data".into(),
                as_of: "2026-06-30".into(),
                data: digest(PLATFORM),
                min_cohort: 3,
            };
            self.own(party, contract);
            self.stage(party, "approved");
        }
    }

    fn stage(&mut self, party: &'static str, stage: &str) {
        self.own(party, Body::SessionState { stage: stage.into(), reason: None });
    }

    fn align(&mut self) {
        for bank in BANKS {
            for party in [PLATFORM, bank] {
                let clearance = Body::Clearance {
                    grantee: bank.into(),
                    allowed: 7,
                    denied: [("no-consent".into(), 2)].into(),
                    basis: digest("basis"),
                    data: digest(party),
                };
                self.own(party, clearance);
                self.own(party, Body::ConsentSet { bank: bank.into(), rows: 8, set: digest(bank) });
            }
            self.send(bank, PLATFORM, "session", "alignment");
            self.send(PLATFORM, bank, "session", "alignment");
            let counts = || GroupCounts { fields: 1, groups: 2, smallest: 3, unique: 0, below: 0 };
            let (release, cumulative, difference) = (counts(), counts(), None);
            let disclosure = Disclosure {
                grantee: bank.into(),
                form: "binned".into(),
                rows: 7,
                k: 2,
                release,
                cumulative,
                difference,
            };
            self.own(PLATFORM, Body::FeatureDisclose(disclosure));
            self.send(PLATFORM, bank, "session", "binned");
            for party in [PLATFORM, bank] {
                self.own(party, Body::PsiRun { bank: bank.into(), transcript: digest(bank) });
            }
            self.stage(bank, "aligned");
        }
        self.stage(PLATFORM, "aligned");
    }

    fn sum(&mut self, round: u32) {
        let request = digest(&format!("request {round}"));
        for bank in BANKS {
            let sequence = self.numbers[&(bank, PLATFORM)] + 1;
            let masked = digest(&format!("{bank} {PLATFORM} {sequence}"));
            self.own(bank, Body::RoundCommit { round, request, masked });
            self.send(bank, PLATFORM, "session", "masked");
        }
        let (sums, cohort) = (digest(&format!("sums {round}")), BANKS.map(Into::into).to_vec());
        let result = Body::RoundResult { round, request, sums, cohort };
        self.own(PLATFORM, result.clone());
        for bank in BANKS {
            self.send(PLATFORM, bank, "session", "aggregate");
            self.own(bank, result.clone());
        }
    }

    fn release(&mut self) {
        for party in BANKS.into_iter().chain([PLATFORM]) {
            self.own(party, Body::ModelRelease { model: digest("model"), rounds: 3 });
            if party != PLATFORM {
                self.send(party, PLATFORM, "session", "control");
            }
        }
        for party in [PLATFORM].into_iter().chain(BANKS) {
            for fact in ["round-result", "model-release"] {
                let signers = BANKS.into_iter().chain([PLATFORM]).map(Into::into).collect();
                self.own(party, Body::Attestation { fact: fact.into(), env: digest(fact), signers });
            }
            self.stage(party, "released");
            self.stage(party, "closed");
        }
    }

    fn score(&mut self, bank: &'static str) {
        let request = digest(&format!("request of {bank}"));
        let salt = [bank.as_bytes()[5] - b'0'; 16];
        let asked = |caller| Body::ScoreRequest {
            request,
            applicant: commit("applicant", &salt, b"91330100AAAAAAAA2X"),
            purpose: "loan-underwriting".into(),
            model: digest("model"),
            caller,
        };
        self.own(bank, asked(Some(digest("core"))));
        let asked = asked(None);
        self.send(bank, PLATFORM, "score-request", "score");
        self.log(PLATFORM, true, bank, &asked);
        let decision = Body::Decision {
            grantee: bank.into(),
            purpose: "loan-underwriting".into(),
            subject: digest("subject"),
            allow: true,
            failed: None,
            consent: Some(digest("consent")),
            list: 1,
        };
        self.own(PLATFORM, decision);
        let answer = Body::ScoreResponse { request, outcome: "scored".into() };
        self.own(PLATFORM, answer.clone());
        self.send(PLATFORM, bank, "score-response", "score");
        self.log(bank, true, PLATFORM, &answer);
    }
}

struct VerifiedLogs(Vec<VerifiedLog>);

impl FromIterator<VerifiedLog> for VerifiedLogs {
    fn from_iter<T: IntoIterator<Item = VerifiedLog>>(logs: T) -> Self {
        Self(logs.into_iter().collect())
    }
}

fn verified(party: &str, entries: &[Vec<u8>]) -> VerifiedLog {
    let leaves: Vec<_> = entries.iter().map(|bytes| leaf_hash(bytes)).collect();
    let entries = entries.iter().map(|bytes| Entry::decode(bytes).unwrap()).collect();
    VerifiedLog { party: party.into(), entries, root: root(&leaves), leaves }
}

/// The log as its owner would write and sign it again with other entries.
pub(super) fn rewrite(log: &VerifiedLog, change: impl FnOnce(&mut Vec<Entry>)) -> VerifiedLog {
    let mut entries = log.entries.clone();
    change(&mut entries);
    let (mut ledger, mut kept) = (Ledger::new(&log.party), Vec::new());
    let mut batch = ledger.batch();
    for entry in entries {
        batch.append(entry.session.as_deref(), entry.time, &entry.actor, entry.body).unwrap();
    }
    let done = batch.commit(|bytes| {
        kept = bytes.to_vec();
        Ok::<_, ()>(())
    });
    done.unwrap();
    verified(&log.party, &kept)
}

fn faults(logs: &[VerifiedLog]) -> Vec<super::Finding> {
    reconcile(logs).into_iter().filter(|finding| finding.severity == Severity::Fault).collect()
}

#[test]
fn a_whole_session_has_no_findings() {
    let logs = World::logs(&honest);
    assert_eq!(reconcile(&logs), vec![]);
    let pairs = traffic(&logs);
    assert_eq!(pairs.len(), 6);
    assert!(pairs.iter().all(|pair| pair.sent_bytes == pair.taken_bytes && pair.sent == pair.taken && pair.sent > 5));
}

/// Lies told from the beginning: every receipt fits, and the culprit alone is named.
#[test]
fn lies_told_from_the_beginning_name_the_liar() {
    for Told { owner, kind, lie } in catalogue() {
        let told = std::cell::Cell::new(0);
        let logs = World::logs(&|who, body| match lie(body).filter(|_| who == owner) {
            Some(bodies) => {
                told.set(told.get() + 1);
                bodies
            }
            None => vec![body.clone()],
        });
        assert!(told.get() > 0, "{kind:?}: the lie was never told");
        let faults = faults(&logs);
        let named = faults.iter().any(|finding| finding.kind == kind && finding.parties == [owner]);
        assert!(named, "{kind:?} by {owner}: {faults:#?}");
    }
}

/// A log that its owner changed afterwards and signed again: the owner alone is named, at the first receipt that is lost.
fn rewritten(party: &str, change: impl Fn(&mut Vec<Entry>)) {
    let mut logs = World::logs(&honest);
    let log = logs.iter_mut().find(|log| log.party == party).unwrap();
    let other = rewrite(log, change);
    assert_ne!(other.root, log.root);
    *log = other;
    let faults = faults(&logs);
    let marks: Vec<_> = faults.iter().filter(|finding| finding.kind == Kind::Rewritten).collect();
    assert_eq!(marks.len(), 1, "{faults:#?}");
    assert_eq!(marks[0].parties, [party]);
    let wrong = faults.iter().find(|finding| !finding.parties.iter().any(|named| named == party));
    assert_eq!(wrong, None, "{faults:#?}");
}

#[test]
fn every_entry_that_is_changed_dropped_moved_or_doubled_afterwards_names_the_owner() {
    let logs = World::logs(&honest);
    for party in [PLATFORM, "bank-2"] {
        let entries = &logs.iter().find(|log| log.party == party).unwrap().entries;
        // A change shows in the receipts that follow: two of them settle who made it.
        let sent: Vec<_> = entries.iter().filter(|entry| matches!(entry.body, Body::Egress(_))).collect();
        let last = sent[sent.len() - 2].index as usize;
        for place in 1..last {
            rewritten(party, |entries| drop(entries.remove(place)));
            rewritten(party, |entries| entries.insert(place, entries[place].clone()));
            let chained = entries[place].session.is_some() || entries[place + 1].session.is_some();
            if place + 1 < last && chained && entries[place].body != entries[place + 1].body {
                rewritten(party, |entries| entries.swap(place, place + 1));
            }
            if entries[place].session.is_some() {
                rewritten(party, |entries| entries[place].actor.push('x'));
            }
        }
    }
}

/// Two logs that differ on what only they know: with no receipt after it, both are named.
#[test]
fn the_last_message_that_is_changed_names_both() {
    let mut logs = World::logs(&honest);
    let bank = logs.iter_mut().find(|log| log.party == "bank-3").unwrap();
    let place = bank.entries.iter().rposition(|entry| matches!(entry.body, Body::Ingress(_))).unwrap();
    *bank = rewrite(bank, |entries| {
        if let Body::Ingress(passage) = &mut entries[place].body {
            passage.bytes += 1;
        }
    });
    let faults = faults(&logs);
    assert_eq!(faults.len(), 1, "{faults:#?}");
    assert_eq!(
        (faults[0].kind, &faults[0].parties[..]),
        (Kind::MessageDiffers, &[PLATFORM.into(), "bank-3".into()][..])
    );
    let pair = traffic(&logs).into_iter().find(|pair| pair.from == PLATFORM && pair.to == "bank-3").unwrap();
    assert_eq!(pair.sent_bytes + 1, pair.taken_bytes);
}

/// Empty entries fill a log up, and say nothing.
#[test]
fn a_log_that_is_filled_up_has_no_findings() {
    let filled = |_: &str, body: &Body| match body {
        Body::DatasetCommit { .. } => {
            vec![Body::Noop { salt: digest("1") }, body.clone(), Body::Noop { salt: digest("2") }]
        }
        _ => vec![body.clone()],
    };
    let logs = World::logs(&filled);
    assert!(
        logs.iter().all(|log| log.entries.iter().filter(|entry| matches!(entry.body, Body::Noop { .. })).count() == 2)
    );
    assert_eq!(reconcile(&logs), vec![]);
}

/// A copy that was taken earlier than the others is no fault.
#[test]
fn older_copies_are_warnings() {
    let whole = World::logs(&honest);
    for place in 0..whole.len() {
        for kept in 4..whole[place].entries.len() {
            let mut logs = whole.clone();
            logs[place] = rewrite(&whole[place], |entries| entries.truncate(kept));
            assert_eq!(faults(&logs), vec![], "{} up to entry {kept}", whole[place].party);
        }
    }
}

#[test]
fn what_a_party_does_not_hold_is_nobody_elses_fault() {
    let all = World::logs(&honest);
    for subset in 1..16u32 {
        let logs: Vec<_> = (0..4).filter(|place| subset >> place & 1 == 1).map(|place| all[place].clone()).collect();
        assert_eq!(reconcile(&logs), vec![]);
        let parties: BTreeSet<_> = logs.iter().map(|log| &log.party).collect();
        assert_eq!(parties.len(), logs.len());
    }
}
