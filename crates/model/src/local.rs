//! A bank's own calibration: how far the joint model's log-odds are moved so that they are right for this bank's book.
//!
//! The joint model has one intercept for all banks. Here each bank fits the one number that is its own, the offset at which the
//! mean probability of its training rows is their bad rate (the maximum of the likelihood over the intercept alone), from rows
//! that it holds, after the model is released. Nothing of it is sent. Points stay what all parties signed.

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;

use crate::contribution::logistic;
use crate::metrics::{Cell, Estimate};
use crate::rows::Table;

/// Fewest good and fewest bad rows: from fewer, a bank's rate is a guess.
pub const LEAST_TO_CALIBRATE: i64 = 10;

/// The offset, and what it does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Added to the log-odds of bad.
    pub offset: f64,
    /// The rows that it is fitted on.
    pub train: Book,
    /// Rows that it has not seen.
    pub holdout: Book,
}

/// Rows of one bank, and what the model says of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Book {
    /// The rows.
    pub rows: Cell,
    /// Mean probability of bad under the joint model.
    pub before: f64,
    /// The same with the offset.
    pub after: f64,
}

impl Calibration {
    /// By the joint model's log-odds of every row; `None` with fewer than [`LEAST_TO_CALIBRATE`] rows of a kind.
    ///
    /// A row counts by its weight where there are weights, and beside its own part of the log-odds where there is one.
    pub fn fit(log_odds: &[f64], table: &Table) -> Option<Self> {
        let rows: Vec<Row> =
            (0..table.rows().min(log_odds.len())).map(|row| Row::new(log_odds[row], table, row)).collect();
        let train: Vec<_> =
            rows.iter().zip(&table.holdout).filter(|(_, holdout)| !**holdout).map(|(row, _)| *row).collect();
        let holdout: Vec<_> =
            rows.iter().zip(&table.holdout).filter(|(_, holdout)| **holdout).map(|(row, _)| *row).collect();
        let all = cell(&train);
        if all.good.min(all.bad) < LEAST_TO_CALIBRATE {
            return None;
        }
        let offset = solve(&train)?;
        Some(Self { offset, train: Book::new(&train, offset), holdout: Book::new(&holdout, offset) })
    }

    /// Probability of bad of an applicant with these log-odds under the joint model.
    pub fn probability(&self, log_odds: f64) -> f64 {
        logistic(log_odds + self.offset)
    }

    /// Names the calibration.
    pub fn digest(&self) -> Digest {
        // Panic safety: the type holds only finite numbers.
        Digest::of("tallystick/calibration/v1", &[&serde_json::to_vec(self).expect("calibrations serialise")])
    }
}

impl Book {
    fn new(rows: &[Row], offset: f64) -> Self {
        let mean = |offset: f64| {
            let (sum, weight) = rows.iter().fold((0.0, 0.0), |(sum, weight), row| {
                (sum + row.weight * row.probability(offset), weight + row.weight)
            });
            if weight > 0.0 { sum / weight } else { 0.0 }
        };
        Self { rows: cell(rows), before: mean(0.0), after: mean(offset) }
    }

    /// Share of bad rows, with Wilson's interval.
    pub fn bad_rate(&self) -> Estimate {
        Estimate::proportion(self.rows.bad, self.rows.rows())
    }

    /// Mean probability over bad rate, before and after; `None` without bad rows.
    pub fn ratios(&self) -> Option<[f64; 2]> {
        let rate = self.rows.bad_rate();
        (rate > 0.0).then(|| [self.before / rate, self.after / rate])
    }
}

/// What a row brings.
#[derive(Clone, Copy)]
struct Row {
    log_odds: f64,
    bad: bool,
    weight: f64,
}

impl Row {
    fn new(log_odds: f64, table: &Table, row: usize) -> Self {
        Self {
            log_odds: log_odds + table.offset.get(row).copied().unwrap_or(0.0),
            bad: table.label[row] == 1,
            weight: table.weight.get(row).copied().unwrap_or(1.0),
        }
    }

    fn probability(&self, offset: f64) -> f64 {
        logistic(self.log_odds + offset)
    }
}

fn cell(rows: &[Row]) -> Cell {
    let bad = rows.iter().filter(|row| row.bad).count() as i64;
    Cell { good: rows.len() as i64 - bad, bad }
}

/// Where the mean probability meets the bad rate: it rises with the offset, so halving finds it, to the last bit.
fn solve(rows: &[Row]) -> Option<f64> {
    let excess = |offset: f64| {
        rows.iter().map(|row| row.weight * (row.probability(offset) - f64::from(u8::from(row.bad)))).sum::<f64>()
    };
    let (mut low, mut high) = (-64.0, 64.0);
    if excess(low) >= 0.0 || excess(high) <= 0.0 {
        return None;
    }
    for _ in 0..64 {
        let middle = (low + high) / 2.0;
        *(if excess(middle) > 0.0 { &mut high } else { &mut low }) = middle;
    }
    Some((low + high) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::table;

    #[test]
    fn a_moved_book_is_right_again() {
        let table = table(4000, 5);
        let odds = |shift: f64| -> Vec<f64> { (0..table.rows()).map(|row| shift + 0.3 * (row % 7) as f64).collect() };
        let one = Calibration::fit(&odds(-3.0), &table).unwrap();
        let rate = one.train.rows.bad_rate();
        assert!((one.train.before - rate).abs() > 0.02, "{one:?}");
        assert!((one.train.after - rate).abs() < 1e-12, "{one:?}");
        // What moves all log-odds moves the offset the other way, and nothing else.
        let other = Calibration::fit(&odds(1.0), &table).unwrap();
        assert!((one.offset - other.offset - 4.0).abs() < 1e-9);
        assert!((one.holdout.after - other.holdout.after).abs() < 1e-12);
    }

    #[test]
    fn few_bad_rows_do_not_calibrate() {
        let mut table = table(60, 5);
        table.label.fill(0);
        table.label[0] = 1;
        assert_eq!(Calibration::fit(&vec![0.0; 60], &table), None);
    }
}
