use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tally_crypto::seed::Seed;
use tally_crypto::sign::SigningKey;

use super::*;

/// The example of C2SP signed-note v1.0.0.
const EXAMPLE_KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const EXAMPLE: &str = "This is an example message.\n\n\u{2014} example.com/foo \
    Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

/// The example of Go's golang.org/x/mod/sumdb/note.
const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_EXAMPLE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\n\u{2014} PeterNeumann \
    x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&Seed::new([seed; 32]))
}

fn verifier(text: &str) -> Box<dyn Verifier> {
    standard_verifier(&text.parse().unwrap()).unwrap()
}

#[test]
fn published_examples_verify_and_survive() {
    for (key, example) in [(EXAMPLE_KEY, EXAMPLE), (GO_KEY, GO_EXAMPLE)] {
        let note = Note::parse(example).unwrap();
        assert_eq!(note.to_string(), example);
        assert_eq!(note.verify(&[verifier(key).as_ref()]), Ok(vec![Some(Signed { time: None })]));
        assert_eq!(key.parse::<VerifierKey>().unwrap().to_string(), key);
    }
    // The poem of signed-note and the checkpoint of tlog-cosignature, whose keys are not published: their form is read.
    let poem = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned \u{e8} subito sera.\n\n\u{2014} \
        quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";
    let note = Note::parse(poem).unwrap();
    assert_eq!((note.text().lines().count(), note.signatures.len(), note.to_string()), (4, 1, poem.into()));
    let cosigned = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
        \u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
    let note = Note::parse(cosigned).unwrap();
    assert_eq!(Checkpoint::parse(note.text()).unwrap().size, 20_852_163);
    assert_eq!(note.to_string(), cosigned);
    // The timestamp of the cosignature, as its specification prints it.
    assert_eq!(note.signatures[1].signature[..8], 1_679_315_147u64.to_be_bytes());
}

#[test]
fn malformed_notes_are_refused() {
    let line = &EXAMPLE[EXAMPLE.find('\u{2014}').unwrap()..];
    let cases = [
        "".into(),
        "\n\n".into(),
        "text\n\n".into(),
        "text\n".into(),
        format!("text\n{line}"),
        EXAMPLE.trim_end().into(),
        format!("{EXAMPLE}\n"),
        EXAMPLE.replace('\n', "\r\n"),
        EXAMPLE.replace("an example", "an\texample"),
        EXAMPLE.replace('\u{2014}', "-"),
        EXAMPLE.replace("\u{2014} ", "\u{2014}"),
        EXAMPLE.replace("foo U", "foo  U"),
        EXAMPLE.replace("example.com/foo U", "U"),
        EXAMPLE.replace("/foo", "+foo"),
        EXAMPLE.replace("/foo", "/f\u{a0}oo"),
        EXAMPLE.replace("aQM=", "aQM"),
        // The same bytes, but for bits that base64 does not use.
        EXAMPLE.replace("aQM=", "aQN="),
        EXAMPLE.replace("aQM=\n", "aQM= \n"),
        "text\n\n\u{2014} a AAAAAA==\n".into(),
        format!("text\n\n{}", "\u{2014} a AAAAAAA=\n".repeat(101)),
        format!("{}\n\n{line}", "x".repeat(1 << 20)),
    ];
    for case in cases {
        assert!(Note::parse(&case).is_err(), "{case:?}");
    }
    assert!(Note::parse(&format!("text\n\n{}", "\u{2014} a AAAAAAA=\n".repeat(100))).is_ok());
    assert!(Note::new("no break".into()).is_err());
}

#[test]
fn unknown_signatures_are_ignored_and_wrong_ones_of_known_keys_refuse() {
    let (known, stranger) = (verifier(EXAMPLE_KEY), key(1));
    let mut note = Note::parse(EXAMPLE).unwrap();
    let foreign = SignatureLine { name: "example.com/foo".into(), id: KeyId([1; 4]), signature: vec![1] };
    note.add(foreign.clone());
    note.add(SignatureLine { name: "other".into(), id: known.id(), ..foreign });
    note.sign(&LogSigner::new("stranger", &stranger), 0);
    assert!(note.verify(&[known.as_ref()]).unwrap()[0].is_some());
    let other = VerifierKey::ed25519("nobody", ED25519, &stranger.verify_key());
    assert_eq!(note.verify(&[standard_verifier(&other).unwrap().as_ref()]), Ok(vec![None]));
    let first = note.signatures[0].clone();
    // A second line of the known key, which is wrong, beside the right one.
    let wrong = SignatureLine { signature: vec![0; 64], ..first.clone() };
    for signatures in [vec![first.clone(), wrong.clone()], vec![wrong, first.clone()]] {
        let both = Note { signatures, ..note.clone() };
        assert!(both.verify(&[known.as_ref()]).is_err());
    }
    for length in [1, 63, 65, 72] {
        note.signatures[0].signature = vec![0; length];
        assert_eq!(note.verify(&[known.as_ref()]), Err(NoteError::Signature("example.com/foo".into())));
    }
}

#[test]
fn keys_have_one_spelling() {
    let log = vkey("bank-1", &key(1).verify_key());
    assert_eq!(parse_vkey(&log).unwrap(), ("bank-1".into(), key(1).verify_key()));
    let cosigner = Cosigner::new("bank-1", key(1)).unwrap().verifier_key().to_string();
    assert_ne!(log, cosigner);
    assert!(parse_vkey(&cosigner).is_err(), "a cosigner's key is no log's");
    let (name, rest) = EXAMPLE_KEY.split_once('+').unwrap();
    for wrong in [
        "bank-1+00000000+AA==".into(),
        "".into(),
        "++".into(),
        format!("+{rest}"),
        format!("{name}x+{rest}"),
        format!("{name} +{rest}"),
        EXAMPLE_KEY.replace("530d903a", "530D903A"),
        EXAMPLE_KEY.replace("530d903a", "530d903b"),
        EXAMPLE_KEY.replace("U2k", "U2l"),
        format!("{EXAMPLE_KEY} "),
        // A key that is no point, and one of small order.
        VerifierKey::new("a", ED25519, &[&[2], [0; 31].as_slice()].concat()).unwrap().to_string(),
        VerifierKey::new("a", COSIGNATURE, &[0; 32]).unwrap().to_string(),
        VerifierKey::new("a", ED25519, &[1; 31]).unwrap().to_string(),
    ] {
        assert!(wrong.parse::<VerifierKey>().is_err(), "{wrong}");
    }
    // Types that are not verified here are read, and numbered as their users wish.
    let later = VerifierKey::new("a", ML_DSA_44, &[7; 1312]).unwrap();
    assert_eq!(later.to_string().parse(), Ok(later.clone()));
    assert!(standard_verifier(&later).is_none());
    assert!("a+00000000+AgI=".parse::<VerifierKey>().is_ok());
    assert!(VerifierKey::new("a b", ED25519, &[]).is_err());
    assert!(Cosigner::new("a+b", key(1)).is_err());
}

#[test]
fn checkpoints_have_one_spelling() {
    let root = BASE64.encode([9; 32]);
    let read = Checkpoint::parse(&format!("bank-1\n17\n{root}\n")).unwrap();
    assert_eq!(read, Checkpoint::new("bank-1", 17, Digest([9; 32])));
    let more = Checkpoint::parse(&format!("bank-1\n0\n{root}\nmore\nstill\n")).unwrap();
    assert_eq!((more.size, more.extensions.len()), (0, 2));
    assert_eq!(Checkpoint::parse(&more.text()), Ok(more));
    for wrong in [
        String::new(),
        "\n".into(),
        format!("\n17\n{root}\n"),
        format!("bank-1\n17\n{root}"),
        format!("bank-1\n17\n{root}\n\n"),
        format!("bank-1\n17\n{root}\n\nmore\n"),
        format!("bank-1\n017\n{root}\n"),
        format!("bank-1\n00\n{root}\n"),
        format!("bank-1\n+17\n{root}\n"),
        format!("bank-1\n-1\n{root}\n"),
        format!("bank-1\n 17\n{root}\n"),
        format!("bank-1\n\n{root}\n"),
        format!("bank-1\n18446744073709551616\n{root}\n"),
        format!("bank-1\n17\n{}\n", BASE64.encode([9; 31])),
        format!("bank-1\n17\n{}\n", root.trim_end_matches('=')),
        format!("bank-1\r\n17\r\n{root}\r\n"),
    ] {
        assert!(Checkpoint::parse(&wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_checkpoint_opens_under_its_key_only() {
    let checkpoint = Checkpoint::new("bank-1", 17, Digest([9; 32]));
    let note = checkpoint.sign(&key(1));
    assert_eq!(Checkpoint::open(&note, "bank-1", &key(1).verify_key()), Ok(checkpoint));
    assert!(Checkpoint::open(&note.replace("17", "18"), "bank-1", &key(1).verify_key()).is_err());
    assert!(Checkpoint::open(&note, "bank-2", &key(1).verify_key()).is_err());
    assert!(Checkpoint::open(&note, "bank-1", &key(2).verify_key()).is_err());
}

#[test]
fn a_cosignature_states_its_time_and_binds_the_whole_text() {
    let witness = Cosigner::new("witness.example/w1", key(3)).unwrap();
    let verifier = standard_verifier(&witness.verifier_key()).unwrap();
    let mut note = Note::new(Checkpoint::new("log", 5, Digest([1; 32])).text()).unwrap();
    note.sign(&witness, 1_679_315_147);
    assert_eq!(note.verify(&[verifier.as_ref()]), Ok(vec![Some(Signed { time: Some(1_679_315_147) })]));
    // By hand, as the specification spells it.
    let message = format!("cosignature/v1\ntime 1679315147\n{}", note.text());
    let signature = &note.signatures[0].signature;
    assert_eq!((signature[..8].to_vec(), signature.len()), (1_679_315_147u64.to_be_bytes().to_vec(), 72));
    assert_eq!(signature[8..], key(3).sign_raw(message.as_bytes()).0);
    for place in 0..72 {
        let mut changed = note.clone();
        changed.signatures[0].signature[place] ^= 1;
        assert!(changed.verify(&[verifier.as_ref()]).is_err());
    }
    let mut other = Note::new(note.text().replace('5', "6")).unwrap();
    other.add(note.signatures[0].clone());
    assert!(other.verify(&[verifier.as_ref()]).is_err());
    // A plain signature under the same key is of another type, hence of another number.
    let mut plain = Note::new(note.text().into()).unwrap();
    plain.sign(&LogSigner::new("witness.example/w1", &key(3)), 0);
    assert_eq!(plain.verify(&[verifier.as_ref()]), Ok(vec![None]));
    // No time beyond 2^63 - 1, whoever signs it.
    let signed = [u64::MAX.to_be_bytes().as_slice(), &key(3).sign_raw(b"").0].concat();
    assert_eq!(verifier.verify(note.text(), &signed), None);
    assert_eq!(witness.sign("x", u64::MAX)[..8], i64::MAX.to_be_bytes());
}

/// A type without a number: SHA-256 over key and text, standing for an algorithm that this crate does not know.
struct Own(VerifierKey);

impl Own {
    const NAME: &[u8] = b"example.org/own-type";

    fn mac(&self, text: &str) -> Vec<u8> {
        Digest::of_bytes(&[self.0.key(), text.as_bytes()].concat()).0.to_vec()
    }
}

impl Verifier for Own {
    fn name(&self) -> &str {
        self.0.name()
    }
    fn id(&self) -> KeyId {
        self.0.id()
    }
    fn verify(&self, text: &str, signature: &[u8]) -> Option<Signed> {
        (self.mac(text) == signature).then_some(Signed { time: None })
    }
}

impl Signer for Own {
    fn name(&self) -> &str {
        self.0.name()
    }
    fn id(&self) -> KeyId {
        self.0.id()
    }
    fn sign(&self, text: &str, _time: u64) -> Vec<u8> {
        self.mac(text)
    }
}

#[test]
fn further_types_come_in_by_the_traits() {
    let own = Own(VerifierKey::new("log", OWN, &[Own::NAME, &[5; 32]].concat()).unwrap());
    let mut note = Note::new(Checkpoint::new("log", 5, Digest([1; 32])).text()).unwrap();
    note.sign(&LogSigner::new("log", &key(1)), 0);
    note.sign(&own, 0);
    assert!(Checkpoint::open(&note.to_string(), "log", &key(1).verify_key()).is_ok(), "ignored where it is unknown");
    assert_eq!(note.verify(&[&own]), Ok(vec![Some(Signed { time: None })]));
    note.signatures[1].signature[0] ^= 1;
    assert!(note.verify(&[&own]).is_err());
}
