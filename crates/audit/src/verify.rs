//! One log against its own rules: tree, signature, schema, order. A changed byte anywhere is found and named.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tally_crypto::merkle::{self, leaf_hash};
use tally_crypto::transcript::Digest;

use crate::entry::{Body, Entry};
use crate::files::{TILE, hash_tile, read_all, tile_path, tiles};
use crate::note::{Checkpoint, parse_vkey};
use crate::registry::Registry;

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

/// What does not hold in a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", .file.display())]
pub struct VerifyError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// Verifies the log in `directory`, which is a node's directory, a copy of it, or the log itself.
///
/// # Errors
/// Names the file, and the entry where there is one.
pub fn verify_log(directory: &Path, registry: &Registry) -> Result<VerifiedLog, VerifyError> {
    let inner = directory.join("log");
    let log = if inner.is_dir() { inner } else { directory.to_path_buf() };
    let files = read_all(&log).map_err(|error| VerifyError { file: log.clone(), reason: error.to_string() })?;
    let reader = Reader { log: &log, files };
    let (party, checkpoint) = reader.checkpoint(registry)?;
    let bundles = reader.entries(checkpoint.size)?;
    let leaves: Vec<_> = bundles.iter().map(|bytes| leaf_hash(bytes)).collect();
    reader.hash_tiles(&leaves)?;
    if merkle::root(&leaves) != checkpoint.root {
        return Err(reader.wrong("checkpoint", "the signed root is not that of the entries"));
    }
    reader.partial_tiles(checkpoint.size)?;
    let entries = reader.decode(&bundles)?;
    check_order(&reader, &party, &entries, &leaves)?;
    Ok(VerifiedLog { party, entries, leaves, root: checkpoint.root })
}

struct Reader<'a> {
    log: &'a Path,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Reader<'_> {
    fn wrong(&self, file: impl AsRef<Path>, reason: impl ToString) -> VerifyError {
        VerifyError { file: self.log.join(file), reason: reason.to_string() }
    }

    fn file(&self, path: &Path) -> Result<&[u8], VerifyError> {
        self.files.get(path).map(Vec::as_slice).ok_or_else(|| self.wrong(path, "is missing"))
    }

    fn checkpoint(&self, registry: &Registry) -> Result<(String, Checkpoint), VerifyError> {
        let wrong = |reason: String| self.wrong("checkpoint", reason);
        let note =
            std::str::from_utf8(self.file(Path::new("checkpoint"))?).map_err(|error| wrong(error.to_string()))?;
        let name = note.lines().next().unwrap_or_default();
        let party =
            registry.party(name).ok_or_else(|| wrong(format!("the registry does not know a log called `{name}`")))?;
        let (name, key) = parse_vkey(&party.log_vkey).map_err(|error| wrong(error.to_string()))?;
        let checkpoint = Checkpoint::open(note, &name, &key).map_err(|error| wrong(error.to_string()))?;
        if checkpoint.origin != name {
            return Err(wrong("the origin is not the party's name".into()));
        }
        Ok((name, checkpoint))
    }

    fn entries(&self, size: u64) -> Result<Vec<Vec<u8>>, VerifyError> {
        let mut entries = Vec::new();
        for (n, width) in tiles(0, size, 0) {
            let path = tile_path("entries", n, width);
            let mut rest = self.file(&path)?;
            for place in 0..width {
                let cut = |rest: &[u8]| Some(usize::from(u16::from_be_bytes(*rest.first_chunk()?)));
                let entry = cut(rest).and_then(|length| rest[2..].get(..length));
                let entry = entry.ok_or_else(|| self.wrong(&path, format!("entry {} is cut off", n * TILE + place)))?;
                entries.push(entry.to_vec());
                rest = &rest[2 + entry.len()..];
            }
            if !rest.is_empty() {
                return Err(self.wrong(&path, "holds more than its entries"));
            }
        }
        Ok(entries)
    }

    fn hash_tiles(&self, leaves: &[Digest]) -> Result<(), VerifyError> {
        let size = leaves.len() as u64;
        for level in (0..).take_while(|level| size >> (8 * level) > 0) {
            for (n, width) in tiles(level, size, 0) {
                let path = tile_path(&level.to_string(), n, width);
                let (found, expected) = (self.file(&path)?, hash_tile(leaves, level, n, width));
                if found != expected {
                    let place = found.chunks(32).zip(expected.chunks(32)).position(|(a, b)| a != b);
                    let first = n * TILE + place.map_or(0, |place| place as u64);
                    let reason = match (level, place) {
                        (0, Some(_)) => format!("the hash of entry {first} is not that of the entry in its bundle"),
                        _ => "the hashes are not those of the entries below".into(),
                    };
                    return Err(self.wrong(&path, reason));
                }
            }
        }
        Ok(())
    }

    /// Partial tiles of earlier checkpoints are beginnings of today's; no other file belongs to a log.
    fn partial_tiles(&self, size: u64) -> Result<(), VerifyError> {
        let mut current = BTreeMap::from([("checkpoint".into(), None)]);
        for level in (0..).take_while(|level| size >> (8 * level) > 0) {
            let kinds = if level == 0 { vec!["0".to_owned(), "entries".into()] } else { vec![level.to_string()] };
            for (n, width) in tiles(level, size, 0) {
                for kind in &kinds {
                    let path = tile_path(kind, n, width);
                    current.insert(path.clone(), None);
                    for earlier in 1..width {
                        current.insert(tile_path(kind, n, earlier), Some(path.clone()));
                    }
                }
            }
        }
        for (path, bytes) in &self.files {
            match current.get(path) {
                // Written before its checkpoint: a node that was killed between the two leaves such tiles.
                None if self.is_ahead(path, bytes, size) => {}
                None => return Err(self.wrong(path, "does not belong to the log")),
                Some(None) => {}
                Some(Some(whole)) => {
                    let complete =
                        !bytes.is_empty() && (whole.starts_with("tile/entries") || bytes.len() == 32 * width_of(path));
                    if !complete || !self.file(whole)?.starts_with(bytes) || !self.ends_at_entry(path, bytes, whole) {
                        return Err(self.wrong(path, "is not the beginning of the log's present tile"));
                    }
                }
            }
        }
        Ok(())
    }

    /// True for a tile that goes on where the checkpoint ends, and repeats what the checkpoint covers.
    fn is_ahead(&self, path: &Path, bytes: &[u8], size: u64) -> bool {
        (0..8u32).any(|level| {
            let covered = size >> (8 * level);
            let kinds = if level == 0 { vec!["0".to_owned(), "entries".into()] } else { vec![level.to_string()] };
            let (n, width) = (covered / TILE, covered % TILE);
            kinds.iter().any(|kind| {
                let known = self.files.get(&tile_path(kind, n, width)).map(Vec::as_slice).filter(|_| width > 0);
                (width + 1..=TILE).any(|wider| *path == tile_path(kind, n, wider))
                    && bytes.starts_with(known.unwrap_or_default())
            })
        })
    }

    fn ends_at_entry(&self, path: &Path, bytes: &[u8], whole: &Path) -> bool {
        if !whole.starts_with("tile/entries") {
            return true;
        }
        let (mut rest, mut count) = (bytes, 0);
        while let Some(length) = rest.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length))) {
            let Some(after) = rest.get(2 + length..) else { return false };
            rest = after;
            count += 1;
        }
        rest.is_empty() && count == width_of(path)
    }

    fn decode(&self, bundles: &[Vec<u8>]) -> Result<Vec<Entry>, VerifyError> {
        let decode = |(index, bytes): (usize, &Vec<u8>)| {
            Entry::decode(bytes).map_err(|reason| self.wrong("tile/entries", format!("entry {index}: {reason}")))
        };
        bundles.iter().enumerate().map(decode).collect()
    }
}

fn width_of(path: &Path) -> usize {
    path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok()).unwrap_or(0)
}

fn check_order(reader: &Reader<'_>, party: &str, entries: &[Entry], leaves: &[Digest]) -> Result<(), VerifyError> {
    let mut sessions: BTreeMap<&str, (u64, Digest)> = BTreeMap::new();
    let mut time = i64::MIN;
    for (index, entry) in entries.iter().enumerate() {
        let wrong = |reason: &str| Err(reader.wrong("tile/entries", format!("entry {index}: {reason}")));
        if entry.v != 1 || entry.index != index as u64 || entry.node != party {
            return wrong("carries another version, place or node");
        }
        if entry.time < time {
            return wrong("is earlier than the entry before");
        }
        if (index == 0) != matches!(entry.body, Body::Genesis { .. }) {
            return wrong("a log begins with its genesis, once");
        }
        time = entry.time;
        let known = entry.session.as_deref().map(|session| sessions.get(session).copied());
        let expected_seq = known.map(|known| known.map_or(0, |(seq, _)| seq));
        if entry.seq != expected_seq || entry.prev != known.flatten().map(|(_, leaf)| leaf) {
            return wrong("does not follow the session's entry before");
        }
        if let (Some(session), Some(seq)) = (entry.session.as_deref(), entry.seq) {
            sessions.insert(session, (seq + 1, leaves[index]));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::publish;
    use crate::registry::RegistryParty;
    use crate::write_ahead::Ledger;
    use tally_crypto::seed::Seed;
    use tally_crypto::sign::SigningKey;

    fn key() -> SigningKey {
        SigningKey::from_seed(&Seed::new([7; 32]))
    }

    fn registry() -> Registry {
        let mut registry = Registry::new(&key());
        let log_vkey = crate::note::vkey("bank-1", &key().verify_key());
        let node_key = key().verify_key();
        registry.parties.push(RegistryParty { name: "bank-1".into(), role: "bank".into(), node_key, log_vkey });
        registry.sign(&key());
        registry
    }

    fn write(folder: &Path, sizes: &[u64]) {
        let mut ledger = Ledger::recover("bank-1", []).unwrap();
        let mut stored: Vec<Vec<u8>> = Vec::new();
        let mut published = 0;
        for size in sizes {
            let mut batch = ledger.batch();
            for n in stored.len() as u64..*size {
                let body = match n {
                    0 => Body::Genesis { role: "bank".into(), log_vkey: "k".into(), software: "0".into() },
                    n => Body::AuditAccess { object: Digest::of_bytes(&n.to_be_bytes()) },
                };
                batch.append((n > 0).then_some("s"), n as i64, "bank-1", body).unwrap();
            }
            batch
                .commit(|bytes| {
                    stored.extend_from_slice(bytes);
                    Ok::<_, ()>(())
                })
                .unwrap();
            let first = crate::files::first_needed(published);
            publish(&folder.join("log"), "bank-1", first, &stored[first as usize..], &ledger, &key()).unwrap();
            published = *size;
        }
    }

    #[test]
    fn logs_of_many_sizes_verify() {
        for sizes in [&[1][..], &[1, 3, 7], &[255, 256, 257], &[300, 513, 700]] {
            let folder = tempfile::tempdir().unwrap();
            write(folder.path(), sizes);
            let log = verify_log(folder.path(), &registry()).unwrap();
            assert_eq!(log.entries.len() as u64, *sizes.last().unwrap());
        }
    }

    #[test]
    fn a_flipped_bit_in_any_byte_of_any_file_is_found_and_named() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[2, 5]);
        let log = folder.path().join("log");
        for (name, bytes) in read_all(&log).unwrap() {
            for place in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[place] ^= 1 << (place % 8);
                std::fs::write(log.join(&name), &changed).unwrap();
                let error = verify_log(folder.path(), &registry()).unwrap_err();
                assert!(error.file.starts_with(&log), "{error}");
            }
            std::fs::write(log.join(&name), &bytes).unwrap();
        }
        assert!(verify_log(&log, &registry()).is_ok());
    }

    #[test]
    fn missing_foreign_and_swapped_files_are_found() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[300]);
        let log = folder.path().join("log");
        let refused = || verify_log(folder.path(), &registry()).unwrap_err().reason;
        std::fs::write(log.join("note"), "x").unwrap();
        assert!(refused().contains("does not belong"));
        std::fs::remove_file(log.join("note")).unwrap();
        let tile = log.join(tile_path("0", 0, TILE));
        let bytes = std::fs::read(&tile).unwrap();
        std::fs::remove_file(&tile).unwrap();
        assert!(refused().contains("missing"));
        std::fs::write(&tile, [&bytes[32..64], &bytes[..32], &bytes[64..]].concat()).unwrap();
        assert!(refused().contains("entry 0"));
        std::fs::write(&tile, bytes).unwrap();
        assert!(verify_log(folder.path(), &registry()).is_ok());
    }

    #[test]
    fn a_log_signed_by_a_key_beside_it_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[3]);
        let mut other = registry();
        let stranger = SigningKey::from_seed(&Seed::new([8; 32]));
        other.parties[0].log_vkey = crate::note::vkey("bank-1", &stranger.verify_key());
        assert!(verify_log(folder.path(), &other).unwrap_err().reason.contains("no valid signature"));
    }
}
