//! An aggregator that deviates, alone or with a bank: every known attack gets a refusal, or nothing but noise.

use std::collections::BTreeSet;

use tally_crypto::group::{Point, Scalar};
use tally_crypto::prg::{Sign, apply_masks};
use tally_crypto::seal::seal_once;
use tally_crypto::share;

use super::super::masks::{own_mask, pairwise_mask, pairwise_sign, roll_digest};
use super::*;

/// Plays the aggregator's messages by hand up to the masked vectors; what the banks said is kept.
struct Script {
    world: World,
    keys: Vec<Keys>,
    sealed: Vec<SealedShares>,
}

impl Script {
    /// Keys are exchanged, nothing is dealt yet.
    fn keyed(banks: usize, session: &[u8]) -> Self {
        let mut world = world_of(banks, session);
        let names: Vec<_> = world.banks.keys().cloned().collect();
        let keys =
            names.iter().map(|name| match world.answers(name, ToMember::OpenBatch { batch: 0 }).unwrap().remove(0) {
                ToAggregator::Keys(keys, _) => keys,
                other => panic!("{other:?}"),
            });
        let keys = keys.collect();
        Self { world, keys, sealed: Vec::new() }
    }

    /// Every bank has dealt its shares.
    fn dealt(banks: usize, session: &[u8]) -> Self {
        let mut script = Self::keyed(banks, session);
        let roll = ToMember::Roll { batch: 0, keys: script.keys.clone() };
        for name in script.names() {
            let ToAggregator::Shares(shares) = script.world.answers(&name, roll.clone()).unwrap().remove(0) else {
                unreachable!()
            };
            script.sealed.extend(shares.sealed);
        }
        script
    }

    /// Every bank holds its shares.
    fn ready(banks: usize, session: &[u8]) -> Self {
        let mut script = Self::dealt(banks, session);
        for name in script.names() {
            let shares = script.sealed.iter().filter(|one| one.to == name).cloned().collect();
            script.world.answers(&name, ToMember::Deliver { batch: 0, shares }).unwrap();
        }
        script
    }

    fn names(&self) -> Vec<String> {
        self.world.banks.keys().cloned().collect()
    }

    fn offer(&self, spec: RoundSpec) -> Offer {
        Offer { spec, cohort: self.names() }
    }

    fn masked(&mut self, name: &str, offer: &Offer) -> Masked {
        match self.world.answers(name, ToMember::Offer(offer.clone())).unwrap().remove(0) {
            ToAggregator::Masked(masked) => masked,
            other => panic!("{other:?}"),
        }
    }

    fn agree(&mut self, name: &str, survivors: &[String]) -> Result<Agreement, Misbehaved> {
        let message = self.world.survivors(survivors);
        self.world.answers(name, message).map(|mut answers| match answers.remove(0) {
            ToAggregator::Agreement(agreement) => agreement,
            other => panic!("{other:?}"),
        })
    }

    fn unmask(&mut self, name: &str, agreements: &[Agreement]) -> Result<Unmask, Misbehaved> {
        let message = ToMember::Quorum { round: 0, agreements: agreements.to_vec() };
        self.world.answers(name, message).map(|mut answers| match answers.remove(0) {
            ToAggregator::Unmask(unmask) => unmask,
            other => panic!("{other:?}"),
        })
    }

    /// The secret of `name` from the shares of `unmask`, at its place in the cohort.
    fn rebuilt(&self, unmask: &[Unmask], name: &str) -> Scalar {
        let place = self.names().iter().position(|one| one == name).unwrap();
        let indices: Vec<_> = unmask.iter().map(|one| self.world.roster.index(&one.member).unwrap()).collect();
        let shares: Vec<_> =
            unmask.iter().map(|one| Scalar::from_canonical_bytes(one.shares[place]).unwrap()).collect();
        share::combine(&share::weights_at_zero(&indices), &shares)
    }
}

fn wide(round: u32, request: &[u8]) -> RoundSpec {
    RoundSpec { round, request: Digest::of_bytes(request), part: Part::Whole, words: WIDE }
}

/// Enough words for a test of uniformity.
const WIDE: u32 = 4096;

/// Chi-square of the bytes against the uniform distribution, in standard deviations (255 degrees of freedom).
fn deviation(words: &[u64]) -> f64 {
    let mut counts = [0f64; 256];
    words.iter().flat_map(|word| word.to_le_bytes()).for_each(|byte| counts[usize::from(byte)] += 1.0);
    let expected = words.len() as f64 * 8.0 / 256.0;
    let statistic: f64 = counts.iter().map(|count| (count - expected).powi(2) / expected).sum();
    (statistic - 255.0) / (2.0f64 * 255.0).sqrt()
}

#[test]
fn two_requests_to_two_banks_get_no_agreement_and_forced_past_it_nothing_but_noise() {
    let mut script = Script::ready(3, b"s");
    let honest = script.offer(wide(0, b"model"));
    let crafted = script.offer(wide(0, b"another model"));
    let names = script.names();
    let masked =
        [script.masked(&names[0], &honest), script.masked(&names[1], &honest), script.masked(&names[2], &crafted)];
    let agreements: Vec<_> = names.iter().map(|name| script.agree(name, &names).unwrap()).collect();
    for name in &names {
        let refused = script.unmask(name, &agreements).unwrap_err();
        assert!(matches!(refused, Misbehaved::Signature { what: "the survivors", .. }), "{refused}");
    }
    // Even with every self mask in hand the two views do not cancel.
    let roll = roll_digest(&script.world.roster, &script.keys);
    let mut sum = vec![0u64; WIDE as usize];
    for (place, one) in masked.iter().enumerate() {
        sum.iter_mut().zip(&one.words).for_each(|(total, word)| *total = total.wrapping_add(*word));
        let offer = if place == 2 { &crafted } else { &honest };
        let own = script.world.banks[&one.member].self_secret(0);
        apply_masks(&[(own_mask(&own, &roll, &offer.digest(&script.world.roster, &roll)), Sign::Subtract)], &mut sum);
    }
    assert!(deviation(&sum).abs() < 5.0, "{}", deviation(&sum));
}

/// The overlap attack: a bank is called alive to some and dead to others, for both kinds of its shares.
#[test]
fn a_bank_is_never_both_alive_and_dead() {
    for banks in [4, 5, 7] {
        let mut script = Script::ready(banks, b"s");
        let offer = script.offer(spec(0));
        let names = script.names();
        names.iter().for_each(|name| drop(script.masked(name, &offer)));
        let (victim, others) = names.split_last().unwrap();
        let half = others.len() / 2;
        let (with, without): (Vec<_>, Vec<_>) = (names.clone(), others.to_vec());
        let mut agreements = (Vec::new(), Vec::new());
        for (place, name) in others.iter().enumerate() {
            if place < half {
                agreements.0.push(script.agree(name, &with).unwrap());
                assert_eq!(script.agree(name, &without).unwrap_err(), Misbehaved::AskedAgain(0));
            } else {
                agreements.1.push(script.agree(name, &without).unwrap());
                assert_eq!(script.agree(name, &with).unwrap_err(), Misbehaved::AskedAgain(0));
            }
        }
        agreements.0.push(script.agree(victim, &with).unwrap());
        // Neither view has enough signatures, and signatures of the other view are none.
        for view in [agreements.0.clone(), agreements.1.clone(), [agreements.0, agreements.1].concat()] {
            for name in &names {
                assert!(script.unmask(name, &view).is_err(), "{name} of {banks}");
            }
        }
    }
}

#[test]
fn keys_that_are_swapped_added_replayed_or_doubled_are_refused() {
    let of_another_session = Script::keyed(4, b"another").keys;
    let refused = |change: &dyn Fn(&mut Vec<Keys>)| {
        let mut script = Script::keyed(4, b"s");
        let mut keys = script.keys.clone();
        change(&mut keys);
        script.world.answers("bank-1", ToMember::Roll { batch: 0, keys }).unwrap_err()
    };
    let signature = |error: Misbehaved| matches!(error, Misbehaved::Signature { what: "keys", .. });
    assert!(signature(refused(&|keys| keys[2].transport = Point::base(&Scalar::from(7u8)).unwrap())));
    assert!(signature(refused(&|keys| keys[1] = of_another_session[1].clone())));
    assert!(signature(refused(&|keys| {
        let mut stranger = keys[3].clone();
        stranger.member = "bank-5".into();
        keys.push(stranger);
    })));
    assert!(matches!(refused(&|keys| keys[1] = keys[2].clone()), Misbehaved::Malformed { .. }));
    assert!(matches!(refused(&|keys| keys.swap(1, 2)), Misbehaved::Malformed { .. }));
    assert!(matches!(refused(&|keys| keys.truncate(2)), Misbehaved::TooFew { .. }));
    assert!(matches!(refused(&|keys| drop(keys.remove(0))), Misbehaved::Unexpected { .. }));

    // Keys of the batch before, in the next one.
    let mut world = world(3);
    for round in 0..=ROUNDS_PER_BATCH {
        if round == ROUNDS_PER_BATCH {
            let batch = |batch| ToMember::OpenBatch { batch };
            let old = Script::keyed(3, b"s").keys;
            world.answers("bank-1", batch(1)).unwrap();
            let replayed = world.answers("bank-1", ToMember::Roll { batch: 1, keys: old }).unwrap_err();
            assert!(matches!(replayed, Misbehaved::Malformed { .. }));
        } else {
            world.round(round, &Drops::new(), &mut BTreeSet::new()).unwrap();
        }
    }
}

#[test]
fn shares_that_are_permuted_repeated_reflected_or_of_another_session_are_refused() {
    let foreign = Script::dealt(4, b"another").sealed;
    let refused = |change: &dyn Fn(&mut Vec<SealedShares>, &[SealedShares])| {
        let mut script = Script::dealt(4, b"s");
        let mut shares: Vec<_> = script.sealed.iter().filter(|one| one.to == "bank-1").cloned().collect();
        change(&mut shares, &script.sealed);
        script.world.answers("bank-1", ToMember::Deliver { batch: 0, shares }).unwrap_err()
    };
    let culprit = |error| match error {
        Misbehaved::Share { dealer } => dealer,
        other => panic!("{other}"),
    };
    // The ciphertexts of two dealers in each other's place.
    assert_eq!(
        culprit(refused(&|shares, _| {
            let (left, right) = shares.split_at_mut(1);
            std::mem::swap(&mut left[0].sealed, &mut right[0].sealed);
        })),
        "bank-2"
    );
    // A share for another receiver.
    assert_eq!(
        culprit(refused(&|shares, all| {
            shares[1]
                .sealed
                .clone_from(&all.iter().find(|one| one.from == "bank-3" && one.to == "bank-4").unwrap().sealed);
        })),
        "bank-3"
    );
    // What this bank dealt comes back to it.
    assert_eq!(
        culprit(refused(&|shares, all| {
            shares[0]
                .sealed
                .clone_from(&all.iter().find(|one| one.from == "bank-1" && one.to == "bank-2").unwrap().sealed);
        })),
        "bank-2"
    );
    assert_eq!(culprit(refused(&|shares, _| shares[1] = shares[0].clone())), "bank-2");
    assert_eq!(
        culprit(refused(&|shares, _| {
            shares[2]
                .sealed
                .clone_from(&foreign.iter().find(|one| one.from == "bank-4" && one.to == "bank-1").unwrap().sealed);
        })),
        "bank-4"
    );
    // The right length under a key of the aggregator's choice.
    assert_eq!(
        culprit(refused(&|shares, _| {
            let length = shares[0].sealed.len() - tally_crypto::seal::TAG_BYTES;
            shares[0].sealed = seal_once(&Seed::new([0; 32]), b"", &vec![0; length]);
        })),
        "bank-2"
    );
    assert!(matches!(refused(&|shares, _| shares.truncate(1)), Misbehaved::TooFew { .. }));
}

/// The vector of a bank that was given up arrives late: its pairwise masks are known by then, its own mask still covers it.
#[test]
fn a_late_vector_of_a_bank_that_was_given_up_stays_closed() {
    let mut script = Script::ready(5, b"s");
    let offer = script.offer(wide(0, b"model"));
    let names = script.names();
    let masked: Vec<_> = names.iter().map(|name| script.masked(name, &offer)).collect();
    let (victim, others) = names.split_last().unwrap();
    let agreements: Vec<_> = others.iter().map(|name| script.agree(name, others).unwrap()).collect();
    let unmask: Vec<_> = others.iter().map(|name| script.unmask(name, &agreements).unwrap()).collect();
    let roster = script.world.roster.clone();
    let roll = roll_digest(&roster, &script.keys);
    let digest = offer.digest(&roster, &roll);
    let pairwise = script.rebuilt(&unmask, victim);
    let mut late = masked[4].words.clone();
    for other in others {
        let keys = script.keys.iter().find(|keys| keys.member == *other).unwrap();
        let seed = pairwise_mask(&pairwise, &keys.pairwise(0), &roll, &digest, victim, other);
        let undo = if pairwise_sign(victim, other) == Sign::Add { Sign::Subtract } else { Sign::Add };
        apply_masks(&[(seed, undo)], &mut late);
    }
    assert!(deviation(&late).abs() < 5.0, "{}", deviation(&late));
    // With the own mask gone too, it is the input: so the test above removed the right masks.
    let own = script.world.banks[victim].self_secret(0);
    apply_masks(&[(own_mask(&own, &roll, &digest), Sign::Subtract)], &mut late);
    let open: Vec<i64> = late.into_iter().map(u64::cast_signed).collect();
    assert_eq!(open, wide_values(victim, 0));
    // No share of the own mask was given, and none is given any more.
    assert!(script.unmask(&others[0], &agreements).is_err());
    assert_eq!(script.agree(&others[0], &names).unwrap_err(), Misbehaved::AskedAgain(0));
}

#[test]
fn a_vector_that_is_late_is_not_even_taken() {
    let mut world = world(4);
    let masked = world.masked();
    for one in &masked[..3] {
        world.aggregator.receive(&one.member, ToAggregator::Masked(one.clone())).unwrap();
    }
    world.aggregator.give_up_waiting().unwrap();
    let late = world.aggregator.receive("bank-4", ToAggregator::Masked(masked[3].clone()));
    assert!(matches!(late, Err(Misbehaved::Unexpected { .. })));
}

/// Cells are released over those who gave indicators, or not at all.
#[test]
fn cells_over_fewer_banks_than_asked_get_no_signature() {
    let mut script = Script::ready(5, b"s");
    let offer = script.offer(RoundSpec { part: Part::Cells, ..spec(0) });
    let names = script.names();
    names.iter().for_each(|name| drop(script.masked(name, &offer)));
    assert_eq!(script.agree(&names[0], &names[..4]).unwrap_err(), Misbehaved::TooFew { have: 4, need: 5 });
    script.agree(&names[0], &names).unwrap();
}

/// What colluding banks sign together does not pass for a round that the others would have stopped.
#[test]
fn a_transcript_over_too_few_banks_or_with_a_strangers_agreement_is_refused() {
    let mut world = world(5);
    let drops = Drops::from([("masked", "bank-5".to_owned())]);
    let Event::Released { transcript, .. } = world.round(0, &drops, &mut BTreeSet::new()).unwrap() else {
        unreachable!()
    };
    transcript.recompute(&world.roster).unwrap();
    for part in [Part::Cells, Part::Firm, Part::Sizes, Part::Joins] {
        let mut changed = transcript.clone();
        changed.offer.spec.part = part;
        let survivors = TranscriptError::Set("the survivors of a part that every bank must stay for");
        assert_eq!(changed.recompute(&world.roster).unwrap_err(), survivors);
    }
    // The bank that dropped out signs the survivors in the place of one of them.
    let mut changed = transcript.clone();
    let offer = changed.offer.digest(&world.roster, &world.aggregator.roll());
    let signature = Agreement::sign(&offer, &changed.agreed(), &key("bank-5"));
    let last = changed.agreements.len() - 1;
    changed.agreements[last] = Agreement { member: "bank-5".into(), round: 0, signature };
    assert_eq!(changed.recompute(&world.roster).unwrap_err(), TranscriptError::Set("the agreements"));
}

/// A bank recomputes what it helped to open: another sum, another round, or vectors that it did not agree to are refused.
#[test]
fn a_bank_recomputes_the_sum_from_what_it_agreed_to() {
    let mut world = world(4);
    let released = |world: &mut World, round| match world.round(round, &Drops::new(), &mut BTreeSet::new()).unwrap() {
        Event::Released { transcript, sums, .. } => (transcript.without_keys(), sums),
        other => panic!("{other:?}"),
    };
    let (first, sums) = released(&mut world, 0);
    let bank = &world.banks["bank-2"];
    assert_eq!(bank.recompute(first.clone()).unwrap(), sums);
    let mut other = first.clone();
    other.masked[0].words[0] ^= 1;
    assert!(bank.recompute(other).is_err());
    // A bank that colludes signs another vector once the sum is known.
    let mut late = first.clone();
    let words = &mut late.masked[3].words;
    words[1] = words[1].wrapping_add(5);
    let offer = late.offer.digest(&world.roster, &world.aggregator.roll());
    late.masked[3].signature = Masked::sign(&offer, &Masked::vector(&late.masked[3].words), &key("bank-4"));
    assert!(bank.recompute(late).is_err());
    let (second, _) = released(&mut world, 1);
    assert!(world.banks["bank-2"].recompute(first).is_err());
    world.banks["bank-2"].recompute(second).unwrap();
}

#[test]
fn no_mask_is_used_twice() {
    let mut script = Script::keyed(3, b"s");
    let roster = script.world.roster.clone();
    let roll = roll_digest(&roster, &script.keys);
    let mut seen = BTreeSet::new();
    let secret = script.world.banks["bank-1"].self_secret(0);
    let other = script.keys[1].pairwise(0);
    for round in 0..50_000u32 {
        let digest = script.offer(spec(round)).digest(&roster, &roll);
        assert!(seen.insert(*own_mask(&secret, &roll, &digest).expose()));
        if round % 50 == 0 {
            assert!(seen.insert(*pairwise_mask(&secret, &other, &roll, &digest, "bank-1", "bank-2").expose()));
        }
    }
    // Another batch has other keys.
    let again = script.world.banks.get_mut("bank-1").unwrap();
    let first = again.self_secret(0);
    assert!((1..ROUNDS_PER_BATCH as usize).all(|slot| again.self_secret(slot) != first));
}

/// Wherever one bit of a round's transcript is changed, the recomputation says so and names the part.
#[test]
fn a_flipped_bit_anywhere_in_a_transcript_is_found() {
    let mut world = world(3);
    let drops = Drops::new();
    let Event::Released { transcript, .. } = world.round(0, &drops, &mut BTreeSet::new()).unwrap() else {
        unreachable!()
    };
    let bytes = transcript.encode();
    // Of the long lists of commitments every 31st byte has its turn, of the rest every byte; the bit moves along.
    for byte in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[byte] ^= 1 << (byte % 8);
        let chosen = byte % 31 == 0 || byte < 256 || byte + 1600 > bytes.len();
        match Transcript::decode(&changed) {
            Err(error) => assert_eq!(error, TranscriptError::Encoding),
            Ok(read) if chosen => {
                let found = read.recompute(&world.roster);
                assert!(found.is_err(), "bit {} of byte {byte} of {}", byte % 8, bytes.len());
            }
            Ok(_) => {}
        }
    }
}

#[test]
fn a_bank_of_the_roster_cannot_speak_for_another() {
    let mut world = world(3);
    let masked = world.masked();
    let forged = ToAggregator::Masked(Masked { member: "bank-2".into(), ..masked[0].clone() });
    assert!(matches!(world.aggregator.receive("bank-1", forged.clone()), Err(Misbehaved::Unexpected { .. })));
    // Under its own name it is taken in and thrown away when the signatures are checked.
    world.aggregator.receive("bank-2", forged).unwrap();
    let [one, two, three] = masked.try_into().unwrap();
    world.aggregator.receive("bank-1", ToAggregator::Masked(one)).unwrap();
    let events = world.aggregator.receive("bank-3", ToAggregator::Masked(three)).unwrap();
    assert!(matches!(&events[..], [Event::Refused { from, .. }] if from == "bank-2"), "{events:?}");
    let events = world.aggregator.receive("bank-2", ToAggregator::Masked(two)).unwrap();
    assert!(matches!(&events[..], [Event::Send { to, .. }] if to.len() == 3));
}
