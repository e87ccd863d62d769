//! What goes wrong, for operators: one sentence that names the culprit and the remedy, and an exit code for scripts.

use serde::{Deserialize, Serialize};

/// A failed command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind of failure, hence which exit code.
    pub kind: FailureKind,
    /// The sentence.
    pub message: String,
    /// A code for programs, where the scoring service has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The member of the request that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// Kinds of failure; the numbers follow `sysexits.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// 1: a check did not hold (audit findings, a model that differs).
    Check,
    /// 2: the command line is wrong.
    Usage,
    /// 65: a file given to the command is wrong.
    Data,
    /// 69: the node is not running or a peer is out of reach.
    Unavailable,
    /// 70: a mistake of ours.
    Internal,
    /// 70: a record of the store is of another type or version than the one that is asked for.
    Record,
    /// 73: a file or directory cannot be written.
    Write,
    /// 74: the store cannot be read.
    Read,
    /// 75: not now; try again later.
    Retry,
    /// 77: refused by policy, consent, key or signature.
    Refused,
    /// 78: the node's configuration is wrong.
    Config,
}

impl FailureKind {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Check => 1,
            Self::Usage => 2,
            Self::Data => 65,
            Self::Unavailable => 69,
            Self::Internal | Self::Record => 70,
            Self::Write => 73,
            Self::Read => 74,
            Self::Retry => 75,
            Self::Refused => 77,
            Self::Config => 78,
        }
    }
}

impl Failure {
    /// A failure of `kind`.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), code: None, field: None }
    }

    /// The same with a code for programs.
    #[must_use]
    pub(crate) fn coded(self, code: &str) -> Self {
        Self { code: Some(code.into()), ..self }
    }

    /// The same with the member of the request that is wrong.
    #[must_use]
    pub(crate) fn about(self, field: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..self }
    }
}

/// A failure after which a node must not go on: its store has failed, so what it said next would rest on nothing durable. It is
/// another type than [`Failure`], and made of one in two places only, so that nothing that a peer sends becomes one.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Fatal(Failure);

impl Fatal {
    /// What the node cannot go on after, whatever its kind: for what no message brings about.
    pub(crate) fn because(failure: Failure) -> Self {
        Self(failure)
    }
}

impl From<Fatal> for Failure {
    fn from(fatal: Fatal) -> Self {
        fatal.0
    }
}

/// A failure of the store stops the node; any other is an answer or a refusal, and the node goes on.
pub(crate) fn unless_fatal<T>(done: Result<T, Failure>) -> Result<Result<T, Failure>, Fatal> {
    match done {
        Err(failure) if matches!(failure.kind, FailureKind::Write | FailureKind::Read) => Err(Fatal(failure)),
        done => Ok(done),
    }
}

/// Shorthand constructors that read well behind `map_err`.
macro_rules! kinds {
    ($($name:ident => $kind:ident),* $(,)?) => {
        $(
            #[doc = concat!("A failure of kind [`FailureKind::", stringify!($kind), "`].")]
            pub(crate) fn $name(message: impl ToString) -> Failure {
                Failure::new(FailureKind::$kind, message.to_string())
            }
        )*
    };
}

kinds! {
    check => Check, usage => Usage, data => Data, unavailable => Unavailable, internal => Internal, record => Record,
    unwritable => Write, unread => Read, retry => Retry, refused => Refused, misconfigured => Config,
}
