//! A city from given data: `platform.csv` and `bank.csv` with a header, `id`, and `y` at the bank.
//!
//! Nobody says what the columns are, so they tell it themselves: a number where every value is one, a category otherwise, unless
//! nearly every value is a number. Then the first that is none is named, since a number taken for a category is lost.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rand_core::Rng as _;
use tally_crypto::seed::Seed;
use tally_crypto::transcript::Digest;
use tally_data::{
    CsvForm, DataError, IdentifierKind, Table as File, nearly_number, number, quoted, stands_for_nothing,
};
use tally_model::text::Text;
use tally_policy::MOST_CATEGORIES;

use crate::table::{Cells, Table, TableColumn};
use crate::{Book, City};

/// A file as text.
struct Given {
    file: PathBuf,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    /// Line of each row.
    lines: Vec<u64>,
}

/// Values that tell a number from a code: more numbers than this are no kinds.
const MANY: usize = 20;

pub(crate) fn city(directory: &Path, banks: usize, consent_rate: f64, form: &CsvForm) -> Result<City, DataError> {
    let platform = Given::read(&directory.join("platform.csv"), form)?;
    let bank = Given::read(&directory.join("bank.csv"), form)?;
    let seed = Seed::new([0; 32]).derive("tallystick/given", &[]);
    let ids = platform.identifiers()?;
    let place: HashMap<&str, u32> = ids.iter().map(String::as_str).zip(0..).collect();
    let bank_ids = bank.identifiers()?;
    let label = bank.labels()?;
    let kinds = bank.fields(&["id", "y"]).map(|field| bank.kind(field)).collect::<Result<Vec<_>, _>>()?;
    let mut books = Vec::new();
    for number in 0..banks {
        let rows: Vec<usize> =
            (0..bank.rows.len()).filter(|&row| home(&seed, &bank_ids[row], banks) == number).collect();
        let mut draws = seed.rng("consent", &[&number.to_be_bytes()]);
        let mut consents = || (draws.next_u64() >> 11) as f64 / ((1u64 << 53) as f64) < consent_rate;
        let mut consented: Vec<u32> =
            rows.iter().filter_map(|&row| place.get(bank_ids[row].as_str()).copied()).filter(|_| consents()).collect();
        consented.sort_unstable();
        let columns = bank.fields(&["id", "y"]).zip(&kinds).map(|(field, kind)| bank.cells(field, kind, &rows));
        let table = Table { ids: rows.iter().map(|&row| bank_ids[row].clone()).collect(), columns: columns.collect() };
        let label = rows.iter().map(|&row| label[row]).collect();
        books.push(Book { name: format!("bank-{}", number + 1), table, label, consented });
    }
    let everyone: Vec<_> = (0..platform.rows.len()).collect();
    let columns = platform
        .fields(&["id"])
        .map(|field| Ok(platform.cells(field, &platform.kind(field)?, &everyone)))
        .collect::<Result<Vec<_>, DataError>>()?;
    Ok(City { seed, platform: Table { ids, columns }, banks: books })
}

/// The bank of an identifier: a keyed hash.
fn home(seed: &Seed, id: &str, banks: usize) -> usize {
    let digest = Digest::of("tallystick/home-bank/v1", &[seed.expose(), id.as_bytes()]);
    let mut first = [0; 8];
    first.copy_from_slice(&digest.as_bytes()[..8]);
    (u64::from_be_bytes(first) % banks as u64) as usize
}

impl Given {
    fn read(path: &Path, form: &CsvForm) -> Result<Self, DataError> {
        let table = File::open(path, form)?;
        let header = table.header().to_vec();
        let mut read = table.rows(&(0..header.len()).collect::<Vec<_>>())?;
        let (mut rows, mut lines) = (Vec::new(), Vec::new());
        while let Some(row) = read.next_row()? {
            if let Some(reason) = row.uneven() {
                return Err(DataError::new(path, Some(row.line), None, reason));
            }
            rows.push((0..header.len()).map(|place| row.cell(place).to_owned()).collect());
            lines.push(row.line);
        }
        if rows.is_empty() {
            return Err(DataError::new(path, None, None, "there are no rows below the header"));
        }
        Ok(Self { file: path.into(), header, rows, lines })
    }

    fn wrong(&self, row: Option<usize>, column: &str, reason: impl Into<String>) -> DataError {
        DataError::new(&self.file, row.map(|row| self.lines[row]), Some(column), reason)
    }

    fn place(&self, name: &str) -> Result<usize, DataError> {
        self.header.iter().position(|column| column == name).ok_or_else(|| {
            let reason = format!("the header has no column `{name}`: name the column so");
            DataError::new(&self.file, Some(1), None, reason)
        })
    }

    /// The identifiers; each stands once.
    fn identifiers(&self) -> Result<Vec<String>, DataError> {
        let place = self.place("id")?;
        let mut seen = HashMap::new();
        let read = |(row, cells): (usize, &Vec<String>)| {
            let id = IdentifierKind::Text.canonical(&cells[place]);
            let id = id.map_err(|error| self.wrong(Some(row), "id", format!("{error}: correct the row")))?;
            match seen.insert(id.clone(), row) {
                None => Ok(id),
                Some(earlier) => {
                    let line = self.lines[earlier];
                    let reason = format!("the same identifier stands in row {line}: keep one of the two");
                    Err(self.wrong(Some(row), "id", reason))
                }
            }
        };
        self.rows.iter().enumerate().map(read).collect()
    }

    fn labels(&self) -> Result<Vec<u8>, DataError> {
        let place = self.place("y")?;
        let read = |(row, cells): (usize, &Vec<String>)| match cells[place].as_str() {
            "0" | "0.0" => Ok(0),
            "1" | "1.0" => Ok(1),
            _ => Err(self.wrong(Some(row), "y", "a label is 0 (good) or 1 (bad)")),
        };
        self.rows.iter().enumerate().map(read).collect()
    }

    fn fields<'a>(&'a self, others: &'a [&str]) -> impl Iterator<Item = usize> + 'a {
        (0..self.header.len()).filter(move |place| {
            let name = self.header[*place].as_str();
            !name.is_empty() && !name.starts_with("__index_level_") && !others.contains(&name)
        })
    }

    /// The values of a category column, `None` for numbers.
    fn kind(&self, field: usize) -> Result<Option<Vec<String>>, DataError> {
        let texts = || self.rows.iter().map(|row| row[field].as_str()).enumerate().filter(|(_, text)| !text.is_empty());
        let Some((row, first)) = texts().find(|(_, text)| number(text).is_err()) else { return Ok(None) };
        let name = &self.header[field];
        let (mut numbers, mut others, mut meant) = (0usize, 0usize, 0usize);
        let mut distinct = std::collections::BTreeSet::new();
        for (_, text) in texts() {
            if number(text).is_ok() {
                numbers += 1;
                distinct.insert(text);
            } else {
                others += 1;
                meant += usize::from(nearly_number(text) || stands_for_nothing(text));
            }
        }
        // Nothing but numbers, numbers written otherwise and signs for nothing; or numbers, many of them, with a few exceptions.
        let all_meant = meant == others && (numbers > 0 || texts().any(|(_, text)| nearly_number(text)));
        if all_meant || (distinct.len() > MANY && numbers >= 4 * others) {
            let Err(reason) = number(first) else { return Ok(None) };
            let reason = format!("{reason}; {numbers} other values of the column are numbers");
            return Err(self.wrong(Some(row), name, reason));
        }
        let values: std::collections::BTreeSet<&str> = texts().map(|(_, text)| text).collect();
        if values.len() > MOST_CATEGORIES {
            let reason = format!(
                "is no number ({} in row {}), and a category has at most {MOST_CATEGORIES} values, this one {}: group them, or \
                 leave the column out",
                quoted(first),
                self.lines[row],
                values.len()
            );
            return Err(self.wrong(None, name, reason));
        }
        Ok(Some(values.into_iter().map(str::to_owned).collect()))
    }

    fn cells(&self, field: usize, kind: &Option<Vec<String>>, rows: &[usize]) -> TableColumn {
        let texts = rows.iter().map(|&row| &self.rows[row][field]);
        let cells = match kind {
            None => Cells::Numbers(texts.map(|text| number(text).unwrap_or(f64::NAN)).collect()),
            Some(values) => Cells::Codes {
                codes: texts
                    .map(|text| values.binary_search(text).map_or(0, |place| u16::try_from(place + 1).unwrap_or(0)))
                    .collect(),
                values: values.clone(),
            },
        };
        let name = self.header[field].clone();
        TableColumn {
            title: Text::new(&name, &name),
            name,
            category: "given".into(),
            owner: "given".into(),
            public: false,
            cells,
        }
    }
}
