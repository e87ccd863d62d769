//! The command line: noun, verb, and `--json` everywhere.

mod audit;
mod consortium;
mod csv_form;
mod dataset;
mod disclosure;
mod export;
mod list;
mod model;
mod monitor;
mod node;
mod operator;
mod order;
mod outcome;
mod session;
mod statistics;
mod subject;
mod token;
mod warning;
mod witness;
mod words;

pub(crate) use audit::audit;
pub(crate) use consortium::{issue, today};
pub(crate) use csv_form::CsvArguments;
pub(crate) use order::sign;
pub(crate) use session::{approve, score_in_words};

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::Value;

use crate::control::{self, Command};
use crate::failure::{Failure, FailureKind};

/// Federated credit computation for a city platform and its banks: raw data stay with their holders.
#[derive(Parser)]
#[command(name = "tallystick", version, after_help = EXIT_CODES)]
struct Arguments {
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
    /// Language of texts.
    #[arg(long, global = true, value_enum, default_value = "en")]
    lang: Language,
    #[command(subcommand)]
    verb: Verb,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done · 1 a check did not hold · 2 wrong command line · 65 a file is wrong · 69 node or peer out of reach ·
70 a mistake of ours · 73 cannot write · 75 try again later · 77 refused by policy, consent, key or signature · 78 wrong configuration";

/// Languages of texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Language {
    /// English.
    En,
    /// 中文.
    Zh,
}

impl From<Language> for tally_model::text::Language {
    fn from(language: Language) -> Self {
        match language {
            Language::En => Self::En,
            Language::Zh => Self::Zh,
        }
    }
}

#[derive(Subcommand)]
enum Verb {
    /// Run a platform and its banks on this machine, from consent to proof.
    Demo(crate::demo::DemoArguments),
    /// Make a node's directory: keys, configuration, empty store.
    Init(node::InitArguments),
    /// Start a node.
    Serve(node::ServeArguments),
    /// The consortium's certificate authority, for trials.
    #[command(subcommand)]
    Ca(consortium::CaVerb),
    /// Where a node stands: peers, memory, bytes, log.
    Status(NodeArgument),
    /// The people who approve sessions.
    #[command(subcommand)]
    Operator(operator::OperatorVerb),
    /// Data sets of a node.
    #[command(subcommand)]
    Dataset(dataset::DatasetVerb),
    /// The signed sharing list.
    #[command(subcommand)]
    List(list::ListVerb),
    /// Consents of enterprises.
    #[command(subcommand)]
    Consent(subject::ConsentVerb),
    /// An enterprise's own view, and its objections.
    #[command(subcommand)]
    Subject(subject::SubjectVerb),
    /// Deletion at the end of data's life.
    #[command(subcommand)]
    Erasure(subject::ErasureVerb),
    /// Joint-modelling sessions.
    #[command(subcommand)]
    Session(session::SessionVerb),
    /// Find the enterprises that two parties share, outside any session.
    Align(Box<crate::align::AlignArguments>),
    /// Released models: which one is in use, how they compare.
    #[command(subcommand)]
    Model(model::ModelVerb),
    /// Score applicants with a released model.
    #[command(subcommand)]
    Score(session::ScoreVerb),
    /// Tokens of the scoring service.
    #[command(subcommand)]
    Token(token::TokenVerb),
    /// Early warnings: rules and report at the platform, inbox at a bank.
    #[command(subcommand)]
    Warning(warning::WarningVerb),
    /// Outcomes of loans: recorded at a bank, told to the platform.
    #[command(subcommand)]
    Outcome(outcome::OutcomeVerb),
    /// Whether a model in use still is what it was.
    #[command(subcommand)]
    Monitor(monitor::MonitorVerb),
    /// Statistics over several banks.
    #[command(subcommand)]
    Statistics(statistics::StatisticsVerb),
    /// Measure what operations cost on this machine.
    #[command(subcommand)]
    Bench(crate::bench::BenchVerb),
    /// Verify logs, from copies and public keys alone.
    #[command(subcommand)]
    Audit(audit::AuditVerb),
    /// A public witness of logs, which needs no node.
    #[command(subcommand)]
    Witness(witness::WitnessVerb),
}

/// The node that a verb speaks to.
#[derive(clap::Args)]
struct NodeArgument {
    /// The node's directory.
    #[arg(long, value_name = "DIR")]
    node: PathBuf,
}

impl NodeArgument {
    fn tell(&self, command: &Command) -> Result<Value, Failure> {
        control::tell(&self.node, command)
    }
}

/// What a verb prints.
pub(crate) struct Printed {
    /// For machines.
    pub(crate) value: Value,
    /// For people.
    pub(crate) text: String,
    /// False if a check that the verb makes did not hold.
    pub(crate) holds: bool,
}

/// Runs the command line; the exit code says how it went.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (json, language) = (arguments.json, arguments.lang);
    let outcome = match arguments.verb {
        Verb::Demo(demo) => return finish_demo(&crate::demo::run(&demo, language, json), json),
        Verb::Init(init) => init.run(),
        Verb::Serve(serve) => serve.run(),
        Verb::Ca(verb) => verb.run(),
        Verb::Status(node) => node.tell(&Command::Status).map(words::plain),
        Verb::Operator(verb) => verb.run(),
        Verb::Dataset(verb) => verb.run(language),
        Verb::List(verb) => verb.run(language),
        Verb::Consent(verb) => verb.run(),
        Verb::Subject(verb) => verb.run(language),
        Verb::Erasure(verb) => verb.run(),
        Verb::Session(verb) => verb.run(language),
        Verb::Bench(verb) => verb.run(),
        Verb::Outcome(verb) => verb.run(),
        Verb::Monitor(verb) => verb.run(language),
        Verb::Statistics(verb) => verb.run(language),
        Verb::Align(arguments) => arguments.run(language, json),
        Verb::Model(verb) => verb.run(language),
        Verb::Score(verb) => verb.run(language),
        Verb::Token(verb) => verb.run(),
        Verb::Warning(verb) => verb.run(language),
        Verb::Audit(verb) => verb.run(language),
        Verb::Witness(verb) => verb.run(),
    };
    match outcome {
        Ok(printed) => {
            print(&if json { printed.value.to_string() } else { printed.text });
            if printed.holds { ExitCode::SUCCESS } else { ExitCode::from(FailureKind::Check.code()) }
        }
        Err(failure) => complain(&failure, json),
    }
}

fn finish_demo(outcome: &Result<bool, Failure>, json: bool) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FailureKind::Check.code()),
        Err(failure) => complain(failure, json),
    }
}

fn complain(failure: &Failure, json: bool) -> ExitCode {
    if json {
        print(&serde_json::json!({ "error": failure }).to_string());
    }
    eprintln!("tallystick: {failure}");
    ExitCode::from(failure.kind.code())
}

/// Prints a line on standard output; a reader that has gone is no reason to fail.
pub(crate) fn print(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{text}");
}
