//! The plain source: tables at hand, one a bank. The oracle of every federated fit.

use std::collections::BTreeMap;

use crate::contribution::{ContributionError, contribution};
use crate::release::{Fold, presence};
use crate::request::{SumRequest, Sums};
use crate::rows::Table;

/// Tables by bank, and the release rule that they stand under.
#[derive(Clone, Debug)]
pub struct Plain {
    /// One table a bank.
    pub tables: BTreeMap<String, Table>,
    /// Fewest banks behind a released cell; 1 for rows of one holder.
    pub least: u32,
}

impl Plain {
    /// The sum over the rows of the banks in `cohort`, folded by the indicators of the banks in `seen`: the same banks, and
    /// those that dropped out in between.
    ///
    /// # Errors
    /// Fails if a table does not have the columns that the request names.
    pub fn answer(&self, request: &SumRequest, seen: &[String], cohort: &[String]) -> Result<Sums, ContributionError> {
        let axes = request.axes();
        let mut values = vec![0i64; request.words()];
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
                for (total, value) in values.iter_mut().zip(own) {
                    *total = total.wrapping_add(value);
                }
            }
        }
        let dropped = u32::try_from(seen.len().saturating_sub(cohort.len())).unwrap_or(u32::MAX);
        let fold = Fold::new(&axes, &contributors, self.least.saturating_add(dropped));
        fold.apply(&axes, &mut values);
        let seen = if axes.is_empty() { Vec::new() } else { seen.to_vec() };
        Ok(Sums { values, cohort: cohort.to_vec(), seen, fold })
    }
}
