//! The search for equal-frequency cuts that divides what it knows.
//!
//! **State.** The leaves: runs of values, upwards, that were counted as one. At first there is one, everything; each pass divides
//! the leaves that an inner quantile lies in, and the release rules say which of the cells are counted together. So
//! every count that is ever shown is a union of the leaves that are left, and so is every bin, since a cut lies above its leaf and
//! below the next: behind whatever the passes and the counts of the bins give when they are added and subtracted stand
//! enough banks. Rows without a number, and rows with a special value, go with the leaf that they were counted in.
//!
//! **Folded leaves.** Where cells were counted together, the leaf remembers which have rows and which have enough banks by
//! themselves: the indicators tell everyone. The next pass divides the latter; the former stay one cell each, since nothing in
//! them can be shown. A single value far off at one bank is thus counted with the last few rows beside it, and
//! hides nothing else. A leaf without a range of enough banks is settled.
//!
//! **Atoms.** Of every range the number with the fewest digits has a cell of its own, so that integers and round numbers are
//! settled as soon as a range holds one of them; others are followed to the last bit.
//!
//! **Cost.** At most [`PASSES`] sums whatever the numbers are (eight where no more than sixteen quantiles are open, four for
//! integers), [`NOISY_PASSES`] under noise; each of about [`CELLS`] cells a field.
//!
//! **How near.** A leaf that holds one number is cut off above it, as by sorting; of any other the end that is nearer, or its
//! upper end if there is a cut at the nearer one already. So a cut lies within a settled leaf of the order statistic: fewer than
//! `min_rows` rows, or the rows that the release rules keep together. Where these keep none together and `min_rows` is 1, cuts split the rows exactly as sorting does, and so do those of
//! any strictly monotone map of the numbers.

use serde::{Deserialize, Serialize};

use super::{Terms, ranks};
use crate::binning::{from_order_key, order_key, roundest, shortest_from};
use crate::release::{Behind, Fold};
use crate::spans::{Piece, Span, SpanField};

/// Most passes: the first takes sign and exponent, each later one at least five bits.
const PASSES: u32 = 12;
/// Most passes under noise.
const NOISY_PASSES: u32 = 3;
/// Cells of a field in a pass, shared by its open leaves.
const CELLS: u64 = 1 << 12;
/// Fewest cells of an open leaf.
const FEWEST_CELLS: u64 = 32;
/// Keys of a cell of the first pass: those of one sign and exponent.
const BINADE: u64 = 1 << 52;

/// A field that ended with few bins, though its numbers differ: too few banks have rows in the same ranges.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoarseCuts {
    /// Bins that the plan asks for.
    pub asked: u16,
    /// Bins that there are.
    pub bins: u16,
    /// Share of the rows with a number in the largest of them.
    pub largest: f64,
}

/// The search for the cuts of one field.
#[derive(Clone, Debug)]
pub(crate) struct NestedSearch {
    field: usize,
    bins: u16,
    min_rows: u64,
    /// Values that are not counted as numbers, in rising order.
    special: Vec<f64>,
    leaves: Vec<Leaf>,
    pass: u32,
    passes: u32,
}

/// Values that were counted as one.
#[derive(Clone, Debug, Default)]
struct Leaf {
    /// Ranges of keys that have rows, upwards.
    ranges: Vec<Range>,
    rows: u64,
    /// Rows without a number are among them.
    missing: bool,
    /// Rows with a special value are.
    special: bool,
}

/// Where an inner quantile lies.
#[derive(Clone, Copy, Debug)]
struct Quantile {
    /// Place of the leaf.
    leaf: usize,
    /// Rows of the leaf up to the quantile.
    inside: u64,
}

/// A range of keys in a leaf.
#[derive(Clone, Copy, Debug)]
struct Range {
    first: u64,
    last: u64,
    /// Enough banks have rows in it.
    enough: bool,
}

impl NestedSearch {
    pub(super) fn new(field: usize, terms: &Terms, special: &[f64]) -> Self {
        Self {
            field,
            bins: terms.bins,
            min_rows: terms.min_rows.max(2),
            special: special.to_vec(),
            leaves: Vec::new(),
            pass: 0,
            passes: if terms.noisy { NOISY_PASSES } else { PASSES },
        }
    }

    /// Values with bins of their own.
    pub(super) fn special(&self) -> &[f64] {
        &self.special
    }

    /// What to count next; nothing when every cut is found.
    pub(super) fn ask(&self) -> Option<SpanField> {
        let spans = if self.pass == 0 { vec![self.everything()] } else { self.spans() };
        let special = self.special.iter().map(|value| order_key(*value)).collect();
        (!spans.is_empty()).then_some(SpanField { field: self.field, spans, special })
    }

    fn everything(&self) -> Span {
        let all = Piece { first: 0, last: u64::MAX, width: BINADE };
        Span { missing: true, pieces: vec![all], special: !self.special.is_empty() }
    }

    fn spans(&self) -> Vec<Span> {
        let open = self.open();
        let cells = (CELLS / open.len().max(1) as u64).clamp(FEWEST_CELLS, CELLS);
        open.into_iter().map(|leaf| self.leaves[leaf].span(cells)).collect()
    }

    /// The leaves that are divided next, by place.
    fn open(&self) -> Vec<usize> {
        let looked_into = |leaf: &usize| self.leaves[*leaf].rows >= self.min_rows && self.leaves[*leaf].is_divisible();
        if self.pass >= self.passes {
            return Vec::new();
        }
        let mut open: Vec<usize> =
            self.quantiles().into_iter().map(|quantile| quantile.leaf).filter(looked_into).collect();
        open.dedup();
        open
    }

    /// The leaves that cuts lie above, by place: the one that the quantile lies in, or the one before it where that is nearer, is
    /// not taken yet, and the quantile's leaf holds more than one number; none above the last.
    fn ends(&self) -> Vec<usize> {
        let mut ends: Vec<usize> = Vec::new();
        for quantile in self.quantiles() {
            let Some(leaf) = self.leaves.get(quantile.leaf) else { continue };
            let (before, after) = (quantile.inside, leaf.rows - quantile.inside);
            let free = |end: &usize| ends.last().is_none_or(|last| last < end);
            let nearer = quantile.leaf.checked_sub(1).filter(|end| before < after && !leaf.is_atom() && free(end));
            // Else a leaf of few banks' rows and one common value would not be parted from the one after it.
            let first = quantile.leaf == 0 && before < after && !leaf.is_atom();
            ends.extend(nearer.or(Some(quantile.leaf)).filter(|end| free(end) && !first));
        }
        ends.retain(|end| end + 1 < self.leaves.len());
        ends
    }

    /// Where the inner quantiles lie.
    fn quantiles(&self) -> Vec<Quantile> {
        let mut quantiles = Vec::new();
        let (mut leaf, mut below) = (0, 0);
        for rank in ranks(self.total(), self.bins) {
            while let Some(rows) = self.leaves.get(leaf).map(|leaf| leaf.rows)
                && below + rows <= rank
            {
                below += rows;
                leaf += 1;
            }
            // The row of the rank is counted.
            quantiles.push(Quantile { leaf, inside: rank - below + 1 });
        }
        quantiles
    }

    fn total(&self) -> u64 {
        self.leaves.iter().map(|leaf| leaf.rows).sum()
    }

    /// Takes in the counts of what was asked, of which the first is on `axis` of the fold.
    pub(super) fn answer(&mut self, asked: &SpanField, counts: &[u64], fold: &Fold, axis: usize) {
        let open = if self.pass == 0 { vec![0] } else { self.open() };
        let known = if self.pass == 0 { vec![Leaf::default()] } else { std::mem::take(&mut self.leaves) };
        let (mut rest, mut spans) = (counts, asked.spans.iter().enumerate());
        for (place, leaf) in known.into_iter().enumerate() {
            match if open.contains(&place) { spans.next() } else { None } {
                Some((number, span)) => {
                    let (own, after) = rest.split_at(span.cells().min(rest.len()));
                    rest = after;
                    self.leaves.extend(divide(&leaf, span, own, fold, axis + number));
                }
                None => self.leaves.push(leaf),
            }
        }
        self.pass += 1;
    }

    /// The cuts, once nothing is asked any more.
    pub(super) fn cuts(&self) -> Vec<f64> {
        let cut =
            |leaf: usize| Some(shortest_from(self.leaves.get(leaf)?.top()?, self.leaves.get(leaf + 1)?.bottom()?));
        self.ends().into_iter().filter_map(cut).collect()
    }

    /// Whether the bins stayed coarse: fewer than a quarter of those asked, and one of them because cells were counted together.
    pub(super) fn coarse(&self) -> Option<CoarseCuts> {
        let ends = self.ends();
        let bins = u16::try_from(ends.len() + 1).unwrap_or(u16::MAX);
        let total = self.total();
        let large = |leaf: &Leaf| leaf.rows.saturating_mul(u64::from(self.bins)) > 2 * total;
        let folded = self.leaves.iter().any(|leaf| leaf.ranges.iter().any(|range| !range.enough) && large(leaf));
        if u32::from(bins) * 4 >= u32::from(self.bins) || !folded {
            return None;
        }
        let mut rows = vec![0u64; ends.len() + 1];
        for (place, leaf) in self.leaves.iter().enumerate() {
            rows[ends.partition_point(|end| *end < place)] += leaf.rows;
        }
        let largest = rows.into_iter().max().unwrap_or(0) as f64 / total.max(1) as f64;
        Some(CoarseCuts { asked: self.bins, bins, largest })
    }
}

/// The leaves that a leaf is divided into by its span; those of missing and special rows alone are left out, and so are empty ones.
fn divide(leaf: &Leaf, span: &Span, counts: &[u64], fold: &Fold, axis: usize) -> Vec<Leaf> {
    let groups = fold.groups(axis);
    let mut cells: Vec<Option<(u64, u64)>> = Vec::with_capacity(counts.len());
    cells.extend(span.missing.then_some(None));
    cells.extend(span.pieces.iter().flat_map(|piece| (0..piece.cells()).map(|cell| Some(piece.cell(cell)))));
    cells.extend(span.special.then_some(None));
    let ends = groups.iter().skip(1).copied().chain([cells.len()]);
    // Ranges of few banks that were taken together stay what they are, also if enough banks have rows in all of them.
    let known_few =
        |key: u64| leaf.ranges.iter().any(|range| !range.enough && (range.first..=range.last).contains(&key));
    let part = |(first, end): (&usize, usize)| {
        let rows = counts.get(*first).copied().unwrap_or(0);
        let mut part = Leaf {
            ranges: Vec::new(),
            rows,
            missing: span.missing && *first == 0,
            special: span.special && end == cells.len(),
        };
        for (cell, known) in cells.iter().enumerate().take(end).skip(*first) {
            let behind = fold.behind(axis, cell).unwrap_or(if rows > 0 { Behind::Enough } else { Behind::Nobody });
            if let Some((first, last)) = *known
                && behind != Behind::Nobody
            {
                part.take(Range { first, last, enough: behind == Behind::Enough && !known_few(first) });
            }
        }
        (!part.ranges.is_empty()).then_some(part)
    };
    groups.iter().zip(ends).filter_map(part).collect()
}

impl Leaf {
    /// Adds the next range; ranges of few banks are one with those beside them, since neither can be looked into.
    fn take(&mut self, range: Range) {
        match self.ranges.last_mut() {
            Some(last) if !last.enough && !range.enough => last.last = range.last,
            _ => self.ranges.push(range),
        }
    }

    /// Whether it holds one number only.
    fn is_atom(&self) -> bool {
        matches!(self.ranges[..], [Range { first, last, .. }] if first == last)
    }

    /// Whether there is anything in it that another pass could tell apart.
    fn is_divisible(&self) -> bool {
        self.ranges.iter().any(Range::is_divisible)
    }

    /// Its cells for the next pass.
    fn span(&self, cells: u64) -> Span {
        let divisible = self.ranges.iter().filter(|range| range.is_divisible()).count() as u64;
        let pieces = self.ranges.iter().flat_map(|range| range.pieces(cells / divisible.max(1)));
        Span { missing: self.missing, pieces: pieces.collect(), special: self.special }
    }

    /// The largest number that its ranges reach.
    fn top(&self) -> Option<f64> {
        self.ranges.last().map(|range| from_order_key(range.last.min(order_key(f64::MAX))))
    }

    /// The least number that its ranges reach.
    fn bottom(&self) -> Option<f64> {
        self.ranges.first().map(|range| from_order_key(range.first))
    }
}

impl Range {
    fn is_divisible(&self) -> bool {
        self.enough && self.first < self.last
    }

    /// Cuts the range into about so many cells, the shortest number in it apart.
    fn pieces(&self, cells: u64) -> Vec<Piece> {
        let (first, last) = (self.first, self.last);
        if !self.is_divisible() {
            return vec![Piece { first, last, width: (last - first).saturating_add(1) }];
        }
        if last - first < cells {
            return vec![Piece { first, last, width: 1 }];
        }
        let width = ((last - first) / cells).saturating_add(1);
        let short = order_key(roundest(from_order_key(first), from_order_key(last))).clamp(first, last);
        let below = (short > first).then(|| Piece { first, last: short - 1, width });
        let above = (short < last).then(|| Piece { first: short + 1, last, width });
        let apart = Piece { first: short, last: short, width: 1 };
        below.into_iter().chain([apart]).chain(above).collect()
    }
}
