//! What a file is, by its first bytes: they say more than its ending.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::{CsvForm, DataError, Encoding};

/// Bytes that are looked at.
const BEGINNING: u64 = 4096;

/// What can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Delimited text.
    Text,
    /// Parquet.
    Parquet,
}

const TO_CSV: &str = "save the sheet as CSV (UTF-8) and give that file";

/// Files that are neither, by the bytes that they begin with: what they are and what to do.
const OTHERS: [(&[u8], &str, &str); 17] = [
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook or Word document", TO_CSV),
    (b"PK\x05\x06", "an empty zip archive", "give the CSV or Parquet file itself"),
    (b"\x1f\x8b", "compressed with gzip", "unpack it first (gunzip) and give the file inside"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it first (unzstd) and give the file inside"),
    (b"BZh", "compressed with bzip2", "unpack it first (bunzip2) and give the file inside"),
    (b"\xfd7zXZ\0", "compressed with xz", "unpack it first (unxz) and give the file inside"),
    (b"\x04\x22\x4d\x18", "compressed with lz4", "unpack it first (unlz4) and give the file inside"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first and give the file inside"),
    (b"Rar!", "a RAR archive", "unpack it first and give the file inside"),
    (b"%PDF", "a PDF document", "give the table that it was made from as CSV or Parquet"),
    (b"ORC", "an ORC file", "write it as Parquet or CSV"),
    (b"Obj\x01", "an Avro file", "write it as Parquet or CSV"),
    (b"ARROW1", "an Arrow (Feather) file", "write it as Parquet or CSV"),
    (b"SQLite format 3\0", "an SQLite database", "export the table as CSV"),
    (b"PARE", "an encrypted Parquet file", "decrypt it first"),
    (b"\xff\xfe", "UTF-16 text", "save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text", "save it as UTF-8"),
];

/// Tells what a file is.
///
/// # Errors
/// Says what it is, and what to do, if it can be read neither as CSV nor as Parquet.
pub(super) fn of_file(path: &Path, form: &CsvForm) -> Result<Kind, DataError> {
    let cannot = |error: std::io::Error| DataError::new(path, None, None, format!("cannot read the file: {error}"));
    if path.is_dir() {
        let reason = "is a directory: give one file; part files that Spark wrote are read one by one, or joined first";
        return Err(DataError::new(path, None, None, reason));
    }
    let mut beginning = Vec::new();
    File::open(path).map_err(cannot)?.take(BEGINNING).read_to_end(&mut beginning).map_err(cannot)?;
    let ends_in = |name: &str| path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case(name));
    if ends_in("xlsx") && beginning.starts_with(b"PK") {
        return Err(DataError::new(path, None, None, workbook()));
    }
    let kind = of_bytes(&beginning, form).map_err(|reason| DataError::new(path, None, None, reason))?;
    let parquet = ends_in("parquet");
    if kind == Kind::Text && parquet {
        let reason =
            "its name ends in .parquet, and it does not begin as Parquet does: write it again, or name it .csv";
        return Err(DataError::new(path, None, None, reason));
    }
    Ok(kind)
}

fn of_bytes(beginning: &[u8], form: &CsvForm) -> Result<Kind, String> {
    if beginning.is_empty() {
        return Err("is empty: there is not even a header".into());
    }
    if beginning.starts_with(b"PAR1") {
        return Ok(Kind::Parquet);
    }
    if beginning.starts_with(b"PK\x03\x04") {
        return Err(zip(beginning));
    }
    let known = OTHERS.iter().find(|(bytes, _, _)| beginning.starts_with(bytes));
    // A header may begin with the letters of a magic number; a file of them has bytes that no text has.
    let known =
        known.filter(|(bytes, _, _)| bytes.iter().any(|byte| !byte.is_ascii_alphabetic()) || is_binary(beginning));
    if let Some((_, what, remedy)) = known {
        return Err(format!("is {what}: {remedy}"));
    }
    if beginning.contains(&0) {
        return Err(binary(beginning));
    }
    of_text(beginning)?;
    written_as(beginning, form)?;
    Ok(Kind::Text)
}

fn workbook() -> String {
    format!("is an Excel workbook (.xlsx): {TO_CSV}")
}

fn zip(beginning: &[u8]) -> String {
    let holds = |name: &[u8]| beginning.windows(name.len()).any(|window| window == name);
    if holds(b"[Content_Types].xml") || holds(b"xl/") || holds(b"_rels/") {
        workbook()
    } else if holds(b"opendocument") {
        format!("is an OpenDocument file: {TO_CSV}")
    } else {
        "is a zip archive: unpack it first and give the file inside".into()
    }
}

fn is_binary(beginning: &[u8]) -> bool {
    beginning.iter().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace())
}

fn binary(beginning: &[u8]) -> String {
    let zeros = |odd: usize| beginning.iter().skip(odd).step_by(2).filter(|byte| **byte == 0).count();
    if zeros(0).max(zeros(1)) * 4 > beginning.len() {
        "is UTF-16 text: save it as UTF-8".into()
    } else {
        "is neither CSV nor Parquet, it holds bytes that no text has: give the table as CSV or Parquet".into()
    }
}

fn of_text(beginning: &[u8]) -> Result<(), String> {
    let text = beginning.strip_prefix(b"\xef\xbb\xbf").unwrap_or(beginning).trim_ascii_start();
    let begins = |word: &str| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()));
    if begins("<!doctype") || begins("<html") || begins("<?xml") || begins("<table") {
        return Err("is a web page or XML, often an error page or an \"Excel\" export: save the table as CSV".into());
    }
    if begins("{\"") || begins("[{") || begins("{\n") || begins("{\r") {
        return Err("is JSON: give the table as CSV or Parquet".into());
    }
    Ok(())
}

/// The text must be written as the caller says: the encoding of its first line, and what stands between its values.
fn written_as(beginning: &[u8], form: &CsvForm) -> Result<(), String> {
    let first = beginning.split(|byte| matches!(byte, b'\n' | b'\r')).find(|line| !line.is_empty()).unwrap_or_default();
    let cut = first.len() as u64 == BEGINNING;
    if form.encoding == Encoding::Utf8 && !cut && std::str::from_utf8(first).is_err() {
        return Err(format!("its header {}", not_utf8(first)));
    }
    let count = |delimiter: u8| first.iter().filter(|byte| **byte == delimiter).count();
    if count(form.delimiter) > 0 {
        return Ok(());
    }
    let other = [b';', b'\t', b',', b'|']
        .into_iter()
        .max_by_key(|delimiter| count(*delimiter))
        .filter(|other| count(*other) > 0);
    match other {
        Some(b'\t') => Err("its values are separated by tabs: say --delimiter tab".into()),
        Some(other) => {
            let other = char::from(other);
            Err(format!("its values are separated by `{other}`: say --delimiter '{other}'"))
        }
        None => Ok(()),
    }
}

/// What bytes are that are not UTF-8, and what to do.
pub(super) fn not_utf8(bytes: &[u8]) -> &'static str {
    let chinese = encoding_rs::GB18030.decode_without_bom_handling_and_without_replacement(bytes);
    if chinese.is_some() {
        "is not UTF-8, it reads as GB 18030 (GBK): say --encoding gb18030, or save the file as UTF-8"
    } else {
        "is not UTF-8: save the file as UTF-8"
    }
}
