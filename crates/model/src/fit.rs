//! What a trainer leaves: the fit with its figures, and the scorecard that follows from it.

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;

use crate::contribution::{ContributionError, log_odds, woe_columns};
use crate::golden::Scoring;
use crate::judge::{Validation, folded};
use crate::metrics::{Cell, Figures};
use crate::plan::ReasonBasis;
use crate::points::points;
use crate::quantiles::CoarseCuts;
use crate::request::{FieldBins, LinearModel, RowTerms, Term};
use crate::rows::Table;
use crate::selection::DropReason;

/// A fitted scorecard: the same at every party, since all of it follows from released sums.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fit {
    /// Every field of the plan, in order.
    pub fields: Vec<FieldFit>,
    /// Intercept of the log-odds of bad.
    pub intercept: f64,
    /// Its standard error, by the information of the loss without its penalty; absent where that has no inverse.
    pub intercept_error: Option<f64>,
    /// Points of an applicant before any field.
    pub base_points: i64,
    /// Points a unit of log-odds: `PDO / ln 2`.
    pub factor: f64,
    /// Score at even odds.
    pub offset: f64,
    /// What a field's points are compared with where reasons for a score are given.
    pub reasons: ReasonBasis,
    /// Rows that the model is fitted on.
    pub train_rows: i64,
    /// Of these, bad.
    pub train_bad: i64,
    /// Rows that it is judged on.
    pub holdout_rows: i64,
    /// Of these, bad.
    pub holdout_bad: i64,
    /// Figures of the joint model on the hold-out rows.
    pub joint: Option<Figures>,
    /// Figures of the banks' own models on the same rows.
    pub bank_only: Option<Figures>,
    /// What all figures of the validation follow from.
    pub validation: Validation,
    /// Every released sum that led here.
    pub rounds: Vec<RoundRecord>,
}

/// One field of a fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldFit {
    /// Name.
    pub name: String,
    /// Its bins; the cuts of a platform field stay at the platform.
    pub bins: FieldBins,
    /// Good rows per code, 0 (missing) first.
    pub good: Vec<i64>,
    /// Bad rows per code.
    pub bad: Vec<i64>,
    /// The code that each code is counted in, where too few banks stand behind one by itself: its own rows are in the
    /// counts of that code, and it has its WOE. Empty if too few stand behind the field.
    pub counted_in: Vec<usize>,
    /// Coarse class per code, numbered in order; the counts of a class are those of its codes.
    pub classes: Vec<u16>,
    /// WOE per code, that of its class: `ln(good share / bad share)`.
    pub woe: Vec<f64>,
    /// Information value of the classes.
    pub iv: f64,
    /// Information value of the fine classes.
    pub fine_iv: f64,
    /// What is to be said where its bins stayed coarse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coarse: Option<CoarseCuts>,
    /// Its classes have fewer good or bad rows than the terms ask for: those of one kind are smoothed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub eased: bool,
    /// Why the field is not in the model.
    pub dropped: Option<DropReason>,
    /// Coefficient of its WOE in the log-odds of bad.
    pub coefficient: Option<f64>,
    /// Its standard error, by the information of the loss without its penalty.
    pub standard_error: Option<f64>,
    /// Two-sided p-value of `coefficient / standard_error` (Wald).
    pub p_value: Option<f64>,
    /// Points per code; empty if dropped.
    pub points: Vec<i64>,
}

/// One released sum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundRecord {
    /// Digest of the request.
    pub request: Digest,
    /// Digest of the sums.
    pub sums: Digest,
    /// Banks in the sum.
    pub cohort: Vec<String>,
    /// Banks whose indicators decided which cells are counted together; empty for a sum without cells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<String>,
}

impl Fit {
    /// Names the model; equal fits have equal digests.
    pub fn digest(&self) -> Digest {
        // Panic safety: the type holds only finite numbers, texts and lists.
        Digest::of("tallystick/fit/v1", &[&serde_json::to_vec(self).expect("fits serialise")])
    }

    /// The model over WOE columns.
    pub fn linear_model(&self) -> LinearModel {
        let term = |(field, fit): (usize, &FieldFit)| {
            let coefficient = fit.coefficient?;
            Some(Term { field, bins: fit.bins.clone(), woe: fit.woe.clone(), coefficient })
        };
        let terms = self.fields.iter().enumerate().filter_map(term).collect();
        LinearModel { intercept: self.intercept, terms, rows: RowTerms::default() }
    }
}

impl Scoring for Fit {
    fn widths(&self) -> Vec<usize> {
        self.fields.iter().map(|field| field.bins.codes()).collect()
    }

    fn cuts(&self, field: usize) -> &[f64] {
        match &self.fields[field].bins {
            FieldBins::Cuts(cuts) | FieldBins::Special { cuts, .. } => cuts,
            FieldBins::Codes(_) => &[],
        }
    }

    fn code(&self, field: usize, value: f64) -> u16 {
        self.fields[field].code(value)
    }

    fn score(&self, codes: &[u16]) -> f64 {
        let points = self.fields.iter().zip(codes).map(|(field, code)| field.points(*code));
        (self.base_points + points.sum::<i64>()) as f64
    }
}

impl FieldFit {
    /// Good and bad rows per code.
    pub fn rows(&self) -> Vec<Cell> {
        self.good.iter().zip(&self.bad).map(|(good, bad)| Cell { good: *good, bad: *bad }).collect()
    }

    /// Share of the training rows in codes that are counted together with others, since too few banks stand behind them; 1 if the
    /// field is withheld.
    pub fn folded(&self) -> f64 {
        folded(&self.rows(), &self.counted_in)
    }

    /// Points of a code; an unknown code counts as missing.
    pub fn points(&self, code: u16) -> i64 {
        self.points.get(usize::from(code)).or(self.points.first()).copied().unwrap_or(0)
    }

    /// Points of the best code.
    pub fn best(&self) -> i64 {
        self.points.iter().copied().max().unwrap_or(0)
    }

    /// What a code loses against the best code, or against the mean of the rows that the model is fitted on; the
    /// largest losses are the reasons for a score.
    pub fn points_lost(&self, code: u16, basis: ReasonBasis) -> i64 {
        let against = match basis {
            ReasonBasis::Maximum => self.points.iter().copied().max().unwrap_or(0),
            ReasonBasis::Mean => self.mean_points(),
        };
        against - self.points(code)
    }

    /// Mean points of the rows that the model is fitted on, rounded half to even.
    fn mean_points(&self) -> i64 {
        let rows = |code: usize| self.good[code] + self.bad[code];
        let all: i64 = (0..self.points.len()).map(rows).sum();
        let sum: i64 = self.points.iter().enumerate().map(|(code, points)| rows(code).saturating_mul(*points)).sum();
        points(sum as f64 / all.max(1) as f64)
    }

    /// The code of a number; 0 where the cuts are not known here.
    pub fn code(&self, value: f64) -> u16 {
        self.bins.code(value)
    }

    /// True for a code whose class has no training row, such as that of a missing value where none was missing: nothing is known
    /// of it.
    pub fn is_unseen(&self, code: u16) -> bool {
        let class = |code: usize| self.classes.get(code);
        let own = class(usize::from(code));
        let rows = |other: usize| if class(other) == own { self.good[other] + self.bad[other] } else { 0 };
        !self.counted_in.is_empty() && own.is_some() && (0..self.good.len()).map(rows).sum::<i64>() == 0
    }

    /// Gives every code of which nothing is known the evidence of the worst class.
    pub(crate) fn unseen_as_worst(&mut self) {
        let (unseen, seen): (Vec<_>, Vec<_>) = (0..self.woe.len()).partition(|code| self.is_unseen(*code as u16));
        // Log-odds of bad rise with the WOE where the coefficient speaks against the evidence.
        let rising = self.coefficient.is_some_and(|coefficient| coefficient > 0.0);
        let worse = |one: f64, other: f64| if rising { one.max(other) } else { one.min(other) };
        if let Some(worst) = seen.into_iter().map(|code| self.woe[code]).reduce(worse) {
            unseen.into_iter().for_each(|code| self.woe[code] = worst);
        }
    }
}

/// A fit, ready to score.
#[derive(Clone, Copy, Debug)]
pub struct Scorecard<'a> {
    fit: &'a Fit,
}

impl<'a> Scorecard<'a> {
    /// The scorecard of a fit.
    pub fn new(fit: &'a Fit) -> Self {
        Self { fit }
    }

    /// A field of the model; `None` if it is unknown or dropped.
    pub fn field(&self, name: &str) -> Option<&FieldFit> {
        self.fit.fields.iter().find(|field| field.name == name && field.coefficient.is_some())
    }

    /// What a code of a field loses, as the plan has it.
    pub fn points_lost(&self, field: &FieldFit, code: u16) -> i64 {
        field.points_lost(code, self.fit.reasons)
    }

    /// Points before any field.
    pub fn base_points(&self) -> i64 {
        self.fit.base_points
    }

    /// Probability of bad at a score.
    pub fn probability(&self, score: i64) -> f64 {
        crate::contribution::logistic((self.fit.offset - score as f64) / self.fit.factor)
    }

    /// Log-odds of bad of every row of a table in plan order, from exact coefficients, not from rounded points.
    ///
    /// # Errors
    /// Fails if the table does not have the model's columns.
    pub fn log_odds(&self, table: &Table) -> Result<Vec<f64>, ContributionError> {
        let model = self.fit.linear_model();
        let columns = woe_columns(&model, table)?;
        Ok((0..table.rows()).map(|row| log_odds(&model, &columns, row)).collect())
    }
}
