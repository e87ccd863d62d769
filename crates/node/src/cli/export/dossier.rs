//! What a node knows of a model, as its dossier tells it.

use serde_json::Value;
use tally_model::dossier::{Approval, Commitment, Dossier, FieldNote, Party, Purpose, Scaling, Statement};
use tally_model::text::Text;
use tally_protocol::session::{self, BinTable, Exclusion, Holder, HoldoutRule, PartyRole};

use super::super::words;
use super::{Exported, own, parameters};
use crate::engine::baselines;

impl Exported {
    /// Everything that the dossier tells.
    pub(super) fn dossier(&self) -> Dossier {
        let (terms, digest) = (self.terms(), self.contract.digest());
        let purpose = terms.purpose.to_string();
        Dossier {
            title: terms.title.clone(),
            prepared: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
            purpose: Purpose { words: purpose_in_words(&purpose), code: purpose },
            session: terms.session.clone(),
            contract: digest,
            parties: terms.parties.iter().map(party).collect(),
            commitments: self.commitments(),
            sample: self.sample(),
            fields: terms
                .fields_of(Holder::Banks)
                .chain(terms.fields_of(Holder::Platform))
                .map(|field| self.note(field))
                .collect(),
            scaling: Scaling {
                pdo: terms.model.pdo,
                base_score: terms.model.base_score,
                base_odds: terms.model.base_odds,
            },
            parameters: parameters::of(&terms.model),
            fit: self.fitted.clone(),
            limits: self.limits(),
            approvals: self.approvals(),
            versions: vec![
                statement(("程序", "program"), &format!("tallystick {}", env!("CARGO_PKG_VERSION"))),
                statement(("共享清单", "sharing list"), &format!("{} ({})", terms.list.version, terms.list.digest)),
                statement(("模型", "model"), &self.fitted.digest().to_string()),
            ],
            baseline: serde_json::from_value(baselines(terms)["bank_only"].clone()).unwrap_or_default(),
            own: own::statements(&self.shown["results"]),
        }
    }

    /// What this node committed its data set to; the other parties' commitments stand in their logs.
    fn commitments(&self) -> Vec<Commitment> {
        let Ok(digest) = serde_json::from_value(self.shown["data_version"].clone()) else { return Vec::new() };
        vec![Commitment {
            party: self.shown["node"].as_str().unwrap_or_default().into(),
            what: Text::new("本节点数据集的加盐默克尔根", "salted Merkle root of this node's data set"),
            rows: self.shown["results"]["rows"].as_u64(),
            digest,
        }]
    }

    /// Observation, outcome window, hold-out rule, exclusions.
    fn sample(&self) -> Vec<Statement> {
        let hash = HoldoutRule::Hash;
        let Some(sample) = &self.terms().sample else { return vec![holdout(&hash)] };
        let mut stated = vec![
            statement(("观察日", "Observed on"), &sample.observed),
            statement(("表现期（月）", "Outcome window, months"), &sample.outcome_months.to_string()),
            Statement { name: Text::new("坏样本的定义", "What bad means"), value: sample.outcome.clone() },
            holdout(&sample.holdout),
        ];
        if !sample.snapshot.is_empty() {
            stated.push(statement(("平台快照日", "Platform's snapshot"), &sample.snapshot));
        }
        if !sample.cohorts.is_empty() {
            let days: Vec<_> = sample.cohorts.iter().map(ToString::to_string).collect();
            stated.push(statement(("观察批次", "Cohorts, each observed on its day"), &days.join(", ")));
        }
        stated.extend(sample.exclusions.iter().map(exclusion));
        stated
    }

    fn note(&self, field: &session::FieldTerms) -> FieldNote {
        let title = serde_json::from_value(self.shown["titles"][&field.name].clone());
        let labels = match self.tables().get(&field.name) {
            Some(BinTable::Values(values)) => values.clone(),
            _ => field.categories.clone(),
        };
        FieldNote {
            name: field.name.clone(),
            title: title.unwrap_or_else(|_| Text::new(&field.name, &field.name)),
            holder: match field.holder {
                Holder::Platform => Text::new("平台", "platform"),
                Holder::Banks => Text::new("银行", "banks"),
            },
            level: format!("{:?}", field.level),
            labels,
        }
    }

    fn limits(&self) -> Vec<Statement> {
        let limits = &self.terms().limits;
        vec![
            statement(("一次汇总的最少银行数", "fewest banks in a sum"), &limits.min_cohort.to_string()),
            statement(("一个单元的最少银行数", "fewest banks behind a cell"), &limits.min_cell.to_string()),
            statement(("最多汇总次数", "most released sums"), &limits.rounds.to_string()),
            Statement {
                name: Text::new("禁止用途", "not to be used for"),
                value: Text::new("融资支持以外的任何用途", "anything but financing support"),
            },
        ]
    }

    fn approvals(&self) -> Vec<Approval> {
        let party = self.shown["node"].as_str().unwrap_or_default();
        // To the second, for people.
        let whole = |value: &Value| value.as_i64().map_or_else(|| value.clone(), |time| (time - time % 1000).into());
        let time = |value: &Value| words::moment(&whole(value));
        let approved = self.shown["history"].as_array().into_iter().flatten();
        let signed =
            approved.filter(|step| step[0] == "proposed").map(|step| time(&step[1])).next().unwrap_or_default();
        let contract = self.shown["approvals"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let mut approvals: Vec<_> = contract
            .map(|operator| Approval {
                party: party.into(),
                operator: operator.into(),
                time: signed.clone(),
                what: Text::new("会话合同", "the contract of the session"),
                digest: self.contract.digest(),
            })
            .collect();
        for change in self.shown["changes"].as_array().into_iter().flatten() {
            let Some(operator) = change["operator"].as_str() else { continue };
            let state = change["state"].as_str().unwrap_or_default();
            approvals.push(Approval {
                party: party.into(),
                operator: operator.into(),
                time: time(&change["time"]),
                what: Text::new(&format!("模型状态：{state}"), &format!("the model as {state}")),
                digest: self.fitted.digest(),
            });
        }
        approvals
    }
}

fn purpose_in_words(code: &str) -> Text {
    match code {
        "joint-modelling" => Text::new("融资支持：联合建模", "financing support: joint modelling"),
        other => Text::new(&format!("融资支持：{other}"), &format!("financing support: {other}")),
    }
}

fn holdout(rule: &HoldoutRule) -> Statement {
    let value = match rule {
        HoldoutRule::Hash => {
            Text::new("约三成：标识符的公开散列", "about three in ten, by a public hash of the identifier")
        }
        HoldoutRule::OutOfTime { column, from } => {
            Text::new(&format!("按时间：{column} ≥ {from}"), &format!("out of time: {column} ≥ {from}"))
        }
    };
    Statement { name: Text::new("留出规则", "Hold-out rule"), value }
}

fn exclusion(exclusion: &Exclusion) -> Statement {
    let bound = |sign: &str, bound: Option<f64>| bound.map(|bound| format!(" {sign} {bound}"));
    let column = &exclusion.column;
    let bounds: String = [bound("<", exclusion.least), bound(">", exclusion.most)].into_iter().flatten().collect();
    let told = |why: &str, missing: &str| format!("{why} ({column}{bounds}{missing})");
    let value = Text::new(&told(&exclusion.why.zh, "，或缺失"), &told(&exclusion.why.en, ", or missing"));
    Statement { name: Text::new("剔除", "Left out"), value }
}

fn party(party: &session::Party) -> Party {
    Party {
        name: party.name.clone(),
        role: match party.role {
            PartyRole::Platform => Text::new("平台", "platform"),
            PartyRole::Bank => Text::new("银行", "bank"),
        },
        key: party.node_key.id(),
    }
}

pub(super) fn statement((zh, en): (&str, &str), value: &str) -> Statement {
    Statement { name: Text::new(zh, en), value: Text::new(value, value) }
}
