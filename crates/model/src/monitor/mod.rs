//! Whether a model in use still is what it was when it was released: stability of scores and fields, and performance.
//!
//! - **Stability** by month of scoring, against the development sample as the fit's released sums have it: scores over bands of
//!   equally many development rows, fields over their bins (Siddiqi, Credit Risk Scorecards, 2006, chapter 8). Below 0.10
//!   stable, to 0.25 to be watched, above to be acted upon; months with few applicants get no reading, since the index of a
//!   sample that has not changed is about `(cells - 1) / rows`.
//! - **Performance**, once outcomes come: the bad rate by score band beside the mean probability that the model gave, with
//!   Wilson's interval; only of loans whose outcome window is over, or good loans would be those not bad *yet*.
//! - **Estimated performance** before they come: AUC and KS if every applicant were bad with the probability that the model
//!   gave, and good with the rest of it (confidence-based performance estimation, as NannyML has it). It sees changes of the
//!   applicants, not of how the fields relate to the risk: probabilities have to be right for it.

mod development;
mod performance;
#[cfg(test)]
mod tests;

pub use development::{Development, DevelopmentField};
pub use performance::{Band, Estimated, LoanMonth, Performance, estimated};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::metrics::{Figures, Stability, points_shift, stability_index};

/// Fewest applicants of a month whose stability is read.
pub const FEWEST: i64 = 50;

/// One applicant who was scored.
#[derive(Clone, Debug, PartialEq)]
pub struct Applicant {
    /// Month of scoring, `YYYY-MM`.
    pub month: String,
    /// Log-odds of bad that the model gave.
    pub log_odds: f64,
    /// Codes of the development's fields that are known here, in their order.
    pub codes: Vec<u16>,
    /// Points of the other party's fields, where they are known by their sum alone.
    pub partial: Option<i64>,
    /// What became of it, if a loan was granted.
    pub loan: Option<LoanSeen>,
}

/// What is known of a loan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoanSeen {
    /// Whether it went bad within the outcome window.
    pub bad: bool,
    /// Whether the window is over, as far as is known.
    pub mature: bool,
}

/// The report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Applicants.
    pub applicants: i64,
    /// Figures of the model on its hold-out rows.
    pub development: Option<Figures>,
    /// Scores by month; at a party that does not know scores, none.
    pub scores: Vec<Month>,
    /// Fields, each by month.
    pub fields: Vec<FieldMonths>,
    /// Points of the other party's fields by month, where they are known by their sum alone.
    pub partial: Vec<PartialMonth>,
    /// What the scores alone say of the model's power, by month.
    pub estimated: Vec<Estimated>,
    /// What came of the loans; absent without outcomes.
    pub performance: Option<Performance>,
}

/// Stability in one month.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Month {
    /// `YYYY-MM`.
    pub month: String,
    /// Applicants.
    pub rows: i64,
    /// The index; absent where the development sample does not tell.
    pub stability: Option<Stability>,
    /// How it is read.
    pub reading: Reading,
    /// Shift of the mean points against the development sample; of fields of scorecards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<f64>,
}

/// The stability of one field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldMonths {
    /// Name.
    pub field: String,
    /// By month.
    pub months: Vec<Month>,
}

/// Points of the other party's fields in one month.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartialMonth {
    /// `YYYY-MM`.
    pub month: String,
    /// Applicants.
    pub rows: i64,
    /// Mean.
    pub mean: f64,
    /// Tenth, half and nine tenths of the applicants have at most so many points.
    pub quantiles: [i64; 3],
    /// The mean less that of the development sample, which follows from its counts by bin.
    pub shift: Option<f64>,
}

/// How a stability index is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// Too few applicants, or nothing to compare with.
    None,
    /// Below 0.10.
    Stable,
    /// From 0.10 on.
    Watch,
    /// Above 0.25.
    Act,
}

impl Reading {
    /// The customary reading of an index over so many applicants.
    pub fn of(index: f64, rows: i64) -> Self {
        if rows < FEWEST { Self::None } else { Self::of_enough(index) }
    }

    /// The customary reading of an index over enough rows.
    pub fn of_enough(index: f64) -> Self {
        match index {
            _ if index < 0.10 => Self::Stable,
            _ if index <= 0.25 => Self::Watch,
            _ => Self::Act,
        }
    }

    /// In words, Chinese and English.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::None => ("样本不足", "too few"),
            Self::Stable => ("稳定", "stable"),
            Self::Watch => ("关注", "watch"),
            Self::Act => ("处置", "act"),
        }
    }
}

impl Report {
    /// What the applicants say of a model.
    pub fn new(development: &Development, applicants: &[Applicant]) -> Self {
        let mut months = BTreeMap::<&str, Vec<&Applicant>>::new();
        applicants.iter().for_each(|one| months.entry(&one.month).or_default().push(one));
        let by_month = |of: &dyn Fn(&str, &[&Applicant]) -> Option<Month>| -> Vec<Month> {
            months.iter().filter_map(|(month, applicants)| of(month, applicants)).collect()
        };
        let fields = development.fields.iter().enumerate().map(|(place, field)| FieldMonths {
            field: field.name.clone(),
            months: by_month(&|month, applicants| Some(field.month(month, place, applicants))),
        });
        Self {
            applicants: applicants.len() as i64,
            development: development.figures,
            scores: by_month(&|month, applicants| development.scores_in(month, applicants)),
            fields: fields.collect(),
            partial: months.iter().filter_map(|(month, all)| partial(month, all, development.partial_mean)).collect(),
            estimated: months.iter().filter_map(|(month, all)| estimated_in(month, all)).collect(),
            performance: Performance::new(development, applicants),
        }
    }

    /// The gravest reading of scores and fields, each of the latest month with enough applicants.
    pub fn latest(&self) -> Reading {
        let last = |months: &[Month]| {
            let read = months.iter().rev().map(|month| month.reading).find(|reading| *reading != Reading::None);
            read.unwrap_or(Reading::None)
        };
        let fields = self.fields.iter().map(|field| last(&field.months));
        fields.chain([last(&self.scores)]).max().unwrap_or(Reading::None)
    }
}

/// The stability of applicants over cells.
fn month(month: &str, expected: &[i64], actual: &[i64], points: Option<&[i64]>) -> Month {
    let rows = actual.iter().sum();
    let stability = stability_index(expected, actual);
    Month {
        month: month.into(),
        rows,
        stability,
        reading: stability.map_or(Reading::None, |found| Reading::of(found.index, rows)),
        shift: points.and_then(|points| points_shift(expected, actual, points)),
    }
}

fn partial(month: &str, applicants: &[&Applicant], expected: Option<f64>) -> Option<PartialMonth> {
    let mut points: Vec<i64> = applicants.iter().filter_map(|one| one.partial).collect();
    points.sort_unstable();
    let last = points.len().checked_sub(1)?;
    let mean = points.iter().sum::<i64>() as f64 / points.len() as f64;
    Some(PartialMonth {
        month: month.into(),
        rows: points.len() as i64,
        mean,
        quantiles: [1, 5, 9].map(|tenth| points[last * tenth / 10]),
        shift: expected.map(|expected| mean - expected),
    })
}

fn estimated_in(month: &str, applicants: &[&Applicant]) -> Option<Estimated> {
    let log_odds: Vec<_> = applicants.iter().map(|one| one.log_odds).filter(|value| !value.is_nan()).collect();
    if (log_odds.len() as i64) < FEWEST {
        return None;
    }
    estimated(&log_odds).map(|found| Estimated { month: month.into(), ..found })
}
