//! Before rows of codes leave: what they disclose to the bank that gets them, with all it got earlier.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rayon::prelude::*;
use tally_crypto::transcript::Digest;
use tally_data::Dataset;
use tally_model::{Column, Table};
use tally_policy::Form;
use tally_policy::clearance::IDENTIFYING_FIELDS;
use tally_policy::disclosure::{BULK_GROUP, Verdict, label_diversity, nearest};
use tally_protocol::session::{BinTable, Contract, Holder, PlatformData, bin};

use super::sample::{cohorts, of_cohorts};
use super::step::Step;
use super::{Engine, book, now, platform_rows};
use crate::failure::{self, Failure};
use crate::store::{Disclosed, SessionRecord};

/// What one bank would get.
struct Release {
    verdict: Verdict,
    /// The form that the consent of each row must name.
    form: Form,
    /// Keyed names of its rows, sorted.
    rows: Vec<u64>,
    /// The bins of its codes.
    tables: Vec<(String, BinTable)>,
}

impl Engine {
    /// The verdicts on a contract that is being drafted, over the rows that consents would clear now; rounded, since every
    /// bank reads those of all.
    pub(super) fn expected_disclosures(
        &self,
        terms: &Contract,
        dataset: &Dataset,
    ) -> Result<BTreeMap<String, Verdict>, Failure> {
        let rows = of_cohorts(dataset, terms);
        let mut cleared = BTreeMap::new();
        for bank in terms.banks() {
            let (rows, _) = self.cleared_rows(terms, (dataset, &rows), &bank.name, now())?;
            cleared.insert(bank.name.clone(), rows.into_inner());
        }
        let data = platform_rows(dataset, terms, &cleared)?;
        let releases = self.releases_of(terms, dataset, &data)?;
        Ok(releases.into_iter().map(|(bank, release)| (bank, release.verdict.rounded())).collect())
    }

    /// Checks what a session is about to release, writes it into the log and into the record of what each bank has got: in
    /// the transaction of the clearance, before any row leaves.
    pub(super) fn disclose(
        &self,
        step: &mut Step,
        record: &SessionRecord,
        terms: &Contract,
        dataset: &Dataset,
        data: &PlatformData,
    ) -> Result<(), Failure> {
        for (bank, release) in self.releases_of(terms, dataset, data)? {
            step.record(Some(&record.session), self.me(), book::disclosure(&bank, release.form, &release.verdict));
            let row_set = Digest::of("tallystick/row-set/v1", &[&as_bytes(&release.rows)]);
            self.store.put_row_set(&row_set, &as_bytes(&release.rows))?;
            let disclosed = Disclosed { session: record.session.clone(), tables: release.tables, rows: row_set };
            self.store.put_disclosed(&bank, &dataset.name, &disclosed)?;
        }
        Ok(())
    }

    /// What each bank gets, with the verdict on it.
    fn releases_of(
        &self,
        terms: &Contract,
        dataset: &Dataset,
        data: &PlatformData,
    ) -> Result<BTreeMap<String, Release>, Failure> {
        let names = terms.fields_of(Holder::Platform).map(|field| field.name.clone());
        let (tables, codes) = bin(terms, &data.columns);
        let tables: Vec<_> = names.zip(tables).collect();
        let place: HashMap<_, usize> = (0..dataset.rows()).map(|row| (dataset.key(row), row)).collect();
        let mut releases = BTreeMap::new();
        for (bank, rows) in &data.consented {
            let earlier = self.store.disclosed(bank, &dataset.name)?;
            let here: Vec<usize> = rows.iter().map(|row| place[data.identifiers[*row as usize].as_str()]).collect();
            let codes: Vec<_> = codes.iter().map(|column| pick(column, rows)).collect();
            let held = held_codes(dataset, &earlier, &tables, &here)?;
            let names = self.row_names(rows.iter().map(|row| data.identifiers[*row as usize].as_str()).collect());
            let sets: BTreeSet<_> = earlier.iter().map(|one| one.rows).collect();
            let sets = sets.iter().map(|set| self.store.row_set(set)).collect::<Result<Vec<_>, _>>()?;
            let sets: Vec<_> = sets.iter().map(|bytes| from_bytes(bytes)).collect();
            let difference = nearest(&names, sets.iter().map(Vec::as_slice));
            let verdict = Verdict::of(rows.len(), &slices(&codes), &slices(&held), difference, BULK_GROUP);
            let form = joint_form(self.vector_held(terms, bank, &self.fields_read(terms))?);
            if let Some(blocked) = verdict.blocks(Some(form)) {
                return Err(failure::refused(format!("the release to {bank} would tell enterprises apart: {blocked}")));
            }
            releases.insert(bank.clone(), Release { verdict, form, rows: names, tables: tables.clone() });
        }
        Ok(releases)
    }

    /// How many binned fields of an enterprise a bank holds after a session, with those that it got earlier; as far as this
    /// node knows, which at a bank is the session's alone.
    pub(super) fn vector_held(&self, terms: &Contract, grantee: &str, fields: &[&str]) -> Result<usize, Failure> {
        let earlier = self.store.disclosed_fields()?;
        let earlier = earlier.get(&(grantee.to_owned(), terms.snapshot.dataset.clone()));
        let held = earlier.into_iter().flatten().map(String::as_str);
        let held = held.chain(fields.iter().copied()).collect::<BTreeSet<_>>().len();
        // Codes of several days, laid together, may tell an enterprise from all others whatever the fields.
        Ok(if cohorts(terms).len() > 1 { held.max(IDENTIFYING_FIELDS) } else { held })
    }

    /// Bank: how many groups of equal codes, among the rows that it opened, have one label only. It stays here.
    pub(super) fn keep_label_diversity(&self, record: &SessionRecord, own: &Table) -> Result<(), Failure> {
        let offered = self.contract_of(record)?.terms().fields_of(Holder::Platform).count();
        let codes =
            own.columns.iter().skip(own.columns.len().saturating_sub(offered)).filter_map(|column| match column {
                Column::Codes(codes) => Some(codes.as_slice()),
                Column::Values(_) => None,
            });
        let found = label_diversity(&codes.collect::<Vec<_>>(), &own.label);
        let text = serde_json::to_vec(&found).map_err(failure::internal)?;
        self.store.put_result(&record.session, "label-diversity", &text)
    }

    /// Keyed names of rows, sorted: sets of them can be compared, and nobody else knows whose they are.
    fn row_names(&self, identifiers: Vec<&str>) -> Vec<u64> {
        let key = self.keys.storage().derive("row-names", &[]);
        let name = |identifier: &&str| {
            let Digest(bytes) = Digest::of("tallystick/row-name/v1", &[key.expose(), identifier.as_bytes()]);
            u64::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
        };
        let mut names: Vec<_> = identifiers.par_iter().map(name).collect();
        names.par_sort_unstable();
        names
    }
}

/// The form that a consent must name for so many binned fields together.
fn joint_form(fields: usize) -> Form {
    if fields >= IDENTIFYING_FIELDS { Form::BinnedVector } else { Form::Binned }
}

/// Codes of the fields that the bank got earlier, under the bins of then, over its rows of now. A field that is gone from the
/// data set tells nothing that could be joined to its values of today.
fn held_codes(
    dataset: &Dataset,
    earlier: &[Disclosed],
    now: &[(String, BinTable)],
    rows: &[usize],
) -> Result<Vec<Vec<u16>>, Failure> {
    let mut held: Vec<&(String, BinTable)> = Vec::new();
    for table in earlier.iter().flat_map(|one| &one.tables) {
        if !now.contains(table) && !held.contains(&table) && dataset.column(&table.0).is_some() {
            held.push(table);
        }
    }
    held.into_iter().map(|(name, table)| Ok(table.codes(&super::platform_column(dataset, name, rows)?))).collect()
}

fn pick(column: &[u16], rows: &[u32]) -> Vec<u16> {
    rows.iter().map(|row| column[*row as usize]).collect()
}

fn slices(columns: &[Vec<u16>]) -> Vec<&[u16]> {
    columns.iter().map(Vec::as_slice).collect()
}

fn as_bytes(names: &[u64]) -> Vec<u8> {
    names.iter().flat_map(|name| name.to_be_bytes()).collect()
}

fn from_bytes(bytes: &[u8]) -> Vec<u64> {
    let (names, _) = bytes.as_chunks::<8>();
    names.iter().map(|name| u64::from_be_bytes(*name)).collect()
}
