//! The platform's side: it holds Δ.

use std::sync::Arc;

use rand_core::Rng as _;
use rayon::prelude::*;
use tally_crypto::field::{Block, add_multiple, evaluate, mul, random};
use tally_crypto::group::Point;
use tally_crypto::okvs::decode;
use tally_crypto::seed::Seed;
use tally_crypto::transcript::Digest;
use tally_crypto::vole::base::Chooser;
use tally_crypto::vole::code::compress;
use tally_crypto::vole::extension::{Corrections, send};
use tally_crypto::vole::tree::Doubling;
use zeroize::{Zeroize as _, Zeroizing};

use super::hash::Public;
use super::shards::Plan;
use super::{commitment, compose, pad};
use crate::alignment::messages::{Announcement, Misbehaved, ToBank, ToPlatform, Words};
use crate::alignment::{Identifiers, Resume, Step, Terms};

/// The platform's machine: one run a shard, one after the other.
pub(in crate::alignment) struct Platform {
    context: Digest,
    attempt: Digest,
    identifiers: Identifiers,
    rows: u64,
    cap: u64,
    seed: Seed,
    plan: Option<Arc<Plan>>,
    shard: u32,
    run: Run,
}

/// What is secret in one shard, erased when the next begins.
struct Secrets {
    context: Digest,
    delta: Zeroizing<Block>,
    nonce: [u8; 32],
    coin: [u8; 32],
}

enum Run {
    Announced,
    Bases(Secrets, Chooser),
    Trees { secrets: Secrets, public: Public, noisy: Zeroizing<Vec<[Block; 1]>>, mask: Block },
    Vector { secrets: Secrets, public: Public, vector: Zeroizing<Vec<Block>>, received: usize },
    Finished,
}

impl Platform {
    pub(in crate::alignment) fn start(
        terms: &Terms,
        identifiers: Identifiers,
        announcement: Announcement,
        seed: &Seed,
    ) -> (Self, Step<ToBank>) {
        let context = terms.context();
        let Resume { attempt, finished } = terms.resume;
        let seed = seed.derive("tallystick/vole-platform", &[context.as_bytes(), attempt.as_bytes()]);
        let (rows, cap) = (announcement.rows, terms.cap);
        let (plan, run) = (None, Run::Announced);
        let machine = Self { context, attempt, identifiers, rows, cap, seed, plan, shard: finished, run };
        (machine, Step::send(vec![ToBank::Announce(announcement)]))
    }

    /// Fixes all sizes by the room that the bank asks for.
    fn plan(&mut self, identifiers: u64) -> Result<Step<ToBank>, Misbehaved> {
        if identifiers > self.cap {
            return Err(Misbehaved::OverCap { asked: identifiers, cap: self.cap });
        }
        let plan = Plan::new(&self.context, &self.identifiers, identifiers, self.rows);
        if self.shard >= plan.count {
            return Ok(Step { done: true, ..Step::quiet() });
        }
        self.plan = Some(Arc::new(plan));
        Ok(Step::send(vec![self.open_shard()]))
    }

    /// Draws what is secret in the next shard and offers base transfers.
    fn open_shard(&mut self) -> ToBank {
        let context = shard_context(&self.context, &self.attempt, self.shard);
        let mut rng = self.seed.rng("shard", &[context.as_bytes()]);
        let delta = Zeroizing::new(random(&mut rng));
        let mut secrets = Secrets { context, delta, nonce: [0; 32], coin: [0; 32] };
        rng.fill_bytes(&mut secrets.nonce);
        rng.fill_bytes(&mut secrets.coin);
        let chooser = Chooser::new(context, *secrets.delta, &mut rng);
        let nonce = commitment("nonce", &context, &secrets.nonce);
        let message = ToBank::Bases { shard: self.shard, pairs: chooser.pairs().to_vec(), nonce };
        self.run = Run::Bases(secrets, chooser);
        message
    }

    pub(in crate::alignment) fn receive(&mut self, message: ToPlatform) -> Result<Step<ToBank>, Misbehaved> {
        let name = message.name();
        if let (Run::Announced, ToPlatform::Capacity { identifiers }) = (&self.run, &message) {
            return self.plan(*identifiers);
        }
        let plan = self.plan.clone().ok_or(Misbehaved::Unforeseen(name))?;
        match (std::mem::replace(&mut self.run, Run::Finished), message) {
            (Run::Bases(secrets, chooser), ToPlatform::Transfers { shard, answer, nonce, corrections })
                if shard == self.shard =>
            {
                self.grow(&plan, secrets, &chooser, (&answer, &nonce, &corrections))
            }
            (Run::Trees { secrets, public, noisy, mask }, ToPlatform::Challenge { shard, point, masked })
                if shard == self.shard =>
            {
                let mask = mask ^ mul(masked, *secrets.delta);
                Ok(self.check(&plan, secrets, public, (noisy, mask), point))
            }
            (Run::Vector { secrets, public, vector, received }, ToPlatform::Vector { shard, offset, words })
                if shard == self.shard =>
            {
                self.add(secrets, public, vector, received, offset, &words)
            }
            (Run::Vector { secrets, public, vector, received }, ToPlatform::Coin { shard, coin })
                if shard == self.shard && received == vector.len() =>
            {
                Ok(self.evaluate(&plan, &secrets, &public, &vector, &coin))
            }
            _ => Err(Misbehaved::Unforeseen(name)),
        }
    }

    /// Grows the trees: every leaf of every tree is the platform's noisy vector.
    fn grow(
        &mut self,
        plan: &Plan,
        secrets: Secrets,
        chooser: &Chooser,
        (answer, nonce, corrections): (&Point, &[u8; 32], &Corrections),
    ) -> Result<Step<ToBank>, Misbehaved> {
        let shape = plan.shape;
        let (context, delta) = (&secrets.context, *secrets.delta);
        let rows = send(context, delta, &chooser.seeds(answer), corrections, shape.transfers())?;
        let (paths, values) = rows.split_at(shape.path_transfers());
        let shares = compose(values);
        let doubling = Doubling::new(context);
        let roots = self.seed.derive("roots", &[context.as_bytes()]);
        let mut noisy = Zeroizing::new(vec![[0]; shape.noisy()]);
        let grow = |(tree, leaves): (usize, &mut [[Block; 1]])| {
            let mut rng = roots.rng("root", &[&tree.to_le_bytes()]);
            let root = random(&mut rng);
            let leaves = leaves.as_flattened_mut();
            let mut sums = doubling.grow(root, leaves);
            for (level, sides) in sums.iter_mut().enumerate() {
                let transfer = tree * shape.depth() + level;
                sides[0] ^= pad(context, transfer, paths[transfer]);
                sides[1] ^= pad(context, transfer, paths[transfer] ^ delta);
            }
            (sums, leaves.iter().fold(shares[tree], |sum, leaf| sum ^ leaf))
        };
        let grown: Vec<_> = noisy.par_chunks_mut(shape.block()).enumerate().map(grow).collect();
        let (sums, leaves): (Vec<_>, Vec<_>) = grown.into_iter().unzip();
        let message = ToBank::Trees {
            shard: self.shard,
            nonce: secrets.nonce,
            sums: Words(sums.concat().as_flattened().to_vec()),
            leaves: Words(leaves),
            coin: commitment("coin", context, &secrets.coin),
        };
        let public = Public::new(context, &secrets.nonce, nonce);
        let mask = shares.last().copied().unwrap_or_default();
        self.run = Run::Trees { secrets, public, noisy, mask };
        Ok(Step::send(vec![message]))
    }

    /// Answers the check and compresses the noisy vector.
    fn check(
        &mut self,
        plan: &Plan,
        secrets: Secrets,
        public: Public,
        (mut noisy, mask): (Zeroizing<Vec<[Block; 1]>>, Block),
        point: Block,
    ) -> Step<ToBank> {
        let hash = check_hash(&secrets.context, evaluate(noisy.as_flattened(), point) ^ mask);
        compress(&mut noisy, &public.code);
        let vector = Zeroizing::new(noisy.as_flattened()[..plan.layout.words()].to_vec());
        self.run = Run::Vector { secrets, public, vector, received: 0 };
        Step::send(vec![ToBank::Checked { shard: self.shard, hash }])
    }

    /// Adds the bank's words, times Δ, in order.
    fn add(
        &mut self,
        secrets: Secrets,
        public: Public,
        mut vector: Zeroizing<Vec<Block>>,
        received: usize,
        offset: u64,
        Words(words): &Words,
    ) -> Result<Step<ToBank>, Misbehaved> {
        if offset != received as u64 || words.is_empty() || words.len() > vector.len() - received {
            return Err(Misbehaved::Size("vector"));
        }
        add_multiple(&mut vector[received..], words, *secrets.delta);
        self.run = Run::Vector { secrets, public, vector, received: received + words.len() };
        Ok(Step::quiet())
    }

    /// Evaluates the function on the shard's own identifiers, opens the coin and goes on with the next shard.
    fn evaluate(
        &mut self,
        plan: &Plan,
        secrets: &Secrets,
        public: &Public,
        vector: &[Block],
        coin: &[u8; 32],
    ) -> Step<ToBank> {
        let elements = public.hash(&plan.layout, &self.identifiers, plan.rows(self.shard));
        let mut decoded = decode(&plan.layout, &elements.grouped, vector);
        elements.subtract_multiples(&mut decoded, *secrets.delta);
        let keyed = public.secrets(&elements, &decoded, &secrets.coin, coin);
        decoded.zeroize();
        let mut send = vec![ToBank::Coin { shard: self.shard, coin: secrets.coin }];
        self.shard += 1;
        let done = self.shard == plan.count;
        if !done {
            send.push(self.open_shard());
        }
        Step { send, keyed, done }
    }
}

/// Names one shard of one attempt of a session.
pub(super) fn shard_context(context: &Digest, attempt: &Digest, shard: u32) -> Digest {
    Digest::of("tallystick/vole-shard/v2", &[context.as_bytes(), attempt.as_bytes(), &shard.to_be_bytes()])
}

/// What the platform shows of its side of the check.
pub(super) fn check_hash(context: &Digest, value: Block) -> Digest {
    Digest::of("tallystick/vole-check/v2", &[context.as_bytes(), &value.to_le_bytes()])
}
