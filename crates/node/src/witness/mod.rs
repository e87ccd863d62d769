//! Witnesses that listen over HTTP (C2SP tlog-witness v1.0.0): how a node asks them, and how a regulator runs one.

mod ask;
mod proof;
mod serve;
#[cfg(test)]
mod tests;

pub(crate) use ask::{Answered, ask};
pub(crate) use proof::keep_proof;
pub(crate) use serve::{Public, open};
