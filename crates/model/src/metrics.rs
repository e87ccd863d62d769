//! How well scores separate good from bad: AUC, KS, Gini. Ties count half.

use serde::{Deserialize, Serialize};

/// The three figures; higher scores mean worse loans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Area under the ROC curve: the chance that a bad loan scores worse than a good one.
    pub auc: f64,
    /// Kolmogorov-Smirnov distance between the score distributions.
    pub ks: f64,
    /// `2 AUC - 1`.
    pub gini: f64,
}

/// From good and bad counts per score cell, cells in order of score; `None` without good or without bad rows.
pub fn from_cells(cells: impl IntoIterator<Item = (i64, i64)>) -> Option<Figures> {
    let (mut good, mut bad, mut pairs) = (0i64, 0i64, 0.0f64);
    let mut path = Vec::new();
    for (cell_good, cell_bad) in cells {
        // Exact below 2^53 pairs; beyond, the rounding is far below the figures' digits.
        pairs += cell_bad as f64 * (good as f64 + cell_good as f64 / 2.0);
        good += cell_good;
        bad += cell_bad;
        path.push((good, bad));
    }
    if good <= 0 || bad <= 0 {
        return None;
    }
    let (all_good, all_bad) = (good as f64, bad as f64);
    let auc = pairs / (all_good * all_bad);
    let distance = |(good, bad): &(i64, i64)| (*good as f64 / all_good - *bad as f64 / all_bad).abs();
    let ks = path.iter().map(distance).fold(0.0, f64::max);
    Some(Figures { auc, ks, gini: 2.0 * auc - 1.0 })
}

/// From the scores themselves.
pub fn exact(scores: &[f64], labels: &[u8]) -> Option<Figures> {
    let mut rows: Vec<_> = scores.iter().zip(labels).collect();
    rows.sort_unstable_by(|a, b| a.0.total_cmp(b.0));
    let cells = rows.chunk_by(|a, b| a.0 == b.0).map(|cell| {
        let bad = cell.iter().filter(|(_, label)| **label == 1).count() as i64;
        (cell.len() as i64 - bad, bad)
    });
    from_cells(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_small_sample() {
        // Pairs (bad, good): .8 against .1 .4 .35 .8: 3.5; .35 against the same: 1.5; in all 5 of 8.
        let figures = exact(&[0.1, 0.4, 0.35, 0.8, 0.8, 0.35], &[0, 0, 0, 0, 1, 1]).unwrap();
        assert_eq!(figures.auc, 5.0 / 8.0);
        assert_eq!(figures.gini, 0.25);
        assert_eq!(figures.ks, 0.25);
        assert_eq!(exact(&[1.0], &[1]), None);
    }
}
