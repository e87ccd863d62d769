//! What a trial needs besides nodes: a synthetic city with its files, and the consortium's small certificate authority.
//!
//! | module | what it holds |
//! |---|---|
//! | [`City`] | enterprises, books and files; generated, or split from given data |
//! | [`ca`] | certificates and the signed registry |
//! | [`SystemsAuthority`] | certificates of a bank's own systems |

pub mod ca;
mod documents;
mod fields;
mod generate;
mod given;
mod systems;
mod table;

pub use documents::{consent_digest, consent_event, consent_id, event_of, signed_consent, signed_list};
pub use generate::Options;
pub use systems::{SystemsAuthority, SystemsPair};

use std::path::Path;

use tally_crypto::seed::Seed;
use tally_data::{CsvForm, DataError};

use table::Table;

/// A city: the platform's table, each bank's book, and who consents to whom.
pub struct City {
    seed: Seed,
    platform: Table,
    banks: Vec<Book>,
}

/// One bank's book.
struct Book {
    name: String,
    table: Table,
    label: Vec<u8>,
    /// Platform rows whose consent names this bank.
    consented: Vec<u32>,
}

impl City {
    /// Generates a synthetic city; the same options give the same city.
    pub fn generate(options: &Options) -> Self {
        generate::city(options)
    }

    /// Splits `platform.csv` and `bank.csv` of a directory over `banks` banks by a keyed hash of the identifier.
    ///
    /// # Errors
    /// Names file, row and remedy.
    pub fn from_data(directory: &Path, banks: usize, consent_rate: f64, form: &CsvForm) -> Result<Self, DataError> {
        given::city(directory, banks, consent_rate, form)
    }

    /// What each column was taken for, a line each: a number, or a category and how many values it has.
    pub fn columns(&self) -> Vec<String> {
        let bank = self.banks.first().map(|book| ("bank", &book.table));
        let tables = [("platform", &self.platform)].into_iter().chain(bank);
        let columns = tables.flat_map(|(file, table)| table.columns.iter().map(move |column| (file, column)));
        columns.map(|(file, column)| format!("  {file}, {}: {}", column.name, column.cells.kind())).collect()
    }

    /// Writes what the parties would bring: `platform.csv`, `bank-N.csv`, `applicants-bank-N.csv`, `list.json`,
    /// `dictionary.json`, `consents-bank-N.jsonl`, `registrar.json`, `authority.json`.
    ///
    /// # Errors
    /// Passes on the file system's error.
    pub fn write(&self, directory: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(directory)?;
        self.platform.write(&directory.join("platform.csv"), None, None)?;
        for book in &self.banks {
            book.table.write(&directory.join(format!("{}.csv", book.name)), Some(&book.label), None)?;
            let applicants = self.applicants(book);
            let path = directory.join(format!("applicants-{}.csv", book.name));
            book.table.write(&path, None, Some(&applicants))?;
        }
        documents::write(self, directory)
    }

    /// Ten rows of a book with consent, of the hold-out where there are enough.
    fn applicants(&self, book: &Book) -> Vec<usize> {
        let consented: std::collections::BTreeSet<_> =
            book.consented.iter().map(|&row| self.platform.ids[row as usize].as_str()).collect();
        let mut rows: Vec<_> =
            (0..book.table.ids.len()).filter(|&row| consented.contains(book.table.ids[row].as_str())).collect();
        rows.sort_by_key(|&row| !tally_model::is_holdout(&book.table.ids[row]));
        rows.truncate(10);
        rows
    }
}
