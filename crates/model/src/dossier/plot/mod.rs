//! Plots as SVG: a frame with two axes, marks in the data's own units, a legend.
//!
//! Colours and line widths are the style sheet's: each mark carries a class. Every plot has a title that screen readers tell.

mod axis;
mod bars;

pub(super) use self::axis::Axis;
pub(super) use self::bars::bars;
use crate::markup::{Markup, element, text};

/// A plot under construction.
pub(super) struct Plot {
    title: String,
    frame: Frame,
    x: Axis,
    y: Axis,
    marks: Vec<Markup>,
    legend: Vec<(&'static str, String)>,
}

/// Where things lie, in units of the picture.
#[derive(Clone, Copy)]
struct Frame {
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Plot {
    /// An empty plot of the given size in CSS pixels.
    pub(super) fn new(title: &str, (width, height): (f64, f64), x: Axis, y: Axis) -> Self {
        let bottom = if x.label.is_empty() { 18.0 } else { 34.0 };
        let left = if y.label.is_empty() { 30.0 } else { 46.0 };
        let frame = Frame { width, height, left, right: 16.0, top: 10.0, bottom };
        Self { title: title.into(), frame, x, y, marks: Vec::new(), legend: Vec::new() }
    }

    /// A line through points.
    pub(super) fn line(mut self, class: &'static str, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let places = self.places(points);
        self.marks.push(element("polyline", [("class", class), ("points", &places)], []));
        self
    }

    /// The area inside points.
    pub(super) fn area(mut self, class: &'static str, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let places = self.places(points);
        self.marks.push(element("polygon", [("class", class), ("points", &places)], []));
        self
    }

    /// An upright bar between two places, from one height to another.
    pub(super) fn bar(mut self, class: &'static str, (left, right): (f64, f64), (from, to): (f64, f64)) -> Self {
        let (left, right) = (self.across(left), self.across(right));
        let (top, bottom) = (self.up(from.max(to)), self.up(from.min(to)));
        self.marks.push(element(
            "rect",
            [
                ("class", class),
                ("x", &unit(left)),
                ("y", &unit(top)),
                ("width", &unit((right - left).max(0.0))),
                ("height", &unit((bottom - top).max(0.0))),
            ],
            [],
        ));
        self
    }

    /// A dot, with a whisker over its interval.
    pub(super) fn dot(mut self, class: &'static str, (x, y): (f64, f64), interval: Option<(f64, f64)>) -> Self {
        if let Some((low, high)) = interval {
            self = self.line(class, [(x, low), (x, high)]);
        }
        let (cx, cy) = (unit(self.across(x)), unit(self.up(y)));
        self.marks.push(element("circle", [("class", class), ("cx", &cx), ("cy", &cy), ("r", "2.6")], []));
        self
    }

    /// A word beside a place.
    pub(super) fn note(mut self, (x, y): (f64, f64), anchor: &'static str, note: &str) -> Self {
        let (x, y) = (unit(self.across(x)), unit(self.up(y)));
        self.marks.push(element(
            "text",
            [("class", "note"), ("x", &x), ("y", &y), ("text-anchor", anchor)],
            [text(note)],
        ));
        self
    }

    /// An entry of the legend; the class is that of the mark.
    pub(super) fn entry(mut self, class: &'static str, name: &str) -> Self {
        self.legend.push((class, name.into()));
        self
    }

    /// The picture with its legend.
    pub(super) fn finish(self) -> Markup {
        let size = format!("0 0 {} {}", unit(self.frame.width), unit(self.frame.height));
        let head = element("title", [], [text(&self.title)]);
        let content = [head].into_iter().chain(self.grid()).chain(self.marks.iter().cloned());
        let picture = element("svg", [("viewBox", &size), ("role", "img"), ("aria-label", &self.title)], content);
        let entry = |(class, name): &(&'static str, String)| {
            let swatch =
                element("rect", [("class", class), ("x", "0"), ("y", "3"), ("width", "14"), ("height", "4")], []);
            let swatch =
                element("svg", [("viewBox", "0 0 14 10"), ("class", "swatch"), ("aria-hidden", "true")], [swatch]);
            element("span", [("class", "entry")], [swatch, text(name)])
        };
        let legend = element("div", [("class", "legend")], self.legend.iter().map(entry));
        if self.legend.is_empty() { picture } else { [picture, legend].into_iter().collect() }
    }

    /// Lines and labels of the ticks, and the names of the axes.
    fn grid(&self) -> Vec<Markup> {
        let frame = self.frame;
        let (right, base) = (frame.width - frame.right, frame.height - frame.bottom);
        let mut grid = Vec::new();
        for (value, label) in &self.y.ticks {
            let y = self.up(*value);
            grid.push(rule("grid", (frame.left, y), (right, y)));
            grid.push(label_at((frame.left - 5.0, y + 3.2), "end", label));
        }
        for (value, label) in &self.x.ticks {
            let x = self.across(*value);
            if !self.x.bands {
                grid.push(rule("grid", (x, frame.top), (x, base)));
            }
            grid.push(label_at((x, base + 12.0), "middle", label));
        }
        let floor = self.up(self.y.ends().0.max(0.0));
        grid.push(rule("axis", (frame.left, floor), (right, floor)));
        if !self.x.label.is_empty() {
            let middle = (frame.left + right) / 2.0;
            grid.push(name_at((middle, frame.height - 5.0), None, &self.x.label));
        }
        if !self.y.label.is_empty() {
            let middle = (frame.top + base) / 2.0;
            grid.push(name_at((10.0, middle), Some("rotate"), &self.y.label));
        }
        grid
    }

    fn places(&self, points: impl IntoIterator<Item = (f64, f64)>) -> String {
        let place = |(x, y): (f64, f64)| format!("{},{}", unit(self.across(x)), unit(self.up(y)));
        points.into_iter().map(place).collect::<Vec<_>>().join(" ")
    }

    fn across(&self, x: f64) -> f64 {
        self.frame.left + self.x.share(x) * (self.frame.width - self.frame.left - self.frame.right)
    }

    fn up(&self, y: f64) -> f64 {
        let base = self.frame.height - self.frame.bottom;
        base - self.y.share(y) * (base - self.frame.top)
    }
}

fn rule(class: &'static str, from: (f64, f64), to: (f64, f64)) -> Markup {
    let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(unit);
    element("line", [("class", class), ("x1", &x1), ("y1", &y1), ("x2", &x2), ("y2", &y2)], [])
}

fn label_at((x, y): (f64, f64), anchor: &'static str, label: &str) -> Markup {
    element("text", [("class", "tick"), ("x", &unit(x)), ("y", &unit(y)), ("text-anchor", anchor)], [text(label)])
}

fn name_at((x, y): (f64, f64), turned: Option<&str>, name: &str) -> Markup {
    let (x, y) = (unit(x), unit(y));
    let turn = turned.map(|_| format!("rotate(-90 {x} {y})")).unwrap_or_else(|| "rotate(0)".into());
    element(
        "text",
        [("class", "name"), ("x", &x), ("y", &y), ("text-anchor", "middle"), ("transform", &turn)],
        [text(name)],
    )
}

/// A length with one digit after the point: finer than a printer.
fn unit(length: f64) -> String {
    let length = if length.is_finite() { length } else { 0.0 };
    format!("{length:.1}")
}
