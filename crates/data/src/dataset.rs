//! A data set: checked rows in columns.

use serde::{Deserialize, Serialize};
use tally_crypto::seed::Seed;
use tally_crypto::transcript::{Digest, Transcript};

/// Rows in columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dataset {
    /// Name.
    pub name: String,
    /// Date of the snapshot, ISO 8601.
    pub as_of: String,
    /// Canonical identifiers, distinct, in file order.
    pub identifiers: Vec<String>,
    /// Labels, 1 for bad; `None` if the file has none.
    pub label: Option<Vec<u8>>,
    /// The fields.
    pub columns: Vec<DataColumn>,
}

/// One field of a data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataColumn {
    /// Field name.
    pub name: String,
    /// A value a row.
    pub values: Values,
}

/// Values of a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Values {
    /// Numbers, NaN where missing.
    Numeric(Vec<f64>),
    /// Category codes.
    Category {
        /// 0 where missing, else the position in `values` from 1.
        codes: Vec<u16>,
        /// The values.
        values: Vec<String>,
    },
}

impl Dataset {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.identifiers.len()
    }

    /// A column by name.
    pub fn column(&self, name: &str) -> Option<&Values> {
        self.columns.iter().find(|column| column.name == name).map(|column| &column.values)
    }

    /// Share of missing values, per column.
    pub fn missing(&self) -> Vec<f64> {
        let rows = self.rows().max(1) as f64;
        self.columns
            .iter()
            .map(|column| match &column.values {
                Values::Numeric(values) => values.iter().filter(|value| value.is_nan()).count() as f64 / rows,
                Values::Category { codes, .. } => codes.iter().filter(|code| **code == 0).count() as f64 / rows,
            })
            .collect()
    }

    /// Salted Merkle root over the rows in order of identifier: commits to every value, reveals none.
    pub fn commitment(&self, salt: &Seed) -> Digest {
        let mut order: Vec<_> = (0..self.rows()).collect();
        order.sort_unstable_by(|a, b| self.identifiers[*a].cmp(&self.identifiers[*b]));
        let mut level: Vec<_> = order.into_iter().map(|row| self.row_leaf(row, salt)).collect();
        while level.len() > 1 {
            level = level
                .chunks(2)
                .map(|pair| match pair {
                    [left, right] => Digest::of("tallystick/rows/node/v1", &[left.as_bytes(), right.as_bytes()]),
                    _ => pair[0],
                })
                .collect();
        }
        level.pop().unwrap_or_default()
    }

    fn row_leaf(&self, row: usize, salt: &Seed) -> Digest {
        let identifier = self.identifiers[row].as_bytes();
        let mut leaf = Transcript::new("tallystick/rows/leaf/v1");
        leaf.append(salt.expose());
        leaf.append(identifier);
        if let Some(label) = &self.label {
            leaf.append(&[label[row]]);
        }
        for column in &self.columns {
            match &column.values {
                Values::Numeric(values) => leaf.append(&values[row].to_bits().to_be_bytes()),
                Values::Category { codes, .. } => leaf.append(&codes[row].to_be_bytes()),
            }
        }
        leaf.digest()
    }
}
