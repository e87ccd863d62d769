//! The parts of a sum: which round comes next for a request, and what it leads to. The same at platform and banks.

use tally_model::release::{Axis, Fold, packed_words, unpack};
use tally_model::{SumRequest, Sums};

use super::Contract;
use crate::aggregation::Part;

/// A sum request on its way through its rounds.
pub(super) struct Asked {
    request: SumRequest,
    axes: Vec<Axis>,
    seen: Option<Seen>,
}

/// What the indicators told: banks behind each range of cells.
struct Seen {
    cohort: Vec<String>,
    contributors: Vec<u32>,
}

/// What a released round leads to.
pub(super) enum Reached {
    /// The indicators are known: the cells are asked next.
    Cells,
    /// The sum.
    Sums(Sums),
}

impl Asked {
    pub(super) fn new(request: SumRequest) -> Self {
        let axes = request.axes();
        Self { request, axes, seen: None }
    }

    pub(super) fn request(&self) -> &SumRequest {
        &self.request
    }

    pub(super) fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// The part that comes next.
    pub(super) fn part(&self) -> Part {
        match &self.seen {
            _ if self.axes.is_empty() => Part::Whole,
            None => Part::Presence,
            Some(_) => Part::Cells,
        }
    }

    /// Words of the part that comes next.
    pub(super) fn words(&self) -> usize {
        match self.part() {
            Part::Presence => packed_words(&self.axes),
            Part::Whole | Part::Cells => self.request.words(),
        }
    }

    /// How cells are folded for a sum over `cohort`: each bank that left since the indicators were given may have stood
    /// behind any cell. `None` if the cohort holds a bank that gave no indicators.
    pub(super) fn fold(&self, cohort: &[String], least: u32) -> Option<Fold> {
        let Some(seen) = &self.seen else { return Some(Fold::none(&self.axes)) };
        let known = cohort.iter().all(|bank| seen.cohort.contains(bank));
        let left = u32::try_from(seen.cohort.len().checked_sub(cohort.len())?).ok()?;
        known.then(|| Fold::new(&self.axes, &seen.contributors, least.saturating_add(left)))
    }

    /// Which words of a folded sum may be other than zero.
    pub(super) fn shown(&self, fold: &Fold) -> Vec<bool> {
        match &self.seen {
            Some(seen) => fold.shown(&self.axes, &seen.contributors),
            None => vec![true; self.request.words()],
        }
    }

    /// Takes in the released words of the part; `None` if they cannot be what was asked.
    pub(super) fn release(&mut self, cohort: &[String], mut words: Vec<i64>, terms: &Contract) -> Option<Reached> {
        if words.len() != self.words() {
            return None;
        }
        if self.part() == Part::Presence {
            let contributors = unpack(&self.axes, &words, cohort.len())?;
            self.seen = Some(Seen { cohort: cohort.to_vec(), contributors });
            return Some(Reached::Cells);
        }
        let fold = self.fold(cohort, terms.limits.min_cell)?;
        // What is no count of rows came from a bank that deviates, or from noise.
        for count in self.request.counts(&mut words) {
            let most = i64::try_from(terms.limits.row_cap).unwrap_or(i64::MAX);
            if !(0..=most).contains(count) && terms.noise.is_none() {
                return None;
            }
            *count = (*count).clamp(0, most);
        }
        let seen = self.seen.take().map(|seen| seen.cohort).unwrap_or_default();
        Some(Reached::Sums(Sums { values: words, cohort: cohort.to_vec(), seen, fold }))
    }
}
