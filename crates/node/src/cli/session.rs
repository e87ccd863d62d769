//! Verbs of sessions and scores.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tally_audit::order::Decision;
use tally_protocol::aggregation::{NoiseTerms, epsilon};
use tally_protocol::session::{Contract, Fallback, Holder, Otherwise, SealedContract};

use super::node::read_text;
use super::{CsvArguments, Language, NodeArgument, Printed, disclosure, words};
use crate::batch::Batch;
use crate::control::{Command, ScoreOrder};
use crate::failure::{self, Failure};
use crate::secret;

/// `tallystick session …`.
#[derive(Subcommand)]
pub(super) enum SessionVerb {
    /// Platform: write the draft of a session; an operator's approval sends it to the banks.
    Propose(ProposeArguments),
    /// Show the contract in words.
    Show {
        #[command(flatten)]
        node: NodeArgument,
        /// Session name; the only open one if absent.
        session: Option<String>,
    },
    /// Approve the contract as an operator of this node.
    Approve(ApproveArguments),
    /// Refuse a proposed session.
    Reject {
        #[command(flatten)]
        node: NodeArgument,
        /// Session name.
        session: String,
        /// Why, for the proposer.
        #[arg(long)]
        reason: String,
    },
    /// Where sessions stand, and whom they wait for.
    Status {
        #[command(flatten)]
        node: NodeArgument,
        /// Session name; all if absent.
        session: Option<String>,
    },
    /// Stop a session.
    Abort {
        #[command(flatten)]
        node: NodeArgument,
        /// Session name.
        session: String,
        /// Why, for the other parties.
        #[arg(long)]
        reason: String,
    },
    /// Write what auditors verify and replay: the contract, the statements signed at the end, and at the platform every
    /// round's transcript.
    Evidence {
        #[command(flatten)]
        node: NodeArgument,
        /// Session name.
        session: String,
        /// File to write.
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
        #[command(flatten)]
        disclose: super::audit::DiscloseArguments,
    },
    /// The fit: information values, points, figures on the hold-out rows.
    Results {
        #[command(flatten)]
        node: NodeArgument,
        /// Session name.
        session: String,
    },
}

/// Arguments of `session propose`.
#[derive(Args)]
pub(super) struct ProposeArguments {
    #[command(flatten)]
    node: NodeArgument,
    /// Session template, such as models/templates/scorecard.toml.
    #[arg(long, value_name = "FILE")]
    template: PathBuf,
    /// The banks' field dictionary (JSON).
    #[arg(long, value_name = "FILE")]
    dictionary: PathBuf,
    /// The platform's data set.
    #[arg(long, default_value = "enterprises")]
    dataset: String,
    /// A bank to invite; repeat for each.
    #[arg(long = "bank", required = true)]
    banks: Vec<String>,
    /// Seconds to wait for a bank, instead of the template's.
    #[arg(long, value_name = "SECONDS")]
    patience: Option<u32>,
}

/// Arguments of `session approve`.
#[derive(Args)]
pub(super) struct ApproveArguments {
    #[command(flatten)]
    node: NodeArgument,
    /// Session name; the only open one if absent.
    session: Option<String>,
    /// Who approves.
    #[arg(long)]
    operator: String,
    /// Data set that this node brings; its only one if absent.
    #[arg(long)]
    dataset: Option<String>,
    /// File with the operator's passphrase; asked for if absent.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

impl SessionVerb {
    pub(super) fn run(self, language: Language) -> Result<Printed, Failure> {
        match self {
            Self::Propose(arguments) => arguments.run(language),
            Self::Show { node, session } => show(&node, session, language),
            Self::Approve(arguments) => {
                let secret =
                    secret::read(arguments.secret_file.as_deref(), &format!("operator-{}", arguments.operator))?;
                let session = arguments.session.as_deref();
                let value = approve(&arguments.node.node, session, &arguments.operator, arguments.dataset, &secret)?;
                Ok(with_warnings(value, language))
            }
            Self::Reject { node, session, reason } => {
                node.tell(&Command::SessionReject { session, reason }).map(words::plain)
            }
            Self::Status { node, session } => node.tell(&Command::SessionStatus { session }).map(words::plain),
            Self::Abort { node, session, reason } => {
                node.tell(&Command::SessionAbort { session, reason }).map(words::plain)
            }
            Self::Evidence { node, session, output, disclose } => {
                disclose.run(&node, &session)?;
                evidence(&node, session, &output)
            }
            Self::Results { node, session } => node.tell(&Command::SessionResults { session }).map(words::plain),
        }
    }
}

impl ProposeArguments {
    fn run(self, language: Language) -> Result<Printed, Failure> {
        let command = Command::SessionPropose {
            template: read_text(&self.template)?,
            dictionary: read_text(&self.dictionary)?,
            dataset: self.dataset,
            banks: self.banks,
            patience_seconds: self.patience,
        };
        let value = self.node.tell(&command)?;
        let session = value["session"].as_str().map(Into::into);
        let shown = show(&self.node, session, language)?;
        Ok(Printed { text: shown.text, value, holds: true })
    }
}

/// An approval in words, what the operator is warned of first, in one language.
fn with_warnings(value: Value, language: Language) -> Printed {
    let name = if language == Language::Zh { "zh" } else { "en" };
    let warnings = value["warnings"].as_array().into_iter().flatten();
    let warnings: Vec<_> = warnings.filter_map(|warning| Some(format!("! {}", warning[name].as_str()?))).collect();
    let mut rest = value.clone();
    if let Some(fields) = rest.as_object_mut() {
        fields.remove("warnings");
    }
    let text = warnings.into_iter().chain([words::plain(rest).text]).collect::<Vec<_>>().join("\n");
    Printed { value, text, holds: true }
}

/// Reads the contract from the node, signs its digest and the data that the node would bring, and hands the approval in.
pub(crate) fn approve(
    node: &Path,
    session: Option<&str>,
    operator: &str,
    dataset: Option<String>,
    passphrase: &[u8],
) -> Result<Value, Failure> {
    let shown = crate::control::tell(node, &Command::SessionShow { session: session.map(Into::into) })?;
    let sealed = read_shown(&shown)?;
    let (contract, terms) = (sealed.digest(), sealed.terms());
    let session = terms.session.clone();
    let brought = crate::control::tell(node, &Command::SessionData { session: session.clone(), dataset })?;
    let data = serde_json::from_value(brought["data"].clone()).map_err(failure::internal)?;
    let order = super::sign(node, operator, passphrase, Decision::SessionApprove { contract, data })?;
    let command = Command::SessionApprove { session, order };
    crate::control::tell(node, &command)
}

/// The contract as the node shows it; its digest is computed here, from what was shown.
pub(super) fn read_shown(shown: &Value) -> Result<SealedContract, Failure> {
    let envelope = serde_json::from_value(shown["envelope"].clone()).map_err(failure::internal)?;
    SealedContract::read(&envelope).map_err(failure::data)
}

fn evidence(node: &NodeArgument, session: String, output: &Path) -> Result<Printed, Failure> {
    let value = node.tell(&Command::SessionEvidence { session })?;
    let text = serde_json::to_string(&value).map_err(failure::internal)?;
    std::fs::write(output, text).map_err(|error| failure::unwritable(format!("{}: {error}", output.display())))?;
    let rounds = value["transcripts"].as_array().map_or(0, Vec::len);
    let text = format!("{}: {rounds} rounds", output.display());
    Ok(Printed { value: json!({ "output": output, "rounds": rounds }), text, holds: true })
}

fn show(node: &NodeArgument, session: Option<String>, language: Language) -> Result<Printed, Failure> {
    let value = node.tell(&Command::SessionShow { session })?;
    let sealed = read_shown(&value)?;
    let mut text = in_words(&sealed, language)?;
    text.extend(disclosure::newer_list(&value, sealed.terms(), language).map(|line| format!("\n{line}")));
    Ok(Printed { text, value, holds: true })
}

fn in_words(sealed: &SealedContract, language: Language) -> Result<String, Failure> {
    let (digest, terms) = (sealed.digest(), sealed.terms());
    let colluders = sealed.roster().map_err(failure::data)?.colluders();
    let zh = language == Language::Zh;
    let title = if zh { &terms.title.zh } else { &terms.title.en };
    let names = |holder| {
        let fields: Vec<_> = terms
            .fields_of(holder)
            .map(|field| format!("{} ({:?}, {:?})", field.name, field.level, field.form).to_lowercase())
            .collect();
        fields.join(", ")
    };
    let parties: Vec<_> = terms.parties.iter().map(|party| party.name.as_str()).collect();
    let (limits, model) = (&terms.limits, &terms.model);
    let label = |en: &'static str, zh_label: &'static str| if zh { zh_label } else { en };
    let mut lines = vec![
        format!("{title}  [{}]", terms.session),
        format!("{}: {digest}", label("contract", "合同摘要")),
        format!("{}: {}", label("purpose", "用途"), terms.purpose),
        format!("{}: {}", label("parties", "参与方"), parties.join(", ")),
    ];
    let own = format!(
        "{}: {}",
        label("bank fields (never leave, sums only)", "银行字段（不出行，仅汇总）"),
        names(Holder::Banks)
    );
    match &model.statistics {
        Some(statistics) => {
            lines.push(own);
            lines.extend(super::statistics::in_words(terms, statistics, language));
        }
        None => lines.extend([
            format!("{}: {}", label("platform fields", "平台字段"), names(Holder::Platform)),
            own,
            format!("{}: {} {}", label("sharing list", "共享清单"), label("version", "版本"), terms.list.version),
            disclosure::data(terms, language),
            disclosure::verdicts(terms, language),
            format!(
                "{}: {}, {} bins, IV >= {}, C = {}, PDO {}, {} at odds {}",
                label("model", "模型"),
                model.algorithm,
                model.bins,
                model.min_iv,
                model.c,
                model.pdo,
                model.base_score,
                model.base_odds
            ),
            format!("{}: {}", label("fields kept, rows taken", "字段筛选与样本"), in_detail(terms, zh)?),
            format!(
                "{}: {} banks in a sum, {} behind a cell, {} rows in a refined cell, {} evaluations a bank, {} sums",
                label("limits", "限额"),
                limits.min_cohort,
                limits.min_cell,
                limits.min_rows,
                limits.evaluations,
                limits.rounds
            ),
            format!("{}: {}", label("rows", "样本行"), guards_in_words(terms, zh)),
            format!(
                "{}: {}{}",
                label("row keys", "行密钥"),
                terms.alignment.engine,
                if terms.alignment.padding { label(", number of rows rounded up", "，行数取整") } else { "" }
            ),
            format!(
                "{}: {}",
                label("platform out of reach", "平台不可达时"),
                fallback_in_words(terms.scoring.fallback, label)
            ),
            format!("{}: {} {}", label("data kept", "数据保存"), terms.retention_days, label("days", "天")),
        ]),
    }
    lines.extend([
        format!(
            "{}: {}",
            label("a sum stays closed to the platform with up to", "平台与以下数目的银行合谋仍不能打开"),
            colluders
        ),
        format!("{}: {}", label("noise", "噪声"), noise_in_words(terms.noise, label)),
    ]);
    Ok(lines.join("\n"))
}

/// What banks demand of the rows behind a sum, and what becomes of rows whose consent ends.
fn guards_in_words(terms: &Contract, zh: bool) -> String {
    let percent = |share: f64| share * 100.0;
    let Some(one) = terms.balance else {
        return if zh { "不限单行占比" } else { "any part of a sum may be one bank's" }.to_owned();
    };
    let (share, least, most) = (percent(one.share), one.floor, 2 * one.floor);
    let cells = match (terms.cell_share().map(percent), zh) {
        (Some(cells), true) => format!("，单个分组中不超过 {cells:.0}%"),
        (Some(cells), false) => format!(" and {cells:.0}% of a group of cells"),
        (None, _) => String::new(),
    };
    let balance = match zh {
        true => format!("单家银行不超过 {share:.0}%{cells}，每家至少 {least} 至 {most} 行"),
        false => format!("at most {share:.0}% of a sum{cells} one bank's, at least {least} to {most} opened by each"),
    };
    let Some(withdrawal) = terms.withdrawal else { return balance };
    let (share, stops) = (percent(withdrawal.share), withdrawal.otherwise == Otherwise::Stop);
    let rest = match (stops, zh) {
        (true, true) => format!("；授权在计数后终止即停止，终止超过 {share:.0}% 亦停止"),
        (false, true) => format!("；授权在计数后终止的行保留至结束，终止超过 {share:.0}% 即停止"),
        (true, false) => format!("; ends where a consent ends after the count, or {share:.0}% of a bank's have ended"),
        (false, false) => {
            format!("; rows whose consent ends after the count stay, up to {share:.0}% of a bank's have ended")
        }
    };
    balance + &rest
}

fn fallback_in_words(fallback: Fallback, label: impl Fn(&'static str, &'static str) -> &'static str) -> &'static str {
    match fallback {
        Fallback::None => label("no score", "不出分"),
        Fallback::BankOnly => label(
            "the bank's own model answers on its own fields, marked as fallback; no consent is used",
            "由银行自有模型以自有字段代评并注明，不使用授权",
        ),
    }
}

fn noise_in_words(noise: Option<NoiseTerms>, label: impl Fn(&'static str, &'static str) -> &'static str) -> String {
    const DELTA: f64 = 1e-6;
    match noise {
        None => label("none, sums are exact", "无，汇总为精确值").into(),
        Some(noise) => format!(
            "{} {} {} {}: epsilon {:.2} {} delta {DELTA:e}",
            label("rho", "rho"),
            noise.rho_round,
            label("a sum, of", "每次汇总，总计"),
            noise.rho_session,
            epsilon(noise.rho_session, DELTA),
            label("at", "，"),
        ),
    }
}

/// What the contract asks of classes, fields and rows beside its bins, as the keys of a template.
fn in_detail(terms: &Contract, zh: bool) -> Result<String, Failure> {
    let model = &terms.model;
    let mut parts = vec![("selection", serde_json::to_value(&model.selection).map_err(failure::internal)?)];
    if let Some(coarse) = &model.coarse {
        parts.push(("coarse", serde_json::to_value(coarse).map_err(failure::internal)?));
    }
    if !model.rows.is_plain() {
        parts.push(("rows", serde_json::to_value(&model.rows).map_err(failure::internal)?));
    }
    if !model.judging.is_plain() {
        parts.push(("judging", serde_json::to_value(&model.judging).map_err(failure::internal)?));
    }
    let chosen = [("cuts", &model.cuts), ("special", &model.special)];
    parts.extend(
        chosen.into_iter().filter(|(_, values)| !values.is_empty()).map(|(name, values)| (name, json!(values))),
    );
    if let Some(sample) = &terms.sample {
        let outcome = if zh { &sample.outcome.zh } else { &sample.outcome.en };
        let exclusions = sample.exclusions.iter().map(|one| if zh { &one.why.zh } else { &one.why.en });
        let exclusions: Vec<_> = exclusions.map(String::as_str).collect();
        let told = json!({
            "observed": sample.observed,
            "cohorts": sample.cohorts,
            "outcome_months": sample.outcome_months,
            "outcome": outcome,
            "snapshot": sample.snapshot,
            "holdout": sample.holdout,
            "exclusions": exclusions,
        });
        parts.push(("sample", told));
    }
    Ok(parts.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join("; "))
}

/// `tallystick score …`.
#[derive(Subcommand)]
pub(super) enum ScoreVerb {
    /// Score one applicant: a JSON request from a file or standard input.
    One {
        #[command(flatten)]
        node: NodeArgument,
        /// File with {"id", "purpose", "fields"}; `-` reads standard input.
        #[arg(long, value_name = "FILE", default_value = "-")]
        request: PathBuf,
    },
    /// Score a file of applicants, CSV or Parquet: one row each, with the error where there is no score. After an interruption
    /// the same command goes on, and asks about no row twice. Rows wait for a platform that is away: the bank's own model never
    /// answers for it.
    Batch {
        #[command(flatten)]
        node: NodeArgument,
        /// Applicants, CSV or Parquet: columns `id`, `application` if there is one, and the bank's own fields; others are not
        /// read.
        #[arg(long, value_name = "FILE")]
        input: PathBuf,
        #[command(flatten)]
        csv: CsvArguments,
        /// Where the scores go; Parquet by the ending .parquet.
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
        /// Why the bank asks.
        #[arg(long, default_value = "loan-underwriting")]
        purpose: String,
        /// The model, by its digest or session; the champion if absent.
        #[arg(long, value_name = "MODEL")]
        model: Option<String>,
        /// Reasons wanted.
        #[arg(long, default_value_t = 4, value_name = "N")]
        reasons: usize,
    },
}

impl ScoreVerb {
    pub(super) fn run(self, language: Language) -> Result<Printed, Failure> {
        match self {
            Self::One { node, request } => {
                let text = if request.as_os_str() == "-" {
                    std::io::read_to_string(std::io::stdin()).map_err(failure::data)?
                } else {
                    read_text(&request)?
                };
                let order: ScoreOrder = serde_json::from_str(&text)
                    .map_err(|error| failure::data(format!("{}: {error}", request.display())))?;
                let value = node.tell(&Command::Score(order))?;
                Ok(Printed { text: score_in_words(&value, language), value, holds: true })
            }
            Self::Batch { node, input, csv, output, purpose, model, reasons } => {
                let purpose = serde_json::from_value(json!(purpose)).map_err(|_| {
                    failure::usage(format!("`{purpose}` is not a purpose: loan-underwriting, pre-screening, …"))
                })?;
                Batch { node: node.node, input, form: csv.form(), output, purpose, model, reasons }
                    .run()
                    .map(words::plain)
            }
        }
    }
}

/// One score as a sentence and its reasons.
pub(crate) fn score_in_words(score: &Value, language: Language) -> String {
    let name = if language == Language::Zh { "zh" } else { "en" };
    let reasons: Vec<_> = score["reasons"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|reason| format!("{} (-{})", reason["text"][name].as_str().unwrap_or_default(), reason["points"]))
        .collect();
    let probability = score["probability"].as_f64().unwrap_or_default() * 100.0;
    format!("{}  {probability:.2} %  {}", score["score"], reasons.join("; "))
}
