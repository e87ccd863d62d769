//! Records in: files become checked data sets. Nothing here knows what a session is.

pub mod csv;
pub mod dataset;
pub mod dictionary;
pub mod keys;

pub use csv::{DataError, ReadOptions, read_csv};
pub use dataset::{DataColumn, Dataset, Values};
pub use dictionary::{Dictionary, FieldDefinition, FieldKind};
pub use keys::{IdentifierKind, KeyError};
