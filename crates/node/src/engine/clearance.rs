//! What enters a session: only rows and fields that the sharing list and consents in force allow.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::json;
use tally_crypto::transcript::{Digest, commit};
use tally_data::{Dataset, Values};
use tally_model::Column;
use tally_policy::clearance::Denied;
use tally_policy::{Cleared, Form, Purpose, Question};
use tally_protocol::session::{BankData, Contract, Holder, PlatformColumn, PlatformData, SampleTerms, SealedContract};

use super::sample::{capped, check_cohorts, cohorts, columns_apart, matured, numbers, of_cohorts, sampled};
use super::statistics::{fitting_one, of_the_day};
use super::step::Step;
use super::{Engine, book};
use crate::failure::{self, Failure};
use crate::store::{DatasetInfo, SessionRecord};

/// A decision about one applicant, or code and words of the condition that failed.
pub(super) type Decision = Result<Cleared<String>, (String, String)>;

/// What an applicant is asked about for.
pub(super) struct Application<'a> {
    pub(super) grantee: &'a str,
    pub(super) session: &'a str,
    pub(super) subject: &'a str,
    pub(super) purpose: Purpose,
    pub(super) application: Option<Digest>,
    /// The only consent that counts, where one is named.
    pub(super) consent: Option<Digest>,
    /// The form in which the answer tells of the fields.
    pub(super) form: Form,
}

impl Engine {
    /// The platform's cleared rows for every bank of a session.
    pub(super) fn platform_data(
        &mut self,
        step: &mut Step,
        record: &mut SessionRecord,
    ) -> Result<Cleared<PlatformData>, Failure> {
        let contract = self.contract_of(record)?;
        let terms = contract.terms();
        if terms.is_statistics() {
            let nothing = PlatformData { identifiers: Vec::new(), columns: Vec::new(), consented: BTreeMap::new() };
            return Ok(Cleared::own(nothing));
        }
        self.check_list(terms)?;
        self.check_snapshot(&terms.snapshot)?;
        let dataset = self.store.dataset(&terms.snapshot.dataset)?;
        check_cohorts(&dataset.name, &dataset.days(), terms)?;
        let everyone = of_cohorts(&dataset, terms);
        let mut cleared = Vec::new();
        for bank in terms.banks() {
            let rows = self.clear(step, record, terms, (&dataset, &everyone), &bank.name)?;
            cleared.push((bank.name.clone(), rows));
        }
        let cleared = Cleared::join(cleared);
        let offered: BTreeSet<usize> = cleared.values().flatten().copied().collect();
        let input = json!({ "rows": dataset.rows(), "consented": offered.len() });
        self.store.put_result(&record.session, "input", input.to_string().as_bytes())?;
        let data = cleared.try_map(|rows| platform_rows(&dataset, terms, &rows))?.map(|mut data| {
            self.withhold(terms, &mut data);
            data
        });
        self.disclose(step, record, terms, &dataset, &data)?;
        Ok(data)
    }

    /// A bank's cleared rows.
    pub(super) fn bank_data(
        &mut self,
        step: &mut Step,
        record: &mut SessionRecord,
    ) -> Result<Cleared<BankData>, Failure> {
        let contract = self.contract_of(record)?;
        let terms = contract.terms();
        self.check_list(terms)?;
        let dataset = self.store.dataset(record.dataset.as_deref().unwrap_or_default())?;
        if terms.is_statistics() {
            return self.statistics_data(step, record, terms, &dataset);
        }
        let me = self.me().to_owned();
        matured(&dataset.name, &dataset.as_of, terms)?;
        check_cohorts(&dataset.name, &dataset.days(), terms)?;
        self.check_sample(record, terms)?;
        let sample = sampled(&dataset, terms)?;
        let rows = self.clear(step, record, terms, (&dataset, &sample.rows), &me)?;
        let input = json!({ "rows": dataset.rows(), "excluded": sample.excluded, "consented": rows.len() });
        self.store.put_result(&record.session, "input", input.to_string().as_bytes())?;
        rows.try_map(|rows| bank_rows(&dataset, &contract, &rows))
    }

    /// Two sums over almost the same rows show the few between them: over one version of the data, every session takes and
    /// holds out the same rows, or its sums carry noise.
    pub(super) fn check_sample(&self, record: &SessionRecord, terms: &Contract) -> Result<(), Failure> {
        if terms.noise.is_some() {
            return Ok(());
        }
        let released = self.store.releases(&record.data_version.unwrap_or_default())?;
        let others: BTreeSet<_> = released.into_iter().map(|(session, _)| session).collect();
        for session in others.iter().filter(|session| **session != record.session) {
            let other = self.contract_of(&self.known_session(session)?)?;
            if terms.is_statistics() || other.terms().is_statistics() {
                self.check_cells(session, terms, other.terms())?;
                continue;
            }
            if let Some(field) = terms.model.cut_otherwise(&other.terms().model) {
                return Err(failure::refused(format!(
                    "session {session} over the same data has other `cuts` or `special` values of field `{field}`: the difference of \
                     both would show the rows between the cuts; propose the same ones, or import newer data first"
                )));
            }
            if !SampleTerms::same_rows(terms.sample.as_ref(), other.terms().sample.as_ref()) {
                return Err(failure::refused(format!(
                    "session {session} took or held out other rows of the same data: sums over both would show the rows \
                     between them; propose the same sample, or import newer data first"
                )));
            }
        }
        Ok(())
    }

    fn clear(
        &mut self,
        step: &mut Step,
        record: &mut SessionRecord,
        terms: &Contract,
        (dataset, rows): (&Dataset, &[usize]),
        grantee: &str,
    ) -> Result<Cleared<Vec<usize>>, Failure> {
        let (cleared, denied) = self.cleared_rows(terms, (dataset, rows), grantee, step.now)?;
        let data = record.data_version.unwrap_or_default();
        let entry = step.record(Some(&record.session), self.me(), book::clearance(grantee, &cleared, &denied, data));
        let mut used = BTreeMap::<&Digest, u64>::new();
        cleared.consents().iter().for_each(|consent| *used.entry(consent).or_default() += 1);
        for (consent, rows) in used {
            self.use_consent(step, consent, entry, rows)?;
        }
        record.clearances.insert(grantee.into(), entry);
        Ok(cleared)
    }

    /// The rows whose enterprises allow the use at a time, in their order, each asked about as data of its cohort, and how
    /// many do not allow it, by reason.
    pub(super) fn cleared_rows(
        &self,
        terms: &Contract,
        (dataset, rows): (&Dataset, &[usize]),
        grantee: &str,
        time: i64,
    ) -> Result<(Cleared<Vec<usize>>, Denied), Failure> {
        let fields = self.fields_read(terms);
        let question = self.question(terms, grantee, &fields, Form::Binned, time)?;
        let clearance = self.clearance_under(&terms.list)?;
        let (mut parts, mut denied) = (Vec::new(), Denied::new());
        for question in of_each_day(&question, terms) {
            let of_day = rows.iter().filter(|row| dataset.cohort(**row).is_none_or(|day| question.as_of == Some(day)));
            let named = of_day.map(|&row| (row, dataset.identifiers[row].as_str()));
            let (cleared, out) = clearance
                .rows(&question, named, |(_, subject): &(usize, &str)| subject)
                .map_err(|condition| failure::refused(format!("the sharing list forbids it: {condition}")))?;
            out.into_iter().for_each(|(code, count)| *denied.entry(code).or_default() += count);
            parts.push((question.as_of, cleared.map_rows(|(row, _)| row)));
        }
        let cleared = Cleared::join(parts).map(|parts| {
            let mut rows: Vec<_> = parts.into_values().flatten().collect();
            rows.sort_unstable();
            rows
        });
        Ok((cleared, denied))
    }

    /// The platform's fields of a contract: what this node reads or, at a bank, gets to read.
    pub(super) fn fields_read<'a>(&self, terms: &'a Contract) -> Vec<&'a str> {
        terms.fields_of(Holder::Platform).map(|field| field.name.as_str()).collect()
    }

    /// What a session asks of the consents to a bank.
    pub(super) fn question<'a>(
        &self,
        terms: &'a Contract,
        grantee: &'a str,
        fields: &'a [&'a str],
        form: Form,
        time: i64,
    ) -> Result<Question<'a>, Failure> {
        let platform = terms.platform().ok_or_else(|| failure::internal("a contract without a platform"))?;
        Ok(Question {
            grantee,
            provider: &platform.name,
            purpose: terms.purpose,
            fields,
            form,
            // Only codes add up to a vector.
            vector: if form == Form::Binned { self.vector_held(terms, grantee, fields)? } else { 0 },
            as_of: Some(terms.snapshot.as_of),
            application: None,
            consent: None,
            time,
        })
    }

    /// One use, however many rows it is of; what the same step decides next sees it.
    pub(super) fn use_consent(
        &mut self,
        step: &mut Step,
        consent: &Digest,
        entry: u64,
        rows: u64,
    ) -> Result<(), Failure> {
        step.count_use(self.register.count_use(consent, 1, step.now));
        self.store.count_use(consent, entry, rows, step.now)
    }

    /// Decides about one applicant and logs the decision, under whose entry the caller counts the use, if there is one.
    pub(super) fn decide(
        &mut self,
        step: &mut Step,
        terms: &Contract,
        asked: &Application<'_>,
    ) -> Result<(Decision, u64), Failure> {
        let fields = self.fields_read(terms);
        let question = Question {
            purpose: asked.purpose,
            application: asked.application,
            consent: asked.consent,
            as_of: self.day_of_data(terms),
            ..self.question(terms, asked.grantee, &fields, asked.form, step.now)?
        };
        let decision = self.clearance_under(&terms.list)?.subject(asked.subject, &question);
        let salt = super::random_bytes()?;
        let consent = decision.as_ref().ok().and_then(|cleared| cleared.consents().first()).copied();
        let body = tally_audit::Body::Decision {
            grantee: asked.grantee.into(),
            purpose: asked.purpose.to_string(),
            subject: commit("subject", &salt, asked.subject.as_bytes()),
            allow: decision.is_ok(),
            failed: decision.as_ref().err().map(|condition| condition.code().into()),
            consent: consent.map(|consent| commit("consent", &salt, consent.as_bytes())),
            list: terms.list.version,
        };
        let entry = step.record(Some(asked.session), self.me(), body);
        self.store.put_opening(entry, &self.subject_tag(asked.subject), &salt, asked.subject)?;
        let decision = decision
            .map(|cleared| cleared.map(str::to_owned))
            .map_err(|condition| (condition.code().into(), condition.to_string()));
        Ok((decision, entry))
    }

    /// A bank's data set for a session: the one that is named, or the only one with labels.
    pub(super) fn choose_dataset(&self, record: &SessionRecord, named: Option<String>) -> Result<String, Failure> {
        let contract = self.contract_of(record)?;
        let statistics = contract.terms().is_statistics();
        let takes = |info: &DatasetInfo| info.labelled || statistics;
        let mut labelled: Vec<_> = self.store.datasets()?.iter().filter(|info| takes(info)).cloned().collect();
        let info = match named {
            Some(name) => labelled.into_iter().find(|info| info.name == name).ok_or_else(|| {
                failure::data(format!("there is no labelled data set `{name}` here: see `tallystick dataset show`"))
            })?,
            None if statistics => fitting_one(labelled, contract.terms())?,
            None if labelled.len() > 1 => {
                return Err(failure::usage("there are several data sets: choose with --dataset"));
            }
            None => labelled.pop().ok_or_else(|| {
                failure::data("there is no labelled data set here: import it with `tallystick dataset import`")
            })?,
        };
        for terms in contract.terms().fields_of(Holder::Banks) {
            let fits = info.dictionary.field(&terms.name).is_some_and(|field| field.kind.values() == terms.categories);
            if !fits {
                let text = format!(
                    "data set `{}` does not have the field `{}` as the contract has it: import it again with the \
                     contract's dictionary",
                    info.name, terms.name
                );
                return Err(failure::data(text));
            }
        }
        for name in columns_apart(contract.terms()) {
            if info.dictionary.field(name).is_none_or(|field| !field.kind.values().is_empty()) {
                let text =
                    format!("data set `{}` has no column of numbers `{name}`, which the contract needs", info.name);
                return Err(failure::data(text));
            }
        }
        of_the_day(&info.name, &info.as_of, contract.terms())?;
        matured(&info.name, &info.as_of, contract.terms())?;
        check_cohorts(&info.name, &info.cohorts, contract.terms())?;
        Ok(info.name)
    }
}

/// A question about data of each day that a contract has rows of.
pub(super) fn of_each_day<'a>(question: &Question<'a>, terms: &Contract) -> Vec<Question<'a>> {
    match cohorts(terms) {
        [] => vec![question.clone()],
        days => days.iter().map(|day| Question { as_of: Some(*day), ..question.clone() }).collect(),
    }
}

/// What the platform brings to a session: the rows of any bank's clearance, once each.
pub(crate) fn platform_rows(
    dataset: &Dataset,
    terms: &Contract,
    cleared: &BTreeMap<String, Vec<usize>>,
) -> Result<PlatformData, Failure> {
    let offered: BTreeSet<usize> = cleared.values().flatten().copied().collect();
    let offered: Vec<_> = offered.into_iter().collect();
    let place: HashMap<_, _> = offered.iter().copied().zip(0u32..).collect();
    let columns = terms
        .fields_of(Holder::Platform)
        .map(|field| platform_column(dataset, &field.name, &offered))
        .collect::<Result<_, Failure>>()?;
    let consented = |(bank, rows): (&String, &Vec<usize>)| (bank.clone(), rows.iter().map(|row| place[row]).collect());
    Ok(PlatformData {
        identifiers: offered.iter().map(|&row| dataset.key(row).into_owned()).collect(),
        columns,
        consented: cleared.iter().map(consented).collect(),
    })
}

/// One field of the platform's data set over some rows.
pub(crate) fn platform_column(dataset: &Dataset, name: &str, rows: &[usize]) -> Result<PlatformColumn, Failure> {
    match dataset.column(name) {
        Some(Values::Numeric(values)) => Ok(PlatformColumn::Numeric(rows.iter().map(|&row| values[row]).collect())),
        Some(Values::Category { codes, values }) => {
            Ok(PlatformColumn::Category { codes: rows.iter().map(|&row| codes[row]).collect(), values: values.clone() })
        }
        None => Err(failure::data(format!("data set `{}` has no field `{name}`", dataset.name))),
    }
}

/// What a bank brings to a session.
pub(crate) fn bank_rows(dataset: &Dataset, contract: &SealedContract, rows: &[usize]) -> Result<BankData, Failure> {
    let label = dataset.label.as_ref();
    let label = label.ok_or_else(|| failure::data(format!("data set `{}` has no labels", dataset.name)))?;
    let column = |name: &str| match dataset.column(name) {
        Some(Values::Numeric(values)) => Ok(Column::Values(rows.iter().map(|&row| values[row]).collect())),
        Some(Values::Category { codes, .. }) => Ok(Column::Codes(rows.iter().map(|&row| codes[row]).collect())),
        None => Err(failure::data(format!("data set `{}` has no field `{name}`", dataset.name))),
    };
    let terms = contract.terms();
    let fields = terms.fields_of(Holder::Banks).map(|field| column(&field.name)).collect::<Result<_, _>>()?;
    let rule = terms.sample.as_ref().map(|sample| sample.holdout.clone()).unwrap_or_default();
    let times = rule.column().map(|column| numbers(dataset, column)).transpose()?;
    let time = |row: usize| times.map_or(f64::NAN, |times| times[row]);
    Ok(BankData {
        identifiers: rows.iter().map(|&row| dataset.key(row).into_owned()).collect(),
        label: rows.iter().map(|&row| label[row]).collect(),
        columns: fields,
        // By the enterprise alone: all its cohorts are on one side.
        holdout: rows.iter().map(|&row| rule.holds_out(&dataset.identifiers[row], time(row))).collect(),
        weight: capped(dataset, terms.model.rows.weight.as_ref(), rows, 0.0)?,
        offset: capped(dataset, terms.model.rows.offset.as_ref(), rows, -1.0)?,
    })
}
