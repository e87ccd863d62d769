//! Cells that are told apart: by how many banks stand behind them, and from a last one that later sums show by itself.

use super::{Axis, Run, groups_of, join_rest};

/// How many banks have rows in a cell, on any of its sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// None.
    Nobody,
    /// Too few for the cell to be shown.
    Few,
    /// Enough.
    Enough,
}

/// How many banks have rows in a cell.
pub(super) fn behind(axis: &Axis, contributors: &[u32], least: u32, cell: usize) -> Behind {
    match contributors.chunks_exact(axis.ranges().max(1)).filter_map(|side| side.get(cell)).max() {
        None | Some(0) => Behind::Nobody,
        Some(most) if *most < least => Behind::Few,
        Some(_) => Behind::Enough,
    }
}

/// The groups of all cells but the last, and the last as one of its own where it is safe; `None` if the others make none.
pub(super) fn groups_with_the_last_apart(axis: &Axis, contributors: &[u32], least: u32) -> Option<Vec<usize>> {
    let last = axis.cells.checked_sub(1)?;
    let mut groups = groups_of(axis, contributors, least, last);
    let mut apart = Run::new(axis, contributors, least, last);
    apart.take(last);
    let filled = (0..last).any(|cell| contributors[cell] > 0);
    // The first cell has taken in all the others, though it needs none of them.
    let drawn_in = contributors[0] >= least && groups.len() == 1;
    if groups.is_empty() || !filled || drawn_in {
        return None;
    }
    if apart.is_safe() {
        groups.push(last);
        return Some(groups);
    }
    join_rest(axis, contributors, least, &mut groups, last..axis.cells);
    Some(groups)
}
