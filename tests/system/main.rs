//! Whole-system tests: the program, its processes and its files, as users meet them.

#![cfg(test)]

mod align;
mod bad_input;
mod demo;
mod layout;
mod operator;
mod program;
mod releases;
