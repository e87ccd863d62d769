//! A witness over HTTP: what it cosigns, what it refuses, and what it still knows after it was started again.

use tally_audit::files::{Directory, Publisher, consistency_proof};
use tally_audit::note::{Checkpoint, Note, VerifierKey, vkey};
use tally_audit::witness::{AddCheckpoint, Answer};
use tally_audit::{Body, Ledger};
use tally_crypto::seed::Seed;
use tally_crypto::sign::SigningKey;
use tally_crypto::transcript::Digest;
use tokio::runtime::Runtime;

use super::*;

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&Seed::new([n; 32]))
}

/// A log of `size` entries that begins with what `seed` says, and its checkpoint.
struct Log {
    folder: tempfile::TempDir,
    checkpoint: String,
}

impl Log {
    fn of(seed: u8, size: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::new(folder.path());
        let (mut ledger, mut entries) = (Ledger::new("platform"), Vec::new());
        let mut batch = ledger.batch();
        for n in 0..size {
            let object = Digest::of("t", &[&[seed], &n.to_be_bytes()]);
            batch.append(None, 1, "platform", Body::AuditAccess { object }).unwrap();
        }
        batch
            .commit(|bytes| {
                entries = bytes.to_vec();
                Ok::<_, ()>(())
            })
            .unwrap();
        let mut publisher = Publisher::resume(&directory, "platform", &key(1).verify_key()).unwrap();
        publisher.append(&directory, &entries).unwrap();
        publisher.seal(&directory, "platform", ledger.root(), &key(1)).unwrap();
        Self { checkpoint: std::fs::read_to_string(folder.path().join("checkpoint")).unwrap(), folder }
    }

    fn size(&self) -> u64 {
        Checkpoint::parse(Note::parse(&self.checkpoint).unwrap().text()).unwrap().size
    }

    fn request(&self, old: u64) -> Vec<u8> {
        let proof = consistency_proof(&Directory::new(self.folder.path()), old, self.size()).unwrap();
        AddCheckpoint { old, proof, checkpoint: Note::parse(&self.checkpoint).unwrap() }.to_string().into_bytes()
    }
}

struct Served {
    runtime: Runtime,
    url: String,
}

fn serve(folder: &std::path::Path) -> Served {
    let runtime = Runtime::new().unwrap();
    let logs: [VerifierKey; 1] = [vkey("platform", &key(1).verify_key()).parse().unwrap()];
    let public = open(folder, "regulator/witness", key(2), &logs).unwrap();
    let address = public.listen(runtime.handle(), "127.0.0.1:0").unwrap();
    Served { runtime, url: format!("http://{address}") }
}

impl Served {
    fn ask(&self, body: &[u8]) -> Result<Answer, String> {
        let agent = crate::http::agent(std::time::Duration::from_secs(20));
        let mut answer =
            agent.post(format!("{}/add-checkpoint", self.url)).send(body).map_err(|error| error.to_string())?;
        let content_type =
            answer.headers().get("content-type").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = answer.body_mut().read_to_vec().map_err(|error| error.to_string())?;
        Answer::parse(answer.status().as_u16(), content_type.as_deref(), &body).map_err(|error| error.to_string())
    }

    fn stop(self) {
        self.runtime.shutdown_timeout(std::time::Duration::from_secs(20));
    }
}

#[test]
fn it_cosigns_what_goes_on_and_refuses_what_goes_back_or_splits() {
    let folder = tempfile::tempdir().unwrap();
    let (short, long, other) = (Log::of(1, 3), Log::of(1, 7), Log::of(2, 7));
    let witness = serve(folder.path());
    assert!(matches!(witness.ask(&short.request(0)), Ok(Answer::Cosigned(lines)) if lines.len() == 1));
    assert_eq!(witness.ask(&long.request(0)), Ok(Answer::Conflict(3)), "it knows the log by now");
    assert!(matches!(witness.ask(&long.request(3)), Ok(Answer::Cosigned(_))));
    // Back to an earlier history, and to another one, after it was started again.
    witness.stop();
    let witness = serve(folder.path());
    assert_eq!(witness.ask(&short.request(0)), Ok(Answer::Conflict(7)));
    assert_eq!(witness.ask(&other.request(7)), Ok(Answer::Inconsistent));
    assert_eq!(witness.ask(&Log::of(3, 7).request(7)), Ok(Answer::Inconsistent), "and a third one");
    let proofs = std::fs::read_dir(folder.path()).unwrap().flatten();
    let proofs: Vec<_> = proofs.filter(|file| file.file_name().to_string_lossy().starts_with("split-view-")).collect();
    assert_eq!(proofs.len(), 1, "the two checkpoints are kept");
    assert_eq!(witness.ask(b"old 0\n\nnonsense"), Ok(Answer::Malformed));
    assert!(witness.ask(&vec![b'x'; (1 << 20) + 1]).is_err(), "longer than any request");
    let stranger = Note::parse(&long.checkpoint).unwrap().text().replace("platform", "bank-7");
    let mut stranger = Note::new(stranger).unwrap();
    stranger.signatures = Note::parse(&long.checkpoint).unwrap().signatures;
    let unknown = AddCheckpoint { old: 0, proof: Vec::new(), checkpoint: stranger }.to_string();
    assert_eq!(witness.ask(unknown.as_bytes()), Ok(Answer::Unknown));
}

#[test]
fn one_folder_has_one_witness() {
    let folder = tempfile::tempdir().unwrap();
    let _witness = serve(folder.path());
    let again = open(folder.path(), "regulator/witness", key(2), &[]).err().unwrap();
    assert!(again.message.contains(&folder.path().display().to_string()), "{}", again.message);
}

#[test]
fn monitors_read_what_was_cosigned_last() {
    let folder = tempfile::tempdir().unwrap();
    let witness = serve(folder.path());
    witness.ask(&Log::of(1, 3).request(0)).unwrap();
    let agent = crate::http::agent(std::time::Duration::from_secs(20));
    let read = |hash: String| agent.get(format!("{}/{hash}/checkpoint", witness.url)).call().unwrap();
    let text = read(Digest::of_bytes(b"platform").to_string()).body_mut().read_to_string().unwrap();
    assert!(text.starts_with("platform\n3\n") && text.contains("regulator/witness"), "{text}");
    assert_eq!(read(Digest::of_bytes(b"bank-1").to_string()).status().as_u16(), 404);
    assert_eq!(read("x".into()).status().as_u16(), 404);
}

#[test]
fn the_thread_that_asks_brings_the_answer_back() {
    let folder = tempfile::tempdir().unwrap();
    let witness = serve(folder.path());
    let (sender, answers) = std::sync::mpsc::channel();
    let thread = ask("one", &format!("{}/", witness.url), sender);
    thread.send(Log::of(1, 3).request(0)).unwrap();
    let Answered { witness: name, status, body, .. } =
        answers.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
    assert_eq!((name.as_str(), status, String::from_utf8(body).unwrap().lines().count()), ("one", 200, 1));
    thread.send(Log::of(1, 5).request(0)).unwrap();
    let answered = answers.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
    let conflict = Answer::parse(answered.status, answered.content_type.as_deref(), &answered.body);
    assert_eq!(conflict, Ok(Answer::Conflict(3)), "{answered:?}");
}
