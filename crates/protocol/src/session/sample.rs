//! The contract's terms of the sample: as of when, which outcome, which rows are out, which are held out.
//!
//! A score must stand on what was known before the outcome. So the platform's data set is a snapshot of a day that is not
//! later than the day of observation, and a bank's labels come from a data set of a day by which the outcome window of
//! every row is over. Both days stand in the data sets' entries of the logs; the contract holds the platform's, each bank
//! checks its own.
//!
//! Two sums over almost the same rows show the few between them, so a bank helps no contract that takes or holds out other
//! rows of a version of its data than an earlier one did, unless sums carry noise.
//!
//! All rows of a session are observed on one day. Sessions over cohorts of several days are several sessions.

use serde::{Deserialize, Serialize};
use tally_model::is_holdout;
use tally_model::text::Text;

/// The sample of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleTerms {
    /// The day as of which every row is described, `YYYY-MM-DD`.
    pub observed: String,
    /// Months after it within which a loan that goes bad counts as bad.
    pub outcome_months: u32,
    /// What bad means, in words.
    pub outcome: Text,
    /// The day of the platform's snapshot; not later than `observed`.
    #[serde(default)]
    pub snapshot: String,
    /// Which rows the model is judged on.
    #[serde(default)]
    pub holdout: HoldoutRule,
    /// Which rows of the banks take no part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclusions: Vec<Exclusion>,
}

/// Which rows are held out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum HoldoutRule {
    /// About three in ten, by a public hash of the identifier.
    #[default]
    Hash,
    /// The latest ones: rows whose value in a column of the bank's data set is at least this (out of time).
    OutOfTime {
        /// A column of numbers that grow with time, such as `20250131`; not a field of the model.
        column: String,
        /// The first held-out value.
        from: f64,
    },
}

/// Rows that take no part: those without a value in a column, and those whose value is out of bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exclusion {
    /// Why, in words: too young an account, fraud, a staff loan.
    pub why: Text,
    /// A column of numbers of the bank's data set.
    pub column: String,
    /// Least value that takes part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least: Option<f64>,
    /// Largest value that takes part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<f64>,
}

/// A day: year, month, day.
type Day = (u32, u32, u32);

impl SampleTerms {
    /// Whether two contracts take and hold out the same rows of a data set.
    pub fn same_rows(one: Option<&Self>, other: Option<&Self>) -> bool {
        let rule = |sample: Option<&Self>| sample.map(|sample| sample.holdout.clone()).unwrap_or_default();
        let bounds = |sample: Option<&Self>| -> Vec<_> {
            let exclusions = sample.map(|sample| sample.exclusions.as_slice()).unwrap_or_default();
            exclusions.iter().map(|one| (one.column.clone(), one.least, one.most)).collect()
        };
        rule(one) == rule(other) && bounds(one) == bounds(other)
    }

    /// Checks the terms by themselves.
    ///
    /// # Errors
    /// Says what does not hold.
    pub(super) fn check(&self) -> Result<(), String> {
        let observed = day(&self.observed)?;
        let snapshot = day(&self.snapshot)?;
        let numbers = self.exclusions.iter().flat_map(|exclusion| [exclusion.least, exclusion.most]).flatten();
        let finite = numbers.chain(self.holdout.bound()).all(f64::is_finite);
        let holds = [
            (
                snapshot <= observed,
                "the platform's snapshot is later than the day of observation: it knows the outcome",
            ),
            ((1..=120).contains(&self.outcome_months), "outcome_months: between 1 and 120"),
            (finite, "bounds are numbers"),
        ];
        match holds.into_iter().find(|(holds, _)| !holds) {
            Some((_, reason)) => Err(reason.into()),
            None => Ok(()),
        }
    }

    /// Whether the outcomes of all rows are known in a bank's data set of this day.
    ///
    /// # Errors
    /// Says from which day on they are.
    pub fn matured(&self, as_of: &str) -> Result<(), String> {
        let (year, month, date) = day(&self.observed)?;
        let months = year * 12 + month - 1 + self.outcome_months;
        let end = (months / 12, months % 12 + 1, date);
        if day(as_of)? >= end {
            return Ok(());
        }
        Err(format!(
            "its labels are as of {as_of}, but outcomes are known only from {:04}-{:02}-{:02} on",
            end.0, end.1, end.2
        ))
    }
}

impl HoldoutRule {
    /// Whether a row is held out, by its identifier and its value in the rule's column.
    pub fn holds_out(&self, identifier: &str, value: f64) -> bool {
        match self {
            Self::Hash => is_holdout(identifier),
            Self::OutOfTime { from, .. } => value >= *from,
        }
    }

    /// The column that it needs.
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::Hash => None,
            Self::OutOfTime { column, .. } => Some(column),
        }
    }

    fn bound(&self) -> Option<f64> {
        match self {
            Self::Hash => None,
            Self::OutOfTime { from, .. } => Some(*from),
        }
    }
}

impl Exclusion {
    /// Whether a row with this value takes no part.
    pub fn excludes(&self, value: f64) -> bool {
        let below = self.least.is_some_and(|least| value < least);
        let above = self.most.is_some_and(|most| value > most);
        value.is_nan() || below || above
    }
}

/// Reads `YYYY-MM-DD`.
fn day(text: &str) -> Result<Day, String> {
    let wrong = || format!("`{text}` is not a day: write it as YYYY-MM-DD");
    let parts: Vec<&str> = text.split('-').collect();
    let digits = |part: &str, length: usize| {
        let plain = part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| part.parse::<u32>().ok()).flatten()
    };
    let [year, month, date] = parts[..] else { return Err(wrong()) };
    let found = (digits(year, 4), digits(month, 2), digits(date, 2));
    let (Some(year), Some(month), Some(date)) = found else { return Err(wrong()) };
    let exists = (1..=12).contains(&month) && (1..=31).contains(&date);
    if exists { Ok((year, month, date)) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> SampleTerms {
        SampleTerms {
            observed: "2024-06-30".into(),
            outcome_months: 12,
            outcome: Text::new("逾期九十天", "90 days past due"),
            snapshot: "2024-06-30".into(),
            holdout: HoldoutRule::Hash,
            exclusions: Vec::new(),
        }
    }

    #[test]
    fn a_snapshot_that_knows_the_outcome_is_refused() {
        assert_eq!(sample().check(), Ok(()));
        assert!(SampleTerms { snapshot: "2024-07-01".into(), ..sample() }.check().unwrap_err().contains("later"));
        for wrong in ["", "2024-6-30", "2024-13-01", "2024-06-32", "24-06-30", "2024-06-30-1", "２０２４-06-30"] {
            assert!(SampleTerms { snapshot: wrong.into(), ..sample() }.check().is_err(), "{wrong}");
        }
        assert!(SampleTerms { outcome_months: 0, ..sample() }.check().is_err());
        let holdout = HoldoutRule::OutOfTime { column: "granted".into(), from: f64::NAN };
        assert!(SampleTerms { holdout, ..sample() }.check().is_err());
    }

    #[test]
    fn contracts_over_other_rows_are_told_apart() {
        let bound = |least| {
            let exclusion = Exclusion { why: Text::default(), column: "months".into(), least, most: None };
            SampleTerms { exclusions: vec![exclusion], ..sample() }
        };
        let later = SampleTerms { outcome_months: 24, ..sample() };
        assert!(SampleTerms::same_rows(None, Some(&sample())) && SampleTerms::same_rows(Some(&later), Some(&sample())));
        assert!(SampleTerms::same_rows(Some(&bound(Some(3.0))), Some(&bound(Some(3.0)))));
        assert!(!SampleTerms::same_rows(Some(&bound(Some(3.0))), Some(&bound(Some(3.5)))));
        assert!(!SampleTerms::same_rows(Some(&bound(None)), None));
        let time = |from| HoldoutRule::OutOfTime { column: "granted".into(), from };
        let timed = |from| SampleTerms { holdout: time(from), ..sample() };
        assert!(!SampleTerms::same_rows(Some(&timed(1.0)), Some(&timed(2.0))));
        assert!(!SampleTerms::same_rows(Some(&timed(1.0)), None));
    }

    #[test]
    fn labels_before_the_end_of_the_window_are_refused() {
        assert_eq!(sample().matured("2025-06-30"), Ok(()));
        assert!(sample().matured("2025-06-29").unwrap_err().contains("2025-06-30"));
        let december = SampleTerms { observed: "2024-12-31".into(), outcome_months: 2, ..sample() };
        // The last day of February is before the thirty-first: the first of March is the first day after.
        assert!(december.matured("2025-02-28").is_err());
        assert_eq!(december.matured("2025-03-01"), Ok(()));
    }

    #[test]
    fn rows_out_of_bounds_and_rows_without_a_value_take_no_part() {
        let exclusion = Exclusion { why: Text::default(), column: "months".into(), least: Some(3.0), most: None };
        assert_eq!([2.9, 3.0, f64::NAN].map(|value| exclusion.excludes(value)), [true, false, true]);
        let rule = HoldoutRule::OutOfTime { column: "granted".into(), from: 20_240_101.0 };
        assert_eq!([20_231_231.0, 20_240_101.0].map(|value| rule.holds_out("x", value)), [false, true]);
    }
}
