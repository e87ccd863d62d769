//! The platform's side of 2HashDH.

use rayon::prelude::*;
use tally_crypto::seed::Seed;
use tally_crypto::transcript::{Digest, Transcript};

use super::evaluations::{EpochKey, Evaluations, shorten};
use super::mode;
use crate::alignment::messages::{Announcement, CHUNK, Misbehaved, ToBank, ToPlatform};
use crate::alignment::rows::{Keyed, RowSecret};
use crate::alignment::{Identifiers, Step, Terms};

/// Evaluates blinded identifiers, up to the cap.
pub(in crate::alignment) struct Platform {
    key: EpochKey,
    seed: Seed,
    cap: u64,
    evaluated: u64,
    next_chunk: u32,
}

impl Platform {
    /// Evaluates the platform's own identifiers under a key of this session.
    pub(in crate::alignment) fn start(
        terms: &Terms,
        identifiers: &Identifiers,
        announcement: Announcement,
        seed: &Seed,
    ) -> Result<(Self, Step<ToBank>), Misbehaved> {
        let blame = |reason| Misbehaved::Evaluation { chunk: 0, reason };
        let key = EpochKey::derive(mode(terms.engine), seed, terms.context().as_bytes()).map_err(blame)?;
        let mut outputs = Vec::with_capacity(identifiers.len());
        // In pieces, so that the long outputs of a large set are not all in memory.
        for from in (0..identifiers.len()).step_by(CHUNK) {
            let to = identifiers.len().min(from + CHUNK);
            let inputs: Vec<_> = (from..to).map(|at| identifiers.get(at)).collect();
            outputs.extend(key.server.evaluate(&inputs).map_err(blame)?.iter().map(shorten));
        }
        Ok(Self::open(terms, key, &outputs, announcement, seed))
    }

    /// Starts from kept evaluations, which must hold every identifier.
    ///
    /// # Errors
    /// Fails if one is not in them.
    pub(in crate::alignment) fn start_kept(
        terms: &Terms,
        identifiers: &Identifiers,
        (key, kept): (EpochKey, &Evaluations),
        announcement: Announcement,
        seed: &Seed,
    ) -> Result<(Self, Step<ToBank>), Misbehaved> {
        let outputs = kept.of(identifiers, &key).ok_or(Misbehaved::Announcement)?;
        Ok(Self::open(terms, key, &outputs, announcement, seed))
    }

    fn open(
        terms: &Terms,
        key: EpochKey,
        outputs: &[[u8; 32]],
        announcement: Announcement,
        seed: &Seed,
    ) -> (Self, Step<ToBank>) {
        let context = terms.context();
        let secret =
            |(row, output): (usize, &[u8; 32])| Keyed { row: row as u32, secret: RowSecret::derive(output, &context) };
        let keyed = outputs.par_iter().enumerate().map(secret).collect();
        let announcement = Announcement { public_key: Some(key.public()), ..announcement };
        let seed = seed.derive("tallystick/oprf-proofs", &[context.as_bytes()]);
        let next_chunk = terms.resume.finished;
        let evaluated = u64::from(next_chunk) * CHUNK as u64;
        let machine = Self { key, seed, cap: terms.cap, evaluated, next_chunk };
        (machine, Step { send: vec![ToBank::Announce(announcement)], keyed, done: false })
    }

    /// Evaluates one batch and counts it against the cap.
    pub(in crate::alignment) fn receive(&mut self, message: ToPlatform) -> Result<Step<ToBank>, Misbehaved> {
        let (chunk, points) = match message {
            ToPlatform::Blinded { chunk, points } => (chunk, points),
            ToPlatform::BlindedAll => return Ok(Step { done: true, ..Step::quiet() }),
            other => return Err(Misbehaved::Unforeseen(other.name())),
        };
        if chunk != self.next_chunk || points.is_empty() || points.len() > CHUNK {
            return Err(Misbehaved::Batch(chunk));
        }
        let asked = self.evaluated + points.len() as u64;
        if asked > self.cap {
            return Err(Misbehaved::OverCap { asked, cap: self.cap });
        }
        self.evaluated = asked;
        self.next_chunk += 1;
        // The nonce depends on the batch itself: no two batches ever share one, whatever is replayed.
        let mut batch = Transcript::new("batch");
        for point in &points {
            batch.append(point.as_bytes());
        }
        let batch: Digest = batch.digest();
        let mut rng = self.seed.rng("proof", &[batch.as_bytes()]);
        let (points, proof) = self.key.server.blind_evaluate(&points, &mut rng);
        Ok(Step::send(vec![ToBank::Evaluated { chunk, points, proof }]))
    }
}
