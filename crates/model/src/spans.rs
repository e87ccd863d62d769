//! Rows per range of values of a number: one pass of the search for cut points.
//!
//! A span holds rows that an earlier pass counted as one: all its pieces together, and nothing beside them, are that count. So
//! what a pass shows divides what is known and never cuts across it.

use serde::{Deserialize, Serialize};

use crate::binning::order_key;
use crate::contribution::ContributionError;
use crate::release::Axis;
use crate::rows::{Column, Table};

/// Spans of one numeric field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanField {
    /// Position of the field.
    pub field: usize,
    /// The spans, in rising order.
    pub spans: Vec<Span>,
    /// Values that have bins of their own, as the bits of their [order](crate::binning) in rising order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub special: Vec<u64>,
}

/// Rows that are divided into cells: those without a number, those of each piece, those with a special value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Whether rows without a number belong to it; they are its first cell.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub missing: bool,
    /// Ranges of values, in rising order.
    pub pieces: Vec<Piece>,
    /// Whether rows with a special value belong to it; they are its last cell.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub special: bool,
}

/// A range of values, by the bits of their order, cut into cells of one width; the last may be narrower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Least key.
    pub first: u64,
    /// Largest key.
    pub last: u64,
    /// Keys of a cell.
    pub width: u64,
}

/// The key of a value that is counted as a number; infinite ones count as the largest.
pub(crate) fn value_key(value: f64) -> u64 {
    order_key(value.clamp(f64::MIN, f64::MAX))
}

impl SpanField {
    /// Cells of this field.
    pub fn words(&self) -> usize {
        self.spans.iter().map(Span::cells).sum()
    }

    /// One axis a span.
    pub(crate) fn axes(&self) -> impl Iterator<Item = Axis> {
        self.spans.iter().map(|span| Axis { last_apart: span.special, ..Axis::told_by(span.cells(), 1, 1) })
    }

    /// Counts the rows.
    pub(crate) fn add(&self, table: &Table, rows: &[usize], words: &mut [i64]) -> Result<(), ContributionError> {
        let Some(Column::Values(values)) = table.columns.get(self.field) else {
            return Err(ContributionError::Column(self.field));
        };
        let places = self.places();
        for value in rows.iter().map(|&row| values[row]) {
            let word = if value.is_nan() {
                places.missing
            } else if self.special.binary_search(&order_key(value)).is_ok() {
                places.special
            } else {
                places.number(value_key(value))
            };
            if let Some(word) = word.and_then(|word| words.get_mut(word)) {
                *word += 1;
            }
        }
        Ok(())
    }

    fn places(&self) -> Places {
        let mut places = Places { missing: None, special: None, pieces: Vec::new() };
        let mut word = 0;
        for span in &self.spans {
            if span.missing {
                places.missing = Some(word);
                word += 1;
            }
            for piece in &span.pieces {
                places.pieces.push((*piece, word));
                word += piece.cells();
            }
            if span.special {
                places.special = Some(word);
                word += 1;
            }
        }
        places
    }
}

impl Span {
    /// Its cells.
    pub(crate) fn cells(&self) -> usize {
        let numbers: usize = self.pieces.iter().map(Piece::cells).sum();
        numbers + usize::from(self.missing) + usize::from(self.special)
    }
}

impl Piece {
    /// Its cells.
    pub(crate) fn cells(&self) -> usize {
        usize::try_from(self.last.saturating_sub(self.first) / self.width.max(1)).unwrap_or(usize::MAX - 1) + 1
    }

    /// First and last key of a cell.
    pub(crate) fn cell(&self, place: usize) -> (u64, u64) {
        let first = self.first + self.width * place as u64;
        (first, first.saturating_add(self.width - 1).min(self.last))
    }
}

/// Where the cells of a field begin among its words.
struct Places {
    missing: Option<usize>,
    special: Option<usize>,
    pieces: Vec<(Piece, usize)>,
}

impl Places {
    fn number(&self, key: u64) -> Option<usize> {
        let after = self.pieces.partition_point(|(piece, _)| piece.first <= key);
        let (piece, word) = self.pieces.get(after.checked_sub(1)?)?;
        (key <= piece.last).then(|| word + ((key - piece.first) / piece.width) as usize)
    }
}
