//! Outcomes of loans from a file: one row an application, or one row an application and day.
//!
//! A row that is wrong does not stop the others: it is named with line, column and remedy, and can be written to a file of
//! rejects as it was, to be corrected and read again. Nothing is guessed, nothing is dropped.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tally_model::outcome::LoanState;
use tally_policy::Day;

use crate::keys::IdentifierKind;
use crate::table::{CsvForm, DataError, Encoding, Row, Rows, Table, quoted};

/// Columns that a file has, in any order.
const COLUMNS: [&str; 8] = ["application", "id", "granted", "amount", "rate", "start", "state", "as_of"];
/// Columns that it may have: the score that was asked for the application, and what a file of rejects says.
const OPTIONAL: [&str; 2] = ["request", "reason"];

/// First day on which a loan may have begun, Unix milliseconds: 2000-01-01, from which the months of loans are counted.
const FIRST_START: i64 = 946_684_800_000;

/// What became of an application, as of a day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoanOutcome {
    /// The bank's number of the application.
    pub application: String,
    /// Canonical identifier of the enterprise.
    pub subject: String,
    /// Name of the score that was asked for it, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The loan; `None` if the application was declined.
    pub loan: Option<Loan>,
    /// Day that this is known of.
    pub as_of: Day,
}

/// A loan that was granted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loan {
    /// Amount, cents of a yuan.
    pub amount: i64,
    /// Yearly rate, percent.
    pub rate: f64,
    /// First day.
    pub start: Day,
    /// State.
    pub state: LoanState,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct OutcomeFile {
    /// Rows that are right, each with its line.
    pub outcomes: Vec<(u64, LoanOutcome)>,
    /// Rows that are not.
    pub wrong: Vec<WrongRow>,
}

/// A row that is not taken in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WrongRow {
    /// Line, from 1; the header is line 1.
    pub line: u64,
    /// Column, if it is one.
    pub column: Option<String>,
    /// What is wrong, and the remedy.
    pub reason: String,
}

/// Reads a file; rows of days after `today` are wrong.
///
/// # Errors
/// Fails only if the file as a whole cannot be read: no file, no header, unknown or missing columns, text that is none.
pub fn read_outcomes(path: &Path, form: &CsvForm, kind: IdentifierKind, today: Day) -> Result<OutcomeFile, DataError> {
    let (header, mut rows) = open(path, form)?;
    let (mut outcomes, mut wrong) = (Vec::new(), Vec::new());
    let mut seen: HashMap<(String, Day), u64> = HashMap::new();
    while let Some(row) = rows.next_row()? {
        let line = row.line;
        let checked = Loaned { header: &header, row: &row }.outcome(kind, today).and_then(|outcome| {
            match seen.insert((outcome.application.clone(), outcome.as_of), line) {
                None => Ok(outcome),
                Some(earlier) => {
                    let reason = format!("the same application and day stand in line {earlier}: keep one of the two");
                    Err((Some("application"), reason))
                }
            }
        });
        match checked {
            Ok(outcome) => outcomes.push((line, outcome)),
            Err((column, reason)) => wrong.push(WrongRow { line, column: column.map(Into::into), reason }),
        }
    }
    Ok(OutcomeFile { outcomes, wrong })
}

/// The header, checked, and the rows with all columns.
fn open(path: &Path, form: &CsvForm) -> Result<(Vec<String>, Rows), DataError> {
    let table = Table::open(path, form)?;
    let header = table.header().to_vec();
    for name in header.iter().filter(|name| !name.is_empty()) {
        if !COLUMNS.contains(&name.as_str()) && !OPTIONAL.contains(&name.as_str()) {
            let known = [COLUMNS.as_slice(), &OPTIONAL].concat().join(", ");
            let reason = format!("is no column of outcomes: remove it; they are {known}");
            return Err(table.wrong(table.header_line(), Some(name), reason));
        }
    }
    let missing = COLUMNS.iter().find(|name| table.place(name).is_none());
    if let Some(name) = missing {
        return Err(table.wrong(table.header_line(), Some(name), "is missing from the header: add it"));
    }
    let everything: Vec<_> = (0..header.len()).collect();
    Ok((header, table.rows(&everything)?))
}

/// Writes the named lines of a file, as they are, below its header and with the reason in a last column; in the same form.
///
/// # Errors
/// Passes on what keeps the one file from being read or the other from being written.
pub fn write_rejects(input: &Path, form: &CsvForm, wrong: &[WrongRow], output: &Path) -> std::io::Result<()> {
    let wrong: BTreeMap<u64, &WrongRow> = wrong.iter().map(|row| (row.line, row)).collect();
    let (header, mut rows) = open(input, form).map_err(std::io::Error::other)?;
    // A file of rejects that is read again has the column already.
    let named = header.iter().any(|name| name == "reason");
    let reason = |reason: &str| if named { Vec::new() } else { vec![reason.to_owned()] };
    let mut writer = csv::WriterBuilder::new().flexible(true).delimiter(form.delimiter).from_writer(Vec::new());
    writer.write_record(header.iter().cloned().chain(reason("reason")))?;
    while let Some(row) = rows.next_row().map_err(std::io::Error::other)? {
        if let Some(wrong) = wrong.get(&row.line) {
            let values: Vec<_> = row.all().map(str::to_owned).collect();
            writer.write_record(values.into_iter().chain(reason(&wrong.reason)))?;
        }
    }
    let text = writer.into_inner().map_err(|error| std::io::Error::other(error.to_string()))?;
    match form.encoding {
        Encoding::Utf8 => std::fs::write(output, text),
        Encoding::Gb18030 => {
            let text = String::from_utf8(text).map_err(std::io::Error::other)?;
            std::fs::write(output, encoding_rs::GB18030.encode(&text).0)
        }
    }
}

/// Which column is wrong, and why.
type Wrong = (Option<&'static str>, String);

/// A row of the file, by the names of its columns.
struct Loaned<'a> {
    header: &'a [String],
    row: &'a Row<'a>,
}

impl Loaned<'_> {
    fn outcome(&self, kind: IdentifierKind, today: Day) -> Result<LoanOutcome, Wrong> {
        if let Some(reason) = self.row.uneven() {
            return Err((None, reason));
        }
        let application = self.text("application");
        if application.is_empty() {
            return Err((Some("application"), "is empty: give the number of the application".into()));
        }
        let subject = kind.canonical(self.text("id"));
        let subject = subject.map_err(|error| (Some("id"), format!("{error}: correct the row")))?;
        let as_of = self.day("as_of")?;
        if as_of > today {
            let reason = format!("is later than {today}, today: give the day that the state was known of");
            return Err((Some("as_of"), reason));
        }
        let loan = match self.text("granted") {
            "1" | "yes" => Some(self.loan(as_of)?),
            "0" | "no" => {
                self.nothing_of_a_loan()?;
                None
            }
            _ => return Err((Some("granted"), "is 1 (granted) or 0 (declined)".into())),
        };
        let request = Some(self.text("request")).filter(|text| !text.is_empty()).map(Into::into);
        Ok(LoanOutcome { application: application.into(), subject, request, loan, as_of })
    }

    fn loan(&self, as_of: Day) -> Result<Loan, Wrong> {
        let amount = cents(self.text("amount")).ok_or((
            Some("amount"),
            format!(
                "{} is not an amount in yuan above 0 with at most two decimals: write it as 1500000.00",
                quoted(self.text("amount"))
            ),
        ))?;
        let rate: Option<f64> = self.text("rate").parse().ok().filter(|rate| (0.0..=100.0).contains(rate));
        let rate = rate.ok_or((Some("rate"), "is not a yearly rate in percent: write 4.35 for 4.35 %".to_owned()))?;
        let start = self.day("start")?;
        if as_of < start {
            return Err((Some("start"), format!("is later than {as_of}, the day of the row: correct one of the two")));
        }
        if start < Day::of(FIRST_START) {
            return Err((Some("start"), format!("is before {}: correct the row", Day::of(FIRST_START))));
        }
        let state = LoanState::named(self.text("state")).ok_or_else(|| {
            let names: Vec<_> = LoanState::ALL.iter().map(|(_, name)| *name).collect();
            (Some("state"), format!("is none of: {}", names.join(", ")))
        })?;
        Ok(Loan { amount, rate, start, state })
    }

    fn nothing_of_a_loan(&self) -> Result<(), Wrong> {
        let given = ["amount", "rate", "start", "state"].into_iter().find(|name| !self.text(name).is_empty());
        given
            .map_or(Ok(()), |name| Err((Some(name), "belongs to a loan, and this was declined: leave it empty".into())))
    }

    fn text(&self, name: &str) -> &str {
        let place = self.header.iter().position(|known| known == name);
        place.map_or("", |place| self.row.cell(place))
    }

    fn day(&self, name: &'static str) -> Result<Day, Wrong> {
        self.text(name).parse().map_err(|error| (Some(name), format!("{error}")))
    }
}

/// An amount in yuan, as cents; above 0, at most 10^12 yuan.
fn cents(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 12 || part.len() > 2 || !digits(whole) || !digits(part) {
        return None;
    }
    let cents: i64 = format!("{whole}{part:0<2}").parse().ok()?;
    (cents > 0).then_some(cents)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> CsvForm {
        CsvForm::default()
    }

    const HEAD: &str = "application,id,granted,amount,rate,start,state,as_of\n";

    fn read(text: &[u8]) -> Result<OutcomeFile, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outcomes.csv");
        std::fs::write(&path, text).unwrap();
        read_outcomes(&path, &plain(), IdentifierKind::Text, "2026-07-01".parse().unwrap())
    }

    #[test]
    fn good_rows_are_read() {
        let rows = "a-1,e1,1,1500000.5,4.35,2026-01-05,overdue-30,2026-06-30\na-2,e2,0,,,,,2026-02-01\n";
        let file = read(format!("\u{feff}{HEAD}{rows}").as_bytes()).unwrap();
        assert_eq!(file.wrong, []);
        let loan = file.outcomes[0].1.loan.as_ref().unwrap();
        assert_eq!((loan.amount, loan.rate, loan.state), (150_000_050, 4.35, LoanState::Overdue30));
        assert_eq!((file.outcomes[1].0, &file.outcomes[1].1.loan), (3, &None));
    }

    #[test]
    fn wrong_rows_are_all_named_and_the_others_are_read() {
        let rows: &[(&str, Option<&str>, &str)] = &[
            (",e1,0,,,,,2026-02-01", Some("application"), "empty"),
            ("a-2,,0,,,,,2026-02-01", Some("id"), "empty"),
            ("a-3,e1,maybe,,,,,2026-02-01", Some("granted"), "0 (declined)"),
            ("a-4,e1,0,,,,current,2026-02-01", Some("state"), "leave it empty"),
            ("a-5,e1,1,1.234,4,2026-01-01,current,2026-02-01", Some("amount"), "two decimals"),
            ("a-6,e1,1,-5,4,2026-01-01,current,2026-02-01", Some("amount"), "above 0"),
            ("a-7,e1,1,5,x,2026-01-01,current,2026-02-01", Some("rate"), "4.35"),
            ("a-8,e1,1,5,4,2026-13-01,current,2026-02-01", Some("start"), "YYYY-MM-DD"),
            ("a-9,e1,1,5,4,2026-03-01,current,2026-02-01", Some("start"), "later"),
            ("a-10,e1,1,5,4,2026-01-01,late,2026-02-01", Some("state"), "overdue-30"),
            ("a-11,e1,1,5,4,2026-01-01,current,", Some("as_of"), "YYYY-MM-DD"),
            ("a-12,e1,0", None, "3 values"),
            ("a-13,e1,0,,,,,2026-07-02", Some("as_of"), "later than 2026-07-01, today"),
            ("a-14,e1,1,5,4,7461-04-01,current,7461-05-01", Some("as_of"), "today"),
            ("a-15,e1,1,5,4,1999-12-31,current,2026-02-01", Some("start"), "before 2000-01-01"),
            ("good,e1,0,,,,,2026-02-01", None, ""),
            ("good,e1,0,,,,,2026-02-01", Some("application"), "line 17"),
        ];
        let text: String = rows.iter().map(|(row, _, _)| format!("{row}\n")).collect();
        let file = read(format!("{HEAD}{text}").as_bytes()).unwrap();
        assert_eq!(file.outcomes.len(), 1);
        let wrong: Vec<_> = rows.iter().enumerate().filter(|(_, row)| !row.2.is_empty()).collect();
        assert_eq!(file.wrong.len(), wrong.len());
        for (found, (place, (_, column, word))) in file.wrong.iter().zip(wrong) {
            assert_eq!((found.line, found.column.as_deref()), (place as u64 + 2, *column), "{found:?}");
            assert!(found.reason.contains(word), "{found:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_a_mistake_of_the_file() {
        let mut text = HEAD.as_bytes().to_vec();
        text.extend(b"a-2,e2,0,,,,,2026-02-01\na-1,\xff\xfe,0,,,,,2026-02-01\n");
        let error = read(&text).unwrap_err();
        assert_eq!((error.row, error.column.as_deref()), (Some(3), Some("id")), "{error}");
    }

    #[test]
    fn a_file_of_another_kind_is_refused() {
        for (text, word) in [
            (&b"application,id\n"[..], "granted"),
            (b"application,id,granted,amount,rate,start,state,as_of,colour\n", "colour"),
            (b"application,id,id,granted,amount,rate,start,state,as_of\n", "twice"),
            (b"", "empty"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn rejects_are_written_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let [input, output] = ["in.csv", "out.csv"].map(|name| folder.path().join(name));
        std::fs::write(&input, format!("{HEAD}a-1,e1,0,,,,,2026-02-01\n\"b,1\",e2,2,,,,,2026-02-01\n")).unwrap();
        let file = read_outcomes(&input, &plain(), IdentifierKind::Text, "2026-07-01".parse().unwrap()).unwrap();
        write_rejects(&input, &plain(), &file.wrong, &output).unwrap();
        let text = std::fs::read_to_string(&output).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(
            lines[1].starts_with("\"b,1\",e2,2,") && lines[1].ends_with("is 1 (granted) or 0 (declined)"),
            "{text}"
        );
    }
}
