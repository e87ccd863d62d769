//! One tree, from histograms of its nodes.

use std::collections::BTreeMap;

use super::forest::{Node, Shape, Split, Tree};
use super::plan::{BoostedPlan, Growth, Monotone};
use super::request::{Asked, Cell, Histogram};
use super::split::{Axis, Bounds, Candidate, Rules, UNBOUNDED};
use crate::request::Sums;

/// A tree that grows.
#[derive(Clone, Debug)]
pub(super) struct Grower {
    rules: Rules,
    growth: Growth,
    learning_rate: f64,
    fields: Vec<(u32, Monotone)>,
    tree: Tree,
    leaves: BTreeMap<u32, Leaf>,
    /// Leaves whose histograms are asked.
    asked: Vec<Asked>,
}

#[derive(Clone, Debug)]
struct Leaf {
    depth: u32,
    bounds: Bounds,
    sum: Cell,
    /// With the first cells of the node's groups, by field.
    best: Option<(Candidate, Vec<Vec<usize>>)>,
}

impl Grower {
    /// The tree with this number.
    pub(super) fn new(plan: &BoostedPlan, tree: u32, unit: f64) -> Self {
        let field = |field: u32| (field, plan.fields[field as usize].monotone);
        let root = Leaf { depth: 0, bounds: UNBOUNDED, sum: Cell::default(), best: None };
        Self {
            rules: Rules::new(plan, unit),
            growth: plan.growth,
            learning_rate: plan.learning_rate,
            fields: plan.fields_of_tree(tree).into_iter().map(field).collect(),
            tree: Tree { nodes: vec![Node { rows: 0, cover: 0.0, shape: Shape::Leaf(0.0) }] },
            leaves: BTreeMap::from([(0, root)]),
            asked: vec![Asked::Root],
        }
    }

    /// The tree so far and the leaves whose histograms are wanted; none once the tree is grown.
    pub(super) fn asked(&self) -> (&Tree, &[Asked]) {
        (&self.tree, &self.asked)
    }

    /// The fields that the tree may use.
    pub(super) fn fields(&self) -> Vec<u32> {
        self.fields.iter().map(|(field, _)| *field).collect()
    }

    /// Takes in the histograms that were asked.
    pub(super) fn answer(&mut self, asked: &Histogram, sums: &Sums) {
        let codes = asked.codes();
        let mut cells = sums.values.chunks_exact(Histogram::CELL).map(Cell::from_words);
        let mut number = 0..;
        for one in std::mem::take(&mut self.asked) {
            let nodes = one.nodes();
            let mut axes = vec![Vec::new(); nodes.len()];
            let mut groups = Vec::new();
            for (codes, axis) in codes.iter().zip(number.by_ref()) {
                let own: Vec<_> = cells.by_ref().take(codes * nodes.len()).collect();
                let first = sums.fold.groups(axis);
                for (side, axes) in axes.iter_mut().enumerate() {
                    axes.push(Axis::new(own.iter().skip(side).step_by(nodes.len()).copied().collect(), first));
                }
                groups.push(first.to_vec());
            }
            for (node, axes) in nodes.iter().zip(axes) {
                self.judge(*node, &axes, &groups);
            }
        }
        self.split_leaves();
    }

    /// The grown tree.
    pub(super) fn finish(&mut self) -> Tree {
        for (node, leaf) in &self.leaves {
            let value = self.learning_rate * self.rules.value(leaf.sum, leaf.bounds);
            self.tree.nodes[*node as usize].shape = Shape::Leaf(value);
        }
        std::mem::take(&mut self.tree)
    }

    /// Finds the best split of a leaf.
    fn judge(&mut self, node: u32, axes: &[Axis], groups: &[Vec<usize>]) {
        let Some(leaf) = self.leaves.get_mut(&node) else { return };
        // Every field's cells add up to the node: to what its parent's split said of it, unless a bank left since.
        leaf.sum = axes.iter().find_map(Axis::total).unwrap_or(leaf.sum);
        let place = &mut self.tree.nodes[node as usize];
        (place.rows, place.cover) = (leaf.sum.rows, self.rules.cover(leaf.sum));
        let best = self.rules.best(&self.fields, axes, leaf.sum, leaf.bounds);
        leaf.best = best.map(|best| (best, groups.to_vec()));
    }

    /// Splits what is to be split next, until histograms are wanted or nothing is left.
    fn split_leaves(&mut self) {
        while self.asked.is_empty() {
            let chosen = self.chosen();
            if chosen.is_empty() {
                return;
            }
            chosen.into_iter().for_each(|node| self.split(node));
        }
    }

    /// All leaves with a split, or the one that gains most, of equals the first.
    fn chosen(&self) -> Vec<u32> {
        let open = self.leaves.iter().filter_map(|(node, leaf)| Some((*node, leaf.best.as_ref()?.0.gain)));
        match self.growth {
            Growth::DepthWise { .. } => open.map(|(node, _)| node).collect(),
            Growth::LeafWise { max_leaves, .. } if self.leaves.len() >= max_leaves as usize => Vec::new(),
            Growth::LeafWise { .. } => {
                let best = open.reduce(|best, leaf| if leaf.1 > best.1 { leaf } else { best });
                best.into_iter().map(|(node, _)| node).collect()
            }
        }
    }

    fn split(&mut self, node: u32) {
        let Some(Leaf { depth, best: Some((best, groups)), .. }) = self.leaves.remove(&node) else { return };
        let left = self.add(depth + 1, best.left, best.left_bounds);
        let right = self.add(depth + 1, best.right, best.right_bounds);
        self.tree.nodes[node as usize].shape = Shape::Split(Split {
            field: best.field,
            last_left: best.last_left,
            missing_left: best.missing_left,
            left,
            right,
            gain: best.gain,
        });
        let full =
            matches!(self.growth, Growth::LeafWise { max_leaves, .. } if self.leaves.len() >= max_leaves as usize);
        if depth + 1 < self.growth.max_depth() && !full {
            self.asked.push(Asked::Children { nodes: [left, right], groups });
        }
    }

    fn add(&mut self, depth: u32, sum: Cell, bounds: Bounds) -> u32 {
        let node = self.tree.nodes.len() as u32;
        self.tree.nodes.push(Node { rows: sum.rows, cover: self.rules.cover(sum), shape: Shape::Leaf(0.0) });
        self.leaves.insert(node, Leaf { depth, bounds, sum, best: None });
        node
    }
}
