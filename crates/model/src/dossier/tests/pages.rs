//! The pages of statistics and of monitoring: well-formed, escaped, in both languages.

use std::collections::BTreeMap;

use super::*;
use crate::dossier::{MonitorPage, StatisticsPage, monitor_page, statistics_page};
use crate::metrics::{Cell, Estimate, Stability};
use crate::monitor::{Band, Estimated, FieldMonths, LoanMonth, Month, PartialMonth, Performance, Reading, Report};
use crate::statistics::{
    CellField, Condition, Group, Measure, SharePlan, Statistics, StatisticsPlan, StatisticsTable, TablePlan, Tally,
    TallyKind,
};

fn statistics() -> StatisticsPage {
    let measure = |name: &str, zh: &str, en: &str| Measure { name: name.into(), title: Text::new(zh, en) };
    let amount = |field, only| Tally { kind: TallyKind::Amount { field }, only };
    let districts = ["xuanwu", "qinhuai", "jianye", "gulou", "<b>pukou</b>"].map(str::to_owned);
    let plan = StatisticsPlan {
        tallies: vec![
            (measure("balance", "贷款余额", "loan balance"), amount(0, Vec::new())),
            (measure("credit_balance", "信用贷款余额", "credit-loan balance"), amount(1, Vec::new())),
            (
                measure("first_loans", "首贷户", "first loans"),
                Tally { kind: TallyKind::Count, only: vec![Condition { field: 2, codes: vec![1] }] },
            ),
        ],
        shares: vec![SharePlan {
            name: "credit_share".into(),
            title: Text::new("信用贷款占比", "credit share"),
            of: "credit_balance".into(),
            over: "balance".into(),
        }],
        tables: vec![TablePlan {
            fields: vec![CellField { name: "district".into(), field: 3, values: districts.to_vec() }],
        }],
        unit: 0.01,
        cap: 1e10,
        row_cap: 1 << 20,
        seed: Digest::default(),
    };
    let group = |cells: &[&str], scale: i64| Group {
        cells: cells.iter().map(|cell| vec![(*cell).to_owned()]).collect(),
        sums: vec![scale * 98_765_432_101, scale * 21_000_000_000, 41 * scale, 977 * scale],
    };
    let groups = vec![
        group(&["", "xuanwu"], 3),
        group(&["qinhuai"], 5),
        group(&["jianye"], 2),
        group(&["gulou", "<b>pukou</b>"], 4),
    ];
    let sum = |word: usize| groups.iter().map(|group| group.sums[word]).sum();
    let tables = vec![
        StatisticsTable { fields: vec!["district".into()], groups: groups.clone() },
        StatisticsTable { fields: vec!["industry".into()], groups: Vec::new() },
    ];
    StatisticsPage {
        title: Text::new("普惠小微企业贷款统计", "Statistics of inclusive loans"),
        prepared: "2026-11-24 10:00 UTC".into(),
        as_of: "2026-06-30".into(),
        session: "0123456789abcdef".into(),
        contract: Digest::of_bytes(b"contract"),
        banks: names(3),
        amounts_in: Text::new("元", "yuan"),
        min_cell: 3,
        noise: false,
        fields: BTreeMap::from([("district".to_owned(), Text::new("所在区", "district"))]),
        found: Statistics { total: Some((0..4).map(sum).collect()), tables, rounds: Vec::new(), plan },
    }
}

fn months(indices: &[f64]) -> Vec<Month> {
    let month = |(place, index): (usize, &f64)| Month {
        month: format!("2026-{:02}", place + 1),
        rows: if place == 0 { 12 } else { 400 },
        stability: Some(Stability { index: *index, p_value: 0.2 }),
        reading: Reading::of(*index, if place == 0 { 12 } else { 400 }),
        shift: Some(-1.5),
    };
    indices.iter().enumerate().map(month).collect()
}

fn band(from: f64, to: f64, good: i64, bad: i64, expected: f64) -> Band {
    let realised = Estimate::proportion(bad, good + bad);
    let within = (realised.low..=realised.high).contains(&expected);
    Band { from, to, loans: Cell { good, bad }, expected, realised, within }
}

fn monitor() -> MonitorPage {
    let field = |name: &str, indices: &[f64]| FieldMonths { field: name.into(), months: months(indices) };
    let partial = |month: &str, mean: f64| PartialMonth {
        month: month.into(),
        rows: 400,
        mean,
        quantiles: [-20, 3, 31],
        shift: Some(mean - 4.0),
    };
    let estimated =
        |month: &str, auc: f64| Estimated { month: month.into(), rows: 400, bad_rate: 0.041, auc, ks: 0.31 };
    let bands = vec![
        band(0.0, 0.012, 390, 3, 0.009),
        band(0.012, 0.02, 380, 4, 0.016),
        band(0.02, 0.035, 300, 8, 0.028),
        band(0.035, 0.06, 210, 12, 0.047),
        band(0.06, 0.12, 140, 31, 0.088),
        band(0.12, 1.0, 60, 14, 0.19),
    ];
    let loan_month =
        |month: &str, good, bad, young| LoanMonth { month: month.into(), mature: Cell { good, bad }, young };
    let performance = Performance {
        all: band(0.0, 1.0, 1480, 72, 0.041),
        bands,
        figures: dossier().fit.joint(),
        months: vec![
            loan_month("2025-06", 900, 40, 0),
            loan_month("2025-07", 580, 32, 0),
            loan_month("2026-06", 0, 0, 412),
        ],
    };
    MonitorPage {
        title: Text::new("小微企业联合信用评分卡", "Joint credit scorecard"),
        prepared: "2026-11-24 10:00 UTC".into(),
        node: "bank-1".into(),
        platform: false,
        model: Digest::of_bytes(b"model").to_string(),
        session: "0123456789abcdef".into(),
        window_months: 12,
        fields: BTreeMap::from([(
            "overdraft_days_12m".to_owned(),
            Text::new("近12个月逾期天数", "days <overdue> in 12 months"),
        )]),
        report: Report {
            applicants: 2012,
            development: dossier().fit.joint(),
            scores: months(&[0.31, 0.04, 0.07, 0.13, 0.11, 0.29]),
            fields: vec![
                field("overdraft_days_12m", &[0.4, 0.02, 0.05, 0.09, 0.15, 0.34]),
                field("loan_amount", &[0.2, 0.01, 0.02, 0.02, 0.04, 0.03]),
                field("collateral", &[0.1, 0.03, 0.02, 0.05, 0.11, 0.12]),
            ],
            partial: vec![partial("2026-05", 3.2), partial("2026-06", -1.4)],
            estimated: vec![estimated("2026-05", 0.741), estimated("2026-06", 0.722)],
            performance: Some(performance),
        },
    }
}

/// Writes a page where somebody wants to look at it.
fn look(name: &str, page: &str) {
    if let Some(folder) = std::env::var_os("TALLYSTICK_PAGES") {
        std::fs::write(std::path::Path::new(&folder).join(name), page).unwrap();
    }
}

#[test]
fn statistics_have_a_page_in_both_languages() {
    let page = statistics_page(&statistics(), Language::En);
    look("statistics.html", &page);
    check_well_formed(&page);
    let plain = page.replace('\u{202f}', " ");
    for words in ["By district", "13 827 160 494", "21.3 %", "missing + xuanwu", "Withheld", "&lt;b&gt;pukou"] {
        assert!(plain.contains(words), "{words}");
    }
    assert!(!page.contains("<b>pukou"));
    let page = statistics_page(&statistics(), Language::Zh);
    look("statistics-zh.html", &page);
    check_well_formed(&page);
    assert!(page.contains("按所在区") && page.contains("lang=\"zh-CN\""));
    let nothing = StatisticsPage {
        found: Statistics { total: None, tables: Vec::new(), ..statistics().found },
        noise: true,
        ..statistics()
    };
    let page = statistics_page(&nothing, Language::En);
    check_well_formed(&page);
    assert!(page.contains("Withheld") && page.contains("noise"));
}

#[test]
fn monitoring_has_a_page_in_both_languages() {
    let page = monitor_page(&monitor(), Language::En);
    look("monitor.html", &page);
    check_well_formed(&page);
    for words in ["days &lt;overdue&gt;", "0.290", "too few", "too young", "as expected", "worse", ">act<", ">watch<"] {
        assert!(page.contains(words), "{words}");
    }
    // A month with few applicants does not make a field the most changed one.
    let mut few = monitor();
    let month = Month { rows: 12, reading: Reading::None, ..months(&[0.9]).remove(0) };
    few.report.fields[2].months.push(month);
    assert!(monitor_page(&few, Language::En).contains("<div class=\"value\">0.340</div>"));
    let page = monitor_page(&monitor(), Language::Zh);
    look("monitor-zh.html", &page);
    check_well_formed(&page);
    assert!(page.contains("无标签时的区分能力估计"));
    let report = Report {
        scores: Vec::new(),
        estimated: Vec::new(),
        partial: Vec::new(),
        performance: None,
        ..monitor().report
    };
    let platform = MonitorPage { platform: true, report: report.clone(), ..monitor() };
    let page = monitor_page(&platform, Language::En);
    look("monitor-platform.html", &page);
    check_well_formed(&page);
    assert!(page.contains("over the applicants of all banks") && !page.contains("Realised and expected"));
    let empty = MonitorPage { report: Report { applicants: 0, fields: Vec::new(), ..report }, ..monitor() };
    let page = monitor_page(&empty, Language::En);
    check_well_formed(&page);
    assert!(page.contains("No outcomes yet") && page.contains("No scores yet"));
}
