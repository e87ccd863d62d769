//! Objections of enterprises to values of the platform, and what follows when one was right.
//!
//! While an objection is open, its value counts as missing: in what is released to sessions and in scores, which say so.
//! A correction changes the value, gives every score that rests on the old one again, and tells every bank that used it or
//! was offered it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tally_audit::Body;
use tally_crypto::transcript::{Digest, commit};
use tally_data::{Dataset, Values};
use tally_policy::{Cleared, Question};
use tally_protocol::kind::MessageKind;
use tally_protocol::scoring::Correction;
use tally_protocol::session::{Contract, Holder, PlatformColumn, PlatformData, SampleTerms};

use super::scoring::{Given, Held};
use super::step::Step;
use super::{Engine, book, now};
use crate::config::check_name;
use crate::failure::{self, Failure};
use crate::store::{DatasetInfo, Record};

/// One case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Case {
    pub(super) case: String,
    number: u64,
    pub(super) subject: String,
    pub(super) field: String,
    pub(super) state: CaseState,
    opened: i64,
    reason: String,
    settled: Option<i64>,
    resolution: Option<String>,
    /// Bank: scores given again, with what they were.
    #[serde(default)]
    scores: Vec<Value>,
    /// Bank: sessions in which the old value was offered.
    #[serde(default)]
    sessions: Vec<String>,
}

impl Record for Case {
    const TYPE: &'static str = "case";
}

/// How a case stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum CaseState {
    /// The value is withheld.
    Open,
    /// The value stands.
    Rejected,
    /// The value was changed.
    Corrected,
}

impl Engine {
    pub(super) fn load_disputes(&mut self) -> Result<(), Failure> {
        self.disputes = self.store.disputes()?;
        Ok(())
    }

    /// Fields of an enterprise whose values are under objection.
    pub(super) fn disputed_fields(&self, subject: &str) -> BTreeSet<&str> {
        let open = self.disputes.iter().filter(|case| case.state == CaseState::Open && case.subject == subject);
        open.map(|case| case.field.as_str()).collect()
    }

    /// An enterprise objects to a value of the platform.
    pub(super) fn object(&mut self, subject: &str, field: &str, reason: &str) -> Result<Value, Failure> {
        if !self.is_platform() {
            return Err(failure::usage("enterprises object at the platform, which holds the shared fields"));
        }
        if self.sharing_list()?.field(field).is_none() {
            return Err(failure::data(format!(
                "field `{field}` is not on the sharing list: see `tallystick list show`"
            )));
        }
        let subject = self.canonical(subject)?;
        if self.disputed_fields(&subject).contains(field) {
            return Err(failure::refused(format!(
                "there is an open objection to `{field}` of this enterprise already"
            )));
        }
        let number = self.disputes.len() as u64;
        let case = Case {
            case: format!("{}-{}", self.me(), number + 1),
            number,
            subject,
            field: field.into(),
            state: CaseState::Open,
            opened: now(),
            reason: reason.into(),
            settled: None,
            resolution: None,
            scores: Vec::new(),
            sessions: Vec::new(),
        };
        self.step(|engine, step| engine.keep_case(step, &case))?;
        let shown = json!({ "case": case.case, "field": case.field, "state": case.state });
        self.disputes.push(case);
        Ok(shown)
    }

    /// Settles an objection: rejected, or the right value in place of the wrong one.
    pub(super) fn settle(&mut self, name: &str, value: Option<&str>, reason: &str) -> Result<Value, Failure> {
        let place = self.disputes.iter().position(|case| case.case == name && case.state == CaseState::Open);
        let place = place.ok_or_else(|| {
            failure::data(format!("there is no open objection `{name}` here: see `tallystick subject cases`"))
        })?;
        let mut case = self.disputes[place].clone();
        case.state = if value.is_some() { CaseState::Corrected } else { CaseState::Rejected };
        (case.settled, case.resolution) = (Some(now()), Some(reason.into()));
        let changed = value.map(|value| self.corrected(&case, value)).transpose()?.unwrap_or_default();
        let before = std::mem::replace(&mut self.disputes[place], case.clone());
        let told = self.step(|engine, step| engine.correct(step, &case, &changed));
        let told = told.inspect_err(|_| self.disputes[place] = before)?;
        self.warn_after_settlement()?;
        let names: Vec<_> = changed.iter().map(|(info, _)| &info.name).collect();
        Ok(json!({ "case": name, "field": case.field, "state": case.state, "data_sets": names, "banks_told": told }))
    }

    /// Puts the right values in the place of the wrong ones and tells who used these, in one step.
    fn correct(
        &mut self,
        step: &mut Step,
        case: &Case,
        changed: &[(DatasetInfo, Dataset)],
    ) -> Result<Vec<String>, Failure> {
        for (info, dataset) in changed {
            self.store.put_dataset(info, dataset)?;
            step.record(None, self.me(), book::dataset(info));
            self.refresh_models(&info.name)?;
        }
        self.keep_case(step, case)?;
        if changed.is_empty() {
            return Ok(Vec::new());
        }
        self.recall_warnings(step, &case.subject, &case.field)?;
        self.tell_of(step, case)
    }

    pub(super) fn list_cases(&self) -> Result<Value, Failure> {
        serde_json::to_value(&self.disputes).map_err(failure::internal)
    }

    /// Bank: a value that it used, or was offered, was wrong.
    pub(super) fn take_correction(&mut self, step: &mut Step, peer: &str, body: &[u8]) -> Result<(), Failure> {
        let correction = Correction::decode(body)
            .ok_or_else(|| failure::refused(format!("{peer} sent something that is not a correction")))?;
        self.check_correction(peer, &correction)?;
        let held: BTreeMap<String, _> = self
            .store
            .scores_of::<Held>(&self.subject_tag(&correction.subject))?
            .into_iter()
            .map(|(request, consent, held)| (request, (consent, held)))
            .collect();
        let mut scores = Vec::new();
        for (request, outcome) in &correction.scores {
            let Some((consent, held)) = held.get(request) else { continue };
            let again = match self.complete(held, request, outcome, Some(*consent)) {
                Ok(result) => {
                    let kept = held.with(result.clone());
                    self.store.put_score(held.entry, request, consent, &kept)?;
                    result
                }
                Err(failure) => json!({ "error": failure.message }),
            };
            step.record(Some(&held.session), peer, book::score_correction(request, outcome));
            scores.push(json!({ "request": request, "was": held.result, "is": again }));
        }
        let case = Case {
            case: correction.case,
            number: self.disputes.len() as u64,
            subject: correction.subject,
            field: correction.field,
            state: CaseState::Corrected,
            opened: step.now,
            reason: format!("corrected by {peer}"),
            settled: Some(step.now),
            resolution: None,
            scores,
            sessions: correction.sessions,
        };
        self.keep_case(step, &case)?;
        self.disputes.push(case);
        Ok(())
    }

    /// Case and field stand in the log, where no text of a peer belongs; and a case is told once.
    fn check_correction(&self, peer: &str, correction: &Correction) -> Result<(), Failure> {
        let listed = self.lists.iter().any(|list| list.field(&correction.field).is_some());
        if check_name(&correction.case).is_err() || !listed {
            let text =
                format!("{peer} sent a correction whose case is no name, or whose field no sharing list here has");
            return Err(failure::refused(text));
        }
        if self.disputes.iter().any(|case| case.case == correction.case) {
            return Err(failure::refused(format!("{peer} sent the correction {} twice", correction.case)));
        }
        Ok(())
    }

    /// What is released of enterprises with open objections: the value is missing.
    pub(super) fn withhold(&self, terms: &Contract, data: &mut PlatformData) {
        let open = self.disputes.iter().filter(|case| case.state == CaseState::Open);
        for case in open {
            let keys = SampleTerms::keys_of(terms.sample.as_ref(), &case.subject);
            let rows: Vec<_> =
                (0..data.identifiers.len()).filter(|row| keys.contains(&data.identifiers[*row])).collect();
            let column = terms.fields_of(Holder::Platform).position(|field| field.name == case.field);
            let Some(column) = column else { continue };
            match &mut data.columns[column] {
                PlatformColumn::Numeric(values) => rows.iter().for_each(|row| values[*row] = f64::NAN),
                PlatformColumn::Category { codes, .. } => rows.iter().for_each(|row| codes[*row] = 0),
            }
        }
    }

    fn keep_case(&self, step: &mut Step, case: &Case) -> Result<(), Failure> {
        let (salt, tag) = (super::random_bytes()?, self.subject_tag(&case.subject));
        let state = serde_json::to_value(case.state).map_err(failure::internal)?;
        let body = Body::Dispute {
            case: case.case.clone(),
            subject: commit("subject", &salt, case.subject.as_bytes()),
            field: case.field.clone(),
            state: state.as_str().unwrap_or_default().into(),
        };
        let entry = step.record(None, self.me(), body);
        self.store.put_opening(entry, &tag, &salt, &case.subject)?;
        self.store.put_dispute(case.number, &tag, case)
    }

    /// The data sets that hold the value, with the right one in its place.
    fn corrected(&self, case: &Case, value: &str) -> Result<Vec<(DatasetInfo, Dataset)>, Failure> {
        let mut changed = Vec::new();
        for mut info in self.store.datasets()?.iter().cloned() {
            let mut dataset = self.store.dataset(&info.name)?;
            let rows = dataset.rows_of(&case.subject);
            let column = dataset.columns.iter_mut().find(|column| column.name == case.field);
            let (false, Some(column)) = (rows.is_empty(), column) else { continue };
            for row in rows {
                put_value(&mut column.values, row, value).map_err(|expected| {
                    failure::usage(format!("`{value}` is no value of field `{}`: expected {expected}", case.field))
                })?;
            }
            info.commitment = dataset.commitment(&self.keys.storage().derive("dataset-salt", &[]));
            changed.push((info, dataset));
        }
        if changed.is_empty() {
            return Err(failure::data(format!("no data set here holds field `{}` of this enterprise", case.field)));
        }
        Ok(changed)
    }

    /// Tells every bank that used the old value, or was offered it; scores are given again where consent still allows it.
    fn tell_of(&mut self, step: &mut Step, case: &Case) -> Result<Vec<String>, Failure> {
        let tag = self.subject_tag(&case.subject);
        let mut told: BTreeMap<String, Correction> = BTreeMap::new();
        let blank = || Correction {
            case: case.case.clone(),
            subject: case.subject.clone(),
            field: case.field.clone(),
            sessions: Vec::new(),
            scores: Vec::new(),
        };
        for record in self.store.sessions()? {
            let contract = self.contract_of(&record)?;
            if !self.fields_read(contract.terms()).contains(&case.field.as_str()) {
                continue;
            }
            for (bank, entry) in &record.clearances {
                let of = |consent: &_| self.register.subject(consent) == Some(case.subject.as_str());
                if self.store.used_by(*entry)?.iter().any(of) {
                    told.entry(bank.clone()).or_insert_with(blank).sessions.push(record.session.clone());
                }
            }
        }
        for (request, consent, given) in self.store.scores_of::<Given>(&tag)? {
            let correction = told.entry(given.bank.clone()).or_insert_with(blank);
            // A bank that asked twice under one name is told once.
            if correction.scores.iter().any(|(told, _)| *told == request) {
                continue;
            }
            let Some(cleared) = self.still_cleared(&given, consent, step.now)? else { continue };
            correction.scores.extend(self.platform_part(&given.session, &cleared).map(|outcome| (request, outcome)));
        }
        let banks = told.keys().cloned().collect();
        for (bank, correction) in told {
            self.write(step, &bank, "", MessageKind::Correction, "score", correction.encode())?;
        }
        Ok(banks)
    }

    /// Whether a score that was given may be given again: its consent is in force, used up or not.
    fn still_cleared(&self, given: &Given, consent: Digest, time: i64) -> Result<Option<Cleared<String>>, Failure> {
        let record = self.known_session(&given.session)?;
        let contract = self.contract_of(&record)?;
        let fields = self.fields_read(contract.terms());
        let question = Question {
            purpose: given.purpose,
            consent: Some(consent),
            as_of: self.day_of_data(contract.terms()),
            ..self.question(contract.terms(), &given.bank, &fields, given.form, time)?
        };
        let clearance = self.clearance_under(&contract.terms().list)?;
        Ok(clearance.again(&given.subject, &question).map(|cleared| cleared.map(str::to_owned)))
    }
}

/// Puts a value given as text into a column; the error says what was expected.
fn put_value(values: &mut Values, row: usize, text: &str) -> Result<(), String> {
    match values {
        Values::Numeric(numbers) => {
            let number: f64 = text.parse().map_err(|_| "a number".to_owned())?;
            if !number.is_finite() {
                return Err("a finite number".into());
            }
            numbers[row] = number;
        }
        Values::Category { codes, values } => {
            let place = values.iter().position(|value| value == text).ok_or_else(|| values.join(", "))?;
            codes[row] = u16::try_from(place + 1).map_err(|_| values.join(", "))?;
        }
    }
    Ok(())
}
