//! Who changes sides between two scores: rows that both approve, at pairs of lines.
//!
//! What each score approves is known from its histogram, so the rows that both approve give all of a table of two by two. Two
//! such tables, at the lines of an approval rate and at those of the KS, cut the pairs of scores into nine cells at most. Banks
//! are counted cell by cell, rows only by which of the tables have a cell among those that both scores approve: with the
//! margins that is just what the tables tell. It is shown if no combination of it and of the margins stands on too few banks.

use serde::{Deserialize, Serialize};

use crate::contribution::BothScores;
use crate::metrics::Cell;
use crate::release::Axis;
use crate::request::{Model, ScoreGrid};

/// One or two pairs of lines. Words: `good, bad` per pair of bands between the lines; what is released of them is counted in the
/// first band of those that both scores approve at the same pairs of lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SwapLines {
    /// The joint model.
    pub model: Model,
    /// The cells.
    pub grid: ScoreGrid,
    /// Per pair, the first cells that the joint model and that the banks' own models decline.
    pub pairs: Vec<[u32; 2]>,
}

/// Where the pairs of bands are.
struct Layout {
    /// Lines of the joint and of the banks' own models, upwards.
    lines: [Vec<u32>; 2],
    /// The bands and, bit by bit, the pairs of lines at which both scores approve them; equal ones side by side.
    cells: Vec<([usize; 2], usize)>,
}

impl SwapLines {
    /// Words of the answer.
    pub(crate) fn words(&self) -> usize {
        2 * self.layout().cells.len()
    }

    /// The pairs of bands, of which every row and every column is known.
    pub(crate) fn axis(&self) -> Axis {
        let layout = self.layout();
        let cells = layout.cells.len();
        let is_first = |place: &usize| *place == 0 || layout.cells[*place].1 != layout.cells[*place - 1].1;
        let known = |side: usize| (0..=layout.lines[side].len()).map(move |band| (side, band));
        let margin =
            |(side, band): (usize, usize)| (0..cells).filter(|place| layout.cells[*place].0[side] == band).collect();
        Axis {
            cells,
            sides: 1,
            words: 2,
            counts: 2,
            known: known(0).chain(known(1)).map(margin).collect(),
            parts: (0..cells).filter(is_first).collect(),
            last_apart: false,
        }
    }

    /// What rows add.
    pub(crate) fn add(&self, rows: impl Iterator<Item = BothScores>, words: &mut [i64]) {
        let layout = self.layout();
        for row in rows {
            let band = |side: usize, score| {
                let cell = self.grid.cell(score);
                layout.lines[side].partition_point(|line| *line as usize <= cell)
            };
            let bands = [band(0, row.joint), band(1, row.bank_only)];
            if let Some(place) = layout.cells.iter().position(|cell| cell.0 == bands) {
                words[2 * place + usize::from(row.bad)] += 1;
            }
        }
    }

    /// Per pair of lines, the rows that both scores approve.
    pub(crate) fn approved(&self, words: &[i64]) -> Vec<Cell> {
        let layout = self.layout();
        let approved = |pair: usize| {
            let cells = layout.cells.iter().zip(words.chunks_exact(2)).filter(|(cell, _)| cell.1 >> pair & 1 == 1);
            cells.fold(Cell::default(), |sum, (_, words)| sum.plus(Cell { good: words[0], bad: words[1] }))
        };
        (0..self.pairs.len()).map(approved).collect()
    }

    fn layout(&self) -> Layout {
        let lines = [0, 1].map(|side: usize| {
            let mut lines: Vec<u32> = self.pairs.iter().map(|pair| pair[side]).collect();
            lines.sort_unstable();
            lines.dedup();
            lines
        });
        let below = |side: usize, band: usize, line: u32| lines[side].get(band).is_some_and(|upper| *upper <= line);
        let approves = |bands: [usize; 2]| {
            let both = |pair: &[u32; 2]| below(0, bands[0], pair[0]) && below(1, bands[1], pair[1]);
            self.pairs.iter().enumerate().map(|(place, pair)| usize::from(both(pair)) << place).sum::<usize>()
        };
        let bands = (0..=lines[0].len()).flat_map(|joint| (0..=lines[1].len()).map(move |own| [joint, own]));
        let mut cells: Vec<_> = bands.map(|bands| (bands, approves(bands))).collect();
        cells.sort_by_key(|cell| std::cmp::Reverse(cell.1));
        Layout { lines, cells }
    }
}
