//! Release checks: how far the codes that one grantee would get tell enterprises apart.
//!
//! **Parties.** The holder of the fields, who computes; the grantee, who would get the rows; every approver, who reads.
//!
//! **Inputs.** The codes of all released fields, row by row; the codes of fields that this grantee got earlier of the same
//! data; the row sets of earlier releases to it. Column by column, each a code a row.
//!
//! **Outputs.** A [`Verdict`]: numbers of rows and groups only. A group is all rows with the same vector of codes.
//!
//! **What each learns.** The verdict shows how many groups of which size there are, never whose. It stands in the contract,
//! rounded: every bank reads about how many consents name each other bank.
//!
//! **Assumptions.** A grantee keeps all it ever got, and may know every enterprise's true values (prosecutor model). Columns
//! look harmless one by one; so the joint vector is judged, together with what the grantee has already.
//!
//! **Cost.** Partition refinement: rows x columns x log(rows) at most, four bytes a row; two million rows of twenty fields
//! take seconds. Row sets: eight bytes a row.
//!
//! **References.** k-anonymity: Sweeney 2002. Prosecutor risk and uniqueness: El Emam, "Guide to the De-Identification of
//! Personal Health Information", 2013, as ARX computes them. Label diversity: Machanavajjhala et al., "l-diversity", 2007.

use serde::{Deserialize, Serialize};

use crate::Form;
use crate::clearance::IDENTIFYING_FIELDS;

#[cfg(test)]
mod tests;

/// Fewest rows in a group of a bulk release.
pub const BULK_GROUP: u32 = 20;

/// How one release tells rows apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// Rows released.
    pub rows: u64,
    /// Fewest rows that a group should have.
    pub k: u32,
    /// By the fields of this release.
    pub release: Groups,
    /// By these and all fields that the grantee already got of these data.
    pub cumulative: Groups,
    /// Rows in which this row set differs from the closest other one that the grantee already got; `None` if it got none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<u64>,
}

/// Rows in groups of equal vectors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Groups {
    /// Length of the vector.
    pub fields: u32,
    /// Groups.
    pub groups: u64,
    /// Rows of the smallest one; 0 without rows.
    pub smallest: u64,
    /// Rows that are alone in their group.
    pub unique: u64,
    /// Rows in groups of fewer than k.
    pub below: u64,
}

/// How many groups have one label only: who is in such a group has its label told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelDiversity {
    /// Groups.
    pub groups: u64,
    /// Groups with one label only.
    pub uniform: u64,
    /// Rows in these.
    pub rows: u64,
}

/// Why a release is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    /// A group is too small.
    #[error(
        "{below} of {rows} rows would be in groups of fewer than {k}, the smallest of {smallest}, by {fields} fields: \
         release fewer fields, or coarser bins"
    )]
    Group {
        /// Rows in groups that are too small.
        below: u64,
        /// Rows released.
        rows: u64,
        /// Fewest rows of a group.
        k: u32,
        /// Rows of the smallest group.
        smallest: u64,
        /// Length of the vector, with what the grantee has already.
        fields: u32,
    },
    /// The row set is too close to an earlier one.
    #[error(
        "the rows differ from those of an earlier release in {rows} only, fewer than {k}: the difference of the two would \
         show these; release the same rows as then"
    )]
    Difference {
        /// Rows that differ.
        rows: u64,
        /// Fewest.
        k: u32,
    },
}

impl Verdict {
    /// The verdict on a release.
    ///
    /// `columns` are the released codes and `earlier` those of fields that the grantee already has, each a code a row;
    /// `difference` is that of [`nearest`].
    pub fn of(rows: usize, columns: &[&[u16]], earlier: &[&[u16]], difference: Option<u64>, k: u32) -> Self {
        let mut partition = Partition::new(rows);
        columns.iter().for_each(|column| partition.refine(column));
        let release = partition.groups(columns.len(), k);
        earlier.iter().for_each(|column| partition.refine(column));
        let cumulative = partition.groups(columns.len() + earlier.len(), k);
        Self { rows: rows as u64, k, release, cumulative, difference }
    }

    /// The same verdict for many readers: counts of a hundred and more rounded up to two digits.
    pub fn rounded(&self) -> Self {
        let groups = |exact: &Groups| Groups {
            fields: exact.fields,
            groups: round_up(exact.groups),
            smallest: round_up(exact.smallest),
            unique: round_up(exact.unique),
            below: round_up(exact.below),
        };
        Self {
            rows: round_up(self.rows),
            k: self.k,
            release: groups(&self.release),
            cumulative: groups(&self.cumulative),
            difference: self.difference.map(round_up),
        }
    }

    /// Whether the vector counts as identifying, so that consents must name it.
    pub fn identifying(&self) -> bool {
        self.release.fields as usize >= IDENTIFYING_FIELDS
    }

    /// Why the release is refused, if it is. `consented` is the form that the consent of each row names to this grantee for
    /// this purpose; `None` where the release does not rest on consents row by row: statistics, pushes, bulk.
    ///
    /// Who consented to the vector itself, or to few fields one by one, has decided; everybody else is hidden among k.
    pub fn blocks(&self, consented: Option<Form>) -> Option<Blocked> {
        let decided = consented.is_some_and(|form| match self.identifying() {
            true => form < Form::Binned,
            false => form <= Form::Binned,
        });
        if decided {
            return None;
        }
        let (groups, k, rows) = (&self.cumulative, self.k, self.rows);
        if groups.below > 0 {
            let Groups { below, smallest, fields, .. } = *groups;
            return Some(Blocked::Group { below, rows, k, smallest, fields });
        }
        let few = self.difference.filter(|rows| (1..u64::from(k)).contains(rows));
        few.map(|rows| Blocked::Difference { rows, k })
    }
}

impl Groups {
    /// Mean risk that a row is told apart by who knows its values: groups over rows.
    pub fn prosecutor_risk(&self, rows: u64) -> f64 {
        self.groups as f64 / rows.max(1) as f64
    }
}

fn round_up(count: u64) -> u64 {
    let step = 10u64.pow(count.checked_ilog10().unwrap_or(0).saturating_sub(1));
    count.div_ceil(step).saturating_mul(step)
}

/// Rows in which a row set differs from the closest other one; equal sets do not count, since they show nothing new. Sets are
/// sorted names of rows.
pub fn nearest<'a>(rows: &[u64], earlier: impl IntoIterator<Item = &'a [u64]>) -> Option<u64> {
    earlier.into_iter().map(|other| apart(rows, other)).filter(|apart| *apart > 0).min()
}

/// Size of the symmetric difference of two sorted sets.
fn apart(one: &[u64], other: &[u64]) -> u64 {
    let (mut left, mut right, mut apart) = (one, other, 0);
    while let ([first, rest @ ..], [second, others @ ..]) = (left, right) {
        match first.cmp(second) {
            std::cmp::Ordering::Less => (left, apart) = (rest, apart + 1),
            std::cmp::Ordering::Greater => (right, apart) = (others, apart + 1),
            std::cmp::Ordering::Equal => (left, right) = (rest, others),
        }
    }
    apart + (left.len() + right.len()) as u64
}

/// Groups with one label only. The labels lie with the bank, so only it can tell, after it has opened its rows.
pub fn label_diversity(columns: &[&[u16]], label: &[u8]) -> LabelDiversity {
    let mut partition = Partition::new(label.len());
    columns.iter().for_each(|column| partition.refine(column));
    let mut found = LabelDiversity { groups: 0, uniform: 0, rows: 0 };
    for group in partition.blocks() {
        found.groups += 1;
        if group.iter().all(|row| label[*row as usize] == label[group[0] as usize]) {
            found.uniform += 1;
            found.rows += group.len() as u64;
        }
    }
    found
}

/// Rows in blocks of equal vectors, refined column by column.
struct Partition {
    /// The rows, block after block.
    order: Vec<u32>,
    /// Where each block ends.
    ends: Vec<u32>,
}

impl Partition {
    /// All rows in one block.
    fn new(rows: usize) -> Self {
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        Self { order: (0..rows).collect(), ends: (rows > 0).then_some(rows).into_iter().collect() }
    }

    fn blocks(&self) -> impl Iterator<Item = &[u32]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.order[start as usize..*end as usize])
    }

    /// Splits every block by a code a row.
    fn refine(&mut self, codes: &[u16]) {
        let mut ends = Vec::with_capacity(self.ends.len());
        let mut start = 0;
        for end in &self.ends {
            let block = &mut self.order[start as usize..*end as usize];
            let code = |row: u32| codes[row as usize];
            if block.len() > 1 {
                block.sort_unstable_by_key(|row| code(*row));
            }
            let places = block.windows(2).zip(start + 1..);
            ends.extend(places.filter(|(pair, _)| code(pair[0]) != code(pair[1])).map(|(_, place)| place));
            ends.push(*end);
            start = *end;
        }
        self.ends = ends;
    }

    fn groups(&self, fields: usize, k: u32) -> Groups {
        let sizes = || self.blocks().map(|block| block.len() as u64);
        Groups {
            fields: u32::try_from(fields).unwrap_or(u32::MAX),
            groups: self.ends.len() as u64,
            smallest: sizes().min().unwrap_or(0),
            unique: sizes().filter(|size| *size == 1).sum(),
            below: sizes().filter(|size| *size < u64::from(k)).sum(),
        }
    }
}
