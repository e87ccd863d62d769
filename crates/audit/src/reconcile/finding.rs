//! What a reader of several logs is told.

use serde::{Deserialize, Serialize};

/// Something that the logs do not agree on, or that one of them must not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// What it is.
    pub kind: Kind,
    /// Who has to answer for it; several where the logs cannot tell which of them.
    pub parties: Vec<String>,
    /// Whose log holds the entry.
    pub log: String,
    /// The entry's place in it; absent where an entry is missing.
    pub entry: Option<u64>,
    /// What was found.
    pub what: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Explained by a log that was copied before the other, or a message that was on its way.
    Warning,
    /// One of the parties does not tell the truth, or its log is not complete.
    Fault,
}

/// What can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Peers hold receipts of entries that the log does not have any more.
    Rewritten,
    /// Two copies of a party's log are of two histories.
    Forked,
    /// A receipt promises an entry that the log does not hold.
    Unpublished,
    /// A message left and was not taken in.
    NotTaken,
    /// A message was taken in and never left.
    NeverLeft,
    /// A message is not the same in both logs.
    MessageDiffers,
    /// A message number stands twice, or one was left out.
    Stream,
    /// A message came under the receipt of another entry.
    Receipt,
    /// A contract, alignment, sum or model is not the same in two logs.
    FactDiffers,
    /// A contract, alignment, sum or model stands twice in a log.
    FactTwice,
    /// A party does not hold what others hold of a session that it takes part in.
    FactMissing,
    /// Something happened before the contract or outside the order of a session.
    Order,
    /// Something happened after the end of its session.
    AfterEnd,
    /// A sum over fewer banks than the contract allows.
    Cohort,
    /// A bank in a sum gave no vector for it.
    Contribution,
    /// A model rests on other sums than those in the log.
    Model,
    /// A score without its request, answer or model.
    Score,
    /// A score without a decision that allows it.
    Decision,
    /// An early warning was not issued, left twice, or was acknowledged by others than its bank.
    Warning,
    /// A sharing list is not the one that is meant.
    List,
    /// Data were read that were not committed, or are not the contract's.
    Data,
    /// Rows left before what they disclose was checked.
    Disclosure,
    /// Rows left before they were cleared.
    Clearance,
    /// Rows left a session, and no consent had ended.
    Withdrawal,
}

impl Kind {
    /// What whoever reads the finding should do.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Rewritten => {
                "keep the peers' copies as evidence; ask the owner for the log that its checkpoints covered before"
            }
            Self::Forked => "keep both copies with their checkpoints: the owner's own signatures convict it",
            Self::Unpublished => {
                "keep the receipt: the owner's own signature convicts it; ask for the log that its checkpoints covered then"
            }
            Self::NotTaken | Self::NeverLeft => {
                "ask both for newer copies; compare the message journals of the two nodes"
            }
            Self::MessageDiffers | Self::Receipt => "ask both for the message itself and compare its digest",
            Self::Stream => "ask the owner for the message journal of this peer",
            Self::FactDiffers => "ask the parties for the signed document or transcript and run `audit replay` on it",
            Self::FactTwice => "ask the owner which of the two it acted on",
            Self::FactMissing => "ask the party for a newer copy of its log; if it has none, it left the entry out",
            Self::Order | Self::AfterEnd => "ask the owner for its session journal; do not use what was computed",
            Self::Cohort => "do not use the sum, nor what rests on it",
            Self::Contribution | Self::Model => "run `audit replay` on the session's evidence",
            Self::Score => "ask both for the request and the answer under its random name",
            Self::Decision => "ask the platform for the consent that allowed it, opened from its commitment",
            Self::Warning => "ask the platform for the warning's record, opened from its commitment",
            Self::List => "compare the signed lists; sessions under another list must be proposed again",
            Self::Data => "ask the owner for the salted root of the data set and what changed it",
            Self::Withdrawal => {
                "ask for the signed events behind it, opened from their commitments; do not use the session's sums"
            }
            Self::Disclosure | Self::Clearance => {
                "ask the platform for the check of these rows; the bank must hold them apart until then"
            }
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Fault => "fault",
        };
        write!(f, "{severity} [{}] log of {}", self.parties.join(", "), self.log)?;
        if let Some(entry) = self.entry {
            write!(f, ", entry {entry}")?;
        }
        write!(f, ": {}; {}", self.what, self.kind.advice())
    }
}

impl Finding {
    /// A fault that the owner of the log has to answer for.
    pub(super) fn own(kind: Kind, log: &str, entry: impl Into<Option<u64>>, what: impl Into<String>) -> Self {
        Self::fault(kind, [log], log, entry, what)
    }

    pub(super) fn fault<'a>(
        kind: Kind,
        parties: impl IntoIterator<Item = &'a str>,
        log: &str,
        entry: impl Into<Option<u64>>,
        what: impl Into<String>,
    ) -> Self {
        let parties = parties.into_iter().map(Into::into).collect();
        Self { severity: Severity::Fault, kind, parties, log: log.into(), entry: entry.into(), what: what.into() }
    }

    /// The finding as a warning where `explained` by copies of different age.
    pub(super) fn unless(self, explained: bool) -> Self {
        let severity = if explained { Severity::Warning } else { self.severity };
        Self { severity, ..self }
    }
}
