//! One round against what an independent implementation made of the same seeds and inputs (tests/vectors/aggregation.py).

use serde_json::Value;

use super::super::masks::{own_mask, roll_digest};
use super::*;

fn bytes<const N: usize>(value: &Value) -> [u8; N] {
    let text = value.as_str().unwrap();
    let byte = |place: usize| u8::from_str_radix(&text[2 * place..2 * place + 2], 16).unwrap();
    assert_eq!(text.len(), 2 * N);
    std::array::from_fn(byte)
}

fn rows(value: &Value) -> Vec<[u8; 32]> {
    value.as_array().unwrap().iter().map(bytes).collect()
}

fn numbers<T>(value: &Value, number: fn(&Value) -> Option<T>) -> Vec<T> {
    value.as_array().unwrap().iter().map(|one| number(one).unwrap()).collect()
}

fn digest(value: &Value) -> Digest {
    Digest(bytes(value))
}

struct Vector {
    inputs: Value,
    outputs: Value,
}

impl Vector {
    fn read() -> Self {
        let mut file: Value =
            serde_json::from_str(include_str!("../../../../../tests/vectors/aggregation.json")).unwrap();
        Self { inputs: file["inputs"].take(), outputs: file["outputs"].take() }
    }

    fn world(&self) -> World {
        let key = |bank: &Value| Arc::new(SigningKey::from_seed(&Seed::new(bytes(&bank["signing_seed"]))));
        let name = |bank: &Value| bank["name"].as_str().unwrap().to_owned();
        let given = self.inputs["banks"].as_array().unwrap();
        let members = given.iter().map(|bank| RosterMember { name: name(bank), key: key(bank).verify_key() });
        let min_cohort = self.inputs["min_cohort"].as_u64().unwrap() as usize;
        let roster = Roster::new(digest(&self.inputs["session"]), members.collect(), min_cohort).unwrap();
        let bank = |bank: &Value| {
            let seed = Seed::new(bytes(&bank["seed"]));
            (name(bank), Contributor::new(roster.clone(), &name(bank), key(bank), seed).unwrap())
        };
        let (banks, aggregator) = (given.iter().map(bank).collect(), Aggregator::new(roster.clone()));
        World { banks, aggregator, roster, vectors: BTreeMap::new() }
    }

    fn spec(&self) -> RoundSpec {
        let words = self.inputs["words"].as_u64().unwrap() as u32;
        RoundSpec { round: 0, request: digest(&self.inputs["request"]), part: Part::Whole, words }
    }

    fn values(&self, name: &str) -> Vec<i64> {
        let given = self.inputs["banks"].as_array().unwrap();
        numbers(&given.iter().find(|bank| bank["name"] == name).unwrap()["values"], Value::as_i64)
    }

    fn bank(&self, name: &str) -> &Value {
        &self.outputs["banks"][name]
    }
}

#[test]
fn a_second_implementation_says_the_same() {
    let vector = Vector::read();
    let mut world = vector.world();
    assert_eq!(world.roster.digest(), digest(&vector.outputs["roster"]));
    let mut queue = VecDeque::from(to_each(world.aggregator.open_round(vector.spec()).unwrap()));
    let (mut masked, mut dropped) = (BTreeMap::new(), Vec::new());
    let (sums, transcript) = loop {
        let Some(event) = queue.pop_front() else {
            dropped.extend(world.aggregator.waiting_for());
            queue.extend(to_each(world.aggregator.give_up_waiting().unwrap()));
            continue;
        };
        let (to, message) = match event {
            Event::Send { mut to, message } => (to.remove(0), message),
            Event::Released { sums, transcript, .. } => break (sums, transcript),
            other => panic!("{other:?}"),
        };
        for reaction in world.banks.get_mut(&to).unwrap().receive(message).unwrap() {
            let answer = match reaction {
                Reaction::Send(answer) => answer,
                Reaction::Offered(offer) => {
                    let values = vector.values(&to);
                    let answer = world.banks.get_mut(&to).unwrap().contribute(&offer.spec, values).unwrap();
                    let ToAggregator::Masked(one) = &answer else { unreachable!() };
                    masked.insert(to.clone(), one.words.clone());
                    if vector.inputs["dropped"] == to {
                        continue;
                    }
                    answer
                }
                Reaction::Releasing { .. } => continue,
            };
            queue.extend(to_each(world.aggregator.receive(&to, answer).unwrap()));
        }
    };
    assert_eq!(sums, numbers(&vector.outputs["sum"], Value::as_i64));
    assert_eq!(vector.inputs["dropped"], dropped[0]);

    let roll = roll_digest(&world.roster, &transcript.keys);
    let offer = transcript.offer.digest(&world.roster, &roll);
    assert_eq!((roll, offer), (digest(&vector.outputs["roll"]), digest(&vector.outputs["offer"])));
    for (keys, commitments) in transcript.keys.iter().zip(&transcript.commitments) {
        let expected = vector.bank(&keys.member);
        assert_eq!(keys.transport.as_bytes(), &bytes(&expected["transport"]));
        assert_eq!(keys.digest(&world.roster), digest(&expected["keys"]));
        let round = &keys.rounds[0];
        assert_eq!([&[*round.pairwise.as_bytes()], &commitments.pairwise[..]].concat(), rows(&expected["pairwise"]));
        assert_eq!([&[round.own], &commitments.own[..]].concat(), rows(&expected["own"]));
        let secret = world.banks[&keys.member].self_secret(0);
        assert_eq!(own_mask(&secret, &roll, &offer).expose(), &bytes(&expected["own_mask"]));
        assert_eq!(masked[&keys.member], numbers(&expected["masked"], Value::as_u64));
    }
    for unmask in &transcript.unmask {
        assert_eq!(unmask.shares, rows(&vector.bank(&unmask.member)["shares"]));
    }
}
