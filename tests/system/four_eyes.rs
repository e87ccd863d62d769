//! Two who approve at a bank: two persons, one contract, one data set.

use std::path::Path;
use std::process::Output;

use serde_json::json;

use crate::left::Left;
use crate::program::{done, error_of, run, text};

/// A bank at which two approve, with two data sets.
fn bank_of_two(left: &mut Left) {
    let (bank, secret) = (left.directory("bank-1"), left.root.join("secret"));
    let add = ["operator", "add", "lin", "--secret-file", text(&secret), "--signer", "chen"];
    done(&[add.as_slice(), &["--signer-secret-file", text(&secret), "--node", text(&bank)]].concat());
    left.stop_gently("bank-1");
    let config = std::fs::read_to_string(bank.join("node.toml")).unwrap();
    std::fs::write(bank.join("node.toml"), config.replace("approvals = 1", "approvals = 2")).unwrap();
    left.go_on("bank-1");
    import(left, "other", &left.root.join("inputs/bank-1.csv"));
}

fn import(left: &Left, name: &str, file: &Path) {
    let (bank, dictionary) = (left.directory("bank-1"), left.root.join("inputs/dictionary.json"));
    let import = ["dataset", "import", text(file), "--name", name, "--as-of", "2026-06-30", "--label", "y"];
    done(&[import.as_slice(), &["--dictionary", text(&dictionary), "--node", text(&bank)]].concat());
}

fn approve(left: &Left, session: &str, operator: &str, dataset: &str) -> Output {
    let (bank, secret) = (left.directory("bank-1"), left.root.join("secret"));
    let approve = ["session", "approve", session, "--operator", operator, "--dataset", dataset];
    run(&[approve.as_slice(), &["--secret-file", text(&secret), "--node", text(&bank)]].concat())
}

fn refused(output: &Output, word: &str) {
    assert_eq!(output.status.code(), Some(77), "{}", error_of(output));
    assert!(error_of(output).contains(word), "{}", error_of(output));
}

#[test]
fn two_who_approve_are_two_and_bring_the_same_data() {
    let folder = tempfile::tempdir().unwrap();
    let mut left = Left::of_demo(folder.path(), 11, 800);
    bank_of_two(&mut left);
    let session = left.propose(3);
    left.approve("platform", &session);
    left.wait("bank-1", &session, &["proposed"]);
    assert!(approve(&left, &session, "chen", "loans").status.success());
    refused(&approve(&left, &session, "chen", "loans"), "a second person must");
    // The last one's word no longer replaces the first one's.
    refused(&approve(&left, &session, "lin", "other"), "approved with data set `loans`, not `other`");
    // Nor does another file under the same name.
    let (loans, fewer) = (left.root.join("inputs/bank-1.csv"), left.root.join("fewer.csv"));
    let rows = std::fs::read_to_string(&loans).unwrap();
    let shorter = rows.trim_end().rsplit_once('\n').unwrap().0;
    std::fs::write(&fewer, shorter).unwrap();
    import(&left, "loans", &fewer);
    refused(&approve(&left, &session, "lin", "loans"), "before it was imported anew");
    import(&left, "loans", &loans);
    assert!(approve(&left, &session, "lin", "loans").status.success());
    for bank in ["bank-2", "bank-3"] {
        left.wait(bank, &session, &["proposed"]);
        left.approve(bank, &session);
    }
    assert_eq!(left.wait("platform", &session, &["closed", "aborted"])["stage"], "closed");
    let (bank, orders) = (left.directory("bank-1"), folder.path().join("orders"));
    let written = ["operator", "orders", "--session", &session, "--node", text(&bank), "--output", text(&orders)];
    assert_eq!(done(&written)["orders"], json!(2));
}
