//! What banks refuse to help to release, whatever the platform proposes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{Served, done, error_of, last_object, run, text};

/// The nodes that a demo left.
struct Left {
    root: PathBuf,
    nodes: Vec<(String, Option<Served>)>,
}

impl Left {
    fn start(root: &Path, banks: usize) -> Self {
        let names = std::iter::once("platform".to_owned()).chain((1..=banks).map(|bank| format!("bank-{bank}")));
        let secret = root.join("secret");
        let nodes = names.map(|name| {
            let served = Served::start(&root.join(&name), &secret);
            (name, Some(served))
        });
        Self { root: root.into(), nodes: nodes.collect() }
    }

    fn directory(&self, node: &str) -> PathBuf {
        self.root.join(node)
    }

    /// Proposes a session with the first `banks` banks, has everyone approve, and waits for its end.
    fn session(&mut self, banks: usize, kill: Option<&str>) -> Value {
        let platform = self.directory("platform");
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/templates/scorecard.toml");
        let dictionary = self.root.join("inputs/dictionary.json");
        let mut propose = vec!["session", "propose", "--node", text(&platform), "--template", text(&template)];
        propose.extend(["--dictionary", text(&dictionary)]);
        let names: Vec<_> = (1..=banks).map(|bank| format!("bank-{bank}")).collect();
        names.iter().for_each(|bank| propose.extend(["--bank", bank.as_str()]));
        let session = done(&propose)["session"].as_str().unwrap().to_owned();
        self.approve("platform", &session);
        for bank in &names {
            self.wait(bank, &session, &["proposed"]);
            self.approve(bank, &session);
        }
        if let Some(victim) = kill {
            self.kill(victim, &session);
        }
        self.wait("platform", &session, &["closed", "aborted"])
    }

    fn approve(&self, node: &str, session: &str) {
        let (directory, secret) = (self.directory(node), self.root.join("secret"));
        let approve = ["session", "approve", session, "--operator", "chen", "--secret-file", text(&secret)];
        done(&[approve.as_slice(), &["--node", text(&directory)]].concat());
    }

    /// Kills a bank once it has signed for a sum, and starts it again.
    fn kill(&mut self, victim: &str, session: &str) {
        let directory = self.directory(victim);
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let status = status(&directory, session);
            let round = status["round"].as_u64().unwrap_or(0);
            if round > 0 || status["stage"] == "closed" || Instant::now() > deadline {
                break;
            }
        }
        let (_, served) = self.nodes.iter_mut().find(|(name, _)| name == victim).unwrap();
        served.take().unwrap().kill();
        *served = Some(Served::start(&directory, &self.root.join("secret")));
    }

    fn wait(&self, node: &str, session: &str, stages: &[&str]) -> Value {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let status = status(&self.directory(node), session);
            if stages.iter().any(|stage| status["stage"] == *stage) {
                return status;
            }
            assert!(Instant::now() < deadline, "{node}: {status}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn status(directory: &Path, session: &str) -> Value {
    let output = run(&["session", "status", session, "--node", text(directory), "--json"]);
    if output.status.success() { last_object(&output) } else { Value::String(error_of(&output)) }
}

/// A sum over four banks, then the same over three of them, would show the fourth one's part. The banks remember, also over a
/// kill, and stop the second session; the same four may be asked again.
#[test]
fn the_difference_of_two_sums_is_released_to_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("city");
    done(&["demo", "--banks", "4", "--enterprises", "1500", "--keep", text(&root)]);
    let mut left = Left::start(&root, 4);
    let again = left.session(4, Some("bank-2"));
    assert_eq!(again["stage"], "closed", "{again}");
    let fewer = left.session(3, None);
    assert_eq!(fewer["stage"], "aborted", "{fewer}");
    let reason = fewer["reason"].as_str().unwrap();
    assert!(reason.starts_with("bank-"), "{reason}");
    assert!(reason.contains("the difference to bank-1, bank-2, bank-3 would be the sum over bank-4"), "{reason}");
}
