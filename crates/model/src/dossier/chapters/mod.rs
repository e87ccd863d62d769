//! The chapters of the dossier, in order.

mod decision;
mod fields;
mod front;
mod power;
mod probability;
mod record;
mod segments;
mod trees;

use super::Dossier;
use super::words::Words;
use crate::learner::Fitted;
use crate::markup::{Markup, element, text};

/// All chapters.
pub(super) fn all(dossier: &Dossier, words: Words) -> Vec<Markup> {
    let mut chapters = vec![front::masthead(dossier, words)];
    let before = [
        (words.say("用途与参与方", "Purpose and parties"), front::purpose(dossier, words)),
        (words.say("数据与样本", "Data and sample"), front::data(dossier, words)),
        (words.say("联合建模带来的提升", "What the joint model adds"), power::uplift(dossier, words)),
        (words.say("区分能力", "Discrimination"), power::curves(dossier, words)),
        (words.say("校准与分数分布", "Calibration and score distribution"), probability::chapter(dossier, words)),
        (words.say("参数", "Parameters"), record::parameters(dossier, words)),
    ];
    let model = match &dossier.fit {
        Fitted::Scorecard(fit) => vec![
            (words.say("分箱", "Bins"), fields::bins(dossier, fit, words)),
            (words.say("分值表", "Points"), fields::points(dossier, fit, words)),
        ],
        Fitted::Trees(fit) => vec![
            (words.say("树的生长", "Growth of the trees"), trees::growth(fit, words)),
            (words.say("字段重要性", "Importance of the fields"), trees::importance(dossier, fit, words)),
            (words.say("字段效应", "Effects of the fields"), trees::effects(dossier, fit, words)),
        ],
        // Statistics are no model; they have a page of their own.
        Fitted::Statistics(_) => Vec::new(),
    };
    let after = [
        (words.say("审批线与换入换出", "Cut-offs and swap set"), decision::cut_offs(dossier, words)),
        (words.say("稳定性", "Stability"), decision::stability(dossier, words)),
        (words.say("限制", "Limits"), record::limits(dossier, words)),
        (words.say("审批", "Approvals"), record::approvals(dossier, words)),
        (words.say("版本", "Versions"), record::versions(dossier, words)),
        (words.say("各轮摘要", "Digests of the rounds"), record::rounds(dossier, words)),
    ];
    let own = (!dossier.own.is_empty()).then(|| {
        (
            words.say("本行（仅本行可见，非各方共同签署）", "This bank only; not part of what all signed"),
            front::own(dossier, words),
        )
    });
    let segments = segments::chapter(dossier, words).map(|content| (words.say("分群表现", "Segments"), content));
    chapters.extend(numbered(before.into_iter().chain(model).chain(segments).chain(own).chain(after)));
    chapters
}

/// Chapters under their numbers and titles.
pub(super) fn numbered<'a>(chapters: impl IntoIterator<Item = (&'a str, Vec<Markup>)>) -> impl Iterator<Item = Markup> {
    chapters.into_iter().enumerate().map(|(place, (title, content))| {
        let number = element("span", [("class", "number")], [text(place + 1)]);
        let heading = element("h2", [], [number, text(title)]);
        element("section", [], [heading].into_iter().chain(content))
    })
}

/// Figures, large: of each its label, itself, and what stands below it.
pub(super) fn cards<'a>(cards: impl IntoIterator<Item = (&'a str, (String, String))>) -> Markup {
    let part = |class, content: &str| element("div", [("class", class)], [text(content)]);
    let card = |(label, (value, below)): (&str, (String, String))| {
        element("div", [("class", "card")], [part("label", label), part("value", &value), part("below", &below)])
    };
    element("div", [("class", "cards")], cards.into_iter().map(card))
}

/// A column of a table.
#[derive(Clone, Copy)]
pub(super) enum Column<'a> {
    /// Words.
    Words(&'a str),
    /// Words that stay on one line.
    Short(&'a str),
    /// Figures.
    Figures(&'a str),
    /// Digests.
    Code(&'a str),
}

/// A table; cells are texts already written.
pub(super) fn table<'a, R: IntoIterator<Item = String>>(
    columns: impl AsRef<[Column<'a>]>,
    rows: impl IntoIterator<Item = R>,
) -> Markup {
    element("table", [], grid(columns.as_ref(), rows))
}

/// A table that may run over pages.
fn long_table<const N: usize>(columns: [Column; N], rows: impl IntoIterator<Item = [String; N]>) -> Markup {
    element("table", [("class", "long")], grid(&columns, rows))
}

fn grid<R: IntoIterator<Item = String>>(columns: &[Column], rows: impl IntoIterator<Item = R>) -> [Markup; 2] {
    let name = |column: &Column| match column {
        Column::Words(name) | Column::Short(name) | Column::Figures(name) | Column::Code(name) => (*name).to_owned(),
    };
    let class = |column: &Column| match column {
        Column::Words(_) => "words",
        Column::Short(_) => "short",
        Column::Figures(_) => "figures",
        Column::Code(_) => "code",
    };
    let head =
        columns.iter().map(|column| element("th", [("class", class(column)), ("scope", "col")], [text(name(column))]));
    let cell = |(column, cell): (&Column, String)| element("td", [("class", class(column))], [text(cell)]);
    let row = |cells: R| element("tr", [], columns.iter().zip(cells).map(cell));
    let body: Vec<_> = rows.into_iter().map(row).collect();
    [element("thead", [], [element("tr", [], head)]), element("tbody", [], body)]
}

/// A paragraph.
pub(super) fn paragraph(content: &str) -> Markup {
    element("p", [], [text(content)])
}

/// A remark under a table or a plot.
pub(super) fn remark(content: &str) -> Markup {
    element("p", [("class", "remark")], [text(content)])
}

/// Names and values beside one another.
pub(super) fn facts(entries: impl IntoIterator<Item = (String, String)>) -> Markup {
    let entry = |(name, value): (String, String)| {
        [element("dt", [], [text(name)]), element("dd", [], [text(value)])].into_iter().collect()
    };
    element("dl", [], entries.into_iter().map(entry))
}

/// A picture with its caption.
pub(super) fn figure(class: &'static str, picture: Markup, caption: &str) -> Markup {
    element("figure", [("class", class)], [element("figcaption", [], [text(caption)]), picture])
}

/// Pictures beside one another.
pub(super) fn side_by_side(class: &'static str, pictures: impl IntoIterator<Item = Markup>) -> Markup {
    element("div", [("class", class)], pictures)
}
