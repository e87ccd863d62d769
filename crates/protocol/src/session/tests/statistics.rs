//! Statistics: no alignment, all rows, one sum; and contracts that mix the two kinds of session.

use tally_model::statistics::{ROWS, SharePlan};

use super::*;

fn statistics(banks: usize) -> Contract {
    let mut contract = contract(banks);
    contract.fields.retain(|field| field.holder == Holder::Banks);
    let places = ["east", "west"].map(str::to_owned).to_vec();
    contract.fields.push(FieldTerms { name: "place".into(), categories: places, ..contract.fields[1].clone() });
    contract.disclosures.clear();
    contract.snapshot = Snapshot::none("2024-06-30".parse().unwrap());
    contract.purpose = Purpose::Statistics;
    contract.model.algorithm = "statistics".into();
    let measure = |name: &str, sum: Option<&str>, only: &[&str]| MeasureTerms {
        name: name.into(),
        title: Text::new(name, name),
        sum: sum.map(Into::into),
        only: match only {
            [] => Vec::new(),
            values => {
                let values = values.iter().map(ToString::to_string).collect();
                vec![OnlyTerms { field: "kind".into(), values }]
            }
        },
    };
    contract.model.statistics = Some(StatisticsTerms {
        as_of: "2024-06-30".parse().unwrap(),
        unit: 0.01,
        amounts_in: Text::new("元", "yuan"),
        cap: 10.0,
        // Counts before amounts: the plan puts the amounts first.
        measures: vec![
            measure("b", None, &["b"]),
            measure("sum", Some("rate"), &[]),
            measure("of a", Some("rate"), &["a"]),
        ],
        shares: vec![SharePlan {
            name: "share".into(),
            title: Text::new("占比", "share"),
            of: "b".into(),
            over: ROWS.into(),
        }],
        tables: vec![vec!["place".into()]],
    });
    contract
}

/// Other cells over the same rows show the rows between them, however they come to be other ones.
#[test]
fn statistics_are_cut_alike_only_under_the_same_terms() {
    let one = statistics(5);
    let same = |change: &dyn Fn(&mut Contract)| {
        let mut other = one.clone();
        change(&mut other);
        one.same_cells(&other)
    };
    assert!(same(&|_| ()) && same(&|c| (c.session, c.seed) = ("f".repeat(16), Digest::default())));
    let terms = |change: &dyn Fn(&mut StatisticsTerms)| same(&|c| change(c.model.statistics.as_mut().unwrap()));
    assert!(!terms(&|terms| drop(terms.measures.pop())));
    assert!(!terms(&|terms| terms.tables = vec![vec!["kind".into()]]));
    assert!(!same(&|c| c.fields[2].categories.reverse()));
    assert!(!same(&|c| c.fields[2].categories.push("north".into())));
    assert!(!same(&|c| c.limits.min_cell -= 1));
    assert!(!same(&|c| c.model.statistics = None));
}

/// Gives each row a place: the field that tables are cut by, which no scorecard has.
pub(super) fn add_places(data: &mut BankData) {
    let places = (0..data.identifiers.len()).map(|row| (row % 3) as u16);
    data.columns.push(Column::Codes(places.collect()));
}

fn found(fit: &Fitted) -> &tally_model::statistics::Statistics {
    let Fitted::Statistics(found) = fit else { panic!("not statistics") };
    found
}

/// All rows of all banks take part, aligned or not, and every party has the same figures.
#[test]
fn every_party_has_the_sums_of_all_rows() {
    for banks in [3, 5] {
        let mut world = World::under(&statistics(banks));
        let (platform, data) = world.prepare(150, 3);
        world.settle().unwrap();
        assert_eq!(world.fits.len(), banks + 1);
        let pooled = ideal(&world.contract, &platform, &data, &[]).unwrap();
        for (node, fit) in &world.fits {
            assert_eq!(fit, &pooled, "{node}");
            assert_eq!(world.stages[node].last(), Some(&Stage::Closed));
        }
        let found = found(&pooled);
        assert_eq!(found.plan.names().collect::<Vec<_>>(), ["sum", "of a", "b", ROWS]);
        let mut plain = [0; 4];
        for bank in data.values() {
            let (Column::Values(rates), Column::Codes(kinds)) = (&bank.columns[0], &bank.columns[1]) else { panic!() };
            for (rate, kind) in rates.iter().zip(kinds) {
                let cents = (rate * 100.0) as i64;
                plain[0] += cents;
                plain[1] += if *kind == 1 { cents } else { 0 };
                plain[2] += i64::from(*kind == 2);
                plain[3] += 1;
            }
        }
        assert_eq!(found.total.as_deref(), Some(plain.as_slice()));
        // Nothing that belongs to an alignment was said or logged.
        let aligned = |fact: &Fact| matches!(fact, Fact::ConsentSet { .. } | Fact::Alignment { .. });
        assert!(!world.facts.values().flatten().any(aligned));
        world.replay();
    }
}

/// A bank that stays away is left out of the sum, if enough others are there.
#[test]
fn a_bank_that_stays_away_is_left_out() {
    let mut terms = statistics(4);
    terms.limits.min_cell = 3;
    let mut world = World::under(&terms);
    world.dead.push("bank-4".into());
    let (platform, data) = world.prepare(150, 3);
    world.settle().unwrap();
    while world.fits.len() < 4 {
        world.give("platform", Input::PatienceOver).unwrap();
        world.settle().unwrap();
    }
    let released = found(&world.fits["platform"]);
    assert_eq!(released.rounds[0].cohort, ["bank-1", "bank-2", "bank-3"]);
    let pooled = ideal(&world.contract, &platform, &data, &released.rounds).unwrap();
    assert_eq!(world.fits["bank-1"], pooled);
}

#[test]
fn messages_of_the_other_kind_of_session_are_refused() {
    let mut world = World::under(&statistics(3));
    world.prepare(60, 1);
    let announce = FromPlatform::Announce { bins: Vec::new(), tables: Digest::default() };
    let error = world.give("bank-1", Input::Message { from: "platform".into(), body: announce.encode() }).unwrap_err();
    assert_eq!(error.culprit, "platform");
    let mut world = World::new(3);
    world.prepare(60, 1);
    let begin = Input::Message { from: "platform".into(), body: FromPlatform::Begin.encode() };
    assert_eq!(world.give("bank-1", begin).unwrap_err().culprit, "platform");
}

#[test]
fn contracts_that_mix_the_kinds_are_refused_with_the_term() {
    let refused = |change: &dyn Fn(&mut Contract)| {
        let mut contract = statistics(3);
        change(&mut contract);
        SealedContract::read(&contract.envelope()).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(refused(&|_| ()), Ok(()));
    let terms = |contract: &mut Contract| contract.model.statistics.clone().unwrap();
    for (change, word) in [
        (&(|c: &mut Contract| c.model.algorithm = "scorecard".into()) as &dyn Fn(&mut Contract), "model.statistics"),
        (&|c| c.model.statistics = None, "statistics none"),
        (&|c| c.fields.push(contract(3).fields[2].clone()), "statistics none"),
        (
            &|c| {
                c.disclosures.insert("bank-1".into(), verdict(0));
            },
            "disclosures",
        ),
        (&|c| c.snapshot.dataset = "enterprises".into(), "snapshot"),
        (&|c| c.snapshot.as_of = "2024-07-01".parse().unwrap(), "snapshot"),
        (
            &|c| {
                c.limits.row_cap = 1 << 32;
                c.model.statistics = Some(StatisticsTerms { cap: 1e10, ..terms(c) });
            },
            "2^62",
        ),
        (
            &|c| c.model.statistics = Some(StatisticsTerms { tables: vec![vec!["rate".into()]], ..terms(c) }),
            "statistics.tables",
        ),
        (
            &|c| {
                let mut terms = terms(c);
                terms.measures[0].only[0].values = vec!["z".into()];
                c.model.statistics = Some(terms);
            },
            "statistics.measures",
        ),
        (
            &|c| {
                let tables = vec![vec!["place".into()], vec!["kind".into()]];
                c.model.statistics = Some(StatisticsTerms { tables, ..terms(c) });
            },
            "a condition on a field of a table",
        ),
    ] {
        let error = refused(change).unwrap_err();
        assert!(error.contains(word), "{word}: {error}");
    }
}
