//! The synthetic city's fields: names, titles, owners.

use tally_model::text::Text;

use crate::table::{Cells, TableColumn};

/// Industries.
pub(crate) const INDUSTRIES: [&str; 8] =
    ["manufacturing", "wholesale", "retail", "construction", "software", "catering", "logistics", "services"];

/// Districts with their codes in the national standard (GB/T 2260).
pub(crate) const DISTRICTS: [(&str, &str); 11] = [
    ("xuanwu", "320102"),
    ("qinhuai", "320104"),
    ("jianye", "320105"),
    ("gulou", "320106"),
    ("pukou", "320111"),
    ("qixia", "320113"),
    ("yuhuatai", "320114"),
    ("jiangning", "320115"),
    ("luhe", "320116"),
    ("lishui", "320117"),
    ("gaochun", "320118"),
];

/// Collateral of a loan.
pub(crate) const COLLATERAL: [&str; 4] = ["none", "guarantee", "property", "equipment"];

/// Name, title, category, owner, public.
type Definition = (&'static str, &'static str, &'static str, &'static str, &'static str, bool);

const PLATFORM: [Definition; 15] = [
    ("registered_capital", "注册资本", "registered capital", "registration", "market-regulation", true),
    ("years_in_business", "经营年限", "years in business", "registration", "market-regulation", false),
    ("tax_paid_12m", "近12个月纳税额", "tax paid in 12 months", "tax", "tax", false),
    ("tax_arrears_count", "欠税次数", "times in tax arrears", "tax", "tax", false),
    ("tax_growth", "纳税同比增长", "growth of tax paid", "tax", "tax", false),
    ("court_cases_24m", "近24个月涉诉案件", "court cases in 24 months", "judicial", "court", false),
    ("court_judgment_amount", "判决金额", "amount of judgments", "judicial", "court", false),
    ("power_kwh_12m", "近12个月用电量", "electricity used in 12 months", "utilities", "power-supply", false),
    ("power_drop", "用电量下降幅度", "drop of electricity use", "utilities", "power-supply", false),
    ("insured_employees", "参保人数", "insured employees", "social-insurance", "human-resources", false),
    ("insured_change", "参保人数变化", "change of insured employees", "social-insurance", "human-resources", false),
    (
        "procurement_wins_24m",
        "近24个月政府采购中标",
        "procurement awards in 24 months",
        "procurement",
        "finance",
        false,
    ),
    ("penalty_count", "行政处罚次数", "administrative penalties", "registration", "market-regulation", true),
    ("industry", "行业", "industry", "registration", "market-regulation", true),
    ("district", "所在区", "district", "registration", "market-regulation", true),
];

const BANK: [Definition; 8] = [
    ("loan_amount", "贷款金额", "loan amount", "", "", false),
    ("loan_term_months", "贷款期限（月）", "term in months", "", "", false),
    ("interest_rate", "利率", "interest rate", "", "", false),
    ("deposits_avg_3m", "近3个月日均存款", "average deposits in 3 months", "", "", false),
    ("turnover_to_limit", "流水与授信比", "turnover to limit", "", "", false),
    ("credit_lines", "授信笔数", "credit lines", "", "", false),
    ("overdraft_days_12m", "近12个月逾期天数", "days overdue in 12 months", "", "", false),
    ("collateral", "担保方式", "collateral", "", "", false),
];

/// The platform's columns over the given cells, in the order of the list above.
pub(crate) fn platform(cells: Vec<Cells>) -> Vec<TableColumn> {
    name(&PLATFORM, cells)
}

/// A bank's columns over the given cells.
pub(crate) fn bank(cells: Vec<Cells>) -> Vec<TableColumn> {
    name(&BANK, cells)
}

fn name(definitions: &[Definition], cells: Vec<Cells>) -> Vec<TableColumn> {
    let column = |((name, zh, en, category, owner, public), cells): (&Definition, Cells)| TableColumn {
        name: (*name).into(),
        title: Text::new(zh, en),
        category: (*category).into(),
        owner: (*owner).into(),
        public: *public,
        cells,
    };
    definitions.iter().zip(cells).map(column).collect()
}
