//! `tallystick audit receipts`: what a peer has signed for, out of a node, to hold against the peer's log.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;
use serde_json::json;
use tally_audit::{Registry, SignedReceipt};

use crate::cli::{NodeArgument, Printed};
use crate::control::Command;
use crate::failure::{self, Failure};

#[derive(Args)]
pub(in crate::cli) struct ReceiptsArguments {
    #[command(flatten)]
    node: NodeArgument,
    /// Whose receipts.
    #[arg(long, value_name = "NAME")]
    peer: String,
    /// The file to write: one receipt a line, for `audit reconcile --receipts`.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Deserialize)]
struct Page {
    receipts: Vec<String>,
    next: Option<u64>,
}

impl ReceiptsArguments {
    pub(super) fn run(self) -> Result<Printed, Failure> {
        let cannot = |error: std::io::Error| failure::unwritable(format!("{}: {error}", self.output.display()));
        let page = |after| {
            let page = self.node.tell(&Command::LogReceipts { peer: self.peer.clone(), after })?;
            serde_json::from_value::<Page>(page).map_err(failure::internal)
        };
        let (mut next, mut count) = (page(0)?, 0);
        let mut file = BufWriter::new(File::create(&self.output).map_err(cannot)?);
        loop {
            next.receipts.iter().try_for_each(|line| writeln!(file, "{line}")).map_err(cannot)?;
            count += next.receipts.len();
            let Some(after) = next.next else { break };
            next = page(after)?;
        }
        file.flush().map_err(cannot)?;
        let text = format!("{}: {count} receipts of {}", self.output.display(), self.peer);
        Ok(Printed { value: json!({ "peer": self.peer, "receipts": count, "output": self.output }), text, holds: true })
    }
}

/// Receipts of a file, each signed by the node key that the registry names for its log.
pub(super) fn read_receipts(path: &Path, registry: &Registry) -> Result<Vec<SignedReceipt>, Failure> {
    let wrong = |place: usize, error: &dyn std::fmt::Display| {
        failure::refused(format!("{}: line {}: {error}", path.display(), place + 1))
    };
    let file = File::open(path).map_err(|error| failure::data(format!("{}: {error}", path.display())))?;
    let key = |log: &str| registry.party(log).map(|party| party.node_key);
    let lines = BufReader::new(file).lines().enumerate().map(|(place, line)| {
        let line = line.map_err(|error| wrong(place, &error))?;
        SignedReceipt::read(line.as_bytes(), key).map_err(|error| wrong(place, &error))
    });
    lines.collect()
}
