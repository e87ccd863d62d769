use serde::Deserialize;

use super::*;
use crate::field::{mul, power};
use crate::seed::Seed;
use crate::vole::{NOISE, Shape};

fn random(length: usize, label: &str) -> Vec<Block> {
    let mut rng = Seed::new([4; 32]).rng(label, &[]);
    (0..length).map(|_| crate::field::random(&mut rng)).collect()
}

fn compressed(vector: &[Block], seed: &Digest) -> Vec<Block> {
    let mut vector: Vec<_> = vector.iter().map(|&word| [word]).collect();
    compress(&mut vector, seed);
    vector.into_iter().map(|[word]| word).collect()
}

/// Rank over GF(2) of the words' bits.
fn rank(words: impl IntoIterator<Item = Block>) -> usize {
    let mut basis = [0; 128];
    for mut word in words {
        while word != 0 {
            let top = 127 - word.leading_zeros() as usize;
            if basis[top] == 0 {
                basis[top] = word;
                break;
            }
            word ^= basis[top];
        }
    }
    basis.iter().filter(|word| **word != 0).count()
}

/// A noisy vector as a bank makes it, and its noisy places.
fn noisy(words: usize, label: &str) -> (Vec<Block>, Vec<usize>) {
    let shape = Shape::new(words);
    let (values, places) = (random(NOISE, label), random(NOISE, &format!("{label} places")));
    let mut vector = vec![0; shape.noisy()];
    let place = |block: usize| block * shape.block() + (places[block] % shape.block() as u128) as usize;
    let places: Vec<_> = (0..NOISE).map(place).collect();
    places.iter().zip(values).for_each(|(at, value)| vector[*at] = value);
    (vector, places)
}

#[test]
fn the_map_is_linear_over_the_field_and_the_same_for_words_side_by_side() {
    let seed = Digest::of_bytes(b"code");
    let (a, b) = (random(4000, "a"), random(4000, "b"));
    let single = |vector: &[Block]| compressed(vector, &seed);
    let factor = random(1, "factor")[0];
    let sum: Vec<_> = a.iter().zip(&b).map(|(a, b)| mul(*a, factor) ^ b).collect();
    let sums: Vec<_> = single(&a).iter().zip(single(&b)).map(|(a, b)| mul(*a, factor) ^ b).collect();
    assert_eq!(single(&sum), sums);
    let mut pairs: Vec<_> = a.iter().zip(&b).map(|(&a, &b)| [a, b]).collect();
    compress(&mut pairs, &seed);
    assert_eq!(pairs.iter().map(|pair| pair[0]).collect::<Vec<_>>(), single(&a));
    assert_eq!(pairs.iter().map(|pair| pair[1]).collect::<Vec<_>>(), single(&b));
}

#[test]
fn the_multiplier_generates_the_multiplicative_group() {
    let primes = [3, 5, 17, 257, 641, 65_537, 274_177, 6_700_417, 67_280_421_310_721];
    assert_eq!(primes.iter().product::<u128>(), u128::MAX);
    let generator = turn(1);
    for prime in primes {
        let exponent = u128::MAX / prime;
        let high = power(power(power(generator, 1 << 32), 1 << 32), (exponent >> 64) as u64);
        assert_ne!(mul(high, power(generator, exponent as u64)), 1, "order divides (2^128 - 1) / {prime}");
    }
    for word in random(100, "words") {
        assert_eq!(turn(word), mul(word, generator));
    }
}

/// A map with binary coefficients would leave the outputs in a space of as many dimensions as there are noise values in the second
/// half; what is left of them shows in any sample, whatever it is multiplied by.
#[test]
fn outputs_span_the_field_over_its_prime_field() {
    for words in [1 << 14, 40_000] {
        let (vector, places) = noisy(words, "noise");
        let outputs = compressed(&vector, &Digest::of_bytes(b"rank"));
        let plain: Vec<_> = (0..outputs.len()).filter(|at| !places.contains(at)).map(|at| outputs[at]).collect();
        let picks = random(256 * 40, "picks");
        for (sample, factor) in picks.chunks(256).zip(random(40, "factors")) {
            let sample: Vec<_> = sample.iter().map(|pick| plain[(pick % plain.len() as u128) as usize]).collect();
            assert_eq!(rank(sample.iter().copied()), 128);
            assert_eq!(rank(sample.iter().map(|word| mul(*word, factor))), 128);
        }
        for start in (0..plain.len() - 256).step_by(1 << 11) {
            assert_eq!(rank(plain[start..start + 256].iter().copied()), 128, "neighbours from {start}");
        }
    }
}

/// No sum of outputs with binary coefficients cancels the second half but that of none: one that did would be a
/// GF(2)-combination of noise values of the first half.
#[test]
fn the_expander_has_no_binary_kernel() {
    const ENTRIES: usize = 4096;
    for seed in ["expander", "another"] {
        let mut stream = Stream::new(&Digest::of_bytes(seed.as_bytes()), "expander", 0);
        let mut rows: Vec<Vec<u64>> = Vec::new();
        let (mut regular_alone, mut rank) = (Vec::new(), 0);
        for _ in 0..ENTRIES {
            let picks = stream.picks(ENTRIES);
            let (mut row, mut alone) = (vec![0_u64; ENTRIES / 32], vec![0_u64; ENTRIES / 64]);
            for (number, pick) in picks.into_iter().enumerate() {
                let place = pick + if number < REGULAR { 0 } else { ENTRIES };
                row[place / 64] ^= 1 << (place % 64);
                alone[pick / 64] ^= 1 << (pick % 64);
            }
            rank += usize::from(reduced(&mut rows, row));
            reduced(&mut regular_alone, alone);
        }
        assert_eq!(rank, ENTRIES);
        assert!(regular_alone.len() < ENTRIES, "without the multiplier there is such a kernel");
    }
}

/// Adds a row to rows in echelon form, unless it is a sum of them.
fn reduced(rows: &mut Vec<Vec<u64>>, mut row: Vec<u64>) -> bool {
    let first =
        |row: &[u64]| row.iter().position(|word| *word != 0).map(|at| at * 64 + row[at].trailing_zeros() as usize);
    loop {
        let Some(lead) = first(&row) else { return false };
        match rows.binary_search_by_key(&Some(lead), |known| first(known)) {
            Ok(at) => row.iter_mut().zip(&rows[at]).for_each(|(word, known)| *word ^= known),
            Err(at) => {
                rows.insert(at, row);
                return true;
            }
        }
    }
}

/// One noise value reaches the outputs with coefficients from all of the field, not from a small space.
#[test]
fn the_coefficients_of_one_noise_value_span_the_field() {
    let seed = Digest::of_bytes(b"coefficients");
    let length = 1 << 15;
    for at in [length / 2, length / 2 + 24, length / 2 + 25, length * 3 / 4, length - 26, length - 1] {
        let mut vector = vec![0; length];
        vector[at] = 1;
        let outputs = compressed(&vector, &seed);
        for sample in outputs.chunks(256) {
            assert_eq!(rank(sample.iter().copied()), 128, "entry {at}");
        }
    }
}

/// With noise of a single value (all other blocks empty) outputs are multiples of it by the coefficients: over the field their rank
/// is one, which is why the weight counts values and not bits.
#[test]
fn an_entry_of_the_second_half_reaches_nearly_every_output() {
    let seed = Digest::of_bytes(b"weight");
    for at in [0, 1999, 2000, 2500, 3999] {
        let mut vector = vec![0; 4000];
        vector[at] = 1;
        let weight = compressed(&vector, &seed).iter().filter(|entry| **entry != 0).count();
        // The first half is the systematic part: one output alone.
        let expected = if at < 2000 { 1..=1 } else { 1_900..=2_000 };
        assert!(expected.contains(&weight), "entry {at} reaches {weight} outputs");
    }
}

#[derive(Deserialize)]
struct Vectors {
    inputs: Vec<Input>,
    outputs: Vec<Vec<String>>,
}

#[derive(Deserialize)]
struct Input {
    seed: Digest,
    length: usize,
    entries: Vec<(usize, String)>,
}

/// A second implementation, in Python, says the same (`tests/vectors/code.py`).
#[test]
fn outputs_are_those_of_the_second_implementation() {
    let text = include_str!("../../../../../tests/vectors/code.json");
    let vectors: Vectors = serde_json::from_str(text).unwrap();
    assert!(!vectors.inputs.is_empty() && vectors.inputs.len() == vectors.outputs.len());
    let word = |text: &String| u128::from_str_radix(text, 16).unwrap();
    for (input, outputs) in vectors.inputs.iter().zip(&vectors.outputs) {
        let mut vector = vec![0; input.length];
        input.entries.iter().for_each(|(at, value)| vector[*at] = word(value));
        assert_eq!(compressed(&vector, &input.seed), outputs.iter().map(word).collect::<Vec<_>>());
    }
}
