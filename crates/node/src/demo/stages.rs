//! The demo's stages, each timed and counted.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tally_city::ca::Authority;

use super::DemoArguments;
use super::cluster::Node;
use super::inputs::Inputs;
use crate::cli::Language;
use crate::config::Role;
use crate::control::{Command, DatasetImport};
use crate::directory::Directory;
use crate::failure::{self, Failure, FailureKind};
use crate::node_directory;
use crate::store::OperatorRole;

/// `--kill NODE@STAGE`.
#[derive(Clone, Debug)]
pub(crate) struct Kill {
    node: String,
    stage: String,
}

impl FromStr for Kill {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (node, stage) = text.split_once('@').ok_or("write it as NODE@STAGE, such as bank-2@train")?;
        if !["approve", "align", "train", "evaluate", "release"].contains(&stage) {
            return Err("the stage is approve, align, train, evaluate or release".into());
        }
        Ok(Self { node: node.into(), stage: stage.into() })
    }
}

/// What each stage took.
pub(super) struct Stages {
    language: Language,
    bar: ProgressBar,
    began: Instant,
    stage: Option<(&'static str, Instant, u64)>,
    done: Vec<Value>,
}

/// The running demo.
pub(super) struct Run {
    root: PathBuf,
    nodes: Vec<Node>,
    dead: Option<String>,
}

impl Run {
    /// The nodes that answer, the platform first.
    pub(super) fn alive(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| self.dead.as_deref() != Some(&node.name))
    }

    fn platform(&self) -> &Node {
        &self.nodes[0]
    }

    fn bytes(&self) -> u64 {
        let status = self.platform().tell(&Command::Status).unwrap_or_default();
        status["bytes_sent"].as_u64().unwrap_or(0) + status["bytes_received"].as_u64().unwrap_or(0)
    }
}

pub(crate) const OPERATOR: &str = "chen";

impl Stages {
    pub(super) fn begin(language: Language, quiet: bool) -> Self {
        let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        // Panic safety: the template is a constant that the test below renders.
        bar.set_style(
            ProgressStyle::with_template("{spinner} {msg} {elapsed}").unwrap_or(ProgressStyle::default_spinner()),
        );
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { language, bar, began: Instant::now(), stage: None, done: Vec::new() }
    }

    /// Ends the stage before and begins the next.
    pub(super) fn next(&mut self, name: &'static str, zh: &'static str, bytes: u64) {
        if let Some((name, began, before)) = self.stage.take() {
            let seconds = (began.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
            self.done.push(json!({ "name": name, "seconds": seconds, "bytes": bytes.saturating_sub(before) }));
        }
        self.bar.set_message(if self.language == Language::Zh { zh } else { name });
        self.stage = Some((name, Instant::now(), bytes));
    }

    /// Seconds in all, and the stages.
    pub(super) fn finish(mut self) -> (f64, Vec<Value>) {
        self.next("end", "结束", 0);
        self.bar.finish_and_clear();
        (self.began.elapsed().as_secs_f64(), self.done)
    }

    /// The consortium's CA, four node directories with certificates, four processes.
    pub(super) fn enrol(&mut self, root: &Path, inputs: &Inputs, arguments: &DemoArguments) -> Result<Run, Failure> {
        self.next("enrol", "建立节点", 0);
        let secret = root.join("secret");
        write_secret(&secret)?;
        let passphrase = std::fs::read(&secret).map_err(failure::unwritable)?;
        let port = free_port()?;
        let mut authority =
            Authority::init(&root.join("consortium"), &passphrase, crate::cli::today()).map_err(failure::internal)?;
        inputs.appoint(&mut authority)?;
        let banks = (1..=arguments.banks).map(|bank| (format!("bank-{bank}"), Role::Bank));
        let mut nodes = Vec::new();
        for (name, role) in std::iter::once(("platform".to_owned(), Role::Platform)).chain(banks) {
            let directory = Directory::new(root.join(&name));
            let link = match role {
                Role::Platform => format!("listen = \"127.0.0.1:{port}\""),
                Role::Bank => format!("dial = \"127.0.0.1:{port}\"\nplatform = \"platform\""),
            };
            node_directory::create(&directory, &name, role, (&link, Some(authority.key())), &passphrase)?;
            node_directory::certify(&mut authority, &directory)?;
            nodes.push(Node::new(&name, directory.path(), &secret));
        }
        for node in &nodes {
            for file in ["registry.json", "ca.crt"] {
                copy(&root.join("consortium").join(file), &node.directory.join(file))?;
            }
        }
        copy(&root.join("consortium/registry.json"), &root.join("registry.json"))?;
        for node in &mut nodes {
            node.start()?;
            let directory = Directory::new(&node.directory);
            let key = crate::keys::create_operator(&directory.operator_key(OPERATOR), &passphrase)?.verify_key();
            node.tell(&Command::OperatorAdd { name: OPERATOR.into(), key, role: OperatorRole::Development })?;
        }
        Ok(Run { root: root.into(), nodes, dead: None })
    }

    /// List, consents and data sets into every node.
    pub(super) fn import(&mut self, run: &mut Run, inputs: &Inputs) -> Result<(), Failure> {
        self.next("import", "导入数据、清单与授权", run.bytes());
        let dictionary = Some(inputs.dictionary_text()?);
        for node in &run.nodes {
            node.tell(&Command::ListImport { path: inputs.file("list.json") })?;
            let platform = node.name == "platform";
            if platform {
                for bank in inputs.banks() {
                    node.tell(&Command::ConsentImport { path: inputs.file(&format!("consents-{bank}.jsonl")) })?;
                }
            } else {
                node.tell(&Command::ConsentImport { path: inputs.file(&format!("consents-{}.jsonl", node.name)) })?;
            }
            node.tell(&Command::DatasetImport(DatasetImport {
                name: if platform { "enterprises".into() } else { "loans".into() },
                path: inputs.file(&format!("{}.csv", node.name)),
                dictionary: if platform { None } else { dictionary.clone() },
                label: (!platform).then(|| "y".into()),
                identifier: "id".into(),
                cohort: None,
                credit_codes: inputs.credit_codes,
                map: std::collections::BTreeMap::new(),
                misfits_missing: false,
                form: tally_data::CsvForm::default(),
                as_of: "2026-06-30".into(),
            }))?;
        }
        Ok(())
    }

    /// Proposal, approvals, and the wait until the session is closed.
    pub(super) fn session(
        &mut self,
        run: &mut Run,
        inputs: &Inputs,
        arguments: &DemoArguments,
    ) -> Result<String, Failure> {
        self.next("contract", "提出并批准会话合同", run.bytes());
        let proposed = run.platform().tell(&Command::SessionPropose {
            template: arguments.template(),
            dictionary: inputs.dictionary_text()?,
            dataset: "enterprises".into(),
            banks: inputs.banks(),
            patience_seconds: arguments.patience(),
        })?;
        let session = proposed["session"].as_str().unwrap_or_default().to_owned();
        let secret = std::fs::read(run.root.join("secret")).map_err(failure::internal)?;
        let mut kill = arguments.kill.clone();
        if let Some(kill) = &kill
            && !run.nodes.iter().any(|node| node.name == kill.node)
        {
            return Err(failure::usage(format!("--kill {}: there is no such node", kill.node)));
        }
        crate::cli::approve(&run.platform().directory, Some(&session), OPERATOR, None, &secret)?;
        for bank in 1..run.nodes.len() {
            wait_for(&run.nodes[bank], &session, |status| status["stage"] == "proposed")?;
            if bank == 1 {
                self.kill_at(run, &mut kill, "approve", arguments.restart)?;
            }
            crate::cli::approve(&run.nodes[bank].directory, Some(&session), OPERATOR, None, &secret)?;
        }
        self.follow(run, &session, &mut kill, arguments)?;
        Ok(session)
    }

    /// Follows the session on the platform until every node that lives has closed it.
    fn follow(
        &mut self,
        run: &mut Run,
        session: &str,
        kill: &mut Option<Kill>,
        arguments: &DemoArguments,
    ) -> Result<(), Failure> {
        let mut stage = "contract";
        let mut answered = Instant::now();
        loop {
            let status = match status_of(run.platform(), session) {
                Ok(status) => status,
                Err(failure) if answered.elapsed() > Duration::from_secs(30) => return Err(failure),
                Err(_) => {
                    std::thread::sleep(Duration::from_millis(20));
                    continue;
                }
            };
            answered = Instant::now();
            let name = status["stage"].as_str().unwrap_or_default();
            if name == "aborted" {
                let reason = status["reason"].as_str().unwrap_or_default();
                return Err(failure::check(format!("the session stopped: {reason}")));
            }
            let (now, zh) = match name {
                "approved" => ("align", "行键对齐"),
                "aligned" | "prepared" => ("train", "联合训练"),
                "trained" => ("evaluate", "评估"),
                "evaluated" | "released" | "closed" => ("release", "发布模型"),
                _ => ("contract", "提出并批准会话合同"),
            };
            if now != stage {
                stage = now;
                self.next(now, zh, run.bytes());
            }
            self.kill_at(run, kill, stage, arguments.restart)?;
            if name == "closed" && self.everyone_closed(run, session)? {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn everyone_closed(&self, run: &Run, session: &str) -> Result<bool, Failure> {
        for node in run.alive() {
            if status_of(node, session)?["stage"] != "closed" {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn kill_at(
        &mut self,
        run: &mut Run,
        kill: &mut Option<Kill>,
        stage: &str,
        restart: Option<f64>,
    ) -> Result<(), Failure> {
        let Some(Kill { node, .. }) = kill.take_if(|kill| kill.stage == stage) else { return Ok(()) };
        self.bar.println(format!("kill -9 {node} ({stage})"));
        let Some(victim) = run.nodes.iter_mut().find(|one| one.name == node) else { return Ok(()) };
        victim.kill();
        match restart {
            Some(seconds) => {
                std::thread::sleep(Duration::from_secs_f64(seconds.clamp(0.0, 3600.0)));
                victim.start()
            }
            None if node == "platform" => {
                Err(failure::check("the platform was killed and not started again: add --restart"))
            }
            None => {
                run.dead = Some(node);
                Ok(())
            }
        }
    }

    /// Ten applicants, scored through the running nodes of their banks.
    pub(super) fn score(&mut self, run: &Run, inputs: &Inputs) -> Result<Vec<Value>, Failure> {
        self.next("score", "在线评分", run.bytes());
        let banks: Vec<_> = run.alive().filter(|node| node.name != "platform").collect();
        let applicants = banks.iter().map(|bank| inputs.applicants(&bank.name)).collect::<Result<Vec<_>, Failure>>()?;
        let most = applicants.iter().map(Vec::len).max().unwrap_or(0);
        let in_turn =
            (0..most).flat_map(|place| banks.iter().zip(&applicants).map(move |(bank, own)| (bank, own.get(place))));
        let mut scores = Vec::new();
        for (bank, order) in in_turn.filter_map(|(bank, order)| Some((bank, order?))).take(10) {
            let began = Instant::now();
            let mut score = tell_again(bank, &Command::Score(order.clone()))?;
            score["bank"] = json!(bank.name);
            score["milliseconds"] = json!((began.elapsed().as_secs_f64() * 10_000.0).round() / 10.0);
            scores.push(score);
        }
        Ok(scores)
    }

    /// Publishes the logs, reads each node's memory and stops it.
    pub(super) fn stop(&mut self, run: &mut Run) -> Result<Vec<Value>, Failure> {
        self.next("audit", "审计", run.bytes());
        let mut nodes = Vec::new();
        for node in run.alive() {
            let status = node.tell(&Command::Status)?;
            nodes.push(json!({ "name": node.name, "peak_rss_mib": status["peak_rss_mib"], "log_entries": status["log_entries"] }));
        }
        for node in &mut run.nodes {
            node.stop();
        }
        Ok(nodes)
    }

    /// What an auditor does with copies of the logs and the registry.
    pub(super) fn audit(&mut self, run: &Run) -> Result<Value, Failure> {
        let directories: Vec<_> = run.nodes.iter().map(|node| node.directory.clone()).collect();
        crate::cli::audit(&directories, &run.root.join("registry.json"), None)
    }

    /// The same trainer on the pooled tables.
    pub(super) fn compare(
        &mut self,
        run: &Run,
        inputs: &Inputs,
        session: &str,
        results: &[(String, Value)],
    ) -> Result<super::oracle::Comparison, Failure> {
        self.next("compare", "与集中训练逐位比较", run.bytes());
        let shown = run.platform().tell(&Command::SessionShow { session: Some(session.into()) })?;
        super::oracle::compare(inputs, &shown["envelope"], results)
    }
}

fn status_of(node: &Node, session: &str) -> Result<Value, Failure> {
    node.tell(&Command::SessionStatus { session: Some(session.into()) })
}

/// Tells a node something, again for ten seconds where it says that it is too early: a peer that was killed dials again.
fn tell_again(node: &Node, command: &Command) -> Result<Value, Failure> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match node.tell(command) {
            Err(failure) if failure.kind == FailureKind::Retry && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(50));
            }
            told => return told,
        }
    }
}

fn wait_for(node: &Node, session: &str, holds: impl Fn(&Value) -> bool) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match status_of(node, session) {
            Ok(status) if holds(&status) => return Ok(()),
            _ if Instant::now() > deadline => {
                return Err(failure::unavailable(format!("{} did not receive the proposal", node.name)));
            }
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    std::fs::copy(from, to).map(drop).map_err(|error| failure::unwritable(format!("{}: {error}", to.display())))
}

fn write_secret(path: &Path) -> Result<(), Failure> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(failure::internal)?;
    let cannot = |error: std::io::Error| failure::unwritable(format!("{}: {error}", path.display()));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(cannot)?;
    file.write_all(hex::encode(bytes).as_bytes()).map_err(cannot)
}

/// A port that is free now; the platform keeps it over restarts.
fn free_port() -> Result<u16, Failure> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(failure::unavailable)?;
    Ok(listener.local_addr().map_err(failure::unavailable)?.port())
}
