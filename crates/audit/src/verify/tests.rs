use std::path::Path;

use super::*;
use crate::files::{Kind, TILE, Tile};
use crate::fixture::{Memory, Stored, key, registry};
use crate::note::{Cosigner, VerifierKey};
use crate::policy::Policy;
use tally_crypto::seed::Seed;
use tally_crypto::sign::SigningKey;

fn write(folder: &Path, sizes: &[u64]) {
    let (directory, mut stored) = (Directory::new(folder.join("log")), Stored::new());
    let mut publisher = stored.resume(&directory).unwrap();
    for size in sizes {
        stored.grow(*size);
        stored.publish(&mut publisher, &directory).unwrap();
    }
}

/// The tree alone: what an entry says is not looked at.
fn tree(folder: &dyn Folder, registry: &Registry) -> Result<VerifiedTree, VerifyError> {
    verify_tree(folder, Trust { registry: Some(registry), policy: None }, &mut |_, _| Ok(()))
}

#[test]
fn logs_of_many_sizes_verify() {
    for sizes in [&[1][..], &[1, 3, 7], &[255, 256, 257], &[300, 513, 700]] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), sizes);
        let log = verify_log(folder.path(), &registry()).unwrap();
        assert_eq!(log.entries.len() as u64, *sizes.last().unwrap());
        assert_eq!(log.root, tally_crypto::merkle::root(&log.leaves));
    }
}

#[test]
fn every_flipped_bit_is_found_and_its_file_named() {
    let (folder, mut stored, registry) = (Memory::default(), Stored::new(), registry());
    let mut publisher = stored.resume(&folder).unwrap();
    for size in [260, 290, 552] {
        stored.grow(size);
        stored.publish(&mut publisher, &folder).unwrap();
    }
    // Partial tiles at two levels, and earlier ones beside them.
    for path in ["tile/entries/002.p/40", "tile/0/002.p/40", "tile/1/000.p/2", "tile/1/000.p/1"] {
        assert!(folder.files.borrow().contains_key(Path::new(path)), "{path}");
    }
    let files = folder.files.borrow().clone();
    let (mut flipped, mut small) = (0, 0);
    for (path, bytes) in files {
        let bits = 8 * bytes.len();
        // All bits of small files, of large ones every 211th: of every place within a byte, since 211 is odd.
        let step = if bytes.len() <= 1500 { 1 } else { 211 };
        small += u32::from(step == 1);
        for bit in (0..bits).step_by(step) {
            let change = |folder: &Memory| folder.files.borrow_mut().get_mut(&path).unwrap()[bit / 8] ^= 1 << (bit % 8);
            change(&folder);
            assert!(tree(&folder, &registry).is_err(), "bit {bit} of {}", path.display());
            change(&folder);
            flipped += 1;
        }
    }
    assert!(small >= 4 && flipped > 10_000, "{small} {flipped}");
    assert_eq!(tree(&folder, &registry).unwrap().checkpoint.size, 552);
}

#[test]
fn the_file_and_the_entry_are_named() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[2, 5]);
    let log = folder.path().join("log");
    for (file, place, word) in [
        ("checkpoint", 0, "does not know a log"),
        ("checkpoint", 7, "no valid signature"),
        ("tile/0/000.p/5", 70, "the hash of entry 2"),
        ("tile/0/000.p/2", 40, "the hash of entry 1"),
        ("tile/entries/000.p/5", 0, "is cut off"),
    ] {
        let bytes = std::fs::read(log.join(file)).unwrap();
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        std::fs::write(log.join(file), &changed).unwrap();
        let error = verify_log(folder.path(), &registry()).unwrap_err();
        assert!(error.file == log.join(file) && error.reason.contains(word), "{error}");
        std::fs::write(log.join(file), &bytes).unwrap();
    }
    assert!(verify_log(&log, &registry()).is_ok());
}

#[test]
fn missing_foreign_and_swapped_files_are_found() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[300]);
    let log = folder.path().join("log");
    let refused = || verify_log(folder.path(), &registry()).unwrap_err().reason;
    for foreign in [
        "note",
        "tile/0/002",
        "tile/2/000.p/1",
        "tile/entries/001.p/45",
        "tile/0/001.p/45",
        "tile/0/001.p/x",
        ".hidden",
    ] {
        let path = log.join(foreign);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "x").unwrap();
        let reason = refused();
        assert!(
            reason.contains("does not belong") || foreign.contains("entries") && reason.contains("cut off"),
            "{foreign}: {reason}"
        );
        std::fs::remove_file(&path).unwrap();
    }
    for missing in
        ["checkpoint", "tile/0/000", "tile/entries/000", "tile/entries/001.p/44", "tile/0/001.p/44", "tile/1/000.p/1"]
    {
        let bytes = std::fs::read(log.join(missing)).unwrap();
        std::fs::remove_file(log.join(missing)).unwrap();
        assert!(refused().contains("missing"), "{missing}");
        std::fs::write(log.join(missing), bytes).unwrap();
    }
    let tile = log.join(Tile { kind: Kind::Hashes(0), n: 0, width: TILE }.path());
    let bytes = std::fs::read(&tile).unwrap();
    std::fs::write(&tile, [&bytes[32..64], &bytes[..32], &bytes[64..]].concat()).unwrap();
    assert!(refused().contains("entry 0"));
    std::fs::write(&tile, bytes).unwrap();
    // What was on its way when the node was killed is no part of the log.
    std::fs::create_dir_all(log.join(".staged")).unwrap();
    std::fs::write(log.join(".staged/tile-0-009"), "half").unwrap();
    assert!(verify_log(folder.path(), &registry()).is_ok());
}

#[test]
fn a_partial_tile_may_be_replaced_by_the_full_one() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[100]);
    let log = folder.path().join("log");
    let checkpoint = std::fs::read(log.join("checkpoint")).unwrap();
    std::fs::remove_dir_all(&log).unwrap();
    // A copy whose checkpoint was taken before the tiles.
    write(folder.path(), &[300]);
    std::fs::write(log.join("checkpoint"), checkpoint).unwrap();
    let trust = registry();
    let (verified, tree) = verify_under(folder.path(), Trust { registry: Some(&trust), policy: None }).unwrap();
    assert_eq!((verified.entries.len(), tree.ahead), (100, 200));
}

#[test]
fn a_log_signed_by_a_key_beside_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[3]);
    let mut other = registry();
    let stranger = SigningKey::from_seed(&Seed::new([8; 32]));
    other.parties[0].log_vkey = crate::note::vkey("bank-1", &stranger.verify_key());
    assert!(verify_log(folder.path(), &other).unwrap_err().reason.contains("no valid signature"));
}

#[test]
fn a_policy_demands_its_logs_and_its_quorum() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[3]);
    let (registry, log) = (registry(), VerifierKey::new("bank-1", 1, key().verify_key().as_bytes()).unwrap());
    let witness = Cosigner::new("w", SigningKey::from_seed(&Seed::new([8; 32]))).unwrap();
    let check = |registry: Option<&Registry>, policy: &str| {
        let policy = Policy::parse(policy.as_bytes()).unwrap();
        verify_under(folder.path(), Trust { registry, policy: Some(&policy) }).map_err(|error| error.reason)
    };
    let other = crate::note::vkey("bank-1", &SigningKey::from_seed(&Seed::new([9; 32])).verify_key());
    assert!(check(None, &format!("log {log}\nquorum none\n")).is_ok());
    assert!(check(Some(&registry), "quorum none\n").is_ok());
    assert!(check(Some(&registry), &format!("log {log}\nquorum none\n")).is_ok());
    assert!(check(None, "quorum none\n").unwrap_err().contains("no key is known"));
    assert!(check(Some(&registry), &format!("log {other}\nquorum none\n")).unwrap_err().contains("different keys"));
    let stranger = other.replace("bank-1", "bank-2");
    assert!(
        Policy::parse(format!("log {stranger}\nquorum none\n").as_bytes()).is_err(),
        "the id is that of another name"
    );
    let demanding = format!("witness w {}\nquorum w\n", witness.verifier_key());
    assert!(check(Some(&registry), &demanding).unwrap_err().contains("the quorum `w` is not reached"));
    let path = folder.path().join("log/checkpoint");
    let mut note = Note::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
    note.sign(&witness, 77);
    std::fs::write(&path, note.to_string()).unwrap();
    let (_, tree) = check(Some(&registry), &demanding).unwrap();
    assert_eq!(tree.cosigned, [Cosigned { witness: "w".into(), time: Some(77) }]);
    // With the quorum demanded, every bit of the cosignature's line counts too.
    let bytes = note.to_string().into_bytes();
    for bit in 0..8 * bytes.len() {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, changed).unwrap();
        assert!(check(Some(&registry), &demanding).is_err(), "bit {bit}");
    }
}

#[test]
fn order_and_schema_of_entries_are_checked() {
    let stored = Stored::of(4);
    let text = |n: usize| String::from_utf8(stored.entries[n].clone()).unwrap();
    let read = |entries: &[String]| {
        let mut order = Order::default();
        let mut next =
            |text: &String| order.next(text.as_bytes(), &tally_crypto::merkle::leaf_hash(text.as_bytes())).map(drop);
        entries.iter().try_for_each(&mut next)
    };
    let log: Vec<_> = (0..4).map(text).collect();
    assert_eq!(read(&log), Ok(()));
    for (place, from, to) in [
        (2, "\"index\":2", "\"index\":3"),
        (2, "\"time\":2", "\"time\":0"),
        (2, "\"node\":\"bank-1\"", "\"node\":\"bank-2\""),
        (2, "\"v\":1", "\"v\":2"),
        (2, "\"seq\":1", "\"seq\":2"),
        (2, "\"session\":\"s\"", "\"session\":\"t\""),
        (2, "\"v\":1", "\"v\": 1"),
        (2, "\"v\":1", "\"v\":1,\"name\":\"x\""),
        (3, "\"prev\":\"", "\"prev\":\"00"),
    ] {
        let mut changed = log.clone();
        changed[place] = changed[place].replacen(from, to, 1);
        assert_ne!(changed, log, "{from}");
        assert!(read(&changed).is_err(), "{from} -> {to}");
    }
    assert!(read(&log[1..]).is_err());
    assert!(read(&[log[0].clone(), log[0].clone()]).is_err());
}
