//! A data set: checked rows in columns.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tally_model::row_key;
use tally_policy::Day;

/// Rows in columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dataset {
    /// Name.
    pub name: String,
    /// Date of the snapshot, ISO 8601.
    pub as_of: String,
    /// Canonical identifiers in file order; distinct, with cohorts only within each of them.
    pub identifiers: Vec<String>,
    /// Observation day of each row, not later than `as_of`; `None` if the rows have no days of their own.
    pub cohorts: Option<Vec<Day>>,
    /// Labels, 1 for bad; `None` if the file has none.
    pub label: Option<Vec<u8>>,
    /// The fields.
    pub columns: Vec<DataColumn>,
}

/// One field of a data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataColumn {
    /// Field name.
    pub name: String,
    /// A value a row.
    pub values: Values,
}

/// Values of a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Values {
    /// Numbers, NaN where missing.
    Numeric(Vec<f64>),
    /// Category codes.
    Category {
        /// 0 where missing, else the position in `values` from 1.
        codes: Vec<u16>,
        /// The values.
        values: Vec<String>,
    },
}

impl Dataset {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.identifiers.len()
    }

    /// What a row is aligned by: its identifier, with its cohort if it has one.
    pub fn key(&self, row: usize) -> Cow<'_, str> {
        match self.cohort(row) {
            Some(day) => row_key(&self.identifiers[row], day).into(),
            None => self.identifiers[row].as_str().into(),
        }
    }

    /// The observation day of a row, if rows have one.
    pub fn cohort(&self, row: usize) -> Option<Day> {
        self.cohorts.as_ref().map(|days| days[row])
    }

    /// The observation days of the rows.
    pub fn days(&self) -> BTreeSet<Day> {
        self.cohorts.iter().flatten().copied().collect()
    }

    /// Rows of an identifier, in file order: several only with cohorts.
    pub fn rows_of(&self, identifier: &str) -> Vec<usize> {
        (0..self.rows()).filter(|row| self.identifiers[*row] == identifier).collect()
    }

    /// A column by name.
    pub fn column(&self, name: &str) -> Option<&Values> {
        self.columns.iter().find(|column| column.name == name).map(|column| &column.values)
    }
}
