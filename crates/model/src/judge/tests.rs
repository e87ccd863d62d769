//! The validation of a fit beside the same figures taken from its rows.

mod segments;
mod within;

use std::collections::BTreeMap;

use crate::contribution::{logistic, softplus};
use crate::metrics::{Cell, Evaluation, exact, reliability};
use crate::tests::{fit, fit_released, names, plan, split, table, three_fields};
use crate::{Column, FieldPlan, FieldSource, RowSet, Scorecard, Table, bank_only};

/// A hold-out row.
struct Row {
    joint: f64,
    bank_only: f64,
    bad: bool,
    /// Values of the first and of the last field.
    number: f64,
    code: u16,
}

/// The hold-out rows of every bank.
fn holdout(fit: &crate::Fit, tables: &BTreeMap<String, Table>) -> Vec<Row> {
    let mut plan = three_fields();
    let apart = |place: &usize| fit.fields[*place].dropped == Some(crate::DropReason::Apart);
    let segment = |field| crate::SegmentPlan { field, ordered: false, fitted: false };
    plan.judging.segments = (0..3).filter(apart).map(segment).collect();
    let mut rows = Vec::new();
    for table in tables.values() {
        let joint = Scorecard::new(fit).log_odds(table).unwrap();
        let own = bank_only(&plan, table).unwrap();
        let chosen = (0..table.rows()).filter(|&row| table.holdout[row]);
        let (Column::Values(numbers), Column::Codes(codes)) = (&table.columns[0], &table.columns[2]) else {
            unreachable!()
        };
        rows.extend(chosen.map(|row| Row {
            joint: joint[row],
            bank_only: own[row],
            bad: table.label[row] == 1,
            number: numbers[row],
            code: codes[row],
        }));
    }
    rows
}

/// Placements of the bad and of the good rows, by comparing every pair.
fn placements(rows: &[(f64, bool)]) -> Vec<f64> {
    let place = |&(score, bad): &(f64, bool)| {
        let others: Vec<_> = rows.iter().filter(|other| other.1 != bad).collect();
        let wins: f64 = others
            .iter()
            .map(|other| if bad { score - other.0 } else { other.0 - score })
            .map(|gap| {
                if gap > 0.0 {
                    1.0
                } else if gap == 0.0 {
                    0.5
                } else {
                    0.0
                }
            })
            .sum();
        wins / others.len() as f64
    };
    rows.iter().map(place).collect()
}

#[test]
fn figures_are_those_of_the_rows() {
    let tables = split(&table(4000, 11), 3);
    let fit = fit(&three_fields(), &tables, |_| names(3));
    let rows = holdout(&fit, &tables);
    let labels: Vec<_> = rows.iter().map(|row| u8::from(row.bad)).collect();
    let validation = &fit.validation;
    assert_eq!(fit.holdout_rows, rows.len() as i64);

    let [joint, own] = [validation.joint.clone(), validation.bank_only.clone()];
    let scores: [Vec<f64>; 2] =
        [rows.iter().map(|row| row.joint).collect(), rows.iter().map(|row| row.bank_only).collect()];
    for (cells, scores) in [(&joint, &scores[0]), (&own, &scores[1])] {
        let found = Evaluation::new(cells, RowSet::Holdout).unwrap();
        let exact = exact(scores, &labels).unwrap();
        assert!((found.auc.value - exact.auc).abs() < 2e-3 && (found.ks.distance.value - exact.ks).abs() < 0.02);
    }

    let compared = validation.compared.as_ref().unwrap();
    for (place, scores) in scores.iter().enumerate() {
        let mean = |f: &dyn Fn(f64, bool) -> f64| {
            rows.iter().zip(scores).map(|(row, score)| f(*score, row.bad)).sum::<f64>() / rows.len() as f64
        };
        let brier = mean(&|score, bad| (logistic(score) - f64::from(u8::from(bad))).powi(2));
        let loss = mean(&|score, bad| softplus(if bad { -score } else { score }));
        assert!((compared.brier[place] - brier).abs() < 1e-6 && (compared.log_loss[place] - loss).abs() < 1e-6);
    }
    let table = reliability(&joint, 10);
    assert_eq!(table.len(), compared.expected[0].len());
    for (band, expected) in table.iter().zip(&compared.expected[0]) {
        assert!((band.expected - expected).abs() < 0.05 / 8.0);
    }
}

#[test]
fn the_difference_has_the_interval_of_the_rows() {
    let tables = split(&table(3000, 12), 3);
    let fit = fit(&three_fields(), &tables, |_| names(3));
    let rows = holdout(&fit, &tables);
    let [joint, own] = [
        placements(&rows.iter().map(|row| (row.joint, row.bad)).collect::<Vec<_>>()),
        placements(&rows.iter().map(|row| (row.bank_only, row.bad)).collect::<Vec<_>>()),
    ];
    let gap = |bad: bool| -> Vec<f64> {
        let chosen = rows.iter().zip(joint.iter().zip(&own)).filter(|(row, _)| row.bad == bad);
        chosen.map(|(_, (joint, own))| joint - own).collect()
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let variance = |values: &[f64]| {
        let centre = mean(values);
        let n = values.len() as f64;
        values.iter().map(|value| (value - centre).powi(2)).sum::<f64>() / (n - 1.0) / n
    };
    let (bad, good) = (gap(true), gap(false));
    let error = (variance(&bad) + variance(&good)).sqrt();
    let found = fit.validation.auc_difference().unwrap();
    assert!((found.difference.value - mean(&bad)).abs() < 2e-3);
    let width = (found.difference.high - found.difference.low) / 2.0 / 1.959_963_984_540_054;
    assert!((width / error - 1.0).abs() < 0.02, "{width} {error}");
}

#[test]
fn the_swap_set_is_that_of_the_rows() {
    let tables = split(&table(4000, 13), 3);
    let fit = fit(&three_fields(), &tables, |_| names(3));
    let rows = holdout(&fit, &tables);
    let swap = fit.validation.swap.unwrap();
    let (joint, own) = swap.approval();
    assert!((joint - 0.8).abs() < 0.02 && (own - joint).abs() < 0.02, "{joint} {own}");
    // Lines lie between cells: the rows of each score up to the approved number are those that it approves.
    let line = |score: &dyn Fn(&Row) -> f64, share: f64| {
        let mut scores: Vec<_> = rows.iter().map(score).collect();
        scores.sort_by(f64::total_cmp);
        let approved = (share * rows.len() as f64).round() as usize;
        scores[approved - 1]
    };
    let (joint_line, own_line) = (line(&|row| row.joint, joint), line(&|row| row.bank_only, own));
    let count = |first: bool, second: bool| {
        let chosen = rows.iter().filter(|row| (row.joint <= joint_line, row.bank_only <= own_line) == (first, second));
        chosen.fold(Cell::default(), |sum, row| sum.plus(Cell { good: i64::from(!row.bad), bad: i64::from(row.bad) }))
    };
    assert_eq!(
        [swap.both, swap.swap_in, swap.swap_out, swap.neither],
        [count(true, true), count(true, false), count(false, true), count(false, false)]
    );
}

#[test]
fn rows_per_code_are_those_of_the_holdout() {
    let tables = split(&table(3000, 14), 3);
    let fit = fit(&three_fields(), &tables, |_| names(3));
    assert_eq!(fit.validation.fields.len(), 3);
    for (rows, field) in fit.validation.fields.iter().zip(&fit.fields) {
        assert_eq!(rows.rows.len(), field.good.len());
        assert_eq!(rows.rows.iter().map(|cell| cell.rows()).sum::<i64>(), fit.holdout_rows);
    }
    let training: i64 = fit.validation.joint_train.groups.iter().map(|group| group.rows.rows()).sum();
    assert_eq!(training, fit.train_rows);
}

#[test]
fn a_bank_that_leaves_between_histogram_and_comparison_leaves_no_comparison() {
    let tables = split(&table(4000, 15), 4);
    let whole = fit(&three_fields(), &tables, |_| names(4));
    let scores = whole.rounds.len() - 5;
    let fit = fit(&three_fields(), &tables, |round| names(if round > scores { 3 } else { 4 }));
    // The comparison and the swap set are not asked.
    assert_eq!(fit.rounds.len(), whole.rounds.len() - 2);
    assert_eq!((fit.validation.compared, fit.validation.swap, fit.joint), (None, None, whole.joint));
}

#[test]
fn a_swap_set_that_stands_on_few_banks_is_withheld() {
    // Of 90 hold-out rows so few change sides that some bank has none of them.
    let tables = split(&table(300, 16), 4);
    let open = fit_released(&three_fields(), &tables, 1, |_| names(4));
    let released = fit_released(&three_fields(), &tables, 4, |_| names(4));
    assert!(open.validation.swap.is_some());
    assert_eq!(released.validation.swap, None);
}

#[test]
fn noisy_sums_are_asked_for_one_histogram_only() {
    let mut plan = plan(vec![FieldPlan::new("c", FieldSource::Codes { bins: 3 })]);
    let mut table = table(3000, 17);
    table.columns.drain(..2);
    let calm = fit(&plan, &split(&table, 3), |_| names(3));
    plan.newton_steps = Some(4);
    let noisy = fit(&plan, &split(&table, 3), |_| names(3));
    assert!(calm.validation.compared.is_some() && noisy.validation.compared.is_none());
    // Counts, five Newton sums, the histogram.
    assert!(noisy.rounds.len() <= 7 && noisy.joint.is_some(), "{}", noisy.rounds.len());
}
