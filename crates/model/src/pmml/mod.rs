//! Models as PMML 4.4, for engines that score without this program.
//!
//! A party exports what it may. Of a scorecard, a bank exports its own fields with bins and points, and the platform's fields as
//! one number, `platform_points`, which is what the platform sends when it scores ([`bank_half`]); the platform exports the
//! characteristics of its fields ([`scorecard`] over its own cuts), and whoever knows all bins the whole card in the same way.
//! Trees do not come apart by field, and their splits are known to all parties: the [`forest`] reads numbers and values where
//! the cuts are known, and elsewhere the code of the bin, which is what the platform sends when it scores.
//!
//! Outputs: `score` and `probability`, that of bad; of scorecards also the fields' names by points below the best bin, of trees
//! `log_odds`, those of bad. Reasons of trees are not expressed. Values that a categorical field does not name count as missing,
//! as everywhere.
//!
//! Tested against PMML4S 1.5.8 (through pypmml), recorded by `tests/oracle/pmml.py`: rows on, beside and between the cuts, with
//! missing, special, unknown and extreme values; log-odds of trees are equal bit for bit. Not tested: other engines.

mod forest;
mod scorecard;
#[cfg(test)]
mod tests;

pub use self::forest::{Reading, forest};
pub use self::scorecard::{Characteristic, Input, bank_half, scorecard};

use crate::markup::{Markup, element};

/// Name of the number that stands for the platform's fields.
pub const PLATFORM_POINTS: &str = "platform_points";
/// Name of the score.
pub const SCORE: &str = "score";
/// Name of the probability of bad.
pub const PROBABILITY: &str = "probability";
/// Name of the log-odds of bad.
pub const LOG_ODDS: &str = "log_odds";

/// A document of one model.
fn document(fields: Vec<Markup>, model: Markup) -> String {
    let count = fields.len().to_string();
    let application = element("Application", [("name", "tallystick")], []);
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

fn number_field(name: &str) -> Markup {
    element("DataField", [("name", name), ("optype", "continuous"), ("dataType", "double")], [])
}

fn category_field(name: &str, values: &[String]) -> Markup {
    let values = values.iter().map(|value| element("Value", [("value", value.as_str())], []));
    element("DataField", [("name", name), ("optype", "categorical"), ("dataType", "string")], values)
}

fn target(name: &str) -> Markup {
    element("MiningField", [("name", name), ("usageType", "target")], [])
}

fn predicate(field: &str, operator: &'static str, value: &str) -> Markup {
    element("SimplePredicate", [("field", field), ("operator", operator), ("value", value)], [])
}

/// What the model itself predicts.
fn predicted(name: &str) -> Markup {
    let kind = [("feature", "predictedValue"), ("optype", "continuous"), ("dataType", "double")];
    element("OutputField", [("name", name), kind[0], kind[1], kind[2]], [])
}

/// What follows from outputs before.
fn derived(name: &str, expression: Markup) -> Markup {
    let kind = [("feature", "transformedValue"), ("optype", "continuous"), ("dataType", "double")];
    element("OutputField", [("name", name), kind[0], kind[1], kind[2]], [expression])
}

/// The probability of bad: `1 / (1 + e^against)`, the argument the log-odds of good.
fn probability(against: Markup) -> Markup {
    let power = apply("exp", [against]);
    derived(PROBABILITY, apply("/", [constant(1.0), apply("+", [constant(1.0), power])]))
}

fn apply(function: &str, arguments: impl IntoIterator<Item = Markup>) -> Markup {
    element("Apply", [("function", function)], arguments)
}

fn constant(value: f64) -> Markup {
    element("Constant", [("dataType", "double")], [crate::markup::text(format!("{value:?}"))])
}

fn reference(field: &str) -> Markup {
    element("FieldRef", [("field", field)], [])
}
