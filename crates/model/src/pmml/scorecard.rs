//! A scorecard: characteristics with points, reasons by points below the best bin.
//!
//! Reference: Data Mining Group, PMML 4.4, Scorecard.

use super::{PLATFORM_POINTS, SCORE, apply, category_field, constant, document, number_field, predicate, predicted};
use super::{probability, reference, target};
use crate::fit::Fit;
use crate::markup::{Markup, element};
use crate::plan::{FieldSource, Plan, Unseen};
use crate::points::Scale;
use crate::request::FieldBins;

/// One field of an exported scorecard.
#[derive(Clone, Debug, PartialEq)]
pub struct Characteristic {
    /// Name of the field.
    pub name: String,
    /// What is read.
    pub input: Input,
    /// Without a value there is no score: nothing is known of such applicants, and the contract refuses them.
    pub refuses_missing: bool,
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

/// Ranked reason codes in the output.
const REASONS: usize = 4;

/// A bank's half: its own fields, and one number for the platform's.
///
/// The probability is that of the bank's own calibration, which adds `calibration` to the log-odds of bad; 0 without one.
pub fn bank_half(name: &str, fit: &Fit, plan: &Plan, calibration: f64) -> String {
    let mut characteristics = Vec::new();
    let (mut offered, mut missing, mut best) = (false, 0, 0);
    let unseen = plan.unseen;
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
        let refuses_missing = unseen == Some(Unseen::Refuse) && field.is_unseen(0);
        characteristics.push(Characteristic { name: field.name.clone(), input, refuses_missing });
    }
    if offered {
        let input = Input::Points { missing, best };
        characteristics.push(Characteristic { name: PLATFORM_POINTS.into(), input, refuses_missing: false });
    }
    scorecard(
        name,
        fit.base_points,
        &characteristics,
        Some(Scale { factor: fit.factor, offset: fit.offset + fit.factor * calibration }),
    )
}

/// A scorecard of the given characteristics, on top of the initial points; with a scale, the score is that of the whole model and
/// has a probability.
pub fn scorecard(name: &str, initial: i64, characteristics: &[Characteristic], scale: Option<Scale>) -> String {
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
            element("MiningSchema", [], characteristics.iter().map(mining_field).chain([target(SCORE)])),
            element("Output", [], outputs(characteristics.len(), scale)),
            element("Characteristics", [], characteristics.iter().map(characteristic)),
        ],
    );
    document(characteristics.iter().map(data_field).chain([number_field(SCORE)]).collect(), model)
}

fn data_field(characteristic: &Characteristic) -> Markup {
    match &characteristic.input {
        Input::Category { values, .. } => category_field(&characteristic.name, values),
        Input::Number { .. } | Input::Points { .. } => number_field(&characteristic.name),
    }
}

fn mining_field(characteristic: &Characteristic) -> Markup {
    let name = ("name", characteristic.name.as_str());
    let invalid = ("invalidValueTreatment", "asMissing");
    match &characteristic.input {
        Input::Points { missing, .. } => {
            let replacement = missing.to_string();
            element("MiningField", [name, invalid, ("missingValueReplacement", &replacement)], [])
        }
        _ if characteristic.refuses_missing => {
            element("MiningField", [name, invalid, ("missingValueTreatment", "returnInvalid")], [])
        }
        _ => element("MiningField", [name, invalid], []),
    }
}

fn outputs(characteristics: usize, scale: Option<Scale>) -> Vec<Markup> {
    let reason = |rank: usize| {
        let (name, rank) = (format!("reason_{rank}"), rank.to_string());
        let kind = [("feature", "reasonCode"), ("optype", "categorical"), ("dataType", "string")];
        element("OutputField", [("name", name.as_str()), ("rank", rank.as_str()), kind[0], kind[1], kind[2]], [])
    };
    let against =
        |scale: Scale| apply("/", [apply("-", [reference(SCORE), constant(scale.offset)]), constant(scale.factor)]);
    let probability = scale.map(|scale| probability(against(scale)));
    let reasons = (1..=REASONS.min(characteristics)).map(reason);
    [predicted(SCORE)].into_iter().chain(reasons).chain(probability).collect()
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

fn attribute(points: i64, predicate: Markup) -> Markup {
    element("Attribute", [("partialScore", points.to_string().as_str())], [predicate])
}
