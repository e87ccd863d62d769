//! The sums of boosting.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::contribution::scale;
use super::draw::Draw;
use super::forest::{Forest, Tree};
use crate::release::Axis;
use crate::request::FieldBins;

/// Gradient histograms: `G, H, rows` for every root or pair of children, field, code and, of a pair, left and right child, in
/// this order.
///
/// Of a row with label `y` and log-odds `z` under the forest, `g = p - y` and `h = p (1 - p)` with `p = 1 / (1 + e^-z)`, each
/// rounded half to even at the request's scale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// The trees so far.
    pub forest: Arc<Forest>,
    /// The tree that grows.
    pub tree: Tree,
    /// Which of its leaves.
    pub nodes: Vec<Asked>,
    /// Positions of the fields that are asked, upwards.
    pub fields: Vec<u32>,
    /// Only rows that all of these let in.
    pub draws: Vec<Draw>,
}

/// Leaves whose histograms are asked together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asked {
    /// The root.
    Root,
    /// The two children of a split, left and right: either is the parent less the other, so they are released in the same
    /// groups of cells, which are made of the parent's.
    Children {
        /// Their positions.
        nodes: [u32; 2],
        /// Per asked field, the first cells of the parent's groups; none if they were withheld.
        groups: Vec<Vec<usize>>,
    },
}

/// The logistic loss of a forest, then good and bad rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// The forest.
    pub forest: Arc<Forest>,
    /// Only rows that all of these let in.
    pub draws: Vec<Draw>,
}

/// One cell of a gradient histogram, at the request's scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Sum of `g`.
    pub g: i64,
    /// Sum of `h`.
    pub h: i64,
    /// Rows.
    pub rows: i64,
}

impl Histogram {
    /// Words of a cell.
    pub const CELL: usize = 3;

    /// Cells of one node.
    pub fn cells(&self) -> usize {
        self.codes().iter().sum()
    }

    /// Codes of each asked field.
    pub fn codes(&self) -> Vec<usize> {
        let codes = |field: &u32| self.forest.bins().get(*field as usize).map_or(0, FieldBins::codes);
        self.fields.iter().map(codes).collect()
    }

    /// One axis a field of a root or pair of children; the last word of a cell on a side counts its rows.
    pub(crate) fn axes(&self) -> Vec<Axis> {
        let codes = self.codes();
        let of = |asked: &Asked| {
            let sides = asked.nodes().len();
            let axis = |(field, cells): (usize, &usize)| Axis {
                cells: *cells,
                sides,
                words: Self::CELL,
                counts: 1,
                known: Vec::new(),
                parts: asked.parts(field, *cells),
                last_apart: false,
            };
            codes.iter().enumerate().map(axis).collect::<Vec<_>>()
        };
        self.nodes.iter().flat_map(of).collect()
    }

    /// Words of the answer.
    pub(crate) fn words(&self) -> usize {
        self.nodes.iter().map(|asked| asked.nodes().len()).sum::<usize>() * self.cells() * Self::CELL
    }

    /// Where each node's words are.
    pub(super) fn places(&self) -> Vec<Place> {
        let (mut places, cells, mut start) = (Vec::new(), self.cells(), 0);
        for asked in &self.nodes {
            let step = asked.nodes().len() * Self::CELL;
            let place = |(side, node): (usize, &u32)| Place { node: *node, first: start + side * Self::CELL, step };
            places.extend(asked.nodes().iter().enumerate().map(place));
            start += cells * step;
        }
        places
    }

    /// How far one row moves the sum: it lies in one node, and there in one cell a field, with `g` at most 1 and `h` at most
    /// 1/4, each rounded by half a unit.
    pub(crate) fn sensitivity(fields: usize, scale_bits: u32) -> f64 {
        let scale = scale(scale_bits);
        let (g, h) = (scale + 0.5, scale / 4.0 + 0.5);
        (fields as f64 * (g * g + h * h + 1.0)).sqrt()
    }
}

/// Where a node's words are in an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) node: u32,
    /// The first word of its first cell.
    pub(super) first: usize,
    /// Words from there to its next cell.
    pub(super) step: usize,
}

impl Asked {
    /// The positions.
    pub fn nodes(&self) -> &[u32] {
        match self {
            Self::Root => &[0],
            Self::Children { nodes, .. } => nodes,
        }
    }

    /// First cells of what the groups of a field are made of.
    fn parts(&self, field: usize, cells: usize) -> Vec<usize> {
        match self {
            Self::Root => (0..cells).collect(),
            Self::Children { groups, .. } => groups.get(field).cloned().unwrap_or_default(),
        }
    }
}

impl Loss {
    /// Words of the answer.
    pub(crate) const WORDS: usize = 3;

    /// How far one row moves the sum: its loss is at most `|z| + ln 2`, and it is one good or bad row.
    pub(crate) fn sensitivity(&self, scale_bits: u32) -> f64 {
        let loss = scale(scale_bits) * (self.forest.reach() + std::f64::consts::LN_2) + 0.5;
        (loss * loss + 1.0).sqrt()
    }
}

impl Cell {
    /// The cell of three released words.
    pub(crate) fn from_words(words: &[i64]) -> Self {
        match words {
            [g, h, rows] => Self { g: *g, h: *h, rows: *rows },
            _ => Self::default(),
        }
    }

    /// The sum of two cells.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            g: self.g.wrapping_add(other.g),
            h: self.h.wrapping_add(other.h),
            rows: self.rows.wrapping_add(other.rows),
        }
    }

    /// The difference of two cells.
    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            g: self.g.wrapping_sub(other.g),
            h: self.h.wrapping_sub(other.h),
            rows: self.rows.wrapping_sub(other.rows),
        }
    }
}
