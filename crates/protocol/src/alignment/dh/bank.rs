//! The bank's side of 2HashDH.

use std::collections::VecDeque;

use rayon::prelude::*;
use tally_crypto::group::Point;
use tally_crypto::oprf::{Blind, Mode, blind, finalize};
use tally_crypto::seed::Seed;
use tally_crypto::transcript::Transcript;

use super::evaluations::shorten;
use super::{WINDOW, mode};
use crate::alignment::messages::{CHUNK, Misbehaved, ToBank, ToPlatform};
use crate::alignment::rows::{Keyed, RowSecret};
use crate::alignment::{Identifiers, Step, Terms};
use tally_crypto::transcript::Digest;

/// Blinds identifiers batch by batch and opens the answers in order.
pub(in crate::alignment) struct Bank {
    mode: Mode,
    context: Digest,
    identifiers: Identifiers,
    seed: Seed,
    public: Option<Point>,
    under_way: VecDeque<Batch>,
    next: usize,
}

struct Batch {
    chunk: u32,
    blinds: Vec<Blind>,
    blinded: Vec<Point>,
}

impl Bank {
    pub(in crate::alignment) fn new(terms: &Terms, identifiers: Identifiers, seed: &Seed) -> Self {
        let context = terms.context();
        let seed = seed.derive("tallystick/oprf-blinds", &[context.as_bytes()]);
        let mode = mode(terms.engine);
        let next = terms.resume.finished as usize;
        Self { mode, context, identifiers, seed, public: None, under_way: VecDeque::new(), next }
    }

    pub(in crate::alignment) fn receive(&mut self, message: ToBank) -> Result<Step<ToPlatform>, Misbehaved> {
        match message {
            ToBank::Announce(announcement) if self.public.is_none() => {
                self.public = Some(announcement.public_key.ok_or(Misbehaved::Announcement)?);
                let mut step = Step::quiet();
                for _ in 0..WINDOW {
                    step.send.extend(self.blind_next()?);
                }
                Ok(self.finish(step))
            }
            ToBank::Evaluated { chunk, points, proof } => {
                let batch = self.under_way.pop_front().ok_or(Misbehaved::Unforeseen("evaluated"))?;
                if batch.chunk != chunk {
                    return Err(Misbehaved::Batch(chunk));
                }
                let public = self.public.ok_or(Misbehaved::Unforeseen("evaluated"))?;
                let (from, inputs) = self.inputs(chunk as usize);
                let answer = (points.as_slice(), proof.as_ref());
                let outputs = finalize(self.mode, &inputs, &batch.blinds, &batch.blinded, answer, &public)
                    .map_err(|reason| Misbehaved::Evaluation { chunk, reason })?;
                let secret = |(at, output): (usize, &[u8; 64])| Keyed {
                    row: (from + at) as u32,
                    secret: RowSecret::derive(&shorten(output), &self.context),
                };
                let keyed = outputs.par_iter().enumerate().map(secret).collect();
                let send = self.blind_next()?.into_iter().collect();
                Ok(self.finish(Step { send, keyed, done: false }))
            }
            other => Err(Misbehaved::Unforeseen(other.name())),
        }
    }

    fn finish(&self, mut step: Step<ToPlatform>) -> Step<ToPlatform> {
        step.done = self.under_way.is_empty();
        if step.done {
            step.send.push(ToPlatform::BlindedAll);
        }
        step
    }

    /// The next batch; its blinds are fixed by the seed and the identifiers in it, so that a restarted node repeats itself
    /// and never blinds two batches alike.
    fn blind_next(&mut self) -> Result<Option<ToPlatform>, Misbehaved> {
        if self.next * CHUNK >= self.identifiers.len() {
            return Ok(None);
        }
        let chunk = self.next as u32;
        self.next += 1;
        let (_, inputs) = self.inputs(chunk as usize);
        let mut batch = Transcript::new("batch");
        batch.append_u64(u64::from(chunk));
        inputs.iter().for_each(|input| batch.append(input));
        let mut rng = self.seed.rng("blinds", &[batch.digest().as_bytes()]);
        let (blinds, blinded) =
            blind(self.mode, &inputs, &mut rng).map_err(|reason| Misbehaved::Evaluation { chunk, reason })?;
        self.under_way.push_back(Batch { chunk, blinds, blinded: blinded.clone() });
        Ok(Some(ToPlatform::Blinded { chunk, points: blinded }))
    }

    fn inputs(&self, chunk: usize) -> (usize, Vec<&[u8]>) {
        let from = chunk * CHUNK;
        let to = self.identifiers.len().min(from + CHUNK);
        (from, (from..to).map(|at| self.identifiers.get(at)).collect())
    }
}
