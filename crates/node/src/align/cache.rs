//! Kept evaluations of 2HashDH: sealed under the caller's passphrase, versioned, signed by the key that made them.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tally_crypto::seal;
use tally_crypto::seed::Seed;
use tally_crypto::sign::{Signature, SigningKey, VerifyKey};
use tally_protocol::alignment::{Identifiers, dh};

use super::work::write_whole;
use crate::failure::{self, Failure};

const FORMAT: u32 = 1;
const LABEL: &str = "oprf-evaluations";

/// The contents of a cache file, before sealing.
#[derive(Serialize, Deserialize)]
struct Kept {
    format: u32,
    /// Counts every change.
    version: u64,
    epoch: String,
    seed: [u8; 32],
    evaluations: dh::Evaluations,
}

/// What stands before the sealed contents.
#[derive(Serialize, Deserialize)]
struct Header {
    salt: [u8; 16],
    signer: VerifyKey,
    signature: Signature,
}

/// An open cache.
pub(super) struct Cache {
    /// The key of the epoch.
    pub(super) key: dh::EpochKey,
    /// Evaluations of exactly the set that was asked for.
    pub(super) evaluations: dh::Evaluations,
    /// Identifiers that had to be evaluated now.
    pub(super) fresh: usize,
    /// Version of the file.
    pub(super) version: u64,
}

impl Cache {
    /// Opens the epoch's file in `folder`, evaluates what is new in `identifiers`, forgets what is gone, and writes it back
    /// if anything changed. `signer` is the key of the caller's node; a file that another node signed is refused. In a
    /// trial, whose keys live for one run, the seal alone protects the file.
    ///
    /// # Errors
    /// Names the file that does not open.
    pub(super) fn open(
        folder: &Path,
        epoch: &str,
        passphrase: &[u8],
        (signing, lasting): (&SigningKey, bool),
        identifiers: &Identifiers,
    ) -> Result<Self, Failure> {
        if epoch.is_empty() || !epoch.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(failure::usage("--epoch takes letters, digits and hyphens"));
        }
        std::fs::create_dir_all(folder)
            .map_err(|error| failure::unwritable(format!("{}: {error}", folder.display())))?;
        let path = folder.join(format!("{epoch}.evaluations"));
        let expected = lasting.then(|| signing.verify_key());
        let (mut kept, salt, existed) = match std::fs::read(&path) {
            Ok(bytes) => {
                let (kept, salt) = read(&path, &bytes, passphrase, expected.as_ref())?;
                (kept, salt, true)
            }
            Err(_) => {
                let seed = Seed::from_os().map_err(failure::internal)?;
                let fresh = Seed::from_os().map_err(failure::internal)?;
                let mut salt = [0; 16];
                salt.copy_from_slice(&fresh.expose()[..16]);
                let evaluations = dh::Evaluations::default();
                let kept = Kept { format: FORMAT, version: 0, epoch: epoch.into(), seed: *seed.expose(), evaluations };
                (kept, salt, false)
            }
        };
        let key = dh::EpochKey::derive(dh::KEPT, &Seed::new(kept.seed), epoch.as_bytes()).map_err(failure::internal)?;
        let before = kept.evaluations.len();
        let fresh = kept.evaluations.update(identifiers, &key).map_err(failure::data)?;
        if fresh > 0 || before != kept.evaluations.len() || !existed {
            kept.version += 1;
            write(&path, &kept, &salt, passphrase, signing)?;
        }
        Ok(Self { key, evaluations: kept.evaluations, fresh, version: kept.version })
    }
}

fn read(path: &Path, bytes: &[u8], passphrase: &[u8], signer: Option<&VerifyKey>) -> Result<(Kept, [u8; 16]), Failure> {
    let wrong = |reason: &str| failure::refused(format!("{}: {reason}", path.display()));
    let damaged = || wrong("the passphrase does not open it, or it was changed");
    let (header, sealed) = postcard::take_from_bytes::<Header>(bytes).map_err(|_| damaged())?;
    if signer.is_some_and(|signer| *signer != header.signer) {
        return Err(wrong("another node signed it: name another --cache folder"));
    }
    if !header.signer.verify(LABEL, blake3::hash(sealed).as_bytes(), &header.signature) {
        return Err(damaged());
    }
    let key = seal::key_from_passphrase(passphrase, &header.salt).map_err(failure::internal)?;
    let plain = seal::open_at_rest(&key, LABEL.as_bytes(), sealed).map_err(|_| damaged())?;
    let kept: Kept = postcard::from_bytes(&plain).map_err(|_| damaged())?;
    if kept.format == FORMAT { Ok((kept, header.salt)) } else { Err(wrong("it is of another version of this program")) }
}

fn write(path: &Path, kept: &Kept, salt: &[u8; 16], passphrase: &[u8], signing: &SigningKey) -> Result<(), Failure> {
    let key = seal::key_from_passphrase(passphrase, salt).map_err(failure::internal)?;
    let plain = zeroize::Zeroizing::new(postcard::to_allocvec(kept).map_err(failure::internal)?);
    let sealed = seal::seal_at_rest(&key, LABEL.as_bytes(), &plain).map_err(failure::internal)?;
    // A hash is signed, since the contents may be large.
    let signature = signing.sign(LABEL, blake3::hash(&sealed).as_bytes());
    let header = Header { salt: *salt, signer: signing.verify_key(), signature };
    let mut bytes = postcard::to_allocvec(&header).map_err(failure::internal)?;
    bytes.extend(sealed);
    write_whole(path, &bytes)
}
