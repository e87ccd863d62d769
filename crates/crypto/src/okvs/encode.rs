//! Encoding: peel, solve what is left, substitute back.

use rand_core::Rng as _;
use rayon::prelude::*;

use super::{Grouped, Key, Layout, OkvsError, add_dense};
use crate::field::{Block, invert, mul};
use crate::seed::Seed;

/// The store in which every key of `grouped` decodes to its value; `values` stand in grouped order. `seed` fixes the free
/// words and must be used for this set alone.
///
/// # Errors
/// Fails where the set does not fit, which a key that stands twice brings about and chance does not.
pub fn encode(layout: &Layout, grouped: &Grouped, values: &[Block], seed: &Seed) -> Result<Vec<Block>, OkvsError> {
    let mut store = vec![0; layout.words()];
    store.par_chunks_mut(layout.width()).enumerate().try_for_each(|(bin, words)| {
        let keys = grouped.bin(bin);
        if keys.len() > layout.capacity() {
            return Err(OkvsError::Overflow { bin, keys: keys.len(), capacity: layout.capacity() });
        }
        let mut rng = seed.rng("tallystick/okvs-free-words", &[&bin.to_le_bytes()]);
        let mut bytes = vec![0; size_of_val(words)];
        rng.fill_bytes(&mut bytes);
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = u128::from_le_bytes(*bytes);
        }
        let values = values[grouped.starts[bin]..grouped.starts[bin + 1]].to_vec();
        encode_bin(layout, keys, values, words).ok_or(OkvsError::Singular(bin))
    })?;
    Ok(store)
}

/// Fills one bin, whose words are random so far.
fn encode_bin(layout: &Layout, keys: &[Key], mut values: Vec<Block>, words: &mut [Block]) -> Option<()> {
    let (sparse, dense) = words.split_at_mut(layout.sparse());
    let peeled = peel(layout, keys);
    if !peeled.stuck.is_empty() {
        solve_dense(layout, keys, &values, &peeled, sparse, dense)?;
    }
    add_dense(keys, dense, &mut values);
    for &(row, pivot) in peeled.order.iter().rev() {
        let [a, b, c] = layout.columns(&keys[row as usize]);
        let sum = sparse[a] ^ sparse[b] ^ sparse[c];
        sparse[pivot as usize] ^= sum ^ values[row as usize];
    }
    Some(())
}

/// Rows with the column that each of them fixes, in the order of peeling, and rows that must go through the dense part.
struct Peeled {
    order: Vec<(u32, u32)>,
    stuck: Vec<u32>,
}

/// Takes out, again and again, a row that has a column to itself; where there is none, one row is set aside.
fn peel(layout: &Layout, keys: &[Key]) -> Peeled {
    // Of every column: the rows in it, and the exclusive or of their numbers.
    let mut columns = vec![(0u32, 0u32); layout.sparse()];
    for (row, key) in (0u32..).zip(keys) {
        for column in layout.columns(key) {
            columns[column].0 += 1;
            columns[column].1 ^= row;
        }
    }
    let mut single: Vec<u32> = (0u32..).zip(&columns).filter(|(_, (rows, _))| *rows == 1).map(|(c, _)| c).collect();
    let mut peeled = Peeled { order: Vec::with_capacity(keys.len()), stuck: Vec::new() };
    let remove = |row: u32, single: &mut Vec<u32>, columns: &mut Vec<(u32, u32)>| {
        for column in layout.columns(&keys[row as usize]) {
            let entry = &mut columns[column];
            entry.0 -= 1;
            entry.1 ^= row;
            if entry.0 == 1 {
                single.push(column as u32);
            }
        }
    };
    loop {
        while let Some(pivot) = single.pop() {
            let (rows, row) = columns[pivot as usize];
            if rows == 1 {
                peeled.order.push((row, pivot));
                remove(row, &mut single, &mut columns);
            }
        }
        if peeled.order.len() + peeled.stuck.len() == keys.len() {
            return peeled;
        }
        let row = row_of_lightest_column(layout, keys, &columns, &peeled);
        peeled.stuck.push(row);
        remove(row, &mut single, &mut columns);
    }
}

/// A row that is still there and touches a column of least weight: setting it aside frees the rest soonest.
fn row_of_lightest_column(layout: &Layout, keys: &[Key], columns: &[(u32, u32)], peeled: &Peeled) -> u32 {
    let mut gone = vec![false; keys.len()];
    for &row in peeled.order.iter().map(|(row, _)| row).chain(&peeled.stuck) {
        gone[row as usize] = true;
    }
    let lightest = |key: &Key| layout.columns(key).map(|column| columns[column].0).into_iter().min();
    let left = (0u32..).zip(keys).filter(|(row, _)| !gone[*row as usize]);
    left.min_by_key(|(_, key)| lightest(key)).map_or(0, |(row, _)| row)
}

/// Chooses the dense words so that every stuck row holds once the peeled rows do. A stuck row, less the peeled rows that
/// cancel its pivots, leaves an equation in the dense words alone.
fn solve_dense(
    layout: &Layout,
    keys: &[Key],
    values: &[Block],
    peeled: &Peeled,
    sparse: &[Block],
    dense: &mut [Block],
) -> Option<()> {
    let mut equations: Vec<(Vec<Block>, Block)> = Vec::new();
    for &row in &peeled.stuck {
        let mut odd = vec![false; layout.sparse()];
        let mut coefficients = vec![0; dense.len()];
        let mut value = 0;
        let mut add = |row: u32, odd: &mut Vec<bool>| {
            let key = &keys[row as usize];
            layout.columns(key).into_iter().for_each(|column| odd[column] ^= true);
            value ^= values[row as usize];
            let mut power = 1;
            for coefficient in &mut coefficients {
                power = mul(power, key.point());
                *coefficient ^= power;
            }
        };
        add(row, &mut odd);
        for &(row, pivot) in &peeled.order {
            if odd[pivot as usize] {
                add(row, &mut odd);
            }
        }
        value ^= odd.iter().zip(sparse).filter(|(odd, _)| **odd).fold(0, |sum, (_, word)| sum ^ word);
        equations.push((coefficients, value));
    }
    solve(&mut equations, dense)
}

/// Gauss-Jordan elimination; unknowns without a pivot keep what stands in `unknowns`.
fn solve(equations: &mut [(Vec<Block>, Block)], unknowns: &mut [Block]) -> Option<()> {
    let mut pivots = Vec::with_capacity(equations.len());
    for at in 0..equations.len() {
        let column = equations[at].0.iter().position(|coefficient| *coefficient != 0)?;
        let inverse = invert(equations[at].0[column]);
        let (pivot, value) = &mut equations[at];
        pivot.iter_mut().for_each(|coefficient| *coefficient = mul(*coefficient, inverse));
        *value = mul(*value, inverse);
        let (pivot, value) = equations[at].clone();
        for (other, (coefficients, right)) in equations.iter_mut().enumerate() {
            let factor = coefficients[column];
            if other != at && factor != 0 {
                coefficients.iter_mut().zip(&pivot).for_each(|(c, p)| *c ^= mul(factor, *p));
                *right ^= mul(factor, value);
            }
        }
        pivots.push(column);
    }
    for (column, (coefficients, value)) in pivots.iter().zip(equations.iter()) {
        let free = coefficients.iter().zip(unknowns.iter()).enumerate().filter(|(other, _)| !pivots.contains(other));
        unknowns[*column] = free.fold(*value, |sum, (_, (coefficient, word))| sum ^ mul(*coefficient, *word));
    }
    Some(())
}
