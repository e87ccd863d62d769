//! `tallystick demo`: a platform and its banks on this machine, from consent to proof.
//!
//! Every node is a process of its own with its own directory, key, store and log; the demo tells them what operators would
//! tell them, through the same control sockets, and reads nothing else of theirs. What it compares the federated model
//! with, it computes itself from the tables that it made ([`oracle`]).

mod cluster;
mod exact;
mod inputs;
mod oracle;
mod report;
mod stages;

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use crate::cli::{CsvArguments, Language};
use crate::control::Command;
use crate::failure::{self, Failure};

pub(crate) use cluster::Node;
use inputs::Inputs;
pub(crate) use stages::OPERATOR;
use stages::{Kill, Stages};

/// Arguments of `tallystick demo`.
#[derive(Args)]
pub(crate) struct DemoArguments {
    /// What is fitted.
    #[arg(long, value_enum, default_value = "scorecard")]
    model: ModelName,
    /// Enterprises in the synthetic city.
    #[arg(long, default_value_t = 12_000)]
    enterprises: usize,
    /// Banks, three or more.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(3..=100))]
    banks: u32,
    /// Seed of the synthetic city.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Use platform.csv and bank.csv of this directory instead of the synthetic city.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    csv: CsvArguments,
    /// Share of enterprises that consent; 0.85 in the city, 1 with --data.
    #[arg(long)]
    consent_rate: Option<f64>,
    /// Keep the nodes' directories here.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// kill -9 a node when the session gets there: approve, align, train, evaluate or release.
    #[arg(long, value_name = "NODE@STAGE")]
    kill: Option<Kill>,
    /// Start the killed node again after this many seconds.
    #[arg(long, value_name = "SECONDS", requires = "kill")]
    restart: Option<f64>,
    /// Seconds that the platform waits for a bank in one step.
    #[arg(long, value_name = "SECONDS")]
    patience: Option<u32>,
}

/// The templates that the demo proposes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ModelName {
    /// A scorecard.
    Scorecard,
    /// Boosted trees.
    Trees,
}

impl DemoArguments {
    /// The session template; where a bank is killed for good, the others may go on without it.
    fn template(&self) -> String {
        let template = match self.model {
            ModelName::Scorecard => include_str!("../../../../models/templates/scorecard.toml"),
            ModelName::Trees => include_str!("../../../../models/templates/trees.toml"),
        };
        if self.kill.is_some() && self.restart.is_none() {
            format!("min_cohort = 3\n{template}")
        } else {
            template.into()
        }
    }

    /// The template's patience would be long for somebody who watches a node stay dead.
    fn patience(&self) -> Option<u32> {
        self.patience.or((self.kill.is_some() && self.restart.is_none()).then_some(5))
    }
}

/// Runs the demo; true if everything that it checks held.
///
/// # Errors
/// Says what stopped it.
pub(crate) fn run(arguments: &DemoArguments, language: Language, json: bool) -> Result<bool, Failure> {
    let temporary;
    let root = match &arguments.keep {
        Some(path) => {
            make_empty(path)?;
            path.clone()
        }
        None => {
            temporary = tempfile::Builder::new().prefix("tallystick-demo-").tempdir().map_err(failure::unwritable)?;
            remove_on_interrupt(temporary.path())?;
            temporary.path().to_owned()
        }
    };
    let root = std::path::absolute(&root).map_err(failure::unwritable)?;
    let mut stages = Stages::begin(language, json);
    let inputs = Inputs::make(&root, arguments, &mut stages)?;
    let mut run = stages.enrol(&root, &inputs, arguments)?;
    stages.import(&mut run, &inputs)?;
    let session = stages.session(&mut run, &inputs, arguments)?;
    let results = collect(&run, &session)?;
    let comparison = stages.compare(&run, &inputs, &session, &results)?;
    let scores = stages.score(&run, &inputs)?;
    let nodes = stages.stop(&mut run)?;
    let audit = stages.audit(&run)?;
    let titles = inputs.titles()?;
    let stages = stages.finish();
    let report =
        report::Report { inputs: &inputs, language, titles, results, comparison, scores, nodes, audit, stages };
    report.print(json);
    Ok(report.holds())
}

/// Ctrl-C leaves nothing behind: the nodes stop when this process ends, and their directories go.
fn remove_on_interrupt(directory: &std::path::Path) -> Result<(), Failure> {
    let directory = directory.to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failure::internal)?;
    std::thread::spawn(move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            // A node may write a file just then, so once may not be enough; without its directory it stops.
            for _ in 0..20 {
                if std::fs::remove_dir_all(&directory).is_ok() || !directory.exists() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            std::process::exit(130);
        }
    });
    Ok(())
}

/// The fit as each node gives it, the platform first.
fn collect(run: &stages::Run, session: &str) -> Result<Vec<(String, Value)>, Failure> {
    let order = Command::SessionResults { session: session.into() };
    run.alive().map(|node| Ok((node.name.clone(), node.tell(&order)?))).collect()
}

fn make_empty(path: &std::path::Path) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| failure::unwritable(format!("{}: {error}", path.display()));
    if path.exists() && std::fs::read_dir(path).map_err(cannot)?.next().is_some() {
        return Err(failure::unwritable(format!(
            "{}: is not empty: choose another directory for --keep",
            path.display()
        )));
    }
    std::fs::create_dir_all(path).map_err(cannot)
}
