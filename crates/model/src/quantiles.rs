//! Quantiles of pooled values by counting: a few passes of dyadic refinement, no sketch, since a sketch is not a sum.

use crate::binning::{from_order_key, order_key, roundest};
use crate::request::{FieldBins, RangeField, Sums};

/// Bits counted in each pass: sign and exponent first, then the mantissa to about five digits.
const PASSES: [u32; 3] = [12, 8, 8];

/// The bins of every field: numbers at the banks are searched for, the others are given.
#[derive(Clone, Debug)]
pub(crate) struct BinSearch {
    fields: Vec<Binned>,
    min_rows: u64,
}

#[derive(Clone, Debug)]
enum Binned {
    Searched(QuantileSearch),
    Given(FieldBins),
}

/// What a plan says of the bins of a field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Bins<'a> {
    /// They are searched for among all values but these, which have bins of their own.
    Sought(&'a [f64]),
    /// They are known.
    Given(FieldBins),
}

impl BinSearch {
    /// Bins for the fields of a plan, in order; a range with fewer than `min_rows` rows is not refined.
    pub(crate) fn new<'a>(fields: impl Iterator<Item = Bins<'a>>, bins: u16, min_rows: u64) -> Self {
        let binned = |(field, known): (usize, Bins)| match known {
            Bins::Sought(special) => Binned::Searched(QuantileSearch::new(field, bins, special)),
            Bins::Given(bins) => Binned::Given(bins),
        };
        Self { fields: fields.enumerate().map(binned).collect(), min_rows }
    }

    /// What to count next; nothing when all bins are known.
    pub(crate) fn ask(&self) -> Vec<RangeField> {
        self.fields.iter().filter_map(Binned::ask).collect()
    }

    /// Takes in the counts of what was asked.
    pub(crate) fn answer(&mut self, asked: &[RangeField], sums: &Sums) {
        let mut counts = sums.values.iter().map(|count| count.unsigned_abs());
        let mut axis = 0;
        for one in asked {
            let cells: Vec<_> = counts.by_ref().take(one.words()).collect();
            let groups: Vec<_> = (axis..axis + one.parents.len()).map(|axis| sums.fold.groups(axis)).collect();
            axis += one.parents.len();
            if let Some(Binned::Searched(search)) = self.fields.get_mut(one.field) {
                search.answer(one, &cells, &groups, self.min_rows);
            }
        }
    }

    /// The bins, once nothing is asked any more.
    pub(crate) fn bins(&self) -> Vec<FieldBins> {
        let bins = |field: &Binned| match field {
            Binned::Searched(search) => FieldBins::of_number(search.cuts(), &search.special),
            Binned::Given(bins) => bins.clone(),
        };
        self.fields.iter().map(bins).collect()
    }
}

impl Binned {
    fn ask(&self) -> Option<RangeField> {
        match self {
            Self::Searched(search) => search.ask(),
            Self::Given(_) => None,
        }
    }
}

/// The search for the equal-frequency cuts of one field.
#[derive(Clone, Debug)]
pub(crate) struct QuantileSearch {
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
    fn new(field: usize, bins: u16, special: &[f64]) -> Self {
        Self { field, bins, total: 0, targets: Vec::new(), pass: 0, special: special.to_vec() }
    }

    /// What to count next; nothing when every cut is found.
    pub(crate) fn ask(&self) -> Option<RangeField> {
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
    pub(crate) fn answer(&mut self, asked: &RangeField, counts: &[u64], groups: &[&[usize]], min_rows: u64) {
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

    /// The cuts, once nothing is asked any more.
    pub(crate) fn cuts(&self) -> Vec<f64> {
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

/// Zero-based ranks of the inner quantiles: the lower of the two neighbours of numpy's linear interpolation.
fn ranks(total: u64, bins: u16) -> impl Iterator<Item = u64> {
    let last = total.checked_sub(1);
    (1..u64::from(bins)).filter_map(move |cut| Some(last? * cut / u64::from(bins)))
}
