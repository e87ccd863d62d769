//! The parties' logs against one another: what one says, the others must say too.
//!
//! An owner can sign its log again after it has changed it, so a signature proves nothing here. What does: messages carry the
//! leaf hash of the entry that covers them, and entries of a session are chained. Whoever changes, drops or adds an entry
//! afterwards has a log that no longer holds what its peers have receipts of (module `history`), and is named for it. What was logged
//! wrongly from the beginning contradicts the other parties' logs or the contract; where two logs alone contradict one
//! another and both hold what was receipted, both parties are named. Entries outside of sessions are not chained: that they
//! were changed in place shows in cosigned checkpoints, and in the signed receipts that peers have kept ([`promises`]).

mod copies;
mod finding;
mod history;
mod outcomes;
mod passages;
mod receipts;
mod rounds;
mod scores;
mod sessions;
mod shared;
mod sources;
#[cfg(test)]
mod tests;
mod warnings;
mod withdrawals;

pub use copies::one_copy_each;
pub use finding::{Finding, Kind, Severity};
pub use passages::{Traffic, traffic};
pub use receipts::promises;
#[cfg(test)]
pub(crate) use tests::whole_session;

use crate::entry::{Body, Entry};
use crate::verify::VerifiedLog;

/// Joins the logs, one of each party ([`one_copy_each`]), and returns what does not fit; empty if everything does.
pub fn reconcile(logs: &[VerifiedLog]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let history = history::History::of(logs);
    history.rewritten(&mut findings);
    passages::passages(logs, &history, &mut findings);
    shared::facts(logs, &history, &mut findings);
    shared::lists(logs, &mut findings);
    rounds::present(logs, &mut findings);
    rounds::contributions(logs, &mut findings);
    scores::both_sides(logs, &history, &mut findings);
    warnings::acknowledged(logs, &mut findings);
    outcomes::both_sides(logs, &history, &mut findings);
    withdrawals::forwarded(logs, &history, &mut findings);
    for log in logs {
        sessions::order(log, &mut findings);
        rounds::cohorts(log, &mut findings);
        rounds::models(log, &mut findings);
        scores::answers(log, &mut findings);
        outcomes::allowed(log, &mut findings);
        sources::data(log, &mut findings);
        sources::disclosures(log, &mut findings);
        warnings::deliveries(log, &mut findings);
        withdrawals::evidence(log, &mut findings);
    }
    findings
}

/// Whether this is the log of a platform.
pub(crate) fn is_platform(log: &VerifiedLog) -> bool {
    log.entries.iter().any(|entry| matches!(&entry.body, Body::Genesis { role, .. } if role == "platform"))
}

/// Whether the copy of `log` ends before `time`, Unix milliseconds, or with a message: what is not in it may come yet.
fn ends_before(log: &VerifiedLog, time: i64) -> bool {
    log.entries.last().is_none_or(|last| last.time < time || matches!(last.body, Body::Ingress(_)))
}

/// The entries of sessions, each with its session.
fn in_sessions(log: &VerifiedLog) -> impl Iterator<Item = (&str, &Entry)> {
    log.entries.iter().filter_map(|entry| Some((entry.session.as_deref()?, entry)))
}

fn find<'a>(logs: &'a [VerifiedLog], party: &str) -> Option<&'a VerifiedLog> {
    logs.iter().find(|log| log.party == party)
}
