//! Rows at hand: what a source answers from.

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;

use crate::contribution::ContributionError;

/// Rows in columns, in a plan's field order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// One column a field.
    pub columns: Vec<Column>,
    /// 1 for a loan that went bad.
    pub label: Vec<u8>,
    /// True for a hold-out row.
    pub holdout: Vec<bool>,
    /// [`row_hash`](crate::boosted::row_hash) of each row's identifier; empty where nothing is drawn.
    pub hashes: Vec<u64>,
    /// Log-odds of bad under the bank's own model; empty until there is one.
    pub baseline: Vec<f64>,
    /// Weights in the fit; empty where every row counts once.
    pub weight: Vec<f64>,
    /// Part of the log-odds of bad that is not fitted; empty where there is none.
    pub offset: Vec<f64>,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Column {
    /// Numbers, NaN where missing.
    Values(Vec<f64>),
    /// Codes, 0 where missing.
    Codes(Vec<u16>),
}

impl Table {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.label.len()
    }

    /// These rows alone, in this order.
    pub fn select(&self, rows: &[usize]) -> Self {
        fn of<T: Copy>(values: &[T], rows: &[usize]) -> Vec<T> {
            rows.iter().filter_map(|row| values.get(*row).copied()).collect()
        }
        Self {
            columns: self.columns.iter().map(|column| column.select(rows)).collect(),
            label: of(&self.label, rows),
            holdout: of(&self.holdout, rows),
            hashes: of(&self.hashes, rows),
            baseline: of(&self.baseline, rows),
            weight: of(&self.weight, rows),
            offset: of(&self.offset, rows),
        }
    }

    /// Refuses columns that differ in length.
    ///
    /// # Errors
    /// Says so.
    pub fn check(&self) -> Result<(), ContributionError> {
        let even = |column: &Column| match column {
            Column::Values(values) => values.len() == self.rows(),
            Column::Codes(codes) => codes.len() == self.rows(),
        };
        if self.holdout.len() == self.rows() && self.columns.iter().all(even) {
            Ok(())
        } else {
            Err(ContributionError::Length)
        }
    }
}

impl Column {
    /// The values of these rows, in this order.
    pub fn select(&self, rows: &[usize]) -> Self {
        match self {
            Self::Values(values) => Self::Values(rows.iter().map(|row| values[*row]).collect()),
            Self::Codes(codes) => Self::Codes(rows.iter().map(|row| codes[*row]).collect()),
        }
    }
}

/// The name under which a row is aligned where an identifier has rows of several observation days, its cohorts. Unambiguous:
/// a day has ten characters. What goes by the enterprise, as [`is_holdout`] does, takes the identifier alone.
pub fn row_key(identifier: &str, cohort: impl std::fmt::Display) -> String {
    format!("{identifier}#{cohort}")
}

/// True for about three identifiers in ten, by a public hash: SHA-256 of the identifier as a big-endian integer, modulo
/// 10, is below 3.
pub fn is_holdout(identifier: &str) -> bool {
    let digest = Digest::of_bytes(identifier.as_bytes());
    digest.as_bytes().iter().fold(0u32, |rest, byte| (rest * 256 + u32::from(*byte)) % 10) < 3
}
