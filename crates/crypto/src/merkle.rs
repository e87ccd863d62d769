//! Merkle tree hashing of RFC 6962, section 2.1: leaves and nodes have different prefixes.

use crate::transcript::Digest;

/// Hash of a leaf.
pub fn leaf_hash(entry: &[u8]) -> Digest {
    Digest::of_bytes(&[&[0], entry].concat())
}

/// Hash of an inner node.
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest::of_bytes(&[&[1], left.as_bytes().as_slice(), right.as_bytes()].concat())
}

/// Root of the tree over leaf hashes.
pub fn root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest::of_bytes(b""),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

/// Audit path of leaf `index`, from the leaf upwards (section 2.1.1).
pub fn inclusion_proof(leaves: &[Digest], index: usize) -> Vec<Digest> {
    if leaves.len() < 2 || index >= leaves.len() {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut path, sibling) = if index < left.len() {
        (inclusion_proof(left, index), root(right))
    } else {
        (inclusion_proof(right, index - left.len()), root(left))
    };
    path.push(sibling);
    path
}

/// True if `path` leads from `leaf` at `index` to the root of a tree of `size` leaves.
pub fn verify_inclusion(leaf: &Digest, index: u64, size: u64, path: &[Digest], expected: &Digest) -> bool {
    fn climb(leaf: &Digest, index: u64, size: u64, path: &[Digest]) -> Option<Digest> {
        if size <= 1 {
            return (path.is_empty() && index == 0).then_some(*leaf);
        }
        let (sibling, rest) = path.split_last()?;
        let left = size.next_power_of_two() / 2;
        if index < left {
            Some(node_hash(&climb(leaf, index, left, rest)?, sibling))
        } else {
            Some(node_hash(sibling, &climb(leaf, index - left, size - left, rest)?))
        }
    }
    index < size && climb(leaf, index, size, path).as_ref() == Some(expected)
}

/// The largest power of two below `size`.
fn split(size: usize) -> usize {
    size.next_power_of_two() / 2
}

/// The roots of the full subtrees of a growing tree: enough to append and to know the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// Largest subtree first.
    peaks: Vec<Digest>,
}

impl Frontier {
    /// Adds a leaf hash.
    pub fn append(&mut self, leaf: Digest) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root over all leaves.
    pub fn root(&self) -> Digest {
        let folded = self.peaks.iter().rev().copied().reduce(|right, left| node_hash(&left, &right));
        folded.unwrap_or_else(|| root(&[]))
    }
}

#[cfg(test)]
mod tests {
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
            (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
        ] {
            assert_eq!(root(&leaves[..size]).to_string(), expected);
        }
    }

    #[test]
    fn frontier_and_proofs_agree_with_the_tree() {
        let leaves: Vec<_> = (0..70u8).map(|n| leaf_hash(&[n])).collect();
        let mut frontier = Frontier::default();
        for size in 1..=leaves.len() {
            frontier.append(leaves[size - 1]);
            let tree = root(&leaves[..size]);
            assert_eq!(frontier.root(), tree);
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
    }
}
