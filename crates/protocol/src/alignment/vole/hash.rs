//! Hashing of identifiers and of outputs, under keys that neither party has chosen.

use rayon::prelude::*;
use tally_crypto::field::{Block, mul};
use tally_crypto::okvs::{Grouped, Key, Layout};
use tally_crypto::transcript::Digest;

use crate::alignment::Identifiers;
use crate::alignment::rows::{Keyed, RowSecret};

/// The public randomness of one shard, from a share of each party.
#[derive(Clone, Copy)]
pub(super) struct Public {
    pub(super) code: Digest,
    elements: Digest,
    context: Digest,
}

/// An identifier's 48 bytes: its key in the store and its value there.
type Element = [u8; 48];

/// The hashed identifiers of one shard, in order of the store's bins.
pub(super) struct Elements {
    elements: Vec<Element>,
    rows: Vec<u32>,
    pub(super) grouped: Grouped,
}

impl Public {
    pub(super) fn new(context: &Digest, platform: &[u8; 32], bank: &[u8; 32]) -> Self {
        let part = |part: &str| Digest::of(part, &[context.as_bytes(), platform, bank]);
        let [code, elements] = ["tallystick/vole-code/v2", "tallystick/vole-elements/v2"].map(part);
        Self { code, elements, context: *context }
    }

    /// Hashes the identifiers at `rows`.
    pub(super) fn hash(&self, layout: &Layout, identifiers: &Identifiers, rows: &[u32]) -> Elements {
        let one = |row: &u32| {
            let mut element = [0; 48];
            let mut hash = blake3::Hasher::new_keyed(self.elements.as_bytes());
            hash.update(identifiers.get(*row as usize)).finalize_xof().fill(&mut element);
            element
        };
        let elements: Vec<Element> = rows.par_iter().map(one).collect();
        let keys: Vec<_> = elements.iter().map(key).collect();
        let grouped = Grouped::new(layout, &keys);
        let elements_in_order = grouped.origin().iter().map(|&at| elements[at as usize]).collect();
        let rows = grouped.origin().iter().map(|&at| rows[at as usize]).collect();
        Elements { elements: elements_in_order, rows, grouped }
    }

    /// The row secret of every element, from what the coin's shares and the decoded vector give; `decoded` is in grouped
    /// order.
    pub(super) fn secrets(
        &self,
        elements: &Elements,
        decoded: &[Block],
        platform: &[u8; 32],
        bank: &[u8; 32],
    ) -> Vec<Keyed> {
        let coin = Digest::of("tallystick/vole-coin/v2", &[self.context.as_bytes(), platform, bank]);
        let one = |((element, row), value): ((&Element, &u32), &Block)| {
            let mut input = [0; 64];
            input[..48].copy_from_slice(element);
            input[48..].copy_from_slice(&value.to_le_bytes());
            let mut output = [0; 64];
            blake3::Hasher::new_keyed(coin.as_bytes()).update(&input).finalize_xof().fill(&mut output);
            Keyed { row: *row, secret: RowSecret::from_output(&output) }
        };
        elements.elements.par_iter().zip(&elements.rows).zip(decoded).map(one).collect()
    }
}

impl Elements {
    /// What each identifier must decode to in the bank's store.
    pub(super) fn values(&self) -> Vec<Block> {
        self.elements.iter().map(value).collect()
    }

    /// Place of each identifier, and the point of its key, in grouped order.
    #[cfg(test)]
    pub(super) fn places(&self) -> impl Iterator<Item = (u32, Block)> {
        let point = |element: &Element| element[16..32].iter().rev().fold(0, |sum, byte| sum << 8 | Block::from(*byte));
        self.rows.iter().copied().zip(self.elements.iter().map(point))
    }

    /// Takes the multiple of Δ that an encoded identifier has from its decoded value.
    pub(super) fn subtract_multiples(&self, decoded: &mut [Block], delta: Block) {
        decoded
            .par_iter_mut()
            .zip(&self.elements)
            .for_each(|(decoded, element)| *decoded ^= mul(value(element), delta));
    }
}

fn key(element: &Element) -> Key {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(&element[..32]);
    Key::from_hash(&bytes)
}

fn value(element: &Element) -> Block {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&element[32..]);
    u128::from_le_bytes(bytes)
}
