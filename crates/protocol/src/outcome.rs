//! Outcome feedback: a bank tells the platform what became of an enterprise's application, where the enterprise allows it.
//!
//! **Parties.** A bank with outcomes of its loans; the platform.
//!
//! **Inputs.** Bank: applications with enterprise, decision, amount, rate, start and state. Both: the consent register.
//!
//! **Outputs.** Platform: per application, whether a loan was granted, bands of amount and rate, the month it began, its state.
//! Bank: which of them the platform did not take in, and why.
//!
//! **What each learns.** The platform: what stands above, only of enterprises with a consent in force to the platform that
//! names the bank as provider, the purpose, and the category of the outcome fields; that several reports are of one application,
//! and not which, unless a consent to it names that. The bank: nothing beyond the answer.
//!
//! **Assumptions.** An authenticated link. Both decide by their own register and sharing list: neither node alone can let an
//! outcome through.
//!
//! **Cost.** One round trip a message of at most [`MOST`] outcomes, about 70 bytes each, 33 more where a consent names the application.
//!
//! **References.** Design section 3 (what is not public travels in bins).

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;
use tally_model::outcome::{AMOUNT_BANDS, LoanState, RATE_BANDS};
use tally_policy::Purpose;

use crate::wire;

/// Fields of the sharing list that an outcome consists of.
pub const FIELDS: [&str; 5] = ["outcome_granted", "outcome_amount", "outcome_rate", "outcome_start", "outcome_state"];

/// Most outcomes in one message.
pub const MOST: usize = 8192;

/// Bank to platform: outcomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeReport {
    /// Random name of the report, 32 hexadecimal digits.
    pub report: String,
    /// What for.
    pub purpose: Purpose,
    /// The outcomes.
    pub outcomes: Vec<Reported>,
}

/// An outcome of one application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// The application, by a name that the bank has given it: a hash under the bank's own key, of which no number can be found by
    /// trying.
    pub application: Digest,
    /// Canonical identifier of the enterprise.
    pub subject: String,
    /// The application by its [digest](tally_policy::application_digest), where a consent to the platform names it; the platform
    /// knows its number then, from the consent.
    pub named: Option<Digest>,
    /// What became of it.
    pub coded: Coded,
}

/// An outcome in bands; all 0 where the application was declined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coded {
    /// Band of the amount ([`AMOUNT_BANDS`]), from 1.
    pub amount: u8,
    /// Band of the rate ([`RATE_BANDS`]), from 1.
    pub rate: u8,
    /// Month in which the loan began: 1 is January of the year 2000.
    pub start: u16,
    /// Code of its [state](LoanState), from 1.
    pub state: u8,
}

/// Platform to bank: what it did not take in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeReceipt {
    /// The report that this answers.
    pub report: String,
    /// Applications whose outcomes were refused, with the code of the condition that failed.
    pub refused: Vec<(Digest, String)>,
}

impl Coded {
    /// Whether a loan was granted.
    pub fn granted(self) -> bool {
        self != Self::default()
    }

    /// Whether every code is one that there is.
    pub fn is_valid(self) -> bool {
        let loan = (1..=AMOUNT_BANDS.len() as u8 + 1).contains(&self.amount)
            && (1..=RATE_BANDS.len() as u8 + 1).contains(&self.rate)
            && (1..=12 * 200).contains(&self.start)
            && LoanState::coded(self.state).is_some();
        loan || !self.granted()
    }
}

impl OutcomeReport {
    /// The message as bytes.
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// Reads a message; one with too many outcomes, unknown codes or trailing bytes is refused.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let report: Self = wire::decode(bytes)?;
        let named = report.report.len() == 32 && report.report.bytes().all(|byte| byte.is_ascii_hexdigit());
        let valid = report.outcomes.len() <= MOST && report.outcomes.iter().all(|one| one.coded.is_valid());
        (named && valid).then_some(report)
    }
}

impl OutcomeReceipt {
    /// The message as bytes.
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// Reads a message; one that refuses more outcomes than a report holds, or with trailing bytes, is refused.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        wire::decode(bytes).filter(|receipt: &Self| receipt.refused.len() <= MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(coded: Coded) -> OutcomeReport {
        let outcome = Reported { application: Digest::default(), subject: "e".into(), named: None, coded };
        OutcomeReport { report: "0".repeat(32), purpose: Purpose::PostLoanMonitoring, outcomes: vec![outcome] }
    }

    #[test]
    fn only_what_a_report_can_be_is_read() {
        let loan = Coded { amount: 5, rate: 6, start: 313, state: 7 };
        for coded in [loan, Coded::default()] {
            let sent = report(coded);
            assert_eq!(OutcomeReport::decode(&sent.encode()), Some(sent));
        }
        for wrong in [
            Coded { amount: 0, ..loan },
            Coded { amount: 6, ..loan },
            Coded { rate: 7, ..loan },
            Coded { start: 0, ..loan },
            Coded { state: 8, ..loan },
            Coded { state: 1, ..Coded::default() },
        ] {
            assert_eq!(OutcomeReport::decode(&report(wrong).encode()), None, "{wrong:?}");
        }
        let good = report(loan);
        let long = OutcomeReport { outcomes: vec![good.outcomes[0].clone(); MOST + 1], ..good.clone() };
        assert_eq!(OutcomeReport::decode(&long.encode()), None);
        assert_eq!(OutcomeReport::decode(&[good.encode(), vec![0]].concat()), None);
        assert_eq!(OutcomeReport::decode(&OutcomeReport { report: "x".into(), ..good }.encode()), None);
    }

    #[test]
    fn a_receipt_refuses_no_more_than_a_report_holds() {
        let receipt = |count| OutcomeReceipt {
            report: "0".repeat(32),
            refused: vec![(Digest::default(), "revoked".into()); count],
        };
        assert_eq!(OutcomeReceipt::decode(&receipt(MOST).encode()), Some(receipt(MOST)));
        assert_eq!(OutcomeReceipt::decode(&receipt(MOST + 1).encode()), None);
    }
}
