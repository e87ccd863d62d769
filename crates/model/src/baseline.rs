//! The models that a bank has without anyone's help, on its own rows and its own fields.
//!
//! The headline's is the joint model's twin ([`own_scorecard`]; for trees [`boosted::bank_only`](crate::boosted::bank_only)): same
//! bins, classes, selection and trainer, so that a difference comes from the other parties' fields and rows and from nothing
//! else. The second line is not our own fit: a logistic regression of `linfa` on the WOE columns of all fields above the minimum
//! information value, with the same penalty (`alpha` is `1 / C`, the intercept is free) and no further selection.

use linfa::prelude::*;
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;

use crate::binning::equal_frequency;
use crate::coarse::classed;
use crate::contribution::{ContributionError, codes, contribution};
use crate::judge::Judging;
use crate::plan::{FieldSource, Plan};
use crate::quantiles::Bins;
use crate::release::Fold;
use crate::request::{FieldBins, Model, RowSet, Sums};
use crate::rows::{Column, Table};
use crate::trainer::{Ask, Trainer};

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

/// A bank's own model, kept: the log-odds of bad are the intercept and what the codes of its own fields add.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BankOnly {
    /// Intercept.
    pub intercept: f64,
    /// The fields that it uses, in the plan's order.
    pub fields: Vec<OwnField>,
}

/// One field of a bank's own model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnField {
    /// Place in the plan.
    pub field: usize,
    /// Its bins.
    pub bins: FieldBins,
    /// What each code adds to the log-odds of bad.
    pub log_odds: Vec<f64>,
}

/// Log-odds of bad of every row under the scorecard that a bank fits alone, by the joint model's plan and trainer.
///
/// Where nothing can be fitted (one kind of loan only, no field of its own), every row has the same log-odds.
///
/// # Errors
/// Fails if the table does not fit the plan or the fit does not converge.
pub fn own_scorecard(plan: &Plan, table: &Table) -> Result<Vec<f64>, BaselineError> {
    let own = own_fields(table, |field| {
        !matches!(plan.fields[field].source, FieldSource::Codes { .. }) && !plan.judging.is_apart(field)
    });
    if own.is_empty() || has_one_kind(table) {
        return Ok(vec![constant(table); table.rows()]);
    }
    let fields = own.iter().map(|field| plan.fields[*field].clone()).collect();
    let plan = Plan { fields, judging: Judging::default(), newton_steps: None, ..plan.clone() };
    let table = alone(table, &own);
    let failed = |error: &dyn std::fmt::Display| BaselineError::Fit(error.to_string());
    let mut trainer = Trainer::new(plan).map_err(|error| failed(&error))?;
    loop {
        if let Some(model) = trainer.model() {
            return Ok(Model::Linear(model.clone()).log_odds(&table)?);
        }
        let Ask::Sum(request) = trainer.next() else { return Err(failed(&"it ended before it was judged")) };
        let fold = Fold::none(&request.axes());
        let values = contribution(&request, &table)?;
        let sums = Sums { values, cohort: Vec::new(), seen: Vec::new(), fold };
        trainer.answer(sums).map_err(|error| failed(&error))?;
    }
}

/// Places of the fields that the bank has by itself.
pub(crate) fn own_fields(table: &Table, is_own: impl Fn(usize) -> bool) -> Vec<usize> {
    (0..table.columns.len()).filter(|field| is_own(*field)).collect()
}

/// The bank's rows with these fields alone.
pub(crate) fn alone(table: &Table, fields: &[usize]) -> Table {
    let columns = fields.iter().map(|field| table.columns[*field].clone()).collect();
    Table { columns, baseline: vec![0.0; table.rows()], ..table.clone() }
}

/// Whether all training rows are good, or all bad.
pub(crate) fn has_one_kind(table: &Table) -> bool {
    let bad = RowSet::Train.of(table).filter(|&row| table.label[row] == 1).count();
    bad == 0 || bad == RowSet::Train.of(table).count()
}

/// Log-odds of bad by the training rows alone.
pub(crate) fn constant(table: &Table) -> f64 {
    let bad = RowSet::Train.of(table).filter(|&row| table.label[row] == 1).count();
    let good = RowSet::Train.of(table).count() - bad;
    libm::log((bad as f64 + 0.5) / (good as f64 + 0.5))
}

/// Log-odds of bad of every row under linfa's model of the bank's own fields, fitted on the training rows.
///
/// Where nothing can be fitted (one kind of loan only, no field above the minimum), every row has the same log-odds.
///
/// # Errors
/// Fails if the table does not fit the plan or the fit does not converge.
pub fn bank_only(plan: &Plan, table: &Table) -> Result<Vec<f64>, BaselineError> {
    Ok(BankOnly::fit(plan, table)?.log_odds(table)?)
}

impl BankOnly {
    /// Fits the model on the training rows.
    ///
    /// # Errors
    /// Fails if the table does not fit the plan or the fit does not converge.
    pub fn fit(plan: &Plan, table: &Table) -> Result<Self, BaselineError> {
        let train: Vec<usize> = (0..table.rows()).filter(|&row| !table.holdout[row]).collect();
        let bad = train.iter().filter(|&&row| table.label[row] == 1).count();
        let columns = own_columns(plan, table, &train)?;
        if bad == 0 || bad == train.len() || columns.is_empty() {
            let odds = (bad as f64 + 0.5) / ((train.len() - bad) as f64 + 0.5);
            return Ok(Self { intercept: libm::log(odds), fields: Vec::new() });
        }
        let woe = |row: usize, column: usize| columns[column].woe[usize::from(columns[column].codes[row])];
        let records = Array2::from_shape_fn((train.len(), columns.len()), |(row, column)| woe(train[row], column));
        let targets = Array1::from_iter(train.iter().map(|&row| table.label[row] == 1));
        let fitted = LogisticRegression::default()
            .alpha(1.0 / plan.c)
            .gradient_tolerance(1e-6)
            .max_iterations(500)
            .fit(&Dataset::new(records, targets))
            .map_err(|error| BaselineError::Fit(error.to_string()))?;
        let sign = if fitted.labels().pos.class { 1.0 } else { -1.0 };
        let field = |(column, weight): (OwnColumn, &f64)| OwnField {
            field: column.field,
            bins: column.bins,
            log_odds: column.woe.iter().map(|woe| sign * (woe * weight)).collect(),
        };
        let fields = columns.into_iter().zip(fitted.params()).map(field).collect();
        Ok(Self { intercept: sign * fitted.intercept(), fields })
    }

    /// Log-odds of bad of every row.
    ///
    /// # Errors
    /// Fails if the table does not have the model's fields.
    pub fn log_odds(&self, table: &Table) -> Result<Vec<f64>, ContributionError> {
        let mut sums = vec![self.intercept; table.rows()];
        for field in &self.fields {
            let codes = codes(table, field.field, &field.bins)?;
            sums.iter_mut().zip(codes).for_each(|(sum, code)| *sum += field.of(code));
        }
        Ok(sums)
    }

    /// Log-odds of bad of one row; `codes` by the field's place in the plan.
    pub fn score(&self, codes: &[u16]) -> f64 {
        self.fields.iter().fold(self.intercept, |sum, field| sum + field.of(code_at(codes, field)))
    }

    /// By how much each field's code raises the log-odds of bad above its best code, by the field's place in the plan.
    pub fn raised(&self, codes: &[u16]) -> impl Iterator<Item = (usize, f64)> {
        self.fields.iter().map(|field| {
            let best = field.log_odds.iter().copied().fold(f64::INFINITY, f64::min);
            (field.field, field.of(code_at(codes, field)) - best)
        })
    }

    /// The code of a number in the field at a place of the plan; 0 where the model does not use it.
    pub fn code(&self, place: usize, number: f64) -> u16 {
        self.fields.iter().find(|field| field.field == place).map_or(0, |field| field.bins.code(number))
    }

    /// Probability of bad.
    pub fn probability(log_odds: f64) -> f64 {
        crate::contribution::logistic(log_odds)
    }

    /// Digest of the model.
    pub fn digest(&self) -> Digest {
        // Panic safety: the type holds only numbers and lists.
        let text = serde_json::to_vec(self).expect("models serialise");
        Digest::of("tallystick/bank-only/v1", &[&text])
    }
}

impl OwnField {
    fn of(&self, code: u16) -> f64 {
        self.log_odds.get(usize::from(code)).or(self.log_odds.first()).copied().unwrap_or(0.0)
    }
}

fn code_at(codes: &[u16], field: &OwnField) -> u16 {
    codes.get(field.field).copied().unwrap_or(0)
}

/// A field above the minimum information value, with bins and WOE from the bank's own training rows.
struct OwnColumn {
    field: usize,
    bins: FieldBins,
    woe: Vec<f64>,
    /// Of every row.
    codes: Vec<u16>,
}

/// WOE columns of the bank's own fields above the minimum information value.
fn own_columns(plan: &Plan, table: &Table, train: &[usize]) -> Result<Vec<OwnColumn>, ContributionError> {
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
            columns.push(OwnColumn { field, bins, woe: classed.woe, codes });
        }
    }
    Ok(columns)
}
