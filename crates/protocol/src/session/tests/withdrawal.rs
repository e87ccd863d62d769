//! Consents that end while a session runs.

use super::*;

/// Delivers messages until `node` has reached `stage`.
fn until(world: &mut World, node: &str, stage: Stage) {
    while !world.stages.get(node).is_some_and(|stages| stages.contains(&stage)) {
        let (from, to, body) = world.post.pop_front().unwrap();
        world.give(&to, Input::Message { from, body }).unwrap();
    }
}

/// An enterprise that bank-1 has a loan of, and that consented to it.
fn shared(platform: &PlatformData, data: &BTreeMap<String, BankData>) -> String {
    all_shared(platform, data).next().unwrap()
}

fn all_shared(platform: &PlatformData, data: &BTreeMap<String, BankData>) -> impl Iterator<Item = String> {
    let offered = |name: &String| {
        let place = platform.identifiers.iter().position(|other| other == name).unwrap() as u32;
        platform.consented["bank-1"].contains(&place)
    };
    data["bank-1"].identifiers.iter().filter(|name| offered(name)).cloned().collect::<Vec<_>>().into_iter()
}

fn without(data: &BTreeMap<String, BankData>, name: &str) -> BTreeMap<String, BankData> {
    let mut data = data.clone();
    let gone = [name.to_owned()].into();
    let own = data.remove("bank-1").unwrap().without(&gone);
    data.insert("bank-1".into(), own);
    data
}

fn withdrawn(world: &World, node: &str) -> u64 {
    let facts = world.facts.get(node).into_iter().flatten();
    facts.map(|fact| if let Fact::Withdrawn { rows, .. } = fact { *rows } else { 0 }).sum()
}

#[test]
fn before_the_alignment_the_row_is_not_offered() {
    let mut world = World::new(3);
    let (platform, data) = world.prepare(150, 11);
    let name = shared(&platform, &data);
    world.give("platform", Input::Withdraw("bank-1".into(), vec![name.clone()])).unwrap();
    world.settle().unwrap();
    assert_eq!((withdrawn(&world, "platform"), withdrawn(&world, "bank-1")), (1, 0));
    let pooled = ideal(&world.contract, &platform, &without(&data, &name), &[]).unwrap();
    assert_eq!(world.fits.len(), 4);
    assert!(world.fits.values().all(|fit| *fit == pooled));
    world.replay();
}

#[test]
fn between_alignment_and_the_first_sum_the_row_leaves() {
    // By an event that the platform forwards, and by one that the bank has by itself.
    for own in [false, true] {
        let mut world = World::new(3);
        let (platform, data) = world.prepare(150, 12);
        let name = shared(&platform, &data);
        until(&mut world, "bank-1", Stage::Aligned);
        let node = if own { "bank-1" } else { "platform" };
        world.give(node, Input::Withdraw("bank-1".into(), vec![name.clone()])).unwrap();
        // The same once more changes nothing.
        world.give(node, Input::Withdraw("bank-1".into(), vec![name.clone(), "stranger".into()])).unwrap();
        world.settle().unwrap();
        assert_eq!((withdrawn(&world, "platform"), withdrawn(&world, "bank-1")), (u64::from(!own), 1));
        let pooled = ideal(&world.contract, &platform, &without(&data, &name), &[]).unwrap();
        assert!(world.fits.len() == 4 && world.fits.values().all(|fit| *fit == pooled));
        world.replay();
    }
}

/// A tag is no evidence, nor is one under which something lies that the register does not find to hold.
#[test]
fn a_row_does_not_leave_on_the_platforms_word() {
    let mut world = World::new(3);
    let (platform, data) = world.prepare(150, 13);
    until(&mut world, "bank-1", Stage::Aligned);
    let decoded = world.sent["platform"].iter().map(|body| FromPlatform::decode(body, "platform").unwrap());
    let sealed = decoded.filter_map(|message| if let FromPlatform::Rows(rows) = message { Some(rows) } else { None });
    let named: Vec<_> = sealed.flatten().map(|row| EndedRow { tag: row.tag, sealed: row.sealed }).collect();
    for (sealed, named) in [true, false].into_iter().zip(named.chunks(named.len() / 9)) {
        let bare = |row: &EndedRow| EndedRow {
            tag: row.tag,
            sealed: row.sealed.clone().into_iter().filter(|_| sealed).collect(),
        };
        let body = FromPlatform::Withdrawn { rows: named.iter().map(bare).collect() }.encode();
        world.give("bank-1", Input::Message { from: "platform".into(), body }).unwrap();
    }
    // Nothing tells which of the rows are held.
    assert!(world.refused.is_empty());
    world.believes = false;
    let names = all_shared(&platform, &data).take(20).collect();
    world.give("platform", Input::Withdraw("bank-1".into(), names)).unwrap();
    world.settle().unwrap();
    assert_eq!(withdrawn(&world, "bank-1"), 0);
    let pooled = ideal(&world.contract, &platform, &data, &[]).unwrap();
    assert!(world.fits.len() == 4 && world.fits.values().all(|fit| *fit == pooled));
    world.replay();
}

/// No row is named twice by an honest platform, so there are no more of them than rows.
#[test]
fn no_more_rows_are_named_than_were_offered() {
    let mut world = World::new(3);
    world.prepare(150, 13);
    until(&mut world, "bank-1", Stage::Aligned);
    let mut name = |rows: usize| {
        let rows = (0..rows).map(|row| EndedRow { tag: [row as u8; 16], sealed: Vec::new() }).collect();
        let body = FromPlatform::Withdrawn { rows }.encode();
        world.give("bank-1", Input::Message { from: "platform".into(), body })
    };
    name(100).unwrap();
    let fault = name(100).unwrap_err();
    assert!(fault.culprit == "platform" && fault.reason.contains("more rows than it announced"), "{fault}");
}

/// Between two sums over the same rows none leave, whoever knows of what: a training row that comes late stays, a hold-out row
/// leaves before the first sum over hold-out rows.
#[test]
fn after_its_set_is_closed_a_row_stays() {
    for own in [false, true] {
        let mut world = World::new(3);
        let (platform, data) = world.prepare(150, 14);
        let side = |held| all_shared(&platform, &data).find(|name| tally_model::is_holdout(name) == held).unwrap();
        let (train, holdout) = (side(false), side(true));
        while !world.facts.get("bank-1").is_some_and(|f| f.iter().any(|f| matches!(f, Fact::Released { round: 4, .. })))
        {
            let (from, to, body) = world.post.pop_front().unwrap();
            world.give(&to, Input::Message { from, body }).unwrap();
        }
        let node = if own { "bank-1" } else { "platform" };
        world.give(node, Input::Withdraw("bank-1".into(), vec![train, holdout.clone()])).unwrap();
        world.settle().unwrap();
        assert_eq!(withdrawn(&world, "bank-1"), 1);
        let pooled = ideal(&world.contract, &platform, &without(&data, &holdout), &[]).unwrap();
        assert!(world.fits.len() == 4 && world.fits.values().all(|fit| *fit == pooled));
        world.replay();
    }
}

#[test]
fn the_contract_says_whether_a_session_bears_late_ends_and_how_many() {
    let ends = |terms: WithdrawalTerms, many: usize| {
        let mut world = World::under(&Contract { withdrawal: Some(terms), ..contract(3) });
        let (platform, data) = world.prepare(150, 15);
        until(&mut world, "bank-1", Stage::Prepared);
        while !world.facts["bank-1"].iter().any(|f| matches!(f, Fact::Released { round: 2, .. })) {
            let (from, to, body) = world.post.pop_front().unwrap();
            world.give(&to, Input::Message { from, body }).unwrap();
        }
        let train = all_shared(&platform, &data).filter(|name| !tally_model::is_holdout(name)).take(many).collect();
        world.give("platform", Input::Withdraw("bank-1".into(), train)).unwrap();
        world.settle()
    };
    let terms = |share, otherwise| WithdrawalTerms { share, otherwise };
    ends(terms(0.1, Otherwise::GoOn), 1).unwrap();
    let fault = ends(terms(0.1, Otherwise::Stop), 1).unwrap_err();
    assert!(fault.culprit == "bank-1" && fault.reason.contains("stop"), "{fault}");
    let fault = ends(terms(0.1, Otherwise::GoOn), 30).unwrap_err();
    assert!(fault.culprit == "bank-1" && fault.reason.contains("withdrawal.share"), "{fault}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Wherever in the session the consents of several end: everybody comes to the same model, and the machines to the same
    /// state again.
    #[test]
    fn a_session_ends_well_whenever_consents_end(seed in any::<u64>(), after in 0usize..120, trees in any::<bool>(), names in 1usize..20) {
        let mut world = World::under(&if trees { models::trees(4) } else { contract(4) });
        let (platform, data) = world.prepare(200, seed);
        for _ in 0..after {
            let Some((from, to, body)) = world.post.pop_front() else { break };
            world.give(&to, Input::Message { from, body }).unwrap();
        }
        let gone: Vec<_> = data["bank-1"].identifiers.iter().take(names).cloned().collect();
        world.give("platform", Input::Withdraw("bank-1".into(), gone.clone())).unwrap();
        world.give("bank-1", Input::Withdraw("bank-1".into(), gone)).unwrap();
        world.settle().unwrap();
        prop_assert_eq!(world.fits.len(), world.banks.len() + 1);
        prop_assert!(world.fits.values().all(|fit| *fit == world.fits["platform"]));
        prop_assert!(withdrawn(&world, "platform") <= names as u64 && platform.identifiers.len() == 200);
        world.replay();
    }
}
