use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::plain::Plain;
use crate::rows::{Column, Table};
use crate::trainer::{Ask, TrainError};

const DISTRICTS: usize = 5;
const INDUSTRIES: usize = 3;

/// Balance, credit (1 yes, 2 no), district, industry.
type Borrower = (f64, u16, u16, u16);

fn values(prefix: &str, count: usize) -> Vec<String> {
    (1..=count).map(|value| format!("{prefix}{value}")).collect()
}

fn plan() -> StatisticsPlan {
    let measure = |name: &str| Measure { name: name.into(), title: Text::new(name, name) };
    let amount = |only| Tally { kind: TallyKind::Amount { field: 0 }, only };
    let credit = vec![Condition { field: 1, codes: vec![1] }];
    let cells = |name: &str, field, count| CellField { name: name.into(), field, values: values(name, count) };
    StatisticsPlan {
        tallies: vec![
            (measure("balance"), amount(Vec::new())),
            (measure("credit"), amount(credit.clone())),
            (measure("credit_loans"), Tally { kind: TallyKind::Count, only: credit }),
        ],
        shares: vec![SharePlan {
            name: "credit_share".into(),
            title: Text::new("占比", "share"),
            of: "credit".into(),
            over: "balance".into(),
        }],
        tables: vec![
            TablePlan { fields: vec![cells("district", 2, DISTRICTS)] },
            TablePlan { fields: vec![cells("industry", 3, INDUSTRIES)] },
        ],
        unit: 0.01,
        cap: 1e9,
        row_cap: 1 << 20,
        seed: Digest::default(),
    }
}

fn table(rows: &[Borrower]) -> Table {
    Table {
        columns: vec![
            Column::Values(rows.iter().map(|row| row.0).collect()),
            Column::Codes(rows.iter().map(|row| row.1).collect()),
            Column::Codes(rows.iter().map(|row| row.2).collect()),
            Column::Codes(rows.iter().map(|row| row.3).collect()),
        ],
        label: vec![0; rows.len()],
        holdout: vec![false; rows.len()],
        ..Table::default()
    }
}

fn statistics(banks: &[Vec<Borrower>], plan: StatisticsPlan, least: u32) -> Statistics {
    let tables: BTreeMap<_, _> =
        banks.iter().enumerate().map(|(bank, rows)| (format!("bank-{bank}"), table(rows))).collect();
    let names: Vec<_> = tables.keys().cloned().collect();
    let plain = Plain { tables, least, share: None };
    let mut tabulator = Tabulator::new(plan).unwrap();
    let Ask::Sum(request) = tabulator.next() else { panic!("nothing asked") };
    let sums = plain.answer(&request, &names, &names).unwrap();
    tabulator.answer(sums.clone()).unwrap();
    assert_eq!(tabulator.answer(sums), Err(TrainError::NotAsked));
    let Ask::Done(found) = tabulator.next() else { panic!("not done") };
    *found
}

fn cents(amount: f64) -> i64 {
    (amount / 0.01).round_ties_even() as i64
}

/// What a plain loop over the rows that `chosen` picks gives.
fn plainly(banks: &[Vec<Borrower>], chosen: impl Fn(&Borrower) -> bool) -> Vec<i64> {
    let mut sums = vec![0; 4];
    for row in banks.iter().flatten().filter(|row| chosen(row)) {
        sums[0] += cents(row.0);
        if row.1 == 1 {
            sums[1] += cents(row.0);
            sums[2] += 1;
        }
        sums[3] += 1;
    }
    sums
}

fn borrower() -> impl Strategy<Value = Borrower> {
    let amount = prop_oneof![0.0..1e9, Just(0.005), Just(0.015), Just(1e9)];
    (amount, 0u16..=2, 0u16..=DISTRICTS as u16, 0u16..=INDUSTRIES as u16)
}

proptest! {
    /// Totals and groups are the plain sums over their rows, however rows are spread over banks, and behind every group with
    /// rows stand enough banks.
    #[test]
    fn groups_are_plain_sums_with_enough_banks(
        banks in prop::collection::vec(prop::collection::vec(borrower(), 0..12), 3..6), least in 1u32..5,
    ) {
        let found = statistics(&banks, plan(), least);
        let present = banks.iter().filter(|rows| !rows.is_empty()).count() as u32;
        match &found.total {
            Some(total) => prop_assert_eq!(total, &plainly(&banks, |_| true)),
            None => prop_assert!((1..least).contains(&present)),
        }
        for (place, table) in found.tables.iter().enumerate() {
            let code = |row: &Borrower| if place == 0 { row.2 } else { row.3 };
            let names = &found.plan.tables[place].fields[0].values;
            let mut cells = Vec::new();
            for group in &table.groups {
                let codes: Vec<u16> = group.cells.iter().map(|cell| {
                    names.iter().position(|name| *name == cell[0]).map_or(0, |place| place as u16 + 1)
                }).collect();
                prop_assert_eq!(&group.sums, &plainly(&banks, |row| codes.contains(&code(row))));
                let behind = banks.iter().filter(|rows| rows.iter().any(|row| codes.contains(&code(row)))).count();
                prop_assert!(behind == 0 || behind as u32 >= least, "{behind} banks behind {codes:?}");
                cells.extend(codes);
            }
            if !table.groups.is_empty() {
                prop_assert_eq!(cells, (0..=names.len() as u16).collect::<Vec<_>>());
                let sum = |word: usize| table.groups.iter().map(|group| group.sums[word]).sum::<i64>();
                prop_assert_eq!(Some((0..4).map(sum).collect::<Vec<_>>()), found.total.clone());
            }
        }
        // The same rows at other banks: the same figures wherever the groups are the same.
        let moved: Vec<_> = banks.iter().rev().cloned().collect();
        prop_assert_eq!(statistics(&moved, plan(), least).tables, found.tables);
    }
}

#[test]
fn a_table_of_two_fields_has_a_cell_for_each_pair() {
    let banks: Vec<Vec<Borrower>> =
        (0..3).map(|bank| vec![(100.0 + f64::from(bank), 1, 2, 3), (7.0, 2, 2, 0), (1.0, 0, 5, 1)]).collect();
    let mut both = plan();
    let industry = both.tables.pop().unwrap();
    both.tables[0].fields.extend(industry.fields);
    let found = statistics(&banks, both, 3);
    let of = |cell: [&str; 2]| {
        let group = found.tables[0].groups.iter().find(|group| group.cells.iter().any(|found| found == &cell));
        group.map(|group| group.sums.clone())
    };
    assert_eq!(of(["district2", "industry3"]), Some(vec![30_300, 30_300, 3, 3]));
    assert_eq!(of(["district2", ""]), Some(vec![2_100, 0, 0, 3]));
    assert_eq!(found.total, Some(vec![30_300 + 2_100 + 300, 30_300, 3, 9]));
    assert_eq!(found.share(0, found.total.as_ref().unwrap()), Some(30_300.0 / 32_700.0));
    assert_eq!((found.share(0, &[0; 4]), found.share(1, &[0; 4])), (None, None));
}

#[test]
fn a_district_of_one_bank_is_counted_with_its_neighbour() {
    let one = |district| vec![(10.0, 2, district, 1)];
    let mut banks = vec![[one(1), one(2)].concat(); 3];
    banks[0].extend(one(3));
    let found = statistics(&banks, plan(), 3);
    let last = found.tables[0].groups.last().unwrap();
    assert!(last.cells.contains(&vec!["district3".into()]) && last.cells.len() > 1, "{last:?}");
    assert_eq!(last.sums, [4_000, 0, 0, 4]);
    // Nothing at all of what only one bank has.
    let lone = statistics(&[one(1), Vec::new(), Vec::new()], plan(), 3);
    assert_eq!((&lone.total, lone.tables.iter().all(|table| table.groups.is_empty())), (&None, true));
}

#[test]
fn amounts_out_of_bounds_are_refused() {
    let request = plan().request();
    for amount in [-0.01, 1e9 + 1.0, f64::NAN, f64::INFINITY] {
        let error = crate::contribution(&request, &table(&[(1.0, 1, 1, 1), (amount, 1, 1, 1)])).unwrap_err();
        assert!(error.to_string().contains("amount between 0 and 1000000000 at row 1"), "{error}");
    }
    let mut short = table(&[(1.0, 1, 1, 1)]);
    short.columns.truncate(3);
    assert!(crate::contribution(&request, &short).is_err());
}

#[test]
fn plans_out_of_bounds_are_refused_with_the_parameter() {
    let changed = |change: &dyn Fn(&mut StatisticsPlan)| {
        let mut plan = plan();
        change(&mut plan);
        plan.check().map_err(|error| error.to_string())
    };
    assert_eq!(changed(&|_| ()), Ok(()));
    for (change, word) in [
        (&(|plan: &mut StatisticsPlan| plan.cap = 1e12) as &dyn Fn(&mut StatisticsPlan), "2^62"),
        (&|plan| plan.unit = 0.0, "statistics.unit"),
        (&|plan| plan.tallies.clear(), "between 1 and 32"),
        (&|plan| plan.tallies[1].0.name = "rows".into(), "names must differ"),
        (&|plan| plan.tallies.swap(0, 2), "amounts come before"),
        (&|plan| plan.shares[0].over = "nothing".into(), "shares"),
        (&|plan| plan.tables[1].fields[0].field = 2, "two tables"),
        (&|plan| plan.tallies[1].1.only[0].field = 2, "a condition on a field of a table"),
        (&|plan| plan.tables.clear(), "at least one"),
        (&|plan| plan.tables[0].fields[0].values = values("d", 20_000), "20000 cells"),
    ] {
        let error = changed(change).unwrap_err();
        assert!(error.contains(word), "{error}");
    }
}
