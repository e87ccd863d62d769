//! The witness's side.
//!
//! The new state is a value that has to be persisted before the answer can be had: [`Pending`] gives the answer only out of
//! [`Pending::persist`]. While it lives the witness is borrowed, so that no second request is judged by the state before.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;

use super::messages::{AddCheckpoint, Answer};
use crate::note::{Checkpoint, Note, NoteError, SignatureLine, Signer, Verifier, VerifierKey, standard_verifier};
use tally_crypto::merkle::verify_consistency;

/// A log that a witness cosigns for, by its origin and one of its keys.
pub struct LogKey {
    origin: String,
    verifier: Box<dyn Verifier>,
}

impl LogKey {
    /// The log that `key` names.
    ///
    /// # Errors
    /// Fails if the key is of a type that this crate does not verify.
    pub fn new(key: &VerifierKey) -> Result<Self, NoteError> {
        let unknown = NoteError::Form("a log's key of a type that cannot be verified here");
        let verifier = standard_verifier(key).ok_or(unknown)?;
        Ok(Self { origin: key.name().into(), verifier })
    }
}

/// The last checkpoint that a witness has cosigned for a log: its whole memory of that log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// Name of the log.
    pub origin: String,
    /// Size of the tree.
    pub size: u64,
    /// Its root.
    pub root: Digest,
    /// When it was cosigned, in seconds since 1970.
    pub time: u64,
    /// The checkpoint with the log's signatures and the witness's own: what monitors may read.
    pub checkpoint: String,
}

/// A request that is not cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The answer to send.
    pub answer: Answer,
    /// Where the log has signed two histories, the proof of it.
    pub split_view: Option<SplitView>,
}

/// Two checkpoints, signed by the same log, of equal size and with different roots: no honest log has both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitView {
    /// The one that was cosigned.
    pub cosigned: String,
    /// The one that came later.
    pub refused: String,
}

impl SplitView {
    /// Name of the log.
    pub fn origin(&self) -> &str {
        self.cosigned.lines().next().unwrap_or_default()
    }
}

/// Cosigns the checkpoints of the logs that it knows.
pub struct Witness {
    signers: Vec<Box<dyn Signer>>,
    logs: Vec<LogKey>,
    seen: BTreeMap<String, Seen>,
}

/// A checkpoint that may be cosigned as soon as the state says so.
#[must_use = "the answer comes only out of `persist`"]
pub struct Pending<'a> {
    witness: &'a mut Witness,
    next: Seen,
    lines: Vec<SignatureLine>,
}

impl Witness {
    /// A witness with one or more keys, the logs it knows, and what it has persisted.
    pub fn new(signers: Vec<Box<dyn Signer>>, logs: Vec<LogKey>, seen: impl IntoIterator<Item = Seen>) -> Self {
        let seen = seen.into_iter().map(|seen| (seen.origin.clone(), seen)).collect();
        Self { signers, logs, seen }
    }

    /// What it has cosigned last for a log.
    pub fn seen(&self, origin: &str) -> Option<&Seen> {
        self.seen.get(origin)
    }

    /// What monitors read at `<prefix>/<origin hash>/checkpoint`: the last checkpoint that was cosigned for the log with this
    /// SHA-256 of its origin.
    pub fn checkpoint(&self, origin_hash: &Digest) -> Option<&str> {
        let mut seen = self.seen.values();
        seen.find(|seen| Digest::of_bytes(seen.origin.as_bytes()) == *origin_hash).map(|seen| seen.checkpoint.as_str())
    }

    /// Judges a request; `now` in seconds since 1970.
    ///
    /// # Errors
    /// Refuses with the answer to send.
    pub fn add_checkpoint(&mut self, body: &[u8], now: u64) -> Result<Pending<'_>, Refusal> {
        let request = AddCheckpoint::parse(body).map_err(|_| Answer::Malformed)?;
        let checkpoint = Checkpoint::parse(request.checkpoint.text()).map_err(|_| Answer::Malformed)?;
        let signed = self.signed_by_log(&request.checkpoint, &checkpoint.origin)?;
        let seen = self.seen.get(&checkpoint.origin);
        judge(&request, &signed, &checkpoint, seen)?;
        // A clock that goes back must not make an older statement of a newer tree.
        let time = now.max(seen.map_or(1, |seen| seen.time));
        let mut note = signed;
        for signer in &self.signers {
            note.sign(signer.as_ref(), time);
        }
        let lines = note.signatures.iter().filter(|line| self.is_mine(line)).cloned().collect();
        let Checkpoint { origin, size, root, .. } = checkpoint;
        let next = Seen { origin, size, root, time, checkpoint: note.to_string() };
        Ok(Pending { witness: self, next, lines })
    }

    /// The note with the log's own signatures only, all of which hold.
    fn signed_by_log(&self, note: &Note, origin: &str) -> Result<Note, Answer> {
        let keys: Vec<_> = self.logs.iter().filter(|log| log.origin == origin).map(|log| &log.verifier).collect();
        if keys.is_empty() {
            return Err(Answer::Unknown);
        }
        let mut signed = Note::new(note.text().into()).map_err(|_| Answer::Malformed)?;
        for key in keys {
            if note.verify_one(key.as_ref()).map_err(|_| Answer::Forbidden)?.is_some() {
                let line = note.signatures.iter().find(|line| line.name == key.name() && line.id == key.id());
                line.into_iter().for_each(|line| signed.add(line.clone()));
            }
        }
        if signed.signatures.is_empty() { Err(Answer::Forbidden) } else { Ok(signed) }
    }

    fn is_mine(&self, line: &SignatureLine) -> bool {
        self.signers.iter().any(|signer| signer.name() == line.name && signer.id() == line.id)
    }
}

/// The checks of the standard, in its order; `signed` is the request's checkpoint under the log's own signatures.
fn judge(request: &AddCheckpoint, signed: &Note, new: &Checkpoint, seen: Option<&Seen>) -> Result<(), Refusal> {
    if request.old > new.size {
        return Err(Answer::Malformed.into());
    }
    let (size, root) = seen.map_or((0, Digest::of_bytes(b"")), |seen| (seen.size, seen.root));
    let two_roots = seen.filter(|seen| seen.size == new.size && seen.root != new.root);
    let split_view = two_roots.map(|seen| SplitView { cosigned: seen.checkpoint.clone(), refused: signed.to_string() });
    if request.old != size {
        return Err(Refusal { answer: Answer::Conflict(size), split_view });
    }
    if verify_consistency((size, &root), (new.size, &new.root), &request.proof) {
        Ok(())
    } else {
        Err(Refusal { answer: Answer::Inconsistent, split_view })
    }
}

impl From<Answer> for Refusal {
    fn from(answer: Answer) -> Self {
        Self { answer, split_view: None }
    }
}

impl Pending<'_> {
    /// The state to persist.
    pub fn next(&self) -> &Seen {
        &self.next
    }

    /// Has `write` make the new state durable; only then the answer exists and the next request is judged by it.
    ///
    /// # Errors
    /// Passes on the failure of `write`; the witness has then cosigned nothing.
    pub fn persist<E>(self, write: impl FnOnce(&Seen) -> Result<(), E>) -> Result<Answer, E> {
        write(&self.next)?;
        self.witness.seen.insert(self.next.origin.clone(), self.next);
        Ok(Answer::Cosigned(self.lines))
    }
}
