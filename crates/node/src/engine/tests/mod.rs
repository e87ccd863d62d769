//! Engines of a platform and three banks in one process, without a network: what one keeps for another is handed over by the test,
//! which may hand over something else.

mod attacks;
mod consortium;
mod day;
mod roles;
mod scores;
