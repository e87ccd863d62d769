//! CSV as in RFC 4180: records of values between delimiters, quoted where they must be.
//!
//! Lines end with LF, CRLF or CR; empty ones are skipped. A quote that is never closed swallows the rest of a file, or
//! everything up to the next quote, without a sound. So a quote must close before the file ends, a delimiter or the end of a line
//! must follow it, a value that is asked for holds no line break, and one that nobody asked for swallows no line that looks
//! like a record.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Error, ErrorKind, Read};
use std::path::Path;

use super::kind::not_utf8;
use super::{CsvForm, DataError, Encoding};

/// Bytes read at a time.
const CHUNK: usize = 1 << 18;
/// Most line breaks of a value.
const MOST_BREAKS: u64 = 64;
/// Most bytes of a record.
const MOST_BYTES: usize = 1 << 24;
/// Fewest columns of a table whose records are told from other text by their delimiters.
const TELLING: usize = 3;

/// An opened CSV file, and the record that was read last.
pub(super) struct Delimited {
    input: BufReader<Box<dyn Read + Send>>,
    delimiter: u8,
    header: Vec<String>,
    /// Line of the next byte.
    next_line: u64,
    /// The byte before was a carriage return.
    returned: bool,
    record: Record,
}

#[derive(Default)]
struct Record {
    line: u64,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Line on which the quote of a value opens, 0 if it is not quoted.
    opened: Vec<u64>,
}

/// What a record breaks off at.
enum Broken {
    Unreadable(Error),
    Value { line: u64, column: usize, reason: String },
}

/// Where in a record a byte stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Record,
    Value,
    Plain,
    Quoted,
    /// Behind a quote in a quoted value: its end, or the first of a pair.
    Quote,
    /// Blanks behind a quoted value.
    Behind,
}

impl Delimited {
    /// Opens a file and reads its header.
    pub(super) fn open(path: &Path, form: &CsvForm) -> Result<(Self, Vec<String>), DataError> {
        let cannot = |error: Error| DataError::new(path, None, None, format!("cannot read the file: {error}"));
        let file = File::open(path).map_err(cannot)?;
        let input: Box<dyn Read + Send> = match form.encoding {
            Encoding::Utf8 => Box::new(file),
            Encoding::Gb18030 => Box::new(Decoded::new(file)),
        };
        let mut input = BufReader::with_capacity(CHUNK, input);
        let marked = input.fill_buf().map_err(|error| unreadable(path, 1, &error))?.starts_with(b"\xef\xbb\xbf");
        input.consume(if marked { 3 } else { 0 });
        let mut new = Self {
            input,
            delimiter: form.delimiter,
            header: Vec::new(),
            next_line: 1,
            returned: false,
            record: Record::default(),
        };
        if !new.read_record(0).map_err(|broken| new.error(path, broken))? {
            return Err(DataError::new(path, None, None, "is empty: there is not even a header"));
        }
        let mut header = Vec::new();
        for column in 0..new.record.ends.len() {
            let name = std::str::from_utf8(new.record.bytes(column)).map_err(|_| {
                DataError::new(path, Some(1), None, format!("the header {}", not_utf8(&new.record.bytes)))
            })?;
            header.push(name.trim().to_owned());
        }
        new.header.clone_from(&header);
        Ok((new, header))
    }

    /// Reads the next record; false at the end of the file.
    pub(super) fn read(
        &mut self,
        path: &Path,
        columns: usize,
        asked: &[usize],
        names: &[String],
    ) -> Result<bool, DataError> {
        if !self.read_record(columns).map_err(|broken| self.error(path, broken))? {
            return Ok(false);
        }
        for (column, name) in asked.iter().zip(names) {
            let bytes = self.record.bytes(*column);
            let line = self.record.opened.get(*column).copied().filter(|line| *line > 0).unwrap_or(self.record.line);
            let Ok(text) = std::str::from_utf8(bytes) else {
                return Err(DataError::new(path, Some(line), Some(name), not_utf8(bytes)));
            };
            if text.trim().contains(['\n', '\r']) {
                let reason = "a quote opens here and closes only on a later line: close it, or remove it";
                return Err(DataError::new(path, Some(line), Some(name), reason));
            }
        }
        Ok(true)
    }

    /// Line on which the record begins.
    pub(super) fn line(&self) -> u64 {
        self.record.line
    }

    /// Number of its values.
    pub(super) fn values(&self) -> usize {
        self.record.ends.len()
    }

    /// A value; empty where there is none.
    pub(super) fn cell(&self, column: usize) -> &str {
        std::str::from_utf8(self.record.bytes(column)).unwrap_or_default()
    }

    fn error(&self, path: &Path, broken: Broken) -> DataError {
        match broken {
            Broken::Unreadable(error) => unreadable(path, self.next_line, &error),
            Broken::Value { line, column, reason } => {
                let name = self.header.get(column).map(String::as_str).filter(|name| !name.is_empty());
                DataError::new(path, Some(line), name, reason)
            }
        }
    }

    /// Divides bytes into the values of one record.
    fn read_record(&mut self, columns: usize) -> Result<bool, Broken> {
        let Self { input, delimiter, next_line, returned, record, .. } = self;
        let delimiter = *delimiter;
        record.clear();
        let (mut at, mut inner, mut breaks) = (At::Record, 0, 0);
        loop {
            let chunk = input.fill_buf().map_err(Broken::Unreadable)?;
            if chunk.is_empty() {
                return record.end_of_file(at);
            }
            let mut used = 0;
            for &byte in chunk {
                used += 1;
                if byte == b'\n' && std::mem::take(returned) {
                    continue;
                }
                *returned = byte == b'\r';
                let breaks_line = matches!(byte, b'\n' | b'\r');
                *next_line += u64::from(breaks_line);
                if at == At::Record {
                    if breaks_line {
                        continue;
                    }
                    record.line = *next_line;
                    at = At::Value;
                }
                at = match (at, byte) {
                    (At::Quoted, b'"') => At::Quote,
                    (At::Quoted, b'\n' | b'\r') => {
                        breaks += 1;
                        let swallowed = breaks > 1 && columns >= TELLING && inner + 1 == columns;
                        if swallowed || breaks > MOST_BREAKS {
                            return Err(record.swallows(*next_line - 1));
                        }
                        inner = 0;
                        record.bytes.push(b'\n');
                        At::Quoted
                    }
                    (At::Quote, b'"') | (At::Quoted, _) => {
                        inner += usize::from(byte == delimiter);
                        record.bytes.push(byte);
                        At::Quoted
                    }
                    (At::Value, b'"') if byte != delimiter => {
                        (inner, breaks) = (0, 0);
                        record.opened.push(*next_line);
                        At::Quoted
                    }
                    (_, b'\n' | b'\r') => {
                        record.end_value();
                        input.consume(used);
                        return Ok(true);
                    }
                    (_, byte) if byte == delimiter => {
                        record.end_value();
                        At::Value
                    }
                    (At::Quote | At::Behind, b' ') => At::Behind,
                    (At::Quote | At::Behind, _) => return Err(record.goes_on(*next_line)),
                    (_, byte) => {
                        record.bytes.push(byte);
                        At::Plain
                    }
                };
                if record.bytes.len() > MOST_BYTES {
                    return Err(record.too_long());
                }
            }
            input.consume(used);
        }
    }
}

impl Record {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.opened.clear();
    }

    fn bytes(&self, column: usize) -> &[u8] {
        let Some(end) = self.ends.get(column) else { return &[] };
        let start = column.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..*end]
    }

    fn end_value(&mut self) {
        self.ends.push(self.bytes.len());
        self.opened.resize(self.ends.len(), 0);
    }

    fn end_of_file(&mut self, at: At) -> Result<bool, Broken> {
        match at {
            At::Record => Ok(false),
            At::Quoted => {
                Err(self.broken("a quote opens here and is not closed before the file ends: close it, or remove it"))
            }
            At::Value | At::Plain | At::Quote | At::Behind => {
                self.end_value();
                Ok(true)
            }
        }
    }

    fn broken(&self, reason: impl Into<String>) -> Broken {
        let column = self.ends.len();
        let line = self.opened.get(column).copied().filter(|line| *line > 0).unwrap_or(self.line);
        Broken::Value { line, column, reason: reason.into() }
    }

    fn swallows(&self, line: u64) -> Broken {
        self.broken(format!("a quote opens here and takes in everything up to line {line}: close it, or remove it"))
    }

    fn goes_on(&self, line: u64) -> Broken {
        self.broken(format!(
            "a quote opens here, and where it closes, on line {line}, the value goes on: close it at the end of the value, and \
             write quotes inside a value twice"
        ))
    }

    fn too_long(&self) -> Broken {
        self.broken(format!("a row is longer than {} MiB: is this the right file?", MOST_BYTES >> 20))
    }
}

fn unreadable(path: &Path, line: u64, error: &Error) -> DataError {
    let reason = match error.kind() {
        ErrorKind::InvalidData => error.to_string(),
        _ => format!("cannot be read: {error}"),
    };
    DataError::new(path, Some(line), None, reason)
}

/// A file in GB 18030, as UTF-8.
struct Decoded {
    input: File,
    decoder: encoding_rs::Decoder,
    raw: Vec<u8>,
    /// Part of `raw` that is not decoded yet.
    left: std::ops::Range<usize>,
    /// Decoded, and what of it was given out.
    text: Vec<u8>,
    given: usize,
    ended: bool,
}

impl Decoded {
    fn new(input: File) -> Self {
        let decoder = encoding_rs::GB18030.new_decoder_without_bom_handling();
        Self { input, decoder, raw: vec![0; CHUNK / 4], left: 0..0, text: Vec::new(), given: 0, ended: false }
    }

    /// Decodes the next bytes, or the end of the file.
    fn decode(&mut self) -> std::io::Result<()> {
        if self.left.is_empty() {
            let read = self.input.read(&mut self.raw)?;
            self.left = 0..read;
            self.ended = read == 0;
        }
        let room = self.decoder.max_utf8_buffer_length_without_replacement(self.left.len()).unwrap_or(CHUNK);
        self.text.resize(room.max(16), 0);
        let raw = &self.raw[self.left.clone()];
        let (result, read, written) = self.decoder.decode_to_utf8_without_replacement(raw, &mut self.text, self.ended);
        self.left.start += read;
        self.text.truncate(written);
        self.given = 0;
        if matches!(result, encoding_rs::DecoderResult::Malformed(..)) && written == 0 {
            return Err(malformed());
        }
        if matches!(result, encoding_rs::DecoderResult::Malformed(..)) {
            // What stands before it is given out first.
            self.left = 0..0;
            self.ended = true;
            self.text.extend_from_slice(MALFORMED);
        }
        Ok(())
    }
}

/// Bytes that are never UTF-8: they mark the place of a character that is none.
const MALFORMED: &[u8] = b"\xff";

fn malformed() -> Error {
    Error::new(ErrorKind::InvalidData, "is not GB 18030 here: say how the file is written with --encoding")
}

impl Read for Decoded {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.given == self.text.len() {
            if self.ended {
                return Ok(0);
            }
            self.decode()?;
        }
        if self.text[self.given..].starts_with(MALFORMED) {
            return Err(malformed());
        }
        let text = &self.text[self.given..];
        let text = text.strip_suffix(MALFORMED).unwrap_or(text);
        let count = text.len().min(buffer.len());
        buffer[..count].copy_from_slice(&text[..count]);
        self.given += count;
        Ok(count)
    }
}
