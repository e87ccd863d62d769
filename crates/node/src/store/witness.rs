//! What this node has cosigned as a witness.

use tally_audit::witness::Seen;

use super::Store;
use super::records::{parse, text};
use crate::failure::Failure;

impl Store {
    /// The last checkpoint that was cosigned, per log.
    pub(crate) fn witnessed(&self) -> Result<Vec<Seen>, Failure> {
        let rows: Vec<String> = self.column("SELECT seen FROM witness ORDER BY origin", [])?;
        rows.iter().map(|row| parse(row)).collect()
    }

    /// Makes a checkpoint durable before it is cosigned.
    pub(crate) fn put_witnessed(&self, seen: &Seen) -> Result<(), Failure> {
        let statement = "INSERT OR REPLACE INTO witness (origin, seen) VALUES (?1, ?2)";
        self.execute(statement, (&seen.origin, text(seen)?)).map(drop)
    }
}
