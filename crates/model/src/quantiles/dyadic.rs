//! The search of sessions whose contract names none: three passes over dyadic ranges of the order-preserving integer of a value.
//!
//! Kept as it was, since what such sessions left is replayed by it. Two faults of it are why no new session uses it. Where too
//! few banks stand behind a range it is counted with its neighbours and looked into no more, so a single value far off may leave
//! a field with one bin. And a cut is a short number *inside* the range found: rows above it in that range are counted in the next
//! bin, and the difference between the rows of a bin and of the ranges in it may be the rows of few banks.

use super::ranks;
use crate::binning::{from_order_key, order_key, roundest};
use crate::request::RangeField;

/// Bits counted in each pass: sign and exponent first, then the mantissa to about five digits.
const PASSES: [u32; 3] = [12, 8, 8];

/// The search for the equal-frequency cuts of one field.
#[derive(Clone, Debug)]
pub(super) struct QuantileSearch {
    field: usize,
    bins: u16,
    total: u64,
    targets: Vec<Target>,
    pass: usize,
    /// Values that are not counted, in rising order.
    special: Vec<f64>,
}

/// Where one order statistic lies so far.
#[derive(Clone, Debug)]
struct Target {
    rank: u64,
    prefix: u64,
    depth: u32,
    /// Rows below the range.
    below: u64,
    /// The range holds too few rows to look into, or is fine enough.
    settled: bool,
}

impl QuantileSearch {
    pub(super) fn new(field: usize, bins: u16, special: &[f64]) -> Self {
        Self { field, bins, total: 0, targets: Vec::new(), pass: 0, special: special.to_vec() }
    }

    /// What to count next; nothing when every cut is found.
    pub(super) fn ask(&self) -> Option<RangeField> {
        let refine = *PASSES.get(self.pass)?;
        let special: Vec<_> = self.special.iter().map(|value| order_key(*value)).collect();
        if self.pass == 0 {
            return Some(RangeField { field: self.field, depth: 0, parents: vec![0], refine, special });
        }
        let depth = PASSES[..self.pass].iter().sum();
        let mut parents: Vec<_> =
            self.targets.iter().filter(|target| !target.settled).map(|target| target.prefix).collect();
        parents.dedup();
        (!parents.is_empty()).then_some(RangeField { field: self.field, depth, parents, refine, special })
    }

    /// Takes in the counts of what was asked; `groups` are the first cells of the groups of each parent: a range that is
    /// counted together with others is not looked into.
    pub(super) fn answer(&mut self, asked: &RangeField, counts: &[u64], groups: &[&[usize]], min_rows: u64) {
        // Rows without a number lie in the first cell; where others are counted with them, they cannot be told apart.
        let missing = self.pass == 0 && groups.first().is_some_and(|first| first.get(1) == Some(&1));
        if self.pass == 0 {
            self.total = counts.iter().skip(usize::from(missing)).sum();
            self.targets = ranks(self.total, self.bins)
                .map(|rank| Target { rank, prefix: 0, depth: 0, below: 0, settled: false })
                .collect();
        }
        let last = self.pass + 1 == PASSES.len();
        for target in self.targets.iter_mut().filter(|target| !target.settled) {
            let Ok(parent) = asked.parents.binary_search(&target.prefix) else { continue };
            let cells = &counts[parent << asked.refine..(parent + 1) << asked.refine];
            let groups = groups.get(parent).copied().unwrap_or_default();
            target.settled = groups.is_empty();
            let mut below = target.below;
            let ends = groups.iter().skip(1).copied().chain([cells.len()]);
            for (&first, end) in groups.iter().zip(ends).skip(usize::from(missing)) {
                let count = cells[first];
                if below + count > target.rank {
                    target.prefix = target.prefix << asked.refine | (end - 1) as u64;
                    target.depth = asked.depth + asked.refine;
                    target.below = below;
                    target.settled = last || end - first > 1 || count < min_rows;
                    break;
                }
                below += count;
            }
        }
        self.pass += 1;
    }

    /// Values with bins of their own.
    pub(super) fn special(&self) -> &[f64] {
        &self.special
    }

    /// The cuts, once nothing is asked any more.
    pub(super) fn cuts(&self) -> Vec<f64> {
        let mut cuts: Vec<f64> = self.targets.iter().map(Target::upper_end).collect();
        cuts.sort_unstable_by(f64::total_cmp);
        cuts.dedup();
        cuts
    }
}

impl Target {
    fn upper_end(&self) -> f64 {
        let rest = 64 - self.depth;
        let low = self.prefix.checked_shl(rest).unwrap_or(0);
        let high = if rest == 64 { u64::MAX } else { low | ((1 << rest) - 1) };
        roundest(from_order_key(low), from_order_key(high))
    }
}
