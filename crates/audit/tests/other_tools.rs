//! Logs, proofs and cosignatures under tools that are not ours: Go's `golang.org/x/mod/sumdb` and OpenSSL.
//!
//! `tests/oracle/log/verify.go` and `openssl.sh`; skipped, loudly, where the tools are absent.

#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tally_audit::entry::Body;
use tally_audit::files::{self, Directory, Publisher};
use tally_audit::note::{Checkpoint, Cosigner, Note, vkey};
use tally_audit::proof::Proof;
use tally_audit::witness::AddCheckpoint;
use tally_audit::{Ledger, note};
use tally_crypto::merkle::Frontier;
use tally_crypto::seed::Seed;
use tally_crypto::sign::SigningKey;
use tally_crypto::transcript::Digest;

const ORIGIN: &str = "bank-1";

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&Seed::new([seed; 32]))
}

fn cosigner(number: u8) -> Cosigner {
    Cosigner::new(&format!("witness.example/{number}"), key(number)).unwrap()
}

/// A log of `size` entries, published in two steps, cosigned by two witnesses; its leaves' tree by size.
struct Log {
    folder: tempfile::TempDir,
    entries: Vec<Vec<u8>>,
    roots: Vec<Digest>,
    checkpoint: Note,
}

impl Log {
    fn of(size: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::new(folder.path());
        let (mut ledger, mut entries) = (Ledger::new(ORIGIN), Vec::new());
        let mut publisher = Publisher::resume(&directory, ORIGIN, &key(1).verify_key()).unwrap();
        for size in [size / 2, size] {
            let mut batch = ledger.batch();
            for n in batch.first()..size {
                let object = Digest::of_bytes(&n.to_be_bytes());
                batch.append((n > 0).then_some("session"), n as i64, ORIGIN, Body::AuditAccess { object }).unwrap();
            }
            batch
                .commit(|bytes| {
                    entries.extend_from_slice(bytes);
                    Ok::<_, ()>(())
                })
                .unwrap();
            publisher.append(&directory, &entries[publisher.size() as usize..]).unwrap();
            publisher.seal(&directory, ORIGIN, ledger.root(), &key(1)).unwrap();
        }
        let (mut checkpoint, _) = files::read_checkpoint(&directory, ORIGIN, &key(1).verify_key()).unwrap().unwrap();
        for number in [2, 3] {
            checkpoint.sign(&cosigner(number), 1_764_000_000 + u64::from(number));
        }
        files::write_cosigned(&directory, ORIGIN, &key(1).verify_key(), &checkpoint).unwrap();
        let mut frontier = Frontier::default();
        let mut roots = vec![frontier.root()];
        for entry in &entries {
            frontier.append(tally_crypto::merkle::leaf_hash(entry));
            roots.push(frontier.root());
        }
        Self { folder, entries, roots, checkpoint }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn size(&self) -> u64 {
        self.entries.len() as u64
    }
}

fn oracle(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracle/log").join(name)
}

/// The Go verifier, built; `None` where Go or its module is absent.
fn go_verifier(folder: &Path) -> Option<PathBuf> {
    let module = Path::new("/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog");
    let program = folder.join("verify");
    let built = module.is_dir().then(|| {
        Command::new("go")
            .args(["build", "-o"])
            .args([&program, &oracle("verify.go")])
            .envs([("GO111MODULE", "off"), ("GOPATH", "/usr/share/gocode"), ("GOFLAGS", "")])
            .env("GOCACHE", folder.join("cache"))
            .output()
    });
    match built {
        Some(Ok(output)) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(program)
        }
        _ => {
            eprintln!("SKIPPED: no Go verifier here (Debian: golang-go, golang-golang-x-mod-dev)");
            None
        }
    }
}

fn says(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).trim().to_owned()
}

#[test]
fn go_accepts_our_logs_and_refuses_changed_ones() {
    let build = tempfile::tempdir().unwrap();
    let Some(program) = go_verifier(build.path()) else { return };
    let keys = [
        vkey(ORIGIN, &key(1).verify_key()),
        cosigner(2).verifier_key().to_string(),
        cosigner(3).verifier_key().to_string(),
    ];
    let run = |log: &Path| Command::new(&program).arg("log").arg(log).args(&keys).output().unwrap();
    for size in [0, 1, 2, 255, 256, 257, 511, 512, 700, 1025, 70_000] {
        let log = Log::of(size);
        let output = run(log.path());
        assert!(output.status.success() && says(&output) == "holds", "{size}: {}", says(&output));
    }
    let log = Log::of(700);
    for path in
        ["checkpoint", "tile/entries/000", "tile/entries/002.p/188", "tile/0/001", "tile/0/002.p/188", "tile/1/000.p/2"]
    {
        let file = log.path().join(path);
        let bytes = std::fs::read(&file).unwrap();
        for place in [3, bytes.len() / 2, bytes.len() - 4] {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            std::fs::write(&file, &changed).unwrap();
            assert!(!run(log.path()).status.success(), "{path}, byte {place}");
        }
        std::fs::write(&file, &bytes).unwrap();
    }
    assert!(run(log.path()).status.success());
    let stranger = Command::new(&program).arg("log").arg(log.path()).arg(vkey(ORIGIN, &key(9).verify_key())).output();
    assert!(!stranger.unwrap().status.success());
}

#[test]
fn go_accepts_our_proofs() {
    let build = tempfile::tempdir().unwrap();
    let Some(program) = go_verifier(build.path()) else { return };
    let log = Log::of(700);
    let directory = Directory::new(log.path());
    let (proof_file, entry_file) = (build.path().join("p.tlog-proof"), build.path().join("entry"));
    let prove = |proof: &Proof, entry: &[u8]| {
        std::fs::write(&proof_file, proof.to_string()).unwrap();
        std::fs::write(&entry_file, entry).unwrap();
        let mut command = Command::new(&program);
        command.arg("proof").args([&proof_file, &entry_file]).arg(vkey(ORIGIN, &key(1).verify_key()));
        command.output().unwrap()
    };
    for index in [0, 1, 255, 256, 511, 512, 699] {
        let path = files::inclusion_proof(&directory, index, log.size()).unwrap();
        let proof = Proof { extra: None, index, path, checkpoint: log.checkpoint.clone() };
        let output = prove(&proof, &log.entries[index as usize]);
        assert!(output.status.success(), "{index}: {}", says(&output));
        assert!(!prove(&proof, b"other").status.success());
        assert!(!prove(&Proof { index: (index + 1) % 700, ..proof }, &log.entries[index as usize]).status.success());
    }
    // Consistency, as a witness is asked for it. Go has no notion of an empty tree.
    for old in [1, 2, 100, 255, 256, 257, 512, 699, 700] {
        let proof = files::consistency_proof(&directory, old, log.size()).unwrap();
        let request = AddCheckpoint { old, proof, checkpoint: log.checkpoint.clone() };
        let ask = |root: &Digest| {
            let text = Checkpoint::new("o", 0, *root).text();
            let root = text.lines().nth(2).unwrap();
            std::fs::write(&proof_file, format!("{root}\n{request}")).unwrap();
            Command::new(&program).arg("consistency").arg(&proof_file).output().unwrap()
        };
        let output = ask(&log.roots[old as usize]);
        assert!(output.status.success(), "{old}: {}", says(&output));
        assert!(!ask(&log.roots[old as usize - 1]).status.success());
    }
}

#[test]
fn openssl_accepts_our_signatures() {
    let version = Command::new("openssl").arg("version").output();
    if !version.is_ok_and(|output| says(&output).starts_with("OpenSSL 3")) {
        eprintln!("SKIPPED: no OpenSSL 3 here");
        return;
    }
    let log = Log::of(7);
    let file = log.path().join("checkpoint");
    let run = |key: &str| Command::new("sh").arg(oracle("openssl.sh")).arg(&file).arg(key).output().unwrap();
    let keys = [vkey(ORIGIN, &key(1).verify_key()), cosigner(2).verifier_key().to_string()];
    for key in &keys {
        let output = run(key);
        assert!(output.status.success() && says(&output) == "holds", "{}", says(&output));
    }
    assert!(!run(&cosigner(5).verifier_key().to_string()).status.success(), "has not signed");
    let note = std::fs::read_to_string(&file).unwrap();
    assert!(note::Note::parse(&note).is_ok());
    std::fs::write(&file, note.replacen("\n7\n", "\n8\n", 1)).unwrap();
    for key in &keys {
        assert!(!run(key).status.success());
    }
}
