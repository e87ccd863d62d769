//! The plain source: tables at hand, one a bank. The oracle of every federated fit.

use std::collections::BTreeMap;

use crate::contribution::{ContributionError, contribution};
use crate::release::{Axis, Fold, joins, presence, size_words, sizes};
use crate::request::{SumRequest, Sums};
use crate::rows::Table;

/// Tables by bank, and the release rule that they stand under.
#[derive(Clone, Debug)]
pub struct Plain {
    /// One table a bank.
    pub tables: BTreeMap<String, Table>,
    /// Fewest banks behind a released cell; 1 for rows of one holder.
    pub least: u32,
    /// Largest share of the rows of a released group that may be one bank's; absent where groups are not weighed.
    pub share: Option<f64>,
}

impl Plain {
    /// The sum over the rows of the banks in `cohort`, folded by the indicators of the banks in `seen`: the same banks, and
    /// those that dropped out in between.
    ///
    /// # Errors
    /// Fails if a table does not have the columns that the request names.
    pub fn answer(&self, request: &SumRequest, seen: &[String], cohort: &[String]) -> Result<Sums, ContributionError> {
        let axes = request.axes();
        let mut given = BTreeMap::new();
        let mut contributors = Vec::new();
        for bank in seen {
            let Some(table) = self.tables.get(bank) else { continue };
            let own = contribution(request, table)?;
            let present = presence(&axes, &own);
            contributors.resize(present.len(), 0);
            for (count, present) in contributors.iter_mut().zip(present) {
                *count += u32::from(present);
            }
            if cohort.contains(bank) {
                given.insert(bank, own);
            }
        }
        let dropped = u32::try_from(seen.len().saturating_sub(cohort.len())).unwrap_or(u32::MAX);
        let mut fold = Fold::new(&axes, &contributors, self.least.saturating_add(dropped));
        if let Some(share) = self.share.filter(|_| request.weighs()) {
            fold = weighed(fold, &axes, given.values(), share);
        }
        let mut values = vec![0i64; request.words()];
        given.values().for_each(|own| add(&mut values, own));
        fold.apply(&axes, &mut values);
        let seen = if axes.is_empty() { Vec::new() } else { seen.to_vec() };
        Ok(Sums { values, cohort: cohort.to_vec(), seen, fold })
    }
}

/// The fold, joined so that no bank has too large a share of a group.
fn weighed<'a>(fold: Fold, axes: &[Axis], given: impl Iterator<Item = &'a Vec<i64>>, share: f64) -> Fold {
    let own: Vec<_> = given
        .map(|own| {
            let mut own = own.clone();
            fold.apply(axes, &mut own);
            sizes(axes, &own)
        })
        .collect();
    let mut all = vec![0; size_words(axes)];
    own.iter().for_each(|own| add(&mut all, own));
    let mut wanted = vec![0u32; axes.iter().map(|axis| axis.cells).sum()];
    for own in &own {
        for (banks, join) in wanted.iter_mut().zip(joins(axes, &fold, own, &all, share)) {
            *banks += u32::from(join);
        }
    }
    fold.joined(axes, &wanted)
}

fn add(sums: &mut [i64], own: &[i64]) {
    for (sum, value) in sums.iter_mut().zip(own) {
        *sum = sum.wrapping_add(*value);
    }
}
