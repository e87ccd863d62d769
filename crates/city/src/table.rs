//! A table on its way to a CSV file.

use std::path::Path;

use tally_model::text::Text;

/// Identifiers and columns.
pub(crate) struct Table {
    pub(crate) ids: Vec<String>,
    pub(crate) columns: Vec<TableColumn>,
}

/// One column.
pub(crate) struct TableColumn {
    pub(crate) name: String,
    pub(crate) title: Text,
    pub(crate) category: String,
    pub(crate) owner: String,
    pub(crate) public: bool,
    pub(crate) cells: Cells,
}

/// Its values.
pub(crate) enum Cells {
    /// Numbers, NaN where missing.
    Numbers(Vec<f64>),
    /// Codes from 1, 0 where missing.
    Codes { codes: Vec<u16>, values: Vec<String> },
}

impl Cells {
    /// What the cells are, in words.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Numbers(_) => "number".into(),
            Self::Codes { values, .. } => format!("category of {} values", values.len()),
        }
    }

    fn text(&self, row: usize) -> String {
        match self {
            Self::Numbers(numbers) if numbers[row].is_nan() => String::new(),
            Self::Numbers(numbers) => numbers[row].to_string(),
            Self::Codes { codes, values } => {
                codes[row].checked_sub(1).map(|place| values[usize::from(place)].clone()).unwrap_or_default()
            }
        }
    }
}

impl Table {
    /// Writes the table: `id`, then `y` if there are labels, then the columns; all rows, or the chosen ones.
    pub(crate) fn write(&self, path: &Path, label: Option<&[u8]>, rows: Option<&[usize]>) -> std::io::Result<()> {
        let mut file = csv::Writer::from_path(path)?;
        let names = self.columns.iter().map(|column| column.name.as_str());
        file.write_record(std::iter::once("id").chain(label.map(|_| "y")).chain(names))?;
        let everyone: Vec<_>;
        let rows = match rows {
            Some(rows) => rows,
            None => {
                everyone = (0..self.ids.len()).collect();
                &everyone
            }
        };
        for &row in rows {
            let y = label.map(|label| label[row].to_string());
            let cells = self.columns.iter().map(|column| column.cells.text(row));
            file.write_record(std::iter::once(self.ids[row].clone()).chain(y).chain(cells))?;
        }
        file.flush()
    }
}
