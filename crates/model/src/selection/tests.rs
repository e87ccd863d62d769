//! Screens and steps, on the sums of a small table.

use crate::tests::{fit, names, plan, split};
use crate::{Column, FieldPlan, FieldSource, Fit, Table};

use super::*;

pub(super) const FIELDS: [&str; 5] = ["x1", "x2", "copy", "sum", "noise"];

/// A table of codes 0 to 4: `x1` and `x2` matter, `copy` is nearly `x1`, `sum` nearly follows from both, `noise` is none
/// of the label's business.
pub(super) fn table(rows: usize) -> Table {
    let mut state = 7u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut columns = vec![Vec::new(); 5];
    let mut table = Table::default();
    for row in 0..rows {
        let (x1, x2) = ((next() * 4.0) as u16, (next() * 4.0) as u16);
        let copy = if next() < 0.02 { 3 - x1 } else { x1 };
        let sum = ((x1 + x2) / 2 + u16::from(next() < 0.1)).min(3);
        let noise = (next() * 4.0) as u16;
        for (column, code) in columns.iter_mut().zip([x1, x2, copy, sum, noise]) {
            column.push(code + 1);
        }
        let z = 0.8 * f64::from(x1) + 0.6 * f64::from(x2) - 2.5;
        table.label.push(u8::from(next() < crate::contribution::logistic(z)));
        table.holdout.push(row % 10 < 3);
    }
    table.columns = columns.into_iter().map(Column::Codes).collect();
    table
}

fn select(selection: SelectionPlan) -> Fit {
    let mut plan = plan(FIELDS.map(|name| FieldPlan::new(name, FieldSource::Codes { bins: 4 })).to_vec());
    plan.min_iv = 0.0;
    plan.c = 1e6;
    plan.selection = selection;
    let one = fit(&plan, &split(&table(6000), 1), |_| names(1));
    let four = fit(&plan, &split(&table(6000), 4), |_| names(4));
    assert_eq!(one.fields, four.fields, "any grouping of the rows gives the same selection");
    assert_eq!(one.intercept.to_bits(), four.intercept.to_bits());
    one
}

fn dropped<'a>(fit: &'a Fit, name: &str) -> Option<&'a DropReason> {
    let field = fit.fields.iter().find(|field| field.name == name).unwrap();
    assert_eq!(field.dropped.is_none(), field.coefficient.is_some());
    assert_eq!(field.coefficient.is_some(), field.standard_error.is_some());
    field.dropped.as_ref()
}

#[test]
fn of_two_that_say_the_same_the_better_stays() {
    let fit = select(SelectionPlan { max_correlation: 0.9, ..SelectionPlan::none() });
    let Some(DropReason::Correlation { with, correlation }) = dropped(&fit, "copy") else { panic!("{:?}", fit.fields) };
    assert_eq!(with, "x1");
    assert!(*correlation > 0.9 && *correlation < 1.0);
    assert_eq!(dropped(&fit, "x1"), None);
    assert_eq!(dropped(&fit, "noise"), None, "no step, no test");
}

#[test]
fn a_field_that_follows_from_the_others_goes() {
    let fit = select(SelectionPlan { max_vif: Some(3.0), ..SelectionPlan::none() });
    let gone: Vec<_> = fit.fields.iter().filter(|field| field.dropped.is_some()).collect();
    assert!(gone.iter().all(|field| matches!(field.dropped, Some(DropReason::Vif { vif }) if vif > 3.0)));
    assert!(!gone.is_empty() && gone.len() < 3, "{gone:?}");
}

#[test]
fn steps_end_with_the_fields_that_matter() {
    for steps in [Steps::Forward, Steps::Backward, Steps::Both] {
        let limits = SelectionPlan { max_correlation: 0.9, enter: 1e-4, leave: 1e-3, ..SelectionPlan::none() };
        let fit = select(SelectionPlan { steps, ..limits });
        for name in ["x1", "x2"] {
            assert_eq!(dropped(&fit, name), None, "{steps:?}");
        }
        // Going forward, the best single field comes first and never leaves.
        let gone: &[&str] = if steps == Steps::Forward { &["noise"] } else { &["noise", "sum"] };
        for name in gone {
            let Some(DropReason::Significance { p }) = dropped(&fit, name) else { panic!("{steps:?}: {name} stayed") };
            assert!(*p > 1e-4);
        }
        assert!(fit.rounds.len() < 16, "{steps:?}: {} rounds", fit.rounds.len());
    }
}

#[test]
fn a_coefficient_against_the_evidence_goes() {
    // With its near-copy beside it, one of the two may turn its sign; with the rule no positive coefficient is left.
    let fit = select(SelectionPlan { sign: true, ..SelectionPlan::none() });
    assert!(fit.fields.iter().all(|field| field.coefficient.is_none_or(|coefficient| coefficient < 0.0)));
    let loose = select(SelectionPlan::none());
    for (field, loose) in fit.fields.iter().zip(&loose.fields) {
        if let Some(DropReason::Sign { coefficient }) = field.dropped {
            assert!(coefficient > 0.0 && loose.coefficient.unwrap() > 0.0);
        }
    }
}

#[test]
fn reasons_are_told_in_both_languages() {
    let reasons = [
        DropReason::FewBanks,
        DropReason::InformationValue { least: 0.02 },
        DropReason::Correlation { with: "x".into(), correlation: 0.91 },
        DropReason::Vif { vif: 12.0 },
        DropReason::Sign { coefficient: 0.1 },
        DropReason::Significance { p: 0.4 },
    ];
    for reason in reasons {
        let text = reason.text();
        assert!(!text.zh.is_empty() && text.en.is_ascii());
        let json = serde_json::to_string(&reason).unwrap();
        assert_eq!(serde_json::from_str::<DropReason>(&json).unwrap(), reason);
    }
}
