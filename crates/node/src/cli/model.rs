//! Verbs of released models.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};
use tally_audit::order::Decision;

use super::export::{Exported, Format};
use super::order::Signer;
use super::{Language, NodeArgument, Printed, words};
use crate::control::Command;
use crate::failure::{self, Failure};

/// `tallystick model …`.
#[derive(Subcommand)]
pub(super) enum ModelVerb {
    /// List released models, the oldest first.
    List {
        #[command(flatten)]
        node: NodeArgument,
    },
    /// Show a model: its state, its figures, and where it came from.
    Show {
        #[command(flatten)]
        node: NodeArgument,
        /// Digest or its first digits, or the session that made it; the champion if absent.
        model: Option<String>,
    },
    /// Compare two models by their figures and fields.
    Compare {
        #[command(flatten)]
        node: NodeArgument,
        /// One model.
        model: String,
        /// The other; the champion if absent.
        other: Option<String>,
    },
    /// Write a model to a file: JSON, the table of a scorecard, PMML, or the dossier.
    Export {
        #[command(flatten)]
        node: NodeArgument,
        /// Digest or its first digits, or the session that made it; the champion if absent.
        model: Option<String>,
        /// Form of the file.
        #[arg(long, value_enum)]
        format: Format,
        /// The file.
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Pass a model into use as the champion; the one before becomes a challenger.
    Promote(ChangeArguments),
    /// Take a model out of use: it scores no more.
    Retire(ChangeArguments),
}

/// Arguments of a decision over a model.
#[derive(clap::Args)]
pub(super) struct ChangeArguments {
    #[command(flatten)]
    node: NodeArgument,
    /// Digest or its first digits, or the session that made it.
    model: String,
    /// Of the validation role, and not one who approved the session.
    #[command(flatten)]
    signer: Signer,
    /// Why, for the record.
    #[arg(long)]
    reason: Option<String>,
}

impl ModelVerb {
    pub(super) fn run(self, language: Language) -> Result<Printed, Failure> {
        match self {
            Self::List { node } => node.tell(&Command::ModelList).map(words::plain),
            Self::Show { node, model } => node.tell(&Command::ModelShow { model }).map(words::plain),
            Self::Compare { node, model, other } => compare(&node, model, other).map(words::plain),
            Self::Export { node, model, format, output } => {
                let exported = Exported::read(node.tell(&Command::ModelExport { model, format: format.to_string() })?)?;
                let text = exported.write(format, language)?;
                std::fs::write(&output, &text)
                    .map_err(|error| failure::unwritable(format!("{}: {error}", output.display())))?;
                Ok(words::plain(json!({ "output": output, "bytes": text.len() })))
            }
            Self::Promote(arguments) => arguments.change("champion", language),
            Self::Retire(arguments) => arguments.change("retired", language),
        }
    }
}

impl ChangeArguments {
    fn change(self, state: &str, language: Language) -> Result<Printed, Failure> {
        let shown = self.node.tell(&Command::ModelShow { model: Some(self.model) })?;
        // Who passes a model into use reads what speaks against it before the key is asked for.
        for warning in shown["results"]["judged"]["warnings"].as_array().into_iter().flatten() {
            let words = match language {
                Language::Zh => &warning["zh"],
                Language::En => &warning["en"],
            };
            eprintln!("! {}", words.as_str().unwrap_or_default());
        }
        let model = serde_json::from_value(shown["model"].clone()).map_err(failure::internal)?;
        let decision = Decision::ModelState { model, state: state.into(), reason: self.reason };
        let order = self.signer.sign(&self.node.node, decision)?;
        self.node.tell(&Command::ModelChange { order }).map(words::plain)
    }
}

/// Figures of both on their own hold-out rows, and the fields that only one has.
fn compare(node: &NodeArgument, model: String, other: Option<String>) -> Result<Value, Failure> {
    let shown = [Some(model), other].map(|model| node.tell(&Command::ModelShow { model }));
    let [one, two] = shown;
    let (one, two) = (one?, two?);
    let figure = |model: &Value, name: &str| model["results"]["fit"]["joint"][name].as_f64();
    let difference = |name: &str| Some(figure(&one, name)? - figure(&two, name)?);
    let fields = |model: &Value| -> Vec<String> {
        let fields = model["results"]["fit"]["fields"].as_array().into_iter().flatten();
        let used = fields.filter(|field| field["dropped"].is_null());
        used.filter_map(|field| field["name"].as_str().map(Into::into)).collect()
    };
    let (first, second) = (fields(&one), fields(&two));
    let only = |one: &[String], other: &[String]| -> Vec<String> {
        one.iter().filter(|field| !other.contains(field)).cloned().collect()
    };
    let in_short = |model: &Value| {
        json!({
            "model": model["model"],
            "state": model["state"],
            "algorithm": model["algorithm"],
            "released": model["released"],
            "holdout_rows": model["results"]["fit"]["holdout_rows"],
            "joint": model["results"]["fit"]["joint"],
            "bank_only": model["results"]["fit"]["bank_only"],
            "within_banks": model["results"]["judged"]["within_banks"],
            "baselines": model["results"]["judged"]["baselines"],
        })
    };
    Ok(json!({
        "models": [in_short(&one), in_short(&two)],
        "difference": { "auc": difference("auc"), "ks": difference("ks"), "gini": difference("gini") },
        "same_holdout": one["results"]["fit"]["holdout_rows"] == two["results"]["fit"]["holdout_rows"],
        "fields_only_in_first": only(&first, &second),
        "fields_only_in_second": only(&second, &first),
    }))
}
