//! The trainer of boosted trees: a deterministic state machine over released sums.

use std::sync::Arc;

use super::fit::{BoostedField, BoostedFit};
use super::forest::{Forest, Shape};
use super::grower::Grower;
use super::holder::Holder;
use super::plan::BoostedPlan;
use super::request::{Histogram, Loss};
use crate::baseline::{BaselineError, alone, constant, has_one_kind, own_fields};
use crate::fit::RoundRecord;
use crate::judge::{Judge, Judging, Validation};
use crate::plan::{FieldSource, PlanError};
use crate::quantiles::{BinSearch, CoarseCuts};
use crate::release::Fold;
use crate::request::{FieldBins, Kind, Model, RowSet, SumRequest, Sums};
use crate::rows::Table;
use crate::trainer::{Ask, TrainError, record, scale_of};

/// The trainer.
#[derive(Clone, Debug)]
pub struct Booster {
    plan: BoostedPlan,
    step: Step,
    forest: Arc<Forest>,
    losses: Vec<f64>,
    /// Good and bad rows that trees are grown on.
    train: (i64, i64),
    /// Fields whose bins stayed coarse, by place.
    coarse: Vec<Option<CoarseCuts>>,
    rounds: Vec<RoundRecord>,
}

#[derive(Clone, Debug)]
enum Step {
    Bins { search: BinSearch, asked: Kind },
    Base,
    Grow(Box<Grower>),
    Loss,
    Judge { judge: Judge, request: SumRequest },
    Done(Box<BoostedFit>),
}

impl Booster {
    /// A trainer of the plan's forest.
    ///
    /// # Errors
    /// Refuses a plan out of bounds.
    pub fn new(plan: BoostedPlan) -> Result<Self, PlanError> {
        plan.check()?;
        let search = BinSearch::new(plan.fields.iter().map(|field| field.source.known_bins()), plan.search());
        let mut booster = Self {
            step: Step::Base,
            forest: Arc::new(Forest::new(Vec::new(), 0.0)),
            losses: Vec::new(),
            train: (0, 0),
            coarse: Vec::new(),
            rounds: Vec::new(),
            plan,
        };
        booster.seek(search);
        Ok(booster)
    }

    /// A trainer of the plan's forest over known bins, one a field: nothing is sought, all else is as planned.
    ///
    /// # Errors
    /// Refuses a plan out of bounds.
    pub fn of_bins(plan: BoostedPlan, bins: Vec<FieldBins>) -> Result<Self, PlanError> {
        if bins.len() != plan.fields.len() {
            return Err(PlanError("bins: one a field"));
        }
        let mut booster = Self::new(plan)?;
        booster.forest = Arc::new(Forest::new(bins, 0.0));
        booster.step = Step::Base;
        Ok(booster)
    }

    /// What is wanted next; the same until an answer comes.
    pub fn next(&self) -> Ask<BoostedFit> {
        let forest = Arc::clone(&self.forest);
        let (rows, scale_bits, kind) = match &self.step {
            Step::Bins { asked, .. } => (RowSet::Train, 0, asked.clone()),
            Step::Base => (RowSet::Train, self.loss_bits(), Kind::Loss(Loss { forest, draws: self.plan.grown_on() })),
            Step::Grow(grower) => {
                let (tree, nodes) = grower.asked();
                let draws = self.plan.rows_of_tree(self.tree());
                let (tree, nodes, fields) = (tree.clone(), nodes.to_vec(), grower.fields());
                let kind = Kind::Histogram(Histogram { forest, tree, nodes, fields, draws });
                (RowSet::Train, self.plan.gradient_bits(), kind)
            }
            Step::Loss => {
                let draws: Vec<_> = self.plan.fold().into_iter().collect();
                let rows = if draws.is_empty() { RowSet::Holdout } else { RowSet::Train };
                (rows, self.loss_bits(), Kind::Loss(Loss { forest, draws }))
            }
            Step::Judge { request, .. } => return Ask::Sum(request.clone()),
            Step::Done(fit) => return Ask::Done((**fit).clone()),
        };
        Ask::Sum(SumRequest { rows, scale_bits, kind })
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
        let round = record(&request, &sums);
        for count in counts_below_zero(&request, &mut sums.values) {
            if !self.plan.noisy {
                return Err(TrainError::Negative);
            }
            *count = 0;
        }
        self.rounds.push(round);
        match (&mut self.step, &request.kind) {
            (Step::Bins { search, .. }, asked) => {
                search.answer(asked, &sums);
                let search = search.clone();
                self.seek(search);
            }
            (Step::Base, _) => self.set_base(sums.values[1], sums.values[2])?,
            (Step::Grow(grower), Kind::Histogram(asked)) => {
                grower.answer(asked, &sums);
                self.settle_tree()?;
            }
            (Step::Loss, _) => self.weigh(request.scale_bits, &sums.values)?,
            (Step::Judge { judge, .. }, _) => {
                let mut judge = judge.clone();
                judge.answer(&request, &sums);
                self.judge(judge);
            }
            _ => return Err(TrainError::NotAsked),
        }
        Ok(())
    }

    /// Number of the tree that grows.
    fn tree(&self) -> u32 {
        self.forest.trees().len() as u32
    }

    fn loss_bits(&self) -> u32 {
        scale_of(self.forest.reach() + 1.0, self.plan.row_cap)
    }

    /// Whether nothing but the forest's judgement is left to ask for.
    fn is_grown(&self) -> bool {
        matches!(self.step, Step::Judge { .. } | Step::Done(_))
    }

    /// Goes on to the base rate once all bins are known.
    fn seek(&mut self, search: BinSearch) {
        match search.ask() {
            Some(asked) => self.step = Step::Bins { search, asked },
            None => {
                self.forest = Arc::new(Forest::new(search.bins(), 0.0));
                self.coarse = search.coarse();
                self.step = Step::Base;
            }
        }
    }

    fn set_base(&mut self, good: i64, bad: i64) -> Result<(), TrainError> {
        self.plan.judging.check_rows(good, bad)?;
        self.train = (good, bad);
        self.forest = Arc::new(Forest::new(self.forest.bins().to_vec(), libm::log(bad as f64 / good as f64)));
        self.start_tree();
        Ok(())
    }

    fn start_tree(&mut self) {
        let unit = libm::ldexp(1.0, -i32::try_from(self.plan.gradient_bits()).unwrap_or(0));
        self.step = Step::Grow(Box::new(Grower::new(&self.plan, self.tree(), unit)));
    }

    /// Adds the tree once it is grown.
    fn settle_tree(&mut self) -> Result<(), TrainError> {
        let Step::Grow(grower) = &mut self.step else { return Ok(()) };
        if !grower.asked().1.is_empty() {
            return Ok(());
        }
        let tree = grower.finish();
        // Without draws the next tree would be the same root again.
        let idle = tree.nodes.len() == 1 && self.plan.row_share >= 1.0 && self.plan.field_share >= 1.0;
        if idle {
            return self.stop();
        }
        Arc::make_mut(&mut self.forest).push(tree);
        if self.plan.early_stopping.is_some() {
            self.step = Step::Loss;
            Ok(())
        } else {
            self.go_on()
        }
    }

    /// Stops once the loss has not fallen for some trees.
    fn weigh(&mut self, scale_bits: u32, words: &[i64]) -> Result<(), TrainError> {
        let unit = libm::ldexp(1.0, -i32::try_from(scale_bits).unwrap_or(0));
        self.losses.push(words[0] as f64 * unit / (words[1] + words[2]).max(1) as f64);
        let patience = self.plan.early_stopping.map_or(u32::MAX, |stopping| stopping.patience);
        if self.losses.len() - self.best_trees() >= patience as usize { self.stop() } else { self.go_on() }
    }

    fn go_on(&mut self) -> Result<(), TrainError> {
        if self.tree() < self.plan.trees {
            self.start_tree();
            Ok(())
        } else {
            self.stop()
        }
    }

    /// Keeps the trees up to the lowest loss and goes on to the figures.
    fn stop(&mut self) -> Result<(), TrainError> {
        if !self.losses.is_empty() {
            let trees = self.best_trees();
            Arc::make_mut(&mut self.forest).truncate(trees);
        }
        let nodes = self.forest.trees().iter().flat_map(|tree| &tree.nodes);
        self.plan.judging.check_fields(nodes.filter(|node| matches!(node.shape, Shape::Split(_))).count())?;
        let (bins, model) = (self.forest.bins().to_vec(), Model::Forest(Arc::clone(&self.forest)));
        self.judge(Judge::new(model, bins, self.plan.row_cap, self.plan.noisy, &self.plan.judging));
        Ok(())
    }

    /// The next sum that judges the forest, or the fit.
    fn judge(&mut self, judge: Judge) {
        self.step = match judge.ask() {
            Some(request) => Step::Judge { judge, request },
            None => Step::Done(Box::new(self.finish(judge.verdict()))),
        };
    }

    /// Trees at the lowest loss, of equals the fewest.
    fn best_trees(&self) -> usize {
        let best = self.losses.iter().enumerate().reduce(|best, loss| if loss.1 < best.1 { loss } else { best });
        best.map_or(0, |(tree, _)| tree + 1)
    }

    fn finish(&mut self, validation: Validation) -> BoostedFit {
        let mut fields: Vec<_> = self.plan.fields.iter().map(BoostedField::unused).collect();
        for node in self.forest.trees().iter().flat_map(|tree| &tree.nodes) {
            if let Shape::Split(split) = node.shape {
                fields[split.field as usize].splits += 1;
                fields[split.field as usize].gain += split.gain;
            }
        }
        for (field, coarse) in fields.iter_mut().zip(std::mem::take(&mut self.coarse)) {
            field.coarse = coarse;
        }
        let holdout = validation.holdout();
        BoostedFit {
            fields,
            forest: Forest::clone(&self.forest),
            losses: std::mem::take(&mut self.losses),
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

/// The words that count rows and are below zero: without noise, the sum is not one of this request.
fn counts_below_zero<'a>(request: &SumRequest, words: &'a mut [i64]) -> impl Iterator<Item = &'a mut i64> {
    let (cell, first_count) = match &request.kind {
        Kind::Histogram(_) => (Histogram::CELL, 2),
        Kind::Loss(_) => (Loss::WORDS, 1),
        _ => (1, 0),
    };
    let counts = words.chunks_exact_mut(cell).flat_map(move |cell| &mut cell[first_count..]);
    counts.filter(|count| **count < 0)
}

/// Log-odds of bad of every row under the forest that a bank grows alone, on its own fields and by the same plan: what
/// federation is compared with.
///
/// Where nothing can be grown (one kind of loan only, no field of its own), every row has the same log-odds.
///
/// # Errors
/// Fails if the table does not fit the plan.
pub fn bank_only(plan: &BoostedPlan, table: &Table) -> Result<Vec<f64>, BaselineError> {
    let own = own_fields(table, |field| {
        !matches!(plan.fields[field].source, FieldSource::Codes { .. }) && !plan.judging.is_apart(field)
    });
    if own.is_empty() || has_one_kind(table) {
        return Ok(vec![constant(table); table.rows()]);
    }
    let fields = own.iter().map(|field| plan.fields[*field].clone()).collect();
    let plan = BoostedPlan { fields, judging: Judging::default(), noisy: false, ..plan.clone() };
    let mut holder = Holder::new(alone(table, &own));
    let failed = |error: &dyn std::fmt::Display| BaselineError::Fit(error.to_string());
    let mut booster = Booster::new(plan).map_err(|error| failed(&error))?;
    loop {
        if booster.is_grown() {
            return Ok(super::contribution::log_odds(&booster.forest, holder.table())?);
        }
        match booster.next() {
            Ask::Done(fit) => return Ok(fit.log_odds(holder.table())?),
            Ask::Sum(request) => {
                let fold = Fold::none(&request.axes());
                let values = holder.contribution(&request)?;
                let sums = Sums { values, cohort: Vec::new(), seen: Vec::new(), fold };
                booster.answer(sums).map_err(|error| failed(&error))?;
            }
        }
    }
}
