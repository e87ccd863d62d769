//! Request and answer of `add-checkpoint`, byte for byte.

use tally_crypto::transcript::Digest;

use crate::note::{Note, NoteError, SignatureLine, hash_line, parse_decimal, parse_hash};
use tally_crypto::merkle::LONGEST_PROOF;

/// Media type of the body of an answer 409.
pub const SIZE_TYPE: &str = "text/x.tlog.size";

/// Longest request that is read, in bytes.
const LONGEST: usize = 1 << 20;

/// A log asks a witness to cosign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Size of the checkpoint that the witness has cosigned last; 0 for none.
    pub old: u64,
    /// Proof that the tree goes on from there (RFC 6962, section 2.1.2).
    pub proof: Vec<Digest>,
    /// The checkpoint, signed by the log.
    pub checkpoint: Note,
}

/// What a witness answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200: cosignatures.
    Cosigned(Vec<SignatureLine>),
    /// 400: malformed, or the old size is larger than the new one.
    Malformed,
    /// 403: no signature of a key that the witness trusts for this log, or a wrong one.
    Forbidden,
    /// 404: the witness does not know this log.
    Unknown,
    /// 409: the witness has cosigned a checkpoint of this size last.
    Conflict(u64),
    /// 422: the checkpoint does not go on from the one that the witness has cosigned last.
    Inconsistent,
}

/// Why a request or an answer could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Not of the form of a request.
    #[error("not a request to cosign: {0}")]
    Request(&'static str),
    /// Its checkpoint is malformed.
    #[error("the checkpoint: {0}")]
    Note(#[from] NoteError),
    /// Not an answer of the protocol.
    #[error("the witness answered with status {status} and a body that does not belong to it")]
    Answer {
        /// Status of the answer.
        status: u16,
    },
}

impl AddCheckpoint {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// Says what is malformed.
    pub fn parse(body: &[u8]) -> Result<Self, MessageError> {
        let wrong = MessageError::Request;
        let text = std::str::from_utf8(body).map_err(|_| wrong("not UTF-8"))?;
        if text.len() > LONGEST {
            return Err(wrong("longer than a mebibyte"));
        }
        let (head, checkpoint) = text.split_once("\n\n").ok_or(wrong("no empty line before the checkpoint"))?;
        let mut lines = head.split('\n');
        let old =
            lines.next().and_then(|line| parse_decimal(line.strip_prefix("old ")?)).ok_or(wrong("no old size"))?;
        let proof = lines.map(parse_hash).collect::<Option<Vec<_>>>().ok_or(wrong("a line that is not a hash"))?;
        if proof.len() > LONGEST_PROOF {
            return Err(wrong("more than 63 hashes"));
        }
        Ok(Self { old, proof, checkpoint: Note::parse(checkpoint)? })
    }
}

impl std::fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.proof.iter().try_for_each(|hash| f.write_str(&hash_line(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl Answer {
    /// HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::Cosigned(_) => 200,
            Self::Malformed => 400,
            Self::Forbidden => 403,
            Self::Unknown => 404,
            Self::Conflict(_) => 409,
            Self::Inconsistent => 422,
        }
    }

    /// Media type of the body, where one is prescribed.
    pub fn content_type(&self) -> Option<&'static str> {
        matches!(self, Self::Conflict(_)).then_some(SIZE_TYPE)
    }

    /// Body; empty where none is prescribed.
    pub fn body(&self) -> String {
        match self {
            Self::Cosigned(lines) => lines.iter().map(ToString::to_string).collect(),
            Self::Conflict(size) => format!("{size}\n"),
            _ => String::new(),
        }
    }

    /// Reads an answer; the text that a server puts beside a refusal is not looked at.
    ///
    /// # Errors
    /// Fails for other statuses, and bodies that do not belong to theirs.
    pub fn parse(status: u16, content_type: Option<&str>, body: &[u8]) -> Result<Self, MessageError> {
        let wrong = || MessageError::Answer { status };
        let text = || std::str::from_utf8(body).map_err(|_| wrong());
        match status {
            200 => match SignatureLine::parse_all(text()?) {
                Ok(lines) if !lines.is_empty() => Ok(Self::Cosigned(lines)),
                _ => Err(wrong()),
            },
            400 => Ok(Self::Malformed),
            403 => Ok(Self::Forbidden),
            404 => Ok(Self::Unknown),
            409 if content_type == Some(SIZE_TYPE) => {
                let size = text()?.strip_suffix('\n').and_then(parse_decimal);
                size.map(Self::Conflict).ok_or_else(wrong)
            }
            422 => Ok(Self::Inconsistent),
            _ => Err(wrong()),
        }
    }
}
