//! What auditors are handed by the nodes of a session, and what they make of it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tally_crypto::group::{Point, Scalar};
use tally_crypto::seal;
use tally_crypto::seed::Seed;
use tally_crypto::transcript::Digest;

use crate::left::Left;
use crate::program::{done, error_of, last_object, run, text};

const NODES: [&str; 4] = ["platform", "bank-1", "bank-2", "bank-3"];

/// A city after a session and its scores, its nodes running again.
struct City {
    folder: tempfile::TempDir,
    left: Left,
    session: String,
}

impl City {
    fn of(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("city");
        done(&[&["demo", "--keep", text(&root)], arguments].concat());
        // One bank keeps what it puts into sessions, for its auditor.
        let config = root.join("bank-1/node.toml");
        let text_of = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, text_of + "\n[retention]\ninputs_days = 30\n").unwrap();
        let left = Left::start(&root, 3);
        let sessions = done(&["session", "status", "--node", text(&root.join("platform"))]);
        let session = sessions[0]["session"].as_str().unwrap().to_owned();
        Self { folder, left, session }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn registry(&self) -> PathBuf {
        self.left.root.join("registry.json")
    }

    fn evidence(&self, node: &str) -> PathBuf {
        let output = self.path(&format!("evidence-{node}.json"));
        let directory = self.left.directory(node);
        done(&["session", "evidence", &self.session, "--node", text(&directory), "--output", text(&output)]);
        output
    }

    /// Entries of a node's log of one type.
    fn entries(&self, node: &str, kind: &str) -> Vec<Value> {
        let (log, registry) = (self.left.directory(node), self.registry());
        let arguments = ["audit", "trace", text(&log), "--registry", text(&registry)];
        let steps = done(&[arguments.as_slice(), &["--session", &self.session]].concat());
        let steps = steps["steps"].as_array().unwrap();
        steps.iter().filter(|step| step["kind"] == kind).cloned().collect()
    }

    /// Verbs that read all four logs.
    fn over_all_logs(&self, verb: &[&str]) -> Vec<String> {
        let logs = NODES.map(|node| text(&self.left.directory(node)).to_owned());
        let mut arguments: Vec<_> = verb.iter().map(ToString::to_string).collect();
        arguments.extend(logs);
        arguments.extend(["--registry".into(), text(&self.registry()).into()]);
        arguments
    }
}

fn replay(city: &City, evidence: &Path) -> Value {
    let registry = city.registry();
    let mut arguments = vec!["audit", "replay", text(evidence), "--registry", text(&registry), "--json"];
    let logs = NODES.map(|node| city.left.directory(node));
    logs.iter().for_each(|log| arguments.extend(["--log", text(log)]));
    last_object(&run(&arguments))
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_parties_statements_verify_alone_and_the_model_follows_from_the_sums() {
    let mut city = City::of(&["--enterprises", "800"]);
    let evidence = city.evidence("platform");
    let replayed = replay(&city, &evidence);
    assert_eq!(replayed["findings"], Value::Array(Vec::new()), "{replayed}");
    let released = &city.entries("bank-1", "model.release")[0]["says"]["model"];
    assert_eq!((&replayed["model"]["digest"], &replayed["model"]["algorithm"]), (released, &"scorecard".into()));
    assert_eq!(replayed["model"]["signed_by"].as_array().unwrap().len(), 4);
    statements_verify_alone(&city, &evidence);
    another_tool_agrees(&city, &evidence);
    openings_lead_to_one_enterprise(&city);
    a_root_key_opens_no_ended_session(&city, &evidence);
    disclosed_rows_give_the_vectors(&mut city);
}

#[test]
fn boosted_trees_follow_from_the_sums_as_well() {
    let city = City::of(&["--enterprises", "1200", "--model", "trees"]);
    let evidence = city.evidence("platform");
    let replayed = replay(&city, &evidence);
    assert_eq!(replayed["findings"], Value::Array(Vec::new()), "{replayed}");
    let released = &city.entries("bank-3", "model.release")[0]["says"]["model"];
    assert_eq!((&replayed["model"]["digest"], &replayed["model"]["algorithm"]), (released, &"trees".into()));
    // The last round's transcript left out: no model follows.
    let mut value = read(&evidence);
    value["transcripts"].as_array_mut().unwrap().pop();
    std::fs::write(&evidence, value.to_string()).unwrap();
    let replayed = replay(&city, &evidence);
    assert!(replayed["findings"].to_string().contains("transcripts are missing"), "{replayed}");
}

/// Somebody gets a bank's key file and its passphrase later on, with what platform and auditors keep of a session. What the keys
/// of its masks were derived from is not among it.
fn a_root_key_opens_no_ended_session(city: &City, evidence: &Path) {
    let transcripts = read(evidence)["transcripts"].to_string();
    let contract = &city.entries("bank-1", "session.contract")[0]["says"]["contract"];
    let contract: Digest = serde_json::from_value(contract.clone()).unwrap();
    for bank in ["bank-1", "bank-2", "bank-3"] {
        let root = root_of(&city.left.root.join("secret"), &city.left.directory(bank));
        let session = root.derive("node/session", &[contract.as_bytes()]);
        let rounds = session.derive("tallystick/aggregation", &[contract.as_bytes()]);
        for batch in 0u32..4 {
            let first = Scalar::random(&mut rounds.rng("batch", &[&batch.to_be_bytes()]));
            let public = hex::encode(Point::base(&first).unwrap().as_bytes());
            assert!(!transcripts.contains(&public), "{bank}: the masks of batch {batch} come off");
        }
    }
}

/// The root of all of a node's keys, from its key file.
fn root_of(passphrase: &Path, directory: &Path) -> Seed {
    let file = read(&directory.join("keys/node.keys"));
    let bytes = |name: &str| hex::decode(file[name].as_str().unwrap()).unwrap();
    let passphrase = std::fs::read_to_string(passphrase).unwrap();
    let key = seal::key_from_passphrase(passphrase.trim().as_bytes(), &bytes("salt").try_into().unwrap()).unwrap();
    let format = file["format"].as_str().unwrap();
    let secrets = seal::open_at_rest(&key, format.as_bytes(), &bytes("sealed")).unwrap();
    Seed::new(secrets[..32].try_into().unwrap())
}

/// The entry of each statement with its envelope, in one file, at a bank and at the platform.
fn statements_verify_alone(city: &City, evidence: &Path) {
    let registry = city.registry();
    let known = read(&registry);
    let ca_key = known["ca_key"].as_str().unwrap();
    let bank = city.evidence("bank-2");
    assert!(read(&bank)["transcripts"].as_array().unwrap().is_empty());
    for (node, evidence) in [("platform", evidence), ("bank-2", bank.as_path())] {
        let attested = city.entries(node, "attestation");
        let facts: Vec<_> = attested.iter().map(|step| step["says"]["fact"].as_str().unwrap()).collect();
        assert_eq!(facts, ["round-result", "model-release"]);
        let contract = city.entries(node, "session.contract");
        for step in attested.iter().chain(&contract) {
            let (log, file, entry) = (city.left.directory(node), city.path("bundle.json"), step["entry"].to_string());
            let arguments = ["audit", "bundle", "make", "--log", text(&log), "--entry", &entry];
            let more = ["--registry", text(&registry), "--envelope", text(evidence), "--output", text(&file)];
            done(&[arguments.as_slice(), &more].concat());
            let proven = done(&["audit", "bundle", "verify", text(&file), "--ca-key", ca_key]);
            assert_eq!(proven["document"]["signed_by"].as_array().unwrap().len(), 4, "{proven}");
            // Without one of the signatures it does not hold.
            let mut bundle = read(&file);
            bundle["envelope"]["signatures"].as_array_mut().unwrap().pop();
            std::fs::write(&file, bundle.to_string()).unwrap();
            let less = run(&["audit", "bundle", "verify", text(&file), "--ca-key", ca_key]);
            assert!(!less.status.success() && error_of(&less).contains("has not signed it"), "{}", error_of(&less));
        }
    }
}

/// securesystemslib, where it is installed: `TALLYSTICK_PYTHON` names an interpreter that has it.
fn another_tool_agrees(city: &City, evidence: &Path) {
    let python = std::env::var("TALLYSTICK_PYTHON").unwrap_or_else(|_| "python3".into());
    let there = Command::new(&python).args(["-c", "import securesystemslib.dsse"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        // Past the harness, which keeps the output of tests that pass to itself.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {python} has no securesystemslib; see tests/oracle/dsse.py");
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/dsse.py");
    let output = Command::new(&python).arg(script).arg(evidence).arg(city.registry()).output().unwrap();
    assert!(output.status.success(), "{}", error_of(&output));
    assert_eq!(last_object(&output)["signers"], 4);
}

/// The platform and a bank open what their logs commit to of one enterprise; the trace is then of its scores alone.
fn openings_lead_to_one_enterprise(city: &City) {
    let applicants = std::fs::read_to_string(city.left.root.join("inputs/applicants-bank-1.csv")).unwrap();
    let code = applicants.lines().nth(1).unwrap().split(',').next().unwrap().to_owned();
    let secret = city.left.root.join("secret");
    let open = |node: &str, choice: &[&str], file: &Path| {
        let directory = city.left.directory(node);
        let who = ["--operator", "chen", "--secret-file", text(&secret), "--output", text(file), "--json"];
        run(&[&["audit", "open", "--node", text(&directory)], choice, &who].concat())
    };
    let mut lines = String::new();
    for node in ["platform", "bank-1"] {
        let file = city.path(&format!("openings-{node}"));
        let opened = open(node, &["--subject", &code], &file);
        assert!(opened.status.success(), "{}", error_of(&opened));
        let text_of = std::fs::read_to_string(&file).unwrap();
        lines += &text_of;
        // The log has what was disclosed, by its digest, under the name of the operator.
        let object = last_object(&opened)["object"].as_str().unwrap().to_owned();
        let log = city.left.directory(node).join("log");
        // A checkpoint is made every second.
        let entry = format!("\"actor\":\"chen\",\"entry\":{{\"type\":\"audit.access\",\"object\":\"{object}\"");
        assert!((0..100).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            holds(&log, &entry)
        }));
        assert!(!open(node, &["--subject", &code], &file).status.success(), "a file that is there is not written over");
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let openings = city.path("openings");
    std::fs::write(&openings, &lines).unwrap();
    let kinds = |more: &[&str]| -> Vec<String> {
        let mut arguments = city.over_all_logs(&["audit", "trace", "--session", &city.session]);
        arguments.extend(more.iter().map(ToString::to_string));
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let traced = done(&arguments);
        let kind = |step: &Value| step["kind"].as_str().unwrap().to_owned();
        traced["steps"].as_array().unwrap().iter().map(kind).filter(|kind| kind.starts_with("score")).collect()
    };
    let (all, one) = (kinds(&[]), kinds(&["--openings", text(&openings)]));
    // Of each of its scores a request and an answer, at the bank and at the platform.
    let scores = lines.lines().filter(|line| line.contains("\"log\":\"platform\"")).count();
    assert!(scores > 0 && one.len() == 4 * scores, "{one:?}");
    assert!(all.len() > one.len());
    // Another salt opens nothing, and so does a choice that is not of this log.
    std::fs::write(&openings, lines.replacen("\"salt\":\"", "\"salt\":\"00", 1)).unwrap();
    let arguments = city.over_all_logs(&["audit", "trace", "--session", &city.session, "--openings"]);
    let mut arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    arguments.insert(5, text(&openings));
    assert_eq!(run(&arguments).status.code(), Some(1));
    let nothing = open("platform", &["--from", "0", "--to", "3"], &city.path("nothing"));
    assert!(!nothing.status.success() && error_of(&nothing).contains("no commitments"), "{}", error_of(&nothing));
    let stranger = run(&[
        "audit",
        "open",
        "--node",
        text(&city.left.directory("platform")),
        "--from",
        "0",
        "--operator",
        "nobody",
        "--secret-file",
        text(&secret),
        "--output",
        text(&city.path("stranger")),
    ]);
    assert!(!stranger.status.success() && !city.path("stranger").exists());
}

/// A bank discloses what it put into a further session: its vectors follow from its rows.
fn disclosed_rows_give_the_vectors(city: &mut City) {
    let secret = city.left.root.join("secret");
    let disclose = |city: &City, node: &str, file: &Path| {
        let (directory, evidence) = (city.left.directory(node), city.path("beside.json"));
        let what = ["session", "evidence", &city.session, "--node", text(&directory), "--output", text(&evidence)];
        let who = ["--disclose", text(file), "--operator", "chen", "--secret-file", text(&secret)];
        run(&[what.as_slice(), &who].concat())
    };
    let file = city.path("disclosed");
    let erased = disclose(city, "bank-1", &file);
    assert!(!erased.status.success() && error_of(&erased).contains("is not kept"), "{}", error_of(&erased));
    let closed = city.left.session(3, None);
    assert_eq!(closed["stage"], "closed", "{closed}");
    city.session = closed["session"].as_str().unwrap().to_owned();
    city.left.wait("bank-1", &city.session, &["closed"]);
    let told = disclose(city, "bank-1", &file);
    assert!(told.status.success(), "{}", error_of(&told));
    for (node, word) in [("bank-2", "is not kept"), ("platform", "the platform gives no vectors")] {
        let refused = disclose(city, node, &city.path("other"));
        assert!(!refused.status.success() && error_of(&refused).contains(word), "{}", error_of(&refused));
    }
    let (evidence, registry) = (city.evidence("platform"), city.registry());
    let arguments = ["audit", "replay", text(&evidence), "--registry", text(&registry), "--disclosed", text(&file)];
    let replayed = done(&arguments);
    let rounds = replayed["rounds"].as_array().unwrap().len();
    assert!(rounds > 20 && replayed["compared"]["bank-1"] == rounds, "{replayed}");
    // One byte of the rows or secrets changed: nothing else would have given these vectors.
    let mut value = read(&file);
    let digits = value["disclosed"].as_str().unwrap().to_owned();
    let place = digits.len() - 20;
    let other = if digits.as_bytes()[place] == b'0' { "1" } else { "0" };
    value["disclosed"] = format!("{}{other}{}", &digits[..place], &digits[place + 1..]).into();
    std::fs::write(&file, value.to_string()).unwrap();
    let changed = run(&[arguments.as_slice(), &["--json"]].concat());
    assert_eq!(changed.status.code(), Some(1));
    assert!(last_object(&changed)["findings"][0].as_str().unwrap().contains("bank-1"), "{}", last_object(&changed));
}

fn holds(folder: &Path, words: &str) -> bool {
    std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).any(|path| {
        if path.is_dir() {
            holds(&path, words)
        } else {
            std::fs::read(&path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(words))
        }
    })
}
