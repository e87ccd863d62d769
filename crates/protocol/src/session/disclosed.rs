//! What a bank discloses to an auditor: the rows that it trained on, and what takes the masks off its vectors.
//!
//! **What it shows.** Every vector that the bank gave is, bit for bit, what these rows add to the sum that was asked
//! ([`Replay::disclose`](super::Replay::disclose)): the secrets are those behind the keys that it signed, so it cannot show
//! another vector.
//!
//! **What it does not show.** That the rows are true, or all that the bank had: they are held against its data set's commitment row
//! by row (`dataset open`). Contracts with noise are not compared: the noise is drawn from a seed that stays at the bank.

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;
use tally_model::Table;

use super::parts::Asked;
use super::training::Answering;
use super::withdrawal::without;
use super::{Fault, SealedContract};
use crate::aggregation::{Roster, RoundSecret, Transcript};

/// A bank's inputs of one session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DisclosedBank {
    /// The bank.
    pub bank: String,
    /// Digest of the contract.
    pub contract: Digest,
    /// Its rows, with the codes of the platform's fields that it opened.
    table: Table,
    /// Rows that left meanwhile.
    left: Vec<Left>,
    /// Of every round that it gave a vector to.
    secrets: Vec<RoundSecret>,
}

/// Rows that left after a round, by their places in the table as it was then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Left {
    after: Option<u32>,
    rows: Vec<u32>,
}

impl DisclosedBank {
    pub(super) fn new(bank: &str, contract: Digest, table: Table) -> Self {
        Self { bank: bank.into(), contract, table, left: Vec::new(), secrets: Vec::new() }
    }

    pub(super) fn gave(&mut self, secret: Option<RoundSecret>) {
        self.secrets.extend(secret);
    }

    pub(super) fn left(&mut self, rows: Vec<u32>) {
        self.left.push(Left { after: self.secrets.last().map(|secret| secret.round), rows });
    }

    /// Rows that it trained on at first.
    pub fn rows(&self) -> usize {
        self.table.rows()
    }

    /// The disclosure as bytes.
    pub fn encode(&self) -> Vec<u8> {
        crate::wire::encode(self)
    }

    /// Reads a disclosure; trailing bytes are refused.
    ///
    /// # Errors
    /// Names the bank that is said to have disclosed it.
    pub fn decode(bytes: &[u8], bank: &str) -> Result<Self, Fault> {
        let read: Option<Self> = crate::wire::decode(bytes);
        let read = read.filter(|read| read.bank == bank);
        read.ok_or_else(|| Fault::new(bank, "disclosed bytes that are no inputs of this bank"))
    }
}

#[cfg(test)]
impl DisclosedBank {
    pub(super) fn with_other_labels(mut self) -> Self {
        self.table.label.iter_mut().for_each(|label| *label ^= 1);
        self
    }

    pub(super) fn with_a_shorter_column(mut self) -> Self {
        match &mut self.table.columns[0] {
            tally_model::Column::Values(values) => drop(values.pop()),
            tally_model::Column::Codes(codes) => drop(codes.pop()),
        }
        self
    }

    pub(super) fn with_secrets_of(mut self, other: &Self) -> Self {
        self.secrets.clone_from(&other.secrets);
        self
    }
}

/// A bank whose vectors are made again from its rows.
pub(super) struct Disclosed {
    given: DisclosedBank,
    answering: Answering,
    /// How many of the rows' departures were taken into account.
    departures: usize,
}

impl Disclosed {
    pub(super) fn new(given: DisclosedBank, contract: &SealedContract) -> Result<Self, String> {
        let terms = contract.terms();
        if given.contract != contract.digest() || !terms.banks().any(|bank| bank.name == given.bank) {
            return Err(format!("what {} disclosed is of another session", given.bank));
        }
        if terms.noise.is_some() {
            return Err("the contract adds noise: vectors are not what rows give, and are not compared".into());
        }
        let uneven = |error| format!("the rows that {} disclosed: {error}", given.bank);
        given.table.check().map_err(uneven)?;
        let answering = Answering::new(given.table.clone());
        Ok(Self { given, answering, departures: 0 })
    }

    pub(super) fn bank(&self) -> &str {
        &self.given.bank
    }

    /// Another sum is asked.
    pub(super) fn next(&mut self) {
        self.answering.next();
    }

    /// Compares the bank's vector in a round with what its rows add to the sum that is asked.
    pub(super) fn compare(
        &mut self,
        transcript: &Transcript,
        asked: &Asked,
        contract: &SealedContract,
        roster: &Roster,
    ) -> Result<(), String> {
        let (bank, round) = (&self.given.bank, transcript.offer.spec.round);
        while let Some(left) = self.given.left.get(self.departures).filter(|left| left.after < Some(round)) {
            self.answering.replace(without(self.answering.table(), &left.rows));
            self.departures += 1;
        }
        let secret = self.given.secrets.iter().find(|secret| secret.round == round);
        let secret = secret.ok_or_else(|| format!("{bank} disclosed nothing of this round"))?;
        let opened = transcript.open(roster, bank, secret).map_err(|error| format!("{bank}: {error}"))?;
        let offer = &transcript.offer;
        let values = self.answering.values(asked, offer.spec.part, &offer.cohort, &contract.terms().limits);
        let values = values.map_err(|error| format!("the rows that {bank} disclosed: {error}"))?;
        if values.as_ref() == Some(&opened) {
            return Ok(());
        }
        Err(format!("the vector that {bank} gave is not what its rows add up to"))
    }
}
