//! What the parties sign in common at the end of a session: its released sums and its model.
//!
//! **Where.** Sums are attested once a session, by one statement over the ordered list of all its rounds; a second statement
//! names the model and rests on the first. Both follow from what every party has seen, so no statement travels: a bank's two
//! signatures go with `Fitted`, everybody's come back with `Complete`, two messages that are sent anyway. A signature a
//! round would add a message a round and bank, and say no more: within a round each bank has signed its vector and the
//! survivors already, which the round's transcript keeps ([`replay`](super::Replay)). So a session that was aborted has its
//! contract and its transcripts, and no statement of this module.
//!
//! **Who.** The platform and every bank of the last cohort. A bank that says nothing within the contract's patience is
//! named; with fewer than `limits.min_cohort` banks there is no model. A signature over anything else, or a second one that
//! differs, stops the session with its signer's name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tally_crypto::sign::{Envelope, Predicate, Signature, SigningKey, Statement, Subject, VerifyKey};
use tally_crypto::transcript::Digest;
use tally_model::SumRequest;

use tally_policy::MOST_CATEGORIES;

use super::{Contract, Fact, Holder, PartyRole, SealedContract};

/// Most bins of a number: a code of its own for every enterprise would turn counts into a list of them. A category has the
/// values that the contract names.
const MOST_BINS: usize = 64;

/// All sums that a session released. Its subjects are the sums, in the order of the rounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundResults {
    /// Name of the session.
    pub session: String,
    /// Digest of its contract.
    pub contract: Digest,
    /// The rounds in which a sum was released, in order.
    pub rounds: Vec<RoundResult>,
}

/// A round in which a sum was released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundResult {
    /// Its number.
    pub round: u32,
    /// Digest of the sum request.
    pub request: Digest,
    /// Digest of the sum.
    pub sums: Digest,
    /// Banks in it.
    pub cohort: Vec<String>,
}

/// The model of a session. Its subject is the fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRelease {
    /// Name of the session.
    pub session: String,
    /// Digest of its contract.
    pub contract: Digest,
    /// Digest of the statement of its sums.
    pub results: Digest,
    /// Which algorithm led from the sums to the model.
    pub algorithm: String,
    /// Bins of each field of the platform, as it announced them before the alignment.
    pub bins: Vec<u16>,
    /// Digest of the platform's bin tables, its half of the model.
    pub tables: Digest,
}

impl Predicate for RoundResults {
    const TYPE: &'static str = "https://tallystick.example/attestation/round-result/v1";
}

impl Predicate for ModelRelease {
    const TYPE: &'static str = "https://tallystick.example/attestation/model-release/v1";
}

/// A party's signatures over both statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signatures {
    /// Over the sums.
    pub results: Signature,
    /// Over the model.
    pub model: Signature,
}

/// A statement that parties have signed in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// `round-result` or `model-release`.
    pub fact: &'static str,
    /// The statement with all signatures.
    pub envelope: Envelope,
    /// Digest of the statement.
    pub digest: Digest,
    /// Who signed, in order of name.
    pub signers: Vec<String>,
}

/// The two statements of a session, as every party writes them.
#[derive(Clone, Debug)]
pub(super) struct Statements {
    results: Envelope,
    model: Envelope,
}

/// What the platform announced before the alignment.
#[derive(Clone, Debug, Default)]
pub(super) struct Announced {
    pub(super) bins: Vec<u16>,
    pub(super) tables: Digest,
}

impl Announced {
    /// The announced bins fit the contract's fields.
    pub(super) fn check(&self, terms: &Contract) -> Result<(), String> {
        let (announced, fields) = (self.bins.len(), terms.fields_of(Holder::Platform).count());
        if announced != fields {
            return Err(format!("announced bins of {announced} fields, the contract has {fields}"));
        }
        for (field, bins) in terms.fields_of(Holder::Platform).zip(&self.bins) {
            let bins = usize::from(*bins);
            let most = match field.categories.len() {
                0 => usize::from(terms.model.bins).max(MOST_BINS),
                values => values.min(MOST_CATEGORIES),
            };
            if !(1..=most).contains(&bins) {
                return Err(format!("announced {bins} bins of field `{}`, at most {most} are possible", field.name));
            }
        }
        Ok(())
    }
}

impl Statements {
    pub(super) fn new(contract: &SealedContract, rounds: Vec<RoundResult>, announced: &Announced, fit: Digest) -> Self {
        let (session, contract_digest) = (&contract.terms().session, contract.digest());
        let sums =
            rounds.iter().map(|one| Subject::new(format!("round/{}", one.round), "tallystick-sums-v1", one.sums));
        let subject = sums.collect();
        let results = RoundResults { session: session.clone(), contract: contract_digest, rounds };
        let results = Statement::new(subject, results).envelope();
        let model = ModelRelease {
            session: session.clone(),
            contract: contract_digest,
            results: digest(&results),
            algorithm: contract.terms().model.algorithm.clone(),
            bins: announced.bins.clone(),
            tables: announced.tables,
        };
        let subject = vec![Subject::new(format!("model/{session}"), "tallystick-fit-v1", fit)];
        Self { results, model: Statement::new(subject, model).envelope() }
    }

    /// The statement of the sums, without signatures.
    pub(super) fn results(&self) -> &Envelope {
        &self.results
    }

    /// The statement of the model, without signatures.
    pub(super) fn model(&self) -> &Envelope {
        &self.model
    }

    pub(super) fn sign(&self, key: &SigningKey) -> Signatures {
        Signatures { results: key.sign_raw(&text(&self.results)), model: key.sign_raw(&text(&self.model)) }
    }

    /// Which statement `key` has not signed.
    pub(super) fn check(&self, key: &VerifyKey, signatures: &Signatures) -> Result<(), &'static str> {
        if !key.verify_raw(&text(&self.results), &signatures.results) {
            return Err("the sums that were released");
        }
        if !key.verify_raw(&text(&self.model), &signatures.model) {
            return Err("the model that follows from the sums");
        }
        Ok(())
    }

    /// The statements with the signatures of these parties, which were checked.
    pub(super) fn attested(
        mut self,
        contract: &SealedContract,
        signed: &BTreeMap<String, Signatures>,
    ) -> [Attestation; 2] {
        for (name, signatures) in signed {
            let Some(party) = contract.terms().party(name) else { continue };
            self.results.attach(party.node_key, signatures.results);
            self.model.attach(party.node_key, signatures.model);
        }
        let signers: Vec<_> = signed.keys().cloned().collect();
        [("round-result", self.results), ("model-release", self.model)].map(|(fact, envelope)| {
            let digest = digest(&envelope);
            Attestation { fact, digest, envelope, signers: signers.clone() }
        })
    }

    /// Checks what the platform says everybody has signed: the platform itself, and enough banks.
    pub(super) fn check_all(
        &self,
        contract: &SealedContract,
        signed: &BTreeMap<String, Signatures>,
    ) -> Result<(), String> {
        let terms = contract.terms();
        for (name, signatures) in signed {
            let party = terms.party(name).ok_or_else(|| format!("named {name}, who is no party, as a signer"))?;
            let other = |what| format!("passed on a signature of {name} that is not over {what}");
            self.check(&party.node_key, signatures).map_err(other)?;
        }
        let banks = signed.keys().filter(|name| terms.party(name).is_some_and(|party| party.role == PartyRole::Bank));
        let (banks, least) = (banks.count(), terms.limits.min_cohort as usize);
        if !terms.platform().is_some_and(|platform| signed.contains_key(&platform.name)) {
            return Err("did not sign the results".into());
        }
        if banks < least {
            return Err(format!("completed the session with the signatures of {banks} banks, {least} are needed"));
        }
        Ok(())
    }
}

impl RoundResult {
    pub(super) fn new(round: u32, request: &SumRequest, cohort: &[String], sums: &[i64]) -> Self {
        Self { round, request: request.digest(), sums: sums_digest(sums), cohort: cohort.to_vec() }
    }

    /// The log's record of a released sum: the same at every party.
    pub(super) fn fact(&self) -> Fact {
        let Self { round, request, sums, cohort } = self.clone();
        Fact::Released { round, request, sums, cohort }
    }
}

/// Names a released sum in logs.
pub(super) fn sums_digest(sums: &[i64]) -> Digest {
    let bytes: Vec<u8> = sums.iter().flat_map(|word| word.to_be_bytes()).collect();
    Digest::of("tallystick/sums/v1", &[&bytes])
}

fn text(envelope: &Envelope) -> Vec<u8> {
    // Panic safety: the envelope was made here, from bytes.
    envelope.signed_text().expect("an envelope of ours is base64")
}

fn digest(envelope: &Envelope) -> Digest {
    // Panic safety: the envelope was made here, from bytes.
    envelope.payload_digest().expect("an envelope of ours is base64")
}
