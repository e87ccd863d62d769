//! Whether two samples look alike: the stability index of scores and of fields.
//!
//! `sum (actual share - expected share) x ln(actual share / expected share)` over cells (Siddiqi, Credit Risk Scorecards,
//! 2006, chapter 8; by custom below 0.10 stable, above 0.25 shifted). A cell without rows on one side counts half a row
//! there; a cell without rows on either adds nothing. If nothing has changed, the index over `1 / n + 1 / m` is about
//! chi-squared with one degree of freedom less than there are cells (Yurdakul, Naranjo, J. Risk Model Validation 14, 2020).

use serde::{Deserialize, Serialize};

use super::estimate::Test;
use super::scores::ScoreCells;

/// Quantile bands of the expected sample that scores are compared in.
const SCORE_BANDS: usize = 10;

/// A stability index.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stability {
    /// The index.
    pub index: f64,
    /// Chance of an index at least as large if nothing has changed.
    pub p_value: f64,
}

/// Stability index from rows per cell (bins of a field, bands of a score); `None` if the samples have other cells, or one
/// of them no rows.
pub fn stability_index(expected: &[i64], actual: &[i64]) -> Option<Stability> {
    let rows = |cells: &[i64]| {
        let all = cells.iter().try_fold(0i64, |sum, count| sum.checked_add(*count).filter(|_| *count >= 0));
        all.filter(|all| *all > 0).map(|all| all as f64)
    };
    let (all_expected, all_actual) = (rows(expected)?, rows(actual)?);
    if expected.len() != actual.len() {
        return None;
    }
    let cells = || expected.iter().zip(actual).filter(|(expected, actual)| **expected > 0 || **actual > 0);
    let share = |count: i64, all: f64| if count == 0 { 0.5 / all } else { count as f64 / all };
    let index = cells().fold(0.0, |sum, (expected, actual)| {
        let (expected, actual) = (share(*expected, all_expected), share(*actual, all_actual));
        sum + (actual - expected) * libm::log(actual / expected)
    });
    let degrees = u32::try_from(cells().count()).unwrap_or(u32::MAX).saturating_sub(1);
    let p_value = Test::chi_squared(index / (1.0 / all_expected + 1.0 / all_actual), degrees).p_value;
    Some(Stability { index, p_value })
}

/// Stability index of a score over quantile bands of the expected sample, ten where the released groups allow it; `None`
/// if the grids differ or there is no histogram.
pub fn score_stability(expected: &ScoreCells, actual: &ScoreCells) -> Option<Stability> {
    let bands = expected.histogram()?.bands(SCORE_BANDS);
    if expected.grid != actual.grid {
        return None;
    }
    let starts = bands.iter().skip(1).map(|band| whole(expected.groups[band.cells.start].first, [expected, actual]));
    let starts: Vec<_> = starts.collect();
    let fold = |scores: &ScoreCells| {
        let mut rows = vec![0i64; starts.len() + 1];
        for group in &scores.groups {
            rows[starts.partition_point(|start| *start <= group.first)] += group.rows.rows();
        }
        rows
    };
    stability_index(&fold(expected), &fold(actual))
}

/// The first cell from `start` on that no group of either sample reaches across.
fn whole(mut start: u32, samples: [&ScoreCells; 2]) -> u32 {
    let across = |start: u32| {
        let mut groups = samples.iter().flat_map(|scores: &&ScoreCells| &scores.groups);
        groups.find(|group| group.first < start && start <= group.last)
    };
    while let Some(group) = across(start) {
        start = group.last + 1;
    }
    start
}

/// Shift of a field's mean points between two samples, `sum (actual share - expected share) x points` (Siddiqi's
/// characteristic analysis); `None` under the conditions of [`stability_index`].
pub fn points_shift(expected: &[i64], actual: &[i64], points: &[i64]) -> Option<f64> {
    stability_index(expected, actual)?;
    let mean = |cells: &[i64]| {
        let sum: f64 = cells.iter().zip(points).map(|(count, points)| *count as f64 * *points as f64).sum();
        sum / cells.iter().sum::<i64>() as f64
    };
    (points.len() == expected.len()).then(|| mean(actual) - mean(expected))
}
