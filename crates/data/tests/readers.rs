//! Readers against files that are broken in every way that mutation finds: they return, soon, and what they return is bounded
//! by the file.
//!
//! Runs some seconds with `cargo test`; `TALLYSTICK_FUZZ_SECONDS=3600 cargo test -p tally-data --test readers -- --nocapture`
//! goes on for an hour. The order of mutations follows from `TALLYSTICK_FUZZ_SEED` (1 if it is not set), so that what was found
//! is found again; a file that breaks a rule is left under the name that the failure says.

#![cfg(test)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tally_data::{CsvForm, Dictionary, Encoding, IdentifierKind, Misfits, ReadOptions, Table, load, read_outcomes};

/// What a single file may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// xorshift64*, so that a run can be had again.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

fn seeds() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/seeds");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), std::fs::read(path).unwrap())).collect()
}

/// Changes a few bytes: single ones, runs, pieces of another seed, the end cut off; in CSV mostly what has a meaning there.
fn mutated(seed: &[u8], other: &[u8], draws: &mut Draws) -> Vec<u8> {
    const TELLING: &[u8] = b"\",;\t\n\r\0\xff\xef0-.e%";
    let mut bytes = seed.to_vec();
    for _ in 0..=draws.below(4) {
        let at = draws.below(bytes.len());
        match draws.below(7) {
            0 if !bytes.is_empty() => bytes[at] = draws.next() as u8,
            1 if !bytes.is_empty() => bytes[at] ^= 1 << draws.below(8),
            2 => bytes.insert(at, TELLING[draws.below(TELLING.len())]),
            3 => {
                let end = (at + draws.below(16)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let from = draws.below(other.len());
                let piece = other[from..(from + draws.below(64)).min(other.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            5 if draws.below(4) == 0 => bytes.truncate(at),
            _ => {
                let end = (at + 4).min(bytes.len());
                bytes[at..end].fill([0, 0xff, 0x7f, 0x80][draws.below(4)]);
            }
        }
    }
    bytes
}

/// Every way in which the readers are used. Rows cannot be more than a file can hold.
fn read_all(path: &Path, form: &CsvForm) {
    if let Ok(table) = Table::open(path, form) {
        let columns = table.header().len();
        for asked in [(0..columns).collect::<Vec<_>>(), (0..columns.min(1)).collect()] {
            let Ok(mut rows) = Table::open(path, form).and_then(|table| table.rows(&asked)) else { continue };
            let mut line = 0;
            while let Ok(Some(row)) = rows.next_row() {
                assert!(row.line > line, "lines rise");
                line = row.line;
                let shown: usize = (0..asked.len()).map(|place| row.cell(place).len()).sum();
                assert!(shown <= 1 << 26, "cells are bounded");
            }
            assert!(matches!(rows.next_row(), Ok(None)), "an end is an end");
        }
    }
    let dictionary = r#"{"fields":[{"name":"amount","title":{"zh":"","en":""},"kind":"numeric"},
        {"name":"kind","title":{"zh":"","en":""},"kind":{"category":{"values":["a","b"]}}}]}"#;
    let options = ReadOptions {
        name: "n".into(),
        as_of: "2026-06-30".into(),
        identifier: "id".into(),
        cohort: None,
        kind: IdentifierKind::Text,
        label: Some("y".into()),
        dictionary: Dictionary::parse(dictionary).unwrap(),
        map: BTreeMap::new(),
        misfits: Misfits::Missing,
        form: *form,
    };
    let long = |error: &dyn std::fmt::Display| {
        let text = error.to_string();
        assert!(text.len() < 1500 && !text.contains('\n'), "a short message on one line: {text}");
    };
    let _ = load(path, &options).inspect_err(|error| long(error));
    let today = "2026-07-01".parse().unwrap();
    let _ = read_outcomes(path, form, IdentifierKind::Text, today).inspect_err(|error| long(error));
}

#[test]
fn readers_return_from_every_file() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seconds = number("TALLYSTICK_FUZZ_SECONDS").unwrap_or(3);
    let mut draws = Draws(number("TALLYSTICK_FUZZ_SEED").unwrap_or(1_u64).max(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let seeds = seeds();
    assert!(seeds.len() >= 10, "there are seeds");
    let folder = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let mut files = 0u64;
    while began.elapsed() < Duration::from_secs(seconds) {
        let (name, seed) = &seeds[draws.below(seeds.len())];
        let bytes = mutated(seed, &seeds[draws.below(seeds.len())].1, &mut draws);
        let path = folder.path().join(name);
        std::fs::write(&path, &bytes).unwrap();
        let encoding = if draws.below(4) == 0 { Encoding::Gb18030 } else { Encoding::Utf8 };
        let delimiter = [b',', b',', b';', b'\t'][draws.below(4)];
        let begun = Instant::now();
        let read = std::panic::catch_unwind(|| read_all(&path, &CsvForm { encoding, delimiter }));
        if read.is_err() || begun.elapsed() > PATIENCE {
            let kept = std::env::temp_dir().join(format!("tallystick-fuzz-{name}"));
            std::fs::write(&kept, &bytes).unwrap();
            panic!("{} ({encoding:?}, {delimiter}) after {:?}: see {}", name, begun.elapsed(), kept.display());
        }
        files += 1;
    }
    eprintln!("{files} files in {:?}", began.elapsed());
}
