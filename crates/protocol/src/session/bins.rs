//! How the platform turns its values into bin codes.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tally_model::{FieldBins, binning};

use super::PlatformColumn;
use super::contract::{Contract, Holder};

/// How the platform turns a value into a bin code: stays at the platform.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BinTable {
    /// Upper ends of the bins of a number, the last bin open.
    Cuts(Vec<f64>),
    /// The same, and values with a bin of their own after the last one.
    Special {
        /// Upper ends of the bins.
        cuts: Vec<f64>,
        /// The values, in rising order.
        special: Vec<f64>,
    },
    /// Values of a category in code order.
    Values(Vec<String>),
}

impl BinTable {
    /// The bin code of every row; a column of another kind than the table counts as missing.
    pub fn codes(&self, column: &PlatformColumn) -> Vec<u16> {
        match (self, column) {
            (Self::Values(_), PlatformColumn::Category { codes, .. }) => codes.clone(),
            (_, PlatformColumn::Category { codes, .. }) => vec![0; codes.len()],
            (_, PlatformColumn::Numeric(values)) => match self.meaning() {
                Some(bins) => values.par_iter().map(|value| bins.code(*value)).collect(),
                None => vec![0; values.len()],
            },
        }
    }

    /// The bins of a number; `None` for a category.
    pub fn meaning(&self) -> Option<FieldBins> {
        match self {
            Self::Cuts(cuts) => Some(FieldBins::of_number(cuts.clone(), &[])),
            Self::Special { cuts, special } => Some(FieldBins::of_number(cuts.clone(), special)),
            Self::Values(_) => None,
        }
    }

    /// Number of bins, the missing bin not counted.
    pub fn bins(&self) -> u16 {
        let bins = match self {
            Self::Cuts(cuts) => cuts.len() + 1,
            Self::Special { cuts, special } => cuts.len() + 1 + special.len(),
            Self::Values(values) => values.len(),
        };
        u16::try_from(bins).unwrap_or(u16::MAX)
    }
}

/// Tables and codes of the platform's columns, in contract order: chosen cut points where the contract has some, else
/// equal-frequency ones of the values that are not special.
pub fn bin(contract: &Contract, columns: &[PlatformColumn]) -> (Vec<BinTable>, Vec<Vec<u16>>) {
    let model = &contract.model;
    let tables = contract.fields_of(Holder::Platform).zip(columns).map(|(field, column)| match column {
        PlatformColumn::Category { values, .. } => BinTable::Values(values.clone()),
        PlatformColumn::Numeric(values) => {
            let special = model.special.get(&field.name).map(Vec::as_slice).unwrap_or_default();
            let cuts = model.cuts.get(&field.name).cloned().unwrap_or_else(|| {
                let plain: Vec<_> = values.iter().copied().filter(|value| !special.contains(value)).collect();
                binning::equal_frequency(&plain, model.bins)
            });
            match special {
                [] => BinTable::Cuts(cuts),
                special => BinTable::Special { cuts, special: special.to_vec() },
            }
        }
    });
    tables
        .zip(columns)
        .map(|(table, column)| {
            let codes = table.codes(column);
            (table, codes)
        })
        .unzip()
}
