//! Nodes that witness one another: an auditor who demands cosignatures is shown one history.

use std::path::Path;
use std::time::Duration;

use crate::left::Left;
use crate::program::{copy, done, error_of, run, text, until};

/// Lines of signatures under a node's checkpoint.
fn signatures(node: &Path) -> usize {
    let checkpoint = std::fs::read_to_string(node.join("log/checkpoint")).unwrap();
    checkpoint.lines().filter(|line| line.starts_with('\u{2014}')).count()
}

/// Entries under a node's checkpoint.
fn size(node: &Path) -> u64 {
    let checkpoint = std::fs::read_to_string(node.join("log/checkpoint")).unwrap();
    checkpoint.lines().nth(1).unwrap().parse().unwrap()
}

#[test]
fn checkpoints_carry_the_cosignatures_of_a_quorum() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("city");
    done(&["demo", "--enterprises", "600", "--keep", text(&root)]);
    let key = |node: &str, file: &str| std::fs::read_to_string(root.join(node).join(file)).unwrap().trim().to_owned();
    let policy = root.join("policy");
    let lines = [
        format!("log {}", key("platform", "log.vkey")),
        format!("witness one {}", key("bank-1", "witness.vkey")),
        format!("witness two {}", key("bank-2", "witness.vkey")),
        "group banks all one two".into(),
        "quorum banks".into(),
    ];
    std::fs::write(&policy, lines.join("\n") + "\n").unwrap();
    let platform = root.join("platform");
    let config = std::fs::read_to_string(platform.join("node.toml")).unwrap();
    let config = config.replace("checkpoint_seconds = 1", "checkpoint_seconds = 1\npolicy = \"../policy\"");
    std::fs::write(platform.join("node.toml"), config).unwrap();

    let registry = root.join("registry.json");
    let verify =
        || run(&["audit", "verify", text(&platform), "--registry", text(&registry), "--policy", text(&policy)]);
    assert!(!verify().status.success(), "nobody has cosigned yet");
    let mut left = Left::start(&root, 3);
    assert!(until(|| signatures(&platform) == 3), "{}", signatures(&platform));
    // The log goes on, and so do the cosignatures.
    done(&["dataset", "show", "--node", text(&platform)]);
    let code = std::fs::read_to_string(root.join("inputs/applicants-bank-1.csv")).unwrap();
    let code = code.lines().nth(1).unwrap().split(',').next().unwrap().to_owned();
    done(&["subject", "report", &code, "--node", text(&platform)]);
    assert!(until(|| signatures(&platform) == 3 && verify().status.success()), "{}", error_of(&verify()));

    // A platform that goes back to an earlier history is not cosigned any more.
    left.stop("platform");
    let earlier = root.join("earlier");
    copy(&platform, &earlier);
    left.go_on("platform");
    done(&["subject", "report", &code, "--node", text(&platform)]);
    let all = done(&["status", "--node", text(&platform)])["log_entries"].as_u64().unwrap();
    assert!(until(|| size(&platform) >= all && signatures(&platform) == 3));
    left.stop("platform");
    std::fs::remove_dir_all(&platform).unwrap();
    std::fs::rename(&earlier, &platform).unwrap();
    left.go_on("platform");
    done(&["subject", "report", &code, "--node", text(&platform)]);
    // The entry of that report is published within a second, at a size that the witnesses have cosigned with another root.
    std::thread::sleep(Duration::from_secs(4));
    let standing = (size(&platform), signatures(&platform), verify().status.success());
    assert!(standing.1 == 1 && !standing.2, "a rolled back log was cosigned: {standing:?}");
}
