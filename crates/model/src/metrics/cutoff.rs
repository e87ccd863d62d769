//! The cut-off table: what a lender approves, and how bad it is, for each score at which the line may be drawn.

use super::estimate::Estimate;
use super::histogram::{Cell, Histogram};

/// One band of scores, and what approving it and everything safer means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CutOff {
    /// First cell of the band.
    pub first_cell: usize,
    /// Last cell of the band.
    pub last_cell: usize,
    /// Rows of the band.
    pub band: Cell,
    /// Rows of this band and the safer ones.
    pub approved: Cell,
    /// Share of all rows that is approved.
    pub approval: f64,
    /// Bad rate among the approved.
    pub bad_rate: Estimate,
    /// Share of the bad rows that is declined.
    pub bad_declined: f64,
    /// Share of the good rows that is declined.
    pub good_declined: f64,
}

/// The cut-off table in quantile bands, safest first.
pub fn cut_offs(histogram: &Histogram, bands: usize) -> Vec<CutOff> {
    let all = histogram.total();
    let mut approved = Cell::default();
    let bands = histogram.bands(bands).into_iter();
    bands
        .map(|band| {
            approved = approved.plus(band.total);
            CutOff {
                first_cell: band.cells.start,
                last_cell: band.cells.end - 1,
                band: band.total,
                approved,
                approval: approved.rows() as f64 / all.rows() as f64,
                bad_rate: Estimate::proportion(approved.bad, approved.rows()),
                bad_declined: (all.bad - approved.bad) as f64 / all.bad as f64,
                good_declined: (all.good - approved.good) as f64 / all.good as f64,
            }
        })
        .collect()
}
