//! Fit and selection: a state machine over moments.

use super::approximation::{Approximation, Optimum};
use super::screen::screened;
use super::{DropReason, SelectionPlan, Steps};
use crate::logistic::{Evaluation, Newton, Progress, TOLERANCE};
use crate::plan::Plan;
use crate::request::LinearModel;
use crate::significance::chi_square_tail;

/// A field that passed the screen by information value, at one position of the fit.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) name: String,
    pub(crate) iv: f64,
}

/// Fit and selection: a state machine over moments.
#[derive(Clone, Debug)]
pub(crate) struct Fitting {
    plan: SelectionPlan,
    newton: Newton,
    candidates: Vec<Candidate>,
    /// Per candidate: why it has no coefficient, so far.
    reasons: Vec<Option<DropReason>>,
    /// Positions that no step may touch any more, since a likelihood ratio refused it.
    fixed: Vec<usize>,
    /// Times that a position has entered.
    entered: Vec<u32>,
    phase: Phase,
}

#[derive(Clone, Debug)]
enum Phase {
    /// The first sum is out.
    Screen,
    /// Steps are taken; the one that is being fitted, if any.
    Steps(Option<Box<Tried>>),
    /// The set is final.
    Polish,
}

/// A move whose set is being fitted, and where it came from.
#[derive(Clone, Debug)]
struct Tried {
    moved: Move,
    active: Vec<usize>,
    found: Evaluation,
}

/// Positions that leave or enter together, each with the reason for its being outside.
#[derive(Clone, Debug, PartialEq)]
struct Move {
    enters: bool,
    /// Wrong signs leave without a test.
    tested: bool,
    places: Vec<(usize, DropReason)>,
}

/// Change of a coefficient at which a set is fitted well enough to be tested: the loss is then exact to its square.
const ROUGH: f64 = 1e-5;

impl Fitting {
    pub(crate) fn new(candidates: Vec<Candidate>, plan: &Plan) -> Self {
        let width = candidates.len() + 1;
        Self {
            newton: Newton::new(width, plan.c, TOLERANCE, plan.newton_steps),
            reasons: vec![None; candidates.len()],
            fixed: Vec::new(),
            entered: vec![0; width],
            candidates,
            plan: plan.selection.clone(),
            phase: Phase::Screen,
        }
    }

    /// Writes into a model over all candidates where the next sum is taken.
    pub(crate) fn place(&self, model: &mut LinearModel) {
        self.newton.place(model);
    }

    /// Takes in the moments of the trial point.
    pub(crate) fn answer(
        &mut self,
        moments: &[f64],
        resolution: f64,
        cohort: &[String],
    ) -> Result<Progress, &'static str> {
        let progress = self.newton.answer(moments, resolution, cohort)?;
        match std::mem::replace(&mut self.phase, Phase::Polish) {
            Phase::Screen => {
                self.screen()?;
                Ok(if self.newton.exhausted() { Progress::Converged } else { Progress::Continue })
            }
            Phase::Steps(tried) if progress == Progress::Converged => self.settle(tried.map(|tried| *tried)),
            phase => {
                self.phase = phase;
                Ok(progress)
            }
        }
    }

    /// The result: intercept, coefficients and standard errors by candidate, and why the others have none.
    pub(crate) fn result(self) -> Option<Coefficients> {
        let errors = self.newton.standard_errors();
        let at = |place: usize| {
            let index = self.newton.active().binary_search(&place).ok()?;
            let error = errors.as_ref().and_then(|errors| errors.get(index)).copied();
            Some(Coefficient { value: self.newton.point()[place], error })
        };
        let fields = self.reasons.into_iter().enumerate();
        Some(Coefficients {
            intercept: at(0)?,
            fields: fields.map(|(field, reason)| at(field + 1).ok_or(reason)).collect(),
        })
    }

    fn screen(&mut self) -> Result<(), &'static str> {
        let found = self.newton.best().ok_or("no point was evaluated")?;
        self.reasons = screened(&found.hessian, &self.candidates, &self.plan);
        let passed = (1..=self.candidates.len()).filter(|place| self.reasons[place - 1].is_none());
        let active = match self.plan.steps {
            Steps::Forward => vec![0],
            _ => std::iter::once(0).chain(passed).collect(),
        };
        let (phase, tolerance) =
            if self.plan.settles() { (Phase::Steps(None), ROUGH) } else { (Phase::Polish, TOLERANCE) };
        self.phase = phase;
        self.newton.go_on(active, tolerance).map(drop)
    }

    /// A set is fitted: confirms the move that led to it, takes the next one, or ends.
    fn settle(&mut self, tried: Option<Tried>) -> Result<Progress, &'static str> {
        if let Some(tried) = tried {
            let found = self.newton.best().ok_or("no point was evaluated")?;
            if let Some(p) = self.refuted(&tried, found) {
                return self.take_back(tried, p);
            }
            for (place, reason) in tried.moved.places {
                self.reasons[place - 1] = (!tried.moved.enters).then_some(reason);
                self.entered[place] += u32::from(tried.moved.enters);
            }
        }
        let found = self.newton.best().ok_or("no point was evaluated")?.clone();
        match self.next_move(&found) {
            Some(moved) => self.attempt(moved, self.newton.active().to_vec(), found),
            None => {
                self.explain_the_rest(&found);
                self.phase = Phase::Polish;
                self.newton.go_on(self.newton.active().to_vec(), TOLERANCE)
            }
        }
    }

    fn attempt(&mut self, moved: Move, active: Vec<usize>, found: Evaluation) -> Result<Progress, &'static str> {
        let touched = |place: &usize| moved.places.iter().any(|(other, _)| other == place);
        let mut next: Vec<usize> = active.iter().copied().filter(|place| moved.enters || !touched(place)).collect();
        if moved.enters {
            next.extend(moved.places.iter().map(|(place, _)| *place));
            next.sort_unstable();
        }
        self.phase = Phase::Steps(Some(Box::new(Tried { moved, active, found })));
        self.newton.go_on(next, ROUGH)?;
        Ok(Progress::Continue)
    }

    /// The p-value of the likelihood ratio, if it speaks against the move.
    fn refuted(&self, tried: &Tried, found: &Evaluation) -> Option<f64> {
        if !tried.moved.tested || found.cohort != tried.found.cohort {
            return None;
        }
        let ratio = 2.0 * (tried.found.loss - found.loss).abs();
        let p = chi_square_tail(ratio, tried.moved.places.len());
        let holds = if tried.moved.enters { p < self.plan.enter } else { p > self.plan.leave };
        (!holds).then_some(p)
    }

    /// Goes back and takes the first half of the move; a single position stays where it was for good.
    fn take_back(&mut self, tried: Tried, p: f64) -> Result<Progress, &'static str> {
        let Tried { mut moved, active, found } = tried;
        self.newton.go_back(active.clone(), found.clone());
        if let [(place, _)] = moved.places[..] {
            self.fixed.push(place);
            if moved.enters {
                self.reasons[place - 1] = Some(DropReason::Significance { p });
            }
            return self.settle(None);
        }
        moved.places.truncate(moved.places.len() / 2);
        self.attempt(moved, active, found)
    }

    fn next_move(&self, found: &Evaluation) -> Option<Move> {
        let approximation = Approximation { found };
        let active = self.newton.active();
        let signs = self.plan.sign.then(|| self.wrong_signs(&approximation, active)).flatten();
        let leaves = || match self.plan.steps {
            Steps::Backward | Steps::Both => self.leaving(&approximation, active),
            Steps::None | Steps::Forward => None,
        };
        let enters = || match self.plan.steps {
            Steps::Forward | Steps::Both => self.entering(&approximation, active),
            Steps::None | Steps::Backward => None,
        };
        signs.or_else(leaves).or_else(enters)
    }

    /// Fields of the wrong sign, the least significant one first, each judged without those before it.
    fn wrong_signs(&self, approximation: &Approximation, active: &[usize]) -> Option<Move> {
        let choose = |optimum: &Optimum| {
            let wrong = (1..optimum.active.len()).filter(|&index| optimum.coefficient(index) > 0.0);
            let (index, _) = wrong.map(|index| (index, optimum.wald(index))).min_by(|a, b| a.1.total_cmp(&b.1))?;
            Some((optimum.active[index], DropReason::Sign { coefficient: optimum.coefficient(index) }))
        };
        self.path(approximation, active, false, choose).map(|places| Move { enters: false, tested: false, places })
    }

    fn leaving(&self, approximation: &Approximation, active: &[usize]) -> Option<Move> {
        let choose = |optimum: &Optimum| {
            let free = (1..optimum.active.len()).filter(|&index| !self.fixed.contains(&optimum.active[index]));
            let (index, wald) = free.map(|index| (index, optimum.wald(index))).min_by(|a, b| a.1.total_cmp(&b.1))?;
            let p = chi_square_tail(wald, 1);
            (p > self.plan.leave).then_some((optimum.active[index], DropReason::Significance { p }))
        };
        self.path(approximation, active, false, choose).map(|places| Move { enters: false, tested: true, places })
    }

    fn entering(&self, approximation: &Approximation, active: &[usize]) -> Option<Move> {
        let choose = |optimum: &Optimum| {
            let outside = (1..=self.candidates.len()).filter(|place| self.may_enter(*place, &optimum.active));
            // Of equal scores the first field enters.
            let scores = outside.map(|place| (place, optimum.score(place)));
            let (place, score) = scores.reduce(|best, next| if next.1 > best.1 { next } else { best })?;
            let p = chi_square_tail(score, 1);
            (p < self.plan.enter).then_some((place, DropReason::Significance { p }))
        };
        self.path(approximation, active, true, choose).map(|places| Move { enters: true, tested: true, places })
    }

    fn may_enter(&self, place: usize, active: &[usize]) -> bool {
        // Once in, once back: the selection ends.
        let again = if self.plan.steps == Steps::Forward { 0 } else { 1 };
        let open = matches!(self.reasons[place - 1], None | Some(DropReason::Significance { .. }));
        open && self.entered[place] <= again && !active.contains(&place) && !self.fixed.contains(&place)
    }

    /// Steps on the approximation until none is left to take.
    fn path(
        &self,
        approximation: &Approximation,
        active: &[usize],
        enters: bool,
        choose: impl Fn(&Optimum) -> Option<(usize, DropReason)>,
    ) -> Option<Vec<(usize, DropReason)>> {
        let mut active = active.to_vec();
        let mut places = Vec::new();
        while let Some(optimum) = approximation.optimum(&active)
            && let Some((place, reason)) = choose(&optimum)
        {
            if enters {
                active.push(place);
                active.sort_unstable();
            } else {
                active.retain(|other| *other != place);
            }
            places.push((place, reason));
        }
        (!places.is_empty()).then_some(places)
    }

    /// What never entered has the p-value of its last score test.
    fn explain_the_rest(&mut self, found: &Evaluation) {
        let active = self.newton.active().to_vec();
        let Some(optimum) = (Approximation { found }).optimum(&active) else { return };
        for place in 1..=self.candidates.len() {
            if self.reasons[place - 1].is_none() && !active.contains(&place) {
                let p = chi_square_tail(optimum.score(place), 1);
                self.reasons[place - 1] = Some(DropReason::Significance { p });
            }
        }
    }
}

/// What a fit ends with.
#[derive(Clone, Debug)]
pub(crate) struct Coefficients {
    pub(crate) intercept: Coefficient,
    /// Per candidate.
    pub(crate) fields: Vec<Result<Coefficient, Option<DropReason>>>,
}

/// A coefficient with its standard error, if the information at the optimum has an inverse.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coefficient {
    pub(crate) value: f64,
    pub(crate) error: Option<f64>,
}
