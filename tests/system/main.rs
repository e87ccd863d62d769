//! Whole-system tests: the program, its processes and its files, as users meet them.

#![cfg(test)]

mod align;
mod api;
mod audit;
mod bad_input;
mod caller;
mod chaos;
mod cohorts;
mod consents;
mod demo;
mod evidence;
mod figures;
mod files;
mod flood;
mod four_eyes;
mod layout;
mod left;
mod lies;
mod lists;
mod monitor;
mod operator;
mod outcomes;
mod program;
mod receipts;
mod releases;
mod schema;
mod served;
mod serving;
mod statistics;
mod upgrade;
mod warnings;
mod witness;
