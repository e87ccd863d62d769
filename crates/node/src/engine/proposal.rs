//! What the platform proposes: a session template, the sharing list and the banks' dictionary make a contract's draft.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tally_crypto::transcript::Digest;
use tally_data::Dictionary;
use tally_model::text::Text;
use tally_model::{CoarsePlan, CutSearch, ReasonBasis, Rules, SelectionPlan, Unseen};
use tally_policy::{Day, Form, Level, Purpose};
use tally_protocol::aggregation::NoiseTerms;
use tally_protocol::alignment::Engine as AlignmentEngine;
use tally_protocol::session::{
    AlignmentTerms, BalanceTerms, Contract, FieldTerms, Holder, JudgingTerms, Limits, ListReference, ModelTerms, Party,
    PartyRole, Recompute, RowColumns, SampleTerms, ScoringTerms, SealedContract, Snapshot, Stage, StatisticsTerms,
    TreeTerms, WithdrawalTerms,
};

use super::{Engine, book, now, random_bytes};
use crate::failure::{self, Failure};
use crate::store::SessionRecord;

/// A session template: `models/templates/*.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Template {
    title: Text,
    purpose: Purpose,
    algorithm: String,
    #[serde(default)]
    bins: u16,
    #[serde(default = "nested")]
    search: CutSearch,
    #[serde(default)]
    missing_unseen: Option<Unseen>,
    #[serde(default)]
    coarse: Option<CoarsePlan>,
    #[serde(default)]
    selection: SelectionPlan,
    #[serde(default)]
    reasons: ReasonBasis,
    #[serde(default)]
    rows: RowColumns,
    #[serde(default)]
    leave_out: Vec<String>,
    #[serde(default)]
    sample: Option<SampleTerms>,
    #[serde(default)]
    cuts: BTreeMap<String, Vec<f64>>,
    #[serde(default)]
    special: BTreeMap<String, Vec<f64>>,
    // What a plan needs and finds 0, it refuses; statistics need none of them.
    #[serde(default)]
    smoothing: f64,
    #[serde(default)]
    min_iv: f64,
    #[serde(default)]
    c: f64,
    #[serde(default)]
    pdo: f64,
    #[serde(default)]
    base_score: f64,
    #[serde(default)]
    base_odds: f64,
    #[serde(default)]
    statistics: Option<StatisticsTerms>,
    #[serde(default)]
    trees: Option<TreeTerms>,
    #[serde(default)]
    judging: JudgingTerms,
    #[serde(default)]
    min_cohort: Option<u32>,
    #[serde(default)]
    min_cell: Option<u32>,
    #[serde(default)]
    min_rows: u64,
    row_cap: u64,
    #[serde(default)]
    evaluations: Option<u64>,
    #[serde(default)]
    engine: Option<AlignmentEngine>,
    #[serde(default = "padded")]
    padding: bool,
    rounds: u32,
    #[serde(default = "least_bad")]
    min_bad: u64,
    #[serde(default)]
    recompute: Recompute,
    #[serde(default)]
    noise: Option<NoiseTerms>,
    #[serde(default)]
    balance: Option<BalanceTerms>,
    #[serde(default)]
    withdrawal: Option<WithdrawalTerms>,
    #[serde(default)]
    scoring: ScoringTerms,
    patience_seconds: u32,
    expires_days: u32,
    #[serde(default)]
    retention_days: u32,
}

/// Fewest banks behind a cell where the template does not say: two more than may collude with the platform, however many banks
/// must stay.
fn least_cell(members: u32) -> u32 {
    ((2 * (2 * members / 3 + 1)).saturating_sub(members + 1) + 2).min(members)
}

/// Fewest bad rows that a model is fitted on where the template does not say.
fn least_bad() -> u64 {
    10
}

fn padded() -> bool {
    true
}

fn nested() -> CutSearch {
    CutSearch::Nested
}

impl Template {
    /// Reads the text of a template.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        toml::from_str(text).map_err(|error| failure::data(format!("session template: {error}")))
    }

    /// What becomes of values of a kind that no training row had: what the template says, else the points of the worst
    /// class where there are classes.
    fn unseen(&self) -> Option<Unseen> {
        self.missing_unseen.or((self.algorithm == "scorecard").then_some(Unseen::Worst))
    }

    /// The banks' fields that take part: those that statistics need, or all that are not set apart.
    fn takes(&self, name: &str) -> bool {
        match &self.statistics {
            Some(statistics) => statistics.fields().contains(name),
            None => !self.columns_apart().contains(&name),
        }
    }

    /// What models are judged by: always under the rules of today.
    fn judging_terms(&self) -> JudgingTerms {
        match self.statistics {
            Some(_) => self.judging.clone(),
            None => JudgingTerms { rules: Rules::WithinBanks, ..self.judging.clone() },
        }
    }

    /// Columns of the data sets that are no fields of the model.
    fn columns_apart(&self) -> Vec<&str> {
        let rows = [&self.rows.weight, &self.rows.offset].into_iter().flatten().map(|column| column.column.as_str());
        let holdout = self.sample.as_ref().and_then(|sample| sample.holdout.column());
        self.leave_out.iter().map(String::as_str).chain(rows).chain(holdout).collect()
    }
}

impl Engine {
    /// Writes the draft of a session from a template, the sharing list and the banks' dictionary.
    pub(super) fn propose(
        &mut self,
        template: &str,
        dictionary: &str,
        dataset: &str,
        banks: &[String],
        patience_seconds: Option<u32>,
    ) -> Result<Value, Failure> {
        if !self.is_platform() {
            return Err(failure::usage("only the platform proposes sessions"));
        }
        let mut template = Template::parse(template)?;
        template.patience_seconds = patience_seconds.unwrap_or(template.patience_seconds);
        let dictionary = Dictionary::parse(dictionary).map_err(failure::data)?;
        let mut contract = self.draft(&template, &dictionary, dataset, banks)?;
        contract.alignment.engine.check().map_err(failure::data)?;
        self.check_list(&contract)?;
        if !contract.is_statistics() {
            super::sample::check_cohorts(dataset, &self.known_dataset(dataset)?.cohorts, &contract)?;
            contract.disclosures = self.expected_disclosures(&contract, &self.store.dataset(dataset)?)?;
        }
        let envelope = contract.envelope();
        let sealed = SealedContract::read(&envelope).map_err(failure::data)?;
        let record = SessionRecord {
            session: contract.session.clone(),
            contract: sealed.digest(),
            envelope,
            stage: Stage::Draft,
            reason: None,
            dataset: (!contract.is_statistics()).then(|| dataset.into()),
            clearances: BTreeMap::new(),
            withdrawn: BTreeSet::new(),
            data_version: None,
            own_secret: false,
            approved_data: None,
            approvals: Vec::new(),
            history: vec![(Stage::Draft, now())],
            model: None,
        };
        self.step(|engine, step| {
            let me = engine.me().to_owned();
            step.record(Some(&record.session), &me, book::session_state(Stage::Draft, None));
            engine.store.put_session(&record)
        })?;
        Ok(json!({
            "session": record.session,
            "contract": record.contract,
            "stage": record.stage,
            "level": contract.level(),
            "list": contract.list.version,
            "snapshot": contract.snapshot,
            "disclosures": contract.disclosures,
        }))
    }

    fn draft(
        &self,
        template: &Template,
        dictionary: &Dictionary,
        dataset: &str,
        banks: &[String],
    ) -> Result<Contract, Failure> {
        let list = self.sharing_list()?;
        let (offered, snapshot) = match &template.statistics {
            Some(statistics) => (Vec::new(), Snapshot::none(statistics.as_of)),
            None => (self.offered(template, dataset)?, self.snapshot(dataset)?),
        };
        let own = dictionary.fields.iter().filter(|field| template.takes(&field.name)).map(|field| FieldTerms {
            name: field.name.clone(),
            holder: Holder::Banks,
            level: Level::L3,
            form: Form::Sealed,
            categories: field.kind.values().to_vec(),
        });
        let evaluations = template.evaluations.or(template.statistics.is_some().then_some(1));
        let evaluations = evaluations.ok_or_else(|| failure::data("session template: `evaluations` is missing"))?;
        let random = Digest(random_bytes()?);
        let members = u32::try_from(banks.len()).map_err(failure::usage)?;
        let created = now();
        Ok(Contract {
            version: 1,
            session: hex::encode(random_bytes::<8>()?),
            title: template.title.clone(),
            purpose: template.purpose,
            parties: self.parties(banks)?,
            fields: own.chain(offered).collect(),
            list: ListReference { version: list.version(), digest: list.digest() },
            sample: template
                .sample
                .clone()
                .map(|sample| SampleTerms { snapshot: snapshot.as_of.to_string(), ..sample }),
            snapshot,
            disclosures: BTreeMap::new(),
            alignment: AlignmentTerms {
                engine: template.engine.unwrap_or(AlignmentEngine::by_size(evaluations)),
                padding: template.padding,
            },
            model: ModelTerms {
                algorithm: template.algorithm.clone(),
                bins: template.bins,
                coarse: template.coarse.clone(),
                search: template.search,
                missing_unseen: template.unseen(),
                selection: template.selection.clone(),
                reasons: template.reasons,
                rows: template.rows.clone(),
                cuts: template.cuts.clone(),
                special: template.special.clone(),
                smoothing: template.smoothing,
                min_iv: template.min_iv,
                c: template.c,
                pdo: template.pdo,
                base_score: template.base_score,
                base_odds: template.base_odds,
                trees: template.trees.clone(),
                judging: template.judging_terms(),
                statistics: template.statistics.clone(),
            },
            limits: Limits {
                min_cohort: template.min_cohort.unwrap_or(members),
                min_cell: template.min_cell.unwrap_or(least_cell(members)),
                recompute: template.recompute,
                min_rows: template.min_rows,
                row_cap: template.row_cap,
                evaluations,
                rounds: template.rounds,
                min_bad: if template.statistics.is_some() { 0 } else { template.min_bad },
            },
            // Rows of statistics are all rows of the banks: the platform offers none, and no consent ends.
            balance: template.balance.or_else(|| template.statistics.is_none().then(BalanceTerms::default)),
            withdrawal: template.withdrawal.or_else(|| template.statistics.is_none().then(WithdrawalTerms::default)),
            noise: template.noise,
            scoring: template.scoring,
            patience_seconds: template.patience_seconds,
            created,
            expires: created + i64::from(template.expires_days) * Day::MILLISECONDS,
            retention_days: template.retention_days,
            seed: random,
        })
    }

    /// The platform's fields of a session.
    fn offered(&self, template: &Template, dataset: &str) -> Result<Vec<FieldTerms>, Failure> {
        let (list, data) = (self.sharing_list()?, self.store.dataset(dataset)?);
        let offered = data.columns.iter().filter(|column| template.takes(&column.name)).map(|column| {
            let field = list.field(&column.name).ok_or_else(|| {
                let reason = "is not on the sharing list: add it there or leave it out of the data set";
                failure::refused(format!("field `{}` of data set `{dataset}` {reason}", column.name))
            })?;
            Ok(FieldTerms {
                name: field.name.clone(),
                holder: Holder::Platform,
                level: field.level,
                form: Form::Binned,
                categories: field.kind.values().to_vec(),
            })
        });
        offered.collect()
    }

    fn parties(&self, banks: &[String]) -> Result<Vec<Party>, Failure> {
        let mut names: Vec<_> = banks.iter().map(String::as_str).chain([self.me()]).collect();
        names.sort_unstable();
        names.dedup();
        let party = |name: &str| {
            let known = self.registry.party(name).ok_or_else(|| {
                failure::data(format!("party `{name}` is not in the registry: issue its certificate first"))
            })?;
            let role = if name == self.me() { PartyRole::Platform } else { PartyRole::Bank };
            Ok(Party { name: name.into(), role, node_key: known.node_key })
        };
        names.into_iter().map(party).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The templates parse as they are, and with every key that they only show.
    #[test]
    fn templates_parse_with_and_without_what_they_leave_out() {
        for text in [
            include_str!("../../../../models/templates/scorecard.toml"),
            include_str!("../../../../models/templates/trees.toml"),
            include_str!("../../../../models/templates/statistics.toml"),
        ] {
            Template::parse(text).unwrap();
            let key = |line: &str| {
                let shown = line.strip_prefix("# ")?;
                let name = shown.split(" = ").next()?;
                let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_[].".contains(c));
                (plain && (shown.contains(" = ") || shown.starts_with('['))).then(|| shown.to_owned())
            };
            let lines: Vec<_> = text.lines().map(|line| key(line).unwrap_or_else(|| line.into())).collect();
            let shown = lines.iter().zip(text.lines()).filter(|(all, line)| all != line).count();
            assert!(shown > 3);
            let all = Template::parse(&lines.join("\n")).unwrap();
            assert!(all.min_cohort.is_some() && all.min_cell.is_some());
        }
    }
}
