//! What a door tells the journal: never a line for each connection.

use std::io;
use std::time::{Duration, Instant};

/// Time between two lines.
const INTERVAL: Duration = Duration::from_secs(60);

/// What can happen to a connection at a door.
#[derive(Debug)]
pub enum Trouble {
    /// Every place is taken, by connections that keep theirs.
    TurnedAway,
    /// Every place is taken, and it got that of another.
    Replaced,
    /// The system could not hand it over.
    Accept(io::Error),
}

/// Counts troubles; says the first at once, and those that follow once a minute in sum.
#[derive(Debug)]
pub struct Complaints {
    door: &'static str,
    told: Option<Instant>,
    count: Count,
}

#[derive(Debug, Default)]
struct Count {
    turned_away: u64,
    replaced: u64,
    not_accepted: u64,
    /// Why one was not accepted last.
    error: Option<io::Error>,
}

impl Complaints {
    /// Those of the door called `door`.
    pub fn new(door: &'static str) -> Self {
        Self { door, told: None, count: Count::default() }
    }

    /// Counts one; tells of it if that is due.
    pub fn note(&mut self, trouble: Trouble, now: Instant) {
        match trouble {
            Trouble::TurnedAway => self.count.turned_away += 1,
            Trouble::Replaced => self.count.replaced += 1,
            Trouble::Accept(error) => {
                self.count.not_accepted += 1;
                self.count.error = Some(error);
            }
        }
        if self.told.is_none_or(|told| now >= told + INTERVAL) {
            self.tell(now);
        }
    }

    /// When what waits is to be told.
    pub(crate) fn due(&self) -> Option<Instant> {
        let Count { turned_away, replaced, not_accepted, .. } = self.count;
        self.told.filter(|_| turned_away + replaced + not_accepted > 0).map(|told| told + INTERVAL)
    }

    /// Tells of all that was counted.
    pub(crate) fn tell(&mut self, now: Instant) {
        let Count { turned_away, replaced, not_accepted, error } = std::mem::take(&mut self.count);
        self.told = Some(now);
        let error = error.map(|error| error.to_string());
        tracing::warn!(
            door = self.door,
            turned_away,
            replaced,
            not_accepted,
            error,
            "more connections than there are places: see deploy/README.md"
        );
    }

    /// Whether anything waits to be told.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> u64 {
        self.count.turned_away + self.count.replaced + self.count.not_accepted
    }
}
