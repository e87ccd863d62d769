//! The plain source: tables at hand, one a bank. The oracle of every federated fit.

use std::collections::BTreeMap;

use crate::contribution::{ContributionError, contribution};
use crate::request::{SumRequest, Sums};
use crate::rows::Table;

/// Tables by bank.
#[derive(Clone, Debug, Default)]
pub struct Plain {
    /// One table a bank.
    pub tables: BTreeMap<String, Table>,
}

impl Plain {
    /// The sum over the rows of the banks in `cohort`.
    ///
    /// # Errors
    /// Fails if a table does not have the columns that the request names.
    pub fn answer(&self, request: &SumRequest, cohort: &[String]) -> Result<Sums, ContributionError> {
        let mut values = vec![0i64; request.words()];
        for table in cohort.iter().filter_map(|bank| self.tables.get(bank)) {
            for (total, value) in values.iter_mut().zip(contribution(request, table)?) {
                *total = total.wrapping_add(value);
            }
        }
        Ok(Sums { values, cohort: cohort.to_vec() })
    }
}
