//! The demo's nodes: real processes of this very binary, each in its own directory.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::control::{self, Command};
use crate::failure::{self, Failure};

/// A node process; it stops when the demo does, since it reads the end of its standard input.
pub(crate) struct Node {
    /// Party name.
    pub(crate) name: String,
    /// Its directory.
    pub(crate) directory: PathBuf,
    secret: PathBuf,
    child: Option<Child>,
}

impl Node {
    /// A node that is not running yet.
    pub(crate) fn new(name: &str, directory: &Path, secret: &Path) -> Self {
        Self { name: name.into(), directory: directory.into(), secret: secret.into(), child: None }
    }

    /// Starts the process and waits until it answers.
    pub(crate) fn start(&mut self) -> Result<(), Failure> {
        let log = self.directory.join("serve.log");
        let cannot = |error: std::io::Error| failure::internal(format!("cannot start {}: {error}", self.name));
        let output = std::fs::OpenOptions::new().create(true).append(true).open(&log).map_err(cannot)?;
        let child = std::process::Command::new(std::env::current_exe().map_err(cannot)?)
            .args(["serve", "--until-stdin-closes", "--node"])
            .arg(&self.directory)
            .arg("--secret-file")
            .arg(&self.secret)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .map_err(cannot)?;
        self.child = Some(child);
        self.wait_until_it_answers(&log)
    }

    fn wait_until_it_answers(&mut self, log: &Path) -> Result<(), Failure> {
        let deadline = Instant::now() + Duration::from_secs(120);
        while self.tell(&Command::Status).is_err() {
            let ended = self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(Some(_))));
            if ended || Instant::now() > deadline {
                let text = std::fs::read_to_string(log).unwrap_or_default();
                let last = text.lines().last().unwrap_or("no output").to_owned();
                return Err(failure::unavailable(format!("{} did not start: {last}", self.name)));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Tells the node to do something, as an operator would.
    pub(crate) fn tell(&self, command: &Command) -> Result<Value, Failure> {
        control::tell(&self.directory, command)
    }

    /// Processor time of the process so far, seconds; `None` where it does not run or the system does not say.
    pub(crate) fn cpu_seconds(&self) -> Option<f64> {
        crate::process::cpu_seconds_of(self.child.as_ref()?.id())
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A process that has ended already is as dead as we want it.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Lets the node finish what it does and stop.
    pub(crate) fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        drop(child.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(10);
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
