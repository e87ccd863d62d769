use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::*;
use crate::fixture::{Memory, ORIGIN, Stored, key, registry};
use crate::note::{Checkpoint, Cosigner, Note};
use crate::verify::{Trust, VerifiedTree, VerifyError, verify_tree};
use tally_crypto::merkle::{leaf_hash, verify_consistency, verify_inclusion};

fn verify(folder: &dyn Folder) -> Result<VerifiedTree, VerifyError> {
    let registry = registry();
    let mut order = crate::verify::Order::default();
    let trust = Trust { registry: Some(&registry), policy: None };
    verify_tree(folder, trust, &mut |bytes, leaf| order.next(bytes, leaf).map(drop))
}

#[test]
fn paths_and_widths_are_those_of_the_specification() {
    let tile = Tile { kind: Kind::Hashes(0), n: 1_234_067, width: 256 };
    assert_eq!(tile.path(), Path::new("tile/0/x001/x234/067"));
    let tile = Tile { kind: Kind::Entries, n: 0, width: 7 };
    assert_eq!(tile.path(), Path::new("tile/entries/000.p/7"));
    // 70,000 entries: 273 full tiles and one of 112 at level 0, one full and one of 17 at level 1, one of 1 at level 2.
    let width = |level, n| Tile::at(Kind::Hashes(level), n, 70_000).map(|tile| tile.width);
    assert_eq!([width(0, 272), width(0, 273), width(0, 274)], [Some(256), Some(112), None]);
    assert_eq!([width(1, 0), width(1, 1), width(1, 2)], [Some(256), Some(17), None]);
    assert_eq!([width(2, 0), width(2, 1), width(3, 0), width(60, 0)], [Some(1), None, None, None]);
}

#[test]
fn a_tile_has_one_path() {
    for (n, width) in [(0, 256), (0, 1), (999, 255), (1000, 256), (1_234_067, 3), (u64::MAX / 512, 256)] {
        for kind in [Kind::Entries, Kind::Hashes(0), Kind::Hashes(7)] {
            let tile = Tile { kind, n, width };
            assert_eq!(Tile::parse(&tile.path()), Some(tile));
        }
    }
    for wrong in [
        "checkpoint",
        "tile",
        "tile/0",
        "tile/0/0",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/0/x000/000",
        "tile/0/000/001",
        "tile/0/x001",
        "tile/0/001.p",
        "tile/0/001.p/0",
        "tile/0/001.p/256",
        "tile/0/001.p/07",
        "tile/0/001.p/7/8",
        "tile/data/000",
        "tile/0/+01",
        "tile/entries/000.new",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
    ] {
        assert_eq!(Tile::parse(Path::new(wrong)), None, "{wrong}");
    }
}

#[test]
fn bundles_split_where_they_were_joined() {
    let entries: [&[u8]; 3] = [b"", b"abc", &[7; 65_535]];
    let joined = bundle(entries);
    assert_eq!(split_bundle(&joined), Ok(entries.to_vec()));
    assert_eq!(split_bundle(&joined[..joined.len() - 1]), Err(2));
    assert_eq!(split_bundle(&[0]), Err(0));
    assert_eq!(split_bundle(&[]), Ok(vec![]));
}

#[test]
fn the_edge_has_the_roots_of_the_tree() {
    let leaves: Vec<_> = (0..1400u64).map(|n| leaf_hash(&n.to_be_bytes())).collect();
    let (mut edge, mut frontier) = (Edge::default(), tally_crypto::merkle::Frontier::default());
    for leaf in leaves {
        assert_eq!(edge.root(), frontier.root());
        edge.append(leaf, |_, _| Ok::<_, ()>(())).unwrap();
        frontier.append(leaf);
    }
}

#[test]
fn proofs_come_from_tiles() {
    let (folder, mut stored) = (Memory::default(), Stored::new());
    let mut publisher = stored.resume(&folder).unwrap();
    let mut heads = vec![(0, stored.ledger.root())];
    for size in [1, 2, 255, 256, 257, 511, 600, 1025] {
        stored.grow(size);
        stored.publish(&mut publisher, &folder).unwrap();
        heads.push((size, stored.ledger.root()));
        for (old, root) in &heads {
            let proof = consistency_proof(&folder, *old, size).unwrap();
            assert!(verify_consistency((*old, root), (size, &stored.ledger.root()), &proof), "{old} {size}");
        }
        for index in [0, 1, 254, 255, 256, 300, size - 1].into_iter().filter(|index| *index < size) {
            let path = inclusion_proof(&folder, index, size).unwrap();
            let bytes = entry(&folder, index, size).unwrap();
            assert_eq!(bytes, stored.entries[index as usize]);
            assert!(verify_inclusion(&leaf_hash(&bytes), index, size, &path, &stored.ledger.root()), "{index} {size}");
        }
        assert!(entry(&folder, size, size).is_err());
    }
    // Also of earlier trees, whose partial tiles are gone.
    let (old, root) = &heads[4];
    let path = inclusion_proof(&folder, 3, *old).unwrap();
    assert!(verify_inclusion(&leaf_hash(&stored.entries[3]), 3, *old, &path, root));
}

#[test]
fn partial_tiles_go_when_the_full_one_is_there() {
    let (folder, mut stored) = (Memory::default(), Stored::of(200));
    let mut publisher = stored.resume(&folder).unwrap();
    stored.grow(250);
    stored.publish(&mut publisher, &folder).unwrap();
    let partial = |n: u64| {
        let files = folder.files.borrow();
        files.keys().filter(|path| path.to_string_lossy().contains(&format!("{n:03}.p"))).count()
    };
    assert_eq!(partial(0), 4);
    stored.grow(300);
    stored.publish(&mut publisher, &folder).unwrap();
    // Level 1 has one hash; level 0 and the entries go on in the next tile.
    assert_eq!((partial(0), partial(1)), (1, 2));
    assert_eq!(verify(&folder).unwrap().checkpoint.size, 300);
}

/// Sizes at which the log is published: tiles become full, at two levels some remain partial.
const GROWTH: [u64; 5] = [3, 256, 258, 300, 520];

fn grow_until_it_stops(folder: &Memory) -> Stored {
    let mut stored = Stored::new();
    let Ok(mut publisher) = stored.resume(folder) else { return stored };
    for size in GROWTH {
        stored.grow(size);
        if stored.publish(&mut publisher, folder).is_err() {
            break;
        }
    }
    stored
}

#[test]
fn a_node_killed_between_any_two_writes_leaves_a_log_that_verifies_and_goes_on() {
    let whole = Memory::default();
    grow_until_it_stops(&whole);
    let changes = whole.changes.get();
    assert!(changes > 60, "{changes}");
    let mut ahead = 0;
    for stop in 0..changes {
        let folder = Memory::default();
        folder.stop.set(Some(stop));
        let mut stored = grow_until_it_stops(&folder);
        folder.stop.set(None);
        match verify(&folder) {
            Ok(tree) => {
                assert!(tree.checkpoint.size == 0 || GROWTH.contains(&tree.checkpoint.size));
                ahead += u32::from(tree.ahead > 0);
            }
            Err(error) => {
                let none_yet = !folder.files.borrow().contains_key(Path::new("checkpoint"));
                assert!(none_yet && error.file == Path::new("checkpoint"), "after {stop}: {error}");
            }
        }
        // What was durable in the store is published by the node that starts again, and it goes on from there.
        let size = stored.ledger.size();
        let mut publisher = stored.resume(&folder).unwrap();
        assert_eq!(verify(&folder).unwrap().checkpoint.size, size, "after {stop}");
        stored.grow(size + 300);
        stored.publish(&mut publisher, &folder).unwrap();
        let tree = verify(&folder).unwrap();
        assert_eq!((tree.checkpoint.size, tree.ahead), (size + 300, 0), "after {stop}");
        assert!(folder.files.borrow().keys().all(|path| !path.starts_with(STAGED)));
    }
    assert!(ahead > 10, "{ahead}");
}

#[test]
fn tiles_ahead_of_the_checkpoint_are_tolerated_at_every_level() {
    let (folder, mut stored) = (Memory::default(), Stored::of(65_500));
    let publisher = stored.resume(&folder).unwrap();
    stored.grow(65_900);
    let mut whole = publisher.clone();
    let probe = folder.clone();
    probe.changes.set(0);
    stored.publish(&mut whole, &probe).unwrap();
    // All new tiles are there, up to level 2; the checkpoint is not.
    folder.changes.set(0);
    let mut stop = probe.changes.get();
    let before = verify(&folder).unwrap().checkpoint;
    loop {
        let killed = folder.clone();
        killed.stop.set(Some(stop));
        let done = stored.publish(&mut publisher.clone(), &killed);
        killed.stop.set(None);
        if verify(&killed).unwrap().checkpoint == before {
            assert!(done.is_err());
            assert!(killed.files.borrow().contains_key(Path::new("tile/2/000.p/1")));
            assert_eq!(verify(&killed).unwrap().ahead, 400);
            // A tile ahead that does not fit is found.
            for path in ["tile/2/000.p/1", "tile/1/000", "tile/0/256", "tile/1/001.p/1", "tile/entries/257.p/108"] {
                let changed = killed.clone();
                changed.files.borrow_mut().get_mut(Path::new(path)).unwrap()[5] ^= 1;
                assert!(verify(&changed).is_err(), "{path}");
            }
            return;
        }
        stop -= 1;
    }
}

#[test]
fn a_full_disk_loses_nothing() {
    let (folder, mut stored) = (Memory::default(), Stored::of(100));
    let mut publisher = stored.resume(&folder).unwrap();
    stored.grow(700);
    for free in 0.. {
        folder.stop.set(Some(folder.changes.get() + free));
        match stored.publish(&mut publisher, &folder) {
            Err(PublishError::File { error, .. }) => assert_eq!(error.kind(), ErrorKind::StorageFull),
            Err(other) => panic!("{other}"),
            Ok(()) => break,
        }
        folder.stop.set(None);
        assert!([100, 700].contains(&verify(&folder).unwrap().checkpoint.size));
    }
    assert_eq!(verify(&folder).unwrap().checkpoint.size, 700);
}

#[test]
fn torn_and_missing_tiles_are_written_again() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = Directory::new(temporary.path());
    let stored = Stored::of(600);
    stored.resume(&folder).unwrap();
    let whole = verify(&folder).unwrap();
    for (path, torn) in [
        ("tile/0/000", Some(4000)),
        ("tile/entries/001", Some(0)),
        ("tile/entries/002.p/88", Some(33)),
        ("tile/1/000.p/2", Some(32)),
        ("tile/0/001", None),
    ] {
        let file = temporary.path().join(path);
        let bytes = std::fs::read(&file).unwrap();
        match torn {
            Some(length) => std::fs::write(&file, &bytes[..length]).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        assert!(verify(&folder).is_err(), "{path}");
        stored.resume(&folder).unwrap();
        assert_eq!(verify(&folder).unwrap(), whole);
        assert_eq!(std::fs::read(&file).unwrap(), bytes);
    }
}

#[test]
fn no_checkpoint_is_signed_that_does_not_go_on_from_the_published_one() {
    let (folder, stored) = (Memory::default(), Stored::of(300));
    stored.resume(&folder).unwrap();
    let refused = |stored: &Stored| stored.resume(&folder).unwrap_err();
    assert!(matches!(refused(&Stored::of(299)), PublishError::Behind { published: 300, stored: 299 }));
    // Another history of the same length, and a longer one.
    for size in [300, 400] {
        let mut other = Stored::of(size);
        let mut ledger = crate::Ledger::new(ORIGIN);
        other.entries[7] = other.entries[7].iter().rev().copied().collect();
        let mut publisher = Publisher::resume(&folder, ORIGIN, &key().verify_key()).unwrap();
        assert!(matches!(publisher.append(&folder, &other.entries), Err(PublishError::Fork(300))));
        assert_eq!(publisher.size(), 0);
        let empty = publisher.seal(&folder, ORIGIN, ledger.root(), &key());
        assert!(matches!(empty, Err(PublishError::Behind { .. })));
        ledger.replay(&stored.entries[0]).unwrap();
        assert!(matches!(publisher.seal(&folder, ORIGIN, ledger.root(), &key()), Err(PublishError::Root)));
    }
    assert_eq!(verify(&folder).unwrap().checkpoint.size, 300);
    let other = tally_crypto::sign::SigningKey::from_seed(&tally_crypto::seed::Seed::new([9; 32]));
    assert!(Publisher::resume(&folder, ORIGIN, &other.verify_key()).is_err());
    folder.files.borrow_mut().insert(PathBuf::from("checkpoint"), vec![0xff]);
    assert!(matches!(refused(&stored), PublishError::Checkpoint(_)));
}

#[test]
fn cosignatures_stay_until_the_log_grows() {
    let (folder, mut stored) = (Memory::default(), Stored::of(10));
    let mut publisher = stored.resume(&folder).unwrap();
    let (mut note, _) = read_checkpoint(&folder, ORIGIN, &key().verify_key()).unwrap().unwrap();
    note.sign(&Cosigner::new("witness", key()).unwrap(), 5);
    write_cosigned(&folder, ORIGIN, &key().verify_key(), &note).unwrap();
    stored.publish(&mut publisher, &folder).unwrap();
    stored.resume(&folder).unwrap();
    let read = || read_checkpoint(&folder, ORIGIN, &key().verify_key()).unwrap().unwrap();
    assert_eq!(read().0, note);
    stored.grow(11);
    stored.publish(&mut publisher, &folder).unwrap();
    assert_eq!((read().0.signatures.len(), read().1.size), (1, 11));
    assert!(write_cosigned(&folder, ORIGIN, &key().verify_key(), &note).is_err(), "of an earlier checkpoint");
    let unsigned = Note::new(Checkpoint::new(ORIGIN, 11, stored.ledger.root()).text()).unwrap();
    assert!(write_cosigned(&folder, ORIGIN, &key().verify_key(), &unsigned).is_err());
}

#[test]
fn all_tiles_of_a_log_are_named() {
    for size in [1, 255, 256, 257, 700] {
        let (folder, stored) = (Memory::default(), Stored::of(size));
        stored.resume(&folder).unwrap();
        let mut written: Vec<_> =
            folder.files.borrow().keys().filter(|path| path.starts_with("tile")).cloned().collect();
        let mut named: Vec<_> = Tile::all(size).map(|tile| tile.path()).collect();
        written.sort();
        named.sort();
        assert_eq!(named, written, "{size}");
    }
    // 70,000 entries: 273 full tiles and one of 112, one full and one of 17, one of 1, as the standard counts them.
    assert_eq!(Tile::all(70_000).count(), 2 * 274 + 2 + 1);
    assert_eq!(Tile::all(0).count(), 0);
}
