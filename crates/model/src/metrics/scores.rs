//! Good and bad rows per group of score cells, as they are released: the histogram, and where its groups lie.

use serde::{Deserialize, Serialize};

use super::histogram::{Cell, Histogram};
use super::ranking::Figures;
use crate::request::ScoreGrid;
use crate::text::Text;

/// A released histogram of log-odds of bad.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreCells {
    /// The cells.
    pub grid: ScoreGrid,
    /// Cells that are counted together, in order; those without rows are left out.
    pub groups: Vec<ScoreGroup>,
}

/// Most by which an AUC may be open: a score of two values, which is no fault of the groups, is by up to a quarter.
const COARSEST: f64 = 0.25;

/// Why a figure is not given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Withheld {
    /// No histogram was released, or it holds rows of one kind only.
    OneKind,
    /// Too many rows are counted together: ties leave the AUC open by so much.
    Folded {
        /// Half the share of pairs of a good and a bad row that are tied.
        open: f64,
    },
    /// Too few banks have good and bad rows, or one left in between.
    FewBanks,
    /// The contract did not ask for it.
    NotAsked,
}

impl Withheld {
    /// In words.
    pub fn words(self) -> Text {
        match self {
            Self::OneKind => Text::new(
                "未给出：直方图未释放，或只含一类样本",
                "withheld: the histogram was not released, or holds loans of one kind only",
            ),
            Self::Folded { open } => Text::new(
                &format!("未给出：支撑银行过少的分数段被合并计数，AUC 有 ±{open:.2} 不能确定"),
                &format!(
                    "withheld: cells with too few banks are counted together, which leaves the AUC open by {open:.2} either way"
                ),
            ),
            Self::FewBanks => Text::new(
                "未给出：同时有好、坏样本的银行过少，或中途有银行退出",
                "withheld: too few banks have good and bad loans, or one left in between",
            ),
            Self::NotAsked => Text::new("合同未约定此项", "the contract did not ask for it"),
        }
    }
}

/// Neighbouring cells that are counted together. JSON has them as `[first, last, good, bad]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u32, u32, i64, i64)", into = "(u32, u32, i64, i64)")]
pub struct ScoreGroup {
    /// First cell.
    pub first: u32,
    /// Last cell.
    pub last: u32,
    /// Their rows.
    pub rows: Cell,
}

impl From<(u32, u32, i64, i64)> for ScoreGroup {
    fn from((first, last, good, bad): (u32, u32, i64, i64)) -> Self {
        Self { first, last, rows: Cell { good, bad } }
    }
}

impl From<ScoreGroup> for (u32, u32, i64, i64) {
    fn from(group: ScoreGroup) -> Self {
        (group.first, group.last, group.rows.good, group.rows.bad)
    }
}

impl ScoreCells {
    /// From `good, bad` words per cell; `starts` are the first cells of the groups, which hold the rows of their group.
    pub fn released(grid: ScoreGrid, starts: &[usize], words: &[i64]) -> Self {
        let ends = starts.iter().skip(1).copied().chain([grid.cells as usize]);
        let group = |(&first, end): (&usize, usize)| {
            let rows = Cell { good: *words.get(2 * first)?, bad: *words.get(2 * first + 1)? };
            let cell = |place: usize| u32::try_from(place).ok();
            (rows != Cell::default()).then_some(ScoreGroup {
                first: cell(first)?,
                last: cell(end.checked_sub(1)?)?,
                rows,
            })
        };
        Self { grid, groups: starts.iter().zip(ends).filter_map(group).collect() }
    }

    /// All rows.
    pub fn rows(&self) -> Cell {
        self.groups.iter().fold(Cell::default(), |sum, group| sum.plus(group.rows))
    }

    /// The histogram of the groups; `None` under the conditions of [`Histogram::new`].
    pub fn histogram(&self) -> Option<Histogram> {
        Histogram::new(self.groups.iter().map(|group| group.rows).collect())
    }

    /// What the order of the rows inside groups may add to the AUC or take from it: half the share of pairs of a good and a bad
    /// row that are tied.
    pub fn open(&self) -> f64 {
        let (all, pairs) = (self.rows(), |cell: Cell| cell.good as f64 * cell.bad as f64);
        let tied: f64 = self.groups.iter().map(|group| pairs(group.rows)).sum();
        if pairs(all) > 0.0 { tied / pairs(all) / 2.0 } else { 0.5 }
    }

    /// The histogram, where its groups are fine enough for figures.
    ///
    /// # Errors
    /// Says why there are none.
    pub fn told(&self) -> Result<Histogram, Withheld> {
        let histogram = self.histogram().ok_or(Withheld::OneKind)?;
        let open = self.open();
        if open <= COARSEST { Ok(histogram) } else { Err(Withheld::Folded { open }) }
    }

    /// Its AUC, KS and Gini; `None` under the same conditions.
    pub fn figures(&self) -> Option<Figures> {
        self.histogram().map(|histogram| histogram.figures())
    }

    /// The group that a score is counted in: the last one that begins at or below it, or the first.
    pub fn group(&self, score: f64) -> usize {
        let cell = self.grid.cell(score);
        self.groups.partition_point(|group| group.first as usize <= cell).saturating_sub(1)
    }

    /// Log-odds between which a group lies; infinite at the open ends of the grid.
    pub fn ends(&self, group: usize) -> (f64, f64) {
        let Some(group) = self.groups.get(group) else { return (f64::NEG_INFINITY, f64::INFINITY) };
        let low = if group.first == 0 { f64::NEG_INFINITY } else { self.edge(group.first) };
        let high = if group.last + 1 >= self.grid.cells { f64::INFINITY } else { self.edge(group.last + 1) };
        (low, high)
    }

    /// Log-odds that stand for a group: the middle; for an open group, half a cell beyond its end.
    pub fn middle(&self, group: usize) -> f64 {
        let half = self.grid.step / 2.0;
        match self.ends(group) {
            (low, high) if low.is_finite() && high.is_finite() => low + (high - low) / 2.0,
            (low, _) if low.is_finite() => low + half,
            (_, high) if high.is_finite() => high - half,
            _ => self.grid.low + half * f64::from(self.grid.cells.saturating_sub(2)),
        }
    }

    /// Lower end of a cell other than the first.
    fn edge(&self, cell: u32) -> f64 {
        self.grid.low + self.grid.step * (f64::from(cell) - 1.0)
    }
}
