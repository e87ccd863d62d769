//! A node's secrets: one file, sealed under the operator's passphrase; and the operators' own signing keys.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tally_audit::note::Cosigner;
use tally_crypto::seal;
use tally_crypto::seed::Seed;
use tally_crypto::sign::SigningKey;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::failure::{self, Failure};

/// Everything secret that a node keeps.
pub(crate) struct NodeKeys {
    root: Seed,
    /// Private key of the node's certificate, PEM.
    pub(crate) tls_key: Zeroizing<String>,
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct Secrets {
    root: [u8; 32],
    tls_key: String,
}

/// A sealed key file: JSON, so that a person can see what it is.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    format: String,
    salt: String,
    sealed: String,
}

const NODE_FORMAT: &str = "tallystick-node-keys-v1 (AES-256-GCM under Argon2id)";
const WITNESS_FORMAT: &str = "tallystick-witness-key-v1 (AES-256-GCM under Argon2id)";
const OPERATOR_FORMAT: &str = "tallystick-operator-key-v1 (AES-256-GCM under Argon2id)";

impl NodeKeys {
    /// Fresh keys around the given certificate key.
    ///
    /// # Errors
    /// Fails if the operating system gives no randomness.
    pub(crate) fn generate(tls_key: String) -> Result<Self, Failure> {
        let root = Seed::from_os().map_err(failure::internal)?;
        Ok(Self { root, tls_key: Zeroizing::new(tls_key) })
    }

    /// Reads the file.
    ///
    /// # Errors
    /// Names the file if it cannot be read, or says that the passphrase is wrong.
    pub(crate) fn read(path: &Path, passphrase: &[u8]) -> Result<Self, Failure> {
        let bytes = Zeroizing::new(open_file(path, NODE_FORMAT, passphrase)?);
        let secrets: Secrets = postcard::from_bytes(&bytes).map_err(|_| damaged(path))?;
        Ok(Self { root: Seed::new(secrets.root), tls_key: Zeroizing::new(secrets.tls_key.clone()) })
    }

    /// Writes the file, readable by its owner only; an existing file is never overwritten.
    ///
    /// # Errors
    /// Names the file.
    pub(crate) fn write(&self, path: &Path, passphrase: &[u8]) -> Result<(), Failure> {
        let secrets = Secrets { root: *self.root.expose(), tls_key: self.tls_key.to_string() };
        let bytes = Zeroizing::new(postcard::to_allocvec(&secrets).map_err(failure::internal)?);
        seal_file(path, NODE_FORMAT, passphrase, &bytes)
    }

    /// Signs contracts and rounds.
    pub(crate) fn signing(&self) -> SigningKey {
        SigningKey::from_seed(&self.root.derive("node/signing", &[]))
    }

    /// Signs checkpoints.
    pub(crate) fn log(&self) -> SigningKey {
        SigningKey::from_seed(&self.root.derive("node/log", &[]))
    }

    /// Cosigns checkpoints of other logs.
    pub(crate) fn witness(&self) -> SigningKey {
        SigningKey::from_seed(&self.root.derive("node/witness", &[]))
    }

    /// Seals the store's columns.
    pub(crate) fn storage(&self) -> Seed {
        self.root.derive("node/storage", &[])
    }

    /// Everything random of a session that a release began which drew no secrets for each: whoever has these keys can derive it
    /// again.
    pub(crate) fn older_session(&self, contract: &[u8; 32]) -> Seed {
        self.root.derive("node/session", &[contract])
    }
}

/// Makes an operator's key, sealed under the operator's own passphrase; returns the key.
///
/// # Errors
/// Names the file; an existing key is never overwritten.
pub(crate) fn create_operator(path: &Path, passphrase: &[u8]) -> Result<SigningKey, Failure> {
    let seed = Seed::from_os().map_err(failure::internal)?;
    seal_file(path, OPERATOR_FORMAT, passphrase, seed.expose())?;
    Ok(SigningKey::from_seed(&seed))
}

/// Opens an operator's key.
///
/// # Errors
/// Names the file if it cannot be read, or says that the passphrase is wrong.
pub(crate) fn open_operator(path: &Path, passphrase: &[u8]) -> Result<SigningKey, Failure> {
    let bytes = Zeroizing::new(open_file(path, OPERATOR_FORMAT, passphrase)?);
    let seed: [u8; 32] = bytes.as_slice().try_into().map_err(|_| damaged(path))?;
    Ok(SigningKey::from_seed(&Seed::new(seed)))
}

/// Makes the key of the public witness called `name`, sealed under a passphrase.
///
/// # Errors
/// Refuses the name, or names the file; an existing key is never overwritten.
pub(crate) fn create_witness(path: &Path, name: &str, passphrase: &[u8]) -> Result<Cosigner, Failure> {
    let seed = Seed::from_os().map_err(failure::internal)?;
    let cosigner = Cosigner::new(name, SigningKey::from_seed(&seed)).map_err(failure::usage)?;
    seal_file(path, WITNESS_FORMAT, passphrase, seed.expose())?;
    Ok(cosigner)
}

/// Opens the key of a public witness.
///
/// # Errors
/// Names the file if it cannot be read, or says that the passphrase is wrong.
pub(crate) fn open_witness(path: &Path, passphrase: &[u8]) -> Result<SigningKey, Failure> {
    let bytes = Zeroizing::new(open_file(path, WITNESS_FORMAT, passphrase)?);
    let seed: [u8; 32] = bytes.as_slice().try_into().map_err(|_| damaged(path))?;
    Ok(SigningKey::from_seed(&Seed::new(seed)))
}

fn seal_file(path: &Path, format: &str, passphrase: &[u8], secret: &[u8]) -> Result<(), Failure> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(failure::internal)?;
    let key = seal::key_from_passphrase(passphrase, &salt).map_err(failure::internal)?;
    let sealed = seal::seal_at_rest(&key, format.as_bytes(), secret).map_err(failure::internal)?;
    let file = KeyFile { format: format.into(), salt: hex::encode(salt), sealed: hex::encode(sealed) };
    let text = serde_json::to_string_pretty(&file).map_err(failure::internal)?;
    let cannot = |error| failure::unwritable(format!("{}: cannot write the key file: {error}", path.display()));
    let mut out = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(cannot)?;
    out.write_all(text.as_bytes()).and_then(|()| out.sync_all()).map_err(cannot)
}

fn open_file(path: &Path, format: &str, passphrase: &[u8]) -> Result<Vec<u8>, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| failure::misconfigured(format!("{}: cannot read the key file: {error}", path.display())))?;
    let file: KeyFile = serde_json::from_str(&text).map_err(|_| damaged(path))?;
    if file.format != format {
        return Err(failure::misconfigured(format!("{}: is not a {format} file", path.display())));
    }
    let mut salt = [0; 16];
    hex::decode_to_slice(&file.salt, &mut salt).map_err(|_| damaged(path))?;
    let sealed = hex::decode(&file.sealed).map_err(|_| damaged(path))?;
    let key = seal::key_from_passphrase(passphrase, &salt).map_err(failure::internal)?;
    seal::open_at_rest(&key, format.as_bytes(), &sealed).map_err(|_| {
        failure::refused(format!(
            "{}: the passphrase does not open the key file, or the file was changed",
            path.display()
        ))
    })
}

fn damaged(path: &Path) -> Failure {
    failure::misconfigured(format!("{}: the key file is damaged: restore it from the backup", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_open_with_their_passphrase_only_and_are_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.keys");
        let keys = NodeKeys::generate("pem".into()).unwrap();
        keys.write(&path, b"right").unwrap();
        let read = NodeKeys::read(&path, b"right").unwrap();
        assert_eq!(read.signing().verify_key(), keys.signing().verify_key());
        assert_eq!(*read.tls_key, "pem");
        assert_eq!(NodeKeys::read(&path, b"wrong").err().unwrap().kind, failure::FailureKind::Refused);
        assert_eq!(keys.write(&path, b"right").unwrap_err().kind, failure::FailureKind::Write);
        assert!(open_operator(&path, b"right").is_err());
    }
}
