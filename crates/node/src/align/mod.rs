//! `tallystick align`: one alignment between two parties, outside any joint session.
//!
//! The same machines, mutual TLS and signed contract as in a session; what differs is that the parties bring a CSV file
//! and take one home. `--trial` makes keys on the spot, so that two institutions can try it in five minutes.
//!
//! | file | what it does |
//! |---|---|
//! | `input` | reads and reports identifiers |
//! | `identity` | who signs, and whose certificates are trusted |
//! | `contract` | the document that both sign before anything is computed |
//! | `wire` | the conversation: greeting, contract, then the machines' messages |
//! | `platform`, `bank` | the two sides |
//! | `work` | what a run that was cut off finds again, sealed |
//! | `cache` | kept evaluations of 2HashDH, sealed and signed |
//! | `output` | tags to a file, what happened to the caller |

mod bank;
mod cache;
mod contract;
mod identity;
mod input;
mod output;
mod platform;
mod wire;
mod work;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tally_data::IdentifierKind;
use tally_protocol::alignment::Engine;

use crate::cli::{CsvArguments, Language, Printed};
use crate::failure::{self, Failure};

/// Find the enterprises that two parties share: tags for both, matches for the bank alone.
///
/// The platform writes a tag for each of its identifiers, the bank one for each of its own and whether the platform offers
/// it. The platform learns how many identifiers the bank brings, never which of them match.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(crate) struct AlignArguments {
    /// Which side this is.
    #[arg(long, value_enum)]
    role: Role,
    /// CSV file with a header, or Parquet.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    #[command(flatten)]
    csv: CsvArguments,
    /// Column of the identifier.
    #[arg(long, value_name = "COLUMN")]
    key: String,
    /// What identifiers are, at both sides: credit codes are checked and spelled alike, text is taken as it stands. Text, where
    /// nothing is said; then a file of credit codes is not taken.
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Wait here for the other side.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "connect", required_unless_present = "connect")]
    listen: Option<String>,
    /// Dial the other side.
    #[arg(long, value_name = "HOST:PORT")]
    connect: Option<String>,
    /// CSV file to write; it must not exist.
    #[arg(long, value_name = "FILE", required_unless_present = "cardinality")]
    output: Option<PathBuf>,
    /// How: by size, where nothing is said. The platform decides; a bank that names one refuses any other.
    #[arg(long, value_enum)]
    engine: Option<EngineName>,
    /// Only count the shared enterprises; tell the bank the number, or that it is below the floor.
    #[arg(long)]
    cardinality: bool,
    /// With --cardinality: counts below this are not told, and fewer identifiers are not compared. Both sides must agree.
    #[arg(long, default_value_t = 10, value_name = "N")]
    floor: u64,
    /// Platform: most identifiers that the bank may bring.
    #[arg(long, default_value_t = 1 << 25, value_name = "N")]
    cap: u64,
    /// Platform: show the exact number of rows instead of one rounded up.
    #[arg(long)]
    exact: bool,
    /// Go on over blank and malformed identifiers: leave them out, and say so.
    #[arg(long)]
    skip_bad: bool,
    /// Keys and certificate made on the spot; compare the fingerprints that both sides print.
    #[arg(long, conflicts_with = "node", required_unless_present = "node")]
    trial: bool,
    /// Trial: the fingerprint of the other side's certificate; anything else is refused.
    #[arg(long, value_name = "SHA256", requires = "trial")]
    peer: Option<tally_crypto::transcript::Digest>,
    /// Keys, certificate and registry of this node.
    #[arg(long, value_name = "DIR")]
    node: Option<PathBuf>,
    /// With --node: the other party's name in the registry.
    #[arg(long, value_name = "PARTY", requires = "node")]
    with: Option<String>,
    /// Keep what is finished here, sealed, so that the same command goes on after a kill; removed at the end.
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Platform, 2HashDH: keep evaluations here, sealed and signed, for the next run.
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Platform, with --cache: name of the key's epoch; a new name makes a new key.
    #[arg(long, default_value = "1", value_name = "NAME", requires = "cache")]
    epoch: String,
    /// File with the passphrase that opens the node's keys and seals --work and --cache.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Seconds without a word from the other side until this one gives up.
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    patience: u64,
}

const EXAMPLE: &str = "\
Two terminals, five minutes:
  tallystick align --role platform --input city.csv --key code --kind uscc --listen 0.0.0.0:7444 --output tags.csv --trial
  tallystick align --role bank --input loans.csv --key code --kind uscc --connect platform.example:7444 --output shared.csv --trial";

/// The two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Offers its consented enterprises.
    Platform,
    /// Learns which of its own are among them.
    Bank,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// Unified Social Credit Codes.
    Uscc,
    /// Any text.
    Text,
}

/// Engines by the names of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineName {
    /// Vector OLE: fast for large sets.
    #[value(alias = "vole-v2")]
    Vole,
    /// 2HashDH with proofs: small sets, exact caps.
    #[value(name = "2hashdh")]
    TwoHashDh,
    /// 2HashDH without proofs.
    #[value(name = "2hashdh-base")]
    TwoHashDhBase,
}

impl From<EngineName> for Engine {
    fn from(name: EngineName) -> Self {
        match name {
            EngineName::Vole => Self::Vole,
            EngineName::TwoHashDh => Self::Voprf,
            EngineName::TwoHashDhBase => Self::Oprf,
        }
    }
}

impl AlignArguments {
    /// Runs one side to its end.
    pub(crate) fn run(self, language: Language, json: bool) -> Result<Printed, Failure> {
        if self.output.as_ref().is_some_and(|path| path.exists()) {
            let path = self.output.as_deref().unwrap_or(std::path::Path::new("")).display();
            return Err(failure::unwritable(format!("{path} exists: name another file, or remove it")));
        }
        if self.cache.is_some() && (self.role == Role::Bank || self.engine == Some(EngineName::Vole)) {
            return Err(failure::usage("--cache keeps a platform's evaluations of 2HashDH: leave it out here"));
        }
        if let Some(output) = &self.output {
            crate::given_file::not_the_input(&self.input, &output::files(output))?;
        }
        let voice = output::Voice::new(language, json);
        let passphrase = identity::passphrase(&self)?;
        let work = self.work.as_ref().map(|folder| work::Work::open(folder, &passphrase)).transpose()?;
        let identity = identity::Identity::open(&self, passphrase, work.as_ref())?;
        let kind = self.kind.map(Into::into);
        let input = input::read(&self.input, &self.csv.form(), &self.key, kind, self.skip_bad)?;
        voice.say(&input.report.in_words(language));
        match self.role {
            Role::Platform => platform::run(&self, &identity, input, work, &voice),
            Role::Bank => bank::run(&self, &identity, input, work, &voice),
        }
    }

    /// What identifiers are at this side.
    fn spelling(&self) -> contract::Spelling {
        match self.kind {
            Some(Kind::Uscc) => contract::Spelling::Uscc,
            Some(Kind::Text) | None => contract::Spelling::Text,
        }
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(self.patience.max(1))
    }
}

impl From<Kind> for IdentifierKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Uscc => Self::Uscc,
            Kind::Text => Self::Text,
        }
    }
}
