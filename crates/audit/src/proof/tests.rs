use super::*;
use crate::fixture::{Memory, ORIGIN, Stored, key};
use tally_crypto::merkle::leaf_hash;

/// The example of the specification, with whole signatures in the place of its shortened ones.
const EXAMPLE: &str = "c2sp.org/tlog-proof@v1\n\
    extra YWdlLXYxLjIuMS1kYXJ3aW4tYXJtNjQudGFyLmd6\n\
    index 73894\n\
    gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=\n\
    B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=\n\
    \n\
    example.com/fancylog\n109482\nsFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=\n\n\
    \u{2014} example.com/fancylog Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";

#[test]
fn the_text_survives() {
    let proof = Proof::parse(EXAMPLE).unwrap();
    assert_eq!(proof.extra.as_deref(), Some(b"age-v1.2.1-darwin-arm64.tar.gz".as_slice()));
    assert_eq!((proof.index, proof.path.len()), (73_894, 2));
    assert_eq!(proof.to_string(), EXAMPLE);
    let plain = Proof { extra: None, path: Vec::new(), ..proof };
    assert_eq!(Proof::parse(&plain.to_string()), Ok(plain));
}

#[test]
fn malformed_proofs_are_refused() {
    for (from, to) in [
        ("@v1", "@v2"),
        ("c2sp", "\nc2sp"),
        ("extra YWdl", "extra *"),
        ("extra ", "other "),
        ("index 73894", "index 073894"),
        ("index 73894", "index +73894"),
        ("index 73894", "index"),
        ("index 73894\n", ""),
        ("index 73894", "index 73894\nindex 73894"),
        ("gSKy", "gSK"),
        ("PlQ=", "PlR="),
        ("XmA=\n\n", "XmA=\n"),
        ("\n\n", "\r\n\r\n"),
        ("109482", "109482\nextension\n"),
        ("=\n\n\u{2014}", "=\n\u{2014}"),
    ] {
        assert!(EXAMPLE.contains(from), "{from}");
        let changed = EXAMPLE.replacen(from, to, 1);
        let read = Proof::parse(&changed);
        let stated = read.as_ref().ok().map(|proof| crate::note::Checkpoint::parse(proof.checkpoint.text()));
        assert!(read.is_err() || stated.is_some_and(|stated| stated.is_err()), "{from:?} -> {to:?}");
    }
    let line = "B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=\n";
    assert!(Proof::parse(&EXAMPLE.replace(line, &line.repeat(62))).is_ok());
    assert!(Proof::parse(&EXAMPLE.replace(line, &line.repeat(63))).is_err());
    assert!(Proof::parse("").is_err());
}

#[test]
fn a_proof_holds_for_its_entry_only() {
    let (folder, stored) = (Memory::default(), Stored::of(300));
    stored.resume(&folder).unwrap();
    let policy = format!("log {}\nquorum none\n", crate::note::vkey(ORIGIN, &key().verify_key()));
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    let (checkpoint, _) = crate::files::read_checkpoint(&folder, ORIGIN, &key().verify_key()).unwrap().unwrap();
    for index in [0, 17, 255, 256, 299] {
        let path = crate::files::inclusion_proof(&folder, index, 300).unwrap();
        let proof = Proof { extra: None, index, path, checkpoint: checkpoint.clone() };
        let leaf = leaf_hash(&stored.entries[index as usize]);
        let read = Proof::parse(&proof.to_string()).unwrap();
        assert_eq!(read.verify(&leaf, &policy).unwrap().checkpoint.size, 300);
        assert_eq!(read.verify(&leaf_hash(b"other"), &policy), Err(ProofError::Path));
        assert_eq!(Proof { index: index + 1, ..read.clone() }.verify(&leaf, &policy), Err(ProofError::Path));
        let mut shorter = read.clone();
        shorter.path.pop();
        assert_eq!(shorter.verify(&leaf, &policy), Err(ProofError::Path));
        let mut resigned = read;
        resigned.checkpoint.signatures[0].signature[0] ^= 1;
        assert!(matches!(resigned.verify(&leaf, &policy), Err(ProofError::Policy(_))));
    }
}
