//! The fit over cut points that are found by sorting the pooled values: what the search for cut points is held against.
//!
//! It shares no code with the search, so it can disagree; release rules, trainer and figures are the same, since
//! those are compared bit for bit with the pooled fit already.

use std::collections::BTreeMap;

use tally_model::release::Fold;
use tally_model::{Column, Course, FieldBins, Fitted, Kind, Plain, RowSet, SumRequest, Sums, Table};
use tally_protocol::session::{SealedContract, follow};

use crate::failure::{self, Failure};

/// Most that the joint AUC may differ, where there are rows enough,
const AUC_BOUND: f64 = 0.02;
/// and this over the root of the held out rows of the rarer kind: half of the largest standard error that an AUC has.
const AUC_ERROR: f64 = 0.5;
/// The largest bin may hold so much more than the largest by sorting,
const SHARE_FACTOR: f64 = 1.5;
/// and so many rows.
const FEW_ROWS: f64 = 10.0;
/// Most that a field's information value may differ: this much,
const IV_BOUND: f64 = 0.1;
/// and this share of it.
const IV_SHARE: f64 = 0.25;

/// How the fit compares with the one over cut points by sorting.
pub(super) struct Exact {
    /// Joint AUC of the fit, and by sorting.
    pub(super) auc: [Option<f64>; 2],
    /// The fields whose cut points were sought.
    pub(super) fields: Vec<ExactField>,
    /// What differs beyond the bounds.
    pub(super) differences: Vec<String>,
}

/// One field, in the fit and by sorting.
pub(super) struct ExactField {
    pub(super) name: String,
    /// Share of its rows in the largest bin that is shown.
    pub(super) largest: [f64; 2],
    /// Information value of the fine bins; of scorecards.
    pub(super) iv: Option<[f64; 2]>,
}

/// Fits the pooled rows over cut points by sorting, and compares; `None` under noise, which no other fit shares, and for
/// statistics.
pub(super) fn compare(
    contract: &SealedContract,
    course: &Course,
    tables: &BTreeMap<String, Table>,
    fit: &Fitted,
) -> Result<Option<Exact>, Failure> {
    if contract.terms().noise.is_some() || contract.terms().is_statistics() {
        return Ok(None);
    }
    let last = fit.rounds().last().map(|round| round.cohort.clone()).unwrap_or_default();
    let tables: BTreeMap<_, _> = tables.iter().filter(|(bank, _)| last.contains(bank)).collect();
    let tables: BTreeMap<_, _> = tables.into_iter().map(|(bank, table)| (bank.clone(), table.clone())).collect();
    let sought = course.sought();
    let mut bins = fit.bins();
    for (field, bins) in bins.iter_mut().enumerate() {
        if let Some(Some(special)) = sought.get(field) {
            *bins = FieldBins::of_number(sorted_cuts(&tables, field, special, course.bins()), special);
        }
    }
    let learner = course.clone().learner_of_bins(bins.clone()).map_err(failure::internal)?;
    let exact = follow(learner, tables.clone(), contract, &[]).map_err(failure::internal)?;
    let shares = [largest_bins(contract, &tables, fit.bins())?, largest_bins(contract, &tables, bins)?];
    let names = names(fit);
    let fine = |fit: &Fitted, field: usize| fit.scorecard().map(|fit| fit.fields[field].fine_iv);
    let fields = (0..sought.len()).filter(|field| sought[*field].is_some()).map(|field| ExactField {
        name: names[field].clone(),
        largest: [shares[0][field], shares[1][field]],
        iv: fine(fit, field).zip(fine(&exact, field)).map(|(one, other)| [one, other]),
    });
    let fields: Vec<_> = fields.collect();
    let auc = [fit, &exact].map(|fit| fit.joint().map(|joint| joint.auc));
    let rows = tables.values().map(|table| table.holdout.iter().filter(|held| !**held).count()).sum::<usize>();
    let held = |bad: u8| tables.values().map(|table| held_out(table, bad)).sum::<usize>();
    let rarer = held(0).min(held(1)).max(1) as f64;
    let differences = differences(&fields, auc, rows, AUC_BOUND.max(AUC_ERROR / rarer.sqrt()));
    Ok(Some(Exact { auc, fields, differences }))
}

/// Held out rows of one kind.
fn held_out(table: &Table, bad: u8) -> usize {
    table.holdout.iter().zip(&table.label).filter(|(held, label)| **held && **label == bad).count()
}

fn differences(fields: &[ExactField], auc: [Option<f64>; 2], rows: usize, bound: f64) -> Vec<String> {
    let slack = FEW_ROWS / rows.max(1) as f64;
    let mut found = Vec::new();
    for field in fields {
        let [largest, exact] = field.largest;
        if largest > SHARE_FACTOR * exact + slack {
            found
                .push(format!("{}: the largest bin holds {largest:.3} of the rows, {exact:.3} by sorting", field.name));
        }
        if let Some([iv, exact]) = field.iv
            && (iv - exact).abs() > IV_BOUND + IV_SHARE * exact
        {
            found.push(format!("{}: the information value is {iv:.4}, {exact:.4} by sorting", field.name));
        }
    }
    let apart = match auc {
        [Some(one), Some(other)] => (one - other).abs() > bound,
        [one, other] => one != other,
    };
    if apart {
        let [one, other] = auc.map(|auc| auc.map_or("none".into(), |auc| format!("{auc:.4}")));
        found.push(format!("the joint AUC is {one}, {other} by sorting"));
    }
    found
}

fn names(fit: &Fitted) -> Vec<String> {
    match fit {
        Fitted::Scorecard(fit) => fit.fields.iter().map(|field| field.name.clone()).collect(),
        Fitted::Trees(fit) => fit.fields.iter().map(|field| field.name.clone()).collect(),
        Fitted::Statistics(_) => Vec::new(),
    }
}

/// The values at the inner quantiles of all training rows, in order; none at the largest, above which nothing lies.
fn sorted_cuts(tables: &BTreeMap<String, Table>, field: usize, special: &[f64], bins: u16) -> Vec<f64> {
    let mut values = Vec::new();
    for table in tables.values() {
        if let Some(Column::Values(column)) = table.columns.get(field) {
            let trained = column.iter().zip(&table.holdout).filter(|(_, held)| !**held).map(|(value, _)| *value);
            values.extend(trained.filter(|value| !value.is_nan() && !special.contains(value)));
        }
    }
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else { return Vec::new() };
    let mut cuts: Vec<f64> = (1..usize::from(bins)).map(|cut| values[last * cut / usize::from(bins)]).collect();
    cuts.retain(|cut| *cut < values[last]);
    cuts.dedup();
    cuts
}

/// For every field the share of its rows in the largest bin, bins that are shown together counted as one.
fn largest_bins(
    contract: &SealedContract,
    tables: &BTreeMap<String, Table>,
    bins: Vec<FieldBins>,
) -> Result<Vec<f64>, Failure> {
    let request = SumRequest { rows: RowSet::Train, scale_bits: 0, kind: Kind::Counts(bins.clone()) };
    let everyone: Vec<_> = tables.keys().cloned().collect();
    let plain =
        Plain { tables: tables.clone(), least: contract.terms().limits.min_cell, share: contract.terms().cell_share() };
    let Sums { values, fold, .. } = plain.answer(&request, &everyone, &everyone).map_err(failure::internal)?;
    let mut counts = values.chunks_exact(2).map(|cell| cell[0] + cell[1]);
    let largest = |(axis, bins): (usize, &FieldBins)| {
        let rows: Vec<i64> = counts.by_ref().take(bins.codes()).collect();
        // The group of missing values counts where numbers are in it.
        let first = usize::from(is_alone(&fold, axis));
        let numbers: i64 = rows.iter().skip(first).sum();
        rows.iter().skip(first).copied().max().unwrap_or(0) as f64 / numbers.max(1) as f64
    };
    Ok(bins.iter().enumerate().map(largest).collect())
}

fn is_alone(fold: &Fold, axis: usize) -> bool {
    fold.groups(axis).get(1) == Some(&1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blind_search_is_told() {
        let field = |largest: [f64; 2], iv: [f64; 2]| ExactField { name: "a".into(), largest, iv: Some(iv) };
        let auc = [Some(0.8), Some(0.81)];
        assert!(differences(&[field([0.07, 0.05], [0.5, 0.55])], auc, 1000, AUC_BOUND).is_empty());
        let told = differences(&[field([1.0, 0.05], [0.0, 1.5])], [Some(0.5), Some(0.82)], 1000, AUC_BOUND);
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].contains("1.000") && told[2].contains("0.8200"));
        assert_eq!(differences(&[], [None, Some(0.8)], 1000, AUC_BOUND).len(), 1);
    }

    #[test]
    fn cuts_by_sorting_are_order_statistics() {
        let table = |values: &[f64]| Table {
            columns: vec![Column::Values(values.to_vec())],
            label: vec![0; values.len()],
            holdout: values.iter().map(|value| *value == 100.0).collect(),
            ..Table::default()
        };
        let tables = [("a", table(&[3.0, 1.0, f64::NAN, 100.0])), ("b", table(&[2.0, 4.0, -9.0, 4.0]))];
        let tables = tables.map(|(bank, table)| (bank.to_owned(), table)).into_iter().collect();
        assert_eq!(sorted_cuts(&tables, 0, &[-9.0], 4), [2.0, 3.0]);
    }
}
