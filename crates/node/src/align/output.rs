//! Tags to a file, a receipt beside it, and what happened to the caller.

use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};
use tally_crypto::sign::{Envelope, SigningKey};
use tally_crypto::transcript::Digest;
use tally_protocol::alignment::Identifiers;

use super::contract::AlignContract;
use super::input::InputReport;
use crate::cli::{Language, Printed};
use crate::failure::{self, Failure};
use crate::process::{peak_rss_mib, process_cpu_seconds};

/// Media type of a receipt's payload.
const RECEIPT_TYPE: &str = "application/vnd.tallystick.alignment-receipt+json";

/// Says what goes on, on standard error; silent where the caller is a program.
pub(super) struct Voice {
    language: Language,
    silent: bool,
    bar: indicatif::ProgressBar,
    began: Instant,
}

impl Voice {
    /// A voice for people, or none.
    pub(super) fn new(language: Language, silent: bool) -> Self {
        let bar = if silent { indicatif::ProgressBar::hidden() } else { indicatif::ProgressBar::new(0) };
        if let Ok(style) = indicatif::ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}") {
            bar.set_style(style);
        }
        Self { language, silent, bar, began: Instant::now() }
    }

    /// One line.
    pub(super) fn say(&self, line: &str) {
        if !self.silent {
            self.bar.suspend(|| eprintln!("{line}"));
        }
    }

    /// How far it is.
    pub(super) fn progress(&self, done: usize, of: usize) {
        self.bar.set_length(of as u64);
        self.bar.set_position(done as u64);
    }
}

/// Writes identifiers and tags; `shared` is the bank's column. The file appears whole or not at all.
pub(super) fn write_tags(
    path: &Path,
    key: &str,
    identifiers: &Identifiers,
    tags: &[[u8; 16]],
    shared: Option<&[bool]>,
) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| failure::unwritable(format!("{}: {error}", path.display()));
    let partial = beside(path, "partial");
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial);
    let mut out = BufWriter::with_capacity(1 << 18, file.map_err(cannot)?);
    let header = if shared.is_some() { "tag,shared" } else { "tag" };
    let write = |out: &mut BufWriter<std::fs::File>| -> std::io::Result<()> {
        write_field(out, key.as_bytes())?;
        writeln!(out, ",{header}")?;
        let mut text = [0; 32];
        for (row, tag) in tags.iter().enumerate() {
            write_field(out, identifiers.get(row))?;
            // Panic safety: 32 digits fit 16 bytes exactly.
            hex::encode_to_slice(tag, &mut text).expect("the buffer has twice the length");
            out.write_all(b",")?;
            out.write_all(&text)?;
            if let Some(shared) = shared {
                out.write_all(if shared[row] { b",1" } else { b",0" })?;
            }
            out.write_all(b"\n")?;
        }
        out.flush()
    };
    write(&mut out).map_err(cannot)?;
    std::fs::rename(&partial, path).map_err(cannot)
}

/// Writes a CSV field, quoted where it must be.
fn write_field(out: &mut impl std::io::Write, field: &[u8]) -> std::io::Result<()> {
    if !field.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r')) {
        return out.write_all(field);
    }
    out.write_all(b"\"")?;
    for byte in field {
        out.write_all(if *byte == b'"' { b"\"\"" } else { std::slice::from_ref(byte) })?;
    }
    out.write_all(b"\"")
}

/// What is written for an output.
pub(super) fn files(output: &Path) -> [PathBuf; 3] {
    [output.to_owned(), beside(output, "partial"), beside(output, "receipt.json")]
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(extension);
    path.with_file_name(name)
}

/// What one side knows at the end.
pub(super) struct Outcome<'a> {
    /// The contract that both signed.
    pub(super) contract: &'a AlignContract,
    /// Its envelope.
    pub(super) envelope: &'a Envelope,
    /// Salted commitment to the platform's identifiers, as it was announced.
    pub(super) platform_set: Option<Digest>,
    /// Digest of the whole conversation, the same at both sides.
    pub(super) seen: Digest,
    /// What was found in the input.
    pub(super) report: &'a InputReport,
    /// Bytes both ways.
    pub(super) bytes: u64,
    /// For the bank: shared enterprises, or nothing below the floor.
    pub(super) shared: Option<Option<u64>>,
}

impl Outcome<'_> {
    /// Signs and writes the receipt, and says how it went.
    pub(super) fn finish(&self, output: Option<&Path>, key: &SigningKey, voice: &Voice) -> Result<Printed, Failure> {
        let receipt = output.map(|path| self.write_receipt(path, key)).transpose()?;
        voice.bar.finish_and_clear();
        let mut value = json!({
            "contract": self.contract,
            "input": self.report,
            "bytes": self.bytes,
            "seconds": voice.began.elapsed().as_secs_f64(),
            "cpu_s": process_cpu_seconds(),
            "peak_rss_mib": peak_rss_mib(),
            "conversation": self.seen,
        });
        let zh = voice.language == Language::Zh;
        let mut text = vec![self.contract.in_words()];
        match self.shared {
            Some(Some(shared)) => {
                value["shared"] = json!(shared);
                text.push(format!("{shared} {}", if zh { "家共有企业" } else { "shared enterprises" }));
            }
            Some(None) => {
                value["shared"] = Value::Null;
                let floor = self.contract.floor;
                text.push(if zh {
                    format!("少于 {floor} 家")
                } else {
                    format!("fewer than {floor} shared enterprises")
                });
            }
            None => {}
        }
        if let (Some(path), Some(receipt)) = (output, receipt) {
            value["output"] = json!(path);
            value["receipt"] = json!(receipt);
            text.push(format!("{} · {}", path.display(), receipt.display()));
        }
        Ok(Printed { value, text: text.join("\n"), holds: true })
    }

    fn write_receipt(&self, output: &Path, key: &SigningKey) -> Result<PathBuf, Failure> {
        let path = beside(output, "receipt.json");
        let payload = json!({
            "contract": self.envelope,
            "platform_set": self.platform_set,
            "bank_set": self.contract.bank_set,
            "conversation": self.seen,
        });
        let mut envelope = Envelope::new(RECEIPT_TYPE, &serde_json::to_vec(&payload).map_err(failure::internal)?);
        envelope.sign(key).map_err(failure::internal)?;
        let text = serde_json::to_string_pretty(&envelope).map_err(failure::internal)?;
        std::fs::write(&path, text).map_err(|error| failure::unwritable(format!("{}: {error}", path.display())))?;
        Ok(path)
    }
}
