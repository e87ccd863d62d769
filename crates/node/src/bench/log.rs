//! `tallystick bench log`: how fast a node's log grows, and how fast it is verified.
//!
//! Entries take the way they take in a node: a transaction of the store, the ledger, and once a second tiles and checkpoint.
//! How many become durable with one transaction is an argument, since the disk decides how many transactions there can be.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use tally_audit::entry::Passage;
use tally_audit::files::Directory;
use tally_audit::policy::Policy;
use tally_audit::verify::{Order, Trust, verify_tree};
use tally_audit::{Body, Ledger, note};
use tally_crypto::seed::Seed;
use tally_crypto::sign::SigningKey;
use tally_crypto::transcript::Digest;

use super::disk::median_sync;
use crate::cli::Printed;
use crate::engine::now;
use crate::failure::{self, Failure};
use crate::log::{self, PublishedLog};
use crate::process::process_cpu_seconds;
use crate::store::Store;

/// Name of the log.
const NODE: &str = "bench";

/// Seconds between checkpoints, as a node's configuration has it.
const TICK: Duration = Duration::from_secs(1);

/// Arguments of `tallystick bench log`.
#[derive(Args)]
pub(crate) struct LogArguments {
    /// Entries to append.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    entries: u64,
    /// Entries that become durable together, in one transaction.
    #[arg(long, value_name = "G", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..))]
    group: u64,
    /// Put store and log here and leave them there; the directory must be empty or absent.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

impl LogArguments {
    /// Appends, publishes, starts again, verifies.
    pub(super) fn run(&self) -> Result<Printed, Failure> {
        let temporary = tempfile::tempdir().map_err(failure::unwritable)?;
        let folder = self.keep.as_deref().unwrap_or(temporary.path());
        std::fs::create_dir_all(folder).map_err(failure::unwritable)?;
        let sync_ms = median_sync(folder).map_err(failure::unwritable)?;
        let bench = Bench::new(folder);
        let appended = bench.append(self)?;
        let resume_s = bench.resume()?;
        let tree = bench.verify(false)?;
        let entries = bench.verify(true)?;
        let per_second = self.entries as f64 / appended.wall;
        let value = json!({
            "entries": self.entries,
            "group": self.group,
            "bytes_per_entry": appended.bytes / self.entries,
            "append_per_s": per_second,
            "append_cpu_s": appended.cpu,
            "publish_s": appended.publishing,
            "checkpoints": appended.checkpoints,
            "resume_s": resume_s,
            "verify_s": entries,
            "verify_tree_s": tree,
            "sync_ms": sync_ms,
            "vkey": bench.vkey(),
        });
        let text = format!(
            "{} entries of {} bytes, {} a transaction: {per_second:.0} a second with {} checkpoints; verified in {entries:.2} s \
             (without reading the entries {tree:.2} s); started again in {resume_s:.2} s; a sync of this disk takes {sync_ms:.2} ms",
            self.entries, value["bytes_per_entry"], self.group, appended.checkpoints,
        );
        Ok(Printed { value, text, holds: true })
    }
}

struct Bench {
    store: PathBuf,
    log: PathBuf,
    key: Seed,
}

#[derive(Default)]
struct Appended {
    bytes: u64,
    checkpoints: u64,
    wall: f64,
    cpu: f64,
    publishing: f64,
}

impl Bench {
    fn new(folder: &Path) -> Self {
        Self { store: folder.join("store.sqlite"), log: folder.join("log"), key: Seed::new([7; 32]) }
    }

    fn key(&self) -> SigningKey {
        SigningKey::from_seed(&self.key)
    }

    fn vkey(&self) -> String {
        note::vkey(NODE, &self.key().verify_key())
    }

    fn append(&self, arguments: &LogArguments) -> Result<Appended, Failure> {
        Store::create(&self.store)?;
        let store = Store::open(&self.store, self.key.derive("store", &[]))?;
        let (mut ledger, mut published) = (Ledger::new(NODE), PublishedLog::open(&self.log, NODE, self.key())?);
        let mut appended = Appended::default();
        let (began, cpu, mut tick) = (Instant::now(), process_cpu_seconds(), Instant::now());
        while ledger.size() < arguments.entries {
            store.begin()?;
            let mut batch = ledger.batch();
            for index in batch.first()..arguments.entries.min(batch.first() + arguments.group) {
                let session = format!("session-{}", index % 7);
                batch.append((index > 0).then_some(&session), now(), NODE, body(index)).map_err(failure::internal)?;
            }
            log::stage(&store, batch)?;
            ledger.settle(|| store.commit())?;
            let last = ledger.size() == arguments.entries;
            if last || tick.elapsed() >= TICK {
                let start = Instant::now();
                published.publish(&store, &ledger)?;
                tick = Instant::now();
                appended.publishing += start.elapsed().as_secs_f64();
                appended.checkpoints += 1;
            }
        }
        appended.wall = began.elapsed().as_secs_f64();
        appended.cpu = process_cpu_seconds() - cpu;
        appended.bytes = store.entries(0, arguments.entries.min(4096))?.iter().map(|entry| entry.len() as u64).sum();
        appended.bytes = appended.bytes * arguments.entries / arguments.entries.min(4096);
        Ok(appended)
    }

    /// Seconds until a node that starts again has its ledger and has compared its files with it.
    fn resume(&self) -> Result<f64, Failure> {
        let began = Instant::now();
        let store = Store::open(&self.store, self.key.derive("store", &[]))?;
        let ledger = log::recover(&store, NODE)?;
        PublishedLog::open(&self.log, NODE, self.key())?.publish(&store, &ledger)?;
        Ok(began.elapsed().as_secs_f64())
    }

    /// Seconds that a reader of the files takes, with or without the entries' schema and order; on one core.
    fn verify(&self, entries: bool) -> Result<f64, Failure> {
        let policy = format!("log {}\nquorum none\n", self.vkey());
        let policy = Policy::parse(policy.as_bytes()).map_err(failure::internal)?;
        let trust = Trust { registry: None, policy: Some(&policy) };
        let (began, mut order) = (Instant::now(), Order::default());
        verify_tree(&Directory::new(&self.log), trust, &mut |bytes, leaf| {
            if entries { order.next(bytes, leaf).map(drop) } else { Ok(()) }
        })
        .map_err(failure::check)?;
        Ok(began.elapsed().as_secs_f64())
    }
}

/// Entries as a node writes most: messages that came and went.
fn body(index: u64) -> Body {
    if index == 0 {
        return Body::Genesis {
            role: "bank".into(),
            log_vkey: String::new(),
            software: env!("CARGO_PKG_VERSION").into(),
        };
    }
    Body::Ingress(Passage {
        peer: "platform".into(),
        sequence: index,
        kind: "session".into(),
        form: None,
        digest: Digest::of_bytes(&index.to_be_bytes()),
        bytes: 1000 + index % 1000,
        receipt: Some(Digest::of_bytes(&index.to_le_bytes())),
    })
}
