//! The log as a directory (C2SP tlog-tiles v0.1.0): `checkpoint`, `tile/<level>/<n>[.p/<width>]`, `tile/entries/<n>[.p/<width>]`.
//!
//! Everything here is derived from the store's entries and can be written again; the checkpoint is put in place last, by
//! rename, so that a reader never sees one that its tiles do not cover.

use std::path::{Path, PathBuf};

use tally_crypto::merkle;
use tally_crypto::sign::SigningKey;
use tally_crypto::transcript::Digest;

use crate::note::Checkpoint;
use crate::write_ahead::Ledger;

/// Entries or hashes in a full tile.
pub const TILE: u64 = 256;

/// The first entry whose bundle has to be written again when `published` entries are out.
pub fn first_needed(published: u64) -> u64 {
    published / TILE * TILE
}

/// Path of a tile below the log's directory; `kind` is a level or `entries`, `width` is the number of items in it.
pub fn tile_path(kind: &str, n: u64, width: u64) -> PathBuf {
    let mut groups = vec![format!("{:03}", n % 1000)];
    let mut rest = n / 1000;
    while rest > 0 {
        groups.push(format!("x{:03}", rest % 1000));
        rest /= 1000;
    }
    groups.reverse();
    let mut path = Path::new("tile").join(kind).join(groups.join("/"));
    if width < TILE {
        let name = format!("{}.p", path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default());
        path.set_file_name(name);
        path.push(width.to_string());
    }
    path
}

/// The tiles of one level for a log of `size` entries, from tile `from` on: number and width.
pub fn tiles(level: u32, size: u64, from: u64) -> impl Iterator<Item = (u64, u64)> {
    let count = size >> (8 * level);
    (from..count.div_ceil(TILE)).map(move |n| (n, TILE.min(count - n * TILE)))
}

/// Hash tile `n` of `level`, `width` hashes wide.
pub fn hash_tile(leaves: &[Digest], level: u32, n: u64, width: u64) -> Vec<u8> {
    let span = 1u64 << (8 * level);
    let hash = |place: u64| {
        let from = (n * TILE + place) * span;
        // In range: the caller names tiles of this log only.
        merkle::root(&leaves[from as usize..(from + span) as usize])
    };
    (0..width).flat_map(|place| hash(place).0).collect()
}

/// Bundle of entries: each after its length in two bytes.
pub fn bundle(entries: &[Vec<u8>]) -> Vec<u8> {
    let framed = |entry: &Vec<u8>| {
        // The ledger refuses longer entries.
        let length = u16::try_from(entry.len()).unwrap_or(u16::MAX);
        [&length.to_be_bytes(), entry.as_slice()].concat()
    };
    entries.iter().flat_map(framed).collect()
}

/// Writes tiles and checkpoint for everything in `ledger`; `entries` are the stored entries from `first` on.
///
/// # Errors
/// Passes on the file system's error with the file's name.
pub fn publish(
    log: &Path,
    origin: &str,
    first: u64,
    entries: &[Vec<u8>],
    ledger: &Ledger,
    key: &SigningKey,
) -> std::io::Result<()> {
    let size = ledger.size();
    for (n, width) in tiles(0, size, first / TILE) {
        let from = (n * TILE - first) as usize;
        let bytes = bundle(&entries[from..from + width as usize]);
        put(&log.join(tile_path("entries", n, width)), &bytes)?;
    }
    for level in 0.. {
        if size >> (8 * level) == 0 {
            break;
        }
        for (n, width) in tiles(level, size, (first >> (8 * level)) / TILE) {
            let path = log.join(tile_path(&level.to_string(), n, width));
            put(&path, &hash_tile(ledger.leaves(), level, n, width))?;
        }
    }
    let checkpoint = Checkpoint { origin: origin.into(), size, root: ledger.root() };
    put(&log.join("checkpoint"), checkpoint.sign(key).as_bytes())
}

/// Writes a file unless it holds these bytes already; never half of it.
fn put(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if std::fs::read(path).is_ok_and(|known| known == bytes) {
        return Ok(());
    }
    let named = |error: std::io::Error| std::io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(named)?;
    }
    let temporary = path.with_extension("new");
    std::fs::write(&temporary, bytes).map_err(named)?;
    std::fs::rename(&temporary, path).map_err(named)
}

/// Every file of a log's directory, by its path below it.
pub(crate) fn read_all(log: &Path) -> std::io::Result<std::collections::BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = std::collections::BTreeMap::new();
    let mut folders = vec![log.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for item in std::fs::read_dir(&folder)? {
            let path = item?.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(name) = path.strip_prefix(log) {
                files.insert(name.to_path_buf(), std::fs::read(&path)?);
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_widths_are_those_of_the_specification() {
        assert_eq!(tile_path("0", 1_234_067, 256), Path::new("tile/0/x001/x234/067"));
        assert_eq!(tile_path("entries", 0, 7), Path::new("tile/entries/000.p/7"));
        // 70,000 entries: 273 full tiles and one of 112 at level 0, one full and one of 17 at level 1, one of 1 at level 2.
        let last = |level| tiles(level, 70_000, 0).last();
        assert_eq!((tiles(0, 70_000, 0).count(), last(0)), (274, Some((273, 112))));
        assert_eq!((tiles(1, 70_000, 0).count(), last(1)), (2, Some((1, 17))));
        assert_eq!((tiles(2, 70_000, 0).count(), last(2)), (1, Some((0, 1))));
        assert_eq!(tiles(3, 70_000, 0).count(), 0);
    }
}
