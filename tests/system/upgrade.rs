//! Directories of earlier releases, opened by the program of today.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::program::{copy, done, run, tallystick, text, until};

/// A node of a kept directory, served until this goes.
struct Served(Child);

impl Served {
    fn start(node: &Path, secret: &Path) -> Self {
        let mut command = tallystick(&["serve", "--node", text(node), "--secret-file", text(secret)]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        assert!(until(|| run(&["status", "--node", text(node)]).status.success()), "the node does not answer");
        Self(child)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A copy of a kept directory, with the permissions that version control does not keep.
fn kept(folder: &Path, schema: &str) -> (PathBuf, PathBuf) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kept").join(schema);
    copy(&from, folder);
    let (node, secret) = (folder.join("bank-1"), folder.join("secret"));
    let only_owner = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    only_owner(&node, 0o700);
    only_owner(&node.join("keys"), 0o700);
    let keys = std::fs::read_dir(node.join("keys")).unwrap().flatten().map(|entry| entry.path());
    keys.chain([secret.clone()]).for_each(|key| only_owner(&key, 0o600));
    (node, secret)
}

#[test]
fn a_directory_from_before_numbered_migrations_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (node, secret) = kept(folder.path(), "schema-7");
    let before = std::fs::read(node.join("store.sqlite")).unwrap();
    for start in 0..2 {
        let served = Served::start(&node, &secret);
        let status = done(&["status", "--node", text(&node)]);
        assert_eq!(status["consents"], 69, "{status}");
        // What was there is still there, and the first start after the upgrade may log more.
        assert!(status["log_entries"].as_u64() >= Some(367), "{status}");
        let models = done(&["model", "list", "--node", text(&node)]);
        let model = &models.as_array().unwrap()[0];
        assert!(model["serves"] == true && model["state"] == "champion" && model["fault"].is_null(), "{models}");
        let shown = done(&["model", "show", "--node", text(&node)]);
        assert!(shown["results"]["fit"]["joint"]["auc"].as_f64() > Some(0.5), "{}", shown["results"]["fit"]["joint"]);
        let people = done(&["operator", "show", "--node", text(&node)]);
        assert_eq!((&people[0]["operator"], &people[0]["ended"]), (&"chen".into(), &Value::Null));
        drop(served);
        let beside = node.join("store.sqlite.schema-7");
        assert!(beside.exists(), "a copy of the store as it was");
        if start == 0 {
            assert_ne!(std::fs::read(node.join("store.sqlite")).unwrap(), before);
            // It is made once.
            std::fs::remove_file(beside).unwrap();
            std::fs::write(node.join("store.sqlite.schema-7"), "").unwrap();
        } else {
            assert_eq!(std::fs::read(beside).unwrap(), b"");
        }
    }
    let policy = folder.path().join("policy");
    let vkey = std::fs::read_to_string(node.join("log.vkey")).unwrap();
    std::fs::write(&policy, format!("log {}\nquorum none\n", vkey.trim())).unwrap();
    let verified = done(&["audit", "verify", text(&node), "--policy", text(&policy)]);
    assert_eq!(verified["verified"], true, "{verified}");
}
