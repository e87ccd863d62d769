//! Bin codes of a table in bytes, by row for the histograms and by field for the splits.

use rayon::prelude::*;

use super::forest::{Forest, Shape, Split, Tree};
use crate::contribution::{ContributionError, codes};
use crate::request::FieldBins;
use crate::rows::Table;

/// Codes of every field.
#[derive(Clone, Debug)]
pub(super) struct Codes {
    bins: Vec<FieldBins>,
    rows: usize,
    by_row: Vec<u8>,
    by_field: Vec<u8>,
}

/// Rows that are walked through a tree together: their codes of one field lie in a few cache lines.
const BLOCK: usize = 1 << 12;

impl Codes {
    /// The codes of a table; `None` if some field has more than a byte names.
    pub(super) fn new(forest: &Forest, table: &Table) -> Result<Option<Self>, ContributionError> {
        let (bins, rows) = (forest.bins(), table.rows());
        let mut by_field = vec![0; bins.len() * rows];
        if bins.iter().any(|bins| bins.codes() > 256) {
            return Ok(None);
        }
        if rows > 0 {
            by_field.par_chunks_mut(rows).zip(bins).enumerate().try_for_each(|(field, (column, bins))| {
                for (byte, code) in column.iter_mut().zip(codes(table, field, bins)?) {
                    *byte = code.to_le_bytes()[0];
                }
                Ok(())
            })?;
        }
        let mut by_row = vec![0; by_field.len()];
        by_row.par_chunks_mut(BLOCK * bins.len().max(1)).enumerate().for_each(|(block, codes)| {
            for (field, column) in by_field.chunks_exact(rows).enumerate() {
                for (row, code) in codes[field..].iter_mut().step_by(bins.len()).zip(&column[block * BLOCK..]) {
                    *row = *code;
                }
            }
        });
        Ok(Some(Self { bins: bins.to_vec(), rows, by_row, by_field }))
    }

    /// True if these are the codes under the given bins.
    pub(super) fn are_of(&self, bins: &[FieldBins]) -> bool {
        self.bins == bins
    }

    /// One row, a byte a field.
    pub(super) fn row(&self, row: u32) -> &[u8] {
        let width = self.bins.len();
        &self.by_row[row as usize * width..][..width]
    }

    /// One field, a byte a row; nothing if there is no such field.
    pub(super) fn field(&self, field: u32) -> &[u8] {
        let first = field as usize * self.rows;
        self.by_field.get(first..first + self.rows).unwrap_or_default()
    }

    /// Adds each row's value in a tree.
    pub(super) fn add_values(&self, tree: &Tree, log_odds: &mut [f64]) {
        let walk = Walk::new(tree, self);
        log_odds.par_chunks_mut(BLOCK).enumerate().for_each(|(block, log_odds)| {
            for (row, sum) in (block * BLOCK..).zip(log_odds) {
                *sum += walk.value(row);
            }
        });
    }
}

/// A tree beside the codes that it asks for.
struct Walk<'a> {
    steps: Vec<Step<'a>>,
}

enum Step<'a> {
    Leaf(f64),
    Split { codes: &'a [u8], lefts: Box<[bool; 256]>, children: [u32; 2] },
}

impl<'a> Walk<'a> {
    fn new(tree: &Tree, codes: &'a Codes) -> Self {
        let step = |(at, shape): (usize, Shape)| match shape {
            // Children come after their parent, in a tree that is one.
            Shape::Split(split) if split.left.min(split.right) as usize > at => Step::Split {
                codes: codes.field(split.field),
                lefts: Box::new(lefts(&split)),
                children: [split.right, split.left],
            },
            Shape::Split(_) => Step::Leaf(0.0),
            Shape::Leaf(value) => Step::Leaf(value),
        };
        Self { steps: tree.nodes.iter().map(|node| node.shape).enumerate().map(step).collect() }
    }

    fn value(&self, row: usize) -> f64 {
        let mut at = 0;
        loop {
            match self.steps.get(at) {
                Some(Step::Split { codes, lefts, children }) => {
                    let code = codes.get(row).copied().unwrap_or(0);
                    at = children[usize::from(lefts[usize::from(code)])] as usize;
                }
                Some(Step::Leaf(value)) => return *value,
                None => return 0.0,
            }
        }
    }
}

/// Which codes go left.
pub(super) fn lefts(split: &Split) -> [bool; 256] {
    std::array::from_fn(|code| split.goes_left(code as u16))
}
