//! Bytes that somebody made up or changed: decoders never panic, and whatever still decodes does no harm to a round.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;
use crate::wire::{decode, encode};

#[derive(Clone, Debug)]
enum Change {
    Flip(Index, u8),
    Cut(Index),
    Insert(Index, Vec<u8>),
    Remove(Index),
    /// The bytes from the first place come again at the second.
    Copy(Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (any::<Index>(), 0..8u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        1 => any::<Index>().prop_map(Change::Cut),
        1 => (any::<Index>(), prop::collection::vec(any::<u8>(), 1..40)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        1 => any::<Index>().prop_map(Change::Remove),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Copy(from, to)),
    ]
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len();
        match self {
            Self::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
            Self::Cut(at) => bytes.truncate(at.index(length)),
            Self::Insert(at, new) => drop(bytes.splice(at.index(length)..at.index(length), new.iter().copied())),
            Self::Remove(at) => drop(bytes.remove(at.index(length))),
            Self::Copy(from, to) => {
                let (from, to) = (from.index(length), to.index(length));
                let count = 32.min(length - from).min(length - to);
                bytes.copy_within(from..from + count, to);
            }
        }
    }
}

/// Changes one message of a round, counted over all that are sent in either direction.
struct Meddler {
    place: usize,
    changes: Vec<Change>,
    seen: usize,
}

impl Meddler {
    /// The message that arrives before the true one, where one is made of it that decodes.
    fn meddle<T: Serialize + DeserializeOwned>(&mut self, message: &T) -> Option<T> {
        self.seen += 1;
        if self.seen - 1 != self.place {
            return None;
        }
        let mut bytes = encode(message);
        for change in &self.changes {
            if !bytes.is_empty() {
                change.apply(&mut bytes);
            }
        }
        decode(&bytes)
    }
}

/// A round in which one changed message comes before its true one, which is delivered where the changed one was refused.
fn meddled_round(meddler: &mut Meddler) -> Result<(), TestCaseError> {
    let mut world = world(4);
    let mut queue = VecDeque::from(to_each(world.aggregator.open_round(spec(0)).unwrap()));
    let mut said = BTreeSet::new();
    let mut pending = BTreeMap::new();
    loop {
        let (to, message) = match queue.pop_front() {
            None => match world.aggregator.give_up_waiting() {
                Ok(events) => {
                    queue.extend(to_each(events));
                    continue;
                }
                Err(Stopped { have, need, .. }) => {
                    prop_assert!(have < need);
                    return Ok(());
                }
            },
            Some(Event::Send { mut to, message }) => (to.remove(0), message),
            Some(Event::Refused { from, .. }) => {
                let Some(answer) = pending.remove(&from) else { continue };
                queue.extend(to_each(world.aggregator.receive(&from, answer).unwrap()));
                continue;
            }
            Some(Event::Released { cohort, sums, transcript, .. }) => {
                prop_assert_eq!(&sums, &world.expected(0, &cohort));
                prop_assert_eq!(transcript.recompute(&world.roster), Ok(sums));
                return Ok(());
            }
            Some(Event::CalledOff { .. }) => unreachable!("a whole sum is not called off"),
        };
        let changed = meddler.meddle(&message).and_then(|changed| world.answers(&to, changed).ok());
        let answers = changed.map_or_else(|| world.answers(&to, message), Ok);
        // A bank that refuses the true message, since the changed one has led it astray, is as good as silent.
        for answer in answers.unwrap_or_default() {
            prop_assert!(said.insert((kind(&answer), to.clone())), "{} answers twice: {}", to, kind(&answer));
            if let Some(changed) = meddler.meddle(&answer)
                && let Ok(events) = world.aggregator.receive(&to, changed)
            {
                pending.insert(to.clone(), answer);
                queue.extend(to_each(events));
                continue;
            }
            if let Ok(events) = world.aggregator.receive(&to, answer) {
                queue.extend(to_each(events));
            }
        }
    }
}

/// A transcript with a bank that dropped out, and its sums.
static RECORDED: LazyLock<(Transcript, Vec<i64>, Roster)> = LazyLock::new(|| {
    let mut world = world(4);
    let drops = Drops::from([("masked", "bank-4".to_owned())]);
    match world.round(0, &drops, &mut BTreeSet::new()).unwrap() {
        Event::Released { transcript, sums, .. } => (*transcript, sums, world.roster),
        other => panic!("{other:?}"),
    }
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn decoders_take_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode::<ToMember>(&bytes);
        let _ = decode::<ToAggregator>(&bytes);
        let _ = Transcript::decode(&bytes);
    }

    #[test]
    fn a_changed_transcript_is_refused_or_gives_the_same_sum(changes in prop::collection::vec(change(), 1..4)) {
        let (transcript, sums, roster) = &*RECORDED;
        let mut bytes = transcript.encode();
        for change in &changes {
            if !bytes.is_empty() {
                change.apply(&mut bytes);
            }
        }
        if let Ok(read) = Transcript::decode(&bytes)
            && let Ok(recomputed) = read.recompute(roster)
        {
            prop_assert_eq!(&recomputed, sums);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Four banks send and get 44 messages in a round.
    #[test]
    fn a_changed_message_stops_a_round_or_leaves_its_sum_exact(
        place in 0..44usize,
        changes in prop::collection::vec(change(), 1..3),
    ) {
        meddled_round(&mut Meddler { place, changes, seen: 0 })?;
    }
}
