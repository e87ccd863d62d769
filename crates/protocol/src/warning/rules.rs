//! The rules: which change of what is a warning, how serious, how long it counts.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;
use tally_model::text::Text;

use super::Reading;

/// A file of rules: `models/templates/warnings.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Version; a higher one replaces a lower one.
    pub version: u32,
    /// The platform's data set that they watch.
    pub dataset: String,
    /// The rules.
    #[serde(rename = "rule")]
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Name: lowercase letters, digits and hyphens.
    pub id: String,
    /// What it looks at.
    pub of: Source,
    /// Which change counts.
    pub when: Condition,
    /// How serious.
    pub severity: Severity,
    /// Days from the day of the data on that a warning counts.
    pub days: u32,
    /// What a warning says.
    pub text: Text,
}

/// What a rule looks at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A field of the data set.
    Field(String),
    /// The platform's part of the score by a scorecard: `champion`, a model's first digits, or the session that made it.
    Points(String),
}

/// Which change counts. What was not known before, or is not known now, has not changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Condition {
    /// The number grew by so much at least.
    RisesBy(f64),
    /// The number fell by so much at least.
    FallsBy(f64),
    /// The number was below, and is there or above.
    RisesTo(f64),
    /// The number was above, and is there or below.
    FallsTo(f64),
    /// The number fell by so many classes at least.
    FallsClasses {
        /// Where a class begins, ascending; what is below the first is a class too.
        edges: Vec<f64>,
        /// How many.
        by: u32,
    },
    /// The value was none of these, and is one now.
    Becomes(Vec<String>),
}

/// How serious a warning is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// To know.
    Info,
    /// To look at.
    Watch,
    /// To act on.
    Severe,
}

/// Why rules were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// The whole file.
    #[error("warning rules: {0}")]
    File(String),
    /// One rule.
    #[error("warning rule `{rule}`: {reason}")]
    Rule {
        /// Its name, or its place where it has no good one.
        rule: String,
        /// What is wrong, and the remedy.
        reason: String,
    },
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Watch => "watch",
            Self::Severe => "severe",
        })
    }
}

impl Rules {
    /// Digest of a file's text, which operators sign.
    pub fn digest_of(text: &str) -> Digest {
        Digest::of("tallystick/warning-rules/v1", &[text.as_bytes()])
    }

    /// Checks what the types do not.
    ///
    /// # Errors
    /// Names the rule, what is wrong with it, and the remedy.
    pub fn check(&self) -> Result<(), RulesError> {
        if self.version == 0 {
            return Err(RulesError::File("versions begin with 1".into()));
        }
        if self.rules.is_empty() {
            return Err(RulesError::File("there is no [[rule]]".into()));
        }
        let mut seen = BTreeSet::new();
        for (place, rule) in self.rules.iter().enumerate() {
            let name = if rule.id.is_empty() { format!("#{}", place + 1) } else { rule.id.clone() };
            let twice = || Err("stands twice: rename one of the two".to_owned());
            let checked = if seen.insert(&rule.id) { rule.check() } else { twice() };
            checked.map_err(|reason| RulesError::Rule { rule: name, reason })?;
        }
        Ok(())
    }

    /// Fields that the rules look at.
    pub fn fields(&self) -> BTreeSet<&str> {
        self.rules.iter().filter_map(Rule::field).collect()
    }
}

impl Rule {
    /// The field that it looks at; `None` if it looks at points.
    pub fn field(&self) -> Option<&str> {
        match &self.of {
            Source::Field(name) => Some(name),
            Source::Points(_) => None,
        }
    }

    fn check(&self) -> Result<(), String> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let (Source::Field(name) | Source::Points(name)) = &self.of;
        let holds = [
            (
                (1..=60).contains(&self.id.len()) && self.id.bytes().all(plain),
                "its id is lowercase letters, digits and hyphens, at most 60",
            ),
            (!name.is_empty(), "`of` names nothing"),
            ((1..=3660).contains(&self.days), "days are 1 to 3660"),
            (!self.text.zh.is_empty() && !self.text.en.is_empty(), "its text is empty in one of the languages"),
            (
                !matches!((&self.of, &self.when), (Source::Points(_), Condition::Becomes(_))),
                "points are numbers: they do not become a value",
            ),
        ];
        match holds.into_iter().find(|(holds, _)| !holds) {
            Some((_, reason)) => Err(reason.into()),
            None => self.when.check(),
        }
    }
}

impl Condition {
    /// Whether the change from one reading to the next counts.
    pub fn holds(&self, before: &Reading<'_>, after: &Reading<'_>) -> bool {
        match (self, before, after) {
            (Self::Becomes(values), Reading::Value(before), Reading::Value(after)) => {
                let named = |value: &str| values.iter().any(|one| one == value);
                !named(before) && named(after)
            }
            (_, Reading::Number(before), Reading::Number(after)) => self.holds_of(*before, *after),
            _ => false,
        }
    }

    /// The same of numbers.
    fn holds_of(&self, before: f64, after: f64) -> bool {
        match self {
            Self::RisesBy(by) => after - before >= *by,
            Self::FallsBy(by) => before - after >= *by,
            Self::RisesTo(bound) => before < *bound && after >= *bound,
            Self::FallsTo(bound) => before > *bound && after <= *bound,
            Self::FallsClasses { edges, by } => {
                let class = |number: f64| edges.iter().filter(|edge| **edge <= number).count();
                class(before).saturating_sub(class(after)) >= *by as usize
            }
            Self::Becomes(_) => false,
        }
    }

    /// Whether it looks at numbers; else at values of a category.
    pub fn of_numbers(&self) -> bool {
        !matches!(self, Self::Becomes(_))
    }

    /// Values that it names.
    pub fn values(&self) -> &[String] {
        match self {
            Self::Becomes(values) => values,
            _ => &[],
        }
    }

    fn check(&self) -> Result<(), String> {
        match self {
            Self::RisesBy(by) | Self::FallsBy(by) if !(by.is_finite() && *by > 0.0) => {
                Err("a change is a number above 0".into())
            }
            Self::RisesTo(bound) | Self::FallsTo(bound) if !bound.is_finite() => Err("a bound is a number".into()),
            Self::FallsClasses { edges, by } => {
                let ascend = edges.windows(2).all(|two| two[0] < two[1]) && edges.iter().all(|edge| edge.is_finite());
                match () {
                    () if edges.is_empty() || !ascend => Err("edges are numbers, ascending, at least one".into()),
                    () if !(1..=edges.len()).contains(&(*by as usize)) => {
                        Err(format!("`by` is 1 to {}, as many as there are edges", edges.len()))
                    }
                    () => Ok(()),
                }
            }
            Self::Becomes(values) if values.is_empty() => Err("`becomes` names no value".into()),
            _ => Ok(()),
        }
    }
}
