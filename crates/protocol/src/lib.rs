//! The protocols of a node as sans-IO state machines: messages in, messages out; no clock, no network, no global randomness.

pub mod aggregation;
pub mod alignment;
pub mod kind;
pub mod outcome;
pub mod scoring;
pub mod session;
pub mod warning;
pub mod wire;
