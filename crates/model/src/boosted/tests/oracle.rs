//! Beside XGBoost: outputs recorded by tests/oracle/xgboost_trees.py.

use serde::Deserialize;

use super::*;
use crate::request::FieldBins;

#[derive(Deserialize)]
struct Recorded {
    codes: Vec<Vec<u16>>,
    label: Vec<u8>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    trees: Vec<Tree>,
    margins: Vec<f64>,
    /// By row: one value a field, then the expected value.
    contributions: BTreeMap<usize, Vec<f64>>,
}

const BINS: u16 = 12;

fn recorded() -> Recorded {
    serde_json::from_str(include_str!("../../../../../tests/oracle/xgboost_trees.json")).unwrap()
}

fn table(recorded: &Recorded) -> Table {
    let rows = recorded.label.len();
    Table {
        columns: recorded.codes.iter().cloned().map(Column::Codes).collect(),
        label: recorded.label.clone(),
        holdout: vec![false; rows],
        baseline: vec![0.0; rows],
        ..Table::default()
    }
}

fn plan_of(case: &str, fields: usize) -> BoostedPlan {
    let fields = (0..fields).map(|number| field(&number.to_string(), FieldSource::Codes { bins: BINS })).collect();
    let mut plan = BoostedPlan {
        trees: 8,
        learning_rate: 0.3,
        min_child_weight: 2.0,
        min_rows: 1,
        growth: Growth::DepthWise { max_depth: 4 },
        ..plan(fields)
    };
    match case {
        "leaf-wise" => plan.growth = Growth::LeafWise { max_leaves: 11, max_depth: 6 },
        "gamma" => (plan.growth, plan.gamma, plan.lambda) = (Growth::DepthWise { max_depth: 5 }, 3.0, 4.0),
        "monotone" => {
            use Monotone::{Falling, Free, Rising};
            for (field, monotone) in plan.fields.iter_mut().zip([Rising, Falling, Rising, Free, Falling, Free]) {
                field.monotone = monotone;
            }
        }
        _ => {}
    }
    plan
}

/// XGBoost's sums are 32-bit floats; every row's log-odds under equal trees differ by little more than their digits.
#[test]
fn the_same_trees_grow_as_in_xgboost() {
    let recorded = recorded();
    let table = table(&recorded);
    for case in &recorded.cases {
        let plan = plan_of(&case.name, recorded.codes.len());
        let fit = fit(&plan, &BTreeMap::from([("bank-1".to_owned(), table.clone())]), 1);
        for (tree, (ours, theirs)) in fit.forest.trees().iter().zip(&case.trees).enumerate() {
            let leaves = |tree: &Tree| tree.nodes.iter().filter(|node| matches!(node.shape, Shape::Leaf(_))).count();
            assert_eq!(leaves(ours), leaves(theirs), "{}, tree {tree}", case.name);
        }
        let log_odds = fit.log_odds(&table).unwrap();
        let largest = log_odds.iter().zip(&case.margins).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(largest < 1e-4, "{}: {largest}", case.name);
    }
}

#[test]
fn contributions_are_those_of_xgboost() {
    let recorded = recorded();
    let bad = recorded.label.iter().filter(|label| **label == 1).count() as f64;
    let base = (bad / (recorded.label.len() as f64 - bad)).ln();
    for case in &recorded.cases {
        let mut forest = Forest::new(vec![FieldBins::Codes(BINS); recorded.codes.len()], base);
        case.trees.iter().for_each(|tree| forest.push(tree.clone()));
        for (row, expected) in &case.contributions {
            let codes: Vec<_> = recorded.codes.iter().map(|column| column[*row]).collect();
            let found = Contributions::new(&forest, &codes);
            let largest = found.values.iter().chain([&found.expected]).zip(expected);
            let largest = largest.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(largest < 2e-5, "{}, row {row}: {largest}", case.name);
            let sum = found.expected + found.values.iter().sum::<f64>();
            assert!((sum - forest.log_odds(|field| codes[field as usize])).abs() < 1e-12);
            let reasons = found.reasons(3);
            assert!(reasons.len() <= 3 && reasons.is_sorted_by(|a, b| a.1 >= b.1));
            assert!(reasons.iter().all(|(field, value)| *value > 0.0 && found.values[*field] == *value));
        }
    }
}
