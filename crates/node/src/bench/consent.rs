//! `tallystick bench consent`: a register of a whole city: import with every signature checked, look-up, decision, start.
//!
//! Runs the engine of a platform node in this process, on a directory that `init` and a trial CA have made, and gives it the
//! commands that an operator would. Making and signing the consents is not counted.

use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use clap::Args;
use rayon::prelude::*;
use serde_json::json;
use tally_city::ca::Authority;
use tally_city::{City, Options, signed_consent};
use tally_policy::{Clearance, Form, Purpose, Question};

use crate::cli::Printed;
use crate::config::{Config, Role};
use crate::control::Command;
use crate::directory::Directory;
use crate::engine::Engine;
use crate::failure::{self, Failure};
use crate::keys::NodeKeys;
use crate::node_directory;

/// Arguments of `tallystick bench consent`.
#[derive(Args)]
pub(crate) struct ConsentArguments {
    /// Consents in the register, of as many enterprises.
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    count: usize,
}

/// Decisions and look-ups that are timed.
const ASKED: usize = 20_000;

impl ConsentArguments {
    /// Makes the city's consents, imports them, asks.
    pub(super) fn run(&self) -> Result<Printed, Failure> {
        let temporary = tempfile::tempdir().map_err(failure::unwritable)?;
        let root = temporary.path();
        let city = City::generate(&Options { seed: 1, enterprises: 30, banks: 1, consent_rate: 1.0 });
        city.write(&root.join("inputs")).map_err(failure::unwritable)?;
        let file = root.join("consents.jsonl");
        sign(&city, &file, self.count).map_err(failure::unwritable)?;
        let directory = platform(root)?;
        let mut engine = open(&directory)?;
        engine.ask(Command::ListImport { path: root.join("inputs/list.json") })?;

        let begun = Instant::now();
        let answer = engine.ask(Command::ConsentImport { path: file })?;
        let import_s = begun.elapsed().as_secs_f64();
        drop(engine);
        let begun = Instant::now();
        let engine = open(&directory)?;
        let open_s = begun.elapsed().as_secs_f64();
        let (lookup_us, decision_us) = ask(&engine, self.count)?;
        let value = json!({
            "count": self.count,
            "imported": answer["new"],
            "import_s": import_s,
            "import_per_s": self.count as f64 / import_s,
            "open_s": open_s,
            "lookup_us": lookup_us,
            "decision_us": decision_us,
            "peak_rss_mib": crate::process::peak_rss_mib(),
        });
        let text = format!(
            "{} consents imported in {import_s:.1} s, both signatures of each checked; the node starts again in \
             {open_s:.1} s\nlook-up {lookup_us:.2} us, decision {decision_us:.2} us",
            self.count
        );
        Ok(Printed { value, text, holds: answer["new"] == self.count })
    }
}

/// The subject of a consent.
fn subject(number: usize) -> String {
    format!("{number:018}")
}

/// A consent of each enterprise, signed by it and by the registrar, one a line.
fn sign(city: &City, file: &Path, count: usize) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(std::fs::File::create(file)?);
    for first in (0..count).step_by(10_000) {
        let last = count.min(first + 10_000);
        let line = |number: usize| signed_consent(city, &subject(number), "bank-1", |_| {});
        for line in (first..last).into_par_iter().map(line).collect::<std::io::Result<Vec<_>>>()? {
            writeln!(out, "{line}")?;
        }
    }
    out.flush()
}

/// The directory of a platform that a consortium has enrolled.
fn platform(root: &Path) -> Result<Directory, Failure> {
    let passphrase = b"bench";
    let named = |file: &str| -> Result<tally_audit::NamedKey, Failure> {
        let text = std::fs::read_to_string(root.join("inputs").join(file)).map_err(failure::internal)?;
        serde_json::from_str(&text).map_err(failure::internal)
    };
    let consortium = root.join("consortium");
    let mut authority = Authority::init(&consortium, passphrase, crate::cli::today()).map_err(failure::internal)?;
    authority.appoint_registrar(named("registrar.json")?).map_err(failure::internal)?;
    authority.appoint_list_authority(named("authority.json")?).map_err(failure::internal)?;
    let directory = Directory::new(root.join("platform"));
    let link = ("listen = \"127.0.0.1:0\"", Some(authority.key()));
    node_directory::create(&directory, "platform", Role::Platform, link, passphrase)?;
    node_directory::certify(&mut authority, &directory)?;
    for file in ["registry.json", "ca.crt"] {
        std::fs::copy(consortium.join(file), directory.path().join(file)).map_err(failure::unwritable)?;
    }
    Ok(directory)
}

fn open(directory: &Directory) -> Result<Engine, Failure> {
    let keys = NodeKeys::read(&directory.node_keys(), b"bench")?;
    Engine::open(directory.clone(), Config::read(&directory.config())?, keys)
}

/// Microseconds of a look-up and of a decision, over subjects all over the register.
fn ask(engine: &Engine, count: usize) -> Result<(f64, f64), Failure> {
    let list = engine.sharing_list()?;
    let fields: Vec<_> = list.fields().iter().map(|field| field.name.as_str()).collect();
    let subjects: Vec<_> = (0..ASKED).map(|number| subject(number.wrapping_mul(0x9e37_79b9) % count)).collect();
    let time = crate::engine::now();
    let begun = Instant::now();
    let found = subjects.iter().filter(|subject| engine.register().holds(subject, "bank-1")).count();
    let lookup = begun.elapsed();
    let question = Question {
        grantee: "bank-1",
        provider: "platform",
        purpose: Purpose::LoanUnderwriting,
        fields: &fields,
        form: Form::Binned,
        vector: fields.len(),
        as_of: "2026-06-30".parse().ok(),
        application: None,
        consent: None,
        time,
    };
    let clearance = Clearance::new(list, engine.register());
    let begun = Instant::now();
    let allowed = subjects.iter().filter(|subject| clearance.subject(subject, &question).is_ok()).count();
    let decision = begun.elapsed();
    if (found, allowed) != (ASKED, ASKED) {
        return Err(failure::internal(format!("{found} found and {allowed} allowed of {ASKED}")));
    }
    let each = |elapsed: std::time::Duration| elapsed.as_secs_f64() * 1e6 / ASKED as f64;
    Ok((each(lookup), each(decision)))
}
