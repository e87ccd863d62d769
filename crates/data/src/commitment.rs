//! A salted commitment to a data set: a Merkle tree over its rows, any of which can be opened by itself.
//!
//! Leaves are the rows in order of identifier and cohort, hashed as RFC 6962 says; a row is one line of JSON with a salt of its own, so
//! that an opened row tells nothing of the others, and a row that was not opened cannot be guessed. The salt is a keyed hash of
//! the row: the same data have the same commitment, and a row that changes has another salt.

use rayon::prelude::*;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use tally_crypto::merkle::{inclusion_proof, leaf_hash, root, verify_inclusion};
use tally_crypto::seed::Seed;
use tally_crypto::transcript::Digest;
use tally_policy::Day;

use crate::dataset::{Dataset, Values};

/// One row, opened: whoever has the data set's commitment can check that it is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowOpening {
    /// The row as it was hashed: salt, identifier, cohort and label if there are any, a value a field.
    pub row: String,
    /// Its place in the tree.
    pub index: u64,
    /// Rows of the data set.
    pub size: u64,
    /// Hashes from the leaf upwards.
    pub path: Vec<Digest>,
}

impl RowOpening {
    /// Whether the row is in the data set with this commitment.
    pub fn holds(&self, commitment: &Digest) -> bool {
        verify_inclusion(&leaf_hash(self.row.as_bytes()), self.index, self.size, &self.path, commitment)
    }
}

/// A row on its way to its line, without salt.
struct Line<'a> {
    data: &'a Dataset,
    row: usize,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { data, row } = *self;
        let mut line = serializer.serialize_map(None)?;
        line.serialize_entry("id", &data.identifiers[row])?;
        if let Some(cohort) = data.cohort(row) {
            line.serialize_entry("cohort", &cohort)?;
        }
        if let Some(label) = &data.label {
            line.serialize_entry("label", &label[row])?;
        }
        line.serialize_entry("values", &Fields { data, row })?;
        line.end()
    }
}

struct Fields<'a> {
    data: &'a Dataset,
    row: usize,
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_map(Some(self.data.columns.len()))?;
        for column in &self.data.columns {
            match &column.values {
                // Missing numbers are NaN, which JSON writes as null.
                Values::Numeric(numbers) => fields.serialize_entry(&column.name, &numbers[self.row])?,
                Values::Category { codes, values } => {
                    let value = usize::from(codes[self.row]).checked_sub(1).and_then(|place| values.get(place));
                    fields.serialize_entry(&column.name, &value)?;
                }
            }
        }
        fields.end()
    }
}

impl Dataset {
    /// Salted Merkle root over the rows: commits to every value, reveals none.
    pub fn commitment(&self, salt: &Seed) -> Digest {
        root(&self.leaves(&self.order(), salt))
    }

    /// Opens the row of one identifier, with cohorts that of one day; `None` if there is none.
    pub fn open_row(&self, identifier: &str, cohort: Option<Day>, salt: &Seed) -> Option<RowOpening> {
        let order = self.order();
        let index = order.binary_search_by(|row| self.place(*row).cmp(&(identifier, cohort))).ok()?;
        let path = inclusion_proof(&self.leaves(&order, salt), index);
        Some(RowOpening { row: self.line(order[index], salt), index: index as u64, size: order.len() as u64, path })
    }

    /// The rows in order of identifier and cohort.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<_> = (0..self.rows()).collect();
        order.par_sort_unstable_by(|a, b| self.place(*a).cmp(&self.place(*b)));
        order
    }

    fn place(&self, row: usize) -> (&str, Option<Day>) {
        (&self.identifiers[row], self.cohort(row))
    }

    fn leaves(&self, order: &[usize], salt: &Seed) -> Vec<Digest> {
        order.par_iter().map(|row| leaf_hash(self.line(*row, salt).as_bytes())).collect()
    }

    fn line(&self, row: usize, salt: &Seed) -> String {
        // Panic safety: the type holds only texts and numbers.
        let row = serde_json::to_string(&Line { data: self, row }).expect("rows serialise");
        let salt = Digest::of("tallystick/row-salt/v1", &[salt.expose(), row.as_bytes()]);
        format!("{{\"salt\":\"{salt}\",{}", &row[1..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::DataColumn;

    fn data(rows: usize) -> Dataset {
        // Not in order of identifier, so that places in the tree differ from places in the file.
        let identifiers: Vec<_> = (0..rows).map(|row| format!("e{:02}", (row * 7) % rows.max(1))).collect();
        let values = vec!["gold".to_owned(), "none".to_owned()];
        let codes = (0..rows).map(|row| (row % 3) as u16).collect();
        let numbers = (0..rows).map(|row| if row == 1 { f64::NAN } else { row as f64 / 4.0 }).collect();
        Dataset {
            name: "d".into(),
            as_of: "2026-06-30".into(),
            identifiers,
            cohorts: None,
            label: Some((0..rows).map(|row| (row % 2) as u8).collect()),
            columns: vec![
                DataColumn { name: "n".into(), values: Values::Numeric(numbers) },
                DataColumn { name: "c".into(), values: Values::Category { codes, values } },
            ],
        }
    }

    fn salt() -> Seed {
        Seed::new([7; 32])
    }

    #[test]
    fn every_row_opens_and_no_other() {
        for rows in [1, 2, 3, 8, 13, 20] {
            let data = data(rows);
            let commitment = data.commitment(&salt());
            for (row, identifier) in data.identifiers.iter().enumerate() {
                let opening = data.open_row(identifier, None, &salt()).unwrap();
                assert!(opening.holds(&commitment));
                let line: serde_json::Value = serde_json::from_str(&opening.row).unwrap();
                assert_eq!((&line["id"], &line["label"]), (&(identifier.clone().into()), &((row % 2).into())));
                for changed in [
                    RowOpening { row: opening.row.replace("label", "Label"), ..opening.clone() },
                    RowOpening { index: opening.index + 1, ..opening.clone() },
                    RowOpening { path: opening.path.iter().copied().chain([commitment]).collect(), ..opening.clone() },
                ] {
                    assert!(!changed.holds(&commitment));
                }
            }
            assert_eq!(data.open_row("nobody", None, &salt()), None);
        }
    }

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    #[test]
    fn each_cohort_of_an_identifier_opens_by_its_day() {
        let mut data = data(4);
        data.identifiers = ["b", "a", "b", "a"].map(Into::into).to_vec();
        let days = ["2026-06-30", "2026-03-31", "2026-03-31", "2026-06-30"];
        data.cohorts = Some(days.map(day).to_vec());
        let commitment = data.commitment(&salt());
        for (row, cohort) in days.iter().enumerate() {
            let opening = data.open_row(&data.identifiers[row], Some(day(cohort)), &salt()).unwrap();
            assert!(opening.holds(&commitment) && opening.row.contains(&format!("\"cohort\":\"{cohort}\"")));
            assert_eq!(data.key(row), format!("{}#{cohort}", data.identifiers[row]));
        }
        assert_eq!(data.open_row("a", None, &salt()), None);
        assert_eq!(data.open_row("a", Some(day("2026-05-31")), &salt()), None);
        assert_eq!(data.rows_of("b"), [0, 2]);
        data.cohorts.as_mut().unwrap().swap(0, 2);
        assert_ne!(data.commitment(&salt()), commitment);
    }

    #[test]
    fn a_row_is_a_line_that_anybody_can_read() {
        let data = data(3);
        let row = |identifier: &str| {
            let opening = data.open_row(identifier, None, &salt()).unwrap();
            opening.row.split_once("\"id\"").unwrap().1.to_owned()
        };
        assert_eq!(row("e00"), r#":"e00","label":0,"values":{"n":0.0,"c":null}}"#);
        assert_eq!(row("e01"), r#":"e01","label":1,"values":{"n":null,"c":"gold"}}"#);
        assert_eq!(row("e02"), r#":"e02","label":0,"values":{"n":0.5,"c":"none"}}"#);
    }

    #[test]
    fn the_commitment_binds_every_value_and_hides_it() {
        let commitment = data(13).commitment(&salt());
        assert_ne!(data(13).commitment(&Seed::new([8; 32])), commitment);
        let changed = |change: &dyn Fn(&mut Dataset)| {
            let mut other = data(13);
            change(&mut other);
            other.commitment(&salt()) != commitment
        };
        assert!(changed(&|data| data.identifiers[3].push('x')));
        assert!(changed(&|data| data.label.as_mut().unwrap()[12] ^= 1));
        assert!(changed(&|data| data.label = None));
        assert!(changed(&|data| data.columns[0].name.push('x')));
        assert!(changed(&|data| data.columns.swap(0, 1)));
        assert!(changed(&|data| {
            let Values::Numeric(numbers) = &mut data.columns[0].values else { return };
            numbers[12] += 1e-12;
        }));
        assert!(changed(&|data| data.cohorts = Some(vec![day("2026-03-31"); 13])));
        // The order of the file does not count.
        let mut turned = data(2);
        let (straight, salts) = (data(2).commitment(&salt()), salt());
        turned.identifiers.reverse();
        turned.label.as_mut().unwrap().reverse();
        for column in &mut turned.columns {
            match &mut column.values {
                Values::Numeric(numbers) => numbers.reverse(),
                Values::Category { codes, .. } => codes.reverse(),
            }
        }
        assert_eq!(turned.commitment(&salts), straight);
    }
}
