//! Peers and wires that deviate: each change is refused, by name, or leaves the result as it was.

use super::*;
use proptest::sample::Index;

fn sets() -> (Vec<String>, Vec<String>) {
    (names(0..40), names(20..60))
}

#[test]
fn duplicates_are_refused_on_both_sides() {
    let twice = names([1, 2, 1]);
    for engine in ENGINES {
        let (platform, _) = honest(&terms(engine, 10), &twice, &[], 1).unwrap();
        assert_eq!(seal_rows(&platform, &payloads(&twice)), Err(Misbehaved::Duplicate));
    }
    let encoded = honest(&terms(Engine::Vole, 10), &[], &twice, 1).unwrap_err();
    assert!(matches!(encoded, Broken::Platform(Misbehaved::Encoding(_))), "{encoded:?}");
    let twice: Identifiers = twice.iter().collect();
    let counted = CountPlatform::new(&terms(Engine::Oprf, 10), &twice, 1, &Seed::new([1; 32]));
    assert_eq!(counted.err(), Some(Misbehaved::Duplicate));
}

#[test]
fn exactly_the_cap_is_evaluated() {
    let own = names(0..10);
    for engine in ENGINES {
        assert!(honest(&terms(engine, 10), &own, &own, 1).is_ok());
        let over = Misbehaved::OverCap { asked: 10, cap: 9 };
        assert_eq!(honest(&terms(engine, 9), &own, &own, 1).err(), Some(Broken::Bank(over)));
    }
    // A bank that does not keep to the cap itself meets the platform's.
    let generous = Bank::new(&terms(Engine::Voprf, 10), own.iter().collect(), &Seed::new([2; 32]));
    let strict = terms(Engine::Voprf, 9);
    let (mut platform, first) = Platform::start(&strict, Identifiers::default(), 0, &Seed::new([1; 32])).unwrap();
    let blinded = generous.unwrap().receive(first.send[0].clone()).unwrap().send.remove(0);
    assert_eq!(platform.receive(blinded).err(), Some(Misbehaved::OverCap { asked: 10, cap: 9 }));
    // With the vector OLE one word more than the contract's size admits is refused.
    let refused = run(&terms(Engine::Vole, 10), &own, &own, 1, |_, message| match message {
        Wire::ToPlatform(ToPlatform::Vector { shard, offset, words: Words(mut words) }) => {
            words.push(1);
            vec![Wire::ToPlatform(ToPlatform::Vector { shard, offset, words: Words(words) })]
        }
        other => vec![other],
    });
    assert_eq!(refused.err(), Some(Broken::Bank(Misbehaved::Size("vector"))));
}

#[test]
fn counts_need_the_floor_and_no_more_than_the_cap() {
    let terms = terms(Engine::Oprf, 5);
    let platform = || CountPlatform::new(&terms, &names(0..9).iter().collect(), 3, &Seed::new([1; 32])).unwrap();
    let points = |count| CountBank::new(&terms, &names(0..count).iter().collect(), 3, &Seed::new([2; 32])).unwrap().1;
    assert_eq!(platform().answer(&points(2)).err(), Some(Misbehaved::BelowFloor { asked: 2, floor: 3 }));
    let six = [points(5), points(1)].concat();
    assert_eq!(platform().answer(&six).err(), Some(Misbehaved::OverCap { asked: 6, cap: 5 }));
    let (bank, sent) = CountBank::new(&terms, &names(0..4).iter().collect(), 3, &Seed::new([2; 32])).unwrap();
    let (raised, tags) = platform().answer(&sent).unwrap();
    assert_eq!(bank.count(&raised[1..], &tags, 9), Err(Misbehaved::Size("raised points")));
}

#[test]
fn oversized_and_empty_batches_are_refused() {
    let (offered, own) = sets();
    for points in [0, CHUNK + 1] {
        let refused = run(&terms(Engine::Voprf, 1 << 20), &offered, &own, 1, |_, message| match message {
            Wire::ToPlatform(ToPlatform::Blinded { chunk, points: sent }) => {
                let points = vec![sent[0]; points];
                vec![Wire::ToPlatform(ToPlatform::Blinded { chunk, points })]
            }
            other => vec![other],
        });
        assert_eq!(refused.err(), Some(Broken::Bank(Misbehaved::Batch(0))));
    }
}

#[test]
fn every_message_dropped_repeated_or_swapped_is_noticed() {
    let (offered, own) = sets();
    for engine in ENGINES {
        let mut messages = 0;
        run(&terms(engine, 64), &offered, &own, 1, |_, message| {
            messages += 1;
            vec![message]
        })
        .unwrap();
        for target in 0..messages {
            let dropped =
                run(
                    &terms(engine, 64),
                    &offered,
                    &own,
                    1,
                    |number, message| {
                        if number == target { Vec::new() } else { vec![message] }
                    },
                );
            assert!(dropped.is_err(), "{engine:?}: message {target} dropped");
            let mut last = String::new();
            let repeated = run(&terms(engine, 64), &offered, &own, 1, |number, message| {
                last = format!("{message:?}");
                if number == target { vec![message.clone(), message] } else { vec![message] }
            });
            // The last word of all may come twice: nothing depends on it any more.
            assert!(repeated.is_err() || last.contains("BlindedAll"), "{engine:?}: message {target} repeated");
            let mut held = None;
            let swapped = run(&terms(engine, 64), &offered, &own, 1, |number, message| {
                if number == target {
                    held = Some(message);
                    Vec::new()
                } else {
                    [Some(message), held.take()].into_iter().flatten().collect()
                }
            });
            assert!(swapped.is_err(), "{engine:?}: message {target} after its successor");
        }
    }
}

/// The tags of both sides, or the refusal.
fn outcome(engine: Engine, meddle: impl FnMut(usize, Wire) -> Vec<Wire>) -> Result<[Vec<[u8; 16]>; 2], Broken> {
    let (offered, own) = sets();
    let (platform, bank) = run(&terms(engine, 64), &offered, &own, 1, meddle)?;
    let tags = |mut secrets: Vec<Keyed>| {
        secrets.sort_by_key(|keyed| keyed.row);
        secrets.iter().map(|keyed| keyed.secret.tag).collect()
    };
    Ok([tags(platform), tags(bank)])
}

fn decode(message: &Wire, change: impl FnOnce(&mut Vec<u8>)) -> Option<Wire> {
    let mut bytes = match message {
        Wire::ToBank(message) => postcard::to_allocvec(message),
        Wire::ToPlatform(message) => postcard::to_allocvec(message),
    }
    .unwrap();
    change(&mut bytes);
    match message {
        Wire::ToBank(_) => postcard::from_bytes(&bytes).ok().map(Wire::ToBank),
        Wire::ToPlatform(_) => postcard::from_bytes(&bytes).ok().map(Wire::ToPlatform),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A flipped bit or a cut message is refused, or nothing that matches is a false match: of the enterprises that only
    /// one side holds none has a tag of the other side, whatever was changed.
    #[test]
    fn a_changed_message_never_makes_a_false_match(target: Index, at: Index, bit in 0u8..8, cut: bool, engine in 0usize..3) {
        let engine = ENGINES[engine];
        let mut count = 0;
        let expected = outcome(engine, |_, message| { count += 1; vec![message] }).unwrap();
        let target = target.index(count);
        let mut undecodable = false;
        let changed = outcome(engine, |number, message| {
            if number != target {
                return vec![message];
            }
            let changed = decode(&message, |bytes| {
                let at = at.index(bytes.len());
                if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
            });
            undecodable = changed.is_none();
            changed.into_iter().collect()
        });
        if let Ok([platform, bank]) = changed {
            // Row 20 + n of the platform is row n of the bank.
            let own: BTreeSet<_> = bank.iter().enumerate().collect();
            for (row, tag) in platform.iter().enumerate() {
                for (other, theirs) in &own {
                    prop_assert!(tag != *theirs || row == other + 20, "rows {row} and {other} match");
                }
            }
            prop_assert!(platform.len() == expected[0].len() && bank.len() == expected[1].len());
        } else {
            prop_assert!(changed.is_err() || undecodable);
        }
    }

    #[test]
    fn decoders_survive_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = postcard::from_bytes::<ToBank>(&bytes);
        let _ = postcard::from_bytes::<ToPlatform>(&bytes);
        let _ = postcard::from_bytes::<SealedRow>(&bytes);
    }
}

#[test]
fn wrong_trees_bits_and_shares_are_named() {
    let change = |edit: &dyn Fn(&mut Wire)| {
        outcome(Engine::Vole, |_, mut message| {
            edit(&mut message);
            vec![message]
        })
        .err()
    };
    let trees = change(&|message| {
        if let Wire::ToBank(ToBank::Trees { leaves, .. }) = message {
            leaves.0[3] ^= 1;
        }
    });
    assert_eq!(trees, Some(Broken::Platform(Misbehaved::Check(0))));
    let nonce = change(&|message| {
        if let Wire::ToBank(ToBank::Trees { nonce, .. }) = message {
            nonce[0] ^= 1;
        }
    });
    assert_eq!(nonce, Some(Broken::Platform(Misbehaved::Opening("trees"))));
    let coin = change(&|message| {
        if let Wire::ToBank(ToBank::Coin { coin, .. }) = message {
            coin[0] ^= 1;
        }
    });
    assert_eq!(coin, Some(Broken::Platform(Misbehaved::Opening("coin"))));
    let short = change(&|message| {
        if let Wire::ToBank(ToBank::Trees { sums, .. }) = message {
            sums.0.pop();
        }
    });
    assert_eq!(short, Some(Broken::Platform(Misbehaved::Size("trees"))));
    let transfers = change(&|message| {
        if let Wire::ToPlatform(ToPlatform::Transfers { corrections, .. }) = message {
            corrections.columns[1000] ^= 1;
        }
    });
    let inconsistent = tally_crypto::vole::extension::ExtensionError::Inconsistent;
    assert_eq!(transfers, Some(Broken::Bank(Misbehaved::Transfers(inconsistent))));
    let masked = change(&|message| {
        if let Wire::ToPlatform(ToPlatform::Challenge { masked, .. }) = message {
            *masked ^= 1;
        }
    });
    assert_eq!(masked, Some(Broken::Platform(Misbehaved::Check(0))));
}

#[test]
fn another_key_or_a_moved_point_is_not_proven() {
    let refused =
        Some(Broken::Platform(Misbehaved::Evaluation { chunk: 0, reason: tally_crypto::oprf::OprfError::Proof }));
    let moved = outcome(Engine::Voprf, |_, mut message| {
        if let Wire::ToBank(ToBank::Evaluated { points, .. }) = &mut message {
            points.swap(1, 2);
        }
        vec![message]
    });
    assert_eq!(moved.err(), refused);
    let unproven = outcome(Engine::Voprf, |_, mut message| {
        if let Wire::ToBank(ToBank::Evaluated { proof, .. }) = &mut message {
            *proof = None;
        }
        vec![message]
    });
    assert_eq!(unproven.err(), refused);
    let keyless = outcome(Engine::Voprf, |_, mut message| {
        if let Wire::ToBank(ToBank::Announce(announcement)) = &mut message {
            announcement.public_key = None;
        }
        vec![message]
    });
    assert_eq!(keyless.err(), Some(Broken::Platform(Misbehaved::Announcement)));
}

#[test]
fn rows_must_be_complete_and_in_order_and_damaged_rows_are_only_missing() {
    let own = names(0..8);
    let (platform, bank) = honest(&terms(Engine::Voprf, 8), &own, &own, 1).unwrap();
    let rows = seal_rows(&platform, &payloads(&own)).unwrap();
    assert_eq!(open_rows(&bank, &rows[1..], 8), Err(Misbehaved::RowCount { found: 7, announced: 8 }));
    let mut swapped = rows.clone();
    swapped.swap(2, 3);
    assert_eq!(open_rows(&bank, &swapped, 8), Err(Misbehaved::RowOrder(3)));
    let mut damaged = rows;
    damaged[4].sealed[0] ^= 1;
    let opened = open_rows(&bank, &damaged, 8).unwrap();
    assert_eq!((opened.opened.len(), opened.missing), (7, 1));
}

#[test]
fn the_identity_and_what_is_no_point_are_refused_when_decoded() {
    let (offered, own) = sets();
    for engine in [Engine::Voprf, Engine::Vole] {
        let mut pointed = 0;
        run(&terms(engine, 64), &offered, &own, 1, |_, message| {
            let bytes = match &message {
                Wire::ToBank(message) => postcard::to_allocvec(message).unwrap(),
                Wire::ToPlatform(message) => postcard::to_allocvec(message).unwrap(),
            };
            let point = match &message {
                Wire::ToPlatform(ToPlatform::Blinded { points, .. }) => Some(points[3]),
                Wire::ToPlatform(ToPlatform::Transfers { answer, .. }) => Some(*answer),
                Wire::ToBank(ToBank::Evaluated { points, .. }) => Some(points[3]),
                Wire::ToBank(ToBank::Bases { pairs, .. }) => Some(pairs[3][1]),
                Wire::ToBank(ToBank::Announce(announcement)) => announcement.public_key,
                _ => None,
            };
            if let Some(point) = point {
                pointed += 1;
                let at = bytes.windows(32).position(|window| window == point.as_bytes()).unwrap();
                // The identity, a field element out of range, and a negative one.
                for wrong in [[0; 32], [0xff; 32], [1; 32]] {
                    let changed = decode(&message, |bytes| bytes[at..at + 32].copy_from_slice(&wrong));
                    assert!(changed.is_none(), "{engine:?}");
                }
            }
            vec![message]
        })
        .unwrap();
        assert!(pointed >= 2);
    }
}

/// Nodes of before and after the change of the code name their engines differently: each refuses the other by name.
#[test]
fn the_withdrawn_form_of_the_vector_ole_is_read_and_not_run() {
    let read: Engine = serde_json::from_str("\"vole\"").unwrap();
    assert_eq!((read, read.to_string()), (Engine::VoleV1, "vole".into()));
    assert_eq!(serde_json::to_string(&Engine::Vole).unwrap(), "\"vole-v2\"");
    let own = names(0..10);
    let terms = terms(read, 100);
    let seed = Seed::new([1; 32]);
    let refused = [
        Platform::start(&terms, own.iter().collect(), 10, &seed).err(),
        Bank::new(&terms, own.iter().collect(), &seed).err(),
        read.check().err(),
    ];
    assert!(refused.iter().all(|error| *error == Some(Misbehaved::Withdrawn)));
    assert!(Misbehaved::Withdrawn.to_string().contains("`vole-v2`"));
}
