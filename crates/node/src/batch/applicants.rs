//! Applicants from a CSV or Parquet file, one row at a time. A row that is wrong is an error of that row alone; a file that is
//! wrong ends the reading.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tally_data::{CsvForm, DataError, Rows, Table};

use crate::control::BatchApplicant;
use crate::failure::{self, Failure};

/// Column of the identifier.
const ID: &str = "id";
/// Column of the application's number, which may be absent.
const APPLICATION: &str = "application";

/// A row of the input: its identifier as far as it could be read, and the applicant or what is wrong with it.
pub(super) struct Read {
    pub(super) id: String,
    pub(super) applicant: Result<BatchApplicant, String>,
}

/// The rows of a file, in order.
pub(super) struct Applicants {
    rows: Rows,
    /// What the columns that are read hold, the identifier first.
    columns: Vec<String>,
    /// Columns that nobody asks for.
    pub(super) ignored: Vec<String>,
    /// Fields of the model that the file has no column for: they count as missing.
    pub(super) absent: Vec<String>,
}

/// Opens a file of applicants, of which identifier, application and `fields` are read.
///
/// # Errors
/// Names the file if it cannot be read, has no column `id`, or has columns under names that no field of the model has.
pub(super) fn open(path: &Path, form: &CsvForm, fields: &[String]) -> Result<Applicants, Failure> {
    let table = Table::open(path, form).map_err(failure::data)?;
    if table.place(ID).is_none() {
        let reason = format!("there is no column `{ID}`: the identifier's column is named so");
        return Err(failure::data(table.wrong(table.header_line(), None, reason)));
    }
    let known = |name: &str| [ID, APPLICATION].contains(&name) || fields.iter().any(|field| field == name);
    let named = || table.header().iter().filter(|name| !name.is_empty());
    let ignored: Vec<String> = named().filter(|name| !known(name)).cloned().collect();
    let absent: Vec<String> = fields.iter().filter(|field| table.place(field).is_none()).cloned().collect();
    // Row numbers of pandas are nobody's field under another name.
    let other = ignored.iter().find(|name| !name.starts_with("__index_level_"));
    if let (Some(other), Some(field)) = (other, absent.first()) {
        let reason = format!(
            "is no field of the model, and its field `{field}` has no column: name the column so, or remove it if the field is \
             missing in this file"
        );
        return Err(failure::data(table.wrong(table.header_line(), Some(other), reason)));
    }
    let columns: Vec<String> = [ID, APPLICATION].into_iter().map(str::to_owned).chain(fields.iter().cloned()).collect();
    let columns: Vec<String> = columns.into_iter().filter(|name| table.place(name).is_some()).collect();
    let places: Vec<usize> = columns.iter().filter_map(|name| table.place(name)).collect();
    let rows = table.rows(&places).map_err(failure::data)?;
    Ok(Applicants { rows, columns, ignored, absent })
}

/// Reads a file to its end, so that nothing is begun over one that is wrong; the number of its rows.
///
/// # Errors
/// As [`open`], and names what is wrong with the file further down.
pub(super) fn check(path: &Path, form: &CsvForm, fields: &[String]) -> Result<u64, Failure> {
    let mut rows = open(path, form, fields)?.rows;
    let mut count = 0;
    while rows.next_row().map_err(failure::data)?.is_some() {
        count += 1;
    }
    Ok(count)
}

impl Applicants {
    /// The next row.
    pub(super) fn next(&mut self) -> Result<Option<Read>, DataError> {
        let Some(row) = self.rows.next_row()? else { return Ok(None) };
        let id = row.cell(0).to_owned();
        let applicant = match row.uneven() {
            Some(reason) => Err(format!("the row {reason}")),
            None if id.is_empty() => Err("the identifier is missing".into()),
            None => {
                let cells = self.columns.iter().enumerate().map(|(place, name)| (name, row.cell(place)));
                Ok(applicant(&id, cells))
            }
        };
        Ok(Some(Read { id, applicant }))
    }

    /// The next rows, so many at most.
    pub(super) fn take(&mut self, most: usize) -> Result<Vec<Read>, Failure> {
        let mut read = Vec::new();
        while read.len() < most
            && let Some(row) = self.next().map_err(failure::data)?
        {
            read.push(row);
        }
        Ok(read)
    }
}

fn applicant<'a>(id: &str, cells: impl Iterator<Item = (&'a String, &'a str)>) -> BatchApplicant {
    let (mut application, mut fields) = (None, BTreeMap::new());
    for (name, text) in cells {
        match name.as_str() {
            ID => {}
            APPLICATION => application = (!text.is_empty()).then(|| text.to_owned()),
            name => {
                fields.insert(name.to_owned(), value(text));
            }
        }
    }
    BatchApplicant { id: id.to_owned(), application, fields }
}

/// A value of a file as an order has it: text, whatever it looks like, since only the model's field tells whether it is a
/// number.
pub(crate) fn value(text: &str) -> Value {
    match text.trim() {
        "" => Value::Null,
        text => json!(text),
    }
}
