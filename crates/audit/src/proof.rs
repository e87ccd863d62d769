//! Proofs that an entry is in a log, to take home (C2SP tlog-proof v1, files `*.tlog-proof`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tally_crypto::transcript::Digest;

use crate::note::{Note, NoteError, hash_line, parse_decimal, parse_hash};
use crate::policy::{Policy, PolicyError, Witnessed};
use tally_crypto::merkle::{LONGEST_PROOF, verify_inclusion};

#[cfg(test)]
mod tests;

/// First line of the format.
const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// A proof; nothing of it is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Bytes of whoever wrote the file; nothing authenticates them.
    pub extra: Option<Vec<u8>>,
    /// Place of the entry in the log.
    pub index: u64,
    /// Audit path, from the leaf upwards.
    pub path: Vec<Digest>,
    /// The checkpoint, with all its signatures.
    pub checkpoint: Note,
}

/// Why a proof was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Not of the form of a proof.
    #[error("not a proof: {0}")]
    Form(&'static str),
    /// The checkpoint is malformed.
    #[error("the checkpoint: {0}")]
    Note(#[from] NoteError),
    /// The checkpoint does not satisfy the policy.
    #[error("the checkpoint: {0}")]
    Policy(#[from] PolicyError),
    /// The path does not lead from the entry to the root.
    #[error("the path does not lead from this entry to the checkpoint's root")]
    Path,
}

impl Proof {
    /// Reads the text of a proof.
    ///
    /// # Errors
    /// Says what is malformed.
    pub fn parse(text: &str) -> Result<Self, ProofError> {
        let form = ProofError::Form;
        // The checkpoint has an empty line of its own; the first one ends the path.
        let (head, checkpoint) = text.split_once("\n\n").ok_or(form("no empty line before the checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(FIRST_LINE) {
            return Err(form("the first line is not that of the format"));
        }
        let extra = lines.next_if(|line| line.starts_with("extra ")).map(|line| BASE64.decode(&line[6..]));
        let extra = extra.transpose().map_err(|_| form("the extra data are not base64"))?;
        let index = lines.next().and_then(|line| parse_decimal(line.strip_prefix("index ")?));
        let index = index.ok_or(form("no index"))?;
        let path = lines.map(parse_hash).collect::<Option<Vec<_>>>().ok_or(form("a line that is not a hash"))?;
        if path.len() > LONGEST_PROOF {
            return Err(form("a path that is longer than any"));
        }
        Ok(Self { extra, index, path, checkpoint: Note::parse(checkpoint)? })
    }

    /// Verifies the proof for the entry with this leaf hash.
    ///
    /// # Errors
    /// Says whether the checkpoint or the path does not hold.
    pub fn verify(&self, leaf: &Digest, policy: &Policy) -> Result<Witnessed, ProofError> {
        let witnessed = policy.check(&self.checkpoint)?;
        let checkpoint = &witnessed.checkpoint;
        let holds = verify_inclusion(leaf, self.index, checkpoint.size, &self.path, &checkpoint.root);
        if holds { Ok(witnessed) } else { Err(ProofError::Path) }
    }
}

impl std::fmt::Display for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", BASE64.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.path.iter().try_for_each(|hash| f.write_str(&hash_line(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}
