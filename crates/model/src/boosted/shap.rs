//! Why an applicant scores as it does: exact path-dependent SHAP values of a forest.
//!
//! Lundberg, Erion, Lee, "Consistent individualized feature attribution for tree ensembles" (2018), Algorithm 2; rows whose
//! field is unknown go down both ways in the proportion of the children's cover. Time: leaves x depth^2 a tree.

use super::forest::{Forest, Node, Shape, Tree};
use crate::request::FieldBins;

/// An applicant's log-odds of bad, taken apart: `expected` plus all `values`.
#[derive(Clone, Debug, PartialEq)]
pub struct Contributions {
    /// Mean log-odds of the rows that the trees were grown on, by cover.
    pub expected: f64,
    /// What each field adds, in plan order.
    pub values: Vec<f64>,
}

impl Contributions {
    /// The contributions to the log-odds of one row, by the code of each field.
    pub(super) fn new(forest: &Forest, codes: &[u16]) -> Self {
        let mut found = Self { expected: forest.expected(), values: vec![0.0; forest.bins().len()] };
        for tree in forest.trees() {
            Descent { tree, codes, values: &mut found.values }.visit(0, Path::default(), Step::root());
        }
        found
    }

    /// The fields that make the applicant look worse, worst first: positions and contributions, at most `count`.
    pub fn reasons(&self, count: usize) -> Vec<(usize, f64)> {
        let mut worse: Vec<_> = self.values.iter().copied().enumerate().filter(|(_, value)| *value > 0.0).collect();
        worse.sort_by(|a, b| b.1.total_cmp(&a.1));
        worse.truncate(count);
        worse
    }
}

impl Forest {
    /// Mean log-odds of bad of the rows that the trees were grown on, by cover.
    pub(super) fn expected(&self) -> f64 {
        self.trees().iter().fold(self.base(), |sum, tree| sum + mean(tree, 0))
    }

    /// Mean log-odds of bad at each code of a field while the others are unknown: what the field is worth alone in the game
    /// whose Shapley values [`Contributions`] are. The partial dependence of Friedman, "Greedy function approximation" (2001),
    /// section 8.2.
    pub(super) fn dependence(&self, field: u32) -> Vec<f64> {
        let codes = self.bins().get(field as usize).map_or(0, FieldBins::codes);
        let at = |code| self.trees().iter().fold(self.base(), |sum, tree| sum + mean_at(tree, 0, field, code as u16));
        (0..codes).map(at).collect()
    }
}

/// Mean value below a node, by cover, where one field is known.
fn mean_at(tree: &Tree, at: usize, field: u32, code: u16) -> f64 {
    match tree.nodes.get(at).map(|node| node.shape) {
        Some(Shape::Split(split)) if split.field == field => mean_at(tree, split.child(code) as usize, field, code),
        Some(Shape::Split(split)) => {
            let [left, right] = [split.left as usize, split.right as usize];
            let share = share(tree, left, right);
            share * mean_at(tree, left, field, code) + (1.0 - share) * mean_at(tree, right, field, code)
        }
        Some(Shape::Leaf(value)) => value,
        None => 0.0,
    }
}

/// Mean value below a node, by cover.
fn mean(tree: &Tree, at: usize) -> f64 {
    match tree.nodes.get(at).map(|node| node.shape) {
        Some(Shape::Leaf(value)) => value,
        Some(Shape::Split(split)) => {
            let [left, right] = [split.left as usize, split.right as usize];
            let share = share(tree, left, right);
            share * mean(tree, left) + (1.0 - share) * mean(tree, right)
        }
        None => 0.0,
    }
}

/// Of two children's cover, the first one's share.
fn share(tree: &Tree, child: usize, other: usize) -> f64 {
    let cover = |at: usize| tree.nodes.get(at).map_or(0.0, |node| node.cover);
    let both = cover(child) + cover(other);
    if both > 0.0 { cover(child) / both } else { 0.5 }
}

/// A split on the way down.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// The field; `None` at the root.
    field: Option<u32>,
    /// Share of the rows that go this way while the field is unknown.
    zero: f64,
    /// 1 if the applicant goes this way, else 0.
    one: f64,
    /// Weight of the subsets of this size.
    weight: f64,
}

impl Step {
    fn root() -> Self {
        Self { field: None, zero: 1.0, one: 1.0, weight: 0.0 }
    }
}

/// The distinct fields on the way down.
#[derive(Clone, Debug, Default)]
struct Path(Vec<Step>);

impl Path {
    /// Grows the subsets by one more field (EXTEND).
    fn extend(&mut self, step: Step) {
        let depth = self.0.len();
        self.0.push(Step { weight: if depth == 0 { 1.0 } else { 0.0 }, ..step });
        let size = (depth + 1) as f64;
        for at in (0..depth).rev() {
            let weight = self.0[at].weight;
            self.0[at + 1].weight += step.one * weight * (at + 1) as f64 / size;
            self.0[at].weight = step.zero * weight * (depth - at) as f64 / size;
        }
    }

    /// Takes back what a field did (UNWIND).
    fn unwind(&mut self, place: usize) -> Step {
        let taken = self.0[place];
        for (at, weight) in self.unwound(place).into_iter().enumerate() {
            self.0[at].weight = weight;
        }
        for at in place..self.0.len() - 1 {
            self.0[at] = Step { weight: self.0[at].weight, ..self.0[at + 1] };
        }
        self.0.pop();
        taken
    }

    /// The weights without one field.
    fn unwound(&self, place: usize) -> Vec<f64> {
        let Step { zero, one, .. } = self.0[place];
        let depth = self.0.len() - 1;
        let size = (depth + 1) as f64;
        let mut weights = vec![0.0; depth];
        let mut next = self.0[depth].weight;
        for at in (0..depth).rev() {
            let weight = self.0[at].weight;
            if one != 0.0 {
                weights[at] = next * size / ((at + 1) as f64 * one);
                next = weight - weights[at] * zero * (depth - at) as f64 / size;
            } else if zero != 0.0 {
                weights[at] = weight * size / (zero * (depth - at) as f64);
            }
        }
        weights
    }
}

/// One walk down all ways of a tree.
struct Descent<'a> {
    tree: &'a Tree,
    codes: &'a [u16],
    values: &'a mut [f64],
}

impl Descent<'_> {
    fn visit(&mut self, at: usize, mut path: Path, step: Step) {
        path.extend(step);
        let Some(Node { shape, .. }) = self.tree.nodes.get(at) else { return };
        let split = match shape {
            Shape::Split(split) => split,
            Shape::Leaf(value) => return self.add(&path, *value),
        };
        let goes_left = split.goes_left(self.codes.get(split.field as usize).copied().unwrap_or(0));
        let [left, right] = [split.left as usize, split.right as usize];
        let (hot, cold) = if goes_left { (left, right) } else { (right, left) };
        let before = path.0.iter().position(|step| step.field == Some(split.field));
        let before = before.map_or(Step::root(), |place| path.unwind(place));
        let share = share(self.tree, hot, cold);
        let down =
            |share: f64, one: f64| Step { field: Some(split.field), zero: before.zero * share, one, weight: 0.0 };
        self.visit(hot, path.clone(), down(share, before.one));
        self.visit(cold, path, down(1.0 - share, 0.0));
    }

    fn add(&mut self, path: &Path, value: f64) {
        for (place, step) in path.0.iter().enumerate() {
            if let Some(total) = step.field.and_then(|field| self.values.get_mut(field as usize)) {
                let weight: f64 = path.unwound(place).iter().sum();
                *total += weight * (step.one - step.zero) * value;
            }
        }
    }
}
