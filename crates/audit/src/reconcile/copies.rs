//! Several copies of one party's log: they must be of one history, and the longest says it all.

use super::{Finding, Kind};
use crate::verify::VerifiedLog;

/// Of each party the longest copy, with what came along with it; and a fault for each copy that is of another history.
pub fn one_copy_each<T>(logs: impl IntoIterator<Item = (VerifiedLog, T)>) -> (Vec<(VerifiedLog, T)>, Vec<Finding>) {
    let (mut kept, mut findings) = (Vec::<(VerifiedLog, T)>::new(), Vec::new());
    for (log, along) in logs {
        let Some(known) = kept.iter_mut().find(|(known, _)| known.party == log.party) else {
            kept.push((log, along));
            continue;
        };
        findings.extend(forked(&known.0, &log));
        if log.leaves.len() > known.0.leaves.len() {
            *known = (log, along);
        }
    }
    (kept, findings)
}

fn forked(one: &VerifiedLog, other: &VerifiedLog) -> Option<Finding> {
    let place = one.leaves.iter().zip(&other.leaves).position(|(one, other)| one != other)?;
    let what = format!("two copies differ from here on: their signed roots are {} and {}", one.root, other.root);
    Some(Finding::own(Kind::Forked, &one.party, place as u64, what))
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::super::tests::{rewrite, whole_session};
    use super::*;

    #[test]
    fn an_older_copy_is_no_second_log() {
        let logs = whole_session();
        let older = rewrite(&logs[1], |entries| entries.truncate(entries.len() - 3));
        for copies in [[older.clone(), logs[1].clone()], [logs[1].clone(), older]] {
            let given = logs.iter().cloned().chain(copies).zip(0..);
            let (kept, findings) = one_copy_each(given);
            assert_eq!(findings, []);
            assert_eq!(kept.len(), logs.len());
            assert!(kept.iter().zip(&logs).all(|((kept, _), log)| kept.leaves == log.leaves));
        }
    }

    #[test]
    fn two_histories_of_one_log_name_its_party_and_both_roots() {
        let logs = whole_session();
        let place = logs[1].entries.len() - 2;
        let other = rewrite(&logs[1], |entries| entries[place].actor.push('x'));
        let (kept, findings) = one_copy_each([(logs[1].clone(), ()), (other.clone(), ())]);
        assert_eq!(kept.len(), 1);
        let [finding] = findings.as_slice() else { panic!("{findings:?}") };
        assert_eq!(
            (finding.severity, finding.kind, finding.entry),
            (Severity::Fault, Kind::Forked, Some(place as u64))
        );
        assert_eq!(finding.parties, [logs[1].party.as_str()]);
        assert!([logs[1].root, other.root].iter().all(|root| finding.what.contains(&root.to_string())));
    }
}
