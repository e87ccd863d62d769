//! The usage report as one self-contained page: no script, no font, no network; it prints on A4.

use tally_audit::report::Report;
use tally_model::markup::{Markup, element, raw_style, text};

use crate::cli::Language;

/// The page, as HTML; the same report gives the same bytes.
pub(super) fn render(report: &Report, language: Language) -> String {
    let say = |zh: &'static str, en: &'static str| if language == Language::Zh { zh } else { en };
    let title = say("数据使用报告", "Use of data");
    let head = [
        element("meta", [("charset", "utf-8")], []),
        element("meta", [("name", "viewport"), ("content", "width=device-width, initial-scale=1")], []),
        element("title", [], [text(title)]),
        raw_style(include_str!("page.css")),
    ];
    let remark = say(
        "由日志副本统计：同一场次的行数和评分计入其每个提供部门，不可跨部门相加。",
        "Counted from copies of logs. Rows and scores of a session count for each of its providers: do not add them up across providers.",
    );
    let chapters = [
        element("h1", [], [text(title)]),
        element("p", [], [text(remark)]),
        chapter(say("使用情况", "Use"), usage(report, say)),
        chapter(say("拒绝情况", "Denials"), denials(report, say)),
        chapter(say("同意、异议、删除与查阅", "Consents, objections, deletion, access"), events(report, say)),
        chapter(say("所依据的日志", "Logs"), logs(report, say)),
    ];
    let body = element("body", [], [element("main", [], chapters)]);
    let page = element("html", [("lang", say("zh-CN", "en"))], [element("head", [], head), body]);
    format!("<!DOCTYPE html>\n{page}\n")
}

fn chapter(title: &str, content: Markup) -> Markup {
    element("section", [], [element("h2", [], [text(title)]), content])
}

/// A column: its title, and whether it holds figures.
type Column = (&'static str, bool);

fn table<const N: usize>(columns: [Column; N], rows: impl Iterator<Item = [String; N]>) -> Markup {
    let class = |figures: bool| [("class", if figures { "figures" } else { "words" })];
    let head = columns.iter().map(|(title, figures)| element("th", class(*figures), [text(title)]));
    let rows = rows.map(|row| {
        let cells = columns.iter().zip(&row).map(|((_, figures), cell)| element("td", class(*figures), [text(cell)]));
        element("tr", [], cells)
    });
    element("table", [], [element("thead", [], [element("tr", [], head)]), element("tbody", [], rows)])
}

fn usage(report: &Report, say: impl Fn(&'static str, &'static str) -> &'static str) -> Markup {
    let columns = [
        (say("月份", "Month"), false),
        (say("提供部门", "Provider"), false),
        (say("用途", "Purpose"), false),
        (say("银行", "Bank"), false),
        (say("字段", "Fields"), true),
        (say("场次", "Sessions"), true),
        (say("准许行数", "Rows cleared"), true),
        (say("提供行数", "Rows given"), true),
        (say("请求评分", "Scores asked"), true),
        (say("给出", "Given"), true),
        (say("拒绝", "Refused"), true),
        (say("更正", "Corrected"), true),
    ];
    let rows = report.usage.iter().map(|one| {
        [
            one.month.clone(),
            one.provider.clone(),
            one.purpose.clone(),
            one.bank.clone(),
            one.fields.len().to_string(),
            one.sessions.len().to_string(),
            one.rows_cleared.to_string(),
            one.rows_disclosed.to_string(),
            one.scores_asked.to_string(),
            one.scores_given.to_string(),
            one.scores_refused.to_string(),
            one.scores_corrected.to_string(),
        ]
    });
    table(columns, rows)
}

fn denials(report: &Report, say: impl Fn(&'static str, &'static str) -> &'static str) -> Markup {
    let columns = [
        (say("月份", "Month"), false),
        (say("银行", "Bank"), false),
        (say("用途", "Purpose"), false),
        (say("原因", "Reason"), false),
        (say("行数", "Rows"), true),
        (say("评分", "Scores"), true),
    ];
    let rows = report.denials.iter().map(|one| {
        let (rows, scores) = (one.rows.to_string(), one.scores.to_string());
        [one.month.clone(), one.bank.clone(), one.purpose.clone(), one.reason.clone(), rows, scores]
    });
    table(columns, rows)
}

fn events(report: &Report, say: impl Fn(&'static str, &'static str) -> &'static str) -> Markup {
    let columns = [
        (say("月份", "Month"), false),
        (say("日志", "Log"), false),
        (say("事件", "Event"), false),
        (say("次数", "Count"), true),
    ];
    let rows = report.events.iter().flat_map(|events| {
        let row = |(kind, count): (&String, &u64)| {
            [events.month.clone(), events.log.clone(), kind.clone(), count.to_string()]
        };
        events.counts.iter().map(row)
    });
    table(columns, rows)
}

fn logs(report: &Report, say: impl Fn(&'static str, &'static str) -> &'static str) -> Markup {
    let columns = [
        (say("日志", "Log"), false),
        (say("条目", "Entries"), true),
        (say("月份", "Months"), false),
        (say("计入统计", "Counted"), false),
        (say("根哈希", "Root"), false),
    ];
    let rows = report.logs.iter().map(|span| {
        let months = span.months.as_ref().map(|(first, last)| format!("{first} – {last}")).unwrap_or_default();
        let counted = if span.counted { say("是", "yes") } else { say("仅事件", "events only") };
        [span.party.clone(), span.entries.to_string(), months, counted.into(), span.root.to_string()]
    });
    table(columns, rows)
}
