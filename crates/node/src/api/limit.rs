//! Rate limits: the generic cell rate algorithm (ITU-T I.371), which is a token bucket in one number. Time comes in as an
//! argument.

use std::collections::HashMap;
use std::hash::Hash;

/// How fast, and how many at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Nanoseconds that one call takes up.
    interval: u64,
    /// Nanoseconds that calls may be ahead.
    ahead: u64,
}

/// A limit for each of many.
#[derive(Debug)]
pub(crate) struct Limit<K> {
    rate: Rate,
    /// When everything that was taken has been paid for, in nanoseconds.
    until: HashMap<K, u64>,
    /// Size at which those that owe nothing are forgotten.
    sweep: usize,
}

impl Rate {
    /// So many a minute in the long run, so many at once; both at least 1.
    pub(crate) fn per_minute(calls: u32, burst: u32) -> Self {
        let interval = 60_000_000_000 / u64::from(calls.max(1));
        Self { interval, ahead: interval.saturating_mul(u64::from(burst.max(1)) - 1) }
    }
}

impl<K: Hash + Eq> Limit<K> {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, until: HashMap::new(), sweep: 1024 }
    }

    /// Takes one at `now`; else the nanoseconds to wait.
    pub(crate) fn take(&mut self, of: K, now: u64) -> Result<(), u64> {
        if self.until.len() >= self.sweep {
            self.until.retain(|_, until| *until > now);
            self.sweep = (2 * self.until.len()).max(1024);
        }
        let until = self.until.entry(of).or_insert(now);
        let begin = (*until).max(now);
        if begin - now > self.rate.ahead {
            return Err(begin - now - self.rate.ahead);
        }
        *until = begin.saturating_add(self.rate.interval);
        Ok(())
    }

    /// How many are remembered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.until.len()
    }
}
