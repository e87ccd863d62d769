//! The contract's terms of a statistics session: what is summed, by which public cells.
//!
//! No field of the platform takes part, so nothing is aligned, nothing leaves under a row key, and no consent is asked: what
//! leaves a bank is a masked vector of sums over all its rows, which opens only as part of the sum over enough banks.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tally_model::statistics::{CellField, Condition, Measure, SharePlan, StatisticsPlan, TablePlan, Tally, TallyKind};
use tally_model::text::Text;
use tally_policy::Day;

use super::contract::{Contract, ContractError, FieldTerms, Holder, term};

/// Terms of a statistics session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatisticsTerms {
    /// Day that the figures are of; every bank's data set is of it.
    pub as_of: Day,
    /// One unit of an amount, in the unit of its column: amounts are summed in whole units.
    pub unit: f64,
    /// How the unit of the amounts' columns is called.
    pub amounts_in: Text,
    /// Largest amount of a row, in the unit of its column; a data set with a larger or a missing one is refused.
    pub cap: f64,
    /// What is summed.
    pub measures: Vec<MeasureTerms>,
    /// Ratios of two measures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<SharePlan>,
    /// By which category fields of the banks; a field stands in one table at most.
    pub tables: Vec<Vec<String>>,
}

/// One sum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasureTerms {
    /// Name for programs.
    pub name: String,
    /// Name for people.
    pub title: Text,
    /// Column of the amount; rows are counted without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum: Option<String>,
    /// Only rows that have one of these values in each of these category fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<OnlyTerms>,
}

/// A condition on rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnlyTerms {
    /// The category field.
    pub field: String,
    /// Its values.
    pub values: Vec<String>,
}

impl Contract {
    /// Whether statistics over the same rows may run beside these: only with the same cells, folded by the same rule, since
    /// rows that are cut in two ways can be told from the difference.
    pub fn same_cells(&self, other: &Self) -> bool {
        let values = |contract: &Self| -> BTreeMap<String, Vec<String>> {
            contract.fields_of(Holder::Banks).map(|field| (field.name.clone(), field.categories.clone())).collect()
        };
        let (Some(one), Some(two)) = (&self.model.statistics, &other.model.statistics) else { return false };
        (&one.measures, &one.tables, self.limits.min_cell) == (&two.measures, &two.tables, other.limits.min_cell)
            && values(self) == values(other)
    }
}

impl StatisticsTerms {
    /// Every field that is named.
    pub fn fields(&self) -> BTreeSet<&str> {
        let amounts = self.measures.iter().filter_map(|measure| measure.sum.as_deref());
        let conditions = self.measures.iter().flat_map(|measure| &measure.only).map(|only| only.field.as_str());
        amounts.chain(conditions).chain(self.tables.iter().flatten().map(String::as_str)).collect()
    }

    /// Columns of amounts.
    pub fn amounts(&self) -> BTreeSet<&str> {
        self.measures.iter().filter_map(|measure| measure.sum.as_deref()).collect()
    }

    pub(super) fn check(&self, contract: &Contract) -> Result<(), ContractError> {
        let own: Vec<_> = contract.fields_of(Holder::Banks).collect();
        let field = |name: &str| own.iter().find(|field| field.name == name);
        let number = |name: &str| field(name).is_some_and(|field| field.categories.is_empty());
        let category = |name: &str| field(name).is_some_and(|field| !field.categories.is_empty());
        let known = |only: &OnlyTerms| {
            let values = field(&only.field).map(|field| field.categories.as_slice()).unwrap_or_default();
            !only.values.is_empty() && only.values.iter().all(|value| values.contains(value))
        };
        term("statistics.measures", self.amounts().into_iter().all(number), "a sum is of a number of the banks")?;
        let conditions = self.measures.iter().flat_map(|measure| &measure.only).all(known);
        term("statistics.measures", conditions, "a condition names values of a category of the banks")?;
        let cells = self.tables.iter().flatten().all(|name| category(name));
        term("statistics.tables", cells, "cells are those of a category of the banks: its values are public")?;
        let used = own.iter().all(|field| self.fields().contains(field.name.as_str()));
        term("fields", used, "a field that no sum needs does not take part")?;
        let alone = contract.sample.is_none() && contract.disclosures.is_empty();
        term("sample, disclosures", alone, "belong to sessions that take rows of the platform")?;
        let pinned = contract.snapshot.dataset.is_empty() && contract.snapshot.as_of == self.as_of;
        term("snapshot", pinned, "the platform brings no data to statistics; their day is `statistics.as_of`")
    }

    /// The plan over the contract's fields.
    pub(super) fn plan(&self, contract: &Contract) -> StatisticsPlan {
        let own: Vec<&FieldTerms> = contract.fields_of(Holder::Banks).collect();
        let place = |name: &str| own.iter().position(|field| field.name == name).unwrap_or(usize::MAX);
        let values = |name: &str| own.iter().find(|field| field.name == name).map(|field| field.categories.clone());
        let condition = |only: &OnlyTerms| {
            let known = values(&only.field).unwrap_or_default();
            let code = |value: &String| u16::try_from(known.iter().position(|other| other == value)? + 1).ok();
            let mut codes: Vec<_> = only.values.iter().filter_map(code).collect();
            codes.sort_unstable();
            Condition { field: place(&only.field), codes }
        };
        let tally = |measure: &MeasureTerms| {
            let kind = measure.sum.as_deref().map_or(TallyKind::Count, |name| TallyKind::Amount { field: place(name) });
            let tally = Tally { kind, only: measure.only.iter().map(condition).collect() };
            (Measure { name: measure.name.clone(), title: measure.title.clone() }, tally)
        };
        let amounts = self.measures.iter().filter(|measure| measure.sum.is_some());
        let counts = self.measures.iter().filter(|measure| measure.sum.is_none());
        let cells = |name: &String| CellField {
            name: name.clone(),
            field: place(name),
            values: values(name).unwrap_or_default(),
        };
        StatisticsPlan {
            tallies: amounts.chain(counts).map(tally).collect(),
            shares: self.shares.clone(),
            tables: self.tables.iter().map(|names| TablePlan { fields: names.iter().map(cells).collect() }).collect(),
            unit: self.unit,
            cap: self.cap,
            row_cap: contract.limits.row_cap,
            seed: contract.seed,
        }
    }
}
