//! Signed receipts: with each message its sender promises to the receiver that the entry which covers it will be published.
//!
//! ```text
//! sender   entry durable -> Receipt -> SignedReceipt::sign -- message, receipt -->  receiver
//! receiver SignedReceipt::read (key of the registry), covers (these very bytes), before anything else; kept
//! auditor  receipt against a copy of the sender's log: an entry that is not there after `due` was promised and withheld
//! ```
//!
//! A receipt is one line of JSON, `{"promise":{…},"signature":"…"}`; signed is the text of the promise, as it stands there, under
//! the label `receipt`. Its time is that of the entry, so a message that is sent again carries the same receipt, byte for byte.
//! The maximum merge delay is that of RFC 6962, section 3.

use serde::{Deserialize, Serialize};
use tally_crypto::sign::{Signature, SigningKey, VerifyKey};
use tally_crypto::transcript::Digest;

use crate::write_ahead::Receipt;

#[cfg(test)]
mod tests;

/// Seconds within which an entry must be under a published checkpoint: one day. Nodes publish every second or minute; the rest
/// is for a node that is down. A promise of more is none, and refused.
pub const MERGE_DELAY: u32 = 86_400;

const LABEL: &str = "receipt";

/// A message between two nodes, as far as a receipt speaks of it.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// The sender, whose log covers the message.
    pub from: &'a str,
    /// The receiver.
    pub to: &'a str,
    /// Number in the stream from sender to receiver, from 1.
    pub sequence: u64,
    /// Session, or empty.
    pub session: &'a str,
    /// Kind of message.
    pub kind: &'a str,
    /// The message.
    pub body: &'a [u8],
}

/// What the sender of a message states and promises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promise {
    /// Format version, 1.
    pub v: u32,
    /// Origin of the log: the sender's name.
    pub log: String,
    /// The receiver.
    pub to: String,
    /// Number of the message in the stream to the receiver.
    pub sequence: u64,
    /// Session, or empty.
    pub session: String,
    /// Kind of message.
    pub kind: String,
    /// SHA-256 of the message.
    pub digest: Digest,
    /// Place of the entry that covers it.
    pub index: u64,
    /// Leaf hash of that entry.
    pub leaf: Digest,
    /// Time of that entry, Unix milliseconds.
    pub time: i64,
    /// Seconds from then on within which the entry is published.
    pub merge_delay: u32,
}

/// A promise under its sender's signature, which holds. Made from the [`Receipt`] of a durable entry, or read from what a sender
/// has signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SignedReceipt {
    promise: Promise,
    signature: Signature,
}

/// The same before its signature is verified.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unverified {
    promise: Promise,
    signature: Signature,
}

/// Why a receipt was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// There is none.
    #[error("it carries no receipt")]
    Absent,
    /// Not of the form of a receipt.
    #[error("its receipt cannot be read: {0}")]
    Form(String),
    /// Nobody knows the log that it names.
    #[error("its receipt names the log `{0}`, of which no key is known")]
    Stranger(String),
    /// The key of the sender has not signed it like this.
    #[error("its receipt is not signed by the node key of `{0}`")]
    Signature(String),
    /// It is about something else.
    #[error("its receipt is about another {0}")]
    Other(&'static str),
    /// It promises publication too late.
    #[error("its receipt promises publication within {0} s, more than {MERGE_DELAY}")]
    Delay(u32),
}

impl SignedReceipt {
    /// Signs for a message that a durable entry covers.
    pub fn sign(receipt: &Receipt, message: &Sent<'_>, key: &SigningKey) -> Self {
        let promise = Promise {
            v: 1,
            log: message.from.into(),
            to: message.to.into(),
            sequence: message.sequence,
            session: message.session.into(),
            kind: message.kind.into(),
            digest: Digest::of_bytes(message.body),
            index: receipt.index(),
            leaf: receipt.leaf(),
            time: receipt.time(),
            merge_delay: MERGE_DELAY,
        };
        let signature = key.sign(LABEL, &promise.text());
        Self { promise, signature }
    }

    /// Reads a receipt and verifies its signature under the node key that `key` knows for its log. Other spellings of the same
    /// receipt are refused.
    ///
    /// # Errors
    /// Says what does not hold.
    pub fn read(bytes: &[u8], key: impl FnOnce(&str) -> Option<VerifyKey>) -> Result<Self, ReceiptError> {
        if bytes.is_empty() {
            return Err(ReceiptError::Absent);
        }
        let read: Unverified = serde_json::from_slice(bytes).map_err(|error| ReceiptError::Form(error.to_string()))?;
        let Unverified { promise, signature } = read;
        let key = key(&promise.log).ok_or_else(|| ReceiptError::Stranger(promise.log.clone()))?;
        if !key.verify(LABEL, &promise.text(), &signature) {
            return Err(ReceiptError::Signature(promise.log));
        }
        if promise.v != 1 {
            return Err(ReceiptError::Form(format!("version {}", promise.v)));
        }
        if promise.merge_delay > MERGE_DELAY {
            return Err(ReceiptError::Delay(promise.merge_delay));
        }
        let receipt = Self { promise, signature };
        if receipt.encode() == bytes { Ok(receipt) } else { Err(ReceiptError::Form("not in canonical form".into())) }
    }

    /// Checks that the receipt is about this very message.
    ///
    /// # Errors
    /// Says in what they differ.
    pub fn covers(&self, message: &Sent<'_>) -> Result<(), ReceiptError> {
        let promise = &self.promise;
        let equal = [
            ("sender", promise.log == message.from),
            ("receiver", promise.to == message.to),
            ("message number", promise.sequence == message.sequence),
            ("session", promise.session == message.session),
            ("kind of message", promise.kind == message.kind),
        ];
        match equal.into_iter().find(|(_, equal)| !equal) {
            Some((what, _)) => Err(ReceiptError::Other(what)),
            None if promise.digest != Digest::of_bytes(message.body) => Err(ReceiptError::Other("message")),
            None => Ok(()),
        }
    }

    /// The receipt as one line of JSON.
    pub fn encode(&self) -> Vec<u8> {
        // Panic safety: the type holds only texts, numbers and digests.
        serde_json::to_vec(self).expect("receipts serialise")
    }

    /// What was promised.
    pub fn promise(&self) -> &Promise {
        &self.promise
    }
}

impl Promise {
    /// When the entry must be published at the latest, Unix milliseconds.
    pub fn due(&self) -> i64 {
        self.time.saturating_add(i64::from(self.merge_delay) * 1000)
    }

    /// What is signed.
    fn text(&self) -> Vec<u8> {
        // Panic safety: the type holds only texts, numbers and digests.
        serde_json::to_vec(self).expect("promises serialise")
    }
}
