//! Records in: files become checked data sets. Nothing here knows what a session is.

pub mod commitment;
pub mod csv;
pub mod dataset;
pub mod dictionary;
pub mod keys;
pub mod outcome;
pub mod quality;

pub use commitment::RowOpening;
pub use csv::{DataError, Loaded, Misfits, ReadOptions, read_csv};
pub use dataset::{DataColumn, Dataset, Values};
pub use dictionary::{Dictionary, FieldDefinition, FieldKind};
pub use keys::{IdentifierKind, KeyError};
pub use outcome::{Loan, LoanOutcome, OutcomeFile, WrongRow, read_outcomes, write_rejects};
pub use quality::{DepartmentQuality, Duty, FieldQuality, by_department};
