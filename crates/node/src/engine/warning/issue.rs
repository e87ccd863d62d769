//! Platform: a run compares what is with what was, and issues warnings.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tally_audit::Body;
use tally_crypto::transcript::{Digest, commit};
use tally_data::Dataset;
use tally_policy::{Cleared, Day};
use tally_protocol::scoring::ScoreOutcome;
use tally_protocol::session::PlatformColumn;
use tally_protocol::warning::{Change, Event, Rule, Rules, Snapshot, Source};

use super::super::step::Step;
use super::super::{Engine, now, platform_column};
use super::{CORRECTED, Issued, LAST_RUN};
use crate::failure::{self, Failure, unless_fatal};
use crate::store::{ModelState, StoredWarning, WarningState};

/// Name of the column that holds the platform's points.
const POINTS: &str = "points";

/// What a run has come to.
#[derive(Default)]
struct Run {
    issued: BTreeMap<String, u64>,
    /// Rules that could not be asked, and why.
    withheld: BTreeMap<String, String>,
    /// Sources that were seen for the first time.
    first: Vec<String>,
    banks: BTreeSet<String>,
}

/// What rules of one source are asked of.
struct Asked<'a> {
    source: &'a str,
    column: &'a str,
    fields: &'a [&'a str],
    day: Day,
    rules: u32,
}

impl Engine {
    /// Compares the data with what they were, in one step.
    pub(super) fn run_warnings(&mut self) -> Result<Value, Failure> {
        let rules = self.approved_rules()?;
        let info = self.known_dataset(&rules.dataset)?;
        let dataset = self.store.dataset(&info.name)?;
        let run = self.step(|engine, step| {
            let mut run = Run::default();
            engine.compare_fields(step, &rules, &dataset, &mut run)?;
            engine.compare_points(step, &rules, &mut run)?;
            engine.store.put_warning_baseline(LAST_RUN, &step.now)?;
            let issued = run.issued.values().sum();
            let me = engine.me().to_owned();
            step.record(None, &me, Body::WarningRun { rules: rules.version, data: info.commitment, issued });
            Ok(run)
        })?;
        self.warnings.last_run = now();
        self.warnings.waiting.extend(run.banks);
        Ok(json!({
            "rules": rules.version,
            "as_of": day_of(&dataset)?,
            "issued": run.issued.values().sum::<u64>(),
            "by_rule": run.issued,
            "withheld": run.withheld,
            "first": run.first,
        }))
    }

    /// Rules over fields.
    fn compare_fields(&self, step: &mut Step, rules: &Rules, dataset: &Dataset, run: &mut Run) -> Result<(), Failure> {
        let source = format!("dataset/{}", dataset.name);
        let rows = current(dataset);
        let known = rules.fields().into_iter().filter(|field| dataset.column(field).is_some());
        let columns = known.map(|field| Ok((field.to_owned(), platform_column(dataset, field, &rows)?)));
        let subjects = rows.iter().map(|&row| dataset.identifiers[row].clone()).collect();
        let snapshot = Snapshot { day: day_of(dataset)?, subjects, columns: columns.collect::<Result<_, Failure>>()? };
        let held = self.under_objection();
        let held = |subject: &str, field: &str| held.contains(&(subject, field));
        let Some((before, after)) = self.next_baseline(&source, snapshot, held, run)? else { return Ok(()) };
        let Some(change) = Change::between(&before, &after) else { return Ok(()) };
        let moved = change.moved();
        for rule in &rules.rules {
            let Some(field) = rule.field() else { continue };
            if after.column(field).is_none() {
                run.withheld.insert(rule.id.clone(), format!("data set `{}` has no field `{field}`", dataset.name));
                continue;
            }
            let asked =
                Asked { source: &source, column: field, fields: &[field], day: after.day, rules: rules.version };
            for bank in self.watchers() {
                let question = self.watching(&bank, asked.fields, asked.day, step.now);
                let rows = moved.iter().map(|&row| (row, after.subjects[row].as_str()));
                match self.watchdog()?.without_use().rows(&question, rows, |(_, subject)| subject) {
                    Ok((cleared, _)) => {
                        let events = change.events(rule, field, &cleared.map_rows(|(row, _)| row));
                        self.issue(step, rule, &bank, &asked, events, run)?;
                    }
                    Err(condition) => {
                        run.withheld.insert(rule.id.clone(), format!("the sharing list forbids it: {condition}"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Rules over points, model by model.
    fn compare_points(&self, step: &mut Step, rules: &Rules, run: &mut Run) -> Result<(), Failure> {
        let mut models: BTreeMap<String, Vec<&Rule>> = BTreeMap::new();
        for rule in &rules.rules {
            let Source::Points(named) = &rule.of else { continue };
            match unless_fatal(self.watching_model(named))? {
                Ok(session) => models.entry(session).or_default().push(rule),
                Err(failure) => drop(run.withheld.insert(rule.id.clone(), failure.message)),
            }
        }
        for (session, of_model) in models {
            self.compare_model(step, &session, rules.version, &of_model, run)?;
        }
        Ok(())
    }

    /// Scores again everyone whom some bank of the session may watch.
    fn compare_model(
        &self,
        step: &mut Step,
        session: &str,
        version: u32,
        rules: &[&Rule],
        run: &mut Run,
    ) -> Result<(), Failure> {
        let record = self.known_session(session)?;
        let contract = self.contract_of(&record)?;
        let dataset = self.store.dataset(record.dataset.as_deref().unwrap_or_default())?;
        let fields = self.fields_read(contract.terms());
        let day = day_of(&dataset)?;
        let clearance = self.watchdog()?.without_use();
        let rows = current(&dataset);
        let mut points: BTreeMap<&str, f64> = BTreeMap::new();
        let mut watched = Vec::new();
        for bank in contract.terms().banks() {
            let question = self.watching(&bank.name, &fields, day, step.now);
            if let Err(condition) = clearance.fields(&question) {
                let why = format!("the sharing list forbids it: {condition}");
                run.withheld.extend(rules.iter().map(|rule| (rule.id.clone(), why.clone())));
                return Ok(());
            }
            let mut own = Vec::new();
            for &row in &rows {
                let subject = dataset.identifiers[row].as_str();
                // Most enterprises have consented to none of this bank's purposes: a look-up tells.
                if !self.register.holds(subject, &bank.name) {
                    continue;
                }
                let Ok(cleared) = clearance.subject(subject, &question) else { continue };
                let cleared = cleared.map(str::to_owned);
                if !points.contains_key(subject) {
                    points.insert(subject, self.points_for_watching(session, &cleared));
                }
                own.push((subject, cleared));
            }
            watched.push((bank.name.as_str(), own));
        }
        let source = format!("points/{session}");
        let column = PlatformColumn::Numeric(points.values().copied().collect());
        let subjects: Vec<String> = points.keys().map(|subject| (*subject).to_owned()).collect();
        let places: BTreeMap<&str, usize> = points.keys().copied().zip(0..).collect();
        let snapshot = Snapshot { day, subjects, columns: vec![(POINTS.into(), column)] };
        let Some((before, after)) = self.next_baseline(&source, snapshot, |_, _| false, run)? else { return Ok(()) };
        let Some(change) = Change::between(&before, &after) else { return Ok(()) };
        let asked = Asked { source: &source, column: POINTS, fields: &fields, day, rules: version };
        for (bank, own) in watched {
            let rows = own.into_iter().filter_map(|(subject, cleared)| Some((*places.get(subject)?, cleared)));
            let rows = Cleared::join(rows).map(|rows| rows.into_keys().collect::<Vec<_>>());
            for rule in rules {
                self.issue(step, rule, bank, &asked, change.events(rule, POINTS, &rows), run)?;
            }
        }
        Ok(())
    }

    /// The platform's points; not known while a field is under objection, so that the points of before stand.
    fn points_for_watching(&self, session: &str, subject: &Cleared<String>) -> f64 {
        match self.platform_part(session, subject) {
            Some(ScoreOutcome::Scored { points, withheld, .. }) if withheld.is_empty() => points as f64,
            _ => f64::NAN,
        }
    }

    /// The session of the scorecard that rules name.
    fn watching_model(&self, named: &str) -> Result<String, Failure> {
        let record = self.find_model((named != "champion").then_some(named))?;
        if record.state == ModelState::Retired {
            return Err(failure::refused(format!("model {} is retired", record.model)));
        }
        if record.algorithm != "scorecard" {
            return Err(failure::refused(format!(
                "model {} is no scorecard: the platform knows no part of its scores",
                record.model
            )));
        }
        if !self.models.contains_key(&record.session) {
            return Err(failure::refused(format!("model {} does not serve", record.model)));
        }
        Ok(record.session)
    }

    /// Puts what is known now in the place of what was known; both, unless there was nothing, or the data are older than that.
    fn next_baseline(
        &self,
        source: &str,
        snapshot: Snapshot,
        held: impl Fn(&str, &str) -> bool,
        run: &mut Run,
    ) -> Result<Option<(Snapshot, Snapshot)>, Failure> {
        let before: Option<Snapshot> = self.store.warning_baseline(source)?;
        if before.as_ref().is_some_and(|before| snapshot.day < before.day) {
            return Ok(None);
        }
        let after = snapshot.known(before.as_ref(), held);
        self.store.put_warning_baseline(source, &after)?;
        if before.is_none() {
            run.first.push(source.into());
        }
        Ok(before.map(|before| (before, after)))
    }

    /// Banks that enterprises may let watch.
    fn watchers(&self) -> Vec<String> {
        let others = self.registry.parties.iter().filter(|party| party.name != self.me());
        others.map(|party| party.name.clone()).collect()
    }

    /// Keeps warnings for a bank; one that was issued before is not issued again, unless it was called back.
    fn issue(
        &self,
        step: &mut Step,
        rule: &Rule,
        bank: &str,
        asked: &Asked<'_>,
        events: Vec<Event<'_>>,
        run: &mut Run,
    ) -> Result<(), Failure> {
        let key = self.keys.storage().derive("warning-id", &[]);
        for event in events {
            let Some(id) = self.free_name(|recalled| event.id(&key, bank, asked.day, recalled))? else { continue };
            let (salt, tag) = (super::super::random_bytes()?, self.subject_tag(event.subject));
            let body = Body::WarningIssue {
                warning: id,
                grantee: bank.into(),
                subject: commit("subject", &salt, event.subject.as_bytes()),
                rule: rule.id.clone(),
                severity: rule.severity.to_string(),
            };
            let entry = step.record(None, self.me(), body);
            self.store.put_opening(entry, &tag, &salt, event.subject)?;
            let what = Issued {
                subject: event.subject.into(),
                severity: rule.severity,
                text: rule.text.clone(),
                rules: asked.rules,
                day: asked.day,
                issued: step.now,
                expires: asked.day.begins() + i64::from(rule.days) * Day::MILLISECONDS,
                fields: asked.fields.iter().map(|field| (*field).to_owned()).collect(),
                source: asked.source.into(),
                column: asked.column.into(),
                before: event.before.into_owned(),
                delivered: None,
                dropped: None,
            };
            let (bank, rule, state) = (bank.to_owned(), rule.id.clone(), WarningState::Pending);
            *run.issued.entry(rule.clone()).or_default() += 1;
            run.banks.insert(bank.clone());
            self.store.put_warning(&StoredWarning {
                id,
                bank,
                rule,
                state,
                subject: tag,
                consent: Digest::default(),
                what,
            })?;
        }
        Ok(())
    }

    /// The name of a warning by how many of the same event were called back before; `None` if one of them stands.
    fn free_name(&self, name: impl Fn(u32) -> Digest) -> Result<Option<Digest>, Failure> {
        let mut recalled = 0;
        loop {
            let id = name(recalled);
            match self.store.warning::<Issued>(&id)? {
                None => return Ok(Some(id)),
                Some(kept) if kept.what.dropped.as_deref() == Some(CORRECTED) => recalled += 1,
                Some(_) => return Ok(None),
            }
        }
    }
}

/// Rows of today: with cohorts those of the latest one.
fn current(dataset: &Dataset) -> Vec<usize> {
    let latest = dataset.days().last().copied();
    (0..dataset.rows()).filter(|row| dataset.cohort(*row) == latest).collect()
}

/// The day that they are of.
fn day_of(dataset: &Dataset) -> Result<Day, Failure> {
    match dataset.days().last() {
        Some(day) => Ok(*day),
        None => dataset.as_of.parse().map_err(failure::internal),
    }
}
