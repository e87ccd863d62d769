//! From the released sum to tables.

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;

use super::{StatisticsPlan, TablePlan};
use crate::fit::RoundRecord;
use crate::plan::PlanError;
use crate::request::Sums;
use crate::trainer::{Ask, TrainError, record};

/// Asks one sum and reads it.
#[derive(Clone, Debug)]
pub struct Tabulator {
    plan: StatisticsPlan,
    done: Option<Box<Statistics>>,
}

/// Released statistics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statistics {
    /// What was summed.
    pub plan: StatisticsPlan,
    /// Sums over all rows, in the order of the plan's [names](StatisticsPlan::names), amounts in units; `None` if too few banks
    /// have rows at all.
    pub total: Option<Vec<i64>>,
    /// The tables.
    pub tables: Vec<StatisticsTable>,
    /// The released sum.
    pub rounds: Vec<RoundRecord>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatisticsTable {
    /// Names of its fields.
    pub fields: Vec<String>,
    /// Its groups, in order of their cells; none if too few banks stand behind all of them together.
    pub groups: Vec<Group>,
}

/// Cells that are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The cells: a value for each field, empty where it is missing.
    pub cells: Vec<Vec<String>>,
    /// Sums over their rows.
    pub sums: Vec<i64>,
}

impl Tabulator {
    /// A tabulator of the plan's statistics.
    ///
    /// # Errors
    /// Refuses a plan out of bounds.
    pub fn new(plan: StatisticsPlan) -> Result<Self, PlanError> {
        plan.check()?;
        Ok(Self { plan, done: None })
    }

    /// What is wanted next; the same until an answer comes.
    pub fn next(&self) -> Ask<Box<Statistics>> {
        self.done.as_ref().map_or_else(|| Ask::Sum(self.plan.request()), |done| Ask::Done(done.clone()))
    }

    /// Takes in the sum that was asked.
    ///
    /// # Errors
    /// Refuses a sum that cannot be the answer to the request.
    pub fn answer(&mut self, sums: Sums) -> Result<(), TrainError> {
        if self.done.is_some() {
            return Err(TrainError::NotAsked);
        }
        let request = self.plan.request();
        if sums.values.len() != request.words() {
            return Err(TrainError::Words { found: sums.values.len(), expected: request.words() });
        }
        let width = self.plan.tallies.len() + 1;
        let mut cells = sums.values.chunks_exact(width);
        let total = cells.next().filter(|_| !sums.fold.groups(0).is_empty()).map(<[i64]>::to_vec);
        let tables = self.plan.tables.iter().enumerate().map(|(place, table)| {
            let words: Vec<_> = cells.by_ref().take(size(table)).collect();
            read(table, &words, sums.fold.groups(place + 1))
        });
        let tables = tables.collect();
        let rounds = vec![record(&request, &sums)];
        self.done = Some(Box::new(Statistics { plan: self.plan.clone(), total, tables, rounds }));
        Ok(())
    }
}

impl Statistics {
    /// Names the statistics; equal ones have equal digests.
    pub fn digest(&self) -> Digest {
        // Panic safety: the type holds only finite numbers, texts and lists.
        Digest::of("tallystick/statistics/v1", &[&serde_json::to_vec(self).expect("statistics serialise")])
    }

    /// The value of a share over some sums; `None` where nothing stands below the line.
    pub fn share(&self, place: usize, sums: &[i64]) -> Option<f64> {
        let share = self.plan.shares.get(place)?;
        let sum = |name: &str| sums.get(self.plan.names().position(|known| known == name)?).copied();
        let (of, over) = (sum(&share.of)?, sum(&share.over)?);
        (over > 0).then(|| of as f64 / over as f64)
    }
}

fn size(table: &TablePlan) -> usize {
    table.fields.iter().map(|field| field.values.len() + 1).product()
}

fn read(table: &TablePlan, words: &[&[i64]], firsts: &[usize]) -> StatisticsTable {
    let ends = firsts.iter().skip(1).copied().chain([words.len()]);
    let groups = firsts.iter().zip(ends).map(|(&first, end)| Group {
        cells: (first..end).map(|cell| names(table, cell)).collect(),
        sums: words[first].to_vec(),
    });
    StatisticsTable { fields: table.fields.iter().map(|field| field.name.clone()).collect(), groups: groups.collect() }
}

/// The values of a cell, field by field.
fn names(table: &TablePlan, mut cell: usize) -> Vec<String> {
    let mut names = Vec::new();
    for field in table.fields.iter().rev() {
        let codes = field.values.len() + 1;
        let value = (cell % codes).checked_sub(1).and_then(|place| field.values.get(place));
        names.push(value.cloned().unwrap_or_default());
        cell /= codes;
    }
    names.reverse();
    names
}
