//! Verbs of early warning.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::Value;
use tally_protocol::warning::{Outcome, Rules};

use super::node::read_text;
use super::words::{moment, word};
use super::{Language, NodeArgument, Printed, words};
use crate::control::{Command, WarningAction, WarningOrder};
use crate::directory::Directory;
use crate::engine::{RULES_LABEL, WARNING_LABEL, action_digest};
use crate::failure::{self, Failure};
use crate::{keys, secret};

/// `tallystick warning …`.
#[derive(Subcommand)]
pub(super) enum WarningVerb {
    /// Platform: approve rules, after reading them; a run refuses rules that nobody approved.
    Approve {
        /// The file; the one that the node's configuration names if absent.
        #[arg(long, value_name = "FILE")]
        rules: Option<PathBuf>,
        #[command(flatten)]
        by: OperatorArguments,
    },
    /// Platform: compare the data with what they were, now.
    Run {
        #[command(flatten)]
        node: NodeArgument,
    },
    /// List warnings: at the platform those issued, at a bank those about its portfolio, the gravest first.
    List {
        #[command(flatten)]
        node: NodeArgument,
        /// With those that are closed, expired, dropped or recalled.
        #[arg(long)]
        all: bool,
    },
    /// Show one warning.
    Show {
        /// Its name, or the first digits.
        warning: String,
        #[command(flatten)]
        node: NodeArgument,
    },
    /// Bank: say that you have seen a warning.
    Ack {
        /// Its name, or the first digits.
        warning: String,
        #[command(flatten)]
        by: OperatorArguments,
        /// For the record of this node.
        #[arg(long)]
        note: Option<String>,
    },
    /// Bank: say what came of a warning; the platform is told the rule and the outcome.
    Close {
        /// Its name, or the first digits.
        warning: String,
        /// What came of it.
        #[arg(long, value_parser = outcome)]
        outcome: Outcome,
        #[command(flatten)]
        by: OperatorArguments,
        /// For the record of this node.
        #[arg(long)]
        note: Option<String>,
    },
    /// Platform: per rule how many were issued and taken in, and whether they were of use.
    Report {
        #[command(flatten)]
        node: NodeArgument,
    },
}

/// Who acts, at which node.
#[derive(Args)]
pub(super) struct OperatorArguments {
    #[command(flatten)]
    node: NodeArgument,
    /// The operator.
    #[arg(long, value_name = "NAME")]
    operator: String,
    /// File with the operator's passphrase; asked for if absent.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

fn outcome(text: &str) -> Result<Outcome, String> {
    let names = Outcome::ALL.map(|outcome| outcome.to_string()).join(", ");
    Outcome::ALL.into_iter().find(|outcome| outcome.to_string() == text).ok_or(format!("expected one of {names}"))
}

impl WarningVerb {
    pub(super) fn run(self, language: Language) -> Result<Printed, Failure> {
        match self {
            Self::Approve { rules, by } => by.approve(rules),
            Self::Run { node } => node.tell(&Command::Warning(WarningOrder::Run)).map(words::plain),
            Self::List { node, all } => {
                let value = node.tell(&Command::Warning(WarningOrder::List { all }))?;
                let lines: Vec<_> =
                    value.as_array().into_iter().flatten().map(|one| in_a_line(one, language)).collect();
                Ok(Printed { text: words::listed(&lines, language), value, holds: true })
            }
            Self::Show { warning, node } => {
                node.tell(&Command::Warning(WarningOrder::Show { warning })).map(words::plain)
            }
            Self::Ack { warning, by, note } => by.handle(warning, WarningAction::Acknowledge, note),
            Self::Close { warning, outcome, by, note } => by.handle(warning, WarningAction::Close(outcome), note),
            Self::Report { node } => {
                let value = node.tell(&Command::Warning(WarningOrder::Report))?;
                Ok(Printed { text: report_in_words(&value, language), value, holds: true })
            }
        }
    }
}

impl OperatorArguments {
    fn key(&self) -> Result<tally_crypto::sign::SigningKey, Failure> {
        let passphrase = secret::read(self.secret_file.as_deref(), &format!("operator-{}", self.operator))?;
        keys::open_operator(&Directory::new(&self.node.node).operator_key(&self.operator), &passphrase)
    }

    fn approve(self, rules: Option<PathBuf>) -> Result<Printed, Failure> {
        let rules = match rules {
            Some(path) => read_text(&path)?,
            None => {
                let shown = self.node.tell(&Command::Warning(WarningOrder::Rules))?;
                shown["text"].as_str().unwrap_or_default().to_owned()
            }
        };
        let signature = self.key()?.sign(RULES_LABEL, Rules::digest_of(&rules).as_bytes());
        let order = WarningOrder::Approve { rules, operator: self.operator, signature };
        self.node.tell(&Command::Warning(order)).map(words::plain)
    }

    fn handle(self, warning: String, action: WarningAction, note: Option<String>) -> Result<Printed, Failure> {
        let shown = self.node.tell(&Command::Warning(WarningOrder::Show { warning }))?;
        let warning = serde_json::from_value(shown["warning"].clone()).map_err(failure::internal)?;
        let signature = self.key()?.sign(WARNING_LABEL, action_digest(&warning, action).as_bytes());
        let order = WarningOrder::Handle { warning, action, operator: self.operator, note, signature };
        self.node.tell(&Command::Warning(order)).map(words::plain)
    }
}

/// One warning in a line.
fn in_a_line(one: &Value, language: Language) -> String {
    let text = &one["text"][if language == Language::Zh { "zh" } else { "en" }];
    let short: String = word(&one["warning"]).chars().take(12).collect();
    let bank = one["bank"].as_str().map(|bank| format!(" -> {bank}")).unwrap_or_default();
    let until = if language == Language::Zh { "有效至" } else { "until" };
    let outcome = one["outcome"].as_str().map(|outcome| format!(" ({outcome})")).unwrap_or_default();
    format!(
        "{short}  {:<6} {} {}{bank}  {} [{}]  {}{outcome}, {until} {}",
        word(&one["severity"]),
        word(&one["day"]),
        word(&one["subject"]),
        word(text),
        word(&one["rule"]),
        word(&one["state"]),
        moment(&one["expires"]),
    )
}

/// The table of rules.
fn report_in_words(report: &Value, language: Language) -> String {
    let say = |zh: &'static str, en: &'static str| if language == Language::Zh { zh } else { en };
    let line = |name: &str, counts: &Value| {
        let outcomes = counts["outcomes"].as_object().into_iter().flatten();
        let outcomes: Vec<_> = outcomes.map(|(outcome, count)| format!("{outcome} {count}")).collect();
        let useful = counts["useful_share"].as_f64().map(|share| format!("{:.0} %", share * 100.0));
        format!(
            "{name:<28} {} {}, {} {}, {} {}, {} {}, {} {}; {} {}; {}",
            say("发出", "issued"),
            counts["issued"],
            say("送达", "delivered"),
            counts["delivered"],
            say("已签收", "acknowledged"),
            counts["acknowledged"],
            say("未发送", "dropped"),
            counts["dropped"],
            say("撤回", "recalled"),
            counts["recalled"],
            say("有用", "of use"),
            useful.unwrap_or_else(|| "-".into()),
            if outcomes.is_empty() { "-".into() } else { outcomes.join(", ") },
        )
    };
    let mut lines = Vec::new();
    for rule in report.as_array().into_iter().flatten() {
        lines.push(line(&word(&rule["rule"]), &rule["total"]));
        lines.extend(
            rule["banks"].as_object().into_iter().flatten().map(|(bank, counts)| line(&format!("  {bank}"), counts)),
        );
    }
    words::listed(&lines, language)
}
