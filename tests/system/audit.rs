//! What an auditor does with a copy of a log, public keys, and nothing else.

use std::path::Path;

use serde_json::Value;

use crate::program::{done, error_of, run, text};

/// A log of the real append path, and a policy that trusts its key.
fn log(folder: &Path, entries: &str) -> String {
    let node = folder.join("node");
    let bench = done(&["bench", "log", "--entries", entries, "--keep", text(&node)]);
    let vkey = bench["vkey"].as_str().unwrap().to_owned();
    std::fs::write(folder.join("policy"), format!("log {vkey}\nquorum none\n")).unwrap();
    vkey
}

#[test]
fn a_log_is_appended_published_and_verified_under_a_policy() {
    let folder = tempfile::tempdir().unwrap();
    log(folder.path(), "700");
    let (node, policy) = (folder.path().join("node"), folder.path().join("policy"));
    let verified = done(&["audit", "verify", text(&node), "--policy", text(&policy)]);
    assert_eq!((verified["verified"].clone(), verified["logs"][0]["entries"].clone()), (true.into(), 700.into()));
    // A policy that is malformed, and no key at all.
    let lines = std::fs::read_to_string(&policy).unwrap();
    std::fs::write(&policy, lines.replace("quorum none", "quorum w")).unwrap();
    let malformed = run(&["audit", "verify", text(&node), "--policy", text(&policy)]);
    assert!(malformed.status.code() == Some(65) && error_of(&malformed).contains("line 2"), "{}", error_of(&malformed));
    assert_eq!(run(&["audit", "verify", text(&node)]).status.code(), Some(2));
}

#[test]
fn one_entry_is_proven_by_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let vkey = log(folder.path(), "300");
    let at = |name: &str| folder.path().join(name);
    let (node, policy, file) = (at("node"), at("policy"), at("entry.json"));
    let make = |entry: &str| {
        run(&[
            "audit",
            "bundle",
            "make",
            "--log",
            text(&node),
            "--entry",
            entry,
            "--policy",
            text(&policy),
            "--output",
            text(&file),
        ])
    };
    assert!(!make("300").status.success());
    let made = make("257");
    assert!(made.status.success(), "{}", error_of(&made));
    std::fs::remove_dir_all(&node).unwrap();
    let proven = done(&["audit", "bundle", "verify", text(&file), "--vkey", &vkey]);
    assert_eq!((proven["index"].clone(), proven["size"].clone()), (257.into(), 300.into()));
    assert_eq!(proven["entry"]["index"], 257);
    assert!(run(&["audit", "bundle", "verify", text(&file), "--policy", text(&policy)]).status.success());
    assert_eq!(run(&["audit", "bundle", "verify", text(&file)]).status.code(), Some(2), "whom nobody trusts");
    let mut evidence: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let entry = evidence["entry"].as_str().unwrap().replace("platform", "platforn");
    evidence["entry"] = entry.into();
    std::fs::write(&file, evidence.to_string()).unwrap();
    let changed = run(&["audit", "bundle", "verify", text(&file), "--vkey", &vkey]);
    assert_eq!(changed.status.code(), Some(1), "{}", error_of(&changed));
}
