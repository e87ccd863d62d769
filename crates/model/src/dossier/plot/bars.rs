//! Lying bars with a name and a figure each.

use super::unit;
use crate::markup::{Markup, element, text};

/// Width of the picture, where bars begin, and where the longest ends.
const WIDTH: f64 = 692.0;
const START: f64 = 190.0;
const END: f64 = 630.0;
/// From one bar to the next.
const STEP: f64 = 17.0;

/// Names, lengths and figures, from above; the longest bar fills the width.
pub(in crate::dossier) fn bars(title: &str, entries: &[(String, f64, String)]) -> Markup {
    let longest = entries.iter().map(|entry| entry.1).fold(f64::MIN_POSITIVE, f64::max);
    let entry = |(place, (name, length, figure)): (usize, &(String, f64, String))| {
        let top = place as f64 * STEP;
        let width = (END - START) * (length / longest).clamp(0.0, 1.0);
        let word = |x: f64, anchor: &str, word: &str| {
            let (x, y) = (unit(x), unit(top + 11.5));
            element("text", [("class", "name"), ("x", &x), ("y", &y), ("text-anchor", anchor)], [text(word)])
        };
        let (x, y, width_in_units) = (unit(START), unit(top + 3.0), unit(width));
        let bar = [("class", "joint"), ("x", &*x), ("y", &*y), ("width", &*width_in_units), ("height", "11")];
        [word(START - 8.0, "end", name), element("rect", bar, []), word(START + width + 6.0, "start", figure)]
    };
    let height = entries.len() as f64 * STEP + 4.0;
    let size = format!("0 0 {} {}", unit(WIDTH), unit(height));
    let content = [element("title", [], [text(title)])].into_iter().chain(entries.iter().enumerate().flat_map(entry));
    element("svg", [("viewBox", &*size), ("role", "img"), ("aria-label", title)], content)
}
