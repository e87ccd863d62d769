//! What both sides share: messages, events, and the handle to send with.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prost::Message as _;
use tally_audit::{Receipt, Sent, SignedReceipt};
use tally_crypto::sign::{SigningKey, VerifyKey};
use tally_crypto::transcript::Digest;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Semaphore, oneshot};

use crate::frames::{Arrived, Reassembly};
use crate::outbound::Parcel;
use crate::room::{Room, Rooms};
use crate::wire::{Acknowledgement, AddCheckpoint, CheckpointAnswer, Frame, frame::Kind};

/// Longest session or kind of a message, in bytes.
const NAME_BYTES: usize = 64;

/// Greatest number of a message: what a store counts to.
const GREATEST: u64 = i64::MAX.cast_unsigned();

/// Answers to checkpoints that wait for one connection.
const ANSWERS: usize = 64;

/// Who a node is on the network.
#[derive(Clone, Debug)]
pub struct Party {
    /// Its name.
    pub name: String,
    /// Its node key, which signs the receipts of its messages.
    pub key: Arc<SigningKey>,
    /// Keys of the parties that it talks to, by name: nobody else is let in, and nothing is taken in that they have not signed a
    /// receipt for.
    pub peers: BTreeMap<String, PeerKeys>,
}

/// What a peer is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerKeys {
    /// Signs the receipts of its messages.
    pub node: VerifyKey,
    /// SHA-256 of the public key of its certificate; where none is known, any certificate of the authority under its name is good.
    pub tls: Option<Digest>,
}

impl Party {
    /// Whether the peer of this name shows the certificate key that it is known by.
    pub(crate) fn check_key(&self, peer: &str, shown: Option<Digest>) -> Result<(), String> {
        let known = self.peers.get(peer).ok_or_else(|| "not a party of the registry".to_owned())?;
        check_key(known.tls, shown)
    }
}

/// Whether a certificate has the key that its party is known by, where one is known.
pub(crate) fn check_key(known: Option<Digest>, shown: Option<Digest>) -> Result<(), String> {
    if known.is_none() || known == shown {
        return Ok(());
    }
    Err("the certificate has another key than the registry: somebody else has it, or it was issued anew without the registry".into())
}

/// A message that may leave: its log entry is durable. It leaves under the node's signature for that entry.
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
    /// What the peer has signed for it; verified.
    pub receipt: SignedReceipt,
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
    /// A message was not taken in, and the connection ended: what it lacks is the peer's signed receipt.
    MessageRefused {
        /// The peer.
        peer: String,
        /// What is wrong.
        reason: String,
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
    /// Hands a message to the connection with `peer`, which signs for it on its way out.
    ///
    /// # Errors
    /// Fails if the peer is not connected; nothing is kept.
    pub fn send(&self, peer: &str, message: Outgoing) -> Result<(), NotConnected> {
        self.shared.send(peer, Parcel::Message(message))
    }

    /// Tells `peer` that everything up to `sequence` is durable here.
    pub fn acknowledge(&self, peer: &str, sequence: u64) {
        self.shared.acknowledge(peer, sequence);
    }

    /// Asks `peer` to cosign a checkpoint of this node's log.
    pub fn ask_to_cosign(&self, peer: &str, body: Vec<u8>) {
        self.shared.ask(peer, body);
    }

    /// Answers such a request of `peer`.
    pub fn answer_to_cosign(&self, peer: &str, status: u16, content_type: Option<&str>, body: Vec<u8>) {
        let content_type = content_type.unwrap_or_default().to_owned();
        let answer = CheckpointAnswer { status: status.into(), content_type, body };
        self.shared.answer(peer, Frame { kind: Some(Kind::CheckpointAnswer(answer)) });
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
    pub(crate) me: Party,
    connections: Mutex<HashMap<String, Connection>>,
    numbers: AtomicU64,
    /// Why a message of a peer was refused last: said once, however often it is sent again.
    refused: Mutex<HashMap<String, String>>,
    pub(crate) sent: AtomicU64,
    received: AtomicU64,
    /// Of each peer, the room for its events that wait.
    rooms: BTreeMap<String, Rooms>,
    /// The room for refusals of those who were not let in.
    strangers: Rooms,
    sink: Box<dyn Fn(Event, Room) + Send + Sync>,
}

struct Connection {
    number: u64,
    parcels: UnboundedSender<Parcel>,
    /// What is to be acknowledged, 0 if nothing.
    acknowledged: Arc<AtomicU64>,
    /// The checkpoint to ask about, if there is one.
    asked: Arc<Mutex<Option<Vec<u8>>>>,
    answers: Arc<Semaphore>,
    /// Dropped with the connection: its reader then ends.
    _alive: oneshot::Sender<()>,
}

impl Shared {
    pub(crate) fn new(me: Party, sink: impl Fn(Event, Room) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            rooms: me.peers.keys().map(|peer| (peer.clone(), Rooms::new())).collect(),
            strangers: Rooms::new(),
            me,
            connections: Mutex::default(),
            numbers: AtomicU64::new(0),
            refused: Mutex::default(),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sink: Box::new(sink),
        })
    }

    pub(crate) fn tell(&self, event: Event) {
        (self.sink)(event, Room::default());
    }

    /// Tells of somebody who was not let in; not where as many such events wait as there is room for, so that a flood fills no
    /// memory while whoever listens is busy.
    pub(crate) fn tell_of_stranger(&self, event: Event) {
        if let Some(room) = self.strangers.try_take() {
            (self.sink)(event, room);
        }
    }

    /// Takes in the frames of a connection until it ends, or a later one takes its place.
    pub(crate) async fn attend(&self, peer: &str, parcels: UnboundedSender<Parcel>, frames: tonic::Streaming<Frame>) {
        let (number, replaced) = self.connect(peer, parcels);
        let reason = tokio::select! {
            biased;
            _ = replaced => "a later connection has taken its place".into(),
            reason = self.read(peer, frames) => reason,
        };
        self.disconnect(peer, number, reason);
    }

    /// Puts a connection in place of an earlier one; its number, and what ends when it is replaced itself.
    pub(crate) fn connect(&self, peer: &str, parcels: UnboundedSender<Parcel>) -> (u64, oneshot::Receiver<()>) {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let (alive, replaced) = oneshot::channel();
        let (acknowledged, asked) = Default::default();
        let answers = Arc::new(Semaphore::new(ANSWERS));
        let connection = Connection { number, parcels, acknowledged, asked, answers, _alive: alive };
        let mut connections = locked(&self.connections);
        connections.insert(peer.into(), connection);
        // Under the lock, here and below: who listens hears of connections in the order in which they came and went.
        self.tell(Event::Up { peer: peer.into() });
        (number, replaced)
    }

    /// Takes a connection away, unless a later one has taken its place.
    fn disconnect(&self, peer: &str, number: u64, reason: String) {
        let mut connections = locked(&self.connections);
        if connections.get(peer).is_some_and(|connection| connection.number == number) {
            connections.remove(peer);
            self.tell(Event::Down { peer: peer.into(), reason });
        }
    }

    /// Takes in the frames of one connection until it ends; says why it ended.
    async fn read(&self, peer: &str, mut frames: tonic::Streaming<Frame>) -> String {
        let Some(rooms) = self.rooms.get(peer) else { return "not a party of the registry".into() };
        let tell = async |event, bytes| (self.sink)(event, rooms.take(bytes).await);
        let mut whole = Reassembly::default();
        loop {
            let frame = match frames.message().await {
                Ok(Some(frame)) => frame,
                Ok(None) => return "the peer closed the connection".into(),
                Err(status) => return status.message().to_owned(),
            };
            self.received.fetch_add(frame.encoded_len() as u64, Ordering::Relaxed);
            match frame.kind {
                Some(Kind::Part(part)) => match whole.take(part) {
                    Ok(Some(arrived)) => match self.signed(peer, arrived) {
                        Ok(message) => {
                            let bytes = message.body.len();
                            tell(Event::Message { peer: peer.into(), message }, bytes).await;
                        }
                        Err(reason) => return self.refuse(peer, reason),
                    },
                    Ok(None) => {}
                    Err(reason) => return reason.into(),
                },
                Some(Kind::Acknowledgement(Acknowledgement { sequence })) => {
                    if sequence > GREATEST {
                        return "the peer acknowledged a number that no message has".into();
                    }
                    tell(Event::Acknowledged { peer: peer.into(), sequence }, 0).await;
                }
                Some(Kind::AddCheckpoint(AddCheckpoint { body })) => {
                    let bytes = body.len();
                    tell(Event::AddCheckpoint { peer: peer.into(), body }, bytes).await;
                }
                Some(Kind::CheckpointAnswer(CheckpointAnswer { status, content_type, body })) => {
                    let Ok(status) = u16::try_from(status) else {
                        return "the peer answered with something that is no HTTP status".into();
                    };
                    let content_type = Some(content_type).filter(|text| !text.is_empty());
                    let bytes = body.len();
                    tell(Event::CheckpointAnswer { peer: peer.into(), status, content_type, body }, bytes).await;
                }
                Some(Kind::Hello(_)) | None => return "the peer sent a frame that is not awaited".into(),
            }
        }
    }

    /// The message, if it is of the form of one and `peer` has signed for it; looked at before anything else.
    fn signed(&self, peer: &str, arrived: Arrived) -> Result<Incoming, String> {
        if let Err(reason) = check_head(&arrived) {
            return Err(format!("message {} of {peer}: {reason}", arrived.sequence));
        }
        let Arrived { sequence, session, kind, body, receipt } = arrived;
        let message = Sent { from: peer, to: &self.me.name, sequence, session: &session, kind: &kind, body: &body };
        let read = SignedReceipt::read(&receipt, |log| Some(self.me.peers.get(log)?.node));
        let receipt = read.and_then(|receipt| receipt.covers(&message).map(|()| receipt));
        match receipt {
            Ok(receipt) => {
                locked(&self.refused).remove(peer);
                Ok(Incoming { sequence, session, kind, body, receipt })
            }
            Err(error) => Err(format!("message {sequence} of {peer}: {error}")),
        }
    }

    fn refuse(&self, peer: &str, reason: String) -> String {
        let before = locked(&self.refused).insert(peer.into(), reason.clone());
        if before.as_ref() != Some(&reason) {
            self.tell(Event::MessageRefused { peer: peer.into(), reason: reason.clone() });
        }
        reason
    }

    fn send(&self, peer: &str, parcel: Parcel) -> Result<(), NotConnected> {
        self.with(peer, |connection| connection.parcels.send(parcel).map_err(|_| NotConnected))?
    }

    /// One acknowledgement waits at most, of the highest number; a peer that is gone sends again, and is acknowledged then.
    fn acknowledge(&self, peer: &str, sequence: u64) {
        let _ = self.with(peer, |connection| {
            if connection.acknowledged.fetch_max(sequence, Ordering::Relaxed) == 0 {
                let _ = connection.parcels.send(Parcel::Acknowledgement(connection.acknowledged.clone()));
            }
        });
    }

    /// One checkpoint waits at most, the last; a peer that is gone is asked when it is back.
    fn ask(&self, peer: &str, body: Vec<u8>) {
        let _ = self.with(peer, |connection| {
            if locked(&connection.asked).replace(body).is_none() {
                let _ = connection.parcels.send(Parcel::Ask(connection.asked.clone()));
            }
        });
    }

    /// Drops the answer where too many wait for a peer that does not read them, or the peer is gone: it asks again.
    fn answer(&self, peer: &str, frame: Frame) {
        let _ = self.with(peer, |connection| {
            if let Ok(place) = connection.answers.clone().try_acquire_owned() {
                let _ = connection.parcels.send(Parcel::Answer { frame, _place: place });
            }
        });
    }

    /// Does something with the connection that there is with `peer`.
    fn with<T>(&self, peer: &str, act: impl FnOnce(&Connection) -> T) -> Result<T, NotConnected> {
        locked(&self.connections).get(peer).map(act).ok_or(NotConnected)
    }
}

/// Whether a message has a number and names that a store and a log can hold.
fn check_head(arrived: &Arrived) -> Result<(), &'static str> {
    let Arrived { sequence, session, kind, .. } = arrived;
    if !(1..=GREATEST).contains(sequence) {
        return Err("its number is none");
    }
    if !is_name(kind) {
        return Err("its kind is not a name: at most 64 letters, digits and hyphens");
    }
    if !session.is_empty() && !is_name(session) {
        return Err("its session is not a name: at most 64 letters, digits and hyphens");
    }
    Ok(())
}

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=NAME_BYTES).contains(&text.len()) && text.bytes().all(plain)
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What the mutexes hold is whole after every statement, so a panic elsewhere leaves it usable.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
