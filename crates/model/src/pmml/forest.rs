//! Boosted trees: a sum of regression trees, each split with the side of the rows that lack a value.
//!
//! The first tree is a single leaf with the log-odds before any tree, so that an engine that adds in order rounds as
//! [`BoostedFit::log_odds`] does.
//!
//! Reference: Data Mining Group, PMML 4.4, MiningModel and TreeModel.

use std::collections::BTreeSet;

use super::{
    LOG_ODDS, SCORE, apply, constant, derived, document, predicate, predicted, probability, reference, target,
};
use super::{category_field, number_field};
use crate::boosted::{BoostedField, BoostedFit, Node, Shape, Split, Tree};
use crate::markup::{Markup, element};
use crate::points::Scale;

/// What the trees read of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// A number, by the upper ends of its bins, the last bin open.
    Number(Vec<f64>),
    /// One of some values: those of code 1, 2, ….
    Category(Vec<String>),
    /// The code of the bin, where only the holder of the field knows what it stands for; 0 is missing.
    Code,
}

/// The forest of a fit, its probability by a bank's own calibration, which adds to the log-odds of bad; `reading` says what is read of the field at a position, `scale` makes a score of log-odds.
pub fn forest(
    name: &str,
    fit: &BoostedFit,
    reading: impl Fn(usize) -> Reading,
    scale: Scale,
    calibration: f64,
) -> String {
    let feature =
        |(place, field): (usize, &BoostedField)| Feature { name: field.name.clone(), reading: reading(place) };
    let features = Features(fit.fields.iter().enumerate().map(feature).collect());
    let leaf = Node { rows: fit.train_rows, cover: 0.0, shape: Shape::Leaf(fit.forest.base()) };
    let base = Tree { nodes: vec![leaf] };
    let trees: Vec<_> = [&base].into_iter().chain(fit.forest.trees()).collect();
    let used = features.used(&trees);
    let model = element(
        "MiningModel",
        [("modelName", name), ("functionName", "regression")],
        [
            element("MiningSchema", [], used.iter().map(|feature| feature.mining_field()).chain([target(LOG_ODDS)])),
            element("Output", [], outputs(scale, calibration)),
            element(
                "Segmentation",
                [("multipleModelMethod", "sum")],
                trees.iter().enumerate().map(|(place, tree)| features.segment(place, tree)),
            ),
        ],
    );
    document(used.iter().map(|feature| feature.data_field()).chain([number_field(LOG_ODDS)]).collect(), model)
}

fn outputs(scale: Scale, calibration: f64) -> [Markup; 3] {
    let joint = apply("*", [constant(-1.0), reference(LOG_ODDS)]);
    let against = if calibration == 0.0 { joint } else { apply("-", [joint, constant(calibration)]) };
    let points = apply("*", [constant(scale.factor), reference(LOG_ODDS)]);
    let score = apply("round", [apply("-", [constant(scale.offset), points])]);
    [predicted(LOG_ODDS), probability(against), derived(SCORE, score)]
}

/// One field as the trees read it.
struct Feature {
    name: String,
    reading: Reading,
}

impl Feature {
    fn data_field(&self) -> Markup {
        let missing = element("Value", [("value", "0"), ("property", "missing")], []);
        let kind = [("optype", "continuous"), ("dataType", "integer")];
        match &self.reading {
            Reading::Number(_) => number_field(&self.name),
            Reading::Category(values) => category_field(&self.name, values),
            Reading::Code => element("DataField", [("name", &self.name), kind[0], kind[1]], [missing]),
        }
    }

    fn mining_field(&self) -> Markup {
        element("MiningField", [("name", &self.name), ("invalidValueTreatment", "asMissing")], [])
    }

    /// What holds of the rows that go left, and of those that go right. Rows without a value go to the default child, unless
    /// the split says otherwise.
    fn sides(&self, split: &Split) -> [Markup; 2] {
        let last = usize::from(split.last_left);
        let bound = |cut: String| ["lessOrEqual", "greaterThan"].map(|operator| predicate(&self.name, operator, &cut));
        match &self.reading {
            _ if last == 0 && split.missing_left => self.known("isMissing", "isNotMissing"),
            _ if last == 0 => [always("False"), always("True")],
            Reading::Code => bound(last.to_string()),
            Reading::Number(cuts) if last <= cuts.len() => bound(format!("{:?}", cuts[last - 1])),
            Reading::Category(values) if last < values.len() => {
                let sides = [("equal", "or"), ("notEqual", "and")];
                sides.map(|(operator, joined)| self.each(&values[..last], operator, joined))
            }
            _ if split.missing_left => [always("True"), always("False")],
            _ => self.known("isNotMissing", "isMissing"),
        }
    }

    fn known(&self, left: &'static str, right: &'static str) -> [Markup; 2] {
        [left, right].map(|operator| element("SimplePredicate", [("field", &self.name), ("operator", operator)], []))
    }

    fn each(&self, values: &[String], operator: &'static str, joined: &str) -> Markup {
        let one = |value: &String| predicate(&self.name, operator, value);
        match values {
            [only] => one(only),
            _ => element("CompoundPredicate", [("booleanOperator", joined)], values.iter().map(one)),
        }
    }
}

fn always(answer: &'static str) -> Markup {
    element(answer, [], [])
}

/// Every field, in the order of the forest.
struct Features(Vec<Feature>);

impl Features {
    /// The fields that some tree asks for, in order.
    fn used(&self, trees: &[&Tree]) -> Vec<&Feature> {
        let splits = trees.iter().flat_map(|tree| &tree.nodes).filter_map(|node| match node.shape {
            Shape::Split(split) => Some(split.field as usize),
            Shape::Leaf(_) => None,
        });
        let used: BTreeSet<_> = splits.collect();
        used.into_iter().filter_map(|field| self.0.get(field)).collect()
    }

    fn segment(&self, place: usize, tree: &Tree) -> Markup {
        let fields = self.used(&[tree]).into_iter().map(Feature::mining_field);
        let model = element(
            "TreeModel",
            [
                ("functionName", "regression"),
                ("missingValueStrategy", "defaultChild"),
                ("splitCharacteristic", "binarySplit"),
            ],
            [element("MiningSchema", [], fields), self.node(tree, 0, always("True"))],
        );
        element("Segment", [("id", place.to_string().as_str())], [always("True"), model])
    }

    fn node(&self, tree: &Tree, at: usize, predicate: Markup) -> Markup {
        let id = at.to_string();
        let shape = tree.nodes.get(at).map_or(Shape::Leaf(0.0), |node| node.shape);
        match shape {
            Shape::Leaf(value) => element("Node", [("id", &id), ("score", &format!("{value:?}"))], [predicate]),
            Shape::Split(split) => {
                let default = if split.missing_left { split.left } else { split.right }.to_string();
                let children = self.0.get(split.field as usize).map(|feature| {
                    let [left, right] = feature.sides(&split);
                    [self.node(tree, split.left as usize, left), self.node(tree, split.right as usize, right)]
                });
                let content = [predicate].into_iter().chain(children.into_iter().flatten());
                element("Node", [("id", &id), ("defaultChild", &default)], content)
            }
        }
    }
}
