//! The usage report as one self-contained page: no script, no font, no network; it prints on A4.

use tally_audit::report::Report;
use tally_model::markup::{self, Markup, element, text};

use super::terms::in_words;
use crate::cli::Language;

/// The page, as HTML; the same report gives the same bytes.
pub(super) fn render(report: &Report, language: Language) -> String {
    let page = Page { report, language };
    let title = page.say("数据使用报告", "Use of data");
    let chapters = [
        element("h1", [], [text(title)]),
        element("p", [("class", "lead")], [text(page.scope())]),
        chapter(page.say("使用情况", "Use"), [remark(page.remark()), page.usage()]),
        chapter(page.say("拒绝情况", "Denials"), [page.denials()]),
        chapter(page.say("授权、异议、删除与查阅", "Consents, objections, deletion, access"), [page.events()]),
        chapter(page.say("所依据的日志", "Logs"), [page.logs()]),
    ];
    markup::page(page.say("zh-CN", "en"), title, include_str!("page.css"), chapters)
}

fn chapter<const N: usize>(title: &str, content: [Markup; N]) -> Markup {
    element("section", [], std::iter::once(element("h2", [], [text(title)])).chain(content))
}

fn remark(words: &str) -> Markup {
    element("p", [], [text(words)])
}

/// What a column holds.
#[derive(Clone, Copy, PartialEq)]
enum Holds {
    /// What rows that follow one another share; told once.
    Group,
    Words,
    Figures,
    /// Digests.
    Code,
}

/// A column: its title, and what it holds.
type Column = (&'static str, Holds);

struct Page<'a> {
    report: &'a Report,
    language: Language,
}

impl Page<'_> {
    fn say(&self, zh: &'static str, en: &'static str) -> &'static str {
        if self.language == Language::Zh { zh } else { en }
    }

    fn words(&self, code: &str) -> String {
        in_words(code, self.language)
    }

    /// From when to when, and out of whose logs.
    fn scope(&self) -> String {
        let months = self.report.logs.iter().filter_map(|span| span.months.as_ref());
        let (first, last) = (months.clone().map(|(first, _)| first).min(), months.map(|(_, last)| last).max());
        let period = match (first, last) {
            (Some(first), Some(last)) if first == last => first.clone(),
            (Some(first), Some(last)) => format!("{first} – {last}"),
            _ => String::new(),
        };
        let parties: Vec<_> = self.report.logs.iter().map(|span| span.party.as_str()).collect();
        let (of, list) =
            (self.say("，依据已验证的日志副本：", ", from verified copies of the logs of "), self.say("、", ", "));
        format!("{period}{of}{}", parties.join(list))
    }

    fn remark(&self) -> &'static str {
        self.say(
            "同一场次的行数和评分计入其每个提供部门，不可跨部门相加。",
            "Rows and scores of a session count for each of its providers: do not add them up across providers.",
        )
    }

    fn usage(&self) -> Markup {
        let columns = [
            (self.say("月份", "Month"), Holds::Group),
            (self.say("提供部门", "Provider"), Holds::Group),
            (self.say("用途", "Purpose"), Holds::Group),
            (self.say("银行", "Bank"), Holds::Words),
            (self.say("字段", "Fields"), Holds::Figures),
            (self.say("场次", "Sessions"), Holds::Figures),
            (self.say("准许行数", "Rows cleared"), Holds::Figures),
            (self.say("提供行数", "Rows given"), Holds::Figures),
            (self.say("请求评分", "Scores asked"), Holds::Figures),
            (self.say("给出", "Given"), Holds::Figures),
            (self.say("拒绝", "Refused"), Holds::Figures),
            (self.say("更正", "Corrected"), Holds::Figures),
        ];
        let mut usage: Vec<_> = self.report.usage.iter().collect();
        usage.sort_by_key(|one| (&one.month, &one.provider, &one.purpose, &one.bank));
        let rows = usage.into_iter().map(|one| {
            [
                one.month.clone(),
                one.provider.clone(),
                self.words(&one.purpose),
                one.bank.clone(),
                figure(one.fields.len() as u64),
                figure(one.sessions.len() as u64),
                figure(one.rows_cleared),
                figure(one.rows_disclosed),
                figure(one.scores_asked),
                figure(one.scores_given),
                figure(one.scores_refused),
                figure(one.scores_corrected),
            ]
        });
        self.table(columns, rows.collect())
    }

    fn denials(&self) -> Markup {
        let columns = [
            (self.say("月份", "Month"), Holds::Group),
            (self.say("银行", "Bank"), Holds::Group),
            (self.say("用途", "Purpose"), Holds::Group),
            (self.say("原因", "Reason"), Holds::Words),
            (self.say("行数", "Rows"), Holds::Figures),
            (self.say("评分", "Scores"), Holds::Figures),
        ];
        let rows = self.report.denials.iter().map(|one| {
            let (purpose, reason) = (self.words(&one.purpose), self.words(&one.reason));
            [one.month.clone(), one.bank.clone(), purpose, reason, figure(one.rows), figure(one.scores)]
        });
        self.table(columns, rows.collect())
    }

    fn events(&self) -> Markup {
        let columns = [
            (self.say("日志", "Log"), Holds::Group),
            (self.say("月份", "Month"), Holds::Group),
            (self.say("事件", "Event"), Holds::Words),
            (self.say("次数", "Count"), Holds::Figures),
        ];
        let rows = self.report.events.iter().flat_map(|events| {
            let row = |(kind, count): (&String, &u64)| {
                [events.log.clone(), events.month.clone(), self.words(kind), figure(*count)]
            };
            events.counts.iter().map(row)
        });
        self.table(columns, rows.collect())
    }

    fn logs(&self) -> Markup {
        let columns = [
            (self.say("日志", "Log"), Holds::Words),
            (self.say("条目", "Entries"), Holds::Figures),
            (self.say("月份", "Months"), Holds::Words),
            (self.say("计入统计", "Counted"), Holds::Words),
            (self.say("根哈希", "Root"), Holds::Code),
        ];
        let rows = self.report.logs.iter().map(|span| {
            let months = span.months.as_ref();
            let months =
                months.map(|(first, last)| if first == last { first.clone() } else { format!("{first} – {last}") });
            let counted = if span.counted { self.say("是", "yes") } else { self.say("仅事件", "events only") };
            [
                span.party.clone(),
                figure(span.entries),
                months.unwrap_or_default(),
                counted.into(),
                span.root.to_string(),
            ]
        });
        self.table(columns, rows.collect())
    }

    fn table<const N: usize>(&self, columns: [Column; N], rows: Vec<[String; N]>) -> Markup {
        if rows.is_empty() {
            return remark(self.say("无", "None"));
        }
        let class = |holds| {
            let name = match holds {
                Holds::Group | Holds::Words => "words",
                Holds::Figures => "figures",
                Holds::Code => "code",
            };
            [("class", name)]
        };
        let head = columns.iter().map(|(title, holds)| element("th", class(*holds), [text(title)]));
        let mut before: Option<&[String; N]> = None;
        let body: Vec<_> = rows
            .iter()
            .map(|row| {
                // A group is told where it begins; so is every one below it.
                let same =
                    before.map_or(0, |before| before.iter().zip(row).take_while(|(one, other)| one == other).count());
                before = Some(row);
                let cells = columns.iter().zip(row).enumerate().map(|(place, ((_, holds), cell))| {
                    let told = *holds != Holds::Group || place >= same;
                    element("td", class(*holds), [text(if told { cell } else { "" })])
                });
                let begins = columns.first().is_some_and(|(_, holds)| *holds == Holds::Group) && same < 2;
                element("tr", [("class", if begins { "begins" } else { "goes-on" })], cells)
            })
            .collect();
        element("table", [], [element("thead", [], [element("tr", [], head)]), element("tbody", [], body)])
    }
}

/// A number in groups of three digits; a dash for none.
fn figure(number: u64) -> String {
    let digits = number.to_string();
    let grouped = digits.char_indices().fold(String::new(), |mut grouped, (place, digit)| {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
        grouped
    });
    if number == 0 { "–".into() } else { grouped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_in_groups() {
        let known = [(0, "–"), (7, "7"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")];
        known.into_iter().for_each(|(number, shown)| assert_eq!(figure(number), shown));
    }

    #[test]
    fn a_report_of_nothing_says_so_in_both_languages() {
        let report = Report::default();
        assert!(render(&report, Language::Zh).contains("<p>无</p>"));
        assert!(render(&report, Language::En).contains("<p>None</p>"));
    }
}
