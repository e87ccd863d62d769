//! Figures within banks beside scikit-learn's, what is told of one bank, and what is withheld.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::judge::{BLUR, Within, WithinSums, within_one};
use crate::metrics::{Cell, Withheld};
use crate::tests::{names, split, table, three_fields, values};
use crate::{
    Ask, CoarsePlan, Column, Course, Fit, Fitted, LinearModel, Model, Plain, Plan, Rules, Table, TrainError, Trainer,
    Trend,
};

/// What tests/oracle/within.py wrote.
#[derive(Deserialize)]
struct Oracle {
    banks: Vec<Scored>,
}

#[derive(Deserialize)]
struct Scored {
    joint: Vec<f64>,
    own: Vec<f64>,
    bad: Vec<u8>,
    auc: [f64; 2],
    variance: [f64; 2],
    of_difference: f64,
}

fn oracle() -> Vec<Scored> {
    let text = include_str!("../../../../../tests/oracle/within.json");
    serde_json::from_str::<Oracle>(text).unwrap().banks
}

/// A bank's rows, all held out; the joint model reads its score from a column.
fn bank(scored: &Scored) -> Table {
    let columns = vec![Column::Values(scored.joint.clone())];
    let holdout = vec![true; scored.bad.len()];
    Table { columns, label: scored.bad.clone(), holdout, baseline: scored.own.clone(), ..Table::default() }
}

fn kinds(bad: &[u8]) -> Cell {
    let bads = bad.iter().filter(|bad| **bad == 1).count() as i64;
    Cell { good: bad.len() as i64 - bads, bad: bads }
}

fn sums_of(banks: &[Scored]) -> WithinSums {
    let rows = banks.iter().fold(Cell::default(), |sum, bank| sum.plus(kinds(&bank.bad)));
    let model = Model::Linear(LinearModel { intercept: 0.0, terms: Vec::new(), rows: Default::default() });
    let asked = Within { model, rows };
    let mut words = vec![0; Within::WORDS];
    for scored in banks {
        let row = |row: usize| crate::contribution::BothScores {
            row,
            joint: scored.joint[row],
            bank_only: scored.own[row],
            bad: scored.bad[row] == 1,
        };
        // In whatever order the rows come.
        asked.add((0..scored.bad.len()).rev().map(row), &bank(scored), Within::SCALE_BITS, &mut words);
    }
    WithinSums::released(&words, Within::SCALE_BITS).unwrap()
}

#[test]
fn one_bank_has_scikit_learns_auc_and_delongs_interval() {
    for scored in oracle() {
        let (found, weight) = within_one(&scored.joint, &bank(&scored)).unwrap();
        let kinds = kinds(&scored.bad);
        assert!((weight / (kinds.good * kinds.bad) as f64 - 1.0).abs() <= BLUR);
        assert!((found.joint.value - scored.auc[0]).abs() < 1e-14, "{found:?}");
        assert!((found.bank_only.value - scored.auc[1]).abs() < 1e-14);
        let half = |variance: f64| 1.959_963_984_540_054 * variance.sqrt();
        assert!((found.joint.value - found.joint.low - half(scored.variance[0])).abs() < 1e-12);
        assert!((found.bank_only.value - found.bank_only.low - half(scored.variance[1])).abs() < 1e-12);
        assert!((found.difference.high - found.difference.value - half(scored.of_difference)).abs() < 1e-12);
    }
}

#[test]
fn the_figure_is_the_mean_of_the_banks_by_their_weights() {
    let banks = oracle();
    let found = sums_of(&banks).figures();
    let weights: Vec<f64> = banks.iter().map(|scored| within_one(&scored.joint, &bank(scored)).unwrap().1).collect();
    let all: f64 = weights.iter().sum();
    let mean = |of: &dyn Fn(&Scored) -> f64| {
        banks.iter().zip(&weights).map(|(bank, weight)| weight * of(bank)).sum::<f64>() / all
    };
    assert!((found.joint.value - mean(&|bank| bank.auc[0])).abs() < 1e-12);
    assert!((found.bank_only.value - mean(&|bank| bank.auc[1])).abs() < 1e-12);
    assert!((found.difference.value - mean(&|bank| bank.auc[0] - bank.auc[1])).abs() < 1e-12);
    let variance: f64 =
        banks.iter().zip(&weights).map(|(bank, weight)| weight * weight * bank.of_difference).sum::<f64>()
            / (all * all);
    let half = found.difference.high - found.difference.value;
    assert!((half - 1.959_963_984_540_054 * variance.sqrt()).abs() < 1e-9, "{found:?}");
    // By whole pairs the figure is the same but for what does not matter.
    let pairs = |bank: &Scored| (kinds(&bank.bad).good * kinds(&bank.bad).bad) as f64;
    let exact: f64 =
        banks.iter().map(|bank| pairs(bank) * bank.auc[0]).sum::<f64>() / banks.iter().map(pairs).sum::<f64>();
    assert!((found.joint.value - exact).abs() < half / 20.0, "{} {exact}", found.joint.value);
}

/// Of three banks the first takes its own part away, and asks which good and bad rows the second may have.
#[test]
fn what_is_left_of_two_banks_tells_of_neither() {
    let banks = oracle();
    let all = banks.iter().fold(Cell::default(), |sum, bank| sum.plus(kinds(&bank.bad)));
    let pairs = all.good as f64 * all.bad as f64;
    let (own, second, third) = (kinds(&banks[0].bad), kinds(&banks[1].bad), kinds(&banks[2].bad));
    let (_, weight) = within_one(&banks[0].joint, &bank(&banks[0])).unwrap();
    let others = sums_of(&banks).weight * pairs - weight;
    let left = all.minus(own);
    let candidates = |fits: &dyn Fn(i64) -> bool| {
        let split = |good: i64, bad: i64| good * bad + (left.good - good) * (left.bad - bad);
        let all = (0..=left.good).flat_map(|good| (0..=left.bad).map(move |bad| (good, bad)));
        all.filter(|(good, bad)| fits(split(*good, *bad))).count()
    };
    // Whole pairs would leave a handful.
    let whole = second.good * second.bad + third.good * third.bad;
    let few = candidates(&|pairs| pairs == whole);
    let many = candidates(&|pairs| (others / pairs as f64 - 1.0).abs() <= BLUR);
    assert!(few < 20 && many > 500, "{few} {many}");
    // The sum is no whole number of pairs, nor near the true one.
    assert!((others - whole as f64).abs() > 1.0, "{others} {whole}");
}

/// The fit, or why there is none.
fn trained(plan: &Plan, tables: &BTreeMap<String, Table>) -> Result<Fit, TrainError> {
    let mut tables = tables.clone();
    for table in tables.values_mut() {
        table.baseline = Course::Scorecard(plan.clone()).bank_only(table).unwrap();
    }
    let everyone: Vec<_> = tables.keys().cloned().collect();
    let plain = Plain { tables, least: 3, share: None };
    let mut trainer = Trainer::new(plan.clone()).unwrap();
    loop {
        match trainer.next() {
            Ask::Done(fit) => return Ok(fit),
            Ask::Sum(request) => trainer.answer(plain.answer(&request, &everyone, &everyone).unwrap())?,
        }
    }
}

fn plan() -> Plan {
    let mut plan = three_fields();
    plan.judging.rules = Rules::WithinBanks;
    plan
}

/// Banks that differ: each bank's loans turn bad more often than the one's before.
fn unequal() -> BTreeMap<String, Table> {
    let mut tables = split(&table(9000, 7), 3);
    for (place, table) in tables.values_mut().enumerate() {
        let rows: Vec<_> = (0..table.rows()).filter(|row| table.label[*row] == 1 || row % 3 <= 2 - place).collect();
        *table = table.select(&rows);
    }
    tables
}

#[test]
fn a_fit_says_what_the_banks_gain() {
    let tables = unequal();
    let fit = trained(&plan(), &tables).unwrap();
    let found = fit.validation.within_banks().unwrap();
    let (mut sum, mut weights) = (0.0, 0.0);
    for table in tables.values() {
        let table = Table { baseline: Course::Scorecard(plan()).bank_only(table).unwrap(), ..table.clone() };
        let joint = Fitted::Scorecard(Box::new(fit.clone())).log_odds(&table).unwrap();
        let (own, weight) = within_one(&joint, &table).unwrap();
        (sum, weights) = (sum + weight * own.difference.value, weights + weight);
    }
    assert!((found.difference.value - sum / weights).abs() < 1e-12);
    // The pooled figure credits the banks' own models with telling banks apart.
    let pooled = fit.validation.auc_difference().unwrap().difference.value;
    assert!(pooled < found.difference.value - 0.01, "{pooled} {found:?}");
}

#[test]
fn with_a_bank_without_bad_loans_no_figure_is_made_up() {
    let mut tables = split(&table(6000, 7), 3);
    tables.get_mut("bank-1").unwrap().label.fill(0);
    let fit = trained(&plan(), &tables).unwrap();
    assert_eq!(fit.validation.within_banks(), Err(Withheld::FewBanks));
    assert!(fit.joint.is_some());
    assert!(matches!(fit.validation.bank_only.told(), Err(Withheld::Folded { .. })), "{:?}", fit.bank_only);
    assert_eq!((fit.bank_only, fit.validation.auc_difference()), (None, None));
}

#[test]
fn a_model_needs_a_field_and_bad_rows() {
    let tables = split(&table(3000, 7), 3);
    let none = Plan { min_iv: 50.0, ..plan() };
    assert_eq!(trained(&none, &tables).unwrap_err(), TrainError::NoField);
    let mut first = none;
    first.judging.rules = Rules::First;
    assert!(trained(&first, &tables).is_ok());
    let mut many = plan();
    many.judging.min_bad = 2000;
    let error = trained(&many, &tables).unwrap_err();
    let bad = tables
        .values()
        .map(|table| (0..table.rows()).filter(|row| !table.holdout[*row] && table.label[*row] == 1).count());
    assert_eq!(error, TrainError::FewBad { bad: bad.sum::<usize>() as i64, least: 2000 });
}

#[test]
fn what_is_known_afterwards_is_found_and_named() {
    let mut tables = split(&table(6000, 7), 3);
    for table in tables.values_mut() {
        let overdue = table.label.iter().map(|label| 90.0 * f64::from(*label)).collect();
        table.columns.push(Column::Values(overdue));
    }
    let mut plan = plan();
    plan.fields.push(values("overdue_days"));
    plan.coarse =
        Some(CoarsePlan { max_classes: 6, min_share: 0.05, min_good: 5, min_bad: 5, trend: Trend::Auto, eases: true });
    let fit = trained(&plan, &tables).unwrap();
    let field = &fit.fields[3];
    assert!(field.iv > 1.0 && field.eased && field.dropped.is_none(), "{field:?}");
    let leaks = Fitted::Scorecard(Box::new(fit)).leaks();
    let named: Vec<_> = leaks.iter().map(|leak| (leak.field.as_str(), leak.perfect)).collect();
    assert_eq!(named, [("overdue_days", true)]);
}

#[test]
fn a_banks_own_scorecard_is_the_joint_ones_twin() {
    let table = table(4000, 3);
    let own = Course::Scorecard(plan()).bank_only(&table).unwrap();
    // The same trainer over the bank's two fields, the platform's left out.
    let alone = Table { columns: table.columns[..2].to_vec(), ..table.clone() };
    let two = Plan { fields: three_fields().fields[..2].to_vec(), ..three_fields() };
    let fit = crate::tests::fit(&two, &split(&alone, 1), |_| names(1));
    assert_eq!(own, Fitted::Scorecard(Box::new(fit)).log_odds(&alone).unwrap());
}
