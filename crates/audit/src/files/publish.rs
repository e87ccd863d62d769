//! Publication: from stored entries to tiles and checkpoint.

use std::io;
use std::path::{Path, PathBuf};

use tally_crypto::sign::{SigningKey, VerifyKey};
use tally_crypto::transcript::Digest;

use super::folder::{Folder, STAGED};
use super::group::{Group, named, replace};
use super::tiles::{Edge, Kind, Tile, frame};
use crate::note::{Checkpoint, Note, NoteError};
use tally_crypto::merkle::leaf_hash;

/// Where a log's checkpoint lies.
const CHECKPOINT: &str = "checkpoint";

/// Why a log was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A file could not be read or written.
    #[error("{}: {error}", .path.display())]
    File {
        /// The file, below the log's directory.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The checkpoint that lies there is not this log's.
    #[error("checkpoint: {0}: if the file was damaged, move it away, and it is written again")]
    Checkpoint(#[from] NoteError),
    /// The published log is longer than the stored one.
    #[error("the published log has {published} entries, the store {stored}: restore a later copy of the store")]
    Behind {
        /// Entries under the published checkpoint.
        published: u64,
        /// Entries in the store.
        stored: u64,
    },
    /// The published log does not begin as the stored one.
    #[error("the first {0} entries of the store are not those of the published checkpoint: restore the right store")]
    Fork(u64),
    /// The entries that were given are not the ledger's.
    #[error("the entries to publish are not those that became durable")]
    Root,
}

/// What a node must know of its published log to go on with it: the right edge, and the entries of the last bundle.
///
/// A publisher that has failed is as it was before; the files may be ahead of the checkpoint.
#[derive(Clone, Debug)]
pub struct Publisher {
    edge: Edge,
    bundle: Vec<u8>,
    /// The last checkpoint; nothing is signed that does not go on from it.
    last: Option<(u64, Digest)>,
    /// Tiles that became full since, whose partial ones are of no use any more.
    filled: Vec<Tile>,
}

impl Publisher {
    /// A publisher that has to be given all entries again; it repairs files that are not what they should be.
    ///
    /// # Errors
    /// Fails if a checkpoint lies there that `key` has not signed for the log `origin`.
    pub fn resume(folder: &dyn Folder, origin: &str, key: &VerifyKey) -> Result<Self, PublishError> {
        let staged = Path::new(STAGED);
        folder.remove(staged).map_err(|error| named(staged, error))?;
        let last = read_checkpoint(folder, origin, key)?.map(|(_, checkpoint)| (checkpoint.size, checkpoint.root));
        Ok(Self { edge: Edge::default(), bundle: Vec::new(), last, filled: Vec::new() })
    }

    /// Entries that were taken so far: the next one to give.
    pub fn size(&self) -> u64 {
        self.edge.size()
    }

    /// Entries under the checkpoint.
    pub fn published(&self) -> u64 {
        self.last.map_or(0, |(size, _)| size)
    }

    /// Takes the entries that follow and writes the tiles that they fill, all made durable together.
    ///
    /// # Errors
    /// Names the file that cannot be written, or says that the published log is another one.
    pub fn append(&mut self, folder: &dyn Folder, entries: &[Vec<u8>]) -> Result<(), PublishError> {
        let mut next = self.clone();
        let mut group = Group::new(folder);
        for entry in entries {
            next.take(&mut group, entry)?;
        }
        group.reveal()?;
        *self = next;
        Ok(())
    }

    fn take(&mut self, group: &mut Group<'_>, entry: &[u8]) -> Result<(), PublishError> {
        frame(&mut self.bundle, entry);
        let (bundle, filled) = (&mut self.bundle, &mut self.filled);
        self.edge.append(leaf_hash(entry), |tile, hashes| {
            if tile.kind == Kind::Hashes(0) {
                let entries = Tile { kind: Kind::Entries, ..tile };
                group.put(&entries.path(), bundle)?;
                bundle.clear();
                filled.push(entries);
            }
            filled.push(tile);
            group.put(&tile.path(), &concat(hashes))
        })?;
        match self.last {
            Some((size, root)) if size == self.edge.size() && root != self.edge.root() => Err(PublishError::Fork(size)),
            _ => Ok(()),
        }
    }

    /// Writes what is not full, and the checkpoint over everything that was taken; `root` is the ledger's.
    ///
    /// A checkpoint of the same size is left as it lies, with the cosignatures that it may have.
    ///
    /// # Errors
    /// Names the file that cannot be written, or says why the checkpoint must not be signed.
    pub fn seal(
        &mut self,
        folder: &dyn Folder,
        origin: &str,
        root: Digest,
        key: &SigningKey,
    ) -> Result<(), PublishError> {
        let size = self.edge.size();
        if self.edge.root() != root {
            return Err(PublishError::Root);
        }
        if let Some((published, _)) = self.last.filter(|(published, _)| *published > size) {
            return Err(PublishError::Behind { published, stored: size });
        }
        let mut group = Group::new(folder);
        for (tile, hashes) in self.edge.partials() {
            if tile.kind == Kind::Hashes(0) {
                group.put(&Tile { kind: Kind::Entries, ..tile }.path(), &self.bundle)?;
            }
            group.put(&tile.path(), &concat(hashes))?;
        }
        group.reveal()?;
        if self.last.is_none_or(|(published, _)| published < size) {
            let checkpoint = Checkpoint::new(origin, size, root).sign(key);
            replace(folder, Path::new(CHECKPOINT), checkpoint.as_bytes())?;
        }
        self.last = Some((size, root));
        for tile in self.filled.drain(..) {
            folder.remove(&tile.partials()).map_err(|error| named(&tile.partials(), error))?;
        }
        Ok(())
    }
}

/// The checkpoint that lies in `folder`, as a note and as what it states; `None` if there is none.
///
/// # Errors
/// Fails if it cannot be read, or `key` has not signed it for the log `origin`.
pub fn read_checkpoint(
    folder: &dyn Folder,
    origin: &str,
    key: &VerifyKey,
) -> Result<Option<(Note, Checkpoint)>, PublishError> {
    let path = Path::new(CHECKPOINT);
    let bytes = match folder.read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(|error| named(path, error))?,
    };
    let text = String::from_utf8(bytes).map_err(|_| NoteError::Form("not UTF-8"))?;
    let note = Note::parse(&text)?;
    let checkpoint = Checkpoint::open_note(&note, origin, key)?;
    if checkpoint.origin != origin {
        return Err(NoteError::Form("the checkpoint of another log").into());
    }
    Ok(Some((note, checkpoint)))
}

/// Puts a checkpoint with further signatures in the place of the one that states the same.
///
/// # Errors
/// Fails if the published checkpoint is another one by now, or cannot be written.
pub fn write_cosigned(folder: &dyn Folder, origin: &str, key: &VerifyKey, note: &Note) -> Result<(), PublishError> {
    let other = || NoteError::Form("the published checkpoint states something else than the cosigned one");
    let known = read_checkpoint(folder, origin, key)?.ok_or_else(other)?;
    Checkpoint::open_note(note, origin, key)?;
    if known.0.text() != note.text() {
        return Err(other().into());
    }
    replace(folder, Path::new(CHECKPOINT), note.to_string().as_bytes())
}

fn concat(hashes: &[Digest]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}
