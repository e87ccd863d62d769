//! Files as people have them: what they are is told, what is meant is read, and what is wrong leaves nothing behind.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};

use crate::left::Trial;
use crate::program::{done, error_of, last_object, run, text};

struct Files {
    trial: Trial,
}

impl Files {
    fn new() -> Self {
        Self { trial: Trial::new(1, 1500) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.trial.left.root.join(name)
    }

    /// A changed copy of the applicants of the first bank.
    fn applicants(&self, name: &str, change: impl Fn(&mut Vec<String>)) -> PathBuf {
        self.changed("applicants-bank-1.csv", name, change)
    }

    fn changed(&self, input: &str, name: &str, change: impl Fn(&mut Vec<String>)) -> PathBuf {
        let text = std::fs::read_to_string(self.path("inputs").join(input)).unwrap();
        let mut lines: Vec<_> = text.lines().map(String::from).collect();
        change(&mut lines);
        self.trial.file(name, &(lines.join("\n") + "\n"))
    }

    fn batch(&self, input: &Path, output: &Path, more: &[&str]) -> Output {
        let bank = self.trial.left.directory("bank-1");
        let files =
            ["score", "batch", "--json", "--input", text(input), "--output", text(output), "--node", text(&bank)];
        run(&[files.as_slice(), more].concat())
    }

    fn import(&self, file: &Path, more: &[&str]) -> Output {
        let (bank, dictionary) = (self.trial.left.directory("bank-1"), self.path("inputs/dictionary.json"));
        let words = ["dataset", "import", "--json", "--node", text(&bank), text(file), "--label", "y"];
        let as_of = if more.contains(&"--as-of") { vec![] } else { vec!["--as-of", "2026-06-30"] };
        let dictionary = if more.contains(&"--dictionary") { vec![] } else { vec!["--dictionary", text(&dictionary)] };
        run(&[words.as_slice(), &as_of, &dictionary, more].concat())
    }

    /// Rows of a file of scores, by their columns.
    fn rows(&self, output: &Path) -> Vec<Vec<String>> {
        let text = std::fs::read_to_string(output).unwrap();
        text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
    }
}

fn refused(output: &Output, code: i32, words: &[&str]) {
    let error = error_of(output);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert_eq!(error.trim().lines().count(), 1, "one error: {error}");
    for word in words {
        assert!(error.contains(word), "`{word}` is missing: {error}");
    }
}

fn scored(output: &Output) -> Value {
    assert!(output.status.success(), "{}", error_of(output));
    last_object(output)
}

#[test]
fn a_file_of_applicants_is_read_whole_or_not_at_all() {
    let files = Files::new();
    let output = files.path("scores.csv");
    let plain = files.applicants("plain.csv", |_| {});
    let nothing_is_left = || {
        for name in ["scores.csv", "scores.csv.partial", "scores.csv.batch", "scores.csv.new"] {
            assert!(!files.path(name).exists(), "{name}");
        }
    };
    let refuse = |input: &Path, words: &[&str]| {
        refused(&files.batch(input, &output, &[]), 65, words);
        nothing_is_left();
    };
    // A quote that swallows the rest of the file.
    refuse(&files.applicants("a.csv", |lines| lines[3].push_str(",\"x")), &["a.csv", "row 4", "a quote opens here"]);
    refuse(
        &files.applicants("b.csv", |lines| lines[0] = lines[0].replace("interest_rate", "loan_amount")),
        &["`loan_amount`", "twice"],
    );
    refuse(&files.applicants("c.csv", |lines| lines[0] = lines[0].replacen("id", "code", 1)), &["`id`"]);
    refuse(
        &files.applicants("d.csv", |lines| lines[0] = lines[0].replace("loan_amount", "amount")),
        &["`amount`", "`loan_amount` has no column"],
    );
    let whole = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds/gzip.parquet")).unwrap();
    let cut = files.path("cut.parquet");
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    refuse(&cut, &["cut.parquet", "not a whole Parquet file"]);
    let semicolons =
        files.applicants("e.csv", |lines| lines.iter_mut().for_each(|line| *line = line.replace(',', ";")));
    refuse(&semicolons, &["`;`", "--delimiter ';'"]);
    refused(&files.batch(&plain, &plain, &[]), 2, &["plain.csv", "name another file"]);
    let link = files.path("link.csv");
    std::os::unix::fs::symlink(&plain, &link).unwrap();
    refused(&files.batch(&plain, &link, &[]), 2, &["name another file"]);
    // The right file follows upon the refused ones, under the same output.
    let told = scored(&files.batch(&plain, &output, &[]));
    let rows = files.rows(&output);
    assert_eq!((&told["rows"], rows.len() as u64), (&json!(10), 10));
    assert_eq!(told["scored"], json!(10), "{told}");
    let again = files.path("semicolons.csv");
    assert_eq!(scored(&files.batch(&semicolons, &again, &["--delimiter", ";"]))["scored"], json!(10));
    let same = |rows: &[Vec<String>]| rows.iter().map(|row| (row[0].clone(), row[1].clone())).collect::<Vec<_>>();
    assert_eq!(same(&files.rows(&again)), same(&rows));
}

#[test]
fn every_row_without_a_score_has_a_code_and_a_remedy() {
    let files = Files::new();
    let (input, output) = (
        files.applicants("rows.csv", |lines| {
            lines[0].push_str(",客户经理,");
            lines[1..].iter_mut().for_each(|line| line.push_str(",张三,"));
            let place = lines[0].split(',').position(|name| name == "loan_amount").unwrap();
            for (line, value) in [(1, "\"1,234.5\""), (2, "5.05%"), (3, "inf"), (4, "123万"), (5, "NULL")] {
                let mut cells: Vec<_> = lines[line].split(',').collect();
                cells[place] = value;
                lines[line] = cells.join(",");
            }
            lines[6].push_str(",1");
            lines[7] = lines[7].replacen("9", "8", 1);
        }),
        files.path("out.csv"),
    );
    let told = scored(&files.batch(&input, &output, &[]));
    assert_eq!(told["columns_ignored"], json!(["客户经理"]));
    let text = std::fs::read_to_string(&output).unwrap();
    let rows = files.rows(&output);
    assert_eq!(rows.len(), 10, "{text}");
    for row in &rows {
        let (score, code) = (&row[1], &row[8]);
        assert!(score.is_empty() != code.is_empty(), "a score or a code: {row:?}");
    }
    for word in
        ["write 1234.5 ", "write 5.05 without", "not a finite number", "write 1230000", "`NULL`", "has 12 values"]
    {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert_eq!(told["scored"], json!(3), "{text}");
}

#[test]
fn a_data_set_says_what_it_is_and_is_not_of_tomorrow() {
    let files = Files::new();
    let loans = files.changed("bank-1.csv", "loans.csv", |_| {});
    refused(&files.import(&loans, &["--as-of", "2999-01-01"]), 2, &["--as-of 2999-01-01", "today"]);
    let open = files.changed("bank-1.csv", "open.csv", |lines| {
        let (start, end) = lines[10].rsplit_once(',').unwrap();
        lines[10] = format!("{start},\"{end}");
    });
    for more in [&[][..], &["--misfits", "missing"]] {
        let output = files.import(&open, more);
        refused(&output, 65, &["row 11", "a quote opens here"]);
        let other = std::fs::read_to_string(&loans).unwrap();
        let other = other.lines().nth(13).unwrap().split(',').next().unwrap().to_owned();
        assert!(!error_of(&output).contains(&other), "no other row is shown: {}", error_of(&output));
    }
    let told = scored(&files.import(&loans, &[]));
    let field = |name: &str| told["fields"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone();
    assert_eq!(
        (&field("loan_amount")["taken_for"], &field("collateral")["taken_for"]),
        (&json!("number"), &json!("category"))
    );
    assert_eq!(field("collateral")["values"], json!(4));
    // A byte order mark, carriage returns and a blank last line, as other editors leave them.
    let read = |name: &str| std::fs::read_to_string(files.path("inputs").join(name)).unwrap();
    let marked = |name: &str| {
        let text = format!("\u{feff}{}\r\n\r\n", read(name).trim_end().replace('\n', "\r\n"));
        files.trial.file(&format!("marked-{name}"), &text)
    };
    let dictionary = marked("dictionary.json");
    scored(&files.import(&loans, &["--dictionary", text(&dictionary)]));
    let bank = files.trial.left.directory("bank-1");
    done(&["consent", "import", "--node", text(&bank), text(&marked("consents-bank-1.jsonl"))]);
    let broken = files.trial.file("broken.json", "{\"fields\":\n[}\n");
    refused(&files.import(&loans, &["--dictionary", text(&broken)]), 65, &["broken.json", "line 2"]);
    let many: Vec<_> = (0..5000).map(|place| format!("v{place}")).collect();
    let kind = json!({ "category": { "values": many } });
    let many = json!({ "fields": [{ "name": "district", "title": { "zh": "", "en": "" }, "kind": kind }] });
    let many = files.trial.file("many.json", &many.to_string());
    refused(&files.import(&loans, &["--dictionary", text(&many)]), 65, &["`district`", "5000", "4096"]);
}

#[test]
fn a_directory_whose_socket_would_not_fit_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (secret, deep) = (folder.path().join("secret"), folder.path().join("d".repeat(100)));
    std::fs::write(&secret, "correct horse battery staple").unwrap();
    let init =
        ["init", "--name", "platform", "--role", "platform", "--secret-file", text(&secret), "--node", text(&deep)];
    refused(&run(&init), 2, &["107 bytes"]);
    assert!(!deep.exists());
}

/// Two tables for the demo, the platform's and the bank's.
fn given(folder: &Path, platform: impl Fn(usize) -> String, bank: impl Fn(usize) -> String, header: [&str; 2]) {
    let table = |name: &str, header: &str, row: &dyn Fn(usize) -> String| {
        let rows: Vec<_> = (0..3000).map(row).collect();
        std::fs::write(folder.join(name), format!("{header}\n{}\n", rows.join("\n"))).unwrap();
    };
    table("platform.csv", header[0], &platform);
    table("bank.csv", header[1], &bank);
}

#[test]
fn a_demo_takes_no_number_for_a_category_and_many_districts() {
    let folder = tempfile::tempdir().unwrap();
    let noise = |row: usize| (row * 7919) % 1009;
    let bad = |row: usize| u8::from((noise(row) + (row % 7) * 90).is_multiple_of(4) || row.is_multiple_of(11));
    let header = ["id,tax,district", "id,y,amount"];
    let platform = |row: usize| format!("E{row},{},d{:04}", noise(row) + 300 * usize::from(bad(row)), row % 1200);
    let token = |row: usize| {
        let amount = if row % 10 == 3 { "NULL".into() } else { format!("{}.5", noise(row)) };
        format!("E{row},{},{amount}", bad(row))
    };
    given(folder.path(), platform, token, header);
    let demo = || run(&["demo", "--data", text(folder.path())]);
    refused(&demo(), 65, &["bank.csv", "row 5", "`amount`", "`NULL`"]);
    given(folder.path(), platform, |row| format!("E{row},{},{}.5", bad(row), noise(row)), header);
    let output = demo();
    assert!(output.status.success(), "{}", error_of(&output));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("platform, district: category of 1200 values"), "{told}");
    assert!(told.contains("bank, amount: number"), "{told}");
}
