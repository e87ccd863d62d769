//! What the parties sign in common, and the session replayed from its transcripts.

use tally_crypto::sign::{Envelope, STATEMENT_TYPE, Signature, Statement};

use super::*;

/// A session until the banks have their model and the platform waits for what they sign.
fn comparing(banks: usize) -> World {
    let mut terms = contract(banks);
    terms.limits.min_cohort = 3;
    let mut world = World::under(&terms);
    world.prepare(120, 11);
    let last = |world: &World| {
        let fitted =
            |name: &String| matches!(world.facts.get(name).and_then(|facts| facts.last()), Some(Fact::Model { .. }));
        world.banks.keys().all(fitted)
    };
    while !last(&world) {
        let (from, to, body) = world.post.pop_front().unwrap();
        world.give(&to, Input::Message { from, body }).unwrap();
    }
    world
}

/// The platform's fault once `bank` has said `change` of what it would have said.
fn fault_of(change: impl Fn(&mut Signatures)) -> Fault {
    let mut world = comparing(3);
    for place in 0..world.post.len() {
        let (from, _, body) = &world.post[place];
        if from == "bank-2"
            && let Ok(FromBank::Fitted { model, mut signatures }) = FromBank::decode(body, from)
        {
            change(&mut signatures);
            world.post[place].2 = FromBank::Fitted { model, signatures }.encode();
        }
    }
    world.settle().unwrap_err()
}

fn read<P: tally_crypto::sign::Predicate>(envelope: &Envelope, keys: &[&str]) -> Statement<P> {
    let keys: Vec<_> = keys.iter().map(|name| key(name).verify_key()).collect();
    Statement::read(&envelope.open(STATEMENT_TYPE, &keys).unwrap()).unwrap()
}

#[test]
fn every_party_keeps_the_statements_with_everybodys_signatures() {
    let mut world = World::new(3);
    world.prepare(120, 1);
    world.settle().unwrap();
    let parties = ["bank-1", "bank-2", "bank-3", "platform"];
    let [results, model] = world.attested["platform"].clone().try_into().unwrap();
    assert_eq!((results.fact, model.fact), ("round-result", "model-release"));
    for bank in &parties[..3] {
        assert_eq!(world.attested[*bank], [results.clone(), model.clone()]);
    }
    assert_eq!(results.signers, parties);
    let stated = read::<RoundResults>(&results.envelope, &parties);
    let released: Vec<_> =
        world.facts["platform"].iter().filter(|fact| matches!(fact, Fact::Released { .. })).cloned().collect();
    assert_eq!(stated.predicate.rounds.iter().map(RoundResult::fact).collect::<Vec<_>>(), released);
    assert_eq!(stated.subject.len(), released.len());
    let release = read::<ModelRelease>(&model.envelope, &parties);
    assert_eq!(release.predicate.results, results.digest);
    assert_eq!(release.predicate.contract, world.contract.digest());
    assert_eq!(release.predicate.tables, world.platform.half().digest());
    assert_eq!(release.subject[0].digest["tallystick-fit-v1"], world.fits["bank-1"].digest());
}

#[test]
fn whoever_signs_something_else_or_twice_differently_is_named() {
    let fault = fault_of(|signatures| signatures.results = key("bank-2").sign_raw(b"other sums"));
    assert_eq!((fault.culprit.as_str(), fault.reason.as_str()), ("bank-2", "did not sign the sums that were released"));
    let fault = fault_of(|signatures| signatures.model = key("bank-1").sign_raw(b""));
    assert!(fault.culprit == "bank-2" && fault.reason.contains("the model that follows"), "{fault}");
    // A second signature is compared even if both hold: here the first comes again, then another one.
    let mut world = comparing(3);
    let (from, _, body) = world.post.iter().find(|(from, ..)| from == "bank-2").cloned().unwrap();
    for _ in 0..2 {
        world.give("platform", Input::Message { from: from.clone(), body: body.clone() }).unwrap();
    }
    let FromBank::Fitted { model, mut signatures } = FromBank::decode(&body, &from).unwrap() else { panic!() };
    signatures.model = Signature([0; 64]);
    let body = FromBank::Fitted { model, signatures }.encode();
    assert_eq!(world.give("platform", Input::Message { from, body }).unwrap_err().culprit, "bank-2");
    // What the platform passes on is checked by every bank.
    let complete = |change: &dyn Fn(&mut BTreeMap<String, Signatures>)| {
        let mut world = comparing(3);
        let (mut signed, mut fit) = (BTreeMap::new(), Digest::default());
        for (from, _, body) in world.post.clone() {
            if let Ok(FromBank::Fitted { model, signatures }) = FromBank::decode(&body, &from) {
                fit = model;
                signed.insert(from, signatures);
            }
        }
        change(&mut signed);
        let body = FromPlatform::Complete { model: fit, signed }.encode();
        let fault = world.give("bank-1", Input::Message { from: "platform".into(), body }).unwrap_err();
        assert_eq!(fault.culprit, "platform");
        fault.reason
    };
    assert!(complete(&|_| {}).contains("did not sign the results"));
    assert!(complete(&|signed| signed.retain(|name, _| name != "bank-3")).contains("did not sign"));
    let theirs = |signed: &mut BTreeMap<String, Signatures>| {
        let other = signed["bank-2"];
        signed.insert("bank-3".into(), other);
    };
    assert!(complete(&theirs).contains("a signature of bank-3 that is not over the sums"));
    let stranger = |signed: &mut BTreeMap<String, Signatures>| {
        let other = signed["bank-2"];
        signed.insert("x".into(), other);
    };
    assert!(complete(&stranger).contains("named x"));
}

#[test]
fn whoever_does_not_sign_is_named_and_too_few_signatures_end_the_session() {
    for banks in [4, 3] {
        let mut world = comparing(banks);
        world.dead.push("bank-2".into());
        world.settle().unwrap();
        assert_eq!(world.platform.waiting_for(), ["bank-2"]);
        let outcome = world.give("platform", Input::PatienceOver).and_then(|()| world.settle());
        if banks == 3 {
            let fault = outcome.unwrap_err();
            assert!(fault.culprit == "bank-2" && fault.reason.contains("3 are needed"), "{fault}");
            continue;
        }
        outcome.unwrap();
        assert_eq!(world.refused[0].culprit, "bank-2");
        let attested = &world.attested["bank-3"];
        assert_eq!(attested[0].signers, ["bank-1", "bank-3", "bank-4", "platform"]);
        let statements: Vec<_> = attested.iter().map(|one| one.envelope.clone()).collect();
        let derived = replayed(&world, &statements).unwrap();
        assert_eq!(derived.signers, attested[0].signers);
    }
}

fn replayed(world: &World, statements: &[Envelope]) -> Result<Derived, String> {
    let mut replay = Replay::new(world.contract.clone(), statements)?;
    for transcript in &world.transcripts {
        replay.take(transcript)?;
    }
    replay.conclude(statements)
}

#[test]
fn the_model_follows_from_the_transcripts_bit_for_bit() {
    for terms in [contract(3), super::models::trees(3)] {
        let mut world = World::under(&terms);
        world.prepare(150, 5);
        world.settle().unwrap();
        let statements: Vec<_> = world.attested["bank-1"].iter().map(|one| one.envelope.clone()).collect();
        let derived = replayed(&world, &statements).unwrap();
        assert_eq!(derived.fit, world.fits["platform"]);
        assert_eq!(derived.signers.len(), 4);
        // Without a statement sums are recomputed, and no model is derived.
        assert!(replayed(&world, &[]).unwrap_err().contains("no model was derived"));
        let sums_only = [statements[1].clone()];
        assert!(replayed(&world, &sums_only).unwrap_err().contains("the sums is missing"));
        // A transcript that is missing, out of turn, or of another vector.
        let mut less = Replay::new(world.contract.clone(), &statements).unwrap();
        for transcript in &world.transcripts[..world.transcripts.len() - 1] {
            less.take(transcript).unwrap();
        }
        assert!(less.conclude(&statements).unwrap_err().contains("transcripts are missing"));
        let mut early = Replay::new(world.contract.clone(), &statements).unwrap();
        assert!(early.take(&world.transcripts[1]).unwrap_err().contains("does not ask next"));
        let mut twice = Replay::new(world.contract.clone(), &statements).unwrap();
        twice.take(&world.transcripts[0]).unwrap();
        assert!(twice.take(&world.transcripts[0]).unwrap_err().contains("does not follow"));
        // Statements that the parties did not sign, or that say something else.
        let unsigned = statements.iter().map(|one| Envelope::new(STATEMENT_TYPE, &one.unverified_payload().unwrap()));
        assert!(replayed(&world, &unsigned.collect::<Vec<_>>()).unwrap_err().contains("not signed by bank-1"));
        let mut other = read::<RoundResults>(&statements[0], &[]);
        other.predicate.rounds[0].sums = Digest::default();
        let other = [other.envelope(), statements[1].clone()];
        assert!(replayed(&world, &other).unwrap_err().contains("other sums than were replayed"));
        let mut other = read::<ModelRelease>(&statements[1], &[]);
        other.subject[0].digest.insert("tallystick-fit-v1".into(), Digest::default());
        let other = [statements[0].clone(), other.envelope()];
        assert!(replayed(&world, &other).unwrap_err().contains("another model"));
        let mut other = read::<ModelRelease>(&statements[1], &[]);
        other.predicate.bins.push(3);
        assert!(Replay::new(world.contract.clone(), &[other.envelope()]).is_err());
    }
}

/// What a bank would disclose: its journal, run once more.
fn disclosed(world: &World, bank: &str) -> DisclosedBank {
    let mut machine = new_bank(&world.contract, bank).recording();
    for input in world.journals[bank].clone() {
        move_bank(&mut machine, input).unwrap();
    }
    let read = machine.disclosed().unwrap().encode();
    DisclosedBank::decode(&read, bank).unwrap()
}

/// Rounds in which each bank's vector is, or is not, what its rows give.
fn compared(world: &World, given: Vec<DisclosedBank>) -> BTreeMap<String, [usize; 2]> {
    let statements: Vec<_> = world.attested["platform"].iter().map(|one| one.envelope.clone()).collect();
    let mut replay = Replay::new(world.contract.clone(), &statements).unwrap();
    given.into_iter().for_each(|given| replay.disclose(given).unwrap());
    let mut counts = BTreeMap::<String, [usize; 2]>::new();
    for transcript in &world.transcripts {
        for (bank, same) in replay.take(transcript).unwrap().compared {
            counts.entry(bank).or_default()[usize::from(same.is_err())] += 1;
        }
    }
    replay.conclude(&statements).unwrap();
    counts
}

#[test]
fn every_vector_is_what_the_disclosed_rows_give() {
    for terms in [contract(4), super::models::trees(4)] {
        let mut terms = terms;
        terms.limits.min_cohort = 3;
        let mut world = World::under(&terms);
        world.prepare(200, 12);
        // A row leaves while training, and a bank dies between its indicators and the cells.
        let begun = |world: &World| {
            world.facts.get("bank-1").is_some_and(|f| f.iter().any(|f| matches!(f, Fact::Contributed { .. })))
        };
        while !begun(&world) {
            let (from, to, body) = world.post.pop_front().unwrap();
            world.give(&to, Input::Message { from, body }).unwrap();
        }
        let gone: Vec<_> = (0..40).map(|row| format!("e{row}")).collect();
        world.give("bank-1", Input::Withdraw("bank-1".into(), gone)).unwrap();
        while !world.facts["bank-1"].iter().any(|f| matches!(f, Fact::Released { round: 2, .. })) {
            let (from, to, body) = world.post.pop_front().unwrap();
            world.give(&to, Input::Message { from, body }).unwrap();
        }
        world.dead.push("bank-4".into());
        world.settle().unwrap();
        while !world.platform.waiting_for().is_empty() {
            world.give("platform", Input::PatienceOver).and_then(|()| world.settle()).unwrap();
        }
        let rounds = world.transcripts.len();
        let [one, two] = ["bank-1", "bank-2"].map(|bank| disclosed(&world, bank));
        assert!(one.rows() > 20);
        let counts = compared(&world, vec![one.clone(), two.clone()]);
        assert_eq!(counts, [("bank-1".to_owned(), [rounds, 0]), ("bank-2".to_owned(), [rounds, 0])].into());
        // Labels that were others when the bank trained.
        let counts = compared(&world, vec![one.clone().with_other_labels()]);
        assert!(counts["bank-1"][1] > 0, "{counts:?}");
        // The secrets of another bank open nothing, nor does another session's disclosure.
        let counts = compared(&world, vec![one.clone().with_secrets_of(&two)]);
        assert_eq!(counts["bank-1"], [0, rounds]);
        let mut other = Replay::new(SealedContract::read(&noisy(1.0, 20.0).envelope()).unwrap(), &[]).unwrap();
        assert!(other.disclose(one.clone()).unwrap_err().contains("not known what was asked"));
        assert!(DisclosedBank::decode(&one.encode(), "bank-2").is_err());
        let statements: Vec<_> = world.attested["platform"].iter().map(|one| one.envelope.clone()).collect();
        let mut replay = Replay::new(world.contract.clone(), &statements).unwrap();
        assert!(replay.disclose(one.with_a_shorter_column()).unwrap_err().contains("differ in length"));
    }
}
