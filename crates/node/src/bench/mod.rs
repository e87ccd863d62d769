//! `tallystick bench`: what an operation costs on this machine, through the same processes and messages as an operator uses.
//!
//! Every verb prints, beside its own figures, the floor that its primitives set in the same run, so that a figure from a
//! slow or busy machine can be read.

mod aggregation;
mod alignment;
mod consent;
mod disk;
mod floor;
mod log;
mod rounds;
mod scoring;
mod training;

use clap::Subcommand;

use crate::cli::Printed;
use crate::failure::Failure;

/// Measurements.
#[derive(Subcommand)]
pub(crate) enum BenchVerb {
    /// One round of secure aggregation.
    Aggregation(aggregation::AggregationArguments),
    /// Two processes align two files over mutual TLS.
    Alignment(alignment::AlignmentArguments),
    /// A register of consents: import, look-up, decision.
    Consent(consent::ConsentArguments),
    /// A node's log: appended, published, verified.
    Log(log::LogArguments),
    /// Training rounds of real nodes.
    Rounds(rounds::RoundsArguments),
    /// Scores through a bank's scoring service, under load.
    Scoring(scoring::ScoringArguments),
    /// Boosted trees on one node's rows.
    Training(training::TrainingArguments),
}

impl BenchVerb {
    /// Measures.
    pub(crate) fn run(&self) -> Result<Printed, Failure> {
        match self {
            Self::Aggregation(arguments) => arguments.run(),
            Self::Alignment(arguments) => arguments.run(),
            Self::Consent(arguments) => arguments.run(),
            Self::Log(arguments) => arguments.run(),
            Self::Rounds(arguments) => arguments.run(),
            Self::Scoring(arguments) => arguments.run(),
            Self::Training(arguments) => arguments.run(),
        }
    }
}
