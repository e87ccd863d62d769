//! The conversation of two sides: who speaks, the contract, then the machines' messages, then what both have seen.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tally_crypto::group::Point;
use tally_crypto::sign::{Envelope, VerifyKey};
use tally_crypto::transcript::Digest;
use tally_net::direct::Direct;
use tally_protocol::alignment::{ToBank, ToPlatform};

use super::contract::Spelling;
use super::identity::Identity;
use super::{AlignArguments, output::Voice};
use crate::failure::{self, Failure};

/// Version of this conversation.
pub(super) const VERSION: u32 = 2;

/// Tags in one message: 1 MiB.
pub(super) const TAGS_PER_MESSAGE: usize = 1 << 16;

/// What the bank says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromBank {
    /// The bank speaks first.
    Hello {
        /// [`VERSION`].
        version: u32,
        /// Party name.
        name: String,
        /// Its signing key.
        key: VerifyKey,
        /// Most identifiers that it will bring, rounded up.
        identifiers: u64,
        /// Salted commitment to them.
        set: Digest,
        /// What its identifiers are.
        spelling: Spelling,
        /// Whether it asks for the number alone, and the floor it expects.
        cardinality: Option<u64>,
        /// Fresh randomness of this attempt.
        nonce: [u8; 32],
        /// The contract and the units that stand from an attempt that was cut off.
        resume: Option<(Digest, u32)>,
    },
    /// The contract with both signatures, JSON.
    Signed(String),
    /// A step of the alignment.
    Step(ToPlatform),
    /// Counting: blinded points.
    Points(Vec<Point>),
    /// Digest of everything that was said.
    Seen(Digest),
    /// The bank has stopped.
    Stopped(String),
}

/// What the platform says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromPlatform {
    /// The contract with the platform's signature, JSON, and where both go on.
    Contract {
        /// The envelope.
        envelope: String,
        /// Fresh randomness of this attempt.
        nonce: [u8; 32],
        /// Units that both have finished.
        finished: u32,
    },
    /// A step of the alignment.
    Step(ToBank),
    /// Counting: raised points, shuffled.
    Points(Vec<Point>),
    /// A part of the sorted tags, 16 bytes each.
    Tags(#[serde(with = "bytes")] Vec<u8>),
    /// Digest of everything that was said.
    Seen(Digest),
    /// The platform has stopped.
    Stopped(String),
}

/// Bytes as bytes: postcard would write a list of numbers one by one.
mod bytes {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        <&[u8]>::deserialize(deserializer).map(<[u8]>::to_vec)
    }
}

/// Why the peer stopped, if its message says so.
pub(super) trait Stopping: Serialize + DeserializeOwned {
    /// The reason.
    fn stopped(&self) -> Option<&str>;
    /// The message that gives a reason.
    fn stop(reason: String) -> Self;
}

impl Stopping for FromBank {
    fn stopped(&self) -> Option<&str> {
        if let Self::Stopped(reason) = self { Some(reason) } else { None }
    }

    fn stop(reason: String) -> Self {
        Self::Stopped(reason)
    }
}

impl Stopping for FromPlatform {
    fn stopped(&self) -> Option<&str> {
        if let Self::Stopped(reason) = self { Some(reason) } else { None }
    }

    fn stop(reason: String) -> Self {
        Self::Stopped(reason)
    }
}

/// An open conversation; what is said is hashed, so that both sides can compare what they have seen.
pub(super) struct Conversation {
    connection: Direct,
    sent: Said,
    received: Said,
}

impl Conversation {
    /// Dials or waits, as the arguments say.
    pub(super) fn open(arguments: &AlignArguments, identity: &Identity, voice: &Voice) -> Result<Self, Failure> {
        voice.say(&format!("fingerprint of this side:      {}", identity.fingerprint));
        let (tls, trust, patience) = (&identity.tls, &identity.trust, arguments.patience());
        let connection = match (&arguments.listen, &arguments.connect) {
            (Some(address), _) => {
                let ready = |at| voice.say(&format!("waiting on {at}"));
                Direct::listen(address, tls, trust, patience, ready, |who| voice.say(&format!("refused {who}")))
            }
            (_, Some(address)) => Direct::connect(address, tls, trust, patience),
            (None, None) => return Err(failure::usage("give --listen or --connect")),
        }
        .map_err(failure::unavailable)?;
        voice.say(&format!("fingerprint of the other side: {}", connection.peer_fingerprint()));
        let (sent, received) = Default::default();
        Ok(Self { connection, sent, received })
    }

    /// Says one thing.
    pub(super) fn say(&mut self, message: &impl Stopping) -> Result<(), Failure> {
        let bytes = postcard::to_allocvec(message).map_err(failure::internal)?;
        self.sent.append(&bytes);
        self.connection.send(bytes).map_err(failure::unavailable)
    }

    /// What the other side says next.
    pub(super) fn hear<M: Stopping>(&mut self) -> Result<M, Failure> {
        let bytes = self.connection.receive().map_err(failure::unavailable)?;
        self.received.append(&bytes);
        match postcard::take_from_bytes::<M>(&bytes) {
            Ok((message, [])) => match message.stopped() {
                Some(reason) => Err(failure::refused(format!("the other side stopped: {reason}"))),
                None => Ok(message),
            },
            _ => Err(failure::refused("the other side sent bytes that are no message of this version")),
        }
    }

    /// Digest of both directions so far, the same at both sides; `bank` says which side this is.
    pub(super) fn seen(&self, bank: bool) -> Digest {
        let (sent, received) = (self.sent.digest(), self.received.digest());
        let [first, second] = if bank { [sent, received] } else { [received, sent] };
        Digest::of("tallystick/align-conversation/v1", &[first.as_bytes(), second.as_bytes()])
    }

    /// Tells the other side why this one stops; it may be gone already.
    pub(super) fn stop<M: Stopping>(&mut self, failure: &Failure) {
        let _ = self.say(&M::stop(failure.message.clone()));
        let _ = self.connection.finish();
    }

    /// Closes this direction once everything has been sent.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        self.connection.finish().map_err(failure::unavailable)
    }

    /// Fingerprint of the peer's certificate.
    pub(super) fn peer_fingerprint(&self) -> Digest {
        self.connection.peer_fingerprint()
    }

    /// Bytes both ways.
    pub(super) fn bytes(&self) -> u64 {
        let traffic = self.connection.traffic();
        traffic.sent + traffic.received
    }
}

/// A running hash over messages, each with its length: BLAKE3, since a large set is many megabytes.
#[derive(Default)]
struct Said(blake3::Hasher);

impl Said {
    fn append(&mut self, message: &[u8]) {
        self.0.update(&(message.len() as u64).to_be_bytes());
        self.0.update(message);
    }

    fn digest(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

/// Parses an envelope that the other side sent.
pub(super) fn parse_envelope(text: &str) -> Result<Envelope, Failure> {
    serde_json::from_str(text).map_err(|error| failure::refused(format!("the other side's contract: {error}")))
}

/// The randomness of an attempt, from both sides.
pub(super) fn attempt(platform: &[u8; 32], bank: &[u8; 32]) -> Digest {
    Digest::of("tallystick/align-attempt/v1", &[platform, bank])
}

/// The peer broke the protocol.
pub(super) fn broken(error: impl std::fmt::Display) -> Failure {
    failure::refused(format!("the other side broke the protocol: {error}"))
}

/// The peer said something else than is awaited.
pub(super) fn unforeseen() -> Failure {
    broken("it sent a message that is not awaited now")
}
