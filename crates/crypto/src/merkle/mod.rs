//! Merkle tree hashing of RFC 6962, section 2.1: leaves and nodes have different prefixes.

use std::ops::Range;

use crate::transcript::Digest;

#[cfg(test)]
mod tests;

/// Most hashes of a proof: trees have fewer than 2^63 leaves.
pub const LONGEST_PROOF: usize = 63;

/// Hash of a leaf.
pub fn leaf_hash(entry: &[u8]) -> Digest {
    Digest::of_bytes(&[&[0], entry].concat())
}

/// Hash of an inner node.
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut text = [1; 65];
    text[1..33].copy_from_slice(left.as_bytes());
    text[33..].copy_from_slice(right.as_bytes());
    Digest::of_bytes(&text)
}

/// Root of the tree over leaf hashes.
pub fn root(leaves: &[Digest]) -> Digest {
    let mut frontier = Frontier::default();
    leaves.iter().for_each(|leaf| frontier.append(*leaf));
    frontier.root()
}

/// The leaves under each hash of the audit path of leaf `index` in a tree of `size`, from the leaf upwards (section 2.1.1);
/// empty if there is no such leaf.
pub fn inclusion_path(index: u64, size: u64) -> Vec<Range<u64>> {
    let (mut path, mut from, mut to) = (Vec::new(), 0, size);
    while index < size && to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            path.push(middle..to);
            to = middle;
        } else {
            path.push(from..middle);
            from = middle;
        }
    }
    path.reverse();
    path
}

/// The leaves under each hash of the proof that a tree of `new` leaves begins with the tree of `old` (section 2.1.2); empty
/// where no proof is needed or possible.
pub fn consistency_path(old: u64, new: u64) -> Vec<Range<u64>> {
    if old == 0 || old >= new {
        return Vec::new();
    }
    let (mut path, mut from, mut to) = (Vec::new(), 0, new);
    while to != old {
        let middle = from + split(to - from);
        if old <= middle {
            path.push(middle..to);
            to = middle;
        } else {
            path.push(from..middle);
            from = middle;
        }
    }
    // The old tree's own root is known to who asks, unless it is not a subtree of the new one.
    if from > 0 {
        path.push(from..to);
    }
    path.reverse();
    path
}

/// Audit path of leaf `index`, from the leaf upwards.
pub fn inclusion_proof(leaves: &[Digest], index: usize) -> Vec<Digest> {
    hashes(leaves, inclusion_path(index as u64, leaves.len() as u64))
}

/// Proof that the tree over `leaves` begins with the tree over the first `old` of them.
pub fn consistency_proof(leaves: &[Digest], old: usize) -> Vec<Digest> {
    hashes(leaves, consistency_path(old as u64, leaves.len() as u64))
}

fn hashes(leaves: &[Digest], path: Vec<Range<u64>>) -> Vec<Digest> {
    path.into_iter().map(|range| root(&leaves[range.start as usize..range.end as usize])).collect()
}

/// True if `path` leads from `leaf` at `index` to the root of a tree of `size` leaves.
pub fn verify_inclusion(leaf: &Digest, index: u64, size: u64, path: &[Digest], expected: &Digest) -> bool {
    fn climb(leaf: &Digest, index: u64, size: u64, path: &[Digest]) -> Option<Digest> {
        if size <= 1 {
            return (path.is_empty() && index == 0).then_some(*leaf);
        }
        let (sibling, rest) = path.split_last()?;
        let left = split(size);
        if index < left {
            Some(node_hash(&climb(leaf, index, left, rest)?, sibling))
        } else {
            Some(node_hash(sibling, &climb(leaf, index - left, size - left, rest)?))
        }
    }
    index < size && climb(leaf, index, size, path).as_ref() == Some(expected)
}

/// What is known of a tree: its size and root.
pub type Head<'a> = (u64, &'a Digest);

/// True if `proof` shows that the tree `new` begins with the tree `old` (section 2.1.2).
///
/// Any tree begins with the empty one, and with itself; both without proof.
pub fn verify_consistency(old: Head<'_>, new: Head<'_>, proof: &[Digest]) -> bool {
    /// Both roots, by the same hashes; `whole` while the old tree may still be all of the subtree.
    fn climb(old: Head<'_>, size: u64, whole: bool, proof: &[Digest]) -> Option<(Digest, Digest)> {
        if old.0 == size {
            return match (whole, proof) {
                (true, []) => Some((*old.1, *old.1)),
                (false, [hash]) => Some((*hash, *hash)),
                _ => None,
            };
        }
        let (sibling, rest) = proof.split_last()?;
        let left = split(size);
        if old.0 <= left {
            let (before, after) = climb(old, left, whole, rest)?;
            Some((before, node_hash(&after, sibling)))
        } else {
            let (before, after) = climb((old.0 - left, old.1), size - left, false, rest)?;
            Some((node_hash(sibling, &before), node_hash(sibling, &after)))
        }
    }
    let empty = |head: Head<'_>| head.0 > 0 || *head.1 == root(&[]);
    if !empty(old) || !empty(new) || old.0 > new.0 {
        return false;
    }
    match old.0 {
        0 => proof.is_empty(),
        size if size == new.0 => proof.is_empty() && old.1 == new.1,
        _ => climb(old, new.0, true, proof) == Some((*old.1, *new.1)),
    }
}

/// The largest power of two below `size`, which is at least 2.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
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
        folded.unwrap_or_else(|| Digest::of_bytes(b""))
    }
}
