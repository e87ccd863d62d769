//! The page of pooled statistics: totals, and a table for each set of cells.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;

use super::chapters::{Column, cards, facts, figure, remark, table};
use super::page;
use super::plot::bars;
use super::words::{Words, count, fixed, percent, short};
use crate::markup::{Markup, element, text};
use crate::statistics::{Group, ROWS, Statistics, StatisticsTable, TallyKind};
use crate::text::{Language, Text};

/// Everything that the page tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatisticsPage {
    /// What the statistics are.
    pub title: Text,
    /// When the page was made, ISO 8601.
    pub prepared: String,
    /// Day that the figures are of.
    pub as_of: String,
    /// Name of the session.
    pub session: String,
    /// Digest of the contract that all parties signed.
    pub contract: Digest,
    /// Banks in the sum.
    pub banks: Vec<String>,
    /// How the unit of the amounts' columns is called.
    pub amounts_in: Text,
    /// Fewest banks behind a group of cells.
    pub min_cell: u32,
    /// Whether the sum carries noise.
    pub noise: bool,
    /// Names of fields for people.
    pub fields: BTreeMap<String, Text>,
    /// The figures.
    pub found: Statistics,
}

/// The page, as HTML.
pub fn statistics_page(of: &StatisticsPage, language: Language) -> String {
    let words = Words(language);
    let heading = |title: &str| element("h2", [], [text(title)]);
    let totals = [heading(words.say("合计", "Totals")), of.totals(words)];
    let mut content = vec![of.masthead(words), element("section", [], totals)];
    for table in &of.found.tables {
        let fields: Vec<_> = table.fields.iter().map(|name| of.field(name, words)).collect();
        let title = format!("{}{}", words.say("按", "By "), fields.join(words.say("、", " and ")));
        let chapter = [heading(&title)].into_iter().chain(of.table(table, words));
        content.push(element("section", [], chapter));
    }
    content.push(element("section", [], [heading(words.say("说明", "Notes")), of.notes(words)]));
    page(words, words.of(&of.title), content)
}

impl StatisticsPage {
    fn masthead(&self, words: Words) -> Markup {
        let entry = |zh, en, value: String| (words.say(zh, en).to_owned(), value);
        let entries = [
            entry("数据日期", "As of", self.as_of.clone()),
            entry("参与银行", "Banks", self.banks.join(", ")),
            entry("会话", "Session", self.session.clone()),
            entry("合同", "Contract", self.contract.to_string()),
            entry("制表", "Prepared", self.prepared.clone()),
        ];
        let kind = element("p", [("class", "kind")], [text(words.say("统计", "Statistics"))]);
        element(
            "header",
            [],
            [kind, element("h1", [], [text(words.of(&self.title))]), facts(entries), self.cards(words)],
        )
    }

    /// The first totals, large.
    fn cards(&self, words: Words) -> Markup {
        let Some(total) = &self.found.total else { return Markup::default() };
        let shares = self.found.plan.shares.iter().enumerate().map(|(place, share)| {
            let value = self.found.share(place, total).map_or_else(|| "–".into(), percent);
            (words.of(&share.title), (value, String::new()))
        });
        let amounts = self.found.plan.tallies.iter().zip(total);
        let amounts = amounts.filter(|((_, tally), _)| matches!(tally.kind, TallyKind::Amount { .. }));
        let amounts = amounts.map(|((measure, _), sum)| {
            let value = compact(*sum as f64 * self.found.plan.unit, words);
            (words.of(&measure.title), (value, words.of(&self.amounts_in).to_owned()))
        });
        let rows = (words.say("借款户数", "borrowers"), (count(*total.last().unwrap_or(&0)), String::new()));
        cards(amounts.take(2).chain([rows]).chain(shares.take(2)))
    }

    fn totals(&self, words: Words) -> Markup {
        let Some(total) = &self.found.total else { return remark(withheld(words)) };
        let sums = self.names(words).into_iter().zip(self.figures(total));
        let shares = self.found.plan.shares.iter().enumerate().map(|(place, share)| {
            (words.of(&share.title).to_owned(), self.found.share(place, total).map_or_else(|| "–".into(), percent))
        });
        let columns = [Column::Words(words.say("指标", "Measure")), Column::Figures(words.say("数值", "Figure"))];
        table(columns, sums.chain(shares).map(|(name, figure)| [name, figure]))
    }

    fn table(&self, of: &StatisticsTable, words: Words) -> Vec<Markup> {
        if of.groups.is_empty() {
            return vec![remark(withheld(words))];
        }
        // Groups in which nobody has a row say nothing.
        let groups = || of.groups.iter().filter(|group| group.sums.iter().any(|sum| *sum != 0));
        let names = self.names(words);
        let shares: Vec<_> = self.found.plan.shares.iter().map(|share| words.of(&share.title)).collect();
        let head = [Column::Words(words.say("单元", "Cells"))].into_iter();
        let columns: Vec<_> = head
            .chain(names.iter().map(|name| Column::Figures(name)))
            .chain(shares.iter().map(|name| Column::Figures(name)))
            .collect();
        let row = |group: &Group| {
            let share = |place| self.found.share(place, &group.sums).map_or_else(|| "–".into(), percent);
            let shares: Vec<String> = (0..shares.len()).map(share).collect();
            [label(group, words)].into_iter().chain(self.figures(&group.sums)).chain(shares).collect::<Vec<_>>()
        };
        let first = names.first().cloned().unwrap_or_default();
        let bar = |group: &Group| {
            let sum = group.sums.first().copied().unwrap_or(0) as f64;
            let amount = self.found.plan.tallies.first();
            let amount = amount.is_some_and(|(_, tally)| matches!(tally.kind, TallyKind::Amount { .. }));
            let value = if amount { sum * self.found.plan.unit } else { sum };
            (shortened(&label(group, words)), value, compact(value, words))
        };
        let entries: Vec<_> = groups().map(bar).collect();
        vec![table(columns, groups().map(row)), figure("whole", bars(&first, &entries), &first)]
    }

    fn notes(&self, words: Words) -> Markup {
        let unit = short(self.found.plan.unit);
        let amounts = words.of(&self.amounts_in);
        let noise = match (self.noise, words.0) {
            (true, Language::Zh) => "合计带有合同约定的噪声，表内各单元之和与合计略有出入。",
            (true, Language::En) => {
                "Sums carry the contract's noise, so the cells of a table add up to the total only nearly."
            }
            (false, Language::Zh) => "合计为精确值。",
            (false, Language::En) => "Sums are exact.",
        };
        let lines = match words.0 {
            Language::Zh => [
                format!("金额单位：{amounts}；每户金额先四舍六入五成双至 {unit} {amounts}，再相加。"),
                format!("每组单元背后至少有 {} 家银行；不足者与相邻单元合并，仍不足者整表不予公布。", self.min_cell),
                "一行为一家银行的一个借款户：在两家银行都有贷款的企业在两处各计一次。".into(),
                "汇总由各银行以安全聚合相加：平台看不到任何一家银行的数字；每家银行都能重算结果。".into(),
                noise.into(),
            ],
            Language::En => [
                format!("Amounts in {amounts}; each borrower's is rounded to {unit} {amounts}, half to even, and then added."),
                format!(
                    "Behind each group of cells stand at least {} banks; cells with fewer are counted with their neighbours, and a \
                     table without any such group is withheld.",
                    self.min_cell
                ),
                "A row is a borrower of one bank: an enterprise with loans at two banks counts at each.".into(),
                "The banks added their figures up by secure aggregation: the platform saw no bank's, and every bank can recompute \
                 the result."
                    .into(),
                noise.into(),
            ],
        };
        element("ul", [], lines.map(|line| element("li", [], [text(line)])))
    }

    fn names(&self, words: Words) -> Vec<String> {
        let tallies = self.found.plan.tallies.iter().map(|(measure, _)| words.of(&measure.title).to_owned());
        tallies.chain([words.say("借款户数", "borrowers").to_owned()]).collect()
    }

    /// Sums as they are printed: amounts in the unit of their column, counts as they are.
    fn figures(&self, sums: &[i64]) -> Vec<String> {
        let plan = &self.found.plan;
        let amount =
            plan.tallies.iter().map(|(_, tally)| matches!(tally.kind, TallyKind::Amount { .. })).chain([false]);
        let print = |(sum, amount): (&i64, bool)| match amount {
            true => count((*sum as f64 * plan.unit).round() as i64),
            false => count(*sum),
        };
        sums.iter().zip(amount).map(print).collect()
    }

    fn field(&self, name: &str, words: Words) -> String {
        self.fields.get(name).map_or_else(|| name.to_owned(), |title| words.of(title).to_owned())
    }
}

impl Statistics {
    /// Sums by name, amounts in the unit of their column.
    pub fn by_name(&self, sums: &[i64]) -> BTreeMap<String, f64> {
        let value = |(name, sum): (&str, &i64)| {
            let tally = self.plan.tallies.iter().find(|(measure, _)| measure.name == name && name != ROWS);
            let amount = tally.is_some_and(|(_, tally)| matches!(tally.kind, TallyKind::Amount { .. }));
            (name.to_owned(), if amount { *sum as f64 * self.plan.unit } else { *sum as f64 })
        };
        self.plan.names().zip(sums).map(value).collect()
    }
}

/// The cells of a group in words.
fn label(group: &Group, words: Words) -> String {
    let value =
        |value: &String| if value.is_empty() { words.say("缺失", "missing").to_owned() } else { value.clone() };
    let cell = |cell: &Vec<String>| cell.iter().map(value).collect::<Vec<_>>().join(" × ");
    group.cells.iter().map(cell).collect::<Vec<_>>().join(" + ")
}

/// A large figure in few characters.
fn compact(value: f64, words: Words) -> String {
    let scales: [(f64, &str); 2] = match words.0 {
        Language::Zh => [(1e8, " 亿"), (1e4, " 万")],
        Language::En => [(1e9, " bn"), (1e6, " m")],
    };
    match scales.into_iter().find(|(scale, _)| value >= *scale) {
        Some((scale, name)) => format!("{}{name}", fixed(value / scale, 2)),
        None => fixed(value, 0),
    }
}

/// A label that fits beside a bar.
fn shortened(label: &str) -> String {
    let most = 28;
    if label.chars().count() <= most {
        return label.to_owned();
    }
    label.chars().take(most - 1).chain(['…']).collect()
}

fn withheld(words: Words) -> &'static str {
    words.say("背后的银行过少，不予公布。", "Withheld: too few banks stand behind it.")
}
