//! Records in: files become checked data sets. Nothing here knows what a session is.

pub mod commitment;
pub mod dataset;
pub mod dictionary;
pub mod keys;
pub mod load;
pub mod outcome;
pub mod quality;
pub mod table;

pub use commitment::RowOpening;
pub use dataset::{DataColumn, Dataset, Values};
pub use dictionary::{Dictionary, FieldDefinition, FieldKind};
pub use keys::{IdentifierKind, KeyError};
pub use load::{Loaded, Misfits, ReadOptions, load};
pub use outcome::{Loan, LoanOutcome, OutcomeFile, WrongRow, read_outcomes, write_rejects};
pub use quality::{DepartmentQuality, Duty, FieldQuality, by_department};
pub use table::{
    CsvForm, DataError, Encoding, Row, Rows, Table, nearly_number, number, quoted, some_of, stands_for_nothing,
};
