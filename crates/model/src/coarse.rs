//! Coarse classes: which fine classes of a field are joined so that the table is robust and its trend explainable.
//!
//! **Ordered classes.** Of all ways to cut the ordered fine classes into runs, the one with the largest information value,
//! subject to the terms of a [`CoarsePlan`]: exact, by dynamic programming. A state is the last run `[from, to)`, the number
//! of runs and, for a trend with a turn, the leg that it is on; its value is the best information value of all runs up to
//! `to`. Carrying the last run, not only its end, makes the trend exact: whether a next run may follow depends on the WOE of
//! this one. With `n` fine classes and at most `k` runs this takes `O(k n^3)` steps and `O(k n^2)` words. The same
//! problem is solved as an integer program in Navas-Palencia, Optimal binning: mathematical programming formulation
//! (2020).
//!
//! **Categories.** Rare ones are joined first; the rest are put in order of bad rate, and runs of this order are sought as
//! above. Without limits on the size of a class the best partition into a given number of classes is among these runs (Fisher,
//! On grouping for maximum homogeneity, 1958; Breiman et al., Classification and Regression Trees, 1984, section
//! 4.2.2: the information value is convex in a class's bad rate); with limits it is the best that keeps to the order.
//!
//! A missing value and a special value keep to their own classes. Where no run satisfies the terms, all are one class.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::woe::{Totals, evidence, woe};

/// What coarse classes must satisfy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoarsePlan {
    /// Most coarse classes of a field; those of missing and special values are not counted.
    pub max_classes: u16,
    /// Least share of a field's rows in a class.
    pub min_share: f64,
    /// Fewest good rows in a class.
    pub min_good: u64,
    /// Fewest bad rows in a class.
    pub min_bad: u64,
    /// How the bad rate runs along an ordered field.
    pub trend: Trend,
    /// Where no two classes have `min_good` and `min_bad` rows, these are let go: a class with rows of one kind is smoothed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub eases: bool,
}

/// How the bad rate runs along an ordered field; the WOE runs the other way. Neighbours may be equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trend {
    /// As it likes.
    Free,
    /// Rises with the value.
    Ascending,
    /// Falls with the value.
    Descending,
    /// Rises or falls, whichever has the larger information value.
    #[default]
    Auto,
    /// Rises, then falls.
    Peak,
    /// Falls, then rises.
    Valley,
}

/// How the fine classes of a field relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Ranges of a number, upwards.
    Ordered,
    /// Categories.
    Unordered,
    /// Cut points that someone chose: nothing is joined.
    Given,
}

/// The classes of a field and what they say.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Classed {
    /// Class of every code.
    pub(crate) classes: Vec<u16>,
    /// WOE of every code: that of its class.
    pub(crate) woe: Vec<f64>,
    /// Information value of the classes.
    pub(crate) iv: f64,
    /// Information value before classes were joined.
    pub(crate) fine_iv: f64,
    /// Several bins were joined to one class: no two classes satisfy the terms.
    pub(crate) is_whole: bool,
    /// The classes have fewer good or bad rows than the terms ask for: no others do better.
    pub(crate) eased: bool,
}

/// Joins the codes of a field into classes, from good and bad rows per code.
///
/// `counted_in` is the code that each code is counted in (its own, unless too few banks stand behind it), so codes that are
/// counted together are in one class. `bins` are the codes that may be joined; a class is numbered by its place.
pub(crate) fn classed(
    good: &[i64],
    bad: &[i64],
    counted_in: &[usize],
    (bins, order): (Range<usize>, Order),
    plan: Option<&CoarsePlan>,
    smoothing: f64,
) -> Classed {
    let shown: Vec<usize> = (0..good.len()).filter(|&code| counted_in.get(code) == Some(&code)).collect();
    let shown_good: Vec<i64> = shown.iter().map(|&code| good[code]).collect();
    let shown_bad: Vec<i64> = shown.iter().map(|&code| bad[code]).collect();
    let place = |code: usize| shown.partition_point(|first| *first < code);
    let joinable = place(bins.start)..place(bins.end);
    let searched = |plan: &CoarsePlan| classes(&shown_good, &shown_bad, joinable.clone(), order, plan, smoothing);
    let is_whole =
        |classes: &[u16]| joinable.len() > 1 && classes[joinable.clone()].windows(2).all(|two| two[0] == two[1]);
    let mut eased = false;
    let classes = match plan {
        Some(plan) => {
            let strict = searched(plan);
            let easier =
                (plan.eases && is_whole(&strict)).then(|| CoarsePlan { min_good: 0, min_bad: 0, ..plan.clone() });
            let easier = easier.map(|plan| searched(&plan)).filter(|easier| !is_whole(easier));
            eased = easier.is_some();
            easier.unwrap_or(strict)
        }
        None => (0..shown.len()).map(|place| u16::try_from(place).unwrap_or(u16::MAX)).collect(),
    };
    let is_whole = is_whole(&classes);
    let count = classes.iter().max().map_or(0, |last| usize::from(*last) + 1);
    let (mut goods, mut bads) = (vec![0; count], vec![0; count]);
    for ((class, good), bad) in classes.iter().zip(&shown_good).zip(&shown_bad) {
        goods[usize::from(*class)] += good;
        bads[usize::from(*class)] += bad;
    }
    let (woes, iv) = woe(&goods, &bads, smoothing);
    let (_, fine_iv) = woe(good, bad, smoothing);
    let class = |code: usize| counted_in.get(code).and_then(|first| classes.get(place(*first))).copied().unwrap_or(0);
    let classes: Vec<u16> = (0..good.len()).map(class).collect();
    let woe = classes.iter().map(|class| woes.get(usize::from(*class)).copied().unwrap_or(0.0)).collect();
    Classed { classes, woe, iv, fine_iv, is_whole, eased }
}

/// The coarse class of every shown code: codes before `bins` first, one by one, then the joined bins (categories in order of
/// falling WOE), then the codes beyond.
fn classes(good: &[i64], bad: &[i64], bins: Range<usize>, order: Order, plan: &CoarsePlan, smoothing: f64) -> Vec<u16> {
    let totals = Totals::of(good, bad);
    let (joinable_good, joinable_bad) = (&good[bins.clone()], &bad[bins.clone()]);
    let joined = match order {
        Order::Ordered => ordered(joinable_good, joinable_bad, totals, plan, smoothing),
        Order::Unordered => unordered(joinable_good, joinable_bad, totals, plan, smoothing),
        Order::Given => (0..bins.len()).collect(),
    };
    let count = joined.iter().max().map_or(0, |last| last + 1);
    let before = 0..bins.start;
    let after = bins.start + count..;
    let all = before.chain(joined.iter().map(|class| bins.start + class)).chain(after).take(good.len());
    all.map(|class| u16::try_from(class).unwrap_or(u16::MAX)).collect()
}

fn ordered(good: &[i64], bad: &[i64], totals: Totals, plan: &CoarsePlan, smoothing: f64) -> Vec<usize> {
    let runs = Runs::new(good, bad, totals, plan, smoothing);
    let most = usize::from(plan.max_classes);
    let search = |legs: &[Leg]| best_cut(&runs, most, legs);
    let best = match plan.trend {
        Trend::Free => search(&[Leg::Any]),
        Trend::Ascending => search(&[Leg::Rising]),
        Trend::Descending => search(&[Leg::Falling]),
        Trend::Peak => search(&[Leg::Rising, Leg::Falling]),
        Trend::Valley => search(&[Leg::Falling, Leg::Rising]),
        Trend::Auto => match (search(&[Leg::Rising]), search(&[Leg::Falling])) {
            (Some(rising), Some(falling)) if falling.value > rising.value => Some(falling),
            (Some(rising), _) => Some(rising),
            (None, falling) => falling,
        },
    };
    let starts = best.map(|cut| cut.starts).unwrap_or_default();
    (0..good.len()).map(|fine| starts.partition_point(|start| *start <= fine).saturating_sub(1)).collect()
}

fn unordered(good: &[i64], bad: &[i64], totals: Totals, plan: &CoarsePlan, smoothing: f64) -> Vec<usize> {
    let least = least_rows(totals, plan);
    let is_rare = |category: usize| ((good[category] + bad[category]) as f64) < least;
    let (rare, common): (Vec<usize>, Vec<usize>) = (0..good.len()).partition(|&category| is_rare(category));
    let mut items: Vec<Vec<usize>> = common.into_iter().map(|category| vec![category]).collect();
    if !rare.is_empty() {
        items.push(rare);
    }
    let sum = |counts: &[i64], item: &[usize]| item.iter().map(|&category| counts[category]).sum::<i64>();
    let mut items: Vec<(i64, i64, Vec<usize>)> =
        items.into_iter().map(|item| (sum(good, &item), sum(bad, &item), item)).collect();
    // Falling WOE is rising bad rate; equal rates stay in the order of the codes.
    let woe = |item: &(i64, i64, Vec<usize>)| evidence(item.0, item.1, totals, smoothing).woe;
    items.sort_by(|left, right| woe(right).total_cmp(&woe(left)));
    let goods: Vec<_> = items.iter().map(|item| item.0).collect();
    let bads: Vec<_> = items.iter().map(|item| item.1).collect();
    let free = CoarsePlan { trend: Trend::Free, ..plan.clone() };
    let mut classes = vec![0; good.len()];
    for ((_, _, item), class) in items.iter().zip(ordered(&goods, &bads, totals, &free, smoothing)) {
        for &category in item {
            classes[category] = class;
        }
    }
    classes
}

fn least_rows(totals: Totals, plan: &CoarsePlan) -> f64 {
    plan.min_share * (totals.good + totals.bad) as f64
}

/// Every run of fine classes that may be a class.
struct Runs {
    fine: usize,
    /// WOE and share of the information value of `[from, to)` at `from * (fine + 1) + to`; `None` if the terms refuse it.
    table: Vec<Option<(f64, f64)>>,
}

impl Runs {
    fn new(good: &[i64], bad: &[i64], totals: Totals, plan: &CoarsePlan, smoothing: f64) -> Self {
        let fine = good.len();
        let least = least_rows(totals, plan);
        let enough = |count: i64, least: u64| u64::try_from(count).is_ok_and(|count| count >= least);
        let mut table = vec![None; fine * (fine + 1)];
        for from in 0..fine {
            let (mut goods, mut bads) = (0, 0);
            for to in from + 1..=fine {
                goods += good[to - 1];
                bads += bad[to - 1];
                let fits = (goods + bads) as f64 >= least && enough(goods, plan.min_good) && enough(bads, plan.min_bad);
                if fits {
                    let evidence = evidence(goods, bads, totals, smoothing);
                    table[from * (fine + 1) + to] = Some((evidence.woe, evidence.value));
                }
            }
        }
        Self { fine, table }
    }

    fn get(&self, from: usize, to: usize) -> Option<(f64, f64)> {
        self.table[from * (self.fine + 1) + to]
    }
}

/// Part of a trend.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leg {
    Any,
    /// The bad rate rises: the WOE falls.
    Rising,
    Falling,
}

impl Leg {
    fn allows(self, woe: f64, next: f64) -> bool {
        match self {
            Self::Any => true,
            Self::Rising => next <= woe,
            Self::Falling => next >= woe,
        }
    }
}

/// A cut into runs.
struct Cut {
    starts: Vec<usize>,
    value: f64,
}

/// The best way to a state: its value, where the run before begins, and the leg of that run.
#[derive(Clone, Copy)]
struct Way {
    value: f64,
    before: usize,
    leg: usize,
}

/// A further class must add as much information value as this; below, it is noise of the arithmetic.
const WORTH: f64 = 1e-9;

fn best_cut(runs: &Runs, most: usize, legs: &[Leg]) -> Option<Cut> {
    let fine = runs.fine;
    let place = |leg: usize, from: usize, to: usize| (leg * fine + from) * (fine + 1) + to;
    // One layer a number of runs.
    let mut layers: Vec<Vec<Option<Way>>> = Vec::new();
    let mut best: Option<(f64, usize, usize, usize)> = None;
    for count in 0..most.min(fine) {
        let mut layer = vec![None; legs.len() * fine * (fine + 1)];
        for (leg, from) in (0..legs.len()).flat_map(|leg| (0..fine).map(move |from| (leg, from))) {
            for to in from + 1..=fine {
                let Some((woe, value)) = runs.get(from, to) else { continue };
                layer[place(leg, from, to)] = match layers.last() {
                    None => (from == 0 && leg == 0).then_some(Way { value, before: 0, leg }),
                    Some(last) => (0..from)
                        .flat_map(|before| (leg.saturating_sub(1)..=leg).map(move |last_leg| (before, last_leg)))
                        .filter_map(|(before, last_leg)| {
                            let way = last[place(last_leg, before, from)]?;
                            let (last_woe, _) = runs.get(before, from)?;
                            legs[leg].allows(last_woe, woe).then_some(Way {
                                value: way.value + value,
                                before,
                                leg: last_leg,
                            })
                        })
                        .reduce(|best, way| if way.value > best.value { way } else { best }),
                };
            }
            if let Some(way) = layer[place(leg, from, fine)]
                && best.is_none_or(|(value, ..)| way.value > value + WORTH)
            {
                best = Some((way.value, count, leg, from));
            }
        }
        layers.push(layer);
    }
    let (value, count, mut leg, mut from) = best?;
    let mut starts = vec![from];
    let mut to = fine;
    for layer in layers[1..=count].iter().rev() {
        let way = layer[place(leg, from, to)]?;
        (to, from, leg) = (from, way.before, way.leg);
        starts.push(from);
    }
    starts.reverse();
    Some(Cut { starts, value })
}

#[cfg(test)]
mod tests;
