//! Indicators of banks, added up in lanes of words.

use super::Axis;

/// Bits of a lane: sums of indicators over fewer than 2^10 banks do not run into the next lane.
const LANE: u32 = 10;
/// Lanes of a word.
const LANES: usize = 6;
/// Most banks of one sum of indicators.
pub const MAX_BANKS: usize = (1 << LANE) - 1;

/// Whether any of the rows at hand lies in each dyadic range of cells, side by side and there level by level, from their
/// [`contribution`](crate::contribution()).
pub fn presence(axes: &[Axis], values: &[i64]) -> Vec<bool> {
    let mut rest = values;
    let mut present = Vec::new();
    for axis in axes {
        let (own, after) = rest.split_at((axis.cells * axis.width()).min(rest.len()));
        rest = after;
        let filled = |cell: &[i64]| cell[axis.words - axis.counts..].iter().any(|count| *count != 0);
        for side in 0..axis.sides {
            let cells = own.chunks_exact(axis.words).skip(side).step_by(axis.sides);
            let mut level: Vec<bool> = cells.map(filled).collect();
            for _ in axis.levels() {
                let above = level.chunks(2).map(|pair| pair.contains(&true)).collect();
                present.append(&mut level);
                level = above;
            }
        }
    }
    present
}

/// Indicators as lanes of words, so that the sum over banks is a sum of words.
pub fn pack(present: &[bool]) -> Vec<i64> {
    let word = |lanes: &[bool]| lanes.iter().rev().fold(0, |word, &lane| word << LANE | i64::from(lane));
    present.chunks(LANES).map(word).collect()
}

/// Words of the packed indicators of [`presence`].
pub fn packed_words(axes: &[Axis]) -> usize {
    lane_words(indicators(axes))
}

/// Banks behind each range of cells, in the order of [`presence`], from summed words; `None` if the words are not a sum of
/// indicators of `banks` banks.
pub fn unpack(axes: &[Axis], words: &[i64], banks: usize) -> Option<Vec<u32>> {
    unpack_lanes(indicators(axes), words, banks)
}

/// Words of so many packed indicators.
pub fn lane_words(indicators: usize) -> usize {
    indicators.div_ceil(LANES)
}

/// How many banks gave each of so many indicators, from summed words; `None` if the words are no sum of indicators of `banks`
/// banks.
pub fn unpack_lanes(indicators: usize, words: &[i64], banks: usize) -> Option<Vec<u32>> {
    let lanes = words
        .iter()
        .flat_map(|word| (0..LANES as u32).map(move |lane| (word >> (lane * LANE)) as u32 & ((1 << LANE) - 1)));
    let mut counts: Vec<u32> = lanes.collect();
    let spare = counts.split_off(indicators.min(counts.len()));
    let whole = words.len() == lane_words(indicators) && words.iter().all(|word| *word >> (LANE * LANES as u32) == 0);
    let fits = counts.iter().all(|count| *count as usize <= banks) && spare.iter().all(|lane| *lane == 0);
    (whole && fits).then_some(counts)
}

pub(super) fn indicators(axes: &[Axis]) -> usize {
    axes.iter().map(Axis::indicators).sum()
}
