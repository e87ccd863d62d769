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
//! Where some sums over the cells of an axis are [known](Axis::known) from elsewhere, such as the margins of a table, its parts
//! are shown as they are if no combination of them and of what is known counts only cells with too few banks.
//!
//! Indicators are given for every cell and for every dyadic range of cells (2, 4, 8, … from the start of the axis on), since
//! how many banks stand behind a union does not follow from its cells. Behind a group stand at least as many banks as behind
//! the fullest of the ranges that it contains; the rule goes by that. An axis of which no group reaches the minimum is
//! withheld as a whole.
//!
//! Sums over the same rows must not be cut differently, or their difference is a cell that neither shows. So an axis may be
//! made of [`parts`](Axis::parts), the groups of an earlier sum, and its groups are unions of these. It may have several
//! [`sides`](Axis::sides), the rows of the earlier sum divided: they have the same groups, each safe on all. That is
//! not yet enough: whoever knows a group of one side, and of the earlier sum all but one of its parts, knows the rows of that
//! part on this side less the rows of the others on the other, and indicators tell where the latter are none. A combination of
//! the sums that counts a group of one side must count every cell of it on one side or the other. So a group is closed once
//!
//! - no more than one side has rows in it: then it tells what the earlier sum told, or
//! - all sides with rows in it are bound to one another, directly or through others. A side is bound to sides that are bound to
//!   one another where some range has enough banks on it, all of whose cells with rows there have enough banks on one of the
//!   others too: to leave a cell of this side out is then to count enough banks on another.
//!
//! Why that is enough: take the rows of fewer banks than the minimum away. Of a side that is bound to others, there is still a
//! cell with rows on it and on one of them, and every part still has a row on some side. A combination that counts none of the
//! rows left counts sides that share a cell alike, so all sides alike, and each part as often but the other way round: it
//! counts nothing at all.
//! Behind every combination of the groups of an axis, of those it was divided from and of those that divide it further, then
//! stand enough banks, or none.
//!
//! How unevenly the banks stand behind a group, indicators do not tell: [`joins`] sees to that.
//!
//! Figures within banks ([`Within`]) are an axis of one cell: behind it stands who has two good and two bad hold-out rows, and
//! with fewer such banks than the minimum nothing is shown. What is shown are six sums over banks: of weights, of AUCs times
//! weight under both scores, of three variances times the weight's square. A bank that takes its own part away has these sums of
//! the others: with two others the mean of their AUCs and of the differences, of neither its own; the weights are not whole
//! pairs, whose sum could be factored into each one's good and bad rows. How many banks have rows of both kinds is told.

mod apart;
mod dominance;
mod indicators;

pub use self::apart::Behind;
use self::apart::{behind, groups_with_the_last_apart};
pub use self::dominance::{joins, size_words, sizes};
pub use self::indicators::{MAX_BANKS, lane_words, pack, packed_words, presence, unpack, unpack_lanes};
use crate::judge::Within;
use crate::request::{Kind, SumRequest};
use crate::spans::SpanField;

/// One histogram inside a sum: cells in order, each of the same number of words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// Number of cells.
    pub cells: usize,
    /// Sets of rows counted side by side, in the same groups; a cell holds the words of one after the other.
    pub sides: usize,
    /// Words of a cell on one side.
    pub words: usize,
    /// Of these words, from the last one backwards, that are counts of rows: `good, bad`, or one count of all.
    pub counts: usize,
    /// Sets of cells whose sums are known from elsewhere. If there are any, the parts are shown as they are or not at all.
    pub known: Vec<Vec<usize>>,
    /// First cells of the parts that groups are made of, in order; none if nothing may be shown.
    pub parts: Vec<usize>,
    /// Whether the last cell never makes up for too few banks behind the cells before it, if these can make groups without: a later
    /// sum shows the rows of the last cell by themselves.
    pub last_apart: bool,
}

impl SumRequest {
    /// Whether groups of this sum are weighed ([`joins`]) before they are shown: they tell more than numbers of rows.
    pub fn weighs(&self) -> bool {
        !matches!(self.kind, Kind::Ranges(_) | Kind::Spans(_)) && !self.axes().is_empty()
    }

    /// The histograms of the sum in order; none for sums over all rows alike, which need no folding.
    pub fn axes(&self) -> Vec<Axis> {
        match &self.kind {
            Kind::Ranges(fields) => fields
                .iter()
                .flat_map(|field| field.parents.iter().map(|_| Axis::folded(1 << field.refine, 1)))
                .collect(),
            Kind::Spans(fields) => fields.iter().flat_map(SpanField::axes).collect(),
            Kind::Counts(fields) => fields.iter().map(|bins| Axis::folded(bins.codes(), 2)).collect(),
            Kind::Scores { grid, alone, .. } => {
                vec![Axis::folded(grid.cells as usize, 2); if *alone { 1 } else { 2 }]
            }
            Kind::Swap(lines) => vec![lines.axis()],
            Kind::Segments(asked) => asked.axes(),
            Kind::Within(_) => vec![Within::axis()],
            Kind::Histogram(asked) => asked.axes(),
            Kind::Statistics(asked) => asked.axes(),
            Kind::Moments(_) | Kind::Compare(_) | Kind::Loss(_) => Vec::new(),
        }
    }
}

impl Axis {
    /// Cells of so many counts, which may be counted with their neighbours.
    fn folded(cells: usize, counts: usize) -> Self {
        Self {
            cells,
            sides: 1,
            words: counts,
            counts,
            known: Vec::new(),
            parts: (0..cells).collect(),
            last_apart: false,
        }
    }

    /// Cells of so many words, of which the last ones count rows.
    pub(crate) fn told_by(cells: usize, words: usize, counts: usize) -> Self {
        Self { words, ..Self::folded(cells, counts) }
    }

    /// Words of a cell, all sides together.
    fn width(&self) -> usize {
        self.sides * self.words
    }

    /// Number of dyadic ranges of 1, 2, 4, … cells, up to the whole axis.
    fn levels(&self) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(self.cells), |ranges| (*ranges > 1).then(|| ranges.div_ceil(2)))
    }

    /// Ranges of one side.
    fn ranges(&self) -> usize {
        self.levels().sum()
    }

    /// One for each side and range.
    fn indicators(&self) -> usize {
        self.sides * self.ranges()
    }

    /// For every cell, whether a part ends with it.
    fn ends(&self) -> Vec<bool> {
        let mut ends = vec![false; self.cells];
        let after = self.parts.iter().skip(1).copied().chain((!self.parts.is_empty()).then_some(self.cells));
        for last in after.filter_map(|after| after.checked_sub(1)) {
            if let Some(end) = ends.get_mut(last) {
                *end = true;
            }
        }
        ends
    }
}

/// Which cells are counted together: runs of neighbours, each counted in its first cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fold {
    /// Per axis: the first cell of every group, in order; none if the axis is withheld.
    groups: Vec<Vec<usize>>,
    /// Per axis and cell: how many banks have rows there, which the indicators tell everyone; none where nobody was asked.
    behind: Vec<Vec<Behind>>,
}

impl Fold {
    /// Every cell by itself: for rows of one holder, who hides nothing from himself.
    pub fn none(axes: &[Axis]) -> Self {
        Self { groups: axes.iter().map(|axis| (0..axis.cells).collect()).collect(), behind: Vec::new() }
    }

    /// The finest groups, from the first cell on, that are safe: behind each stand `least` banks or none at all, on every
    /// side.
    pub fn new(axes: &[Axis], contributors: &[u32], least: u32) -> Self {
        let mut rest = contributors;
        let mut fold = Self { groups: Vec::new(), behind: Vec::new() };
        for axis in axes {
            let (own, after) = rest.split_at(axis.indicators().min(rest.len()));
            rest = after;
            fold.behind.push((0..axis.cells).map(|cell| behind(axis, own, least, cell)).collect());
            fold.groups.push(groups(axis, own, least));
        }
        fold
    }

    /// Counts every cell in the first one of its group; what is withheld becomes zero.
    pub fn apply(&self, axes: &[Axis], values: &mut [i64]) {
        let mut rest = values;
        for (axis, groups) in axes.iter().zip(&self.groups) {
            let (own, after) = std::mem::take(&mut rest).split_at_mut(axis.cells * axis.width());
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
                for word in 0..axis.width() {
                    let value = std::mem::take(&mut own[cell * axis.width() + word]);
                    if let Some(first) = first {
                        own[first * axis.width() + word] += value;
                    }
                }
            }
        }
    }

    /// The first cell of every group of an axis, in order; empty if the axis is withheld.
    pub fn groups(&self, axis: usize) -> &[usize] {
        self.groups.get(axis).map(Vec::as_slice).unwrap_or_default()
    }

    /// How many banks have rows in a cell of an axis; `None` where no indicators were asked.
    pub fn behind(&self, axis: usize, cell: usize) -> Option<Behind> {
        self.behind.get(axis)?.get(cell).copied()
    }

    /// For every cell of an axis, the cell that it is counted in; `None` if the axis is withheld.
    pub fn counted_in(&self, axis: usize, cells: usize) -> Option<Vec<usize>> {
        let groups = self.groups(axis);
        let group = |cell| groups[groups.partition_point(|first| *first <= cell) - 1];
        (!groups.is_empty()).then(|| (0..cells).map(group).collect())
    }

    /// Per word of the sum, whether it may be other than zero: the words of first cells with a bank behind them on their
    /// side.
    pub fn shown(&self, axes: &[Axis], contributors: &[u32]) -> Vec<bool> {
        let mut shown = Vec::new();
        let mut rest = contributors;
        for (axis, groups) in axes.iter().zip(&self.groups) {
            let (own, after) = rest.split_at(axis.indicators().min(rest.len()));
            rest = after;
            let ends = groups.iter().skip(1).copied().chain([axis.cells]);
            let mut cells = vec![false; axis.cells * axis.sides];
            for (&first, end) in groups.iter().zip(ends) {
                for (side, banks) in own.chunks_exact(axis.ranges()).enumerate() {
                    cells[first * axis.sides + side] = banks[first..end].iter().any(|banks| *banks > 0);
                }
            }
            shown.extend(cells.iter().flat_map(|cell| std::iter::repeat_n(*cell, axis.words)));
        }
        shown
    }
}

/// First cells of the groups of one axis: each is closed as soon as it is safe.
fn groups(axis: &Axis, contributors: &[u32], least: u32) -> Vec<usize> {
    if !axis.known.is_empty() {
        return if tells_only_of_enough(axis, contributors, least) { axis.parts.clone() } else { Vec::new() };
    }
    if axis.last_apart
        && let Some(groups) = groups_with_the_last_apart(axis, contributors, least)
    {
        return groups;
    }
    groups_of(axis, contributors, least, axis.cells)
}

/// The groups of the first so many cells.
fn groups_of(axis: &Axis, contributors: &[u32], least: u32, cells: usize) -> Vec<usize> {
    let mut groups = Vec::new();
    let mut open = Run::new(axis, contributors, least, 0);
    for (cell, end) in axis.ends().into_iter().take(cells).enumerate() {
        open.take(cell);
        if end && open.is_safe() {
            groups.push(open.first);
            open = Run::new(axis, contributors, least, cell + 1);
        }
    }
    join_rest(axis, contributors, least, &mut groups, open.first..cells);
    groups
}

/// What is left at the end goes to the groups before it; without any that makes it safe, none is left.
fn join_rest(axis: &Axis, contributors: &[u32], least: u32, groups: &mut Vec<usize>, rest: std::ops::Range<usize>) {
    if rest.is_empty() {
        return;
    }
    while let Some(first) = groups.pop() {
        let mut open = Run::new(axis, contributors, least, first);
        (first..rest.end).for_each(|cell| open.take(cell));
        if open.is_safe() {
            groups.push(first);
            return;
        }
    }
}

/// Whether every combination of the parts and of what is known has a cell with enough banks, or no cell with rows: it has where
/// the cells with enough banks leave it nothing to vary.
fn tells_only_of_enough(axis: &Axis, contributors: &[u32], least: u32) -> bool {
    let ends = axis.parts.iter().skip(1).copied().chain([axis.cells]);
    let parts = axis.parts.iter().zip(ends).map(|(first, end)| (*first..end).collect());
    let sums: Vec<Vec<usize>> = axis.known.iter().cloned().chain(parts).collect();
    let dimensions = |fewest: u32| {
        let cells: Vec<usize> = (0..axis.cells).filter(|cell| contributors[*cell] >= fewest).collect();
        rank(sums.iter().map(|sum| cells.iter().map(|cell| i64::from(sum.contains(cell))).collect()).collect())
    };
    dimensions(1) == dimensions(least.max(1))
}

/// Rank of a few rows of zeros and ones, by elimination modulo a prime above every minor of nine of them.
fn rank(mut rows: Vec<Vec<i64>>) -> usize {
    const PRIME: i64 = 1_000_003;
    let width = rows.first().map_or(0, Vec::len);
    let mut rank = 0;
    for column in 0..width {
        let Some(pivot) = (rank..rows.len()).find(|row| rows[*row][column] != 0) else { continue };
        rows.swap(rank, pivot);
        let (above, below) = rows.split_at_mut(rank + 1);
        let pivot = &above[rank];
        for row in below {
            // Without division: the row times the pivot's head, less the pivot times the row's.
            let (head, own) = (pivot[column], row[column]);
            for (value, less) in row.iter_mut().zip(pivot) {
                *value = (*value * head - less * own).rem_euclid(PRIME);
            }
        }
        rank += 1;
    }
    rank
}

/// Neighbouring cells that may become a group.
struct Run<'a> {
    axis: &'a Axis,
    least: u32,
    first: usize,
    /// The cell after the last one.
    end: usize,
    /// Banks behind every range of each side, and behind the fullest in the run.
    sides: Vec<(&'a [u32], u32)>,
    /// What each side shares with each other one.
    shared: Vec<Shared>,
}

/// Where one side's rows share their cells with enough banks on another side.
#[derive(Clone, Copy)]
struct Shared {
    /// From this cell on, in all cells with rows.
    from: usize,
    /// Banks behind the fullest range of such cells.
    most: u32,
}

impl<'a> Run<'a> {
    fn new(axis: &'a Axis, contributors: &'a [u32], least: u32, first: usize) -> Self {
        let sides: Vec<_> = contributors.chunks_exact(axis.ranges().max(1)).map(|banks| (banks, 0)).collect();
        let shared = vec![Shared { from: first, most: 0 }; if sides.len() > 1 { sides.len() * sides.len() } else { 0 }];
        Self { axis, least, first, end: first, sides, shared }
    }

    /// Adds the next cell.
    fn take(&mut self, cell: usize) {
        self.end = cell + 1;
        for (banks, most) in &mut self.sides {
            *most = (*most).max(fullest(self.axis, banks, self.first, cell));
        }
        let count = self.sides.len();
        for (pair, shared) in self.shared.iter_mut().enumerate() {
            let (banks, other) = (self.sides[pair / count].0, self.sides[pair % count].0);
            if banks[cell] > 0 && other[cell] < self.least {
                shared.from = cell + 1;
            }
            shared.most = shared.most.max(fullest(self.axis, banks, shared.from, cell));
        }
    }

    /// Whether the cells may be shown as one, on every side.
    fn is_safe(&self) -> bool {
        let filled: Vec<usize> = (0..self.sides.len()).filter(|side| self.sides[*side].1 > 0).collect();
        match filled[..] {
            [] => true,
            [side] => self.sides[side].1 >= self.least,
            _ => self.binds(filled),
        }
    }

    /// Whether these sides are bound to one another.
    fn binds(&self, sides: Vec<usize>) -> bool {
        let mut bound = self.bound_in_pairs(sides);
        let nothing_more = self.sides.len() == 2;
        while bound.len() > 1 && !nothing_more {
            let pairs = (0..bound.len()).flat_map(|one| (0..bound.len()).map(move |other| (one, other)));
            let found = pairs
                .filter(|(one, other)| one != other)
                .find(|(one, other)| bound[*one].iter().any(|side| self.shares(*side, &bound[*other])));
            let Some((one, other)) = found else { return false };
            let (kept, joined) = (one.min(other), bound.remove(one.max(other)));
            bound[kept].extend(joined);
        }
        bound.len() == 1
    }

    /// Sides that are bound two by two.
    fn bound_in_pairs(&self, mut sides: Vec<usize>) -> Vec<Vec<usize>> {
        let shares = |one: usize, other: usize| self.shared[one * self.sides.len() + other].most >= self.least;
        let mut bound = Vec::new();
        while let Some(side) = sides.pop() {
            let (mut reached, mut place) = (vec![side], 0);
            while let Some(&side) = reached.get(place) {
                let (next, rest): (Vec<_>, Vec<_>) =
                    sides.into_iter().partition(|other| shares(side, *other) || shares(*other, side));
                sides = rest;
                reached.extend(next);
                place += 1;
            }
            bound.push(reached);
        }
        bound
    }

    /// Whether some range has enough banks on this side, all of whose cells with rows there have enough on one of the others.
    fn shares(&self, side: usize, others: &[usize]) -> bool {
        let banks = self.sides[side].0;
        let mut from = self.first;
        (self.first..self.end).any(|cell| {
            if banks[cell] > 0 && others.iter().all(|other| self.sides[*other].0[cell] < self.least) {
                from = cell + 1;
            }
            fullest(self.axis, banks, from, cell) >= self.least
        })
    }
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
pub(crate) mod tests;
