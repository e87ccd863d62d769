//! Files that somebody gives to a verb: text with or without a byte order mark, and outputs that are not their own input.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::failure::{self, Failure};

/// What some editors put in front of UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// The text of a file, without its byte order mark.
///
/// # Errors
/// Names the file, and the first line that is not UTF-8.
pub(crate) fn text(path: &Path) -> Result<String, Failure> {
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
    let bytes = bytes.strip_prefix(MARK).unwrap_or(&bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        not_utf8(path, line)
    })?;
    Ok(text.to_owned())
}

/// The lines of a file that hold anything, trimmed, with their numbers from 1.
pub(crate) struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    number: usize,
}

impl Lines {
    /// Opens a file.
    ///
    /// # Errors
    /// Names it.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let file = File::open(path).map_err(|error| unreadable(path, &error))?;
        Ok(Self { path: path.into(), reader: BufReader::new(file), number: 0 })
    }

    /// The next of them; `None` at the end.
    ///
    /// # Errors
    /// Names the file and the line that is not UTF-8.
    pub(crate) fn next(&mut self) -> Result<Option<(usize, String)>, Failure> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let read = self.reader.read_until(b'\n', &mut bytes).map_err(|error| unreadable(&self.path, &error))?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            let line = if self.number == 1 { bytes.strip_prefix(MARK).unwrap_or(&bytes) } else { &bytes };
            let line = std::str::from_utf8(line).map_err(|_| not_utf8(&self.path, self.number))?.trim();
            if !line.is_empty() {
                return Ok(Some((self.number, line.to_owned())));
            }
        }
    }

    /// The next ones, so many at most.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub(crate) fn take(&mut self, most: usize) -> Result<Vec<(usize, String)>, Failure> {
        let mut lines = Vec::new();
        while lines.len() < most
            && let Some(line) = self.next()?
        {
            lines.push(line);
        }
        Ok(lines)
    }
}

/// Refuses an output that is the input, under this or any other name of it.
///
/// # Errors
/// Names the file.
pub(crate) fn not_the_input(input: &Path, outputs: &[PathBuf]) -> Result<(), Failure> {
    let Ok(read) = std::fs::metadata(input) else { return Ok(()) };
    let same = |output: &&PathBuf| {
        std::fs::metadata(output).is_ok_and(|written| (written.dev(), written.ino()) == (read.dev(), read.ino()))
    };
    match outputs.iter().find(same) {
        None => Ok(()),
        Some(output) => Err(failure::usage(format!(
            "{}: would be written over {}, which is read: name another file",
            output.display(),
            input.display()
        ))),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    failure::data(format!("{}: cannot read the file: {error}", path.display()))
}

fn not_utf8(path: &Path, line: usize) -> Failure {
    failure::data(format!("{}, line {line}: is not UTF-8: save the file as UTF-8", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_blank_lines_are_skipped_and_lines_keep_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, "\u{feff}{\"a\":1}\r\n\r\n  \n{\"b\":2}\r\n\n").unwrap();
        let lines = Lines::open(&path).unwrap().take(10).unwrap();
        assert_eq!(lines, [(1, "{\"a\":1}".to_owned()), (4, "{\"b\":2}".to_owned())]);
        assert!(text(&path).unwrap().starts_with('{'));
        std::fs::write(&path, b"a\nb\n\xff\n").unwrap();
        assert!(text(&path).unwrap_err().message.contains("line 3"));
        let mut lines = Lines::open(&path).unwrap();
        assert_eq!(lines.take(2).unwrap().len(), 2);
        assert!(lines.next().unwrap_err().message.contains("a.jsonl, line 3"));
    }

    #[test]
    fn an_output_is_never_the_input() {
        let folder = tempfile::tempdir().unwrap();
        let [input, soft, hard, other] = ["in", "soft", "hard", "other"].map(|name| folder.path().join(name));
        std::fs::write(&input, "x").unwrap();
        std::os::unix::fs::symlink(&input, &soft).unwrap();
        std::fs::hard_link(&input, &hard).unwrap();
        for output in [&input, &soft, &hard] {
            assert!(not_the_input(&input, &[other.clone(), output.clone()]).is_err(), "{}", output.display());
        }
        assert!(not_the_input(&input, std::slice::from_ref(&other)).is_ok());
        std::fs::write(&other, "x").unwrap();
        assert!(not_the_input(&input, &[other]).is_ok());
    }
}
