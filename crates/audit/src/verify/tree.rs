//! The files of a log against its signed root.
//!
//! The bundles are read in order, and what all other tiles must hold is computed from them. Bundles may go on after the
//! checkpoint; the tiles there must fit them in the same way. No other file belongs to a log.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tally_crypto::transcript::Digest;

use super::{Trust, VerifiedTree, VerifyError, Visit, wrong};
use crate::files::{Edge, Folder, Kind, STAGED, TILE, Tile, split_bundle};
use crate::note::{Checkpoint, Note};
use crate::policy::Witnessed;
use tally_crypto::merkle::leaf_hash;

const CHECKPOINT: &str = "checkpoint";

pub(super) fn verify(folder: &dyn Folder, trust: Trust<'_>, visit: Visit<'_>) -> Result<VerifiedTree, VerifyError> {
    let (note, Witnessed { checkpoint, cosigned }) = read_checkpoint(folder, trust)?;
    // Listed first: a node that goes on publishing meanwhile adds files that this reader need not know.
    let extents = list_tiles(folder)?;
    let mut walk = Walk { folder, checkpoint: &checkpoint, edge: Edge::default(), visit };
    if checkpoint.size == 0 {
        walk.check_root()?;
    }
    for n in 0.. {
        if !walk.bundle(n)? {
            break;
        }
    }
    let edge = walk.edge;
    if edge.size() < checkpoint.size {
        let place = Tile::at(Kind::Entries, edge.size() / TILE, checkpoint.size);
        return Err(wrong(place.map_or(CHECKPOINT.into(), |tile| tile.path()), "is missing"));
    }
    for (tile, hashes) in edge.partials() {
        check_hashes(folder, &checkpoint, tile, hashes)?;
    }
    let foreign = extents.into_iter().find(|(kind, (end, _))| *end > kind.count(edge.size()));
    match foreign {
        Some((_, (_, path))) => Err(wrong(path, "does not belong to the log")),
        None => Ok(VerifiedTree { note, ahead: edge.size() - checkpoint.size, checkpoint, cosigned }),
    }
}

fn read_checkpoint(folder: &dyn Folder, trust: Trust<'_>) -> Result<(Note, Witnessed), VerifyError> {
    let bytes = read(folder, Path::new(CHECKPOINT))?.ok_or_else(|| wrong(CHECKPOINT, "is missing"))?;
    let text = std::str::from_utf8(&bytes).map_err(|error| wrong(CHECKPOINT, error))?;
    let note = Note::parse(text).map_err(|error| wrong(CHECKPOINT, error))?;
    let witnessed = trust.check(&note).map_err(|reason| wrong(CHECKPOINT, reason))?;
    if !witnessed.checkpoint.extensions.is_empty() {
        return Err(wrong(CHECKPOINT, "holds more lines than origin, size and root"));
    }
    Ok((note, witnessed))
}

struct Walk<'a> {
    folder: &'a dyn Folder,
    checkpoint: &'a Checkpoint,
    edge: Edge,
    visit: Visit<'a>,
}

impl Walk<'_> {
    /// Takes bundle `n`; false where the log ends.
    fn bundle(&mut self, n: u64) -> Result<bool, VerifyError> {
        let needed = Tile::at(Kind::Entries, n, self.checkpoint.size);
        let place = needed.unwrap_or(Tile { kind: Kind::Entries, n, width: TILE });
        let partials = partials(self.folder, place)?;
        let whole = Tile { width: TILE, ..place };
        let (tile, bytes) = match read(self.folder, &whole.path())? {
            Some(bytes) => (whole, bytes),
            None => {
                if let Some(needed) = needed.filter(|needed| !partials.contains(&needed.width)) {
                    return Err(wrong(needed.path(), "is missing"));
                }
                let Some(width) = partials.iter().max() else { return Ok(false) };
                let widest = Tile { width: *width, ..place };
                let bytes = read(self.folder, &widest.path())?.ok_or_else(|| wrong(widest.path(), "is missing"))?;
                (widest, bytes)
            }
        };
        let entries = split(tile, &bytes)?;
        for width in partials {
            let earlier = Tile { width, ..tile };
            let end: usize = entries.iter().take(width as usize).map(|entry| entry.len() + 2).sum();
            check(self.folder, earlier, bytes.get(..end).filter(|_| width <= tile.width))?;
        }
        for entry in entries {
            self.entry(tile, entry)?;
        }
        Ok(tile.width == TILE)
    }

    fn entry(&mut self, tile: Tile, entry: &[u8]) -> Result<(), VerifyError> {
        let leaf = leaf_hash(entry);
        let index = self.edge.size();
        if index < self.checkpoint.size {
            let show = |reason| wrong(tile.path(), format!("entry {index}: {reason}"));
            (self.visit)(entry, &leaf).map_err(show)?;
        }
        let (folder, checkpoint) = (self.folder, self.checkpoint);
        self.edge.append(leaf, |tile, hashes| check_hashes(folder, checkpoint, tile, hashes))?;
        if self.edge.size() == checkpoint.size { self.check_root() } else { Ok(()) }
    }

    fn check_root(&self) -> Result<(), VerifyError> {
        let holds = self.edge.root() == self.checkpoint.root;
        if holds { Ok(()) } else { Err(wrong(CHECKPOINT, "the signed root is not that of the entries")) }
    }
}

fn split(tile: Tile, bytes: &[u8]) -> Result<Vec<&[u8]>, VerifyError> {
    let cut = |place: usize| wrong(tile.path(), format!("entry {} is cut off", tile.n * TILE + place as u64));
    let entries = split_bundle(bytes).map_err(cut)?;
    match (entries.len() as u64).cmp(&tile.width) {
        std::cmp::Ordering::Less => Err(cut(entries.len())),
        std::cmp::Ordering::Greater => Err(wrong(tile.path(), "holds more than its entries")),
        std::cmp::Ordering::Equal => Ok(entries),
    }
}

/// The tile of these hashes, where it must or may lie, and all narrower ones.
fn check_hashes(
    folder: &dyn Folder,
    checkpoint: &Checkpoint,
    tile: Tile,
    hashes: &[Digest],
) -> Result<(), VerifyError> {
    let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
    let mut widths = partials(folder, tile)?;
    if tile.width == TILE && read(folder, &tile.path())?.is_some() {
        widths.push(TILE);
    }
    // A partial tile may be deleted once the full one is there.
    let needed = Tile::at(tile.kind, tile.n, checkpoint.size);
    if let Some(needed) = needed.filter(|needed| !widths.contains(&needed.width) && !widths.contains(&TILE)) {
        return Err(wrong(needed.path(), "is missing"));
    }
    for width in widths {
        check(folder, Tile { width, ..tile }, bytes.get(..32 * width as usize))?;
    }
    Ok(())
}

/// A file must hold exactly these bytes; `None` where it holds more than the log.
fn check(folder: &dyn Folder, tile: Tile, expected: Option<&[u8]>) -> Result<(), VerifyError> {
    let path = tile.path();
    let found = read(folder, &path)?.ok_or_else(|| wrong(&path, "is missing"))?;
    let expected = expected.ok_or_else(|| wrong(&path, "does not belong to the log"))?;
    if found == expected {
        return Ok(());
    }
    let place = found.chunks(32).zip(expected.chunks(32)).position(|(a, b)| a != b);
    Err(wrong(
        path,
        match (tile.kind, place) {
            (Kind::Hashes(0), Some(place)) => {
                format!("the hash of entry {} is not that of the entry in its bundle", tile.n * TILE + place as u64)
            }
            (Kind::Hashes(_), _) => "the hashes are not those of the entries below".into(),
            (Kind::Entries, _) => "is not the beginning of the log's present tile".into(),
        },
    ))
}

/// Widths of the partial tiles at a place.
fn partials(folder: &dyn Folder, tile: Tile) -> Result<Vec<u64>, VerifyError> {
    let path = tile.partials();
    let items = match folder.list(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        items => items.map_err(|error| wrong(&path, error))?,
    };
    let width = |name: &str| Tile::parse(&path.join(name)).map(|tile| tile.width);
    let foreign = |name: &str| wrong(path.join(name), "does not belong to the log");
    items.iter().map(|item| width(&item.name).ok_or_else(|| foreign(&item.name))).collect()
}

/// How far the files of each kind go, and which one goes farthest.
fn list_tiles(folder: &dyn Folder) -> Result<BTreeMap<Kind, (u64, PathBuf)>, VerifyError> {
    let mut extents = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inner) = folders.pop() {
        for item in folder.list(&inner).map_err(|error| wrong(&inner, error))? {
            let path = inner.join(&item.name);
            if item.folder {
                folders.extend((path != Path::new(STAGED)).then_some(path));
            } else if path != Path::new(CHECKPOINT) {
                let tile = Tile::parse(&path).ok_or_else(|| wrong(&path, "does not belong to the log"))?;
                let extent = extents.entry(tile.kind).or_insert((0, PathBuf::new()));
                if tile.end() > extent.0 {
                    *extent = (tile.end(), path);
                }
            }
        }
    }
    Ok(extents)
}

fn read(folder: &dyn Folder, path: &Path) -> Result<Option<Vec<u8>>, VerifyError> {
    match folder.read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(wrong(path, error)),
    }
}
