//! Every version of the list that a node has taken in.

use std::collections::BTreeMap;

use tally_crypto::transcript::Digest;

use super::SignedList;

/// Versions of the list, none of which is ever forgotten.
#[derive(Clone, Debug, Default)]
pub struct ListHistory {
    versions: BTreeMap<u32, SignedList>,
}

/// Why a version is not taken in, or not found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// A newer one is in force.
    #[error(
        "version {version} is not newer than version {newest}, which is in force: ask the list authority for a new version"
    )]
    Older {
        /// The version offered.
        version: u32,
        /// The version in force.
        newest: u32,
    },
    /// The version is known with other content: the authority has signed two lists under one number.
    #[error("version {version} is here with other content: ask the list authority for a new version")]
    OtherContent {
        /// The version.
        version: u32,
    },
    /// No list was taken in.
    #[error("there is no sharing list here: import it with `tallystick list import`")]
    Empty,
    /// The version is not here.
    #[error("version {version} of the sharing list is not here, only {}", shown(.known))]
    Unknown {
        /// The version.
        version: u32,
        /// The versions that are here.
        known: Vec<u32>,
    },
}

fn shown(versions: &[u32]) -> String {
    let versions: Vec<_> = versions.iter().map(ToString::to_string).collect();
    if versions.is_empty() { "none".into() } else { versions.join(", ") }
}

impl ListHistory {
    /// Whether a list can be taken in: it is newer than all, or a version that is here already.
    ///
    /// # Errors
    /// Names the version that stands against it.
    pub fn admits(&self, list: &SignedList) -> Result<(), HistoryError> {
        let version = list.version();
        if let Some(known) = self.versions.get(&version) {
            let same = known.digest() == list.digest();
            return if same { Ok(()) } else { Err(HistoryError::OtherContent { version }) };
        }
        match self.newest() {
            Ok(newest) if newest.version() > version => Err(HistoryError::Older { version, newest: newest.version() }),
            _ => Ok(()),
        }
    }

    /// Takes a list in.
    ///
    /// # Errors
    /// Those of [`Self::admits`].
    pub fn add(&mut self, list: SignedList) -> Result<(), HistoryError> {
        self.admits(&list)?;
        self.versions.insert(list.version(), list);
        Ok(())
    }

    /// The version in force for new sessions.
    ///
    /// # Errors
    /// Fails without lists.
    pub fn newest(&self) -> Result<&SignedList, HistoryError> {
        self.versions.values().next_back().ok_or(HistoryError::Empty)
    }

    /// One version.
    ///
    /// # Errors
    /// Names the versions that are here.
    pub fn version(&self, version: u32) -> Result<&SignedList, HistoryError> {
        let known = || self.versions.keys().copied().collect();
        self.versions.get(&version).ok_or_else(|| HistoryError::Unknown { version, known: known() })
    }

    /// The version that a contract is pinned to: number and content.
    ///
    /// # Errors
    /// Fails where the number is not here, or stands for another content.
    pub fn pinned(&self, version: u32, digest: &Digest) -> Result<&SignedList, HistoryError> {
        let list = self.version(version)?;
        if list.digest() == *digest { Ok(list) } else { Err(HistoryError::OtherContent { version }) }
    }

    /// All versions, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &SignedList> {
        self.versions.values()
    }
}
