//! Files that appear together.

use std::io;
use std::path::{Path, PathBuf};

use super::folder::Folder;
use super::publish::PublishError;

/// Files that become visible together, after all of them are durable.
pub struct Group<'a> {
    folder: &'a dyn Folder,
    staged: Vec<PathBuf>,
}

impl<'a> Group<'a> {
    /// No files yet.
    pub fn new(folder: &'a dyn Folder) -> Self {
        Self { folder, staged: Vec::new() }
    }

    /// How many files wait.
    pub fn len(&self) -> usize {
        self.staged.len()
    }

    /// True if none waits.
    pub fn is_empty(&self) -> bool {
        self.staged.is_empty()
    }

    /// Stages a file unless it holds these bytes already.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn put(&mut self, path: &Path, bytes: &[u8]) -> Result<(), PublishError> {
        if self.folder.read(path).is_ok_and(|known| known == bytes) {
            return Ok(());
        }
        self.folder.stage(path, bytes).map_err(|error| named(path, error))?;
        self.staged.push(path.into());
        Ok(())
    }

    /// Puts all that were staged in their places, durably.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn reveal(&mut self) -> Result<(), PublishError> {
        let Some(first) = self.staged.first().cloned() else { return Ok(()) };
        let sync = || self.folder.sync().map_err(|error| named(&first, error));
        sync()?;
        for path in self.staged.drain(..) {
            self.folder.reveal(&path).map_err(|error| named(&path, error))?;
        }
        sync()
    }
}

/// Puts one file in its place, whole and durable.
///
/// # Errors
/// Names the file if it cannot be written.
pub fn replace(folder: &dyn Folder, path: &Path, bytes: &[u8]) -> Result<(), PublishError> {
    let mut group = Group::new(folder);
    group.put(path, bytes)?;
    group.reveal()
}

pub(super) fn named(path: &Path, error: io::Error) -> PublishError {
    PublishError::File { path: path.into(), error }
}
