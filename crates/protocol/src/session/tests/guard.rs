//! What banks demand of the rows behind a sum, against platforms that arrange them.

use super::*;
use crate::aggregation::{ToMember, Transcript};

fn guarded(banks: usize, share: f64, floor: u64) -> Contract {
    Contract {
        balance: Some(BalanceTerms { share, floor, cell_share: Some(share.max(0.9)), twins: None }),
        ..contract(banks)
    }
}

/// A session in which the platform offers so many rows to each bank, each of them held there.
fn offering(contract: &Contract, offered: &[usize]) -> World {
    let mut world = World::under(contract);
    let banks = offered.len();
    let mut platform = platform_data(banks, 400, 3);
    for (bank, most) in (1..).zip(offered) {
        let data = bank_data(bank, 400, 3);
        let place = |name: &String| name[1..].parse::<u32>().unwrap();
        let held = data.identifiers.iter().map(place).take(*most).collect();
        platform.consented.insert(format!("bank-{bank}"), held);
        world.give(&format!("bank-{bank}"), Input::Bank(data)).unwrap();
    }
    world.give("platform", Input::Platform(platform)).unwrap();
    world
}

fn released(world: &World) -> Vec<Part> {
    world.transcripts.iter().map(|bytes| Transcript::decode(bytes).unwrap().offer.spec.part).collect()
}

/// Ten rows each for two banks, with whatever codes: the third one's rows would be all that a sum tells.
#[test]
fn a_bank_that_would_be_nearly_all_of_a_sum_refuses() {
    let mut world = offering(&guarded(3, 0.5, 1), &[200, 10, 10]);
    let fault = world.settle().unwrap_err();
    assert!(fault.culprit == "bank-1" && fault.reason.contains("balance.share"), "{fault}");
    assert_eq!(released(&world), [Part::Rows]);
    // Banks of unequal size are no such case.
    let mut world = offering(&guarded(3, 0.5, 1), &[180, 120, 100]);
    world.settle().unwrap();
    assert_eq!(world.fits.len(), 4);
    assert_eq!(released(&world).iter().filter(|part| **part == Part::Rows).count(), 2);
    assert!(!released(&world).contains(&Part::Whole));
}

/// A bank stops at the first sum, before anything was added, and draws for itself where it does.
#[test]
fn a_bank_with_few_rows_stops_at_the_first_sum() {
    let mut world = offering(&guarded(3, 0.5, 20), &[200, 10, 10]);
    let fault = world.settle().unwrap_err();
    assert!(fault.culprit != "bank-1" && fault.reason.contains("balance.floor"), "{fault}");
    assert_eq!(released(&world), []);
    let terms = BalanceTerms { share: 0.5, floor: 20, cell_share: None, twins: None };
    let drawn: std::collections::BTreeSet<_> = (0..200u8).map(|seed| terms.drawn(&Seed::new([seed; 32]))).collect();
    assert!(drawn.iter().all(|floor| (20..40).contains(floor)) && drawn.len() > 15, "{drawn:?}");
}

#[test]
fn a_sum_without_cells_needs_banks_with_rows_enough() {
    let mut contract = guarded(3, 0.9, 1);
    contract.limits.min_rows = 50;
    let mut world = offering(&contract, &[200, 180, 40]);
    let fault = world.settle().unwrap_err();
    assert!(fault.reason.contains("min_rows"), "{fault}");
    assert!(!released(&world).contains(&Part::Firm) && released(&world).contains(&Part::Cells));
}

/// What one bank held of the rows shows in the shares of the others once it is gone.
#[test]
fn where_a_bank_leaves_rows_are_counted_again() {
    let leave = |offered: &[usize]| {
        let mut world = offering(&guarded(4, 0.5, 1), offered);
        while !world.facts.get("bank-2").is_some_and(|f| f.iter().any(|f| matches!(f, Fact::Released { round: 3, .. })))
        {
            let (from, to, body) = world.post.pop_front().unwrap();
            world.give(&to, Input::Message { from, body }).unwrap();
        }
        world.dead.push("bank-2".into());
        let mut outcome = world.settle();
        while outcome.is_ok() && !world.platform.waiting_for().is_empty() {
            outcome = world.give("platform", Input::PatienceOver).and_then(|()| world.settle());
        }
        (world, outcome)
    };
    let (world, outcome) = leave(&[150, 150, 120, 120]);
    outcome.unwrap();
    assert_eq!(released(&world).iter().filter(|part| **part == Part::Rows).count(), 3);
    let (world, outcome) = leave(&[200, 140, 70, 70]);
    let fault = outcome.unwrap_err();
    assert!(fault.culprit == "bank-1" && fault.reason.contains("balance.share"), "{fault}");
    assert_eq!(released(&world).last(), Some(&Part::Rows));
}

/// The next message of this kind to a bank, changed on its way.
fn changed(world: &mut World, bank: &str, change: impl Fn(&mut FromPlatform) -> bool) -> Fault {
    loop {
        let (from, to, body) = world.post.pop_front().unwrap();
        let mut message = (to == bank).then(|| FromPlatform::decode(&body, "platform").unwrap());
        if message.as_mut().is_some_and(&change) {
            let body = message.unwrap().encode();
            return world.give(&to, Input::Message { from, body }).unwrap_err();
        }
        world.give(&to, Input::Message { from, body }).unwrap();
    }
}

#[test]
fn a_bank_refuses_sums_that_the_trainer_does_not_ask() {
    // The first sum is the number of rows, and nothing else.
    for part in [Part::Whole, Part::Presence, Part::Cells, Part::Firm] {
        let mut world = offering(&guarded(3, 0.9, 1), &[200, 200, 200]);
        let fault = changed(&mut world, "bank-1", |message| {
            let FromPlatform::Aggregation(ToMember::Offer(offer)) = message else { return false };
            offer.spec.part = part;
            true
        });
        assert!(fault.culprit == "platform" && fault.reason.contains("does not ask next"), "{fault}");
    }
    // Another part than was asked is not released either.
    let mut world = offering(&guarded(3, 0.9, 1), &[200, 200, 200]);
    let fault = changed(&mut world, "bank-1", |message| {
        let FromPlatform::Released { part, .. } = message else { return false };
        *part = Part::Presence;
        true
    });
    assert!(fault.culprit == "platform" && fault.reason.contains("another part"), "{fault}");
}

#[test]
fn rows_that_come_late_are_refused() {
    let mut world = offering(&guarded(3, 0.9, 1), &[200, 200, 200]);
    world.settle().unwrap();
    let sent = world.sent["platform"].clone();
    for when in [1, 40] {
        let mut world = offering(&guarded(3, 0.9, 1), &[200, 200, 200]);
        let aligned = |world: &World| {
            world.facts.get("bank-1").map_or(0, |facts| {
                facts.iter().filter(|fact| matches!(fact, Fact::Alignment { .. } | Fact::Contributed { .. })).count()
            })
        };
        while aligned(&world) < when.min(10) {
            let (from, to, body) = world.post.pop_front().unwrap();
            world.give(&to, Input::Message { from, body }).unwrap();
        }
        let rows = |body: &&Vec<u8>| matches!(FromPlatform::decode(body, "platform"), Ok(FromPlatform::Rows(_)));
        let body = sent.iter().find(rows).unwrap().clone();
        let fault = world.give("bank-1", Input::Message { from: "platform".into(), body }).unwrap_err();
        assert!(fault.culprit == "platform" && fault.reason.contains("does not foresee"), "{fault}");
    }
}

/// A bank that deals what does not open is named, not the platform that carried it.
#[test]
fn the_dealer_of_shares_that_do_not_open_is_named() {
    let mut world = offering(&guarded(3, 0.9, 1), &[200, 200, 200]);
    let fault = changed(&mut world, "bank-1", |message| {
        let FromPlatform::Aggregation(ToMember::Deliver { shares, .. }) = message else { return false };
        let dealt = shares.iter_mut().find(|shares| shares.from == "bank-3").unwrap();
        dealt.sealed[0] ^= 1;
        true
    });
    assert!(fault.culprit == "bank-3" && fault.reason.contains("platform"), "{fault}");
}

#[test]
fn little_waits_for_a_bank_that_has_no_data_yet() {
    let contract = SealedContract::read(&contract(3).envelope()).unwrap();
    let mut bank = new_bank(&contract, "bank-1");
    let mut send = || {
        let body = FromPlatform::Announce { bins: vec![1, 2], tables: Digest::default() }.encode();
        move_bank(&mut bank, Input::Message { from: "platform".into(), body })
    };
    let fault = (0..100).find_map(|_| send().err()).unwrap();
    assert!(fault.culprit == "platform" && fault.reason.contains("before this bank had its data"), "{fault}");
}

/// The largest share of one bank in a group that the model's counts show.
fn largest_share(world: &World, tables: &std::collections::BTreeMap<String, tally_model::Table>) -> f64 {
    let Fitted::Scorecard(fit) = world.fits["platform"].clone() else { unreachable!() };
    let mut largest: f64 = 0.0;
    for (place, field) in fit.fields.iter().enumerate() {
        let rows = |table: &tally_model::Table| {
            let mut groups = std::collections::BTreeMap::<_, f64>::new();
            for row in (0..table.rows()).filter(|row| !table.holdout[*row]) {
                let code = match &table.columns[place] {
                    Column::Values(values) => field.bins.code(values[row]),
                    Column::Codes(codes) => codes[row],
                };
                *groups.entry(field.counted_in.get(usize::from(code)).copied()).or_default() += 1.0;
            }
            groups
        };
        let own: Vec<_> = tables.values().map(rows).collect();
        for group in field.counted_in.iter().map(|group| Some(*group)) {
            let of = |own: &std::collections::BTreeMap<_, f64>| own.get(&group).copied().unwrap_or_default();
            let all: f64 = own.iter().map(of).sum();
            largest = own.iter().map(|own| of(own) / all.max(1.0)).fold(largest, f64::max);
        }
    }
    largest
}

/// A platform that gives the rows of two banks one code, all but a few of them: in each other cell the third bank would stand
/// nearly alone, although three banks stand behind it and its rows are no half of all.
#[test]
fn a_bank_that_would_be_nearly_all_of_a_cell_has_it_joined() {
    let run = |cell_share: Option<f64>| {
        let terms = BalanceTerms { share: 0.6, floor: 1, cell_share, twins: None };
        let contract = Contract { balance: Some(terms), ..contract(3) };
        let mut world = World::under(&contract);
        let mut platform = platform_data(3, 3000, 3);
        let mut banks = std::collections::BTreeMap::new();
        for bank in 1..=3 {
            let data = bank_data(bank, 3000, 3);
            // Each bank has enterprises of its own.
            let own = |row: u32| row as usize % 3 + 1 == bank;
            let others = data.identifiers.iter().filter(|name| !own(name[1..].parse().unwrap())).cloned().collect();
            let data = data.without(&others);
            platform.consented.insert(format!("bank-{bank}"), (0..3000).filter(|row| own(*row)).collect());
            banks.insert(format!("bank-{bank}"), data);
        }
        let PlatformColumn::Category { codes, .. } = &mut platform.columns[1] else { unreachable!() };
        for (row, code) in codes.iter_mut().enumerate() {
            *code = if row % 3 == 0 || row % 97 < 3 { row as u16 / 3 % 3 + 1 } else { 3 };
        }
        let PlatformColumn::Numeric(numbers) = &mut platform.columns[0] else { unreachable!() };
        for (row, number) in numbers.iter_mut().enumerate() {
            *number = if row % 3 == 0 || row % 97 < 3 { (row / 3 % 5) as f64 } else { 4.0 };
        }
        let sealed = SealedContract::read(&contract.envelope()).unwrap();
        let (_, tables) = tables(&sealed, &platform, &banks).unwrap();
        for (name, data) in banks {
            world.give(&name, Input::Bank(data)).unwrap();
        }
        world.give("platform", Input::Platform(platform)).unwrap();
        world.settle().unwrap();
        assert_eq!(world.fits.len(), 4);
        let weighed = released(&world).iter().filter(|part| matches!(part, Part::Sizes | Part::Joins)).count();
        (largest_share(&world, &tables), weighed)
    };
    let (share, weighed) = run(None);
    assert!(share > 0.9 && weighed == 0, "{share}, {weighed}");
    let (share, weighed) = run(Some(0.75));
    assert!(share <= 0.75 && weighed > 4, "{share}, {weighed}");
}

/// A platform seals one field's codes for another, but for one enterprise: the counts of both would differ by its outcome.
#[test]
fn a_bank_stops_where_two_fields_differ_by_one_enterprise() {
    let run = |twins: Option<u64>, moved: bool| {
        let balance = BalanceTerms { share: 0.9, floor: 1, cell_share: Some(0.9), twins };
        let contract = Contract { balance: Some(balance), ..contract(3) };
        let mut world = World::under(&contract);
        let mut platform = platform_data(3, 400, 3);
        let sector: Vec<u16> = (0..400).map(|row| row / 7 % 3 + 1).collect();
        let mut numbers: Vec<f64> = sector.iter().map(|code| f64::from(*code)).collect();
        let data: Vec<_> = (1..=3).map(|bank| bank_data(bank, 400, 3)).collect();
        let held = |name: &String| platform.consented["bank-1"].contains(&name[1..].parse().unwrap());
        let one: usize = data[0].identifiers.iter().find(|name| held(name)).unwrap()[1..].parse().unwrap();
        if moved {
            numbers[one] = numbers[one] % 3.0 + 1.0;
        }
        let values = ["x", "y", "z"].map(String::from).to_vec();
        platform.columns = vec![PlatformColumn::Numeric(numbers), PlatformColumn::Category { codes: sector, values }];
        for (bank, data) in (1..).zip(data) {
            world.give(&format!("bank-{bank}"), Input::Bank(data)).unwrap();
        }
        world.give("platform", Input::Platform(platform)).unwrap();
        world.settle()
    };
    run(Some(5), false).unwrap();
    run(None, true).unwrap();
    let fault = run(Some(5), true).unwrap_err();
    assert!(fault.culprit.starts_with("bank-") && fault.reason.contains("`tax` and `sector`"), "{fault}");
}
