//! Good and bad rows per score cell: what every figure is computed from.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Most rows: beyond, counts would not be exact as floating-point numbers.
const MAX_ROWS: i64 = 1 << 53;

/// Good and bad rows of one cell. JSON has them as `[good, bad]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(i64, i64)", into = "(i64, i64)")]
pub struct Cell {
    /// Good rows.
    pub good: i64,
    /// Bad rows.
    pub bad: i64,
}

/// Good and bad rows per score cell, cells in order of rising risk; there is a good row and a bad one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    cells: Vec<Cell>,
    total: Cell,
}

/// Neighbouring cells taken together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Band {
    /// The cells.
    pub cells: Range<usize>,
    /// Their rows.
    pub total: Cell,
}

impl Cell {
    /// All rows.
    pub fn rows(self) -> i64 {
        self.good + self.bad
    }

    /// Share of bad rows; 0 without rows.
    pub fn bad_rate(self) -> f64 {
        if self.rows() == 0 { 0.0 } else { self.bad as f64 / self.rows() as f64 }
    }

    /// The sum of two cells.
    pub fn plus(self, other: Self) -> Self {
        Self { good: self.good + other.good, bad: self.bad + other.bad }
    }

    /// The rows without those of a part.
    pub fn minus(self, part: Self) -> Self {
        Self { good: self.good - part.good, bad: self.bad - part.bad }
    }
}

impl From<(i64, i64)> for Cell {
    fn from((good, bad): (i64, i64)) -> Self {
        Self { good, bad }
    }
}

impl From<Cell> for (i64, i64) {
    fn from(cell: Cell) -> Self {
        (cell.good, cell.bad)
    }
}

impl Histogram {
    /// A histogram; `None` without good or without bad rows, with a negative count, or with more than 2^53 rows.
    pub fn new(cells: Vec<Cell>) -> Option<Self> {
        let total = total(&cells)?;
        Some(Self { cells, total })
    }

    /// The cells.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// All rows.
    pub fn total(&self) -> Cell {
        self.total
    }

    /// The rows in quantile bands, lowest risk first; empty bands are left out.
    ///
    /// A cell with `b` of `n` rows below it lies in band `#{k : floor((n - 1) k / bands) < b}`, which is where
    /// `sklearn.calibration.calibration_curve(strategy="quantile")` puts its score: no cell is split.
    pub fn bands(&self, bands: usize) -> Vec<Band> {
        let last = i128::from(self.total.rows() - 1);
        let edge = |k: usize| last * k as i128 / bands.max(1) as i128;
        let (mut below, mut k) = (0i128, 1);
        let mut found: Vec<Band> = Vec::new();
        let mut open = true;
        for (place, cell) in self.cells.iter().enumerate() {
            while k < bands && edge(k) < below {
                k += 1;
                open = true;
            }
            if cell.rows() == 0 {
                continue;
            }
            match found.last_mut().filter(|_| !open) {
                Some(band) => {
                    band.cells.end = place + 1;
                    band.total = band.total.plus(*cell);
                }
                None => found.push(Band { cells: place..place + 1, total: *cell }),
            }
            open = false;
            below += i128::from(cell.rows());
        }
        found
    }
}

/// The sum of all cells, under the conditions of a histogram.
pub(super) fn total(cells: &[Cell]) -> Option<Cell> {
    let mut total = Cell::default();
    for cell in cells {
        if cell.good < 0 || cell.bad < 0 {
            return None;
        }
        total = Cell { good: total.good.checked_add(cell.good)?, bad: total.bad.checked_add(cell.bad)? };
    }
    let rows = total.good.checked_add(total.bad)?;
    (total.good > 0 && total.bad > 0 && rows <= MAX_ROWS).then_some(total)
}
