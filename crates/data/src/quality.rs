//! How good a data set is, department by department: timely, complete, valid.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What was missing or did not fit in one field of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldQuality {
    /// The field.
    pub name: String,
    /// Rows without a value.
    pub blank: u64,
    /// Rows with a value that does not fit the dictionary; it counts as missing.
    pub misfits: u64,
}

/// Who answers for a field, and how soon it must be refreshed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duty {
    /// The department.
    pub owner: String,
    /// Days after which the field must have been refreshed.
    pub refresh_days: u32,
}

/// The fields of one department in a data set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DepartmentQuality {
    /// The department.
    pub owner: String,
    /// Its fields.
    pub fields: Vec<String>,
    /// Share of rows with a value, over its fields.
    pub completeness: f64,
    /// Share of the values that fit the dictionary; 1 without values.
    pub validity: f64,
    /// Days since the day of the snapshot.
    pub age_days: i64,
    /// Its shortest refresh duty in days.
    pub refresh_days: u32,
    /// Its fields that should have been refreshed by now.
    pub late: Vec<String>,
}

impl FieldQuality {
    /// Share of rows whose value is missing or does not fit.
    pub fn missing(&self, rows: u64) -> f64 {
        (self.blank + self.misfits) as f64 / rows.max(1) as f64
    }
}

/// Quality per department, in order of name. `duty` says who answers for a field; fields for which nobody does are left out.
pub fn by_department(
    fields: &[FieldQuality],
    rows: u64,
    age_days: i64,
    duty: impl Fn(&str) -> Option<Duty>,
) -> Vec<DepartmentQuality> {
    let mut departments: BTreeMap<String, Vec<(&FieldQuality, u32)>> = BTreeMap::new();
    for field in fields {
        if let Some(Duty { owner, refresh_days }) = duty(&field.name) {
            departments.entry(owner).or_default().push((field, refresh_days));
        }
    }
    let quality = |(owner, fields): (String, Vec<(&FieldQuality, u32)>)| {
        let cells = rows * fields.len() as u64;
        let given = cells - fields.iter().map(|(field, _)| field.blank).sum::<u64>().min(cells);
        let misfits: u64 = fields.iter().map(|(field, _)| field.misfits).sum();
        let name = |(field, _): &(&FieldQuality, u32)| field.name.clone();
        let late = fields.iter().filter(|(_, days)| age_days > i64::from(*days));
        DepartmentQuality {
            completeness: share(given, cells),
            validity: share(given - misfits.min(given), given),
            age_days,
            refresh_days: fields.iter().map(|(_, days)| *days).min().unwrap_or(0),
            late: late.map(name).collect(),
            fields: fields.iter().map(name).collect(),
            owner,
        }
    };
    departments.into_iter().map(quality).collect()
}

fn share(part: u64, of: u64) -> f64 {
    if of == 0 { 1.0 } else { part as f64 / of as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_department_answers_for_its_fields_only() {
        let field = |name: &str, blank, misfits| FieldQuality { name: name.into(), blank, misfits };
        let fields = [field("paid", 10, 9), field("arrears", 0, 0), field("cases", 100, 0), field("own", 50, 50)];
        let duty = |name: &str| {
            let (owner, refresh_days) = match name {
                "paid" => ("tax", 31),
                "arrears" => ("tax", 7),
                "cases" => ("court", 90),
                _ => return None,
            };
            Some(Duty { owner: owner.into(), refresh_days })
        };
        let quality = by_department(&fields, 100, 31, duty);
        let [court, tax] = &quality[..] else { panic!("{quality:?}") };
        assert_eq!((court.owner.as_str(), court.completeness, court.validity), ("court", 0.0, 1.0));
        assert_eq!((court.refresh_days, court.late.len()), (90, 0));
        assert_eq!((tax.completeness, tax.validity), (0.95, 181.0 / 190.0));
        assert_eq!((tax.refresh_days, tax.late.as_slice()), (7, ["arrears".to_owned()].as_slice()));
        assert_eq!(by_department(&fields, 100, 7, duty)[1].late, [""; 0]);
        assert_eq!(fields[0].missing(100), 0.19);
    }
}
