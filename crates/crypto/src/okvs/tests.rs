use super::*;
use crate::seed::Seed;

fn keys(count: usize, seed: u64) -> (Vec<Key>, Vec<Block>) {
    let mut rng = Seed::new([5; 32]).rng("okvs-test", &[&seed.to_le_bytes(), &count.to_le_bytes()]);
    let mut block = || crate::field::random(&mut rng);
    let key = |high: u128, low: u128| {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&high.to_le_bytes());
        bytes[16..].copy_from_slice(&low.to_le_bytes());
        Key::from_hash(&bytes)
    };
    (0..count).map(|_| (key(block(), block()), block())).unzip()
}

fn round_trip(count: usize, room: u64, seed: u64) {
    let (keys, values) = keys(count, seed);
    let layout = Layout::new(room);
    let grouped = Grouped::new(&layout, &keys);
    let values: Vec<_> = grouped.origin().iter().map(|&at| values[at as usize]).collect();
    let store = encode(&layout, &grouped, &values, &Seed::new([1; 32])).unwrap();
    assert_eq!(store.len(), layout.words());
    assert_eq!(decode(&layout, &grouped, &store), values, "{count} keys in room for {room}, seed {seed}");
}

#[test]
fn every_size_up_to_two_thousand() {
    for count in 1..2000 {
        round_trip(count, count as u64, 1);
    }
}

#[test]
fn many_seeds_and_unfilled_room() {
    for seed in 0..500 {
        round_trip(1 + seed as usize % 60, 60, seed);
    }
    round_trip(0, 1, 0);
    round_trip(100, 40_000, 0);
}

#[test]
fn several_bins() {
    round_trip(1 << 17, 1 << 17, 3);
}

#[test]
fn rows_that_cannot_be_peeled_go_through_the_dense_part() {
    // Keys with the same three columns and different points: all but one are stuck.
    let (mut keys, values) = keys(1000, 9);
    let layout = Layout::new(1000);
    for stuck in 1..=layout.width() - layout.sparse() {
        let mut bytes = [7; 32];
        bytes[31] = stuck as u8;
        keys[stuck] = Key::from_hash(&bytes);
        let grouped = Grouped::new(&layout, &keys);
        let store = encode(&layout, &grouped, &values, &Seed::new([2; 32])).unwrap();
        assert_eq!(decode(&layout, &grouped, &store), values);
    }
}

#[test]
fn a_key_that_stands_twice_has_no_solution() {
    let (mut keys, values) = keys(50, 2);
    keys[7] = keys[33];
    let layout = Layout::new(50);
    let grouped = Grouped::new(&layout, &keys);
    assert_eq!(encode(&layout, &grouped, &values, &Seed::new([1; 32])), Err(OkvsError::Singular(0)));
    let grouped = Grouped::new(&Layout::new(49), &keys);
    let overflow = OkvsError::Overflow { bin: 0, keys: 50, capacity: 49 };
    assert_eq!(encode(&Layout::new(49), &grouped, &values, &Seed::new([1; 32])), Err(overflow));
}

#[test]
fn sizes_are_pinned() {
    // Another size on one side would break every session between versions.
    let words = |keys| Layout::new(keys).words();
    assert_eq!([words(1), words(1 << 14), words(1 << 20), words(1 << 24)], [22, 20_772, 1_373_696, 22_075_904]);
    assert!(words(1 << 20) as f64 <= 1.32 * f64::from(1 << 20));
}
