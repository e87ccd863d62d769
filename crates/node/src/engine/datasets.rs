//! The registry of this node's data sets: what they are, how good they are, what they commit to.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tally_data::{
    Dictionary, Duty, FieldDefinition, IdentifierKind, Loaded, Misfits, ReadOptions, by_department, load,
};
use tally_model::text::Text;
use tally_policy::{Day, Level, SignedList};
use tally_protocol::session::{Contract, Snapshot};

use super::{Engine, book, now};
use crate::control::DatasetImport;
use crate::failure::{self, Failure};
use crate::store::DatasetInfo;

impl Engine {
    pub(super) fn import_dataset(&mut self, order: &DatasetImport) -> Result<Value, Failure> {
        let as_of = day(&order.as_of)?;
        // Clocks are UTC here: today is what has begun anywhere.
        let today = Day::of(now() + Day::MILLISECONDS / 2);
        if as_of > today {
            let text = format!("--as-of {as_of} is later than {today}, today: name the day that the data are of");
            return Err(failure::usage(text));
        }
        let options = ReadOptions {
            name: order.name.clone(),
            as_of: order.as_of.clone(),
            identifier: order.identifier.clone(),
            cohort: order.cohort.clone(),
            kind: kind_of(order.credit_codes),
            label: order.label.clone(),
            dictionary: self.dictionary_for(order)?,
            map: order.map.clone(),
            misfits: if order.misfits_missing { Misfits::Missing } else { Misfits::Refuse },
            form: order.form,
        };
        let Loaded { dataset, fields } = load(&order.path, &options).map_err(failure::data)?;
        let info = DatasetInfo {
            name: order.name.clone(),
            as_of: order.as_of.clone(),
            rows: dataset.rows() as u64,
            cohorts: dataset.days(),
            labelled: dataset.label.is_some(),
            credit_codes: order.credit_codes,
            quality: fields,
            list: self.lists.newest().ok().filter(|_| self.is_platform()).map(SignedList::version),
            commitment: dataset.commitment(&self.dataset_salt()),
            dictionary: options.dictionary,
            imported: now(),
        };
        self.step(|engine, step| {
            engine.store.put_dataset(&info, &dataset)?;
            let me = engine.me().to_owned();
            step.record(None, &me, book::dataset(&info));
            Ok(())
        })?;
        self.refresh_models(&info.name)?;
        self.warn_after_import(&info.name)?;
        self.described(&info)
    }

    /// The platform's fields are those of the sharing list; a bank's are those of the dictionary.
    fn dictionary_for(&self, order: &DatasetImport) -> Result<Dictionary, Failure> {
        if self.is_platform() {
            return Ok(dictionary_of(self.sharing_list()?));
        }
        let text = order.dictionary.as_deref();
        let text = text.ok_or_else(|| failure::usage("a bank's data set needs --dictionary FILE"))?;
        Dictionary::parse(text).map_err(failure::data)
    }

    pub(super) fn list_datasets(&self) -> Result<Value, Failure> {
        self.store.datasets()?.iter().map(|info| self.described(info)).collect()
    }

    /// What is registered of a data set, and its quality today: duties are those of the newest list.
    fn described(&self, info: &DatasetInfo) -> Result<Value, Failure> {
        let list = self.lists.newest().ok().filter(|_| self.is_platform());
        let listed = |name: &str| list.and_then(|list| list.field(name));
        let fields = info.dictionary.fields.iter().zip(&info.quality).map(|(field, quality)| {
            json!({
                "name": field.name,
                "owner": listed(&field.name).map(|listed| &listed.owner),
                "level": listed(&field.name).map(|listed| listed.level),
                "missing": quality.missing(info.rows),
                "misfits": quality.misfits,
                "taken_for": if field.kind.values().is_empty() { "number" } else { "category" },
                "values": field.kind.values().len(),
            })
        });
        let duty = |name: &str| {
            let listed = listed(name)?;
            Some(Duty { owner: listed.owner.clone(), refresh_days: listed.refresh_days })
        };
        let age = day(&info.as_of)?.until(Day::of(now()));
        let level = list.and_then(|_| {
            let levels = info.dictionary.fields.iter().filter_map(|field| Some(listed(&field.name)?.level));
            Level::highest(levels)
        });
        Ok(json!({
            "name": info.name,
            "as_of": info.as_of,
            "age_days": age,
            "rows": info.rows,
            "cohorts": info.cohorts,
            "labelled": info.labelled,
            "level": level,
            "list": info.list,
            "fields": fields.collect::<Vec<_>>(),
            "departments": by_department(&info.quality, info.rows, age, duty),
            "commitment": info.commitment,
        }))
    }

    /// Opens one row to an auditor: with it the data set's commitment can be checked. The log keeps that it was opened.
    pub(super) fn open_row(&mut self, dataset: &str, identifier: &str, cohort: Option<Day>) -> Result<Value, Failure> {
        let info = self.known_dataset(dataset)?;
        if cohort.is_none() && !info.cohorts.is_empty() {
            return Err(failure::usage(format!("data set `{dataset}` has cohorts: name the row's day with --cohort")));
        }
        let identifier = kind_of(info.credit_codes)
            .canonical(identifier)
            .map_err(|error| failure::data(format!("the identifier: {error}")))?;
        let opening = self.store.dataset(dataset)?.open_row(&identifier, cohort, &self.dataset_salt());
        let of_day = cohort.map(|day| format!(" and cohort {day}")).unwrap_or_default();
        let opening = opening
            .ok_or_else(|| failure::data(format!("data set `{dataset}` has no row of this identifier{of_day}")))?;
        self.step(|engine, step| {
            let me = engine.me().to_owned();
            let object = tally_crypto::transcript::Digest::of_bytes(opening.row.as_bytes());
            step.record(None, &me, tally_audit::Body::AuditAccess { object });
            Ok(())
        })?;
        Ok(json!({ "dataset": info.name, "as_of": info.as_of, "commitment": info.commitment, "opening": opening }))
    }

    /// What is registered under a name.
    pub(super) fn known_dataset(&self, name: &str) -> Result<DatasetInfo, Failure> {
        self.store.datasets()?.iter().find(|info| info.name == name).cloned().ok_or_else(|| {
            failure::data(format!("data set `{name}` is not here: import it with `tallystick dataset import`"))
        })
    }

    /// What a contract pins a data set by.
    pub(super) fn snapshot(&self, dataset: &str) -> Result<Snapshot, Failure> {
        let info = self.known_dataset(dataset)?;
        Ok(Snapshot { as_of: day(&info.as_of)?, dataset: info.name, commitment: info.commitment })
    }

    /// The day of a contract's data set as it is here now, with cohorts the latest of them, from which scores are given; not
    /// known at a bank.
    pub(super) fn day_of_data(&self, terms: &Contract) -> Option<Day> {
        let datasets = self.store.datasets().ok().filter(|_| self.is_platform())?;
        let info = datasets.iter().find(|info| info.name == terms.snapshot.dataset)?;
        info.cohorts.last().copied().or_else(|| day(&info.as_of).ok())
    }

    /// The data set that a contract names must be the one that is here, value by value.
    pub(super) fn check_snapshot(&self, snapshot: &Snapshot) -> Result<(), Failure> {
        let here = self.snapshot(&snapshot.dataset)?;
        if here == *snapshot {
            return Ok(());
        }
        Err(failure::refused(format!(
            "data set `{}` is no longer the snapshot that the contract names ({}, commitment {}; here {}, {}): import that \
             file again, or propose a new session",
            snapshot.dataset,
            snapshot.as_of,
            snapshot.commitment.short(),
            here.as_of,
            here.commitment.short()
        )))
    }

    /// One salt for all data sets of a node: the same data have the same commitment under any name.
    fn dataset_salt(&self) -> tally_crypto::seed::Seed {
        self.keys.storage().derive("dataset-salt", &[])
    }

    /// Titles of the banks' fields.
    pub(super) fn field_titles(&self) -> Result<BTreeMap<String, Text>, Failure> {
        let fields = self.store.datasets()?;
        let fields = fields.iter().flat_map(|info| &info.dictionary.fields);
        Ok(fields.map(|field| (field.name.clone(), field.title.clone())).collect())
    }

    /// What identifiers are at this node.
    pub(super) fn identifier_kind(&self) -> Result<IdentifierKind, Failure> {
        Ok(kind_of(self.store.datasets()?.iter().all(|info| info.credit_codes)))
    }

    /// The canonical spelling of an identifier as this node's data sets spell theirs.
    pub(super) fn canonical(&self, identifier: &str) -> Result<String, Failure> {
        self.identifier_kind()?
            .canonical(identifier)
            .map_err(|error| failure::data(format!("the applicant's identifier: {error}")).about("applicant"))
    }
}

/// The dictionary that a signed list amounts to: fields at level 4 are not even stored.
pub(crate) fn dictionary_of(list: &SignedList) -> Dictionary {
    let field = |field: &tally_policy::ListField| FieldDefinition {
        name: field.name.clone(),
        title: field.title.clone(),
        kind: field.kind.clone(),
    };
    // Outcomes are what banks tell the platform, not what it holds.
    let here = |field: &&tally_policy::ListField| {
        field.level != Level::L4 && !tally_protocol::outcome::FIELDS.contains(&field.name.as_str())
    };
    Dictionary { fields: list.fields().iter().filter(here).map(field).collect() }
}

fn kind_of(credit_codes: bool) -> IdentifierKind {
    if credit_codes { IdentifierKind::Uscc } else { IdentifierKind::Text }
}

fn day(text: &str) -> Result<Day, Failure> {
    text.parse().map_err(failure::usage)
}
