//! The nodes that a demo left behind, started again.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;
use tally_city::{City, Options};

use crate::program::{Served, done, error_of, last_object, run, text};

/// A consortium with a trained model, and the city that its documents come from.
pub(crate) struct Trial {
    _folder: tempfile::TempDir,
    pub(crate) left: Left,
    pub(crate) city: City,
}

impl Trial {
    pub(crate) fn new(seed: u64, enterprises: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let city = City::generate(&Options { seed, enterprises, banks: 3, consent_rate: 0.85 });
        Self { left: Left::of_demo(folder.path(), seed, enterprises), city, _folder: folder }
    }

    /// A file of its own.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.left.root.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

/// The nodes that a demo left.
pub(crate) struct Left {
    pub(crate) root: PathBuf,
    nodes: Vec<(String, Option<Served>)>,
}

impl Left {
    /// Runs the demo of a city with three banks below `folder`, and starts its nodes again.
    pub(crate) fn of_demo(folder: &Path, seed: u64, enterprises: usize) -> Self {
        let root = folder.join("city");
        let (seed, enterprises) = (seed.to_string(), enterprises.to_string());
        done(&["demo", "--seed", &seed, "--enterprises", &enterprises, "--keep", text(&root)]);
        Self::start(&root, 3)
    }

    pub(crate) fn start(root: &Path, banks: usize) -> Self {
        let names = std::iter::once("platform".to_owned()).chain(bank_names(banks));
        let secret = root.join("secret");
        let nodes = names.map(|name| {
            let served = Served::start(&root.join(&name), &secret);
            (name, Some(served))
        });
        Self { root: root.into(), nodes: nodes.collect() }
    }

    pub(crate) fn directory(&self, node: &str) -> PathBuf {
        self.root.join(node)
    }

    /// Proposes a session with the first `banks` banks; its name.
    pub(crate) fn propose(&self, banks: usize) -> String {
        let output = self.propose_from(&template(), banks);
        assert!(output.status.success(), "{}", error_of(&output));
        last_object(&output)["session"].as_str().unwrap().to_owned()
    }

    /// Proposes a session from a template of one's own.
    pub(crate) fn propose_from(&self, template: &Path, banks: usize) -> Output {
        let platform = self.directory("platform");
        let dictionary = self.root.join("inputs/dictionary.json");
        let mut propose = vec!["session", "propose", "--node", text(&platform), "--template", text(template)];
        propose.extend(["--dictionary", text(&dictionary), "--json"]);
        let names = bank_names(banks);
        names.iter().for_each(|bank| propose.extend(["--bank", bank.as_str()]));
        run(&propose)
    }

    /// Proposes a session with the first `banks` banks, has everyone approve, and waits for its end.
    pub(crate) fn session(&mut self, banks: usize, kill: Option<&str>) -> Value {
        let session = self.propose(banks);
        let names = bank_names(banks);
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

    pub(crate) fn approve(&self, node: &str, session: &str) {
        let (directory, secret) = (self.directory(node), self.root.join("secret"));
        let approve = ["session", "approve", session, "--operator", "chen", "--secret-file", text(&secret)];
        done(&[approve.as_slice(), &["--node", text(&directory)]].concat());
    }

    /// Kills a bank once it has signed for a sum, and starts it again.
    pub(crate) fn kill(&mut self, victim: &str, session: &str) {
        let directory = self.directory(victim);
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let status = status(&directory, session);
            let round = status["round"].as_u64().unwrap_or(0);
            if round > 0 || status["stage"] == "closed" || Instant::now() > deadline {
                break;
            }
        }
        self.stop(victim);
        self.go_on(victim);
    }

    /// `kill -9`.
    pub(crate) fn stop(&mut self, node: &str) {
        let (_, served) = self.nodes.iter_mut().find(|(name, _)| name == node).unwrap();
        served.take().unwrap().kill();
    }

    /// Sends a node's process a signal.
    pub(crate) fn signal(&self, node: &str, signal: &str) {
        let (_, served) = self.nodes.iter().find(|(name, _)| name == node).unwrap();
        served.as_ref().unwrap().signal(signal);
    }

    /// Lets a node finish: its log is published.
    pub(crate) fn stop_gently(&mut self, node: &str) {
        let (_, served) = self.nodes.iter_mut().find(|(name, _)| name == node).unwrap();
        drop(served.take());
    }

    /// Starts a node that was stopped.
    pub(crate) fn go_on(&mut self, node: &str) {
        let (directory, secret) = (self.directory(node), self.root.join("secret"));
        let (_, served) = self.nodes.iter_mut().find(|(name, _)| name == node).unwrap();
        *served = Some(Served::start(&directory, &secret));
    }

    /// The same, as a process that may open no more than `files` files.
    pub(crate) fn go_on_with_few_files(&mut self, node: &str, files: u32) {
        let (directory, secret) = (self.directory(node), self.root.join("secret"));
        let (_, served) = self.nodes.iter_mut().find(|(name, _)| name == node).unwrap();
        *served = Some(Served::start_with_few_files(&directory, &secret, files));
    }

    pub(crate) fn wait(&self, node: &str, session: &str, stages: &[&str]) -> Value {
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

pub(crate) fn status(directory: &Path, session: &str) -> Value {
    let output = run(&["session", "status", session, "--node", text(directory), "--json"]);
    if output.status.success() { last_object(&output) } else { Value::String(error_of(&output)) }
}

/// The template of a scorecard.
pub(crate) fn template() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/templates/scorecard.toml")
}

fn bank_names(banks: usize) -> Vec<String> {
    (1..=banks).map(|bank| format!("bank-{bank}")).collect()
}
