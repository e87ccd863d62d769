//! Release rules: which cells of a sum may be shown, and what the others are counted with.
//!
//! A histogram cell that a single bank fills shows that bank's number to everyone. So a sum with cells is taken in two parts.
//! First the banks add up who has any row in which cell ([`presence`], [`pack`]), which tells how many banks stand behind a
//! cell, not how many rows. From these counts everyone derives the same [`Fold`]: neighbouring cells of an [`Axis`] are
//! counted together until enough banks stand behind each group. Then the banks fold their values before they are added.
//!
//! A bank stands behind a cell if it has a row there, good or bad: what is shown of the cell, its good and its bad rows, is
//! then a sum over all these banks, of which some may have none of one kind; who has none is told to nobody.
//!
//! Cells are folded, never withheld one by one: the total of an axis is known from other axes, and what is missing from it
//! would be the withheld cell. A statistic made from groups (a bin, a branch of a tree, a tail of scores) is a union of
//! groups, so enough banks stand behind it too.
//!
//! Indicators are given for every cell and for every dyadic range of cells (2, 4, 8, … from the start of the axis on), since
//! how many banks stand behind a union does not follow from its cells. Behind a group stand at least as many banks as behind
//! the fullest of the ranges that it contains; the rule goes by that. An axis of which no group reaches the minimum is
//! withheld as a whole.

use crate::request::{Kind, SumRequest};

/// One histogram inside a sum: cells in order, each of the same number of words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// Number of cells.
    pub cells: usize,
    /// Words of a cell.
    pub words: usize,
    /// Words of a cell, from the last one backwards, that are counts of rows: `good, bad`, or one count of all.
    pub counts: usize,
    /// Cells are shown as they are or the axis is withheld.
    pub whole: bool,
}

/// Bits of a lane: sums of indicators over fewer than 2^10 banks do not run into the next lane.
const LANE: u32 = 10;
/// Lanes of a word.
const LANES: usize = 6;
/// Most banks of one sum of indicators.
pub const MAX_BANKS: usize = (1 << LANE) - 1;

impl SumRequest {
    /// The histograms of the sum in order; none for sums over all rows alike, which need no folding.
    pub fn axes(&self) -> Vec<Axis> {
        match &self.kind {
            Kind::Ranges(fields) => fields
                .iter()
                .flat_map(|field| field.parents.iter().map(|_| Axis::folded(1 << field.refine, 1)))
                .collect(),
            Kind::Counts(fields) => fields.iter().map(|bins| Axis::folded(bins.codes(), 2)).collect(),
            Kind::Scores { grid, .. } => vec![Axis::folded(grid.cells as usize, 2); 2],
            // The margins are known, so any part of the table gives the others.
            Kind::Swap(_) => vec![Axis { whole: true, ..Axis::folded(4, 2) }],
            Kind::Histogram(asked) => asked.axes(),
            Kind::Moments(_) | Kind::Compare(_) | Kind::Loss(_) => Vec::new(),
        }
    }
}

impl Axis {
    /// Cells of so many counts, which may be counted with their neighbours.
    fn folded(cells: usize, counts: usize) -> Self {
        Self { cells, words: counts, counts, whole: false }
    }

    /// Number of dyadic ranges of 1, 2, 4, … cells, up to the whole axis.
    fn levels(&self) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(self.cells), |ranges| (*ranges > 1).then(|| ranges.div_ceil(2)))
    }

    /// One for each range.
    fn indicators(&self) -> usize {
        self.levels().sum()
    }
}

/// Whether any of the rows at hand lies in each dyadic range of cells, level by level, from their
/// [`contribution`](crate::contribution()).
pub fn presence(axes: &[Axis], values: &[i64]) -> Vec<bool> {
    let mut rest = values;
    let mut present = Vec::new();
    for axis in axes {
        let (own, after) = rest.split_at((axis.cells * axis.words).min(rest.len()));
        rest = after;
        let filled = |cell: &[i64]| cell[axis.words - axis.counts..].iter().any(|count| *count != 0);
        let mut level: Vec<bool> = own.chunks_exact(axis.words).map(filled).collect();
        for _ in axis.levels() {
            let above = level.chunks(2).map(|pair| pair.contains(&true)).collect();
            present.append(&mut level);
            level = above;
        }
    }
    present
}

/// Indicators as lanes of words, so that the sum over banks is a sum of words.
pub fn pack(present: &[bool]) -> Vec<i64> {
    let word = |lanes: &[bool]| lanes.iter().rev().fold(0, |word, &lane| word << LANE | i64::from(lane));
    present.chunks(LANES).map(word).collect()
}

/// Words of the packed indicators.
pub fn packed_words(axes: &[Axis]) -> usize {
    indicators(axes).div_ceil(LANES)
}

/// Banks behind each range of cells, from summed words; `None` if the words are not a sum of indicators of `banks` banks.
pub fn unpack(axes: &[Axis], words: &[i64], banks: usize) -> Option<Vec<u32>> {
    let lanes = words
        .iter()
        .flat_map(|word| (0..LANES as u32).map(move |lane| (word >> (lane * LANE)) as u32 & ((1 << LANE) - 1)));
    let mut counts: Vec<u32> = lanes.collect();
    let spare = counts.split_off(indicators(axes).min(counts.len()));
    let whole = words.len() == packed_words(axes) && words.iter().all(|word| *word >> (LANE * LANES as u32) == 0);
    let fits = counts.iter().all(|count| *count as usize <= banks) && spare.iter().all(|lane| *lane == 0);
    (whole && fits).then_some(counts)
}

fn indicators(axes: &[Axis]) -> usize {
    axes.iter().map(Axis::indicators).sum()
}

/// Which cells are counted together: runs of neighbours, each counted in its first cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fold {
    /// Per axis: the first cell of every group, in order; none if the axis is withheld.
    groups: Vec<Vec<usize>>,
}

impl Fold {
    /// Every cell by itself: for rows of one holder, who hides nothing from himself.
    pub fn none(axes: &[Axis]) -> Self {
        Self { groups: axes.iter().map(|axis| (0..axis.cells).collect()).collect() }
    }

    /// The finest groups, from the first cell on, behind each of which stand `least` banks or none at all.
    pub fn new(axes: &[Axis], contributors: &[u32], least: u32) -> Self {
        let mut rest = contributors;
        let groups = axes.iter().map(|axis| {
            let (own, after) = rest.split_at(axis.indicators().min(rest.len()));
            rest = after;
            groups(axis, own, least)
        });
        Self { groups: groups.collect() }
    }

    /// Counts every cell in the first one of its group; what is withheld becomes zero.
    pub fn apply(&self, axes: &[Axis], values: &mut [i64]) {
        let mut rest = values;
        for (axis, groups) in axes.iter().zip(&self.groups) {
            let (own, after) = std::mem::take(&mut rest).split_at_mut(axis.cells * axis.words);
            rest = after;
            let mut group = 0;
            for cell in 0..axis.cells {
                while groups.get(group + 1).is_some_and(|next| *next <= cell) {
                    group += 1;
                }
                let first = groups.get(group).copied();
                if first == Some(cell) {
                    continue;
                }
                for word in 0..axis.words {
                    let value = std::mem::take(&mut own[cell * axis.words + word]);
                    if let Some(first) = first {
                        own[first * axis.words + word] += value;
                    }
                }
            }
        }
    }

    /// The first cell of every group of an axis, in order; empty if the axis is withheld.
    pub fn groups(&self, axis: usize) -> &[usize] {
        self.groups.get(axis).map(Vec::as_slice).unwrap_or_default()
    }

    /// For every cell of an axis, the cell that it is counted in; `None` if the axis is withheld.
    pub fn counted_in(&self, axis: usize, cells: usize) -> Option<Vec<usize>> {
        let groups = self.groups(axis);
        let group = |cell| groups[groups.partition_point(|first| *first <= cell) - 1];
        (!groups.is_empty()).then(|| (0..cells).map(group).collect())
    }

    /// Per word of the sum, whether it may be other than zero: the words of first cells with a bank behind them.
    pub fn shown(&self, axes: &[Axis], contributors: &[u32]) -> Vec<bool> {
        let mut shown = Vec::new();
        let mut rest = contributors;
        for (axis, groups) in axes.iter().zip(&self.groups) {
            let (own, after) = rest.split_at(axis.indicators().min(rest.len()));
            rest = after;
            let ends = groups.iter().skip(1).copied().chain([axis.cells]);
            let mut cells = vec![false; axis.cells];
            for (&first, end) in groups.iter().zip(ends) {
                cells[first] = own[first..end].iter().any(|banks| *banks > 0);
            }
            shown.extend(cells.iter().flat_map(|cell| std::iter::repeat_n(*cell, axis.words)));
        }
        shown
    }
}

/// First cells of the groups of one axis: each is closed as soon as it is safe.
fn groups(axis: &Axis, contributors: &[u32], least: u32) -> Vec<usize> {
    let safe = |most: u32| most == 0 || most >= least;
    let mut groups = Vec::new();
    let mut open: Option<(usize, u32)> = None;
    for cell in 0..axis.cells {
        let (first, most) = open.unwrap_or((cell, 0));
        let most = most.max(fullest(axis, contributors, first, cell));
        open = (!safe(most)).then_some((first, most));
        if open.is_none() {
            groups.push(first);
        }
    }
    if axis.whole {
        return if groups.len() == axis.cells { groups } else { Vec::new() };
    }
    // What is left at the end goes to the groups before it.
    while open.is_some() {
        let Some(first) = groups.pop() else { return Vec::new() };
        let most = (first..axis.cells).map(|cell| fullest(axis, contributors, first, cell)).max();
        if safe(most.unwrap_or(0)) {
            groups.push(first);
            open = None;
        }
    }
    groups
}

/// Banks behind the fullest of the dyadic ranges that end with `cell` and begin at `first` or later.
fn fullest(axis: &Axis, contributors: &[u32], first: usize, cell: usize) -> u32 {
    let mut fullest = 0;
    let mut offset = 0;
    for (level, ranges) in axis.levels().enumerate() {
        let range = cell >> level;
        let ends_here = cell + 1 == axis.cells || (cell + 1).trailing_zeros() as usize >= level;
        if !ends_here || range << level < first {
            break;
        }
        fullest = fullest.max(contributors.get(offset + range).copied().unwrap_or(0));
        offset += ranges;
    }
    fullest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ONE: Axis = Axis { cells: 6, words: 1, counts: 1, whole: false };

    #[test]
    fn neighbours_are_counted_together_until_enough_banks_stand_behind_them() {
        // Banks by cell, as sets.
        let fold = |banks: [&[usize]; 6]| {
            let mut contributors = vec![0; ONE.indicators()];
            for bank in 1..=5 {
                let own = banks.map(|cell| i64::from(cell.contains(&bank)));
                for (count, present) in contributors.iter_mut().zip(presence(&[ONE], &own)) {
                    *count += u32::from(present);
                }
            }
            Fold::new(&[ONE], &contributors, 3).groups(0).to_vec()
        };
        let all: &[usize] = &[1, 2, 3];
        assert_eq!(fold([all; 6]), [0, 1, 2, 3, 4, 5]);
        assert_eq!(fold([&[1], all, &[1, 2], all, &[], all]), [0, 2, 4, 5]);
        assert_eq!(fold([all, all, &[], &[], &[1], &[1, 2]]), [0, 1]);
        assert_eq!(fold([&[]; 6]), [0, 1, 2, 3, 4, 5]);
        assert!(fold([&[1, 2]; 6]).is_empty());
        // No cell has three banks, the range of the first four has, and that of the last two.
        assert_eq!(fold([&[1], &[1], &[2], &[3], &[1, 2], &[3]]), [0, 4]);
    }

    #[test]
    fn a_table_is_shown_as_a_whole_or_not_at_all() {
        let axes = [Axis { whole: true, ..Axis::folded(4, 2) }];
        let fold = |banks: [u32; 4]| Fold::new(&axes, &[&banks[..], &[3; 3]].concat(), 3).groups(0).to_vec();
        assert_eq!(fold([3, 4, 3, 5]), [0, 1, 2, 3]);
        assert_eq!(fold([3, 0, 3, 5]), [0, 1, 2, 3]);
        assert!(fold([3, 4, 2, 5]).is_empty());
        assert!(fold([3, 4, 3, 2]).is_empty());
    }

    #[test]
    fn sums_of_packed_indicators_are_counts() {
        let axes = [Axis::folded(5, 2), ONE];
        let present: Vec<bool> = (0..indicators(&axes)).map(|place| place % 3 == 0).collect();
        let words: Vec<i64> = pack(&present).into_iter().map(|word| word * 5).collect();
        assert_eq!(words.len(), packed_words(&axes));
        let expected: Vec<u32> = present.iter().map(|one| 5 * u32::from(*one)).collect();
        assert_eq!(unpack(&axes, &words, 5), Some(expected));
        assert_eq!(unpack(&axes, &words, 4), None);
        assert_eq!(unpack(&axes, &words[1..], 5), None);
        for wrong in [-1, 1 << 60] {
            let mut words = words.clone();
            words[1] = wrong;
            assert_eq!(unpack(&axes, &words, 5), None);
        }
    }

    proptest! {
        /// No released word stands on the rows of fewer banks than asked, and nothing is lost from an axis that is shown.
        #[test]
        fn no_group_of_a_sparse_histogram_has_too_few_banks(
            banks in prop::collection::vec(prop::collection::vec(0i64..3, 24), 3..7),
            density in 0u32..100,
            least in 2u32..5,
        ) {
            let axes = [Axis::folded(6, 2), Axis::folded(12, 1)];
            let tables: Vec<Vec<i64>> = banks
                .iter()
                .enumerate()
                .map(|(bank, words)| {
                    let kept = |place: usize| (place * 37 + bank * 61) as u32 % 100 < density;
                    words.iter().enumerate().map(|(place, word)| if kept(place) { *word } else { 0 }).collect()
                })
                .collect();
            let mut contributors = vec![0; indicators(&axes)];
            for table in &tables {
                for (count, present) in contributors.iter_mut().zip(presence(&axes, table)) {
                    *count += u32::from(present);
                }
            }
            let fold = Fold::new(&axes, &contributors, least);
            let folded: Vec<Vec<i64>> = tables
                .iter()
                .map(|table| {
                    let mut folded = table.clone();
                    fold.apply(&axes, &mut folded);
                    folded
                })
                .collect();
            let shown = fold.shown(&axes, &contributors);
            for cell in (0..12).step_by(2).map(|word| word..word + 2).chain((12..24).map(|word| word..word + 1)) {
                let behind = |table: &&Vec<i64>| table[cell.clone()].iter().any(|count| *count != 0);
                let behind = folded.iter().filter(behind).count() as u32;
                prop_assert!(behind == 0 || behind >= least);
                prop_assert!(behind == 0 || cell.clone().all(|word| shown[word]));
            }
            for (axis, range) in [(0, 0..12), (1, 12..24)] {
                let total = |tables: &[Vec<i64>]| tables.iter().flat_map(|table| &table[range.clone()]).sum::<i64>();
                let kept = if fold.groups(axis).is_empty() { 0 } else { total(&tables) };
                prop_assert_eq!(total(&folded), kept);
            }
        }
    }
}
