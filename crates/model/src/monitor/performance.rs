//! How a model did: bad rates beside probabilities, power once outcomes are known and before.

use serde::{Deserialize, Serialize};

use super::{Applicant, Development};
use crate::contribution::logistic;
use crate::metrics::{Cell, Estimate, Figures, exact};

/// What came of the loans.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Performance {
    /// By score band, the safest first.
    pub bands: Vec<Band>,
    /// All mature loans together.
    pub all: Band,
    /// Power on mature loans; absent without good or without bad ones.
    pub figures: Option<Figures>,
    /// Loans by month of scoring: good and bad ones whose window is over, and those whose window is not.
    pub months: Vec<LoanMonth>,
}

/// Loans of one score band.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// Least and largest probability of bad of the band; 0 and 1 at the open ends.
    pub from: f64,
    /// See `from`.
    pub to: f64,
    /// Mature loans.
    pub loans: Cell,
    /// Mean probability of bad that the model gave them.
    pub expected: f64,
    /// Share of bad loans with Wilson's interval.
    pub realised: Estimate,
    /// Whether the expected rate lies within the interval.
    pub within: bool,
}

/// Loans of applicants of one month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoanMonth {
    /// `YYYY-MM` of scoring.
    pub month: String,
    /// Loans whose window is over.
    pub mature: Cell,
    /// Loans whose window is not over.
    pub young: i64,
}

/// What scores alone say of the model's power.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimated {
    /// `YYYY-MM`.
    pub month: String,
    /// Applicants.
    pub rows: i64,
    /// Expected share of bad ones.
    pub bad_rate: f64,
    /// Area under the ROC curve.
    pub auc: f64,
    /// Largest distance between the distributions of good and bad ones.
    pub ks: f64,
}

impl Performance {
    /// From applicants with loans; `None` without any.
    pub(super) fn new(development: &Development, applicants: &[Applicant]) -> Option<Self> {
        let loans: Vec<_> = applicants.iter().filter_map(|one| Some((one, one.loan?))).collect();
        if loans.is_empty() {
            return None;
        }
        let mature: Vec<_> =
            loans.iter().filter(|(_, loan)| loan.mature).map(|(one, loan)| (one.log_odds, loan.bad)).collect();
        let bands = (0..development.bands()).map(|band| {
            let inside = mature.iter().filter(|(log_odds, _)| development.band(*log_odds) == band);
            Band::new(development.ends(band), inside.copied())
        });
        let (scores, labels): (Vec<f64>, Vec<u8>) = mature.iter().map(|(odds, bad)| (*odds, u8::from(*bad))).unzip();
        let mut months = std::collections::BTreeMap::<&str, (Cell, i64)>::new();
        for (one, loan) in &loans {
            let (mature, young) = months.entry(&one.month).or_default();
            match (loan.mature, loan.bad) {
                (false, _) => *young += 1,
                (true, true) => mature.bad += 1,
                (true, false) => mature.good += 1,
            }
        }
        let month = |(month, (mature, young)): (&str, (Cell, i64))| LoanMonth { month: month.into(), mature, young };
        Some(Self {
            bands: bands.collect(),
            all: Band::new((f64::NEG_INFINITY, f64::INFINITY), mature.iter().copied()),
            figures: exact(&scores, &labels),
            months: months.into_iter().map(month).collect(),
        })
    }
}

impl Band {
    fn new((low, high): (f64, f64), loans: impl Iterator<Item = (f64, bool)>) -> Self {
        let (mut rows, mut expected) = (Cell::default(), 0.0);
        for (log_odds, bad) in loans {
            rows = rows.plus(if bad { Cell { good: 0, bad: 1 } } else { Cell { good: 1, bad: 0 } });
            expected += logistic(log_odds);
        }
        let expected = if rows.rows() == 0 { 0.0 } else { expected / rows.rows() as f64 };
        let realised = Estimate::proportion(rows.bad, rows.rows());
        let within = (realised.low..=realised.high).contains(&expected);
        Self { from: logistic(low), to: logistic(high), loans: rows, expected, realised, within }
    }
}

/// AUC and KS if every applicant were bad with the probability of its log-odds: each counts as that much of a bad row and as
/// the rest of a good one; equal scores are tied. `None` where there is nothing of either. The month is left empty.
pub fn estimated(log_odds: &[f64]) -> Option<Estimated> {
    let mut sorted = log_odds.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let bad: f64 = sorted.iter().map(|value| logistic(*value)).sum();
    let good = sorted.len() as f64 - bad;
    if !(bad > 0.0 && good > 0.0) {
        return None;
    }
    let (mut good_below, mut bad_below, mut pairs, mut ks) = (0.0, 0.0, 0.0, 0.0f64);
    for tied in sorted.chunk_by(|one, other| one == other) {
        let bad_here: f64 = tied.iter().map(|value| logistic(*value)).sum();
        let good_here = tied.len() as f64 - bad_here;
        pairs += bad_here * (good_below + good_here / 2.0);
        good_below += good_here;
        bad_below += bad_here;
        ks = ks.max((good_below / good - bad_below / bad).abs());
    }
    let rows = log_odds.len();
    Some(Estimated {
        month: String::new(),
        rows: rows as i64,
        bad_rate: bad / rows as f64,
        auc: pairs / (good * bad),
        ks,
    })
}
