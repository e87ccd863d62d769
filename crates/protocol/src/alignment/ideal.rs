//! The ideal functionality: a trusted party joins the two sets and hands the bank its payloads.

use std::collections::BTreeMap;

/// Position in the bank's identifiers and payload, for every enterprise in both sets, in the bank's order.
pub fn ideal(offered: &[(String, Vec<u8>)], own: &[String]) -> Vec<(usize, Vec<u8>)> {
    let offered: BTreeMap<_, _> = offered.iter().map(|(identifier, payload)| (identifier, payload)).collect();
    own.iter().enumerate().filter_map(|(row, id)| Some((row, offered.get(id)?.to_vec()))).collect()
}
