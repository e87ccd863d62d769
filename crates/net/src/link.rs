//! What both sides share: messages, events, and the handle to send with.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prost::Message as _;
use tally_audit::Receipt;
use tally_crypto::transcript::Digest;
use tokio::sync::mpsc::UnboundedSender;

use crate::frames;
use crate::wire::{Acknowledgement, AddCheckpoint, CheckpointAnswer, Frame, frame::Kind};

/// A message that may leave: its log entry is durable.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub(crate) sequence: u64,
    pub(crate) session: String,
    pub(crate) kind: String,
    pub(crate) body: Vec<u8>,
    pub(crate) receipt: Receipt,
}

impl Outgoing {
    /// A message under the receipt of the entry that covers it.
    pub fn new(sequence: u64, session: &str, kind: &str, body: Vec<u8>, receipt: &Receipt) -> Self {
        Self { sequence, session: session.into(), kind: kind.into(), body, receipt: *receipt }
    }
}

/// A message that arrived whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Number in the peer's stream to this node, from 1.
    pub sequence: u64,
    /// Session, or empty.
    pub session: String,
    /// Kind of message.
    pub kind: String,
    /// The message.
    pub body: Vec<u8>,
    /// The peer's log entry that covers it.
    pub receipt_index: u64,
    /// Its leaf hash.
    pub receipt_leaf: Digest,
}

/// What happens on the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A peer is here: whatever it has not acknowledged must be sent again, in order.
    Up {
        /// The peer.
        peer: String,
    },
    /// A peer is gone.
    Down {
        /// The peer.
        peer: String,
        /// Why.
        reason: String,
    },
    /// A message arrived.
    Message {
        /// Its sender.
        peer: String,
        /// The message.
        message: Incoming,
    },
    /// A peer has made everything up to this number durable.
    Acknowledged {
        /// The peer.
        peer: String,
        /// The number.
        sequence: u64,
    },
    /// A peer asks this node to cosign a checkpoint of its log.
    AddCheckpoint {
        /// The peer.
        peer: String,
        /// The request, as C2SP tlog-witness has it.
        body: Vec<u8>,
    },
    /// A peer answers such a request of this node.
    CheckpointAnswer {
        /// The peer.
        peer: String,
        /// HTTP status.
        status: u16,
        /// Media type of the body, where one is prescribed.
        content_type: Option<String>,
        /// The body.
        body: Vec<u8>,
    },
    /// Somebody was not let in.
    Refused {
        /// From where.
        address: String,
        /// Who it claimed to be.
        claimed: Option<String>,
        /// Why it was refused.
        reason: String,
    },
}

/// The peer is not connected; the message waits with the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer is not connected")]
pub struct NotConnected;

/// Why the network cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// A certificate or key is unusable.
    #[error("{what}: {reason}")]
    Certificate {
        /// Which.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {reason}: choose another port in link.listen")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        reason: String,
    },
    /// The address of the platform is malformed.
    #[error("link.dial `{0}` is not host:port")]
    Address(String),
}

/// Bytes of frames so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Sent.
    pub sent: u64,
    /// Received.
    pub received: u64,
}

/// The handle of a running listener or dialler.
#[derive(Clone)]
pub struct Link {
    pub(crate) shared: Arc<Shared>,
    pub(crate) address: Option<SocketAddr>,
}

impl Link {
    /// Hands a message to the connection with `peer`.
    ///
    /// # Errors
    /// Fails if the peer is not connected; nothing is kept.
    pub fn send(&self, peer: &str, message: Outgoing) -> Result<(), NotConnected> {
        frames::split(message).try_for_each(|frame| self.shared.send(peer, frame))
    }

    /// Tells `peer` that everything up to `sequence` is durable here.
    pub fn acknowledge(&self, peer: &str, sequence: u64) {
        let frame = Frame { kind: Some(Kind::Acknowledgement(Acknowledgement { sequence })) };
        // A peer that is gone sends again, and is acknowledged then.
        let _ = self.shared.send(peer, frame);
    }

    /// Asks `peer` to cosign a checkpoint of this node's log.
    pub fn ask_to_cosign(&self, peer: &str, body: Vec<u8>) {
        let frame = Frame { kind: Some(Kind::AddCheckpoint(AddCheckpoint { body })) };
        // A peer that is gone is asked for the next checkpoint.
        let _ = self.shared.send(peer, frame);
    }

    /// Answers such a request of `peer`.
    pub fn answer_to_cosign(&self, peer: &str, status: u16, content_type: Option<&str>, body: Vec<u8>) {
        let content_type = content_type.unwrap_or_default().to_owned();
        let answer = CheckpointAnswer { status: status.into(), content_type, body };
        // A peer that is gone asks again.
        let _ = self.shared.send(peer, Frame { kind: Some(Kind::CheckpointAnswer(answer)) });
    }

    /// Where a listener listens.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Bytes so far.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            sent: self.shared.sent.load(Ordering::Relaxed),
            received: self.shared.received.load(Ordering::Relaxed),
        }
    }
}

/// Connections, and who wants to know of them.
pub(crate) struct Shared {
    connections: Mutex<HashMap<String, Connection>>,
    numbers: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    sink: Box<dyn Fn(Event) + Send + Sync>,
}

struct Connection {
    number: u64,
    frames: UnboundedSender<Frame>,
}

impl Shared {
    pub(crate) fn new(sink: impl Fn(Event) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            connections: Mutex::default(),
            numbers: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sink: Box::new(sink),
        })
    }

    pub(crate) fn tell(&self, event: Event) {
        (self.sink)(event);
    }

    /// Puts a connection in place of an earlier one; its number.
    pub(crate) fn connect(&self, peer: &str, frames: UnboundedSender<Frame>) -> u64 {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        self.connections().insert(peer.into(), Connection { number, frames });
        self.tell(Event::Up { peer: peer.into() });
        number
    }

    /// Takes a connection away, unless a later one has taken its place.
    pub(crate) fn disconnect(&self, peer: &str, number: u64, reason: String) {
        let mut connections = self.connections();
        if connections.get(peer).is_some_and(|connection| connection.number == number) {
            connections.remove(peer);
            drop(connections);
            self.tell(Event::Down { peer: peer.into(), reason });
        }
    }

    /// Takes in the frames of one connection until it ends; says why it ended.
    pub(crate) async fn read(&self, peer: &str, mut frames: tonic::Streaming<Frame>) -> String {
        let mut whole = frames::Reassembly::default();
        loop {
            let frame = match frames.message().await {
                Ok(Some(frame)) => frame,
                Ok(None) => return "the peer closed the connection".into(),
                Err(status) => return status.message().to_owned(),
            };
            self.received.fetch_add(frame.encoded_len() as u64, Ordering::Relaxed);
            match frame.kind {
                Some(Kind::Part(part)) => match whole.take(part) {
                    Ok(Some(message)) => self.tell(Event::Message { peer: peer.into(), message }),
                    Ok(None) => {}
                    Err(reason) => return reason.into(),
                },
                Some(Kind::Acknowledgement(Acknowledgement { sequence })) => {
                    self.tell(Event::Acknowledged { peer: peer.into(), sequence });
                }
                Some(Kind::AddCheckpoint(AddCheckpoint { body })) => {
                    self.tell(Event::AddCheckpoint { peer: peer.into(), body });
                }
                Some(Kind::CheckpointAnswer(CheckpointAnswer { status, content_type, body })) => {
                    let Ok(status) = u16::try_from(status) else {
                        return "the peer answered with something that is no HTTP status".into();
                    };
                    let content_type = Some(content_type).filter(|text| !text.is_empty());
                    self.tell(Event::CheckpointAnswer { peer: peer.into(), status, content_type, body });
                }
                Some(Kind::Hello(_)) | None => return "the peer sent a frame that is not awaited".into(),
            }
        }
    }

    fn send(&self, peer: &str, frame: Frame) -> Result<(), NotConnected> {
        let bytes = frame.encoded_len() as u64;
        let connections = self.connections();
        let connection = connections.get(peer).ok_or(NotConnected)?;
        connection.frames.send(frame).map_err(|_| NotConnected)?;
        self.sent.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<String, Connection>> {
        // The map is whole after every statement, so a panic elsewhere leaves it usable.
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
