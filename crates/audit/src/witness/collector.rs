//! The log's side: collects cosignatures until the policy's quorum holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tally_crypto::transcript::Digest;

use super::messages::{AddCheckpoint, Answer};
use crate::note::{Checkpoint, Note, NoteError};
use crate::policy::{Policy, PolicyError, Witnessed};

/// A checkpoint on its way to its quorum.
pub struct Collector {
    policy: Arc<Policy>,
    checkpoint: Checkpoint,
    note: Note,
    /// Of each witness, the size that it is thought to have cosigned last; worth keeping for the next checkpoint.
    known: BTreeMap<String, u64>,
    /// Witnesses that have said which size they know.
    corrected: BTreeSet<String>,
}

/// What to do next with a witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It has cosigned.
    Cosigned,
    /// Ask it again: it knows another size than was thought.
    Again,
}

/// Why a witness did not cosign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CollectorError {
    /// The policy does not name it.
    #[error("the policy names no witness `{0}`")]
    Stranger(String),
    /// It refused.
    #[error("witness `{witness}` refused with status {status}")]
    Refused {
        /// Which.
        witness: String,
        /// Status of its answer.
        status: u16,
    },
    /// It has cosigned a longer log: a later checkpoint was sent before this one, or this log has lost entries.
    #[error("witness `{witness}` has cosigned {seen} entries already, this checkpoint has {size}")]
    Ahead {
        /// Which.
        witness: String,
        /// What it has cosigned.
        seen: u64,
        /// What was sent.
        size: u64,
    },
    /// It names an old size for the second time, or its answer holds no signature of its own.
    #[error("witness `{0}` answered with nothing that helps")]
    Useless(String),
    /// Its cosignature is wrong.
    #[error("witness `{witness}`: {error}")]
    Note {
        /// Which.
        witness: String,
        /// What is wrong.
        error: NoteError,
    },
}

impl Collector {
    /// Begins with a checkpoint that the log has signed, and what is known of the witnesses.
    ///
    /// # Errors
    /// Fails if the text is no checkpoint.
    pub fn new(policy: &Arc<Policy>, note: Note, known: BTreeMap<String, u64>) -> Result<Self, NoteError> {
        let (policy, checkpoint) = (policy.clone(), Checkpoint::parse(note.text())?);
        Ok(Self { policy, checkpoint, note, known, corrected: BTreeSet::new() })
    }

    /// The request to a witness; `proof` gives the consistency proof from the first size to the second, from the log's tiles.
    ///
    /// # Errors
    /// Passes on the error of `proof`.
    pub fn request<E>(
        &self,
        witness: &str,
        proof: impl FnOnce(u64, u64) -> Result<Vec<Digest>, E>,
    ) -> Result<AddCheckpoint, E> {
        let size = self.checkpoint.size;
        let old = self.known.get(witness).copied().unwrap_or(0).min(size);
        Ok(AddCheckpoint { old, proof: proof(old, size)?, checkpoint: self.note.clone() })
    }

    /// Takes the answer of a witness to the last request.
    ///
    /// # Errors
    /// Says why it has not cosigned; the others may still suffice.
    pub fn answer(&mut self, witness: &str, answer: Answer) -> Result<Progress, CollectorError> {
        let size = self.checkpoint.size;
        let useless = || CollectorError::Useless(witness.into());
        match answer {
            Answer::Cosigned(lines) => self.cosigned(witness, lines),
            Answer::Conflict(seen) if seen > size => Err(CollectorError::Ahead { witness: witness.into(), seen, size }),
            // Told twice: it does not accept what it asks for.
            Answer::Conflict(_) if !self.corrected.insert(witness.into()) => Err(useless()),
            Answer::Conflict(seen) => {
                self.known.insert(witness.into(), seen);
                Ok(Progress::Again)
            }
            refused => Err(CollectorError::Refused { witness: witness.into(), status: refused.status() }),
        }
    }

    fn cosigned(&mut self, witness: &str, lines: Vec<crate::note::SignatureLine>) -> Result<Progress, CollectorError> {
        let key = self.policy.witnesses().find(|(name, ..)| name == witness).map(|(_, key, _)| key);
        let key = key.ok_or_else(|| CollectorError::Stranger(witness.into()))?;
        let mine = lines.into_iter().find(|line| line.name == key.name() && line.id == key.id());
        let mut note = self.note.clone();
        note.add(mine.ok_or_else(|| CollectorError::Useless(witness.into()))?);
        let wrong = |error| CollectorError::Note { witness: witness.into(), error };
        let holds = self.policy.cosignatures(&note).map_err(wrong)?;
        if !holds.iter().any(|one| one.witness == witness) {
            return Err(CollectorError::Useless(witness.into()));
        }
        self.known.insert(witness.into(), self.checkpoint.size);
        self.note = note;
        Ok(Progress::Cosigned)
    }

    /// The checkpoint, once the quorum holds.
    ///
    /// # Errors
    /// Says who has cosigned so far, or that the policy does not know the log.
    pub fn witnessed(&self) -> Result<Witnessed, PolicyError> {
        self.policy.check(&self.note)
    }

    /// The checkpoint with the cosignatures so far.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// The sizes that the witnesses are known to have cosigned, by name.
    pub fn known(&self) -> &BTreeMap<String, u64> {
        &self.known
    }
}
