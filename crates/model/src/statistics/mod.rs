//! Pooled statistics: amounts and counts by cells whose names are public, as one sum over the rows of several holders.
//!
//! A row is a borrower of one bank. Every [`Tally`] is a number a row: an amount, in whole units, or 1, for rows that fulfil its
//! conditions. Tables sum the tallies by the values of one or more category fields. A cell behind which too few banks stand is
//! counted with its neighbours, by the same release rules as every sum; a table of which no group is safe is withheld, its
//! total is not. No field stands in two tables: the margins of one table could otherwise be told from those of another. Nor
//! does a condition look at a field of a table: what it picks is a cell. Behind what other conditions pick stand the banks of
//! the cell, of which some may have no such row; who has none is told to nobody, as of good and bad rows.
//!
//! **Bound.** An amount is at most `cap`; in whole units `cap / unit`. The plan is refused unless `row cap x cap / unit < 2^62`,
//! so no sum overflows. **Rounding.** Each row's amount is rounded to whole units, half to even, before anything is added:
//! a total is off by at most half a unit a row, and is the same, bit for bit, however rows are spread over banks.

mod request;
mod tabulator;
#[cfg(test)]
mod tests;

pub use request::{Condition, Tabulation, Tally, TallyKind};
pub use tabulator::{Group, Statistics, StatisticsTable, Tabulator};

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;

use crate::plan::PlanError;
use crate::request::{Kind, RowSet, SumRequest};
use crate::text::Text;

/// What is summed: public, part of the contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatisticsPlan {
    /// What is summed, with its names for people: amounts first, then counts.
    pub tallies: Vec<(Measure, Tally)>,
    /// Ratios of two tallies' sums.
    pub shares: Vec<SharePlan>,
    /// By which fields.
    pub tables: Vec<TablePlan>,
    /// One unit of an amount, in the unit of its column.
    pub unit: f64,
    /// Largest amount of a row, in the unit of its column.
    pub cap: f64,
    /// Most rows of all banks together.
    pub row_cap: u64,
    /// Public randomness of the session: sessions of equal terms have results of different names.
    pub seed: Digest,
}

/// How a tally is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    /// Name for programs.
    pub name: String,
    /// Name for people.
    pub title: Text,
}

/// The ratio of two tallies' sums.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharePlan {
    /// Name for programs.
    pub name: String,
    /// Name for people.
    pub title: Text,
    /// The tally above the line.
    pub of: String,
    /// The tally below the line; `rows` is the number of borrowers.
    pub over: String,
}

/// One table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TablePlan {
    /// Its fields, the first one changing slowest.
    pub fields: Vec<CellField>,
}

/// A category field of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellField {
    /// Name.
    pub name: String,
    /// Place among a table's columns.
    pub field: usize,
    /// Its values in code order: with "missing" before them, the names of the cells.
    pub values: Vec<String>,
}

/// Most cells of all tables.
const MAX_CELLS: usize = 20_000;
/// Name of the count of rows, which every statistic has.
pub const ROWS: &str = "rows";

impl StatisticsPlan {
    /// The one sum that is asked.
    pub fn request(&self) -> SumRequest {
        let tables = self.tables.iter();
        let tabulation = Tabulation {
            tallies: self.tallies.iter().map(|(_, tally)| tally.clone()).collect(),
            unit: self.unit,
            cap: self.cap,
            tables: tables.map(|table| table.fields.iter().map(CellField::cells).collect()).collect(),
        };
        SumRequest { rows: RowSet::Train, scale_bits: 0, kind: Kind::Statistics(tabulation) }
    }

    /// Names of all that is summed, the rows last.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tallies.iter().map(|(measure, _)| measure.name.as_str()).chain([ROWS])
    }

    /// Checks the bounds; with them the sum cannot overflow.
    ///
    /// # Errors
    /// Names the parameter.
    pub fn check(&self) -> Result<(), PlanError> {
        let positive = |number: f64| number.is_finite() && number > 0.0;
        let mut names: Vec<_> = self.names().collect();
        names.sort_unstable();
        let known = |name: &String| names.binary_search(&name.as_str()).is_ok();
        let shares = self.shares.iter().all(|share| known(&share.of) && known(&share.over));
        let amounts = self.tallies.iter().map(|(_, tally)| matches!(tally.kind, TallyKind::Amount { .. }));
        let mut fields: Vec<_> = self.tables.iter().flat_map(|table| &table.fields).map(|field| field.field).collect();
        fields.sort_unstable();
        let conditions = self.tallies.iter().flat_map(|(_, tally)| &tally.only).map(|condition| condition.field);
        let apart = conditions.into_iter().all(|field| fields.binary_search(&field).is_err());
        let cells = self.tables.iter().try_fold(0usize, |sum, table| {
            let cells =
                table.fields.iter().try_fold(1usize, |cells, field| cells.checked_mul(field.values.len() + 1))?;
            sum.checked_add(cells)
        });
        let fits = positive(self.unit) && self.row_cap as f64 * (self.cap / self.unit + 1.0) < libm::ldexp(1.0, 62);
        let checks = [
            (!self.tallies.is_empty() && self.tallies.len() <= 32, "statistics.measures: between 1 and 32"),
            (names.windows(2).all(|pair| pair[0] != pair[1]), "statistics.measures: names must differ, none is `rows`"),
            (amounts.is_sorted_by(|a, b| a >= b), "statistics.measures: amounts come before counts"),
            (shares, "statistics.shares: of sums that are not measured"),
            (!self.tables.is_empty(), "statistics.tables: at least one"),
            (self.tables.iter().all(|table| !table.fields.is_empty()), "statistics.tables: a table has fields"),
            (fields.windows(2).all(|pair| pair[0] != pair[1]), "statistics.tables: no field stands in two tables"),
            (apart, "statistics.measures: a condition on a field of a table would show cells that the table folds"),
            (cells.is_some_and(|cells| cells <= MAX_CELLS), "statistics.tables: at most 20000 cells"),
            (positive(self.unit) && positive(self.cap), "statistics.unit, statistics.cap: above 0"),
            ((1..=1 << 32).contains(&self.row_cap), "row_cap: between 1 and 2^32"),
            (fits, "statistics.cap: row_cap x cap / unit must stay below 2^62: a larger unit, or fewer rows"),
        ];
        checks.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, reason)| Err(PlanError(reason)))
    }
}

impl CellField {
    fn cells(&self) -> (usize, u16) {
        (self.field, u16::try_from(self.values.len()).unwrap_or(u16::MAX))
    }
}
