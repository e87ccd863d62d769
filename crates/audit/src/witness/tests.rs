use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use tally_crypto::seed::Seed;
use tally_crypto::sign::SigningKey;
use tally_crypto::transcript::Digest;

use super::*;
use crate::note::{COSIGNATURE, Checkpoint, Cosigner, ED25519, LogSigner, Note, VerifierKey, standard_verifier};
use crate::policy::Policy;
use tally_crypto::merkle::{consistency_proof, leaf_hash, root};

const ORIGIN: &str = "example.com/log";

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&Seed::new([seed; 32]))
}

fn log_key() -> VerifierKey {
    VerifierKey::new(ORIGIN, ED25519, key(1).verify_key().as_bytes()).unwrap()
}

fn witness_key(number: u8) -> VerifierKey {
    VerifierKey::new(&format!("witness/{number}"), COSIGNATURE, key(number).verify_key().as_bytes()).unwrap()
}

fn witness(number: u8, seen: Option<Seen>) -> Witness {
    let cosigner = Cosigner::new(&format!("witness/{number}"), key(number)).unwrap();
    Witness::new(vec![Box::new(cosigner)], vec![LogKey::new(&log_key()).unwrap()], seen)
}

/// A history of a log: leaves of one kind, then of another.
fn leaves(size: u64, fork: u64, branch: u8) -> Vec<Digest> {
    (0..size).map(|n| leaf_hash(&[n.to_be_bytes().as_slice(), &[if n < fork { 0 } else { branch }]].concat())).collect()
}

fn signed(leaves: &[Digest]) -> Note {
    let mut note = Note::new(Checkpoint::new(ORIGIN, leaves.len() as u64, root(leaves)).text()).unwrap();
    note.sign(&LogSigner::new(ORIGIN, &key(1)), 0);
    note
}

fn request(old: u64, leaves: &[Digest]) -> AddCheckpoint {
    let proof = if old <= leaves.len() as u64 { consistency_proof(leaves, old as usize) } else { Vec::new() };
    AddCheckpoint { old, proof, checkpoint: signed(leaves) }
}

fn ask(witness: &mut Witness, request: &AddCheckpoint, now: u64) -> Result<Answer, Refusal> {
    let pending = witness.add_checkpoint(request.to_string().as_bytes(), now)?;
    Ok(pending.persist(|_| Ok::<_, ()>(())).unwrap())
}

fn refused(witness: &mut Witness, request: &AddCheckpoint) -> Answer {
    ask(witness, request, 9).unwrap_err().answer
}

#[test]
fn a_growing_log_is_cosigned() {
    let mut witness = witness(9, None);
    assert!(witness.seen(ORIGIN).is_none());
    let mut old = 0;
    for size in [0, 1, 5, 5, 300] {
        let history = leaves(size, size, 0);
        let Answer::Cosigned(lines) = ask(&mut witness, &request(old, &history), 1000 + size).unwrap() else {
            panic!()
        };
        let mut note = signed(&history);
        lines.into_iter().for_each(|line| note.add(line));
        let cosigner = standard_verifier(&witness_key(9)).unwrap();
        let stated = note.verify(&[cosigner.as_ref()]).unwrap()[0].unwrap();
        assert_eq!(stated.time, Some(1000 + size));
        let hash = Digest::of_bytes(ORIGIN.as_bytes());
        assert_eq!(witness.checkpoint(&hash), Some(note.to_string().as_str()), "what monitors read");
        old = size;
    }
    assert_eq!(witness.checkpoint(&Digest::default()), None);
    // The clock goes back; time does not.
    let Answer::Cosigned(lines) = ask(&mut witness, &request(300, &leaves(300, 300, 0)), 0).unwrap() else { panic!() };
    assert_eq!(lines[0].signature[..8], 1300u64.to_be_bytes());
}

#[test]
fn each_fault_has_its_status() {
    let mut witness = witness(9, None);
    let history = leaves(20, 20, 0);
    ask(&mut witness, &request(0, &history[..10]), 9).unwrap();
    let good = request(10, &history);
    assert_eq!(refused(&mut witness, &request(0, &history)), Answer::Conflict(10));
    assert_eq!(refused(&mut witness, &request(9, &history)), Answer::Conflict(10));
    assert_eq!(refused(&mut witness, &request(5, &history[..5])), Answer::Conflict(10), "a rollback");
    assert_eq!(refused(&mut witness, &request(21, &history)), Answer::Malformed);
    assert_eq!(refused(&mut witness, &AddCheckpoint { proof: vec![], ..good.clone() }), Answer::Inconsistent);
    let mut longer = good.clone();
    longer.proof.push(Digest::default());
    assert_eq!(refused(&mut witness, &longer), Answer::Inconsistent);
    // Nobody's log, an unsigned one, one whose line is wrong, one signed by a stranger under its name.
    let mut other = Note::new(Checkpoint::new("other", 20, root(&history)).text()).unwrap();
    other.sign(&LogSigner::new("other", &key(1)), 0);
    assert_eq!(refused(&mut witness, &AddCheckpoint { checkpoint: other, ..good.clone() }), Answer::Unknown);
    let mut wrong = good.clone();
    wrong.checkpoint.signatures[0].signature[7] ^= 1;
    assert_eq!(refused(&mut witness, &wrong), Answer::Forbidden);
    let mut stranger = Note::new(good.checkpoint.text().into()).unwrap();
    stranger.sign(&LogSigner::new(ORIGIN, &key(2)), 0);
    assert_eq!(
        refused(&mut witness, &AddCheckpoint { checkpoint: stranger.clone(), ..good.clone() }),
        Answer::Forbidden
    );
    // A stranger's line beside the right one is ignored, and not kept.
    stranger.add(good.checkpoint.signatures[0].clone());
    ask(&mut witness, &AddCheckpoint { checkpoint: stranger, ..good }, 9).unwrap();
    let kept = Note::parse(&witness.seen(ORIGIN).unwrap().checkpoint).unwrap();
    assert_eq!(kept.signatures.iter().map(|line| line.name.as_str()).collect::<Vec<_>>(), [ORIGIN, "witness/9"]);
    // An empty tree has one root.
    let empty = Note::new(Checkpoint::new(ORIGIN, 0, Digest::default()).text()).map(|mut note| {
        note.sign(&LogSigner::new(ORIGIN, &key(1)), 0);
        note
    });
    let mut fresh = super::tests::witness(9, None);
    let empty = AddCheckpoint { old: 0, proof: vec![], checkpoint: empty.unwrap() };
    assert_eq!(refused(&mut fresh, &empty), Answer::Inconsistent);
    let proven = AddCheckpoint { proof: vec![Digest::default()], ..request(0, &history) };
    assert_eq!(refused(&mut fresh, &proven), Answer::Inconsistent);
    for body in ["", "old 1\n", "old 01\n\n", "old -1\n\nx\n", "new 1\n\n", "old 1\nAA==\n\n", "old 1\r\n\r\n"] {
        assert_eq!(fresh.add_checkpoint(body.as_bytes(), 9).err().unwrap().answer, Answer::Malformed, "{body:?}");
    }
    assert_eq!(fresh.add_checkpoint(&[0xff], 9).err().unwrap().answer, Answer::Malformed);
    assert!(fresh.seen(ORIGIN).is_none());
}

#[test]
fn two_roots_of_one_size_are_kept_as_proof() {
    let mut witness = witness(9, None);
    ask(&mut witness, &request(0, &leaves(10, 10, 0)), 9).unwrap();
    for old in [10, 0] {
        let other = request(old, &leaves(10, 4, 1));
        let mut dressed = other.clone();
        dressed.checkpoint.sign(&LogSigner::new("anybody", &key(3)), 0);
        let refusal = ask(&mut witness, &dressed, 9).unwrap_err();
        let split = refusal.split_view.unwrap();
        assert_eq!(split.origin(), ORIGIN);
        assert_eq!(split.refused, other.checkpoint.to_string(), "lines of strangers make no other proof");
        let head = |text: &str| Checkpoint::open(text, ORIGIN, &key(1).verify_key()).unwrap();
        let (one, two) = (head(&split.cosigned), head(&split.refused));
        assert_eq!(one.size, two.size);
        assert_ne!(one.root, two.root);
    }
}

#[test]
fn no_answer_without_a_durable_state() {
    let mut witness = witness(9, None);
    let first = request(0, &leaves(10, 10, 0)).to_string();
    let pending = witness.add_checkpoint(first.as_bytes(), 9).unwrap();
    assert_eq!(pending.next().size, 10);
    assert_eq!(pending.persist(|_| Err("disk full")), Err("disk full"));
    assert!(witness.seen(ORIGIN).is_none());
    drop(witness.add_checkpoint(first.as_bytes(), 9).unwrap());
    assert!(witness.seen(ORIGIN).is_none());
    let mut kept = None;
    let pending = witness.add_checkpoint(first.as_bytes(), 9).unwrap();
    let keep = |seen: &Seen| {
        kept = Some(seen.clone());
        Ok::<_, ()>(())
    };
    pending.persist(keep).unwrap();
    // Killed right after: the witness that starts again knows it.
    let kept: Seen = serde_json::from_str(&serde_json::to_string(&kept.unwrap()).unwrap()).unwrap();
    let mut again = super::tests::witness(9, Some(kept));
    assert_eq!(refused(&mut again, &request(0, &leaves(12, 12, 0))), Answer::Conflict(10));
    assert_eq!(refused(&mut again, &request(10, &leaves(12, 3, 1))), Answer::Inconsistent);
    assert!(ask(&mut again, &request(10, &leaves(12, 12, 0)), 9).is_ok());
}

#[test]
fn messages_are_those_of_the_specification() {
    // The request and the answer of the specification, but for signatures it does not show in full.
    let example = "old 20852014\n\
        PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\
        jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\
        5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n\
        /6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\
        \n\
        example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
        \u{2014} example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=\n";
    let read = AddCheckpoint::parse(example.as_bytes()).unwrap();
    assert_eq!((read.old, read.proof.len(), read.checkpoint.signatures.len()), (20_852_014, 4, 2));
    assert_eq!(read.to_string(), example);
    let answer = "\u{2014} witness.example/w1 CMp+6LWBU0anHGH5aNDTJkH/gj79sG+T6+iP2ThYN5krrDJbR1HDnucjL39QsZTSvVjyQLrdk3DXDqI5G2HgLatVs0pWh6Up69HVOw==\n\
        \u{2014} witness.example/w2 AWui8Sk55XjYLOijihBjhqEH6nS1ndDymE0a+6idX7pLcnoB+dhnz0854aLZgrrKbYKA7nC3HNJhm/kWl7oJlqU3rXXvpysAdyP3wQ==\n";
    let read = Answer::parse(200, None, answer.as_bytes()).unwrap();
    assert_eq!((read.status(), read.body()), (200, answer.into()));
    for other in
        [Answer::Malformed, Answer::Forbidden, Answer::Unknown, Answer::Conflict(20_852_014), Answer::Inconsistent]
    {
        let read = Answer::parse(other.status(), other.content_type(), other.body().as_bytes());
        assert_eq!(read, Ok(other));
    }
    assert_eq!((Answer::Conflict(7).body(), Answer::Conflict(7).status()), ("7\n".into(), 409));
    for (status, kind, body) in [
        (200, None, ""),
        (200, None, "ok\n"),
        (200, None, answer.trim_end()),
        (201, None, answer),
        (409, None, "7\n"),
        (409, Some(SIZE_TYPE), "7"),
        (409, Some(SIZE_TYPE), "07\n"),
        (409, Some(SIZE_TYPE), ""),
        (500, None, ""),
    ] {
        assert!(Answer::parse(status, kind, body.as_bytes()).is_err(), "{status} {body:?}");
    }
}

fn policy() -> Policy {
    let witnesses: String = (1..=3).map(|n| format!("witness w{n} {}\n", witness_key(n + 10))).collect();
    Policy::parse(format!("log {}\n{witnesses}group two 2 w1 w2 w3\nquorum two\n", log_key()).as_bytes()).unwrap()
}

/// Asks until the witness cosigns or refuses.
fn collect(
    collector: &mut Collector,
    name: &str,
    witness: &mut Witness,
    history: &[Digest],
) -> Result<(), CollectorError> {
    loop {
        let proof = |old, _| Ok::<_, ()>(consistency_proof(history, old as usize));
        let request = collector.request(name, proof).unwrap();
        let answer = ask(witness, &request, 50).unwrap_or_else(|refusal| refusal.answer);
        let answer = Answer::parse(answer.status(), answer.content_type(), answer.body().as_bytes()).unwrap();
        if collector.answer(name, answer)? == Progress::Cosigned {
            return Ok(());
        }
    }
}

#[test]
fn cosignatures_are_collected_until_the_quorum_holds() {
    let policy = Arc::new(policy());
    let mut witnesses: Vec<_> = (11..=13).map(|number| witness(number, None)).collect();
    let history = leaves(40, 40, 0);
    // One witness knows the log already, which the log does not know.
    ask(&mut witnesses[1], &request(0, &history[..7]), 9).unwrap();
    let mut collector = Collector::new(&policy, signed(&history), BTreeMap::new()).unwrap();
    assert!(collector.witnessed().is_err());
    collect(&mut collector, "w1", &mut witnesses[0], &history).unwrap();
    assert!(collector.witnessed().unwrap_err().to_string().contains("cosigned by w1"));
    collect(&mut collector, "w2", &mut witnesses[1], &history).unwrap();
    assert_eq!(collector.witnessed().unwrap().cosigned.len(), 2);
    assert_eq!(collector.known().get("w2"), Some(&40));
    assert!(policy.check(collector.note()).is_ok());
    // A later checkpoint starts from what is known by now.
    let longer = leaves(90, 90, 0);
    let mut next = Collector::new(&policy, signed(&longer), collector.known().clone()).unwrap();
    assert_eq!(
        next.request("w1", |old, new| Ok::<_, ()>(vec![Digest::default(); (new - old) as usize])).unwrap().proof.len(),
        50
    );
    collect(&mut next, "w1", &mut witnesses[0], &longer).unwrap();
    // The earlier one again: the witness is ahead.
    let mut late = Collector::new(&policy, signed(&history), BTreeMap::new()).unwrap();
    let ahead = collect(&mut late, "w1", &mut witnesses[0], &history).unwrap_err();
    assert_eq!(ahead, CollectorError::Ahead { witness: "w1".into(), seen: 90, size: 40 });
}

#[test]
fn witnesses_that_do_not_help_are_named() {
    let policy = Arc::new(policy());
    let history = leaves(40, 40, 0);
    let mut collector = Collector::new(&policy, signed(&history), BTreeMap::new()).unwrap();
    let line = |number: u8, note: &Note| {
        let mut note = note.clone();
        note.sign(&Cosigner::new(&format!("witness/{number}"), key(number)).unwrap(), 5);
        note.signatures.pop().unwrap()
    };
    let note = signed(&history);
    let useless = CollectorError::Useless("w1".into());
    assert_eq!(collector.answer("w1", Answer::Cosigned(vec![line(12, &note)])), Err(useless.clone()));
    assert_eq!(collector.answer("w1", Answer::Conflict(3)), Ok(Progress::Again));
    assert_eq!(collector.answer("w1", Answer::Conflict(4)), Err(useless));
    let other = line(11, &signed(&leaves(40, 3, 1)));
    assert!(matches!(collector.answer("w1", Answer::Cosigned(vec![other])), Err(CollectorError::Note { .. })));
    let stranger = collector.answer("w9", Answer::Cosigned(vec![line(11, &note)]));
    assert_eq!(stranger, Err(CollectorError::Stranger("w9".into())));
    let refused = collector.answer("w2", Answer::Forbidden);
    assert_eq!(refused, Err(CollectorError::Refused { witness: "w2".into(), status: 403 }));
    assert_eq!(collector.note(), &note, "nothing of it was kept");
    // Lines of others beside the right one are ignored.
    let both = vec![line(77, &note), line(11, &note)];
    assert_eq!(collector.answer("w1", Answer::Cosigned(both)), Ok(Progress::Cosigned));
    assert_eq!(collector.note().signatures.len(), 2);
}

/// What a log, or somebody with its key, may do next.
#[derive(Clone, Debug)]
struct Move {
    branch: u8,
    size: u64,
    claims_old: Option<u64>,
    persisted: bool,
    restarts: bool,
}

fn moves() -> impl Strategy<Value = Move> {
    let claims = prop_oneof![4 => Just(None), 1 => (0..60u64).prop_map(Some)];
    (0..3u8, 0..60u64, claims, prop::bool::weighted(0.8), prop::bool::weighted(0.2)).prop_map(
        |(branch, size, claims_old, persisted, restarts)| Move { branch, size, claims_old, persisted, restarts },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever is asked in whatever order: all that one witness cosigns is one history, which never gets shorter, and what it has
    /// cosigned survives a restart.
    #[test]
    fn one_witness_sees_one_history(fork in 0..40u64, steps in prop::collection::vec(moves(), 1..40)) {
        let mut witness = witness(9, None);
        let mut cosigned: Vec<(u64, Digest)> = vec![(0, root(&[]))];
        for step in steps {
            let history = leaves(step.size, fork, step.branch);
            let last = *cosigned.last().unwrap();
            let old = step.claims_old.unwrap_or(last.0);
            let body = request(old, &history).to_string();
            if let Ok(pending) = witness.add_checkpoint(body.as_bytes(), 9) {
                let written = pending.persist(|_| if step.persisted { Ok(()) } else { Err(()) });
                if written.is_ok() {
                    // It goes on from the last one: its beginning has the last one's root.
                    prop_assert!(step.size >= last.0);
                    prop_assert_eq!(root(&history[..last.0 as usize]), last.1);
                    cosigned.push((step.size, root(&history)));
                }
            } else {
                // Honest requests are never refused.
                let honest = old == last.0 && step.size >= last.0 && root(&history[..last.0 as usize]) == last.1;
                prop_assert!(!honest);
            }
            if step.restarts {
                let seen = witness.seen(ORIGIN).cloned();
                witness = self::witness(9, seen);
            }
        }
    }

    /// Bytes of any kind are answered, and change nothing.
    #[test]
    fn made_up_requests_are_refused(body in prop::collection::vec(any::<u8>(), 0..200), text in "(old [0-9]{1,3}\n)?([A-Za-z0-9=]{0,50}\n){0,3}\n?.*") {
        let mut witness = witness(9, None);
        for body in [body.as_slice(), text.as_bytes()] {
            prop_assert!(witness.add_checkpoint(body, 9).is_err());
        }
        prop_assert!(Answer::parse(200, None, &body).is_err());
        prop_assert!(crate::proof::Proof::parse(&text).is_err());
    }
}
