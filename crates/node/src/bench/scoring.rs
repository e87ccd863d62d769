//! `tallystick bench scoring`: how long a bank's loan system waits for a score, and what happens when it asks too much.
//!
//! Makes a city with `tallystick demo`, starts the platform and one bank as processes, and calls the bank's scoring service
//! over mutual TLS with a token, as a loan system does. The load is open: calls leave at their time, whether or not earlier
//! ones have been answered, and a call's latency counts from that time. In the same run it measures how long the disk under
//! the logs takes to make four kilobytes durable, since three such waits lie on the path of a score, and how long it takes at
//! worst under the load.

mod load;
mod relay;
mod service;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::disk::{Watched, median_sync};
use crate::cli::Printed;
use crate::failure::{self, Failure};
use load::{Load, Phase};
use service::Service;

/// Arguments of `tallystick bench scoring`.
#[derive(Args)]
pub(crate) struct ScoringArguments {
    /// Scores a second.
    #[arg(long, default_value_t = 500, value_name = "R", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 20, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Round trip between bank and platform that is simulated, milliseconds.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    round_trip_ms: u32,
    /// After the measurement: this many times the rate for as many seconds, then the rate again.
    #[arg(long, value_name = "FACTOR", value_parser = clap::value_parser!(u32).range(2..=100))]
    overload: Option<u32>,
    /// Enterprises in the synthetic city.
    #[arg(long, default_value_t = 12_000, value_name = "E")]
    enterprises: usize,
    /// Put the nodes here and leave them there; the logs are written to its disk.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

impl ScoringArguments {
    /// Makes the city, starts the nodes, calls.
    pub(super) fn run(&self) -> Result<Printed, Failure> {
        let temporary = tempfile::tempdir().map_err(failure::unwritable)?;
        let folder = self.keep.clone().unwrap_or_else(|| temporary.path().join("demo"));
        demo(&folder, self.enterprises)?;
        let folder = std::path::absolute(&folder).map_err(failure::unwritable)?;
        let mut service = Service::start(&folder, Duration::from_millis(self.round_trip_ms.into()))?;
        let before = median_sync(&folder).map_err(failure::unwritable)?;
        let load = Load::new(&service)?;
        load.run(Phase { rate: self.rate.min(100), seconds: 2 })?;
        let cpu = service.cpu_seconds();
        let disk = Watched::start(&folder).map_err(failure::unwritable)?;
        let steady = load.run(Phase { rate: self.rate, seconds: self.seconds })?;
        let longest_sync_ms = disk.longest().map_err(failure::unwritable)?;
        let spent = service.cpu_seconds().map_or(0.0, |after| after - cpu.unwrap_or_default());
        let sync_ms = (before + median_sync(&folder).map_err(failure::unwritable)?) / 2.0;
        let overload = self.overload.map(|factor| self.overload(&load, factor)).transpose()?;
        let audit = service.stop_and_audit(&folder)?;

        let bound = |fixed: f64, syncs: f64| fixed + f64::from(self.round_trip_ms) + syncs * sync_ms;
        let (p50_bound, p99_bound) = (bound(3.0, 4.5), bound(10.0, 9.0));
        let (p50, p99) = (steady.quantile_ms(0.5), steady.quantile_ms(0.99));
        let value = json!({
            "rate": self.rate,
            "seconds": self.seconds,
            "round_trip_ms": self.round_trip_ms,
            "calls": steady.calls(),
            "errors": steady.errors(),
            "answers": steady.answers(),
            "achieved_per_s": steady.achieved_per_s(),
            "p50_ms": p50,
            "p90_ms": steady.quantile_ms(0.9),
            "p99_ms": p99,
            "max_ms": steady.quantile_ms(1.0),
            "sync_ms": sync_ms,
            "longest_sync_ms": longest_sync_ms,
            "p50_bound_ms": p50_bound,
            "p99_bound_ms": p99_bound,
            "cpu_ms_per_score": spent * 1e3 / steady.calls().max(1) as f64,
            "overload": overload,
            "audit": audit,
        });
        let text = format!(
            "{} scores/s of {} asked for, {} errors; p50 {p50:.2} ms (bound {p50_bound:.1}), p99 {p99:.2} ms (bound \
             {p99_bound:.1}); fdatasync {sync_ms:.2} ms, under the load at worst {longest_sync_ms:.1}; both nodes {:.2} CPU-ms a score",
            steady.achieved_per_s().round(),
            self.rate,
            steady.errors(),
            value["cpu_ms_per_score"].as_f64().unwrap_or_default(),
        );
        Ok(Printed { value, text, holds: steady.errors() == 0 && audit["findings"] == 0 })
    }

    fn overload(&self, load: &Load, factor: u32) -> Result<Value, Failure> {
        let flood = load.run(Phase { rate: self.rate * factor, seconds: self.seconds })?;
        let after = load.run(Phase { rate: self.rate, seconds: 5 })?;
        Ok(json!({
            "factor": factor,
            "calls": flood.calls(),
            "answers": flood.answers(),
            "achieved_per_s": flood.achieved_per_s(),
            "scored_p99_ms": flood.quantile_ms(0.99),
            "shed_p99_ms": flood.shed_quantile_ms(0.99),
            "after": {
                "answers": after.answers(),
                "first_second_errors": after.errors_within(Duration::from_secs(1)),
                "p50_ms": after.quantile_ms(0.5),
                "p99_ms": after.quantile_ms(0.99),
            },
        }))
    }
}

/// Trains a scorecard over a city in which every enterprise consents.
fn demo(folder: &Path, enterprises: usize) -> Result<(), Failure> {
    let output = Command::new(std::env::current_exe().map_err(failure::internal)?)
        .args(["demo", "--json", "--consent-rate", "1", "--enterprises", &enterprises.to_string(), "--keep"])
        .arg(folder)
        .stderr(Stdio::inherit())
        .output()
        .map_err(failure::internal)?;
    if output.status.success() { Ok(()) } else { Err(failure::internal("the demo did not come to its end")) }
}
