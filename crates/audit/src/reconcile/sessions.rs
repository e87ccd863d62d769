//! The order of a session within one log.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Kind, in_sessions, is_platform};
use crate::entry::{Body, Entry};
use crate::verify::VerifiedLog;

/// What a log has of a session so far.
#[derive(Default)]
struct Progress<'a> {
    contract: bool,
    stage: Option<u8>,
    cleared: BTreeSet<&'a str>,
    offered: BTreeSet<&'a str>,
}

/// The stages of a session, in order.
const STAGES: [&str; 9] =
    ["draft", "proposed", "approved", "aligned", "prepared", "trained", "evaluated", "released", "closed"];

/// The place of `aborted`: behind every stage.
const ABORTED: u8 = STAGES.len() as u8;

/// Contract, clearance, offer, alignment, sums, model, end: each before the next, nothing after the end.
pub(super) fn order(log: &VerifiedLog, findings: &mut Vec<Finding>) {
    let platform = is_platform(log);
    let mut sessions: BTreeMap<&str, Progress<'_>> = BTreeMap::new();
    for (session, entry) in in_sessions(log) {
        let progress = sessions.entry(session).or_default();
        let wrong = progress.next(entry, platform, &log.party);
        findings.extend(
            wrong.map(|(kind, what)| Finding::own(kind, &log.party, entry.index, format!("session {session}: {what}"))),
        );
    }
}

impl<'a> Progress<'a> {
    fn next(&mut self, entry: &'a Entry, platform: bool, me: &'a str) -> Option<(Kind, String)> {
        let ended = self.stage.is_some_and(|stage| stage >= ABORTED - 1);
        if ended && computes(&entry.body) {
            return Some((Kind::AfterEnd, "goes on after its end".into()));
        }
        if !self.contract && computes(&entry.body) {
            return Some((Kind::Order, "was computed before the contract was signed by all".into()));
        }
        match &entry.body {
            Body::SessionContract { .. } => self.contract = true,
            Body::SessionState { stage, .. } => return self.reach(stage),
            Body::Clearance { grantee, .. } => {
                self.cleared.insert(grantee);
            }
            Body::ConsentSet { bank, .. } => {
                self.offered.insert(bank);
                return self.demand_cleared(bank, "rows were offered");
            }
            Body::PsiRun { bank, .. } if !self.offered.contains(bank.as_str()) => {
                let what = format!("the alignment with {bank} ran before its set was committed");
                return Some((Kind::Order, what));
            }
            Body::Egress(passage) if matches!(passage.form.as_deref(), Some("alignment" | "binned")) => {
                return self.demand_cleared(if platform { &passage.peer } else { me }, "rows left");
            }
            _ => {}
        }
        None
    }

    fn reach(&mut self, stage: &str) -> Option<(Kind, String)> {
        let place = STAGES.iter().position(|known| *known == stage).map_or(ABORTED, |place| place as u8);
        let back = self.stage.is_some_and(|before| before >= place);
        self.stage = self.stage.max(Some(place));
        back.then(|| (Kind::Order, format!("stage `{stage}` follows a later one")))
    }

    fn demand_cleared(&self, bank: &str, what: &str) -> Option<(Kind, String)> {
        let known = self.cleared.contains(bank);
        (!known).then(|| (Kind::Clearance, format!("{what} for {bank} before they were cleared")))
    }
}

/// What only a running session does; scores follow after it has closed.
fn computes(body: &Body) -> bool {
    match body {
        Body::Egress(passage) => {
            matches!(passage.form.as_deref(), Some("alignment" | "binned" | "masked" | "aggregate"))
        }
        Body::Clearance { .. }
        | Body::ConsentSet { .. }
        | Body::PsiRun { .. }
        | Body::RoundCommit { .. }
        | Body::RoundResult { .. }
        | Body::FeatureDisclose(_)
        | Body::ModelRelease { .. } => true,
        _ => false,
    }
}
