//! Logistic regression by damped Newton steps on summed moments.
//!
//! Minimises `0.5 |w|^2 + C x sum of losses` (scikit-learn's convention; the intercept is free). Each evaluation is one sum:
//! loss, gradient and Hessian at given coefficients. A step that does not lower the objective is halved.
//! It ends when no coefficient moves by 1e-10, or when the steps no longer shrink since they are the rounding of the sums.
//! Reference: Boyd, Vandenberghe, Convex Optimization, section 9.5.
//!
//! The sum runs over every column, of which only the *active* ones have coefficients: so one sum also tells what the others
//! would bring ([`crate::selection`]).
//!
//! Standard errors are the square roots of the diagonal of the inverse of the Hessian of the loss alone, without the
//! penalty, at the coefficients found: the observed information. Where there is a penalty, they are those of an unpenalised
//! fit at these coefficients, a little too large for the shrunken ones. With row weights the information is weighted too: right
//! for weights that count rows, not for weights that correct a sample's design.

use crate::matrix::{Matrix, inverse, part, solve, symmetric};
use crate::request::LinearModel;

/// Largest coefficient change at which a fit ends.
pub(crate) const TOLERANCE: f64 = 1e-10;
/// Steps below this shrink by far more than half each time, unless they are the rounding of the sums.
const QUADRATIC: f64 = 1e-6;
/// Most evaluations for one set of columns.
const MAX_EVALUATIONS: u32 = 60;

/// The search for the coefficients.
#[derive(Clone, Debug)]
pub(crate) struct Newton {
    c: f64,
    /// Positions that have a coefficient: 0 is the intercept, then one a term; in order.
    active: Vec<usize>,
    /// Where the next sum is taken.
    trial: Vec<f64>,
    base: Option<Base>,
    damping: f64,
    evaluations: u32,
    tolerance: f64,
    /// Largest change of the full step before the last one.
    before: f64,
    /// Sums carry noise: full steps, so many of them.
    steps: Option<u32>,
}

/// The best point so far, and the full step from it.
#[derive(Clone, Debug)]
struct Base {
    found: Evaluation,
    objective: f64,
    step: Vec<f64>,
    /// Whether the point has coefficients in active positions only; what others are compared with.
    feasible: bool,
}

/// What a sum says of the loss at a point, without the penalty.
#[derive(Clone, Debug)]
pub(crate) struct Evaluation {
    /// Intercept, then one coefficient a term.
    pub(crate) point: Vec<f64>,
    pub(crate) loss: f64,
    pub(crate) gradient: Vec<f64>,
    pub(crate) hessian: Matrix,
    /// Banks in the sum.
    pub(crate) cohort: Vec<String>,
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
    /// A search over `width` positions, all of them active.
    pub(crate) fn new(width: usize, c: f64, tolerance: f64, steps: Option<u32>) -> Self {
        let active = (0..width).collect();
        Self {
            c,
            active,
            trial: vec![0.0; width],
            base: None,
            damping: 1.0,
            evaluations: 0,
            tolerance,
            before: f64::INFINITY,
            steps,
        }
    }

    /// Writes the trial point into a model.
    pub(crate) fn place(&self, model: &mut LinearModel) {
        place(&self.trial, model);
    }

    /// Positions that have a coefficient.
    pub(crate) fn active(&self) -> &[usize] {
        &self.active
    }

    /// The coefficients found; zero where a position is not active.
    pub(crate) fn point(&self) -> &[f64] {
        // Under noise the last step is taken without looking back.
        match &self.base {
            Some(base) if self.steps.is_none() => &base.found.point,
            _ => &self.trial,
        }
    }

    /// True once all the steps are taken that a search under noise has.
    pub(crate) fn exhausted(&self) -> bool {
        self.steps == Some(self.evaluations)
    }

    /// What is known at the best point.
    pub(crate) fn best(&self) -> Option<&Evaluation> {
        self.base.as_ref().map(|base| &base.found)
    }

    /// Standard error of every active position, by the information at the best point.
    pub(crate) fn standard_errors(&self) -> Option<Vec<f64>> {
        let covariance = inverse(part(&self.best()?.hessian, &self.active))?;
        Some(covariance.iter().enumerate().map(|(place, row)| row[place].sqrt()).collect())
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
        let comparable = |base: &&Base| base.feasible && base.found.cohort == cohort && self.steps.is_none();
        if let Some(base) = self.base.as_ref().filter(comparable)
            && objective > base.objective + self.c * resolution
        {
            self.damping /= 2.0;
            if self.damping < 1e-6 {
                return Ok(Progress::Converged);
            }
            self.trial = moved(&base.found.point, &base.step, self.damping);
            return Ok(Progress::Continue);
        }
        let found = Evaluation {
            point: std::mem::take(&mut self.trial),
            loss: moments[0],
            gradient: moments[1..=width].to_vec(),
            hessian: symmetric(&moments[1 + width..], width),
            cohort: cohort.to_vec(),
        };
        self.before = self.base.as_ref().map_or(f64::INFINITY, |base| largest(&base.step));
        self.step_from(found, objective)?;
        Ok(self.progress())
    }

    /// Goes on with other columns and another tolerance from the best point. The first trial is the optimum of the quadratic
    /// approximation there.
    ///
    /// # Errors
    /// Fails if the Hessian of these columns is not positive definite.
    pub(crate) fn go_on(&mut self, active: Vec<usize>, tolerance: f64) -> Result<Progress, &'static str> {
        let base = self.base.take().ok_or("no point was evaluated")?;
        self.active = active;
        self.tolerance = tolerance;
        self.before = f64::INFINITY;
        self.evaluations = if self.steps.is_some() { self.evaluations } else { 0 };
        self.step_from(base.found, base.objective)?;
        Ok(self.progress())
    }

    /// Goes back to an earlier point and its columns.
    pub(crate) fn go_back(&mut self, active: Vec<usize>, found: Evaluation) {
        let step = vec![0.0; found.point.len()];
        self.active = active;
        self.base = Some(Base { found, objective: f64::INFINITY, step, feasible: false });
    }

    fn progress(&self) -> Progress {
        let arrived = self.base.as_ref().is_some_and(|base| {
            let change = largest(&base.step);
            let stalled = change < QUADRATIC && change > self.before / 2.0;
            base.feasible && (change < self.tolerance || stalled)
        });
        let ended = if self.steps.is_some() { self.exhausted() } else { arrived };
        if ended { Progress::Converged } else { Progress::Continue }
    }

    fn step_from(&mut self, found: Evaluation, objective: f64) -> Result<(), &'static str> {
        let step = self.step(&found).ok_or("the Hessian is not positive definite")?;
        let feasible = found.point.iter().enumerate().all(|(place, w)| *w == 0.0 || self.active.contains(&place));
        self.damping = 1.0;
        self.trial = moved(&found.point, &step, 1.0);
        self.base = Some(Base { found, objective, step, feasible });
        Ok(())
    }

    /// The step to the optimum of the quadratic approximation, with zero wherever a position is not active.
    fn step(&self, found: &Evaluation) -> Option<Vec<f64>> {
        let mut step: Vec<f64> = found.point.iter().map(|weight| -weight).collect();
        for &place in &self.active {
            step[place] = 0.0;
        }
        let downhill = |&row: &usize| {
            let moved: f64 = found.hessian[row].iter().zip(&step).map(|(entry, change)| entry * change).sum();
            let penalty = if row == 0 { 0.0 } else { found.point[row] };
            -(self.c * (found.gradient[row] + moved) + penalty)
        };
        let right: Vec<f64> = self.active.iter().map(downhill).collect();
        let mut hessian = part(&found.hessian, &self.active);
        hessian.iter_mut().flatten().for_each(|entry| *entry *= self.c);
        for (row, &place) in self.active.iter().enumerate() {
            hessian[row][row] += if place == 0 { 0.0 } else { 1.0 };
        }
        let solved = if self.steps.is_some() { solve_noisy(&hessian, &right) } else { solve(hessian, &right) };
        for (&place, change) in self.active.iter().zip(solved?) {
            step[place] = change;
        }
        Some(step)
    }
}

fn place(point: &[f64], model: &mut LinearModel) {
    model.intercept = point[0];
    for (term, coefficient) in model.terms.iter_mut().zip(&point[1..]) {
        term.coefficient = *coefficient;
    }
}

fn moved(point: &[f64], step: &[f64], damping: f64) -> Vec<f64> {
    point.iter().zip(step).map(|(from, change)| from + damping * change).collect()
}

/// As [`solve`], for a matrix that noise may have made indefinite: its diagonal is raised until it is positive definite, which
/// shortens the step (Levenberg, Marquardt).
fn solve_noisy(matrix: &Matrix, right: &[f64]) -> Option<Vec<f64>> {
    let largest = (0..right.len()).map(|index| matrix[index][index].abs()).fold(0.0, f64::max);
    let shifts = std::iter::once(0.0).chain((0..16).map(|power| largest * libm::ldexp(1.0, power - 8)));
    shifts.into_iter().find_map(|shift| {
        let mut raised = matrix.clone();
        (0..right.len()).for_each(|index| raised[index][index] += shift);
        solve(raised, right)
    })
}

fn largest(step: &[f64]) -> f64 {
    step.iter().fold(0.0, |largest, change| change.abs().max(largest))
}
