//! Files in: one reader of CSV and one of Parquet, for every verb.
//!
//! What comes out are rows of text, whatever the file is, so that everything behind has one set of checks: a number is the
//! shortest decimal that means it, a decimal its digits, a missing value is empty. What the file itself gets wrong (its kind, its
//! encoding, its header, a quote that is never closed, a codec, the type of a column that is asked for) is a
//! [`DataError`] of the file, and the rows end there. What columns hold that nobody asked for is not looked at.
//!
//! | module | what it does |
//! |---|---|
//! | `kind` | tells from the first bytes what a file is |
//! | `delimited` | CSV: decodes it and divides it into records |
//! | `parquet` | Parquet: columns of a row group, as text |
//! | `words` | numbers as people write them, and what to write instead; short quotations |

mod chunks;
mod delimited;
mod kind;
mod parquet;
#[cfg(test)]
mod tests;
mod words;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use delimited::Delimited;
use kind::Kind;
use parquet::Columnar;
pub use words::{nearly_number, number, quoted, some_of, stands_for_nothing};

/// How a CSV file is written; of no matter for Parquet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CsvForm {
    /// Characters.
    pub encoding: Encoding,
    /// What stands between two values: one ASCII character.
    pub delimiter: u8,
}

impl Default for CsvForm {
    fn default() -> Self {
        Self { encoding: Encoding::Utf8, delimiter: b',' }
    }
}

/// How characters are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// UTF-8, with or without a byte order mark.
    #[default]
    Utf8,
    /// GB 18030, which GBK and GB 2312 are parts of.
    Gb18030,
}

/// What is wrong with a file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {reason}", .file.display(), place(*.row, .column.as_deref()))]
pub struct DataError {
    /// The file.
    pub file: PathBuf,
    /// CSV: line, from 1; the header is line 1. Parquet: row, from 1.
    pub row: Option<u64>,
    /// Column name in the file.
    pub column: Option<String>,
    /// What is wrong, and the remedy.
    pub reason: String,
}

fn place(row: Option<u64>, column: Option<&str>) -> String {
    let row = row.map(|row| format!(", row {row}")).unwrap_or_default();
    let column = column.map(|column| format!(", column {}", quoted(column))).unwrap_or_default();
    row + &column
}

impl DataError {
    /// Something that is wrong with `file`.
    pub fn new(file: &Path, row: Option<u64>, column: Option<&str>, reason: impl Into<String>) -> Self {
        Self { file: file.into(), row, column: column.map(Into::into), reason: reason.into() }
    }
}

/// An opened file: its header is known and right.
pub struct Table {
    path: PathBuf,
    header: Vec<String>,
    source: Source,
}

enum Source {
    Delimited(Box<Delimited>),
    Columnar(Columnar),
}

impl Table {
    /// Opens a file by what its first bytes say that it is.
    ///
    /// # Errors
    /// Says what the file is where it is neither CSV nor Parquet, that it is written otherwise than `form` says, or which column
    /// name stands twice.
    pub fn open(path: &Path, form: &CsvForm) -> Result<Self, DataError> {
        let (header, source) = match kind::of_file(path, form)? {
            Kind::Parquet => {
                let columnar = Columnar::open(path)?;
                (columnar.header(), Source::Columnar(columnar))
            }
            Kind::Text => {
                let (delimited, header) = Delimited::open(path, form)?;
                (header, Source::Delimited(Box::new(delimited)))
            }
        };
        let named = |name: &&String| !name.is_empty();
        for (place, name) in header.iter().enumerate().filter(|(_, name)| named(name)) {
            if header[..place].contains(name) {
                let reason = "stands twice in the header: rename or remove one of the two";
                return Err(DataError::new(path, source.header_line(), Some(name), reason));
            }
        }
        Ok(Self { path: path.into(), header, source })
    }

    /// Column names, trimmed, in order; a column may have none.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// Place of a column.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|known| known == name)
    }

    /// Line of the header, where there is one.
    pub fn header_line(&self) -> Option<u64> {
        self.source.header_line()
    }

    /// An error of this file.
    pub fn wrong(&self, row: Option<u64>, column: Option<&str>, reason: impl Into<String>) -> DataError {
        DataError::new(&self.path, row, column, reason)
    }

    /// The rows; of each the columns `asked` for, by their places in the header.
    ///
    /// # Errors
    /// Names a column whose type is neither number nor text, or a row group whose codec is not known.
    pub fn rows(self, asked: &[usize]) -> Result<Rows, DataError> {
        let names = asked.iter().map(|place| self.header.get(*place).cloned().unwrap_or_default()).collect();
        let source = match self.source {
            Source::Delimited(delimited) => RowSource::Delimited(delimited),
            Source::Columnar(columnar) => RowSource::Columnar(Box::new(columnar.rows(asked)?)),
        };
        let columns = self.header.len();
        Ok(Rows { path: self.path, names, columns, asked: asked.to_vec(), source, over: false })
    }
}

impl Source {
    fn header_line(&self) -> Option<u64> {
        matches!(self, Self::Delimited(_)).then_some(1)
    }
}

/// The rows of a file, in order.
pub struct Rows {
    path: PathBuf,
    names: Vec<String>,
    columns: usize,
    asked: Vec<usize>,
    source: RowSource,
    over: bool,
}

enum RowSource {
    Delimited(Box<Delimited>),
    Columnar(Box<parquet::ColumnarRows>),
}

impl Rows {
    /// The next row. After the last one and after an error there is none.
    ///
    /// # Errors
    /// Says what is wrong with the file, and where.
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>, DataError> {
        if self.over {
            return Ok(None);
        }
        let found = match &mut self.source {
            RowSource::Delimited(delimited) => delimited.read(&self.path, self.columns, &self.asked, &self.names),
            RowSource::Columnar(columnar) => columnar.read(),
        };
        self.over = !matches!(found, Ok(true));
        if !found? {
            return Ok(None);
        }
        Ok(Some(match &self.source {
            RowSource::Delimited(delimited) => Row {
                line: delimited.line(),
                values: delimited.values(),
                columns: self.columns,
                cells: Cells::Text(delimited, &self.asked),
            },
            RowSource::Columnar(columnar) => Row {
                line: columnar.line(),
                values: self.columns,
                columns: self.columns,
                cells: Cells::Columns(columnar),
            },
        }))
    }

    /// An error of this file.
    pub fn wrong(&self, row: Option<u64>, column: Option<&str>, reason: impl Into<String>) -> DataError {
        DataError::new(&self.path, row, column, reason)
    }
}

/// A row of a file.
pub struct Row<'a> {
    /// CSV: line on which it begins, from 1. Parquet: its number, from 1.
    pub line: u64,
    values: usize,
    columns: usize,
    cells: Cells<'a>,
}

enum Cells<'a> {
    Text(&'a Delimited, &'a [usize]),
    Columns(&'a parquet::ColumnarRows),
}

impl Row<'_> {
    /// The value of the asked column at `place`, trimmed; empty where it is missing.
    pub fn cell(&self, place: usize) -> &str {
        match &self.cells {
            Cells::Text(record, asked) => asked.get(place).map_or("", |column| record.cell(*column)).trim(),
            Cells::Columns(columns) => columns.cell(place).trim(),
        }
    }

    /// All values of the row as they stand in it, asked for or not; none of a Parquet file that were not asked for.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        (0..self.values).map(|column| match &self.cells {
            Cells::Text(record, _) => record.cell(column),
            Cells::Columns(columns) => columns.cell(column),
        })
    }

    /// What is wrong with a row that has more or fewer values than the header.
    pub fn uneven(&self) -> Option<String> {
        let (values, columns) = (self.values, self.columns);
        (values != columns)
            .then(|| format!("has {values} values, the header has {columns}: quote values that hold the delimiter"))
    }
}
