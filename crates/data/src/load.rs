//! Files to data sets: a header, one row an enterprise, with cohorts one a day of observation of it. Every mistake names file, row, column and remedy, never the identifier.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use tally_policy::Day;

use crate::dataset::{DataColumn, Dataset, Values};
use crate::dictionary::{Dictionary, FieldKind};
use crate::keys::IdentifierKind;
use crate::quality::FieldQuality;
use crate::table::{CsvForm, DataError, Table, number, quoted, some_of};

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
    /// How it is written, if it is CSV.
    pub form: CsvForm,
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

/// Reads a file, CSV or Parquet.
///
/// # Errors
/// Names the first thing that is wrong; nothing is kept then.
pub fn load(path: &Path, options: &ReadOptions) -> Result<Loaded, DataError> {
    let as_of = options.as_of.parse();
    let as_of = as_of.map_err(|error| DataError::new(path, None, None, format!("its own day: {error}")))?;
    let table = Table::open(path, &options.form)?;
    let roles = Header { table: &table, options }.roles()?;
    let names = table.header().to_vec();
    let asked: Vec<usize> = (0..names.len()).filter(|column| roles[*column] != Role::Index).collect();
    let identifier = roles.iter().position(|role| *role == Role::Identifier).map(|place| names[place].clone());
    let mut file = table.rows(&asked)?;
    let mut rows = Rows::new(options, as_of);
    while let Some(row) = file.next_row()? {
        let line = row.line;
        if let Some(reason) = row.uneven() {
            return Err(DataError::new(path, Some(line), None, reason));
        }
        for (place, column) in asked.iter().enumerate() {
            let taken = rows.take(roles[*column], row.cell(place), options);
            taken.map_err(|reason| DataError::new(path, Some(line), Some(&names[*column]), reason))?;
        }
        rows.distinct(line).map_err(|reason| DataError::new(path, Some(line), identifier.as_deref(), reason))?;
    }
    if rows.identifiers.is_empty() {
        return Err(file.wrong(None, None, "there are no rows below the header"));
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
    /// A column without a name, such as a delimiter at the end of every line makes: it holds nothing.
    Nameless,
    /// The row numbers that pandas writes beside a table.
    Index,
}

struct Header<'a> {
    table: &'a Table,
    options: &'a ReadOptions,
}

impl Header<'_> {
    fn roles(&self) -> Result<Vec<Role>, DataError> {
        let wrong = |column: Option<&str>, reason: &str| self.table.wrong(self.table.header_line(), column, reason);
        let mut roles = Vec::new();
        for name in self.table.header() {
            let role = self.role(name).ok_or_else(|| {
                wrong(
                    Some(name),
                    "is not in the dictionary or list: remove it, or map it to a field with --map COLUMN=FIELD",
                )
            })?;
            if roles.contains(&role) && !matches!(role, Role::Nameless | Role::Index) {
                return Err(wrong(
                    Some(name),
                    "is mapped to a field that has a column already, so it stands twice in the header",
                ));
            }
            roles.push(role);
        }
        let missing = |role: Role| !roles.contains(&role);
        if missing(Role::Identifier) {
            let reason = "is missing from the header: name the identifier's column with --identifier";
            return Err(wrong(Some(&self.options.identifier), reason));
        }
        if let Some(cohort) = self.options.cohort.as_deref().filter(|_| missing(Role::Cohort)) {
            return Err(wrong(Some(cohort), "is missing from the header: name the day's column with --cohort"));
        }
        if let Some(label) = self.options.label.as_deref().filter(|_| missing(Role::Label)) {
            return Err(wrong(Some(label), "the label is missing from the header"));
        }
        for (place, field) in self.options.dictionary.fields.iter().enumerate() {
            if missing(Role::Field(place)) {
                let reason =
                    "the field is missing from the header: add it, or map a column to it with --map COLUMN=FIELD";
                return Err(wrong(Some(&field.name), reason));
            }
        }
        Ok(roles)
    }

    fn role(&self, name: &str) -> Option<Role> {
        let name = self.options.map.get(name).map_or(name, String::as_str);
        if name.is_empty() {
            return Some(Role::Nameless);
        }
        if name == self.options.identifier {
            return Some(Role::Identifier);
        }
        if self.options.cohort.as_deref() == Some(name) {
            return Some(Role::Cohort);
        }
        if self.options.label.as_deref() == Some(name) {
            return Some(Role::Label);
        }
        let field = self.options.dictionary.fields.iter().position(|field| field.name == name).map(Role::Field);
        field.or(name.starts_with("__index_level_").then_some(Role::Index))
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
    /// Codes of the values of each category, none of numbers.
    codes: Vec<HashMap<String, u16>>,
    fields: Vec<FieldQuality>,
}

impl Rows {
    fn new(options: &ReadOptions, as_of: Day) -> Self {
        let columns = options.dictionary.fields.iter().map(|field| match &field.kind {
            FieldKind::Numeric => Values::Numeric(Vec::new()),
            FieldKind::Category { values } => Values::Category { codes: Vec::new(), values: values.clone() },
        });
        let codes = options.dictionary.fields.iter().map(|field| match &field.kind {
            FieldKind::Numeric => HashMap::new(),
            FieldKind::Category { values } => values.iter().cloned().zip(1..).collect(),
        });
        let fields = options.dictionary.fields.iter();
        Self {
            codes: codes.collect(),
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
            Role::Nameless if !text.is_empty() => {
                return Err("holds a value in a column without a name: name the column, or remove it".into());
            }
            Role::Nameless | Role::Index => {}
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
                let code = if text.is_empty() { Some(0) } else { self.codes[place].get(text).copied() };
                if code.is_none() {
                    misfit(format!("{} is not one of: {}", quoted(text), some_of(values)))?;
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
            form: CsvForm::default(),
        }
    }

    fn read(text: &[u8]) -> Result<Loaded, DataError> {
        read_with(text, &options())
    }

    fn read_with(text: &[u8], options: &ReadOptions) -> Result<Loaded, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bank.csv");
        std::fs::write(&path, text).unwrap();
        load(&path, options)
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
            (b"id,y,amount,collateral\na,0,1,\xff\xfe\n", Some(2), Some("collateral"), "UTF-8"),
            (b"id,y,amount,collateral\n", None, None, "no rows"),
            (b"", None, None, "empty"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!((error.row, error.column.as_deref()), (row, column), "{error}");
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
