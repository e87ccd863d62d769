//! How identifiers are spread over shards.

use rayon::prelude::*;
use tally_crypto::okvs::{Layout, room};
use tally_crypto::transcript::Digest;
use tally_crypto::vole::Shape;

use crate::alignment::Identifiers;

/// Identifiers of one shard on average.
const SHARD: u64 = 1 << 20;

/// What both sides compute from the sizes that each has shown, and the party's rows, shard after shard.
pub(super) struct Plan {
    /// Number of shards.
    pub(super) count: u32,
    /// Sizes of the bank's store in each shard.
    pub(super) layout: Layout,
    /// Sizes of the vector OLE of each shard.
    pub(super) shape: Shape,
    rows: Vec<u32>,
    starts: Vec<usize>,
}

impl Plan {
    /// The plan for a bank with room for `capacity` identifiers and a platform with `offered` rows; `identifiers` are the
    /// party's own, spread by a hash keyed with `context`.
    pub(super) fn new(context: &Digest, identifiers: &Identifiers, capacity: u64, offered: u64) -> Self {
        let capacity = capacity.max(1);
        let count = u32::try_from(capacity.max(offered).div_ceil(SHARD)).unwrap_or(u32::MAX);
        let layout = Layout::new(room(capacity, u64::from(count)));
        let (rows, starts) = spread(context, identifiers, count);
        Self { count, layout, shape: Shape::new(layout.words()), rows, starts }
    }

    /// The rows of one shard.
    pub(super) fn rows(&self, shard: u32) -> &[u32] {
        &self.rows[self.starts[shard as usize]..self.starts[shard as usize + 1]]
    }
}

/// Row numbers in order of their shards, and where each shard begins.
fn spread(context: &Digest, identifiers: &Identifiers, shards: u32) -> (Vec<u32>, Vec<usize>) {
    let total = identifiers.len();
    if shards == 1 {
        return ((0..total as u32).collect(), vec![0, total]);
    }
    let key = Digest::of("tallystick/vole-shards/v2", &[context.as_bytes()]);
    let shard = |at: usize| {
        let hash = blake3::keyed_hash(key.as_bytes(), identifiers.get(at));
        let (words, _) = hash.as_bytes().as_chunks::<4>();
        ((u64::from(u32::from_le_bytes(words[0])) * u64::from(shards)) >> 32) as u32
    };
    let of: Vec<u32> = (0..total).into_par_iter().map(shard).collect();
    let mut starts = vec![0; shards as usize + 1];
    of.iter().for_each(|&shard| starts[shard as usize + 1] += 1);
    for shard in 0..shards as usize {
        starts[shard + 1] += starts[shard];
    }
    let mut next = starts.clone();
    let mut rows = vec![0; total];
    for (row, &shard) in of.iter().enumerate() {
        rows[next[shard as usize]] = row as u32;
        next[shard as usize] += 1;
    }
    (rows, starts)
}
