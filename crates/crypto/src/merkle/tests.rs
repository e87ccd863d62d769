use super::*;

/// The reference tree of Certificate Transparency.
fn reference() -> Vec<Digest> {
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
        .map(|text| {
            leaf_hash(
                &(0..text.len() / 2)
                    .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
                    .collect::<Vec<_>>(),
            )
        })
        .to_vec()
}

#[test]
fn roots_are_the_published_ones() {
    let leaves = reference();
    for (size, expected) in [
        (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
        (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
        (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
        (4, "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
        (5, "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
        (6, "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"),
        (7, "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
        (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
    ] {
        assert_eq!(root(&leaves[..size]).to_string(), expected);
    }
}

/// Proofs of the same tree, as Certificate Transparency's own tests have them.
#[test]
fn proofs_are_the_published_ones() {
    let leaves = reference();
    let text = |proof: Vec<Digest>| proof.iter().map(Digest::short).collect::<Vec<_>>().join(" ");
    for (index, size, expected) in [
        (0, 1, ""),
        (0, 8, "96a296d2 5f083f0a 6b47aaf2"),
        (5, 8, "bc1a0643 ca854ea1 d37ee418"),
        (2, 3, "fac54203"),
        (1, 5, "6e340b9c 5f083f0a bc1a0643"),
    ] {
        assert_eq!(text(inclusion_proof(&leaves[..size], index)), expected);
    }
    for (old, new, expected) in [
        (1, 1, ""),
        (1, 8, "96a296d2 5f083f0a 6b47aaf2"),
        (6, 8, "0ebc5d34 ca854ea1 d37ee418"),
        (2, 5, "5f083f0a bc1a0643"),
    ] {
        assert_eq!(text(consistency_proof(&leaves[..new], old)), expected);
    }
}

/// The definition, word by word (section 2.1).
fn by_definition(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest::of_bytes(b""),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(&by_definition(left), &by_definition(right))
        }
    }
}

fn some_leaves(count: u8) -> Vec<Digest> {
    (0..count).map(|n| leaf_hash(&[n])).collect()
}

#[test]
fn inclusion_holds_for_its_leaf_place_and_tree_only() {
    let leaves = some_leaves(70);
    for size in 1..=leaves.len() {
        let tree = root(&leaves[..size]);
        assert_eq!(tree, by_definition(&leaves[..size]));
        for index in 0..size {
            let path = inclusion_proof(&leaves[..size], index);
            let (place, count) = (index as u64, size as u64);
            assert!(verify_inclusion(&leaves[index], place, count, &path, &tree));
            assert!(!verify_inclusion(&leaves[index], place + 1, count, &path, &tree));
            if size > 1 {
                assert!(!verify_inclusion(&leaves[(index + 1) % size], place, count, &path, &tree));
                assert!(!verify_inclusion(&leaves[index], place, count, &path[1..], &tree));
            }
        }
    }
    assert!(inclusion_path(7, 7).is_empty() && inclusion_path(0, 0).is_empty());
}

#[test]
fn consistency_holds_between_the_two_trees_only() {
    let leaves = some_leaves(40);
    for new in 0..=leaves.len() {
        for old in 0..=new {
            let (before, after) = (root(&leaves[..old]), root(&leaves[..new]));
            let (old, new) = (old as u64, new as u64);
            let proof = consistency_proof(&leaves[..new as usize], old as usize);
            assert!(verify_consistency((old, &before), (new, &after), &proof), "{old} {new}");
            let other = leaf_hash(b"other");
            // Any tree goes on from the empty one.
            assert_eq!(verify_consistency((old, &before), (new, &other), &proof), old == 0 && new > 0);
            assert!(!verify_consistency((old, &other), (new, &after), &proof));
            assert!(!verify_consistency((old, &before), (new, &after), &[proof.clone(), vec![other]].concat()));
            for place in 0..proof.len() {
                let mut changed = proof.clone();
                changed[place] = other;
                assert!(!verify_consistency((old, &before), (new, &after), &changed));
                changed.remove(place);
                assert!(!verify_consistency((old, &before), (new, &after), &changed));
            }
            assert_eq!(verify_consistency((new, &after), (old, &before), &proof), old == new);
        }
    }
}

#[test]
fn sizes_that_no_tree_has_are_refused_quietly() {
    let hash = leaf_hash(b"");
    for size in [u64::MAX, 1 << 63, (1 << 63) + 1] {
        assert!(!verify_inclusion(&hash, 0, size, &[hash; 63], &hash));
        assert!(!verify_consistency((size - 1, &hash), (size, &hash), &[hash; 63]));
        assert!(inclusion_path(0, size).len() >= 63);
    }
}
