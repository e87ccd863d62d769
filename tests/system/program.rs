//! The program as a user runs it.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The program with these arguments.
pub(crate) fn tallystick(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tallystick"));
    command.args(arguments);
    command
}

/// Runs it to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    tallystick(arguments).stdin(Stdio::null()).output().unwrap()
}

/// The JSON object on the last line of standard output.
pub(crate) fn last_object(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|_| panic!("no object:\n{text}\n{}", error_of(output)))
}

/// Runs a verb that must succeed; its JSON.
pub(crate) fn done(arguments: &[&str]) -> Value {
    let output = run(&[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", error_of(&output));
    last_object(&output)
}

/// Standard error.
pub(crate) fn error_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Waits until something holds; false if it does not within half a minute.
pub(crate) fn until(what: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if what() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

/// A copy of a folder with all that is in it; sockets are left out.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else if path.is_file() {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// A running node; it stops when this is dropped.
pub(crate) struct Served(Child);

impl Served {
    /// Starts the node in `directory` and waits until it answers.
    pub(crate) fn start(directory: &Path, secret: &Path) -> Self {
        Self::start_as(tallystick(&[]), directory, secret)
    }

    /// The same where the process may open no more than `files` files.
    pub(crate) fn start_with_few_files(directory: &Path, secret: &Path, files: u32) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_tallystick")]);
        Self::start_as(shell, directory, secret)
    }

    fn start_as(mut program: Command, directory: &Path, secret: &Path) -> Self {
        let mut child = program
            .args(["serve", "--until-stdin-closes", "--node", text(directory), "--secret-file"])
            .arg(secret)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !run(&["status", "--node", text(directory)]).status.success() {
            assert!(child.try_wait().unwrap().is_none(), "the node did not start");
            assert!(Instant::now() < deadline, "the node does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self(child)
    }
}

impl Served {
    /// `kill -STOP`, `kill -CONT`.
    pub(crate) fn signal(&self, signal: &str) {
        let (signal, process) = (format!("-{signal}"), self.0.id().to_string());
        let _ = Command::new("kill").args([signal, process]).status();
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        let _ = self.0.kill();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // One that is stopped would not see the end of its input.
        self.signal("CONT");
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
