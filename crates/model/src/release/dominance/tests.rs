//! Who has how much of a group, against banks that have nearly all of it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::presence;
use super::*;

/// Cells of `good, bad` rows, on so many sides.
fn axis(cells: usize, sides: usize) -> Axis {
    Axis { sides, ..Axis::told_by(cells, 2, 2) }
}

/// The fold of what banks add, and what they want joined.
fn weighed(axes: &[Axis], banks: &[Vec<i64>], least: u32, share: f64) -> (Fold, Fold) {
    let mut contributors = Vec::new();
    for own in banks {
        let present = presence(axes, own);
        contributors.resize(present.len(), 0);
        contributors.iter_mut().zip(present).for_each(|(count, one)| *count += u32::from(one));
    }
    let fold = Fold::new(axes, &contributors, least);
    let own: Vec<_> = banks.iter().map(|own| folded(axes, &fold, own)).collect();
    let mut all = vec![0; size_words(axes)];
    own.iter().for_each(|own| all.iter_mut().zip(own).for_each(|(sum, rows)| *sum += rows));
    let mut wanted = vec![0; axes.iter().map(|axis| axis.cells).sum()];
    for own in &own {
        let joins = joins(axes, &fold, own, &all, share);
        assert_eq!(joins.len(), wanted.len());
        wanted.iter_mut().zip(joins).for_each(|(banks, join)| *banks += u32::from(join));
    }
    let joined = fold.clone().joined(axes, &wanted);
    (fold, joined)
}

fn folded(axes: &[Axis], fold: &Fold, own: &[i64]) -> Vec<i64> {
    let mut own = own.to_vec();
    fold.apply(axes, &mut own);
    sizes(axes, &own)
}

/// The largest share of a shown group on a side that is one bank's.
fn largest_share(axes: &[Axis], fold: &Fold, banks: &[Vec<i64>]) -> f64 {
    let own: Vec<_> = banks.iter().map(|own| folded(axes, fold, own)).collect();
    let share = |word: usize| {
        let all: i64 = own.iter().map(|own| own[word]).sum();
        own.iter().map(|own| own[word] as f64 / all.max(1) as f64).fold(0.0, f64::max)
    };
    (0..size_words(axes)).map(share).fold(0.0, f64::max)
}

#[test]
fn a_group_that_is_nearly_one_banks_is_joined_with_its_neighbours() {
    let good = |rows: [i64; 5]| rows.iter().flat_map(|rows| [*rows, 0]).collect::<Vec<_>>();
    let axes = [axis(5, 1)];
    let groups = |share: f64, banks: [[i64; 5]; 3]| {
        let (fold, joined) = weighed(&axes, &banks.map(good), 3, share);
        assert_eq!(fold.groups(0), [0, 1, 2, 3, 4]);
        joined.groups(0).to_vec()
    };
    let small = [1, 1, 1, 1, 100];
    // The platform gave the rows of two banks the last code, all but a few: the third one's counts would stand alone.
    assert_eq!(groups(0.75, [[50, 40, 30, 20, 10], small, small]), [0]);
    assert_eq!(groups(0.999, [[50, 40, 30, 20, 10], small, small]), [0, 1, 2, 3, 4]);
    // A bank that is large in one cell only.
    assert_eq!(groups(0.75, [[5, 5, 90, 5, 5], [5; 5], [5; 5]]), [0, 4]);
    assert_eq!(groups(0.75, [[5, 5, 5, 5, 90], [25; 5], [25; 5]]), [0, 1, 2, 3, 4]);
    // Two banks, each in a cell of its own: what both bear is joined once.
    assert_eq!(groups(0.75, [[90, 2, 2, 2, 2], [2, 90, 2, 2, 2], [2; 5]]), [0, 2, 3, 4]);
    // Nothing of the axis can be shown.
    assert!(groups(0.5, [[50; 5], [20; 5], [20; 5]]).is_empty());
}

#[test]
fn a_table_with_known_margins_is_shown_as_a_whole_or_not_at_all() {
    let known = vec![vec![0, 1], vec![2, 3], vec![0, 2], vec![1, 3]];
    let axes = [Axis { known, ..axis(4, 1) }];
    let rows = |rows: [i64; 4]| rows.iter().flat_map(|rows| [*rows, 0]).collect::<Vec<_>>();
    let groups = |banks: [[i64; 4]; 3]| weighed(&axes, &banks.map(rows), 3, 0.75).1.groups(0).to_vec();
    assert_eq!(groups([[9, 9, 9, 9], [5; 4], [5; 4]]), [0, 1, 2, 3]);
    assert!(groups([[9, 9, 9, 90], [5; 4], [5; 4]]).is_empty());
}

#[test]
fn a_bank_may_ask_for_needless_joins_and_for_nothing_else() {
    let axes = [axis(4, 1), axis(3, 2)];
    let fold = Fold::none(&axes);
    let groups = |joins: [u32; 7]| {
        let joined = fold.clone().joined(&axes, &joins);
        [joined.groups(0).to_vec(), joined.groups(1).to_vec()]
    };
    assert_eq!(groups([0; 7]), [vec![0, 1, 2, 3], vec![0, 1, 2]]);
    assert_eq!(groups([0, 3, 0, 1, 0, 0, 1]), [vec![0, 2], vec![0, 1]]);
    assert_eq!(groups([0, 0, 0, 0, 1, 0, 0]), [vec![0, 1, 2, 3], vec![]]);
}

prop_compose! {
    fn banks(axes: Vec<Axis>)(
        rows in prop::collection::vec(
            prop::collection::vec(prop_oneof![3 => Just(0i64), 3 => 0i64..4, 2 => 0i64..200], axes.iter().map(|axis| axis.cells * axis.width()).sum::<usize>()),
            3..6,
        ),
    ) -> Vec<Vec<i64>> {
        rows
    }
}

proptest! {
    /// However rows are spread, no bank has more than the share of what is shown, and groups are unions of those that the
    /// indicators allow.
    #[test]
    fn no_bank_has_more_than_the_share_of_a_shown_group(
        rows in banks(vec![axis(9, 1), axis(5, 2), axis(1, 1)]), share in 0.34..0.99f64,
    ) {
        let axes = [axis(9, 1), axis(5, 2), axis(1, 1)];
        let (fold, joined) = weighed(&axes, &rows, 3, share);
        prop_assert!(largest_share(&axes, &joined, &rows) <= share);
        for axis in 0..3 {
            prop_assert!(joined.groups(axis).iter().all(|first| fold.groups(axis).contains(first)));
            prop_assert!(joined.groups(axis).first().is_none_or(|first| *first == 0));
        }
        // What every bank bears already stays as it is.
        let bears: BTreeMap<_, _> = (0..3).map(|place| (place, largest_share(&axes, &fold, &rows) <= share)).collect();
        prop_assert!(!bears[&0] || joined == fold);
    }
}
