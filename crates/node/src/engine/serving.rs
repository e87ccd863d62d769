//! Released models, ready to score: loaded at the start and whenever they or their data change, and only if they give what they
//! gave at their release.

use std::collections::BTreeMap;
use std::sync::Arc;

use tally_crypto::transcript::Digest;
use tally_model::metrics::CalibratedBand;
use tally_model::{BankOnly, Calibration, Fitted, Golden};
use tally_protocol::session::{PlatformHalf, SealedContract};

use super::Engine;
use crate::failure::{self, Failure};
use crate::store::{ModelState, SessionRecord};

/// A released model, ready to score.
pub(super) struct Model {
    pub(super) digest: Digest,
    pub(super) contract: Arc<SealedContract>,
    pub(super) fitted: Fitted,
    pub(super) side: Side,
    /// What was observed on hold-out rows, by bands of log-odds.
    pub(super) bands: Vec<CalibratedBand>,
}

/// What a node needs of its own side of a model.
pub(super) enum Side {
    Bank {
        titles: Titles,
        /// The bank's own model, where the contract lets it answer.
        own: Option<BankOnly>,
        /// What makes probabilities right for the bank's own book.
        calibration: Option<Calibration>,
    },
    Platform {
        half: PlatformHalf,
        rows: BTreeMap<String, Vec<u16>>,
    },
}

/// Names of fields for people.
pub(super) type Titles = BTreeMap<String, tally_model::text::Text>;

impl Model {
    /// The bank's own model, where it may answer, and the names of fields.
    pub(super) fn own(&self) -> Option<(&BankOnly, &Titles)> {
        match &self.side {
            Side::Bank { titles, own, .. } => own.as_ref().map(|own| (own, titles)),
            Side::Platform { .. } => None,
        }
    }

    /// Probability of bad at these log-odds of the joint model, right for the bank's own book; `None` without a calibration.
    pub(super) fn calibrated(&self, log_odds: f64) -> Option<f64> {
        match &self.side {
            Side::Bank { calibration, .. } => calibration.as_ref().map(|own| own.probability(log_odds)),
            Side::Platform { .. } => None,
        }
    }
}

impl Engine {
    /// Makes a released model ready.
    pub(super) fn load_model(&mut self, record: &SessionRecord) -> Result<(), Failure> {
        let Some(text) = self.store.result(&record.session, "fit")? else { return Ok(()) };
        let fit: Fitted = serde_json::from_slice(&text).map_err(failure::internal)?;
        if let Err(fault) = self.check_golden(record, &fit)? {
            tracing::error!(session = record.session, %fault, "the model does not serve");
            self.models.remove(&record.session);
            self.unfit.insert(record.session.clone(), fault);
            return Ok(());
        }
        let side = if self.is_platform() { self.platform_side(record)? } else { self.bank_side(record)? };
        let contract = Arc::new(self.contract_of(record)?);
        let bands = super::calls::bands(&fit);
        let model = Model { digest: fit.digest(), contract, bands, fitted: fit, side };
        self.models.insert(record.session.clone(), model);
        Ok(())
    }

    /// Keeps what a model gives for fixed inputs, at its release.
    pub(super) fn keep_golden(&self, session: &str, fit: &Fitted) -> Result<(), Failure> {
        let golden = serde_json::to_vec(&Golden::of(fit)).map_err(failure::internal)?;
        self.store.put_result(session, "golden", &golden)
    }

    /// Whether the fit is the released one and gives what it gave at its release; if not, why.
    fn check_golden(&self, record: &SessionRecord, fit: &Fitted) -> Result<Result<(), String>, Failure> {
        if record.model != Some(fit.digest()) {
            return Ok(Err("the stored fit is not the one that was released".into()));
        }
        let Some(golden) = self.store.result(&record.session, "golden")? else {
            return Ok(Err("its golden vectors are missing".into()));
        };
        let golden: Golden = serde_json::from_slice(&golden).map_err(failure::internal)?;
        Ok(golden.check(fit).map_err(|found| found.to_string()))
    }

    /// Makes the models over a data set ready again after it was imported anew.
    pub(super) fn refresh_models(&mut self, dataset: &str) -> Result<(), Failure> {
        for session in self.models.keys().cloned().collect::<Vec<_>>() {
            let record = self.known_session(&session)?;
            if record.dataset.as_deref() == Some(dataset) {
                self.load_model(&record)?;
            }
        }
        Ok(())
    }

    fn bank_side(&self, record: &SessionRecord) -> Result<Side, Failure> {
        let calibration = self.kept_calibration(&record.session)?;
        Ok(Side::Bank { titles: self.titles()?, own: self.kept_bank_only(&record.session)?, calibration })
    }

    /// Names of fields for people: of this node's data sets, and of the sharing list.
    pub(super) fn titles(&self) -> Result<BTreeMap<String, tally_model::text::Text>, Failure> {
        let mut titles = self.field_titles()?;
        if let Ok(list) = self.lists.newest() {
            titles.extend(list.fields().iter().map(|field| (field.name.clone(), field.title.clone())));
        }
        Ok(titles)
    }

    /// Bin codes of every enterprise of the platform's data set, with cohorts of its latest one, so that a request costs a
    /// look-up.
    fn platform_side(&self, record: &SessionRecord) -> Result<Side, Failure> {
        let half = self.store.result(&record.session, "half")?;
        let half = half.ok_or_else(|| failure::internal("the platform's half of the model is missing"))?;
        let half: PlatformHalf = serde_json::from_slice(&half).map_err(failure::internal)?;
        let dataset = self.store.dataset(record.dataset.as_deref().unwrap_or_default())?;
        let everyone: Vec<_> = (0..dataset.identifiers.len()).collect();
        let columns = half
            .tables
            .iter()
            .map(|(name, table)| Ok(table.codes(&super::platform_column(&dataset, name, &everyone)?)))
            .collect::<Result<Vec<Vec<u16>>, Failure>>()?;
        let codes = |row: usize| columns.iter().map(|column| column[row]).collect();
        let latest = dataset.days().last().copied();
        let current = everyone.iter().filter(|row| dataset.cohort(**row) == latest);
        let rows = current.map(|&row| (dataset.identifiers[row].clone(), codes(row))).collect();
        Ok(Side::Platform { half, rows })
    }

    /// The session of the model that scores, where none or this one is named.
    pub(super) fn choose_model(&self, session: Option<&str>) -> Result<String, Failure> {
        let record = self.find_model(session)?;
        if record.state == ModelState::Retired {
            return Err(failure::refused(format!("no score (model-retired): model {} is retired", record.model))
                .coded("model-retired"));
        }
        if let Some(fault) = self.unfit.get(&record.session) {
            let text = format!(
                "no score (model-unfit): model {} does not reproduce its golden vectors: {fault}",
                record.model
            );
            return Err(failure::refused(text).coded("model-unfit"));
        }
        Ok(record.session)
    }
}
