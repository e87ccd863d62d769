//! Rows that left running sessions: each rests on consents whose end the same log shows, and platform and bank say the same of
//! what was forwarded.

use std::collections::BTreeMap;

use super::history::History;
use super::{Finding, Kind, ends_before, find, in_sessions, is_platform};
use crate::entry::Body;
use crate::verify::VerifiedLog;

/// What a log says of the consents to one bank in one session.
#[derive(Default)]
struct Said {
    /// Consents that an event has ended.
    changed: u64,
    /// Consents that ended by their own terms.
    expired: u64,
}

/// No row leaves before a consent has ended, and no more consents end than events were taken in.
pub(super) fn evidence(log: &VerifiedLog, findings: &mut Vec<Finding>) {
    let (mut events, mut named): (u64, u64) = (0, 0);
    let mut said: BTreeMap<(&str, &str), Said> = BTreeMap::new();
    for entry in &log.entries {
        let mut wrong = |what: String| findings.push(Finding::own(Kind::Withdrawal, &log.party, entry.index, what));
        let session = entry.session.as_deref().unwrap_or_default();
        match &entry.body {
            Body::ConsentChange { change, .. } if change != "resume" => events += 1,
            Body::ConsentNamed { rows, .. } => named += rows,
            Body::ConsentEnded { bank, changed, expired, forwarded } => {
                if *forwarded > 0 && named == 0 {
                    wrong(format!(
                        "session {session}: takes in {forwarded} forwarded events, and none were named to it"
                    ));
                }
                events = events.saturating_add(*forwarded);
                let said = said.entry((session, bank)).or_default();
                said.changed = said.changed.saturating_add(*changed);
                said.expired = said.expired.saturating_add(*expired);
                if said.changed > events {
                    let has = said.changed;
                    wrong(format!(
                        "session {session}: {has} consents to {bank} are said to have ended by an event, and the log \
                                   has {events} events"
                    ));
                }
            }
            Body::ConsentWithdrawn { bank, rows } if *rows > 0 => {
                let ended = said.get(&(session, bank)).map_or(0, |said| said.changed.saturating_add(said.expired));
                if ended == 0 {
                    wrong(format!("session {session}: {rows} rows of {bank} left, and no consent had ended"));
                }
            }
            _ => {}
        }
    }
}

/// The platform forwarded events about as many rows as the bank was told of.
pub(super) fn forwarded(logs: &[VerifiedLog], history: &History, findings: &mut Vec<Finding>) {
    let Some(platform) = logs.iter().find(|log| is_platform(log)) else { return };
    let mut told: BTreeMap<(&str, &str), [(u64, i64); 2]> = BTreeMap::new();
    for log in logs {
        for (session, entry) in in_sessions(log) {
            let Body::ConsentNamed { bank, rows } = &entry.body else { continue };
            let side = usize::from(log.party != platform.party);
            let told = &mut told.entry((session, bank)).or_default()[side];
            *told = (told.0.saturating_add(*rows), entry.time);
        }
    }
    for ((session, bank), [(sent, last_sent), (taken, last_taken)]) in told {
        let Some(log) = find(logs, bank).filter(|_| sent != taken) else { continue };
        let late = sent > taken && ends_before(log, last_sent) || taken > sent && ends_before(platform, last_taken);
        let what = format!(
            "session {session}: {} forwarded events about {sent} rows of {bank}, which was told of {taken}",
            platform.party
        );
        let culprits = history.culprits(&[&platform.party, bank], Some(session));
        findings.push(Finding::fault(Kind::Withdrawal, culprits, bank, None, what).unless(late));
    }
}

#[cfg(test)]
mod tests {
    use tally_crypto::transcript::Digest;

    use super::*;
    use crate::entry::Entry;

    fn log(party: &str, bodies: Vec<(Option<&str>, Body)>) -> VerifiedLog {
        let role = if party == "platform" { "platform" } else { "bank" };
        let genesis = Body::Genesis { role: role.into(), log_vkey: String::new(), software: "0".into() };
        let mut ledger = crate::write_ahead::Ledger::new(party);
        let (mut batch, mut kept) = (ledger.batch(), Vec::new());
        for (time, (session, body)) in (1..).zip(std::iter::once((None, genesis)).chain(bodies)) {
            batch.append(session, time, party, body).unwrap();
        }
        let done = batch.commit(|bytes| {
            kept = bytes.iter().map(|bytes| Entry::decode(bytes).unwrap()).collect();
            Ok::<_, ()>(())
        });
        done.unwrap();
        VerifiedLog { party: party.into(), entries: kept, root: Digest::default(), leaves: Vec::new() }
    }

    fn change(kind: &str) -> (Option<&'static str>, Body) {
        let (consent, event) = (Digest::default(), Digest::default());
        (None, Body::ConsentChange { change: kind.into(), consent, event, effective: 1 })
    }

    fn ended(changed: u64, expired: u64) -> (Option<&'static str>, Body) {
        (Some("s"), Body::ConsentEnded { bank: "bank".into(), changed, expired, forwarded: 0 })
    }

    fn forwarded_end() -> (Option<&'static str>, Body) {
        (Some("s"), Body::ConsentEnded { bank: "bank".into(), changed: 1, expired: 0, forwarded: 1 })
    }

    fn left(rows: u64) -> (Option<&'static str>, Body) {
        (Some("s"), Body::ConsentWithdrawn { bank: "bank".into(), rows })
    }

    fn named(rows: u64) -> (Option<&'static str>, Body) {
        (Some("s"), Body::ConsentNamed { bank: "bank".into(), rows })
    }

    fn found(bank: Vec<(Option<&str>, Body)>, platform: Vec<(Option<&str>, Body)>) -> String {
        let logs = [log("bank", bank), log("platform", platform)];
        let mut findings = Vec::new();
        logs.iter().for_each(|log| evidence(log, &mut findings));
        forwarded(&logs, &History::of(&logs), &mut findings);
        findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn withdrawals_that_rest_on_events_have_no_finding() {
        let platform = vec![change("revoke"), ended(1, 1), left(2), named(1)];
        let bank = vec![named(1), change("revoke"), ended(1, 0), left(3)];
        assert_eq!(found(bank, platform.clone()), "");
        // What the platform forwarded has no entry of its own at the bank.
        assert_eq!(found(vec![named(1), forwarded_end(), left(3), left(0)], platform), "");
    }

    #[test]
    fn withdrawals_without_events_or_with_other_numbers_are_found() {
        assert!(found(vec![left(1)], vec![]).contains("no consent had ended"));
        assert!(found(vec![forwarded_end(), left(1)], vec![]).contains("none were named"));
        assert!(found(vec![], vec![left(1)]).contains("no consent had ended"));
        assert!(found(vec![change("resume"), ended(1, 0), left(1)], vec![]).contains("the log has 0 events"));
        assert!(found(vec![change("pause"), ended(2, 0)], vec![]).contains("2 consents"));
        assert!(
            found(vec![named(2)], vec![named(3), (None, Body::Noop { salt: Digest::default() })])
                .contains("about 3 rows")
        );
    }
}
