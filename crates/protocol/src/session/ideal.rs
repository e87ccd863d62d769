//! The ideal functionality of a session: everyone hands everything to one honest party, which joins, fits and forgets.
//!
//! The real session must give the same [`Fitted`], bit for bit; tests and the demo compare the two.

use std::collections::{BTreeMap, HashMap};

use tally_model::{Ask, Course, Fitted, Learner, Plain, RoundRecord, Table};

use super::bins::bin;
use super::join::{every_row, join};
use super::{BankData, Fault, PlatformData, SealedContract};

/// The fit of the pooled rows under the contract's release rules; the trainer's sum `r` runs over the banks of `rounds[r]`
/// (over all where the list is shorter).
///
/// # Errors
/// Fails where the trainer refuses the rows.
pub fn ideal(
    contract: &SealedContract,
    platform: &PlatformData,
    banks: &BTreeMap<String, BankData>,
    rounds: &[RoundRecord],
) -> Result<Fitted, Fault> {
    let (course, pooled) = tables(contract, platform, banks)?;
    let learner = course.learner().map_err(|error| Fault::new("ideal", error))?;
    follow(learner, pooled, contract, rounds)
}

/// What is fitted, and every bank's rows as the contract joins them.
///
/// # Errors
/// Fails where a bank's own model cannot be fitted.
pub fn tables(
    contract: &SealedContract,
    platform: &PlatformData,
    banks: &BTreeMap<String, BankData>,
) -> Result<(Course, BTreeMap<String, Table>), Fault> {
    let (tables, codes) = bin(contract.terms(), &platform.columns);
    let bins: Vec<_> = tables.iter().map(super::BinTable::bins).collect();
    let course = contract.terms().course(&bins);
    let mut pooled = BTreeMap::new();
    for (name, data) in banks {
        let offered = platform.consented.get(name).map(Vec::as_slice).unwrap_or_default();
        let rows: HashMap<_, _> =
            offered.iter().map(|&row| (&platform.identifiers[row as usize], row as usize)).collect();
        let opened: Vec<(usize, Vec<u16>)> = data
            .identifiers
            .iter()
            .enumerate()
            .filter_map(|(own, id)| {
                let row = *rows.get(id)?;
                Some((own, codes.iter().map(|column| column[row]).collect()))
            })
            .collect();
        let mut table = match contract.terms().is_statistics() {
            true => every_row(data),
            false => join(data, &opened, codes.len()),
        };
        table.baseline = course.bank_only(&table).map_err(|error| Fault::new("ideal", error))?;
        pooled.insert(name.clone(), table);
    }
    Ok((course, pooled))
}

/// What a trainer leaves under the contract's release rules; its sum `r` runs over the banks of `rounds[r]` (over all where the
/// list is shorter).
///
/// # Errors
/// Fails where the trainer refuses the rows.
pub fn follow(
    mut trainer: Learner,
    pooled: BTreeMap<String, Table>,
    contract: &SealedContract,
    rounds: &[RoundRecord],
) -> Result<Fitted, Fault> {
    let blame = |error: &dyn std::fmt::Display| Fault::new("ideal", error);
    let everyone: Vec<_> = pooled.keys().cloned().collect();
    let plain = Plain { tables: pooled, least: contract.terms().limits.min_cell, share: contract.terms().cell_share() };
    let mut rounds = rounds.iter();
    loop {
        match trainer.next() {
            Ask::Done(fit) => return Ok(fit),
            Ask::Sum(request) => {
                let (seen, cohort) = match rounds.next() {
                    Some(round) if round.seen.is_empty() => (&round.cohort, &round.cohort),
                    Some(round) => (&round.seen, &round.cohort),
                    None => (&everyone, &everyone),
                };
                let sums = plain.answer(&request, seen, cohort).map_err(|error| blame(&error))?;
                trainer.answer(sums).map_err(|error| blame(&error))?;
            }
        }
    }
}
