//! Scoring of applicants with the two halves of a model: those that wait at the same time share a message.
//!
//! **Parties.** A bank with applicants; the platform.
//!
//! **Inputs.** Bank: each applicant's identifier, its own fields, the purpose. Platform: its fields of that enterprise, its
//! bin tables, the consent register.
//!
//! **Outputs.** Bank: score, probability and reason codes of each. Platform: nothing.
//!
//! **What each learns.** The platform: that this bank asks about these enterprises, for which purpose, and on which consent its
//! caller relies, if on one; the application, where a consent names it. The bank: the platform's summed points of the applicant and, for each platform field, the points lost against its best bin, which
//! are its reason codes; of boosted trees, whose parts do not add up, the bins of the fields that the trees split on; which of the
//! fields are under an objection of the enterprise. Raw values do not travel.
//!
//! **Assumptions.** Semi-honest parties, an authenticated link; consent is checked and its use counted by the platform
//! before it answers, and the consent that it names is asked the same question by the bank before the answer counts.
//!
//! **Cost.** One round trip, about 150 bytes an applicant there and 200 back.
//!
//! **References.** Additive scorecard: points are a sum over fields, so one integer a party suffices.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;
use tally_policy::Purpose;

#[cfg(test)]
mod tests;

/// Most requests of one message.
pub const MOST_REQUESTS: usize = 1024;

/// Most points that an answer adds or takes away: sums with them cannot overflow.
pub const MOST_POINTS: u64 = 1_000_000_000;
/// Longest name of a case, an enterprise, a field or a session in a correction, in bytes.
const MOST_NAME: usize = 256;

/// Bank to platform: at least one request, at most [`MOST_REQUESTS`], all by models of one session, none named twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreRequests(pub Vec<ScoreRequest>);

/// Platform to bank: answers to all requests of a message, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreResponses(pub Vec<ScoreResponse>);

/// Score this enterprise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreRequest {
    /// Random name of the request, 32 hexadecimal digits.
    pub request: String,
    /// Session that made the model.
    pub session: String,
    /// Digest of the model.
    pub model: Digest,
    /// Canonical identifier of the applicant.
    pub subject: String,
    /// Why the bank asks.
    pub purpose: Purpose,
    /// The application that it asks for, by its [digest](tally_policy::application_digest), where a consent to the bank names it; the
    /// platform knows its number then, from the consent, and has no need of it otherwise.
    pub application: Option<Digest>,
    /// The consent that the bank's caller relies on: no score, and no use counted, under another one.
    pub consent: Option<Digest>,
}

/// The answer about one enterprise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreResponse {
    /// The request that this answers.
    pub request: String,
    /// What came of it.
    pub outcome: ScoreOutcome,
}

/// What the platform answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScoreOutcome {
    /// The platform's part of the score.
    Scored {
        /// Sum of its fields' points.
        points: i64,
        /// Points of each of its fields below the field's best bin, in contract order.
        lost: Vec<PointsLost>,
        /// Consent under which it was computed.
        consent: Digest,
        /// Fields whose values are under objection: counted as missing.
        withheld: Vec<String>,
    },
    /// The platform's bins, for a model whose parts do not add up.
    Coded {
        /// Its fields' codes in contract order; 0 for fields that the model does not use.
        codes: Vec<u16>,
        /// Consent under which they are given.
        consent: Digest,
        /// Fields whose values are under objection: counted as missing.
        withheld: Vec<String>,
    },
    /// No score, and why.
    Refused {
        /// A code for programs: `no-consent`, `revoked`, `expired`, `unknown-enterprise`, `unknown-model`, ….
        code: String,
        /// The reason in words.
        reason: String,
    },
}

/// Platform to bank: a value was wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    /// Name of the case.
    pub case: String,
    /// The enterprise, whose consent the bank holds.
    pub subject: String,
    /// The field that was corrected.
    pub field: String,
    /// Sessions in which the old value was offered to the bank.
    pub sessions: Vec<String>,
    /// Scores that rest on the old value, by request, and what the platform answers now.
    pub scores: Vec<(String, ScoreOutcome)>,
}

/// How far one field is below its best bin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointsLost {
    /// Field name.
    pub field: String,
    /// Points below the field's best bin or, where the plan says so, below the mean: then also negative.
    pub points: i64,
}

impl ScoreRequests {
    fn is_sound(&self) -> bool {
        let names: BTreeSet<_> = self.0.iter().map(|request| &request.request).collect();
        let sessions: BTreeSet<_> = self.0.iter().map(|request| &request.session).collect();
        (1..=MOST_REQUESTS).contains(&self.0.len()) && names.len() == self.0.len() && sessions.len() == 1
    }
}

impl ScoreResponses {
    fn is_sound(&self) -> bool {
        let names: BTreeSet<_> = self.0.iter().map(|response| &response.request).collect();
        (1..=MOST_REQUESTS).contains(&self.0.len())
            && names.len() == self.0.len()
            && self.0.iter().all(|response| response.outcome.is_sound())
    }
}

impl Correction {
    /// Each score once, and no more and no longer texts than an honest platform has to tell: a bank keeps them.
    fn is_sound(&self) -> bool {
        let requests: BTreeSet<_> = self.scores.iter().map(|(request, _)| request).collect();
        let texts = [&self.case, &self.subject, &self.field].into_iter().chain(&self.sessions);
        requests.len() == self.scores.len()
            && self.scores.len().max(self.sessions.len()) <= MOST_REQUESTS
            && texts.into_iter().all(|text| text.len() <= MOST_NAME)
            && self.scores.iter().all(|(_, outcome)| outcome.is_sound())
    }
}

impl ScoreOutcome {
    fn is_sound(&self) -> bool {
        let bounded = |points: i64| points.unsigned_abs() <= MOST_POINTS;
        match self {
            Self::Scored { points, lost, .. } => bounded(*points) && lost.iter().all(|lost| bounded(lost.points)),
            Self::Coded { .. } | Self::Refused { .. } => true,
        }
    }
}

macro_rules! codec {
    ($message:ty) => {
        impl $message {
            /// The message as bytes.
            pub fn encode(&self) -> Vec<u8> {
                // Panic safety: serialising to a growing vector cannot fail for types without custom errors.
                postcard::to_allocvec(self).expect("messages serialise")
            }

            /// Reads a message; trailing bytes, and what breaks its rules, are refused.
            pub fn decode(bytes: &[u8]) -> Option<Self> {
                match postcard::take_from_bytes(bytes) {
                    Ok((message, [])) => Some(message).filter(Self::is_sound),
                    _ => None,
                }
            }
        }
    };
}

codec!(ScoreRequests);
codec!(ScoreResponses);
codec!(Correction);
