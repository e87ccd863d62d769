//! Identifiers from a file, and a report on them before anything is sent.
//!
//! Policy: of identifiers that stand more than once the first counts, the others get the same tag; blank and malformed ones
//! stop the run with their lines, or are left out where the caller says so.

use std::path::Path;

use rayon::prelude::*;
use serde::Serialize;
use tally_data::{CsvForm, IdentifierKind, KeyError, Table, quoted};
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
        parts.join(" · ")
    }

    fn bad(&self) -> u64 {
        self.blank.count + self.malformed.count
    }
}

/// Reads the identifiers in column `key` of a file. Where nobody says what they are they are text, and a file of credit
/// codes is not taken: as text, codes that are spelled otherwise at the other side would not match.
///
/// # Errors
/// Names the file, the lines and the remedy.
pub(super) fn read(
    path: &Path,
    form: &CsvForm,
    key: &str,
    kind: Option<IdentifierKind>,
    skip_bad: bool,
) -> Result<Input, Failure> {
    let wrong = |reason: String| failure::data(format!("{}: {reason}", path.display()));
    let table = Table::open(path, form).map_err(failure::data)?;
    let column = table.place(key).ok_or_else(|| unknown(&table, key))?;
    let mut rows = table.rows(&[column]).map_err(failure::data)?;
    let mut report = InputReport::default();
    let (mut identifiers, mut lines) = (Identifiers::default(), Vec::new());
    let mut codes = 0;
    while let Some(row) = rows.next_row().map_err(failure::data)? {
        report.rows += 1;
        match kind.unwrap_or(IdentifierKind::Text).canonical(row.cell(0)) {
            Ok(identifier) => {
                codes += u64::from(kind.is_none() && IdentifierKind::Uscc.canonical(&identifier).is_ok());
                identifiers.push(&identifier);
                lines.push(u32::try_from(row.line).unwrap_or(u32::MAX));
            }
            Err(KeyError::Empty) => report.blank.add(row.line),
            Err(error) => {
                report.malformed.add(row.line);
                report.reason.get_or_insert(error.to_string());
            }
        }
    }
    if codes > 0 && codes * 10 >= report.rows * 9 {
        let reason = format!(
            "{codes} of {} identifiers are credit codes: say --kind uscc on both sides, so that they are checked and spelled \
             alike, or --kind text to take them as they stand",
            report.rows
        );
        return Err(wrong(reason));
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

fn unknown(table: &Table, key: &str) -> Failure {
    let known: Vec<_> = table.header().iter().take(20).map(|name| quoted(name)).collect();
    let reason = format!("has no column {} in its header: name one of {} with --key", quoted(key), known.join(", "));
    failure::data(table.wrong(table.header_line(), None, reason))
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

    fn taken(path: &Path, key: &str, kind: Option<IdentifierKind>, skip_bad: bool) -> Result<Input, Failure> {
        read(path, &CsvForm::default(), key, kind, skip_bad)
    }

    #[test]
    fn a_file_of_credit_codes_is_not_taken_for_text_unless_somebody_says_so() {
        let (_folder, path) = file(b"code,x\n91440300708461136t,\xbf\xcd\n91110000802100433B,\n");
        let refused = taken(&path, "code", None, false).err().unwrap();
        assert!(
            refused.message.contains("2 of 2 identifiers are credit codes") && refused.message.contains("--kind uscc")
        );
        let input = taken(&path, "code", Some(IdentifierKind::Text), false).unwrap();
        assert_eq!(input.identifiers.get(0), b"91440300708461136t");
        let (_folder, path) = file(b"code,x,x\na,1,2\n");
        assert!(taken(&path, "code", None, false).err().unwrap().message.contains("twice"));
        let (_folder, path) = file(b"code\na\nb\n\xff\xfe\n");
        assert!(taken(&path, "code", None, true).err().unwrap().message.contains("row 4"));
    }

    #[test]
    fn what_is_found_is_reported_with_its_lines() {
        let (_folder, path) = file(b"\xef\xbb\xbfid,x\na,1\nb,2\na,3\n,4\n1.23E+17,5\nc,6\n");
        let refused = taken(&path, "id", Some(IdentifierKind::Text), false).err().unwrap();
        for word in ["1 blank: lines (5)", "1 malformed: lines (6)", "exponent", "--skip-bad", "in.csv"] {
            assert!(refused.message.contains(word), "{refused}");
        }
        let input = taken(&path, "id", Some(IdentifierKind::Text), true).unwrap();
        assert_eq!(input.identifiers.iter().collect::<Vec<_>>(), [b"a", b"b", b"c"]);
        assert_eq!((input.report.rows, input.report.distinct, &input.report.duplicates.lines), (6, 3, &vec![4]));
        assert!(taken(&path, "code", None, true).err().unwrap().message.contains("`id`, `x`"));
    }

    #[test]
    fn credit_codes_are_checked_and_spelled_alike() {
        let (_folder, path) = file("code\n91440300708461136T\n９1440300708461136t\n91440300708461136A\n".as_bytes());
        let refused = taken(&path, "code", Some(IdentifierKind::Uscc), false).err().unwrap();
        assert!(refused.message.contains("1 malformed: lines (4)") && refused.message.contains("check character"));
        let input = taken(&path, "code", Some(IdentifierKind::Uscc), true).unwrap();
        assert_eq!((input.identifiers.len(), input.report.duplicates.count), (1, 1));
    }
}
