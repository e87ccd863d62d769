//! The model that a bank has without anyone's help: WOE scorecard on its own fields, fitted by `linfa`.
//!
//! It is the yardstick of the uplift table, so it is deliberately not our own fit. Same rules for bins and classes, same minimum
//! information value, same penalty; linfa's `alpha` is `1 / C`, its intercept is free.

use linfa::prelude::*;
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, Array2};

use crate::binning::equal_frequency;
use crate::coarse::classed;
use crate::contribution::{ContributionError, codes};
use crate::plan::{FieldSource, Plan};
use crate::quantiles::Bins;
use crate::request::FieldBins;
use crate::rows::{Column, Table};

/// Why no bank-only model can be fitted.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// The table does not fit the plan.
    #[error(transparent)]
    Table(#[from] ContributionError),
    /// linfa failed.
    #[error("bank-only model: {0}")]
    Fit(String),
}

/// Log-odds of bad of every row under the bank's own model, fitted on the training rows.
///
/// Where nothing can be fitted (one kind of loan only, no field above the minimum), every row has the same log-odds.
///
/// # Errors
/// Fails if the table does not fit the plan or the fit does not converge.
pub fn bank_only(plan: &Plan, table: &Table) -> Result<Vec<f64>, BaselineError> {
    let train: Vec<usize> = (0..table.rows()).filter(|&row| !table.holdout[row]).collect();
    let bad = train.iter().filter(|&&row| table.label[row] == 1).count();
    let columns = own_columns(plan, table, &train)?;
    if bad == 0 || bad == train.len() || columns.is_empty() {
        let odds = (bad as f64 + 0.5) / ((train.len() - bad) as f64 + 0.5);
        return Ok(vec![libm::log(odds); table.rows()]);
    }
    let records = Array2::from_shape_fn((train.len(), columns.len()), |(row, column)| columns[column][train[row]]);
    let targets = Array1::from_iter(train.iter().map(|&row| table.label[row] == 1));
    let fitted = LogisticRegression::default()
        .alpha(1.0 / plan.c)
        .gradient_tolerance(1e-6)
        .max_iterations(500)
        .fit(&Dataset::new(records, targets))
        .map_err(|error| BaselineError::Fit(error.to_string()))?;
    let sign = if fitted.labels().pos.class { 1.0 } else { -1.0 };
    let log_odds = |row: usize| {
        let sum = columns
            .iter()
            .zip(fitted.params())
            .fold(fitted.intercept(), |sum, (column, weight)| sum + column[row] * weight);
        sign * sum
    };
    Ok((0..table.rows()).map(log_odds).collect())
}

/// WOE columns of the bank's own fields above the minimum information value, bins and WOE from its own training rows.
fn own_columns(plan: &Plan, table: &Table, train: &[usize]) -> Result<Vec<Vec<f64>>, ContributionError> {
    let mut columns = Vec::new();
    for (field, terms) in plan.fields.iter().enumerate() {
        let bins = match (terms.known_bins(), &terms.source, table.columns.get(field)) {
            (_, FieldSource::Codes { .. }, _) => continue,
            _ if plan.judging.is_apart(field) => continue,
            (Bins::Given(bins), ..) => bins,
            (Bins::Sought(special), _, Some(Column::Values(values))) => {
                let is_special = |value: &f64| special.contains(value);
                let values: Vec<_> = train.iter().map(|&row| values[row]).filter(|value| !is_special(value)).collect();
                FieldBins::of_number(equal_frequency(&values, plan.bins), special)
            }
            _ => return Err(ContributionError::Column(field)),
        };
        let codes = codes(table, field, &bins)?;
        let (mut good, mut bad) = (vec![0; bins.codes()], vec![0; bins.codes()]);
        for &row in train {
            let cells = if table.label[row] == 1 { &mut bad } else { &mut good };
            cells[usize::from(codes[row])] += 1;
        }
        let all: Vec<usize> = (0..good.len()).collect();
        let classed = classed(&good, &bad, &all, terms.joinable(&bins), plan.coarse.as_ref(), plan.smoothing);
        if classed.iv >= plan.min_iv {
            columns.push(codes.into_iter().map(|code| classed.woe[usize::from(code)]).collect());
        }
    }
    Ok(columns)
}
