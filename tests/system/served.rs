//! Logs over HTTP: what everybody may read, what an auditor may, and a witness that needs no node.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::left::Left;
use crate::program::{copy, done, error_of, run, tallystick, text, until};

/// Status line, headers in lower case, and body of one request.
fn request(address: &str, line: &str, token: Option<&str>) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    write!(stream, "{line} HTTP/1.1\r\nhost: log\r\nconnection: close\r\n{token}\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, answer[end + 4..].to_vec())
}

/// A public witness in a process of its own.
struct Regulator(Child);

impl Regulator {
    fn start(folder: &Path, registry: &Path, secret: &Path) -> Self {
        let _ = std::fs::remove_file(folder.join("address"));
        let serve = ["witness", "serve", "--until-stdin-closes", "--listen", "127.0.0.1:0", "--dir", text(folder)];
        let mut command = tallystick(&serve);
        command.args(["--registry", text(registry), "--secret-file", text(secret)]);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        assert!(until(|| folder.join("address").exists()), "the witness does not listen");
        Self(child)
    }
}

impl Drop for Regulator {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn configure(node: &Path, lines: &str) {
    let path = node.join("node.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let config = config.replace("checkpoint_seconds = 1", &format!("checkpoint_seconds = 1\n{lines}"));
    std::fs::write(path, config).unwrap();
}

/// Numbers of the entries that say that an auditor read the log.
fn accesses(copy: &Path) -> usize {
    let mut count = 0;
    for file in std::fs::read_dir(copy.join("tile/entries")).unwrap().flatten() {
        let path = file.path();
        // A partial bundle whose full one is there counts no more.
        if path.extension().is_some_and(|kind| kind == "p") && path.with_extension("").exists() {
            continue;
        }
        let files = if path.is_dir() { newest(&path) } else { path };
        let bytes = std::fs::read(files).unwrap();
        let wanted = b"\"actor\":\"auditor\",\"entry\":{\"type\":\"audit.access\"";
        count += bytes.windows(wanted.len()).filter(|window| window == wanted).count();
    }
    count
}

/// The widest of partial bundles.
fn newest(folder: &Path) -> std::path::PathBuf {
    let files = std::fs::read_dir(folder).unwrap().flatten();
    files.map(|file| file.path()).max_by_key(|path| path.metadata().unwrap().len()).unwrap()
}

#[test]
fn an_auditor_copies_the_log_over_http_and_everybody_else_sees_its_size() {
    let folder = tempfile::tempdir().unwrap();
    let mut left = Left::of_demo(folder.path(), 8, 600);
    let (platform, registry) = (left.directory("platform"), left.root.join("registry.json"));
    left.stop_gently("platform");
    configure(&platform, "pad = 64\nhttp = \"127.0.0.1:0\"\nhttp_tokens = \"log-tokens\"");
    left.go_on("platform");
    let address = std::fs::read_to_string(platform.join("log.address")).unwrap();
    let token = done(&["audit", "token", "auditor", "--node", text(&platform)])["token"].as_str().unwrap().to_owned();
    assert_eq!(run(&["audit", "token", "auditor", "--node", text(&platform)]).status.code(), Some(77), "shown once");
    assert!(!std::fs::read_to_string(platform.join("log-tokens")).unwrap().contains(&token));

    let (status, head, body) = request(&address, "GET /checkpoint", None);
    assert_eq!((status, &body[..9]), (200, b"platform\n".as_slice()));
    assert!(head.contains("content-type: text/plain; charset=utf-8") && head.contains("no-store"), "{head}");
    for (line, given, expected) in [
        ("GET /tile/entries/000", None, 401),
        ("GET /tile/entries/000", Some("guess"), 401),
        ("GET /tile/entries/000", Some(token.as_str()), 200),
        ("GET /tile/0/000", Some(&token), 200),
        ("GET /tile/0/0", Some(&token), 404),
        ("GET /tile/9/000", Some(&token), 404),
        ("GET /../node.toml", Some(&token), 404),
        ("GET /tile/0/../../../node.toml", Some(&token), 404),
        ("GET /%2e%2e/keys/node.keys", Some(&token), 404),
        ("GET /tile/entries/..%2f..%2f..%2fnode.toml", Some(&token), 404),
        ("GET /.staged", Some(&token), 404),
        ("GET /", Some(&token), 404),
        ("POST /checkpoint", Some(&token), 405),
        ("DELETE /tile/0/000", Some(&token), 405),
    ] {
        assert_eq!(request(&address, line, given).0, expected, "{line}");
    }
    let (_, head, body) = request(&address, "GET /tile/entries/000", Some(&token));
    assert!(
        head.contains("application/octet-stream") && head.contains("private, max-age=31536000, immutable"),
        "{head}"
    );
    assert_eq!(body, std::fs::read(platform.join("log/tile/entries/000")).unwrap());

    let (url, taken) = (format!("http://{address}"), folder.path().join("copy"));
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, &token).unwrap();
    let fetch = ["audit", "fetch", url.as_str(), text(&taken)];
    assert_eq!(run(&fetch).status.code(), Some(77), "without a token");
    let fetch = [fetch.as_slice(), &["--token-file", text(&token_file)]].concat();
    // The entry that tells of the auditor is published, too, and the log is filled up.
    assert!(
        until(|| done(&fetch)["entries"].as_u64().unwrap().is_multiple_of(64) && accesses(&taken) == 1),
        "{}",
        accesses(&taken)
    );
    let again = done(&fetch);
    assert_eq!((again["files"].clone(), accesses(&taken)), (0.into(), 1), "one entry a day, not one a request");
    let verify = ["audit", "verify", text(&taken), "--registry", text(&registry)];
    assert_eq!(done(&verify)["logs"][0]["entries"], again["entries"]);
    let reconciled = run(&["audit", "reconcile", text(&taken), "--registry", text(&registry)]);
    assert!(reconciled.status.success(), "{}", error_of(&reconciled));

    // What a bank is given instead.
    let own = folder.path().join("own.jsonl");
    let party = ["audit", "bundle", "party", "bank-1", "--log", text(&taken), "--registry", text(&registry)];
    let given = done(&[party.as_slice(), &["--output", text(&own)]].concat())["entries"].as_u64().unwrap();
    assert!(given > 10 && given < again["entries"].as_u64().unwrap(), "{given}");
    let lines: Vec<Value> =
        std::fs::read_to_string(&own).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["entry"].as_str().unwrap().contains("bank-1")));
    let ca_key: Value = serde_json::from_str(&std::fs::read_to_string(&registry).unwrap()).unwrap();
    let verify = ["audit", "bundle", "verify", text(&own), "--ca-key", ca_key["ca_key"].as_str().unwrap()];
    assert_eq!(done(&verify)["entries"].as_array().unwrap().len() as u64, given);
}

#[test]
fn a_regulator_cosigns_over_http_and_refuses_a_log_that_was_rolled_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut left = Left::of_demo(folder.path(), 9, 600);
    let (root, secret) = (left.root.clone(), left.root.join("secret"));
    let (platform, registry, policy) = (left.directory("platform"), root.join("registry.json"), root.join("policy"));
    let regulator = folder.path().join("regulator");
    let init = ["witness", "init", "--dir", text(&regulator), "--name", "regulator/witness"];
    let vkey =
        done(&[init.as_slice(), &["--secret-file", text(&secret)]].concat())["vkey"].as_str().unwrap().to_owned();
    let served = Regulator::start(&regulator, &registry, &secret);
    let address = std::fs::read_to_string(regulator.join("address")).unwrap();
    let log = std::fs::read_to_string(platform.join("log.vkey")).unwrap();
    let lines = format!("log {}\nwitness regulator {vkey} http://{address}\nquorum regulator\n", log.trim());
    std::fs::write(&policy, lines).unwrap();
    left.stop_gently("platform");
    configure(&platform, "policy = \"../policy\"");
    left.go_on("platform");
    let verify =
        || run(&["audit", "verify", text(&platform), "--registry", text(&registry), "--policy", text(&policy)]);
    assert!(until(|| verify().status.success()), "{}", error_of(&verify()));

    let code = std::fs::read_to_string(root.join("inputs/applicants-bank-1.csv")).unwrap();
    let code = code.lines().nth(1).unwrap().split(',').next().unwrap().to_owned();
    left.stop_gently("platform");
    let earlier = root.join("earlier");
    copy(&platform, &earlier);
    left.go_on("platform");
    done(&["subject", "report", &code, "--node", text(&platform)]);
    let size = |node: &Path| {
        let checkpoint = std::fs::read_to_string(node.join("log/checkpoint")).unwrap();
        checkpoint.lines().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = size(&earlier);
    assert!(until(|| size(&platform) > before && verify().status.success()), "{}", error_of(&verify()));
    left.stop_gently("platform");
    std::fs::remove_dir_all(&platform).unwrap();
    std::fs::rename(&earlier, &platform).unwrap();
    left.go_on("platform");
    done(&["subject", "report", &code, "--node", text(&platform)]);
    assert!(until(|| size(&platform) > before));
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        assert!(!verify().status.success() || size(&platform) == before, "a rolled back log was cosigned");
        std::thread::sleep(Duration::from_millis(200));
    }
    drop(served);
}
