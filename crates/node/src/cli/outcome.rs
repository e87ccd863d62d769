//! Verbs of outcomes: what became of applications, recorded at a bank and told to the platform.

use std::path::PathBuf;

use clap::Subcommand;
use tally_policy::Purpose;

use super::node::absolute;
use super::{CsvArguments, NodeArgument, Printed, words};
use crate::control::Command;
use crate::failure::{self, Failure};
use crate::given_file::not_the_input;

/// `tallystick outcome …`.
#[derive(Subcommand)]
pub(super) enum OutcomeVerb {
    /// Bank: read outcomes from a file with the columns application, id, granted, amount, rate, start, state, as_of and, if
    /// known, request (the score's name). Wrong rows are named and left out.
    Import {
        #[command(flatten)]
        node: NodeArgument,
        /// The file, CSV or Parquet.
        file: PathBuf,
        #[command(flatten)]
        csv: CsvArguments,
        /// Write wrong rows there, as they are, to be corrected and read again.
        #[arg(long, value_name = "FILE")]
        rejects: Option<PathBuf>,
    },
    /// Count what is recorded, by state and by month of the loan; at the platform what banks have told.
    Show {
        #[command(flatten)]
        node: NodeArgument,
        /// Bank: one application.
        #[arg(long)]
        application: Option<String>,
    },
    /// Bank: tell the platform, in bands, every outcome that has changed, of enterprises whose consent allows it.
    Report {
        #[command(flatten)]
        node: NodeArgument,
        /// What the platform uses it for.
        #[arg(long, default_value = "post-loan-monitoring", value_parser = purpose)]
        purpose: Purpose,
    },
}

impl OutcomeVerb {
    pub(super) fn run(self) -> Result<Printed, Failure> {
        match self {
            Self::Import { node, file, csv, rejects } => {
                let (file, form) = (absolute(&file)?, csv.form());
                if let Some(rejects) = &rejects {
                    not_the_input(&file, std::slice::from_ref(rejects))?;
                }
                let value = node.tell(&Command::OutcomeImport { path: file.clone(), form })?;
                let wrong: Vec<tally_data::WrongRow> =
                    serde_json::from_value(value["wrong"].clone()).map_err(failure::internal)?;
                if let Some(rejects) = rejects.filter(|_| !wrong.is_empty()) {
                    tally_data::write_rejects(&file, &form, &wrong, &rejects)
                        .map_err(|error| failure::unwritable(format!("{}: {error}", rejects.display())))?;
                }
                Ok(Printed { holds: wrong.is_empty(), ..words::plain(value) })
            }
            Self::Show { node, application } => node.tell(&Command::OutcomeShow { application }).map(words::plain),
            Self::Report { node, purpose } => node.tell(&Command::OutcomeReport { purpose }).map(words::plain),
        }
    }
}

fn purpose(text: &str) -> Result<Purpose, String> {
    serde_json::from_value(text.into()).map_err(|_| format!("`{text}` is no purpose: see models/README.md"))
}
