//! The trainer on small made tables, and on public data where it is at hand.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tally_crypto::transcript::Digest;

use super::*;

pub(crate) fn plan(fields: Vec<FieldPlan>) -> Plan {
    Plan {
        fields,
        bins: 10,
        search: CutSearch::Nested,
        coarse: None,
        smoothing: 0.5,
        min_iv: 0.02,
        selection: SelectionPlan::none(),
        c: 1.0,
        row_cap: 1 << 22,
        min_rows: 5,
        pdo: 20.0,
        base_score: 600.0,
        base_odds: 50.0,
        reasons: ReasonBasis::Maximum,
        rows: RowTerms::default(),
        unseen: None,
        seed: Digest::default(),
        newton_steps: None,
        judging: Judging::default(),
    }
}

pub(crate) fn values(name: &str) -> FieldPlan {
    FieldPlan::new(name, FieldSource::Values)
}

/// A table whose label depends on two of three columns, by a fixed recurrence.
pub(crate) fn table(rows: usize, seed: u64) -> Table {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut table = Table {
        columns: vec![Column::Values(vec![]), Column::Values(vec![]), Column::Codes(vec![])],
        ..Table::default()
    };
    for row in 0..rows {
        let (a, b, noise) = (next(), next() * 1e6, next());
        let code = (next() * 4.0) as u16;
        let z = 3.0 * a - 2.0 * (b / 1e6) + 0.4 * f64::from(code) - 2.0;
        let Column::Values(first) = &mut table.columns[0] else { unreachable!() };
        first.push(if row % 17 == 0 { f64::NAN } else { a });
        let Column::Values(second) = &mut table.columns[1] else { unreachable!() };
        second.push(b.round());
        let Column::Codes(third) = &mut table.columns[2] else { unreachable!() };
        third.push(code);
        table.label.push(u8::from(noise < contribution::logistic(z)));
        table.holdout.push(row % 10 < 3);
    }
    table
}

pub(crate) fn three_fields() -> Plan {
    plan(vec![values("a"), values("b"), FieldPlan::new("c", FieldSource::Codes { bins: 3 })])
}

/// The fit where every cell is shown, whoever fills it.
pub(crate) fn fit(plan: &Plan, tables: &BTreeMap<String, Table>, cohort: impl Fn(usize) -> Vec<String>) -> Fit {
    fit_released(plan, tables, 1, cohort)
}

/// The fit where `least` banks stand behind every cell.
pub(crate) fn fit_released(
    plan: &Plan,
    tables: &BTreeMap<String, Table>,
    least: u32,
    cohort: impl Fn(usize) -> Vec<String>,
) -> Fit {
    let mut tables = tables.clone();
    for table in tables.values_mut() {
        table.baseline = bank_only(plan, table).unwrap();
    }
    let plain = Plain { tables, least, share: None };
    let mut trainer = Trainer::new(plan.clone()).unwrap();
    for round in 0.. {
        match trainer.next() {
            Ask::Done(fit) => return fit,
            Ask::Sum(request) => {
                let cohort = cohort(round);
                trainer.answer(plain.answer(&request, &cohort, &cohort).unwrap()).unwrap();
            }
        }
    }
    unreachable!()
}

pub(crate) fn split(table: &Table, parts: usize) -> BTreeMap<String, Table> {
    let take = |part: usize| {
        let rows: Vec<_> = (0..table.rows()).filter(|row| row % parts == part).collect();
        let columns = table.columns.iter().map(|column| match column {
            Column::Values(values) => Column::Values(rows.iter().map(|&row| values[row]).collect()),
            Column::Codes(codes) => Column::Codes(rows.iter().map(|&row| codes[row]).collect()),
        });
        Table {
            columns: columns.collect(),
            label: rows.iter().map(|&row| table.label[row]).collect(),
            holdout: rows.iter().map(|&row| table.holdout[row]).collect(),
            hashes: rows.iter().filter_map(|&row| table.hashes.get(row).copied()).collect(),
            baseline: rows.iter().filter_map(|&row| table.baseline.get(row).copied()).collect(),
            weight: part_of(&table.weight, &rows),
            offset: part_of(&table.offset, &rows),
        }
    };
    (0..parts).map(|part| (format!("bank-{}", part + 1), take(part))).collect()
}

fn part_of(values: &[f64], rows: &[usize]) -> Vec<f64> {
    if values.is_empty() { Vec::new() } else { rows.iter().map(|&row| values[row]).collect() }
}

pub(crate) fn names(banks: usize) -> Vec<String> {
    (1..=banks).map(|bank| format!("bank-{bank}")).collect()
}

#[test]
fn any_grouping_of_the_rows_gives_the_same_fit() {
    let table = table(3000, 1);
    let plan = three_fields();
    let one = fit(&plan, &split(&table, 1), |_| names(1));
    let three = fit(&plan, &split(&table, 3), |_| names(3));
    assert_eq!(one.intercept.to_bits(), three.intercept.to_bits());
    for (left, right) in one.fields.iter().zip(&three.fields) {
        assert_eq!(left, right);
    }
    assert_eq!(one.joint, three.joint);
    assert!(one.joint.unwrap().auc > 0.7);
}

#[test]
fn a_bank_that_leaves_midway_leaves_a_fit() {
    let tables = split(&table(4000, 2), 4);
    let fit = fit(&three_fields(), &tables, |round| if round < 6 { names(4) } else { names(3) });
    assert_eq!(fit.rounds[5].cohort.len(), 4);
    assert_eq!(fit.rounds.last().unwrap().cohort.len(), 3);
    assert!(fit.joint.unwrap().auc > 0.7);
}

/// Where one bank lacks a range of values, nothing is shown of it by itself, and the fit is hardly worse.
#[test]
fn cells_of_few_banks_are_counted_with_their_neighbours() {
    let mut tables = split(&table(6000, 6), 4);
    let bank = tables.get_mut("bank-1").unwrap();
    let rare: Vec<bool> = (0..bank.rows()).map(|row| row % 50 == 0).collect();
    let Column::Values(values) = &mut bank.columns[1] else { unreachable!() };
    values.iter_mut().zip(&rare).filter(|(_, rare)| **rare).for_each(|(value, _)| *value = 1e12);
    let Column::Codes(codes) = &mut bank.columns[2] else { unreachable!() };
    codes.iter_mut().filter(|code| **code == 0).for_each(|code| *code = 1);
    for bank in ["bank-2", "bank-3"] {
        let Column::Codes(codes) = &mut tables.get_mut(bank).unwrap().columns[2] else { unreachable!() };
        codes.iter_mut().filter(|code| **code == 0).for_each(|code| *code = 1);
    }
    let open = fit(&three_fields(), &tables, |_| names(4));
    let released = fit_released(&three_fields(), &tables, 3, |_| names(4));
    let field = &released.fields[2];
    assert_eq!(field.counted_in[1], 0, "only one bank has code 0");
    assert_eq!(field.woe[0].to_bits(), field.woe[1].to_bits());
    assert_eq!(field.good[0], open.fields[2].good[0] + open.fields[2].good[1]);
    assert_eq!(field.good.iter().sum::<i64>(), open.fields[2].good.iter().sum::<i64>());
    assert!(released.joint.unwrap().auc > open.joint.unwrap().auc - 0.01);
}

#[test]
fn quantiles_of_pooled_counts_are_those_of_the_values() {
    let table = table(5000, 3);
    let fit = fit(&three_fields(), &split(&table, 3), |_| names(3));
    let Column::Values(values) = &table.columns[0] else { unreachable!() };
    let train: Vec<_> = (0..table.rows()).filter(|&row| !table.holdout[row]).map(|row| values[row]).collect();
    let exact = binning::equal_frequency(&train, 10);
    let FieldBins::Cuts(cuts) = &fit.fields[0].bins else { unreachable!() };
    assert_eq!(cuts.len(), exact.len());
    let codes = |cuts: &[f64]| train.iter().map(|value| binning::code(cuts, *value)).collect::<Vec<_>>();
    let moved = codes(cuts).iter().zip(codes(&exact)).filter(|(left, right)| **left != *right).count();
    // A range with fewer than `min_rows` rows is not looked into, at each of nine cuts.
    assert!(moved < 9 * 5, "{moved} of {} rows lie in another bin", train.len());
}

/// A value that no training row lacked: to leave it out must not gain points.
#[test]
fn what_no_training_row_had_is_worth_what_the_contract_says() {
    let table = table(3000, 8);
    let of = |unseen| {
        let plan = Plan { unseen, ..three_fields() };
        fit(&plan, &split(&table, 3), |_| names(3))
    };
    let (worst, neutral, before) = (of(Some(Unseen::Worst)), of(Some(Unseen::Neutral)), of(None));
    assert_eq!(neutral, before);
    for (place, field) in worst.fields.iter().enumerate() {
        // Only the second field is never missing.
        assert_eq!(field.is_unseen(0), place == 1, "{}", field.name);
        let least = field.points[1..].iter().min().unwrap();
        if place == 1 {
            assert_eq!((field.points[0], before.fields[place].points[0]), (*least, 0));
            assert!(*least < 0);
        }
        // All else is as it was.
        assert_eq!(field.points[1..], before.fields[place].points[1..]);
        assert_eq!(field.coefficient, before.fields[place].coefficient);
    }
    assert_eq!(worst.joint, before.joint);
}

#[test]
fn newton_finds_what_linfa_finds() {
    // One bank, fields with fixed codes: the joint model and the bank-only model are the same problem.
    let mut table = table(4000, 4);
    let Column::Values(values) = &table.columns[1] else { unreachable!() };
    let codes = values.iter().map(|value| (value / 250_000.0) as u16).collect();
    table.columns = vec![Column::Codes(codes), table.columns.pop().unwrap()];
    let values = ["1", "2", "3"].map(Into::into).to_vec();
    let field = |name: &str| FieldPlan::new(name, FieldSource::Categories { values: values.clone() });
    let plan = plan(vec![field("b"), field("c")]);
    let fit = fit(&plan, &split(&table, 1), |_| names(1));
    let baseline = bank_only(&plan, &table).unwrap();
    let joint = Scorecard::new(&fit).log_odds(&table).unwrap();
    let largest = baseline.iter().zip(&joint).map(|(left, right)| (left - right).abs()).fold(0.0, f64::max);
    assert!(largest < 1e-4, "{largest}");
}

#[test]
fn wrong_sums_are_refused() {
    let mut trainer = Trainer::new(three_fields()).unwrap();
    let Ask::Sum(request) = trainer.next() else { unreachable!() };
    let sums = |values| Sums { values, cohort: names(3), seen: names(3), fold: release::Fold::none(&request.axes()) };
    let short = sums(vec![0]);
    assert!(matches!(trainer.answer(short), Err(TrainError::Words { .. })));
    let negative = sums(vec![-1; request.words()]);
    assert_eq!(trainer.answer(negative), Err(TrainError::Negative));
}

#[test]
fn points_add_up_to_the_log_odds() {
    let table = table(3000, 5);
    let fit = fit(&three_fields(), &split(&table, 1), |_| names(1));
    let card = Scorecard::new(&fit);
    let model = fit.linear_model();
    let exact = card.log_odds(&table).unwrap();
    for row in 0..50 {
        let mut score = card.base_points();
        for term in &model.terms {
            let codes = contribution::codes(&table, term.field, &term.bins).unwrap();
            score += fit.fields[term.field].points(codes[row]);
        }
        assert!((card.probability(score) - contribution::logistic(exact[row])).abs() < 0.02);
    }
}

#[test]
fn information_values_are_the_plain_definition() {
    let Some(folder) = data("german_credit") else { return };
    let (_, columns, label) = read(&folder.join("joined.csv"));
    for (name, cuts, expected) in [
        ("duration_months", &[9.0, 12.0, 16.0, 36.0, 45.0][..], 0.288_617_307_9),
        ("amount", &[1400.0, 1800.0, 4000.0, 9200.0][..], 0.181_220_374_7),
        ("age", &[26.0, 35.0, 37.0, 49.0][..], 0.124_116_475_7),
    ] {
        let values = &columns[name];
        let (mut good, mut bad) = (vec![0; cuts.len() + 1], vec![0; cuts.len() + 1]);
        for (value, label) in values.iter().zip(&label) {
            // The reference's bins are closed on the left.
            let bin = cuts.partition_point(|cut| cut <= value);
            if *label == 1 { bad[bin] += 1 } else { good[bin] += 1 }
        }
        let (_, iv) = woe::woe(&good, &bad, 0.0);
        assert!((iv - expected).abs() < 1e-9, "{name}: {iv}");
    }
}

#[test]
fn public_data_reach_the_joined_reference() {
    for (name, reference) in [("taiwan_default_credit", 0.7701), ("polish_bankruptcy_5year", 0.9037)] {
        let Some(folder) = data(name) else { return };
        let (ids, columns, label) = read(&folder.join("joined.csv"));
        let plan = plan(columns.keys().map(|name| values(name)).collect());
        let table = Table {
            columns: columns.into_values().map(Column::Values).collect(),
            label,
            holdout: ids.iter().map(|id| is_holdout(id)).collect(),
            ..Table::default()
        };
        let fit = fit_released(&plan, &split(&table, 3), 3, |_| names(3));
        let auc = fit.joint.unwrap().auc;
        eprintln!("{name}: joint {auc:.4}, reference {reference}, {} rounds", fit.rounds.len());
        assert!(auc > reference - 0.005);
    }
}

pub(crate) fn data(name: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("TALLYSTICK_DATA") else {
        eprintln!("SKIPPED: set TALLYSTICK_DATA to the folder of public credit data to run this test");
        return None;
    };
    Some(PathBuf::from(folder).join(name))
}

/// Identifiers, numeric columns and labels of a file of the public data; texts become missing.
pub(crate) fn read(path: &std::path::Path) -> (Vec<String>, BTreeMap<String, Vec<f64>>, Vec<u8>) {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let header: Vec<_> = lines.next().unwrap().split(',').collect();
    let (mut ids, mut label, mut columns) = (Vec::new(), Vec::new(), BTreeMap::<String, Vec<f64>>::new());
    for line in lines {
        for (name, field) in header.iter().zip(line.split(',')) {
            match *name {
                "id" => ids.push(field.to_owned()),
                "y" => label.push(field.parse().unwrap()),
                name => columns.entry(name.into()).or_default().push(field.parse().unwrap_or(f64::NAN)),
            }
        }
    }
    (ids, columns, label)
}

/// What a risk team asks of a scorecard, on public data: few classes with a trend, few fields, no wrong sign; nearly the
/// discrimination of all fields, and the same from one table as from several.
#[test]
fn selected_scorecards_of_public_data_are_nearly_as_good_as_all_fields() {
    for (name, reference) in [("taiwan_default_credit", 0.7701), ("polish_bankruptcy_5year", 0.9037)] {
        let Some(folder) = data(name) else { return };
        let (ids, columns, label) = read(&folder.join("joined.csv"));
        let mut plan = plan(columns.keys().map(|name| values(name)).collect());
        plan.bins = 50;
        plan.coarse = Some(CoarsePlan {
            max_classes: 8,
            min_share: 0.05,
            min_good: 1,
            min_bad: 1,
            trend: Trend::Auto,
            eases: false,
        });
        plan.selection = SelectionPlan {
            max_correlation: 0.9,
            max_vif: Some(10.0),
            sign: true,
            steps: Steps::Both,
            enter: 0.01,
            leave: 0.02,
        };
        let table = Table {
            columns: columns.into_values().map(Column::Values).collect(),
            label,
            holdout: ids.iter().map(|id| is_holdout(id)).collect(),
            ..Table::default()
        };
        let whole = fit(&plan, &split(&table, 1), |_| names(1));
        let parts = fit(&plan, &split(&table, 3), |_| names(3));
        assert_eq!(whole.fields, parts.fields);
        let released = fit_released(&plan, &split(&table, 3), 3, |_| names(3));
        let kept = whole.fields.iter().filter(|field| field.dropped.is_none());
        for field in kept.clone() {
            assert!(field.coefficient.unwrap() < 0.0 && field.p_value.unwrap() < 0.02, "{}", field.name);
            // Beyond the missing class, which keeps to itself.
            let mut classes: Vec<_> = field.classes.iter().zip(&field.woe).skip(1).collect();
            classes.dedup();
            let woes: Vec<_> = classes.iter().map(|(_, woe)| **woe).collect();
            assert!(woes.len() <= 8 && (woes.is_sorted() || woes.is_sorted_by(|a, b| a >= b)), "{woes:?}");
        }
        let auc = whole.joint.unwrap().auc;
        let fitted = whole.rounds.len();
        eprintln!(
            "{name}: {} of {} fields, joint {auc:.4}, all fields {reference}, {fitted} sums; cells of three banks: {:.4}",
            kept.count(),
            plan.fields.len(),
            released.joint.unwrap().auc
        );
        assert!(auc > reference - 0.005 && released.joint.unwrap().auc > reference - 0.005);
    }
}
