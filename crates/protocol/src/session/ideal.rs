//! The ideal functionality of a session: everyone hands everything to one honest party, which joins, fits and forgets.
//!
//! The real session must give the same [`Fitted`], bit for bit; tests and the demo compare the two.

use std::collections::{BTreeMap, HashMap};

use tally_model::{Ask, Fitted, Plain, RoundRecord};

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
    let blame = |error: &dyn std::fmt::Display| Fault::new("ideal", error);
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
        table.baseline = course.bank_only(&table).map_err(|error| blame(&error))?;
        pooled.insert(name.clone(), table);
    }
    let plain = Plain { tables: pooled, least: contract.terms().limits.min_cell };
    let everyone: Vec<_> = banks.keys().cloned().collect();
    let mut trainer = course.learner().map_err(|error| blame(&error))?;
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
