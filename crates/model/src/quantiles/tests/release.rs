//! What all passes and the counts of the bins show together.

use proptest::prelude::*;

use super::{column, seek, terms};
use crate::contribution::contribution;
use crate::plain::Plain;
use crate::quantiles::CutSearch;
use crate::release::tests::check_differences;
use crate::request::{Kind, RowSet, SumRequest, Sums};
use crate::tests::names;

/// Values that are near, far, equal but for a bit, missing and special.
const ATOMS: [f64; 14] = [
    f64::NAN,
    -999.0,
    -998.0,
    -1e300,
    -2.0,
    -5e-324,
    0.0,
    0.600_000_000_000_000_1,
    0.600_000_000_000_000_2,
    0.75,
    1.0,
    1.5,
    7.0,
    1e18,
];
const SPECIAL: [f64; 2] = [-999.0, -998.0];

/// Of every word that is shown, the atoms that it counts.
fn shown(request: &SumRequest, sums: &Sums) -> Vec<Vec<bool>> {
    let axes = request.axes();
    let words: Vec<Vec<i64>> = ATOMS
        .iter()
        .map(|atom| {
            let mut words = contribution(request, &column(&[*atom])).unwrap();
            sums.fold.apply(&axes, &mut words);
            words
        })
        .collect();
    let counted = |word: usize| words.iter().map(|words| words[word] > 0).collect::<Vec<_>>();
    (0..request.words()).map(counted).filter(|atoms| atoms.contains(&true)).collect()
}

/// All that a search and the counts of its bins show.
fn all_shown(banks: &[Vec<f64>], search: CutSearch, bins: u16, least: u32) -> Vec<Vec<bool>> {
    let (search, rounds) = seek(banks, &SPECIAL, terms(search, bins, 2), least);
    let request = SumRequest { rows: RowSet::Train, scale_bits: 0, kind: Kind::Counts(search.bins()) };
    let everyone = names(banks.len());
    let tables = everyone.iter().cloned().zip(banks.iter().map(|values| column(values))).collect();
    let sums = Plain { tables, least, share: None }.answer(&request, &everyone, &everyone).unwrap();
    let counts = shown(&request, &sums);
    rounds.iter().flat_map(|(request, sums)| shown(request, sums)).chain(counts).collect()
}

/// By atom, the banks that have rows of it.
fn banks_of(banks: &[Vec<f64>]) -> Vec<u32> {
    let has = |values: &[f64], atom: f64| values.iter().any(|value| value.to_bits() == atom.to_bits());
    let of = |atom: &f64| banks.iter().enumerate().map(|(bank, values)| u32::from(has(values, *atom)) << bank).sum();
    ATOMS.iter().map(of).collect()
}

/// Each bank's values, from how many rows it has of every atom.
fn dealt(counts: &[Vec<usize>]) -> Vec<Vec<f64>> {
    let of = |counts: &Vec<usize>| ATOMS.iter().zip(counts).flat_map(|(atom, count)| vec![*atom; *count]).collect();
    counts.iter().map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// However the sums of all passes and the counts of the bins are added and subtracted, the outcome stands on the rows of no
    /// bank or of enough, though folded groups are divided again.
    #[test]
    fn no_difference_of_passes_has_too_few_banks(
        counts in prop::collection::vec(prop::collection::vec(0usize..12, ATOMS.len()), 3..6),
        sparse in prop::collection::vec(0usize..14, ATOMS.len()),
        bins in 2u16..12,
        least in 2u32..4,
    ) {
        // Some atoms are rare.
        let rare = |(atom, count): (usize, &usize)| count.saturating_sub(sparse[atom]);
        let counts: Vec<Vec<usize>> = counts.iter().map(|own| own.iter().enumerate().map(rare).collect()).collect();
        let banks = dealt(&counts);
        let shown = all_shown(&banks, CutSearch::Nested, bins, least);
        check_differences(&shown, &banks_of(&banks), banks.len(), least)?;
    }
}

/// The search before it put a cut inside the range that it was found by: the rows of a bin less those of the ranges in it were
/// those of one bank.
#[test]
fn a_cut_inside_its_range_showed_the_rows_between() {
    let spread =
        |bank: usize| (0..600).map(|row| 0.6 + 1e-6 * f64::from(row * 3 + bank as i32 % 3)).collect::<Vec<f64>>();
    let banks: Vec<Vec<f64>> = (0..3).map(spread).collect();
    let cut_inside = |search| {
        let (found, rounds) = seek(&banks, &[], terms(search, 20, 2), 3);
        let all = banks.concat();
        // Every cut must fall between groups of the last pass that looked around it.
        super::cuts(&found).into_iter().any(|cut| {
            rounds.iter().any(|(request, sums)| {
                let word = |value: f64| {
                    let mut words = contribution(request, &column(&[value])).unwrap();
                    sums.fold.apply(&request.axes(), &mut words);
                    words.iter().position(|word| *word > 0)
                };
                let last = rounds.last().is_some_and(|last| last.0 == *request);
                let sides: Vec<_> = all.iter().map(|value| (word(*value), *value <= cut)).collect();
                last && sides
                    .iter()
                    .any(|one| one.0.is_some() && one.1 && sides.iter().any(|other| other.0 == one.0 && !other.1))
            })
        })
    };
    assert!(cut_inside(CutSearch::Dyadic));
    assert!(!cut_inside(CutSearch::Nested));
}
