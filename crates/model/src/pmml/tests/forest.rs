//! Trees of all shapes beside what PMML4S makes of them.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::INDUSTRIES;
use crate::binning;
use crate::boosted::{BoostedFit, Forest, Node, Shape, Split, Tree};
use crate::contribution::logistic;
use crate::pmml::{Reading, forest};
use crate::points::Scale;
use crate::request::FieldBins;

const EXPORTED: &str = include_str!("../../../../../tests/oracle/pmml/forest.pmml");
const RECORDED: &str = include_str!("../../../../../tests/oracle/pmml/forest.json");

#[derive(Serialize, Deserialize)]
struct Row {
    ratio: Option<f64>,
    amount: Option<f64>,
    industry: Option<String>,
    court_cases: Option<u16>,
    #[serde(default)]
    log_odds: f64,
    #[serde(default)]
    probability: f64,
    #[serde(default)]
    score: f64,
}

const RATIOS: [f64; 3] = [-0.5, 0.1, 0.30000000000000004];
const AMOUNTS: [f64; 1] = [1e5];
const COURT_BINS: u16 = 4;

/// Splits of every kind: between any two codes, before the first, after the last, with missing rows on either side.
fn fit() -> BoostedFit {
    let bins = [
        FieldBins::Cuts(RATIOS.to_vec()),
        FieldBins::Cuts(AMOUNTS.to_vec()),
        FieldBins::Codes(INDUSTRIES.len() as u16),
        FieldBins::Cuts(vec![1.0]),
        FieldBins::Codes(COURT_BINS),
    ];
    let mut state = 7u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let mut grown = Forest::new(bins.to_vec(), -2.345678901234567);
    for _ in 0..40 {
        let mut nodes: Vec<Node> = Vec::new();
        for at in 0..15u32 {
            let field = [0, 1, 2, 4][next() as usize % 4];
            let codes = bins[field as usize].codes() as u64;
            let value = (next() as f64 / (1u64 << 31) as f64 - 0.5) / 3.0;
            let (last_left, missing_left) = ((next() % codes) as u16, next() % 2 == 0);
            let split = Split { field, last_left, missing_left, left: 2 * at + 1, right: 2 * at + 2, gain: 1.0 };
            let shape = if at < 7 { Shape::Split(split) } else { Shape::Leaf(value) };
            nodes.push(Node { rows: 10, cover: 1.0, shape });
        }
        grown.push(Tree { nodes });
    }
    let field = |name: &str| json!({ "name": name, "monotone": "free", "splits": 1, "gain": 1.0 });
    let fields = ["ratio", "amount", "industry", "unused", "court_cases"].map(field);
    let none = json!({ "grid": { "low": 0.0, "step": 1.0, "cells": 2 }, "groups": [] });
    serde_json::from_value(json!({
        "fields": fields,
        "forest": grown, "losses": [], "train_rows": 10, "train_bad": 1, "holdout_rows": 0, "holdout_bad": 0,
        "joint": null, "bank_only": null, "rounds": [],
        "validation": { "joint": none, "bank_only": none, "joint_train": none, "bank_only_train": none, "fields": [],
            "compared": null, "swap": null },
    }))
    .unwrap()
}

fn reading(field: usize) -> Reading {
    match field {
        0 => Reading::Number(RATIOS.to_vec()),
        1 => Reading::Number(AMOUNTS.to_vec()),
        2 => Reading::Category(INDUSTRIES.map(Into::into).to_vec()),
        3 => Reading::Number(vec![1.0]),
        _ => Reading::Code,
    }
}

/// Rows on, beside and between the cuts, with missing and unknown values.
fn rows() -> Vec<Row> {
    let ratios =
        [None, Some(-1e300), Some(-0.5), Some(0.1), Some(0.1f64.next_up()), Some(0.30000000000000004), Some(7.0)];
    let amounts = [None, Some(100_000.0), Some(100_000.0f64.next_up())];
    let industries = [None, Some("retail"), Some("food & <drink>"), Some("\"软件\""), Some("unheard of")];
    let courts = [None, Some(0), Some(1), Some(2), Some(3), Some(4)];
    let mut rows = Vec::new();
    for ratio in ratios {
        for amount in amounts {
            for industry in industries {
                for court_cases in courts {
                    let industry = industry.map(Into::into);
                    rows.push(Row {
                        ratio,
                        amount,
                        industry,
                        court_cases,
                        log_odds: 0.0,
                        probability: 0.0,
                        score: 0.0,
                    });
                }
            }
        }
    }
    rows
}

fn codes(row: &Row) -> [u16; 5] {
    let number = |cuts: &[f64], value: Option<f64>| binning::code(cuts, value.unwrap_or(f64::NAN));
    let place = INDUSTRIES.iter().position(|industry| row.industry.as_deref() == Some(industry));
    let industry = place.map_or(0, |place| place as u16 + 1);
    [number(&RATIOS, row.ratio), number(&AMOUNTS, row.amount), industry, 0, row.court_cases.unwrap_or(0)]
}

fn scale() -> Scale {
    Scale::new(20.0, 600.0, 50.0)
}

#[test]
fn the_exported_forest_is_the_one_that_was_scored() {
    let exported = forest("joint trees", &fit(), reading, scale(), 0.0);
    if let Some(folder) = std::env::var_os("TALLYSTICK_PMML") {
        let folder = std::path::Path::new(&folder);
        std::fs::write(folder.join("forest.pmml"), &exported).unwrap();
        std::fs::write(folder.join("forest.rows.json"), serde_json::to_string(&rows()).unwrap()).unwrap();
    }
    assert_eq!(exported, EXPORTED);
    assert!(!exported.contains("unused"));
}

#[test]
fn pmml4s_adds_the_same_trees() {
    let (fit, scale) = (fit(), scale());
    let recorded: Vec<Row> = serde_json::from_str(RECORDED).unwrap();
    assert_eq!(recorded.len(), rows().len());
    let mut scores = Vec::new();
    for row in &recorded {
        let shown = serde_json::to_string(row).unwrap();
        let log_odds = crate::Scoring::score(&fit, &codes(row));
        assert_eq!(row.log_odds.to_bits(), log_odds.to_bits(), "{shown}: {log_odds}");
        assert!((row.probability - logistic(log_odds)).abs() < 1e-15, "{shown}");
        assert_eq!(row.score, scale.score(log_odds).round(), "{shown}");
        scores.push(row.score as i64);
    }
    scores.sort_unstable();
    scores.dedup();
    assert!(scores.len() > 50, "{}", scores.len());
}
