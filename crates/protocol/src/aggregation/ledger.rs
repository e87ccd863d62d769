//! What a bank remembers of the sums that it helped to release, and when it helps no further.
//!
//! Two sums over the same data whose banks differ by a few show the sum over those few, and two queries need not be equal to
//! show it: sums at almost the same coefficients, or a histogram cut a little otherwise, will do. So sums over a version of
//! the data are released for one set of banks, in other sessions for the same set, and otherwise only for sets that differ
//! by the least number of banks that may stand behind a cell. Within a session the contract's minimum cohort says whether it
//! may go on without a bank, whose part of later sums then shows by the difference: with a minimum cohort of all banks it
//! may not. Combinations of more than two sets are not looked at.
//!
//! The node keeps the ledger in its store and asks it before the signature over the survivors leaves, in the transaction that
//! makes signature and ledger durable together: a bank that is killed in between has either both or none.
//!
//! References: the batch overlap rule of RFC-to-be DAP (draft-ietf-ppm-dap); "differencing" in Dinur, Nissim, PODS 2003.

/// A sum that a bank is about to help to release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Number of the round.
    pub round: u32,
    /// Banks in the sum, in order.
    pub cohort: Vec<String>,
}

/// Why a bank does not help to release a sum.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "sums over the same data were released over {} before: the difference to {} would be the sum over {}, and {least} banks \
     are the least; ask the same banks again, or import newer data first",
    earlier.join(", "), now.join(", "), between.join(", ")
)]
pub struct Differencing {
    /// Banks of the earlier sum.
    pub earlier: Vec<String>,
    /// Banks of this one.
    pub now: Vec<String>,
    /// Banks in one of them only.
    pub between: Vec<String>,
    /// Fewest banks that two sums may differ by.
    pub least: usize,
}

impl Release {
    /// Checks the release against the cohorts of other sessions over the same data.
    ///
    /// # Errors
    /// Names the earlier cohort whose difference would show too few banks.
    pub fn check<'a>(&self, earlier: impl IntoIterator<Item = &'a [String]>, least: usize) -> Result<(), Differencing> {
        for cohort in earlier {
            let only = |one: &[String], other: &[String]| -> Vec<String> {
                one.iter().filter(|bank| !other.contains(bank)).cloned().collect()
            };
            let mut between = only(cohort, &self.cohort);
            between.extend(only(&self.cohort, cohort));
            if (1..least).contains(&between.len()) {
                return Err(Differencing { earlier: cohort.to_vec(), now: self.cohort.clone(), between, least });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_repeated_for_the_same_banks_or_for_very_different_ones() {
        let banks = |names: &str| -> Vec<String> { names.chars().map(Into::into).collect() };
        let check = |now: &str, earlier: &[&str]| {
            let earlier: Vec<_> = earlier.iter().map(|names| banks(names)).collect();
            let release = Release { round: 0, cohort: banks(now) };
            release.check(earlier.iter().map(Vec::as_slice), 3).map_err(|found| found.between.concat())
        };
        assert_eq!(check("abcd", &[]), Ok(()));
        assert_eq!(check("abcd", &["abcd", "abcd"]), Ok(()));
        assert_eq!(check("abc", &["abcd"]), Err("d".into()));
        assert_eq!(check("abce", &["abcd"]), Err("de".into()));
        assert_eq!(check("abcdefg", &["abcd"]), Ok(()));
        assert_eq!(check("abcdefg", &["abcd", "abcdef"]), Err("g".into()));
    }
}
