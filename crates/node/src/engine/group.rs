//! A group of steps: the disk is waited for once, and only then anything is said.
//!
//! The engine takes what waits for it, a few milliseconds' worth, into one transaction. Each step is a savepoint of it. What
//! a step says outwards (a message, an acknowledgement, an answer, a cosignature) is held, in order, until the transaction is
//! durable. If that fails, nothing has been said, and the node stops: it starts again from what is durable. Commands of
//! operators have groups of their own, so that an import that fills the disk fails alone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use tally_audit::witness::Answer;
use tally_net::Outgoing;
use tally_protocol::scoring::ScoreRequest;

use super::{Engine, go_on};
use crate::control::Reply;
use crate::failure::{Failure, Fatal};
use crate::store::Letter;

/// How long a group takes in further work before it settles.
const LONGEST: Duration = Duration::from_millis(4);

/// What is said once the group is durable.
pub(super) enum Outward {
    /// A message to a peer.
    Letter(Letter),
    /// Everything of this peer up to this number is durable.
    Acknowledgement { peer: String, sequence: u64 },
    /// The answer to a command.
    Reply(Reply, Result<Value, Failure>),
    /// The answer of this node as a witness.
    Cosignature { peer: String, answer: Answer },
}

/// What the open group has to say.
#[derive(Default)]
pub(super) struct Group {
    began: Option<Instant>,
    /// Steps that were kept.
    steps: usize,
    held: Vec<Outward>,
    asks: BTreeMap<(String, String), Vec<ScoreRequest>>,
    /// Up to which number each peer has our messages: forgotten with the next group that waits for the disk anyway.
    acknowledged: BTreeMap<String, u64>,
}

impl Group {
    /// Holds something back until the group is durable.
    pub(super) fn hold(&mut self, outward: Outward) {
        self.held.push(outward);
    }

    /// Holds several things, in order.
    pub(super) fn hold_all(&mut self, outward: impl IntoIterator<Item = Outward>) {
        self.held.extend(outward);
    }

    /// Adds a request to what the platform is asked when the group is complete.
    pub(super) fn ask(&mut self, platform: String, request: ScoreRequest) {
        self.asks.entry((platform, request.session.clone())).or_default().push(request);
    }

    /// What the platform is asked, by platform and session; nothing is left.
    pub(super) fn asked(&mut self) -> BTreeMap<(String, String), Vec<ScoreRequest>> {
        std::mem::take(&mut self.asks)
    }

    /// Notes that a peer has everything up to `sequence`.
    pub(super) fn acknowledged(&mut self, peer: String, sequence: u64) {
        self.acknowledged.insert(peer, sequence);
    }

    /// Counts a step that was kept.
    pub(super) fn count_step(&mut self) {
        self.steps += 1;
    }

    /// True while it may take in further work.
    pub(super) fn has_room(&self) -> bool {
        self.began.is_none_or(|began| began.elapsed() < LONGEST)
    }
}

impl Engine {
    /// Begins a group, unless one is open.
    pub(super) fn gather(&mut self) -> Result<(), Fatal> {
        if self.group.began.is_none() {
            self.store.begin().map_err(Fatal::because)?;
            (self.group.began, self.group.steps) = (Some(Instant::now()), 0);
        }
        Ok(())
    }

    /// Undoes a step. Where the store has undone the whole transaction and nothing else was in it, the group begins anew;
    /// otherwise it cannot be committed any more.
    pub(super) fn undo_step(&mut self) -> Result<(), Failure> {
        self.store.undo_step()?;
        if self.store.is_open() || self.group.steps > 0 { Ok(()) } else { self.store.begin() }
    }

    /// Makes the open group durable, then says what it has to say.
    ///
    /// # Errors
    /// Nothing of the group has happened then; the engine must not go on.
    pub(super) fn commit(&mut self) -> Result<(), Fatal> {
        if self.group.began.is_none() {
            return Ok(());
        }
        go_on("applicants were not asked about", self.send_asked())?;
        if self.group.steps > 0 {
            self.forget_acknowledged()?;
        }
        self.group.began = None;
        let held = std::mem::take(&mut self.group.held);
        let store = &self.store;
        let durable = self.ledger.settle(|| store.commit());
        for outward in held {
            match &durable {
                Ok(()) => self.say(outward),
                Err(failure) => decline(outward, failure),
            }
        }
        durable.map_err(Fatal::because)?;
        self.send_waiting()
    }

    /// Messages that have arrived need not be sent again. If this is lost with the process, they are, and taken in once.
    pub(super) fn forget_acknowledged(&mut self) -> Result<(), Fatal> {
        let acknowledged = std::mem::take(&mut self.group.acknowledged);
        let forgotten = acknowledged.iter().try_for_each(|(peer, sequence)| self.store.acknowledged(peer, *sequence));
        forgotten.map_err(Fatal::because)
    }

    fn say(&mut self, outward: Outward) {
        match (outward, &self.link) {
            (Outward::Letter(letter), _) => {
                let way = self.connected.get_mut(&letter.peer);
                if way.is_some_and(|way| way.takes(letter.sequence, letter.body.len())) {
                    self.dispatch(letter);
                }
            }
            (Outward::Acknowledgement { peer, sequence }, Some(link)) => link.acknowledge(&peer, sequence),
            (Outward::Cosignature { peer, answer }, Some(link)) => {
                link.answer_to_cosign(&peer, answer.status(), answer.content_type(), answer.body().into_bytes());
            }
            (Outward::Reply(reply, answer), _) => reply.send(answer),
            (_, None) => {}
        }
    }

    /// Hands over what has waited in the store for room on the way to its peer. All of it is durable, since no group is open.
    fn send_waiting(&mut self) -> Result<(), Fatal> {
        let (store, mut waiting) = (&self.store, Vec::new());
        for (peer, way) in &mut self.connected {
            while let Some(last) = way.reads_on() {
                let Some(letter) = store.next_unacknowledged(peer, last).map_err(Fatal::because)? else {
                    way.caught_up();
                    break;
                };
                way.take(letter.sequence, letter.body.len());
                waiting.push(letter);
            }
        }
        waiting.into_iter().for_each(|letter| self.dispatch(letter));
        Ok(())
    }

    /// Hands a durable message to the network; what cannot leave now leaves when the peer is back.
    fn dispatch(&self, letter: Letter) {
        let (Some(link), Some(receipt)) = (&self.link, self.ledger.receipt(letter.entry)) else { return };
        let outgoing = Outgoing::new(letter.sequence, &letter.session, &letter.kind, letter.body, &receipt);
        if link.send(&letter.peer, outgoing).is_err() {
            tracing::debug!(peer = letter.peer, sequence = letter.sequence, "the peer is away; the message waits");
        }
    }
}

/// An answer about what did not become durable is the failure.
fn decline(outward: Outward, failure: &Failure) {
    if let Outward::Reply(reply, _) = outward {
        reply.send(Err(failure.clone()));
    }
}
