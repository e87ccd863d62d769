//! Messages in and out: numbered, logged, taken in once.
//!
//! Who may send what to whom stands in one table ([`MessageKind`]), which is looked at before anything of a message is read. What
//! comes from the wrong side, does not read, or meets another state than it takes is refused: it counts as received, so that it is
//! not sent again, the log says who sent it, and nothing else has happened. No message stops a node: only its own store does,
//! which is another type of failure ([`Fatal`]).

use tally_net::{Event, Incoming};
use tally_protocol::kind::MessageKind;
use tally_protocol::session::PartyRole;

use super::group::Outward;
use super::step::Step;
use super::underway::UnderWay;
use super::{Engine, book, go_on};
use crate::failure::{self, Failure, Fatal, unless_fatal};
use crate::store::Letter;

impl Engine {
    /// Something happened on the network.
    pub(super) fn happen(&mut self, event: Event) -> Result<(), Fatal> {
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
            Event::AddCheckpoint { peer, body } => {
                go_on("a checkpoint was not judged", self.judge_checkpoint(&peer, &body)).map(drop)
            }
            Event::CheckpointAnswer { peer, status, content_type, body } => {
                let taken = self.checkpoint_answer(&peer, status, content_type.as_deref(), &body);
                go_on("the answer of a witness was not taken", taken).map(drop)
            }
            Event::MessageRefused { peer, reason } => self.message_refused(&peer, &reason),
            Event::Refused { address, claimed, reason } => self.connection_refused(&address, claimed, &reason),
        }
    }

    fn peer_is_up(&mut self, peer: &str) -> Result<(), Fatal> {
        tracing::info!(peer, "peer is here");
        self.connected.insert(peer.into(), UnderWay::new());
        self.forget_acknowledged()?;
        go_on("a witness was not asked", self.ask_witness(peer)).map(drop)
    }

    fn take_in(&mut self, peer: &str, message: &Incoming) -> Result<(), Fatal> {
        let last = self.store.received(peer).map_err(Fatal::because)?;
        if message.sequence == last + 1 {
            let taken = self.step(|engine, step| {
                engine.store.take_in(peer, message.sequence, &message.receipt)?;
                step.record(session_of(&message.session), peer, book::ingress(peer, message));
                engine.understand(step, peer, message)
            });
            if let Err(refusal) = unless_fatal(taken)? {
                go_on("a message was not refused", self.refuse(peer, message, &refusal))?;
            }
        }
        if message.sequence <= self.store.received(peer).map_err(Fatal::because)? {
            self.group.hold(Outward::Acknowledgement { peer: peer.into(), sequence: message.sequence });
        }
        Ok(())
    }

    /// A message that makes no sense here is taken in, logged as refused, and has no other effect.
    fn refuse(&mut self, peer: &str, message: &Incoming, failure: &Failure) -> Result<(), Failure> {
        let (sequence, kind) = (message.sequence, &message.kind);
        tracing::warn!(peer, sequence, kind, %failure, "message refused");
        let why = format!("message {sequence} of {peer}, of kind `{kind}`: {failure}");
        self.step(|engine, step| {
            engine.store.take_in(peer, message.sequence, &message.receipt)?;
            step.record(session_of(&message.session), peer, book::ingress(peer, message));
            step.record(session_of(&message.session), peer, book::refused_message(peer, &why));
            Ok(())
        })
    }

    fn understand(&mut self, step: &mut Step, peer: &str, message: &Incoming) -> Result<(), Failure> {
        match self.admit(peer, message)? {
            MessageKind::Session => self.session_message(step, peer, &message.session, &message.body),
            MessageKind::Proposal => self.proposal(step, peer, &message.session, &message.body),
            MessageKind::Signature => self.signature(step, peer, &message.session, &message.body),
            MessageKind::Rejection => self.rejection(step, peer, &message.session, &message.body),
            MessageKind::Contract => self.contract(step, peer, &message.session, &message.body),
            MessageKind::ScoreRequest => self.score_requests(step, peer, &message.session, &message.body),
            MessageKind::Correction => self.take_correction(step, peer, &message.body),
            MessageKind::ScoreResponse => self.score_responses(step, peer, &message.session, &message.body),
            MessageKind::Warning => self.take_warnings(step, peer, &message.body),
            MessageKind::WarningAck => self.take_warning_ack(step, peer, &message.body),
            MessageKind::WarningOutcome => self.take_warning_outcome(step, peer, &message.body),
            MessageKind::Outcome => self.take_outcomes(step, peer, &message.body),
            MessageKind::OutcomeReceipt => self.take_outcome_receipt(peer, &message.body),
        }
    }

    /// The kind of a message, if its sender may send it to this node.
    fn admit(&self, peer: &str, message: &Incoming) -> Result<MessageKind, Failure> {
        let from =
            self.role_of(peer).ok_or_else(|| failure::refused(format!("{peer} has no part in this node's link")))?;
        let me = if self.is_platform() { PartyRole::Platform } else { PartyRole::Bank };
        let admitted = MessageKind::admit(&message.kind, &message.session, message.body.len(), from, me);
        admitted.map_err(|wrong| failure::refused(format!("{peer} sent {wrong}")))
    }

    /// The role of a peer, as the registry has it; a bank knows one platform, that of its link.
    fn role_of(&self, peer: &str) -> Option<PartyRole> {
        let party = self.registry.party(peer)?;
        let mine = self.is_platform() || self.config.link.platform.as_deref() == Some(peer);
        match party.role.as_str() {
            "bank" => Some(PartyRole::Bank),
            "platform" if mine => Some(PartyRole::Platform),
            _ => None,
        }
    }

    /// Logs, numbers and keeps a message to `peer`; it leaves after the step.
    pub(super) fn write(
        &mut self,
        step: &mut Step,
        peer: &str,
        session: &str,
        kind: MessageKind,
        form: &str,
        body: Vec<u8>,
    ) -> Result<(), Failure> {
        let sequence = self.store.next_sequence(peer)?;
        let me = self.me().to_owned();
        let egress = book::egress(peer, sequence, kind.name(), form, &body);
        let entry = step.record(session_of(session), &me, egress);
        let letter =
            Letter { peer: peer.into(), sequence, session: session.into(), kind: kind.name().into(), entry, body };
        self.store.post(&letter)?;
        step.post(letter);
        Ok(())
    }
}

fn session_of(session: &str) -> Option<&str> {
    (!session.is_empty()).then_some(session)
}
