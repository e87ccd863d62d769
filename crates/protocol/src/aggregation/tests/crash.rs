//! A bank that is killed at any message and built again from what it had taken in: it repeats itself, and never answers twice.

use super::*;

/// What a bank takes in over a round, and what it says to it.
fn journal(banks: usize, of: &str, drops: &Drops) -> Vec<(ToMember, Vec<Vec<u8>>)> {
    let mut world = world(banks);
    let mut queue = VecDeque::from(to_each(world.aggregator.open_round(spec(0)).unwrap()));
    let (mut journal, mut silent) = (Vec::new(), BTreeSet::new());
    loop {
        let Some(event) = queue.pop_front() else {
            queue.extend(to_each(world.aggregator.give_up_waiting().unwrap()));
            continue;
        };
        let Event::Send { mut to, message } = event else { return journal };
        let to = to.remove(0);
        if silent.contains(&to) {
            continue;
        }
        let answers = world.answers(&to, message.clone()).unwrap();
        if to == of {
            journal.push((message, answers.iter().map(encoded).collect()));
        }
        for answer in answers {
            if drops.contains(&(kind(&answer), to.clone())) {
                silent.insert(to.clone());
                break;
            }
            queue.extend(to_each(world.aggregator.receive(&to, answer).unwrap()));
        }
    }
}

fn encoded(answer: &ToAggregator) -> Vec<u8> {
    postcard::to_allocvec(answer).unwrap()
}

#[test]
fn a_bank_that_restarts_at_any_message_says_the_same_again() {
    let drops = Drops::from([("masked", "bank-4".to_owned())]);
    let journal = journal(4, "bank-1", &drops);
    assert_eq!(journal.len(), 6);
    for crash in 0..=journal.len() {
        let mut world = world(4);
        for (message, said) in &journal[..crash] {
            let again: Vec<_> = world.answers("bank-1", message.clone()).unwrap().iter().map(encoded).collect();
            assert_eq!(again, *said);
        }
        for (message, said) in &journal[crash..] {
            let after: Vec<_> = world.answers("bank-1", message.clone()).unwrap().iter().map(encoded).collect();
            assert_eq!(after, *said, "killed before message {crash}");
        }
    }
}

/// After a restart at any point the aggregator asks for another answer than the one that was signed: none is given.
#[test]
fn a_restart_is_no_second_chance_for_the_aggregator() {
    let journal = journal(4, "bank-1", &Drops::new());
    let all: Vec<String> = (1..=4).map(|bank| format!("bank-{bank}")).collect();
    let attacks = [
        ToMember::OpenBatch { batch: 0 },
        ToMember::Offer(Offer {
            spec: RoundSpec { request: Digest::of_bytes(b"other"), ..spec(0) },
            cohort: all.clone(),
        }),
        ToMember::Survivors { round: 0, survivors: all[..3].to_vec(), vectors: vec![Digest::default(); 3] },
    ];
    for crash in 1..=journal.len() {
        for attack in &attacks {
            let mut world = world(4);
            for (message, _) in &journal[..crash] {
                world.answers("bank-1", message.clone()).unwrap();
            }
            let asked = kind_of(attack);
            let answered = journal[..crash].iter().any(|(message, _)| kind_of(message) == asked);
            let reply = world.answers("bank-1", attack.clone());
            if answered {
                assert!(reply.is_err(), "killed after message {crash}: {attack:?}");
            }
        }
    }
}

fn kind_of(message: &ToMember) -> std::mem::Discriminant<ToMember> {
    std::mem::discriminant(message)
}

/// Five banks, a seeded scheduler that delays, reorders between banks and drops: the sum is exact or the round stops.
#[test]
fn any_schedule_gives_the_exact_sum_of_the_survivors_or_stops() {
    use rand_core::Rng as _;
    for seed in 0..200u64 {
        let mut rng = Seed::new([11; 32]).rng("schedule", &[&seed.to_be_bytes()]);
        let mut world = world(5);
        let mut waiting = to_each(world.aggregator.open_round(spec(0)).unwrap());
        let mut silent = BTreeSet::new();
        let outcome = loop {
            if waiting.is_empty() || rng.next_u32().is_multiple_of(64) {
                match world.aggregator.give_up_waiting() {
                    Ok(more) => waiting.extend(to_each(more)),
                    Err(stopped) => break Err(stopped),
                }
                continue;
            }
            // Messages of one bank keep their order; banks are served in any.
            let place = rng.next_u32() as usize % waiting.len();
            let place = match &waiting[place] {
                Event::Send { to, .. } => {
                    let to = to.clone();
                    waiting
                        .iter()
                        .position(|event| matches!(event, Event::Send { to: other, .. } if *other == to))
                        .unwrap()
                }
                _ => place,
            };
            match waiting.remove(place) {
                Event::Send { mut to, message } => {
                    let to = to.remove(0);
                    if silent.len() < 2 && rng.next_u32().is_multiple_of(40) {
                        silent.insert(to.clone());
                    }
                    if silent.contains(&to) {
                        continue;
                    }
                    let Ok(answers) = world.answers(&to, message) else { continue };
                    for answer in answers {
                        if let Ok(more) = world.aggregator.receive(&to, answer) {
                            waiting.extend(to_each(more));
                        }
                    }
                }
                Event::Released { cohort, sums, .. } => break Ok((cohort, sums)),
                Event::CalledOff { .. } => unreachable!("a whole sum is not called off"),
                Event::Refused { .. } => unreachable!("every bank signs"),
            }
        };
        if let Ok((cohort, sums)) = outcome {
            assert!(cohort.len() >= world.roster.quorum());
            assert_eq!(sums, world.expected(0, &cohort), "schedule {seed}");
        }
    }
}
