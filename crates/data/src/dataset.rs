//! A data set: checked rows in columns.

use serde::{Deserialize, Serialize};

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
}
