//! A model in files for others: versioned JSON, the table of a scorecard, PMML, and the dossier.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tally_model::boosted::BoostedFit;
use tally_model::dossier::{self, Approval, Commitment, Dossier, FieldNote, Purpose, Scaling, Statement};
use tally_model::pmml::{self, Characteristic, Input, Reading};
use tally_model::text::Text;
use tally_model::{Course, FieldBins, Fit, Fitted, Meaning, Scale, card_csv};
use tally_protocol::session::{BinTable, Contract, Holder, PartyRole, PlatformHalf, SealedContract};

use super::Language;
use crate::failure::{self, Failure};

/// Version of the JSON; its schema is `models/model-v1.schema.json`.
const FORMAT: &str = "tallystick-model/v1";

/// Forms of an exported model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// Everything that this node knows of the model.
    Json,
    /// The table of a scorecard, comma-separated: field, class, counts, WOE, points.
    Card,
    /// PMML 4.4: of a scorecard this node's half, of trees the forest as far as this node knows what its codes stand for.
    Pmml,
    /// The dossier of a scorecard: one page to read, print and file.
    Dossier,
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Json => "json",
            Self::Card => "card",
            Self::Pmml => "pmml",
            Self::Dossier => "dossier",
        })
    }
}

/// A model as a node shows it.
pub(super) struct Exported {
    shown: Value,
    contract: SealedContract,
    fitted: Fitted,
    half: Option<PlatformHalf>,
}

impl Exported {
    /// Reads what `model show` answers.
    pub(super) fn read(shown: Value) -> Result<Self, Failure> {
        fn part<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, Failure> {
            serde_json::from_value(value.clone()).map_err(failure::internal)
        }
        let contract = SealedContract::read(&part(&shown["envelope"])?).map_err(failure::data)?;
        let (fitted, half) = (part(&shown["results"]["fit"])?, part(&shown["results"]["half"])?);
        Ok(Self { contract, fitted, half, shown })
    }

    /// The text of the file.
    pub(super) fn write(&self, format: Format, language: Language) -> Result<String, Failure> {
        match format {
            Format::Json => serde_json::to_string_pretty(&self.json()).map_err(failure::internal),
            Format::Card => Ok(self.card(self.scorecard("the table of points")?)),
            Format::Pmml => match &self.fitted {
                Fitted::Scorecard(fit) => self.half_in_pmml(fit),
                Fitted::Trees(fit) => Ok(self.forest_in_pmml(fit)),
            },
            Format::Dossier => Ok(dossier::render(&self.dossier(self.scorecard("the dossier")?), language.into())),
        }
    }

    fn scorecard(&self, what: &str) -> Result<&Fit, Failure> {
        let none = || failure::usage(format!("{what} is of scorecards; boosted trees are exported as json"));
        self.fitted.scorecard().ok_or_else(none)
    }

    fn terms(&self) -> &Contract {
        self.contract.terms()
    }

    fn json(&self) -> Value {
        json!({
            "format": FORMAT,
            "model": self.fitted.digest(),
            "session": self.terms().session,
            "contract": self.contract.digest(),
            "state": self.shown["state"],
            "released": self.shown["released"],
            "fit": self.fitted,
            "half": self.half,
        })
    }

    /// Classes of fields whose bins this node does not know are named by number.
    fn card(&self, fit: &Fit) -> String {
        card_csv(&fit.card(|field| self.meaning(&field.name, &field.bins)))
    }

    /// What the codes of a field stand for, as far as this node knows.
    fn meaning(&self, name: &str, bins: &FieldBins) -> Meaning {
        let values = self.categories(name);
        match (self.tables().get(name), bins) {
            _ if !values.is_empty() => Meaning::Values(values),
            (Some(BinTable::Values(values)), _) => Meaning::Values(values.clone()),
            (Some(table), _) => table.meaning().map_or(Meaning::Unknown, Meaning::Numbers),
            (None, FieldBins::Codes(_)) => Meaning::Unknown,
            (None, bins) => Meaning::Numbers(bins.clone()),
        }
    }

    fn tables(&self) -> BTreeMap<String, BinTable> {
        self.half.iter().flat_map(|half| half.tables.clone()).collect()
    }

    /// Values of a category field, where this node knows them.
    fn categories(&self, name: &str) -> Vec<String> {
        let field = self.terms().fields.iter().find(|field| field.name == name);
        field.map(|field| field.categories.clone()).unwrap_or_default()
    }

    /// A bank's half with one number for the platform's; the platform's half by itself, from zero points on.
    fn half_in_pmml(&self, fit: &Fit) -> Result<String, Failure> {
        let name = self.name();
        let Some(half) = &self.half else {
            let bins: Vec<_> = self.offered(fit).map(|field| field.bins.codes().saturating_sub(1) as u16).collect();
            let Course::Scorecard(plan) = self.terms().course(&bins) else {
                return Err(failure::internal("the contract is not of a scorecard"));
            };
            return Ok(pmml::bank_half(&name, fit, &plan));
        };
        let own = half.tables.iter().filter_map(|(name, table)| {
            let points =
                fit.fields.iter().find(|field| field.name == *name && field.coefficient.is_some())?.points.clone();
            let input = match (table, table.meaning()) {
                (BinTable::Values(values), _) => Input::Category { values: values.clone(), points },
                (_, Some(FieldBins::Cuts(cuts))) => Input::Number { cuts, special: Vec::new(), points },
                (_, Some(FieldBins::Special { cuts, special })) => Input::Number { cuts, special, points },
                _ => return None,
            };
            Some(Characteristic { name: name.clone(), input })
        });
        Ok(pmml::scorecard(&name, 0, &own.collect::<Vec<_>>(), None))
    }

    fn forest_in_pmml(&self, fit: &BoostedFit) -> String {
        let (factor, offset) = self.terms().model.scale();
        let reading = |place: usize| {
            let field = fit.fields.get(place).zip(fit.forest.bins().get(place));
            match field.map_or(Meaning::Unknown, |(field, bins)| self.meaning(&field.name, bins)) {
                Meaning::Values(values) => Reading::Category(values),
                Meaning::Numbers(FieldBins::Cuts(cuts)) => Reading::Number(cuts),
                Meaning::Numbers(_) | Meaning::Unknown => Reading::Code,
            }
        };
        pmml::forest(&self.name(), fit, reading, Scale { factor, offset })
    }

    /// The model's name in other programs.
    fn name(&self) -> String {
        format!("tallystick-{}", &self.fitted.digest().to_string()[..16])
    }

    /// The platform's fields of a fit: the last ones.
    fn offered<'a>(&self, fit: &'a Fit) -> impl Iterator<Item = &'a tally_model::FieldFit> {
        let own = self.terms().fields_of(Holder::Banks).count();
        fit.fields.iter().skip(own)
    }

    fn dossier(&self, fit: &Fit) -> Dossier {
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
            fields: terms.fields.iter().map(|field| self.note(field)).collect(),
            scaling: Scaling {
                pdo: terms.model.pdo,
                base_score: terms.model.base_score,
                base_odds: terms.model.base_odds,
            },
            fit: fit.clone(),
            limits: self.limits(),
            approvals: self.approvals(),
            versions: vec![
                statement(("程序", "program"), &format!("tallystick {}", env!("CARGO_PKG_VERSION"))),
                statement(("共享清单", "sharing list"), &format!("{} ({})", terms.list.version, terms.list.digest)),
                statement(("模型", "model"), &self.fitted.digest().to_string()),
            ],
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

    fn sample(&self) -> Vec<Statement> {
        let terms = self.terms();
        let rule = ("留出样本", "hold-out rows");
        let hash = "三成：标识符公开散列";
        let mut sample = vec![Statement {
            name: Text::new(rule.0, rule.1),
            value: Text::new(hash, "three in ten, by a public hash of the identifier"),
        }];
        if let Ok(Value::Object(given)) = serde_json::to_value(&terms.sample) {
            sample.extend(given.iter().map(|(name, value)| {
                let name = name.replace('_', " ");
                statement((&name, &name), &value.to_string())
            }));
        }
        sample
    }

    fn note(&self, field: &tally_protocol::session::FieldTerms) -> FieldNote {
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
        let time = |value: &Value| super::words::moment(value);
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

fn party(party: &tally_protocol::session::Party) -> dossier::Party {
    dossier::Party {
        name: party.name.clone(),
        role: match party.role {
            PartyRole::Platform => Text::new("平台", "platform"),
            PartyRole::Bank => Text::new("银行", "bank"),
        },
        key: party.node_key.id(),
    }
}

fn statement((zh, en): (&str, &str), value: &str) -> Statement {
    Statement { name: Text::new(zh, en), value: Text::new(value, value) }
}
