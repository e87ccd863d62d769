//! Weight of evidence and information value of one binned field.
//!
//! `WOE(bin) = ln(good share / bad share)` with the smoothing added to each cell of the bin; the shares are of all good and
//! all bad rows. A bin without rows has WOE 0 and adds nothing to the information value, which is
//! `sum (good share - bad share) x WOE`. Higher WOE means safer. Reference: Siddiqi, Credit Risk Scorecards, 2006.

/// WOE of every bin, and the information value, from good and bad counts per bin.
pub(crate) fn woe(good: &[i64], bad: &[i64], smoothing: f64) -> (Vec<f64>, f64) {
    let (all_good, all_bad) = (good.iter().sum::<i64>() as f64, bad.iter().sum::<i64>() as f64);
    if all_good <= 0.0 || all_bad <= 0.0 {
        return (vec![0.0; good.len()], 0.0);
    }
    let mut iv = 0.0;
    let bins = good.iter().zip(bad).map(|(&good, &bad)| {
        if good + bad <= 0 {
            return 0.0;
        }
        let (good, bad) = ((good as f64 + smoothing) / all_good, (bad as f64 + smoothing) / all_bad);
        let woe = libm::log(good / bad);
        iv += (good - bad) * woe;
        woe
    });
    let woe = bins.collect();
    (woe, iv)
}
