//! From one snapshot to the next: which rules' conditions became true of whom. Pure: no clock, no store.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tally_crypto::seed::Seed;
use tally_crypto::transcript::Digest;
use tally_policy::{Cleared, Day};

use super::rules::Rule;
use crate::session::PlatformColumn;

/// What a field, or a score, read of an enterprise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reading<'a> {
    /// Not known.
    Missing,
    /// A number.
    Number(f64),
    /// A value of a category.
    Value(Cow<'a, str>),
}

impl Reading<'_> {
    /// The same, for longer.
    pub fn into_owned(self) -> Reading<'static> {
        match self {
            Self::Missing => Reading::Missing,
            Self::Number(number) => Reading::Number(number),
            Self::Value(value) => Reading::Value(value.into_owned().into()),
        }
    }
}

/// Readings of one day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The day.
    pub day: Day,
    /// Canonical identifiers, distinct.
    pub subjects: Vec<String>,
    /// A reading a subject, by name.
    pub columns: Vec<(String, PlatformColumn)>,
}

/// A rule's condition became true of an enterprise.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    /// The rule.
    pub rule: &'a str,
    /// The enterprise.
    pub subject: &'a str,
    /// What was read before.
    pub before: Reading<'a>,
    /// What is read now.
    pub after: Reading<'a>,
}

impl Event<'_> {
    /// The name of its warning to a bank: the same for the same change on the same day, but another one once so many warnings
    /// of it were `recalled`; and under the platform's `key` no hint at the enterprise, since identifiers could be guessed.
    pub fn id(&self, key: &Seed, grantee: &str, day: Day, recalled: u32) -> Digest {
        // Panic safety: serialising to a growing vector cannot fail for types without custom errors.
        let readings = postcard::to_allocvec(&(&self.before, &self.after, recalled)).expect("readings serialise");
        let day = day.to_string();
        let names = [grantee, self.rule, self.subject, &day].map(str::as_bytes);
        let parts = [names.as_slice(), &[&readings]].concat();
        Digest(*key.derive("tallystick/warning/v1", &parts).expose())
    }
}

/// Two snapshots, the later one of what is [known](Snapshot::known) after the other.
pub struct Change<'a> {
    before: &'a Snapshot,
    after: &'a Snapshot,
    /// Of each row its place before.
    earlier: Vec<Option<usize>>,
}

impl<'a> Change<'a> {
    /// The change between two snapshots; `None` if it would go back in time.
    pub fn between(before: &'a Snapshot, after: &'a Snapshot) -> Option<Self> {
        if after.day < before.day {
            return None;
        }
        let places: HashMap<_, _> = before.subjects.iter().map(String::as_str).zip(0..).collect();
        let earlier = after.subjects.iter().map(|subject| places.get(subject.as_str()).copied()).collect();
        Some(Self { before, after, earlier })
    }

    /// Rows that read otherwise than before in some column.
    pub fn moved(&self) -> Vec<usize> {
        let moved = |row: &usize| {
            let differs = |(name, column): &(String, PlatformColumn)| {
                let before = self.reading_before(name, *row);
                before.is_some_and(|before| before != column.reading(*row))
            };
            self.after.columns.iter().any(differs)
        };
        (0..self.after.subjects.len()).filter(moved).collect()
    }

    /// What a rule finds in a column of rows that may be looked at.
    pub fn events<'r>(&self, rule: &'r Rule, column: &str, rows: &Cleared<Vec<usize>>) -> Vec<Event<'r>>
    where
        'a: 'r,
    {
        let Some(after) = self.after.column(column) else { return Vec::new() };
        let event = |row: &usize| {
            let (before, after) = (self.reading_before(column, *row)?, after.reading(*row));
            let subject = self.after.subjects.get(*row)?;
            rule.when.holds(&before, &after).then_some(Event { rule: &rule.id, subject, before, after })
        };
        rows.iter().filter_map(event).collect()
    }

    fn reading_before(&self, column: &str, row: usize) -> Option<Reading<'a>> {
        Some(self.before.column(column)?.reading((*self.earlier.get(row)?)?))
    }
}

impl Snapshot {
    /// A column by name.
    pub fn column(&self, name: &str) -> Option<&PlatformColumn> {
        self.columns.iter().find(|(column, _)| column == name).map(|(_, column)| column)
    }

    /// Puts a reading in the place of another.
    pub fn put(&mut self, column: &str, subject: &str, reading: &Reading<'_>) {
        let row = self.subjects.iter().position(|one| one == subject);
        let column = self.columns.iter_mut().find(|(name, _)| name == column);
        if let (Some(row), Some((_, column))) = (row, column) {
            column.put(row, reading);
        }
    }

    /// What is known after `before`: these readings, but the earlier ones where these are missing or `held` back (by subject and
    /// column), so that nothing is overlooked while a value is not there, or is under objection.
    #[must_use]
    pub fn known(mut self, before: Option<&Self>, held: impl Fn(&str, &str) -> bool) -> Self {
        let places: HashMap<&str, usize> =
            before.iter().flat_map(|before| before.subjects.iter().map(String::as_str).zip(0..)).collect();
        for (name, column) in &mut self.columns {
            let earlier = before.and_then(|before| before.column(name));
            for (row, subject) in self.subjects.iter().enumerate() {
                if column.reading(row) == Reading::Missing || held(subject, name) {
                    let place = earlier.zip(places.get(subject.as_str()));
                    column.put(row, &place.map_or(Reading::Missing, |(column, place)| column.reading(*place)));
                }
            }
        }
        self
    }
}

impl PlatformColumn {
    /// What it reads in a row.
    fn reading(&self, row: usize) -> Reading<'_> {
        match self {
            Self::Numeric(numbers) => match numbers.get(row) {
                Some(number) if !number.is_nan() => Reading::Number(*number),
                _ => Reading::Missing,
            },
            Self::Category { codes, values } => {
                let place = codes.get(row).and_then(|code| usize::from(*code).checked_sub(1));
                place.and_then(|place| values.get(place)).map_or(Reading::Missing, |value| Reading::Value(value.into()))
            }
        }
    }

    /// Puts a reading into a row; one of another kind counts as missing.
    fn put(&mut self, row: usize, reading: &Reading<'_>) {
        match self {
            Self::Numeric(numbers) => {
                let number = if let Reading::Number(number) = reading { *number } else { f64::NAN };
                numbers.get_mut(row).into_iter().for_each(|cell| *cell = number);
            }
            Self::Category { codes, values } => {
                let code = match reading {
                    Reading::Value(value) => code_of(values, value),
                    _ => 0,
                };
                codes.get_mut(row).into_iter().for_each(|cell| *cell = code);
            }
        }
    }
}

/// The code of a value, which is added where a list has dropped it.
fn code_of(values: &mut Vec<String>, value: &str) -> u16 {
    let place = values.iter().position(|one| one == value).unwrap_or_else(|| {
        values.push(value.into());
        values.len() - 1
    });
    u16::try_from(place + 1).unwrap_or(0)
}
