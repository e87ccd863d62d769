//! Which rows of a bank's data set make the sample of a contract, and what they bring beside the model's fields.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tally_data::{Dataset, Values};
use tally_policy::Day;
use tally_protocol::session::{CappedColumn, Contract};

use crate::failure::{self, Failure};

/// Refuses labels from before the end of the outcome window.
pub(super) fn matured(name: &str, as_of: &str, terms: &Contract) -> Result<(), Failure> {
    let known = terms.sample.as_ref().map_or(Ok(()), |sample| sample.matured(as_of));
    known.map_err(|reason| failure::refused(format!("data set `{name}`: {reason}")))
}

/// Days of observation that a contract names apart; none if all its rows are of one day.
pub(super) fn cohorts(terms: &Contract) -> &[Day] {
    terms.sample.as_ref().map(|sample| sample.cohorts.as_slice()).unwrap_or_default()
}

/// Refuses a data set without the contract's cohorts, and one with cohorts where the contract has none.
pub(super) fn check_cohorts(name: &str, days: &BTreeSet<Day>, terms: &Contract) -> Result<(), Failure> {
    let wanted = cohorts(terms);
    let reason = match wanted.iter().find(|day| !days.contains(day)) {
        Some(_) if days.is_empty() => {
            "it has no cohorts, the contract has: import it with the column of the observation day, --cohort COLUMN".into()
        }
        Some(day) => format!("it has no rows of cohort {day}: import it with them, or propose a session without"),
        None if wanted.is_empty() && !days.is_empty() => {
            "it has cohorts, the contract has none: name them in the template, [sample] cohorts, or choose a data set of \
             one day"
                .into()
        }
        None => return Ok(()),
    };
    Err(failure::refused(format!("data set `{name}`: {reason}")))
}

/// The rows of the contract's cohorts; all where it has none.
pub(super) fn of_cohorts(dataset: &Dataset, terms: &Contract) -> Vec<usize> {
    let wanted = cohorts(terms);
    let takes = |row: &usize| wanted.is_empty() || dataset.cohort(*row).is_some_and(|day| wanted.contains(&day));
    (0..dataset.rows()).filter(takes).collect()
}

/// Columns of a bank's data set that the contract needs beside its fields.
pub(super) fn columns_apart(terms: &Contract) -> impl Iterator<Item = &str> {
    let rows = [&terms.model.rows.weight, &terms.model.rows.offset].into_iter().flatten();
    let exclusions = terms.sample.iter().flat_map(|sample| &sample.exclusions).map(|one| one.column.as_str());
    let holdout = terms.sample.iter().filter_map(|sample| sample.holdout.column());
    rows.map(|column| column.column.as_str()).chain(exclusions).chain(holdout)
}

/// A bank's rows that take part, and how many others there are for each reason, the first that applies.
pub(crate) struct Sampled {
    pub(crate) rows: Vec<usize>,
    pub(crate) excluded: Vec<Value>,
}

/// Applies the contract's cohorts and exclusions.
pub(crate) fn sampled(dataset: &Dataset, terms: &Contract) -> Result<Sampled, Failure> {
    let exclusions = terms.sample.as_ref().map(|sample| sample.exclusions.as_slice()).unwrap_or_default();
    let columns = exclusions.iter().map(|one| numbers(dataset, &one.column)).collect::<Result<Vec<_>, _>>()?;
    let reason = |row: usize| exclusions.iter().zip(&columns).position(|(one, values)| one.excludes(values[row]));
    let mut counts = vec![0u64; exclusions.len()];
    let mut rows = Vec::new();
    for row in of_cohorts(dataset, terms) {
        match reason(row) {
            Some(reason) => counts[reason] += 1,
            None => rows.push(row),
        }
    }
    let excluded = exclusions.iter().zip(counts).map(|(one, rows)| json!({ "why": one.why, "rows": rows }));
    Ok(Sampled { rows, excluded: excluded.collect() })
}

pub(super) fn numbers<'a>(dataset: &'a Dataset, name: &str) -> Result<&'a [f64], Failure> {
    match dataset.column(name) {
        Some(Values::Numeric(values)) => Ok(values),
        _ => Err(failure::data(format!("data set `{}` has no column of numbers `{name}`", dataset.name))),
    }
}

/// A column of numbers between `least x cap` and `cap`; empty where the contract has none.
pub(super) fn capped(
    dataset: &Dataset,
    column: Option<&CappedColumn>,
    rows: &[usize],
    least: f64,
) -> Result<Vec<f64>, Failure> {
    let Some(CappedColumn { column, cap }) = column else { return Ok(Vec::new()) };
    let values = numbers(dataset, column)?;
    match rows.iter().find(|&&row| !(least * cap..=*cap).contains(&values[row])) {
        Some(row) => Err(failure::data(format!(
            "data set `{}`, row {}: column `{column}` is missing or beyond the contract's bound {cap}",
            dataset.name,
            row + 1
        ))),
        None => Ok(rows.iter().map(|&row| values[row]).collect()),
    }
}
