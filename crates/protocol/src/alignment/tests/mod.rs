//! Both engines against the ideal functionality, and peers that deviate.

mod deviating;

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;
use rayon::prelude::*;
use tally_crypto::seed::Seed;
use tally_crypto::transcript::Digest;

use super::cardinality::{Count, CountBank, CountPlatform};
use super::*;

const ENGINES: [Engine; 3] = [Engine::Oprf, Engine::Voprf, Engine::Vole];

fn terms(engine: Engine, cap: u64) -> Terms {
    let session = Digest::of_bytes(b"session");
    Terms { session, purpose: "joint-modelling".into(), bank: "bank-1".into(), engine, cap, resume: Resume::default() }
}

fn names(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("91320100MA{number:08}")).collect()
}

fn payloads(identifiers: &[String]) -> Vec<Vec<u8>> {
    identifiers.iter().map(|identifier| identifier.as_bytes()[8..].to_vec()).collect()
}

/// Whoever is named broke the protocol.
#[derive(Debug, PartialEq, Eq)]
enum Broken {
    Platform(Misbehaved),
    Bank(Misbehaved),
}

/// A message on its way; the meddler may change what is delivered.
#[derive(Clone, Debug)]
enum Wire {
    ToBank(ToBank),
    ToPlatform(ToPlatform),
}

type Secrets = (Vec<Keyed>, Vec<Keyed>);

/// Runs both machines to their end; `meddle` maps each message, by its number, to what arrives.
fn run(
    terms: &Terms,
    offered: &[String],
    own: &[String],
    seed: u8,
    mut meddle: impl FnMut(usize, Wire) -> Vec<Wire>,
) -> Result<Secrets, Broken> {
    let (platform_seed, bank_seed) = (Seed::new([seed; 32]), Seed::new([seed ^ 0xff; 32]));
    let rows = offered.len() as u64;
    let (mut platform, first) =
        Platform::start(terms, offered.iter().collect(), rows, &platform_seed).map_err(Broken::Platform)?;
    let mut bank = Bank::new(terms, own.iter().collect(), &bank_seed).map_err(Broken::Bank)?;
    let mut wire = VecDeque::new();
    let mut sent = 0;
    let mut put = |wire: &mut VecDeque<Wire>, messages: Vec<Wire>| {
        for message in messages {
            wire.extend(meddle(sent, message));
            sent += 1;
        }
    };
    let (mut secrets, mut done) = ((first.keyed, Vec::new()), (first.done, false));
    put(&mut wire, first.send.into_iter().map(Wire::ToBank).collect());
    while let Some(message) = wire.pop_front() {
        match message {
            Wire::ToBank(message) => {
                let step = bank.receive(message).map_err(Broken::Platform)?;
                secrets.1.extend(step.keyed);
                done.1 |= step.done;
                put(&mut wire, step.send.into_iter().map(Wire::ToPlatform).collect());
            }
            Wire::ToPlatform(message) => {
                let step = platform.receive(message).map_err(Broken::Bank)?;
                secrets.0.extend(step.keyed);
                done.0 |= step.done;
                put(&mut wire, step.send.into_iter().map(Wire::ToBank).collect());
            }
        }
    }
    match done {
        (true, true) => Ok(secrets),
        (false, _) => Err(Broken::Bank(Misbehaved::Unforeseen("nothing"))),
        (_, false) => Err(Broken::Platform(Misbehaved::Unforeseen("nothing"))),
    }
}

fn honest(terms: &Terms, offered: &[String], own: &[String], seed: u8) -> Result<Secrets, Broken> {
    run(terms, offered, own, seed, |_, message| vec![message])
}

fn real(engine: Engine, offered: &[String], own: &[String]) -> Opened {
    let (platform, bank) = honest(&terms(engine, 1 << 14), offered, own, 1).unwrap();
    let rows = seal_rows(&platform, &payloads(offered)).unwrap();
    open_rows(&bank, &rows, rows.len() as u64).unwrap()
}

fn equals_ideal(engine: Engine, offered: &[String], own: &[String]) {
    let pairs: Vec<_> = offered.iter().cloned().zip(payloads(offered)).collect();
    let opened = real(engine, offered, own);
    assert_eq!(opened.missing, 0);
    assert_eq!(opened.opened, ideal(&pairs, own), "{engine:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn real_equals_ideal(
        offered in prop::collection::btree_set(0u32..60, 0..50),
        own in prop::collection::btree_set(0u32..60, 0..50),
    ) {
        for engine in ENGINES {
            equals_ideal(engine, &names(offered.iter().copied()), &names(own.iter().copied()));
        }
    }

    #[test]
    fn counts_are_exact_or_below_the_floor(
        offered in prop::collection::btree_set(0u32..60, 0..50),
        own in prop::collection::btree_set(0u32..60, 5..50),
    ) {
        let (terms, floor) = (terms(Engine::Oprf, 100), 5);
        let set = |numbers: &BTreeSet<u32>| names(numbers.iter().copied()).iter().collect::<Identifiers>();
        let platform = CountPlatform::new(&terms, &set(&offered), floor, &Seed::new([1; 32])).unwrap();
        let (bank, points) = CountBank::new(&terms, &set(&own), floor, &Seed::new([2; 32])).unwrap();
        let (raised, tags) = platform.answer(&points).unwrap();
        let common = offered.intersection(&own).count() as u64;
        let expected = if common < floor { Count::Below(floor) } else { Count::Exact(common) };
        prop_assert_eq!(bank.count(&raised, &tags, offered.len() as u64), Ok(expected));
    }
}

#[test]
fn skewed_empty_and_single_sets() {
    for engine in ENGINES {
        equals_ideal(engine, &names([5, 8999, 9001]), &names(0..9000));
        equals_ideal(engine, &names(0..9000), &names([17]));
        equals_ideal(engine, &[], &names([1, 2]));
        equals_ideal(engine, &names([1, 2]), &[]);
        equals_ideal(engine, &[], &[]);
        equals_ideal(engine, &names([3]), &names([3]));
        equals_ideal(engine, &names([3]), &names([4]));
    }
}

#[test]
fn what_the_bank_sends_has_the_same_form_whatever_matches() {
    let own = names(0..300);
    let shape = |offered: &[String], engine| {
        let mut lengths = Vec::new();
        run(&terms(engine, 1000), offered, &own, 1, |_, message| {
            if let Wire::ToPlatform(message) = &message {
                lengths.push((message.name(), postcard::to_allocvec(message).unwrap().len()));
            }
            vec![message]
        })
        .unwrap();
        lengths
    };
    for engine in ENGINES {
        let forms: Vec<_> = shape(&names(0..300), engine).into_iter().map(|(name, _)| name).collect();
        let without: Vec<_> = shape(&names(500..800), engine).into_iter().map(|(name, _)| name).collect();
        assert_eq!(forms, without, "{engine:?}");
    }
    // The vector's length is that of the room asked for, not of the set.
    let vector = |own: &[String]| {
        let mut words = 0;
        run(&terms(Engine::Vole, 1000), &names(0..3), own, 1, |_, message| {
            if let Wire::ToPlatform(ToPlatform::Vector { words: sent, .. }) = &message {
                words += sent.0.len();
            }
            vec![message]
        })
        .unwrap();
        words
    };
    assert_eq!(vector(&names(0..1)), vector(&names(0..1000)));
}

#[test]
fn tags_of_different_sessions_and_engines_are_unrelated() {
    let own = names(0..5);
    let mut seen = BTreeSet::new();
    for engine in ENGINES {
        for session in [b"one", b"two"] {
            let terms = Terms { session: Digest::of_bytes(session), ..terms(engine, 100) };
            let (platform, _) = honest(&terms, &own, &own, 7).unwrap();
            seen.extend(platform.iter().map(|keyed| keyed.secret.tag));
        }
    }
    assert_eq!(seen.len(), 5 * 3 * 2);
}

#[test]
fn kept_evaluations_give_what_fresh_ones_give_and_follow_the_set() {
    let (offered, own) = (names(0..60), names(40..90));
    let terms = terms(Engine::Voprf, 100);
    let key = || dh::EpochKey::derive(dh::KEPT, &Seed::new([9; 32]), b"2026-11").unwrap();
    let mut kept = dh::Evaluations::default();
    assert_eq!(kept.update(&names(0..50).iter().collect(), &key()).unwrap(), 50);
    let offered: Identifiers = offered.iter().collect();
    assert!(Platform::start_kept(&terms, &offered, 60, (key(), &kept), &Seed::new([1; 32])).is_err());
    assert_eq!(kept.update(&offered, &key()).unwrap(), 10);
    assert_eq!(kept.update(&offered, &key()).unwrap(), 0);
    assert_eq!(kept.len(), 60);
    let (mut platform, first) =
        Platform::start_kept(&terms, &offered, 60, (key(), &kept), &Seed::new([1; 32])).unwrap();
    let mut bank = Bank::new(&terms, own.iter().collect(), &Seed::new([2; 32])).unwrap();
    let mut secrets = Vec::new();
    let mut wire = VecDeque::from(first.send);
    while let Some(message) = wire.pop_front() {
        let step = bank.receive(message).unwrap();
        secrets.extend(step.keyed);
        for answer in step.send {
            wire.extend(platform.receive(answer).unwrap().send);
        }
    }
    let tags: BTreeSet<_> = first.keyed.iter().map(|keyed| keyed.secret.tag).collect();
    assert_eq!(secrets.iter().filter(|keyed| tags.contains(&keyed.secret.tag)).count(), 20);
    assert_eq!(kept.update(&names(0..3).iter().collect(), &key()).unwrap(), 0);
    assert_eq!(kept.len(), 3);
}

#[test]
fn a_run_that_was_cut_off_goes_on_after_the_finished_units() {
    // Two shards of the vector OLE, three batches of 2HashDH: the first unit stands, the rest is done again.
    let (offered, own) = (names(0..1_100_000), names(1_000_000..1_020_000));
    for (engine, offered) in [(Engine::Vole, offered.as_slice()), (Engine::Voprf, &offered[..10])] {
        let first = terms(engine, 30_000);
        let (before, before_bank) = honest(&first, offered, &own, 1).unwrap();
        let resume = Resume { attempt: Digest::of_bytes(b"second"), finished: 1 };
        let (again, again_bank) = honest(&Terms { resume, ..first.clone() }, offered, &own, 1).unwrap();
        let rest: BTreeSet<_> = again_bank.iter().map(|keyed| keyed.row).collect();
        assert!(!rest.is_empty() && rest.len() < own.len());
        // The tags of the first unit from before and of the rest from now are one consistent alignment.
        let newer: BTreeSet<_> = again.iter().map(|keyed| keyed.row).collect();
        let standing = |keyed: &&Keyed| engine == Engine::Vole && !newer.contains(&keyed.row);
        let platform: BTreeSet<_> =
            before.iter().filter(standing).chain(&again).map(|keyed| keyed.secret.tag).collect();
        assert_eq!(platform.len(), offered.len());
        let bank = before_bank.iter().filter(|keyed| !rest.contains(&keyed.row)).chain(&again_bank);
        let matched = bank.filter(|keyed| platform.contains(&keyed.secret.tag)).count();
        assert_eq!(matched, if engine == Engine::Vole { 20_000 } else { 0 });
        if engine == Engine::Vole {
            let old: BTreeSet<_> = before.iter().map(|keyed| keyed.secret.tag).collect();
            assert!(again.iter().all(|keyed| !old.contains(&keyed.secret.tag)), "an attempt has secrets of its own");
        }
        let finished = Resume { attempt: Digest::of_bytes(b"third"), finished: 3 };
        assert_eq!(honest(&Terms { resume: finished, ..first }, offered, &own, 1).unwrap().1.len(), 0);
    }
}

#[test]
fn padding_hides_the_number_of_rows_and_changes_nothing_else() {
    assert_eq!([0, 1, 99, 100, 101, 123_456, 199_999].map(rung), [0, 1, 99, 100, 110, 130_000, 200_000]);
    let (offered, own) = (names(0..105), names(100..110));
    let (platform, bank) = honest(&terms(Engine::Voprf, 100), &offered, &own, 3).unwrap();
    let mut rows = seal_rows(&platform, &payloads(&offered)).unwrap();
    let length = rows[0].sealed.len();
    pad_rows(&mut rows, rung(105) as usize, 10, &mut Seed::new([4; 32]).rng("pad", &[]));
    assert_eq!(rows.len(), 110);
    assert!(rows.iter().all(|row| row.sealed.len() == length));
    let opened = open_rows(&bank, &rows, 110).unwrap();
    assert_eq!((opened.opened.len(), opened.missing), (5, 0));
}

#[test]
fn a_thousand_random_sessions() {
    use rand_core::Rng as _;
    (0..1000u32).into_par_iter().for_each(|session| {
        let mut rng = Seed::new([77; 32]).rng("sessions", &[&session.to_be_bytes()]);
        let mut number = |below: u64| (rng.next_u64() % below) as u32;
        let (shift, offered, own) = (number(400), number(400), number(400));
        let (offered, own) = (names(0..offered), names(shift..shift + own));
        for engine in [Engine::Voprf, Engine::Vole] {
            let terms = Terms { session: Digest::of("t", &[&session.to_be_bytes()]), ..terms(engine, 400) };
            let (platform, bank) = honest(&terms, &offered, &own, session as u8).unwrap();
            let rows = seal_rows(&platform, &payloads(&offered)).unwrap();
            let pairs: Vec<_> = offered.iter().cloned().zip(payloads(&offered)).collect();
            let opened = open_rows(&bank, &rows, rows.len() as u64).unwrap();
            assert_eq!(opened.opened, ideal(&pairs, &own), "session {session}, {engine:?}");
        }
    });
}
