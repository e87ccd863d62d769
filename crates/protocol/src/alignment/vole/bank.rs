//! The bank's side: it holds the sparse noise, and encodes its set.

use rand_core::Rng as _;
use rayon::prelude::*;
use tally_crypto::field::{Block, evaluate, mul, power, random};
use tally_crypto::group::Point;
use tally_crypto::okvs::{decode, encode};
use tally_crypto::seed::Seed;
use tally_crypto::transcript::Digest;
use tally_crypto::vole::code::compress;
use tally_crypto::vole::extension::receive;
use tally_crypto::vole::tree::Doubling;
use tally_crypto::vole::{BITS, NOISE, base};
use zeroize::Zeroizing;

use super::hash::{Elements, Public};
use super::platform::{check_hash, shard_context};
use super::shards::Plan;
use super::{WORDS_PER_MESSAGE, commitment, compose, pad};
use crate::alignment::messages::{Misbehaved, ToBank, ToPlatform, Words};
use crate::alignment::{Identifiers, Resume, Step, Terms, rung};

/// A bank asks for at least this room, within the cap: fewer identifiers cost no less.
const LEAST_ROOM: u64 = 1 << 13;

/// The bank's machine: one run a shard, one after the other.
pub(in crate::alignment) struct Bank {
    context: Digest,
    attempt: Digest,
    cap: u64,
    identifiers: Identifiers,
    seed: Seed,
    plan: Option<Plan>,
    shard: u32,
    run: Run,
}

/// What the bank knows of a shard once it has answered the base transfers.
struct Transfers {
    context: Digest,
    /// Everything random of the shard from here on.
    seed: Seed,
    nonce: [u8; 32],
    platform_nonce: Digest,
    holes: Vec<usize>,
    noise: Zeroizing<Vec<Block>>,
    rows: Zeroizing<Vec<Block>>,
}

/// The compressed vector, until the check is answered.
struct Vector {
    context: Digest,
    seed: Seed,
    public: Public,
    pairs: Zeroizing<Vec<[Block; 2]>>,
    platform_coin: Digest,
    check: Digest,
}

/// The encoded set, until the coin is opened.
struct Encoded {
    context: Digest,
    public: Public,
    elements: Elements,
    decoded: Zeroizing<Vec<Block>>,
    coin: [u8; 32],
    platform_coin: Digest,
}

enum Run {
    Waiting,
    Transfers(Transfers),
    Vector(Vector),
    Encoded(Encoded),
    Finished,
}

impl Bank {
    pub(in crate::alignment) fn new(terms: &Terms, identifiers: Identifiers, seed: &Seed) -> Self {
        let context = terms.context();
        let Resume { attempt, finished } = terms.resume;
        let seed = seed.derive("tallystick/vole-bank", &[context.as_bytes(), attempt.as_bytes()]);
        Self { context, attempt, cap: terms.cap, identifiers, seed, plan: None, shard: finished, run: Run::Waiting }
    }

    pub(in crate::alignment) fn receive(&mut self, message: ToBank) -> Result<Step<ToPlatform>, Misbehaved> {
        let name = message.name();
        let unforeseen = Misbehaved::Unforeseen(name);
        if let ToBank::Announce(announcement) = message {
            if self.plan.is_some() {
                return Err(unforeseen);
            }
            let room = rung(self.identifiers.len() as u64).clamp(LEAST_ROOM.min(self.cap), self.cap);
            let plan = Plan::new(&self.context, &self.identifiers, room, announcement.rows);
            let done = self.shard >= plan.count;
            self.plan = Some(plan);
            return Ok(Step { done, ..Step::send(vec![ToPlatform::Capacity { identifiers: room }]) });
        }
        let plan = self.plan.as_ref().ok_or(unforeseen)?;
        let (run, step) = match (std::mem::replace(&mut self.run, Run::Finished), message) {
            (Run::Waiting, ToBank::Bases { shard, pairs, nonce }) if shard == self.shard => {
                self.transfer(plan, &pairs, nonce)?
            }
            (Run::Transfers(transfers), ToBank::Trees { shard, nonce, sums, leaves, coin }) if shard == self.shard => {
                self.grow(plan, &transfers, &nonce, (&sums.0, &leaves.0), coin)?
            }
            (Run::Vector(vector), ToBank::Checked { shard, hash }) if shard == self.shard => {
                if hash != vector.check {
                    return Err(Misbehaved::Check(shard));
                }
                self.encode(plan, &vector)?
            }
            (Run::Encoded(encoded), ToBank::Coin { shard, coin }) if shard == self.shard => {
                if commitment("coin", &encoded.context, &coin) != encoded.platform_coin {
                    return Err(Misbehaved::Opening("coin"));
                }
                let Encoded { public, elements, decoded, coin: own, .. } = &encoded;
                let keyed = public.secrets(elements, decoded, &coin, own);
                let done = self.shard + 1 == plan.count;
                self.shard += 1;
                (if done { Run::Finished } else { Run::Waiting }, Step { send: Vec::new(), keyed, done })
            }
            _ => return Err(Misbehaved::Unforeseen(name)),
        };
        self.run = run;
        Ok(step)
    }

    /// Draws the noise and answers the base transfers.
    fn transfer(
        &self,
        plan: &Plan,
        pairs: &[[Point; 2]],
        platform_nonce: Digest,
    ) -> Result<(Run, Step<ToPlatform>), Misbehaved> {
        let shape = plan.shape;
        let context = shard_context(&self.context, &self.attempt, self.shard);
        // Bound to what the platform sent: a bank that was set back to an earlier state, and meets another message, does not answer
        // it with the same noise.
        let sent: Vec<&[u8]> = pairs.iter().flatten().map(|point| point.as_bytes().as_slice()).collect();
        let sent = Digest::of(
            "tallystick/vole-bases/v2",
            &[&[context.as_bytes().as_slice(), platform_nonce.as_bytes()], &sent[..]].concat(),
        );
        let seed = self.seed.derive("shard", &[sent.as_bytes()]);
        let mut rng = seed.rng("transfers", &[]);
        let mut nonce = [0; 32];
        rng.fill_bytes(&mut nonce);
        let (answer, seeds) = base::answer(context, pairs, &mut rng).map_err(|_| Misbehaved::Size("bases"))?;
        let holes: Vec<_> = (0..NOISE).map(|_| below(&mut rng, shape.block())).collect();
        // The noise values and the mask of the check are the bits of the transfers that follow the paths.
        let noise = Zeroizing::new((0..=NOISE).map(|_| random(&mut rng)).collect::<Vec<_>>());
        let mut choices = Zeroizing::new(vec![0; shape.path_transfers() / BITS]);
        for (tree, hole) in holes.iter().enumerate() {
            for level in 0..shape.depth() {
                let transfer = tree * shape.depth() + level;
                let off_path = !(hole >> (shape.depth() - level - 1)) & 1;
                choices[transfer / BITS] |= (off_path as u128) << (transfer % BITS);
            }
        }
        choices.extend_from_slice(&noise);
        let (corrections, rows) = receive(&context, &seeds, &choices, &mut rng);
        let rows = Zeroizing::new(rows);
        let message = ToPlatform::Transfers { shard: self.shard, answer, nonce, corrections };
        let transfers = Transfers { context, seed, nonce, platform_nonce, holes, noise, rows };
        Ok((Run::Transfers(transfers), Step::send(vec![message])))
    }

    /// Grows the punctured trees, fills their holes, prepares the check and compresses.
    fn grow(
        &self,
        plan: &Plan,
        transfers: &Transfers,
        platform_nonce: &[u8; 32],
        (sums, leaf_sums): (&[Block], &[Block]),
        platform_coin: Digest,
    ) -> Result<(Run, Step<ToPlatform>), Misbehaved> {
        let shape = plan.shape;
        let Transfers { context, nonce, holes, noise, rows, .. } = transfers;
        let words = |words: &[Block]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
        let sent = [platform_nonce.to_vec(), words(sums), words(leaf_sums), platform_coin.as_bytes().to_vec()];
        let seed = transfers.seed.derive("trees", &sent.each_ref().map(Vec::as_slice));
        if commitment("nonce", context, platform_nonce) != transfers.platform_nonce {
            return Err(Misbehaved::Opening("trees"));
        }
        if sums.len() != 2 * shape.path_transfers() || leaf_sums.len() != NOISE {
            return Err(Misbehaved::Size("trees"));
        }
        let (paths, values) = rows.split_at(shape.path_transfers());
        let shares = compose(values);
        let doubling = Doubling::new(context);
        let point = random(&mut seed.rng("check", &[]));
        let mut pairs = Zeroizing::new(vec![[0; 2]; shape.noisy()]);
        let grow = |(tree, pairs): (usize, &mut [[Block; 2]])| {
            let hole = holes[tree];
            let sum = |level: usize| {
                let transfer = tree * shape.depth() + level;
                let off_path = !(hole >> (shape.depth() - level - 1)) & 1;
                sums[2 * transfer + off_path] ^ pad(context, transfer, paths[transfer])
            };
            let path_sums: Vec<_> = (0..shape.depth()).map(sum).collect();
            let mut leaves = Zeroizing::new(vec![0; shape.block()]);
            doubling.grow_punctured(hole, &path_sums, &mut leaves);
            leaves[hole] = leaves.iter().fold(leaf_sums[tree] ^ shares[tree], |sum, leaf| sum ^ leaf);
            for (pair, leaf) in pairs.iter_mut().zip(leaves.iter()) {
                pair[1] = *leaf;
            }
            pairs[hole][0] = noise[tree];
            let place = power(point, (tree * shape.block()) as u64);
            let at_hole = mul(noise[tree], power(point, hole as u64));
            [mul(place, at_hole), mul(place, evaluate(&leaves, point))]
        };
        let parts: Vec<_> = pairs.par_chunks_mut(shape.block()).enumerate().map(grow).collect();
        let [noise_there, vector_there] = parts.iter().fold([0; 2], |[a, b], [c, d]| [a ^ c, b ^ d]);
        let check = check_hash(context, vector_there ^ shares[NOISE]);
        let masked = noise_there ^ noise[NOISE];
        let public = Public::new(context, platform_nonce, nonce);
        compress(&mut pairs, &public.code);
        let vector = Vector { context: *context, seed, public, pairs, platform_coin, check };
        let message = ToPlatform::Challenge { shard: self.shard, point, masked };
        Ok((Run::Vector(vector), Step::send(vec![message])))
    }

    /// Encodes the shard's identifiers and sends the store under the vector.
    fn encode(&self, plan: &Plan, vector: &Vector) -> Result<(Run, Step<ToPlatform>), Misbehaved> {
        let layout = &plan.layout;
        let Vector { context, seed, public, pairs, platform_coin, .. } = vector;
        let elements = public.hash(layout, &self.identifiers, plan.rows(self.shard));
        let free = seed.derive("store", &[]);
        let mut store = encode(layout, &elements.grouped, &elements.values(), &free)?;
        store.iter_mut().zip(pairs.iter()).for_each(|(word, [a, _])| *word ^= a);
        let mut send: Vec<_> = store
            .chunks(WORDS_PER_MESSAGE)
            .enumerate()
            .map(|(number, words)| ToPlatform::Vector {
                shard: self.shard,
                offset: (number * WORDS_PER_MESSAGE) as u64,
                words: Words(words.to_vec()),
            })
            .collect();
        store.iter_mut().zip(pairs.iter()).for_each(|(word, [_, c])| *word = *c);
        let decoded = Zeroizing::new(decode(layout, &elements.grouped, &store));
        let mut coin = [0; 32];
        seed.rng("coin", &[]).fill_bytes(&mut coin);
        send.push(ToPlatform::Coin { shard: self.shard, coin });
        let (context, public, platform_coin) = (*context, *public, *platform_coin);
        let encoded = Encoded { context, public, elements, decoded, coin, platform_coin };
        Ok((Run::Encoded(encoded), Step::send(send)))
    }
}

/// A uniform number below `range`; the bias is `range` / 2^64.
fn below(rng: &mut impl rand_core::Rng, range: usize) -> usize {
    ((u128::from(rng.next_u64()) * range as u128) >> 64) as usize
}
