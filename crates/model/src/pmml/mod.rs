//! A scorecard as PMML 4.4, for engines that score without this program.
//!
//! A party exports what it may: a bank its own fields with bins and points, and the platform's fields as one number,
//! `platform_points`, which is what the platform sends when it scores ([`bank_half`]). The platform exports the
//! characteristics of its fields ([`scorecard`] over its own cuts), and whoever knows all bins the whole card in the same way.
//!
//! Reason codes are the fields' names, by points below the best bin. Values that a categorical field does not name count as
//! missing, as everywhere.
//!
//! Tested against PMML4S 1.5.8 (through pypmml): scores and reasons of 420 rows, with missing, unknown and extreme
//! values, recorded by `tests/oracle/pmml.py`. Not tested: other engines.
//!
//! Reference: Data Mining Group, PMML 4.4, Scorecard.

use crate::fit::Fit;
use crate::markup::{Markup, element};
use crate::plan::{FieldSource, Plan};
use crate::request::FieldBins;

#[cfg(test)]
mod tests;

/// One field of an exported scorecard.
#[derive(Clone, Debug, PartialEq)]
pub struct Characteristic {
    /// Name of the field.
    pub name: String,
    /// What is read.
    pub input: Input,
}

/// What a characteristic reads, and the points that it gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A number: right-closed bins `(a, b]`.
    Number {
        /// Upper ends of the bins, the last bin open.
        cuts: Vec<f64>,
        /// Values with a bin of their own, after the others.
        special: Vec<f64>,
        /// Points of code 0 (missing), 1, ….
        points: Vec<i64>,
    },
    /// One of some values.
    Category {
        /// The value of code 1, 2, ….
        values: Vec<String>,
        /// Points of code 0 (missing), 1, ….
        points: Vec<i64>,
    },
    /// Points that someone else has added up.
    Points {
        /// Where the number is missing.
        missing: i64,
        /// The most there can be.
        best: i64,
    },
}

/// Name of the number that stands for the platform's fields.
pub const PLATFORM_POINTS: &str = "platform_points";
/// Name of the score.
pub const SCORE: &str = "score";
/// Ranked reason codes in the output.
const REASONS: usize = 4;

/// A bank's half: its own fields, and one number for the platform's.
pub fn bank_half(name: &str, fit: &Fit, plan: &Plan) -> String {
    let mut characteristics = Vec::new();
    let (mut offered, mut missing, mut best) = (false, 0, 0);
    let kept = fit.fields.iter().zip(&plan.fields).filter(|(field, _)| field.coefficient.is_some());
    for (field, plan) in kept {
        let points = field.points.clone();
        let input = match (&field.bins, &plan.source) {
            (FieldBins::Cuts(cuts), _) => Input::Number { cuts: cuts.clone(), special: Vec::new(), points },
            (FieldBins::Special { cuts, special }, _) => {
                Input::Number { cuts: cuts.clone(), special: special.clone(), points }
            }
            (FieldBins::Codes(_), FieldSource::Categories { values }) => {
                Input::Category { values: values.clone(), points }
            }
            (FieldBins::Codes(_), _) => {
                (offered, missing, best) = (true, missing + field.points(0), best + field.best());
                continue;
            }
        };
        characteristics.push(Characteristic { name: field.name.clone(), input });
    }
    if offered {
        characteristics.push(Characteristic { name: PLATFORM_POINTS.into(), input: Input::Points { missing, best } });
    }
    scorecard(name, fit.base_points, &characteristics)
}

/// A scorecard of the given characteristics, on top of the initial points.
pub fn scorecard(name: &str, initial: i64, characteristics: &[Characteristic]) -> String {
    let fields = characteristics.iter().map(data_field).chain([number_field(SCORE)]);
    let application = element("Application", [("name", "tallystick")], []);
    let model = element(
        "Scorecard",
        [
            ("modelName", name),
            ("functionName", "regression"),
            ("initialScore", &initial.to_string()),
            ("useReasonCodes", "true"),
            ("reasonCodeAlgorithm", "pointsBelow"),
            ("baselineMethod", "max"),
        ],
        [
            element("MiningSchema", [], characteristics.iter().map(mining_field).chain([target()])),
            element("Output", [], outputs(characteristics.len())),
            element("Characteristics", [], characteristics.iter().map(characteristic)),
        ],
    );
    let count = (characteristics.len() + 1).to_string();
    let page = element(
        "PMML",
        [("version", "4.4"), ("xmlns", "http://www.dmg.org/PMML-4_4")],
        [
            element("Header", [], [application]),
            element("DataDictionary", [("numberOfFields", count.as_str())], fields),
            model,
        ],
    );
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{page}\n")
}

fn data_field(characteristic: &Characteristic) -> Markup {
    let Input::Category { values, .. } = &characteristic.input else { return number_field(&characteristic.name) };
    let values = values.iter().map(|value| element("Value", [("value", value.as_str())], []));
    let name = characteristic.name.as_str();
    element("DataField", [("name", name), ("optype", "categorical"), ("dataType", "string")], values)
}

fn number_field(name: &str) -> Markup {
    element("DataField", [("name", name), ("optype", "continuous"), ("dataType", "double")], [])
}

fn mining_field(characteristic: &Characteristic) -> Markup {
    let name = ("name", characteristic.name.as_str());
    let invalid = ("invalidValueTreatment", "asMissing");
    match &characteristic.input {
        Input::Points { missing, .. } => {
            let replacement = missing.to_string();
            element("MiningField", [name, invalid, ("missingValueReplacement", &replacement)], [])
        }
        _ => element("MiningField", [name, invalid], []),
    }
}

fn target() -> Markup {
    element("MiningField", [("name", SCORE), ("usageType", "target")], [])
}

fn outputs(characteristics: usize) -> Vec<Markup> {
    let score = [("name", SCORE), ("feature", "predictedValue"), ("optype", "continuous"), ("dataType", "double")];
    let reason = |rank: usize| {
        let (name, rank) = (format!("reason_{rank}"), rank.to_string());
        let kind = [("feature", "reasonCode"), ("optype", "categorical"), ("dataType", "string")];
        element("OutputField", [("name", name.as_str()), ("rank", rank.as_str()), kind[0], kind[1], kind[2]], [])
    };
    let reasons = (1..=REASONS.min(characteristics)).map(reason);
    [element("OutputField", score, [])].into_iter().chain(reasons).collect()
}

fn characteristic(characteristic: &Characteristic) -> Markup {
    let field = characteristic.name.as_str();
    let (best, attributes) = match &characteristic.input {
        Input::Number { cuts, special, points } => (greatest(points), bins(field, cuts, special, points)),
        Input::Category { values, points } => (greatest(points), categories(field, values, points)),
        Input::Points { best, .. } => {
            let sum = element("ComplexPartialScore", [], [element("FieldRef", [("field", field)], [])]);
            (*best, vec![element("Attribute", [], [element("True", [], []), sum])])
        }
    };
    let name = format!("{field}_points");
    let best = best.to_string();
    element("Characteristic", [("name", name.as_str()), ("reasonCode", field), ("baselineScore", &best)], attributes)
}

fn greatest(points: &[i64]) -> i64 {
    points.iter().copied().max().unwrap_or(0)
}

/// The missing bin first, then one attribute a special value, then one a bin: the first that holds counts.
fn bins(field: &str, cuts: &[f64], special: &[f64], points: &[i64]) -> Vec<Markup> {
    let missing = element("SimplePredicate", [("field", field), ("operator", "isMissing")], []);
    let bound = |operator: &'static str, cut: &f64| predicate(field, operator, &format!("{cut:?}"));
    let bin = |code: usize| match (code.checked_sub(2).and_then(|low| cuts.get(low)), cuts.get(code - 1)) {
        (None, None) => element("True", [], []),
        (None, Some(high)) => bound("lessOrEqual", high),
        (Some(low), None) => bound("greaterThan", low),
        (Some(low), Some(high)) => {
            let both = [bound("greaterThan", low), bound("lessOrEqual", high)];
            element("CompoundPredicate", [("booleanOperator", "and")], both)
        }
    };
    let rest = (1..=cuts.len() + 1).map(|code| attribute(points_of(points, code), bin(code)));
    let special = special
        .iter()
        .enumerate()
        .map(|(place, value)| attribute(points_of(points, cuts.len() + 2 + place), bound("equal", value)));
    [attribute(points_of(points, 0), missing)].into_iter().chain(special).chain(rest).collect()
}

/// One attribute a value, then everything else, which counts as missing.
fn categories(field: &str, values: &[String], points: &[i64]) -> Vec<Markup> {
    let named = values
        .iter()
        .enumerate()
        .map(|(place, value)| attribute(points_of(points, place + 1), predicate(field, "equal", value)));
    named.chain([attribute(points_of(points, 0), element("True", [], []))]).collect()
}

/// Points of a code; a code without points counts as missing.
fn points_of(points: &[i64], code: usize) -> i64 {
    points.get(code).or(points.first()).copied().unwrap_or(0)
}

fn predicate(field: &str, operator: &'static str, value: &str) -> Markup {
    element("SimplePredicate", [("field", field), ("operator", operator), ("value", value)], [])
}

fn attribute(points: i64, predicate: Markup) -> Markup {
    element("Attribute", [("partialScore", points.to_string().as_str())], [predicate])
}
