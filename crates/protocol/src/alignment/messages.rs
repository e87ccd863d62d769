//! Messages of the alignment.

use serde::{Deserialize, Serialize};
use tally_crypto::group::Point;
use tally_crypto::oprf::Proof;
use tally_crypto::transcript::Digest;

/// Most identifiers in one batch.
pub const CHUNK: usize = 8192;

/// The platform's opening: everything about its set is fixed before the first evaluation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Key that every evaluation is proven under.
    pub public_key: Point,
    /// Rows offered.
    pub rows: u64,
    /// Salted commitment to the offered identifiers.
    pub set: Digest,
}

/// A batch of blinded identifiers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blinded {
    /// Number of the batch, from 0.
    pub chunk: u32,
    /// At most [`CHUNK`] points.
    pub points: Vec<Point>,
}

/// The evaluated batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluated {
    /// Number of the batch.
    pub chunk: u32,
    /// One point for each that was sent.
    pub points: Vec<Point>,
    /// Proof that the announced key evaluated all of them.
    pub proof: Proof,
}

/// One offered row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedRow {
    /// Pseudorandom name of the row.
    pub tag: [u8; 16],
    /// The payload, sealed under the row key.
    pub sealed: Vec<u8>,
}

/// How the peer, or the caller, broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misbehaved {
    /// The bank asked for more evaluations than the contract allows.
    #[error("asked for {asked} evaluations, the contract allows {cap}")]
    OverCap {
        /// Asked so far, this batch included.
        asked: u64,
        /// The contract's cap.
        cap: u64,
    },
    /// A batch is empty, too large, or not the next one.
    #[error("batch {0} is empty, too large or out of order")]
    Batch(u32),
    /// The evaluation does not belong to the request, or its proof does not hold.
    #[error("batch {chunk}: {reason}")]
    Evaluation {
        /// Number of the batch.
        chunk: u32,
        /// What is wrong.
        reason: tally_crypto::oprf::OprfError,
    },
    /// Another number of rows came than was announced.
    #[error("offered {found} rows after announcing {announced}")]
    RowCount {
        /// Rows that came.
        found: u64,
        /// Rows announced.
        announced: u64,
    },
    /// The rows are not strictly in order of their tags.
    #[error("row {0} is not in strict order of tags")]
    RowOrder(usize),
    /// An identifier stands twice in a set.
    #[error("an identifier stands twice in the set")]
    Duplicate,
    /// Identifiers and payloads differ in number.
    #[error("identifiers and payloads differ in number")]
    Payloads,
}
