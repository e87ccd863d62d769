//! Two histories of one log: the proof that convicts it.

use std::path::{Path, PathBuf};

use tally_audit::files::{Directory, replace};
use tally_audit::witness::SplitView;
use tally_crypto::transcript::Digest;

use crate::failure::{self, Failure};

/// Keeps the proof in `folder`, durably, unless there is one against this log: a log can sign any number of histories, and two
/// convict it. The new file, if it is one.
///
/// # Errors
/// Names the file if it cannot be written.
pub(crate) fn keep_proof(folder: &Path, split: &SplitView) -> Result<Option<PathBuf>, Failure> {
    let name = format!("split-view-{}.json", Digest::of_bytes(split.origin().as_bytes()));
    let path = folder.join(&name);
    if path.exists() {
        return Ok(None);
    }
    let text = serde_json::to_string_pretty(split).map_err(failure::internal)?;
    replace(&Directory::new(folder), Path::new(&name), text.as_bytes())
        .map_err(|error| failure::unwritable(format!("{}: {error}", folder.display())))?;
    tracing::error!(proof = %path.display(), log = split.origin(), "a log has signed two histories");
    Ok(Some(path))
}
