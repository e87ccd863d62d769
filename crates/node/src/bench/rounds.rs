//! `tallystick bench rounds`: how long a training round takes when platform and banks are processes that talk over mutual TLS.
//!
//! Runs `tallystick demo`, and reads from the platform's own log, in milliseconds, when each sum was released. What lies
//! between two of them is everything a round is: the trainer's step at every node, masks, three trips through TLS and each
//! node's durable log, the sum, and its recomputation at every bank. How long the vectors are, the contract says.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use serde_json::{Value, json};
use tally_audit::verify::verify_log;
use tally_audit::{Body, Registry};

use crate::cli::Printed;
use crate::failure::{self, Failure};

/// Arguments of `tallystick bench rounds`.
#[derive(Args)]
pub(crate) struct RoundsArguments {
    /// Banks, each a process.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(3..=100))]
    banks: u32,
    /// Enterprises in the synthetic city.
    #[arg(long, default_value_t = 3_000, value_name = "E")]
    enterprises: usize,
    /// Put the nodes here and leave them there.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

impl RoundsArguments {
    /// Runs the demo and reads the platform's log.
    pub(super) fn run(&self) -> Result<Printed, Failure> {
        let temporary = tempfile::tempdir().map_err(failure::unwritable)?;
        let folder = self.keep.clone().unwrap_or_else(|| temporary.path().join("demo"));
        let report = self.demo(&folder)?;
        let mut rounds = durations(&folder)?;
        rounds.sort_by(f64::total_cmp);
        let total: f64 = rounds.iter().sum();
        let at = |share: f64| rounds.get((rounds.len() as f64 * share) as usize).copied().unwrap_or_default();
        let stage = |name: &str, key: &str| {
            let stages = report["stages"].as_array().into_iter().flatten();
            stages.filter(|stage| stage["name"] == name).find_map(|stage| stage[key].as_f64()).unwrap_or_default()
        };
        let (median, slow) = (at(0.5), at(0.9));
        let value = json!({
            "banks": self.banks,
            "enterprises": self.enterprises,
            "rounds": rounds.len(),
            "median_round_s": median,
            "p90_round_s": slow,
            "all_rounds_s": total,
            "training_bytes": stage("train", "bytes") + stage("evaluate", "bytes"),
            "demo_s": report["seconds"],
        });
        let text = format!(
            "{} banks: {} rounds in {total:.2} s, median {median:.3} s, one in ten takes more than {slow:.3} s",
            self.banks,
            rounds.len()
        );
        Ok(Printed { value, text, holds: !rounds.is_empty() })
    }

    fn demo(&self, folder: &Path) -> Result<Value, Failure> {
        let output = Command::new(std::env::current_exe().map_err(failure::internal)?)
            .args(["demo", "--json", "--patience", "600"])
            .args(["--banks", &self.banks.to_string(), "--enterprises", &self.enterprises.to_string()])
            .arg("--keep")
            .arg(folder)
            .stderr(Stdio::inherit())
            .output()
            .map_err(failure::internal)?;
        if !output.status.success() {
            return Err(failure::internal("the demo did not come to its end"));
        }
        serde_json::from_slice(&output.stdout).map_err(failure::internal)
    }
}

/// Seconds of each round but the first, which makes keys and waits for the slowest alignment.
fn durations(folder: &Path) -> Result<Vec<f64>, Failure> {
    let registry = std::fs::read_to_string(folder.join("registry.json")).map_err(failure::internal)?;
    let registry = Registry::parse(&registry).map_err(failure::internal)?;
    let log = verify_log(&folder.join("platform"), &registry).map_err(failure::internal)?;
    let released = log.entries.iter().filter(|entry| matches!(entry.body, Body::RoundResult { .. }));
    let times: Vec<_> = released.map(|entry| entry.time).collect();
    Ok(times.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1000.0).collect())
}
