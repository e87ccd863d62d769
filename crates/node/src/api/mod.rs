//! Scoring as a service, at a bank's node: REST and gRPC over HTTPS on one port.
//!
//! ```text
//! caller --TLS 1.3--> gate (certificate, token, scope, limits) -> engine's queue -> platform -> answer
//! ```
//!
//! A call costs the service a hash of its token, two limits and a parse; everything that must be durable is the engine's.
//! What cannot be answered is refused at once with a [`Problem`]; a score is never invented. The answer is a score for
//! reference, never a decision.

mod entrance;
mod gate;
mod grpc;
mod limit;
mod openapi;
mod problem;
mod request;
mod rest;
mod section;
mod server;
mod service;
#[cfg(test)]
mod tests;
mod token;

pub(crate) use gate::{Gate, Grant};
pub(crate) use rest::router;
pub(crate) use section::ApiSection;
pub(crate) use server::{ServerTls, listen};
pub(crate) use service::Service;
pub(crate) use token::{Scope, TokenTerms};

/// Code generated from `proto/tallystick/v1/scoring.proto`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::unwrap_used)] // generated, not ours to document
pub mod wire {
    tonic::include_proto!("tallystick.v1");
}
