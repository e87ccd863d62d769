//! Golden vectors: what a model gave for fixed inputs when it was released. A model that gives anything else later was changed,
//! or runs on a machine that computes otherwise, and must not score.

use serde::{Deserialize, Serialize};

/// What scores can be had from a model, by codes of the plan's fields.
pub trait Scoring {
    /// Codes of each field, the missing code included.
    fn widths(&self) -> Vec<usize>;

    /// Inner cuts of a field, where it is a number and its cuts are known here.
    fn cuts(&self, field: usize) -> &[f64];

    /// The code of a number.
    fn code(&self, field: usize, value: f64) -> u16;

    /// The score of an applicant.
    fn score(&self, codes: &[u16]) -> f64;
}

/// Inputs and what they gave, bit for bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// Codes of applicants.
    inputs: Vec<Vec<u16>>,
    /// The bits of their scores, since text formats have no infinite numbers.
    scores: Vec<u64>,
    /// Field, the bits of a number, and its code: every cut, and the next number above it.
    codes: Vec<(usize, u64, u16)>,
}

/// A model does not reproduce its golden vectors.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum NotGolden {
    /// A score.
    #[error("golden applicant {applicant} scores {now} instead of {golden}")]
    Score {
        /// Which one, from 0.
        applicant: usize,
        /// At the release.
        golden: f64,
        /// Now.
        now: f64,
    },
    /// A code.
    #[error("{value} of field {field} falls into bin {now} instead of {golden}")]
    Code {
        /// Position of the field.
        field: usize,
        /// The number.
        value: f64,
        /// At the release.
        golden: u16,
        /// Now.
        now: u16,
    },
}

/// Applicants with codes of all fields mixed, beside those with one field away from missing.
const MIXED: u64 = 64;

impl Golden {
    /// The vectors of a model: each code of each field with the others missing, and mixtures of all.
    pub fn of(model: &impl Scoring) -> Self {
        let widths = model.widths();
        let single = widths.iter().enumerate().flat_map(|(field, width)| {
            let fields = widths.len();
            (0..*width).map(move |code| {
                let mut codes = vec![0; fields];
                codes[field] = code as u16;
                codes
            })
        });
        // A fixed recurrence (Knuth's MMIX), so that the inputs are the same everywhere.
        let mut state = 1u64;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let mixed: Vec<Vec<u16>> =
            (0..MIXED).map(|_| widths.iter().map(|width| (next() % (*width).max(1) as u64) as u16).collect()).collect();
        let inputs: Vec<_> = single.chain(mixed).collect();
        let scores = inputs.iter().map(|codes| model.score(codes).to_bits()).collect();
        let probes = (0..widths.len())
            .flat_map(|field| model.cuts(field).iter().flat_map(move |cut| [(field, *cut), (field, cut.next_up())]));
        let codes = probes.map(|(field, value)| (field, value.to_bits(), model.code(field, value))).collect();
        Self { inputs, scores, codes }
    }

    /// Checks a model against its vectors.
    ///
    /// # Errors
    /// Names the first vector that it does not reproduce.
    pub fn check(&self, model: &impl Scoring) -> Result<(), NotGolden> {
        for (applicant, (codes, &golden)) in self.inputs.iter().zip(&self.scores).enumerate() {
            let now = model.score(codes);
            if now.to_bits() != golden {
                return Err(NotGolden::Score { applicant, golden: f64::from_bits(golden), now });
            }
        }
        for &(field, bits, golden) in &self.codes {
            let value = f64::from_bits(bits);
            let now = model.code(field, value);
            if now != golden {
                return Err(NotGolden::Code { field, value, golden, now });
            }
        }
        Ok(())
    }
}
