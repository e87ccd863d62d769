//! Release rules on tables small enough to see through.

use proptest::prelude::*;

use super::indicators::indicators;
use super::*;
use crate::SwapLines;
use crate::contribution::BothScores;
use crate::request::{LinearModel, Model, RowTerms, ScoreGrid};

fn one() -> Axis {
    Axis::folded(6, 1)
}

#[test]
fn neighbours_are_counted_together_until_enough_banks_stand_behind_them() {
    // Banks by cell, as sets.
    let fold = |banks: [&[usize]; 6]| {
        let mut contributors = vec![0; one().indicators()];
        for bank in 1..=5 {
            let own = banks.map(|cell| i64::from(cell.contains(&bank)));
            for (count, present) in contributors.iter_mut().zip(presence(&[one()], &own)) {
                *count += u32::from(present);
            }
        }
        Fold::new(&[one()], &contributors, 3).groups(0).to_vec()
    };
    let all: &[usize] = &[1, 2, 3];
    assert_eq!(fold([all; 6]), [0, 1, 2, 3, 4, 5]);
    assert_eq!(fold([&[1], all, &[1, 2], all, &[], all]), [0, 2, 4, 5]);
    assert_eq!(fold([all, all, &[], &[], &[1], &[1, 2]]), [0, 1]);
    assert_eq!(fold([&[]; 6]), [0, 1, 2, 3, 4, 5]);
    assert!(fold([&[1, 2]; 6]).is_empty());
    // No cell has three banks, the range of the first four has, and that of the last two.
    assert_eq!(fold([&[1], &[1], &[2], &[3], &[1, 2], &[3]]), [0, 4]);
}

#[test]
fn a_table_is_shown_as_a_whole_or_not_at_all() {
    // One cell of it and its margins: the others follow.
    let known = vec![vec![0, 1], vec![2, 3], vec![0, 2], vec![1, 3]];
    let axes = [Axis { known, parts: vec![0, 1], ..Axis::folded(4, 2) }];
    let fold = |banks: [u32; 4]| Fold::new(&axes, &[&banks[..], &[3; 3]].concat(), 3).groups(0).to_vec();
    assert_eq!(fold([3, 4, 3, 5]), [0, 1]);
    assert_eq!(fold([3, 0, 3, 5]), [0, 1]);
    assert!(fold([3, 4, 2, 5]).is_empty());
    assert!(fold([3, 4, 3, 2]).is_empty());
}

#[test]
fn sums_of_packed_indicators_are_counts() {
    let axes = [Axis::folded(5, 2), one()];
    let present: Vec<bool> = (0..indicators(&axes)).map(|place| place % 3 == 0).collect();
    let words: Vec<i64> = pack(&present).into_iter().map(|word| word * 5).collect();
    assert_eq!(words.len(), packed_words(&axes));
    let expected: Vec<u32> = present.iter().map(|one| 5 * u32::from(*one)).collect();
    assert_eq!(unpack(&axes, &words, 5), Some(expected));
    assert_eq!(unpack(&axes, &words, 4), None);
    assert_eq!(unpack(&axes, &words[1..], 5), None);
    for wrong in [-1, 1 << 60] {
        let mut words = words.clone();
        words[1] = wrong;
        assert_eq!(unpack(&axes, &words, 5), None);
    }
}

proptest! {
    /// No released word stands on the rows of fewer banks than asked, and nothing is lost from an axis that is shown.
    #[test]
    fn no_group_of_a_sparse_histogram_has_too_few_banks(
        banks in prop::collection::vec(prop::collection::vec(0i64..3, 24), 3..7),
        density in 0u32..100,
        least in 2u32..5,
    ) {
        let axes = [Axis::folded(6, 2), Axis::folded(12, 1)];
        let tables: Vec<Vec<i64>> = banks
            .iter()
            .enumerate()
            .map(|(bank, words)| {
                let kept = |place: usize| (place * 37 + bank * 61) as u32 % 100 < density;
                words.iter().enumerate().map(|(place, word)| if kept(place) { *word } else { 0 }).collect()
            })
            .collect();
        let mut contributors = vec![0; indicators(&axes)];
        for table in &tables {
            for (count, present) in contributors.iter_mut().zip(presence(&axes, table)) {
                *count += u32::from(present);
            }
        }
        let fold = Fold::new(&axes, &contributors, least);
        let folded: Vec<Vec<i64>> = tables
            .iter()
            .map(|table| {
                let mut folded = table.clone();
                fold.apply(&axes, &mut folded);
                folded
            })
            .collect();
        let shown = fold.shown(&axes, &contributors);
        for cell in (0..12).step_by(2).map(|word| word..word + 2).chain((12..24).map(|word| word..word + 1)) {
            let behind = |table: &&Vec<i64>| table[cell.clone()].iter().any(|count| *count != 0);
            let behind = folded.iter().filter(behind).count() as u32;
            prop_assert!(behind == 0 || behind >= least);
            prop_assert!(behind == 0 || cell.clone().all(|word| shown[word]));
        }
        for (axis, range) in [(0, 0..12), (1, 12..24)] {
            let total = |tables: &[Vec<i64>]| tables.iter().flat_map(|table| &table[range.clone()]).sum::<i64>();
            let kept = if fold.groups(axis).is_empty() { 0 } else { total(&tables) };
            prop_assert_eq!(total(&folded), kept);
        }
    }
}

#[test]
fn the_parts_of_a_group_are_those_of_the_axis() {
    let axis = Axis { parts: vec![0, 2, 5], ..one() };
    let levels = |banks: [u32; 6]| {
        let mut all = vec![0; axis.indicators()];
        all[..6].copy_from_slice(&banks);
        all
    };
    let groups = |axis: Axis, banks| Fold::new(&[axis], &levels(banks), 3).groups(0).to_vec();
    assert_eq!(groups(axis.clone(), [3; 6]), [0, 2, 5]);
    assert_eq!(groups(axis.clone(), [3, 3, 1, 1, 3, 2]), [0, 2]);
    assert_eq!(groups(axis.clone(), [0; 6]), [0, 2, 5]);
    assert!(groups(Axis { parts: Vec::new(), ..axis.clone() }, [3; 6]).is_empty());
}

/// Two sides with these banks by cell.
fn two_sides<const CELLS: usize>(left: [&[usize]; CELLS], right: [&[usize]; CELLS]) -> Vec<usize> {
    let axes = [Axis { sides: 2, ..Axis::folded(CELLS, 1) }];
    let own = |bank: usize| -> Vec<i64> {
        let cells = left.iter().zip(&right);
        cells.flat_map(|(left, right)| [left, right].map(|banks| i64::from(banks.contains(&bank)))).collect()
    };
    let tables: Vec<_> = (1..=4).map(own).collect();
    folded(&axes, &tables, 3).groups(0).to_vec()
}

#[test]
fn two_sides_have_the_same_groups_safe_on_both() {
    let all: &[usize] = &[1, 2, 3];
    let none: &[usize] = &[];
    assert_eq!(two_sides([all; 4], [all; 4]), [0, 1, 2, 3]);
    assert_eq!(two_sides([all, all, none, none], [none, none, all, all]), [0, 1, 2, 3]);
    assert_eq!(two_sides([all, all, all, all], [all, &[1], all, all]), [0, 1, 3]);
    // A small side, beside one that no cell of it can be told apart from.
    assert_eq!(two_sides([&[1], &[2], &[3], none], [all; 4]), [0]);
    assert_eq!(two_sides([&[1], &[2, 3], &[1, 2], &[3]], [all; 4]), [0, 2]);
}

#[test]
fn a_part_is_not_shown_by_what_its_group_is_known_to_lack() {
    let (all, rest): (&[usize], &[usize]) = (&[1, 2, 3], &[2, 3, 4]);
    // Both cells together have four banks on the left and three on the right. But on the right the second has none, so
    // the left of the first would be the left of both less the second of the sum before: the first bank's rows.
    assert!(two_sides([&[1], rest], [rest, &[]]).is_empty());
    // Another cell shared by all hides it.
    assert_eq!(two_sides([&[1], rest, all], [rest, &[], all]), [0]);
}

/// What is shown of banks' tables.
fn folded(axes: &[Axis], tables: &[Vec<i64>], least: u32) -> Fold {
    let mut contributors = vec![0; indicators(axes)];
    for table in tables {
        for (count, present) in contributors.iter_mut().zip(presence(axes, table)) {
            *count += u32::from(present);
        }
    }
    Fold::new(axes, &contributors, least)
}

/// Cells of the axis that is divided and divided again.
const CELLS: usize = 8;
/// Parts of a row set that is halved twice.
const LEAVES: usize = 4;

/// Of an axis over all rows, over the halves and over the quarters: the sums that are shown, each as the atoms (cell and
/// quarter) that it counts.
fn shown_of_halves(tables: &[Vec<i64>], least: u32) -> Vec<Vec<bool>> {
    let mut shown = Vec::new();
    let mut ask = |nodes: &[std::ops::Range<usize>], parts: &[usize]| {
        let axes = [Axis { sides: nodes.len(), parts: parts.to_vec(), ..Axis::folded(CELLS, 1) }];
        let cell = |table: &Vec<i64>, cell: usize, node: &std::ops::Range<usize>| {
            table[LEAVES * cell..][node.clone()].iter().sum::<i64>()
        };
        let words = |table: &Vec<i64>| -> Vec<i64> {
            (0..CELLS).flat_map(|at| nodes.iter().map(move |node| cell(table, at, node))).collect()
        };
        let fold = folded(&axes, &tables.iter().map(words).collect::<Vec<_>>(), least);
        let groups = fold.groups(0).to_vec();
        for (place, first) in groups.iter().enumerate() {
            let end = groups.get(place + 1).copied().unwrap_or(CELLS);
            for node in nodes {
                let counts = |atom: usize| (*first..end).contains(&(atom / LEAVES)) && node.contains(&(atom % LEAVES));
                shown.push((0..CELLS * LEAVES).map(counts).collect());
            }
        }
        groups
    };
    let root = ask(std::slice::from_ref(&(0..LEAVES)), &(0..CELLS).collect::<Vec<_>>());
    let halves = ask(&[0..2, 2..4], &root);
    ask(&[0..1, 1..2], &halves);
    ask(&[2..3, 3..4], &halves);
    shown
}

/// Rank of the sums where only these atoms can be seen.
fn rank_of(sums: &[Vec<bool>], atoms: &[usize]) -> usize {
    rank(sums.iter().map(|sum| atoms.iter().map(|atom| i64::from(sum[*atom])).collect()).collect())
}

#[test]
fn ranks_are_those_of_the_rows() {
    assert_eq!(rank(Vec::new()), 0);
    assert_eq!(rank(vec![vec![0, 0], vec![0, 0]]), 0);
    assert_eq!(rank(vec![vec![1, 1, 0], vec![0, 1, 1], vec![1, 0, 1], vec![1, 1, 1]]), 3);
    assert_eq!(rank(vec![vec![1, 1, 0, 0], vec![0, 0, 1, 1], vec![1, 0, 1, 0], vec![0, 1, 0, 1]]), 3);
}

/// Lines of one or two tables, and the rows that each bank has in every pair of cells of two scores.
fn swap_lines() -> impl Strategy<Value = (SwapLines, Vec<Vec<i64>>)> {
    let pair = || [1u32..SCORES, 1..SCORES];
    let atoms = (SCORES * SCORES) as usize;
    let tables = prop::collection::vec(prop::collection::vec(0i64..100, atoms), 3..5);
    (prop::collection::vec(pair(), 1..3), tables, 0i64..100).prop_map(|(pairs, tables, sparse)| {
        let model = Model::Linear(LinearModel { intercept: 0.0, terms: Vec::new(), rows: RowTerms::default() });
        let grid = ScoreGrid { low: 1.0, step: 1.0, cells: SCORES };
        let kept = |table: Vec<i64>| table.into_iter().map(|value| i64::from(value >= sparse)).collect();
        (SwapLines { model, grid, pairs }, tables.into_iter().map(kept).collect())
    })
}

/// Cells of a score.
const SCORES: u32 = 4;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// What both scores approve, beside what each does: neither a table nor the difference of two tells of too few banks.
    #[test]
    fn no_difference_of_tables_has_too_few_banks((lines, tables) in swap_lines(), least in 2u32..4) {
        let scores = |atom: usize| [atom as u32 / SCORES, atom as u32 % SCORES];
        let axis = lines.axis();
        let words = |table: &Vec<i64>| {
            let row = |(row, count): (usize, &i64)| {
                let [joint, bank_only] = scores(row).map(f64::from).map(|score| score + 0.5);
                (*count > 0).then_some(BothScores { row, joint, bank_only, bad: row % 2 == 1 })
            };
            let mut words = vec![0; lines.words()];
            lines.add(table.iter().enumerate().filter_map(row), &mut words);
            words
        };
        let fold = folded(std::slice::from_ref(&axis), &tables.iter().map(words).collect::<Vec<_>>(), least);
        let atoms = (SCORES * SCORES) as usize;
        let sum = |counts: &dyn Fn([u32; 2]) -> bool| (0..atoms).map(|atom| counts(scores(atom))).collect::<Vec<_>>();
        // The margins at the lines, and each table.
        let mut shown = vec![sum(&|_| true)];
        if !fold.groups(0).is_empty() {
            for pair in &lines.pairs {
                shown.extend([0, 1].map(|side: usize| sum(&|scores| scores[side] < pair[side])));
                shown.push(sum(&|scores| scores[0] < pair[0] && scores[1] < pair[1]));
            }
            // What is released is what the tables say.
            let all: Vec<i64> = (0..lines.words()).map(|word| tables.iter().map(|table| words(table)[word]).sum()).collect();
            let mut folded = all.clone();
            fold.apply(std::slice::from_ref(&axis), &mut folded);
            prop_assert_eq!(lines.approved(&folded), lines.approved(&all));
        }
        // Banks by the bands that the lines make: rows in one band are told apart by no table.
        let place = |atom: usize| {
            [0, 1].map(|side: usize| lines.pairs.iter().filter(|pair| pair[side] <= scores(atom)[side]).count())
        };
        let banks: Vec<u32> = (0..atoms)
            .map(|atom| {
                let has = |table: &Vec<i64>| (0..atoms).any(|other| place(other) == place(atom) && table[other] > 0);
                tables.iter().enumerate().map(|(bank, table)| u32::from(has(table)) << bank).sum()
            })
            .collect();
        if shown.len() > 1 {
            check_differences(&shown, &banks, tables.len(), least)?;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// However sums over a set of rows and over its halves and quarters are added and subtracted, the outcome stands on the
    /// rows of no bank or of enough: a combination that counts no row of the others counts none of a few.
    #[test]
    fn no_difference_of_shown_groups_has_too_few_banks(
        tables in prop::collection::vec(prop::collection::vec(0i64..100, CELLS * LEAVES), 3..5),
        sparse in prop::collection::vec(0i64..100, LEAVES),
        least in 2u32..4,
    ) {
        let kept = |(atom, value): (usize, &i64)| i64::from(*value >= sparse[atom % LEAVES]);
        let tables: Vec<Vec<i64>> = tables.iter().map(|table| table.iter().enumerate().map(kept).collect()).collect();
        let shown = shown_of_halves(&tables, least);
        let banks: Vec<u32> = (0..CELLS * LEAVES)
            .map(|atom| tables.iter().enumerate().map(|(bank, table)| u32::from(table[atom] > 0) << bank).sum())
            .collect();
        check_differences(&shown, &banks, tables.len(), least)?;
    }
}

/// Whether a combination that counts no row of the others counts none of a few; by the banks that have rows in each atom.
pub(crate) fn check_differences(
    shown: &[Vec<bool>],
    banks: &[u32],
    all: usize,
    least: u32,
) -> Result<(), TestCaseError> {
    let filled: Vec<_> = (0..banks.len()).filter(|atom| banks[*atom] != 0).collect();
    for few in (1u32..1 << all).filter(|few| few.count_ones() < least) {
        let others: Vec<_> = filled.iter().copied().filter(|atom| banks[*atom] & !few != 0).collect();
        prop_assert_eq!(rank_of(shown, &filled), rank_of(shown, &others));
    }
    Ok(())
}

/// Segments of the rows that an axis is divided by.
const SEGMENTS: usize = 3;

/// Of an axis over all rows and over each segment of them: the sums that are shown, as above, and each segment's total.
fn shown_of_segments(tables: &[Vec<i64>], least: u32) -> Vec<Vec<bool>> {
    let mut shown = Vec::new();
    let mut ask = |axis: Axis, parts: &[std::ops::Range<usize>]| {
        let words = |table: &Vec<i64>| -> Vec<i64> {
            let of = |part: &std::ops::Range<usize>, side: usize| {
                let atoms = part.clone().filter(|atom| axis.sides == 1 || atom % SEGMENTS == side);
                atoms.map(|atom| table[atom]).sum()
            };
            parts.iter().flat_map(|part| (0..axis.sides).map(move |side| of(part, side))).collect()
        };
        let fold = folded(std::slice::from_ref(&axis), &tables.iter().map(words).collect::<Vec<_>>(), least);
        let groups = fold.groups(0).to_vec();
        let ranges: Vec<_> = (0..groups.len())
            .map(|place| {
                parts[groups[place]].start..groups.get(place + 1).map_or(CELLS * SEGMENTS, |next| parts[*next].start)
            })
            .collect();
        for (range, side) in ranges.iter().flat_map(|range| (0..axis.sides).map(move |side| (range, side))) {
            let counts = |atom: usize| range.contains(&atom) && (axis.sides == 1 || atom % SEGMENTS == side);
            shown.push((0..CELLS * SEGMENTS).map(counts).collect());
        }
        ranges
    };
    let cells: Vec<_> = (0..CELLS).map(|cell| cell * SEGMENTS..(cell + 1) * SEGMENTS).collect();
    let groups = ask(Axis::folded(CELLS, 1), &cells);
    ask(Axis { sides: SEGMENTS, ..Axis::folded(groups.len(), 1) }, &groups);
    shown
}

#[test]
fn sides_are_shown_once_each_is_bound_to_the_others() {
    let fold = |sides: &[[&[usize]; 3]]| {
        let axes = [Axis { sides: sides.len(), ..Axis::folded(3, 1) }];
        let own = |bank: usize| -> Vec<i64> {
            (0..3).flat_map(|cell| sides.iter().map(move |side| i64::from(side[cell].contains(&bank)))).collect()
        };
        folded(&axes, &(1..=4).map(own).collect::<Vec<_>>(), 3).groups(0).to_vec()
    };
    let (all, none): (&[usize], &[usize]) = (&[1, 2, 3], &[]);
    assert_eq!(fold(&[[all; 3], [all; 3], [all; 3]]), [0, 1, 2]);
    // The first is bound to the second, the second to the third.
    assert_eq!(fold(&[[all, none, all], [all, all, all], [none, all, all]]), [0, 1, 2]);
    assert_eq!(fold(&[[all, none, none], [all, all, none], [none, all, all]]), [0, 1, 2]);
    // On the third too few banks have rows, and then enough only together.
    assert!(fold(&[[all; 3], [all; 3], [&[1], &[2], none]]).is_empty());
    assert_eq!(fold(&[[all; 3], [all; 3], [&[1], &[2], &[3]]]), [0]);
    assert_eq!(fold(&[[all; 3], [all; 3], [&[1], all, &[3]]]), [0]);
    assert_eq!(fold(&[[all; 3], [none; 3], [none; 3]]), [0, 1, 2]);
    // The last one shares cells now with the first, now with the second, which are bound.
    assert_eq!(fold(&[[all, all, none], [all, none, all], [none, &[1], &[2, 3]]]), [0]);
    // Two pairs that nothing binds.
    assert!(fold(&[[all, all, &[1]], [all, all, &[2]], [none, none, all], [none, none, all]]).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// The same of sums over all rows and over segments of them.
    #[test]
    fn no_difference_of_segments_has_too_few_banks(
        tables in prop::collection::vec(prop::collection::vec(0i64..100, CELLS * SEGMENTS), 3..6),
        sparse in prop::collection::vec(0i64..100, SEGMENTS),
        least in 2u32..5,
    ) {
        let kept = |(atom, value): (usize, &i64)| i64::from(*value >= sparse[atom % SEGMENTS]);
        let tables: Vec<Vec<i64>> = tables.iter().map(|table| table.iter().enumerate().map(kept).collect()).collect();
        let shown = shown_of_segments(&tables, least);
        let banks: Vec<u32> = (0..CELLS * SEGMENTS)
            .map(|atom| tables.iter().enumerate().map(|(bank, table)| u32::from(table[atom] > 0) << bank).sum())
            .collect();
        check_differences(&shown, &banks, tables.len(), least)?;
    }
}
