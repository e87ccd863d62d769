//! Every kind of model through the session: each party has the one of the pooled rows.

use tally_model::{CoarsePlan, DropReason, Fitted, ReasonBasis, SelectionPlan, Steps, Trend};

use super::*;
use crate::session::{CappedColumn, ContractError, HoldoutRule, JudgingTerms, SampleTerms};

pub(super) fn trees(banks: usize) -> Contract {
    let mut contract = contract(banks);
    contract.model.algorithm = "trees".into();
    contract.model.bins = 16;
    contract.limits.rounds = 400;
    contract.model.trees = Some(TreeTerms {
        trees: 6,
        growth: tally_model::boosted::Growth::DepthWise { max_depth: 3 },
        learning_rate: 0.3,
        lambda: 1.0,
        gamma: 0.0,
        min_child_weight: 1.0,
        row_share: 1.0,
        field_share: 1.0,
        early_stopping: None,
        monotone: BTreeMap::new(),
    });
    contract
}

#[test]
fn boosted_trees_are_those_of_the_pooled_rows() {
    let mut world = World::under(&trees(4));
    let (platform, data) = world.prepare(600, 8);
    let far = |fact: &Fact| matches!(fact, Fact::Contributed { round, .. } if *round > 30);
    while !world.facts.get("bank-3").is_some_and(|facts| facts.iter().any(far)) {
        let (from, to, body) = world.post.pop_front().unwrap();
        world.give(&to, Input::Message { from, body }).unwrap();
    }
    world.dead.push("bank-3".into());
    world.settle().unwrap();
    while !world.platform.waiting_for().is_empty() {
        world.give("platform", Input::PatienceOver).and_then(|()| world.settle()).unwrap();
    }
    let fit = &world.fits["platform"];
    assert_eq!(*fit, ideal(&world.contract, &platform, &data, fit.rounds()).unwrap());
    assert_eq!(world.fits["bank-1"], *fit);
    assert!(fit.rounds().iter().any(|round| round.cohort.len() == 3));
    world.replay();
}

/// A scorecard with every term that it may have.
fn scorecard(banks: usize) -> Contract {
    let mut contract = contract(banks);
    let model = &mut contract.model;
    model.bins = 20;
    model.coarse =
        Some(CoarsePlan { max_classes: 4, min_share: 0.05, min_good: 1, min_bad: 1, trend: Trend::Auto, eases: false });
    model.selection = SelectionPlan {
        max_correlation: 0.95,
        max_vif: Some(20.0),
        sign: true,
        steps: Steps::Both,
        enter: 0.5,
        leave: 0.6,
    };
    model.reasons = ReasonBasis::Mean;
    model.special = [("rate".to_owned(), vec![0.0, 9.0]), ("tax".to_owned(), vec![50.0])].into();
    model.cuts = [("tax".to_owned(), vec![20.0, 40.0, 80.0])].into();
    let sector = contract.fields.iter_mut().find(|field| field.name == "sector").unwrap();
    sector.categories = ["x", "y", "z"].map(Into::into).to_vec();
    contract.sample = Some(SampleTerms {
        observed: "2024-06-30".into(),
        cohorts: Vec::new(),
        outcome_months: 12,
        outcome: Text::new("逾期", "past due"),
        snapshot: "2024-06-30".into(),
        holdout: HoldoutRule::Hash,
        exclusions: Vec::new(),
    });
    contract
}

#[test]
fn scorecards_with_every_term_are_those_of_the_pooled_rows() {
    let mut world = World::under(&scorecard(4));
    let (platform, data) = world.prepare(400, 5);
    world.settle().unwrap();
    let pooled = ideal(&world.contract, &platform, &data, &[]).unwrap();
    assert_eq!(world.fits.len(), 5);
    for (node, fit) in &world.fits {
        assert_eq!(fit, &pooled, "{node}");
    }
    let Fitted::Scorecard(fit) = pooled else { panic!("another kind of model") };
    let field = |name: &str| fit.fields.iter().find(|field| field.name == name).unwrap();
    assert_eq!(field("tax").classes, [0, 1, 2, 3, 4, 5], "chosen cut points and a special value stay apart");
    let rate = field("rate");
    let last = rate.classes.len() - 1;
    assert!(rate.classes[last] != rate.classes[last - 1], "{:?}", rate.classes);
    assert!(rate.classes.iter().max().unwrap() <= &6, "four classes, missing, two special values");
    for field in &fit.fields {
        assert_eq!(field.dropped.is_none(), field.coefficient.is_some());
        assert!(!matches!(field.dropped, Some(DropReason::FewBanks)));
    }
}

fn judged(segments: &[&str], only: &[&str]) -> JudgingTerms {
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    JudgingTerms { approval: 0.7, segments: names(segments), segments_only: names(only), ..JudgingTerms::default() }
}

/// Segments of both holders' fields, of either kind of model.
#[test]
fn segments_are_those_of_the_pooled_rows() {
    for mut contract in [scorecard(4), trees(4)] {
        contract.model.judging = judged(&["sector", "rate", "tax"], &["tax"]);
        contract.limits.evaluations = 1 << 12;
        let mut world = World::under(&contract);
        let (platform, data) = world.prepare(3000, 9);
        world.settle().unwrap();
        let pooled = ideal(&world.contract, &platform, &data, &[]).unwrap();
        assert!(world.fits.len() == 5 && world.fits.values().all(|fit| *fit == pooled));
        let (validation, bins) = match &pooled {
            Fitted::Scorecard(fit) => {
                assert_eq!(fit.fields[2].dropped, Some(DropReason::Apart));
                (&fit.validation, fit.fields.iter().map(|field| field.bins.clone()).collect())
            }
            Fitted::Trees(fit) => {
                assert_eq!(fit.fields[2].splits, 0);
                (&fit.validation, fit.forest.bins().to_vec())
            }
            Fitted::Statistics(_) => unreachable!(),
        };
        let swap = validation.swap.unwrap();
        assert!((swap.approval().0 - 0.7).abs() < 0.05, "{swap:?}");
        let fields: Vec<_> = validation.segments.iter().map(|rows| rows.field).collect();
        assert_eq!(fields, [3, 0, 2]);
        for rows in &validation.segments {
            assert_eq!(rows.segments.len(), bins[rows.field].codes());
            let all = rows.joint.iter().flat_map(|cells| &cells.groups).map(|group| group.rows.rows());
            assert_eq!(all.sum::<i64>(), validation.holdout().rows(), "field {}", rows.field);
        }
    }
}

fn weighted(column: &str, cap: f64) -> RowColumns {
    let capped = |column: &str, cap| Some(CappedColumn { column: column.into(), cap });
    RowColumns { weight: capped(column, cap), offset: capped("offset", 0.4) }
}

/// Weights and offsets reach the fit, under noise, and every party has the same.
#[test]
fn weighted_rows_need_noise_and_reach_every_party_alike() {
    let fitted = |rows: RowColumns| {
        let mut contract = noisy(1.0, 20.0);
        contract.model.rows = rows;
        let mut world = World::under(&contract);
        world.prepare(1200, 6);
        world.settle().unwrap();
        let fits: Vec<_> = world.fits.into_values().collect();
        assert!(fits.len() == 4 && fits.windows(2).all(|pair| pair[0] == pair[1]));
        fits[0].digest()
    };
    assert_ne!(fitted(weighted("weight", 1.5)), fitted(RowColumns::default()));
}

#[test]
fn terms_of_the_model_and_the_sample_that_do_not_fit_are_refused() {
    let refused = |change: &dyn Fn(&mut Contract), named: &str| {
        let mut contract = scorecard(3);
        change(&mut contract);
        let Err(ContractError::Term { term, .. }) = SealedContract::read(&contract.envelope()) else {
            panic!("{named} was let through")
        };
        assert!(term.contains(named), "{term} is not {named}");
    };
    refused(&|contract| contract.model.cuts = [("kind".to_owned(), vec![1.0])].into(), "model.cuts");
    refused(&|contract| contract.model.cuts = [("tax".to_owned(), vec![2.0, 1.0])].into(), "model");
    refused(&|contract| contract.model.rows = weighted("weight", 1.5), "model.rows");
    refused(&|contract| contract.model.selection.leave = 0.1, "model");
    refused(&|contract| contract.model.coarse.as_mut().unwrap().max_classes = 1, "model");
    refused(&|contract| contract.sample.as_mut().unwrap().snapshot = "2024-07-01".into(), "sample");
    refused(&|contract| contract.snapshot.as_of = "2024-06-29".parse().unwrap(), "snapshot");
    refused(&|contract| contract.model.judging = judged(&["colour"], &[]), "model.judging.segments");
    refused(&|contract| contract.model.judging = judged(&["tax"], &["rate"]), "model.judging.segments_only");
    refused(&|contract| contract.model.judging = judged(&["kind", "rate"], &["kind", "rate"]), "segments_only");
    refused(&|contract| contract.model.judging = judged(&["tax", "tax"], &[]), "model");
    refused(&|contract| contract.model.judging.approval = 1.0, "model");
    let judged_under_noise = Contract { model: scorecard(3).model, ..noisy(1.0, 20.0) };
    assert!(SealedContract::read(&judged_under_noise.envelope()).is_err());
    for (column, cap, fits) in [("weight", 1.5, true), ("rate", 1.5, false), ("weight", 0.0, false)] {
        let mut contract = noisy(1.0, 20.0);
        contract.model.rows = weighted(column, cap);
        assert_eq!(SealedContract::read(&contract.envelope()).is_ok(), fits, "{column} {cap}");
    }
    let mut forest = trees(3);
    forest.model.coarse = scorecard(3).model.coarse;
    assert!(SealedContract::read(&forest.envelope()).is_err());
}

/// Cuts that someone chose are the same in every session over the same data: between two of them lie few rows.
#[test]
fn chosen_cuts_and_special_values_are_compared_field_by_field() {
    let with = |cuts: &[(&str, f64)], special: &[(&str, f64)]| {
        let of = |given: &[(&str, f64)]| given.iter().map(|(field, at)| ((*field).to_owned(), vec![*at])).collect();
        ModelTerms { cuts: of(cuts), special: of(special), ..contract(3).model }
    };
    let (plain, one) = (with(&[], &[]), with(&[("rate", 5.0)], &[]));
    assert_eq!(plain.cut_otherwise(&plain), None);
    assert_eq!(one.cut_otherwise(&one), None);
    assert_eq!(one.cut_otherwise(&with(&[("rate", 5.1)], &[])), Some("rate"));
    assert_eq!((one.cut_otherwise(&plain), plain.cut_otherwise(&one)), (Some("rate"), Some("rate")));
    assert_eq!(plain.cut_otherwise(&with(&[], &[("tax", -1.0)])), Some("tax"));
}
