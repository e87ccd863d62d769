//! What became of a loan: its state, and the bands in which it is told to others.
//!
//! Single outcomes leave a bank in bands only (design section 3: what is not public travels binned); exact amounts enter
//! nothing but sums over several banks.

use serde::{Deserialize, Serialize};

/// State of a loan on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoanState {
    /// Paid back in full.
    Closed,
    /// Nothing is due.
    Current,
    /// 1 to 30 days past due.
    Overdue30,
    /// 31 to 60 days past due.
    Overdue60,
    /// 61 to 90 days past due.
    Overdue90,
    /// More than 90 days past due.
    OverdueMore,
    /// In default: written off, called in, or judged unlikely to be paid.
    Default,
}

/// Upper ends of the bands of an amount, in cents of a yuan; 10 million yuan bound an inclusive loan to a small or micro
/// enterprise.
pub const AMOUNT_BANDS: [i64; 4] = [100_000_000, 500_000_000, 1_000_000_000, 3_000_000_000];

/// Upper ends of the bands of a yearly rate, in percent.
pub const RATE_BANDS: [f64; 5] = [3.0, 4.0, 5.0, 6.0, 8.0];

impl LoanState {
    /// All states with their names, from the best to the worst.
    pub const ALL: [(Self, &str); 7] = [
        (Self::Closed, "closed"),
        (Self::Current, "current"),
        (Self::Overdue30, "overdue-30"),
        (Self::Overdue60, "overdue-60"),
        (Self::Overdue90, "overdue-90"),
        (Self::OverdueMore, "overdue-more"),
        (Self::Default, "default"),
    ];

    /// The state of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(state, _)| *state)
    }

    /// Its name in files.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// Its code in reports, from 1.
    pub fn code(self) -> u8 {
        self as u8 + 1
    }

    /// The state of a code.
    pub fn coded(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code.checked_sub(1)?)).map(|(state, _)| *state)
    }

    /// Whether the loan counts as bad: more than 90 days past due, or in default (Basel framework, CRE36.69).
    pub fn is_bad(self) -> bool {
        self >= Self::OverdueMore
    }
}

impl std::fmt::Display for LoanState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The band of an amount in cents, from 1.
pub fn amount_band(cents: i64) -> u8 {
    1 + AMOUNT_BANDS.iter().filter(|end| cents > **end).count() as u8
}

/// The band of a yearly rate in percent, from 1.
pub fn rate_band(percent: f64) -> u8 {
    1 + RATE_BANDS.iter().filter(|end| percent > **end).count() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_names_and_codes_and_a_line_between_good_and_bad() {
        for (place, (state, name)) in LoanState::ALL.into_iter().enumerate() {
            assert_eq!((state.name(), state.code()), (name, place as u8 + 1));
            assert_eq!((LoanState::named(name), LoanState::coded(state.code())), (Some(state), Some(state)));
        }
        assert_eq!((LoanState::named("late"), LoanState::coded(0), LoanState::coded(8)), (None, None, None));
        let bad: Vec<_> = LoanState::ALL.iter().filter(|(state, _)| state.is_bad()).map(|(_, name)| *name).collect();
        assert_eq!(bad, ["overdue-more", "default"]);
    }

    #[test]
    fn bands_are_closed_above() {
        assert_eq!([0, 100_000_000, 100_000_001, i64::MAX].map(amount_band), [1, 1, 2, 5]);
        assert_eq!([0.0, 3.0, 3.01, 8.0, 24.0].map(rate_band), [1, 1, 2, 5, 6]);
    }
}
