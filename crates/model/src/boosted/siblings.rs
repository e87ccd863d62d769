//! Histograms of pairs of children: the smaller one's from its rows, the larger one's as what is left of their parent's.

use std::collections::BTreeMap;

use super::codes::Codes;
use super::forest::{Node, Shape, Tree};
use super::kernel::{Pair, histograms};
use super::partition::Partition;
use super::request::{Asked, Histogram};

/// A holder's own histograms of the leaves of a tree that grows.
#[derive(Clone, Debug, Default)]
pub(super) struct Siblings {
    fields: Vec<u32>,
    scale_bits: u32,
    leaves: BTreeMap<u32, Vec<i64>>,
}

impl Siblings {
    /// Keeps what is there only if it is of these fields, at this scale.
    pub(super) fn of(self, asked: &Histogram, scale_bits: u32) -> Self {
        if self.fields == asked.fields && self.scale_bits == scale_bits {
            return self;
        }
        Self { fields: asked.fields.clone(), scale_bits, leaves: BTreeMap::new() }
    }

    /// The words of a request.
    pub(super) fn histogram(
        &mut self,
        asked: &Histogram,
        partition: &Partition,
        codes: &Codes,
        pairs: &[Pair],
    ) -> Vec<i64> {
        let (mut counted, mut left_over) = (Vec::new(), Vec::new());
        for one in &asked.nodes {
            match self.parent(one, &asked.tree) {
                Some((parent, [left, right])) => {
                    let smaller = partition.rows_of(left).len() <= partition.rows_of(right).len();
                    let (smaller, larger) = if smaller { (left, right) } else { (right, left) };
                    counted.push(smaller);
                    left_over.push((parent, smaller, larger));
                }
                None => counted.extend(one.nodes()),
            }
        }
        let sums = histograms(&counted, asked, partition, codes, pairs);
        self.leaves.extend(counted.into_iter().zip(sums));
        for (parent, smaller, larger) in left_over {
            let Some(mut words) = self.leaves.remove(&parent) else { continue };
            for (word, less) in words.iter_mut().zip(self.leaves.get(&smaller).into_iter().flatten()) {
                *word -= less;
            }
            self.leaves.insert(larger, words);
        }
        self.leaves.retain(|node, _| is_leaf(&asked.tree, *node));
        self.laid_out(asked)
    }

    /// The parent of two leaves and they, if its histogram is kept.
    fn parent(&self, asked: &Asked, tree: &Tree) -> Option<(u32, [u32; 2])> {
        let Asked::Children { nodes, .. } = asked else { return None };
        let splits = |node: &&u32| match tree.nodes.get(**node as usize) {
            Some(Node { shape: Shape::Split(split), .. }) => [split.left, split.right] == *nodes,
            _ => false,
        };
        let parent = self.leaves.keys().find(splits)?;
        let leaves = nodes[0] != nodes[1] && nodes.iter().all(|node| is_leaf(tree, *node));
        leaves.then_some((*parent, *nodes))
    }

    fn laid_out(&self, asked: &Histogram) -> Vec<i64> {
        let mut words = vec![0; asked.words()];
        for place in asked.places() {
            let Some(own) = self.leaves.get(&place.node) else { continue };
            let cells = words[place.first..].chunks_mut(place.step);
            for (cell, own) in cells.zip(own.chunks_exact(Histogram::CELL)) {
                cell[..Histogram::CELL].copy_from_slice(own);
            }
        }
        words
    }
}

fn is_leaf(tree: &Tree, node: u32) -> bool {
    matches!(tree.nodes.get(node as usize), Some(Node { shape: Shape::Leaf(_), .. }))
}
