//! Proofs from tiles: a handful of files, whatever the size of the log.

use std::io::{Error, ErrorKind, Result};
use std::ops::Range;

use tally_crypto::transcript::Digest;

use super::folder::Folder;
use super::tiles::{Kind, TILE, Tile, split_bundle};
use tally_crypto::merkle::{self, consistency_path, inclusion_path, node_hash};

/// Entry `index` of a log of `size` entries.
///
/// # Errors
/// Fails if the bundle cannot be read or does not hold the entry.
pub fn entry(folder: &dyn Folder, index: u64, size: u64) -> Result<Vec<u8>> {
    let tile = Tile::at(Kind::Entries, index / TILE, size).filter(|_| index < size);
    let tile = tile.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("the log has {size} entries")))?;
    let bytes = read(folder, tile)?;
    let entries = split_bundle(&bytes).map_err(|_| damaged(tile))?;
    entries.get((index % TILE) as usize).map(|entry| entry.to_vec()).ok_or_else(|| damaged(tile))
}

/// Audit path of entry `index` in the tree of `size` entries, from the leaf upwards.
///
/// # Errors
/// Fails if a tile cannot be read.
pub fn inclusion_proof(folder: &dyn Folder, index: u64, size: u64) -> Result<Vec<Digest>> {
    inclusion_path(index, size).into_iter().map(|range| subtree(folder, range, size)).collect()
}

/// Proof that the tree of `new` entries begins with the tree of `old`.
///
/// # Errors
/// Fails if a tile cannot be read.
pub fn consistency_proof(folder: &dyn Folder, old: u64, new: u64) -> Result<Vec<Digest>> {
    consistency_path(old, new).into_iter().map(|range| subtree(folder, range, new)).collect()
}

/// Root over a range of leaves that begins where a subtree of the tree begins.
fn subtree(folder: &dyn Folder, range: Range<u64>, size: u64) -> Result<Digest> {
    let (mut peaks, mut from) = (Vec::new(), range.start);
    while from < range.end {
        // The largest full subtree that begins here.
        let height = (range.end - from).ilog2();
        peaks.push(full_subtree(folder, height, from >> height, size)?);
        from += 1 << height;
    }
    let root = peaks.into_iter().rev().reduce(|right, left| node_hash(&left, &right));
    Ok(root.unwrap_or_else(|| merkle::root(&[])))
}

/// Root over the `place`th `2^height` leaves.
fn full_subtree(folder: &dyn Folder, height: u32, place: u64, size: u64) -> Result<Digest> {
    let (level, count) = (height / 8, 1u64 << (height % 8));
    let first = place * count;
    let tile = Tile::at(Kind::Hashes(level), first / TILE, size);
    let tile = tile.ok_or_else(|| Error::new(ErrorKind::NotFound, "the log has no such tile"))?;
    let bytes = read(folder, tile)?;
    let (from, to) = (32 * (first % TILE) as usize, 32 * (first % TILE + count) as usize);
    let hashes: Vec<_> =
        bytes.get(from..to).ok_or_else(|| damaged(tile))?.as_chunks().0.iter().map(|h| Digest(*h)).collect();
    Ok(merkle::root(&hashes))
}

/// A tile, or the beginning of the full one that has taken its place.
fn read(folder: &dyn Folder, tile: Tile) -> Result<Vec<u8>> {
    let named = |error: Error| Error::new(error.kind(), format!("{}: {error}", tile.path().display()));
    match folder.read(&tile.path()) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            folder.read(&Tile { width: TILE, ..tile }.path()).map_err(|_| named(error))
        }
        bytes => bytes.map_err(named),
    }
}

fn damaged(tile: Tile) -> Error {
    Error::new(ErrorKind::InvalidData, format!("{}: is damaged", tile.path().display()))
}
