//! A thousand scores while nodes are killed, stopped and started: each is right, each is counted once, nobody waits for ever.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::caller::Caller;
use crate::program::{done, tallystick, text};
use crate::serving::Serving;

/// Limits that a thousand calls about ten applicants do not meet, and a deadline that a stopped platform does.
const SETTINGS: &str = "deadline_ms = 1500\n[api.caller]\nper_minute = 1000000\nburst = 100000\n[api.enterprise]\n\
                        per_minute = 1000000\nburst = 100000\n";

const CALLERS: usize = 8;
const CALLS: usize = 1000;

#[test]
fn a_thousand_calls_while_nodes_die() {
    let mut trial = Serving::new(SETTINGS);
    let token = trial.issue("core", "score");
    let applicants = trial.applicants();
    let calm = trial.caller().with(&token);
    let right: Vec<_> = applicants.iter().map(|applicant| calm.score(applicant).body["score"].clone()).collect();
    assert!(right.iter().all(Value::is_i64), "{right:?}");
    let subjects: Vec<_> = applicants.iter().map(|one| one["applicant"].as_str().unwrap().to_owned()).collect();
    let before: Vec<_> = subjects.iter().map(|subject| trial.uses(subject)).collect();

    let next = AtomicUsize::new(0);
    let bank = trial.bank.clone();
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let (caller, bank) = (calm.clone(), &bank);
                let (next, applicants, right) = (&next, &applicants, &right);
                scope.spawn(move || {
                    loop {
                        let call = next.fetch_add(1, Ordering::Relaxed);
                        if call >= CALLS {
                            return;
                        }
                        let place = call % applicants.len();
                        let score = until_scored(&caller, bank, &applicants[place], &format!("call-{call}"));
                        assert_eq!(score, right[place], "call {call}");
                    }
                })
            })
            .collect();
        let until = |calls: usize| {
            while next.load(Ordering::Relaxed) < calls {
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        until(150);
        trial.left.stop("platform");
        trial.left.go_on("platform");
        until(350);
        trial.left.signal("platform", "STOP");
        std::thread::sleep(Duration::from_secs(3));
        trial.left.signal("platform", "CONT");
        until(550);
        trial.left.stop("bank-1");
        trial.left.go_on("bank-1");
        until(750);
        trial.left.stop("platform");
        trial.left.stop("bank-1");
        trial.left.go_on("bank-1");
        std::thread::sleep(Duration::from_secs(1));
        trial.left.go_on("platform");
        callers.into_iter().for_each(|caller| caller.join().unwrap());
    });
    for (place, subject) in subjects.iter().enumerate() {
        assert_eq!(trial.uses(subject), before[place] + CALLS / subjects.len(), "{subject}");
    }
    trial.verified(&[&token]);
}

/// Calls under one key until there is a score; no call may hang, and none may be answered with anything but a score or a
/// passing refusal.
fn until_scored(caller: &Caller, bank: &std::path::Path, applicant: &Value, key: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let began = Instant::now();
        // The service of a node that was started again is at another port.
        let answer = caller.at(bank).try_score_once(applicant, key);
        assert!(began.elapsed() < Duration::from_secs(10), "a call hung");
        match answer {
            Some(answer) if answer.status == 200 => return answer.body["score"].clone(),
            Some(answer) => {
                let code = answer.body["code"].as_str().unwrap_or_default();
                let passes = ["peer-unreachable", "timeout", "conflict", "overloaded"];
                assert!(passes.contains(&code), "{answer:?}");
            }
            None => {}
        }
        assert!(Instant::now() < deadline, "no score for {key}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_file_of_applicants_while_nodes_die() {
    let mut trial = Serving::new(SETTINGS);
    let file = std::fs::read_to_string(trial.left.root.join("inputs/applicants-bank-1.csv")).unwrap();
    let lines: Vec<_> = file.lines().collect();
    let (input, output) = (trial.left.root.join("many.csv"), trial.left.root.join("many-scored.csv"));
    let mut text_of = lines[0].to_owned();
    for place in 0..CALLS {
        text_of += &format!("\n{}", lines[1 + place % (lines.len() - 1)]);
    }
    text_of += "\nnobody,1\n";
    std::fs::write(&input, text_of).unwrap();
    let subjects: Vec<_> = lines[1..].iter().map(|line| line.split(',').next().unwrap().to_owned()).collect();
    let before: BTreeMap<_, _> = subjects.iter().map(|subject| (subject.clone(), trial.uses(subject))).collect();

    let start = || -> Child {
        let node = trial.bank.clone();
        tallystick(&["score", "batch", "--node", text(&node), "--input", text(&input), "--output", text(&output)])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let partial = trial.left.root.join("many-scored.csv.partial");
    let finished = |rows: usize| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while partial.exists() && std::fs::read_to_string(&partial).unwrap_or_default().lines().count() < rows {
            assert!(Instant::now() < deadline, "the batch does not go on");
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    let mut batch = start();
    while !partial.exists() {
        std::thread::sleep(Duration::from_millis(2));
    }
    finished(1);
    batch.kill().unwrap();
    batch.wait().unwrap();
    let mut batch = start();
    finished(257);
    trial.left.stop("platform");
    trial.left.go_on("platform");
    finished(513);
    trial.left.stop("bank-1");
    trial.left.go_on("bank-1");
    assert!(batch.wait().unwrap().success());

    // A run that was finished begins anew: nothing of it is left but the output.
    assert!(!partial.exists());
    let scored = std::fs::read_to_string(&output).unwrap();
    let rows: Vec<Vec<&str>> = scored.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), CALLS + 1);
    let order = trial.left.root.join("order.json");
    for (place, applicant) in trial.applicants().iter().enumerate() {
        let one = json!({ "id": subjects[place], "purpose": "loan-underwriting", "fields": applicant["fields"] });
        std::fs::write(&order, one.to_string()).unwrap();
        let alone =
            done(&["score", "one", "--node", text(&trial.bank), "--request", text(&order)])["score"].to_string();
        let mine: Vec<_> = rows.iter().filter(|row| row[0] == subjects[place]).collect();
        assert_eq!(mine.len(), CALLS / subjects.len());
        assert!(mine.iter().all(|row| row[1] == alone), "{place}: {mine:?}");
        let uses = trial.uses(&subjects[place]);
        assert_eq!(uses, before[&subjects[place]] + mine.len() + 1, "{place}");
    }
    assert!(rows[CALLS][8] == "bad-row", "{:?}", rows[CALLS]);
    trial.verified(&[]);
}
