//! `tallystick audit fetch` and `token`: copies of a log over HTTP, for who was given a token.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tally_audit::files::{Directory, Folder, Group, TILE, Tile, consistency_proof, replace};
use tally_audit::note::{Checkpoint, Note};
use tally_crypto::merkle::verify_consistency;

use crate::cli::Printed;
use crate::cli::node::read_text;
use crate::config::{Config, check_name};
use crate::failure::{self, Failure};
use crate::log::tokens;

/// Files that are made durable together.
const GROUP: usize = 256;

/// Longest answer: a full bundle of entries of the longest kind.
const LONGEST: u64 = TILE * (2 + 65_535);

const CHECKPOINT: &str = "checkpoint";

#[derive(Args)]
pub(in crate::cli) struct FetchArguments {
    /// Where the log is served, such as http://127.0.0.1:7480.
    url: String,
    /// Where the copy goes; an earlier copy of the same log is gone on with.
    directory: PathBuf,
    /// File with the token that the log's owner has given.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

#[derive(Args)]
pub(in crate::cli) struct TokenArguments {
    /// The auditor's name, as it stands in the log when it reads: lowercase letters, digits, hyphens.
    name: String,
    /// The node's directory.
    #[arg(long, value_name = "DIR")]
    node: PathBuf,
}

impl TokenArguments {
    pub(super) fn run(self) -> Result<Printed, Failure> {
        check_name(&self.name).map_err(failure::usage)?;
        let directory = crate::directory::Directory::new(&self.node);
        let config = Config::read(&directory.config())?;
        let missing = || failure::misconfigured("node.toml names no log.http_tokens: see deploy/platform.toml");
        let path = directory.resolve(config.log.http_tokens.as_deref().ok_or_else(missing)?);
        let token = tokens::issue(&path, &self.name)?;
        let text = format!("{token}\ngive it to {} in confidence: it is shown this once", self.name);
        Ok(Printed { value: json!({ "name": self.name, "token": token }), text, holds: true })
    }
}

impl FetchArguments {
    pub(super) fn run(self) -> Result<Printed, Failure> {
        let token = self.token_file.as_deref().map(read_text).transpose()?;
        let source = Source {
            agent: crate::http::agent(Duration::from_secs(60)),
            base: self.url.trim_end_matches('/').into(),
            authorization: token.map(|token| format!("Bearer {}", token.trim())),
        };
        let absent = || failure::data(format!("{}: no log is served there", self.url));
        let signed = source.get(Path::new(CHECKPOINT))?.ok_or_else(absent)?;
        let new = checkpoint(&signed).map_err(|error| failure::data(format!("{}: {error}", self.url)))?;
        let folder = Directory::new(&self.directory);
        let before = self.before(&folder, &new)?;
        let fetched = self.tiles(&source, &folder, new.size)?;
        self.check(&folder, before.as_ref(), &new, &signed)?;
        replace(&folder, Path::new(CHECKPOINT), &signed).map_err(|error| self.cannot(&error))?;
        let text = format!(
            "{}: {} entries of {}, {fetched} files fetched; next: `tallystick audit verify {}` with whom you trust",
            self.directory.display(),
            new.size,
            new.origin,
            self.directory.display()
        );
        let value = json!({ "log": new.origin, "entries": new.size, "root": new.root, "files": fetched });
        Ok(Printed { value, text, holds: true })
    }

    fn cannot(&self, error: &dyn std::fmt::Display) -> Failure {
        failure::unwritable(format!("{}: {error}", self.directory.display()))
    }

    /// The checkpoint of an earlier copy.
    fn before(&self, folder: &Directory, new: &Checkpoint) -> Result<Option<Checkpoint>, Failure> {
        let Ok(bytes) = folder.read(Path::new(CHECKPOINT)) else { return Ok(None) };
        let named = |error: String| failure::data(format!("{}: {error}", self.directory.join(CHECKPOINT).display()));
        let old = checkpoint(&bytes).map_err(named)?;
        if old.origin != new.origin {
            return Err(named(format!("a copy of the log of {}, not of {}", old.origin, new.origin)));
        }
        Ok(Some(old))
    }

    /// Fetches what the copy lacks; a partial tile that is gone has become a full one.
    fn tiles(&self, source: &Source, folder: &Directory, size: u64) -> Result<usize, Failure> {
        let (mut fetched, mut group) = (0, Group::new(folder));
        for tile in Tile::all(size) {
            let full = Tile { width: TILE, ..tile };
            if [tile, full].iter().any(|tile| folder.read(&tile.path()).is_ok_and(|bytes| !bytes.is_empty())) {
                continue;
            }
            let (path, bytes) = match source.get(&tile.path())? {
                Some(bytes) => (tile.path(), Some(bytes)),
                None => (full.path(), source.get(&full.path())?),
            };
            let bytes = bytes.ok_or_else(|| failure::data(format!("{}: {} is missing", self.url, path.display())))?;
            group.put(&path, &bytes).map_err(|error| self.cannot(&error))?;
            if group.len() >= GROUP {
                group.reveal().map_err(|error| self.cannot(&error))?;
            }
            if path == full.path() {
                folder.remove(&tile.partials()).map_err(|error| self.cannot(&error))?;
            }
            fetched += 1;
        }
        group.reveal().map_err(|error| self.cannot(&error))?;
        Ok(fetched)
    }

    /// The log must go on from the earlier copy; else both checkpoints are kept, since together they convict it.
    fn check(
        &self,
        folder: &Directory,
        old: Option<&Checkpoint>,
        new: &Checkpoint,
        signed: &[u8],
    ) -> Result<(), Failure> {
        let Some(old) = old else { return Ok(()) };
        let proof = consistency_proof(folder, old.size.min(new.size), new.size).unwrap_or_default();
        if old.size <= new.size && verify_consistency((old.size, &old.root), (new.size, &new.root), &proof) {
            return Ok(());
        }
        let aside = self.directory.with_added_extension("other-checkpoint");
        std::fs::write(&aside, signed).map_err(|error| failure::unwritable(format!("{}: {error}", aside.display())))?;
        Err(failure::check(format!(
            "the log of {} does not go on from the copy in {}: keep both checkpoints, here and in {}",
            new.origin,
            self.directory.display(),
            aside.display()
        )))
    }
}

fn checkpoint(bytes: &[u8]) -> Result<Checkpoint, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let note = Note::parse(text).map_err(|error| error.to_string())?;
    Checkpoint::parse(note.text()).map_err(|error| error.to_string())
}

/// A log that is served.
struct Source {
    agent: ureq::Agent,
    base: String,
    authorization: Option<String>,
}

impl Source {
    /// A file of the log; `None` if there is none.
    fn get(&self, path: &Path) -> Result<Option<Vec<u8>>, Failure> {
        let url = format!("{}/{}", self.base, path.display());
        let away = |error: ureq::Error| failure::unavailable(format!("{url}: {error}"));
        let mut request = self.agent.get(&url);
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let mut answer = request.call().map_err(away)?;
        match answer.status().as_u16() {
            200 => answer.body_mut().with_config().limit(LONGEST).read_to_vec().map(Some).map_err(away),
            404 => Ok(None),
            401 | 403 => Err(failure::refused(format!("{url}: the log's owner does not let you in: --token-file"))),
            status => Err(failure::unavailable(format!("{url}: status {status}"))),
        }
    }
}
