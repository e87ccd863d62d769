//! What a bank answers while the platform is out of reach, where the contract says so: the score of its own model, on its own
//! fields, marked as such. No consent is used, since nothing of the platform is.

use serde_json::{Value, json};
use tally_audit::Body;
use tally_crypto::transcript::commit;
use tally_model::{BankOnly, Table};
use tally_policy::Day;
use tally_protocol::session::{Contract, Fallback, Holder};

use super::applicant::own_codes;
use super::calls::{Served, moment, notice};
use super::group::Outward;
use super::serving::Titles;
use super::{Engine, models};
use crate::control::Reply;
use crate::failure::{self, Failure};
use crate::store::SessionRecord;

impl Engine {
    /// At the release: fits the bank's own model on the rows that are left, and keeps it.
    pub(super) fn keep_bank_only(&self, record: &SessionRecord, table: &Table) -> Result<(), Failure> {
        let contract = self.contract_of(record)?;
        let terms = contract.terms();
        if terms.scoring.fallback != Fallback::BankOnly {
            return Ok(());
        }
        let bins = vec![terms.model.bins; terms.fields_of(Holder::Platform).count()];
        let Some(own) = terms.course(&bins).bank_only_model(table).map_err(failure::internal)? else { return Ok(()) };
        let text = serde_json::to_vec(&own).map_err(failure::internal)?;
        self.store.put_result(&record.session, "bank-only", &text)
    }

    pub(super) fn kept_bank_only(&self, session: &str) -> Result<Option<BankOnly>, Failure> {
        let kept = self.store.result(session, "bank-only")?;
        kept.map(|text| serde_json::from_slice(&text).map_err(failure::internal)).transpose()
    }

    /// Answers by the bank's own model, or fails as `unreachable` says.
    pub(super) fn fall_back(&mut self, served: &Served, reply: &Reply, unreachable: Failure) -> Result<(), Failure> {
        let session = self.choose_model(served.order.session.as_deref())?;
        let model = &self.models[&session];
        let Some((own, titles)) = model.own() else { return Err(unreachable) };
        let mut answer = scored(own, titles, model.contract.terms(), served)?;
        let record = self.find_model(Some(&session))?;
        answer["model"] = models::told(&record);
        answer["model"]["digest"] = json!(own.digest());
        answer["model"]["algorithm"] = json!("bank-only");
        let subject = self.canonical(&served.order.id)?;
        let salt: [u8; 16] = super::random_bytes()?;
        let request = hex::encode(super::random_bytes::<16>()?);
        answer["request_id"] = json!(request);
        let days = self.config.api.clone().unwrap_or_default().fallback_validity_days;
        let body = Body::ApiCall {
            caller: Some(served.caller),
            applicant: Some(commit("applicant", &salt, subject.as_bytes())),
            outcome: "fallback".into(),
            count: 1,
        };
        let answer = self.step(|engine, step| {
            let me = engine.me().to_owned();
            answer["valid_until"] = json!(moment(step.now + i64::from(days) * Day::MILLISECONDS));
            let entry = step.record(Some(&session), &me, body);
            engine.store.put_opening(entry, &engine.subject_tag(&subject), &salt, &subject)?;
            answer["log"] = json!({
                "origin": me,
                "request": { "entry": entry, "leaf": null },
                "answer": { "entry": entry },
            });
            if let Some(key) = &served.key {
                engine.keep_answer(key, &request, &answer)?;
            }
            Ok(answer)
        })?;
        self.group.hold(Outward::Reply(reply.clone(), Ok(answer)));
        Ok(())
    }
}

/// What does not depend on the node: the score and its reasons.
fn scored(own: &BankOnly, titles: &Titles, terms: &Contract, served: &Served) -> Result<Value, Failure> {
    let codes = own_codes(|place, number| own.code(place, number), terms, &served.order)?;
    let (factor, offset) = terms.model.scale();
    let names: Vec<_> = terms.fields_of(Holder::Banks).map(|field| field.name.as_str()).collect();
    let points = |raised: f64| (factor * raised).round() as i64;
    let mut lost: Vec<_> = own
        .raised(&codes)
        .filter_map(|(place, raised)| Some((*names.get(place)?, points(raised))))
        .filter(|(_, points)| *points > 0)
        .collect();
    lost.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    lost.truncate(served.order.reasons);
    let reasons =
        lost.into_iter().map(|(field, points)| json!({ "field": field, "points": points, "text": titles.get(field) }));
    let log_odds = own.score(&codes);
    Ok(json!({
        "score": (offset - factor * log_odds).round() as i64,
        "points": null,
        "probability": BankOnly::probability(log_odds),
        "band": null,
        "reasons": reasons.collect::<Vec<_>>(),
        "consent": null,
        "withheld": [],
        "fallback": true,
        "reference_only": true,
        "notice": notice(),
    }))
}
