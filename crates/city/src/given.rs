//! A city from given data: `platform.csv` and `bank.csv` with a header, `id`, and `y` at the bank.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rand_core::Rng as _;
use tally_crypto::seed::Seed;
use tally_crypto::transcript::Digest;
use tally_model::text::Text;

use crate::table::{Cells, Table, TableColumn};
use crate::{Book, City};

/// What is wrong with given data.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", .file.display())]
pub struct GivenError {
    file: PathBuf,
    reason: String,
}

/// A file as text.
struct Given {
    file: PathBuf,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

pub(crate) fn city(directory: &Path, banks: usize, consent_rate: f64) -> Result<City, GivenError> {
    let platform = Given::read(&directory.join("platform.csv"))?;
    let bank = Given::read(&directory.join("bank.csv"))?;
    let seed = Seed::new([0; 32]).derive("tallystick/given", &[]);
    let ids = platform.column("id")?;
    let place: HashMap<&str, u32> = ids.iter().map(String::as_str).zip(0..).collect();
    let bank_ids = bank.column("id")?;
    let label = bank.labels()?;
    let kinds: Vec<_> = bank.fields(&["id", "y"]).map(|field| bank.kind(field)).collect();
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
    let columns =
        platform.fields(&["id"]).map(|field| platform.cells(field, &platform.kind(field), &everyone)).collect();
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
    fn read(path: &Path) -> Result<Self, GivenError> {
        let wrong = |reason: String| GivenError { file: path.into(), reason };
        let mut reader = csv::Reader::from_path(path).map_err(|error| wrong(error.to_string()))?;
        let header = reader.headers().map_err(|error| wrong(error.to_string()))?;
        let header: Vec<String> = header.iter().map(|name| name.trim_start_matches('\u{feff}').trim().into()).collect();
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| wrong(error.to_string()))?;
            rows.push(record.iter().map(|text| text.trim().to_owned()).collect());
        }
        if rows.is_empty() {
            return Err(wrong("there are no rows below the header".into()));
        }
        Ok(Self { file: path.into(), header, rows })
    }

    fn wrong(&self, reason: String) -> GivenError {
        GivenError { file: self.file.clone(), reason }
    }

    fn place(&self, name: &str) -> Result<usize, GivenError> {
        self.header
            .iter()
            .position(|column| column == name)
            .ok_or_else(|| self.wrong(format!("the header has no column `{name}`: name the column so")))
    }

    fn column(&self, name: &str) -> Result<Vec<String>, GivenError> {
        let place = self.place(name)?;
        Ok(self.rows.iter().map(|row| row[place].clone()).collect())
    }

    fn labels(&self) -> Result<Vec<u8>, GivenError> {
        let read = |(row, text): (usize, String)| match text.as_str() {
            "0" | "0.0" => Ok(0),
            "1" | "1.0" => Ok(1),
            _ => Err(self.wrong(format!("row {}, column `y`: a label is 0 (good) or 1 (bad)", row + 2))),
        };
        self.column("y")?.into_iter().enumerate().map(read).collect()
    }

    fn fields<'a>(&'a self, others: &'a [&str]) -> impl Iterator<Item = usize> + 'a {
        (0..self.header.len()).filter(move |place| !others.contains(&self.header[*place].as_str()))
    }

    /// The values of a category column, `None` for numbers.
    fn kind(&self, field: usize) -> Option<Vec<String>> {
        let texts = || self.rows.iter().map(|row| &row[field]).filter(|text| !text.is_empty());
        if texts().all(|text| text.parse::<f64>().is_ok_and(f64::is_finite)) {
            return None;
        }
        let values: std::collections::BTreeSet<_> = texts().cloned().collect();
        Some(values.into_iter().collect())
    }

    fn cells(&self, field: usize, kind: &Option<Vec<String>>, rows: &[usize]) -> TableColumn {
        let texts = rows.iter().map(|&row| &self.rows[row][field]);
        let cells = match kind {
            None => Cells::Numbers(texts.map(|text| text.parse().unwrap_or(f64::NAN)).collect()),
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
