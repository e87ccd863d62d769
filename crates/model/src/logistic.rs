//! L2 logistic regression by damped Newton steps on summed moments.
//!
//! Minimises `0.5 |w|^2 + C x sum of losses` (scikit-learn's convention; the intercept is free). Each evaluation is one sum:
//! loss, gradient and Hessian at given coefficients. A step that does not lower the objective is halved.
//! Reference: Boyd, Vandenberghe, Convex Optimization, section 9.5.

use crate::request::LinearModel;

/// Largest coefficient change at which the search ends.
const TOLERANCE: f64 = 1e-9;
/// Most evaluations.
const MAX_EVALUATIONS: u32 = 60;

/// The search for the coefficients.
#[derive(Clone, Debug)]
pub(crate) struct Newton {
    c: f64,
    /// Where the next sum is taken: intercept, then one coefficient a term.
    trial: Vec<f64>,
    /// The best point so far, its objective, and the full step from it.
    base: Option<Base>,
    damping: f64,
    evaluations: u32,
    /// Sums carry noise: full steps, so many of them.
    steps: Option<u32>,
}

#[derive(Clone, Debug)]
struct Base {
    point: Vec<f64>,
    objective: f64,
    step: Vec<f64>,
    cohort: Vec<String>,
}

/// What an evaluation leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Evaluate at the new trial point.
    Continue,
    /// The best point is final.
    Converged,
}

impl Newton {
    pub(crate) fn new(width: usize, c: f64, steps: Option<u32>) -> Self {
        Self { c, trial: vec![0.0; width], base: None, damping: 1.0, evaluations: 0, steps }
    }

    /// Writes the trial point into a model.
    pub(crate) fn place(&self, model: &mut LinearModel) {
        place(&self.trial, model);
    }

    /// Writes the best point into a model.
    pub(crate) fn finish(&self, model: &mut LinearModel) {
        place(self.base.as_ref().map_or(&self.trial, |base| &base.point), model);
    }

    /// Takes in loss, gradient and upper Hessian at the trial point, as real numbers; `resolution` bounds the loss's error.
    ///
    /// # Errors
    /// Fails if the Hessian is not positive definite or the search does not end.
    pub(crate) fn answer(
        &mut self,
        moments: &[f64],
        resolution: f64,
        cohort: &[String],
    ) -> Result<Progress, &'static str> {
        self.evaluations += 1;
        if self.evaluations > MAX_EVALUATIONS {
            return Err("the Newton search does not converge");
        }
        let width = self.trial.len();
        let objective = self.c * moments[0] + 0.5 * self.trial[1..].iter().map(|weight| weight * weight).sum::<f64>();
        // A smaller cohort has another objective: what was reached before says nothing about it.
        let comparable = self.base.as_ref().filter(|base| base.cohort == cohort && self.steps.is_none());
        if let Some(base) = comparable
            && objective > base.objective + self.c * resolution
        {
            self.damping /= 2.0;
            if self.damping < 1e-6 {
                return Ok(Progress::Converged);
            }
            self.trial = moved(&base.point, &base.step, self.damping);
            return Ok(Progress::Continue);
        }
        let mut gradient: Vec<f64> = moments[1..=width].iter().map(|value| value * self.c).collect();
        let mut hessian = full(&moments[1 + width..], width, self.c);
        for (index, weight) in self.trial.iter().enumerate().skip(1) {
            gradient[index] += weight;
            hessian[index][index] += 1.0;
        }
        let step = if self.steps.is_some() { solve_noisy(hessian, &gradient) } else { solve(hessian, &gradient) };
        let step = step.ok_or("the Hessian is not positive definite")?;
        let largest = step.iter().fold(0.0f64, |largest, change| largest.max(change.abs()));
        let point = std::mem::take(&mut self.trial);
        if self.steps == Some(self.evaluations) {
            let point = moved(&point, &step, 1.0);
            self.base = Some(Base { point, objective, step, cohort: cohort.to_vec() });
            return Ok(Progress::Converged);
        }
        self.damping = 1.0;
        self.trial = moved(&point, &step, 1.0);
        self.base = Some(Base { point, objective, step, cohort: cohort.to_vec() });
        Ok(if largest < TOLERANCE && self.steps.is_none() { Progress::Converged } else { Progress::Continue })
    }
}

fn place(point: &[f64], model: &mut LinearModel) {
    model.intercept = point[0];
    for (term, coefficient) in model.terms.iter_mut().zip(&point[1..]) {
        term.coefficient = *coefficient;
    }
}

fn moved(point: &[f64], step: &[f64], damping: f64) -> Vec<f64> {
    point.iter().zip(step).map(|(from, change)| from - damping * change).collect()
}

fn full(upper: &[f64], width: usize, factor: f64) -> Vec<Vec<f64>> {
    let mut matrix = vec![vec![0.0; width]; width];
    let mut entries = upper.iter();
    for (row, column) in (0..width).flat_map(|row| (row..width).map(move |column| (row, column))) {
        let value = entries.next().copied().unwrap_or(0.0) * factor;
        matrix[row][column] = value;
        matrix[column][row] = value;
    }
    matrix
}

/// As [`solve`], for a matrix that noise may have made indefinite: its diagonal is raised until it is positive definite, which
/// shortens the step (Levenberg, Marquardt).
fn solve_noisy(matrix: Vec<Vec<f64>>, right: &[f64]) -> Option<Vec<f64>> {
    let largest = (0..right.len()).map(|index| matrix[index][index].abs()).fold(0.0, f64::max);
    let shifts = std::iter::once(0.0).chain((0..16).map(|power| largest * libm::ldexp(1.0, power - 8)));
    shifts.into_iter().find_map(|shift| {
        let mut raised = matrix.clone();
        (0..right.len()).for_each(|index| raised[index][index] += shift);
        solve(raised, right)
    })
}

/// Solves `matrix x = right` for a symmetric positive definite matrix by Cholesky's method, in a fixed order of operations.
pub(crate) fn solve(mut matrix: Vec<Vec<f64>>, right: &[f64]) -> Option<Vec<f64>> {
    let width = right.len();
    for column in 0..width {
        for row in column..width {
            let mut value = matrix[row][column];
            for (left, right) in matrix[row][..column].iter().zip(&matrix[column]) {
                value -= left * right;
            }
            if row == column {
                if value.is_nan() || value <= 0.0 {
                    return None;
                }
                matrix[row][column] = value.sqrt();
            } else {
                matrix[row][column] = value / matrix[column][column];
            }
        }
    }
    let mut solution = right.to_vec();
    for row in 0..width {
        for inner in 0..row {
            solution[row] -= matrix[row][inner] * solution[inner];
        }
        solution[row] /= matrix[row][row];
    }
    for row in (0..width).rev() {
        for inner in row + 1..width {
            solution[row] -= matrix[inner][row] * solution[inner];
        }
        solution[row] /= matrix[row][row];
    }
    Some(solution)
}
