//! The contract of a session: one document that fixes everything, signed by every party before anything is computed.
//!
//! JSON in a DSSE envelope; the digest of the payload names the session in every message, key derivation and log entry.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tally_crypto::sign::{Envelope, VerifyKey};
use tally_crypto::transcript::Digest;
use tally_model::boosted::{BoostedFieldPlan, BoostedPlan, EarlyStopping, Growth, Monotone};
use tally_model::release::MAX_BANKS;
use tally_model::text::Text;
use tally_model::{CoarsePlan, Course, FieldPlan, FieldSource, Plan, ReasonBasis, RowTerms, SelectionPlan};
use tally_policy::{Form, Level, Purpose};

use crate::aggregation::{NoiseTerms, Roster, RosterError, RosterMember};
use crate::alignment::{self, Engine};

/// Media type of a contract's payload.
pub const CONTRACT_TYPE: &str = "application/vnd.tallystick.session-contract+json";

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
    /// How row keys are agreed.
    pub alignment: AlignmentTerms,
    /// The model.
    pub model: ModelTerms,
    /// Caps on every count that leaks, and minimums.
    pub limits: Limits,
    /// Noise on every released sum; none if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<NoiseTerms>,
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
    /// Values of a bank's category field, in code order; empty for numbers.
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

/// How the platform and each bank agree on row keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlignmentTerms {
    /// The engine.
    pub engine: Engine,
    /// Whether the platform shows each bank a rounded number of rows: up to a tenth more, filled with rows that nobody opens.
    pub padding: bool,
}

/// Parameters of the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelTerms {
    /// `scorecard` or `trees`.
    pub algorithm: String,
    /// Equal-frequency bins of a number: the fine classes.
    pub bins: u16,
    /// Scorecard: which fine classes are joined; none if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coarse: Option<CoarsePlan>,
    /// Scorecard: which fields are kept.
    #[serde(default)]
    pub selection: SelectionPlan,
    /// Scorecard: what a field's points are compared with where reasons for a score are given.
    #[serde(default)]
    pub reasons: ReasonBasis,
    /// Scorecard: cut points of banks' numbers that someone chose, by field; nothing is searched or joined there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cuts: BTreeMap<String, Vec<f64>>,
    /// Scorecard: values of banks' numbers that stand for something else, by field; each has a bin of its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub special: BTreeMap<String, Vec<f64>>,
    /// Added to both cells of a class that has only good or only bad rows.
    pub smoothing: f64,
    /// Fields below this information value are dropped.
    pub min_iv: f64,
    /// Inverse strength of the L2 penalty, as scikit-learn's `C`.
    pub c: f64,
    /// Points that double the odds.
    pub pdo: f64,
    /// Score at the base odds.
    pub base_score: f64,
    /// Good-to-bad odds at the base score.
    pub base_odds: f64,
    /// Parameters of boosted trees, where the algorithm is `trees`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trees: Option<TreeTerms>,
}

/// Parameters of boosted trees; named and defined as XGBoost's, where it has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeTerms {
    /// Most trees.
    pub trees: u32,
    /// In which order nodes are split, and how far.
    pub growth: Growth,
    /// Each tree's values are multiplied by this.
    pub learning_rate: f64,
    /// L2 penalty of the values.
    pub lambda: f64,
    /// Least gain of a split.
    pub gamma: f64,
    /// Least sum of the rows' weights `p (1 - p)` in a child.
    pub min_child_weight: f64,
    /// Share of the rows that a tree is grown on, drawn by the contract's seed.
    pub row_share: f64,
    /// Share of the fields that a tree may use, drawn by the contract's seed.
    pub field_share: f64,
    /// When to stop before the last tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStopping>,
    /// Fields with which the risk may only rise or only fall.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub monotone: BTreeMap<String, Monotone>,
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

impl ModelTerms {
    /// Points a unit of log-odds of bad, and the score at even odds: `score = offset - factor x log-odds`.
    pub fn scale(&self) -> (f64, f64) {
        let factor = self.pdo / std::f64::consts::LN_2;
        (factor, self.base_score - factor * libm::log(self.base_odds))
    }
}

impl Contract {
    /// The contract in an envelope without signatures.
    pub fn envelope(&self) -> Envelope {
        // Panic safety: the type holds only strings, numbers and lists.
        let payload = serde_json::to_vec(self).expect("contracts serialise");
        Envelope::new(CONTRACT_TYPE, &payload)
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

    /// What is fitted: the banks' fields first, then the platform's with the number of bins that it announced.
    pub fn course(&self, platform_bins: &[u16]) -> Course {
        match &self.model.trees {
            Some(trees) if self.model.algorithm == "trees" => Course::Trees(self.boosted_plan(trees, platform_bins)),
            _ => Course::Scorecard(self.plan(platform_bins)),
        }
    }

    /// Names and sources of the trainer's fields, in the order of a table's columns.
    fn sources(&self, platform_bins: &[u16]) -> Vec<(String, FieldSource)> {
        let own = self.fields_of(Holder::Banks).map(|field| match field.categories.as_slice() {
            [] => (field.name.clone(), FieldSource::Values),
            values => (field.name.clone(), FieldSource::Categories { values: values.to_vec() }),
        });
        let offered = self.fields_of(Holder::Platform).zip(platform_bins);
        own.chain(offered.map(|(field, &bins)| (field.name.clone(), FieldSource::Codes { bins }))).collect()
    }

    fn plan(&self, platform_bins: &[u16]) -> Plan {
        let of = |chosen: &BTreeMap<String, Vec<f64>>, name: &str| chosen.get(name).cloned().unwrap_or_default();
        let field = |(name, source): (String, FieldSource)| FieldPlan {
            cuts: of(&self.model.cuts, &name),
            special: of(&self.model.special, &name),
            ..FieldPlan::new(&name, source)
        };
        Plan {
            fields: self.sources(platform_bins).into_iter().map(field).collect(),
            bins: self.model.bins,
            coarse: self.model.coarse.clone(),
            selection: self.model.selection.clone(),
            reasons: self.model.reasons,
            rows: RowTerms::default(),
            smoothing: self.model.smoothing,
            min_iv: self.model.min_iv,
            c: self.model.c,
            row_cap: self.limits.row_cap,
            min_rows: self.limits.min_rows,
            pdo: self.model.pdo,
            base_score: self.model.base_score,
            base_odds: self.model.base_odds,
            seed: self.seed,
            newton_steps: self.noise.map(|noise| noise.newton_steps),
        }
    }

    fn boosted_plan(&self, trees: &TreeTerms, platform_bins: &[u16]) -> BoostedPlan {
        let field = |(name, source): (String, FieldSource)| {
            let monotone = trees.monotone.get(&name).copied().unwrap_or_default();
            BoostedFieldPlan { name, source, monotone }
        };
        BoostedPlan {
            fields: self.sources(platform_bins).into_iter().map(field).collect(),
            bins: self.model.bins,
            trees: trees.trees,
            growth: trees.growth,
            learning_rate: trees.learning_rate,
            lambda: trees.lambda,
            gamma: trees.gamma,
            min_child_weight: trees.min_child_weight,
            row_share: trees.row_share,
            field_share: trees.field_share,
            early_stopping: trees.early_stopping,
            row_cap: self.limits.row_cap,
            min_rows: self.limits.min_rows,
            seed: self.seed,
            noisy: self.noise.is_some(),
        }
    }

    /// The terms of the alignment with `bank`, in the session that `digest` names.
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
        term("parties", banks >= 3, "secure aggregation hides nothing among fewer than three banks")?;
        term("limits.min_cohort", self.limits.min_cohort >= 3, "a released sum needs three banks")?;
        term("limits.min_cohort", self.limits.min_cohort as usize <= banks, "larger than the number of banks")?;
        term(
            "fields",
            !self.fields.is_empty() && names.is_sorted_by(|a, b| a < b),
            "names must be present and distinct",
        )?;
        term("fields", self.fields_of(Holder::Banks).next().is_some(), "the banks bring at least one field")?;
        term("fields", self.fields_of(Holder::Platform).next().is_some(), "the platform brings at least one field")?;
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
        let known = ["scorecard", "trees"].contains(&self.model.algorithm.as_str());
        term("model.algorithm", known, "this node knows `scorecard` and `trees`")?;
        let fits = (self.model.algorithm == "trees") == self.model.trees.is_some();
        term("model.trees", fits, "the parameters of trees belong to the algorithm `trees`, and to no other")?;
        let number = |name: &String| {
            let field = self.fields.iter().find(|field| field.name == *name);
            field.is_some_and(|field| field.holder == Holder::Banks && field.categories.is_empty())
        };
        let chosen = self.model.cuts.keys().chain(self.model.special.keys()).all(number);
        term("model.cuts, model.special", chosen, "belong to numbers that the banks bring")?;
        let drawn = self.model.trees.as_ref().is_some_and(|trees| trees.row_share < 1.0);
        let reason =
            "rows drawn by a public seed give sums over known subsets, from which rows can be solved: it needs noise";
        term("model.trees.row_share", !drawn || self.noise.is_some(), reason)?;
        let monotone = self.model.trees.iter().flat_map(|trees| trees.monotone.keys());
        let named = monotone.clone().all(|name| names.contains(&name));
        term("model.trees.monotone", named, "names a field that the contract does not have")?;
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

    /// The roster of secure aggregation: the banks with the keys that sign the contract.
    fn roster(&self, session: Digest) -> Result<Roster, RosterError> {
        let members = self.banks().map(|bank| RosterMember { name: bank.name.clone(), key: bank.node_key }).collect();
        Roster::new(session, members, self.limits.min_cohort as usize)
    }
}

fn term(term: &'static str, holds: bool, reason: &str) -> Result<(), ContractError> {
    if holds { Ok(()) } else { Err(ContractError::Term { term, reason: reason.into() }) }
}

impl SealedContract {
    /// Reads a contract and checks its terms; who signed it is not looked at.
    ///
    /// # Errors
    /// Names the term that does not hold.
    pub fn read(envelope: &Envelope) -> Result<Self, ContractError> {
        let payload = envelope.open(CONTRACT_TYPE, &[])?;
        let contract: Contract =
            serde_json::from_slice(&payload).map_err(|error| ContractError::Format(error.to_string()))?;
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
        envelope.open(CONTRACT_TYPE, &keys)?;
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
