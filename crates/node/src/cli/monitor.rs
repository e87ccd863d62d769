//! Verbs of monitoring: whether a model in use still is what it was.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::Value;
use tally_model::dossier::{MonitorPage, monitor_page};
use tally_model::monitor::{Month, Reading, Report};

use super::words::word;
use super::{Language, NodeArgument, Printed};
use crate::control::Command;
use crate::failure::{self, Failure};

/// `tallystick monitor …`.
#[derive(Subcommand)]
pub(super) enum MonitorVerb {
    /// Stability of scores and fields by month, performance against what the model expected. At the platform: its fields.
    Report {
        #[command(flatten)]
        node: NodeArgument,
        /// Digest or its first digits, or the session that made it; the champion if absent.
        #[arg(long)]
        model: Option<String>,
        /// Months after its start within which a loan that goes bad counts as bad; the contract's if absent, else 12.
        #[arg(long, value_name = "MONTHS", value_parser = clap::value_parser!(u32).range(1..=120))]
        window: Option<u32>,
        /// Write a page there too.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
}

impl MonitorVerb {
    pub(super) fn run(self, language: Language) -> Result<Printed, Failure> {
        let Self::Report { node, model, window, html } = self;
        let value = node.tell(&Command::MonitorReport { model, window })?;
        let report: Report = serde_json::from_value(value["report"].clone()).map_err(failure::internal)?;
        if let Some(file) = html {
            let page = MonitorPage {
                title: serde_json::from_value(value["title"].clone()).map_err(failure::internal)?,
                prepared: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
                node: word(&value["node"]),
                platform: value["role"] == "platform",
                model: word(&value["model"]),
                session: word(&value["session"]),
                window_months: value["window_months"]
                    .as_u64()
                    .and_then(|months| u32::try_from(months).ok())
                    .unwrap_or(0),
                fields: serde_json::from_value(value["titles"].clone()).map_err(failure::internal)?,
                report: report.clone(),
            };
            std::fs::write(&file, monitor_page(&page, language.into()))
                .map_err(|error| failure::unwritable(format!("{}: {error}", file.display())))?;
        }
        Ok(Printed { text: in_words(&value, &report, language), value, holds: true })
    }
}

fn in_words(value: &Value, report: &Report, language: Language) -> String {
    let say = |zh: &'static str, en: &'static str| if language == Language::Zh { zh } else { en };
    let reading = |reading: Reading| say(reading.words().0, reading.words().1);
    let line = |name: &str, month: &Month| {
        let index = month.stability.map_or_else(|| "-".into(), |found| format!("{:.4}", found.index));
        format!("  {name:<28} {}  {:>7}  {index}  {}", month.month, month.rows, reading(month.reading))
    };
    let mut lines = vec![format!(
        "{} {} · {} {} {}",
        word(&value["node"]),
        word(&value["model"]),
        report.applicants,
        say("名申请人，最近一月：", "applicants, latest month:"),
        reading(report.latest())
    )];
    lines.extend(report.scores.iter().map(|month| line(say("分数", "score"), month)));
    for field in &report.fields {
        lines.extend(field.months.last().map(|month| line(&field.field, month)));
    }
    for month in &report.estimated {
        lines.push(format!(
            "  {:<28} {}  AUC {:.4}  KS {:.4}",
            say("估计", "estimated"),
            month.month,
            month.auc,
            month.ks
        ));
    }
    if let Some(found) = &report.performance {
        let all = &found.all;
        lines.push(format!(
            "  {} {}: {} {:.2} %, {} {:.2} % ({:.2} – {:.2} %)",
            say("到期贷款", "mature loans"),
            all.loans.rows(),
            say("预期坏账率", "expected bad rate"),
            100.0 * all.expected,
            say("实际", "realised"),
            100.0 * all.realised.value,
            100.0 * all.realised.low,
            100.0 * all.realised.high,
        ));
    }
    lines.join("\n")
}
