//! Statistics of several banks: the contract in words, the figures as text, JSON and a page.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};
use tally_model::Fitted;
use tally_model::dossier::{StatisticsPage, statistics_page};
use tally_model::statistics::{Group, Statistics};
use tally_model::text::Text;
use tally_protocol::session::{Contract, StatisticsTerms};

use super::{Language, NodeArgument, Printed, words};
use crate::control::Command;
use crate::failure::{self, Failure};

/// `tallystick statistics …`.
#[derive(Subcommand)]
pub(super) enum StatisticsVerb {
    /// Show the figures of a statistics session.
    Show {
        #[command(flatten)]
        node: NodeArgument,
        /// Session name.
        session: String,
        /// Write a page there too.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
}

impl StatisticsVerb {
    pub(super) fn run(self, language: Language) -> Result<Printed, Failure> {
        let Self::Show { node, session, html } = self;
        let results = node.tell(&Command::SessionResults { session: session.clone() })?;
        let fitted = serde_json::from_value(results["fit"].clone()).map_err(failure::internal)?;
        let Fitted::Statistics(found) = fitted else {
            let text = format!("session {session} made a model, no statistics: see `tallystick model show {session}`");
            return Err(failure::usage(text));
        };
        let shown = node.tell(&Command::SessionShow { session: Some(session.clone()) })?;
        let contract = super::session::read_shown(&shown)?;
        let terms = contract.terms();
        let statistics = terms.model.statistics.as_ref();
        let statistics = statistics.ok_or_else(|| failure::internal("the contract is not one of statistics"))?;
        let banks = found.rounds.first().map(|round| round.cohort.clone()).unwrap_or_default();
        if let Some(file) = html {
            let fields: BTreeMap<String, Text> = serde_json::from_value(results["titles"].clone()).unwrap_or_default();
            let page = StatisticsPage {
                title: terms.title.clone(),
                prepared: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
                as_of: statistics.as_of.to_string(),
                session: session.clone(),
                contract: contract.digest(),
                banks: banks.clone(),
                amounts_in: statistics.amounts_in.clone(),
                min_cell: terms.limits.min_cell,
                noise: terms.noise.is_some(),
                fields,
                found: (*found).clone(),
            };
            std::fs::write(&file, statistics_page(&page, language.into()))
                .map_err(|error| failure::unwritable(format!("{}: {error}", file.display())))?;
        }
        let tables = found.tables.iter().map(|table| {
            let groups = table.groups.iter().map(|group| group_in_json(&found, &table.fields, group));
            json!({ "fields": table.fields, "withheld": table.groups.is_empty(), "groups": groups.collect::<Vec<_>>() })
        });
        Ok(words::plain(json!({
            "session": session,
            "as_of": statistics.as_of,
            "banks": banks,
            "amounts_in": statistics.amounts_in.en,
            "total": found.total.as_ref().map(|sums| figures(&found, sums)),
            "tables": tables.collect::<Vec<_>>(),
        })))
    }
}

fn group_in_json(found: &Statistics, fields: &[String], group: &Group) -> Value {
    let cell = |cell: &Vec<String>| fields.iter().cloned().zip(cell.iter().cloned()).collect::<BTreeMap<_, _>>();
    let mut shown = figures(found, &group.sums);
    shown["cells"] = json!(group.cells.iter().map(cell).collect::<Vec<_>>());
    shown
}

fn figures(found: &Statistics, sums: &[i64]) -> Value {
    let mut shown = json!(found.by_name(sums));
    for (place, share) in found.plan.shares.iter().enumerate() {
        shown[&share.name] = json!(found.share(place, sums));
    }
    shown
}

/// What a contract of statistics says, for those who approve.
pub(super) fn in_words(terms: &Contract, statistics: &StatisticsTerms, language: Language) -> Vec<String> {
    let zh = language == Language::Zh;
    let say = |zh_text: &'static str, en: &'static str| if zh { zh_text } else { en };
    let title = |text: &Text| if zh { text.zh.clone() } else { text.en.clone() };
    let measures = statistics.measures.iter().map(|measure| {
        let what = measure
            .sum
            .as_ref()
            .map_or_else(|| say("行数", "rows").to_owned(), |column| format!("{} {column}", say("合计", "sum of")));
        let only = measure.only.iter().map(|only| format!("{} = {}", only.field, only.values.join("|")));
        let only = only.collect::<Vec<_>>().join(", ");
        let only = if only.is_empty() { only } else { format!(", {only}") };
        format!("  {} ({}): {what}{only}", measure.name, title(&measure.title))
    });
    let tables: Vec<_> = statistics.tables.iter().map(|fields| fields.join(" × ")).collect();
    let limits = &terms.limits;
    let largest = limits.row_cap as f64 * statistics.cap;
    let mut lines = vec![
        format!(
            "{}: {}",
            say("对齐与授权", "alignment and consent"),
            say(
                "无需对齐，无需企业授权：没有任何一行离开银行；离开的只是掩码后的合计，仅与其他银行的合计相加后可读",
                "none needed: no row leaves its bank in any form; what leaves is a masked vector of sums, readable only when \
                 added to those of the other banks"
            )
        ),
        format!(
            "{}: {}",
            say("平台", "the platform"),
            say("不提供数据，看不到任何一家银行的数字", "brings no data and sees no single bank's figures")
        ),
        format!("{}: {}", say("数据日期", "as of"), statistics.as_of),
        format!("{}: {}", say("分组", "tables"), tables.join("; ")),
        format!(
            "{}: {} {}; {} {:e}; {} {largest:e}, {} 2^62 × {}",
            say("金额单位", "amounts in units of"),
            statistics.unit,
            title(&statistics.amounts_in),
            say("每户上限", "at most a borrower"),
            statistics.cap,
            say("合计上限", "at most a sum"),
            say("小于", "below"),
            statistics.unit
        ),
        format!(
            "{}: {} {}, {} {}",
            say("公布下限", "released only with"),
            limits.min_cohort,
            say("家银行参与合计", "banks in a sum"),
            limits.min_cell,
            say(
                "家银行在每组单元背后，不足者与相邻单元合并或不予公布",
                "banks behind each group of cells; cells with fewer are counted with their neighbours or withheld"
            )
        ),
        format!("{}:", say("指标", "measures")),
    ];
    lines.extend(measures);
    lines
}
