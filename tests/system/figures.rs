//! Figures that would mislead: what is withheld, refused or warned of, on tables made for it.

use std::fmt::Write as _;
use std::path::Path;

use crate::program::{error_of, last_object, run, text};

/// A bank's and a platform's table; `bad` and `overdue` by row number.
fn tables(folder: &Path, rows: u32, bad: impl Fn(u32) -> bool, leak: bool) {
    let (mut bank, mut platform) = (String::from("id,y,amount,overdue_days\n"), String::from("id,tax,court\n"));
    for row in 0..rows {
        let (bad, spread) = (u32::from(bad(row)), (row * 7919 + 13) % 1000);
        let overdue = if leak { 90 * bad } else { spread % 5 };
        let tax = (spread + 300 * (1 - bad)) % 1100;
        writeln!(bank, "E{row:06},{bad},{},{overdue}", (spread * 31) % 977).unwrap();
        writeln!(platform, "E{row:06},{tax},{}", spread % 3 + bad * (row % 2)).unwrap();
    }
    std::fs::write(folder.join("bank.csv"), bank).unwrap();
    std::fs::write(folder.join("platform.csv"), platform).unwrap();
}

#[test]
fn a_field_that_knows_the_outcome_is_warned_of_and_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path(), 3000, |row| row % 9 == 0, true);
    let data = ["demo", "--data", text(folder.path())];
    let output = run(&[data.as_slice(), &["--json"]].concat());
    assert!(output.status.success(), "{}", error_of(&output));
    let report = last_object(&output);
    let warning = report["warnings"][0]["en"].as_str().unwrap();
    assert!(warning.contains("overdue_days") && warning.contains("leakage"), "{warning}");
    assert!(report["joint"]["auc"].as_f64().unwrap() > 0.99, "{}", report["joint"]);
    let output = run(&[data.as_slice(), &["--lang", "zh"]].concat());
    assert!(String::from_utf8_lossy(&output.stdout).contains("疑似信息泄漏：字段 overdue_days"));
}

#[test]
fn six_bad_loans_make_no_model() {
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path(), 3000, |row| row % 500 == 3, false);
    let output = run(&["demo", "--data", text(folder.path()), "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let error = error_of(&output);
    assert!(error.contains("bad loans, and the contract asks for 10"), "{error}");
}

#[test]
fn a_demo_tells_what_each_bank_gains_and_how_its_book_is_calibrated() {
    let output = run(&["demo", "--enterprises", "3000", "--json"]);
    assert!(output.status.success(), "{}", error_of(&output));
    let report = last_object(&output);
    let (mut gained, mut weights) = (0.0, 0.0);
    for (bank, told) in report["banks"].as_array().unwrap().iter().zip(report["calibration"].as_array().unwrap()) {
        let (weight, own) = (bank["weight"].as_f64().unwrap(), &bank["within"]["difference"]["value"]);
        gained += weight * own.as_f64().unwrap();
        weights += weight;
        assert!(bank["linfa"]["auc"].as_f64().unwrap() > 0.5, "{bank}");
        let after = &told["calibration"]["train"]["over_bad_rate"]["after"];
        assert!((after.as_f64().unwrap() - 1.0).abs() < 1e-9, "{told}");
    }
    let headline = report["within_banks"]["difference"]["value"].as_f64().unwrap();
    assert!((headline - gained / weights).abs() < 1e-12, "{headline} {}", gained / weights);
    assert!(report["baselines"]["linfa"]["zh"].as_str().unwrap().contains("linfa"));
}
