//! Who takes part, with which key, and how many must stay.

use tally_crypto::sign::VerifyKey;
use tally_crypto::transcript::{Digest, Transcript};

/// The banks of a session, in order of name, and the thresholds that follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    session: Digest,
    members: Vec<RosterMember>,
    min_cohort: usize,
    digest: Digest,
}

/// A bank and the key that it signs rounds with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterMember {
    /// Party name.
    pub name: String,
    /// Key that signed the contract.
    pub key: VerifyKey,
}

/// Why no roster can be made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RosterError {
    /// Fewer than three banks: a sum of two tells each the other's.
    #[error("secure aggregation needs three banks, the contract has {0}")]
    TooFew(usize),
    /// A name stands twice.
    #[error("bank {0} stands twice in the roster")]
    Duplicate(String),
    /// The minimum cohort cannot be kept.
    #[error("a minimum cohort of {min_cohort} does not fit {members} banks: it lies between 3 and their number")]
    MinCohort {
        /// The contract's minimum.
        min_cohort: usize,
        /// Number of banks.
        members: usize,
    },
}

impl Roster {
    /// Orders and checks the members.
    ///
    /// # Errors
    /// Refuses fewer than three banks, double names and an impossible minimum cohort.
    pub fn new(session: Digest, mut members: Vec<RosterMember>, min_cohort: usize) -> Result<Self, RosterError> {
        members.sort_by(|a, b| a.name.cmp(&b.name));
        if members.len() < 3 {
            return Err(RosterError::TooFew(members.len()));
        }
        if let Some(pair) = members.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(RosterError::Duplicate(pair[0].name.clone()));
        }
        if !(3..=members.len()).contains(&min_cohort) {
            return Err(RosterError::MinCohort { min_cohort, members: members.len() });
        }
        let mut transcript = Transcript::new("tallystick/roster/v1");
        transcript.append(session.as_bytes());
        transcript.append_u64(min_cohort as u64);
        for member in &members {
            transcript.append(member.name.as_bytes());
            transcript.append(member.key.as_bytes());
        }
        Ok(Self { session, members, min_cohort, digest: transcript.digest() })
    }

    /// Shares that determine a secret: `floor(2n/3) + 1`, which keeps `2t > n + c` for `c = ceil(n/3) - 1` colluding banks.
    pub fn threshold(&self) -> usize {
        2 * self.members.len() / 3 + 1
    }

    /// Fewest banks that a round goes on with.
    pub fn quorum(&self) -> usize {
        self.threshold().max(self.min_cohort)
    }

    /// Most banks that may collude with the platform before it can open a vector: `2t > n + c`, two honest banks in every
    /// released sum, and fewer colluders than shares determine a secret. Whoever shares data with the platform counts.
    pub fn colluders(&self) -> usize {
        let threshold = self.threshold();
        (2 * threshold - self.members.len() - 1).min(self.quorum() - 2).min(threshold - 1)
    }

    /// Session that the roster belongs to.
    pub fn session(&self) -> &Digest {
        &self.session
    }

    /// Names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.name.as_str())
    }

    /// The share index of `name`, from 1.
    pub fn index(&self, name: &str) -> Option<u32> {
        let place = self.members.binary_search_by(|member| member.name.as_str().cmp(name)).ok()?;
        u32::try_from(place + 1).ok()
    }

    /// The key of `name`.
    pub fn key(&self, name: &str) -> Option<&VerifyKey> {
        let index = self.index(name)? as usize;
        Some(&self.members[index - 1].key)
    }

    /// Names the roster in every signature.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}
