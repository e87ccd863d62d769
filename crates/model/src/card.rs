//! The scorecard as a table: a row for every class of every field, for a spreadsheet or a dossier.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::fit::{FieldFit, Fit};
use crate::request::FieldBins;
use crate::text::Text;

/// One class of one field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardRow {
    /// Field.
    pub field: String,
    /// Class, numbered in order.
    pub class: u16,
    /// Which values it holds.
    pub label: Text,
    /// Good training rows.
    pub good: i64,
    /// Bad training rows.
    pub bad: i64,
    /// Share of the field's training rows.
    pub share: f64,
    /// Share of bad ones among its own rows; absent without rows.
    pub bad_rate: Option<f64>,
    /// `ln(good share / bad share)`.
    pub woe: f64,
    /// Points; absent for a field that is not in the model.
    pub points: Option<i64>,
}

/// What the codes of a field stand for, as far as the one who asks for the table knows.
#[derive(Clone, Debug, PartialEq)]
pub enum Meaning {
    /// Ranges of a number.
    Numbers(FieldBins),
    /// The value of code 1, 2, ….
    Values(Vec<String>),
    /// Only the holder of the field knows.
    Unknown,
}

impl Fit {
    /// The table; `meaning` says what the codes of a field stand for.
    pub fn card(&self, meaning: impl Fn(&FieldFit) -> Meaning) -> Vec<CardRow> {
        self.fields.iter().flat_map(|field| field.card(&meaning(field))).collect()
    }
}

impl FieldFit {
    /// Its rows of the table.
    pub fn card(&self, meaning: &Meaning) -> Vec<CardRow> {
        let rows: i64 = self.good.iter().chain(&self.bad).sum();
        let classes = self.classes.iter().max().map_or(0, |last| last + 1);
        let row = |class: u16| {
            let codes: Vec<usize> = (0..self.classes.len()).filter(|&code| self.classes[code] == class).collect();
            let sum = |counts: &[i64]| codes.iter().map(|&code| counts[code]).sum::<i64>();
            let (good, bad) = (sum(&self.good), sum(&self.bad));
            let first = codes.first().copied().unwrap_or(0);
            CardRow {
                field: self.name.clone(),
                class,
                label: meaning.label(&codes),
                good,
                bad,
                share: (good + bad) as f64 / rows.max(1) as f64,
                bad_rate: (good + bad > 0).then(|| bad as f64 / (good + bad) as f64),
                woe: self.woe.get(first).copied().unwrap_or(0.0),
                points: self.points.get(first).copied(),
            }
        };
        (0..classes).map(row).collect()
    }
}

impl Meaning {
    /// The values behind some codes, given in order.
    pub fn label(&self, codes: &[usize]) -> Text {
        let mut parts = Vec::new();
        let mut rest = codes;
        if let Some((0, others)) = rest.split_first() {
            parts.push(Text::new("缺失", "missing"));
            rest = others;
        }
        match self {
            Self::Values(values) => {
                let named: Vec<_> = rest.iter().filter_map(|code| values.get(code - 1)).map(String::as_str).collect();
                if !named.is_empty() {
                    parts.push(Text::new(&named.join("、"), &named.join(", ")));
                }
            }
            Self::Numbers(bins) => parts.extend(runs(rest).into_iter().flat_map(|run| ranges(bins, run))),
            Self::Unknown => parts.extend(runs(rest).into_iter().map(|(first, last)| match first == last {
                true => Text::new(&format!("第 {first} 档"), &format!("bin {first}")),
                false => Text::new(&format!("第 {first} 至 {last} 档"), &format!("bins {first} to {last}")),
            })),
        }
        let join = |language: fn(&Text) -> &String, between: &str| {
            parts.iter().map(|part| language(part).as_str()).collect::<Vec<_>>().join(between)
        };
        Text { zh: join(|text| &text.zh, "；"), en: join(|text| &text.en, "; ") }
    }
}

/// First and last of every run of consecutive codes.
fn runs(codes: &[usize]) -> Vec<(usize, usize)> {
    let runs = codes.chunk_by(|a, b| a + 1 == *b);
    runs.filter_map(|run| Some((*run.first()?, *run.last()?))).collect()
}

/// A run of codes of a number: one range, then each special value.
fn ranges(bins: &FieldBins, (first, last): (usize, usize)) -> Vec<Text> {
    let (cuts, special): (&[f64], &[f64]) = match bins {
        FieldBins::Cuts(cuts) => (cuts, &[]),
        FieldBins::Special { cuts, special } => (cuts, special),
        FieldBins::Codes(_) => (&[], &[]),
    };
    let plain = cuts.len() + 1;
    let mut texts = Vec::new();
    if first <= plain {
        let low = first.checked_sub(2).and_then(|cut| cuts.get(cut));
        let high = cuts.get(last.min(plain) - 1);
        let text = match (low, high) {
            (None, None) => Text::new("全部取值", "all values"),
            (None, Some(high)) => Text::new(&format!("≤ {high}"), &format!("<= {high}")),
            (Some(low), None) => Text::new(&format!("> {low}"), &format!("> {low}")),
            (Some(low), Some(high)) => Text::new(&format!("({low}, {high}]"), &format!("({low}, {high}]")),
        };
        texts.push(text);
    }
    let own = (first.max(plain + 1)..=last).filter_map(|code| special.get(code - plain - 1));
    texts.extend(own.map(|value| Text::new(&format!("特殊值 {value}"), &format!("special value {value}"))));
    texts
}

/// The table as comma-separated values with a header (RFC 4180).
pub fn card_csv(rows: &[CardRow]) -> String {
    let mut text = String::from("field,class,label_zh,label_en,good,bad,share,bad_rate,woe,points\r\n");
    for row in rows {
        let optional = |value: Option<String>| value.unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "{},{},{},{},{},{},{:.6},{},{:.10},{}\r\n",
            quoted(&row.field),
            row.class,
            quoted(&row.label.zh),
            quoted(&row.label.en),
            row.good,
            row.bad,
            row.share,
            optional(row.bad_rate.map(|rate| format!("{rate:.6}"))),
            row.woe,
            optional(row.points.map(|points| points.to_string())),
        );
    }
    text
}

fn quoted(text: &str) -> String {
    // A spreadsheet takes a text that begins with one of these for a formula.
    let guard = if text.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
    if guard.is_empty() && !text.contains(['"', ',', '\r', '\n']) {
        return text.into();
    }
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests;
