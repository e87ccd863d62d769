//! Tiles: their names, their contents, and the right edge of a growing tree.

use std::path::{Path, PathBuf};

use tally_crypto::transcript::Digest;

use tally_crypto::merkle::{self, node_hash};

/// Entries or hashes in a full tile.
pub const TILE: u64 = 256;

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Entries, each after its length.
    Entries,
    /// Hashes, each over `256^level` entries.
    Hashes(u32),
}

impl Kind {
    /// How many items of this kind a log of `size` entries has.
    pub fn count(self, size: u64) -> u64 {
        match self {
            Self::Entries => size,
            Self::Hashes(level) => size.checked_shr(8 * level).unwrap_or(0),
        }
    }
}

/// Name of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// What it holds.
    pub kind: Kind,
    /// Its number, from 0.
    pub n: u64,
    /// Items in it, 1 to 256.
    pub width: u64,
}

impl Tile {
    /// The tile that a log of `size` entries has at this place; `None` if it has no items there.
    pub fn at(kind: Kind, n: u64, size: u64) -> Option<Self> {
        let width = kind.count(size).saturating_sub(n.checked_mul(TILE)?).min(TILE);
        (width > 0).then_some(Self { kind, n, width })
    }

    /// All tiles of a log of `size` entries: the entries, then the hashes from below upwards.
    pub fn all(size: u64) -> impl Iterator<Item = Self> {
        let kinds = std::iter::once(Kind::Entries).chain((0..8).map(Kind::Hashes));
        kinds.flat_map(move |kind| (0..kind.count(size).div_ceil(TILE)).filter_map(move |n| Self::at(kind, n, size)))
    }

    /// Where its items end.
    pub fn end(&self) -> u64 {
        self.n * TILE + self.width
    }

    /// Path below the log's directory.
    pub fn path(&self) -> PathBuf {
        match self.width {
            TILE => self.whole(),
            width => self.partials().join(width.to_string()),
        }
    }

    /// Folder of the partial tiles of this place.
    pub fn partials(&self) -> PathBuf {
        self.whole().with_added_extension("p")
    }

    fn whole(&self) -> PathBuf {
        let mut groups = vec![format!("{:03}", self.n % 1000)];
        let mut rest = self.n / 1000;
        while rest > 0 {
            groups.push(format!("x{:03}", rest % 1000));
            rest /= 1000;
        }
        groups.reverse();
        let kind = match self.kind {
            Kind::Entries => "entries".into(),
            Kind::Hashes(level) => level.to_string(),
        };
        Path::new("tile").join(kind).join(groups.join("/"))
    }

    /// Reads a path; only the one spelling of [`Tile::path`] names a tile.
    pub fn parse(path: &Path) -> Option<Self> {
        let mut parts = path.to_str()?.strip_prefix("tile/")?.split('/');
        let kind = match parts.next()? {
            "entries" => Kind::Entries,
            level => Kind::Hashes(level.parse().ok().filter(|level| *level < 64)?),
        };
        let (mut n, mut width) = (0u64, TILE);
        while let Some(part) = parts.next() {
            let digits = part.strip_suffix(".p").unwrap_or(part).trim_start_matches('x');
            n = n.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
            if part.ends_with(".p") {
                width = parts.next()?.parse().ok().filter(|width| (1..TILE).contains(width))?;
                break;
            }
        }
        let tile = Self { kind, n, width };
        (tile.path() == path && tile.n.checked_mul(TILE)?.checked_add(TILE).is_some()).then_some(tile)
    }
}

/// Bundle of entries: each after its length in two bytes. The ledger refuses entries that are longer.
pub fn bundle<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    entries.into_iter().for_each(|entry| frame(&mut bytes, entry));
    bytes
}

/// Adds one entry to a bundle.
pub(super) fn frame(bundle: &mut Vec<u8>, entry: &[u8]) {
    let length = u16::try_from(entry.len()).unwrap_or(u16::MAX);
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
}

/// The entries of a bundle; `Err` with the place of the one that is cut off.
///
/// # Errors
/// Fails at the first entry whose length the rest does not hold.
pub fn split_bundle(bundle: &[u8]) -> Result<Vec<&[u8]>, usize> {
    let (mut entries, mut rest) = (Vec::new(), bundle);
    while !rest.is_empty() {
        let length = rest.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length)));
        let entry = length.and_then(|length| rest.get(2..2 + length)).ok_or(entries.len())?;
        entries.push(entry);
        rest = &rest[2 + entry.len()..];
    }
    Ok(entries)
}

/// The right edge of a growing tree: of every level the hashes of the tile that is not full yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    levels: Vec<Vec<Digest>>,
    size: u64,
}

impl Edge {
    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf hash; `full` is told of every tile that it completes, from below upwards.
    ///
    /// # Errors
    /// Passes on the error of `full`; the edge is then of no use any more.
    pub fn append<E>(&mut self, leaf: Digest, mut full: impl FnMut(Tile, &[Digest]) -> Result<(), E>) -> Result<(), E> {
        self.size += 1;
        let mut hash = leaf;
        for level in 0.. {
            let kind = Kind::Hashes(level);
            if self.levels.len() == level as usize {
                self.levels.push(Vec::with_capacity(TILE as usize));
            }
            let hashes = &mut self.levels[level as usize];
            hashes.push(hash);
            if (hashes.len() as u64) < TILE {
                break;
            }
            full(Tile { kind, n: kind.count(self.size) / TILE - 1, width: TILE }, hashes)?;
            hash = merkle::root(hashes);
            hashes.clear();
        }
        Ok(())
    }

    /// The tiles that are not full, from below upwards.
    pub fn partials(&self) -> impl Iterator<Item = (Tile, &[Digest])> {
        (0..).zip(&self.levels).filter(|(_, hashes)| !hashes.is_empty()).map(|(level, hashes)| {
            let kind = Kind::Hashes(level);
            (Tile { kind, n: kind.count(self.size) / TILE, width: hashes.len() as u64 }, hashes.as_slice())
        })
    }

    /// Root over all leaves.
    pub fn root(&self) -> Digest {
        let mut root = None;
        for hashes in &self.levels {
            let mut rest = hashes.as_slice();
            while !rest.is_empty() {
                // The smallest full subtree at the right end.
                let (before, peak) = rest.split_at(rest.len() - (1 << rest.len().trailing_zeros()));
                let peak = merkle::root(peak);
                root = Some(root.map_or(peak, |right| node_hash(&peak, &right)));
                rest = before;
            }
        }
        root.unwrap_or_else(|| merkle::root(&[]))
    }
}
