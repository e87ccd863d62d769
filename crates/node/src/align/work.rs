//! What a run keeps so that it can go on after a kill: every file sealed under the caller's passphrase, all of it removed at
//! the end.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tally_crypto::seal;
use tally_crypto::seed::Seed;
use tally_crypto::transcript::Digest;
use tally_protocol::alignment::Keyed;
use zeroize::Zeroize as _;

use crate::failure::{self, Failure};

/// Attempts of one run: each lets a bank that deviates have one unit evaluated anew.
const ATTEMPTS: u32 = 8;

/// The folder of one run.
pub(super) struct Work {
    folder: PathBuf,
    key: Seed,
}

/// What stands from the beginning of the run.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct SavedRun {
    /// The contract, signed by both, JSON.
    pub(super) envelope: String,
    /// Everything random of this side.
    pub(super) seed: [u8; 32],
    /// Seed of the signing key of a trial.
    pub(super) signing: [u8; 32],
    /// Certificate and key of a trial, PEM.
    pub(super) certificate: (String, String),
    /// Salted commitment to the own set.
    pub(super) set: Digest,
    /// Attempts so far.
    pub(super) attempts: u32,
    /// Units that are finished here.
    pub(super) finished: u32,
}

impl Drop for SavedRun {
    fn drop(&mut self) {
        self.seed.zeroize();
        self.signing.zeroize();
        self.certificate.1.zeroize();
    }
}

impl Work {
    /// Opens the folder, or makes it.
    ///
    /// # Errors
    /// Names the folder, or says that the passphrase is wrong.
    pub(super) fn open(folder: &Path, passphrase: &[u8]) -> Result<Self, Failure> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| cannot(folder, &error))?;
        let path = folder.join("salt");
        let salt = match std::fs::read(&path) {
            Ok(salt) => salt,
            Err(_) => {
                let mut salt = [0; 16];
                getrandom::fill(&mut salt).map_err(failure::internal)?;
                write_whole(&path, &salt)?;
                salt.to_vec()
            }
        };
        let salt: [u8; 16] = salt.try_into().map_err(|_| damaged(&path))?;
        let key = seal::key_from_passphrase(passphrase, &salt).map_err(failure::internal)?;
        Ok(Self { folder: folder.into(), key })
    }

    /// The run that is under way here, counted as one more attempt.
    ///
    /// # Errors
    /// Names the file that does not open, or says that there were too many attempts.
    pub(super) fn resume(&self) -> Result<Option<SavedRun>, Failure> {
        let Some(mut run) = self.standing()? else { return Ok(None) };
        run.attempts += 1;
        if run.attempts > ATTEMPTS {
            let text = format!("{}: {ATTEMPTS} attempts failed: remove it and start anew", self.folder.display());
            return Err(failure::refused(text));
        }
        self.save(&run)?;
        Ok(Some(run))
    }

    /// The run that is under way here.
    pub(super) fn standing(&self) -> Result<Option<SavedRun>, Failure> {
        if self.folder.join("run").exists() { self.read("run").map(Some) } else { Ok(None) }
    }

    /// Writes down where the run stands.
    pub(super) fn save(&self, run: &SavedRun) -> Result<(), Failure> {
        self.write("run", run)
    }

    /// Writes down the tags of one unit.
    pub(super) fn save_unit(&self, unit: u32, keyed: &[Keyed]) -> Result<(), Failure> {
        let tags: Vec<_> = keyed.iter().map(|keyed| (keyed.row, keyed.secret.tag)).collect();
        self.write(&unit_name(unit), &tags)
    }

    /// Puts the tags of the first `units` units in their places; how many there are.
    pub(super) fn restore(&self, units: u32, tags: &mut [[u8; 16]]) -> Result<usize, Failure> {
        let mut restored = 0;
        for unit in 0..units {
            let name = unit_name(unit);
            for (row, tag) in self.read::<Vec<(u32, [u8; 16])>>(&name)? {
                *tags.get_mut(row as usize).ok_or_else(|| damaged(&self.folder.join(&name)))? = tag;
                restored += 1;
            }
        }
        Ok(restored)
    }

    /// Removes everything: what was sealed is lost with its salt.
    pub(super) fn remove(self) -> Result<(), Failure> {
        std::fs::remove_file(self.folder.join("salt")).map_err(|error| cannot(&self.folder, &error))?;
        std::fs::remove_dir_all(&self.folder).map_err(|error| cannot(&self.folder, &error))
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<T, Failure> {
        let path = self.folder.join(name);
        let sealed = std::fs::read(&path).map_err(|error| cannot(&path, &error))?;
        let bytes = seal::open_at_rest(&self.key, name.as_bytes(), &sealed).map_err(|_| damaged(&path))?;
        postcard::from_bytes(&bytes).map_err(|_| damaged(&path))
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), Failure> {
        let mut bytes = postcard::to_allocvec(value).map_err(failure::internal)?;
        let sealed = seal::seal_at_rest(&self.key, name.as_bytes(), &bytes).map_err(failure::internal);
        bytes.zeroize();
        write_whole(&self.folder.join(name), &sealed?)
    }
}

fn unit_name(unit: u32) -> String {
    format!("unit-{unit:05}")
}

/// Writes a file for its owner, durable before it has its name.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let partial = path.with_extension("partial");
    let write = || -> std::io::Result<()> {
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&partial, path)?;
        path.parent().map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
    };
    write().map_err(|error| cannot(path, &error))
}

fn cannot(path: &Path, error: &std::io::Error) -> Failure {
    failure::unwritable(format!("{}: {error}", path.display()))
}

fn damaged(path: &Path) -> Failure {
    failure::refused(format!("{}: the passphrase does not open it, or it was changed", path.display()))
}
