//! Scores of a batch on their way to a file: kept line by line beside it, so that a run that was stopped goes on.
//!
//! `OUTPUT.partial` holds the finished rows as CSV, `OUTPUT.batch` names the run. Once the last row is there, both become the
//! output: the CSV itself, or Parquet by the output's ending.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use serde::{Deserialize, Serialize};

use crate::failure::{self, Failure};

/// Columns of the output.
const HEADER: [&str; 10] =
    ["id", "score", "probability", "reasons", "model", "consent", "valid_until", "request", "code", "error"];

/// The same as a Parquet schema.
const SCHEMA: &str = "message scores {
    required binary id (utf8); optional int64 score; optional double probability; optional binary reasons (utf8);
    optional binary model (utf8); optional binary consent (utf8); optional binary valid_until (utf8);
    optional binary request (utf8); optional binary code (utf8); optional binary error (utf8);
}";

/// Rows of one row group.
const ROW_GROUP: usize = 65_536;

/// What names a run: the same command over the same input goes on with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Run {
    /// Random name; requests are named by it and by their row.
    pub(super) batch: String,
    /// Digest of the input file.
    pub(super) input: String,
    /// Why the bank asks.
    pub(super) purpose: String,
    /// The model, as it was named; the champion of the day if absent.
    pub(super) model: Option<String>,
    /// Reasons wanted.
    pub(super) reasons: usize,
}

/// One row of the output, in the order of [`HEADER`].
pub(super) type Line = [String; 10];

/// The output of a run.
pub(super) struct Scores {
    output: PathBuf,
    file: File,
    /// Rows that were finished before.
    pub(super) done: u64,
}

impl Scores {
    /// Begins the output of `run`, or goes on with it; the run with the name that it had.
    ///
    /// # Errors
    /// Names the file that cannot be written, or that belongs to another run.
    pub(super) fn begin(output: &Path, run: Run) -> Result<(Self, Run), Failure> {
        let (named, partial) = (beside(output, "batch"), beside(output, "partial"));
        let before = std::fs::read(&named).ok().and_then(|text| serde_json::from_slice::<Run>(&text).ok());
        let run = match before {
            Some(before) if (Run { batch: run.batch.clone(), ..before.clone() }) == run => before,
            // Nothing was finished, so nothing is lost.
            Some(_) if whole_lines(&partial).is_ok_and(|lines| lines == 0) => new_run(&named, &partial, run)?,
            Some(_) => {
                let text = format!(
                    "{}: an unfinished run over another input, purpose, model or number of reasons is there: finish it, or \
                     delete it together with {}",
                    named.display(),
                    partial.display()
                );
                return Err(failure::data(text));
            }
            None => new_run(&named, &partial, run)?,
        };
        let done = whole_lines(&partial).map_err(cannot(&partial))?;
        let file = OpenOptions::new().append(true).open(&partial).map_err(cannot(&partial))?;
        Ok((Self { output: output.into(), file, done }, run))
    }

    /// Keeps finished rows.
    pub(super) fn keep(&mut self, lines: &[Line]) -> Result<(), Failure> {
        let cannot = |error: &dyn std::fmt::Display| failure::unwritable(format!("{}: {error}", self.output.display()));
        let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
        for line in lines {
            // A line is a row: breaks inside a message would end it early.
            let line = line.iter().map(|text| text.replace(['\n', '\r'], " "));
            writer.write_record(line).map_err(|error| cannot(&error))?;
        }
        let bytes = writer.into_inner().map_err(|error| cannot(&error))?;
        self.file.write_all(&bytes).and_then(|()| self.file.sync_data()).map_err(|error| cannot(&error))
    }

    /// Makes the kept rows the output.
    pub(super) fn finish(self) -> Result<(), Failure> {
        let (named, partial) = (beside(&self.output, "batch"), beside(&self.output, "partial"));
        let written = if is_parquet(&self.output) {
            write_parquet(&partial, &self.output)
        } else {
            write_csv(&partial, &self.output)
        };
        written.map_err(|error| failure::unwritable(format!("{}: {error}", self.output.display())))?;
        let _ = std::fs::remove_file(partial);
        let _ = std::fs::remove_file(named);
        Ok(())
    }
}

/// What a run over `output` writes.
pub(super) fn files(output: &Path) -> [PathBuf; 4] {
    [output.to_owned(), beside(output, "partial"), beside(output, "batch"), beside(output, "new")]
}

fn new_run(named: &Path, partial: &Path, run: Run) -> Result<Run, Failure> {
    File::create(partial).map_err(cannot(partial))?;
    let text = serde_json::to_vec(&run).map_err(failure::internal)?;
    std::fs::write(named, text).map_err(cannot(named))?;
    Ok(run)
}

fn cannot(path: &Path) -> impl Fn(std::io::Error) -> Failure {
    let path = path.display().to_string();
    move |error| failure::unwritable(format!("{path}: {error}"))
}

fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet"))
}

fn beside(output: &Path, ending: &str) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// Counts the finished rows; a line that was cut off is removed.
fn whole_lines(path: &Path) -> std::io::Result<u64> {
    let (mut reader, mut lines, mut length) = (BufReader::new(File::open(path)?), 0, 0);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
        (lines, length) = (lines + 1, length + line.len() as u64);
        line.clear();
    }
    OpenOptions::new().write(true).open(path)?.set_len(length)?;
    Ok(lines)
}

fn write_csv(partial: &Path, output: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let next = beside(output, "new");
    let mut file = File::create(&next)?;
    writeln!(file, "{}", HEADER.join(","))?;
    std::io::copy(&mut File::open(partial)?, &mut file)?;
    file.sync_all()?;
    Ok(std::fs::rename(next, output)?)
}

fn write_parquet(partial: &Path, output: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let next = beside(output, "new");
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?)).build();
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let mut writer = SerializedFileWriter::new(File::create(&next)?, schema, Arc::new(properties))?;
    let mut rows = csv::ReaderBuilder::new().has_headers(false).from_path(partial)?.into_records();
    loop {
        let group: Vec<_> = rows.by_ref().take(ROW_GROUP).collect::<Result<_, _>>()?;
        if group.is_empty() {
            break;
        }
        let mut columns = writer.next_row_group()?;
        for place in 0..HEADER.len() {
            write_column(&mut columns, place, &group)?;
        }
        columns.close()?;
    }
    writer.close()?;
    Ok(std::fs::rename(next, output)?)
}

/// One column of a row group; empty text is no value, except of the identifier.
fn write_column(
    columns: &mut SerializedRowGroupWriter<'_, File>,
    place: usize,
    rows: &[csv::StringRecord],
) -> Result<(), Box<dyn std::error::Error>> {
    let Some(mut column) = columns.next_column()? else { return Err("the schema has fewer columns".into()) };
    let texts = rows.iter().map(|row| row.get(place).unwrap_or_default());
    if place == 0 {
        let values: Vec<ByteArray> = texts.map(ByteArray::from).collect();
        column.typed::<ByteArrayType>().write_batch(&values, None, None)?;
        return Ok(column.close()?);
    }
    let present: Vec<i16> = texts.clone().map(|text| i16::from(!text.is_empty())).collect();
    let given = texts.filter(|text| !text.is_empty());
    match HEADER[place] {
        "score" => {
            let values: Vec<i64> = given.map(str::parse).collect::<Result<_, _>>()?;
            column.typed::<Int64Type>().write_batch(&values, Some(&present), None)?;
        }
        "probability" => {
            let values: Vec<f64> = given.map(str::parse).collect::<Result<_, _>>()?;
            column.typed::<DoubleType>().write_batch(&values, Some(&present), None)?;
        }
        _ => {
            let values: Vec<ByteArray> = given.map(ByteArray::from).collect();
            column.typed::<ByteArrayType>().write_batch(&values, Some(&present), None)?;
        }
    }
    Ok(column.close()?)
}
