//! Punctured pseudorandom functions: one party knows every leaf of a binary tree, the other every leaf but one.
//!
//! A node `s` has the children `π_0(s) + s` and `π_1(s) + s`, where `π_0` and `π_1` are AES-128 under two public keys of the
//! session (Guo et al., S&P 2020, on such hashes). The sums over all left and over all right nodes of each level go through
//! oblivious transfer: the puncturer learns at each level the sum of the side that its path does not take, and from it the
//! sibling of the path. Trees are cut at the right edge to the number of leaves asked for.

use aes::Aes128;
use aes::cipher::{Array, BlockCipherEncrypt as _, KeyInit as _};

use crate::field::Block;
use crate::transcript::Digest;

/// The two public permutations of a session.
pub struct Doubling {
    sides: [Aes128; 2],
}

/// Nodes doubled at a time.
const BATCH: usize = 64;

/// Levels below the root of a tree with `leaves` leaves.
pub fn depth(leaves: usize) -> usize {
    leaves.next_power_of_two().trailing_zeros() as usize
}

impl Doubling {
    /// The permutations of the session that `context` names.
    pub fn new(context: &Digest) -> Self {
        let keys = Digest::of("tallystick/tree-doubling/v1", &[context.as_bytes()]);
        let (halves, _) = keys.0.as_chunks::<16>();
        Self { sides: [0, 1].map(|side| Aes128::new(&halves[side].into())) }
    }

    /// Fills `leaves` from `root`; returns the sums of the left and of the right nodes of every level.
    pub fn grow(&self, root: Block, leaves: &mut [Block]) -> Vec<[Block; 2]> {
        leaves[0] = root;
        let depth = depth(leaves.len());
        let mut sums = Vec::with_capacity(depth);
        for level in 0..depth {
            let next = self.double(leaves, depth - level);
            sums.push([0, 1].map(|side| side_sum(&leaves[..next], side)));
        }
        sums
    }

    /// Fills `leaves` but for the one at `hole`, which becomes zero; `sums` holds for every level the sum of the side that
    /// the path to the hole does not take.
    pub fn grow_punctured(&self, hole: usize, sums: &[Block], leaves: &mut [Block]) {
        leaves[0] = 0;
        let depth = depth(leaves.len());
        for (level, sum) in (0..depth).zip(sums) {
            let next = self.double(leaves, depth - level);
            let path = hole >> (depth - level - 1);
            let sibling = path ^ 1;
            leaves[path] = 0;
            if sibling < next {
                leaves[sibling] = 0;
                leaves[sibling] = sum ^ side_sum(&leaves[..next], sibling & 1);
            }
        }
    }

    /// Doubles the nodes that stand in front of `nodes`, `height` levels above the leaves; returns how many there are then.
    fn double(&self, nodes: &mut [Block], height: usize) -> usize {
        let (now, next) = (nodes.len().div_ceil(1 << height), nodes.len().div_ceil(1 << (height - 1)));
        // From the back, so that children never overwrite a node that is still to be doubled.
        for first in (0..now).step_by(BATCH).rev() {
            let count = BATCH.min(now - first);
            let parents: [Block; BATCH] = std::array::from_fn(|i| if i < count { nodes[first + i] } else { 0 });
            let mut input = [Array::from([0; 16]); BATCH];
            for (bytes, parent) in input.iter_mut().zip(&parents) {
                *bytes = parent.to_le_bytes().into();
            }
            for (side, permutation) in self.sides.iter().enumerate() {
                let mut children = input;
                permutation.encrypt_blocks(&mut children[..count]);
                for (i, child) in children[..count].iter().enumerate() {
                    let at = 2 * (first + i) + side;
                    if at < next {
                        nodes[at] = u128::from_le_bytes((*child).into()) ^ parents[i];
                    }
                }
            }
        }
        next
    }
}

fn side_sum(nodes: &[Block], side: usize) -> Block {
    nodes.iter().skip(side).step_by(2).fold(0, |sum, node| sum ^ node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hole_of_every_size() {
        let doubling = Doubling::new(&Digest::of_bytes(b"session"));
        for size in [1, 2, 3, 5, 8, 31, 64, 65, 130, 257] {
            let mut leaves = vec![0; size];
            let sums = doubling.grow(0x1234, &mut leaves);
            assert_eq!(sums.len(), depth(size));
            for hole in 0..size {
                let side = |level: usize| 1 - (hole >> (sums.len() - level - 1) & 1);
                let off_path: Vec<_> = sums.iter().enumerate().map(|(level, sum)| sum[side(level)]).collect();
                let mut punctured = vec![9; size];
                doubling.grow_punctured(hole, &off_path, &mut punctured);
                let mut expected = leaves.clone();
                expected[hole] = 0;
                assert_eq!(punctured, expected, "{size} leaves, hole {hole}");
            }
        }
    }

    #[test]
    fn a_leaf_is_pinned() {
        let mut leaves = [0; 3];
        Doubling::new(&Digest::of_bytes(b"pin")).grow(1, &mut leaves);
        assert_eq!(leaves[2] as u64, 16_924_829_809_524_634_583);
    }
}
