//! The page of monitoring: stability by month, performance by score band.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::chapters::{Column, cards, facts, figure, numbered, remark, side_by_side, table};
use super::page;
use super::plot::{Axis, Plot};
use super::words::{Words, count, fixed, p_value, percent, signed};
use crate::markup::{Markup, element, text};
use crate::monitor::{Band, FEWEST, FieldMonths, Month, Performance, Reading, Report};
use crate::text::{Language, Text};

/// Everything that the page tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MonitorPage {
    /// What the model is.
    pub title: Text,
    /// When the page was made, ISO 8601.
    pub prepared: String,
    /// Whose report it is.
    pub node: String,
    /// Whether that is the platform, which knows no scores.
    pub platform: bool,
    /// Digest of the model.
    pub model: String,
    /// Session that made it.
    pub session: String,
    /// Months after its start within which a loan that goes bad counts as bad.
    pub window_months: u32,
    /// Names of fields for people.
    pub fields: BTreeMap<String, Text>,
    /// The figures.
    pub report: Report,
}

/// The page, as HTML.
pub fn monitor_page(of: &MonitorPage, language: Language) -> String {
    let words = Words(language);
    let report = &of.report;
    let mut chapters = Vec::new();
    if !of.platform {
        chapters.push((words.say("分数稳定性", "Stability of scores"), scores(&report.scores, words)));
    }
    chapters.push((words.say("字段稳定性", "Stability of fields"), of.fields(words)));
    if !report.partial.is_empty() {
        chapters.push((words.say("平台方分值", "The platform's points"), of.partial(words)));
    }
    if !of.platform {
        chapters.push((words.say("无标签时的区分能力估计", "Power estimated before outcomes"), of.estimated(words)));
        let performance = report.performance.as_ref();
        let content = performance.map_or_else(|| vec![no_outcomes(words)], |found| of.performance(found, words));
        chapters.push((words.say("实际与预期坏账率", "Realised and expected bad rates"), content));
    }
    let mut content = vec![of.masthead(words)];
    content.extend(numbered(chapters));
    page(words, words.of(&of.title), content)
}

impl MonitorPage {
    fn masthead(&self, words: Words) -> Markup {
        let entry = |zh, en, value: String| (words.say(zh, en).to_owned(), value);
        let entries = [
            entry("节点", "Node", self.node.clone()),
            entry("模型", "Model", self.model.clone()),
            entry("会话", "Session", self.session.clone()),
            entry("表现期", "Outcome window", format!("{} {}", self.window_months, words.say("个月", "months"))),
            entry("制表", "Prepared", self.prepared.clone()),
        ];
        let kind = element("p", [("class", "kind")], [text(words.say("模型监测", "Model monitoring"))]);
        let title = element("h1", [], [text(words.of(&self.title))]);
        element("header", [], [kind, title, facts(entries), self.cards(words)])
    }

    fn cards(&self, words: Words) -> Markup {
        let report = &self.report;
        let none = || ("–".to_owned(), String::new());
        let score =
            report.scores.last().map_or_else(none, |month| (index(month), reading(month.reading, words).to_owned()));
        let gravest = report.fields.iter().filter_map(|field| Some((field, last_read(&field.months)?)));
        let gravest = gravest.max_by(|one, other| value(one.1).total_cmp(&value(other.1)));
        let field = gravest.map_or_else(none, |(field, month)| (index(month), self.name(&field.field, words)));
        let auc = report.estimated.last().map_or_else(none, |found| {
            let development = report.development.map(|figures| fixed(figures.auc, 3));
            let below = development.map(|auc| format!("{} {auc}", words.say("开发时", "development")));
            (fixed(found.auc, 3), below.unwrap_or_default())
        });
        let bad = report.performance.as_ref().filter(|found| found.all.loans.rows() > 0).map_or_else(none, |found| {
            (
                percent(found.all.realised.value),
                format!("{} {}", words.say("预期", "expected"), percent(found.all.expected)),
            )
        });
        cards([
            (words.say("申请人数", "applicants"), (count(report.applicants), String::new())),
            (words.say("分数稳定性", "score stability"), score),
            (words.say("变化最大字段", "most changed field"), field),
            (words.say("估计 AUC", "estimated AUC"), auc),
            (words.say("实际坏账率", "realised bad rate"), bad),
        ])
    }

    fn fields(&self, words: Words) -> Vec<Markup> {
        if self.report.fields.iter().all(|field| field.months.is_empty()) {
            return vec![remark(words.say("尚无评分记录。", "No scores yet."))];
        }
        let row = |field: &FieldMonths| {
            let last = field.months.last();
            let worst = field.months.iter().max_by(|one, other| value(one).total_cmp(&value(other)));
            let figure =
                |month: Option<&Month>, print: &dyn Fn(&Month) -> String| month.map_or_else(|| "–".into(), print);
            [
                self.name(&field.field, words),
                figure(last, &index),
                figure(last, &|month| month.stability.map_or_else(|| "–".into(), |found| p_value(found.p_value))),
                figure(last, &|month| month.shift.map_or_else(|| "–".into(), |shift| signed(shift, 1))),
                figure(worst, &|month| format!("{} ({})", index(month), month.month)),
                figure(last, &|month| reading(month.reading, words).into()),
            ]
        };
        let columns = [
            Column::Words(words.say("字段", "Field")),
            Column::Figures(words.say("最近一月", "Latest month")),
            Column::Figures("p"),
            Column::Figures(words.say("平均分值变化", "Shift of mean points")),
            Column::Figures(words.say("最大（月份）", "Largest (month)")),
            Column::Words(words.say("判断", "Reading")),
        ];
        let mut content = vec![table(columns, self.report.fields.iter().map(row))];
        let several = self.report.fields.iter().filter(|field| field.months.len() > 1);
        let pictures: Vec<_> = several.map(|field| self.field_picture(field, words)).collect();
        if !pictures.is_empty() {
            content.push(side_by_side("thirds", pictures));
        }
        let scope = match (self.platform, words.0) {
            (true, Language::Zh) => "本页为平台方字段；所有银行的申请人合计，平台不知道分数。",
            (true, Language::En) => {
                "The platform's own fields, over the applicants of all banks; the platform knows no scores."
            }
            (false, Language::Zh) => "本行知道其分箱的字段；其余字段由平台监测。",
            (false, Language::En) => "The fields whose bins this bank knows; the others are watched at the platform.",
        };
        content.push(remark(&format!("{scope} {}", rule(words))));
        content
    }

    fn field_picture(&self, field: &FieldMonths, words: Words) -> Markup {
        let name = self.name(&field.field, words);
        figure("third", stability_plot(&name, &field.months, (210.0, 120.0), true), &name)
    }

    fn partial(&self, words: Words) -> Vec<Markup> {
        let columns = [
            Column::Short(words.say("月份", "Month")),
            Column::Figures(words.say("申请人", "Applicants")),
            Column::Figures(words.say("平均", "Mean")),
            Column::Figures(words.say("与开发样本之差", "Less development mean")),
            Column::Figures("P10"),
            Column::Figures("P50"),
            Column::Figures("P90"),
        ];
        let rows = self.report.partial.iter().map(|month| {
            let [low, middle, high] = month.quantiles.map(|points| fixed(points as f64, 0));
            let shift = month.shift.map_or_else(|| "–".into(), |shift| signed(shift, 1));
            [month.month.clone(), count(month.rows), fixed(month.mean, 1), shift, low, middle, high]
        });
        let note = words.say(
            "平台只告知其全部字段分值之和；各字段的分布由平台监测。",
            "The platform tells the sum of its fields' points only; how its fields lie is watched there.",
        );
        vec![table(columns, rows), remark(note)]
    }

    fn estimated(&self, words: Words) -> Vec<Markup> {
        let found = &self.report.estimated;
        if found.is_empty() {
            let text = match words.0 {
                Language::Zh => format!("没有任何月份有 {FEWEST} 名以上申请人。"),
                Language::En => format!("No month has {FEWEST} applicants."),
            };
            return vec![remark(&text)];
        }
        let columns = [
            Column::Short(words.say("月份", "Month")),
            Column::Figures(words.say("申请人", "Applicants")),
            Column::Figures(words.say("预期坏账率", "Expected bad rate")),
            Column::Figures("AUC"),
            Column::Figures("KS"),
        ];
        let line = |month: String, rows: String, bad: String, auc: f64, ks: f64| {
            [month, rows, bad, fixed(auc, 4), fixed(ks, 4)]
        };
        let development = self.report.development.map(|figures| {
            let name = words.say("开发（留出样本）", "development (hold-out)").to_owned();
            line(name, String::new(), String::new(), figures.auc, figures.ks)
        });
        let months =
            found.iter().map(|one| line(one.month.clone(), count(one.rows), percent(one.bad_rate), one.auc, one.ks));
        let note = words.say(
            "假定每名申请人以模型给出的概率为坏：反映申请人结构的变化，不反映字段与风险关系的变化；前提是概率校准良好。",
            "As if every applicant were bad with the probability that the model gave: it shows changes of the applicants, not of how the \
             fields relate to the risk, and rests on probabilities that are right.",
        );
        vec![table(columns, development.into_iter().chain(months)), remark(note)]
    }

    fn performance(&self, found: &Performance, words: Words) -> Vec<Markup> {
        let columns = [
            Column::Short(words.say("预测概率", "Predicted")),
            Column::Figures(words.say("到期贷款", "Mature loans")),
            Column::Figures(words.say("坏", "Bad")),
            Column::Figures(words.say("预期", "Expected")),
            Column::Figures(words.say("实际", "Realised")),
            Column::Figures(words.say("95 % 区间", "95 % interval")),
            Column::Words(words.say("判断", "Reading")),
        ];
        let row = |name: String, band: &Band| {
            let verdict = match (band.loans.rows(), band.within, band.expected < band.realised.value) {
                (0, _, _) => "–",
                (_, true, _) => words.say("符合", "as expected"),
                (_, false, true) => words.say("高于预期", "worse"),
                (_, false, false) => words.say("低于预期", "better"),
            };
            let empty = band.loans.rows() == 0;
            let figure = |value: f64| if empty { "–".into() } else { percent(value) };
            let interval = format!("{} – {}", percent(band.realised.low), percent(band.realised.high));
            [
                name,
                count(band.loans.rows()),
                count(band.loans.bad),
                figure(band.expected),
                figure(band.realised.value),
                if empty { "–".into() } else { interval },
                verdict.into(),
            ]
        };
        let name = |band: &Band| format!("{} – {}", percent(band.from), percent(band.to));
        let all = row(words.say("合计", "all").into(), &found.all);
        let bands = found.bands.iter().map(|band| row(name(band), band));
        let months = found.months.iter().map(|month| {
            let young = if month.young > 0 { words.say("过新", "too young") } else { "" };
            let rate = if month.mature.rows() == 0 { "–".into() } else { percent(month.mature.bad_rate()) };
            [
                month.month.clone(),
                count(month.mature.rows()),
                count(month.mature.bad),
                rate,
                count(month.young),
                young.into(),
            ]
        });
        let month_columns = [
            Column::Short(words.say("评分月份", "Month of scoring")),
            Column::Figures(words.say("到期贷款", "Mature loans")),
            Column::Figures(words.say("坏", "Bad")),
            Column::Figures(words.say("坏账率", "Bad rate")),
            Column::Figures(words.say("未到期", "Window not over")),
            Column::Words(""),
        ];
        let power = found.figures.map(|figures| {
            remark(&format!(
                "{} AUC {} · KS {}",
                words.say("到期贷款上的", "On mature loans:"),
                fixed(figures.auc, 4),
                fixed(figures.ks, 4)
            ))
        });
        let note = words.say(
            "仅计表现期已满的贷款；区间为 Wilson 95 %。贷款是审批后的结果，坏账率不代表全部申请人。",
            "Only loans whose outcome window is over; intervals are Wilson's. Loans are what was approved: their bad rate is not that \
             of all applicants.",
        );
        let picture = figure(
            "whole",
            realised_plot(&found.bands, words),
            words.say("各档预期与实际", "Expected and realised by band"),
        );
        [picture, table(columns, bands.chain([all])), remark(note)]
            .into_iter()
            .chain(power)
            .chain([table(month_columns, months)])
            .collect()
    }

    fn name(&self, field: &str, words: Words) -> String {
        self.fields.get(field).map_or_else(|| field.to_owned(), |title| words.of(title).to_owned())
    }
}

fn scores(months: &[Month], words: Words) -> Vec<Markup> {
    if months.is_empty() {
        return vec![remark(words.say("尚无评分记录。", "No scores yet."))];
    }
    let columns = [
        Column::Short(words.say("月份", "Month")),
        Column::Figures(words.say("申请人", "Applicants")),
        Column::Figures(words.say("稳定性指数", "Stability index")),
        Column::Figures("p"),
        Column::Words(words.say("判断", "Reading")),
    ];
    let rows = months.iter().map(|month| {
        let p = month.stability.map_or_else(|| "–".into(), |found| p_value(found.p_value));
        [month.month.clone(), count(month.rows), index(month), p, reading(month.reading, words).into()]
    });
    let title = words.say("分数稳定性指数", "Stability index of scores");
    vec![
        figure("whole", stability_plot(title, months, (692.0, 200.0), false), title),
        table(columns, rows),
        remark(&rule(words)),
    ]
}

/// Bars of the index by month, with the lines from which it is watched and acted upon.
fn stability_plot(title: &str, months: &[Month], size: (f64, f64), small: bool) -> Markup {
    let highest = months.iter().map(value).fold(0.3, f64::max);
    let names = Axis::named(months.iter().map(|month| month.month.clone()));
    let (names, heights) = match small {
        true => (names.sparse(), Axis::linear(0.0, highest, "").sparse()),
        false => (names, Axis::linear(0.0, highest, "")),
    };
    let ends = (-0.5, months.len() as f64 - 0.5);
    let mut plot = Plot::new(title, size, names, heights);
    for (place, month) in months.iter().enumerate() {
        let class = match month.reading {
            Reading::None => "rows",
            Reading::Stable => "good",
            Reading::Watch => "bank-only",
            Reading::Act => "bad",
        };
        let middle = place as f64;
        let half = 0.3f64.min(0.02 * months.len() as f64 + 0.1);
        plot = plot.bar(class, (middle - half, middle + half), (0.0, value(month)));
    }
    plot.line("chance", [(ends.0, 0.10), (ends.1, 0.10)]).line("gap", [(ends.0, 0.25), (ends.1, 0.25)]).finish()
}

/// Realised rates with their intervals beside the expected ones, band by band.
fn realised_plot(bands: &[Band], words: Words) -> Markup {
    let known: Vec<_> = bands.iter().filter(|band| band.loans.rows() > 0).collect();
    let highest = known.iter().map(|band| band.realised.high.max(band.expected)).fold(0.05, f64::max);
    let names = Axis::named((1..=known.len()).map(|band| band.to_string()));
    let title = words.say("各档预期与实际坏账率", "expected and realised bad rates by score band");
    let heights = Axis::shares(highest.min(1.0), words.say("坏账率", "bad rate"));
    let mut plot = Plot::new(title, (692.0, 230.0), names, heights);
    for (place, band) in known.iter().enumerate() {
        let middle = place as f64;
        plot = plot.bar("rows", (middle - 0.28, middle + 0.28), (0.0, band.expected));
        let interval = (band.realised.low, band.realised.high);
        plot = plot.dot("joint", (middle, band.realised.value), Some(interval));
    }
    plot.entry("rows", words.say("预期", "expected")).entry("joint", words.say("实际", "realised")).finish()
}

/// The latest month with enough applicants to be read.
fn last_read(months: &[Month]) -> Option<&Month> {
    months.iter().rev().find(|month| month.reading != Reading::None)
}

fn value(month: &Month) -> f64 {
    month.stability.map_or(0.0, |found| found.index)
}

fn index(month: &Month) -> String {
    month.stability.map_or_else(|| "–".into(), |found| fixed(found.index, 3))
}

fn reading(reading: Reading, words: Words) -> &'static str {
    words.say(reading.words().0, reading.words().1)
}

fn rule(words: Words) -> String {
    match words.0 {
        Language::Zh => format!(
            "与开发样本比较。低于 0.10 为稳定，0.10 至 0.25 关注，高于 0.25 处置；少于 {FEWEST} 名申请人的月份不作判断。p：若无变化，指数不小于该值的概率。"
        ),
        Language::En => format!(
            "Against the development sample. Below 0.10 stable, to 0.25 to be watched, above to be acted upon; months with fewer than \
             {FEWEST} applicants are not read. p: the chance of an index at least as large if nothing has changed."
        ),
    }
}

fn no_outcomes(words: Words) -> Markup {
    remark(words.say(
        "尚无贷款结果：用 `tallystick outcome import` 导入。",
        "No outcomes yet: read them in with `tallystick outcome import`.",
    ))
}
