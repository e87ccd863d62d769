//! The meaning of boosting's requests, row by row. [`Holder`](super::Holder) gives the same numbers faster.

use std::collections::BTreeMap;

use super::draw::Draw;
use super::forest::Forest;
use super::request::{Histogram, Loss};
use crate::contribution::{ContributionError, codes, logistic, softplus};
use crate::rows::Table;

/// What the rows add to gradient histograms.
pub(crate) fn histogram(
    asked: &Histogram,
    scale_bits: u32,
    table: &Table,
    rows: &[usize],
    words: &mut [i64],
) -> Result<(), ContributionError> {
    let columns = columns(&asked.forest, table)?;
    check_fields(asked)?;
    let (codes, scale) = (asked.codes(), scale(scale_bits));
    let places: BTreeMap<_, _> = asked.places().into_iter().map(|place| (place.node, place)).collect();
    for row in drawn(&asked.draws, table, rows)? {
        let code = |field: u32| code(&columns, field, row);
        let leaf = asked.tree.leaf(code) as u32;
        let Some(place) = places.get(&leaf) else { continue };
        let (g, h) = gradient(asked.forest.log_odds(code), table.label[row], scale);
        let mut first = 0;
        for (field, codes) in asked.fields.iter().zip(&codes) {
            let cell = place.first + place.step * (first + usize::from(code(*field)));
            words[cell] += g;
            words[cell + 1] += h;
            words[cell + 2] += 1;
            first += codes;
        }
    }
    Ok(())
}

/// What the rows add to the loss.
pub(crate) fn loss(
    asked: &Loss,
    scale_bits: u32,
    table: &Table,
    rows: &[usize],
    words: &mut [i64],
) -> Result<(), ContributionError> {
    let columns = columns(&asked.forest, table)?;
    let scale = scale(scale_bits);
    for row in drawn(&asked.draws, table, rows)? {
        let log_odds = asked.forest.log_odds(|field| code(&columns, field, row));
        words[0] += row_loss(log_odds, table.label[row], scale);
        words[1 + usize::from(table.label[row] == 1)] += 1;
    }
    Ok(())
}

/// Log-odds of bad of every row of the table.
pub(crate) fn log_odds(forest: &Forest, table: &Table) -> Result<Vec<f64>, ContributionError> {
    let columns = columns(forest, table)?;
    Ok((0..table.rows()).map(|row| forest.log_odds(|field| code(&columns, field, row))).collect())
}

/// The rows that all draws let in.
pub(super) fn drawn(draws: &[Draw], table: &Table, rows: &[usize]) -> Result<Vec<usize>, ContributionError> {
    if draws.is_empty() {
        return Ok(rows.to_vec());
    }
    if table.hashes.len() != table.rows() {
        return Err(ContributionError::Hashes);
    }
    let inside = |row: &&usize| draws.iter().all(|draw| draw.holds(table.hashes[**row]));
    Ok(rows.iter().filter(inside).copied().collect())
}

/// Refuses fields that the forest has no bins of.
pub(super) fn check_fields(asked: &Histogram) -> Result<(), ContributionError> {
    match asked.fields.iter().find(|field| **field as usize >= asked.forest.bins().len()) {
        Some(field) => Err(ContributionError::Column(*field as usize)),
        None => Ok(()),
    }
}

/// `g` and `h` of one row at the scale.
pub(super) fn gradient(log_odds: f64, label: u8, scale: f64) -> (i64, i64) {
    let p = logistic(log_odds);
    let rounded = |value: f64| (value * scale).round_ties_even() as i64;
    (rounded(p - f64::from(label)), rounded(p * (1.0 - p)))
}

/// The logistic loss of one row at the scale.
pub(super) fn row_loss(log_odds: f64, label: u8, scale: f64) -> i64 {
    ((softplus(log_odds) - f64::from(label) * log_odds) * scale).round_ties_even() as i64
}

/// Two to the power of the scale's bits.
pub(super) fn scale(bits: u32) -> f64 {
    libm::ldexp(1.0, i32::try_from(bits).unwrap_or(0))
}

/// The codes of every field.
fn columns(forest: &Forest, table: &Table) -> Result<Vec<Vec<u16>>, ContributionError> {
    forest.bins().iter().enumerate().map(|(field, bins)| codes(table, field, bins)).collect()
}

fn code(columns: &[Vec<u16>], field: u32, row: usize) -> u16 {
    columns.get(field as usize).map_or(0, |codes| codes[row])
}
