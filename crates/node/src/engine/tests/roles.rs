//! Every kind of message from the wrong side, in the wrong state, cut short and made of noise, against nodes in whose stores every
//! table is filled: no node stops, and what is refused leaves nothing behind but its refusal.

use std::collections::BTreeMap;

use tally_audit::{Body, Entry};
use tally_crypto::seed::Seed;
use tally_crypto::transcript::Digest;
use tally_net::Event;
use tally_protocol::kind::MessageKind;
use tally_protocol::session::{PartyRole, Stage};

use super::consortium::{BANKS, Consortium, PLATFORM, Posted};
use super::day::Day;

/// What a message that is taken in leaves in any case: that it came, and under which receipt.
const ARRIVALS: [&str; 3] = ["entry", "peer", "receipt"];

/// Tables that the day fills at both roles, and those that it fills at one.
const FILLED: [&str; 12] = [
    "score",
    "warning",
    "outcome",
    "dispute",
    "session",
    "journal",
    "result",
    "model",
    "consent",
    "consent_event",
    "opening",
    "dataset",
];
const FILLED_SOMEWHERE: [&str; 7] =
    ["warning_rules", "warning_baseline", "warning_outcome", "release", "disclosure", "row_set", "consent_use"];

fn role(node: &str) -> PartyRole {
    if node == PLATFORM { PartyRole::Platform } else { PartyRole::Bank }
}

/// A session that nobody knows.
const UNKNOWN: &str = "0123456789abcdef";

/// Whom a node hears from, and who it is.
fn ways() -> Vec<(&'static str, &'static str)> {
    let to_platform = BANKS.map(|bank| (bank, PLATFORM));
    [[(PLATFORM, "bank-1"), ("bank-2", "bank-1"), (PLATFORM, "bank-3")], to_platform].concat()
}

impl Consortium {
    fn dump(&self, node: &str) -> BTreeMap<String, Vec<Digest>> {
        let mut tables = self.nodes[node].store.dump();
        tables.retain(|table, _| !ARRIVALS.contains(&table.as_str()));
        tables
    }

    /// Hands over a message that the sender's node would not send; whether it was refused. Nothing else may come of it then, and the
    /// log says who sent what.
    fn try_on(&mut self, posted: &Posted) -> bool {
        self.try_quickly(posted, true)
    }

    /// The same, with a look into the stores or without.
    fn try_quickly(&mut self, posted: &Posted, look: bool) -> bool {
        self.settle(posted.from, posted.to);
        let (node, first) = (posted.to, self.nodes[posted.to].ledger.next());
        let (before, in_memory) = (look.then(|| self.dump(node)), self.memory(node));
        let outcome = self.forge(posted);
        assert_eq!(outcome, Ok(()), "{} of {} ended {node}", posted.kind, posted.from);
        let entries = self.entries(node, first);
        let entries: Vec<_> = entries.iter().filter(|entry| !matches!(&entry.body, Body::Noop { .. })).collect();
        let [came, refused] = entries[..] else { return false };
        let (Body::Ingress(came), Body::Refusal { peer, count: 1, .. }) = (&came.body, &refused.body) else {
            return false;
        };
        assert_eq!(
            (&came.peer, &came.kind, peer.as_deref()),
            (&posted.from.to_owned(), &posted.kind, Some(posted.from))
        );
        let same = before.is_none_or(|before| self.dump(node) == before);
        assert!(same, "{} of {} was refused, and left something at {node}", posted.kind, posted.from);
        assert_eq!(self.memory(node), in_memory);
        true
    }

    /// What a node keeps in memory beside its store.
    fn memory(&self, node: &str) -> (usize, usize, usize, usize) {
        let engine = &self.nodes[node];
        (engine.disputes.len(), engine.waiting_scores.len(), engine.models.len(), engine.live.len())
    }
}

impl Day {
    /// Names of sessions that a message may be put into: none, those of every stage, one that nobody knows.
    fn sessions(&self) -> Vec<String> {
        let known = [&self.was.closed, &self.was.rejected, &self.was.running, &self.was.proposed];
        known.into_iter().cloned().chain([String::new(), UNKNOWN.into()]).collect()
    }

    /// Bodies of a kind: what went of it, and one each of so many other kinds, since a peer may put anything into anything.
    fn bodies(&self, kind: MessageKind, others: usize) -> Vec<Vec<u8>> {
        let own = self.samples(kind.name());
        assert!(!own.is_empty(), "nothing of kind `{kind}` goes in the day of the consortium: let it happen there");
        let other = MessageKind::ALL.into_iter().filter(|other| *other != kind).take(others);
        let others = other.filter_map(|other| self.samples(other.name()).into_iter().next());
        own.into_iter().chain(others).map(|posted| posted.body).collect()
    }
}

fn refused(entries: &[Entry]) -> bool {
    entries.iter().any(|entry| matches!(&entry.body, Body::Refusal { .. }))
}

#[test]
fn the_day_fills_every_table() {
    let day = Day::new();
    let mut rows = BTreeMap::<String, usize>::new();
    for engine in day.all.nodes.values() {
        engine.store.dump().into_iter().for_each(|(table, found)| *rows.entry(table).or_default() += found.len());
    }
    let empty: Vec<_> = FILLED.iter().chain(&FILLED_SOMEWHERE).filter(|table| rows[**table] == 0).collect();
    assert!(empty.is_empty(), "{empty:?}");
    for name in [PLATFORM, "bank-1"] {
        let tables = day.all.nodes[name].store.dump();
        // Events are kept where the consent is.
        let empty: Vec<_> = FILLED.iter().filter(|table| tables[**table].is_empty()).collect();
        assert!(empty.iter().all(|table| **table == "consent_event"), "{name}: {empty:?}");
    }
    for posted in &day.all.post {
        let kind = MessageKind::named(&posted.kind).unwrap();
        assert!(kind.may_go(role(posted.from), role(posted.to)), "{kind} went from {}", posted.from);
        assert_eq!(kind.rules().within_session, !posted.session.is_empty(), "{kind}");
    }
}

/// Whatever its body and its session, and whatever its receiver knows.
#[test]
fn what_comes_from_the_wrong_side_is_refused_by_its_kind() {
    let mut day = Day::new();
    let sessions = day.sessions();
    let mut tried = 0;
    for kind in MessageKind::ALL {
        for body in day.bodies(kind, 2) {
            for (from, to) in ways() {
                for session in &sessions {
                    if MessageKind::admit(kind.name(), session, 0, role(from), role(to)).is_ok() {
                        continue;
                    }
                    let posted =
                        Posted { from, to, session: session.clone(), kind: kind.name().into(), body: body.clone() };
                    assert!(day.all.try_on(&posted), "{kind} of {from} to {to} in session `{session}` was not refused");
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 500, "{tried}");
    for kind in ["gossip", "Session", "warning-ack2"] {
        let posted =
            Posted { from: "bank-1", to: PLATFORM, session: String::new(), kind: kind.into(), body: Vec::new() };
        assert!(day.all.try_on(&posted), "{kind}");
    }
    goes_on(day);
}

/// From the right side, with what went once, or belongs to another kind, another session or another bank.
#[test]
fn what_meets_another_state_stops_no_node() {
    let mut day = Day::new();
    let sessions = day.sessions();
    for kind in MessageKind::ALL {
        for body in day.bodies(kind, MessageKind::ALL.len()) {
            for (from, to) in ways() {
                for session in &sessions {
                    if MessageKind::admit(kind.name(), session, 0, role(from), role(to)).is_err() {
                        continue;
                    }
                    day.all.settle(from, to);
                    let before = day.all.dump(to);
                    let posted =
                        Posted { from, to, session: session.clone(), kind: kind.name().into(), body: body.clone() };
                    let refused = day.all.try_on(&posted);
                    // Nothing that ended, or was never known, begins anew; scores are asked for after the end.
                    let over = [&day.was.closed, &day.was.rejected].contains(&session) || session == UNKNOWN;
                    if over && kind.rules().within_session && kind != MessageKind::ScoreRequest {
                        assert!(refused || day.all.dump(to) == before, "{kind} of {from} changed {to} in `{session}`");
                    }
                }
            }
        }
    }
    goes_on(day);
}

/// A few hundred of each kind: noise, and what went, cut short anywhere.
#[test]
fn noise_and_what_is_cut_short_stops_no_node() {
    let mut day = Day::new();
    let mut draws = Seed::new([6; 32]).rng("noise", &[]);
    // A rejection is the text that it is: its turn comes last.
    let mut kinds = MessageKind::ALL.to_vec();
    kinds.sort_by_key(|kind| *kind == MessageKind::Rejection);
    for kind in kinds {
        let within = kind.rules().within_session;
        let sessions: Vec<_> =
            if within { vec![day.was.proposed.clone(), day.was.closed.clone()] } else { vec![String::new()] };
        let mut bodies: Vec<Vec<u8>> = (0..150).map(|length| noise(&mut draws, length)).collect();
        for posted in day.samples(kind.name()) {
            let cuts = (posted.body.len() / 60).max(1);
            bodies.extend((0..posted.body.len()).step_by(cuts).map(|end| posted.body[..end].to_vec()));
        }
        let mut refusals = 0;
        for (place, body) in bodies.iter().enumerate() {
            for (from, to) in [(PLATFORM, "bank-1"), ("bank-1", PLATFORM)] {
                let session = sessions[place % sessions.len()].clone();
                if MessageKind::admit(kind.name(), &session, 0, role(from), role(to)).is_err() {
                    continue;
                }
                let posted = Posted { from, to, session, kind: kind.name().into(), body: body.clone() };
                refusals += usize::from(day.all.try_quickly(&posted, place % 16 == 0));
            }
        }
        // Most cannot be read: what a session that is over would have made of it, nobody looks at.
        let least = match kind {
            MessageKind::Session | MessageKind::Rejection => 0,
            MessageKind::Signature | MessageKind::Contract => bodies.len() / 3,
            _ => bodies.len() * 9 / 10,
        };
        assert!(refusals >= least, "{kind}: {refusals} of {} were refused", bodies.len());
    }
    goes_on(day);
}

/// In a running session noise ends the session, by the name of who sent it, and no node.
#[test]
fn noise_in_a_running_session_ends_it_and_no_node() {
    let mut day = Day::new();
    for (from, to) in [(PLATFORM, "bank-3"), ("bank-2", PLATFORM)] {
        let (session, kind) = (day.was.running.clone(), "session".into());
        day.all.forge(&Posted { from, to, session, kind, body: vec![255; 40] }).unwrap();
        let record = day.all.nodes[to].store.session(&day.was.running).unwrap().unwrap();
        assert!(record.reason.as_ref().is_some_and(|reason| reason.contains(from)), "{:?}", record.reason);
        assert_eq!(record.stage, Stage::Aborted);
    }
    goes_on(day);
}

/// Frames that are no messages: checkpoints to cosign, and the answers to them.
#[test]
fn noise_about_checkpoints_stops_no_node() {
    let mut day = Day::new();
    let mut draws = Seed::new([7; 32]).rng("noise", &[]);
    for length in 0..300 {
        for (peer, node) in [(PLATFORM, "bank-1"), ("bank-1", PLATFORM)] {
            let (peer, body) = (peer.to_owned(), noise(&mut draws, length));
            let (ask, text) = (Event::AddCheckpoint { peer: peer.clone(), body: body.clone() }, body.clone());
            day.all.turn(node, |engine| engine.happen(ask)).unwrap();
            let status = [200, 409, 404, 0, 65535][length % 5];
            let answer = Event::CheckpointAnswer { peer: peer.clone(), status, content_type: None, body: text };
            day.all.turn(node, |engine| engine.happen(answer)).unwrap();
            let acknowledged = Event::Acknowledged { peer, sequence: length as u64 * 1_000_003 };
            day.all.turn(node, |engine| engine.happen(acknowledged)).unwrap();
        }
    }
    goes_on(day);
}

fn noise(draws: &mut impl rand_core::CryptoRng, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    draws.fill_bytes(&mut bytes);
    bytes
}

/// All nodes start again from their stores, and give the score that they gave.
fn goes_on(mut day: Day) {
    let before = day.all.entries(PLATFORM, 0);
    assert!(!refused(&before) || before.len() > 1);
    day.all.open();
    day.all.pump(|_| false);
    let score = day.all.score("bank-1", &day.was.applicant.clone());
    assert!(score.as_ref().is_ok_and(|score| score["score"].is_i64()), "{score:?}");
}
