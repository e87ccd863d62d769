//! How many enterprises two parties have in common, without telling which: for feasibility, before a contract on fields.
//!
//! **Parties.** Platform, bank.
//!
//! **Inputs.** As in [`alignment`](super).
//!
//! **Outputs.** Bank: the number of common identifiers, or that it is below the agreed floor ([`Count`]). Platform: nothing.
//!
//! **What each learns.** Platform: how many identifiers the bank brings. Bank: how many the platform brings, and the number of
//! common ones; the order in which it sent its points is lost in the platform's shuffle, so that it cannot tell which.
//!
//! **Assumptions.** Decisional Diffie-Hellman on ristretto255, random oracle, parties that follow the protocol. A bank that
//! alters its own node is not bound by the floor, and one that brings a single enterprise and points without meaning learns
//! of that one: runs are logged on both sides, and the platform refuses a bank that brings fewer identifiers than the floor.
//! A platform that answers with anything else falsifies the number and learns nothing.
//!
//! **Cost.** Platform: one multiplication a row and one an identifier; bank: two an identifier. On the wire 64 bytes an
//! identifier and 16 a row.
//!
//! **References.** De Cristofaro, Gasti, Tsudik, *Fast and Private Computation of Cardinality of Set Intersection and Union*
//! (CANS 2012).
//!
//! ```text
//! Platform <--points H(x)^r, shuffled---- Bank
//!          --H(x)^(r k), shuffled------>
//!          --tags of H(y)^k, sorted----->  counts
//! ```

use rand_core::CryptoRng;
use rayon::prelude::*;
use tally_crypto::exponent::Exponent;
use tally_crypto::group::Point;
use tally_crypto::oprf::OprfError;
use tally_crypto::seed::Seed;
use tally_crypto::transcript::Digest;

use super::rows::check_tags;
use super::{Identifiers, Misbehaved, Terms};

/// What the bank learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// The number of common enterprises.
    Exact(u64),
    /// Fewer than this floor.
    Below(u64),
}

/// The platform's side.
pub struct CountPlatform {
    context: Digest,
    exponent: Exponent,
    tags: Vec<[u8; 16]>,
    cap: u64,
    floor: u64,
    seed: Seed,
}

/// The bank's side.
pub struct CountBank {
    context: Digest,
    exponent: Exponent,
    sent: usize,
    floor: u64,
}

impl CountPlatform {
    /// Prepares the tags of the platform's own identifiers.
    ///
    /// # Errors
    /// Fails if an identifier stands twice.
    pub fn new(terms: &Terms, identifiers: &Identifiers, floor: u64, seed: &Seed) -> Result<Self, Misbehaved> {
        let context = terms.context();
        let seed = seed.derive("tallystick/cardinality", &[context.as_bytes()]);
        let exponent = Exponent::random(&mut seed.rng("exponent", &[]));
        let mut tags = tags(&context, &raise_hashed(&exponent, identifiers)?);
        tags.par_sort_unstable();
        if tags.is_sorted_by(|a, b| a < b) {
            Ok(Self { context, exponent, tags, cap: terms.cap, floor, seed })
        } else {
            Err(Misbehaved::Duplicate)
        }
    }

    /// Raises the bank's points and shuffles them; the tags go with them.
    ///
    /// # Errors
    /// Refuses more points than the cap and fewer than the floor.
    pub fn answer(self, points: &[Point]) -> Result<(Vec<Point>, Vec<[u8; 16]>), Misbehaved> {
        let asked = points.len() as u64;
        if asked > self.cap {
            return Err(Misbehaved::OverCap { asked, cap: self.cap });
        }
        if asked < self.floor {
            return Err(Misbehaved::BelowFloor { asked, floor: self.floor });
        }
        let mut raised = self.exponent.raise(points);
        shuffle(&mut raised, &mut self.seed.rng("shuffle", &[self.context.as_bytes()]));
        Ok((raised, self.tags))
    }
}

impl CountBank {
    /// Blinds and shuffles the bank's identifiers.
    ///
    /// # Errors
    /// Fails if there are more than the cap.
    pub fn new(
        terms: &Terms,
        identifiers: &Identifiers,
        floor: u64,
        seed: &Seed,
    ) -> Result<(Self, Vec<Point>), Misbehaved> {
        let context = terms.context();
        let asked = identifiers.len() as u64;
        if asked > terms.cap {
            return Err(Misbehaved::OverCap { asked, cap: terms.cap });
        }
        let mut rng = seed.rng("tallystick/cardinality", &[context.as_bytes()]);
        let exponent = Exponent::random(&mut rng);
        let mut points = raise_hashed(&exponent, identifiers)?;
        shuffle(&mut points, &mut rng);
        Ok((Self { context, exponent, sent: points.len(), floor }, points))
    }

    /// Counts the common identifiers.
    ///
    /// # Errors
    /// Refuses another number of points than was sent, and tags that are not as announced.
    pub fn count(self, points: &[Point], offered: &[[u8; 16]], announced: u64) -> Result<Count, Misbehaved> {
        if points.len() != self.sent {
            return Err(Misbehaved::Size("raised points"));
        }
        check_tags(offered.iter().copied(), announced)?;
        let own = tags(&self.context, &self.exponent.lower(points));
        let count = own.par_iter().filter(|tag| offered.binary_search(tag).is_ok()).count() as u64;
        Ok(if count < self.floor { Count::Below(self.floor) } else { Count::Exact(count) })
    }
}

fn raise_hashed(exponent: &Exponent, identifiers: &Identifiers) -> Result<Vec<Point>, Misbehaved> {
    let inputs: Vec<_> = identifiers.iter().collect();
    let blame = |reason: OprfError| Misbehaved::Evaluation { chunk: 0, reason };
    exponent.raise_hashed(&inputs).map_err(blame)
}

fn tags(context: &Digest, points: &[Point]) -> Vec<[u8; 16]> {
    let tag = |point: &Point| {
        let mut tag = [0; 16];
        tag.copy_from_slice(&blake3::keyed_hash(context.as_bytes(), point.as_bytes()).as_bytes()[..16]);
        tag
    };
    points.par_iter().map(tag).collect()
}

/// Fisher and Yates.
fn shuffle<T>(items: &mut [T], rng: &mut impl CryptoRng) {
    for last in (1..items.len()).rev() {
        let other = ((u128::from(rng.next_u64()) * (last as u128 + 1)) >> 64) as usize;
        items.swap(last, other);
    }
}
