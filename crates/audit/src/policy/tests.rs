use tally_crypto::seed::Seed;
use tally_crypto::sign::SigningKey;
use tally_crypto::transcript::Digest;

use super::*;
use crate::note::{Cosigner, LogSigner};

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&Seed::new([seed; 32]))
}

fn cosigner(number: u8) -> Cosigner {
    Cosigner::new(&format!("witness.example/{number}"), key(number)).unwrap()
}

fn vkey(number: u8) -> VerifierKey {
    cosigner(number).verifier_key()
}

fn log_vkey() -> String {
    crate::note::vkey("example.com/log", &key(100).verify_key())
}

/// The example of the specification, with keys.
fn example() -> String {
    let mut text = format!("# two levels\n\nlog {}\n", log_vkey());
    for (name, numbers) in [("X", 1..=3), ("Y", 4..=6)] {
        for number in numbers {
            text += &format!("witness {name}{number} {} https://{number}.example\n", vkey(number));
        }
    }
    text += "group X-witnesses 2 X1 X2 X3\n \tgroup  Y-witnesses\tany Y4 Y5 Y6 \n  # both\n";
    text + "group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n"
}

fn note(cosigners: &[u8]) -> Note {
    let mut note = Note::new(Checkpoint::new("example.com/log", 9, Digest([1; 32])).text()).unwrap();
    note.sign(&LogSigner::new("example.com/log", &key(100)), 0);
    cosigners.iter().for_each(|number| note.sign(&cosigner(*number), 1000 + u64::from(*number)));
    note
}

#[test]
fn quorums_hold_as_their_groups_say() {
    let policy = Policy::parse(example().as_bytes()).unwrap();
    assert_eq!((policy.logs().count(), policy.witnesses().count()), (1, 6));
    assert_eq!(policy.witnesses().next().unwrap().2, Some("https://1.example"));
    for chosen in 0..64u8 {
        let numbers: Vec<_> = (1..=6).filter(|number| chosen >> (number - 1) & 1 == 1).collect();
        let expected = (chosen & 7).count_ones() >= 2 && chosen >> 3 != 0;
        let checked = policy.check(&note(&numbers));
        assert_eq!(checked.is_ok(), expected, "{numbers:?}");
        if let Ok(witnessed) = checked {
            let times: Vec<_> = witnessed.cosigned.iter().map(|one| one.time.unwrap() - 1000).collect();
            assert_eq!(times, numbers.iter().map(|number| u64::from(*number)).collect::<Vec<_>>());
        }
    }
    let error = policy.check(&note(&[1, 4])).unwrap_err().to_string();
    assert_eq!(error, "the quorum `X-and-Y` is not reached: cosigned by X1, Y4");
}

#[test]
fn wrong_lines_of_known_keys_refuse_even_if_the_quorum_would_hold() {
    let policy = Policy::parse(example().as_bytes()).unwrap();
    let mut wrong = note(&[1, 2, 3, 4]);
    wrong.signatures[3].signature[20] ^= 1;
    assert!(matches!(policy.check(&wrong), Err(PolicyError::Note(_))));
    let mut foreign = note(&[1, 2, 4]);
    foreign.sign(&cosigner(50), 1);
    foreign.signatures[4].signature[20] ^= 1;
    assert!(policy.check(&foreign).is_ok(), "nobody knows that key");
    let mut unsigned = note(&[1, 2, 4]);
    unsigned.signatures.remove(0);
    assert_eq!(policy.check(&unsigned), Err(PolicyError::Log("example.com/log".into())));
    // A log that signs another log's checkpoint.
    let mut other = Note::new(Checkpoint::new("example.com/other", 9, Digest([1; 32])).text()).unwrap();
    other.sign(&LogSigner::new("example.com/log", &key(100)), 0);
    assert!(matches!(policy.check(&other), Err(PolicyError::Log(_))));
}

#[test]
fn a_key_of_a_type_that_is_not_known_never_counts() {
    let later = VerifierKey::new("later", crate::note::ML_DSA_44, &[7; 1312]).unwrap();
    let text =
        |k: u8| format!("log {}\nwitness A {}\nwitness B {later}\ngroup G {k} A B\nquorum G\n", log_vkey(), vkey(1));
    assert!(Policy::parse(text(1).as_bytes()).unwrap().check(&note(&[1])).is_ok());
    assert!(Policy::parse(text(2).as_bytes()).unwrap().check(&note(&[1])).is_err());
}

#[test]
fn names_are_bytes() {
    let lines = |first: &[u8], second: &[u8]| {
        let mut file = format!("log {}\n", log_vkey()).into_bytes();
        for (name, number) in [(first, 1), (second, 2)] {
            file.extend_from_slice(&[b"witness ", name, format!(" {}\n", vkey(number)).as_bytes()].concat());
        }
        file.extend_from_slice(&[b"group \xe2\x84\xaa all ", first, b" ", second, b"\nquorum \xe2\x84\xaa\n"].concat());
        file
    };
    // Two names that are no UTF-8, and are one text for people.
    let policy = Policy::parse(&lines(b"\xfe", b"\xff")).unwrap();
    assert!(policy.check(&note(&[1])).is_err() && policy.check(&note(&[2])).is_err());
    assert!(policy.check(&note(&[1, 2])).is_ok());
    assert!(Policy::parse(&lines("K".as_bytes(), "\u{212a}x".as_bytes())).is_ok());
}

#[test]
fn malformed_policies_are_refused_with_their_line() {
    let one = vkey(1);
    let head = format!("log {}\nwitness A {one}\nwitness B {}\n", log_vkey(), vkey(2));
    assert!(Policy::parse(format!("{head}quorum A\n").as_bytes()).is_ok());
    assert!(Policy::parse(b"quorum none\n").is_ok());
    let renamed = VerifierKey::new("other-name", crate::note::COSIGNATURE, one.key()).unwrap();
    let relogged = crate::note::vkey("other-log", &key(100).verify_key());
    for (line, tail) in [
        (4, "".to_owned()),
        (4, "quorum A".into()),
        (4, "quorum C\n".into()),
        (4, "quorum\n".into()),
        (4, "quorum A B\n".into()),
        (5, "quorum A\nquorum none\n".into()),
        (4, "group G 0 A\nquorum G\n".into()),
        (4, "group G 3 A B\nquorum G\n".into()),
        (4, "group G 01 A B\nquorum G\n".into()),
        (4, "group G +1 A B\nquorum G\n".into()),
        (4, "group G some A B\nquorum G\n".into()),
        (4, "group G all\nquorum G\n".into()),
        (4, "group G any A A\nquorum G\n".into()),
        (5, "group G any A\ngroup H any A\nquorum G\n".into()),
        (4, "group G any none\nquorum G\n".into()),
        (4, "group G any G\nquorum G\n".into()),
        (4, "group A any B\nquorum A\n".into()),
        (4, "group none any B\nquorum A\n".into()),
        (4, format!("witness A {}\nquorum A\n", vkey(3))),
        (4, format!("witness none {}\nquorum A\n", vkey(3))),
        (4, format!("witness C {renamed}\nquorum A\n")),
        (4, format!("witness C {}\nquorum A\n", log_vkey())),
        (4, format!("witness C {}x\nquorum A\n", vkey(3))),
        (4, format!("witness C {} url more\nquorum A\n", vkey(3))),
        (4, "witness C\nquorum A\n".into()),
        (4, format!("log {relogged}\nquorum A\n")),
        (4, format!("log {one}\nquorum A\n")),
        (4, "Quorum A\n".into()),
        (4, "quorum A\r\n".into()),
        (4, "quorum A\u{b}\n".into()),
    ] {
        let error = Policy::parse(format!("{head}{tail}").as_bytes()).unwrap_err();
        assert_eq!(error.line, line, "{tail:?}: {error}");
    }
}
