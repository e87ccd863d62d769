//! Every figure beside what scikit-learn, scipy and statsmodels say of the same discretised scores; tests/oracle/metrics.py
//! recorded it.

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use super::*;
use crate::contribution::logistic;
use crate::request::{RowSet, ScoreGrid};

const ORACLE: &str = include_str!("../../../../tests/oracle/metrics.json");

#[derive(Deserialize)]
struct Score {
    name: String,
    grid: ScoreGrid,
    cells: Vec<(usize, i64, i64)>,
    #[serde(flatten)]
    expected: Value,
}

impl Score {
    fn histogram(&self) -> Histogram {
        self.released().histogram().unwrap()
    }

    fn released(&self) -> ScoreCells {
        let mut words = vec![0; 2 * self.grid.cells as usize];
        for (place, good, bad) in &self.cells {
            words[2 * place..2 * place + 2].copy_from_slice(&[*good, *bad]);
        }
        ScoreCells::released(self.grid, &(0..self.grid.cells as usize).collect::<Vec<_>>(), &words)
    }

    fn number(&self, name: &str) -> f64 {
        self.expected[name].as_f64().unwrap()
    }

    fn columns(&self, name: &str) -> (Vec<f64>, Vec<f64>) {
        serde_json::from_value(self.expected[name].clone()).unwrap()
    }
}

fn recorded<T: for<'de> Deserialize<'de>>(name: &str) -> Vec<T> {
    let oracle: Value = serde_json::from_str(ORACLE).unwrap();
    serde_json::from_value(oracle[name].clone()).unwrap()
}

fn close(left: f64, right: f64) -> bool {
    (left - right).abs() < 1e-9
}

/// Standard error that an interval on the scale of the figure was made with.
fn standard_error(estimate: Estimate) -> f64 {
    (estimate.high - estimate.low) / 2.0 / 1.959_963_984_540_054
}

#[test]
fn ranking_figures_equal_scikit_learn() {
    for score in recorded::<Score>("scores") {
        let histogram = score.histogram();
        let figures = histogram.figures();
        assert!(close(figures.auc, score.number("auc")), "{}", score.name);
        assert!(close(figures.gini, 2.0 * score.number("auc") - 1.0));
        assert!(close(figures.ks, score.number("ks")), "{}", score.name);
        assert!(close(histogram.average_precision().value, score.number("average_precision")), "{}", score.name);

        let (good, bad) = score.columns("roc");
        let roc = histogram.roc();
        assert_eq!(roc.len(), good.len());
        assert!(roc.iter().zip(&good).all(|(point, x)| close(point.good_declined, *x)));
        assert!(roc.iter().zip(&bad).all(|(point, y)| close(point.bad_declined, *y)));

        // scikit-learn's curve comes from the other end, with one more point at recall 0.
        let (precision, recall) = score.columns("precision_recall");
        let curve = histogram.precision_recall();
        assert_eq!(curve.len() + 1, precision.len());
        assert!(curve.iter().rev().zip(&precision).all(|(point, p)| close(point.precision, *p)));
        assert!(curve.iter().rev().zip(&recall).all(|(point, r)| close(point.recall, *r)));
    }
}

#[test]
fn delong_from_cells_equals_delong_from_pairs_of_rows() {
    for score in recorded::<Score>("scores") {
        let auc = score.histogram().auc();
        assert!(close(standard_error(auc), score.number("auc_variance").sqrt()), "{}", score.name);
        assert!(close(standard_error(score.histogram().gini()), 2.0 * score.number("auc_variance").sqrt()));
    }
}

#[test]
fn probability_figures_equal_scikit_learn() {
    for score in recorded::<Score>("scores") {
        let (brier, loss) = (brier(&score.released()).unwrap(), log_loss(&score.released()).unwrap());
        assert!(close(brier.estimate.value, score.number("brier")), "{}", score.name);
        assert!(close(loss.estimate.value, score.number("log_loss")), "{}", score.name);
        let off = (brier.estimate.value - score.number("brier_unrounded")).abs();
        assert!(off <= brier.error.unwrap(), "{}: {off} off, bound {:?}", score.name, brier.error);
        if let Some(error) = loss.error {
            assert!((loss.estimate.value - score.number("log_loss_unrounded")).abs() <= error, "{}", score.name);
        }
        assert!(loss.error.is_some() || score.name != "fine grid");
        assert!(loss.error.is_none() || score.name != "open cells");
    }
}

#[test]
fn bands_calibration_and_hosmer_lemeshow_equal_the_oracle() {
    for score in recorded::<Score>("scores") {
        let histogram = score.histogram();
        let bands: Vec<(i64, i64)> = histogram.bands(10).iter().map(|band| band.total.into()).collect();
        assert_eq!(bands, serde_json::from_value::<Vec<_>>(score.expected["bands"].clone()).unwrap(), "{}", score.name);

        let table = reliability(&score.released(), 10);
        let (expected, observed) = score.columns("calibration");
        assert_eq!(table.len(), expected.len());
        assert!(table.iter().zip(&expected).all(|(band, p)| close(band.expected, *p)), "{}", score.name);
        assert!(table.iter().zip(&observed).all(|(band, p)| close(band.observed.value, *p)), "{}", score.name);
        let wilson: Vec<(f64, f64)> = serde_json::from_value(score.expected["wilson"].clone()).unwrap();
        for (band, (low, high)) in table.iter().zip(wilson) {
            assert!(close(band.observed.low, low) && close(band.observed.high, high), "{}", score.name);
        }

        let test = &score.expected["hosmer_lemeshow"];
        let number = |name: &str| test[name].as_f64().unwrap();
        let holdout = hosmer_lemeshow(&table, RowSet::Holdout);
        assert!((holdout.statistic / number("statistic") - 1.0).abs() < 1e-9, "{}", score.name);
        assert!(close(holdout.p_value, number("p_holdout")), "{}", score.name);
        assert!(close(hosmer_lemeshow(&table, RowSet::Train).p_value, number("p_train")), "{}", score.name);
    }
}

#[test]
fn asymptotic_intervals_are_as_wide_as_the_bootstrap_says() {
    let scores = recorded::<Score>("scores");
    let score = &scores[0];
    let evaluation = Evaluation::new(&score.released(), RowSet::Holdout).unwrap();
    for (name, estimate) in [
        ("ks", evaluation.ks.distance),
        ("average_precision", evaluation.average_precision),
        ("brier", evaluation.brier.estimate),
        ("log_loss", evaluation.log_loss.estimate),
    ] {
        let ratio = standard_error(estimate) / score.expected["bootstrap"][name].as_f64().unwrap();
        assert!((0.85..1.2).contains(&ratio), "{name}: {ratio}");
    }
}

#[derive(Deserialize)]
struct Pair {
    name: String,
    width: usize,
    cells: Vec<(usize, usize, i64, i64)>,
    first: f64,
    second: f64,
    difference: f64,
    variance: f64,
    p_value: f64,
    swap: Vec<Swap>,
}

#[derive(Deserialize)]
struct Swap {
    approval: f64,
    both: Cell,
    swap_in: Cell,
    swap_out: Cell,
    neither: Cell,
}

#[test]
fn correlated_aucs_and_swap_sets_equal_the_oracle() {
    for pair in recorded::<Pair>("pairs") {
        let mut cells = vec![Cell::default(); pair.width * pair.width];
        for (first, second, good, bad) in &pair.cells {
            cells[first * pair.width + second] = Cell { good: *good, bad: *bad };
        }
        let histogram = PairHistogram::new(cells, pair.width).unwrap();
        let found = histogram.auc_difference();
        assert!(close(found.first, pair.first) && close(found.second, pair.second), "{}", pair.name);
        assert!(close(found.difference.value, pair.difference), "{}", pair.name);
        assert!(close(standard_error(found.difference), pair.variance.sqrt()), "{}", pair.name);
        assert!(close(found.p_value, pair.p_value), "{}", pair.name);

        let (first, second) = (histogram.first().placements(), histogram.second().placements());
        let mut products = Placed { good: 0.0, bad: 0.0 };
        for (a, b, good, bad) in &pair.cells {
            products.good += *good as f64 * first.good[*a] * second.good[*b];
            products.bad += *bad as f64 * first.bad[*a] * second.bad[*b];
        }
        let by_products = auc_difference(histogram.first(), histogram.second(), products);
        assert!(close(standard_error(by_products.difference), pair.variance.sqrt()), "{}", pair.name);
        assert!(close(by_products.p_value, pair.p_value), "{}", pair.name);

        for swap in pair.swap {
            let found = histogram.swap_set(swap.approval);
            let expected =
                SwapSet { both: swap.both, swap_in: swap.swap_in, swap_out: swap.swap_out, neither: swap.neither };
            assert_eq!(found, expected, "{} at {}", pair.name, swap.approval);
        }
    }
}

#[derive(Deserialize)]
struct Drift {
    name: String,
    expected: Vec<i64>,
    actual: Vec<i64>,
    index: f64,
    p_value: f64,
}

#[test]
fn stability_indices_equal_the_oracle() {
    for drift in recorded::<Drift>("stability") {
        let found = stability_index(&drift.expected, &drift.actual).unwrap();
        assert!(close(found.index, drift.index), "{}: {}", drift.name, found.index);
        assert!(close(found.p_value, drift.p_value), "{}: {}", drift.name, found.p_value);
    }
    // Rows per score decile of the German credit data, development and hold-out, and what toad 0.1.7 makes of them.
    let (development, holdout) = ([50, 48, 52, 46, 53, 51, 47, 51, 50, 52], [57, 47, 50, 43, 59, 53, 43, 48, 54, 46]);
    let found = stability_index(&development, &holdout).unwrap();
    assert!((found.index - 0.007_041_088_3).abs() < 1e-9, "{}", found.index);
    assert_eq!(stability_index(&[1, 2], &[1]), None);
    assert_eq!(stability_index(&[0, 0], &[1, 2]), None);
    assert_eq!(stability_index(&[1, -1], &[1, 2]), None);
    assert_eq!(points_shift(&[1, 1], &[1, 3], &[10, 30]), Some(5.0));
}

#[test]
fn figures_of_a_small_sample() {
    // Pairs (bad, good): .8 against .1 .4 .35 .8: 3.5; .35 against the same: 1.5; in all 5 of 8.
    let figures = exact(&[0.1, 0.4, 0.35, 0.8, 0.8, 0.35], &[0, 0, 0, 0, 1, 1]).unwrap();
    assert_eq!(figures.auc, 5.0 / 8.0);
    assert_eq!(figures.gini, 0.25);
    assert_eq!(figures.ks, 0.25);
    assert_eq!(exact(&[1.0], &[1]), None);
}

#[test]
fn histograms_that_say_nothing_are_refused() {
    let histogram = |cells: &[(i64, i64)]| Histogram::new(cells.iter().copied().map(Cell::from).collect());
    assert_eq!(histogram(&[]), None);
    assert_eq!(histogram(&[(3, 0)]), None);
    assert_eq!(histogram(&[(0, 3)]), None);
    assert_eq!(histogram(&[(3, 1), (-1, 0)]), None);
    assert_eq!(histogram(&[(i64::MAX, 1), (1, 0)]), None);
    assert_eq!(PairHistogram::new(vec![Cell { good: 1, bad: 1 }; 6], 4), None);
    assert_eq!(PairHistogram::new(vec![Cell { good: 1, bad: 1 }; 6], 0), None);
}

#[test]
fn one_row_of_each_kind_has_figures() {
    let grid = ScoreGrid { low: 0.0, step: 1.0, cells: 2 };
    let scores = ScoreCells::released(grid, &[0, 1], &[1, 0, 0, 1]);
    let evaluation = Evaluation::new(&scores, RowSet::Holdout).unwrap();
    assert_eq!(evaluation.auc, Estimate { value: 1.0, low: 1.0, high: 1.0 });
    assert_eq!(evaluation.ks.distance.value, 1.0);
    assert!(evaluation.hosmer_lemeshow.p_value.is_finite());
    let empty = ScoreCells::released(grid, &[0, 1], &[0; 4]);
    let segments = by_segment([("all", &scores), ("none", &empty)], RowSet::Holdout);
    assert_eq!(segments[0].evaluation, Some(evaluation));
    assert_eq!(segments[1].evaluation, None);
}

#[test]
fn groups_of_cells_stand_for_what_they_span() {
    let grid = ScoreGrid { low: -2.0, step: 1.0, cells: 6 };
    let scores = ScoreCells::released(grid, &[0, 2, 5], &[5, 1, 0, 0, 7, 2, 0, 0, 0, 0, 0, 4]);
    assert_eq!(scores.ends(0), (f64::NEG_INFINITY, -1.0));
    assert_eq!((scores.ends(1), scores.middle(1)), ((-1.0, 2.0), 0.5));
    assert_eq!((scores.middle(0), scores.middle(2)), (-1.5, 2.5));
    assert_eq!([-9.0, -1.01, -1.0, 1.9, 2.0, 9.0].map(|score| scores.group(score)), [0, 0, 1, 1, 2, 2]);
    let text = serde_json::to_string(&scores).unwrap();
    assert!(text.contains("[[0,1,5,1],[2,4,7,2],[5,5,0,4]]"), "{text}");
    assert_eq!(serde_json::from_str::<ScoreCells>(&text).unwrap(), scores);
    // The other sample's groups end elsewhere: what both can tell apart is compared.
    let other = ScoreCells::released(grid, &[0, 1, 3], &[3, 1, 9, 3, 0, 0, 2, 4, 0, 0, 0, 0]);
    let compared = score_stability(&scores, &other).unwrap();
    assert_eq!(compared, stability_index(&[19, 0], &[22, 0]).unwrap());
    let none = ScoreCells { groups: Vec::new(), ..scores.clone() };
    assert_eq!(score_stability(&none, &scores), None);
}

fn cells() -> impl Strategy<Value = Vec<(i64, i64)>> {
    prop::collection::vec((0..40i64, 0..20i64), 2..40)
        .prop_filter("both kinds", |cells| cells.iter().any(|cell| cell.0 > 0) && cells.iter().any(|cell| cell.1 > 0))
}

proptest! {
    #[test]
    fn tables_add_up_and_cells_are_never_split(cells in cells(), bands in 1..20usize) {
        let histogram = Histogram::new(cells.iter().copied().map(Cell::from).collect()).unwrap();
        let found = histogram.bands(bands);
        prop_assert!(found.len() <= bands);
        prop_assert!(found.windows(2).all(|pair| pair[0].cells.end <= pair[1].cells.start));
        let sum = found.iter().fold(Cell::default(), |sum, band| sum.plus(band.total));
        prop_assert_eq!(sum, histogram.total());
        let last = cut_offs(&histogram, bands).pop().unwrap();
        prop_assert_eq!((last.approved, last.bad_declined), (histogram.total(), 0.0));
        let all = histogram.gains(bands).pop().unwrap();
        prop_assert_eq!((all.population, all.captured, all.cumulative_lift), (1.0, 1.0, 1.0));
        let end = histogram.roc().pop().unwrap();
        prop_assert_eq!((end.good_declined, end.bad_declined), (1.0, 1.0));
    }

    #[test]
    fn a_score_does_not_differ_from_itself(cells in cells()) {
        let width = cells.len();
        let mut square = vec![Cell::default(); width * width];
        for (place, cell) in cells.iter().enumerate() {
            square[place * width + place] = Cell::from(*cell);
        }
        let pairs = PairHistogram::new(square, width).unwrap();
        let found = pairs.auc_difference();
        prop_assert_eq!((found.difference.value, found.p_value), (0.0, 1.0));
        let swap = pairs.swap_set(0.6);
        prop_assert_eq!((swap.swap_in, swap.swap_out), (Cell::default(), Cell::default()));
        let grid = ScoreGrid { low: 0.0, step: 1.0, cells: u32::try_from(width).unwrap() };
        let words: Vec<_> = cells.iter().flat_map(|cell| [cell.0, cell.1]).collect();
        let scores = ScoreCells::released(grid, &(0..width).collect::<Vec<_>>(), &words);
        prop_assert_eq!(score_stability(&scores, &scores).unwrap().index, 0.0);
    }

    #[test]
    fn a_cell_stands_for_its_scores(score in -12.0..12.0f64) {
        let grid = ScoreGrid { low: -10.0, step: 0.05, cells: 402 };
        let scores = ScoreCells::released(grid, &(0..402).collect::<Vec<_>>(), &[1; 804]);
        let group = scores.group(score);
        let (low, high) = scores.ends(group);
        prop_assert!(low - 1e-12 <= score && score <= high + 1e-12);
        if group > 0 && group < 401 {
            prop_assert!((logistic(scores.middle(group)) - logistic(score)).abs() <= 0.05 / 8.0);
        }
    }
}

/// Bands tile the line, hold every row once, and a probability finds the band that its log-odds lie in.
#[test]
fn calibrated_bands_are_found_by_probability() {
    let grid = ScoreGrid { low: -4.0, step: 0.5, cells: 18 };
    let words: Vec<i64> = (0..18).flat_map(|cell| [40 - 2 * cell, 1 + cell]).collect();
    let scores = ScoreCells::released(grid, &(0..18).collect::<Vec<_>>(), &words);
    let bands = calibrated(&scores, 5);
    assert_eq!(bands.len(), 5);
    assert_eq!((bands[0].low, bands[4].high), (f64::NEG_INFINITY, f64::INFINITY));
    assert!(
        bands
            .windows(2)
            .all(|two| two[0].high == two[1].low && two[0].rows.observed.value < two[1].rows.observed.value)
    );
    assert_eq!(bands.iter().map(|band| band.rows.rows.rows()).sum::<i64>(), scores.rows().rows());
    for z in [-9.0, -3.7, -1.2, 0.1, 2.4, 9.0] {
        let found = CalibratedBand::of(&bands, 1.0 / (1.0 + libm::exp(-z))).unwrap();
        assert!(found.low <= z && z < found.high, "{z}: {found:?}");
    }
    assert!(CalibratedBand::of(&[], 0.5).is_none());
}
