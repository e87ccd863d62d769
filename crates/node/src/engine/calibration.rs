//! A bank's own calibration of a released model: fitted here from its own rows, kept here, named in the log, never sent.

use serde_json::{Value, json};
use tally_audit::Body;
use tally_model::{Book, Calibration, Fitted, LEAST_TO_CALIBRATE, Table};

use super::Engine;
use super::step::Step;
use crate::failure::{self, Failure};
use crate::store::SessionRecord;

impl Engine {
    /// At the release: fits the offset on the bank's training rows, and logs what it is named by.
    pub(super) fn keep_calibration(
        &self,
        step: &mut Step,
        record: &SessionRecord,
        fit: &Fitted,
        table: &Table,
    ) -> Result<(), Failure> {
        let log_odds = fit.log_odds(table).map_err(failure::internal)?;
        let Some(calibration) = Calibration::fit(&log_odds, table) else { return Ok(()) };
        let text = serde_json::to_vec(&calibration).map_err(failure::internal)?;
        self.store.put_result(&record.session, "calibration", &text)?;
        let body = Body::Calibration { model: fit.digest(), calibration: calibration.digest() };
        step.record(Some(&record.session), self.me(), body);
        Ok(())
    }

    pub(super) fn kept_calibration(&self, session: &str) -> Result<Option<Calibration>, Failure> {
        let kept = self.store.result(session, "calibration")?;
        kept.map(|text| serde_json::from_slice(&text).map_err(failure::internal)).transpose()
    }

    /// What this bank is told of its calibration; null at the platform, and where models were released before there was one.
    pub(super) fn calibration_told(&self, session: &str) -> Result<Value, Failure> {
        if self.is_platform() || self.store.result(session, "own")?.is_none() {
            return Ok(Value::Null);
        }
        let Some(found) = self.kept_calibration(session)? else {
            return Ok(json!({
                "withheld": {
                    "zh": format!("本行建模样本中好、坏样本须各不少于 {LEAST_TO_CALIBRATE} 笔，否则沿用联合模型的概率"),
                    "en": format!(
                        "fewer than {LEAST_TO_CALIBRATE} good or bad loans among this bank's training rows: probabilities stay the joint model's"
                    ),
                }
            }));
        };
        let book = |book: &Book| {
            let [before, after] = book.ratios().map_or([None; 2], |ratios| ratios.map(Some));
            json!({
                "rows": book.rows.rows(),
                "bad": book.rows.bad,
                "bad_rate": book.bad_rate(),
                "mean_probability": { "before": book.before, "after": book.after },
                "over_bad_rate": { "before": before, "after": after },
            })
        };
        Ok(json!({
            "offset": found.offset,
            "digest": found.digest(),
            "train": book(&found.train),
            "holdout": book(&found.holdout),
        }))
    }
}
