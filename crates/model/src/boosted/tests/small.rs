//! Small made tables: what must hold whatever the rows are.

use proptest::prelude::*;

use super::*;
use crate::contribution::{contribution, logistic};
use crate::plain::Plain;
use crate::request::{Kind, RowSet};
use crate::tests::{names, split};
use crate::trainer::TrainError;

/// Rows of two numbers and two codes, all with gaps, whose risk rises with the first and falls with the second.
fn table(rows: usize, seed: u64) -> Table {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut table = Table::default();
    let (mut a, mut b, mut c, mut d) = (vec![], vec![], vec![], vec![]);
    for row in 0..rows {
        let (rising, falling, code, noise) = (next(), (next() * 40.0).floor(), (next() * 6.0) as u16, next());
        let z = 4.0 * rising - falling / 15.0 + if code == 2 { 1.5 } else { 0.0 } - 1.0;
        a.push(if next() < 0.1 { f64::NAN } else { rising });
        b.push(falling);
        c.push(code);
        d.push((next() * 3.0) as u16);
        table.label.push(u8::from(noise < logistic(z)));
        table.holdout.push(row % 5 == 0);
        table.hashes.push(row_hash(&row.to_string()));
        table.baseline.push(0.0);
    }
    table.columns = vec![Column::Values(a), Column::Values(b), Column::Codes(c), Column::Codes(d)];
    table
}

fn without(table: &Table, gone: usize) -> Table {
    let rest: Vec<_> = (0..table.rows()).filter(|&row| row != gone).collect();
    let columns = table.columns.iter().map(|column| match column {
        Column::Values(values) => Column::Values(rest.iter().map(|&row| values[row]).collect()),
        Column::Codes(codes) => Column::Codes(rest.iter().map(|&row| codes[row]).collect()),
    });
    Table {
        columns: columns.collect(),
        label: rest.iter().map(|&row| table.label[row]).collect(),
        holdout: rest.iter().map(|&row| table.holdout[row]).collect(),
        hashes: rest.iter().map(|&row| table.hashes[row]).collect(),
        baseline: rest.iter().map(|&row| table.baseline[row]).collect(),
        ..Table::default()
    }
}

/// Noise may leave counts below zero; a plan that says so takes them as none.
#[test]
fn noisy_sums_leave_a_forest() {
    let mut holder = Holder::new(table(3000, 9));
    let mut booster = Booster::new(BoostedPlan { noisy: true, ..four_fields() }).unwrap();
    let mut state = 1u64;
    let fit = loop {
        match booster.next() {
            Ask::Done(fit) => break fit,
            Ask::Sum(request) => {
                let mut values = holder.contribution(&request).unwrap();
                // Noise in the quantiles' thousands of empty ranges would be a test of those.
                for value in values.iter_mut().filter(|_| !matches!(request.kind, Kind::Ranges(_))) {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    *value += (state >> 61) as i64 - 3;
                }
                let fold = Fold::none(&request.axes());
                booster.answer(Sums { values, cohort: vec![], seen: vec![], fold }).unwrap();
            }
        }
    };
    let log_odds = fit.log_odds(holder.table()).unwrap();
    assert!(crate::metrics::exact(&log_odds, &holder.table().label).unwrap().auc > 0.7);
}

fn four_fields() -> BoostedPlan {
    let categories = ["x", "y"].map(Into::into).to_vec();
    let fields = vec![
        field("a", FieldSource::Values),
        field("b", FieldSource::Values),
        field("c", FieldSource::Codes { bins: 5 }),
        field("d", FieldSource::Categories { values: categories }),
    ];
    BoostedPlan { bins: 8, trees: 4, learning_rate: 0.5, min_child_weight: 0.5, row_cap: 1 << 16, ..plan(fields) }
}

/// Groups by node and field, once they are found to be those of the sibling, made of the parent's, and safe.
type Groups = BTreeMap<(u32, usize), Vec<usize>>;

fn shown_groups(
    asked: &Histogram,
    sums: &Sums,
    own: &[Vec<i64>],
    least: usize,
    known: &Groups,
) -> Result<Groups, TestCaseError> {
    // A new tree begins at its root.
    let mut groups = if asked.nodes == [Asked::Root] { Groups::new() } else { known.clone() };
    let (mut axis, mut first_word) = (0, 0);
    for one in &asked.nodes {
        for (field, codes) in asked.codes().into_iter().enumerate() {
            let first = sums.fold.groups(axis);
            for (place, start) in first.iter().enumerate() {
                let cells = *start..first.get(place + 1).copied().unwrap_or(codes);
                for side in 0..one.nodes().len() {
                    let rows = |cell: usize| first_word + (cell * one.nodes().len() + side) * Histogram::CELL + 2;
                    let behind = own.iter().filter(|words| cells.clone().any(|cell| words[rows(cell)] > 0)).count();
                    prop_assert!(behind == 0 || behind >= least);
                }
            }
            if let Asked::Children { nodes, .. } = one {
                let split =
                    |node: &Node| matches!(node.shape, Shape::Split(split) if [split.left, split.right] == *nodes);
                let parent = asked.tree.nodes.iter().position(split).unwrap() as u32;
                prop_assert!(first.iter().all(|start| groups[&(parent, field)].contains(start)));
            }
            groups.extend(one.nodes().iter().map(|node| ((*node, field), first.to_vec())));
            (axis, first_word) = (axis + 1, first_word + codes * one.nodes().len() * Histogram::CELL);
        }
    }
    Ok(groups)
}

fn any_plan() -> impl Strategy<Value = BoostedPlan> {
    let growth = prop_oneof![
        (1u32..5).prop_map(|max_depth| Growth::DepthWise { max_depth }),
        (2u32..9, 1u32..5).prop_map(|(max_leaves, max_depth)| Growth::LeafWise { max_leaves, max_depth }),
    ];
    let on = prop_oneof![Just(JudgedOn::Holdout), Just(JudgedOn::Fold { share: 0.3 })];
    let stopping = prop::option::of(on.prop_map(|on| EarlyStopping { patience: 1, on }));
    let shares = (prop_oneof![Just(1.0), Just(0.6)], prop_oneof![Just(1.0), Just(0.5)]);
    let monotone = prop_oneof![Just(Monotone::Free), Just(Monotone::Rising), Just(Monotone::Falling)];
    (growth, stopping, shares, monotone, 0.0..2.0f64).prop_map(|(growth, early_stopping, shares, monotone, gamma)| {
        let mut plan = BoostedPlan { growth, early_stopping, gamma, ..four_fields() };
        (plan.row_share, plan.field_share) = shares;
        plan.fields[0].monotone = monotone;
        plan
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// One table, the same rows at three banks, naive sums or fast ones: the same forest, bit for bit.
    #[test]
    fn any_grouping_of_the_rows_gives_the_same_forest(plan in any_plan(), rows in 40usize..300, seed: u64) {
        let table = table(rows, seed);
        let (one, three) = (split(&table, 1), split(&table, 3));
        let naive = Plain { tables: three.clone(), least: 1, share: None };
        let (mut together, mut apart) = (Banks::new(&one, 1), Banks::new(&three, 1));
        let mut booster = Booster::new(plan).unwrap();
        while let Ask::Sum(request) = booster.next() {
            let sums = naive.answer(&request, &names(3), &names(3)).unwrap();
            prop_assert_eq!(&apart.answer(&request, &names(3)), &sums);
            let pooled = together.answer(&request, &names(1));
            prop_assert_eq!(&pooled.values, &sums.values);
            match booster.answer(sums) {
                Ok(()) => {}
                Err(TrainError::Rows { .. }) => return Ok(()),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// What a holder keeps never shows: requests in any order, of any forest, are answered as by their meaning.
    #[test]
    fn a_holder_answers_in_any_order(
        plans in prop::collection::vec(any_plan(), 2),
        order in prop::collection::vec(any::<prop::sample::Index>(), 20),
        seed: u64,
    ) {
        let table = table(120, seed);
        let mut requests = Vec::new();
        for plan in plans {
            let mut booster = Booster::new(plan).unwrap();
            let naive = Plain { tables: split(&table, 1), least: 1, share: None };
            while let Ask::Sum(request) = booster.next() {
                requests.push(request.clone());
                if booster.answer(naive.answer(&request, &names(1), &names(1)).unwrap()).is_err() {
                    break;
                }
            }
        }
        let mut holder = Holder::new(table);
        for place in order {
            let request = place.get(&requests);
            let expected = contribution(request, holder.table()).unwrap();
            prop_assert_eq!(holder.contribution(request).unwrap(), expected);
        }
    }

    /// One row more or less moves no sum further than the request says, nor further than the plan says.
    #[test]
    fn no_row_moves_a_sum_beyond_its_sensitivity(plan in any_plan(), gone in 0usize..60, seed: u64) {
        let whole = table(60, seed);
        let plan = BoostedPlan { noisy: true, ..plan };
        let largest = plan.largest_sensitivity();
        let mut booster = Booster::new(plan).unwrap();
        while let Ask::Sum(request) = booster.next() {
            let values = contribution(&request, &whole).unwrap();
            let rest = contribution(&request, &without(&whole, gone)).unwrap();
            let squares = values.iter().zip(&rest).map(|(with, without)| ((with - without) as f64).powi(2));
            let moved = squares.sum::<f64>().sqrt();
            prop_assert!(moved <= request.sensitivity() && request.sensitivity() <= largest);
            let fold = Fold::none(&request.axes());
            if booster.answer(Sums { values, cohort: vec![], seen: vec![], fold }).is_err() {
                break;
            }
        }
    }

    /// No split cuts a group of cells that are counted together.
    #[test]
    fn groups_of_cells_stay_together(plan in any_plan(), seed: u64) {
        let mut tables = split(&table(400, seed), 4);
        // Only one bank has code 5 of the third field, and only two lack the fourth.
        for (number, bank) in tables.values_mut().enumerate() {
            let Column::Codes(codes) = &mut bank.columns[2] else { unreachable!() };
            codes.iter_mut().filter(|code| number > 0 && **code == 5).for_each(|code| *code = 4);
            let Column::Codes(codes) = &mut bank.columns[3] else { unreachable!() };
            codes.iter_mut().filter(|code| number > 1 && **code == 0).for_each(|code| *code = 1);
        }
        let fit = fit(&plan, &tables, 3);
        // At the roots, where these codes have rows.
        for tree in fit.forest.trees() {
            let Shape::Split(split) = tree.nodes[0].shape else { continue };
            prop_assert!(split.field != 2 || split.last_left != 4);
            prop_assert!(split.field != 3 || split.missing_left);
        }
    }

    /// Behind every group that is shown of a node stand enough banks or none, and its sibling has the same groups, so that
    /// neither is found from the other and their parent.
    #[test]
    fn neither_child_of_a_split_shows_a_bank_alone(
        plan in any_plan(),
        rows in 60usize..400,
        banks in 3usize..5,
        seed: u64,
    ) {
        let tables = split(&table(rows, seed), banks);
        let naive = Plain { tables: tables.clone(), least: 3, share: None };
        let mut booster = Booster::new(plan).unwrap();
        let mut groups = BTreeMap::new();
        while let Ask::Sum(request) = booster.next() {
            let sums = naive.answer(&request, &names(banks), &names(banks)).unwrap();
            if let Kind::Histogram(asked) = &request.kind {
                let own: Vec<_> = tables.values().map(|table| contribution(&request, table).unwrap()).collect();
                groups = shown_groups(asked, &sums, &own, 3, &groups)?;
            }
            if booster.answer(sums).is_err() {
                break;
            }
        }
    }

    /// Raising a rising field's code alone never lowers the log-odds.
    #[test]
    fn monotone_fields_are(mut plan in any_plan(), rising: bool, seed: u64) {
        plan.fields[1].monotone = if rising { Monotone::Rising } else { Monotone::Falling };
        let fit = fit(&plan, &split(&table(400, seed), 1), 1);
        for other in 0..9 {
            let at = |code: u16| fit.forest.log_odds(|field| if field == 1 { code } else { other });
            let holds = (2..10).all(|code| if rising { at(code) >= at(code - 1) } else { at(code) <= at(code - 1) });
            prop_assert!(holds);
        }
    }
}

/// A parent with the rows of a bank that left is not the sum of two children without them, and nothing is derived from it.
#[test]
fn a_bank_that_leaves_within_a_tree_leaves_true_sums() {
    let tables = split(&table(2000, 7), 4);
    let mut banks = Banks::new(&tables, 1);
    let mut booster = Booster::new(four_fields()).unwrap();
    let mut grown = 0;
    let fit = loop {
        match booster.next() {
            Ask::Done(fit) => break fit,
            Ask::Sum(request) => {
                let cohort = if grown < 2 { names(4) } else { names(3) };
                booster.answer(banks.answer(&request, &cohort)).unwrap();
                grown += usize::from(matches!(request.kind, Kind::Histogram(_)));
            }
        }
    };
    let rows = |banks: &[String]| banks.iter().map(|bank| RowSet::Train.of(&tables[bank]).count() as i64).sum::<i64>();
    let leaves = |tree: &Tree| {
        let leaves = tree.nodes.iter().filter(|node| matches!(node.shape, Shape::Leaf(_)));
        leaves.map(|node| node.rows).sum::<i64>()
    };
    let first = &fit.forest.trees()[0];
    assert_eq!(first.nodes[0].rows, rows(&names(4)));
    assert_eq!(leaves(first), rows(&names(3)));
    for tree in &fit.forest.trees()[1..] {
        assert_eq!(tree.nodes[0].rows, rows(&names(3)));
        assert_eq!(leaves(tree), rows(&names(3)));
    }
}

#[test]
fn growing_stops_when_the_fold_says_so() {
    let on = JudgedOn::Fold { share: 0.3 };
    let early_stopping = Some(EarlyStopping { patience: 3, on });
    let plan = BoostedPlan { trees: 200, early_stopping, ..four_fields() };
    let fit = fit(&plan, &split(&table(3000, 3), 3), 1);
    let trees = fit.forest.trees().len();
    assert!(trees < 200);
    assert_eq!(fit.losses.len(), trees + 3);
    let best = fit.losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(fit.losses[trees - 1], best);
    let drawn = fit.train_rows as f64 / 2400.0;
    assert!((0.65..0.75).contains(&drawn), "{drawn}");
    assert!(fit.joint.unwrap().auc > 0.7);
}

#[test]
fn a_bank_alone_uses_its_own_fields() {
    let table = table(2000, 5);
    let plan = four_fields();
    let log_odds = bank_only(&plan, &table).unwrap();
    let mut other = table.clone();
    other.columns[2] = Column::Codes(vec![0; 2000]);
    assert_eq!(bank_only(&plan, &other).unwrap(), log_odds);
    other.label = vec![0; 2000];
    let constant = bank_only(&plan, &other).unwrap();
    assert!(constant.iter().all(|one| *one == constant[0]));
}

#[test]
fn wrong_sums_are_refused() {
    let table = table(500, 1);
    let mut banks = Banks::new(&split(&table, 1), 1);
    let mut booster = Booster::new(four_fields()).unwrap();
    loop {
        let Ask::Sum(request) = booster.next() else { unreachable!() };
        let good = banks.answer(&request, &names(1));
        let short = Sums { values: vec![0], ..good.clone() };
        assert!(matches!(booster.answer(short), Err(TrainError::Words { .. })));
        let mut negative = good.clone();
        *negative.values.last_mut().unwrap() = -1;
        assert_eq!(booster.answer(negative), Err(TrainError::Negative));
        if matches!(request.kind, Kind::Histogram(_)) {
            break;
        }
        booster.answer(good).unwrap();
    }
}

#[test]
fn tables_that_lack_what_is_asked_are_refused() {
    let mut table = table(100, 1);
    table.hashes.clear();
    let plan = BoostedPlan { row_share: 0.5, ..four_fields() };
    let mut booster = Booster::new(plan).unwrap();
    let mut holder = Holder::new(table);
    loop {
        let Ask::Sum(request) = booster.next() else { unreachable!() };
        let naive = contribution(&request, holder.table());
        assert_eq!(holder.contribution(&request), naive);
        match naive {
            Ok(values) => {
                let fold = Fold::none(&request.axes());
                booster.answer(Sums { values, cohort: vec![], seen: vec![], fold }).unwrap();
            }
            Err(error) => {
                assert_eq!(error, crate::ContributionError::Hashes);
                break;
            }
        }
    }
}

#[test]
fn an_artefact_comes_back_and_what_is_none_does_not() {
    let fit = fit(&four_fields(), &split(&table(500, 2), 1), 1);
    let text = serde_json::to_string(&fit).unwrap();
    let back: BoostedFit = serde_json::from_str(&text).unwrap();
    assert_eq!(back, fit);
    assert_eq!(back.digest(), fit.digest());
    assert_eq!(back.forest.digest(), fit.forest.digest());
    for (from, to) in [
        ("\"losses\"", "\"lesses\""),
        ("\"last_left\"", "\"last_lift\""),
        ("\"left\":1,", "\"left\":0,"),
        ("\"left\":1,", "\"left\":2,"),
        ("\"left\":1,", "\"left\":999,"),
    ] {
        let wrong = text.replacen(from, to, 1);
        assert_ne!(wrong, text);
        assert!(serde_json::from_str::<BoostedFit>(&wrong).is_err(), "{from} {to}");
    }
}

#[test]
fn plans_out_of_bounds_are_refused() {
    let wrong: [fn(&mut BoostedPlan); 8] = [
        |plan| plan.fields.clear(),
        |plan| plan.fields[2].source = FieldSource::Codes { bins: 255 },
        |plan| plan.bins = 1,
        |plan| plan.growth = Growth::DepthWise { max_depth: 13 },
        |plan| plan.growth = Growth::LeafWise { max_leaves: 1, max_depth: 3 },
        |plan| plan.row_share = 0.0,
        |plan| plan.lambda = f64::NAN,
        |plan| plan.early_stopping = Some(EarlyStopping { patience: 0, on: JudgedOn::Holdout }),
    ];
    for change in wrong {
        let mut plan = four_fields();
        assert!(plan.check().is_ok());
        change(&mut plan);
        assert!(plan.check().is_err());
    }
}

/// With two fields, a Shapley value is the mean of what the field adds to nothing and to the other one.
#[test]
fn effects_are_the_parts_of_contributions() {
    let fields = vec![field("a", FieldSource::Values), field("b", FieldSource::Values)];
    let all = table(400, 5);
    let two = Table { columns: all.columns[..2].to_vec(), ..all };
    let fit = fit(&BoostedPlan { bins: 8, trees: 6, ..plan(fields) }, &BTreeMap::from([("bank".into(), two)]), 1);
    assert!(fit.fields.iter().all(|field| field.splits > 0));
    let (first, second, expected) = (fit.dependence(0), fit.dependence(1), fit.expected());
    for (a, with_first) in first.iter().enumerate() {
        for (b, with_second) in second.iter().enumerate() {
            let codes = [a as u16, b as u16];
            let contributions = fit.contributions(&codes);
            let whole = crate::Scoring::score(&fit, &codes);
            let half = (with_first - expected + whole - with_second) / 2.0;
            assert!((contributions.values[0] - half).abs() < 1e-12 && contributions.expected == expected);
        }
    }
    let nodes = fit.forest.trees().iter().flat_map(|tree| &tree.nodes);
    let split = nodes.filter(|node| matches!(node.shape, Shape::Split(_))).map(|node| node.cover).sum::<f64>();
    assert!((fit.cover().iter().sum::<f64>() - split).abs() < 1e-9 * split);
    assert!(fit.dependence(2).is_empty());
}
