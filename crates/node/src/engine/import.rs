//! What a node takes in from files: operators, sharing lists, consents, data sets. Checked whole, stored whole, or not at all.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tally_crypto::sign::{Envelope, VerifyKey};
use tally_data::{Dictionary, FieldDefinition, IdentifierKind, ReadOptions, read_csv};
use tally_model::text::Text;
use tally_policy::{SharingList, SignedList};

use super::step::Step;
use super::{Engine, book, now};
use crate::control::DatasetImport;
use crate::failure::{self, Failure};
use crate::store::{DatasetInfo, Operator, OperatorRole};

impl Engine {
    /// The log's first entry.
    pub(super) fn record_genesis(&mut self, step: &mut Step) -> Result<(), Failure> {
        let me = self.me().to_owned();
        let vkey = tally_audit::note::vkey(&me, &self.keys.log().verify_key());
        step.record(None, &me, book::genesis(self.config.node.role, vkey));
        Ok(())
    }

    pub(super) fn add_operator(
        &mut self,
        step: &mut Step,
        name: &str,
        key: VerifyKey,
        role: OperatorRole,
    ) -> Result<Value, Failure> {
        self.store.add_operator(name, key, role, step.now)?;
        step.record(None, name, book::operator(&key));
        Ok(json!({ "operator": name, "key": key, "role": role }))
    }

    pub(super) fn list_operators(&self) -> Result<Value, Failure> {
        let operators = self.store.operators()?;
        let shown = |one: Operator| json!({ "operator": one.name, "key": one.key, "role": one.role });
        Ok(operators.into_iter().map(shown).collect())
    }

    pub(super) fn import_dataset(&mut self, order: &DatasetImport) -> Result<Value, Failure> {
        if order.as_of.parse::<jiff::civil::Date>().is_err() {
            return Err(failure::usage(format!("`{}` is not a date: write it as YYYY-MM-DD", order.as_of)));
        }
        let options = ReadOptions {
            name: order.name.clone(),
            as_of: order.as_of.clone(),
            identifier: order.identifier.clone(),
            kind: kind_of(order.credit_codes),
            label: order.label.clone(),
            dictionary: self.dictionary_for(order)?,
            map: order.map.clone(),
        };
        let dataset = read_csv(&order.path, &options).map_err(failure::data)?;
        let salt = self.keys.storage().derive("dataset-salt", &[]);
        let info = DatasetInfo {
            name: order.name.clone(),
            as_of: order.as_of.clone(),
            rows: dataset.rows() as u64,
            labelled: dataset.label.is_some(),
            credit_codes: order.credit_codes,
            missing: dataset.missing(),
            commitment: dataset.commitment(&salt),
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
        Ok(described(&info))
    }

    /// The platform's fields are those of the sharing list; a bank's are those of the dictionary.
    fn dictionary_for(&self, order: &DatasetImport) -> Result<Dictionary, Failure> {
        if self.is_platform() {
            return Ok(dictionary_of(self.sharing_list()?));
        }
        if order.label.is_none() {
            return Err(failure::usage("a bank's data set needs its label: name the column with --label"));
        }
        let text = order.dictionary.as_deref();
        let text = text.ok_or_else(|| failure::usage("a bank's data set needs --dictionary FILE"))?;
        Dictionary::parse(text).map_err(failure::data)
    }

    pub(super) fn list_datasets(&self) -> Result<Value, Failure> {
        Ok(self.store.datasets()?.iter().map(described).collect())
    }

    pub(super) fn import_list(&mut self, path: &Path) -> Result<Value, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
        let envelope: Envelope = serde_json::from_str(&text)
            .map_err(|error| failure::data(format!("{}: not a signed sharing list: {error}", path.display())))?;
        let list = SharingList::open(&envelope, &self.registry.list_authority_keys())
            .map_err(|error| failure::refused(format!("{}: {error}", path.display())))?;
        if let Some(known) = &self.list
            && list.version() <= known.version()
            && list.digest() != known.digest()
        {
            let text = format!(
                "{}: version {} is not newer than version {}, which is in force: ask the list authority for a new version",
                path.display(),
                list.version(),
                known.version()
            );
            return Err(failure::refused(text));
        }
        self.step(|engine, step| {
            engine.store.put_list(list.version(), &envelope, step.now)?;
            let me = engine.me().to_owned();
            step.record(None, &me, tally_audit::Body::PolicyLoad { version: list.version(), list: list.digest() });
            Ok(())
        })?;
        let shown = json!({ "version": list.version(), "fields": list.fields().len(), "digest": list.digest() });
        self.list = Some(list);
        Ok(shown)
    }

    pub(super) fn show_list(&self) -> Result<Value, Failure> {
        serde_json::to_value(self.sharing_list()?.list()).map_err(failure::internal)
    }

    /// The list in force.
    pub(crate) fn sharing_list(&self) -> Result<&SignedList, Failure> {
        self.list
            .as_ref()
            .ok_or_else(|| failure::refused("there is no sharing list here: import it with `tallystick list import`"))
    }

    /// Titles of the banks' fields.
    pub(super) fn field_titles(&self) -> Result<BTreeMap<String, Text>, Failure> {
        let fields = self.store.datasets()?.into_iter().flat_map(|info| info.dictionary.fields);
        Ok(fields.map(|field| (field.name, field.title)).collect())
    }

    /// The canonical spelling of an identifier as this node's data sets spell theirs.
    pub(super) fn canonical(&self, identifier: &str) -> Result<String, Failure> {
        let codes = self.store.datasets()?.iter().all(|info| info.credit_codes);
        kind_of(codes)
            .canonical(identifier)
            .map_err(|error| failure::data(format!("the applicant's identifier: {error}")))
    }
}

/// The dictionary that a signed list amounts to.
pub(crate) fn dictionary_of(list: &SignedList) -> Dictionary {
    let field = |field: &tally_policy::ListField| FieldDefinition {
        name: field.name.clone(),
        title: field.title.clone(),
        kind: field.kind.clone(),
    };
    Dictionary { fields: list.fields().iter().map(field).collect() }
}

fn kind_of(credit_codes: bool) -> IdentifierKind {
    if credit_codes { IdentifierKind::Uscc } else { IdentifierKind::Text }
}

fn described(info: &DatasetInfo) -> Value {
    let fields: Vec<_> = info
        .dictionary
        .fields
        .iter()
        .zip(&info.missing)
        .map(|(field, missing)| json!({ "name": field.name, "missing": missing }))
        .collect();
    json!({
        "name": info.name,
        "as_of": info.as_of,
        "rows": info.rows,
        "labelled": info.labelled,
        "fields": fields,
        "commitment": info.commitment,
    })
}

pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    failure::data(format!("{}: cannot read the file: {error}", path.display()))
}
