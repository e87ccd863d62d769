//! The workspace keeps its shape: dependencies point one way, and the inner crates know no runtime.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// What each crate may use of this workspace.
const ALLOWED: &[(&str, &[&str])] = &[
    ("tally-crypto", &[]),
    ("tally-model", &["tally-crypto"]),
    ("tally-policy", &["tally-crypto", "tally-model"]),
    ("tally-data", &["tally-crypto", "tally-model", "tally-policy"]),
    ("tally-protocol", &["tally-crypto", "tally-model", "tally-policy"]),
    ("tally-audit", &["tally-crypto"]),
    ("tally-net", &["tally-crypto", "tally-audit"]),
    ("tally-city", &["tally-crypto", "tally-model", "tally-policy", "tally-data", "tally-audit"]),
    (
        "tally-node",
        &[
            "tally-crypto",
            "tally-model",
            "tally-policy",
            "tally-data",
            "tally-protocol",
            "tally-audit",
            "tally-net",
            "tally-city",
        ],
    ),
    ("tallystick", &["tally-node"]),
];

/// Crates that take randomness, clock and records as arguments.
const INNER: &[&str] = &["tally-crypto", "tally-model", "tally-policy", "tally-protocol"];
const OUTER: &[&str] = &["tokio", "tonic", "rusqlite", "csv", "jiff", "rand"];

fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let normal = |package: &Value| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        dependencies
            .filter(|dependency| dependency["kind"].is_null())
            // Without its default features it has traits of distributions, and no generator of its own.
            .filter(|dependency| dependency["name"] != "rand" || dependency["uses_default_features"] == true)
            .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages.map(|package| (package["name"].as_str().unwrap().to_owned(), normal(package))).collect()
}

#[test]
fn dependencies_point_one_way() {
    let found = dependencies();
    let names: BTreeSet<_> = found.keys().map(String::as_str).collect();
    assert_eq!(names, ALLOWED.iter().map(|(name, _)| *name).collect());
    for (name, allowed) in ALLOWED {
        for dependency in found[*name].iter().filter(|dependency| dependency.starts_with("tally")) {
            assert!(allowed.contains(&dependency.as_str()), "{name} must not depend on {dependency}");
        }
    }
}

#[test]
fn inner_crates_know_no_runtime_store_or_clock() {
    let found = dependencies();
    for name in INNER {
        for outer in OUTER {
            assert!(!found[*name].contains(*outer), "{name} must not depend on {outer}");
        }
    }
}
