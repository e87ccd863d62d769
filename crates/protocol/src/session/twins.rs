//! Fields of the platform that divide a bank's rows alike but for a few.
//!
//! **Why.** The counts of two fields over the same rows may be subtracted. Where a bin of one holds the rows of a bin of the
//! other and one more, the difference is that row's outcome, though behind both bins stand enough banks. A platform that chooses
//! the codes it seals can bring this about for one enterprise a bin, and fields that nearly repeat each other do it by accident.
//!
//! **What is looked at.** Bins by themselves, and runs of bins from the first on, with and without the missing ones, of every two
//! fields of the platform: of two such sets of a bank's rows, neither nearly empty nor nearly all, the difference is nothing or at
//! least so many rows as the bank has drawn for the session. Each bank looks at its own rows, and stops before anything was added.
//!
//! **When.** Only where the contract says so ([`BalanceTerms::twins`](super::BalanceTerms)): fields that belong together, such as the
//! number of court cases and what was judged, differ by a few rows at a small bank as a matter of course. Their difference is then
//! mostly of rows of several banks, and no worse than a cell; a bank cannot tell.
//!
//! **What is not.** Sets made of three fields or more, fields of the banks, and what two sessions over the same data have
//! together. Noise is the remedy there.
//!
//! **Cost.** One table of counts for every two fields.

/// Two fields, by place, that divide the rows alike but for fewer than `least` of them. `codes` are the rows' codes, one a field;
/// `bins` the largest of each.
pub(super) fn found<'a>(
    codes: impl Iterator<Item = &'a [u16]> + Clone,
    bins: &[u16],
    least: u64,
) -> Option<[usize; 2]> {
    let pairs = (0..bins.len()).flat_map(|one| (one + 1..bins.len()).map(move |other| [one, other]));
    pairs.into_iter().find(|[one, other]| {
        let mut table = vec![vec![0u64; usize::from(bins[*other]) + 1]; usize::from(bins[*one]) + 1];
        for row in codes.clone() {
            table[usize::from(row[*one])][usize::from(row[*other])] += 1;
        }
        are_alike(&table, least)
    })
}

/// Whether some set of one field is some set of the other but for a few rows. The table holds rows by the codes of both.
fn are_alike(table: &[Vec<u64>], least: u64) -> bool {
    let upto = cumulated(table);
    let (last, other_last) = (table.len(), table[0].len());
    let all = upto[last][other_last];
    sets(last).any(|[from, to]| {
        let one = upto[to][other_last] - upto[from][other_last];
        sets(other_last).any(|[other_from, other_to]| {
            let other = upto[last][other_to] - upto[last][other_from];
            let both = upto[to][other_to] + upto[from][other_from] - upto[to][other_from] - upto[from][other_to];
            let (apart, neither) = (one + other - 2 * both, all + both - one - other);
            (1..least).contains(&apart) && apart < both.min(neither)
        })
    })
}

/// Runs of codes, from and up to before: each by itself, from the first on, and from the first that is not missing.
fn sets(codes: usize) -> impl Iterator<Item = [usize; 2]> {
    let single = (0..codes).map(|code| [code, code + 1]);
    single.chain((2..codes).flat_map(|end| [[0, end], [1, end]])).chain((codes > 2).then_some([1, codes]))
}

/// Rows with codes below both.
fn cumulated(table: &[Vec<u64>]) -> Vec<Vec<u64>> {
    let mut upto = vec![vec![0; table[0].len() + 1]; table.len() + 1];
    for (one, row) in table.iter().enumerate() {
        for (other, rows) in row.iter().enumerate() {
            upto[one + 1][other + 1] = rows + upto[one][other + 1] + upto[one + 1][other] - upto[one][other];
        }
    }
    upto
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alike(one: &[u16], other: &[u16], least: u64) -> bool {
        let rows: Vec<[u16; 2]> = one.iter().zip(other).map(|(one, other)| [*one, *other]).collect();
        let bins = [one, other].map(|codes| codes.iter().copied().max().unwrap_or(0));
        found(rows.iter().map(<[u16; 2]>::as_slice), &bins, least).is_some()
    }

    /// One enterprise a bin is moved to the next bin in a copy of a field: the counts of both differ by it alone.
    #[test]
    fn a_copy_of_a_field_with_few_rows_moved_is_found() {
        let field: Vec<u16> = (0..600).map(|row| row % 6 + 1).collect();
        let mut copy = field.clone();
        assert!(!alike(&field, &copy, 5), "the same rows tell nothing");
        copy[30] += 1;
        assert!(alike(&field, &copy, 5) && alike(&copy, &field, 5));
        (0..40).for_each(|row| copy[6 * row] = 2);
        copy[30] = field[30];
        assert!(!alike(&field, &copy, 5), "many rows between them");
        // Missing in one, and not in the other.
        let mut copy = field.clone();
        (0..4).for_each(|row| copy[6 * row] = 0);
        assert!(alike(&field, &copy, 5) && !alike(&field, &copy, 4));
    }

    #[test]
    fn fields_that_have_nothing_in_common_are_not() {
        let (one, other): (Vec<u16>, Vec<u16>) =
            (0..2000u64).map(|row| ((row * 7919 % 20) as u16 + 1, (row * 104_729 / 7 % 20) as u16 + 1)).unzip();
        assert!(!alike(&one, &other, 10));
        // Rare values have few rows, and few in common.
        let one: Vec<u16> = (0..500).map(|row| if row < 3 { 2 } else { 1 }).collect();
        let other: Vec<u16> = (0..500).map(|row| if (2..6).contains(&row) { 2 } else { 1 }).collect();
        assert!(!alike(&one, &other, 10));
    }

    /// The sets are those that counts of the codes give when they are compared one by one.
    #[test]
    fn sets_are_compared_as_lists_of_rows_are() {
        for seed in 0..200u64 {
            let code = |row: u64, field: u64| (((row * (seed + 3) + field * 31) * 2_654_435_761) >> 13) % 4;
            let table = |row: u64| [code(row, 1) as u16, if row < 3 { code(row, 2) } else { code(row, 1) } as u16];
            let rows: Vec<[u16; 2]> = (0..40).map(table).collect();
            let mut expected = false;
            let holds = |set: [usize; 2], code: u16| (set[0]..set[1]).contains(&usize::from(code));
            for one in sets(4) {
                for other in sets(4) {
                    let of = |first: bool, second: bool| {
                        let is = |row: &&[u16; 2]| holds(one, row[0]) == first && holds(other, row[1]) == second;
                        rows.iter().filter(is).count() as u64
                    };
                    let apart = of(true, false) + of(false, true);
                    expected |= (1..6).contains(&apart) && apart < of(true, true).min(of(false, false));
                }
            }
            assert_eq!(found(rows.iter().map(<[u16; 2]>::as_slice), &[3, 3], 6).is_some(), expected, "{seed}");
        }
    }
}
