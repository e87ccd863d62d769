//! How many files and connections this process may have open, and how its listeners share them.
//!
//! Connections may take no more than what is left of the limit beside the reserve: a process that lacks a descriptor for its store
//! or its log cannot go on.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use tally_net::door::Bounds;

use crate::failure::{self, Failure};

/// What is kept for everything but connections: store, log, keys, what commands read, outbound connections, the runtime.
const RESERVE: usize = 256;

/// Connections without which no node is of use.
const LEAST: usize = 64;

/// The fewest places of a listener.
const FEWEST: usize = 8;

/// Raises the limit of this process to what the system allows it; what it is then.
pub(crate) fn raise() -> usize {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // One that cannot be raised is worked with as it is.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    let current = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(current).unwrap_or(usize::MAX)
}

/// `[connections]` of `node.toml`: how many connections each listener holds at once; explained in `deploy/*.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ConnectionsSection {
    /// The platform's listener for banks.
    pub(crate) link: PlacesSection,
    /// The scoring service.
    pub(crate) api: PlacesSection,
    /// The log over HTTP.
    pub(crate) log: PlacesSection,
    /// Commands on the control socket.
    pub(crate) control: usize,
}

/// Places at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlacesSection {
    /// Of everybody.
    pub(crate) total: usize,
    /// Of one address.
    pub(crate) per_source: usize,
}

impl Default for ConnectionsSection {
    fn default() -> Self {
        let places = |total, per_source| PlacesSection { total, per_source };
        Self { link: places(256, 32), api: places(1024, 256), log: places(128, 64), control: 32 }
    }
}

impl PlacesSection {
    /// The same for a door.
    pub(crate) fn bounds(self) -> Bounds {
        Bounds { total: self.total, per_source: self.per_source }
    }

    /// The part `of` in `out_of` of these.
    fn share(self, of: usize, out_of: usize) -> Self {
        let total = share(self.total, of, out_of);
        Self { total, per_source: self.per_source.min(total) }
    }
}

fn share(total: usize, of: usize, out_of: usize) -> usize {
    (total.saturating_mul(of) / out_of).max(FEWEST)
}

/// The listeners that a node has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listeners {
    /// For banks.
    pub(crate) link: bool,
    /// For scores.
    pub(crate) api: bool,
    /// For the log.
    pub(crate) log: bool,
}

impl ConnectionsSection {
    /// Says which key is wrong and what to write instead.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (name, places) in [("link", self.link), ("api", self.api), ("log", self.log)] {
            if !(FEWEST..=1_000_000).contains(&places.total) {
                Err(format!("connections.{name}.total is from {FEWEST} to 1000000"))?;
            }
            if !(1..=places.total).contains(&places.per_source) {
                Err(format!("connections.{name}.per_source is from 1 to its total"))?;
            }
        }
        if (FEWEST..=1000).contains(&self.control) {
            Ok(())
        } else {
            Err(format!("connections.control is from {FEWEST} to 1000"))
        }
    }

    /// These, or fewer where a process that may open `limit` files could not hold them all beside its reserve.
    ///
    /// # Errors
    /// Says what limit is needed if this one is too low for any use.
    pub(crate) fn within(self, limit: usize, listeners: Listeners) -> Result<Self, Failure> {
        let needed = self.needed(listeners);
        let left = limit.saturating_sub(RESERVE);
        if left >= needed {
            return Ok(self);
        }
        let remedy = format!("set LimitNOFILE (ulimit -n) to {} or lower [connections]", needed + RESERVE);
        if left < LEAST {
            return Err(failure::misconfigured(format!(
                "this process may open {limit} files, fewer than the {} without which it cannot work: {remedy}",
                RESERVE + LEAST
            )));
        }
        let fewer = Self {
            link: self.link.share(left, needed),
            api: self.api.share(left, needed),
            log: self.log.share(left, needed),
            control: share(self.control, left, needed),
        };
        let [link, api, log] = [fewer.link.total, fewer.api.total, fewer.log.total];
        tracing::warn!(
            limit,
            link,
            api,
            log,
            "too few files for the connections of node.toml, fewer are taken: {remedy}"
        );
        Ok(fewer)
    }

    /// Descriptors, when all places are taken.
    fn needed(&self, listeners: Listeners) -> usize {
        let of = |there: bool, places: PlacesSection| if there { places.total } else { 0 };
        // Whoever asks for a file of the log has that one open, beside the connection.
        let log = 2 * of(listeners.log, self.log);
        of(listeners.link, self.link) + of(listeners.api, self.api) + log + self.control
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BANK: Listeners = Listeners { link: false, api: true, log: true };

    #[test]
    fn the_limit_is_raised() {
        let limit = raise();
        assert_eq!(getrlimit(Resource::Nofile).maximum.map_or(usize::MAX, |most| most as usize), limit);
    }

    #[test]
    fn connections_leave_the_reserve() {
        let wanted = ConnectionsSection::default();
        assert_eq!(wanted.within(65_536, BANK).unwrap(), wanted);
        for limit in [320, 400, 512, 1024, 1500] {
            let fewer = wanted.within(limit, BANK).unwrap();
            assert!(fewer.needed(BANK) + RESERVE <= limit + 3 * FEWEST, "{limit}: {fewer:?}");
            fewer.check().unwrap();
        }
        let failure = wanted.within(256, BANK).unwrap_err();
        assert!(failure.to_string().contains("LimitNOFILE"), "{failure}");
    }

    #[test]
    fn mistakes_are_named() {
        let good = ConnectionsSection::default();
        good.check().unwrap();
        let places = |total, per_source| PlacesSection { total, per_source };
        for (wrong, word) in [
            (ConnectionsSection { link: places(1, 1), ..good }, "link.total"),
            (ConnectionsSection { api: places(100, 101), ..good }, "api.per_source"),
            (ConnectionsSection { log: places(100, 0), ..good }, "log.per_source"),
            (ConnectionsSection { control: 0, ..good }, "control"),
        ] {
            assert!(wrong.check().unwrap_err().contains(word));
        }
    }
}
