//! Screens before the steps: correlations and variance inflation factors from the first sum.

use super::fitting::Candidate;
use super::{DETERMINED, DropReason, SelectionPlan};
use crate::matrix::{Matrix, inverse, part};

/// Which fields the correlations and variance inflation factors of the first sum refuse.
pub(super) fn screened(hessian: &Matrix, candidates: &[Candidate], plan: &SelectionPlan) -> Vec<Option<DropReason>> {
    let correlations = correlations(hessian);
    let mut reasons = vec![None; candidates.len()];
    // Higher information value first, then plan order.
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by(|&a, &b| candidates[b].iv.total_cmp(&candidates[a].iv).then(a.cmp(&b)));
    let mut kept: Vec<usize> = Vec::new();
    for field in order {
        let close = |other: &&usize| correlations[field][**other].abs() > plan.max_correlation;
        match kept.iter().find(close) {
            Some(&other) => {
                let with = candidates[other].name.clone();
                reasons[field] = Some(DropReason::Correlation { with, correlation: correlations[field][other] });
            }
            None => kept.push(field),
        }
    }
    let Some(most) = plan.max_vif else { return reasons };
    while let Some((place, vif)) = largest_vif(&correlations, &kept)
        && vif > most
    {
        reasons[kept.remove(place)] = Some(DropReason::Vif { vif });
    }
    reasons
}

/// Correlations of the columns, from a Hessian at zero coefficients; a constant column correlates with none.
fn correlations(hessian: &Matrix) -> Matrix {
    let rows = hessian[0][0];
    let mean = |place: usize| hessian[0][place] / rows;
    let covariance = |a: usize, b: usize| hessian[a][b] / rows - mean(a) * mean(b);
    let places = 1..hessian.len();
    let deviations: Vec<f64> = places.clone().map(|place| covariance(place, place).max(0.0).sqrt()).collect();
    let correlation = |a: usize, b: usize| {
        let scale = deviations[a - 1] * deviations[b - 1];
        if a == b {
            1.0
        } else if scale > 0.0 {
            (covariance(a, b) / scale).clamp(-1.0, 1.0)
        } else {
            0.0
        }
    };
    places.clone().map(|a| places.clone().map(|b| correlation(a, b)).collect()).collect()
}

/// The largest variance inflation factor among some fields, and its place among them; the last of equal ones, whose information
/// value is lowest.
fn largest_vif(correlations: &Matrix, kept: &[usize]) -> Option<(usize, f64)> {
    let mut matrix = part(correlations, kept);
    // Columns that determine each other have no inverse: a hair on the diagonal leaves their factors huge but finite.
    (0..kept.len()).for_each(|place| matrix[place][place] += DETERMINED);
    let inverse = inverse(matrix)?;
    let factors = (0..kept.len()).map(|place| (place, inverse[place][place]));
    factors.reduce(|largest, next| if next.1 >= largest.1 { next } else { largest })
}
