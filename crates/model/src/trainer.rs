//! The trainer of a scorecard: a deterministic state machine over released sums.
//!
//! ```text
//! Spans … (quantiles) -> Counts (classes, WOE, IV) -> Moments … (selection, Newton) -> Scores … (judge) -> Done
//! ```

use tally_crypto::transcript::Digest;

use crate::coarse::classed;
use crate::fit::{FieldFit, Fit, RoundRecord};
use crate::judge::{Judge, Validation};
use crate::logistic::Progress;
use crate::plan::{FieldPlan, Plan, PlanError, Unseen};
use crate::points::Scale;
use crate::quantiles::{BinSearch, CoarseCuts};
use crate::request::{FieldBins, Kind, LinearModel, Model, RowSet, RowTerms, SumRequest, Sums, Term};
use crate::selection::{Candidate, Coefficient, DropReason, Fitting};
use crate::significance::two_sided;

/// What a trainer wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask<F = Fit> {
    /// This sum.
    Sum(SumRequest),
    /// Nothing: the fit is done.
    Done(F),
}

/// Why released sums cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrainError {
    /// The answer has another number of words than the request.
    #[error("the sum has {found} words, {expected} were asked")]
    Words {
        /// Words in the answer.
        found: usize,
        /// Words asked.
        expected: usize,
    },
    /// A count is negative: the sum is not one of this request.
    #[error("the sum holds a negative count")]
    Negative,
    /// There is nothing to fit.
    #[error("the training rows hold {good} good and {bad} bad loans: both kinds are needed")]
    Rows {
        /// Good rows.
        good: i64,
        /// Bad rows.
        bad: i64,
    },
    /// Too few bad loans for a model.
    #[error(
        "the training rows of all banks together hold {bad} bad loans, and the contract asks for {least} (`limits.min_bad`): no \
         model is fitted; take a longer outcome window, more banks, or a lower floor"
    )]
    FewBad {
        /// Bad rows.
        bad: i64,
        /// Fewest that the contract asks for.
        least: u64,
    },
    /// No field is left.
    #[error(
        "no field says enough of who goes bad, so the model would give everyone the same score: none is released; lower \
         `min_iv`, ease the terms of the classes, or bring more rows"
    )]
    NoField,
    /// The search for the coefficients failed.
    #[error("logistic regression: {0}")]
    Newton(&'static str),
    /// The fit is done; no sum was asked.
    #[error("no sum was asked")]
    NotAsked,
}

/// The trainer.
#[derive(Clone, Debug)]
pub struct Trainer {
    plan: Plan,
    step: Step,
    fields: Vec<FieldFit>,
    rounds: Vec<RoundRecord>,
    train: (i64, i64),
    intercept: Option<Coefficient>,
}

#[derive(Clone, Debug)]
enum Step {
    Quantiles {
        search: BinSearch,
        asked: Kind,
    },
    Counts {
        bins: Vec<FieldBins>,
        coarse: Vec<Option<CoarseCuts>>,
    },
    /// The model holds a column for every field above the least information value.
    Fitting {
        model: LinearModel,
        fitting: Box<Fitting>,
    },
    Judge {
        model: LinearModel,
        judge: Judge,
        request: SumRequest,
    },
    Done(Box<Fit>),
}

impl Trainer {
    /// A trainer of the plan's scorecard.
    ///
    /// # Errors
    /// Refuses a plan out of bounds.
    pub fn new(plan: Plan) -> Result<Self, PlanError> {
        plan.check()?;
        let search = BinSearch::new(plan.fields.iter().map(FieldPlan::known_bins), plan.search());
        Ok(Self::at(sought(search), plan))
    }

    /// A trainer of the plan's scorecard over known bins, one a field: nothing is sought, all else is as planned.
    ///
    /// # Errors
    /// Refuses a plan out of bounds.
    pub fn of_bins(plan: Plan, bins: Vec<FieldBins>) -> Result<Self, PlanError> {
        plan.check()?;
        let known = bins.len() == plan.fields.len();
        let coarse = vec![None; bins.len()];
        if known { Ok(Self::at(Step::Counts { bins, coarse }, plan)) } else { Err(PlanError("bins: one a field")) }
    }

    fn at(step: Step, plan: Plan) -> Self {
        Self { step, fields: Vec::new(), rounds: Vec::new(), train: (0, 0), intercept: None, plan }
    }

    /// What is wanted next; the same until an answer comes.
    pub fn next(&self) -> Ask {
        let (rows, scale_bits, kind) = match &self.step {
            Step::Quantiles { asked, .. } => (RowSet::Train, 0, asked.clone()),
            Step::Counts { bins, .. } => (RowSet::Train, 0, Kind::Counts(bins.clone())),
            Step::Fitting { model, fitting } => {
                let mut model = model.clone();
                fitting.place(&mut model);
                (RowSet::Train, scale_bits(&model, self.plan.row_cap), Kind::Moments(model))
            }
            Step::Judge { request, .. } => return Ask::Sum(request.clone()),
            Step::Done(fit) => return Ask::Done((**fit).clone()),
        };
        Ask::Sum(SumRequest { rows, scale_bits, kind })
    }

    /// The model, once nothing but its judgement is left to ask for.
    pub(crate) fn model(&self) -> Option<&LinearModel> {
        match &self.step {
            Step::Judge { model, .. } => Some(model),
            _ => None,
        }
    }

    /// Takes in the sum that was asked.
    ///
    /// # Errors
    /// Refuses a sum that cannot be the answer to the request.
    pub fn answer(&mut self, mut sums: Sums) -> Result<(), TrainError> {
        let Ask::Sum(request) = self.next() else { return Err(TrainError::NotAsked) };
        if sums.values.len() != request.words() {
            return Err(TrainError::Words { found: sums.values.len(), expected: request.words() });
        }
        self.rounds.push(record(&request, &sums));
        if !matches!(request.kind, Kind::Moments(_)) && sums.values.iter().any(|count| *count < 0) {
            if self.plan.newton_steps.is_none() {
                return Err(TrainError::Negative);
            }
            sums.values.iter_mut().for_each(|count| *count = (*count).max(0));
        }
        if let Step::Judge { model, judge, .. } = &self.step {
            let (model, mut judge) = (model.clone(), judge.clone());
            judge.answer(&request, &sums);
            self.go_on(model, judge);
            return Ok(());
        }
        match request.kind {
            Kind::Ranges(_) | Kind::Spans(_) => {
                if let Step::Quantiles { search, .. } = &mut self.step {
                    search.answer(&request.kind, &sums);
                    self.step = sought(search.clone());
                }
                Ok(())
            }
            Kind::Counts(bins) => self.select(&bins, &sums),
            Kind::Moments(model) => self.step_fitting(model, request.scale_bits, &sums),
            // Asked by the judge or by boosted trees only.
            Kind::Scores { .. }
            | Kind::Compare(_)
            | Kind::Swap(_)
            | Kind::Segments(_)
            | Kind::Within(_)
            | Kind::Histogram(_)
            | Kind::Loss(_)
            | Kind::Statistics(_) => Err(TrainError::NotAsked),
        }
    }

    fn select(&mut self, bins: &[FieldBins], sums: &Sums) -> Result<(), TrainError> {
        let coarse = if let Step::Counts { coarse, .. } = &self.step { coarse.clone() } else { Vec::new() };
        let mut counts = sums.values.chunks_exact(2);
        for (axis, (plan, bins)) in self.plan.fields.iter().zip(bins).enumerate() {
            let cells: Vec<_> = counts.by_ref().take(bins.codes()).collect();
            let good: Vec<_> = cells.iter().map(|cell| cell[0]).collect();
            let bad: Vec<_> = cells.iter().map(|cell| cell[1]).collect();
            let counted_in = sums.fold.counted_in(axis, cells.len()).unwrap_or_default();
            if !counted_in.is_empty() {
                self.train = (good.iter().sum(), bad.iter().sum());
            }
            let joinable = plan.joinable(bins);
            let terms = &self.plan;
            let classed = classed(&good, &bad, &counted_in, joinable, terms.coarse.as_ref(), terms.smoothing);
            let dropped = if terms.judging.is_apart(axis) {
                Some(DropReason::Apart)
            } else if counted_in.is_empty() {
                Some(DropReason::FewBanks)
            } else if classed.iv >= terms.min_iv {
                None
            } else if classed.is_whole && classed.fine_iv >= terms.min_iv && !terms.search.is_first() {
                Some(DropReason::Classes { fine_iv: classed.fine_iv })
            } else {
                Some(DropReason::InformationValue { least: terms.min_iv })
            };
            self.fields.push(FieldFit {
                name: plan.name.clone(),
                bins: bins.clone(),
                good,
                bad,
                counted_in,
                classes: classed.classes,
                woe: classed.woe,
                iv: classed.iv,
                fine_iv: classed.fine_iv,
                coarse: coarse.get(axis).copied().flatten(),
                eased: classed.eased,
                dropped,
                coefficient: None,
                standard_error: None,
                p_value: None,
                points: Vec::new(),
            });
        }
        let (good, bad) = self.train;
        self.plan.judging.check_rows(good, bad)?;
        self.plan.judging.check_fields(self.fields.iter().filter(|field| field.dropped.is_none()).count())?;
        self.begin_fitting();
        Ok(())
    }

    fn begin_fitting(&mut self) {
        let passed = || self.fields.iter().enumerate().filter(|(_, field)| field.dropped.is_none());
        let term = |(field, fit): (_, &FieldFit)| Term {
            field,
            bins: fit.bins.clone(),
            woe: fit.woe.clone(),
            coefficient: 0.0,
        };
        let candidates = passed().map(|(_, fit)| Candidate { name: fit.name.clone(), iv: fit.iv }).collect();
        let model = LinearModel { intercept: 0.0, terms: passed().map(term).collect(), rows: self.plan.rows };
        self.step = Step::Fitting { model, fitting: Box::new(Fitting::new(candidates, &self.plan)) };
    }

    fn step_fitting(&mut self, mut model: LinearModel, scale_bits: u32, sums: &Sums) -> Result<(), TrainError> {
        let Step::Fitting { fitting, .. } = &mut self.step else { return Err(TrainError::NotAsked) };
        let unit = libm::ldexp(1.0, -i32::try_from(scale_bits).unwrap_or(0));
        let moments: Vec<f64> = sums.values.iter().map(|value| *value as f64 * unit).collect();
        let rows = (self.train.0 + self.train.1) as f64;
        if fitting.answer(&moments, rows * unit, &sums.cohort).map_err(TrainError::Newton)? == Progress::Continue {
            return Ok(());
        }
        let result = fitting.clone().result().ok_or(TrainError::Newton("it ended before it began"))?;
        for (term, coefficient) in model.terms.iter().zip(result.fields) {
            let field = &mut self.fields[term.field];
            match coefficient {
                Ok(Coefficient { value, error }) => {
                    field.coefficient = Some(value);
                    field.standard_error = error;
                    field.p_value = error.map(|error| two_sided(value / error));
                }
                Err(reason) => field.dropped = reason,
            }
        }
        model.terms.retain_mut(|term| {
            let coefficient = self.fields[term.field].coefficient;
            term.coefficient = coefficient.unwrap_or(0.0);
            coefficient.is_some()
        });
        self.plan.judging.check_fields(model.terms.len())?;
        if self.plan.unseen == Some(Unseen::Worst) {
            for term in &mut model.terms {
                self.fields[term.field].unseen_as_worst();
                term.woe.clone_from(&self.fields[term.field].woe);
            }
        }
        model.intercept = result.intercept.value;
        model.rows = RowTerms::default();
        self.intercept = Some(result.intercept);
        let bins = self.fields.iter().map(|field| field.bins.clone()).collect();
        let noisy = self.plan.newton_steps.is_some();
        let judge = Judge::new(Model::Linear(model.clone()), bins, self.plan.row_cap, noisy, &self.plan.judging);
        self.go_on(model, judge);
        Ok(())
    }

    /// The next sum that judges the model, or the fit.
    fn go_on(&mut self, model: LinearModel, judge: Judge) {
        self.step = match judge.ask() {
            Some(request) => Step::Judge { model, judge, request },
            None => Step::Done(Box::new(self.finish(&model, judge.verdict()))),
        };
    }

    fn finish(&mut self, model: &LinearModel, validation: Validation) -> Fit {
        let scale = Scale::of(&self.plan);
        for term in &model.terms {
            self.fields[term.field].points = scale.field_points(term.coefficient, &term.woe);
        }
        let holdout = validation.holdout();
        Fit {
            fields: std::mem::take(&mut self.fields),
            intercept: model.intercept,
            intercept_error: self.intercept.and_then(|intercept| intercept.error),
            base_points: scale.base_points(model.intercept),
            factor: scale.factor,
            offset: scale.offset,
            reasons: self.plan.reasons,
            train_rows: self.train.0 + self.train.1,
            train_bad: self.train.1,
            holdout_rows: holdout.rows(),
            holdout_bad: holdout.bad,
            joint: validation.figures_of(&validation.joint),
            bank_only: validation.figures_of(&validation.bank_only),
            validation,
            rounds: std::mem::take(&mut self.rounds),
        }
    }
}

/// Goes on to counting once no quantile is open.
fn sought(search: BinSearch) -> Step {
    match search.ask() {
        Some(asked) => Step::Quantiles { search, asked },
        None => Step::Counts { bins: search.bins(), coarse: search.coarse() },
    }
}

/// What is kept of a released sum.
pub(crate) fn record(request: &SumRequest, sums: &Sums) -> RoundRecord {
    let bytes: Vec<u8> = sums.values.iter().flat_map(|word| word.to_be_bytes()).collect();
    let digest = Digest::of("tallystick/sums/v1", &[&bytes]);
    RoundRecord { request: request.digest(), sums: digest, cohort: sums.cohort.clone(), seen: sums.seen.clone() }
}

/// The largest power of two with `row cap x bound x scale < 2^62`, from public numbers only.
fn scale_bits(model: &LinearModel, row_cap: u64) -> u32 {
    let extent = model.terms.iter().fold(1.0f64, |extent, term| extent.max(term.extent()));
    scale_of((extent * extent).max(model.reach() + 1.0) * model.rows.weight(), row_cap)
}

/// Bits of the largest power of two with `row cap x bound x scale < 2^62`.
pub(crate) fn scale_of(bound: f64, row_cap: u64) -> u32 {
    let bits = 61 - libm::ilogb(bound * row_cap as f64);
    u32::try_from(bits.clamp(0, 52)).unwrap_or(0)
}
