//! One log against its own rules: tree, signature, schema, order. A changed byte anywhere is found and named.
//!
//! Tiles are read one at a time: memory does not grow with the log, unless the entries are kept.

mod order;
#[cfg(test)]
mod tests;
mod tree;
mod trust;

use std::path::{Path, PathBuf};

use tally_crypto::transcript::Digest;

use crate::entry::Entry;
use crate::files::{Directory, Folder};
use crate::note::{Checkpoint, Note};
use crate::policy::Cosigned;
use crate::registry::Registry;

pub use order::Order;
pub use trust::Trust;

/// A log that holds.
#[derive(Clone, Debug)]
pub struct VerifiedLog {
    /// Whose.
    pub party: String,
    /// Its entries, in order.
    pub entries: Vec<Entry>,
    /// Their leaf hashes.
    pub leaves: Vec<Digest>,
    /// The root that was signed.
    pub root: Digest,
}

/// A tree that holds, whatever its entries say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedTree {
    /// The signed note.
    pub note: Note,
    /// What it states.
    pub checkpoint: Checkpoint,
    /// The witnesses of the policy that have cosigned it; empty without a policy.
    pub cosigned: Vec<Cosigned>,
    /// Durable entries whose checkpoint was not signed yet when the files were copied.
    pub ahead: u64,
}

/// What does not hold in a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", .file.display())]
pub struct VerifyError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// Verifies the log in `directory`, which is a node's directory, a copy of it, or the log itself, and keeps its entries.
///
/// # Errors
/// Names the file, and the entry where there is one.
pub fn verify_log(directory: &Path, registry: &Registry) -> Result<VerifiedLog, VerifyError> {
    verify_under(directory, Trust { registry: Some(registry), policy: None }).map(|(log, _)| log)
}

/// As [`verify_log`], under whatever the reader trusts.
///
/// # Errors
/// Names the file, and the entry where there is one.
pub fn verify_under(directory: &Path, trust: Trust<'_>) -> Result<(VerifiedLog, VerifiedTree), VerifyError> {
    let log = log_folder(directory);
    let (mut entries, mut leaves) = (Vec::new(), Vec::new());
    let mut order = Order::default();
    let tree = verify_tree(&Directory::new(&log), trust, &mut |bytes, leaf| {
        entries.push(order.next(bytes, leaf)?);
        leaves.push(*leaf);
        Ok(())
    });
    let tree = tree.map_err(|error| VerifyError { file: log.join(error.file), ..error })?;
    let party = tree.checkpoint.origin.clone();
    if order.node().is_some_and(|node| node != party) {
        let reason = format!("the entries are those of another node than `{party}`");
        return Err(VerifyError { file: log.join("tile/entries"), reason });
    }
    Ok((VerifiedLog { party, entries, leaves, root: tree.checkpoint.root }, tree))
}

/// The log's own folder of a node's directory, or the directory itself.
pub fn log_folder(directory: &Path) -> PathBuf {
    let inner = directory.join("log");
    if inner.is_dir() { inner } else { directory.into() }
}

/// Is shown each entry with its leaf hash, in order; says what is wrong with one.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], &Digest) -> Result<(), String>;

/// Verifies checkpoint, tiles and bundles, and shows each entry under the checkpoint with its leaf hash to `visit`.
///
/// # Errors
/// Names the file below the folder; passes on what `visit` finds wrong with an entry.
pub fn verify_tree(folder: &dyn Folder, trust: Trust<'_>, visit: Visit<'_>) -> Result<VerifiedTree, VerifyError> {
    tree::verify(folder, trust, visit)
}

fn wrong(file: impl Into<PathBuf>, reason: impl ToString) -> VerifyError {
    VerifyError { file: file.into(), reason: reason.to_string() }
}
