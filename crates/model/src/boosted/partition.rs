//! The rows of every node of a tree that grows.

use std::ops::Range;

use rayon::prelude::*;
use tally_crypto::transcript::Digest;

use super::codes::{Codes, lefts};
use super::draw::Draw;
use super::forest::{Node, Shape, Split, Tree};
use super::request::Histogram;
use crate::request::RowSet;

/// Rows in the order of the leaves, upwards within each.
#[derive(Clone, Debug)]
pub(super) struct Partition {
    rows: RowSet,
    draws: Vec<Draw>,
    forest: Digest,
    tree: Tree,
    order: Vec<u32>,
    spare: Vec<u32>,
    /// By node.
    ranges: Vec<Range<usize>>,
}

/// Rows that one thread splits at a time.
const CHUNK: usize = 1 << 12;

impl Partition {
    /// All rows at the root.
    pub(super) fn new(rows: RowSet, asked: &Histogram, order: Vec<usize>) -> Self {
        let order: Vec<_> = order.into_iter().map(|row| row as u32).collect();
        Self {
            rows,
            draws: asked.draws.clone(),
            forest: asked.forest.digest(),
            tree: Tree::default(),
            spare: vec![0; order.len()],
            ranges: Vec::new(),
            order,
        }
    }

    /// True if the request's tree goes on from the one whose rows these are.
    pub(super) fn goes_on(&self, rows: RowSet, asked: &Histogram) -> bool {
        let same = |(kept, new): (&Node, &Node)| match kept.shape {
            Shape::Split(_) => kept.shape == new.shape,
            Shape::Leaf(_) => true,
        };
        self.rows == rows
            && self.draws == asked.draws
            && self.forest == asked.forest.digest()
            && self.tree.nodes.len() <= asked.tree.nodes.len()
            && self.tree.nodes.iter().zip(&asked.tree.nodes).all(same)
    }

    /// Splits the rows of every node that was split since.
    pub(super) fn grow(&mut self, tree: &Tree, codes: &Codes) {
        if self.ranges.is_empty() {
            self.ranges.push(0..self.order.len());
        }
        self.ranges.resize(tree.nodes.len().max(1), 0..0);
        for (at, node) in tree.nodes.iter().enumerate() {
            let was_split = matches!(self.tree.nodes.get(at), Some(Node { shape: Shape::Split(_), .. }));
            if let Shape::Split(split) = node.shape
                && !was_split
            {
                self.split(at, &split, codes);
            }
        }
        self.tree = tree.clone();
    }

    /// The rows of a leaf, upwards; none if there is no such leaf.
    pub(super) fn rows_of(&self, node: u32) -> &[u32] {
        match (self.tree.nodes.get(node as usize), self.ranges.get(node as usize)) {
            (Some(Node { shape: Shape::Leaf(_), .. }), Some(range)) => &self.order[range.clone()],
            _ => &[],
        }
    }

    fn split(&mut self, at: usize, split: &Split, codes: &Codes) {
        let Range { start, end } = self.ranges[at];
        let left =
            split_rows(&mut self.order[start..end], &mut self.spare[start..end], codes.field(split.field), split);
        for (child, range) in [(split.left, start..start + left), (split.right, start + left..end)] {
            // Children come after their parent, in a tree that is one.
            if let Some(place) = self.ranges.get_mut(child as usize).filter(|_| child as usize > at) {
                *place = range;
            }
        }
    }
}

/// Moves the rows that go left to the front, either part in its old order; how many go left.
fn split_rows(rows: &mut [u32], spare: &mut [u32], codes: &[u8], split: &Split) -> usize {
    let lefts = lefts(split);
    let goes_left = |row: u32| lefts[usize::from(codes.get(row as usize).copied().unwrap_or(0))];
    let count = |rows: &[u32]| rows.iter().map(|row| usize::from(goes_left(*row))).sum::<usize>();
    let counts: Vec<_> = rows.par_chunks(CHUNK).map(count).collect();
    let left = counts.iter().sum();
    let (mut to_left, mut to_right) = spare.split_at_mut(left);
    let mut pieces = Vec::with_capacity(counts.len());
    for (rows, count) in rows.chunks(CHUNK).zip(counts) {
        let (left, rest) = to_left.split_at_mut(count);
        to_left = rest;
        let (right, rest) = to_right.split_at_mut(rows.len() - count);
        to_right = rest;
        pieces.push((rows, left, right));
    }
    pieces.into_par_iter().for_each(|(rows, to_left, to_right)| {
        let (mut left, mut right) = (0, 0);
        for &row in rows {
            // Written to both sides without a branch that depends on the data; the next row of a side overwrites.
            if let Some(place) = to_left.get_mut(left) {
                *place = row;
            }
            if let Some(place) = to_right.get_mut(right) {
                *place = row;
            }
            let goes = usize::from(goes_left(row));
            left += goes;
            right += 1 - goes;
        }
    });
    rows.copy_from_slice(spare);
    left
}
