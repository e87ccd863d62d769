//! Identifiers from a file, and a report on them before anything is sent.
//!
//! Policy: of identifiers that stand more than once the first counts, the others get the same tag; blank and malformed ones
//! stop the run with their lines, or are left out where the caller says so.

use std::path::Path;

use rayon::prelude::*;
use serde::Serialize;
use tally_data::{IdentifierKind, KeyError};
use tally_protocol::alignment::Identifiers;

use crate::cli::Language;
use crate::failure::{self, Failure};

/// Most lines that a report names of each kind.
const NAMED: usize = 10;

/// The distinct identifiers of a file.
pub(super) struct Input {
    /// As they take part.
    pub(super) identifiers: Identifiers,
    /// What was found.
    pub(super) report: InputReport,
}

/// What was found in a file; lines count from 1, the header is line 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct InputReport {
    /// Rows below the header.
    rows: u64,
    /// Distinct identifiers that take part.
    distinct: u64,
    /// Rows whose identifier stood before.
    duplicates: Found,
    /// Rows without an identifier.
    blank: Found,
    /// Rows whose identifier is malformed.
    malformed: Found,
    /// Rows that are not UTF-8.
    not_utf8: Found,
    /// Why the first malformed one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// How many, and where the first ones are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Found {
    count: u64,
    lines: Vec<u64>,
}

impl Found {
    fn add(&mut self, line: u64) {
        self.count += 1;
        if self.lines.len() < NAMED {
            self.lines.push(line);
        }
    }

    fn in_words(&self, what: &str) -> Option<String> {
        let lines: Vec<_> = self.lines.iter().map(u64::to_string).collect();
        let more = if self.count as usize > self.lines.len() { ", …" } else { "" };
        (self.count > 0).then(|| format!("{} {what} ({}{more})", self.count, lines.join(", ")))
    }
}

impl InputReport {
    /// One line for people.
    pub(super) fn in_words(&self, language: Language) -> String {
        let zh = language == Language::Zh;
        let word = |en: &'static str, chinese: &'static str| if zh { chinese } else { en };
        let mut parts = vec![
            format!("{} {}", self.rows, word("rows", "行")),
            format!("{} {}", self.distinct, word("distinct identifiers", "个不同标识")),
        ];
        parts.extend(self.duplicates.in_words(word("repeated, taken once: lines", "重复，只计一次：行")));
        parts.extend(self.blank.in_words(word("blank: lines", "空白：行")));
        parts.extend(self.malformed.in_words(word("malformed: lines", "格式错误：行")));
        parts.extend(self.not_utf8.in_words(word("not UTF-8: lines", "非 UTF-8：行")));
        parts.join(" · ")
    }

    fn bad(&self) -> u64 {
        self.blank.count + self.malformed.count + self.not_utf8.count
    }
}

/// Reads the identifiers in column `key` of a CSV file.
///
/// # Errors
/// Names the file, the lines and the remedy.
pub(super) fn read(path: &Path, key: &str, kind: IdentifierKind, skip_bad: bool) -> Result<Input, Failure> {
    let wrong = |reason: String| failure::data(format!("{}: {reason}", path.display()));
    let mut file = csv::ReaderBuilder::new()
        .flexible(true)
        .buffer_capacity(1 << 18)
        .from_path(path)
        .map_err(|error| wrong(format!("cannot read the file: {error}")))?;
    let header = file.byte_headers().map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let column = find(header, key).map_err(wrong)?;
    let mut report = InputReport::default();
    let (mut identifiers, mut lines) = (Identifiers::default(), Vec::new());
    let mut record = csv::ByteRecord::new();
    while file.read_byte_record(&mut record).map_err(|error| wrong(format!("cannot be read: {error}")))? {
        report.rows += 1;
        // A record's own position lies before the empty lines that were skipped.
        let line = record.position().map_or(0, csv::Position::line).max(file.position().line() - 1);
        let Ok(text) = std::str::from_utf8(record.get(column).unwrap_or_default()) else {
            report.not_utf8.add(line);
            continue;
        };
        match kind.canonical(text) {
            Ok(identifier) => {
                identifiers.push(&identifier);
                lines.push(u32::try_from(line).unwrap_or(u32::MAX));
            }
            Err(KeyError::Empty) => report.blank.add(line),
            Err(error) => {
                report.malformed.add(line);
                report.reason.get_or_insert(error.to_string());
            }
        }
    }
    if report.bad() > 0 && !skip_bad {
        let reason = report.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let words = report.in_words(Language::En);
        return Err(wrong(format!("{words}{reason}: mend these lines, or leave them out with --skip-bad")));
    }
    let identifiers = distinct(identifiers, &lines, &mut report);
    report.distinct = identifiers.len() as u64;
    if u32::try_from(identifiers.len()).is_err() {
        return Err(wrong("more than 2^32 identifiers: split the file".into()));
    }
    Ok(Input { identifiers, report })
}

fn find(header: &csv::ByteRecord, key: &str) -> Result<usize, String> {
    let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_start_matches('\u{feff}').trim().to_owned();
    let names: Vec<_> = header.iter().map(name).collect();
    names.iter().position(|name| name == key).ok_or_else(|| {
        let known = names.join(", ");
        format!("has no column `{key}` in its header: name one of `{known}` with --key")
    })
}

/// Leaves out what stood before. Identifiers are compared by a keyed hash first, so that memory stays small.
fn distinct(identifiers: Identifiers, lines: &[u32], report: &mut InputReport) -> Identifiers {
    let state = std::hash::RandomState::new();
    let hash = |at: usize| {
        use std::hash::BuildHasher as _;
        (state.hash_one(identifiers.get(at)), at as u64)
    };
    let mut hashes: Vec<(u64, u64)> = (0..identifiers.len()).into_par_iter().map(hash).collect();
    hashes.par_sort_unstable();
    let mut repeated = Vec::new();
    for run in hashes.chunk_by(|a, b| a.0 == b.0).filter(|run| run.len() > 1) {
        let mut seen: Vec<&[u8]> = Vec::new();
        for &(_, at) in run {
            let identifier = identifiers.get(at as usize);
            if seen.contains(&identifier) { repeated.push(at) } else { seen.push(identifier) }
        }
    }
    if repeated.is_empty() {
        return identifiers;
    }
    repeated.sort_unstable();
    let mut kept = Identifiers::default();
    let mut next = repeated.iter().peekable();
    for (at, line) in lines.iter().enumerate() {
        if next.next_if(|repeated| **repeated == at as u64).is_some() {
            report.duplicates.add(u64::from(*line));
        } else if let Ok(identifier) = std::str::from_utf8(identifiers.get(at)) {
            kept.push(identifier);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in.csv");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn what_is_found_is_reported_with_its_lines() {
        let (_folder, path) = file(b"\xef\xbb\xbfid,x\na,1\nb,2\na,3\n,4\n\xff\xfe,5\nc,6\n");
        let refused = read(&path, "id", IdentifierKind::Text, false).err().unwrap();
        for word in ["1 blank: lines (5)", "1 not UTF-8: lines (6)", "--skip-bad", "in.csv"] {
            assert!(refused.message.contains(word), "{refused}");
        }
        let input = read(&path, "id", IdentifierKind::Text, true).unwrap();
        assert_eq!(input.identifiers.iter().collect::<Vec<_>>(), [b"a", b"b", b"c"]);
        assert_eq!((input.report.rows, input.report.distinct, &input.report.duplicates.lines), (6, 3, &vec![4]));
        assert!(read(&path, "code", IdentifierKind::Text, true).err().unwrap().message.contains("id, x"));
    }

    #[test]
    fn credit_codes_are_checked_and_spelled_alike() {
        let (_folder, path) = file("code\n91440300708461136T\n９1440300708461136t\n91440300708461136A\n".as_bytes());
        let refused = read(&path, "code", IdentifierKind::Uscc, false).err().unwrap();
        assert!(refused.message.contains("1 malformed: lines (4)") && refused.message.contains("check character"));
        let input = read(&path, "code", IdentifierKind::Uscc, true).unwrap();
        assert_eq!((input.identifiers.len(), input.report.duplicates.count), (1, 1));
    }
}
