//! The log as a directory (C2SP tlog-tiles v0.1.0): `checkpoint`, `tile/<level>/<n>[.p/<width>]`, `tile/entries/<n>[.p/<width>]`.
//!
//! Everything here is derived from the store's entries and can be written again. Files are written aside, made durable and
//! put in place by renaming, the checkpoint last: a reader never sees half a file, nor a checkpoint that its tiles do not
//! cover. A node that is killed in between leaves tiles that go on where the checkpoint ends; they are what the next
//! checkpoint covers.

mod folder;
mod group;
mod proofs;
mod publish;
#[cfg(test)]
mod tests;
mod tiles;

pub use folder::{Directory, Folder, Item, STAGED};
pub use group::{Group, replace};
pub use proofs::{consistency_proof, entry, inclusion_proof};
pub use publish::{PublishError, Publisher, read_checkpoint, write_cosigned};
pub use tiles::{Edge, Kind, TILE, Tile, bundle, split_bundle};
