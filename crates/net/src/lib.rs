//! Peers: one stream a bank, dialled by the bank, mutual TLS 1.3; messages in order, whole, with the sender's receipt.
//!
//! A message can only be handed to the network with the [`Receipt`](tally_audit::Receipt) of a durable log entry. What is
//! lost with a connection is sent again by the caller; see [`Event::Up`].

mod bank;
pub mod direct;
mod frames;
mod identity;
mod link;
mod platform;
#[cfg(test)]
mod tests;

pub use bank::Dialer;
pub use identity::Tls;
pub use link::{Event, Incoming, Link, NetError, NotConnected, Outgoing, Traffic};
pub use platform::Listener;

/// Code generated from `proto/tallystick/v1`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::unwrap_used)] // generated, not ours to document
pub(crate) mod wire {
    tonic::include_proto!("tallystick.v1");
}
