//! Connections and messages that were refused before anything of them was taken in. The first of its kind is in the log at once,
//! those that follow within a minute are counted and logged together: an entry each would let whoever reaches the port fill
//! the disk. Up to a minute of such counts is lost when a node stops.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Engine, book, go_on};
use crate::config::check_name;
use crate::failure::{Failure, Fatal};

/// How long refusals are counted before the log tells of them.
const WINDOW: Duration = Duration::from_secs(60);

/// Kinds that are told apart within that time, besides those of strangers.
const KINDS: usize = 64;

/// Who it claimed to be, where that is a party name, and what was refused: `connection` or `message`.
type Kind = (Option<String>, &'static str);

/// Refusals that the log tells of in sum.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// When the first was refused.
    since: Option<Instant>,
    /// Those after the first of each kind: how many, and why the last one.
    later: BTreeMap<Kind, (u64, String)>,
}

impl Refusals {
    /// Notes a refusal; true for the first of its kind, which the log tells of by itself.
    fn note(&mut self, kind: Kind, why: &str, now: Instant) -> bool {
        let (claimed, what) = kind;
        let told_apart = self.later.len() < KINDS || self.later.contains_key(&(claimed.clone(), what));
        let kind = (claimed.filter(|_| told_apart), what);
        self.since.get_or_insert(now);
        let Some((count, last)) = self.later.get_mut(&kind) else {
            self.later.insert(kind, (0, String::new()));
            return true;
        };
        *count += 1;
        *last = why.into();
        false
    }

    /// What was counted, once the time is over.
    fn due(&mut self, now: Instant) -> Vec<(Kind, u64, String)> {
        if self.since.is_none_or(|since| now.duration_since(since) < WINDOW) {
            return Vec::new();
        }
        self.since = None;
        let later = std::mem::take(&mut self.later).into_iter().filter(|(_, (count, _))| *count > 0);
        later.map(|(kind, (count, why))| (kind, count, why)).collect()
    }
}

impl Engine {
    /// Somebody was not let in. Who it claimed to be is written down only where it is a party name: the rest is a stranger's text.
    pub(super) fn connection_refused(
        &mut self,
        address: &str,
        claimed: Option<String>,
        why: &str,
    ) -> Result<(), Fatal> {
        let claimed = claimed.filter(|name| check_name(name).is_ok());
        if self.refusals.note((claimed.clone(), "connection"), why, Instant::now()) {
            tracing::warn!(address, claimed, reason = why, "connection refused");
            go_on("a refusal was not logged", self.log_refusal(claimed.as_deref(), "connection", why, 1))?;
        }
        Ok(())
    }

    /// A peer sent something that it has not signed for, or that is not of the form of a message.
    pub(super) fn message_refused(&mut self, peer: &str, why: &str) -> Result<(), Fatal> {
        if self.refusals.note((Some(peer.into()), "message"), why, Instant::now()) {
            tracing::warn!(peer, reason = why, "message refused");
            go_on("a refusal was not logged", self.log_refusal(Some(peer), "message", why, 1))?;
        }
        Ok(())
    }

    /// Logs those that were counted.
    pub(super) fn log_refusals(&mut self) -> Result<(), Failure> {
        for ((claimed, what), count, why) in self.refusals.due(Instant::now()) {
            tracing::warn!(claimed, what, count, "refused since");
            self.log_refusal(claimed.as_deref(), what, &why, count)?;
        }
        Ok(())
    }

    fn log_refusal(&mut self, claimed: Option<&str>, what: &'static str, why: &str, count: u64) -> Result<(), Failure> {
        // A connection has shown no name that would hold.
        let actor = claimed.filter(|_| what == "message").unwrap_or(self.me()).to_owned();
        self.step(|_, step| {
            step.record(None, &actor, book::refusal(claimed, what, why, count));
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_entry_at_once_and_one_a_minute() {
        let (mut refusals, began) = (Refusals::default(), Instant::now());
        let stranger = || (None, "connection");
        let told = (0..1000).filter(|_| refusals.note(stranger(), "no certificate", began)).count();
        assert_eq!(told, 1);
        assert!(refusals.note((Some("bank-1".into()), "connection"), "another name", began));
        assert!(refusals.note((Some("bank-1".into()), "message"), "no receipt", began));
        assert_eq!(refusals.due(began + WINDOW - Duration::from_millis(1)), []);
        assert_eq!(refusals.due(began + WINDOW), [(stranger(), 999, "no certificate".into())]);
        assert!(refusals.note(stranger(), "no certificate", began + WINDOW), "another minute");
    }

    #[test]
    fn made_up_names_are_told_apart_up_to_a_number() {
        let (mut refusals, began) = (Refusals::default(), Instant::now());
        let told = (0..1000).filter(|n| refusals.note((Some(format!("bank-{n}")), "connection"), "no party", began));
        assert_eq!(told.count(), KINDS + 1);
        assert_eq!(refusals.due(began + WINDOW).iter().map(|(_, count, _)| count).sum::<u64>(), 1000 - 65);
    }
}
