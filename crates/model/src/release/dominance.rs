//! Dominance: a group of which one bank has nearly all rows shows that bank's good and bad rows to everyone, however many banks
//! stand behind it. Such a group is joined with its neighbours before its good and bad rows are added.
//!
//! Once the cells are folded by their indicators, the banks add up the rows of each group ([`sizes`]), good and bad together.
//! Each bank then joins groups until none has more than the share of its own rows in it ([`joins`]), and the banks add up who
//! wants which boundary away. A boundary that any bank wants away goes ([`Fold::joined`]): every group is then a union of groups
//! that a bank can bear, so every bank can bear it, since what is at most a share of each part is at most a share of the whole. An
//! axis on which that is not possible is withheld, and so is a table whose margins are known.
//!
//! **What it tells.** The rows of groups whose good and bad rows are then not shown, and how many banks wanted a boundary away.
//! Sums that count rows alone are not weighed: the sizes would be the sum itself.
//!
//! **What it does not do.** The share is kept in each group that is shown, not in differences between groups of several sums.
//! A bank that colludes may pretend to any number of rows, and a bank that asks for needless joins makes the sum coarser; it could
//! as well stop the session.
//!
//! **Which share.** Statistical offices suppress a cell of which one respondent has more than some 70 to 90 %; one half, as for
//! all rows together, would join most groups of the largest of a few banks of unequal size. See Hundepool et al.,
//! Statistical Disclosure Control, 2012, section 4.2 (the (n, k) rule with n = 1).

use super::{Axis, Fold};

/// Rows of every cell, one word a side, from what rows add to a sum. Where a sum has no count of rows but a weight, that.
pub fn sizes(axes: &[Axis], values: &[i64]) -> Vec<i64> {
    let mut rest = values;
    let mut sizes = Vec::new();
    for axis in axes {
        let (own, after) = rest.split_at((axis.cells * axis.width()).min(rest.len()));
        rest = after;
        let rows =
            |cell: &[i64]| cell[axis.words - axis.counts..].iter().fold(0i64, |sum, count| sum.wrapping_add(*count));
        sizes.extend(own.chunks_exact(axis.words).map(rows));
    }
    sizes
}

/// Words of [`sizes`].
pub fn size_words(axes: &[Axis]) -> usize {
    axes.iter().map(|axis| axis.cells * axis.sides).sum()
}

/// What a bank with `own` of `all` rows in the groups wants joined, so that it has no more than `share` of a group on any side.
/// One answer a cell: for the first cell of a group, whether it is to be counted with the group before it; for the first cell
/// of an axis, whether the axis is to be withheld.
pub fn joins(axes: &[Axis], fold: &Fold, own: &[i64], all: &[i64], share: f64) -> Vec<bool> {
    let (mut own, mut all) = (own, all);
    let mut joins = Vec::new();
    for (place, axis) in axes.iter().enumerate() {
        let words = (axis.cells * axis.sides).min(own.len()).min(all.len());
        let (these, those);
        (these, own) = own.split_at(words);
        (those, all) = all.split_at(words);
        let weights = Weights::new(axis, fold.groups(place), [these, those], share);
        joins.extend(weights.joins(axis, fold.groups(place)));
    }
    joins
}

impl Fold {
    /// Without the boundaries that any bank wants away.
    pub fn joined(mut self, axes: &[Axis], joins: &[u32]) -> Self {
        let mut rest = joins;
        for (axis, groups) in axes.iter().zip(&mut self.groups) {
            let (own, after) = rest.split_at(axis.cells.min(rest.len()));
            rest = after;
            let wanted = |cell: &usize| own.get(*cell).is_some_and(|banks| *banks > 0);
            if wanted(&0) || !axis.known.is_empty() && groups.iter().any(wanted) {
                groups.clear();
            }
            groups.retain(|first| !wanted(first));
        }
        self
    }
}

/// Rows of the first so many groups of an axis, own and all, side by side.
struct Weights {
    upto: Vec<Vec<[i64; 2]>>,
    share: f64,
}

impl Weights {
    fn new(axis: &Axis, groups: &[usize], [own, all]: [&[i64]; 2], share: f64) -> Self {
        let mut upto = vec![vec![[0i64; 2]; axis.sides]];
        for first in groups {
            let mut sums = upto.last().cloned().unwrap_or_default();
            for (side, [mine, everyones]) in sums.iter_mut().enumerate() {
                let rows = |of: &[i64]| of.get(first * axis.sides + side).copied().unwrap_or_default();
                *mine = mine.saturating_add(rows(own));
                *everyones = everyones.saturating_add(rows(all));
            }
            upto.push(sums);
        }
        Self { upto, share }
    }

    /// Whether this bank has too large a share of these groups together.
    fn tips(&self, groups: std::ops::Range<usize>) -> bool {
        let sides = self.upto[groups.start].iter().zip(&self.upto[groups.end]);
        sides.into_iter().any(|(before, after)| {
            let [own, all] = [0, 1].map(|which| after[which].saturating_sub(before[which]));
            own as f64 > self.share * all as f64
        })
    }

    fn joins(&self, axis: &Axis, groups: &[usize]) -> Vec<bool> {
        let mut joins = vec![false; axis.cells];
        let starts = match axis.known.is_empty() {
            true => self.starts(groups.len()),
            false => (0..groups.len()).all(|group| !self.tips(group..group + 1)).then(|| (0..groups.len()).collect()),
        };
        let Some(starts) = starts else {
            joins.iter_mut().take(1).for_each(|withheld| *withheld = true);
            return joins;
        };
        for (group, first) in groups.iter().enumerate() {
            joins[*first] = starts.binary_search(&group).is_err();
        }
        joins
    }

    /// The groups that begin a union, in the division into most unions of which this bank can bear each; of equal ones, the one
    /// whose last unions are the shortest. `None` where there is none. Quadratic in the groups.
    fn starts(&self, groups: usize) -> Option<Vec<usize>> {
        // Of the first so many groups: how many unions, and where the last one begins.
        let mut best = vec![Some((0, 0))];
        for end in 1..=groups {
            let unions = (0..end).rev().filter_map(|start| Some((best[start]?.0 + 1, start)));
            let borne = unions.filter(|(_, start)| !self.tips(*start..end));
            best.push(borne.reduce(|best, one| if one.0 > best.0 { one } else { best }));
        }
        let mut starts = Vec::new();
        let mut end = groups;
        while end > 0 {
            end = best[end]?.1;
            starts.push(end);
        }
        starts.reverse();
        Some(starts)
    }
}

#[cfg(test)]
mod tests;
