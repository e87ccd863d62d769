//! Histogram additions. Integers, so that threads may share the rows in any way and the sums stay the same.

use rayon::prelude::*;

use super::codes::Codes;
use super::partition::Partition;
use super::request::Histogram;

/// `g` and `h` of one row at the scale, in 32 bits each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pair {
    g: i32,
    h: i32,
}

/// At this scale `g`, at most one, and `h`, at most a quarter, fit [`Pair`] and [`Packed`]; a finer one says nothing more.
pub(super) const MAX_SCALE_BITS: u32 = 30;

/// Sums of up to [`FLUSH`] rows: `g`, and `h` above the row count. One 128-bit addition a row and field.
type Packed = [i64; 2];

/// Bits of the row count.
const COUNT_BITS: u32 = 16;
/// Rows after which packed sums are added up: their count stays below 2^16 and their `h` below 2^(28 + 15).
const FLUSH: usize = 1 << 15;
/// Rows whose codes are fetched together, so that the memory is waited for once and not row by row.
const BATCH: usize = 64;
/// Cells that a 16-bit number names.
const CELLS: usize = 1 << 16;

impl Pair {
    /// From a row's gradient at a scale of at most [`MAX_SCALE_BITS`].
    pub(super) fn new(g: i64, h: i64) -> Self {
        Self { g: i32::try_from(g).unwrap_or(0), h: i32::try_from(h).unwrap_or(0) }
    }

    fn packed(self) -> Packed {
        [i64::from(self.g), i64::from(self.h) << COUNT_BITS | 1]
    }
}

/// Fields whose cells are added in one pass over the rows.
struct Pass {
    fields: Vec<u32>,
    /// Where each field's cells begin.
    first: Vec<u16>,
    cells: usize,
}

/// The words of each of these nodes, over its rows.
pub(super) fn histograms(
    nodes: &[u32],
    asked: &Histogram,
    partition: &Partition,
    codes: &Codes,
    pairs: &[Pair],
) -> Vec<Vec<i64>> {
    let (passes, width) = (passes(asked), Histogram::CELL * asked.cells());
    let all: usize = nodes.iter().map(|node| partition.rows_of(*node).len()).sum();
    let share = (all / 64).max(FLUSH);
    let tasks: Vec<_> = nodes
        .iter()
        .enumerate()
        .flat_map(|(place, node)| partition.rows_of(*node).chunks(share).map(move |rows| (place, rows)))
        .collect();
    let sum = |rows: &[u32]| {
        let mut words = Vec::with_capacity(width);
        passes.iter().for_each(|pass| pass.add(rows, codes, pairs, &mut words));
        words
    };
    let sums: Vec<_> = tasks.par_iter().map(|(place, rows)| (*place, sum(rows))).collect();
    let mut words = vec![vec![0i64; width]; nodes.len()];
    for (place, sum) in sums {
        for (word, value) in words[place].iter_mut().zip(sum) {
            *word += value;
        }
    }
    words
}

/// All asked fields, in one pass if a 16-bit number names their cells.
fn passes(asked: &Histogram) -> Vec<Pass> {
    let mut passes = vec![Pass { fields: Vec::new(), first: Vec::new(), cells: 0 }];
    for (field, codes) in asked.fields.iter().zip(asked.codes()) {
        if passes.last().is_none_or(|pass| pass.cells + codes > CELLS) {
            passes.push(Pass { fields: Vec::new(), first: Vec::new(), cells: 0 });
        }
        if let Some(pass) = passes.last_mut() {
            pass.fields.push(*field);
            pass.first.push(pass.cells as u16);
            pass.cells += codes;
        }
    }
    passes
}

impl Pass {
    /// Appends the sums over the rows.
    fn add(&self, rows: &[u32], codes: &Codes, pairs: &[Pair], words: &mut Vec<i64>) {
        let start = words.len();
        words.resize(start + Histogram::CELL * self.cells, 0);
        let mut sums: Vec<Packed> = vec![[0; 2]; CELLS];
        let mut batch = vec![0; BATCH * self.fields.len()];
        for rows in rows.chunks(FLUSH) {
            for rows in rows.chunks(BATCH) {
                self.fetch(rows, codes, &mut batch);
                self.accumulate(rows, &batch, pairs, &mut sums);
            }
            for (words, sum) in words[start..].chunks_exact_mut(Histogram::CELL).zip(&mut sums) {
                words[0] += sum[0];
                words[1] += sum[1] >> COUNT_BITS;
                words[2] += sum[1] & ((1 << COUNT_BITS) - 1);
                *sum = [0; 2];
            }
        }
    }

    fn fetch(&self, rows: &[u32], codes: &Codes, batch: &mut [u8]) {
        for (place, row) in batch.chunks_exact_mut(self.fields.len().max(1)).zip(rows) {
            let row = codes.row(*row);
            if row.len() == place.len() {
                place.copy_from_slice(row);
            } else {
                for (place, field) in place.iter_mut().zip(&self.fields) {
                    *place = row[*field as usize];
                }
            }
        }
    }

    fn accumulate(&self, rows: &[u32], batch: &[u8], pairs: &[Pair], sums: &mut [Packed]) {
        let Some(sums) = sums.first_chunk_mut::<CELLS>() else { return };
        let first = &self.first[..];
        for (codes, row) in batch.chunks_exact(first.len().max(1)).zip(rows) {
            let [g, h] = pairs[*row as usize].packed();
            for (code, first) in codes.iter().zip(first) {
                let sum = &mut sums[usize::from(first.wrapping_add(u16::from(*code)))];
                *sum = [sum[0].wrapping_add(g), sum[1].wrapping_add(h)];
            }
        }
    }
}
