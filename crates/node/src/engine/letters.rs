//! Messages in and out: numbered, logged, taken in once.

use tally_net::{Event, Incoming};

use super::group::Outward;
use super::step::Step;
use super::underway::UnderWay;
use super::{Engine, book, unless_fatal};
use crate::failure::Failure;
use crate::store::Letter;

impl Engine {
    /// Something happened on the network.
    pub(super) fn happen(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Up { peer } => self.peer_is_up(&peer),
            Event::Down { peer, reason } => {
                tracing::info!(peer, reason, "peer is away");
                self.connected.remove(&peer);
                Ok(())
            }
            Event::Acknowledged { peer, sequence } => {
                if let Some(way) = self.connected.get_mut(&peer) {
                    way.arrived(sequence);
                }
                self.group.acknowledged(peer, sequence);
                Ok(())
            }
            Event::Message { peer, message } => self.take_in(&peer, &message),
            Event::AddCheckpoint { peer, body } => self.judge_checkpoint(&peer, &body),
            Event::CheckpointAnswer { peer, status, content_type, body } => {
                self.checkpoint_answer(&peer, status, content_type.as_deref(), &body)
            }
            Event::MessageRefused { peer, reason } => self.message_refused(&peer, &reason),
            Event::Refused { address, claimed, reason } => self.connection_refused(&address, claimed, &reason),
        }
    }

    fn peer_is_up(&mut self, peer: &str) -> Result<(), Failure> {
        tracing::info!(peer, "peer is here");
        self.connected.insert(peer.into(), UnderWay::new());
        self.forget_acknowledged()?;
        self.ask_witness(peer)
    }

    fn take_in(&mut self, peer: &str, message: &Incoming) -> Result<(), Failure> {
        let last = self.store.received(peer)?;
        if message.sequence == last + 1 {
            let taken = self.step(|engine, step| {
                engine.store.take_in(peer, message.sequence, &message.receipt)?;
                step.record(session_of(&message.session), peer, book::ingress(peer, message));
                engine.understand(step, peer, message)
            });
            if let Err(refusal) = unless_fatal(taken)? {
                self.refuse(peer, message, &refusal)?;
            }
        }
        if message.sequence <= last + 1 {
            self.group.hold(Outward::Acknowledgement { peer: peer.into(), sequence: message.sequence });
        }
        Ok(())
    }

    /// A message that makes no sense here is taken in, logged as refused, and has no other effect.
    fn refuse(&mut self, peer: &str, message: &Incoming, failure: &Failure) -> Result<(), Failure> {
        tracing::warn!(peer, kind = message.kind, %failure, "message refused");
        self.step(|engine, step| {
            engine.store.take_in(peer, message.sequence, &message.receipt)?;
            step.record(session_of(&message.session), peer, book::ingress(peer, message));
            step.record(session_of(&message.session), peer, book::refused_message(peer, &failure.message));
            Ok(())
        })
    }

    fn understand(&mut self, step: &mut Step, peer: &str, message: &Incoming) -> Result<(), Failure> {
        match message.kind.as_str() {
            "session" => self.session_message(step, peer, &message.session, &message.body),
            "proposal" => self.proposal(step, peer, &message.body),
            "signature" => self.signature(step, peer, &message.session, &message.body),
            "rejection" => self.rejection(step, peer, &message.session, &message.body),
            "contract" => self.contract(step, peer, &message.session, &message.body),
            "score-request" => self.score_requests(step, peer, &message.session, &message.body),
            "correction" => self.take_correction(step, peer, &message.body),
            "score-response" => self.score_responses(step, peer, &message.session, &message.body),
            "warning" => self.take_warnings(step, peer, &message.body),
            "warning-ack" => self.take_warning_ack(step, peer, &message.body),
            "warning-outcome" => self.take_warning_outcome(step, peer, &message.body),
            "outcome" => self.take_outcomes(step, peer, &message.body),
            "outcome-receipt" => self.take_outcome_receipt(peer, &message.body),
            kind => Err(crate::failure::refused(format!("{peer} sent a message of unknown kind `{kind}`"))),
        }
    }

    /// Logs, numbers and keeps a message to `peer`; it leaves after the step.
    pub(super) fn write(
        &mut self,
        step: &mut Step,
        peer: &str,
        session: &str,
        kind: &str,
        form: &str,
        body: Vec<u8>,
    ) -> Result<(), Failure> {
        let sequence = self.store.next_sequence(peer)?;
        let me = self.me().to_owned();
        let egress = book::egress(peer, sequence, kind, form, &body);
        let entry = step.record(session_of(session), &me, egress);
        let letter = Letter { peer: peer.into(), sequence, session: session.into(), kind: kind.into(), entry, body };
        self.store.post(&letter)?;
        step.post(letter);
        Ok(())
    }
}

fn session_of(session: &str) -> Option<&str> {
    (!session.is_empty()).then_some(session)
}
