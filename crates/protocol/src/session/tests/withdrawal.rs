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
    let offered = |name: &String| {
        let place = platform.identifiers.iter().position(|other| other == name).unwrap() as u32;
        platform.consented["bank-1"].contains(&place)
    };
    data["bank-1"].identifiers.iter().find(|name| offered(name)).unwrap().clone()
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

/// Counts of good and bad training rows of a field that neither banks nor platform bin by quantiles.
fn counts(fit: &Fitted) -> (Vec<i64>, Vec<i64>) {
    let field = &fit.scorecard().unwrap().fields[1];
    (field.good.clone(), field.bad.clone())
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
    // By the platform's word, and by the bank's own knowledge.
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
        assert_eq!(counts(&world.fits["platform"]), counts(&pooled));
        assert!(world.fits.len() == 4 && world.fits.values().all(|fit| *fit == world.fits["platform"]));
        world.replay();
    }
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
