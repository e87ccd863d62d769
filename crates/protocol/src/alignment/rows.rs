//! Rows under row keys: sealed and sorted by the platform, opened by the bank.

use rand_core::CryptoRng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tally_crypto::seal::{TAG_BYTES, open_once, seal_once};
use tally_crypto::seed::Seed;
use tally_crypto::transcript::Digest;

use super::Misbehaved;

/// Tag and row key of one enterprise: both from the function's output, a tag reveals nothing on its key.
#[derive(Debug)]
pub struct RowSecret {
    /// Pseudorandom name of the row.
    pub tag: [u8; 16],
    /// Key that seals its payload.
    pub key: Seed,
}

/// A row secret and the place of its identifier in the party's set.
#[derive(Debug)]
pub struct Keyed {
    /// Place of the identifier.
    pub row: u32,
    /// Its secret.
    pub secret: RowSecret,
}

impl RowSecret {
    /// From the 64 bytes of a keyed hash whose key already binds the session.
    pub(super) fn from_output(output: &[u8; 64]) -> Self {
        let (mut tag, mut key) = ([0; 16], [0; 32]);
        tag.copy_from_slice(&output[..16]);
        key.copy_from_slice(&output[16..48]);
        Self { tag, key: Seed::new(key) }
    }

    /// Binds an output that does not depend on the session to it.
    pub(super) fn derive(output: &[u8], context: &Digest) -> Self {
        let mut bytes = [0; 64];
        blake3::Hasher::new_keyed(context.as_bytes()).update(output).finalize_xof().fill(&mut bytes);
        Self::from_output(&bytes)
    }
}

/// One offered row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedRow {
    /// Pseudorandom name of the row.
    pub tag: [u8; 16],
    /// The payload, sealed under the row key.
    pub sealed: Vec<u8>,
}

/// What the bank has opened.
#[derive(Debug, PartialEq, Eq)]
pub struct Opened {
    /// Position in the bank's identifiers, and the payload, in order of position.
    pub opened: Vec<(usize, Vec<u8>)>,
    /// Rows that the bank has a key for but that did not open.
    pub missing: usize,
}

/// Every payload sealed under its enterprise's row key, sorted by tag; `payloads` stand in the order of the identifiers.
///
/// # Errors
/// Fails if an identifier stood twice or the numbers differ.
pub fn seal_rows(secrets: &[Keyed], payloads: &[Vec<u8>]) -> Result<Vec<SealedRow>, Misbehaved> {
    if secrets.len() != payloads.len() {
        return Err(Misbehaved::Payloads);
    }
    let seal = |Keyed { row, secret }: &Keyed| {
        let sealed = seal_once(&secret.key, &secret.tag, &payloads[*row as usize]);
        SealedRow { tag: secret.tag, sealed }
    };
    let mut rows: Vec<_> = secrets.par_iter().map(seal).collect();
    rows.par_sort_unstable_by_key(|row| row.tag);
    if rows.is_sorted_by(|a, b| a.tag < b.tag) { Ok(rows) } else { Err(Misbehaved::Duplicate) }
}

/// Adds rows that nobody can open, up to `to` rows; `payload` is the length of a real one.
pub fn pad_rows(rows: &mut Vec<SealedRow>, to: usize, payload: usize, rng: &mut impl CryptoRng) {
    while rows.len() < to {
        let (mut tag, mut sealed) = ([0; 16], vec![0; payload + TAG_BYTES]);
        rng.fill_bytes(&mut tag);
        rng.fill_bytes(&mut sealed);
        rows.push(SealedRow { tag, sealed });
    }
    rows.par_sort_unstable_by_key(|row| row.tag);
}

/// The number of rows that a padded set shows: the next one with two significant digits, at most a tenth more.
pub fn rung(rows: u64) -> u64 {
    let mut step = 1;
    while rows / step >= 100 {
        step *= 10;
    }
    rows.div_ceil(step) * step
}

/// Checks that the tags are as many as were announced and strictly ascend, so that no row stands twice.
///
/// # Errors
/// Names the first row out of order.
pub fn check_tags(tags: impl ExactSizeIterator<Item = [u8; 16]>, announced: u64) -> Result<(), Misbehaved> {
    if tags.len() as u64 != announced {
        return Err(Misbehaved::RowCount { found: tags.len() as u64, announced });
    }
    let mut last: Option<[u8; 16]> = None;
    for (at, tag) in tags.enumerate() {
        if last.is_some_and(|last| last >= tag) {
            return Err(Misbehaved::RowOrder(at));
        }
        last = Some(tag);
    }
    Ok(())
}

/// Opens the rows that this bank holds; nothing it sends depends on the outcome.
///
/// # Errors
/// Refuses rows that differ in number from the announcement or are not in strict order of tags.
pub fn open_rows(secrets: &[Keyed], rows: &[SealedRow], announced: u64) -> Result<Opened, Misbehaved> {
    check_tags(rows.iter().map(|row| row.tag), announced)?;
    let mut opened = Vec::new();
    let mut missing = 0;
    for Keyed { row, secret } in secrets {
        let Ok(found) = rows.binary_search_by_key(&secret.tag, |row| row.tag) else { continue };
        match open_once(&secret.key, &secret.tag, &rows[found].sealed) {
            Ok(payload) => opened.push((*row as usize, payload)),
            Err(_) => missing += 1,
        }
    }
    opened.sort_unstable_by_key(|(row, _)| *row);
    Ok(Opened { opened, missing })
}
