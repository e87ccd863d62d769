//! What the primitives of an alignment cost alone, in one process, without files, messages or encoding.

use tally_crypto::exponent::Exponent;
use tally_crypto::field;
use tally_crypto::group::Point;
use tally_crypto::okvs::{Grouped, Key, Layout, decode, encode};
use tally_crypto::oprf::{Mode, ServerKey, blind, verify};
use tally_crypto::seed::Seed;
use tally_crypto::transcript::Digest;
use tally_crypto::vole::{NOISE, Shape, code::compress, tree::Doubling};

use crate::process::process_cpu_seconds;

/// Processor seconds of the group operations of 2HashDH with proofs: hashing to the group and one multiplication for each
/// identifier of either side, two further multiplications with decoding for each of the bank's, and the proofs' sums.
pub(super) fn two_hash_dh(platform: u64, bank: u64) -> f64 {
    const SAMPLE: usize = 1 << 14;
    let mut rng = Seed::new([1; 32]).rng("floor", &[]);
    let inputs: Vec<_> = (0..SAMPLE).map(|number| format!("{number:016x}")).collect();
    let exponent = Exponent::random(&mut rng);
    let (points, hashed) = timed(|| exponent.raise_hashed(&inputs).unwrap_or_default());
    let (_, raised) = timed(|| exponent.raise(&points));
    let (_, decoded) = timed(|| points.iter().filter_map(|point| Point::from_bytes(point.as_bytes())).count());
    let proven = proof_seconds(&inputs);
    let per = |seconds: f64| seconds / SAMPLE as f64;
    let both = (platform + bank) as f64;
    // A proof sums the points of one side where it is made and those of both sides where it is checked.
    both * per(hashed) + bank as f64 * (2.0 * per(raised + decoded) + 1.5 * per(proven))
}

fn proof_seconds(inputs: &[String]) -> f64 {
    let mut rng = Seed::new([2; 32]).rng("floor", &[]);
    let Ok(key) = ServerKey::derive(Mode::Voprf, &[3; 32], b"floor") else { return 0.0 };
    let mut seconds = 0.0;
    for inputs in inputs.chunks(tally_protocol::alignment::CHUNK) {
        let Ok((_, blinded)) = blind(Mode::Voprf, inputs, &mut rng) else { continue };
        let (evaluated, proof) = key.blind_evaluate(&blinded, &mut rng);
        if let Some(proof) = proof {
            seconds += timed(|| verify(Mode::Voprf, &key.public(), &blinded, &evaluated, &proof)).1;
        }
    }
    seconds
}

/// Processor seconds of the primitives of the vector OLE: hashing of identifiers and outputs, trees, code, store, products.
pub(super) fn vole(platform: u64, bank: u64) -> f64 {
    const SHARD: u64 = 1 << 20;
    let shards = platform.max(bank).div_ceil(SHARD).max(1);
    let (platform, bank) = ((platform / shards) as usize, (bank / shards) as usize);
    let layout = Layout::new(bank as u64);
    let shape = Shape::new(layout.words());
    let seconds = timed(|| {
        let own = Grouped::new(&layout, &hash(bank));
        let offered = Grouped::new(&layout, &hash(platform));
        let values = vec![1; bank];
        let store = encode(&layout, &own, &values, &Seed::new([4; 32])).unwrap_or_default();
        let doubling = Doubling::new(&Digest::default());
        let mut noisy = vec![[0u128; 1]; shape.noisy()];
        let mut pairs = vec![[0u128; 2]; shape.noisy()];
        for tree in 0..NOISE {
            let leaves = &mut noisy[tree * shape.block()..][..shape.block()];
            doubling.grow(tree as u128, leaves.as_flattened_mut());
            let mut leaves = vec![0; shape.block()];
            doubling.grow_punctured(tree % shape.block(), &vec![0; shape.depth()], &mut leaves);
            for (pair, leaf) in pairs[tree * shape.block()..].iter_mut().zip(&leaves) {
                pair[1] = *leaf;
            }
            field::evaluate(&leaves, 3);
            field::evaluate(&leaves, 3);
        }
        compress(&mut noisy, &Digest::default());
        compress(&mut pairs, &Digest::default());
        let mut sums = store.clone();
        field::add_multiple(&mut sums, &store, 5);
        if sums.len() == layout.words() {
            decode(&layout, &own, &sums);
            decode(&layout, &offered, &sums);
        }
        hash(platform + bank);
    })
    .1;
    seconds * shards as f64
}

fn hash(count: usize) -> Vec<Key> {
    let key = |number: usize| {
        let mut bytes = [0; 32];
        let mut hash = blake3::Hasher::new_keyed(&[5; 32]);
        hash.update(&(number as u128).to_le_bytes()).finalize_xof().fill(&mut bytes);
        Key::from_hash(&bytes)
    };
    (0..count).map(key).collect()
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let before = process_cpu_seconds();
    let value = work();
    (value, process_cpu_seconds() - before)
}
