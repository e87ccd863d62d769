//! Verbs of data sets: the registry, its quality, single rows for auditors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tally_crypto::transcript::Digest;
use tally_data::{Dictionary, RowOpening};
use tally_policy::Day;

use super::node::{absolute, read_text};
use super::{CsvArguments, Language, NodeArgument, Printed, words};
use crate::control::{Command, DatasetImport};
use crate::failure::{self, Failure};

/// `tallystick dataset …`.
#[derive(Subcommand)]
pub(super) enum DatasetVerb {
    /// Read a data set from a CSV or Parquet file.
    Import(DatasetArguments),
    /// Show the registry: data sets, their fields and owners, and their quality per department.
    Show {
        #[command(flatten)]
        node: NodeArgument,
    },
    /// Open one row, so that an auditor can check it against the data set's commitment.
    Open {
        #[command(flatten)]
        node: NodeArgument,
        /// The data set.
        dataset: String,
        /// The row's identifier.
        #[arg(long)]
        id: String,
        /// The row's day of observation, in a data set with cohorts.
        #[arg(long, value_name = "DATE")]
        cohort: Option<Day>,
    },
    /// Check a row that `dataset open --json` wrote against the commitment that contracts and logs name.
    Verify {
        /// The opened row.
        file: PathBuf,
        /// The commitment, from a contract or a log; the file's own if absent.
        #[arg(long, value_name = "DIGEST")]
        commitment: Option<Digest>,
    },
}

/// Arguments of `dataset import`.
#[derive(Args)]
pub(super) struct DatasetArguments {
    #[command(flatten)]
    node: NodeArgument,
    /// The file: CSV with a header, or Parquet.
    file: PathBuf,
    #[command(flatten)]
    csv: CsvArguments,
    /// Name to keep it under.
    #[arg(long, default_value = "loans")]
    name: String,
    /// Bank: the field dictionary (JSON).
    #[arg(long, value_name = "FILE")]
    dictionary: Option<PathBuf>,
    /// Bank: column of the label, 1 for a loan that went bad.
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// Column of the identifier.
    #[arg(long, value_name = "COLUMN", default_value = "id")]
    identifier: String,
    /// Column of the day of observation, YYYY-MM-DD, where an identifier has rows of several days (cohorts).
    #[arg(long, value_name = "COLUMN")]
    cohort: Option<String>,
    /// What identifiers are: credit codes are checked.
    #[arg(long, value_enum, default_value = "credit-code")]
    identifier_kind: IdentifierArgument,
    /// Column of the file that is a field of another name; may be repeated.
    #[arg(long, value_name = "COLUMN=FIELD")]
    map: Vec<String>,
    /// Date of the snapshot, YYYY-MM-DD.
    #[arg(long, value_name = "DATE")]
    as_of: String,
    /// What happens to values that are no numbers, or none of their category: the file is refused, or they count as missing.
    #[arg(long, value_enum, default_value = "refuse")]
    misfits: MisfitsArgument,
}

/// What happens to values that do not fit.
#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum MisfitsArgument {
    /// The file is refused.
    Refuse,
    /// They count as missing, and as misfits in the data set's quality.
    Missing,
}

/// Kinds of identifier.
#[derive(Clone, Copy, clap::ValueEnum)]
enum IdentifierArgument {
    /// Unified Social Credit Codes (GB 32100-2015).
    CreditCode,
    /// Any text.
    Text,
}

impl DatasetVerb {
    pub(super) fn run(self, language: Language) -> Result<Printed, Failure> {
        match self {
            Self::Import(arguments) => arguments.run(language),
            Self::Show { node } => {
                let value = node.tell(&Command::DatasetList)?;
                let shown: Vec<_> = value.as_array().into_iter().flatten().map(|one| in_words(one, language)).collect();
                Ok(Printed { text: shown.join("\n\n"), value, holds: true })
            }
            Self::Open { node, dataset, id, cohort } => {
                node.tell(&Command::DatasetOpen { dataset, identifier: id, cohort }).map(words::plain)
            }
            Self::Verify { file, commitment } => verify(&file, commitment, language),
        }
    }
}

impl DatasetArguments {
    fn run(self, language: Language) -> Result<Printed, Failure> {
        let map = self.map.iter().map(|pair| {
            let (column, field) = pair
                .split_once('=')
                .ok_or_else(|| failure::usage(format!("--map {pair}: write it as COLUMN=FIELD")))?;
            Ok((column.to_owned(), field.to_owned()))
        });
        let order = DatasetImport {
            name: self.name,
            path: absolute(&self.file)?,
            dictionary: self.dictionary.as_deref().map(dictionary).transpose()?,
            label: self.label,
            identifier: self.identifier,
            cohort: self.cohort,
            credit_codes: matches!(self.identifier_kind, IdentifierArgument::CreditCode),
            map: map.collect::<Result<BTreeMap<_, _>, Failure>>()?,
            as_of: self.as_of,
            misfits_missing: self.misfits == MisfitsArgument::Missing,
            form: self.csv.form(),
        };
        let value = self.node.tell(&Command::DatasetImport(order))?;
        Ok(Printed { text: in_words(&value, language), value, holds: true })
    }
}

/// The text of a dictionary that can be read.
fn dictionary(file: &Path) -> Result<String, Failure> {
    let text = read_text(file)?;
    Dictionary::parse(&text).map_err(|reason| failure::data(format!("{}: {reason}", file.display())))?;
    Ok(text)
}

/// What `dataset open` writes.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Opened {
    dataset: String,
    as_of: String,
    commitment: Digest,
    opening: RowOpening,
}

fn verify(file: &Path, commitment: Option<Digest>, language: Language) -> Result<Printed, Failure> {
    let opened: Opened = serde_json::from_str(&read_text(file)?)
        .map_err(|error| failure::data(format!("{}: not an opened row: {error}", file.display())))?;
    let commitment = commitment.unwrap_or(opened.commitment);
    let holds = opened.opening.holds(&commitment);
    let (zh, en) = if holds { ("该行属于", "the row is in") } else { ("该行不属于", "the row is NOT in") };
    let verdict = if language == Language::Zh { zh } else { en };
    let text = format!("{verdict} {} ({}), {commitment}\n{}", opened.dataset, opened.as_of, opened.opening.row);
    Ok(Printed { value: json!({ "holds": holds, "commitment": commitment }), text, holds })
}

/// A data set of the registry, and the quality of each department's fields.
fn in_words(info: &Value, language: Language) -> String {
    let label = |zh: &'static str, en: &'static str| if language == Language::Zh { zh } else { en };
    let list = |value: &Value| {
        let items: Vec<_> = value.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        items.join(", ")
    };
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let share = |value: &Value| format!("{:.2} %", value.as_f64().unwrap_or_default() * 100.0);
    let mut lines = vec![
        format!(
            "{}  {} {}, {} {}, {} {}",
            text(&info["name"]),
            label("截至", "as of"),
            text(&info["as_of"]),
            info["rows"],
            label("行", "rows"),
            label("级别", "level"),
            text(&info["level"]),
        ),
        format!("  {} {}", label("承诺", "commitment"), text(&info["commitment"])),
    ];
    let cohorts = list(&info["cohorts"]);
    if !cohorts.is_empty() {
        lines.push(format!("  {} {cohorts}", label("观察批次", "cohorts")));
    }
    for department in info["departments"].as_array().into_iter().flatten() {
        let late = list(&department["late"]);
        let late = if late.is_empty() { String::new() } else { format!(" ({late})") };
        lines.push(format!(
            "  {:<20} {} {}; {} {}; {} {} {}, {} {} {}{late}",
            text(&department["owner"]),
            label("完整", "complete"),
            share(&department["completeness"]),
            label("有效", "valid"),
            share(&department["validity"]),
            label("已过", "age"),
            department["age_days"],
            label("天", "days"),
            label("应更新于", "due within"),
            department["refresh_days"],
            if late.is_empty() { label("天内", "days") } else { label("天内，已逾期", "days, LATE") },
        ));
    }
    for field in info["fields"].as_array().into_iter().flatten() {
        lines.push(format!(
            "  - {:<28} {:<16} {:<4} {:<20} {} {}, {} {}",
            text(&field["name"]),
            match field["values"].as_u64() {
                None | Some(0) => label("数值", "number").to_owned(),
                Some(values) => format!("{} ({values})", label("类别", "category")),
            },
            text(&field["level"]),
            text(&field["owner"]),
            label("缺失", "missing"),
            share(&field["missing"]),
            label("不合字典", "misfits"),
            field["misfits"],
        ));
    }
    lines.join("\n")
}
