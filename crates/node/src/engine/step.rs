//! One step: what happens together becomes durable together.

use tally_audit::Body;
use tally_crypto::transcript::Digest;
use tally_net::Outgoing;

use super::{Engine, now};
use crate::failure::{self, Failure};
use crate::store::Letter;

/// What a step has collected so far.
pub(super) struct Step {
    /// When it began, Unix milliseconds.
    pub(super) now: i64,
    entries: Vec<PendingEntry>,
    first: u64,
    letters: Vec<Letter>,
    /// Sessions whose machines were moved: they are rebuilt from their journals if the step fails.
    touched: Vec<String>,
    /// Consents used: the register in memory counts them once the step is durable.
    uses: Vec<Digest>,
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

    /// Notes that a consent was used once.
    pub(super) fn count_use(&mut self, consent: Digest) {
        self.uses.push(consent);
    }

    /// Adds a message that leaves after the commit.
    pub(super) fn post(&mut self, letter: Letter) {
        self.letters.push(letter);
    }
}

impl Engine {
    /// Runs one step: all of it is committed, or none.
    pub(super) fn step<T>(
        &mut self,
        work: impl FnOnce(&mut Self, &mut Step) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.store.begin()?;
        let mut step = Step {
            now: now(),
            entries: Vec::new(),
            first: self.ledger.size(),
            letters: Vec::new(),
            touched: Vec::new(),
            uses: Vec::new(),
        };
        let done = work(self, &mut step).and_then(|value| self.commit(&mut step).map(|()| value));
        match done {
            Ok(value) => {
                for consent in &step.uses {
                    self.register.count_use(consent, 1, step.now);
                }
                for letter in step.letters {
                    self.dispatch(letter);
                }
                Ok(value)
            }
            Err(failure) => {
                self.store.rollback();
                for session in step.touched {
                    self.live.remove(&session);
                }
                Err(failure)
            }
        }
    }

    fn commit(&mut self, step: &mut Step) -> Result<(), Failure> {
        let mut batch = self.ledger.batch();
        for entry in step.entries.drain(..) {
            batch.append(entry.session.as_deref(), step.now, &entry.actor, entry.body).map_err(failure::internal)?;
        }
        crate::log::commit(&self.store, batch)
    }

    /// Hands a durable message to the network; what cannot leave now leaves when the peer is back.
    pub(super) fn dispatch(&self, letter: Letter) {
        let (Some(link), Some(receipt)) = (&self.link, self.ledger.receipt(letter.entry)) else { return };
        let outgoing = Outgoing::new(letter.sequence, &letter.session, &letter.kind, letter.body, &receipt);
        if link.send(&letter.peer, outgoing).is_err() {
            tracing::debug!(peer = letter.peer, sequence = letter.sequence, "the peer is away; the message waits");
        }
    }
}
