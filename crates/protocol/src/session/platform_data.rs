//! What the platform brings to a session, and what it keeps of the model.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;

use super::bins::BinTable;

/// What the platform brings: cleared values of the consented enterprises.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlatformData {
    /// Every enterprise that consented to at least one bank of the session.
    pub identifiers: Vec<String>,
    /// The contract's platform fields, in contract order.
    pub columns: Vec<PlatformColumn>,
    /// Per bank, the rows (positions in `identifiers`) whose consent names it.
    pub consented: BTreeMap<String, Vec<u32>>,
}

/// One field of the platform over all its offered rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PlatformColumn {
    /// Numbers; NaN where missing.
    Numeric(Vec<f64>),
    /// Category codes, 0 where missing.
    Category {
        /// A code a row.
        codes: Vec<u16>,
        /// The value of code 1, 2, ….
        values: Vec<String>,
    },
}

/// The platform's half of the model: what it needs to score an applicant, and shows to nobody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlatformHalf {
    /// Name and bin table of each platform field, in contract order.
    pub tables: Vec<(String, BinTable)>,
}

impl PlatformHalf {
    /// Digest of the tables: binds the bank's view of the bins to the platform's.
    pub fn digest(&self) -> Digest {
        // Panic safety: the type holds only strings and numbers.
        Digest::of("tallystick/bin-tables/v1", &[&serde_json::to_vec(self).expect("bin tables serialise")])
    }
}
