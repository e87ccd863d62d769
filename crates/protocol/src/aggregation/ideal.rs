//! The ideal functionality: a trusted party adds the vectors of the survivors.

use std::collections::BTreeMap;

/// Sum modulo 2^64 over `survivors`; a bank without a vector adds nothing.
pub fn ideal(vectors: &BTreeMap<String, Vec<i64>>, survivors: &[String], words: usize) -> Vec<i64> {
    let mut sum = vec![0i64; words];
    for vector in survivors.iter().filter_map(|name| vectors.get(name)) {
        for (total, value) in sum.iter_mut().zip(vector) {
            *total = total.wrapping_add(*value);
        }
    }
    sum
}
