//! Witnesses (C2SP tlog-witness v1.0.0, `add-checkpoint`): a node cosigns another node's checkpoints, each only after a proof that
//! it goes on from the one before. Who trusts a witness cannot be shown two histories.
//!
//! Sans-IO: requests and answers are texts, the clock is an argument, state is a value. Where the messages travel (HTTP, or the
//! stream between two nodes) and where the state lies is the caller's matter.
//!
//! ```text
//! log                                            witness
//! Collector::request  --- old, proof, checkpoint -->  Witness::add_checkpoint -> Pending
//!                                                     Pending::persist(write) -> Answer, only once `write` has succeeded
//! Collector::answer   <-- 200 lines | 409 size | 4xx ---
//! ```
//!
//! | what each learns | the witness: origin, size, root, when the log grows; no entry |
//! |---|---|

mod collector;
mod cosign;
mod messages;
#[cfg(test)]
mod tests;

pub use collector::{Collector, CollectorError, Progress};
pub use cosign::{LogKey, Pending, Refusal, Seen, SplitView, Witness};
pub use messages::{AddCheckpoint, Answer, MessageError, SIZE_TYPE};
