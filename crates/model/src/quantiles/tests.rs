//! Cuts against exact quantiles, by sorting, and what all passes together show.

mod release;
mod shapes;

use proptest::prelude::*;

use self::shapes::{Drawn, SHAPES, drawn};
use super::*;
use crate::contribution::contribution;
use crate::plain::Plain;
use crate::request::{RowSet, SumRequest};
use crate::rows::{Column, Table};
use crate::tests::{fit, fit_released, names, plan, split, values};
use crate::{CoarsePlan, DropReason, Trend, binning};

/// Fewest rows of a range that is looked into, as in the templates.
const MIN_ROWS: u64 = 5;

pub(super) fn terms(search: CutSearch, bins: u16, min_rows: u64) -> Terms {
    Terms { search, bins, min_rows, noisy: false }
}

/// A table of one column.
fn column(values: &[f64]) -> Table {
    Table {
        columns: vec![Column::Values(values.to_vec())],
        label: vec![0; values.len()],
        holdout: vec![false; values.len()],
        ..Table::default()
    }
}

/// The bins that are found for the banks' values, and every sum that was asked on the way.
pub(super) fn seek(
    banks: &[Vec<f64>],
    special: &[f64],
    terms: Terms,
    least: u32,
) -> (BinSearch, Vec<(SumRequest, Sums)>) {
    let everyone = names(banks.len());
    let tables = everyone.iter().cloned().zip(banks.iter().map(|values| column(values))).collect();
    let plain = Plain { tables, least, share: None };
    let mut search = BinSearch::new([Bins::Sought(special)].into_iter(), terms);
    let mut rounds = Vec::new();
    while let Some(kind) = search.ask() {
        let request = SumRequest { rows: RowSet::Train, scale_bits: 0, kind };
        let sums = plain.answer(&request, &everyone, &everyone).unwrap();
        search.answer(&request.kind, &sums);
        rounds.push((request, sums));
    }
    (search, rounds)
}

fn cuts(search: &BinSearch) -> Vec<f64> {
    match &search.bins()[0] {
        FieldBins::Cuts(cuts) | FieldBins::Special { cuts, .. } => cuts.clone(),
        FieldBins::Codes(_) => unreachable!(),
    }
}

fn found(banks: &[Vec<f64>], min_rows: u64, least: u32) -> Vec<f64> {
    cuts(&seek(banks, &[], terms(CutSearch::Nested, BINS, min_rows), least).0)
}

const BINS: u16 = 20;

/// The lower order statistics of the inner quantiles, by sorting; none at the largest value.
fn exact(banks: &[Vec<f64>]) -> Vec<f64> {
    let mut sorted = banks.concat();
    sorted.retain(|value| !value.is_nan());
    sorted.sort_by(|a, b| a.partial_cmp(b).unwrap());
    let last = sorted.len() - 1;
    let mut cuts: Vec<f64> = (1..usize::from(BINS)).map(|cut| sorted[last * cut / usize::from(BINS)]).collect();
    cuts.dedup();
    cuts.retain(|cut| *cut < sorted[last]);
    cuts
}

/// How many values lie at or below each cut.
fn below(values: &[f64], cuts: &[f64]) -> Vec<usize> {
    cuts.iter().map(|cut| values.iter().filter(|value| *value <= cut).count()).collect()
}

fn codes(banks: &[Vec<f64>], cuts: &[f64]) -> Vec<u16> {
    banks.concat().iter().map(|value| binning::code(cuts, *value)).collect()
}

/// Rows of the largest bin.
fn largest(rows: usize, below: &[usize]) -> usize {
    let ends = below.iter().copied().chain([rows]);
    ends.scan(0, |from, end| Some(end - std::mem::replace(from, end))).max().unwrap_or(0)
}

/// Rows that share the commonest value.
fn most_alike(values: &[f64]) -> usize {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.chunk_by(|one, other| one == other).map(<[f64]>::len).max().unwrap_or(0)
}

/// Whether every number of one list has one of the other within a distance, or lies at an end.
fn near(ones: &[usize], others: &[usize], rows: usize, distance: usize) -> bool {
    let ends = [0, rows];
    ones.iter().all(|one| others.iter().chain(&ends).any(|other| one.abs_diff(*other) <= distance))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    /// Where every cell may be shown, cuts split the rows as sorting does, whatever the values are.
    #[test]
    fn cuts_of_one_holder_are_exact(seed: u64, shape in 0..SHAPES, rows in 20usize..800) {
        let Drawn { banks, .. } = drawn(shape, seed, rows, 1, 0);
        let found = found(&banks, 1, 1);
        prop_assert!(found.is_sorted_by(|a, b| a < b));
        prop_assert_eq!(codes(&banks, &found), codes(&banks, &exact(&banks)));
    }

    /// Cells of three banks, outliers at one of them: within one fine bin of sorting, or one value's rows where these are more, since
    /// no cut goes through them; no bin much larger.
    #[test]
    fn cuts_of_three_banks_are_near(seed: u64, shape in 0..SHAPES, outliers in prop::sample::select(vec![0usize, 1, 5])) {
        let Drawn { banks, .. } = drawn(shape, seed, 2400, 3, outliers);
        let (exact, found) = (exact(&banks), found(&banks, MIN_ROWS, 3));
        let all: Vec<f64> = banks.concat().into_iter().filter(|value| !value.is_nan()).collect();
        let (exact, found) = (below(&all, &exact), below(&all, &found));
        let atom = most_alike(&all);
        let bin = (all.len() / usize::from(BINS)).max(atom);
        prop_assert!(near(&found, &exact, all.len(), bin), "{shape}: {found:?} beside {exact:?}");
        prop_assert!(near(&exact, &found, all.len(), bin), "{shape}: {exact:?} beside {found:?}");
        let most = largest(all.len(), &exact) as f64 * 1.5;
        prop_assert!(largest(all.len(), &found) as f64 <= most, "{shape}: {found:?} beside {exact:?}");
    }

    /// A strictly monotone map of the numbers changes no row's bin where every cell may be shown, and moves cuts by few rows else.
    #[test]
    fn monotone_maps_move_few_rows(seed: u64, shape in 0..SHAPES, map in 0..MAPS.len()) {
        let Drawn { banks, .. } = drawn(shape, seed, 1500, 3, 0);
        let mapped: Vec<Vec<f64>> = banks.iter().map(|bank| bank.iter().map(|value| MAPS[map](*value)).collect()).collect();
        prop_assume!(is_strict(&banks.concat(), &mapped.concat()));
        let exact = |banks: &[Vec<f64>]| codes(banks, &found(banks, 1, 1));
        prop_assert_eq!(exact(&banks), exact(&mapped));
        let rows = |banks: &[Vec<f64>]| {
            let all: Vec<f64> = banks.concat().into_iter().filter(|value| !value.is_nan()).collect();
            (below(&all, &found(banks, MIN_ROWS, 3)), all.len())
        };
        let ((before, all), (after, _)) = (rows(&banks), rows(&mapped));
        prop_assert!(near(&before, &after, all, MOVED) && near(&after, &before, all, MOVED), "{before:?} {after:?}");
    }
}

/// Rows that a map may move a cut by where groups of three banks' rows stay together: a fine bin.
const MOVED: usize = 1500 / BINS as usize + 1;

/// Maps that rise.
const MAPS: [fn(f64) -> f64; 6] = [
    |value| 3.0 * value + 1.0,
    |value| value.exp(),
    |value| value.ln(),
    |value| value.powi(3),
    |value| value * 1024.0,
    |value| -1.0 / value,
];

/// Whether a map kept the order, and kept apart what was apart, among finite numbers.
fn is_strict(values: &[f64], mapped: &[f64]) -> bool {
    let mut pairs: Vec<(f64, f64)> =
        values.iter().copied().zip(mapped.iter().copied()).filter(|(value, _)| !value.is_nan()).collect();
    pairs.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap());
    let holds = |pair: &[(f64, f64)]| (pair[0].0 < pair[1].0) == (pair[0].1 < pair[1].1) && pair[0].1 <= pair[1].1;
    pairs.iter().all(|pair| pair.1.is_finite()) && pairs.windows(2).all(holds)
}

/// Three banks' values of one field with a label, and their scorecard; every third row is held out.
fn scorecard(banks: &[Vec<f64>], search: CutSearch, bad: impl Fn(f64, usize) -> bool) -> crate::Fit {
    let rows: Vec<f64> = (0..banks[0].len()).flat_map(|row| banks.iter().map(move |bank| bank[row])).collect();
    let label = rows.iter().enumerate().map(|(row, value)| u8::from(bad(*value, row))).collect();
    let holdout = (0..rows.len()).map(|row| row / 3 % 3 == 0).collect();
    let table = Table { columns: vec![Column::Values(rows)], label, holdout, ..Table::default() };
    let mut plan = plan(vec![values("a")]);
    (plan.bins, plan.search) = (BINS, search);
    fit_released(&plan, &split(&table, 3), 3, |_| names(3))
}

#[test]
fn one_value_far_off_hides_nothing_else() {
    let clean_banks: Vec<Vec<f64>> = (0..3)
        .map(|bank| (0..1000).map(|row| 0.55 + 0.4 * ((row * 3 + bank) % 3000) as f64 / 3000.0).collect())
        .collect();
    let rate = |row: usize| 1.5 * (clean_banks[row % 3][row / 3] - 0.5);
    let bad = |_: f64, row: usize| ((row * 7919) % 1000) as f64 / 1000.0 < rate(row);
    let clean = scorecard(&clean_banks, CutSearch::Nested, bad);
    let mut banks = clean_banks.clone();
    banks[1][500] = 1.0;
    let outlier = scorecard(&banks, CutSearch::Nested, bad);
    let auc = |fit: &crate::Fit| fit.joint.unwrap().auc;
    assert!((auc(&clean) - auc(&outlier)).abs() < 0.002, "{} {}", auc(&clean), auc(&outlier));
    assert_eq!(outlier.fields[0].coarse, None);
    // The search before it lost the field.
    let before = scorecard(&banks, CutSearch::Dyadic, bad);
    assert_eq!(before.fields[0].fine_iv, 0.0);
    assert_eq!(before.fields[0].bins, FieldBins::Cuts(vec![f64::MAX]));
}

#[test]
fn thirds_are_as_good_as_quarters() {
    let two = |low: f64, high: f64| -> Vec<Vec<f64>> {
        (0..3).map(|_| (0..1000).map(|row| if row % 2 == 0 { low } else { high }).collect()).collect()
    };
    let rate = |row: usize| ((row * 7919) % 100) as f64;
    let of = |low: f64, high: f64, search| {
        scorecard(&two(low, high), search, |value, row| rate(row) < if value == low { 5.0 } else { 40.0 })
    };
    let (thirds, quarters) = (of(1.0 / 3.0, 2.0 / 3.0, CutSearch::Nested), of(0.25, 0.75, CutSearch::Nested));
    assert!((thirds.fields[0].fine_iv - quarters.fields[0].fine_iv).abs() < 1e-9 && thirds.fields[0].fine_iv > 1.0);
    assert_eq!(thirds.joint, quarters.joint);
    assert_eq!(of(1.0 / 3.0, 2.0 / 3.0, CutSearch::Dyadic).fields[0].fine_iv, 0.0);
}

/// Equal results for a column and a map of it: the same rows in every bin, the same figures.
#[test]
fn a_map_of_a_column_gives_the_same_scorecard() {
    let Drawn { banks, .. } = drawn(0, 11, 3000, 3, 0);
    let rows = banks.concat();
    let label: Vec<u8> =
        (0..rows.len()).map(|row| u8::from((row * 7919 % 97) as f64 / 97.0 < rows[row] / 10.0)).collect();
    let with = |map: fn(f64) -> f64| {
        let table = Table {
            columns: vec![Column::Values(rows.iter().map(|value| map(*value)).collect())],
            label: label.clone(),
            holdout: (0..rows.len()).map(|row| row % 3 == 0).collect(),
            ..Table::default()
        };
        let mut plan = plan(vec![values("a")]);
        plan.min_rows = 1;
        fit(&plan, &split(&table, 3), |_| names(3))
    };
    let plain = with(|value| value);
    assert!(plain.fields[0].iv > 0.02);
    for map in MAPS {
        let mapped = with(map);
        let (one, other) = (&plain.fields[0], &mapped.fields[0]);
        assert_eq!((&one.good, &one.bad, one.iv, one.fine_iv), (&other.good, &other.bad, other.iv, other.fine_iv));
        assert_eq!(plain.joint, mapped.joint);
    }
}

#[test]
fn few_sums_settle_integers_and_no_numbers_take_more_than_the_bound() {
    let count = |banks: &[Vec<f64>], noisy: bool| {
        let terms = Terms { noisy, ..terms(CutSearch::Nested, BINS, MIN_ROWS) };
        seek(banks, &[], terms, 3).1.len()
    };
    for shape in 0..SHAPES {
        let Drawn { banks, name } = drawn(shape, 5, 2400, 3, 5);
        let (sums, noisy) = (count(&banks, false), count(&banks, true));
        assert!(sums <= 12 && noisy <= 3, "{name}");
    }
    let integers: Vec<Vec<f64>> =
        (0..3).map(|bank| (0..900).map(|row| f64::from((row * 7 + bank) % 60)).collect()).collect();
    assert!(count(&integers, false) <= 4);
}

#[test]
fn a_field_of_disjoint_banks_is_told_to_be_coarse() {
    let banks: Vec<Vec<f64>> =
        (0..3).map(|bank| (0..500).map(|row| f64::from(bank * 10_000 + row)).collect()).collect();
    let (search, rounds) = seek(&banks, &[], terms(CutSearch::Nested, BINS, MIN_ROWS), 3);
    assert_eq!(search.coarse()[0], Some(CoarseCuts { asked: BINS, bins: 1, largest: 1.0 }));
    // Nothing that could be shown is asked for.
    assert!(rounds.len() <= 2, "{}", rounds.len());
    // Two values are two bins: not coarse.
    let flags: Vec<Vec<f64>> = (0..3).map(|_| (0..500).map(|row| f64::from(row % 2)).collect()).collect();
    assert_eq!(seek(&flags, &[], terms(CutSearch::Nested, BINS, MIN_ROWS), 3).0.coarse()[0], None);
}

#[test]
fn infeasible_classes_are_no_lack_of_information() {
    let table = crate::tests::table(3000, 1);
    let mut plan =
        plan(vec![values("a"), values("b"), crate::FieldPlan::new("c", crate::FieldSource::Codes { bins: 3 })]);
    plan.coarse = Some(CoarsePlan {
        max_classes: 5,
        min_share: 0.05,
        min_good: 1,
        min_bad: 1_000_000,
        trend: Trend::Auto,
        eases: false,
    });
    let of = |search| {
        let plan = crate::Plan { search, ..plan.clone() };
        fit(&plan, &split(&table, 3), |_| names(3)).fields[0].clone()
    };
    let field = of(CutSearch::Nested);
    assert_eq!(field.dropped, Some(DropReason::Classes { fine_iv: field.fine_iv }));
    assert!(field.fine_iv > 0.1 && field.iv < 0.02, "{} {}", field.fine_iv, field.iv);
    let text = field.dropped.unwrap().text();
    assert!(text.en.contains("no classes satisfy the terms") && text.zh.contains("没有满足要求的分组"));
    // What was told before is told again of sessions from before.
    assert!(matches!(of(CutSearch::Dyadic).dropped, Some(DropReason::InformationValue { .. })));
}

/// A cut is never below what was counted below it: not of one holder, not with folds, not with missing and special rows.
#[test]
fn contributions_and_cuts_agree() {
    for shape in 0..SHAPES {
        let Drawn { banks, name } = drawn(shape, 77, 1200, 3, 1);
        let (search, rounds) = seek(&banks, &[], terms(CutSearch::Nested, BINS, MIN_ROWS), 3);
        let cuts = cuts(&search);
        for (request, sums) in &rounds {
            // Every row of a group lies in one bin, once its group is a leaf; a group that was divided later may not.
            assert_eq!(request.words(), sums.values.len());
        }
        for cut in cuts {
            assert!(cut.is_finite() && cut < f64::MAX, "{name}");
        }
        let own = contribution(&rounds[0].0, &column(&banks[0])).unwrap();
        assert_eq!(own.iter().sum::<i64>() as usize, banks[0].len());
    }
}
