//! `tallystick audit orders`: what persons decided at a node, proven from its log and the orders that it hands out.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use tally_audit::order::{SignedOrder, check};
use tally_audit::verify::verify_log;

use super::read_registry;
use crate::cli::Printed;
use crate::cli::node::read_text;
use crate::failure::{self, Failure};

#[derive(Args)]
pub(in crate::cli) struct OrdersArguments {
    /// Orders of the node, as `operator orders` writes them.
    #[arg(value_name = "FILE")]
    orders: PathBuf,
    /// The node's directory, its log's, or a copy.
    #[arg(long, value_name = "DIR")]
    log: PathBuf,
    /// The consortium's signed registry.
    #[arg(long, value_name = "FILE")]
    registry: PathBuf,
}

impl OrdersArguments {
    pub(super) fn run(self) -> Result<Printed, Failure> {
        let registry = read_registry(&self.registry, None)?;
        let log = verify_log(&self.log, &registry).map_err(failure::check)?;
        let checked = check(&log.entries, &read(&self.orders)?);
        let mut lines = checked.findings.clone();
        lines.push(format!("{} entries rest on {} orders that hold", checked.entries, checked.orders));
        if checked.unsigned > 0 {
            lines.push(format!("{} entries of an older release name no order", checked.unsigned));
        }
        let holds = checked.findings.is_empty();
        let mut value = json!(checked);
        value["holds"] = json!(holds);
        Ok(Printed { value, text: lines.join("\n"), holds })
    }
}

fn read(path: &Path) -> Result<Vec<SignedOrder>, Failure> {
    let text = read_text(path)?;
    let order = |(place, line): (usize, &str)| {
        serde_json::from_str(line)
            .map_err(|error| failure::data(format!("{}: line {}: not an order: {error}", path.display(), place + 1)))
    };
    text.lines().enumerate().map(order).collect()
}
