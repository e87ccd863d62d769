//! Rows that leave a session because their consent has ended.

use std::collections::{BTreeSet, HashMap};

use tally_model::Table;

use super::BankData;

/// Which of a bank's rows is which row of its table.
#[derive(Debug, Default)]
pub(super) struct Origins {
    rows: Vec<Origin>,
}

#[derive(Debug)]
pub(super) struct Origin {
    pub(super) tag: [u8; 16],
    pub(super) identifier: String,
}

impl Origins {
    /// The origins of a table's rows, in order.
    pub(super) fn new(rows: impl IntoIterator<Item = Origin>) -> Self {
        Self { rows: rows.into_iter().collect() }
    }

    /// Takes out the rows that `gone` names; `None` if there are none, else the table without them and where they stood.
    pub(super) fn withdraw(&mut self, table: &Table, gone: impl Fn(&Origin) -> bool) -> Option<(Table, Vec<u32>)> {
        let leaving: Vec<u32> = (0..).zip(&self.rows).filter(|(_, origin)| gone(origin)).map(|(row, _)| row).collect();
        if leaving.is_empty() {
            return None;
        }
        self.rows.retain(|origin| !gone(origin));
        Some((without(table, &leaving), leaving))
    }
}

/// The table without the rows at these places, in order.
pub(super) fn without(table: &Table, leaving: &[u32]) -> Table {
    let stays = |row: &usize| u32::try_from(*row).is_ok_and(|row| leaving.binary_search(&row).is_err());
    table.select(&(0..table.rows()).filter(stays).collect::<Vec<_>>())
}

impl BankData {
    /// The data without the rows of these identifiers.
    pub(super) fn without(self, gone: &BTreeSet<String>) -> Self {
        let kept: Vec<usize> =
            (0..self.identifiers.len()).filter(|row| !gone.contains(&self.identifiers[*row])).collect();
        let of = |values: &[f64]| kept.iter().filter_map(|row| values.get(*row).copied()).collect();
        Self {
            columns: self.columns.iter().map(|column| column.select(&kept)).collect(),
            label: kept.iter().map(|row| self.label[*row]).collect(),
            holdout: kept.iter().map(|row| self.holdout[*row]).collect(),
            weight: of(&self.weight),
            offset: of(&self.offset),
            identifiers: kept.iter().map(|row| self.identifiers[*row].clone()).collect(),
        }
    }
}

/// What the platform offered one bank: place of each identifier in the bank's set, and once it is known each row's tag.
#[derive(Debug, Default)]
pub(super) struct Offered {
    places: HashMap<String, u32>,
    tags: Vec<[u8; 16]>,
    withdrawn: BTreeSet<u32>,
}

impl Offered {
    /// A set of rows whose tags are not known yet.
    pub(super) fn new(identifiers: impl Iterator<Item = String>) -> Self {
        Self { places: identifiers.zip(0..).collect(), ..Self::default() }
    }

    /// Tells the tags, by place; returns those of rows that were withdrawn before.
    pub(super) fn keyed(&mut self, tags: impl Iterator<Item = (u32, [u8; 16])>) -> BTreeSet<[u8; 16]> {
        self.tags = vec![[0; 16]; self.places.len()];
        for (place, tag) in tags {
            if let Some(known) = self.tags.get_mut(place as usize) {
                *known = tag;
            }
        }
        self.withdrawn.iter().filter_map(|place| self.tags.get(*place as usize).copied()).collect()
    }

    /// The place of an identifier in the bank's set.
    #[cfg(test)]
    pub(super) fn place(&self, identifier: &str) -> Option<usize> {
        self.places.get(identifier).map(|place| *place as usize)
    }

    /// Withdraws rows: how many were not withdrawn yet, and their tags where these are known already.
    pub(super) fn withdraw(&mut self, identifiers: &[String]) -> (u64, Vec<[u8; 16]>) {
        let places: Vec<u32> = identifiers.iter().filter_map(|name| self.places.get(name).copied()).collect();
        let new: Vec<u32> = places.into_iter().filter(|place| self.withdrawn.insert(*place)).collect();
        let tags = new.iter().filter_map(|place| self.tags.get(*place as usize).copied()).collect();
        (new.len() as u64, tags)
    }
}
