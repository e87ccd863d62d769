//! A model in files for others: versioned JSON, the table of a scorecard, PMML, and the dossier.

mod dossier;
mod own;
mod parameters;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tally_model::boosted::BoostedFit;
use tally_model::pmml::{self, Characteristic, Input, Reading};
use tally_model::{Course, FieldBins, Fit, Fitted, Meaning, Scale, Unseen, card_csv};
use tally_protocol::session::{BinTable, Contract, Holder, PlatformHalf, SealedContract};

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
    /// The dossier: one page to read, print and file.
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
            Format::Card => {
                let none = || failure::usage("the table of points is of scorecards: trees have none");
                Ok(self.card(self.fitted.scorecard().ok_or_else(none)?))
            }
            Format::Pmml => match &self.fitted {
                Fitted::Scorecard(fit) => self.half_in_pmml(fit),
                Fitted::Trees(fit) => Ok(self.forest_in_pmml(fit)),
                Fitted::Statistics(_) => {
                    Err(failure::usage("statistics are no model: see `tallystick statistics show`"))
                }
            },
            Format::Dossier => Ok(tally_model::dossier::render(&self.dossier(), language.into())),
        }
    }

    fn terms(&self) -> &Contract {
        self.contract.terms()
    }

    fn json(&self) -> Value {
        let mut json = json!({
            "format": FORMAT,
            "model": self.fitted.digest(),
            "session": self.terms().session,
            "contract": self.contract.digest(),
            "state": self.shown["state"],
            "released": self.shown["released"],
            "fit": self.fitted,
            "half": self.half,
            "calibration": self.shown["results"]["calibration"],
        });
        if let Some(unseen) = self.terms().model.missing_unseen {
            json["missing_unseen"] = json!(unseen);
        }
        json
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
            return Ok(pmml::bank_half(&name, fit, &plan, self.calibration()));
        };
        let own = half.tables.iter().filter_map(|(name, table)| {
            let field = fit.fields.iter().find(|field| field.name == *name && field.coefficient.is_some())?;
            let points = field.points.clone();
            let input = match (table, table.meaning()) {
                (BinTable::Values(values), _) => Input::Category { values: values.clone(), points },
                (_, Some(FieldBins::Cuts(cuts))) => Input::Number { cuts, special: Vec::new(), points },
                (_, Some(FieldBins::Special { cuts, special })) => Input::Number { cuts, special, points },
                _ => return None,
            };
            let refuses = self.terms().model.missing_unseen == Some(Unseen::Refuse);
            Some(Characteristic { name: name.clone(), input, refuses_missing: refuses && field.is_unseen(0) })
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
        pmml::forest(&self.name(), fit, reading, Scale { factor, offset }, self.calibration())
    }

    /// What this bank adds to the log-odds of bad, 0 at the platform.
    fn calibration(&self) -> f64 {
        self.shown["results"]["calibration"]["offset"].as_f64().unwrap_or(0.0)
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
}
