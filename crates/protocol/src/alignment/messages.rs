//! Messages of the alignment, checked when they are decoded and against the state that receives them.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tally_crypto::field::Block;
use tally_crypto::group::Point;
use tally_crypto::okvs::OkvsError;
use tally_crypto::oprf::{OprfError, Proof};
use tally_crypto::transcript::Digest;
use tally_crypto::vole::extension::{Corrections, ExtensionError};

/// Most identifiers in one batch of 2HashDH.
pub const CHUNK: usize = 8192;

/// The platform's opening: everything about its set is fixed before the first evaluation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Rows offered, padding included.
    pub rows: u64,
    /// Salted commitment to the offered identifiers.
    pub set: Digest,
    /// Key that every evaluation is proven under; for 2HashDH.
    pub public_key: Option<Point>,
}

/// Platform to bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToBank {
    /// The opening.
    Announce(Announcement),
    /// 2HashDH: the evaluated batch.
    Evaluated {
        /// Number of the batch.
        chunk: u32,
        /// One point for each that was sent.
        points: Vec<Point>,
        /// In verifiable mode, proof that the announced key evaluated all of them.
        proof: Option<Proof>,
    },
    /// Vector OLE, first: base transfers, and a commitment to the platform's share of the public randomness.
    Bases {
        /// Number of the shard.
        shard: u32,
        /// 128 pairs.
        pairs: Vec<[Point; 2]>,
        /// Commitment to the share.
        nonce: Digest,
    },
    /// Vector OLE, third: the punctured trees.
    Trees {
        /// Number of the shard.
        shard: u32,
        /// The share that was committed to.
        nonce: [u8; 32],
        /// For every tree and level the sums of the left and the right nodes, each under the pad of its transfer.
        sums: Words,
        /// For every tree the sum of its leaves and of the platform's share of the noise.
        leaves: Words,
        /// Commitment to the platform's share of the output coin.
        coin: Digest,
    },
    /// Vector OLE, fifth: hash of the platform's side of the check.
    Checked {
        /// Number of the shard.
        shard: u32,
        /// The hash.
        hash: Digest,
    },
    /// Vector OLE, last: the platform's share of the output coin.
    Coin {
        /// Number of the shard.
        shard: u32,
        /// The share that was committed to.
        coin: [u8; 32],
    },
}

/// Bank to platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToPlatform {
    /// 2HashDH: a batch of blinded identifiers.
    Blinded {
        /// Number of the batch, from 0.
        chunk: u32,
        /// At most [`CHUNK`] points.
        points: Vec<Point>,
    },
    /// 2HashDH: no batch follows.
    BlindedAll,
    /// Vector OLE, before the first step: how many identifiers the bank's stores will have room for.
    Capacity {
        /// At most the contract's cap.
        identifiers: u64,
    },
    /// Vector OLE, second: the answer to the base transfers and their extension.
    Transfers {
        /// Number of the shard.
        shard: u32,
        /// The answer.
        answer: Point,
        /// The bank's share of the public randomness.
        nonce: [u8; 32],
        /// The extension.
        corrections: Corrections,
    },
    /// Vector OLE, fourth: the point of the check, and the masked noise at that point.
    Challenge {
        /// Number of the shard.
        shard: u32,
        /// Where both sides evaluate their vectors.
        point: Block,
        /// The noise there, masked.
        masked: Block,
    },
    /// Vector OLE, sixth, in several messages: the encoded set under the bank's vector.
    Vector {
        /// Number of the shard.
        shard: u32,
        /// Place of the first word.
        offset: u64,
        /// The words.
        words: Words,
    },
    /// Vector OLE, seventh: the bank's share of the output coin, once its vector is fixed.
    Coin {
        /// Number of the shard.
        shard: u32,
        /// The share.
        coin: [u8; 32],
    },
}

/// Field elements, sixteen little-endian bytes each on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(pub Vec<Block>);

impl Serialize for Words {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|word| word.to_le_bytes()).collect();
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match <&[u8]>::deserialize(deserializer)?.as_chunks() {
            (words, []) => Ok(Self(words.iter().map(|word| u128::from_le_bytes(*word)).collect())),
            _ => Err(de::Error::custom("not a whole number of 16-byte words")),
        }
    }
}

/// How the peer, or the caller, broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misbehaved {
    /// More identifiers than the contract allows to evaluate.
    #[error("{asked} identifiers, the contract allows {cap}: raise its cap on evaluations or bring fewer")]
    OverCap {
        /// Asked so far, this batch included.
        asked: u64,
        /// The contract's cap.
        cap: u64,
    },
    /// The contract names a form of the vector OLE that no run uses any more.
    #[error(
        "the engine `vole` was withdrawn, since what a bank sends in it shows which enterprises it holds: both sides take a release \
         that has `vole-v2`, or agree on `2hashdh`"
    )]
    Withdrawn,
    /// Fewer identifiers than the floor of a count.
    #[error("{asked} identifiers, a count needs {floor} so that it tells nothing of single enterprises")]
    BelowFloor {
        /// Identifiers brought.
        asked: u64,
        /// The agreed floor.
        floor: u64,
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
        reason: OprfError,
    },
    /// The announcement lacks what the contract's engine needs.
    #[error("the announcement does not fit the contract's engine")]
    Announcement,
    /// A message that this step does not foresee.
    #[error("sent `{0}` where the protocol does not foresee it: it was repeated, lost or reordered")]
    Unforeseen(&'static str),
    /// A message of the vector OLE has another size than the contract demands.
    #[error("`{0}` does not have the size that the contract demands")]
    Size(&'static str),
    /// The oblivious transfers do not hold together.
    #[error(transparent)]
    Transfers(#[from] ExtensionError),
    /// A share does not open its commitment.
    #[error("the share in `{0}` does not open the commitment that was sent before")]
    Opening(&'static str),
    /// The trees do not hold together.
    #[error("the trees of shard {0} do not hold together")]
    Check(u32),
    /// The set cannot be encoded.
    #[error("the set cannot be encoded: {0}")]
    Encoding(#[from] OkvsError),
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

impl ToBank {
    /// The message's name, for errors.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Announce(_) => "announce",
            Self::Evaluated { .. } => "evaluated",
            Self::Bases { .. } => "bases",
            Self::Trees { .. } => "trees",
            Self::Checked { .. } => "checked",
            Self::Coin { .. } => "coin",
        }
    }
}

impl ToPlatform {
    /// The message's name, for errors.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Blinded { .. } => "blinded",
            Self::BlindedAll => "blinded-all",
            Self::Capacity { .. } => "capacity",
            Self::Transfers { .. } => "transfers",
            Self::Challenge { .. } => "challenge",
            Self::Vector { .. } => "vector",
            Self::Coin { .. } => "coin",
        }
    }
}
