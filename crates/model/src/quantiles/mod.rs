//! Quantiles of pooled values by counting: a few passes of refinement, no sketch, since a sketch is not a sum.

mod dyadic;
mod nested;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use self::dyadic::QuantileSearch;
pub use self::nested::CoarseCuts;
pub(crate) use self::nested::NestedSearch;
use crate::request::{FieldBins, Kind, RangeField, Sums};
use crate::spans::SpanField;

/// How the cut points of the banks' numbers are sought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CutSearch {
    /// Three passes over dyadic ranges; ranges that were counted together are looked into no more, and a cut may lie inside the
    /// range that it was found by. Sessions before `nested` ran so, and are replayed so.
    #[default]
    Dyadic,
    /// Every pass divides what the one before counted, until a cut is settled; a cut lies above all that was counted below it.
    Nested,
}

impl CutSearch {
    /// True for the search of contracts that do not name one.
    pub fn is_first(&self) -> bool {
        *self == Self::default()
    }
}

/// How bins are sought.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) search: CutSearch,
    /// Equal-frequency bins of a number.
    pub(crate) bins: u16,
    /// A range with fewer rows is not looked into.
    pub(crate) min_rows: u64,
    /// Sums carry noise: each costs of a budget, and small counts say nothing.
    pub(crate) noisy: bool,
}

/// The bins of every field: numbers at the banks are searched for, the others are given.
#[derive(Clone, Debug)]
pub(crate) struct BinSearch {
    fields: Vec<Binned>,
    terms: Terms,
}

#[derive(Clone, Debug)]
enum Binned {
    Dyadic(QuantileSearch),
    Nested(NestedSearch),
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
    /// Bins for the fields of a plan, in order.
    pub(crate) fn new<'a>(fields: impl Iterator<Item = Bins<'a>>, terms: Terms) -> Self {
        let binned = |(field, known): (usize, Bins)| match (known, terms.search) {
            (Bins::Sought(special), CutSearch::Dyadic) => {
                Binned::Dyadic(QuantileSearch::new(field, terms.bins, special))
            }
            (Bins::Sought(special), CutSearch::Nested) => Binned::Nested(NestedSearch::new(field, &terms, special)),
            (Bins::Given(bins), _) => Binned::Given(bins),
        };
        Self { fields: fields.enumerate().map(binned).collect(), terms }
    }

    /// What to count next; nothing when all bins are known.
    pub(crate) fn ask(&self) -> Option<Kind> {
        match self.terms.search {
            CutSearch::Dyadic => {
                let asked: Vec<_> = self.fields.iter().filter_map(Binned::ranges).collect();
                (!asked.is_empty()).then_some(Kind::Ranges(asked))
            }
            CutSearch::Nested => {
                let asked: Vec<_> = self.fields.iter().filter_map(Binned::spans).collect();
                (!asked.is_empty()).then_some(Kind::Spans(asked))
            }
        }
    }

    /// Takes in the counts of what was asked.
    pub(crate) fn answer(&mut self, asked: &Kind, sums: &Sums) {
        match asked {
            Kind::Ranges(asked) => self.ranges(asked, sums),
            Kind::Spans(asked) => self.spans(asked, sums),
            _ => {}
        }
    }

    fn ranges(&mut self, asked: &[RangeField], sums: &Sums) {
        let mut counts = sums.values.iter().map(|count| count.unsigned_abs());
        let mut axis = 0;
        for one in asked {
            let cells: Vec<_> = counts.by_ref().take(one.words()).collect();
            let groups: Vec<_> = (axis..axis + one.parents.len()).map(|axis| sums.fold.groups(axis)).collect();
            axis += one.parents.len();
            if let Some(Binned::Dyadic(search)) = self.fields.get_mut(one.field) {
                search.answer(one, &cells, &groups, self.terms.min_rows);
            }
        }
    }

    fn spans(&mut self, asked: &[SpanField], sums: &Sums) {
        let mut counts = sums.values.iter().map(|count| count.unsigned_abs());
        let mut axis = 0;
        for one in asked {
            let cells: Vec<_> = counts.by_ref().take(one.words()).collect();
            if let Some(Binned::Nested(search)) = self.fields.get_mut(one.field) {
                search.answer(one, &cells, &sums.fold, axis);
            }
            axis += one.spans.len();
        }
    }

    /// The bins, once nothing is asked any more.
    pub(crate) fn bins(&self) -> Vec<FieldBins> {
        let bins = |field: &Binned| match field {
            Binned::Dyadic(search) => FieldBins::of_number(search.cuts(), search.special()),
            Binned::Nested(search) => FieldBins::of_number(search.cuts(), search.special()),
            Binned::Given(bins) => bins.clone(),
        };
        self.fields.iter().map(bins).collect()
    }

    /// The fields whose bins stayed coarse, by their places.
    pub(crate) fn coarse(&self) -> Vec<Option<CoarseCuts>> {
        let coarse = |field: &Binned| match field {
            Binned::Nested(search) => search.coarse(),
            Binned::Dyadic(_) | Binned::Given(_) => None,
        };
        self.fields.iter().map(coarse).collect()
    }
}

impl Binned {
    fn ranges(&self) -> Option<RangeField> {
        if let Self::Dyadic(search) = self { search.ask() } else { None }
    }

    fn spans(&self) -> Option<SpanField> {
        if let Self::Nested(search) = self { search.ask() } else { None }
    }
}

/// Zero-based ranks of the inner quantiles: the lower of the two neighbours of numpy's linear interpolation.
fn ranks(total: u64, bins: u16) -> impl Iterator<Item = u64> {
    let last = total.checked_sub(1);
    (1..u64::from(bins)).filter_map(move |cut| Some(last? * cut / u64::from(bins)))
}
