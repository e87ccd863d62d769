//! The node: configuration, store, engine, control socket, command line and demo.
//!
//! | start reading at | for |
//! |---|---|
//! | [`control`] | what a running node can be told |
//! | `engine` | how a step becomes durable before anything leaves |
//! | `api` | scoring as a service |
//! | [`scoring`] | its messages over gRPC |
//! | `align` | one alignment between two parties, outside any session |
//! | `batch` | files of applicants, scored |
//! | `bench` | what operations cost |
//! | `cli` | the verbs |
//! | `witness` | witnesses over HTTP, both sides |
//! | `demo` | a platform and its banks on one machine |

mod align;
mod api;
mod batch;
mod bench;
mod cli;
mod config;
pub mod control;
mod demo;
mod descriptors;
mod directory;
mod engine;
pub mod failure;
mod given_file;
mod http;
mod keys;
mod log;
mod node_directory;
mod process;
mod registry;
mod scan;
mod secret;
mod serve;
mod store;
mod witness;

pub use api::wire as scoring;
pub use cli::main;
