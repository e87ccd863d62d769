//! A released sum again, from its transcript alone: what an auditor does, by the code that released it.

use tally_crypto::transcript::Digest;

use super::SealedContract;
use super::bank::sums_digest;
use crate::aggregation::Transcript;

/// A round as its transcript shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Number of the round.
    pub round: u32,
    /// Digest of the sum request.
    pub request: Digest,
    /// Banks in the sum.
    pub cohort: Vec<String>,
    /// Digest of the sum, as logs carry it.
    pub sums: Digest,
    /// Length of the sum.
    pub words: usize,
}

/// Checks every signature and commitment of a round's transcript against the contract, and recomputes the sum. No bank's
/// vector is opened.
///
/// # Errors
/// Names the part that does not hold.
pub fn replay(contract: &SealedContract, transcript: &[u8]) -> Result<Replayed, String> {
    let roster = contract.roster().map_err(|fault| fault.to_string())?;
    let transcript = Transcript::decode(transcript).map_err(|error| error.to_string())?;
    let sums = transcript.recompute(&roster).map_err(|error| error.to_string())?;
    Ok(Replayed {
        round: transcript.offer.spec.round,
        request: transcript.offer.spec.request,
        cohort: transcript.survivors(),
        sums: sums_digest(&sums),
        words: sums.len(),
    })
}
