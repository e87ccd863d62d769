//! A party's identifiers, packed: 2^24 of them take their own bytes and eight more each.

use tally_crypto::seed::Seed;
use tally_crypto::transcript::Digest;

/// Identifiers in the order in which the caller will get their row secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Identifiers {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Identifiers {
    /// Adds one.
    pub fn push(&mut self, identifier: &str) {
        self.bytes.extend_from_slice(identifier.as_bytes());
        self.ends.push(self.bytes.len());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes of identifier `at`.
    pub fn get(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.bytes[start..self.ends[at]]
    }

    /// All of them in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|at| self.get(at))
    }

    /// Salted commitment to the set, whatever its order: for the log, before anything is sent. The salt is drawn from
    /// `seed` under `label`.
    pub fn commitment(&self, label: &str, seed: &Seed) -> Digest {
        use rayon::prelude::*;
        let salt = seed.derive("tallystick/set-salt", &[label.as_bytes()]);
        let leaf = |at| {
            let hash = blake3::keyed_hash(salt.expose(), self.get(at));
            let (halves, _) = hash.as_bytes().as_chunks::<16>();
            [u128::from_be_bytes(halves[0]), u128::from_be_bytes(halves[1])]
        };
        let mut leaves: Vec<[u128; 2]> = (0..self.len()).into_par_iter().map(leaf).collect();
        leaves.par_sort_unstable();
        let mut set = blake3::Hasher::new_keyed(salt.expose());
        for leaves in leaves.as_flattened().chunks(4096) {
            let bytes: Vec<u8> = leaves.iter().flat_map(|half| half.to_be_bytes()).collect();
            set.update(&bytes);
        }
        Digest::of(label, &[salt.expose(), set.finalize().as_bytes()])
    }
}

impl<S: AsRef<str>> FromIterator<S> for Identifiers {
    fn from_iter<I: IntoIterator<Item = S>>(identifiers: I) -> Self {
        let mut packed = Self::default();
        for identifier in identifiers {
            packed.push(identifier.as_ref());
        }
        packed
    }
}

impl std::fmt::Debug for Identifiers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identifiers({}, redacted)", self.len())
    }
}
