//! The platform's side of the alignment.

use std::collections::BTreeSet;

use rayon::prelude::*;
use tally_crypto::oprf::{Mode, OprfError, ServerKey};
use tally_crypto::seal::seal_once;
use tally_crypto::seed::Seed;
use tally_crypto::transcript::{Digest, Transcript};

use super::messages::{Announcement, Blinded, CHUNK, Evaluated, Misbehaved, SealedRow};
use super::{RowSecret, context};

/// Offers rows and evaluates blinded identifiers, up to the cap.
pub struct Sender {
    key: ServerKey,
    context: Digest,
    seed: Seed,
    cap: u64,
    evaluated: u64,
    next_chunk: u32,
}

impl Sender {
    /// A sender for `bank`, with a key of its own for this session.
    ///
    /// # Errors
    /// Fails if no key can be derived from the seed.
    pub fn new(session: Digest, purpose: &str, bank: &str, seed: &Seed, cap: u64) -> Result<Self, OprfError> {
        let context = context(&session, purpose, bank);
        let seed = seed.derive("tallystick/alignment", &[context.as_bytes()]);
        let key = ServerKey::derive(Mode::Voprf, seed.derive("key", &[]).expose(), context.as_bytes())?;
        Ok(Self { key, context, seed, cap, evaluated: 0, next_chunk: 0 })
    }

    /// What the bank must know before it asks.
    pub fn announce(&self, identifiers: &[String]) -> Announcement {
        let salt = self.seed.derive("set-salt", &[]);
        let sorted: BTreeSet<_> = identifiers.iter().collect();
        let mut set = Transcript::new("tallystick/offered-set/v1");
        set.append(salt.expose());
        for identifier in sorted {
            set.append(identifier.as_bytes());
        }
        Announcement { public_key: self.key.public(), rows: identifiers.len() as u64, set: set.digest() }
    }

    /// Every payload sealed under its enterprise's row key, sorted by tag.
    ///
    /// # Errors
    /// Fails if an identifier stands twice or the numbers differ.
    pub fn rows(&self, identifiers: &[String], payloads: &[Vec<u8>]) -> Result<Vec<SealedRow>, Misbehaved> {
        if identifiers.len() != payloads.len() {
            return Err(Misbehaved::Payloads);
        }
        let seal = |(identifier, payload): (&String, &Vec<u8>)| {
            let output = self
                .key
                .evaluate(identifier.as_bytes())
                .map_err(|reason| Misbehaved::Evaluation { chunk: 0, reason })?;
            let secret = RowSecret::derive(&output, &self.context);
            Ok(SealedRow { tag: secret.tag, sealed: seal_once(&secret.key, &secret.tag, payload) })
        };
        let mut rows = identifiers.par_iter().zip(payloads).map(seal).collect::<Result<Vec<_>, Misbehaved>>()?;
        rows.par_sort_unstable_by_key(|row| row.tag);
        let distinct = rows.is_sorted_by(|a, b| a.tag < b.tag);
        if distinct { Ok(rows) } else { Err(Misbehaved::Duplicate) }
    }

    /// Evaluates one batch and counts it against the cap.
    ///
    /// # Errors
    /// Refuses a batch that is out of order, too large or over the cap.
    pub fn evaluate(&mut self, blinded: &Blinded) -> Result<Evaluated, Misbehaved> {
        if blinded.chunk != self.next_chunk || blinded.points.is_empty() || blinded.points.len() > CHUNK {
            return Err(Misbehaved::Batch(blinded.chunk));
        }
        let asked = self.evaluated + blinded.points.len() as u64;
        if asked > self.cap {
            return Err(Misbehaved::OverCap { asked, cap: self.cap });
        }
        self.evaluated = asked;
        self.next_chunk += 1;
        // The nonce depends on the batch itself: no two batches ever share one, whatever is replayed.
        let mut batch = Transcript::new("batch");
        for point in &blinded.points {
            batch.append(point.as_bytes());
        }
        let mut rng = self.seed.rng("proof", &[batch.digest().as_bytes()]);
        let (points, proof) = self.key.blind_evaluate(&blinded.points, &mut rng);
        Ok(Evaluated { chunk: blinded.chunk, points, proof })
    }
}
