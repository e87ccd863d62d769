use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// The definition: rows counted by their whole vector.
fn naive(rows: usize, columns: &[&[u16]], k: u32) -> Groups {
    let mut sizes: BTreeMap<Vec<u16>, u64> = BTreeMap::new();
    for row in 0..rows {
        *sizes.entry(columns.iter().map(|column| column[row]).collect()).or_default() += 1;
    }
    Groups {
        fields: columns.len() as u32,
        groups: sizes.len() as u64,
        smallest: sizes.values().copied().min().unwrap_or(0),
        unique: sizes.values().filter(|size| **size == 1).count() as u64,
        below: sizes.values().filter(|size| **size < u64::from(k)).sum(),
    }
}

type Columns = Vec<Vec<u16>>;

/// Rows, released columns, earlier ones, labels, k.
fn table() -> impl Strategy<Value = (usize, Columns, Columns, Vec<u8>, u32)> {
    (0usize..60, 0usize..5, 0usize..4, 1u16..5).prop_flat_map(|(rows, fields, more, codes)| {
        let column = prop::collection::vec(0..codes, rows);
        let columns = |count| prop::collection::vec(column.clone(), count);
        (Just(rows), columns(fields), columns(more), prop::collection::vec(0u8..2, rows), 1u32..6)
    })
}

fn slices(columns: &[Vec<u16>]) -> Vec<&[u16]> {
    columns.iter().map(Vec::as_slice).collect()
}

proptest! {
    #[test]
    fn groups_are_those_of_the_definition((rows, columns, earlier, label, k) in table()) {
        let (columns, earlier) = (slices(&columns), slices(&earlier));
        let verdict = Verdict::of(rows, &columns, &earlier, None, k);
        prop_assert_eq!(&verdict.release, &naive(rows, &columns, k));
        let all: Vec<_> = columns.iter().chain(&earlier).copied().collect();
        prop_assert_eq!(&verdict.cumulative, &naive(rows, &all, k));
        prop_assert!(verdict.cumulative.groups >= verdict.release.groups);

        let mut labels: BTreeMap<Vec<u16>, (BTreeSet<u8>, u64)> = BTreeMap::new();
        for row in 0..rows {
            let entry = labels.entry(columns.iter().map(|column| column[row]).collect()).or_default();
            entry.0.insert(label[row]);
            entry.1 += 1;
        }
        let uniform: Vec<_> = labels.values().filter(|(labels, _)| labels.len() == 1).collect();
        let expected = LabelDiversity {
            groups: labels.len() as u64,
            uniform: uniform.len() as u64,
            rows: uniform.iter().map(|(_, rows)| rows).sum(),
        };
        prop_assert_eq!(label_diversity(&columns, &label), expected);
    }

    #[test]
    fn the_nearest_earlier_row_set_is_found(
        rows in prop::collection::btree_set(0u64..12, 0..12),
        earlier in prop::collection::vec(prop::collection::btree_set(0u64..12, 0..12), 0..4),
    ) {
        let expected = earlier.iter().map(|other| rows.symmetric_difference(other).count() as u64);
        let expected = expected.filter(|apart| *apart > 0).min();
        let sorted = |set: &BTreeSet<u64>| set.iter().copied().collect::<Vec<_>>();
        let others: Vec<_> = earlier.iter().map(sorted).collect();
        prop_assert_eq!(nearest(&sorted(&rows), others.iter().map(Vec::as_slice)), expected);
    }
}

fn coarse(rows: usize, fields: usize) -> Vec<Vec<u16>> {
    (0..fields).map(|_| (0..rows).map(|row| (row % 2) as u16).collect()).collect()
}

#[test]
fn a_bulk_release_hides_every_row_among_k() {
    let (mut columns, k) = (coarse(40, 3), 20);
    let verdict = |columns: &[Vec<u16>], difference| Verdict::of(40, &slices(columns), &[], difference, k);
    assert_eq!(verdict(&columns, None).blocks(None), None);
    assert_eq!(verdict(&columns, Some(20)).blocks(None), None);
    assert_eq!(verdict(&columns, Some(19)).blocks(None), Some(Blocked::Difference { rows: 19, k }));
    columns[1][7] = 9;
    let found = verdict(&columns, None).blocks(None);
    assert_eq!(found, Some(Blocked::Group { below: 20, rows: 40, k, smallest: 1, fields: 3 }));
    // Empty releases show nobody.
    assert_eq!(Verdict::of(0, &[&[] as &[u16]], &[], None, k).blocks(None), None);
}

#[test]
fn what_a_grantee_has_already_counts() {
    let unique: Vec<u16> = (0..40).collect();
    let columns = coarse(40, 2);
    let verdict = Verdict::of(40, &slices(&columns), &[&unique], None, 20);
    assert_eq!((verdict.release.smallest, verdict.cumulative.smallest), (20, 1));
    assert!(matches!(verdict.blocks(None), Some(Blocked::Group { fields: 3, .. })));
}

#[test]
fn who_consented_to_the_vector_is_not_hidden() {
    let unique: Vec<u16> = (0..40).collect();
    let verdict = |fields: usize| Verdict::of(40, &vec![unique.as_slice(); fields], &[], None, 20);
    for (fields, form, blocked) in [
        (5, None, true),
        (5, Some(Form::Sealed), true),
        (5, Some(Form::Binned), false),
        (6, Some(Form::Binned), true),
        (6, Some(Form::BinnedVector), false),
        (6, Some(Form::Raw), false),
        (6, None, true),
    ] {
        assert_eq!(verdict(fields).blocks(form).is_some(), blocked, "{fields} {form:?}");
    }
}

#[test]
fn many_readers_see_two_digits() {
    let rounded = |count: u64| super::round_up(count);
    assert_eq!([0, 1, 19, 99, 100, 101, 1499, 1500, 1501].map(rounded), [0, 1, 19, 99, 100, 110, 1500, 1500, 1600]);
    assert!(rounded(u64::MAX) >= u64::MAX / 10 * 9);
    let verdict = Verdict::of(1234, &slices(&coarse(1234, 2)), &[], Some(19), 20);
    let shown = verdict.rounded();
    assert_eq!((shown.rows, shown.release.groups, shown.release.smallest, shown.difference), (1300, 2, 620, Some(19)));
    assert_eq!(shown.rounded(), shown);
}

#[test]
fn a_verdict_is_the_same_read_again() {
    let verdict = Verdict::of(40, &slices(&coarse(40, 2)), &[], Some(3), 20);
    let text = serde_json::to_string(&verdict).unwrap();
    assert_eq!(serde_json::from_str::<Verdict>(&text).unwrap(), verdict);
    assert!((verdict.release.prosecutor_risk(verdict.rows) - 0.05).abs() < 1e-12);
}
