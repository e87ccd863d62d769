//! The computation log: who computed what with whose data, under which contract; verifiable without us.
//!
//! A log is a C2SP tiled transparency log (tlog-tiles, tlog-checkpoint, signed-note): a directory of static files, which other
//! programs verify as well. Entries hold commitments, counts and names of parties and fields, never identifiers, values or
//! scores.
//!
//! | module | what it holds |
//! |---|---|
//! | [`note`] | signed notes, verifier keys, checkpoints, cosignatures |
//! | [`policy`] | which logs and witnesses are trusted, and how many of them |
//! | [`proof`] | proofs of inclusion to take home |
//! | [`files`] | the log as a directory of tiles: publication, proofs |
//! | [`witness`] | cosigning of other nodes' checkpoints, both sides |
//! | [`evidence`] | one entry with everything that proves it, in one file |
//! | [`entry`] | the closed schema of entries |
//! | [`write_ahead`] | receipts: nothing leaves a node before the entry that covers it is durable |
//! | [`receipt`] | what a sender signs for each message: the entry that covers it will be published |
//! | [`registry`] | the signed registry of parties |
//! | [`order`] | what persons decided, signed by them |
//! | [`verify`] | one log against its own rules |
//! | [`reconcile`] | the parties' logs against one another |
//! | [`trace`] | where a field went, entry by entry |
//! | [`report`] | who used whose data for what, counted |

pub mod entry;
pub mod evidence;
pub mod files;
#[cfg(test)]
mod fixture;
pub mod note;
pub mod order;
pub mod policy;
pub mod proof;
pub mod receipt;
pub mod reconcile;
pub mod registry;
pub mod report;
pub mod trace;
pub mod verify;
pub mod witness;
pub mod write_ahead;

pub use entry::{Body, Entry};
pub use receipt::{ReceiptError, Sent, SignedReceipt};
pub use registry::{NamedKey, Registry, RegistryError, RegistryParty};
pub use write_ahead::{Ledger, LedgerError, Receipt};
