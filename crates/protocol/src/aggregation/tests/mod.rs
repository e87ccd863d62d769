//! The real aggregation against the ideal one at every drop point; what deviates is in [`adversary`].

mod adversary;
mod crash;
mod vectors;
mod wire;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tally_crypto::seed::Seed;
use tally_crypto::sign::SigningKey;
use tally_crypto::transcript::Digest;

use super::*;

const WORDS: u32 = 5;

struct World {
    roster: Roster,
    /// The vectors that were given, by bank.
    vectors: BTreeMap<String, Digest>,
    banks: BTreeMap<String, Contributor>,
    aggregator: Aggregator,
}

fn key(name: &str) -> Arc<SigningKey> {
    Arc::new(SigningKey::from_seed(&Seed::new([3; 32]).derive("key", &[name.as_bytes()])))
}

fn world(banks: usize) -> World {
    world_of(banks, b"s")
}

fn world_of(banks: usize, session: &[u8]) -> World {
    let names: Vec<_> = (1..=banks).map(|bank| format!("bank-{bank}")).collect();
    let member = |name: &String| RosterMember { name: name.clone(), key: key(name).verify_key() };
    let roster = Roster::new(Digest::of_bytes(session), names.iter().map(member).collect(), 3).unwrap();
    let contributor = |name: &String| {
        let seed = Seed::new([4; 32]).derive("seed", &[name.as_bytes()]);
        (name.clone(), Contributor::new(roster.clone(), name, key(name), seed).unwrap())
    };
    let banks = names.iter().map(contributor).collect();
    World { aggregator: Aggregator::new(roster.clone()), banks, roster, vectors: BTreeMap::new() }
}

fn spec(round: u32) -> RoundSpec {
    RoundSpec { round, request: Digest::of_bytes(&round.to_be_bytes()), part: Part::Whole, words: WORDS }
}

/// A vector of the most words that any round has.
fn wide_values(name: &str, round: u32) -> Vec<i64> {
    let salt = i64::from(name.as_bytes()[name.len() - 1]) * 1_000_003;
    (0..4096).map(|word: i64| (salt * (word + 1) * i64::from(round + 1)).wrapping_mul(-7_777_777)).collect()
}

fn values(name: &str, round: u32) -> Vec<i64> {
    let mut values = wide_values(name, round);
    values.truncate(WORDS as usize);
    values
}

/// Which message of which bank is its last: (kind, bank).
type Drops = BTreeSet<(&'static str, String)>;

fn kind(message: &ToAggregator) -> &'static str {
    match message {
        ToAggregator::Keys(..) => "keys",
        ToAggregator::Shares(_) => "shares",
        ToAggregator::Masked(_) => "masked",
        ToAggregator::Agreement(_) => "agreement",
        ToAggregator::Unmask(_) => "unmask",
    }
}

/// The same events, every message to one bank.
fn to_each(events: Vec<Event>) -> Vec<Event> {
    let each = |event| match event {
        Event::Send { to, message } => {
            to.into_iter().map(|to| Event::Send { to: vec![to], message: message.clone() }).collect()
        }
        event => vec![event],
    };
    events.into_iter().flat_map(each).collect()
}

impl World {
    /// Runs one round; a bank in `drops` falls silent before that kind of message.
    fn round(&mut self, round: u32, drops: &Drops, silent: &mut BTreeSet<String>) -> Result<Event, Stopped> {
        let mut queue = VecDeque::from(to_each(self.aggregator.open_round(spec(round)).unwrap()));
        loop {
            let Some(event) = queue.pop_front() else {
                queue.extend(to_each(self.aggregator.give_up_waiting()?));
                continue;
            };
            let Event::Send { to, message } = event else { return Ok(event) };
            if silent.contains(&to[0]) {
                continue;
            }
            for answer in self.answers(&to[0], message).unwrap() {
                if drops.contains(&(kind(&answer), to[0].clone())) {
                    silent.insert(to[0].clone());
                    break;
                }
                queue.extend(to_each(self.aggregator.receive(&to[0], answer).unwrap()));
            }
        }
    }

    fn answers(&mut self, to: &str, message: ToMember) -> Result<Vec<ToAggregator>, Misbehaved> {
        let bank = self.banks.get_mut(to).unwrap();
        let mut answers = Vec::new();
        for reaction in bank.receive(message)? {
            match reaction {
                Reaction::Send(message) => answers.push(message),
                Reaction::Offered(Offer { spec, .. }) => {
                    let mut values = wide_values(to, spec.round);
                    values.truncate(spec.words as usize);
                    let answer = bank.contribute(&spec, values)?;
                    if let ToAggregator::Masked(masked) = &answer {
                        self.vectors.insert(to.into(), Masked::vector(&masked.words));
                    }
                    answers.push(answer);
                }
                Reaction::Releasing { .. } => {}
            }
        }
        Ok(answers)
    }

    /// The message that names these survivors, with the vectors that they gave.
    fn survivors(&self, names: &[String]) -> ToMember {
        let vectors = names.iter().map(|name| self.vectors.get(name).copied().unwrap_or_default()).collect();
        ToMember::Survivors { round: 0, survivors: names.to_vec(), vectors }
    }

    fn expected(&self, round: u32, survivors: &[String]) -> Vec<i64> {
        let vectors = self.banks.keys().map(|name| (name.clone(), values(name, round))).collect();
        ideal(&vectors, survivors, WORDS as usize)
    }

    /// Runs round 0 up to the messages to banks that `stop` picks out, which are not delivered.
    fn until(&mut self, stop: fn(&ToMember) -> bool) -> Vec<(String, ToMember)> {
        let mut queue = VecDeque::from(to_each(self.aggregator.open_round(spec(0)).unwrap()));
        let mut stopped = Vec::new();
        while let Some(event) = queue.pop_front() {
            let Event::Send { to, message } = event else { unreachable!() };
            if stop(&message) {
                stopped.push((to[0].clone(), message));
                continue;
            }
            for answer in self.answers(&to[0], message).unwrap() {
                queue.extend(to_each(self.aggregator.receive(&to[0], answer).unwrap()));
            }
        }
        stopped
    }

    /// Brings every bank to the point where it has given its masked vector of round 0.
    fn masked(&mut self) -> Vec<Masked> {
        let mut masked = Vec::new();
        for (to, message) in self.until(|message| matches!(message, ToMember::Offer(_))) {
            for answer in self.answers(&to, message).unwrap() {
                let ToAggregator::Masked(one) = answer else { unreachable!() };
                masked.push(one);
            }
        }
        masked
    }
}

#[test]
fn sums_are_exact_over_batches() {
    let mut world = world(3);
    for round in 0..2 * ROUNDS_PER_BATCH + 1 {
        let Event::Released { cohort, sums, transcript, .. } =
            world.round(round, &Drops::new(), &mut BTreeSet::new()).unwrap()
        else {
            unreachable!()
        };
        assert_eq!(cohort.len(), 3);
        assert_eq!(sums, world.expected(round, &cohort));
        let read = Transcript::decode(&transcript.encode()).unwrap();
        assert_eq!(read.recompute(&world.roster).unwrap(), sums);
    }
}

#[test]
fn every_drop_point_and_subset_gives_the_sum_of_the_rest_or_stops() {
    for banks in [3, 4, 5] {
        for point in ["keys", "shares", "masked", "agreement", "unmask"] {
            for subset in 0..1u32 << banks {
                let dropped: Vec<_> = (1..=banks)
                    .filter(|bank| subset >> (bank - 1) & 1 == 1)
                    .map(|bank| format!("bank-{bank}"))
                    .collect();
                let mut world = world(banks);
                let drops = dropped.iter().map(|name| (point, name.clone())).collect();
                let mut silent = BTreeSet::new();
                let outcome = world.round(0, &drops, &mut silent);
                if banks - dropped.len() < world.roster.quorum() {
                    assert_eq!(outcome.unwrap_err().missing, dropped);
                    continue;
                }
                let Event::Released { cohort, sums, .. } = outcome.unwrap() else { unreachable!() };
                let late = matches!(point, "agreement" | "unmask");
                assert_eq!(cohort.len(), if late { banks } else { banks - dropped.len() });
                assert_eq!(sums, world.expected(0, &cohort), "{banks} banks, {dropped:?} before {point}");
                let Event::Released { cohort, sums, .. } = world.round(1, &Drops::new(), &mut silent).unwrap() else {
                    unreachable!()
                };
                assert_eq!(cohort.len(), banks - dropped.len());
                assert_eq!(sums, world.expected(1, &cohort));
            }
        }
    }
}

#[test]
fn thresholds_are_the_documented_ones() {
    let expected = [(3usize, 3usize, 1), (4, 3, 1), (5, 4, 2), (10, 7, 3), (50, 34, 17), (200, 134, 67)];
    for (banks, threshold, colluders) in expected {
        let names: Vec<_> = (0..banks).map(|bank| format!("b{bank:03}")).collect();
        let member = |name: &String| RosterMember { name: name.clone(), key: key("x").verify_key() };
        let roster = Roster::new(Digest::default(), names.iter().map(member).collect(), 3).unwrap();
        assert_eq!((roster.threshold(), roster.colluders()), (threshold, colluders));
        assert!(2 * threshold > banks + banks.div_ceil(3) - 1);
    }
}

#[test]
fn a_bank_answers_one_set_of_survivors_once() {
    let mut world = world(4);
    let masked = world.masked();
    let all: Vec<_> = masked.iter().map(|one| one.member.clone()).collect();
    let [two, others, everyone, three] = [&all[..2], &all[1..], &all[..], &all[..3]].map(|view| world.survivors(view));
    assert!(matches!(world.answers("bank-1", two), Err(Misbehaved::TooFew { .. })));
    assert!(matches!(world.answers("bank-1", others), Err(Misbehaved::Malformed { .. })));
    let ToMember::Survivors { round, survivors, mut vectors } = everyone.clone() else { unreachable!() };
    vectors[0] = vectors[1];
    let forged = ToMember::Survivors { round, survivors, vectors };
    assert!(matches!(world.answers("bank-1", forged), Err(Misbehaved::Malformed { .. })));
    assert_eq!(world.answers("bank-1", everyone).unwrap().len(), 1);
    assert_eq!(world.answers("bank-1", three).unwrap_err(), Misbehaved::AskedAgain(0));
}

#[test]
fn split_views_get_no_shares() {
    let mut world = world(4);
    let masked = world.masked();
    let all: Vec<_> = masked.iter().map(|one| one.member.clone()).collect();
    let mut agreements = Vec::new();
    for (name, view) in [("bank-1", &all[..]), ("bank-2", &all[..3]), ("bank-3", &all[..3])] {
        let message = world.survivors(view);
        let ToAggregator::Agreement(one) = world.answers(name, message).unwrap().remove(0) else { unreachable!() };
        agreements.push(one);
    }
    let quorum = |agreements: Vec<Agreement>| ToMember::Quorum { round: 0, agreements };
    assert!(matches!(world.answers("bank-1", quorum(agreements.clone())), Err(Misbehaved::Signature { .. })));
    let repeated = vec![agreements[1].clone(); 3];
    assert!(matches!(world.answers("bank-2", quorum(repeated)), Err(Misbehaved::TooFew { have: 1, need: 3 })));
    assert!(matches!(world.answers("bank-3", quorum(Vec::new())), Err(Misbehaved::TooFew { .. })));
}

#[test]
fn substituted_keys_and_bad_shares_name_the_culprit() {
    let mut world = world(3);
    let rolls = world.until(|message| matches!(message, ToMember::Roll { .. }));
    let (_, ToMember::Roll { batch, keys }) = &rolls[0] else { unreachable!() };
    let mut substituted = keys.clone();
    substituted[2].transport = substituted[1].transport;
    let forged = ToMember::Roll { batch: *batch, keys: substituted };
    let who = "bank-3".to_owned();
    assert_eq!(world.answers("bank-1", forged).unwrap_err(), Misbehaved::Signature { who, what: "keys" });

    let mut world = self::world(3);
    let mut delivered = world.until(|message| matches!(message, ToMember::Deliver { .. } | ToMember::Offer(_)));
    let (to, ToMember::Deliver { batch, mut shares }) = delivered.remove(0) else { unreachable!() };
    shares[1].sealed[3] ^= 1;
    let dealer = shares[1].from.clone();
    let refused = world.answers(&to, ToMember::Deliver { batch, shares }).unwrap_err();
    assert_eq!(refused, Misbehaved::Share { dealer });
}

/// Signatures are checked together: the one that does not hold is named, its sender awaited again, and the round goes on.
#[test]
fn a_false_signature_is_named_and_can_be_made_good() {
    let mut world = world(4);
    let masked = world.masked();
    let false_signature = |one: &Masked| {
        let mut one = one.clone();
        one.signature.0[40] ^= 1;
        one
    };
    for one in &masked[..3] {
        assert!(world.aggregator.receive(&one.member, ToAggregator::Masked(one.clone())).unwrap().is_empty());
    }
    let last = &masked[3];
    let events = world.aggregator.receive(&last.member, ToAggregator::Masked(false_signature(last))).unwrap();
    let [Event::Refused { from, misbehaved: Misbehaved::Signature { .. } }] = &events[..] else { unreachable!() };
    assert_eq!((from, world.aggregator.waiting_for()), (&last.member, vec![last.member.clone()]));
    let events = world.aggregator.receive(&last.member, ToAggregator::Masked(last.clone())).unwrap();
    let [Event::Send { message: ToMember::Survivors { survivors, .. }, .. }] = &events[..] else { unreachable!() };
    assert_eq!(survivors.len(), 4);

    let mut world = self::world(4);
    let mut masked = world.masked();
    masked[1] = false_signature(&masked[1]);
    for one in &masked[..3] {
        world.aggregator.receive(&one.member, ToAggregator::Masked(one.clone())).unwrap();
    }
    let stopped = world.aggregator.give_up_waiting().unwrap_err();
    assert_eq!(stopped.missing, ["bank-2", "bank-4"]);
}

/// A bank whose commitments are not those that it signed is refused before anyone uses its keys.
#[test]
fn unsigned_commitments_are_refused() {
    let mut world = world(3);
    world.aggregator.open_round(spec(0)).unwrap();
    let mut answers = world.answers("bank-1", ToMember::OpenBatch { batch: 0 }).unwrap();
    let ToAggregator::Keys(keys, commitments) = answers.remove(0) else { unreachable!() };
    let mut swapped = commitments.clone();
    swapped.swap(3, 4);
    let mut short = commitments.clone();
    short[5].own.pop();
    for wrong in [swapped, short, commitments[1..].to_vec()] {
        world.aggregator.receive("bank-1", ToAggregator::Keys(keys.clone(), wrong)).unwrap_err();
    }
    world.aggregator.receive("bank-1", ToAggregator::Keys(keys, commitments)).unwrap();
}

fn masked_holds(world: &World, masked: &Masked, offer: &Offer) -> bool {
    let (offer, vector) = (offer.digest(&world.roster, &world.aggregator.roll()), Masked::vector(&masked.words));
    messages::Signed::check(vec![masked.signed(&world.roster, &offer, &vector).unwrap()]).is_ok()
}

#[test]
fn two_requests_to_two_banks_give_noise_and_no_agreement() {
    let mut world = world(3);
    let masked = world.masked();
    let offer = Offer { spec: spec(0), cohort: masked.iter().map(|one| one.member.clone()).collect() };
    let mut other = offer.clone();
    other.spec.request = Digest::of_bytes(b"another");
    assert!(masked_holds(&world, &masked[0], &offer) && !masked_holds(&world, &masked[0], &other));
    let again = world.answers("bank-1", ToMember::Offer(other)).unwrap_err();
    assert_eq!(again, Misbehaved::AskedAgain(0));
}

#[test]
fn a_changed_transcript_is_refused() {
    let mut world = world(3);
    let Event::Released { transcript, .. } = world.round(0, &Drops::new(), &mut BTreeSet::new()).unwrap() else {
        unreachable!()
    };
    let good = *transcript;
    let refused = |change: fn(&mut Transcript)| {
        let mut changed = good.clone();
        change(&mut changed);
        changed.recompute(&world.roster).unwrap_err()
    };
    assert!(matches!(refused(|t| t.masked[1].words[2] ^= 1), TranscriptError::Part(_)));
    assert!(matches!(refused(|t| t.offer.spec.words -= 1), TranscriptError::Part(_)));
    assert!(matches!(refused(|t| t.unmask[0].shares[1][0] ^= 1), TranscriptError::Part(_)));
    assert!(matches!(refused(|t| t.keys[0].rounds.swap(0, 1)), TranscriptError::Part(_)));
    assert!(matches!(
        refused(|t| t.commitments[1].own[0][0] ^= 1),
        TranscriptError::Part(Misbehaved::Malformed { .. })
    ));
    assert!(matches!(refused(|t| t.keys.swap(0, 1)), TranscriptError::Set("the keys")));
    assert!(matches!(refused(|t| drop((t.keys.pop(), t.commitments.pop()))), TranscriptError::Part(_)));
    assert!(matches!(refused(|t| drop(t.agreements.pop())), TranscriptError::Set("the agreements")));
    assert!(matches!(refused(|t| drop(t.masked.pop())), TranscriptError::Set(_)));
}

/// A bank that signs wrong shares spoils nothing as long as enough others give theirs, and is named where they do not.
#[test]
fn wrong_shares_are_left_out_or_name_their_sender() {
    for (banks, enough) in [(4, true), (3, false)] {
        let mut world = world(banks);
        let Event::Released { transcript, sums, .. } = world.round(0, &Drops::new(), &mut BTreeSet::new()).unwrap()
        else {
            unreachable!()
        };
        let mut changed = *transcript;
        let offer = changed.offer.digest(&world.roster, &masks::roll_digest(&world.roster, &changed.keys));
        let liar = &mut changed.unmask[1];
        for share in &mut liar.shares {
            *share = tally_crypto::group::Scalar::from(7u8).to_bytes();
        }
        liar.signature = Unmask::sign(&offer, &liar.shares, &key(&liar.member));
        let recomputed = changed.recompute(&world.roster);
        if enough {
            assert_eq!(recomputed.unwrap(), sums);
        } else {
            let (subject, culprits) = ("bank-1".into(), "bank-2".into());
            assert_eq!(recomputed.unwrap_err(), TranscriptError::Shares { subject, culprits });
        }
    }
}

#[test]
fn the_same_inputs_give_the_same_messages() {
    let bytes = |mut world: World| postcard::to_allocvec(&world.masked()).unwrap();
    assert_eq!(bytes(world(3)), bytes(world(3)));
}
