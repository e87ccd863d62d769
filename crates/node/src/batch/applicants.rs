//! Applicants from a CSV or Parquet file, one row at a time; a row that cannot be read is an error of that row alone.

use std::fs::File;
use std::path::Path;

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::{Field, Row};
use serde_json::{Value, json};

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

/// Rows of a file, in order.
pub(super) type Rows = Box<dyn Iterator<Item = Read>>;

/// Opens a file of applicants: Parquet by its ending `.parquet`, otherwise CSV with a header.
///
/// # Errors
/// Names the file if it cannot be read or has no column `id`.
pub(super) fn open(path: &Path) -> Result<Rows, Failure> {
    if is_parquet(path) { parquet_rows(path) } else { csv_rows(path) }
}

pub(super) fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet"))
}

fn csv_rows(path: &Path) -> Result<Rows, Failure> {
    let bad = |error: csv::Error| failure::data(format!("{}: {error}", path.display()));
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_path(path).map_err(bad)?;
    let header: Vec<String> = reader.headers().map_err(bad)?.iter().map(|name| name.trim().to_owned()).collect();
    check_header(path, &header)?;
    Ok(Box::new(reader.into_records().map(move |record| read_csv(&header, record))))
}

fn read_csv(header: &[String], record: Result<csv::StringRecord, csv::Error>) -> Read {
    let record = match record {
        Ok(record) => record,
        Err(error) => return Read { id: String::new(), applicant: Err(format!("the row cannot be read: {error}")) },
    };
    let id = header.iter().position(|name| name == ID).and_then(|place| record.get(place)).unwrap_or_default();
    let applicant = if record.len() == header.len() {
        applicant(header.iter().map(String::as_str).zip(record.iter().map(csv_value)))
    } else {
        Err(format!("the row has {} columns, the header {}", record.len(), header.len()))
    };
    Read { id: id.trim().to_owned(), applicant }
}

/// A value of a file as an order has it: text, whatever it looks like, since only the model's field tells whether it is a
/// number.
pub(crate) fn csv_value(text: &str) -> Value {
    match text.trim() {
        "" => Value::Null,
        text => json!(text),
    }
}

fn parquet_rows(path: &Path) -> Result<Rows, Failure> {
    let bad = |error: String| failure::data(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(|error| bad(error.to_string()))?;
    let reader = SerializedFileReader::new(file).map_err(|error| bad(error.to_string()))?;
    let schema = reader.metadata().file_metadata().schema_descr();
    let header: Vec<_> = schema.columns().iter().map(|column| column.name().to_owned()).collect();
    check_header(path, &header)?;
    let rows = reader.into_iter();
    Ok(Box::new(rows.map(|row| match row {
        Ok(row) => read_parquet(&row),
        Err(error) => Read { id: String::new(), applicant: Err(format!("the row cannot be read: {error}")) },
    })))
}

fn read_parquet(row: &Row) -> Read {
    let id = row.get_column_iter().find(|(name, _)| *name == ID).and_then(|(_, field)| parquet_value(field).ok());
    let values: Result<Vec<_>, _> = row
        .get_column_iter()
        .map(|(name, field)| match parquet_value(field) {
            Ok(value) => Ok((name.as_str(), value)),
            Err(kind) => Err(format!("column `{name}` has {kind}: expected numbers or text")),
        })
        .collect();
    Read { id: id.map(|id| text(&id)).unwrap_or_default(), applicant: values.and_then(applicant) }
}

fn parquet_value(field: &Field) -> Result<Value, &'static str> {
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(value) => json!(u8::from(*value)),
        Field::Byte(value) => json!(value),
        Field::Short(value) => json!(value),
        Field::Int(value) => json!(value),
        Field::Long(value) => json!(value),
        Field::UByte(value) => json!(value),
        Field::UShort(value) => json!(value),
        Field::UInt(value) => json!(value),
        Field::ULong(value) => json!(value),
        Field::Float(value) => json!(value),
        Field::Double(value) => json!(value),
        Field::Str(value) => csv_value(value),
        Field::Bytes(_) => return Err("bytes"),
        Field::Group(_) | Field::ListInternal(_) | Field::MapInternal(_) => return Err("nested values"),
        _ => return Err("values of another type"),
    })
}

fn check_header(path: &Path, header: &[String]) -> Result<(), Failure> {
    let is_id = |name: &&String| *name == ID;
    match header.iter().filter(is_id).count() {
        1 => Ok(()),
        0 => Err(failure::data(format!("{}: there is no column `{ID}`", path.display()))),
        _ => Err(failure::data(format!("{}: there are several columns `{ID}`", path.display()))),
    }
}

fn applicant<'a>(values: impl IntoIterator<Item = (&'a str, Value)>) -> Result<BatchApplicant, String> {
    let (mut id, mut application, mut fields) = (None, None, std::collections::BTreeMap::new());
    for (name, value) in values {
        match name {
            ID if value.is_null() => return Err("the identifier is missing".into()),
            ID => id = Some(text(&value)),
            APPLICATION => application = (!value.is_null()).then(|| text(&value)),
            name => {
                fields.insert(name.to_owned(), value);
            }
        }
    }
    let id = id.ok_or("the identifier is missing")?;
    Ok(BatchApplicant { id, application, fields })
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
