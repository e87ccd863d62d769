//! Messages between a platform and a bank in one session, encoded with postcard.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;

use super::withdrawal::EndedRow;
use super::{Fault, Signatures};
use crate::aggregation::{Part, ToAggregator, ToMember, Transcript};
use crate::alignment::{SealedRow, ToBank, ToPlatform};

/// Platform to bank.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromPlatform {
    /// The bins of each field, before the alignment begins.
    Announce {
        /// Bins of each platform field in contract order, the missing bin not counted.
        bins: Vec<u16>,
        /// Digest of the platform's bin tables.
        tables: Digest,
    },
    /// A step of the alignment.
    Alignment(ToBank),
    /// A chunk of the sealed rows; all chunks together are sorted by tag.
    Rows(Vec<SealedRow>),
    /// Rows whose consent ended after they were offered, with the events that the enterprises signed: the bank verifies these
    /// itself.
    Withdrawn {
        /// One a row.
        rows: Vec<EndedRow>,
    },
    /// A step of secure aggregation.
    Aggregation(ToMember),
    /// The sum of a round.
    Released {
        /// Round number.
        round: u32,
        /// Which part of the sum request.
        part: Part,
        /// Banks in the sum.
        cohort: Vec<String>,
        /// The sum, one word an entry.
        sums: Vec<i64>,
        /// What a bank recomputes it from, without the keys, where the contract has every bank do so.
        transcript: Option<Box<Transcript>>,
    },
    /// Every party has computed the same model.
    Complete {
        /// Its digest.
        model: Digest,
        /// Signatures of the parties over the session's two statements.
        signed: BTreeMap<String, Signatures>,
    },
    /// The session has stopped.
    Aborted(Stop),
    /// Statistics begin: there is nothing to align.
    Begin,
}

/// Bank to platform.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromBank {
    /// A step of the alignment.
    Alignment(ToPlatform),
    /// The bank has opened its rows and waits for the first sum.
    Aligned,
    /// A step of secure aggregation.
    Aggregation(ToAggregator),
    /// The model that this bank computed.
    Fitted {
        /// Its digest.
        model: Digest,
        /// The bank's signatures over the session's two statements.
        signatures: Signatures,
    },
    /// The bank has stopped the session.
    Aborted(Stop),
}

/// Why a party stopped a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The party that caused it.
    pub culprit: String,
    /// What happened.
    pub reason: String,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self { culprit: fault.culprit, reason: fault.reason }
    }
}

impl From<Stop> for Fault {
    fn from(stop: Stop) -> Self {
        Self { culprit: stop.culprit, reason: stop.reason }
    }
}

macro_rules! codec {
    ($message:ty) => {
        impl $message {
            /// The message as bytes.
            pub fn encode(&self) -> Vec<u8> {
                crate::wire::encode(self)
            }

            /// Reads a message; trailing bytes are refused.
            ///
            /// # Errors
            /// Names `sender` if the bytes are not a message.
            pub fn decode(bytes: &[u8], sender: &str) -> Result<Self, Fault> {
                match postcard::take_from_bytes(bytes) {
                    Ok((message, [])) => Ok(message),
                    Ok(_) => Err(Fault::new(sender, "sent a message with trailing bytes")),
                    Err(_) => Err(Fault::new(sender, "sent bytes that are not a message of this protocol version")),
                }
            }
        }
    };
}

codec!(FromPlatform);
codec!(FromBank);

impl FromPlatform {
    /// What kind of information the message carries, for the log.
    pub fn form(&self) -> &'static str {
        match self {
            Self::Announce { .. } | Self::Alignment(_) => "alignment",
            Self::Rows(_) => "binned",
            Self::Aggregation(_) => "masked",
            Self::Released { .. } => "aggregate",
            Self::Withdrawn { .. } | Self::Complete { .. } | Self::Aborted(_) | Self::Begin => "control",
        }
    }
}

impl FromBank {
    /// What kind of information the message carries, for the log.
    pub fn form(&self) -> &'static str {
        match self {
            Self::Alignment(_) => "alignment",
            Self::Aggregation(_) => "masked",
            Self::Aligned | Self::Fitted { .. } | Self::Aborted(_) => "control",
        }
    }
}
