//! Coefficients, standard errors and steps beside scikit-learn and statsmodels: `tests/oracle/logistic.py`.

use serde::Deserialize;

use super::tests::{FIELDS, table};
use crate::tests::{fit, names, plan, split};
use crate::{DropReason, FieldPlan, FieldSource, Fit, RowTerms, SelectionPlan, Steps, Table};

#[derive(Deserialize)]
struct Oracle {
    penalised: Vec<Penalised>,
    penalised_weighted: Penalised,
    plain: Told,
    weighted: Told,
    offset: Told,
    correlations: Vec<Vec<f64>>,
    vif: Vec<f64>,
    steps: Vec<Kept>,
}

#[derive(Deserialize)]
struct Penalised {
    c: f64,
    coefficients: Vec<f64>,
}

#[derive(Deserialize)]
struct Told {
    coefficients: Vec<f64>,
    errors: Vec<f64>,
    p: Vec<f64>,
}

#[derive(Deserialize)]
struct Kept {
    kind: Steps,
    enter: f64,
    leave: f64,
    kept: Vec<String>,
}

fn oracle() -> Oracle {
    serde_json::from_str(include_str!("../../../../tests/oracle/logistic.json")).unwrap()
}

/// Without a penalty but for a hair, which keeps the problem strictly convex.
const PLAIN: f64 = 1e9;

fn fitted(c: f64, rows: RowTerms, selection: SelectionPlan) -> Fit {
    let mut plan = plan(FIELDS.map(|name| FieldPlan::new(name, FieldSource::Codes { bins: 4 })).to_vec());
    plan.min_iv = 0.0;
    plan.c = c;
    plan.rows = rows;
    plan.selection = selection;
    let mut table: Table = table(6000);
    table.weight = (0..6000).map(|row| f64::from(row % 3 + 1) / 2.0).collect();
    table.offset = (0..6000).map(|row| f64::from(row % 7 - 3) / 10.0).collect();
    fit(&plan, &split(&table, 3), |_| names(3))
}

fn coefficients(fit: &Fit) -> Vec<f64> {
    std::iter::once(fit.intercept).chain(fit.fields.iter().map(|field| field.coefficient.unwrap())).collect()
}

fn near(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= tolerance * expected.abs().max(1.0), "{found} is not {expected}");
    }
}

#[test]
fn penalised_coefficients_are_those_of_scikit_learn() {
    let oracle = oracle();
    for penalised in &oracle.penalised {
        let fit = fitted(penalised.c, RowTerms::default(), SelectionPlan::none());
        near(&coefficients(&fit), &penalised.coefficients, 1e-6);
    }
    let weighted = RowTerms { weight_cap: Some(1.5), offset_cap: None };
    let fit = fitted(oracle.penalised_weighted.c, weighted, SelectionPlan::none());
    near(&coefficients(&fit), &oracle.penalised_weighted.coefficients, 1e-6);
}

#[test]
fn standard_errors_are_those_of_statsmodels() {
    let oracle = oracle();
    let weighted = RowTerms { weight_cap: Some(1.5), offset_cap: None };
    let shifted = RowTerms { weight_cap: None, offset_cap: Some(0.3) };
    for (rows, told) in [(RowTerms::default(), &oracle.plain), (weighted, &oracle.weighted), (shifted, &oracle.offset)]
    {
        let fit = fitted(PLAIN, rows, SelectionPlan::none());
        near(&coefficients(&fit), &told.coefficients, 1e-6);
        let errors = std::iter::once(fit.intercept_error).chain(fit.fields.iter().map(|field| field.standard_error));
        near(&errors.map(Option::unwrap).collect::<Vec<_>>(), &told.errors, 1e-6);
        near(&fit.fields.iter().map(|field| field.p_value.unwrap()).collect::<Vec<_>>(), &told.p[1..], 1e-6);
    }
}

#[test]
fn screens_use_the_correlations_of_the_rows() {
    let oracle = oracle();
    // `copy` goes just below its correlation with `x1`, and stays just above.
    let correlation = oracle.correlations[0][2];
    for (limit, gone) in [(correlation - 1e-6, true), (correlation + 1e-6, false)] {
        let fit = fitted(PLAIN, RowTerms::default(), SelectionPlan { max_correlation: limit, ..SelectionPlan::none() });
        let Some(DropReason::Correlation { correlation: found, .. }) = &fit.fields[2].dropped else {
            assert!(!gone);
            continue;
        };
        assert!(gone && (found - correlation).abs() < 1e-9);
    }
    let largest = oracle.vif[0];
    let vif =
        |limit| fitted(PLAIN, RowTerms::default(), SelectionPlan { max_vif: Some(limit), ..SelectionPlan::none() });
    let Some(DropReason::Vif { vif: found }) = vif(largest - 1e-4).fields[0].dropped else { panic!("x1 stayed") };
    assert!((found / largest - 1.0).abs() < 1e-6);
    assert!(vif(largest + 1e-4).fields.iter().all(|field| field.dropped.is_none()));
}

/// The path on the approximation ends where steps with a fit for every set end.
#[test]
fn steps_keep_what_exact_steps_keep() {
    for Kept { kind, enter, leave, kept } in oracle().steps {
        let selection = SelectionPlan { steps: kind, enter, leave, ..SelectionPlan::none() };
        let fit = fitted(PLAIN, RowTerms::default(), selection);
        let fields = fit.fields.iter().filter(|field| field.dropped.is_none());
        let found: Vec<_> = fields.map(|field| field.name.clone()).collect();
        eprintln!("{kind:?} {enter}: {found:?}, {} rounds", fit.rounds.len());
        assert_eq!(found, kept, "{kind:?} {enter}");
    }
}

#[test]
fn rows_beyond_their_caps_are_refused() {
    let plain = crate::Plain { tables: split(&table(600), 1), least: 1, share: None };
    let rows = RowTerms { weight_cap: Some(1.0), offset_cap: None };
    let model = crate::request::LinearModel { intercept: 0.0, terms: Vec::new(), rows };
    let request = crate::SumRequest { rows: crate::RowSet::Train, scale_bits: 20, kind: crate::Kind::Moments(model) };
    assert!(plain.answer(&request, &names(1), &names(1)).is_err(), "no weights at all");
    let mut heavy = plain.clone();
    heavy.tables.get_mut("bank-1").unwrap().weight = vec![1.5; 600];
    assert!(heavy.answer(&request, &names(1), &names(1)).is_err());
    heavy.tables.get_mut("bank-1").unwrap().weight = vec![f64::NAN; 600];
    assert!(heavy.answer(&request, &names(1), &names(1)).is_err());
    heavy.tables.get_mut("bank-1").unwrap().weight = vec![1.0; 600];
    assert!(heavy.answer(&request, &names(1), &names(1)).is_ok());
}
