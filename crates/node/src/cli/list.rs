//! Verbs of the sharing list: import, show, compare, verify.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};
use tally_crypto::sign::{Envelope, VerifyKey};
use tally_policy::list::{Change, difference};
use tally_policy::{FieldKind, ListField, SharingList, SignedList};

use super::node::{absolute, read_text};
use super::{Language, NodeArgument, Printed};
use crate::control::Command;
use crate::failure::{self, Failure};

/// `tallystick list …`.
#[derive(Subcommand)]
pub(super) enum ListVerb {
    /// Take in a newer version; its signature and every field are checked.
    Import {
        /// The signed list: a DSSE envelope.
        file: PathBuf,
        #[command(flatten)]
        node: NodeArgument,
    },
    /// Show a version: the newest, unless one is named.
    Show {
        #[command(flatten)]
        node: NodeArgument,
        /// The version.
        #[arg(long, value_name = "N")]
        version: Option<u32>,
    },
    /// What one list says otherwise than another: the two newest versions of the node, unless two are named.
    Diff {
        /// The earlier one: a version of the node, or a file.
        #[arg(requires = "later")]
        earlier: Option<String>,
        /// The later one.
        later: Option<String>,
        #[command(flatten)]
        node: NodeArgument,
    },
    /// Check a file without taking it in.
    Verify {
        /// The signed list.
        file: PathBuf,
        /// The consortium's signed registry, which names the list authorities.
        #[arg(long, value_name = "FILE")]
        registry: PathBuf,
        /// The consortium's public key, as `ca_key` in the registry, from a source other than the registry.
        #[arg(long, value_name = "KEY", value_parser = crate::registry::parse)]
        ca_key: Option<VerifyKey>,
    },
}

impl ListVerb {
    pub(super) fn run(self, language: Language) -> Result<Printed, Failure> {
        match self {
            Self::Import { file, node } => {
                let value = node.tell(&Command::ListImport { path: absolute(&file)? })?;
                let text = format!("{} {}\n{}", version(language), value["version"], value["digest"]);
                Ok(Printed { text, value, holds: true })
            }
            Self::Show { node, version } => {
                let value = node.tell(&Command::ListShow { version })?;
                Ok(Printed { text: in_words(&read(&value)?, &value, language), value, holds: true })
            }
            Self::Diff { earlier, later, node } => diff(&node, earlier.zip(later), language),
            Self::Verify { file, registry, ca_key } => {
                let registry = super::audit::read_registry(&registry, ca_key.as_ref())?;
                let list = open(&file, &registry)?;
                let value = json!({
                    "holds": true,
                    "version": list.version(),
                    "digest": list.digest(),
                    "fields": list.fields().len(),
                });
                let text = format!("{} {} {}", version(language), list.version(), list.digest());
                Ok(Printed { text, value, holds: true })
            }
        }
    }
}

fn version(language: Language) -> &'static str {
    if language == Language::Zh { "共享清单 版本" } else { "sharing list, version" }
}

fn open(file: &Path, registry: &tally_audit::Registry) -> Result<SignedList, Failure> {
    let envelope: Envelope = serde_json::from_str(&read_text(file)?)
        .map_err(|error| failure::data(format!("{}: not a signed sharing list: {error}", file.display())))?;
    SharingList::open(&envelope, &registry.list_authority_keys())
        .map_err(|error| failure::refused(format!("{}: {error}", file.display())))
}

/// The list in a node's answer, which has more keys.
fn read(shown: &Value) -> Result<SharingList, Failure> {
    let mut list = shown.clone();
    if let Some(list) = list.as_object_mut() {
        list.retain(|key, _| !["digest", "versions"].contains(&key.as_str()));
    }
    serde_json::from_value(list).map_err(failure::internal)
}

fn diff(node: &NodeArgument, named: Option<(String, String)>, language: Language) -> Result<Printed, Failure> {
    let (earlier, later) = match named {
        Some((earlier, later)) => (find(node, &earlier)?, find(node, &later)?),
        None => {
            let newest = node.tell(&Command::ListShow { version: None })?;
            let versions: Vec<_> =
                newest["versions"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
            let [.., before, _] = versions[..] else {
                return Err(failure::data("there is one version here only: name two files or versions"));
            };
            (find(node, &before.to_string())?, read(&newest)?)
        }
    };
    let changes = difference(&earlier, &later);
    let mut lines = vec![format!("{} {} -> {}", version(language), earlier.version, later.version)];
    lines.extend(changes.iter().map(|change| changed(change, language)));
    if changes.is_empty() {
        lines.push(if language == Language::Zh { "没有差别" } else { "no difference" }.into());
    }
    let value = json!({ "from": earlier.version, "to": later.version, "changes": changes });
    Ok(Printed { text: lines.join("\n"), value, holds: true })
}

/// A version of the node, or a file that the node's registry vouches for.
fn find(node: &NodeArgument, named: &str) -> Result<SharingList, Failure> {
    if let Ok(version) = named.parse() {
        return read(&node.tell(&Command::ListShow { version: Some(version) })?);
    }
    let directory = crate::directory::Directory::new(&node.node);
    let config = crate::config::Config::read(&directory.config())?;
    let registry = crate::registry::read(&directory, &config)?;
    open(Path::new(named), &registry).map(|list| list.list().clone())
}

fn changed(change: &Change, language: Language) -> String {
    let zh = language == Language::Zh;
    match change {
        Change::Added { field } => format!("+ {}", line(field, language)),
        Change::Removed { field } => format!("- {}", line(field, language)),
        Change::Changed { field, term, before, now } => {
            let term = match term.as_str() {
                "title" if zh => "名称",
                "owner" if zh => "责任部门",
                "category" if zh => "类别",
                "level" if zh => "级别",
                "kind" if zh => "取值",
                "forms" if zh => "共享形式",
                "purposes" if zh => "用途",
                "from" if zh => "起始日",
                "until" if zh => "截止日",
                "refresh_days" if zh => "更新周期（天）",
                term => term,
            };
            format!("~ {field}: {term} {before} -> {now}")
        }
    }
}

fn in_words(list: &SharingList, shown: &Value, language: Language) -> String {
    let zh = language == Language::Zh;
    let city = if zh { &list.city.zh } else { &list.city.en };
    let versions: Vec<_> = shown["versions"].as_array().into_iter().flatten().map(ToString::to_string).collect();
    let label = |zh_label: &'static str, en: &'static str| if zh { zh_label } else { en };
    let mut lines = vec![
        format!("{city}  {} {}, {} {}", version(language), list.version, label("发布日期", "issued"), list.issued),
        format!("{} {}", label("摘要", "digest"), shown["digest"].as_str().unwrap_or_default()),
        format!("{} {}", label("本节点版本", "versions here"), versions.join(", ")),
    ];
    lines.extend(list.fields.iter().map(|field| line(field, language)));
    lines.join("\n")
}

fn line(field: &ListField, language: Language) -> String {
    let zh = language == Language::Zh;
    let join = |items: Vec<String>| if items.is_empty() { "-".to_owned() } else { items.join(" ") };
    let forms = join(field.forms.iter().map(ToString::to_string).collect());
    let purposes = join(field.purposes.iter().map(ToString::to_string).collect());
    let title = if zh { &field.title.zh } else { &field.title.en };
    let values = match &field.kind {
        FieldKind::Numeric => String::new(),
        FieldKind::Category { values } => format!(" [{}]", values.join(" ")),
    };
    let bound =
        |label: &str, day: Option<tally_policy::Day>| day.map(|day| format!(", {label} {day}")).unwrap_or_default();
    let (from, until, refresh) =
        if zh { ("自", "至", "更新周期（天）") } else { ("from", "until", "refreshed every") };
    let days = if zh { "" } else { " days" };
    format!(
        "{} {:?} {forms}; {purposes}; {} / {}, {refresh} {}{days}{}{}  {title}{values}",
        field.name,
        field.level,
        field.owner,
        field.category,
        field.refresh_days,
        bound(from, field.from),
        bound(until, field.until),
    )
}
