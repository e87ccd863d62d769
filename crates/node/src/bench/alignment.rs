//! `tallystick bench alignment`: two `align` processes, each from identifiers in a file to tags in a file.

use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};

use super::floor;
use tally_protocol::alignment::Engine;

use crate::align::EngineName;
use crate::cli::Printed;
use crate::failure::{self, Failure};

/// Arguments of `tallystick bench alignment`.
#[derive(Args)]
pub(crate) struct AlignmentArguments {
    /// Identifiers of the platform, 16 characters each.
    #[arg(long, value_name = "N")]
    rows_platform: u64,
    /// Identifiers of the bank; every second one is the platform's too, as far as those go.
    #[arg(long, value_name = "M")]
    rows_bank: u64,
    /// The engine.
    #[arg(long, value_enum)]
    engine: EngineName,
    /// 2HashDH: the platform has its evaluations from an earlier run; only the second run is measured.
    #[arg(long)]
    cached: bool,
    /// Put the files here and leave them there.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

impl AlignmentArguments {
    /// Makes the files, runs both sides, checks the result against what is known of the files.
    pub(super) fn run(&self) -> Result<Printed, Failure> {
        let temporary = tempfile::tempdir().map_err(failure::unwritable)?;
        let folder = self.keep.as_deref().unwrap_or(temporary.path());
        std::fs::create_dir_all(folder).map_err(failure::unwritable)?;
        let files = Files { folder: folder.into() };
        self.write_inputs(&files).map_err(failure::unwritable)?;
        if self.cached {
            self.align(&files)?;
        }
        let began = Instant::now();
        let (platform, bank) = self.align(&files)?;
        let wall = began.elapsed().as_secs_f64();
        let correct = self.check(&files).map_err(failure::data)?;
        let floor = match self.engine {
            EngineName::Vole => floor::vole(self.rows_platform, self.rows_bank),
            _ if self.cached => floor::two_hash_dh(0, self.rows_bank),
            _ => floor::two_hash_dh(self.rows_platform, self.rows_bank),
        };
        let figures = |key: &str| json!({ "platform": platform[key], "bank": bank[key] });
        let value = json!({
            "rows_platform": self.rows_platform,
            "rows_bank": self.rows_bank,
            "engine": bank["contract"]["engine"],
            "cached": self.cached,
            "cpu_s": figures("cpu_s"),
            "wall_s": wall,
            "bytes": bank["bytes"],
            "peak_rss_mib": figures("peak_rss_mib"),
            "floor_cpu_s": floor,
            "shared": bank["shared"],
            "correct": correct,
        });
        let cpu = platform["cpu_s"].as_f64().unwrap_or_default() + bank["cpu_s"].as_f64().unwrap_or_default();
        let bytes = bank["bytes"].as_f64().unwrap_or_default();
        let text = format!(
            "{} x {} by {}: {cpu:.2} s of CPU (primitives alone {floor:.2} s), {wall:.2} s, {:.1} bytes an identifier, \
             peak {} and {} MiB, result {}",
            self.rows_platform,
            self.rows_bank,
            value["engine"].as_str().unwrap_or_default(),
            bytes / self.rows_platform.max(self.rows_bank).max(1) as f64,
            platform["peak_rss_mib"],
            bank["peak_rss_mib"],
            if correct { "right" } else { "WRONG" },
        );
        Ok(Printed { value, text, holds: correct })
    }

    fn write_inputs(&self, files: &Files) -> std::io::Result<()> {
        let mut platform = BufWriter::new(std::fs::File::create(files.input("platform"))?);
        writeln!(platform, "id")?;
        for number in 0..self.rows_platform {
            writeln!(platform, "{}", identifier(number))?;
        }
        let mut bank = BufWriter::new(std::fs::File::create(files.input("bank"))?);
        writeln!(bank, "id")?;
        for row in 0..self.rows_bank {
            writeln!(bank, "{}", identifier(self.shared(row).unwrap_or(self.rows_platform + row)))?;
        }
        std::fs::write(files.folder.join("secret"), "benchmark passphrase\n")?;
        platform.flush()?;
        bank.flush()
    }

    /// The platform's row of a bank's row, if the platform has it.
    fn shared(&self, row: u64) -> Option<u64> {
        (row.is_multiple_of(2) && row / 2 < self.rows_platform).then_some(row / 2)
    }

    fn align(&self, files: &Files) -> Result<(Value, Value), Failure> {
        let address = free_address().map_err(failure::unavailable)?;
        for role in ["platform", "bank"] {
            let _ = std::fs::remove_file(files.output(role));
        }
        let mut platform = files.side("platform", &["--listen", &address]);
        platform.args([
            "--engine",
            &Engine::from(self.engine).to_string(),
            "--exact",
            "--cap",
            &self.rows_bank.saturating_mul(2).to_string(),
        ]);
        if self.cached {
            platform.args(["--epoch", "bench"]);
            platform.arg("--cache").arg(files.folder.join("cache"));
            platform.arg("--secret-file").arg(files.folder.join("secret"));
        }
        let cannot = |error: std::io::Error| failure::internal(format!("cannot start a process: {error}"));
        let platform = platform.spawn().map_err(cannot)?;
        let bank = files.side("bank", &["--connect", &address]).spawn().map_err(cannot)?;
        Ok((finish("platform", platform)?, finish("bank", bank)?))
    }

    /// Compares both outputs with the join that the way the files were made implies, row by row.
    fn check(&self, files: &Files) -> std::io::Result<bool> {
        let mut platform = BufReader::new(std::fs::File::open(files.output("platform"))?).lines().skip(1);
        let bank = BufReader::new(std::fs::File::open(files.output("bank"))?).lines().skip(1);
        let mut rows = 0;
        for (row, line) in (0..).zip(bank) {
            let line = line?;
            rows += 1;
            let expected = match self.shared(row) {
                Some(_) => format!("{},1", platform.next().transpose()?.unwrap_or_default()),
                None => {
                    let own = identifier(self.rows_platform + row);
                    let tag = line.get(17..49).unwrap_or_default();
                    format!("{own},{tag},0")
                }
            };
            if line != expected {
                return Ok(false);
            }
        }
        Ok(rows == self.rows_bank)
    }
}

/// Where things lie.
struct Files {
    folder: PathBuf,
}

impl Files {
    fn input(&self, role: &str) -> PathBuf {
        self.folder.join(format!("{role}.csv"))
    }

    fn output(&self, role: &str) -> PathBuf {
        self.folder.join(format!("{role}-tags.csv"))
    }

    fn side(&self, role: &str, link: &[&str]) -> Command {
        let program = std::env::current_exe().unwrap_or_else(|_| Path::new("tallystick").into());
        let mut command = Command::new(program);
        command.args(["align", "--json", "--trial", "--key", "id", "--role", role]).args(link);
        command.arg("--input").arg(self.input(role)).arg("--output").arg(self.output(role));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

fn finish(role: &str, child: Child) -> Result<Value, Failure> {
    let output = child.wait_with_output().map_err(failure::internal)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failure::internal(format!("{role}: {}", said.trim())));
    }
    serde_json::from_slice(&output.stdout).map_err(failure::internal)
}

fn free_address() -> std::io::Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// Sixteen hexadecimal digits, different for every number.
fn identifier(number: u64) -> String {
    // An odd factor permutes the 64-bit words.
    format!("{:016x}", number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}
