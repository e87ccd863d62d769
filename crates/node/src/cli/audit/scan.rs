//! `tallystick audit scan`: nothing in these logs that says whom they are about.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use tally_audit::files::{Kind, Tile, split_bundle};

use crate::cli::Printed;
use crate::cli::node::read_text;
use crate::failure::{self, Failure};
use crate::scan::{Hit, Scanner};

/// Hits that are printed; the rest is counted.
const SHOWN: usize = 1000;

#[derive(Args)]
pub(in crate::cli) struct ScanArguments {
    /// Logs, copies of them, or any folder: every byte of every file.
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// What must not be there, one a line: identifiers, names, raw values.
    #[arg(long, value_name = "FILE")]
    terms: Option<PathBuf>,
}

/// What was looked at.
#[derive(Default)]
struct Seen {
    files: u64,
    bytes: u64,
    entries: u64,
    hits: Vec<(PathBuf, Hit)>,
}

impl ScanArguments {
    pub(super) fn run(self) -> Result<Printed, Failure> {
        let terms = self.terms.as_deref().map(read_text).transpose()?.unwrap_or_default();
        let (scanner, mut seen) = (Scanner::new(&terms), Seen::default());
        for folder in &self.folders {
            seen.folder(&scanner, folder)?;
        }
        let holds = seen.hits.is_empty();
        let shown = seen.hits.iter().take(SHOWN);
        let mut lines: Vec<_> =
            shown.clone().map(|(file, hit)| format!("{}, byte {}: {}", file.display(), hit.place, hit.what)).collect();
        let Seen { files, bytes, entries, hits } = &seen;
        lines.push(format!("{} hits in {files} files, {bytes} bytes, {entries} entries", hits.len()));
        let shown: Vec<_> =
            shown.map(|(file, hit)| json!({ "file": file, "byte": hit.place, "what": hit.what })).collect();
        let value = json!({ "clean": holds, "files": files, "bytes": bytes, "entries": entries, "count": hits.len(), "hits": shown });
        Ok(Printed { value, text: lines.join("\n"), holds })
    }
}

impl Seen {
    fn folder(&mut self, scanner: &Scanner, folder: &Path) -> Result<(), Failure> {
        let wrong = |error: std::io::Error| failure::data(format!("{}: {error}", folder.display()));
        for item in std::fs::read_dir(folder).map_err(wrong)? {
            let item = item.map_err(wrong)?;
            let kind = item.file_type().map_err(wrong)?;
            if kind.is_dir() {
                self.folder(scanner, &item.path())?;
            } else if kind.is_file() {
                self.file(scanner, &item.path())?;
            }
        }
        Ok(())
    }

    fn file(&mut self, scanner: &Scanner, path: &Path) -> Result<(), Failure> {
        let bytes = std::fs::read(path).map_err(|error| failure::data(format!("{}: {error}", path.display())))?;
        self.files += 1;
        self.bytes += bytes.len() as u64;
        let mut hits = scanner.bytes(&bytes);
        if is_bundle(path) {
            let mut place = 0;
            for entry in split_bundle(&bytes).unwrap_or_default() {
                hits.extend(scanner.entry(entry, place + 2));
                place += 2 + entry.len();
                self.entries += 1;
            }
        }
        self.hits.extend(hits.into_iter().map(|hit| (path.to_path_buf(), hit)));
        Ok(())
    }
}

/// Whether a file is a bundle of entries, by its place below a log.
fn is_bundle(path: &Path) -> bool {
    let parts: Vec<_> = path.iter().collect();
    let tile = parts.iter().rposition(|part| *part == "tile").map(|place| parts[place..].iter().collect::<PathBuf>());
    tile.and_then(|tile| Tile::parse(&tile)).is_some_and(|tile| tile.kind == Kind::Entries)
}
