//! A joint-modelling session: from a contract that every party has signed to a scorecard that every party has computed.
//!
//! **Parties.** One platform (feature holder and aggregator) and three or more banks (label and feature holders).
//!
//! **Inputs.** The signed [`Contract`]. Platform: its fields for enterprises that consented, per bank ([`PlatformData`]).
//! Bank: its cleared loan rows with labels and own fields ([`BankData`]).
//!
//! **Outputs.** The same [`Fitted`] model at every party, bit for bit what the plain fit of the pooled rows gives.
//!
//! **What each learns.** The platform: set sizes, the released sums, the model; never which enterprises a bank holds, nor
//! any label. A bank: binned fields of those of its own enterprises that consented, the released sums, the model. Sums
//! over all banks are public to the session.
//!
//! **Assumptions.** Those of [`alignment`](crate::alignment) and [`aggregation`](crate::aggregation). Both machines are
//! deterministic in (contract, seed, inputs): a node that replays its journal repeats the very same messages.
//!
//! **Cost.** Alignment: that of the contract's engine, and 32 bytes a row beside its payload. Training: three
//! short trips a round, 8 bytes a sum entry and bank.
//!
//! **References.** Row keys: RFC 9497. Secure aggregation: Bonawitz et al., CCS 2017. Scorecard: weight of evidence and L2
//! logistic regression by damped Newton steps.
//!
//! ```text
//! platform                                              bank
//! Preparing --Announce--------------------------------> Opening
//! Aligning  <--Alignment (see `alignment`)------------>
//!           --Rows (chunks)--------------------------->
//!           <--Aligned---------------------------------
//! Training  --Aggregation(offer …)--------------------> Training    every round: see `aggregation`
//!           --Released(sums)--------------------------> answers its own trainer; a sum with cells takes two rounds, first
//!                                                       who has rows in which cells, then the cells, folded
//!           <--Fitted(model digest, signatures)--------
//! Released  --Complete(everybody's signatures)--------> Released    both statements: see `attest`
//! ```
//!
//! A message that the state does not foresee is refused with the name of its sender.
//!
//! **Consent that ends meanwhile.** Before rows are sealed, the row is left out. Later the platform forwards what the enterprise
//! signed (`Withdrawn`), or the bank learns of it by itself; the row leaves before the first sum over its set, or stays: see
//! module `withdrawal`. **How even the rows must lie** before banks help with a sum: see module `guard`.
//!
//! **What one party can do between two releases to make their difference small**, and what is done against each; the
//! name of a test follows in parentheses.
//!
//! - *Withdraw rows*, one or all of a bank, by the platform: rows leave on verified events and before their set's first sum only
//!   (`a_row_does_not_leave_on_the_platforms_word`, `after_its_set_is_closed_a_row_stays`).
//! - *Withdraw rows*, by a bank: its own register tells it, at the same steps; what it gives later is over the same rows, as its
//!   auditor sees who makes its vectors again (`every_vector_is_what_the_disclosed_rows_give`). A bank that lies about its
//!   own rows can subtract only itself.
//! - *Offer the other banks few rows*, or rows that nobody opens, or rows with codes that were not announced: such rows are not
//!   rows, the others' numbers are counted before anything else is summed, and each bank asks for its floor and that others have their
//!   part (`a_bank_that_would_be_nearly_all_of_a_sum_refuses`, `a_bank_with_few_rows_stops_at_the_first_sum`).
//! - *Send rows late*: rows come before the first sum, as many as were announced; afterwards the message is not foreseen
//!   (`rows_that_come_late_are_refused`).
//! - *Correct a value*, or *object to one*, while the session runs: both are about what is offered to later sessions and
//!   scores; the codes that a bank opened are in every sum of the session (`rows_that_come_late_are_refused`).
//! - *Leave*, or be left out, between two parts: cells and sums without cells are of all banks that were counted, else the number
//!   of rows is asked again, and who then has too large a part refuses (`where_a_bank_leaves_rows_are_counted_again`).
//! - *Ask for a sum twice*, or for another one: the contract's trainer, the same everywhere, says what comes next, and a round is
//!   answered once (module `aggregation`; `a_bank_refuses_sums_that_the_trainer_does_not_ask`).
//! - *Cut rows differently*: in cohorts of several days, all rows of an enterprise are on one side and leave together; cells
//!   are unions of those shown before ([`tally_model::release`]).
//! - *Hold sessions side by side*, or one after the other, over the same data: the same banks and the same sample, by the node's
//!   ledger ([`Release`]). A row whose consent was given or ended between two sessions is in one and not in the other: that
//!   difference is not prevented without noise, as SECURITY.md says.

mod attest;
mod bank;
mod bins;
mod contract;
mod disclosed;
mod guard;
mod ideal;
mod join;
mod messages;
mod model_terms;
mod offering;
mod parts;
mod platform;
mod platform_data;
mod replay;
mod sample;
mod statistics;
#[cfg(test)]
mod tests;
mod training;
mod transcript;
mod twins;
mod withdrawal;

pub use attest::{Attestation, ModelRelease, RoundResult, RoundResults, Signatures};
pub use bank::{BankData, BankInput, BankSession};
pub use bins::{BinTable, bin};
pub use contract::{
    AlignmentTerms, Contract, ContractError, Fallback, FieldTerms, Holder, Limits, ListReference, Party, PartyRole,
    Recompute, ScoringTerms, SealedContract, Snapshot,
};
pub use disclosed::DisclosedBank;
pub use guard::{BalanceTerms, Otherwise, WithdrawalTerms};
pub use ideal::{follow, ideal, tables};
pub use messages::{FromBank, FromPlatform, Stop};
pub use model_terms::{CappedColumn, JudgingTerms, ModelTerms, RowColumns, TreeTerms};
pub use platform::{PlatformInput, PlatformSession};
pub use platform_data::{PlatformColumn, PlatformData, PlatformHalf};
pub use replay::{Derived, Replay, Replayed};
pub use sample::{Exclusion, HoldoutRule, SampleTerms};
pub use statistics::{MeasureTerms, OnlyTerms, StatisticsTerms};
pub use withdrawal::{Ended, EndedRow};

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;
use tally_model::{Fitted, Table};

use crate::aggregation::Release;

/// What a machine asks of its node, in order.
#[derive(Debug)]
pub enum Output<M> {
    /// Send `message` to the party `to`.
    Send {
        /// Receiving party.
        to: String,
        /// The message.
        message: M,
    },
    /// Put this fact in the log.
    Record(Fact),
    /// A bank is about to help to release a sum: the session ends here if the node's ledger does not admit it.
    Releasing(Release),
    /// The session has reached a further stage.
    Stage(Stage),
    /// The bank's joined table, for its own evaluation of the model that follows; never sent.
    Table(Box<Table>),
    /// The fitted model, once per session.
    Model(Box<Fitted>),
    /// So many rows that this bank holds did not open, or held no codes of the contract's fields, and count as missing: for its
    /// operator, after the session. Nothing that others see may depend on it: whoever sealed such a row would learn whether
    /// the bank holds it.
    Unread(u64),
    /// A bank: signed events of consents that the platform says have ended, one a line, about rows that this bank has. They are to
    /// be verified and taken into its register; only then do the rows leave ([`BankInput::Withdraw`]).
    Ended(String),
    /// Keep a statement that parties have signed in common, and put it in the log.
    Attested(Attestation),
    /// A party's message was refused; the session goes on.
    Refused(Fault),
    /// Evidence to keep for auditors: a round's transcript, encoded.
    Evidence {
        /// Round number.
        round: u32,
        /// Encoded transcript.
        transcript: Vec<u8>,
    },
}

/// Where a session stands (design section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Written by the platform, not yet sent.
    Draft,
    /// Sent to the banks for approval.
    Proposed,
    /// Signed by every party.
    Approved,
    /// Row keys agreed, rows opened.
    Aligned,
    /// Tables ready, first sum asked.
    Prepared,
    /// The fit has converged.
    Trained,
    /// Hold-out sums released.
    Evaluated,
    /// Every party has the same model.
    Released,
    /// Nothing more will be sent.
    Closed,
    /// Stopped; the reason names the culprit.
    Aborted,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Draft => "draft",
            Self::Proposed => "proposed",
            Self::Approved => "approved",
            Self::Aligned => "aligned",
            Self::Prepared => "prepared",
            Self::Trained => "trained",
            Self::Evaluated => "evaluated",
            Self::Released => "released",
            Self::Closed => "closed",
            Self::Aborted => "aborted",
        })
    }
}

/// What a party commits to its log about the session: digests, counts and party names only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The set offered to or brought to the alignment with `bank`.
    ConsentSet {
        /// The bank of this alignment.
        bank: String,
        /// Rows in the set.
        rows: u64,
        /// Salted commitment to the set.
        set: Digest,
    },
    /// Rows left a session since their consent ended.
    Withdrawn {
        /// The bank that held them, or was offered them.
        bank: String,
        /// How many.
        rows: u64,
    },
    /// The platform forwarded the events behind the end of consents to a bank.
    Named {
        /// The bank.
        bank: String,
        /// Of how many rows.
        rows: u64,
    },
    /// Alignment with `bank` is done; the transcript is equal at both sides.
    Alignment {
        /// The bank of this alignment.
        bank: String,
        /// Hash over every alignment message in order.
        transcript: Digest,
    },
    /// This bank gave a masked contribution.
    Contributed {
        /// Round number.
        round: u32,
        /// Digest of the sum request.
        request: Digest,
        /// Digest of the masked message.
        masked: Digest,
    },
    /// A sum was released.
    Released {
        /// Round number.
        round: u32,
        /// Digest of the sum request.
        request: Digest,
        /// Digest of the sums.
        sums: Digest,
        /// Banks in the sum.
        cohort: Vec<String>,
    },
    /// The model that every party computed.
    Model {
        /// Digest of the fit.
        model: Digest,
        /// Rounds that led to it.
        rounds: u32,
    },
}

/// Why a session cannot go on: always names the culprit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{culprit}: {reason}")]
pub struct Fault {
    /// The party that caused it.
    pub culprit: String,
    /// What happened and, where there is one, the remedy.
    pub reason: String,
}

impl Fault {
    pub(crate) fn new(culprit: &str, reason: impl ToString) -> Self {
        Self { culprit: culprit.into(), reason: reason.to_string() }
    }
}
