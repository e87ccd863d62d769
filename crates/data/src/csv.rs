//! CSV files in: a header, one row an enterprise, with cohorts one a day of observation of it. Every mistake names file, row, column and remedy, never the identifier.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use csv::StringRecord;
use tally_policy::Day;

use crate::dataset::{DataColumn, Dataset, Values};
use crate::dictionary::{Dictionary, FieldKind};
use crate::keys::IdentifierKind;
use crate::quality::FieldQuality;

/// How to read a file.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// Name of the data set.
    pub name: String,
    /// Date of the snapshot, ISO 8601.
    pub as_of: String,
    /// Column of the identifier.
    pub identifier: String,
    /// Column of the observation day, if an identifier has rows of several days.
    pub cohort: Option<String>,
    /// What identifiers are.
    pub kind: IdentifierKind,
    /// Column of the label, if there shall be one.
    pub label: Option<String>,
    /// Fields that the file must have; it may have no other columns.
    pub dictionary: Dictionary,
    /// File column to field, where names differ.
    pub map: BTreeMap<String, String>,
    /// What happens to values that do not fit the dictionary.
    pub misfits: Misfits,
}

/// What happens to a value that is not a number, or none of its category's values. Identifiers and labels always have to fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Misfits {
    /// The file is refused.
    #[default]
    Refuse,
    /// The value counts as missing, and as a misfit of its field.
    Missing,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The data set.
    pub dataset: Dataset,
    /// What was missing or did not fit, a field each, in the dictionary's order.
    pub fields: Vec<FieldQuality>,
}

/// What is wrong with a file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {reason}", .file.display(), place(*.row, .column.as_deref()))]
pub struct DataError {
    /// The file.
    pub file: PathBuf,
    /// Line, from 1; the header is line 1.
    pub row: Option<u64>,
    /// Column name in the file.
    pub column: Option<String>,
    /// What is wrong, and the remedy.
    pub reason: String,
}

fn place(row: Option<u64>, column: Option<&str>) -> String {
    let row = row.map(|row| format!(", row {row}")).unwrap_or_default();
    let column = column.map(|column| format!(", column `{column}`")).unwrap_or_default();
    row + &column
}

/// Reads a file.
///
/// # Errors
/// Names the first thing that is wrong; nothing is kept then.
pub fn read_csv(path: &Path, options: &ReadOptions) -> Result<Loaded, DataError> {
    let reader = Reader { path, options };
    let mut file = csv::ReaderBuilder::new()
        .flexible(true)
        .from_path(path)
        .map_err(|error| reader.wrong(None, None, format!("cannot read the file: {error}")))?;
    let header = file.headers().map_err(|error| reader.unreadable(&error))?.clone();
    let roles = reader.roles(&header)?;
    let as_of = options.as_of.parse().map_err(|error| reader.wrong(None, None, format!("its own day: {error}")))?;
    let identifier = roles.iter().position(|role| *role == Role::Identifier).and_then(|place| header.get(place));
    let mut rows = Rows::new(options, as_of);
    let mut record = StringRecord::new();
    while file.read_record(&mut record).map_err(|error| reader.unreadable(&error))? {
        let line = record.position().map_or(0, csv::Position::line);
        if record.len() != header.len() {
            let reason =
                format!("has {} values, the header has {}: quote values that hold commas", record.len(), header.len());
            return Err(reader.wrong(Some(line), None, reason));
        }
        for ((role, name), text) in roles.iter().zip(&header).zip(&record) {
            rows.take(*role, text, options).map_err(|reason| reader.wrong(Some(line), Some(name), reason))?;
        }
        rows.distinct(line).map_err(|reason| reader.wrong(Some(line), identifier, reason))?;
    }
    if rows.identifiers.is_empty() {
        return Err(reader.wrong(None, None, "there are no rows below the header".into()));
    }
    Ok(rows.finish(options))
}

/// What a column of the file is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Identifier,
    Cohort,
    Label,
    Field(usize),
}

struct Reader<'a> {
    path: &'a Path,
    options: &'a ReadOptions,
}

impl Reader<'_> {
    fn wrong(&self, row: Option<u64>, column: Option<&str>, reason: String) -> DataError {
        DataError { file: self.path.into(), row, column: column.map(Into::into), reason }
    }

    fn unreadable(&self, error: &csv::Error) -> DataError {
        let row = error.position().map(csv::Position::line);
        match error.kind() {
            csv::ErrorKind::Utf8 { .. } => self.wrong(row, None, "is not UTF-8: save the file as UTF-8".into()),
            _ => self.wrong(row, None, format!("cannot be read: {error}")),
        }
    }

    fn roles(&self, header: &StringRecord) -> Result<Vec<Role>, DataError> {
        let wrong = |column: Option<&str>, reason: String| self.wrong(Some(1), column, reason);
        let mut roles = Vec::new();
        for (place, name) in header.iter().enumerate() {
            let name = if place == 0 { name.trim_start_matches('\u{feff}') } else { name }.trim();
            let role = self.role(name).ok_or_else(|| {
                let known = "is not in the dictionary or list: remove it, or map it to a field with --map COLUMN=FIELD";
                wrong(Some(name), known.into())
            })?;
            if roles.contains(&role) {
                return Err(wrong(Some(name), "stands twice in the header".into()));
            }
            roles.push(role);
        }
        let missing = |role: Role| !roles.contains(&role);
        if missing(Role::Identifier) {
            let reason = "is missing from the header: name the identifier's column with --identifier".into();
            return Err(wrong(Some(&self.options.identifier), reason));
        }
        if let Some(cohort) = self.options.cohort.as_deref().filter(|_| missing(Role::Cohort)) {
            return Err(wrong(Some(cohort), "is missing from the header: name the day's column with --cohort".into()));
        }
        if let Some(label) = self.options.label.as_deref().filter(|_| missing(Role::Label)) {
            return Err(wrong(Some(label), "the label is missing from the header".into()));
        }
        for (place, field) in self.options.dictionary.fields.iter().enumerate() {
            if missing(Role::Field(place)) {
                let reason =
                    "the field is missing from the header: add it, or map a column to it with --map COLUMN=FIELD";
                return Err(wrong(Some(&field.name), reason.into()));
            }
        }
        Ok(roles)
    }

    fn role(&self, name: &str) -> Option<Role> {
        let name = self.options.map.get(name).map_or(name, String::as_str);
        if name == self.options.identifier {
            return Some(Role::Identifier);
        }
        if self.options.cohort.as_deref() == Some(name) {
            return Some(Role::Cohort);
        }
        if self.options.label.as_deref() == Some(name) {
            return Some(Role::Label);
        }
        self.options.dictionary.fields.iter().position(|field| field.name == name).map(Role::Field)
    }
}

/// Rows read so far.
struct Rows {
    as_of: Day,
    identifiers: Vec<String>,
    cohorts: Vec<Day>,
    seen: HashMap<(String, Option<Day>), u64>,
    label: Vec<u8>,
    columns: Vec<Values>,
    fields: Vec<FieldQuality>,
}

impl Rows {
    fn new(options: &ReadOptions, as_of: Day) -> Self {
        let columns = options.dictionary.fields.iter().map(|field| match &field.kind {
            FieldKind::Numeric => Values::Numeric(Vec::new()),
            FieldKind::Category { values } => Values::Category { codes: Vec::new(), values: values.clone() },
        });
        let fields = options.dictionary.fields.iter();
        Self {
            as_of,
            identifiers: Vec::new(),
            cohorts: Vec::new(),
            seen: HashMap::new(),
            label: Vec::new(),
            columns: columns.collect(),
            fields: fields.map(|field| FieldQuality { name: field.name.clone(), blank: 0, misfits: 0 }).collect(),
        }
    }

    fn take(&mut self, role: Role, text: &str, options: &ReadOptions) -> Result<(), String> {
        let text = text.trim();
        match role {
            Role::Identifier => {
                let identifier = options.kind.canonical(text).map_err(|error| format!("{error}: correct the row"))?;
                self.identifiers.push(identifier);
            }
            Role::Cohort => {
                let day: Day = text.parse().map_err(|error| format!("{error}"))?;
                if day > self.as_of {
                    return Err(format!(
                        "the row is of {day}, the data set only of {}: correct the row, or import with a later --as-of",
                        self.as_of
                    ));
                }
                self.cohorts.push(day);
            }
            Role::Label => self.label.push(match text {
                "0" | "0.0" => 0,
                "1" | "1.0" => 1,
                _ => return Err("a label is 0 (good) or 1 (bad)".into()),
            }),
            Role::Field(place) => self.take_value(place, text, options.misfits)?,
        }
        Ok(())
    }

    /// Refuses the row just taken if its identifier, with its cohort, stood before.
    fn distinct(&mut self, line: u64) -> Result<(), String> {
        let Some(identifier) = self.identifiers.last() else { return Ok(()) };
        let cohort = self.cohorts.last().copied();
        match (self.seen.insert((identifier.clone(), cohort), line), cohort) {
            (None, _) => Ok(()),
            (Some(earlier), None) => Err(format!(
                "the same identifier stands in row {earlier}: keep one of the two, or name a column of days with --cohort"
            )),
            (Some(earlier), Some(day)) => {
                Err(format!("the same identifier stands in row {earlier} with the same day {day}: keep one of the two"))
            }
        }
    }

    fn take_value(&mut self, place: usize, text: &str, misfits: Misfits) -> Result<(), String> {
        let found = &mut self.fields[place];
        let mut misfit = |reason: String| match misfits {
            Misfits::Refuse => Err(reason),
            Misfits::Missing => {
                found.misfits += 1;
                Ok(())
            }
        };
        match &mut self.columns[place] {
            Values::Numeric(values) => match number(text) {
                Ok(value) => values.push(value),
                Err(reason) => {
                    misfit(reason)?;
                    values.push(f64::NAN);
                }
            },
            Values::Category { codes, values } => {
                let code = if text.is_empty() { Some(0) } else { category(values, text) };
                if code.is_none() {
                    misfit(format!("`{text}` is not one of: {}", values.join(", ")))?;
                }
                codes.push(code.unwrap_or(0));
            }
        }
        found.blank += u64::from(text.is_empty());
        Ok(())
    }

    fn finish(self, options: &ReadOptions) -> Loaded {
        let names = options.dictionary.fields.iter().map(|field| field.name.clone());
        let columns = names.zip(self.columns).map(|(name, values)| DataColumn { name, values });
        let dataset = Dataset {
            name: options.name.clone(),
            as_of: options.as_of.clone(),
            identifiers: self.identifiers,
            cohorts: options.cohort.is_some().then_some(self.cohorts),
            label: options.label.is_some().then_some(self.label),
            columns: columns.collect(),
        };
        Loaded { dataset, fields: self.fields }
    }
}

fn number(text: &str) -> Result<f64, String> {
    if text.is_empty() {
        return Ok(f64::NAN);
    }
    let value: f64 = text.parse().map_err(|_| "is not a number; leave it empty where it is missing".to_owned())?;
    if value.is_finite() { Ok(value) } else { Err("is not a finite number; leave it empty where it is missing".into()) }
}

fn category(values: &[String], text: &str) -> Option<u16> {
    u16::try_from(values.iter().position(|value| value == text)? + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dictionary::FieldDefinition;
    use tally_model::text::Text;

    fn options() -> ReadOptions {
        let field = |name: &str, kind| FieldDefinition { name: name.into(), title: Text::default(), kind };
        let collateral = FieldKind::Category { values: vec!["none".into(), "property".into()] };
        ReadOptions {
            name: "loans".into(),
            as_of: "2026-06-30".into(),
            identifier: "id".into(),
            cohort: None,
            kind: IdentifierKind::Text,
            label: Some("y".into()),
            dictionary: Dictionary {
                fields: vec![field("amount", FieldKind::Numeric), field("collateral", collateral)],
            },
            map: BTreeMap::from([("betrag".into(), "amount".into())]),
            misfits: Misfits::Refuse,
        }
    }

    fn read(text: &[u8]) -> Result<Loaded, DataError> {
        read_with(text, &options())
    }

    fn read_with(text: &[u8], options: &ReadOptions) -> Result<Loaded, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bank.csv");
        std::fs::write(&path, text).unwrap();
        read_csv(&path, options)
    }

    #[test]
    fn a_clean_file_is_read() {
        let Loaded { dataset: data, fields } =
            read(b"\xef\xbb\xbfid,y,betrag,collateral\r\na,0,1.5,none\r\nb,1,,\r\n").unwrap();
        assert_eq!(data.identifiers, ["a", "b"]);
        assert_eq!(data.label, Some(vec![0, 1]));
        let counts: Vec<_> = fields.iter().map(|field| (field.name.as_str(), field.blank, field.misfits)).collect();
        assert_eq!(counts, [("amount", 1, 0), ("collateral", 1, 0)]);
    }

    #[test]
    fn misfits_count_as_missing_where_they_are_tolerated() {
        let tolerant = ReadOptions { misfits: Misfits::Missing, ..options() };
        let text = b"id,y,amount,collateral\na,0,x,none\nb,1,inf,gold\nc,0,,property\nd,0,2,\n";
        let Loaded { dataset, fields } = read_with(text, &tolerant).unwrap();
        let counts: Vec<_> = fields.iter().map(|field| (field.blank, field.misfits)).collect();
        assert_eq!(counts, [(1, 2), (1, 1)]);
        let Some(Values::Numeric(amounts)) = dataset.column("amount") else { panic!("no numbers") };
        assert_eq!(amounts.iter().map(|amount| amount.is_nan()).collect::<Vec<_>>(), [true, true, true, false]);
        let Some(Values::Category { codes, .. }) = dataset.column("collateral") else { panic!("no categories") };
        assert_eq!(*codes, [1, 0, 2, 0]);
        // Identifiers and labels have to fit all the same.
        assert!(read_with(b"id,y,amount,collateral\na,2,1,none\n", &tolerant).is_err());
        assert!(read_with(b"id,y,amount,collateral\n,0,1,none\n", &tolerant).is_err());
    }

    #[test]
    fn rows_are_distinct_by_identifier_and_cohort() {
        let cohorts = ReadOptions { cohort: Some("day".into()), ..options() };
        let head = "id,day,y,amount,collateral\n";
        let read = |rows: &str| read_with(format!("{head}{rows}").as_bytes(), &cohorts);
        let data = read("a,2026-03-31,0,1,none\na,2026-06-30,1,2,none\nb,2026-03-31,0,3,none\n").unwrap().dataset;
        assert_eq!(data.identifiers, ["a", "a", "b"]);
        assert_eq!([0, 1, 2].map(|row| data.key(row).into_owned()), ["a#2026-03-31", "a#2026-06-30", "b#2026-03-31"]);
        for (rows, row, column, word) in [
            ("a,2026-03-31,0,1,none\na,2026-03-31,1,2,none\n", 3, "id", "row 2 with the same day 2026-03-31"),
            ("a,2026-07-01,0,1,none\n", 2, "day", "--as-of"),
            ("a,2026-02-29,0,1,none\n", 2, "day", "YYYY-MM-DD"),
            ("a,,0,1,none\n", 2, "day", "YYYY-MM-DD"),
        ] {
            let error = read(rows).unwrap_err();
            assert_eq!((error.row, error.column.as_deref()), (Some(row), Some(column)), "{error}");
            assert!(error.to_string().contains(word), "{error}");
        }
        let error = read_with(b"id,y,amount,collateral\n", &cohorts).unwrap_err();
        assert!(error.to_string().contains("--cohort"), "{error}");
    }

    #[test]
    fn every_mistake_names_row_column_and_remedy() {
        for (text, row, column, word) in [
            (&b"id,y,amount\na,0,1\n"[..], Some(1), Some("collateral"), "missing"),
            (b"id,y,amount,collateral,extra\n", Some(1), Some("extra"), "--map"),
            (b"id,y,amount,amount,collateral\n", Some(1), Some("amount"), "twice"),
            (b"id,y,amount,collateral\na,2,1,none\n", Some(2), Some("y"), "0 (good)"),
            (b"id,y,amount,collateral\na,0,x,none\n", Some(2), Some("amount"), "number"),
            (b"id,y,amount,collateral\na,0,inf,none\n", Some(2), Some("amount"), "finite"),
            (b"id,y,amount,collateral\na,0,1,gold\n", Some(2), Some("collateral"), "property"),
            (b"id,y,amount,collateral\na,0,1,none\nb,0,1,none\na,1,1,none\n", Some(4), Some("id"), "row 2"),
            (b"id,y,amount,collateral\na,0,1\n", Some(2), None, "3 values"),
            (b"id,y,amount,collateral\n,0,1,none\n", Some(2), Some("id"), "empty"),
            (b"id,y,amount,collateral\na,0,1,\xff\xfe\n", Some(2), None, "UTF-8"),
            (b"id,y,amount,collateral\n", None, None, "no rows"),
            (b"", Some(1), Some("id"), "--identifier"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!((error.row, error.column.as_deref()), (row, column), "{error}");
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
