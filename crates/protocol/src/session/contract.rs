//! The contract of a session: one document that fixes everything, signed by every party before anything is computed.
//!
//! An in-toto statement in a DSSE envelope, about the sharing list and the data set that it is pinned to; the digest of the
//! payload names the session in every message, key derivation and log entry.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tally_crypto::sign::{Envelope, Predicate, STATEMENT_TYPE, Statement, Subject, VerifyKey};
use tally_crypto::transcript::Digest;
use tally_model::release::MAX_BANKS;
use tally_model::text::Text;
use tally_policy::disclosure::Verdict;
use tally_policy::{Day, Form, Level, MOST_CATEGORIES, Purpose};

use super::guard::{BalanceTerms, WithdrawalTerms};
use super::model_terms::ModelTerms;
use super::sample::SampleTerms;
use crate::aggregation::{NoiseTerms, Roster, RosterError, RosterMember};
use crate::alignment::{self, Engine};

/// What the parties agree on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// Format version, 1.
    pub version: u32,
    /// Name of the session: 16 hexadecimal digits.
    pub session: String,
    /// What the session is for, in words.
    pub title: Text,
    /// Why the data may be used.
    pub purpose: Purpose,
    /// The platform and the banks, in order of name.
    pub parties: Vec<Party>,
    /// Every field that takes part.
    pub fields: Vec<FieldTerms>,
    /// The sharing list that the platform's fields stand on.
    pub list: ListReference,
    /// The platform's data that the session is about; without a name where the platform brings none.
    pub snapshot: Snapshot,
    /// Per bank, how far the rows that it would get tell enterprises apart, as the platform found when it proposed.
    pub disclosures: BTreeMap<String, Verdict>,
    /// How row keys are agreed; statistics need none.
    pub alignment: AlignmentTerms,
    /// The model.
    pub model: ModelTerms,
    /// As of when rows are described, which outcome they have, and which are held out; without it a day is not checked
    /// and rows are held out by hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<SampleTerms>,
    /// Caps on every count that leaks, and minimums.
    pub limits: Limits,
    /// What every bank demands of the rows behind a sum; nothing in contracts of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<BalanceTerms>,
    /// What becomes of rows whose consent ends while the session runs; in contracts of before they stay to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawal: Option<WithdrawalTerms>,
    /// Noise on every released sum; none if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<NoiseTerms>,
    /// What happens where the released model cannot score.
    #[serde(default, skip_serializing_if = "ScoringTerms::is_plain")]
    pub scoring: ScoringTerms,
    /// Seconds that the platform waits for a bank in one step before it goes on without it or stops.
    pub patience_seconds: u32,
    /// When it was written, Unix milliseconds.
    pub created: i64,
    /// When it ends, Unix milliseconds: nothing is computed later.
    pub expires: i64,
    /// Days that a bank may keep what it opened.
    pub retention_days: u32,
    /// Public randomness of the session.
    pub seed: Digest,
}

/// What happens where the released model cannot score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScoringTerms {
    /// While the platform is out of reach.
    pub fallback: Fallback,
}

/// What a bank answers while the platform is out of reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fallback {
    /// No score.
    #[default]
    None,
    /// The score of the bank's own model, on the bank's own fields, marked as such.
    BankOnly,
}

impl ScoringTerms {
    /// True where there is nothing to say.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// A party of the contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// Name in the registry.
    pub name: String,
    /// What it does here.
    pub role: PartyRole,
    /// Key that signs the contract and the rounds.
    pub node_key: VerifyKey,
}

/// A party's part in the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartyRole {
    /// Holds the shared fields, adds masked vectors.
    Platform,
    /// Holds labels and own fields.
    Bank,
}

/// One field of the session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldTerms {
    /// Name in the sharing list (platform) or in the field dictionary (banks).
    pub name: String,
    /// Who holds it.
    pub holder: Holder,
    /// Level on the sharing list.
    pub level: Level,
    /// Form in which it takes part.
    pub form: Form,
    /// Values of a category field, in code order; empty for numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
}

/// Who holds a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holder {
    /// The platform.
    Platform,
    /// Every bank, for its own rows.
    Banks,
}

/// The sharing list that a contract is pinned to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListReference {
    /// Version number.
    pub version: u32,
    /// Digest of the signed payload.
    pub digest: Digest,
}

/// The data set that a contract is pinned to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Name of the data set.
    pub dataset: String,
    /// Its day.
    pub as_of: Day,
    /// Salted Merkle root over its rows.
    pub commitment: Digest,
}

impl Snapshot {
    /// Where the platform brings no data.
    pub fn none(as_of: Day) -> Self {
        Self { dataset: String::new(), as_of, commitment: Digest::default() }
    }
}

/// How the platform and each bank agree on row keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlignmentTerms {
    /// The engine.
    pub engine: Engine,
    /// Whether the platform shows each bank a rounded number of rows: up to a tenth more, filled with rows that nobody opens.
    pub padding: bool,
}

/// Caps and minimums.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Fewest banks in a released sum; never below three.
    pub min_cohort: u32,
    /// Cells with fewer rows are not refined.
    pub min_rows: u64,
    /// Most rows of all banks together.
    pub row_cap: u64,
    /// Most identifiers that one bank may have evaluated.
    pub evaluations: u64,
    /// Fewest banks behind a released cell; at least two, at most `min_cohort`. Cells with fewer are counted with their neighbours.
    pub min_cell: u32,
    /// Which sums every bank recomputes from what the others sent.
    #[serde(default)]
    pub recompute: Recompute,
    /// Most rounds, each of which releases a sum.
    pub rounds: u32,
    /// Fewest bad rows of all banks together that a model is fitted on; with fewer the session stops and says how many there are.
    #[serde(default, skip_serializing_if = "no_floor")]
    pub min_bad: u64,
}

/// Whether there is no floor.
fn no_floor(least: &u64) -> bool {
    *least == 0
}

/// Which released sums every bank recomputes from all masked vectors: the platform then cannot show it another sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recompute {
    /// All: every bank receives the masked vectors of all others.
    #[default]
    EverySum,
    /// Those that decide which cells are counted together. The others are left to auditors.
    Indicators,
}

/// A contract with its payload digest, after its content was checked; signatures are checked by
/// [`SealedContract::verify`].
#[derive(Clone, Debug)]
pub struct SealedContract {
    contract: Contract,
    digest: Digest,
}

/// Why a contract was refused.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// The envelope does not hold.
    #[error("contract: {0}")]
    Envelope(#[from] tally_crypto::sign::EnvelopeError),
    /// The payload is not a contract of this version.
    #[error("contract: the payload is not a contract of version 1: {0}")]
    Format(String),
    /// A term is out of bounds.
    #[error("contract term `{term}`: {reason}")]
    Term {
        /// The term.
        term: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl Predicate for Contract {
    const TYPE: &'static str = "https://tallystick.example/attestation/session-contract/v1";
}

impl Contract {
    /// The contract in an envelope without signatures.
    pub fn envelope(&self) -> Envelope {
        Statement::new(self.subject(), self.clone()).envelope()
    }

    /// What it is about: the sharing list and the data set.
    fn subject(&self) -> Vec<Subject> {
        let list = format!("sharing-list/{}", self.list.version);
        let data = format!("dataset/{}/{}", self.snapshot.dataset, self.snapshot.as_of);
        vec![
            Subject::new(list, "sha256", self.list.digest),
            Subject::new(data, "tallystick-rows-v1", self.snapshot.commitment),
        ]
    }

    /// Names of the banks, in order.
    pub fn banks(&self) -> impl Iterator<Item = &Party> {
        self.parties.iter().filter(|party| party.role == PartyRole::Bank)
    }

    /// The platform, if the contract names exactly one.
    pub fn platform(&self) -> Option<&Party> {
        let mut platforms = self.parties.iter().filter(|party| party.role == PartyRole::Platform);
        let platform = platforms.next()?;
        platforms.next().is_none().then_some(platform)
    }

    /// The party called `name`.
    pub fn party(&self, name: &str) -> Option<&Party> {
        self.parties.iter().find(|party| party.name == name)
    }

    /// The fields of one holder, in order.
    pub fn fields_of(&self, holder: Holder) -> impl Iterator<Item = &FieldTerms> {
        self.fields.iter().filter(move |field| field.holder == holder)
    }

    /// The terms of the alignment with `bank`, in the session that `digest` names.
    /// Largest share of a released group of cells that may be one bank's own; absent where groups are not weighed.
    pub fn cell_share(&self) -> Option<f64> {
        self.balance.and_then(|balance| balance.cell_share).filter(|_| self.noise.is_none())
    }

    pub(super) fn alignment_terms(&self, digest: Digest, bank: &str) -> alignment::Terms {
        alignment::Terms {
            session: digest,
            purpose: self.purpose.to_string(),
            bank: bank.into(),
            engine: self.alignment.engine,
            cap: self.limits.evaluations,
            resume: alignment::Resume::default(),
        }
    }

    fn check(&self) -> Result<(), ContractError> {
        let banks = self.banks().count();
        let mut names: Vec<_> = self.fields.iter().map(|field| &field.name).collect();
        names.sort();
        term("version", self.version == 1, "this node knows version 1")?;
        term(
            "session",
            self.session.len() == 16 && self.session.bytes().all(|b| b.is_ascii_hexdigit()),
            "16 hexadecimal digits",
        )?;
        term("parties", self.platform().is_some(), "exactly one platform is needed")?;
        term("parties", self.parties.is_sorted_by(|a, b| a.name < b.name), "names must be distinct and in order")?;
        self.check_keys()?;
        term("parties", banks >= 3, "secure aggregation hides nothing among fewer than three banks")?;
        term("limits.min_cohort", self.limits.min_cohort >= 3, "a released sum needs three banks")?;
        term("limits.min_cohort", self.limits.min_cohort as usize <= banks, "larger than the number of banks")?;
        term(
            "fields",
            !self.fields.is_empty() && names.is_sorted_by(|a, b| a < b),
            "names must be present and distinct",
        )?;
        term("fields", self.fields_of(Holder::Banks).next().is_some(), "the banks bring at least one field")?;
        let many = self.fields.iter().find(|field| field.categories.len() > MOST_CATEGORIES);
        many.map_or(Ok(()), |field| {
            let (name, values) = (&field.name, field.categories.len());
            let reason = format!("field `{name}` has {values} values, at most {MOST_CATEGORIES} are possible");
            Err(ContractError::Term { term: "fields", reason })
        })?;
        let offers = self.fields_of(Holder::Platform).next().is_some();
        let reason = "the platform brings at least one field, and to statistics none";
        term("fields", offers != self.is_statistics(), reason)?;
        term("parties", banks <= MAX_BANKS, "more banks than one sum can count")?;
        let roster = self.roster(Digest::default());
        let roster = roster.map_err(|error| ContractError::Term { term: "parties", reason: error.to_string() })?;
        let least = roster.colluders() + 2;
        let cell = self.limits.min_cell as usize;
        if !(least..=banks).contains(&cell) {
            let reason =
                format!("between {least} (two more than may collude with the platform) and the number of banks");
            return Err(ContractError::Term { term: "limits.min_cell", reason });
        }
        let refused = self.fields.iter().find(|field| field.level == Level::L4);
        term("fields", refused.is_none(), "a level 4 field never takes part")?;
        let unbinned = self.fields_of(Holder::Platform).find(|field| field.form != Form::Binned);
        term("fields", unbinned.is_none(), "this algorithm takes the platform's fields in binned form")?;
        let kept = self.scoring.is_plain() || self.model.algorithm == "scorecard";
        term("scoring.fallback", kept, "a bank's own model is kept of a scorecard only")?;
        let provable = self.alignment.engine != Engine::Oprf;
        let reason = "`2hashdh-base` proves nothing: the platform could tie one enterprise's row to one element";
        term("alignment.engine", provable || self.is_statistics(), reason)?;
        self.balance.map_or(Ok(()), |balance| balance.check(banks))?;
        self.withdrawal.map_or(Ok(()), WithdrawalTerms::check)?;
        self.check_disclosures()?;
        self.model.check(self)?;
        let sample = self.sample.as_ref().map_or(Ok(()), SampleTerms::check);
        sample.map_err(|reason| ContractError::Term { term: "sample", reason })?;
        let day = self.sample.as_ref().is_none_or(|sample| sample.snapshot == self.snapshot.as_of.to_string());
        term("snapshot", day, "of another day than the sample's")?;
        let evaluations = (1..=1 << 27).contains(&self.limits.evaluations);
        term("limits.evaluations", evaluations, "between 1 and 2^27: larger sets take several sessions")?;
        term("patience_seconds", (1..=86_400).contains(&self.patience_seconds), "between 1 second and a day")?;
        term("expires", self.expires > self.created, "the contract ends before it begins")?;
        let course = self.course(&vec![self.model.bins; self.fields_of(Holder::Platform).count()]);
        course.check().map_err(|error| ContractError::Term { term: "model", reason: error.to_string() })?;
        let noise = self.noise.map_or(Ok(()), |noise| {
            noise.check().map_err(|error| error.to_string())?;
            noise.fits(&roster, course.largest_sensitivity()).map_err(|error| error.to_string())
        });
        noise.map_err(|reason| ContractError::Term { term: "noise", reason })
    }

    /// Every party has a key of its own: one that signs as three banks would be alone behind a sum.
    fn check_keys(&self) -> Result<(), ContractError> {
        for (place, party) in self.parties.iter().enumerate() {
            let same = self.parties[..place].iter().find(|other| other.node_key == party.node_key);
            if let Some(other) = same {
                let reason = format!("`{}` and `{}` have the same key: each needs its own", other.name, party.name);
                return Err(ContractError::Term { term: "parties", reason });
            }
        }
        Ok(())
    }

    /// Every bank's verdict is there, and is about these fields.
    fn check_disclosures(&self) -> Result<(), ContractError> {
        if self.is_statistics() {
            return Ok(());
        }
        let named = self.disclosures.keys().eq(self.banks().map(|bank| &bank.name));
        term("disclosures", named, "one for each bank and for nobody else")?;
        let fields = self.fields_of(Holder::Platform).count();
        let about = |verdict: &Verdict| {
            verdict.release.fields as usize == fields && verdict.cumulative.fields >= verdict.release.fields
        };
        term("disclosures", self.disclosures.values().all(about), "about other fields than the platform's")
    }

    /// Whether nothing is fitted, and no row leaves its bank in any form.
    pub fn is_statistics(&self) -> bool {
        self.model.statistics.is_some()
    }

    /// Level of everything that the platform brings: that of its most sensitive field.
    pub fn level(&self) -> Option<Level> {
        Level::highest(self.fields_of(Holder::Platform).map(|field| field.level))
    }

    /// The roster of secure aggregation: the banks with the keys that sign the contract.
    fn roster(&self, session: Digest) -> Result<Roster, RosterError> {
        let members = self.banks().map(|bank| RosterMember { name: bank.name.clone(), key: bank.node_key }).collect();
        Roster::new(session, members, self.limits.min_cohort as usize)
    }
}

pub(super) fn term(term: &'static str, holds: bool, reason: &str) -> Result<(), ContractError> {
    if holds { Ok(()) } else { Err(ContractError::Term { term, reason: reason.into() }) }
}

impl SealedContract {
    /// Reads a contract and checks its terms; who signed it is not looked at.
    ///
    /// # Errors
    /// Names the term that does not hold.
    pub fn read(envelope: &Envelope) -> Result<Self, ContractError> {
        let payload = envelope.open(STATEMENT_TYPE, &[])?;
        let Statement { subject, predicate: contract, .. } =
            Statement::<Contract>::read(&payload).map_err(ContractError::Format)?;
        if subject != contract.subject() {
            return Err(ContractError::Format("its subject is not what its terms name".into()));
        }
        contract.check()?;
        Ok(Self { contract, digest: Digest::of_bytes(&payload) })
    }

    /// Reads a contract that every one of its parties has signed.
    ///
    /// # Errors
    /// Names the term that does not hold or the key whose signature is missing.
    pub fn verify(envelope: &Envelope) -> Result<Self, ContractError> {
        let sealed = Self::read(envelope)?;
        let keys: Vec<_> = sealed.contract.parties.iter().map(|party| party.node_key).collect();
        envelope.open(STATEMENT_TYPE, &keys)?;
        Ok(sealed)
    }

    /// The terms.
    pub fn terms(&self) -> &Contract {
        &self.contract
    }

    /// The roster of secure aggregation.
    ///
    /// # Errors
    /// Fails where the terms leave no roster.
    pub fn roster(&self) -> Result<Roster, super::Fault> {
        self.contract.roster(self.digest).map_err(|error| super::Fault::new("contract", error))
    }

    /// Digest of the signed payload.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}
