//! The bank's side of the alignment.

use std::collections::BTreeSet;

use rayon::prelude::*;
use tally_crypto::group::Point;
use tally_crypto::oprf::{Blind, Mode, OprfError, blind, finalize};
use tally_crypto::seal::open_once;
use tally_crypto::seed::Seed;
use tally_crypto::transcript::Digest;

use super::messages::{Announcement, Blinded, CHUNK, Evaluated, Misbehaved, SealedRow};
use super::{RowSecret, context};

/// Has blinded its identifiers and waits for their evaluation.
pub struct Blinding {
    blinds: Vec<Blind>,
    blinded: Vec<Point>,
}

/// Has a tag and a row key for each of its identifiers.
pub struct Keyed {
    secrets: Vec<RowSecret>,
}

/// The bank's state machine; `State` is [`Blinding`] or [`Keyed`].
pub struct Receiver<State> {
    identifiers: Vec<String>,
    context: Digest,
    state: State,
}

/// What the bank has opened.
#[derive(Debug, PartialEq, Eq)]
pub struct Opened {
    /// Position in the bank's identifiers, and the payload.
    pub opened: Vec<(usize, Vec<u8>)>,
    /// Rows that the bank has a key for but that did not open.
    pub missing: usize,
}

impl Receiver<Blinding> {
    /// Blinds the identifiers; the blinds are determined by `seed`, so that a restarted node repeats itself.
    ///
    /// # Errors
    /// Fails if an identifier stands twice.
    pub fn new(
        session: Digest,
        purpose: &str,
        bank: &str,
        identifiers: Vec<String>,
        seed: &Seed,
    ) -> Result<Self, Misbehaved> {
        let context = context(&session, purpose, bank);
        let distinct: BTreeSet<_> = identifiers.iter().collect();
        if distinct.len() != identifiers.len() {
            return Err(Misbehaved::Duplicate);
        }
        let seed = seed.derive("tallystick/alignment", &[context.as_bytes()]);
        let one = |identifier: &String| {
            let mut rng = seed.rng("blind", &[identifier.as_bytes()]);
            blind(Mode::Voprf, identifier.as_bytes(), &mut rng)
        };
        let pairs: Result<Vec<_>, OprfError> = identifiers.par_iter().map(one).collect();
        let pairs = pairs.map_err(|reason| Misbehaved::Evaluation { chunk: 0, reason })?;
        let (blinds, blinded) = pairs.into_iter().unzip();
        Ok(Self { identifiers, context, state: Blinding { blinds, blinded } })
    }

    /// The batches to send, in order.
    pub fn blinded(&self) -> Vec<Blinded> {
        let chunks = self.state.blinded.chunks(CHUNK);
        (0..).zip(chunks).map(|(chunk, points)| Blinded { chunk, points: points.to_vec() }).collect()
    }

    /// Takes in every evaluated batch, checks the proofs and derives the row keys.
    ///
    /// # Errors
    /// Names the batch that is missing, out of order or not proven.
    pub fn receive(self, announcement: &Announcement, evaluated: &[Evaluated]) -> Result<Receiver<Keyed>, Misbehaved> {
        let batches = self.identifiers.chunks(CHUNK).len();
        if evaluated.len() != batches {
            return Err(Misbehaved::Batch(u32::try_from(evaluated.len()).unwrap_or(u32::MAX)));
        }
        let mut secrets = Vec::with_capacity(self.identifiers.len());
        for (number, batch) in evaluated.iter().enumerate() {
            let from = number * CHUNK;
            let to = self.identifiers.len().min(from + CHUNK);
            if batch.chunk as usize != number {
                return Err(Misbehaved::Batch(batch.chunk));
            }
            let outputs = finalize(
                &self.identifiers[from..to],
                &self.state.blinds[from..to],
                &self.state.blinded[from..to],
                &batch.points,
                &batch.proof,
                &announcement.public_key,
            )
            .map_err(|reason| Misbehaved::Evaluation { chunk: batch.chunk, reason })?;
            secrets.extend(outputs.iter().map(|output| RowSecret::derive(output, &self.context)));
        }
        Ok(Receiver { identifiers: self.identifiers, context: self.context, state: Keyed { secrets } })
    }
}

impl Receiver<Keyed> {
    /// Opens the rows that this bank holds; nothing it sends depends on the outcome.
    ///
    /// # Errors
    /// Refuses rows that differ in number from the announcement or are not in strict order of tags.
    pub fn open(self, rows: &[SealedRow], announced: u64) -> Result<Opened, Misbehaved> {
        if rows.len() as u64 != announced {
            return Err(Misbehaved::RowCount { found: rows.len() as u64, announced });
        }
        if let Some(row) = rows.windows(2).position(|pair| pair[0].tag >= pair[1].tag) {
            return Err(Misbehaved::RowOrder(row + 1));
        }
        let mut opened = Vec::new();
        let mut missing = 0;
        for (position, secret) in self.state.secrets.iter().enumerate() {
            let Ok(found) = rows.binary_search_by_key(&secret.tag, |row| row.tag) else { continue };
            match open_once(&secret.key, &secret.tag, &rows[found].sealed) {
                Ok(payload) => opened.push((position, payload)),
                Err(_) => missing += 1,
            }
        }
        Ok(Opened { opened, missing })
    }
}
