//! Markup that is well-formed and escaped by construction: HTML and the SVG inside it.

use std::fmt;

/// A piece of markup: elements that are closed, texts that are escaped.
#[derive(Clone, Debug, Default)]
pub struct Markup(String);

/// Elements without content, written `<name/>`, which HTML and XML read alike.
const VOID: [&str; 8] = ["meta", "br", "line", "rect", "circle", "path", "polyline", "polygon"];

impl fmt::Display for Markup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromIterator<Markup> for Markup {
    fn from_iter<T: IntoIterator<Item = Markup>>(pieces: T) -> Self {
        Self(pieces.into_iter().map(|piece| piece.0).collect())
    }
}

/// A text.
pub fn text(content: impl fmt::Display) -> Markup {
    Markup(escaped(&content.to_string()))
}

/// An element with attributes and content.
pub fn element<const N: usize>(
    name: &'static str,
    attributes: [(&'static str, &str); N],
    content: impl IntoIterator<Item = Markup>,
) -> Markup {
    let mut markup = format!("<{name}");
    for (attribute, value) in attributes {
        markup.push_str(&format!(" {attribute}=\"{}\"", escaped(value)));
    }
    if VOID.contains(&name) {
        markup.push_str("/>");
        return Markup(markup);
    }
    markup.push('>');
    markup.extend(content.into_iter().map(|piece| piece.0));
    markup.push_str(&format!("</{name}>"));
    Markup(markup)
}

/// A page in a language that needs nothing else: no script, no font, no network.
pub fn page(language: &str, title: &str, sheet: &'static str, content: impl IntoIterator<Item = Markup>) -> String {
    let head = [
        element("meta", [("charset", "utf-8")], []),
        element("meta", [("name", "viewport"), ("content", "width=device-width, initial-scale=1")], []),
        element("title", [], [text(title)]),
        raw_style(sheet),
    ];
    let body = element("body", [], [element("main", [], content)]);
    let page = element("html", [("lang", language)], [element("head", [], head), body]);
    format!("<!DOCTYPE html>\n{page}\n")
}

/// The style sheet, which is ours.
fn raw_style(sheet: &'static str) -> Markup {
    Markup(format!("<style>\n{sheet}</style>"))
}

/// The five characters of markup as references. Characters that no document may hold, and those that turn the direction of
/// what follows, become U+FFFD, so that a name cannot make a line read otherwise than it is.
fn escaped(content: &str) -> String {
    let mut out = String::with_capacity(content.len());
    for character in content.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            other if other.is_control() && other != '\n' && other != '\t' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}
