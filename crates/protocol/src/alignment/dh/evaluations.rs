//! The platform's own evaluations, kept from one session to the next as long as the key's epoch lasts.

use rayon::prelude::*;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tally_crypto::group::Point;
use tally_crypto::oprf::{Mode, OprfError, ServerKey};
use tally_crypto::seed::Seed;

use crate::alignment::Identifiers;

/// Outputs of one key, in order of a keyed hash of the identifier. Whoever holds this and the identifiers can recognise
/// rows: it is stored sealed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Evaluations {
    outputs: Vec<(Name, [u8; 32])>,
}

type Name = [u8; 16];

/// As one string of bytes, 48 an identifier: there may be millions.
impl Serialize for Evaluations {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> =
            self.outputs.iter().flat_map(|(name, output)| name.iter().chain(output)).copied().collect();
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Evaluations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = <&[u8]>::deserialize(deserializer)?;
        let (records, rest) = bytes.as_chunks::<48>();
        let entry = |record: &[u8; 48]| {
            let (mut name, mut output) = ([0; 16], [0; 32]);
            name.copy_from_slice(&record[..16]);
            output.copy_from_slice(&record[16..]);
            (name, output)
        };
        if rest.is_empty() {
            Ok(Self { outputs: records.iter().map(entry).collect() })
        } else {
            Err(de::Error::custom("evaluations take 48 bytes each"))
        }
    }
}

impl Evaluations {
    /// How many identifiers are in it.
    pub fn len(&self) -> usize {
        self.outputs.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.outputs.is_empty()
    }

    /// Makes it hold exactly `identifiers`: evaluates those that are new, forgets those that are gone. Returns the number
    /// of new ones.
    ///
    /// # Errors
    /// Fails if an identifier hashes to the identity, which nobody can find.
    pub fn update(&mut self, identifiers: &Identifiers, key: &EpochKey) -> Result<usize, OprfError> {
        let joined = self.join(identifiers, key);
        let fresh: Vec<_> = joined.iter().filter(|(_, _, output)| output.is_none()).map(|entry| entry.1).collect();
        let inputs: Vec<_> = fresh.iter().map(|&row| identifiers.get(row as usize)).collect();
        let mut outputs = key.server.evaluate(&inputs)?.into_iter();
        let entry = |(name, _, output): (Name, u32, Option<[u8; 32]>)| {
            Some((name, output.or_else(|| outputs.next().as_ref().map(shorten))?))
        };
        self.outputs = joined.into_iter().filter_map(entry).collect();
        Ok(fresh.len())
    }

    /// The output of every identifier in their order; `None` if one is missing.
    pub(super) fn of(&self, identifiers: &Identifiers, key: &EpochKey) -> Option<Vec<[u8; 32]>> {
        let mut outputs = vec![[0; 32]; identifiers.len()];
        for (_, row, output) in self.join(identifiers, key) {
            outputs[row as usize] = output?;
        }
        Some(outputs)
    }

    /// Every identifier's name, row and kept output, in order of names.
    fn join(&self, identifiers: &Identifiers, key: &EpochKey) -> Vec<(Name, u32, Option<[u8; 32]>)> {
        let name = |row: u32| (key.name(identifiers.get(row as usize)), row);
        let mut names: Vec<_> = (0..identifiers.len() as u32).into_par_iter().map(name).collect();
        names.par_sort_unstable();
        let mut kept = self.outputs.iter().peekable();
        let mut find = |name: &Name| {
            while kept.next_if(|(other, _)| other < name).is_some() {}
            kept.next_if(|(other, _)| other == name).map(|(_, output)| *output)
        };
        names.into_iter().map(|(name, row)| (name, row, find(&name))).collect()
    }
}

impl std::fmt::Debug for Evaluations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Evaluations({}, redacted)", self.len())
    }
}

/// The platform's key of one epoch, and the key under which identifiers are looked up.
#[derive(Debug)]
pub struct EpochKey {
    pub(super) server: ServerKey,
    names: Seed,
}

impl EpochKey {
    /// The key that `seed` and `epoch` give.
    ///
    /// # Errors
    /// Fails if no key can be derived, which nobody can bring about.
    pub fn derive(mode: Mode, seed: &Seed, epoch: &[u8]) -> Result<Self, OprfError> {
        let server = ServerKey::derive(mode, seed.derive("tallystick/oprf-key", &[epoch]).expose(), epoch)?;
        Ok(Self { server, names: seed.derive("tallystick/oprf-names", &[epoch]) })
    }

    /// The public key, which names the epoch to the bank.
    pub fn public(&self) -> Point {
        self.server.public()
    }

    fn name(&self, identifier: &[u8]) -> Name {
        let mut name = [0; 16];
        name.copy_from_slice(&blake3::keyed_hash(self.names.expose(), identifier).as_bytes()[..16]);
        name
    }
}

/// The half of an output that row secrets are derived from: 256 bits.
pub(super) fn shorten(output: &[u8; 64]) -> [u8; 32] {
    let mut short = [0; 32];
    short.copy_from_slice(&output[..32]);
    short
}
