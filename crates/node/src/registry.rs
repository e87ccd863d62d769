//! The consortium's registry as a node reads it: signed by the consortium that the node is pinned to, or not read at all.
//!
//! The pin is `ca_key` under `[files]` in `node.toml`, written by `init --ca-key`. A directory without it is pinned to the
//! consortium whose registry it reads first, in `consortium.key`.

use std::io::Write as _;
use std::path::Path;

use tally_audit::Registry;
use tally_crypto::sign::VerifyKey;

use crate::config::Config;
use crate::directory::Directory;
use crate::failure::{self, Failure};

/// Reads the registry of the node in `directory`.
///
/// # Errors
/// Names the file and what does not hold: its signature, or the consortium that signed it, with the remedy.
pub(crate) fn read(directory: &Directory, config: &Config) -> Result<Registry, Failure> {
    let path = directory.resolve(&config.files.registry);
    let wrong = |error: String| failure::misconfigured(format!("{}: {error}", path.display()));
    let text =
        std::fs::read_to_string(&path).map_err(|error| wrong(format!("{error}: copy it from the consortium")))?;
    let registry = Registry::parse(text.trim_start_matches('\u{feff}')).map_err(|error| wrong(error.to_string()))?;
    let pinned = match config.files.ca_key {
        Some(key) => key,
        None => pin(&directory.consortium_key(), &registry.ca_key)?,
    };
    registry.demand(&pinned).map_err(|error| {
        wrong(format!(
            "{error}: updates of the registry are signed by the same key. If the consortium has told you by another way that it \
             has a new key, write that as `ca_key` under [files] in node.toml"
        ))
    })?;
    Ok(registry)
}

/// The key that was pinned before; this one, from now on, if there was none.
fn pin(path: &Path, found: &VerifyKey) -> Result<VerifyKey, Failure> {
    let cannot = |error: std::io::Error| failure::unwritable(format!("{}: {error}", path.display()));
    match std::fs::read_to_string(path) {
        Ok(text) => {
            return parse(text.trim()).map_err(|error| failure::misconfigured(format!("{}: {error}", path.display())));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(cannot(error)),
    }
    let mut file = tempfile_beside(path).map_err(cannot)?;
    file.0.write_all(format!("{found}\n").as_bytes()).and_then(|()| file.0.sync_all()).map_err(cannot)?;
    std::fs::rename(&file.1, path).map_err(cannot)?;
    tracing::warn!(key = %found, "pinned to the consortium of this key, the first that was read: compare it with the consortium");
    Ok(*found)
}

fn tempfile_beside(path: &Path) -> std::io::Result<(std::fs::File, std::path::PathBuf)> {
    let partial = path.with_extension("partial");
    Ok((std::fs::File::create(&partial)?, partial))
}

/// A consortium's key as people copy it: the text of `ca_key` in the registry.
///
/// # Errors
/// Says what was expected.
pub(crate) fn parse(text: &str) -> Result<VerifyKey, String> {
    let wrong = |_| "not a key: write the text of `ca_key` in the consortium's registry".to_owned();
    serde_json::from_value(serde_json::Value::from(text)).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use tally_crypto::seed::Seed;
    use tally_crypto::sign::SigningKey;

    use super::*;

    fn config(more: &str) -> Config {
        let text = "[node]\nname = \"bank-1\"\nrole = \"bank\"\n[link]\ndial = \"h:1\"\nplatform = \"platform\"\n";
        Config::parse(&format!("{text}{more}")).unwrap()
    }

    fn key(number: u8) -> SigningKey {
        SigningKey::from_seed(&Seed::new([number; 32]))
    }

    fn put(directory: &Directory, signer: &SigningKey) {
        let text = serde_json::to_string(&Registry::new(signer)).unwrap();
        std::fs::write(directory.path().join("registry.json"), text).unwrap();
    }

    /// "An update from the consortium", of another one: with it all keys would be replaced.
    #[test]
    fn a_registry_of_another_consortium_is_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::new(folder.path());
        put(&directory, &key(1));
        let pinned = config(&format!("[files]\nca_key = \"{}\"\n", key(1).verify_key()));
        read(&directory, &pinned).unwrap();
        assert!(!directory.consortium_key().exists());
        // Pinned to what it reads first.
        read(&directory, &config("")).unwrap();
        put(&directory, &key(2));
        for config in [pinned, config("")] {
            let refused = read(&directory, &config).unwrap_err();
            assert_eq!(refused.kind, failure::FailureKind::Config);
            assert!(refused.message.contains("registry.json") && refused.message.contains("ca_key"), "{refused}");
        }
        let told = config(&format!("[files]\nca_key = \"{}\"\n", key(2).verify_key()));
        read(&directory, &told).unwrap();
    }
}
