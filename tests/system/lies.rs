//! Logs of real nodes, rewritten by their owners and signed again: every fault is found, and its owner named.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tally_audit::files::{Directory, Publisher, read_checkpoint, write_cosigned};
use tally_audit::note::Cosigner;
use tally_audit::reconcile::Kind;
use tally_audit::verify::{VerifiedLog, verify_log};
use tally_audit::{Body, Entry, Ledger, Registry};
use tally_crypto::seal;
use tally_crypto::seed::Seed;
use tally_crypto::sign::SigningKey;
use tally_crypto::transcript::Digest;

use crate::left::Left;
use crate::program::{done, error_of, last_object, run, text};

#[path = "../../crates/audit/src/reconcile/lies.rs"]
mod catalogue;

use catalogue::{Told, catalogue};

const NODES: [&str; 4] = ["platform", "bank-1", "bank-2", "bank-3"];

/// A code that has consented to nobody.
const STRANGER: &str = "91440300708461136T";

/// What an auditor has: copies of four logs after a session, scores and refusals.
struct Copies {
    folder: tempfile::TempDir,
    root: PathBuf,
    registry: Registry,
    logs: Vec<VerifiedLog>,
}

impl Copies {
    fn of_a_demo() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut left = Left::of_demo(folder.path(), 5, 700);
        let request = folder.path().join("request.json");
        let asked = json!({ "id": STRANGER, "purpose": "loan-underwriting", "fields": { "interest_rate": 6.5 } });
        std::fs::write(&request, asked.to_string()).unwrap();
        for bank in &NODES[1..] {
            let directory = left.directory(bank);
            let ask = || error_of(&run(&["score", "one", "--node", text(&directory), "--request", text(&request)]));
            for _ in 0..3 {
                // The platform may not be back yet.
                let mut answers = (0..300).map(|_| {
                    std::thread::sleep(std::time::Duration::from_millis(50));
                    ask()
                });
                let answer = answers.find(|answer| !answer.contains("out of reach")).unwrap();
                assert!(answer.contains("no-consent"), "{answer}");
            }
        }
        NODES.iter().rev().for_each(|node| left.stop_gently(node));
        let root = left.root.clone();
        let registry = Registry::parse(&std::fs::read_to_string(root.join("registry.json")).unwrap()).unwrap();
        let logs = NODES.map(|node| verify_log(&root.join(node), &registry).unwrap());
        Self { folder, root, registry, logs: logs.into() }
    }

    fn log(&self, owner: &str) -> &VerifiedLog {
        self.logs.iter().find(|log| log.party == owner).unwrap()
    }

    /// The owner's own keys: what it signs with again.
    fn key(&self, owner: &str, use_of: &str) -> SigningKey {
        let read = |path: &Path| std::fs::read(path).unwrap();
        let file: Value = serde_json::from_slice(&read(&self.root.join(owner).join("keys/node.keys"))).unwrap();
        let field = |name: &str| hex::decode(file[name].as_str().unwrap()).unwrap();
        let passphrase = std::fs::read_to_string(self.root.join("secret")).unwrap();
        let key =
            seal::key_from_passphrase(passphrase.trim_end().as_bytes(), &field("salt").try_into().unwrap()).unwrap();
        let context = file["format"].as_str().unwrap().as_bytes();
        let secrets = seal::open_at_rest(&key, context, &field("sealed")).unwrap();
        SigningKey::from_seed(&Seed::new(secrets[..32].try_into().unwrap()).derive(use_of, &[]))
    }

    /// The owner's log with other entries, as it would write and sign it now.
    fn rewrite(&self, owner: &str, entries: Vec<Entry>) -> PathBuf {
        let (mut ledger, mut kept) = (Ledger::new(owner), Vec::new());
        let mut batch = ledger.batch();
        for entry in entries {
            batch.append(entry.session.as_deref(), entry.time, &entry.actor, entry.body).unwrap();
        }
        let keep = |bytes: &[Vec<u8>]| {
            kept = bytes.to_vec();
            Ok::<_, ()>(())
        };
        batch.commit(keep).unwrap();
        self.publish(owner, &kept, ledger.root())
    }

    fn publish(&self, owner: &str, entries: &[Vec<u8>], root: Digest) -> PathBuf {
        let path = self.folder.path().join("lying");
        if path.exists() {
            std::fs::remove_dir_all(&path).unwrap();
        }
        let (folder, key) = (Directory::new(&path), self.key(owner, "node/log"));
        let mut publisher = Publisher::resume(&folder, owner, &key.verify_key()).unwrap();
        publisher.append(&folder, entries).unwrap();
        publisher.seal(&folder, owner, root, &key).unwrap();
        path
    }

    /// Runs a verb over all logs, `lying` in the place of its owner's.
    fn audit(&self, verb: &str, lying: Option<(&str, &Path)>, more: &[&str]) -> (Option<i32>, Value) {
        let registry = self.root.join("registry.json");
        let place = |node: &&str| match lying {
            Some((owner, path)) if owner == *node => path.to_owned(),
            _ => self.root.join(node),
        };
        let logs: Vec<_> = NODES.iter().map(place).collect();
        let mut arguments = vec!["audit", verb, "--json", "--registry", text(&registry)];
        logs.iter().for_each(|log| arguments.push(text(log)));
        let output = run(&[arguments.as_slice(), more].concat());
        (output.status.code(), last_object(&output))
    }

    /// What `audit reconcile` finds once `owner` has written its log again.
    fn faults(&self, owner: &str, lying: &Path) -> Vec<Value> {
        let (code, value) = self.audit("reconcile", Some((owner, lying)), &[]);
        assert_eq!((code, &value["reconciled"]), (Some(1), &json!(false)), "{value}");
        let findings = value["findings"].as_array().unwrap().iter();
        findings.filter(|finding| finding["severity"] == "fault").cloned().collect()
    }
}

#[test]
fn every_planted_fault_is_found_in_the_logs_of_real_nodes() {
    let copies = Copies::of_a_demo();
    honest_logs_agree(&copies);
    two_copies_of_one_log(&copies);
    for Told { owner, kind, lie } in catalogue() {
        let mut told = 0;
        let entries = copies.log(owner).entries.iter().flat_map(|entry| match lie(&entry.body) {
            Some(bodies) => {
                told += 1;
                bodies.into_iter().map(|body| Entry { body, ..entry.clone() }).collect()
            }
            None => vec![entry.clone()],
        });
        let entries: Vec<_> = entries.collect();
        assert!(told > 0, "{kind:?} by {owner} was never told");
        let lying = copies.rewrite(owner, entries);
        let faults = copies.faults(owner, &lying);
        let kind = json!(kind);
        let found = faults.iter().any(|fault| fault["kind"] == kind && fault["parties"] == json!([owner]));
        assert!(found, "{kind} by {owner}: {faults:#?}");
        named_alone(owner, &faults);
    }
    what_leaves_no_other_trace_than_lost_receipts(&copies);
    what_a_log_shows_by_itself(&copies);
    a_history_that_was_not_cosigned(&copies);
}

fn named_alone(owner: &str, faults: &[Value]) {
    let other = faults.iter().find(|fault| fault["parties"] != json!([owner]));
    assert_eq!(other, None, "{owner} lied: {faults:#?}");
    assert!(faults.iter().all(|fault| fault["advice"].is_string() && fault["log"].is_string()));
}

fn honest_logs_agree(copies: &Copies) {
    for verb in ["verify", "reconcile"] {
        let (code, value) = copies.audit(verb, None, &[]);
        assert_eq!((code, &value["reconciled"], &value["findings"]), (Some(0), &json!(true), &json!([])), "{value}");
    }
    let (_, value) = copies.audit("reconcile", None, &[]);
    let traffic = value["traffic"].as_array().unwrap();
    assert_eq!(traffic.len(), 6, "each bank with the platform, both ways: {value}");
    assert!(traffic.iter().all(|pair| pair["sent_bytes"] == pair["taken_bytes"] && pair["sent"] == pair["taken"]));
    let (_, traced) = copies.audit("trace", None, &["--bank", "bank-2", "--dataset", "enterprises"]);
    let steps = traced["steps"].as_array().unwrap();
    let kinds: Vec<_> = steps.iter().filter(|step| step["log"] == "platform").map(|step| &step["kind"]).collect();
    for kind in
        ["dataset.commit", "session.contract", "clearance", "feature.disclose", "egress", "model.release", "decision"]
    {
        assert!(kinds.contains(&&json!(kind)), "{kind}: {kinds:?}");
    }
    assert!(steps.iter().all(|step| step["proof"].as_str().unwrap().starts_with("c2sp.org/tlog-proof@v1")));
    let page = copies.folder.path().join("report.html");
    let (code, report) = copies.audit("report", None, &["--html", text(&page)]);
    assert_eq!(code, Some(0));
    let usage = report["usage"].as_array().unwrap();
    // A score counts for each provider of its session.
    let tax = usage.iter().filter(|one| one["provider"] == usage[0]["provider"]);
    let scored: u64 = tax.filter_map(|one| one["scores_given"].as_u64()).sum();
    assert_eq!(scored, 10, "{report}");
    let denied: u64 = report["denials"].as_array().unwrap().iter().filter_map(|one| one["scores"].as_u64()).sum();
    assert_eq!(denied, 9, "{report}");
    assert!(std::fs::read_to_string(&page).unwrap().contains("no consent"));
}

/// An older copy beside a newer one is no second log; a copy of another history convicts its owner.
fn two_copies_of_one_log(copies: &Copies) {
    let entries = &copies.log("bank-2").entries;
    let older = copies.rewrite("bank-2", entries[..entries.len() - 2].to_vec());
    for verb in ["verify", "reconcile"] {
        let (code, value) = copies.audit(verb, None, &[text(&older)]);
        assert_eq!((code, &value["findings"]), (Some(0), &json!([])), "{value}");
    }
    let mut other = entries.clone();
    other.last_mut().unwrap().actor.push('x');
    let other = copies.rewrite("bank-2", other);
    let (code, value) = copies.audit("reconcile", None, &[text(&other)]);
    let finding = &value["findings"][0];
    assert_eq!(
        (code, &finding["kind"], &finding["parties"]),
        (Some(1), &json!("forked"), &json!(["bank-2"])),
        "{value}"
    );
    let (registry, first) = (copies.root.join("registry.json"), copies.root.join("bank-2"));
    let both = ["audit", "report", text(&other), text(&first), "--registry", text(&registry)];
    assert!(error_of(&run(&both)).contains("two copies differ"));
}

/// Changes that contradict nothing else: peers have receipts of the entries that follow.
fn what_leaves_no_other_trace_than_lost_receipts(copies: &Copies) {
    type Change = fn(&mut Vec<Entry>);
    let denial = |entry: &Entry| matches!(entry.body, Body::Decision { allow: false, .. });
    assert!(copies.log("platform").entries.iter().filter(|entry| denial(entry)).count() == 9);
    let changes: [(&str, Change); 6] = [
        // A denial that was deleted, or turned into another one.
        ("platform", |entries| {
            let place = entries.iter().position(|entry| matches!(entry.body, Body::Decision { allow: false, .. }));
            entries.remove(place.unwrap());
        }),
        ("platform", |entries| {
            entries.iter_mut().for_each(|entry| {
                if let Body::Decision { failed: Some(failed), .. } = &mut entry.body {
                    *failed = "expired".into();
                }
            });
        }),
        // Rows that were denied, rows of the rest.
        ("platform", |entries| {
            entries.iter_mut().for_each(|entry| {
                if let Body::Clearance { denied, .. } = &mut entry.body {
                    denied.clear();
                }
            });
        }),
        // An approval that was not there, a stage that was reached earlier.
        ("bank-1", |entries| {
            let place = entries.iter().position(|entry| matches!(entry.body, Body::OperatorApprove { .. })).unwrap();
            entries[place].actor = "li".into();
        }),
        ("bank-2", |entries| {
            let place = entries.iter().position(|entry| matches!(entry.body, Body::SessionState { .. })).unwrap();
            entries.remove(place);
        }),
        // Another version of the consents.
        ("bank-3", |entries| {
            entries.iter_mut().for_each(|entry| {
                if let Body::ConsentSet { set, .. } = &mut entry.body {
                    *set = Digest::default();
                }
            });
        }),
    ];
    for (number, (owner, change)) in changes.into_iter().enumerate() {
        let mut entries = copies.log(owner).entries.clone();
        change(&mut entries);
        let lying = copies.rewrite(owner, entries);
        let faults = copies.faults(owner, &lying);
        assert!(faults.iter().any(|fault| fault["kind"] == "rewritten"), "change {number}: {faults:#?}");
        named_alone(owner, &faults);
        // `audit verify` says the same in words, and holds the log itself for whole.
        let (code, verified) = copies.audit("verify", Some((owner, &lying)), &[]);
        assert_eq!((code, &verified["verified"], &verified["reconciled"]), (Some(1), &json!(true), &json!(false)));
        assert!(verified["findings"].to_string().contains(owner), "{verified}");
    }
    // Bytes that do not add up show in both counters as well.
    let mut entries = copies.log("bank-3").entries.clone();
    let place = entries.iter().position(|entry| matches!(entry.body, Body::Ingress(_))).unwrap();
    if let Body::Ingress(passage) = &mut entries[place].body {
        passage.bytes -= 1;
    }
    let lying = copies.rewrite("bank-3", entries);
    let faults = copies.faults("bank-3", &lying);
    assert!(faults.iter().any(|fault| fault["kind"] == "message-differs" && fault["log"] == "platform"), "{faults:#?}");
    named_alone("bank-3", &faults);
    let (_, value) = copies.audit("reconcile", Some(("bank-3", &lying)), &[]);
    let pair =
        value["traffic"].as_array().unwrap().iter().find(|pair| pair["from"] == "platform" && pair["to"] == "bank-3");
    let bytes = |name: &str| pair.unwrap()[name].as_u64().unwrap();
    assert_eq!(bytes("sent_bytes"), bytes("taken_bytes") + 1);
}

/// What its owner did not even chain again does not verify: the file and the entry are named.
fn what_a_log_shows_by_itself(copies: &Copies) {
    let owner = "bank-2";
    let log = copies.log(owner);
    let place = log.entries.iter().position(|entry| matches!(entry.body, Body::RoundResult { .. })).unwrap();
    let encoded = |entries: &[Entry]| -> Vec<Vec<u8>> { entries.iter().map(Entry::encode).collect() };
    let root = |entries: &[Vec<u8>]| {
        let leaves: Vec<_> = entries.iter().map(|bytes| tally_crypto::merkle::leaf_hash(bytes)).collect();
        tally_crypto::merkle::root(&leaves)
    };
    let mut without = log.entries.clone();
    without.remove(place);
    let mut other = log.entries.clone();
    other[place].actor = "li".into();
    let mut changed = log.entries.clone();
    if let Body::RoundResult { sums, .. } = &mut changed[place].body {
        *sums = Digest::default();
    }
    for (entries, reason) in [
        (without, "carries another version, place or node"),
        (other, "does not follow the session's entry before"),
        (changed, "does not follow the session's entry before"),
    ] {
        let entries = encoded(&entries);
        let lying = copies.publish(owner, &entries, root(&entries));
        let (code, value) = copies.audit("verify", Some((owner, &lying)), &[]);
        assert_eq!((code, &value["verified"]), (Some(1), &json!(false)), "{value}");
        let findings = value["findings"].to_string();
        assert!(findings.contains(reason) && findings.contains("lying/tile/entries"), "{findings}");
    }
    // A key that the registry does not name.
    let entries = encoded(&log.entries);
    let lying = copies.publish(owner, &entries, log.root);
    let checkpoint = std::fs::read_to_string(lying.join("checkpoint")).unwrap();
    let stranger = std::fs::read_to_string(copies.root.join("bank-3/log/checkpoint")).unwrap();
    let signature = |note: &str| note.lines().find(|line| line.starts_with('\u{2014}')).unwrap().to_owned();
    std::fs::write(lying.join("checkpoint"), checkpoint.replace(&signature(&checkpoint), &signature(&stranger)))
        .unwrap();
    let (code, value) = copies.audit("verify", Some((owner, &lying)), &[]);
    assert!(code == Some(1) && value["findings"].to_string().contains("no valid signature by `bank-2`"), "{value}");
}

/// Under a policy a log is worth what its witnesses have seen: the one that was written again has no cosignature.
fn a_history_that_was_not_cosigned(copies: &Copies) {
    let owner = "platform";
    let log = copies.root.join(owner).join("log");
    let (folder, key) = (Directory::new(&log), copies.key(owner, "node/log"));
    let witness = Cosigner::new("bank-1", copies.key("bank-1", "node/witness")).unwrap();
    let policy = copies.folder.path().join("policy");
    let vkey = |node: &str, file: &str| std::fs::read_to_string(copies.root.join(node).join(file)).unwrap();
    let witness_key = witness.verifier_key();
    let lines = format!("log {}\nwitness one {witness_key}\nquorum one\n", vkey(owner, "log.vkey").trim());
    std::fs::write(&policy, lines).unwrap();
    let verify = |log: &Path| run(&["audit", "verify", "--json", "--policy", text(&policy), text(log)]);
    let gap = verify(&log);
    assert_eq!(gap.status.code(), Some(1), "nobody has cosigned yet");
    assert!(last_object(&gap)["findings"].to_string().contains("quorum"), "{}", last_object(&gap));
    let (mut note, _) = read_checkpoint(&folder, owner, &key.verify_key()).unwrap().unwrap();
    note.sign(&witness, 1_795_000_000);
    write_cosigned(&folder, owner, &key.verify_key(), &note).unwrap();
    let whole = verify(&log);
    assert!(whole.status.success(), "{}", last_object(&whole));
    assert_eq!(last_object(&whole)["logs"][0]["cosigned"][0]["witness"], "one");
    let mut entries = copies.log(owner).entries.clone();
    entries.retain(|entry| !matches!(entry.body, Body::Decision { allow: false, .. }));
    let lying = copies.rewrite(owner, entries);
    assert_eq!(verify(&lying).status.code(), Some(1));
    // Nor does the cosignature of the other history help.
    let line = note.to_string().lines().last().unwrap().to_owned();
    let checkpoint = std::fs::read_to_string(lying.join("checkpoint")).unwrap();
    std::fs::write(lying.join("checkpoint"), format!("{checkpoint}{line}\n")).unwrap();
    assert_eq!(verify(&lying).status.code(), Some(1));
    let _ = done(&["audit", "verify", text(&log), "--registry", text(&copies.root.join("registry.json"))]);
    assert_eq!(copies.registry.parties.len(), 4);
}
