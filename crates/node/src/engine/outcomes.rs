//! Outcomes of loans: recorded at a bank, told to the platform where the enterprise allows it.
//!
//! Both sides decide by their own register and list, count the use, and write into their log before anything leaves or is
//! kept. A bank tells again what has changed since, what the platform did not take in, and what it has not answered.

mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tally_audit::Body;
use tally_crypto::merkle::{Frontier, leaf_hash};
use tally_crypto::transcript::{Digest, Transcript, commit};
use tally_data::{CsvForm, LoanOutcome, WrongRow, read_outcomes};
use tally_model::outcome::{LoanState, amount_band, rate_band};
use tally_policy::{Clearance, Day, Form, Purpose, Question};
use tally_protocol::kind::MessageKind;
use tally_protocol::outcome::{self, Coded, OutcomeReceipt, OutcomeReport, Reported};

use super::step::Step;
use super::{Engine, book, now};
use crate::config::check_name;
use crate::failure::{self, Failure};
use crate::store::Record;

/// What a bank keeps of an application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Recorded {
    /// As of the latest day.
    pub(super) latest: LoanOutcome,
    /// The loan's state on each day that is known.
    pub(super) states: BTreeMap<Day, LoanState>,
    /// What the platform was told last.
    told: Option<Told>,
}

/// Name of the record of reports that the platform has not answered, beside the results of sessions.
const UNANSWERED: &str = "unanswered-outcomes";

/// An outcome that has left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Told {
    report: String,
    /// The name of the application that was told; of those from before names were keyed, the digest of its number.
    #[serde(default)]
    application: Option<Digest>,
    time: i64,
    coded: Coded,
    /// Code of the condition under which the platform did not take it in.
    refused: Option<String>,
}

/// What the platform keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Taken {
    bank: String,
    time: i64,
    coded: Coded,
}

impl Record for Recorded {
    const TYPE: &'static str = "outcome-recorded";
}

impl Record for Taken {
    const TYPE: &'static str = "outcome-taken";
}

/// What became of the rows that one decision was about: allowed places with their consents, and the others by condition.
#[derive(Default)]
struct Decided {
    allowed: Vec<(usize, Digest)>,
    refused: Vec<(usize, &'static str)>,
    basis: Digest,
    list: u32,
}

impl Engine {
    /// Bank: reads outcomes from a file. Wrong rows are named and left out; the others are taken in together.
    pub(super) fn import_outcomes(&mut self, path: &Path, form: &CsvForm) -> Result<Value, Failure> {
        if self.is_platform() {
            return Err(failure::usage("outcomes are imported at the bank that gave the loans"));
        }
        // Clocks are UTC here: today is what has begun anywhere.
        let today = Day::of(now() + Day::MILLISECONDS / 2);
        let file = read_outcomes(path, form, self.identifier_kind()?, today).map_err(failure::data)?;
        let mut wrong = file.wrong;
        let rows = file.outcomes.len() + wrong.len();
        let counts = self.step(|engine, step| engine.take_in_outcomes(step, file.outcomes, &mut wrong))?;
        wrong.sort_unstable();
        let [new, changed, known, scored] = counts;
        Ok(json!({
            "rows": rows, "new": new, "changed": changed, "known": known, "with_score": scored, "wrong": wrong,
        }))
    }

    /// The lines that name a score of their own enterprise, and of what other lines name the scores that are kept here.
    fn scores_named(&self, outcomes: &[(u64, LoanOutcome)]) -> Result<(BTreeSet<u64>, BTreeSet<String>), Failure> {
        let (mut own, mut others) = (BTreeSet::new(), BTreeSet::new());
        for (line, outcome) in outcomes {
            let Some(request) = outcome.request.as_deref() else { continue };
            if self.store.is_score_of(request, &self.subject_tag(&outcome.subject))? {
                own.insert(*line);
            } else {
                others.insert(request);
            }
        }
        Ok((own, self.store.kept_scores(&others)?))
    }

    /// Counts of new, changed and known applications, and of those whose score is here.
    fn take_in_outcomes(
        &self,
        step: &mut Step,
        outcomes: Vec<(u64, LoanOutcome)>,
        wrong: &mut Vec<WrongRow>,
    ) -> Result<[u64; 4], Failure> {
        let [mut new, mut changed, mut known, mut scored] = [0; 4];
        let mut root = Frontier::default();
        let salt: [u8; 16] = super::random_bytes()?;
        let (own, others) = self.scores_named(&outcomes)?;
        for (line, outcome) in outcomes {
            let name = self.name_here(&outcome.application);
            let before: Option<Recorded> = self.store.outcome(&name)?;
            let after = match follow(before.as_ref(), &outcome) {
                Ok(after) => after,
                Err(reason) => {
                    wrong.push(WrongRow { line, column: Some("id".into()), reason });
                    continue;
                }
            };
            if own.contains(&line) {
                scored += 1;
            } else if outcome.request.as_ref().is_some_and(|request| others.contains(request)) {
                let reason = "is the score of another enterprise: correct the request or the identifier".into();
                wrong.push(WrongRow { line, column: Some("request".into()), reason });
                continue;
            }
            match &before {
                Some(before) if *before == after => {
                    known += 1;
                    continue;
                }
                Some(_) => changed += 1,
                None => new += 1,
            }
            let bytes = serde_json::to_vec(&outcome).map_err(failure::internal)?;
            root.append(leaf_hash(commit("outcome", &salt, &bytes).as_bytes()));
            self.store.put_outcome(&name, &self.subject_tag(&after.latest.subject), &Digest::default(), &after)?;
        }
        if new + changed > 0 {
            step.record(None, self.me(), Body::OutcomeImport { rows: new + changed, root: root.root() });
        }
        Ok([new, changed, known, scored])
    }

    /// Counts of what is recorded here, or what is recorded of one application.
    pub(super) fn show_outcomes(&self, application: Option<&str>) -> Result<Value, Failure> {
        if self.is_platform() {
            return self.outcomes_taken();
        }
        if let Some(application) = application {
            let name = self.name_here(application);
            let recorded: Option<Recorded> = self.store.outcome(&name)?;
            let recorded = recorded.ok_or_else(|| {
                failure::data(format!("no outcome of application `{application}`: see `tallystick outcome show`"))
            })?;
            return serde_json::to_value(recorded).map_err(failure::internal);
        }
        let (mut states, mut months) = (BTreeMap::<&str, u64>::new(), BTreeMap::<String, Vintage>::new());
        let (mut applications, mut told, mut refused) = (0u64, 0u64, BTreeMap::<String, u64>::new());
        for recorded in self.store.outcomes::<Recorded>()? {
            applications += 1;
            let state = recorded.latest.loan.as_ref().map_or("declined", |loan| loan.state.name());
            *states.entry(state).or_default() += 1;
            if let Some(loan) = &recorded.latest.loan {
                let vintage = months.entry(loan.start.to_string()[..7].to_owned()).or_default();
                vintage.loans += 1;
                vintage.amount += loan.amount;
                vintage.bad += u64::from(recorded.states.values().any(|state| state.is_bad()));
            }
            match recorded.told {
                Some(Told { refused: Some(code), .. }) => *refused.entry(code).or_default() += 1,
                Some(_) => told += 1,
                None => {}
            }
        }
        Ok(json!({
            "applications": applications, "states": states, "vintages": months, "reported": told,
            "refused_by_platform": refused,
        }))
    }

    /// Platform: counts of what banks have told, by bank and state.
    fn outcomes_taken(&self) -> Result<Value, Failure> {
        let mut banks = BTreeMap::<String, BTreeMap<&str, u64>>::new();
        for taken in self.store.outcomes::<Taken>()? {
            let state = LoanState::coded(taken.coded.state).map_or("declined", LoanState::name);
            *banks.entry(taken.bank).or_default().entry(state).or_default() += 1;
        }
        Ok(json!({ "reported": banks }))
    }

    /// Bank: tells the platform every outcome that has changed since it was told last, of enterprises that allow it.
    pub(super) fn report_outcomes(&mut self, purpose: Purpose) -> Result<Value, Failure> {
        if self.is_platform() {
            return Err(failure::usage("outcomes are reported by banks"));
        }
        let platform = self.registry.parties.iter().find(|party| party.role == "platform");
        let platform = platform.ok_or_else(|| failure::misconfigured("the registry names no platform"))?.name.clone();
        let (recorded, lost): (Vec<Recorded>, _) = (self.store.outcomes()?, self.lost_reports(&platform)?);
        let due: Vec<_> = recorded.into_iter().filter(|one| one.is_due(&lost)).collect();
        let (mut allowed, mut reports) = (0, 0);
        let mut denied = BTreeMap::<&str, u64>::new();
        for chunk in due.chunks(outcome::MOST) {
            let decided = self.step(|engine, step| engine.report(step, &platform, purpose, chunk))?;
            allowed += decided.allowed.len();
            reports += usize::from(!decided.allowed.is_empty());
            decided.refused.iter().for_each(|(_, code)| *denied.entry(code).or_default() += 1);
        }
        Ok(json!({ "due": due.len(), "reported": allowed, "messages": reports, "denied": denied, "to": platform }))
    }

    fn report(
        &mut self,
        step: &mut Step,
        platform: &str,
        purpose: Purpose,
        due: &[Recorded],
    ) -> Result<Decided, Failure> {
        let name = hex::encode(super::random_bytes::<16>()?);
        let me = self.me().to_owned();
        self.outcomes_are_listed(platform, purpose, step.now)?;
        let asked: Vec<_> = due.iter().map(|one| self.reported(platform, one)).collect();
        let decided = self.decide_outcomes(step, platform, &me, purpose, &asked)?;
        self.record_report(step, &name, (&me, platform), purpose, &decided)?;
        if decided.allowed.is_empty() {
            return Ok(decided);
        }
        for (place, _) in &decided.allowed {
            let Reported { application, coded, .. } = &asked[*place];
            let told = Told {
                report: name.clone(),
                application: Some(*application),
                time: step.now,
                coded: *coded,
                refused: None,
            };
            let kept = Recorded { told: Some(told), ..due[*place].clone() };
            let key = self.name_here(&kept.latest.application);
            self.store.put_outcome(&key, &self.subject_tag(&kept.latest.subject), &Digest::default(), &kept)?;
        }
        let mut unanswered = self.unanswered_reports()?;
        unanswered.insert(name.clone());
        self.put_unanswered(&unanswered)?;
        let outcomes = decided.allowed.iter().map(|(place, _)| asked[*place].clone()).collect();
        self.write(
            step,
            platform,
            "",
            MessageKind::Outcome,
            "binned",
            OutcomeReport { report: name, purpose, outcomes }.encode(),
        )?;
        Ok(decided)
    }

    /// Reports that the platform has not answered, though none is on its way: it could not read them, or has no sharing list.
    fn lost_reports(&self, platform: &str) -> Result<BTreeSet<String>, Failure> {
        if self.store.is_under_way(platform, MessageKind::Outcome.name())? {
            Ok(BTreeSet::new())
        } else {
            self.unanswered_reports()
        }
    }

    fn unanswered_reports(&self) -> Result<BTreeSet<String>, Failure> {
        let kept = self.store.result("", UNANSWERED)?;
        kept.map_or_else(|| Ok(BTreeSet::new()), |kept| serde_json::from_slice(&kept).map_err(failure::internal))
    }

    fn put_unanswered(&self, reports: &BTreeSet<String>) -> Result<(), Failure> {
        self.store.put_result("", UNANSWERED, &serde_json::to_vec(reports).map_err(failure::internal)?)
    }

    /// Platform: takes in what a bank tells, as far as this node's own register allows it.
    pub(super) fn take_outcomes(&mut self, step: &mut Step, peer: &str, body: &[u8]) -> Result<(), Failure> {
        let report = OutcomeReport::decode(body)
            .ok_or_else(|| failure::refused(format!("{peer} sent something that is no report of outcomes")))?;
        let me = self.me().to_owned();
        let decided = self.decide_outcomes(step, &me, peer, report.purpose, &report.outcomes)?;
        self.record_report(step, &report.report, (peer, &me), report.purpose, &decided)?;
        for (place, consent) in &decided.allowed {
            let Reported { application, subject, coded, .. } = &report.outcomes[*place];
            let taken = Taken { bank: peer.into(), time: step.now, coded: *coded };
            self.store.put_outcome(
                &self.outcome_name(peer, application),
                &self.subject_tag(subject),
                consent,
                &taken,
            )?;
        }
        let code = |(place, code): &(usize, &str)| (report.outcomes[*place].application, (*code).to_owned());
        let refused = decided.refused.iter().map(code).collect();
        let receipt = OutcomeReceipt { report: report.report, refused };
        self.write(step, peer, "", MessageKind::OutcomeReceipt, "control", receipt.encode())
    }

    /// Bank: the platform has answered; what it did not take in is due again.
    pub(super) fn take_outcome_receipt(&self, peer: &str, body: &[u8]) -> Result<(), Failure> {
        let receipt = OutcomeReceipt::decode(body)
            .ok_or_else(|| failure::refused(format!("{peer} sent something that is no receipt of outcomes")))?;
        let mut unanswered = self.unanswered_reports()?;
        if unanswered.remove(&receipt.report) {
            self.put_unanswered(&unanswered)?;
        }
        for (application, code) in receipt.refused {
            let Some((name, mut recorded)) = self.recorded_under(&application)? else { continue };
            // What was told anew meanwhile has a receipt of its own.
            let Some(told) = recorded.told.as_mut().filter(|told| told.report == receipt.report) else { continue };
            told.refused = Some(if check_name(&code).is_ok() { code } else { "refused".into() });
            let tag = self.subject_tag(&recorded.latest.subject);
            self.store.put_outcome(&name, &tag, &Digest::default(), &recorded)?;
        }
        Ok(())
    }

    /// Bank: what the sharing list does not allow at all is not asked about one by one.
    fn outcomes_are_listed(&self, platform: &str, purpose: Purpose, time: i64) -> Result<(), Failure> {
        let question = question(platform, self.me(), purpose, time);
        Clearance::new(self.sharing_list()?, &self.register).fields(&question).map_err(|condition| {
            failure::refused(format!(
                "the sharing list forbids it: {condition}: ask the list authority to list the fields of outcomes ({})",
                outcome::FIELDS.join(", ")
            ))
        })
    }

    /// Asks the decision point about each outcome.
    fn decide_outcomes(
        &self,
        step: &Step,
        grantee: &str,
        provider: &str,
        purpose: Purpose,
        outcomes: &[Reported],
    ) -> Result<Decided, Failure> {
        let list = self.sharing_list()?;
        let clearance = Clearance::new(list, &self.register);
        let question = question(grantee, provider, purpose, step.now);
        let mut basis = Transcript::new("tallystick/outcomes/v1");
        let mut decided = Decided { list: list.version(), ..Decided::default() };
        for (place, one) in outcomes.iter().enumerate() {
            let asked = Question { application: one.named, ..question.clone() };
            match clearance.subject(&one.subject, &asked) {
                Ok(cleared) => {
                    basis.append(cleared.basis().as_bytes());
                    decided.allowed.extend(cleared.consents().first().map(|consent| (place, *consent)));
                }
                Err(condition) => decided.refused.push((place, condition.code())),
            }
        }
        decided.basis = basis.digest();
        Ok(decided)
    }

    /// Writes a decision into the log and counts the use of each consent that it rests on.
    fn record_report(
        &mut self,
        step: &mut Step,
        report: &str,
        (provider, grantee): (&str, &str),
        purpose: Purpose,
        decided: &Decided,
    ) -> Result<(), Failure> {
        let mut denied = BTreeMap::<String, u64>::new();
        decided.refused.iter().for_each(|(_, code)| *denied.entry((*code).into()).or_default() += 1);
        let body = Body::OutcomeReport {
            report: book::name_of_report(report),
            provider: provider.into(),
            grantee: grantee.into(),
            purpose: purpose.to_string(),
            allowed: decided.allowed.len() as u64,
            denied,
            basis: decided.basis,
            list: decided.list,
        };
        let entry = step.record(None, self.me(), body);
        let mut used = BTreeMap::<Digest, u64>::new();
        decided.allowed.iter().for_each(|(_, consent)| *used.entry(*consent).or_default() += 1);
        for (consent, outcomes) in used {
            self.use_consent(step, &consent, entry, outcomes)?;
        }
        Ok(())
    }

    /// What is recorded about an enterprise, for its own view.
    pub(super) fn outcomes_about(&self, subject: &str) -> Result<Vec<Value>, Failure> {
        let tag = self.subject_tag(subject);
        if self.is_platform() {
            return self.store.outcomes_of::<Taken>(&tag)?.iter().map(shown).collect();
        }
        self.store.outcomes_of::<Recorded>(&tag)?.iter().map(shown).collect()
    }
}

fn shown(outcome: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(outcome).map_err(failure::internal)
}

/// What telling outcomes asks of consents.
fn question<'a>(grantee: &'a str, provider: &'a str, purpose: Purpose, time: i64) -> Question<'a> {
    Question {
        grantee,
        provider,
        purpose,
        fields: &outcome::FIELDS,
        form: Form::Binned,
        vector: outcome::FIELDS.len(),
        as_of: None,
        application: None,
        consent: None,
        time,
    }
}

/// Loans that began in one month.
#[derive(Default, Serialize)]
struct Vintage {
    loans: u64,
    /// Cents of a yuan.
    amount: i64,
    /// Loans that were bad on any day that is known.
    bad: u64,
}

impl Recorded {
    /// Whether the platform knows less than this bank, of whose reports some were lost.
    fn is_due(&self, lost: &BTreeSet<String>) -> bool {
        let known = |told: &Told| told.refused.is_none() && !lost.contains(&told.report);
        self.told.as_ref().is_none_or(|told| !known(told) || told.coded != self.coded())
    }

    fn coded(&self) -> Coded {
        let month = |day: Day| {
            let text = day.to_string();
            let number = |part: &str| part.parse::<u16>().unwrap_or(0);
            number(&text[..4]).saturating_sub(2000).saturating_mul(12).saturating_add(number(&text[5..7])).max(1)
        };
        self.latest.loan.as_ref().map_or_else(Coded::default, |loan| Coded {
            amount: amount_band(loan.amount),
            rate: rate_band(loan.rate),
            start: month(loan.start),
            state: loan.state.code(),
        })
    }
}

/// What is known of an application after a further row; the error says why the row is not of the same application.
fn follow(before: Option<&Recorded>, row: &LoanOutcome) -> Result<Recorded, String> {
    let state = row.loan.as_ref().map(|loan| (row.as_of, loan.state));
    let Some(before) = before else {
        return Ok(Recorded { latest: row.clone(), states: state.into_iter().collect(), told: None });
    };
    if before.latest.subject != row.subject {
        return Err("the application is recorded for another enterprise: correct the number or the identifier".into());
    }
    let mut after = before.clone();
    after.states.extend(state);
    if row.as_of >= before.latest.as_of {
        // A later row without the score's name does not take it away.
        let request = row.request.clone().or_else(|| before.latest.request.clone());
        after.latest = LoanOutcome { request, ..row.clone() };
    }
    if after.latest.loan.is_none() {
        after.states = BTreeMap::new();
    }
    Ok(after)
}
