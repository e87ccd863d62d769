//! What every bank demands of the rows behind a sum: that they are not nearly all its own, and stay what they were.
//!
//! **Why.** A sum over three banks hides a bank only as far as the others have rows in it, and it is the platform that decides
//! how many rows each bank can open: it may seal the others' under keys that nobody has. So the first sum over a set of rows,
//! training or hold-out, is their number alone ([`Part::Rows`](crate::aggregation::Part)), and each bank that finds more than
//! [`BalanceTerms::share`] of it to be its own goes no further, before anything else was added. The number is asked again when
//! a bank has left; every other sum is of the banks that were counted, or of none.
//!
//! **Which share.** One half, whatever the number of banks: then at least as many rows as a bank's own are not its own. With
//! colluders it is not the share that protects, since they may pretend to any number of rows, but the floor: with `c` of `n`
//! banks in league with the platform, a bank's rows are hidden among those of the `n - c - 1` others, of which each
//! has at least the floor, or has stopped the session.
//!
//! The floor is of training rows, and a third of it of hold-out rows: else a platform could fill one set and leave the other bare.
//!
//! **Why a bank's stop tells next to nothing of a row.** A bank below the floor stops at one step, when the first sum over a set is
//! asked. Were the floor a known number, a platform that offers one row less than it, all of them known to be the bank's, and one
//! more of an enterprise that it is curious about, would read the answer off the stop. So each bank draws its own floor, between
//! [`BalanceTerms::floor`] and twice that, by its secret seed of the session: a row more or less decides over the stop with a
//! probability of one in `floor`, once a session that every operator has approved. The share is held against a sum, and a row
//! more or less decides there too only where the bank stands at the very limit, which depends on all the others' rows.
//!
//! **Sums without cells** (moments, losses, comparisons) are guarded as cells are: with their number, banks add up who has at
//! least `limits.min_rows` of the rows, and fewer than `limits.min_cell` such banks give no sum of this kind.
//!
//! **Cells.** Where a sum tells good and bad rows, or gradients, cell by cell, the share of [`BalanceTerms::cell_share`] is kept in
//! each group that is shown ([`tally_model::release::joins`]): the rows of the groups are added first, and a group of which a
//! bank has more is joined with its neighbours. Else a platform could give the rows of all others the same codes, or a regional
//! bank show its region. Under noise groups are not weighed: numbers of rows would be told without noise, and noise is what hides a bank.
//!
//! **What one party can do between two releases to make their difference small**, and what stands against it; the tests are those
//! of `session::tests`.
//!
//! | what | against it | test |
//! |---|---|---|
//! | offer a bank few rows, or seal the others' under keys that nobody has | share and floor of each set | `guard::a_bank_that_would_be_nearly_all_of_a_sum_refuses`, `guard::a_bank_with_few_rows_stops_at_the_first_sum` |
//! | send rows after the alignment | no stage takes them | `guard::rows_that_come_late_are_refused` |
//! | seal codes that nobody can read | the row is missing, without a word | `spoiled::whether_a_spoiled_row_is_held_shows_nowhere` |
//! | give the rows of all others the same codes | the share of each group | `guard::a_bank_that_would_be_nearly_all_of_a_cell_has_it_joined` |
//! | seal one field's codes for another but for one row | `twins`, where the contract has it | `guard::a_bank_stops_where_two_fields_differ_by_one_enterprise` |
//! | say that consents have ended | the signed event, and none leaves between two sums | `withdrawal::a_row_does_not_leave_on_the_platforms_word`, `withdrawal::after_its_set_is_closed_a_row_stays` |
//! | correct a value, or hold one back over an objection | rows are sealed once, before the first sum | `guard::rows_that_come_late_are_refused` |
//! | leave a bank out | rows and groups are counted again; a bank left out takes part no more | `guard::where_a_bank_leaves_rows_are_counted_again` |
//! | ask the same in another session | the same rows, chosen cuts and set of banks, or noise; not: other bins, other codes, one row less | tests of the node's `clearance` and of the [ledger](crate::aggregation::Release) |
//!
//! **What is not checked.** Differences between groups of two sums, and sums of row counts alone (the search for cut points).

use serde::{Deserialize, Serialize};
use tally_crypto::seed::Seed;
use tally_model::RowSet;

use super::contract::{ContractError, term};
use super::{Contract, Fault};

/// What every bank demands of the rows behind a sum.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BalanceTerms {
    /// Largest share of the rows of a sum that may be one bank's own.
    #[serde(default = "half")]
    pub share: f64,
    /// Fewest rows that a bank must have opened: it draws its own floor between this and twice this.
    #[serde(default = "floor")]
    pub floor: u64,
    /// Largest share of the rows of a released group of cells that may be one bank's own; absent in contracts from before groups
    /// were weighed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell_share: Option<f64>,
    /// Fewest rows of a bank between two fields of the platform that divide its rows nearly alike: it draws its own number between
    /// this and twice this. Absent: such fields are not looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub twins: Option<u64>,
}

/// What becomes of rows whose consent ends while a session runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithdrawalTerms {
    /// Largest share of a bank's rows whose consents may end before the session does.
    #[serde(default = "tenth")]
    pub share: f64,
    /// What happens to rows that come too late to leave.
    #[serde(default)]
    pub otherwise: Otherwise,
}

/// What happens when a consent ends after its row was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Otherwise {
    /// The session goes on with the row.
    #[default]
    GoOn,
    /// The session ends.
    Stop,
}

/// Share of a group that a bank bears where the template does not say.
const CELL_SHARE: f64 = 0.75;

fn half() -> f64 {
    0.5
}

fn floor() -> u64 {
    20
}

fn tenth() -> f64 {
    0.1
}

impl Default for BalanceTerms {
    fn default() -> Self {
        Self { share: half(), floor: floor(), cell_share: Some(CELL_SHARE), twins: None }
    }
}

impl Default for WithdrawalTerms {
    fn default() -> Self {
        Self { share: tenth(), otherwise: Otherwise::default() }
    }
}

impl BalanceTerms {
    pub(super) fn check(self, banks: usize) -> Result<(), ContractError> {
        let share = self.share < 1.0 && self.share * banks as f64 >= 1.0;
        term("balance.share", share, "below 1, and at least what banks of one size have each")?;
        let cell_share = self.cell_share.is_none_or(|share| (self.share..1.0).contains(&share));
        term("balance.cell_share", cell_share, "below 1, and at least `balance.share`")?;
        let twins = self.twins.is_none_or(|twins| (1..=1 << 32).contains(&twins));
        term("balance.twins", twins, "between 1 and 2^32 rows; leave it out for none")?;
        term("balance.floor", (1..=1 << 32).contains(&self.floor), "between 1 and 2^32 rows")
    }

    /// The floor of a set of rows: hold-out rows are the smaller part, and have a third of it.
    pub(super) fn floor_of(self, set: RowSet, seed: &Seed) -> u64 {
        match set {
            RowSet::Train => self.drawn(seed),
            RowSet::Holdout => self.drawn(seed).div_ceil(3),
        }
    }

    /// Whether a bank's own rows are too large a part of all.
    pub(super) fn tips(self, own: u64, all: u64) -> bool {
        own as f64 > self.share * all as f64
    }

    /// A bank's own floor.
    pub(super) fn drawn(self, seed: &Seed) -> u64 {
        drawn("tallystick/floor", self.floor, seed)
    }

    /// A bank's own number of rows between two fields.
    pub(super) fn drawn_between(self, seed: &Seed) -> Option<u64> {
        self.twins.map(|twins| drawn("tallystick/twins", twins, seed))
    }
}

impl WithdrawalTerms {
    pub(super) fn check(self) -> Result<(), ContractError> {
        term("withdrawal.share", (0.0..=1.0).contains(&self.share), "between 0 and 1")
    }

    /// Whether more of a bank's rows have ended than the session bears.
    pub(super) fn bears(self, ended: usize, rows: usize) -> bool {
        ended as f64 <= self.share * rows as f64
    }
}

/// A number between this and twice this, that only who has the seed knows.
fn drawn(label: &'static str, least: u64, seed: &Seed) -> u64 {
    let drawn = seed.derive(label, &[]);
    let draw = drawn.expose().iter().take(8).fold(0u64, |draw, byte| draw << 8 | u64::from(*byte));
    least + draw % least
}

/// Why a sum without cells is not taken.
pub(super) fn few_rows(terms: &Contract) -> Fault {
    let limits = &terms.limits;
    let reason = format!(
        "fewer than {} banks have {} rows each to sum over: propose a session over more rows, or with a smaller `min_rows`",
        limits.min_cell, limits.min_rows
    );
    Fault::new("contract", reason)
}
