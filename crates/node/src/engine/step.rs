//! One step: what belongs together happens together, or not at all.

use serde_json::Value;
use tally_audit::Body;
use tally_policy::{Counted, Mark};

use super::group::Outward;
use super::{Engine, now};
use crate::control::Reply;
use crate::failure::{self, Failure};
use crate::store::Letter;

/// What a step has collected so far.
pub(super) struct Step {
    /// When it began, Unix milliseconds.
    pub(super) now: i64,
    entries: Vec<PendingEntry>,
    first: u64,
    letters: Vec<Letter>,
    replies: Vec<Outward>,
    /// Sessions whose machines were moved: they are rebuilt from their journals if the step fails.
    touched: Vec<String>,
    /// Uses that the register in memory has counted: taken back if the step fails.
    uses: Vec<Counted>,
    /// How far the register had come before it took in what a peer forwarded: it goes back there if the step fails.
    register: Option<Mark>,
}

struct PendingEntry {
    session: Option<String>,
    actor: String,
    body: Body,
}

impl Step {
    /// Adds a log entry; its number.
    pub(super) fn record(&mut self, session: Option<&str>, actor: &str, body: Body) -> u64 {
        self.entries.push(PendingEntry { session: session.map(Into::into), actor: actor.into(), body });
        self.first + self.entries.len() as u64 - 1
    }

    /// Says in other words what an entry of this step holds.
    pub(super) fn amend(&mut self, entry: u64, body: Body) {
        if let Some(pending) = entry.checked_sub(self.first).and_then(|place| self.entries.get_mut(place as usize)) {
            pending.body = body;
        }
    }

    /// Notes that the machine of `session` was moved.
    pub(super) fn touch(&mut self, session: &str) {
        self.touched.push(session.into());
    }

    /// Notes a use that the register has counted.
    pub(super) fn count_use(&mut self, counted: Option<Counted>) {
        self.uses.extend(counted);
    }

    /// Adds an answer to a command, which leaves once the step is durable, and not at all if it is undone.
    pub(super) fn reply(&mut self, reply: Reply, answer: Result<Value, Failure>) {
        self.replies.push(Outward::Reply(reply, answer));
    }

    /// Notes how far the register has come, before anything of this step is taken into it.
    pub(super) fn mark(&mut self, mark: Mark) {
        self.register.get_or_insert(mark);
    }

    /// Adds a message that leaves once the step is durable.
    pub(super) fn post(&mut self, letter: Letter) {
        self.letters.push(letter);
    }
}

impl Engine {
    /// Runs one step: all of it is kept in the group, or none.
    pub(super) fn step<T>(
        &mut self,
        work: impl FnOnce(&mut Self, &mut Step) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.store.begin_step()?;
        let mut step = Step {
            now: now(),
            entries: Vec::new(),
            first: self.ledger.next(),
            letters: Vec::new(),
            replies: Vec::new(),
            touched: Vec::new(),
            uses: Vec::new(),
            register: None,
        };
        let done = work(self, &mut step).and_then(|value| self.keep(&mut step).map(|()| value));
        match done {
            Ok(value) => {
                self.group.count_step();
                self.group.hold_all(step.letters.into_iter().map(Outward::Letter).chain(step.replies));
                Ok(value)
            }
            Err(failure) => {
                self.undo_step()?;
                for counted in step.uses.into_iter().rev() {
                    self.register.take_back(counted);
                }
                if let Some(mark) = step.register {
                    self.register.back_to(mark);
                }
                for session in step.touched {
                    self.live.remove(&session);
                }
                Err(failure)
            }
        }
    }

    fn keep(&mut self, step: &mut Step) -> Result<(), Failure> {
        let mut batch = self.ledger.batch();
        for entry in step.entries.drain(..) {
            let appended = batch.append(entry.session.as_deref(), step.now, &entry.actor, entry.body);
            // A peer's message may ask for an entry that the format does not hold: it is refused, and the node goes on.
            appended.map_err(failure::refused)?;
        }
        crate::log::stage(&self.store, batch)?;
        self.store.keep_step()
    }
}
