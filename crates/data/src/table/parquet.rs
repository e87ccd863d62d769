//! Parquet: of each row group the columns that are asked for, some thousand rows at a time, as text.
//!
//! The number of rows is that of the file's own directory, and every column must hold as many: a column that ends earlier or a
//! page that cannot be unpacked is an error of the file. The library is not trusted to return from every broken file by
//! itself, so a panic of it is such an error too.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, LogicalType, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType, FixedLenByteArray};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

use self::value::{date, decimal, float, half, single, uuid};
use super::DataError;
use super::chunks::Chunks;

pub(super) mod value;

/// Rows decoded at a time.
const BATCH: u64 = 4096;

/// An opened Parquet file.
pub(super) struct Columnar {
    path: PathBuf,
    reader: Arc<SerializedFileReader<Chunks>>,
    columns: Vec<Column>,
}

/// A column of the file: its place among those that hold values, and how these become text; or what it is instead.
struct Column {
    name: String,
    found: Result<(usize, Meaning), String>,
}

/// How a value becomes text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Plain,
    Unsigned,
    Decimal { scale: u32 },
    Date,
    Half,
    Uuid,
}

impl Columnar {
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        let wrong = |reason: String| DataError::new(path, None, None, reason);
        let file = File::open(path).and_then(Chunks::new);
        let file = file.map_err(|error| wrong(format!("cannot read the file: {error}")))?;
        let reader = unbroken(|| SerializedFileReader::new(file))
            .map_err(|reason| wrong(format!("is not a whole Parquet file: {reason}")))?;
        let columns = unbroken(|| Ok(columns(reader.metadata().file_metadata().schema_descr())))
            .map_err(|reason| wrong(format!("is not a whole Parquet file: {reason}")))?;
        Ok(Self { path: path.into(), reader: Arc::new(reader), columns })
    }

    pub(super) fn header(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }

    /// The rows, of each the columns `asked` for.
    pub(super) fn rows(self, asked: &[usize]) -> Result<ColumnarRows, DataError> {
        let Self { path, reader, columns } = self;
        let mut read = Vec::new();
        for column in asked.iter().filter_map(|place| columns.get(*place)) {
            let (leaf, meaning) = column
                .found
                .as_ref()
                .map_err(|what| {
                    DataError::new(
                        &path,
                        None,
                        Some(&column.name),
                        format!("holds {what}: write it as a number or as text"),
                    )
                })
                .copied()?;
            read.push(Read {
                name: column.name.clone(),
                leaf,
                meaning,
                reader: None,
                text: String::new(),
                ends: Vec::new(),
            });
        }
        for (place, group) in reader.metadata().row_groups().iter().enumerate() {
            for column in &read {
                let codec = group.columns().get(column.leaf).map(|column| column.compression());
                if matches!(codec, None | Some(Compression::LZO)) {
                    let reason = format!(
                        "row group {} is compressed with {}: write the file with zstd, snappy, gzip, lz4 or brotli",
                        place + 1,
                        codec.map_or_else(|| "a codec that is not known".into(), |codec| codec.to_string()),
                    );
                    return Err(DataError::new(&path, None, Some(&column.name), reason));
                }
            }
        }
        Ok(ColumnarRows { path, reader, read, group: 0, left: 0, batch: 0, place: 0, line: 0 })
    }
}

/// What the file's top-level columns are.
fn columns(schema: &SchemaDescriptor) -> Vec<Column> {
    let tops = schema.root_schema().get_fields();
    let column = |(root, top): (usize, &parquet::schema::types::TypePtr)| {
        let leaves: Vec<usize> =
            (0..schema.num_columns()).filter(|leaf| schema.get_column_root_idx(*leaf) == root).collect();
        let found = match leaves[..] {
            [leaf] if top.is_primitive() && schema.column(leaf).max_rep_level() == 0 => {
                meaning(&schema.column(leaf)).map(|meaning| (leaf, meaning)).map_err(Into::into)
            }
            _ => Err("lists or nested values".into()),
        };
        Column { name: top.name().trim().to_owned(), found }
    };
    tops.iter().enumerate().map(column).collect()
}

/// How the values of a column become text, or what they are if they are neither numbers nor text.
fn meaning(column: &ColumnDescriptor) -> Result<Meaning, &'static str> {
    let (physical, logical, converted) = (column.physical_type(), column.logical_type_ref(), column.converted_type());
    let decimal = matches!(logical, Some(LogicalType::Decimal(_))) || converted == ConvertedType::DECIMAL;
    if decimal {
        let scale = u32::try_from(column.type_scale()).ok().filter(|scale| *scale <= 76);
        return scale.map(|scale| Meaning::Decimal { scale }).ok_or("decimals of more than 76 places");
    }
    match (logical, converted, physical) {
        (Some(LogicalType::Timestamp(_)), ..)
        | (_, ConvertedType::TIMESTAMP_MILLIS | ConvertedType::TIMESTAMP_MICROS, _)
        | (_, _, Physical::INT96) => Err("points in time (timestamp), where days are type date"),
        (Some(LogicalType::Time(_)), ..) | (_, ConvertedType::TIME_MILLIS | ConvertedType::TIME_MICROS, _) => {
            Err("times of day")
        }
        (_, ConvertedType::INTERVAL, _) => Err("intervals"),
        (Some(LogicalType::Date), ..) | (_, ConvertedType::DATE, _) => Ok(Meaning::Date),
        (Some(LogicalType::Integer(kind)), ..) if !kind.is_signed => Ok(Meaning::Unsigned),
        (_, ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64, _) => {
            Ok(Meaning::Unsigned)
        }
        (Some(LogicalType::Float16), ..) => Ok(Meaning::Half),
        (Some(LogicalType::Uuid), ..) => Ok(Meaning::Uuid),
        (Some(LogicalType::Bson), ..) | (_, ConvertedType::BSON, _) => Err("BSON documents"),
        (Some(LogicalType::Variant(_) | LogicalType::Geometry(_) | LogicalType::Geography(_)), ..) => {
            Err("values of another type")
        }
        _ => Ok(Meaning::Plain),
    }
}

/// The rows of a file.
pub(super) struct ColumnarRows {
    path: PathBuf,
    reader: Arc<SerializedFileReader<Chunks>>,
    read: Vec<Read>,
    /// Row groups that were begun.
    group: usize,
    /// Rows of the group that are not decoded yet.
    left: u64,
    /// Rows that are decoded, and the place of the present one among them.
    batch: usize,
    place: usize,
    line: u64,
}

/// A column that is read, and a batch of it: its texts in one, with their ends.
struct Read {
    name: String,
    leaf: usize,
    meaning: Meaning,
    reader: Option<ColumnReader>,
    text: String,
    ends: Vec<usize>,
}

impl ColumnarRows {
    /// Goes to the next row; false at the end.
    pub(super) fn read(&mut self) -> Result<bool, DataError> {
        self.place += 1;
        if self.line == 0 || self.place >= self.batch {
            if !self.decode()? {
                return Ok(false);
            }
            self.place = 0;
        }
        self.line += 1;
        Ok(true)
    }

    /// Number of the row, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// A value of the row, by its place among those asked for.
    pub(super) fn cell(&self, column: usize) -> &str {
        let Some(column) = self.read.get(column) else { return "" };
        let Some(&end) = column.ends.get(self.place) else { return "" };
        let start = self.place.checked_sub(1).map_or(0, |before| column.ends[before]);
        column.text.get(start..end).unwrap_or_default()
    }

    /// Decodes the next rows; false if there are none.
    fn decode(&mut self) -> Result<bool, DataError> {
        let metadata = self.reader.metadata();
        while self.left == 0 {
            let Some(group) = metadata.row_groups().get(self.group) else { return Ok(false) };
            self.group += 1;
            let number = self.group;
            self.left = u64::try_from(group.num_rows()).map_err(|_| {
                let reason = format!("row group {number} has a negative number of rows: write the file again");
                DataError::new(&self.path, None, None, reason)
            })?;
            for column in &mut self.read {
                let reader = &self.reader;
                let opened = unbroken(|| reader.get_row_group(number - 1)?.get_column_reader(column.leaf));
                column.reader = Some(opened.map_err(|reason| column.broken(&self.path, number, metadata, &reason))?);
            }
        }
        let rows = usize::try_from(self.left.min(BATCH)).unwrap_or(0);
        for column in &mut self.read {
            column.decode(rows).map_err(|reason| column.broken(&self.path, self.group, metadata, &reason))?;
            if let Some(place) = column.ends.iter().position(|end| *end == NO_TEXT) {
                let row = self.line + place as u64 + 1;
                let reason = "holds bytes that are neither UTF-8 text nor a number: write it as text";
                return Err(DataError::new(&self.path, Some(row), Some(&column.name), reason));
            }
        }
        self.left -= rows as u64;
        self.batch = rows;
        Ok(true)
    }
}

/// In place of the end of a text that is none.
const NO_TEXT: usize = usize::MAX;

impl Read {
    fn broken(
        &self,
        path: &Path,
        group: usize,
        metadata: &parquet::file::metadata::ParquetMetaData,
        reason: &str,
    ) -> DataError {
        let column = metadata.row_groups().get(group - 1).and_then(|group| group.columns().get(self.leaf));
        let codec = column.map(|column| format!(", compressed with {}", column.compression())).unwrap_or_default();
        let reason = format!("row group {group}{codec} cannot be read: {reason}");
        DataError::new(path, None, Some(&self.name), reason)
    }

    fn decode(&mut self, rows: usize) -> Result<(), String> {
        self.text.clear();
        self.ends.clear();
        let Self { reader, meaning, text, ends, .. } = self;
        let Some(reader) = reader else { return Err("it was not opened".into()) };
        let mut out = Texts { text, ends };
        let meaning = *meaning;
        unbroken(AssertUnwindSafe(|| match reader {
            ColumnReader::BoolColumnReader(reader) => batch(reader, rows, &mut out, |value, text| {
                text.push(if *value { '1' } else { '0' });
                true
            }),
            ColumnReader::Int32ColumnReader(reader) => batch(reader, rows, &mut out, |value, text| match meaning {
                Meaning::Unsigned => put(text, value.cast_unsigned()),
                _ => integer(meaning, i64::from(*value), text),
            }),
            ColumnReader::Int64ColumnReader(reader) => batch(reader, rows, &mut out, |value, text| match meaning {
                Meaning::Unsigned => put(text, value.cast_unsigned()),
                _ => integer(meaning, *value, text),
            }),
            ColumnReader::FloatColumnReader(reader) => {
                batch(reader, rows, &mut out, |value, text| single(*value, text))
            }
            ColumnReader::DoubleColumnReader(reader) => {
                batch(reader, rows, &mut out, |value, text| float(*value, text))
            }
            ColumnReader::ByteArrayColumnReader(reader) => {
                batch(reader, rows, &mut out, |value: &ByteArray, text| bytes(meaning, value.data(), text))
            }
            ColumnReader::FixedLenByteArrayColumnReader(reader) => {
                batch(reader, rows, &mut out, |value: &FixedLenByteArray, text| bytes(meaning, value.data(), text))
            }
            ColumnReader::Int96ColumnReader(_) => Err(ParquetError::General("it holds points in time".into())),
        }))
    }
}

/// Texts of a batch.
struct Texts<'a> {
    text: &'a mut String,
    ends: &'a mut Vec<usize>,
}

/// Decodes `rows` values; `write` appends the text of one, or says that it has none.
fn batch<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    rows: usize,
    out: &mut Texts<'_>,
    write: impl Fn(&T::T, &mut String) -> bool,
) -> Result<(), ParquetError> {
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    let (records, _, _) = reader.read_records(rows, Some(&mut levels), None, &mut values)?;
    if records != rows {
        return Err(ParquetError::General("it has fewer values than rows".into()));
    }
    // A column without levels has a value in every row.
    let required = levels.is_empty();
    let mut values = values.iter();
    for row in 0..rows {
        let whole = if required || levels.get(row).is_some_and(|level| *level > 0) {
            let value = values.next().ok_or_else(|| ParquetError::General("it has fewer values than rows".into()))?;
            write(value, out.text)
        } else {
            true
        };
        out.ends.push(if whole { out.text.len() } else { NO_TEXT });
    }
    Ok(())
}

fn put(text: &mut String, value: impl std::fmt::Display) -> bool {
    use std::fmt::Write as _;
    write!(text, "{value}").is_ok()
}

fn integer(meaning: Meaning, value: i64, text: &mut String) -> bool {
    match meaning {
        Meaning::Decimal { scale } => decimal(i128::from(value), scale, text),
        Meaning::Date => date(value, text),
        _ => put(text, value),
    }
}

fn bytes(meaning: Meaning, value: &[u8], text: &mut String) -> bool {
    match meaning {
        Meaning::Decimal { scale } => value::integer(value).is_some_and(|value| decimal(value, scale, text)),
        Meaning::Half => half(value, text),
        Meaning::Uuid => uuid(value, text),
        _ => std::str::from_utf8(value).is_ok_and(|value| {
            text.push_str(value);
            true
        }),
    }
}

/// Runs the library on a file that may be broken in any way.
fn unbroken<T>(decode: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(decoded) => decoded.map_err(|error| {
            error.to_string().chars().take(160).map(|one| if one.is_control() { ' ' } else { one }).collect()
        }),
        Err(_) => Err("its bytes do not fit together".into()),
    }
}
