//! What a peer has signed for convicts it, where its log does not hold it.

use std::path::Path;

use serde_json::Value;

use crate::left::Left;
use crate::program::{Served, copy, done, error_of, last_object, run, text};

/// Findings of one log against receipts, and the exit code.
fn reconcile(log: &Path, registry: &Path, receipts: &Path, more: &[&str]) -> (Option<i32>, Value) {
    let arguments = ["audit", "reconcile", text(log), "--registry", text(registry), "--receipts", text(receipts)];
    let output = run(&[arguments.as_slice(), more, &["--json"]].concat());
    (output.status.code(), last_object(&output)["findings"].clone())
}

#[test]
fn a_log_that_lacks_what_was_promised_is_convicted_by_its_owners_signature() {
    let folder = tempfile::tempdir().unwrap();
    let mut left = Left::of_demo(folder.path(), 5, 600);
    let (platform, bank) = (left.directory("platform"), left.directory("bank-1"));
    let (registry, earlier) = (left.root.join("registry.json"), left.root.join("earlier"));
    left.stop_gently("platform");
    copy(&platform, &earlier);
    left.go_on("platform");
    let session = left.propose(3);
    left.approve("platform", &session);
    left.wait("bank-1", &session, &["proposed"]);
    let receipts = folder.path().join("receipts");
    let export = ["audit", "receipts", "--peer", "platform", "--output", text(&receipts), "--node", text(&bank)];
    assert!(done(&export)["receipts"].as_u64().unwrap() > 10);
    let stranger = export.map(|word| if word == "platform" { "bank-9" } else { word });
    assert_eq!(run(&stranger).status.code(), Some(65));
    left.stop_gently("platform");
    assert_eq!(reconcile(&platform, &registry, &receipts, &[]), (Some(0), Value::Array(Vec::new())));

    // A copy from before the promise may be just that, unless its reader knows that it was taken after the promise was due.
    let (code, findings) = reconcile(&earlier, &registry, &receipts, &[]);
    assert_eq!((code, &findings[0]["kind"]), (Some(0), &"unpublished".into()), "{findings}");
    let (code, findings) = reconcile(&earlier, &registry, &receipts, &["--copied", "2999-01-01T00:00:00Z"]);
    assert_eq!((code, &findings[0]["severity"]), (Some(1), &"fault".into()), "{findings}");

    // A platform that goes on from there writes another history.
    let served = Served::start(&earlier, &left.root.join("secret"));
    let applicants = std::fs::read_to_string(left.root.join("inputs/applicants-bank-1.csv")).unwrap();
    let code = applicants.lines().nth(1).unwrap().split(',').next().unwrap();
    done(&["subject", "report", code, "--node", text(&earlier)]);
    drop(served);
    let (code, findings) = reconcile(&earlier, &registry, &receipts, &[]);
    assert_eq!((code, &findings[0]["parties"][0]), (Some(1), &"platform".into()), "{findings}");

    // One letter of a signed receipt.
    let lines = std::fs::read_to_string(&receipts).unwrap();
    std::fs::write(&receipts, lines.replacen("\"sequence\":1,", "\"sequence\":2,", 1)).unwrap();
    let arguments = ["--registry", text(&registry), "--receipts", text(&receipts)];
    let changed = run(&[["audit", "reconcile", text(&platform)].as_slice(), &arguments].concat());
    assert!(changed.status.code() == Some(77) && error_of(&changed).contains("line 1"), "{}", error_of(&changed));
}
