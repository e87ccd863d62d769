//! Where things lie in a node's directory.

use std::path::{Path, PathBuf};

/// A node's directory.
#[derive(Clone, Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// The directory at `path`.
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// `node.toml`.
    pub(crate) fn config(&self) -> PathBuf {
        self.0.join("node.toml")
    }

    /// The folder of keys, for its owner only.
    pub(crate) fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// The node's sealed secrets.
    pub(crate) fn node_keys(&self) -> PathBuf {
        self.keys().join("node.keys")
    }

    /// An operator's sealed key.
    pub(crate) fn operator_key(&self, name: &str) -> PathBuf {
        self.keys().join(format!("operator-{name}.key"))
    }

    /// The store.
    pub(crate) fn store(&self) -> PathBuf {
        self.0.join("store.sqlite")
    }

    /// The transparency log.
    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// The log's verifier key.
    pub(crate) fn log_vkey(&self) -> PathBuf {
        self.0.join("log.vkey")
    }

    /// The verifier key of this node as a witness of other logs.
    pub(crate) fn witness_vkey(&self) -> PathBuf {
        self.0.join("witness.vkey")
    }

    /// The key of the consortium that this node is pinned to, where `node.toml` names none.
    pub(crate) fn consortium_key(&self) -> PathBuf {
        self.0.join("consortium.key")
    }

    /// What the consortium needs to issue a certificate.
    pub(crate) fn request(&self) -> PathBuf {
        self.0.join("request.json")
    }

    /// A file named in `node.toml`: relative paths start here.
    pub(crate) fn resolve(&self, path: &Path) -> PathBuf {
        self.0.join(path)
    }
}
