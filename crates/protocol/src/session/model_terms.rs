//! The contract's terms of the model, and the plan that follows from them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tally_model::boosted::{BoostedFieldPlan, BoostedPlan, EarlyStopping, Growth, Monotone};
use tally_model::{
    CoarsePlan, Course, CutSearch, FieldPlan, FieldSource, Judging, Plan, ReasonBasis, RowTerms, Rules, SegmentPlan,
    SelectionPlan, Unseen,
};

use super::contract::{Contract, ContractError, FieldTerms, Holder, term};
use super::statistics::StatisticsTerms;

/// Parameters of the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelTerms {
    /// `scorecard`, `trees` or `statistics`.
    pub algorithm: String,
    /// Equal-frequency bins of a number: the fine classes.
    pub bins: u16,
    /// How cut points of the banks' numbers are sought; sessions before this term sought them by `dyadic`.
    #[serde(default, skip_serializing_if = "CutSearch::is_first")]
    pub search: CutSearch,
    /// Scorecard: what becomes of an applicant's value of a kind that no training row had, such as a missing one where none was missing:
    /// the points of the worst class, even evidence, or no score. Sessions before this term gave even evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_unseen: Option<Unseen>,
    /// Scorecard: which fine classes are joined; none if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coarse: Option<CoarsePlan>,
    /// Scorecard: which fields are kept.
    #[serde(default)]
    pub selection: SelectionPlan,
    /// Scorecard: what a field's points are compared with where reasons for a score are given.
    #[serde(default)]
    pub reasons: ReasonBasis,
    /// Scorecard: what the banks' rows bring to the fit besides their label.
    #[serde(default, skip_serializing_if = "RowColumns::is_plain")]
    pub rows: RowColumns,
    /// Scorecard: cut points of numbers that someone chose, by field; nothing is searched or joined there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cuts: BTreeMap<String, Vec<f64>>,
    /// Scorecard: values of numbers that stand for something else, by field; each has a bin of its own.
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
    /// What the fitted model is judged by.
    #[serde(default, skip_serializing_if = "JudgingTerms::is_plain")]
    pub judging: JudgingTerms,
    /// What is summed, where the algorithm is `statistics`: nothing is fitted then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistics: Option<StatisticsTerms>,
}

/// What the fitted model is judged by, beside what every model is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JudgingTerms {
    /// Share of the hold-out rows that both models approve in the swap set.
    pub approval: f64,
    /// Fields on whose segments of the hold-out rows the models are judged apart.
    pub segments: Vec<String>,
    /// Of these, fields that no model is fitted on.
    pub segments_only: Vec<String>,
    /// What figures stand under; contracts that do not say have the first rules.
    #[serde(skip_serializing_if = "Rules::is_first")]
    pub rules: Rules,
}

impl Default for JudgingTerms {
    fn default() -> Self {
        let Judging { approval, rules, .. } = Judging::default();
        Self { approval, segments: Vec::new(), segments_only: Vec::new(), rules }
    }
}

/// What a bank's rows bring to the fit of a scorecard besides their label, from columns that are no fields of the model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowColumns {
    /// How much a row counts in the fit; absent, every row counts once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<CappedColumn>,
    /// Part of a row's log-odds of bad that is not fitted, such as the correction of a sample of the good rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<CappedColumn>,
}

/// A column of numbers of the banks' data sets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CappedColumn {
    /// Its name.
    pub column: String,
    /// Largest size of a value; a data set with a larger one, or with a missing one, is refused.
    pub cap: f64,
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

impl ModelTerms {
    /// A field that another session cuts otherwise, by cut points that someone chose or by its special values.
    pub fn cut_otherwise<'a>(&'a self, other: &'a Self) -> Option<&'a str> {
        let differs = |one: &'a BTreeMap<String, Vec<f64>>, two: &'a BTreeMap<String, Vec<f64>>| {
            one.iter().find(|(field, cuts)| two.get(*field) != Some(cuts)).map(|(field, _)| field.as_str())
        };
        let pairs = [(&self.cuts, &other.cuts), (&self.special, &other.special)];
        pairs.into_iter().find_map(|(one, two)| differs(one, two).or_else(|| differs(two, one)))
    }

    /// Checks the terms against the contract's fields.
    pub(super) fn check(&self, contract: &Contract) -> Result<(), ContractError> {
        let known = ["scorecard", "trees", "statistics"].contains(&self.algorithm.as_str());
        term("model.algorithm", known, "this node knows `scorecard`, `trees` and `statistics`")?;
        let statistics = (self.algorithm == "statistics") == self.statistics.is_some();
        let reason = "what is summed belongs to the algorithm `statistics`, and to no other";
        term("model.statistics", statistics, reason)?;
        self.statistics.as_ref().map_or(Ok(()), |statistics| statistics.check(contract))?;
        let trees = self.algorithm == "trees";
        let fits = trees == self.trees.is_some();
        term("model.trees", fits, "the parameters of trees belong to the algorithm `trees`, and to no other")?;
        let expressible = self.algorithm == "scorecard" || self.missing_unseen.is_none();
        term(
            "model.missing_unseen",
            expressible,
            "belongs to scorecards: of trees a split says where missing values go",
        )?;
        let chosen = || self.cuts.keys().chain(self.special.keys());
        let plain = self.coarse.is_none() && self.rows.is_plain() && chosen().next().is_none();
        term("model.coarse, model.rows, model.cuts, model.special", !trees || plain, "belong to scorecards")?;
        let number = |name: &String| contract.field(name).is_some_and(|field| field.categories.is_empty());
        term("model.cuts, model.special", chosen().all(number), "belong to numbers of the contract")?;
        let rows = [&self.rows.weight, &self.rows.offset].into_iter().flatten();
        let apart = rows.clone().all(|column| contract.field(&column.column).is_none());
        term("model.rows", apart, "a column of weights or offsets is no field of the model")?;
        let reason =
            "rows that weigh otherwise than others can be solved from sums with and without weights: it needs noise";
        term("model.rows", self.rows.is_plain() || contract.noise.is_some(), reason)?;
        let drawn = self.trees.as_ref().is_some_and(|trees| trees.row_share < 1.0);
        let reason =
            "rows drawn by a public seed give sums over known subsets, from which rows can be solved: it needs noise";
        term("model.trees.row_share", !drawn || contract.noise.is_some(), reason)?;
        self.judging.check(contract)?;
        let monotone = self.trees.iter().flat_map(|trees| trees.monotone.keys());
        let named = monotone.clone().all(|name| contract.field(name).is_some());
        term("model.trees.monotone", named, "names a field that the contract does not have")
    }

    /// Points a unit of log-odds of bad, and the score at even odds: `score = offset - factor x log-odds`.
    pub fn scale(&self) -> (f64, f64) {
        let factor = self.pdo / std::f64::consts::LN_2;
        (factor, self.base_score - factor * libm::log(self.base_odds))
    }
}

impl JudgingTerms {
    /// True where models are judged as every model is.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    fn check(&self, contract: &Contract) -> Result<(), ContractError> {
        let named = self.segments.iter().all(|name| contract.field(name).is_some());
        term("model.judging.segments", named, "names a field that the contract does not have")?;
        let apart = self.segments_only.iter().all(|name| self.segments.contains(name));
        term("model.judging.segments_only", apart, "names a field that is not among the segments")?;
        let fitted = |name: &String| contract.field(name).is_some_and(|field| field.holder == Holder::Banks);
        let own = self.segments_only.iter().filter(|name| fitted(name)).count();
        let left = own < contract.fields_of(Holder::Banks).count().max(1);
        term("model.judging.segments_only", left, "leaves the banks no field to fit")?;
        let exact = self.segments.is_empty() || contract.noise.is_none();
        term("model.judging.segments", exact, "segments are not judged under noise: every sum would cost of its budget")
    }
}

impl RowColumns {
    /// True where rows bring only their label.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    fn terms(&self) -> RowTerms {
        let cap = |column: &Option<CappedColumn>| column.as_ref().map(|column| column.cap);
        RowTerms { weight_cap: cap(&self.weight), offset_cap: cap(&self.offset) }
    }
}

impl Contract {
    fn field(&self, name: &str) -> Option<&FieldTerms> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// What is fitted: the banks' fields first, then the platform's with the number of bins that it announced.
    pub fn course(&self, platform_bins: &[u16]) -> Course {
        if let Some(statistics) = &self.model.statistics {
            return Course::Statistics(statistics.plan(self));
        }
        match &self.model.trees {
            Some(trees) if self.model.algorithm == "trees" => Course::Trees(self.boosted_plan(trees, platform_bins)),
            _ => Course::Scorecard(self.plan(platform_bins)),
        }
    }

    /// A scorecard's plan over the contract's fields, whatever is fitted: of the model by linfa that a bank's own stands beside.
    pub fn linear_plan(&self, platform_bins: &[u16]) -> Plan {
        self.plan(platform_bins)
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

    /// What the fitted model is judged by, fields by their places.
    fn judging(&self, fields: &[(String, FieldSource)]) -> Judging {
        let terms = &self.model.judging;
        let segment = |name: &String| {
            let field = fields.iter().position(|(other, _)| other == name)?;
            let number = self.field(name).is_some_and(|field| field.categories.is_empty());
            let ordered = number && !self.model.cuts.contains_key(name);
            Some(SegmentPlan { field, ordered, fitted: !terms.segments_only.contains(name) })
        };
        Judging {
            approval: terms.approval,
            segments: terms.segments.iter().filter_map(segment).collect(),
            rules: terms.rules,
            min_bad: self.limits.min_bad,
        }
    }

    fn plan(&self, platform_bins: &[u16]) -> Plan {
        let of = |chosen: &BTreeMap<String, Vec<f64>>, name: &str| chosen.get(name).cloned().unwrap_or_default();
        let field = |(name, source): (String, FieldSource)| FieldPlan {
            cuts: of(&self.model.cuts, &name),
            special: of(&self.model.special, &name),
            unordered: self.field(&name).is_some_and(|field| !field.categories.is_empty()),
            ..FieldPlan::new(&name, source)
        };
        let sources = self.sources(platform_bins);
        let eases = !self.model.judging.rules.is_first();
        Plan {
            judging: self.judging(&sources),
            fields: sources.into_iter().map(field).collect(),
            bins: self.model.bins,
            search: self.model.search,
            coarse: self.model.coarse.clone().map(|coarse| CoarsePlan { eases, ..coarse }),
            selection: self.model.selection.clone(),
            reasons: self.model.reasons,
            rows: self.model.rows.terms(),
            unseen: self.model.missing_unseen,
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
        let sources = self.sources(platform_bins);
        BoostedPlan {
            judging: self.judging(&sources),
            fields: sources.into_iter().map(field).collect(),
            bins: self.model.bins,
            search: self.model.search,
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
}
