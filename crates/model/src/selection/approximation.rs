//! The loss of any set of fields, approximated by a quadratic function from one sum over all of them.

use super::DETERMINED;
use crate::logistic::Evaluation;
use crate::matrix::{Matrix, inverse, part};

/// Loss of any set of fields, approximated from one sum.
pub(super) struct Approximation<'a> {
    pub(super) found: &'a Evaluation,
}

/// Its optimum with coefficients at some positions only.
pub(super) struct Optimum<'a> {
    pub(super) active: Vec<usize>,
    found: &'a Evaluation,
    /// How far the optimum lies from where the sum was taken, at every position.
    shift: Vec<f64>,
    covariance: Matrix,
}

impl<'a> Approximation<'a> {
    pub(super) fn optimum(&self, active: &[usize]) -> Option<Optimum<'a>> {
        let found = self.found;
        let mut shift: Vec<f64> = found.point.iter().map(|weight| -weight).collect();
        for &place in active {
            shift[place] = 0.0;
        }
        let covariance = inverse(part(&found.hessian, active))?;
        let slope: Vec<f64> =
            active.iter().map(|&row| found.gradient[row] + dot(&found.hessian[row], &shift)).collect();
        for (row, &place) in active.iter().enumerate() {
            shift[place] = -dot(&covariance[row], &slope);
        }
        Some(Optimum { active: active.to_vec(), found, shift, covariance })
    }
}

impl Optimum<'_> {
    pub(super) fn coefficient(&self, index: usize) -> f64 {
        let place = self.active[index];
        self.found.point[place] + self.shift[place]
    }

    /// Wald's statistic of an active position, by its index.
    pub(super) fn wald(&self, index: usize) -> f64 {
        let coefficient = self.coefficient(index);
        coefficient * coefficient / self.covariance[index][index]
    }

    /// The score statistic of a position that is not active; 0 if the active ones determine it.
    pub(super) fn score(&self, place: usize) -> f64 {
        let row = &self.found.hessian[place];
        let slope = self.found.gradient[place] + dot(row, &self.shift);
        let shared: Vec<f64> = self.active.iter().map(|&other| row[other]).collect();
        let explained: f64 = shared.iter().zip(&self.covariance).map(|(left, line)| left * dot(line, &shared)).sum();
        let rest = row[place] - explained;
        if rest > row[place] * DETERMINED { slope * slope / rest } else { 0.0 }
    }
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}
