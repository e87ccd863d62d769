//! The mathematics under the protocols: no state machines, no input or output, no clock, no global randomness.
//!
//! | module | what it holds |
//! |---|---|
//! | [`transcript`] | length-prefixed hashing, digests, salted commitments |
//! | [`merkle`] | RFC 6962 tree hashing, inclusion and consistency proofs |
//! | [`seed`] | one secret from which everything random of a session is derived |
//! | [`sign`] | Ed25519 under domain labels, and DSSE envelopes |
//! | [`seal`] | authenticated encryption: one-time row keys, columns at rest, passphrases |
//! | [`group`] | ristretto255 with validated points |
//! | [`oprf`] | RFC 9497 ristretto255-SHA512, base and verifiable modes |
//! | [`exponent`] | commuting exponents, for counting |
//! | [`field`] | GF(2^128), portable and with carry-less multiplication |
//! | [`okvs`] | oblivious key-value store |
//! | [`share`] | Shamir shares over the scalar field with Feldman commitments |
//! | [`vole`] | vector OLE: base transfers, their extension, punctured trees, the expand-convolute code |
//! | [`prg`] | mask streams over the ring of 64-bit words |

pub mod exponent;
pub mod field;
pub mod group;
pub mod merkle;
pub mod okvs;
pub mod oprf;
pub mod prg;
pub mod seal;
pub mod seed;
pub mod share;
pub mod sign;
pub mod transcript;
pub mod vole;
