//! The sum behind pooled statistics.

use serde::{Deserialize, Serialize};

use crate::contribution::ContributionError;
use crate::release::Axis;
use crate::rows::{Column, Table};

/// Tallies over all rows, and by the cells of tables.
///
/// Words: one cell for all rows, then the cells of each table, the missing value of a field first; a cell has a word a tally
/// and one for its rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tabulation {
    /// What is summed: amounts first, then counts.
    pub tallies: Vec<Tally>,
    /// One unit of an amount.
    pub unit: f64,
    /// Largest amount of a row.
    pub cap: f64,
    /// Per table its fields, each with the number of its values; the first field changes slowest.
    pub tables: Vec<Vec<(usize, u16)>>,
}

/// What one row adds to a sum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// An amount, or one.
    pub kind: TallyKind,
    /// Only rows that fulfil all of these count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<Condition>,
}

/// What is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TallyKind {
    /// The amount in a column of numbers.
    Amount {
        /// The column.
        field: usize,
    },
    /// One.
    Count,
}

/// A category field has one of these codes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The column.
    pub field: usize,
    /// Codes, upwards.
    pub codes: Vec<u16>,
}

impl Tabulation {
    /// Words of a cell: the tallies, and the rows.
    pub(crate) fn width(&self) -> usize {
        self.tallies.len() + 1
    }

    /// Words of the whole sum.
    pub(crate) fn words(&self) -> usize {
        self.sizes().sum::<usize>() * self.width()
    }

    /// Words of a cell that are amounts; the others are counts.
    pub(crate) fn amounts(&self) -> usize {
        self.tallies.iter().filter(|tally| matches!(tally.kind, TallyKind::Amount { .. })).count()
    }

    /// Cells of the total and of each table.
    fn sizes(&self) -> impl Iterator<Item = usize> {
        let cells = |fields: &Vec<(usize, u16)>| fields.iter().map(|(_, values)| usize::from(*values) + 1).product();
        std::iter::once(1).chain(self.tables.iter().map(cells))
    }

    /// One axis for the total and for each table. A bank stands behind a cell in which it has any row.
    pub(crate) fn axes(&self) -> Vec<Axis> {
        self.sizes().map(|cells| Axis::told_by(cells, self.width(), 1)).collect()
    }

    /// Largest Euclidean norm of what one row adds.
    pub(crate) fn sensitivity(&self) -> f64 {
        let (amounts, most) = (self.amounts() as f64, self.cap / self.unit + 1.0);
        let counts = self.width() as f64 - amounts;
        ((self.tables.len() as f64 + 1.0) * (amounts * most * most + counts)).sqrt()
    }

    pub(crate) fn contribution(
        &self,
        table: &Table,
        chosen: &[usize],
        words: &mut [i64],
    ) -> Result<(), ContributionError> {
        let columns = self.tallies.iter().map(|tally| self.column(tally, table)).collect::<Result<Vec<_>, _>>()?;
        let cells = self.tables.iter().map(|fields| cells(fields, table)).collect::<Result<Vec<_>, _>>()?;
        let sizes: Vec<_> = self.sizes().collect();
        let width = self.width();
        for &row in chosen {
            let mut first = 0;
            let places = std::iter::once(0).chain(cells.iter().map(|cells| cells[row]));
            for (place, size) in places.zip(&sizes) {
                let cell = &mut words[(first + place) * width..][..width];
                for (word, column) in cell.iter_mut().zip(&columns) {
                    *word += column[row];
                }
                cell[width - 1] += 1;
                first += size;
            }
        }
        Ok(())
    }

    /// What every row adds to one tally.
    fn column(&self, tally: &Tally, table: &Table) -> Result<Vec<i64>, ContributionError> {
        let mut values = match tally.kind {
            TallyKind::Count => vec![1; table.rows()],
            TallyKind::Amount { field } => {
                let Some(Column::Values(values)) = table.columns.get(field) else {
                    return Err(ContributionError::Column(field));
                };
                let wrong = values.iter().position(|value| !(0.0..=self.cap).contains(value));
                if let Some(row) = wrong {
                    let (least, most) = ("0".into(), self.cap.to_string());
                    return Err(ContributionError::Row { what: "amount", row, least, most });
                }
                values.iter().map(|value| (value / self.unit).round_ties_even() as i64).collect()
            }
        };
        for condition in &tally.only {
            let Some(Column::Codes(codes)) = table.columns.get(condition.field) else {
                return Err(ContributionError::Column(condition.field));
            };
            for (value, code) in values.iter_mut().zip(codes) {
                if condition.codes.binary_search(code).is_err() {
                    *value = 0;
                }
            }
        }
        Ok(values)
    }
}

/// The cell of every row.
fn cells(fields: &[(usize, u16)], table: &Table) -> Result<Vec<usize>, ContributionError> {
    let mut cells = vec![0; table.rows()];
    for (field, values) in fields {
        let Some(Column::Codes(codes)) = table.columns.get(*field) else {
            return Err(ContributionError::Column(*field));
        };
        for (cell, code) in cells.iter_mut().zip(codes) {
            // A code beyond the public values says as little as a missing one.
            let code = if code <= values { *code } else { 0 };
            *cell = *cell * (usize::from(*values) + 1) + usize::from(code);
        }
    }
    Ok(cells)
}
