//! The parts of a sum: which round comes next for a request, and what it leads to. The same at platform and banks.
//!
//! ```text
//! rows of the set (once a set and cohort) -> who has rows in which cells -> rows of the groups -> who wants which joined -> the cells
//!                                                                        -> the cells, where they count rows alone
//!                                         -> the sum, where it has no cells
//! ```

use tally_model::release::{
    Axis, Fold, joins, lane_words, pack, packed_words, size_words, sizes, unpack, unpack_lanes,
};
use tally_model::{RowSet, SumRequest, Sums};

use super::Contract;
use crate::aggregation::Part;

/// A sum request on its way through its rounds.
pub(super) struct Asked {
    request: SumRequest,
    axes: Vec<Axis>,
    seen: Option<Seen>,
    /// Whether rows are counted before anything else is summed over them.
    guarded: bool,
    /// Largest share of a group that may be one bank's own, where groups are weighed.
    share: Option<f64>,
    weighed: Option<Weighed>,
    counted: Counted,
}

/// What the indicators told: banks behind each range of cells.
struct Seen {
    cohort: Vec<String>,
    contributors: Vec<u32>,
}

/// The rows of the groups of one cohort and, once they are known, how many banks want each group joined to the one before it.
struct Weighed {
    cohort: Vec<String>,
    sizes: Vec<i64>,
    joins: Option<Vec<u32>>,
}

/// The sets of rows whose number is known.
#[derive(Clone, Default)]
struct Counted {
    train: Option<Behind>,
    holdout: Option<Behind>,
}

/// The banks whose rows were counted, and how many of them have enough for a sum without cells.
#[derive(Clone)]
struct Behind {
    cohort: Vec<String>,
    banks: u32,
}

/// What a released round leads to.
pub(super) enum Reached {
    /// The number of rows is known.
    Rows(u64),
    /// Something that decides over the sum is known; the sum itself is yet to come.
    Part,
    /// The sum.
    Sums(Sums),
}

impl Asked {
    /// The first sum of a session.
    pub(super) fn first(request: SumRequest, terms: &Contract) -> Self {
        let (axes, guarded, share) = (request.axes(), terms.balance.is_some(), terms.cell_share());
        Self { request, axes, seen: None, guarded, share, weighed: None, counted: Counted::default() }
    }

    /// The sum that is asked after this one.
    pub(super) fn then(&self, request: SumRequest) -> Self {
        let axes = request.axes();
        let counted = self.counted.clone();
        Self { request, axes, seen: None, guarded: self.guarded, share: self.share, weighed: None, counted }
    }

    pub(super) fn request(&self) -> &SumRequest {
        &self.request
    }

    pub(super) fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// The part that comes next if it is asked of `cohort`.
    pub(super) fn part(&self, cohort: &[String]) -> Part {
        let counted = self.behind().is_some_and(|behind| behind.cohort == cohort);
        if self.guarded && !counted { Part::Rows } else { self.after_rows(cohort) }
    }

    fn after_rows(&self, cohort: &[String]) -> Part {
        match &self.seen {
            _ if self.axes.is_empty() => match self.guarded {
                true => Part::Firm,
                false => Part::Whole,
            },
            None => Part::Presence,
            Some(_) if self.share.is_some() && self.request.weighs() => match self.weighed(cohort) {
                None => Part::Sizes,
                Some(Weighed { joins: None, .. }) => Part::Joins,
                Some(_) => Part::Cells,
            },
            Some(_) => Part::Cells,
        }
    }

    fn weighed(&self, cohort: &[String]) -> Option<&Weighed> {
        self.weighed.as_ref().filter(|weighed| weighed.cohort == cohort)
    }

    fn behind(&self) -> Option<&Behind> {
        match self.request.rows {
            RowSet::Train => self.counted.train.as_ref(),
            RowSet::Holdout => self.counted.holdout.as_ref(),
        }
    }

    /// Words of a part.
    pub(super) fn words(&self, part: Part) -> usize {
        match part {
            Part::Rows => 2,
            Part::Presence => packed_words(&self.axes),
            Part::Sizes => size_words(&self.axes),
            Part::Joins => lane_words(self.cells()),
            Part::Whole | Part::Firm | Part::Cells => self.request.words(),
        }
    }

    fn cells(&self) -> usize {
        self.axes.iter().map(|axis| axis.cells).sum()
    }

    /// What rows that add `own` to the sum say in a part before it.
    pub(super) fn weights(&self, part: Part, fold: &Fold, own: &[i64], cohort: &[String]) -> Option<Vec<i64>> {
        let mut folded = own.to_vec();
        fold.apply(&self.axes, &mut folded);
        let own = sizes(&self.axes, &folded);
        if part == Part::Sizes {
            return Some(own);
        }
        let (weighed, share) = (self.weighed(cohort)?, self.share?);
        Some(pack(&joins(&self.axes, fold, &own, &weighed.sizes, share)))
    }

    /// Whether enough banks stand behind a part: of a sum without cells, banks with rows enough.
    pub(super) fn stands(&self, part: Part, terms: &Contract) -> bool {
        part != Part::Firm || self.behind().is_some_and(|behind| behind.banks >= terms.limits.min_cell)
    }

    /// How cells are folded for a sum over `cohort`: each bank that left since the indicators were given may have stood
    /// behind any cell. Groups are joined where their rows were weighed. `None` if the cohort holds a bank that gave no indicators.
    pub(super) fn fold(&self, cohort: &[String], least: u32) -> Option<Fold> {
        let Some(seen) = &self.seen else { return Some(Fold::none(&self.axes)) };
        let known = cohort.iter().all(|bank| seen.cohort.contains(bank));
        let left = u32::try_from(seen.cohort.len().checked_sub(cohort.len())?).ok()?;
        let fold = known.then(|| Fold::new(&self.axes, &seen.contributors, least.saturating_add(left)))?;
        match self.weighed(cohort).and_then(|weighed| weighed.joins.as_ref()) {
            Some(joins) => Some(fold.joined(&self.axes, joins)),
            None => Some(fold),
        }
    }

    /// Which words of a folded sum may be other than zero.
    pub(super) fn shown(&self, fold: &Fold) -> Vec<bool> {
        match &self.seen {
            Some(seen) => fold.shown(&self.axes, &seen.contributors),
            None => vec![true; self.request.words()],
        }
    }

    /// Takes in the released words of a part; `None` if they cannot be what was asked.
    pub(super) fn release(
        &mut self,
        part: Part,
        cohort: &[String],
        mut words: Vec<i64>,
        terms: &Contract,
    ) -> Option<Reached> {
        let due = part == self.after_rows(cohort) || self.guarded && part == Part::Rows;
        if !due || words.len() != self.words(part) {
            return None;
        }
        if part == Part::Rows {
            return self.rows(cohort, &words, terms);
        }
        if part == Part::Presence {
            let contributors = unpack(&self.axes, &words, cohort.len())?;
            self.seen = Some(Seen { cohort: cohort.to_vec(), contributors });
            return Some(Reached::Part);
        }
        if matches!(part, Part::Sizes | Part::Joins) {
            return self.weigh(part, cohort, words);
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

    fn weigh(&mut self, part: Part, cohort: &[String], words: Vec<i64>) -> Option<Reached> {
        if part == Part::Sizes {
            let counts = words.iter().all(|rows| *rows >= 0);
            self.weighed = counts.then(|| Weighed { cohort: cohort.to_vec(), sizes: words, joins: None });
            return counts.then_some(Reached::Part);
        }
        let joins = unpack_lanes(self.cells(), &words, cohort.len())?;
        let weighed = self.weighed.as_mut().filter(|weighed| weighed.cohort == cohort)?;
        weighed.joins = Some(joins);
        Some(Reached::Part)
    }

    fn rows(&mut self, cohort: &[String], words: &[i64], terms: &Contract) -> Option<Reached> {
        let [rows, banks] = words else { return None };
        let rows = u64::try_from(*rows).ok().filter(|rows| *rows <= terms.limits.row_cap)?;
        let banks = u32::try_from(*banks).ok().filter(|banks| *banks as usize <= cohort.len())?;
        let behind = Some(Behind { cohort: cohort.to_vec(), banks });
        match self.request.rows {
            RowSet::Train => self.counted.train = behind,
            RowSet::Holdout => self.counted.holdout = behind,
        }
        Some(Reached::Rows(rows))
    }
}
