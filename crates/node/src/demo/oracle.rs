//! What the federated fit is compared with: the same trainer on the pooled tables, in this process, from the input files.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;
use tally_crypto::sign::Envelope;
use tally_data::{Dataset, Dictionary, IdentifierKind, ReadOptions, load};
use tally_model::Fitted;
use tally_policy::{Authority, SharingList, verify_all};
use tally_protocol::session::{BankData, PlatformData, SealedContract, follow, tables};

use super::exact::{self, Exact};
use super::inputs::Inputs;
use crate::engine::{bank_rows, platform_rows, sampled};
use crate::failure::{self, Failure};

/// How the federated fit compares.
pub(super) struct Comparison {
    /// Every sum, coefficient and figure is the same at every node and in the pooled fit.
    pub(super) identical: bool,
    /// Sums compared.
    pub(super) rounds: usize,
    /// What differs first, if anything does.
    pub(super) difference: Option<String>,
    /// Beside the fit over cut points that are found by sorting.
    pub(super) exact: Option<Exact>,
}

/// Joins the input files as one honest party would, fits, and compares with what every node holds.
pub(super) fn compare(inputs: &Inputs, envelope: &Value, results: &[(String, Value)]) -> Result<Comparison, Failure> {
    let envelope: Envelope = serde_json::from_value(envelope.clone()).map_err(failure::internal)?;
    let contract = SealedContract::verify(&envelope).map_err(failure::check)?;
    let fits = results
        .iter()
        .map(|(name, value)| Ok((name, serde_json::from_value(value["fit"].clone()).map_err(failure::internal)?)))
        .collect::<Result<Vec<(_, Fitted)>, Failure>>()?;
    let (_, first) = fits.first().ok_or_else(|| failure::internal("no node has a fit"))?;
    let platform = pooled_platform(inputs, &contract)?;
    let banks = pooled_banks(inputs, &contract)?;
    let (course, tables) = tables(&contract, &platform, &banks).map_err(failure::internal)?;
    let exact = exact::compare(&contract, &course, &tables, first)?;
    let learner = course.learner().map_err(failure::internal)?;
    let pooled = follow(learner, tables, &contract, first.rounds()).map_err(failure::internal)?;
    let difference = fits.iter().find_map(|(name, fit)| differs(&pooled, fit).map(|what| format!("{name}: {what}")));
    Ok(Comparison { identical: difference.is_none(), rounds: pooled.rounds().len(), difference, exact })
}

fn differs(pooled: &Fitted, fit: &Fitted) -> Option<String> {
    for (round, (plain, released)) in pooled.rounds().iter().zip(fit.rounds()).enumerate() {
        if plain.request != released.request {
            return Some(format!("round {round} asked for another sum"));
        }
        if plain.sums != released.sums {
            return Some(format!("the sums of round {round} differ"));
        }
    }
    (pooled.digest() != fit.digest()).then(|| "the fit differs".into())
}

fn pooled_platform(inputs: &Inputs, contract: &SealedContract) -> Result<PlatformData, Failure> {
    let table = load(&inputs.file("platform.csv"), &options(inputs, None, None)?).map_err(failure::internal)?.dataset;
    let cleared = inputs.banks().into_iter().map(|bank| {
        let rows = consented_rows(inputs, &bank, &table)?;
        Ok((bank, rows))
    });
    platform_rows(&table, contract.terms(), &cleared.collect::<Result<_, Failure>>()?)
}

fn pooled_banks(inputs: &Inputs, contract: &SealedContract) -> Result<BTreeMap<String, BankData>, Failure> {
    let dictionary = Dictionary::parse(&inputs.dictionary_text()?).map_err(failure::internal)?;
    let bank_data = |bank: String| {
        let options = options(inputs, Some("y"), Some(&dictionary))?;
        let table = load(&inputs.file(&format!("{bank}.csv")), &options).map_err(failure::internal)?.dataset;
        let taking_part: HashSet<_> = sampled(&table, contract.terms())?.rows.into_iter().collect();
        let consented = consented_rows(inputs, &bank, &table)?;
        let rows: Vec<_> = consented.into_iter().filter(|row| taking_part.contains(row)).collect();
        Ok((bank, bank_rows(&table, contract, &rows)?))
    };
    inputs.banks().into_iter().map(bank_data).collect()
}

fn options(inputs: &Inputs, label: Option<&str>, dictionary: Option<&Dictionary>) -> Result<ReadOptions, Failure> {
    let kind = if inputs.credit_codes { IdentifierKind::Uscc } else { IdentifierKind::Text };
    let dictionary = match dictionary {
        Some(dictionary) => dictionary.clone(),
        None => {
            let text = std::fs::read_to_string(inputs.file("list.json")).map_err(failure::internal)?;
            let envelope: Envelope = serde_json::from_str(&text).map_err(failure::internal)?;
            let authority = inputs.named_key("authority.json")?.key;
            let list = SharingList::open(&envelope, &[authority]).map_err(failure::internal)?;
            crate::engine::dictionary_of(&list)
        }
    };
    Ok(ReadOptions {
        identifier: "id".into(),
        cohort: None,
        label: label.map(Into::into),
        kind,
        dictionary,
        map: BTreeMap::new(),
        misfits: tally_data::Misfits::Refuse,
        form: tally_data::CsvForm::default(),
        name: "pooled".into(),
        as_of: "2026-06-30".into(),
    })
}

/// Rows of a table whose enterprise consented to this bank.
fn consented_rows(inputs: &Inputs, bank: &str, table: &Dataset) -> Result<Vec<usize>, Failure> {
    let text = std::fs::read_to_string(inputs.file(&format!("consents-{bank}.jsonl"))).map_err(failure::internal)?;
    let lines: Vec<_> = text.lines().collect();
    let registrar = inputs.named_key("registrar.json")?.key;
    let authority = Authority { registrars: &[registrar], now: crate::engine::now() };
    let consents = verify_all(&lines, authority).map_err(failure::internal)?;
    let subjects: HashSet<_> = consents.iter().map(|consent| consent.consent().subject.as_str()).collect();
    Ok((0..table.rows()).filter(|&row| subjects.contains(table.identifiers[row].as_str())).collect())
}
