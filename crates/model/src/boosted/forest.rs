//! Trees over bin codes.

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;

use crate::request::FieldBins;

/// A sum of trees: the log-odds of bad are `base` plus each tree's value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct Forest {
    bins: Vec<FieldBins>,
    base: f64,
    trees: Vec<Tree>,
    /// Names of the forest after 0, 1, … trees, chained, so that one more tree does not read the others again.
    #[serde(skip)]
    digests: Vec<Digest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    bins: Vec<FieldBins>,
    base: f64,
    trees: Vec<Tree>,
}

/// One tree: the root first, every node before its children.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tree {
    /// The nodes.
    pub nodes: Vec<Node>,
}

/// A node.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Rows in it when it was made.
    pub rows: i64,
    /// Their sum of `h`.
    pub cover: f64,
    /// Split or leaf.
    pub shape: Shape,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// A leaf: its value is added to the log-odds.
    Leaf(f64),
    /// Two children.
    Split(Split),
}

/// How a node is split.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Position of the field.
    pub field: u32,
    /// Codes from 1 to this one go left, greater ones right.
    pub last_left: u16,
    /// Where rows without a value go.
    pub missing_left: bool,
    /// Position of the left child.
    pub left: u32,
    /// Position of the right child.
    pub right: u32,
    /// By how much the split lowers the penalised loss, twice.
    pub gain: f64,
}

impl Forest {
    /// A forest without trees.
    pub fn new(bins: Vec<FieldBins>, base: f64) -> Self {
        // Panic safety: the type holds only finite numbers and lists.
        let start = serde_json::to_vec(&(&bins, base)).expect("forests serialise");
        let digests = vec![Digest::of("tallystick/forest/v1", &[&start])];
        Self { bins, base, trees: Vec::new(), digests }
    }

    /// Adds a tree.
    pub fn push(&mut self, tree: Tree) {
        self.digests.push(chained(&self.digest(), &tree));
        self.trees.push(tree);
    }

    /// Keeps the first trees only.
    pub fn truncate(&mut self, trees: usize) {
        self.trees.truncate(trees);
        self.digests.truncate(trees + 1);
    }

    /// Bins of every field of the plan.
    pub fn bins(&self) -> &[FieldBins] {
        &self.bins
    }

    /// Log-odds of bad before any tree.
    pub fn base(&self) -> f64 {
        self.base
    }

    /// The trees, in order.
    pub fn trees(&self) -> &[Tree] {
        &self.trees
    }

    /// Names the forest; equal forests have equal digests.
    pub fn digest(&self) -> Digest {
        self.digests.last().copied().unwrap_or_default()
    }

    /// True if this forest goes on where the one with this digest, of so many trees, ended.
    pub(crate) fn continues(&self, digest: &Digest, trees: usize) -> bool {
        self.digests.get(trees) == Some(digest)
    }

    /// Log-odds of bad of one row, by the code of each field: base first, then the trees in order, so that every machine
    /// rounds alike.
    pub fn log_odds(&self, code: impl Fn(u32) -> u16 + Copy) -> f64 {
        self.trees.iter().fold(self.base, |sum, tree| sum + tree.value(code))
    }

    /// No log-odds lie further from zero.
    pub(crate) fn reach(&self) -> f64 {
        self.trees.iter().fold(self.base.abs(), |reach, tree| reach + tree.reach())
    }
}

impl TryFrom<Parts> for Forest {
    type Error = &'static str;

    fn try_from(parts: Parts) -> Result<Self, Self::Error> {
        let mut forest = Self::new(parts.bins, parts.base);
        for tree in parts.trees {
            if !tree.is_one() {
                return Err("a tree of the forest is none: every node but the root has one parent, before it");
            }
            forest.push(tree);
        }
        Ok(forest)
    }
}

fn chained(before: &Digest, tree: &Tree) -> Digest {
    // Panic safety: the type holds only finite numbers and lists.
    let tree = serde_json::to_vec(tree).expect("trees serialise");
    Digest::of("tallystick/forest/v1", &[before.as_bytes(), &tree])
}

impl Tree {
    /// The position of the leaf that a row falls into, by the code of each field.
    pub fn leaf(&self, code: impl Fn(u32) -> u16) -> usize {
        let mut at = 0;
        while let Some(Node { shape: Shape::Split(split), .. }) = self.nodes.get(at) {
            let next = split.child(code(split.field)) as usize;
            // A tree from elsewhere must not hold the walk: children come after their parent.
            if next <= at {
                break;
            }
            at = next;
        }
        at
    }

    /// The value of a row's leaf.
    pub fn value(&self, code: impl Fn(u32) -> u16) -> f64 {
        match self.nodes.get(self.leaf(code)) {
            Some(Node { shape: Shape::Leaf(value), .. }) => *value,
            _ => 0.0,
        }
    }

    /// True if every node but the root has one parent, and stands after it.
    fn is_one(&self) -> bool {
        let mut has_parent = vec![false; self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate() {
            let Shape::Split(split) = node.shape else { continue };
            for child in [split.left as usize, split.right as usize] {
                match has_parent.get_mut(child) {
                    Some(known) if child > at && !*known => *known = true,
                    _ => return false,
                }
            }
        }
        has_parent.iter().skip(1).all(|known| *known) && !self.nodes.is_empty()
    }

    /// Largest value, without sign.
    fn reach(&self) -> f64 {
        self.nodes.iter().fold(0.0, |reach, node| match node.shape {
            Shape::Leaf(value) => f64::max(reach, value.abs()),
            Shape::Split(_) => reach,
        })
    }
}

impl Split {
    /// True if a row with this code goes left.
    pub fn goes_left(&self, code: u16) -> bool {
        if code == 0 { self.missing_left } else { code <= self.last_left }
    }

    /// The child of a row with this code.
    pub fn child(&self, code: u16) -> u32 {
        if self.goes_left(code) { self.left } else { self.right }
    }
}
