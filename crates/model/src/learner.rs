//! Every kind of result behind one face: what is fitted, who fits it, what comes out.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;

use crate::baseline::{BankOnly, BaselineError};
use crate::boosted::{self, BoostedFit, BoostedPlan, Booster};
use crate::contribution::ContributionError;
use crate::fit::{Fit, RoundRecord, Scorecard};
use crate::golden::Scoring;
use crate::judge::{Rules, Validation};
use crate::metrics::{Cell, Figures};
use crate::plan::{Plan, PlanError};
use crate::quantiles::{Bins, CoarseCuts};
use crate::request::{FieldBins, Sums};
use crate::rows::Table;
use crate::statistics::{Statistics, StatisticsPlan, Tabulator};
use crate::trainer::{Ask, TrainError, Trainer};

/// What is fitted: public, part of the contract.
#[derive(Clone, Debug, PartialEq)]
pub enum Course {
    /// A scorecard.
    Scorecard(Plan),
    /// Boosted trees.
    Trees(BoostedPlan),
    /// Statistics: nothing is fitted.
    Statistics(StatisticsPlan),
}

/// The trainer of any kind.
#[derive(Clone, Debug)]
pub enum Learner {
    /// Of a scorecard.
    Scorecard(Box<Trainer>),
    /// Of boosted trees.
    Trees(Box<Booster>),
    /// Of statistics.
    Statistics(Box<Tabulator>),
}

/// What a trainer leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "algorithm", rename_all = "kebab-case")]
pub enum Fitted {
    /// A scorecard.
    Scorecard(Box<Fit>),
    /// Boosted trees.
    Trees(Box<BoostedFit>),
    /// Statistics, which score nobody.
    Statistics(Box<Statistics>),
}

/// Of statistics no sum judges anything.
static NOTHING_JUDGED: LazyLock<Validation> = LazyLock::new(Validation::nothing);

impl Course {
    /// Checks the bounds of every parameter.
    ///
    /// # Errors
    /// Names the parameter.
    pub fn check(&self) -> Result<(), PlanError> {
        match self {
            Self::Scorecard(plan) => plan.check(),
            Self::Trees(plan) => plan.check(),
            Self::Statistics(plan) => plan.check(),
        }
    }

    /// No sum of the course has a larger [sensitivity](crate::SumRequest::sensitivity).
    pub fn largest_sensitivity(&self) -> f64 {
        match self {
            Self::Scorecard(plan) => plan.largest_sensitivity(),
            Self::Trees(plan) => plan.largest_sensitivity(),
            Self::Statistics(plan) => plan.request().sensitivity(),
        }
    }

    /// Its trainer.
    ///
    /// # Errors
    /// Refuses a plan out of bounds.
    pub fn learner(self) -> Result<Learner, PlanError> {
        Ok(match self {
            Self::Scorecard(plan) => Learner::Scorecard(Box::new(Trainer::new(plan)?)),
            Self::Trees(plan) => Learner::Trees(Box::new(Booster::new(plan)?)),
            Self::Statistics(plan) => Learner::Statistics(Box::new(Tabulator::new(plan)?)),
        })
    }

    /// Its trainer over known bins, one a field of the plan: nothing is sought, all else is as planned.
    ///
    /// # Errors
    /// Refuses a plan out of bounds; statistics have no bins.
    pub fn learner_of_bins(self, bins: Vec<FieldBins>) -> Result<Learner, PlanError> {
        Ok(match self {
            Self::Scorecard(plan) => Learner::Scorecard(Box::new(Trainer::of_bins(plan, bins)?)),
            Self::Trees(plan) => Learner::Trees(Box::new(Booster::of_bins(plan, bins)?)),
            Self::Statistics(_) => return Err(PlanError("bins: statistics have none")),
        })
    }

    /// Values of each field that have bins of their own, where its cut points are sought; `None` for a field whose bins are given.
    pub fn sought(&self) -> Vec<Option<&[f64]>> {
        let sought = |known| if let Bins::Sought(special) = known { Some(special) } else { None };
        match self {
            Self::Scorecard(plan) => plan.fields.iter().map(|field| sought(field.known_bins())).collect(),
            Self::Trees(plan) => plan.fields.iter().map(|field| sought(field.source.known_bins())).collect(),
            Self::Statistics(_) => Vec::new(),
        }
    }

    /// Equal-frequency bins of a number.
    pub fn bins(&self) -> u16 {
        match self {
            Self::Scorecard(plan) => plan.bins,
            Self::Trees(plan) => plan.bins,
            Self::Statistics(_) => 0,
        }
    }

    /// Log-odds of bad of every row under a bank's own model of the joint model's kind; of contracts under the
    /// [first rules](Rules::First), a scorecard's is linfa's.
    ///
    /// # Errors
    /// Fails where the rows do not fit the plan.
    pub fn bank_only(&self, table: &Table) -> Result<Vec<f64>, BaselineError> {
        match self {
            Self::Scorecard(plan) if plan.judging.rules.is_first() => crate::bank_only(plan, table),
            Self::Scorecard(plan) => crate::own_scorecard(plan, table),
            Self::Trees(plan) => boosted::bank_only(plan, table),
            Self::Statistics(_) => Ok(Vec::new()),
        }
    }

    /// What figures stand under.
    pub fn rules(&self) -> Rules {
        match self {
            Self::Scorecard(plan) => plan.judging.rules,
            Self::Trees(plan) => plan.judging.rules,
            Self::Statistics(_) => Rules::First,
        }
    }

    /// linfa's model of a bank's own fields itself, to be kept; `None` for trees and statistics.
    ///
    /// # Errors
    /// Fails where the rows do not fit the plan.
    pub fn bank_only_model(&self, table: &Table) -> Result<Option<BankOnly>, BaselineError> {
        match self {
            Self::Scorecard(plan) => BankOnly::fit(plan, table).map(Some),
            Self::Trees(_) | Self::Statistics(_) => Ok(None),
        }
    }
}

impl Learner {
    /// What is wanted next; the same until an answer comes.
    pub fn next(&self) -> Ask<Fitted> {
        match self {
            Self::Scorecard(trainer) => match trainer.next() {
                Ask::Sum(request) => Ask::Sum(request),
                Ask::Done(fit) => Ask::Done(Fitted::Scorecard(Box::new(fit))),
            },
            Self::Trees(booster) => match booster.next() {
                Ask::Sum(request) => Ask::Sum(request),
                Ask::Done(fit) => Ask::Done(Fitted::Trees(Box::new(fit))),
            },
            Self::Statistics(tabulator) => match tabulator.next() {
                Ask::Sum(request) => Ask::Sum(request),
                Ask::Done(found) => Ask::Done(Fitted::Statistics(found)),
            },
        }
    }

    /// Takes in the sum that was asked.
    ///
    /// # Errors
    /// Refuses a sum that cannot be the answer to the request.
    pub fn answer(&mut self, sums: Sums) -> Result<(), TrainError> {
        match self {
            Self::Scorecard(trainer) => trainer.answer(sums),
            Self::Trees(booster) => booster.answer(sums),
            Self::Statistics(tabulator) => tabulator.answer(sums),
        }
    }
}

impl Fitted {
    /// Names the model; equal fits have equal digests.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Scorecard(fit) => fit.digest(),
            Self::Trees(fit) => fit.digest(),
            Self::Statistics(found) => found.digest(),
        }
    }

    /// Every released sum that led here.
    pub fn rounds(&self) -> &[RoundRecord] {
        match self {
            Self::Scorecard(fit) => &fit.rounds,
            Self::Trees(fit) => &fit.rounds,
            Self::Statistics(found) => &found.rounds,
        }
    }

    /// Figures of the joint model on the hold-out rows.
    pub fn joint(&self) -> Option<Figures> {
        match self {
            Self::Scorecard(fit) => fit.joint,
            Self::Trees(fit) => fit.joint,
            Self::Statistics(_) => None,
        }
    }

    /// What the sums that judge the model say.
    pub fn validation(&self) -> &Validation {
        match self {
            Self::Scorecard(fit) => &fit.validation,
            Self::Trees(fit) => &fit.validation,
            Self::Statistics(_) => &NOTHING_JUDGED,
        }
    }

    /// Rows that the model is fitted on, and rows that it is judged on.
    pub fn samples(&self) -> [Cell; 2] {
        let cell = |rows: i64, bad: i64| Cell { good: rows.saturating_sub(bad), bad };
        match self {
            Self::Scorecard(fit) => [cell(fit.train_rows, fit.train_bad), cell(fit.holdout_rows, fit.holdout_bad)],
            Self::Trees(fit) => [cell(fit.train_rows, fit.train_bad), cell(fit.holdout_rows, fit.holdout_bad)],
            Self::Statistics(_) => [Cell::default(); 2],
        }
    }

    /// The bins of every field of the plan.
    pub fn bins(&self) -> Vec<FieldBins> {
        match self {
            Self::Scorecard(fit) => fit.fields.iter().map(|field| field.bins.clone()).collect(),
            Self::Trees(fit) => fit.forest.bins().to_vec(),
            Self::Statistics(_) => Vec::new(),
        }
    }

    /// Fields whose bins stayed coarse.
    pub fn coarse(&self) -> Vec<(&str, CoarseCuts)> {
        let coarse = |name, coarse: Option<CoarseCuts>| Some((name, coarse?));
        match self {
            Self::Scorecard(fit) => {
                fit.fields.iter().filter_map(|field| coarse(field.name.as_str(), field.coarse)).collect()
            }
            Self::Trees(fit) => {
                fit.fields.iter().filter_map(|field| coarse(field.name.as_str(), field.coarse)).collect()
            }
            Self::Statistics(_) => Vec::new(),
        }
    }

    /// The scorecard, if it is one.
    pub fn scorecard(&self) -> Option<&Fit> {
        match self {
            Self::Scorecard(fit) => Some(fit),
            Self::Trees(_) | Self::Statistics(_) => None,
        }
    }

    /// Log-odds of bad of every row of a table in plan order.
    ///
    /// # Errors
    /// Fails if the table does not have the model's columns.
    pub fn log_odds(&self, table: &Table) -> Result<Vec<f64>, ContributionError> {
        match self {
            Self::Scorecard(fit) => Scorecard::new(fit).log_odds(table),
            Self::Trees(fit) => fit.log_odds(table),
            Self::Statistics(_) => Ok(Vec::new()),
        }
    }
}

impl Scoring for Fitted {
    fn widths(&self) -> Vec<usize> {
        match self {
            Self::Scorecard(fit) => fit.widths(),
            Self::Trees(fit) => fit.widths(),
            Self::Statistics(_) => Vec::new(),
        }
    }

    fn cuts(&self, field: usize) -> &[f64] {
        match self {
            Self::Scorecard(fit) => fit.cuts(field),
            Self::Trees(fit) => fit.cuts(field),
            Self::Statistics(_) => &[],
        }
    }

    fn code(&self, field: usize, value: f64) -> u16 {
        match self {
            Self::Scorecard(fit) => Scoring::code(&**fit, field, value),
            Self::Trees(fit) => Scoring::code(&**fit, field, value),
            Self::Statistics(_) => 0,
        }
    }

    fn score(&self, codes: &[u16]) -> f64 {
        match self {
            Self::Scorecard(fit) => fit.score(codes),
            Self::Trees(fit) => fit.score(codes),
            Self::Statistics(_) => f64::NAN,
        }
    }
}
