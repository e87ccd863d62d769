//! What the node tells of itself.

use serde_json::{Value, json};
use tally_model::metrics::Withheld;
use tally_model::metrics::{self, Segment};
use tally_model::text::{Language, Text};
use tally_model::{BankOnly, CoarseCuts, Fitted, Table, Validation, WithinFigures, within_one};
use tally_protocol::session::{Contract, Holder, PlatformHalf, Stage};

use super::Engine;
use super::sessions::{Live, UNREAD_ROWS};
use crate::failure::{self, Failure};
use crate::store::SessionRecord;

impl Engine {
    pub(super) fn status(&self) -> Result<Value, Failure> {
        let traffic = self.link.as_ref().map(tally_net::Link::traffic).unwrap_or_default();
        let list = self.lists.newest().ok().map(tally_policy::SignedList::version);
        Ok(json!({
            "name": self.me(),
            "role": self.config.node.role,
            "peers": self.connected.keys().collect::<Vec<_>>(),
            "bytes_sent": traffic.sent,
            "bytes_received": traffic.received,
            "peak_rss_mib": crate::process::peak_rss_mib(),
            "log_entries": self.ledger.size(),
            "log_published": self.log.size(),
            "sharing_list": list,
            "consents": self.register.len(),
            "models": self.models.keys().collect::<Vec<_>>(),
        }))
    }

    pub(super) fn show_session(&self, session: Option<&str>) -> Result<Value, Failure> {
        let record = match session {
            Some(session) => self.known_session(session)?,
            None => self.only_open_session()?,
        };
        let in_force = self.lists.newest().ok().map(tally_policy::SignedList::version);
        Ok(json!({
            "session": record.session,
            "contract": record.contract,
            "stage": record.stage,
            "envelope": record.envelope,
            "list_in_force": in_force,
        }))
    }

    fn only_open_session(&self) -> Result<SessionRecord, Failure> {
        let mut open: Vec<_> = self.store.sessions()?.into_iter().filter(|record| !record.ended()).collect();
        match (open.pop(), open.is_empty()) {
            (Some(record), true) => Ok(record),
            (None, _) => Err(failure::data("there is no open session here")),
            (Some(_), false) => Err(failure::usage("there are several open sessions: name one")),
        }
    }

    pub(super) fn session_status(&self, session: Option<&str>) -> Result<Value, Failure> {
        match session {
            Some(session) => Ok(self.standing(&self.known_session(session)?)),
            None => Ok(self.store.sessions()?.iter().map(|record| self.standing(record)).collect()),
        }
    }

    fn standing(&self, record: &SessionRecord) -> Value {
        let (round, waiting) = match self.live.get(&record.session) {
            Some(Live::Platform(machine)) => (machine.round(), machine.waiting_for()),
            Some(Live::Bank(machine)) => (machine.round(), Vec::new()),
            None => (None, Vec::new()),
        };
        let history: Vec<_> =
            record.history.iter().map(|(stage, time)| json!({ "stage": stage, "time": time })).collect();
        json!({
            "session": record.session,
            "stage": record.stage,
            "reason": record.reason,
            "approvals": record.approvals,
            "round": round,
            "waiting_for": waiting,
            "model": record.model,
            "history": history,
        })
    }

    /// Bank: rows of an ended session that it holds and could not read; nothing of a session that still runs.
    pub(super) fn unread_rows(&self, session: &str) -> Result<Option<u64>, Failure> {
        let kept = self.store.result(session, UNREAD_ROWS)?;
        Ok(kept.and_then(|kept| std::str::from_utf8(&kept).ok()?.parse().ok()))
    }

    pub(super) fn session_results(&self, session: &str) -> Result<Value, Failure> {
        let record = self.known_session(session)?;
        let fit = self.store.result(session, "fit")?.ok_or_else(|| match record.stage {
            Stage::Aborted => failure::data(format!("session {session} was aborted: it has no results")),
            stage => failure::retry(format!("session {session} is {stage}: it has no results yet")),
        })?;
        let fit: Value = serde_json::from_slice(&fit).map_err(failure::internal)?;
        let parse = |text: Vec<u8>| serde_json::from_slice::<Value>(&text).map_err(failure::internal);
        let own = self.store.result(session, "own")?.map(parse).transpose()?;
        let half = self.store.result(session, "half")?.map(parse).transpose()?;
        let diversity = self.store.result(session, "label-diversity")?.map(parse).transpose()?;
        let unread = if record.ended() { self.unread_rows(session)? } else { None };
        let input = self.store.result(session, "input")?.map(parse).transpose()?.unwrap_or_default();
        Ok(json!({
            "session": session,
            "stage": record.stage,
            "model": record.model,
            "rows": input["rows"],
            "consented": input["consented"],
            "judged": self.judged(&record, &fit, half.as_ref())?,
            "coarse": coarse_fields(&fit)?,
            "fit": fit,
            "own": own,
            "calibration": self.calibration_told(session)?,
            "half": half,
            "label_diversity": diversity,
            "unread_rows": unread,
            "titles": self.titles()?,
        }))
    }
}

/// The fields whose bins stayed coarse, with the share of the largest bin.
fn coarse_fields(fit: &Value) -> Result<Vec<Value>, Failure> {
    let fitted: Fitted = serde_json::from_value(fit.clone()).map_err(failure::internal)?;
    let told = |(field, coarse): (&str, CoarseCuts)| json!({ "field": field, "bins": coarse.bins, "asked": coarse.asked, "largest_bin": coarse.largest });
    Ok(fitted.coarse().into_iter().map(told).collect())
}

impl Engine {
    /// What follows from a fit's validation: differences of joint and bank-only figures, and the figures on segments.
    fn judged(&self, record: &SessionRecord, fit: &Value, half: Option<&Value>) -> Result<Value, Failure> {
        let fitted: Fitted = serde_json::from_value(fit.clone()).map_err(failure::internal)?;
        let half: Option<PlatformHalf> =
            half.map(|half| serde_json::from_value(half.clone())).transpose().map_err(failure::internal)?;
        if matches!(fitted, Fitted::Statistics(_)) {
            return Ok(Value::Null);
        }
        let contract = self.contract_of(record)?;
        let terms = contract.terms();
        let fields: Vec<_> = terms.fields_of(Holder::Banks).chain(terms.fields_of(Holder::Platform)).collect();
        let validation = fitted.validation();
        let segments = validation.segments.iter().filter_map(|rows| {
            let field = fields.get(rows.field)?;
            let table = half.iter().flat_map(|half| &half.tables).find(|(name, _)| *name == field.name);
            let bins = table.and_then(|(_, table)| table.meaning());
            let names = rows.names(&field.categories, bins.as_ref().unwrap_or(&rows.bins), Language::En);
            let figures: Vec<_> = rows.figures(&names).iter().map(segment_figures).collect();
            Some(json!({ "field": field.name, "withheld": figures.is_empty(), "segments": figures }))
        });
        let auc = validation
            .auc_difference()
            .map(|found| json!({ "difference": found.difference, "p_value": found.p_value }));
        let ks = validation
            .ks_difference()
            .map(|found| json!({ "difference": found.difference, "p_value": found.p_value, "bound": !found.counted }));
        Ok(json!({
            "baselines": baselines(terms),
            "within_banks": withheld_or(validation.within_banks().map(|found| within_told(&found))),
            "pooled": {
                "joint": withheld_or(validation.joint.told().map(|told| json!(told.figures()))),
                "bank_only": withheld_or(validation.bank_only.told().map(|told| json!(told.figures()))),
            },
            "auc": auc,
            "ks": ks,
            "warnings": fitted.leaks().iter().map(|leak| json!(leak.words())).collect::<Vec<_>>(),
            "fields": fields_told(&fitted),
            "segments": segments.collect::<Vec<_>>(),
        }))
    }
}

/// Figures of the joint and of the banks' own models on one segment.
fn segment_figures([joint, bank_only]: &[Segment; 2]) -> Value {
    let figures = |of: &Segment| {
        let found = of.evaluation.as_ref();
        found.map(|found| json!({ "auc": found.auc, "ks": found.ks.distance, "gini": found.gini, "auc_open": of.open }))
    };
    json!({
        "name": joint.name,
        "rows": joint.rows.rows(),
        "bad": joint.rows.bad,
        "bad_rate": joint.evaluation.as_ref().or(bank_only.evaluation.as_ref()).map(|found| found.bad_rate),
        "joint": figures(joint),
        "bank_only": figures(bank_only),
    })
}

/// A figure, or why there is none.
fn withheld_or(figure: Result<Value, Withheld>) -> Value {
    figure.unwrap_or_else(|why| json!({ "withheld": why.words() }))
}

fn within_told(found: &WithinFigures) -> Value {
    json!({
        "joint": found.joint,
        "bank_only": found.bank_only,
        "difference": found.difference,
        "p_value": found.p_value,
    })
}

/// What a joint model is compared with: names of the two baselines.
pub(crate) fn baselines(terms: &Contract) -> Value {
    let linfa = Text::new(
        "线性基准：各银行以 linfa 逻辑回归拟合（自有样本与字段，WOE 列，不作筛选）",
        "linear baseline: each bank's logistic regression by linfa (own rows and fields, WOE columns, no selection)",
    );
    let (zh, en) = match terms.model.algorithm.as_str() {
        "trees" => ("提升树", "boosted trees"),
        _ => ("评分卡", "scorecard"),
    };
    let same = Text::new(
        &format!("银行自有模型：与联合模型同类（{zh}，同样的分箱、筛选与训练程序），仅用自有样本与字段"),
        &format!(
            "bank-only: the joint model's kind ({en}, same binning, selection and trainer) on own rows and fields"
        ),
    );
    let first = terms.model.judging.rules.is_first() && terms.model.algorithm != "trees";
    json!({ "bank_only": if first { &linfa } else { &same }, "linfa": linfa })
}

/// Which share of each field's rows is counted together with others, and whether its classes were eased.
fn fields_told(fitted: &Fitted) -> Vec<Value> {
    match fitted {
        Fitted::Scorecard(fit) => fit
            .fields
            .iter()
            .map(|field| json!({ "name": field.name, "folded": field.folded(), "eased": field.eased }))
            .collect(),
        Fitted::Trees(fit) => {
            let Validation { fields, .. } = &fit.validation;
            let rows = fit.fields.iter().zip(fields);
            rows.map(|(field, rows)| json!({ "name": field.name, "folded": rows.folded(), "eased": false })).collect()
        }
        Fitted::Statistics(_) => Vec::new(),
    }
}

/// A bank's own figures: its hold-out rows under its own models and under the joint one. They stay here.
pub(super) fn own_evaluation(fit: &Fitted, table: &Table, terms: &Contract) -> Result<Value, Failure> {
    let joint = fit.log_odds(table).map_err(failure::internal)?;
    let holdout: Vec<_> = (0..table.label.len()).filter(|&row| table.holdout[row]).collect();
    let labels: Vec<_> = holdout.iter().map(|&row| table.label[row]).collect();
    let figures = |scores: &[f64]| {
        let scores: Vec<_> = holdout.iter().map(|&row| scores[row]).collect();
        metrics::exact(&scores, &labels)
    };
    let bins = vec![terms.model.bins; terms.fields_of(Holder::Platform).count()];
    let linfa = BankOnly::fit(&terms.linear_plan(&bins), table).and_then(|own| Ok(own.log_odds(table)?)).ok();
    let trained = |label: u8| (0..table.label.len()).any(|row| !table.holdout[row] && table.label[row] == label);
    let both = trained(0) && trained(1);
    let within = within_one(&joint, table).filter(|_| both);
    let bad = |holdout: bool| {
        (0..table.label.len()).filter(|&row| table.holdout[row] == holdout && table.label[row] == 1).count()
    };
    Ok(json!({
        "rows": table.label.len(),
        "bad": bad(false) + bad(true),
        "holdout": holdout.len(),
        "holdout_bad": bad(true),
        "bank_only": figures(&table.baseline).filter(|_| both),
        "linfa": linfa.and_then(|linfa| figures(&linfa)).filter(|_| both),
        "joint": figures(&joint),
        "within": within.as_ref().map(|(found, _)| within_told(found)),
        "weight": within.map(|(_, weight)| weight),
        "withheld": (!both).then(|| Text::new(
            "本行建模样本只含一类样本，没有自有模型，相应数字不予给出",
            "this bank's training rows hold loans of one kind only: it has no model of its own, and figures of it are withheld",
        )),
    }))
}
