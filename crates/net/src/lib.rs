//! Peers: one stream a bank, dialled by the bank, mutual TLS 1.3; messages in order, whole, with the sender's receipt.
//!
//! A message can only be handed to the network with the [`Receipt`](tally_audit::Receipt) of a durable log entry, and leaves with
//! the node's signature for it ([`SignedReceipt`](tally_audit::SignedReceipt)). A message without such a signature of its sender is
//! not taken in: the connection ends, and the refusal is reported. What is lost with a connection is sent again by the caller; see
//! [`Event::Up`].

mod bank;
pub mod direct;
pub mod door;
mod frames;
mod identity;
mod link;
mod outbound;
mod platform;
mod room;
#[cfg(test)]
mod tests;

pub use bank::Dialer;
pub use identity::{Tls, tls_key};
pub use link::{Event, Incoming, Link, NetError, NotConnected, Outgoing, Party, PeerKeys, Traffic};
pub use platform::Listener;
pub use room::Room;

/// Version of the link: 2, in which receipts are signed.
pub(crate) const VERSION: u32 = 2;

/// Code generated from `proto/tallystick/v1`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::unwrap_used)] // generated, not ours to document
pub(crate) mod wire {
    tonic::include_proto!("tallystick.v1");
}
