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
//! A row is a bank's view of one enterprise on one day of observation: (bank, enterprise, cohort). Without `cohorts` all rows
//! are observed on the one day. With them an enterprise has up to one row a cohort at each bank, aligned by enterprise and
//! cohort together ([`row_key`]); consent, withdrawal and hold-out by hash go by the enterprise, so that all its rows come,
//! leave and are judged together. What the platform tells of a row is as of its cohort, though the data set as a whole, a
//! history, may be later. Sums hide banks, not rows: `min_cell` counts banks behind a cell, whatever rows they bring, and
//! `row_cap` and `min_rows` count rows, not enterprises.

use serde::{Deserialize, Serialize};
use tally_model::text::Text;
use tally_model::{is_holdout, row_key};
use tally_policy::Day as Cohort;

/// The sample of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleTerms {
    /// The day as of which every row is described, `YYYY-MM-DD`; with cohorts the latest of them.
    pub observed: String,
    /// Days of observation, in order, where there are several: only rows of these days take part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cohorts: Vec<Cohort>,
    /// Months after it within which a loan that goes bad counts as bad.
    pub outcome_months: u32,
    /// What bad means, in words.
    pub outcome: Text,
    /// The day of the platform's snapshot; not later than `observed`, with cohorts not earlier, since it holds them all.
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
        let cohorts = |sample: Option<&Self>| sample.map(|sample| sample.cohorts.clone()).unwrap_or_default();
        rule(one) == rule(other) && bounds(one) == bounds(other) && cohorts(one) == cohorts(other)
    }

    /// Names under which the rows of an enterprise are aligned.
    pub fn keys_of(sample: Option<&Self>, identifier: &str) -> Vec<String> {
        match sample.map(|sample| sample.cohorts.as_slice()).unwrap_or_default() {
            [] => vec![identifier.to_owned()],
            cohorts => cohorts.iter().map(|cohort| row_key(identifier, cohort)).collect(),
        }
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
                snapshot <= observed || !self.cohorts.is_empty(),
                "the platform's snapshot is later than the day of observation: it knows the outcome",
            ),
            (self.cohorts.is_sorted_by(|one, next| one < next), "cohorts: distinct days, in order"),
            (
                self.cohorts.last().is_none_or(|last| last.to_string() == self.observed),
                "observed: with cohorts the last of them",
            ),
            (
                snapshot >= observed || self.cohorts.is_empty(),
                "the platform's snapshot is earlier than the last cohort: it cannot hold its rows",
            ),
            ((1..=120).contains(&self.outcome_months), "outcome_months: between 1 and 120"),
            (finite, "bounds are numbers"),
        ];
        match holds.into_iter().find(|(holds, _)| !holds) {
            Some((_, reason)) => Err(reason.into()),
            None => Ok(()),
        }
    }

    /// Whether the outcomes of all rows, of every cohort, are known in a bank's data set of this day.
    ///
    /// # Errors
    /// Says from which day on they are, and of which cohort.
    pub fn matured(&self, as_of: &str) -> Result<(), String> {
        if self.cohorts.is_empty() {
            return self.over(&self.observed, "outcomes", as_of);
        }
        let over = |cohort: &Cohort| self.over(&cohort.to_string(), &format!("outcomes of cohort {cohort}"), as_of);
        self.cohorts.iter().try_for_each(over)
    }

    /// Whether the outcome window of rows observed on a day is over by `as_of`.
    fn over(&self, observed: &str, what: &str, as_of: &str) -> Result<(), String> {
        let (year, month, date) = day(observed)?;
        let months = year * 12 + month - 1 + self.outcome_months;
        let end = (months / 12, months % 12 + 1, date);
        if day(as_of)? >= end {
            return Ok(());
        }
        Err(format!(
            "its labels are as of {as_of}, but {what} are known only from {:04}-{:02}-{:02} on",
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
            cohorts: Vec::new(),
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

    fn cohorts(days: &[&str]) -> SampleTerms {
        SampleTerms { cohorts: days.iter().map(|day| day.parse().unwrap()).collect(), ..sample() }
    }

    #[test]
    fn cohorts_are_distinct_in_order_and_end_with_the_day_of_observation() {
        let two = cohorts(&["2024-03-31", "2024-06-30"]);
        assert_eq!(two.check(), Ok(()));
        // The snapshot is a history: it may be later than the cohorts, and cannot be earlier.
        assert_eq!(SampleTerms { snapshot: "2025-12-31".into(), ..two.clone() }.check(), Ok(()));
        let early = SampleTerms { snapshot: "2024-06-29".into(), ..two };
        assert!(early.check().unwrap_err().contains("earlier than the last cohort"));
        for (days, word) in [
            (&["2024-06-30", "2024-06-30"][..], "distinct"),
            (&["2024-06-30", "2024-03-31"], "in order"),
            (&["2024-03-31"], "observed"),
            (&["2024-06-30", "2024-09-30"], "observed"),
        ] {
            let error = cohorts(days).check().unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn every_cohort_has_its_own_outcome_window() {
        let two = cohorts(&["2024-03-31", "2024-06-30"]);
        assert_eq!(two.matured("2025-06-30"), Ok(()));
        let error = two.matured("2025-06-29").unwrap_err();
        assert!(error.contains("cohort 2024-06-30") && error.contains("2025-06-30 on"), "{error}");
        assert!(two.matured("2025-03-30").unwrap_err().contains("cohort 2024-03-31"));
    }

    #[test]
    fn an_enterprise_has_a_key_a_cohort_and_stays_on_one_side() {
        let two = cohorts(&["2024-03-31", "2024-06-30"]);
        assert_eq!(SampleTerms::keys_of(Some(&two), "e"), ["e#2024-03-31", "e#2024-06-30"]);
        assert_eq!(SampleTerms::keys_of(Some(&sample()), "e"), ["e"]);
        assert_eq!(SampleTerms::keys_of(None, "e"), ["e"]);
        assert!(!SampleTerms::same_rows(Some(&two), Some(&sample())));
        let written: SampleTerms = serde_json::from_str(&serde_json::to_string(&two).unwrap()).unwrap();
        assert_eq!(written, two);
        // A contract without cohorts reads, and hashes, as before.
        assert!(!serde_json::to_string(&sample()).unwrap().contains("cohorts"));
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
