//! A holder's rows, ready for the next request: the same sums as [`contribution`], at the speed of the additions.

use rayon::prelude::*;
use tally_crypto::transcript::Digest;

use super::codes::Codes;
use super::contribution::{check_fields, drawn, gradient, row_loss, scale};
use super::forest::Forest;
use super::kernel::{MAX_SCALE_BITS, Pair};
use super::partition::Partition;
use super::request::{Histogram, Loss};
use super::siblings::Siblings;
use crate::contribution::{ContributionError, contribution, judge};
use crate::request::{Kind, RowSet, SumRequest};
use crate::rows::Table;

/// Rows with what they keep between requests: codes, log-odds under the forest so far, gradients, the rows of every node,
/// the histograms of its leaves.
///
/// What is kept counts only as far as a request goes on where the last one ended; otherwise it is made anew.
#[derive(Clone, Debug)]
pub struct Holder {
    table: Table,
    kept: Option<Kept>,
}

#[derive(Clone, Debug)]
struct Kept {
    codes: Codes,
    /// Names the forest of `log_odds`, and how many trees it has.
    forest: Option<(Digest, usize)>,
    log_odds: Vec<f64>,
    /// Names the forest of `pairs`, and the bits of their scale.
    scaled: Option<(Digest, u32)>,
    pairs: Vec<Pair>,
    /// The rows and histograms of the leaves.
    grown: Option<(Partition, Siblings)>,
}

impl Holder {
    /// A holder of these rows.
    pub fn new(table: Table) -> Self {
        Self { table, kept: None }
    }

    /// The rows.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// What the rows add to the sum: equal to [`contribution`], whatever was asked before.
    ///
    /// # Errors
    /// Fails if the table does not have the columns that the request names.
    pub fn contribution(&mut self, request: &SumRequest) -> Result<Vec<i64>, ContributionError> {
        let fast = request.scale_bits <= MAX_SCALE_BITS || !matches!(request.kind, Kind::Histogram(_));
        let Some(forest) = request.kind.forest().filter(|_| fast) else { return contribution(request, &self.table) };
        self.table.check()?;
        let Some(kept) = Kept::of(forest, self.kept.take(), &self.table)? else {
            // Codes that do not fit a byte.
            return contribution(request, &self.table);
        };
        let kept = self.kept.insert(kept);
        match &request.kind {
            Kind::Histogram(asked) => kept.histogram(request, asked, &self.table),
            Kind::Loss(asked) => kept.loss(request, asked, &self.table),
            _ => kept.judge(request, &self.table),
        }
    }
}

impl Kept {
    /// Brings what is kept up to this forest: codes once, then the log-odds of the trees that are new.
    fn of(forest: &Forest, kept: Option<Self>, table: &Table) -> Result<Option<Self>, ContributionError> {
        let mut kept = match kept.filter(|kept| kept.codes.are_of(forest.bins())) {
            Some(kept) => kept,
            None => {
                let Some(codes) = Codes::new(forest, table)? else { return Ok(None) };
                Self { codes, forest: None, log_odds: Vec::new(), scaled: None, pairs: Vec::new(), grown: None }
            }
        };
        let continued = kept.forest.filter(|(digest, trees)| forest.continues(digest, *trees));
        let known = continued.map_or(0, |(_, trees)| trees);
        if continued.is_none() {
            kept.log_odds.clear();
            kept.log_odds.resize(table.rows(), forest.base());
        }
        for tree in &forest.trees()[known..] {
            kept.codes.add_values(tree, &mut kept.log_odds);
        }
        kept.forest = Some((forest.digest(), forest.trees().len()));
        Ok(Some(kept))
    }

    fn histogram(
        &mut self,
        request: &SumRequest,
        asked: &Histogram,
        table: &Table,
    ) -> Result<Vec<i64>, ContributionError> {
        check_fields(asked)?;
        self.rescale(request.scale_bits, table);
        let kept = self.grown.take().filter(|(partition, _)| partition.goes_on(request.rows, asked));
        let (mut partition, siblings) = match kept {
            Some(grown) => grown,
            None => {
                let rows = drawn(&asked.draws, table, &chosen(request.rows, table))?;
                (Partition::new(request.rows, asked, rows), Siblings::default())
            }
        };
        partition.grow(&asked.tree, &self.codes);
        let mut siblings = siblings.of(asked, request.scale_bits);
        let words = siblings.histogram(asked, &partition, &self.codes, &self.pairs);
        self.grown = Some((partition, siblings));
        Ok(words)
    }

    /// `g` and `h` of every row, once a forest.
    fn rescale(&mut self, scale_bits: u32, table: &Table) {
        let wanted = self.forest.map(|(forest, _)| (forest, scale_bits));
        if self.scaled == wanted {
            return;
        }
        self.scaled = wanted;
        let scale = scale(scale_bits);
        self.pairs.resize(table.rows(), Pair::default());
        let rows = self.pairs.par_iter_mut().zip(&self.log_odds).zip(&table.label);
        rows.with_min_len(4096).for_each(|((pair, log_odds), label)| {
            let (g, h) = gradient(*log_odds, *label, scale);
            *pair = Pair::new(g, h);
        });
    }

    fn loss(&self, request: &SumRequest, asked: &Loss, table: &Table) -> Result<Vec<i64>, ContributionError> {
        let scale = scale(request.scale_bits);
        let rows = drawn(&asked.draws, table, &chosen(request.rows, table))?;
        let of_row = |row: usize| {
            let bad = i64::from(table.label[row] == 1);
            [row_loss(self.log_odds[row], table.label[row], scale), 1 - bad, bad]
        };
        let plus = |left: [i64; 3], right: [i64; 3]| [left[0] + right[0], left[1] + right[1], left[2] + right[2]];
        let sum = rows.par_iter().with_min_len(4096).map(|row| of_row(*row)).reduce(|| [0; 3], plus);
        Ok(sum.to_vec())
    }

    fn judge(&self, request: &SumRequest, table: &Table) -> Result<Vec<i64>, ContributionError> {
        let mut words = vec![0; request.words()];
        judge(request, &self.log_odds, table, &chosen(request.rows, table), &mut words)?;
        Ok(words)
    }
}

fn chosen(rows: RowSet, table: &Table) -> Vec<usize> {
    rows.of(table).collect()
}
