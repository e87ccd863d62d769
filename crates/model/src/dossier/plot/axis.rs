//! Axes: a range, and where its ticks lie.

use crate::dossier::words::fixed;

/// One axis.
#[derive(Clone, Debug)]
pub(in crate::dossier) struct Axis {
    low: f64,
    high: f64,
    /// Places and labels of the ticks.
    pub(super) ticks: Vec<(f64, String)>,
    /// What is measured.
    pub(super) label: String,
    /// Ticks name bands, not places.
    pub(super) bands: bool,
}

impl Axis {
    /// An axis over at least the given range, widened to round ends.
    pub(in crate::dossier) fn linear(low: f64, high: f64, label: &str) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        let step = round_step((high - low) / 5.0);
        let (first, last) = ((low / step).floor(), (high / step).ceil().max((low / step).floor() + 1.0));
        let digits = usize::try_from(-(libm::log10(step) + 1e-9).floor() as i64).unwrap_or(0).min(6);
        let ticks = (0..=((last - first) as usize).min(12)).map(|place| (first + place as f64) * step);
        Self {
            low: first * step,
            high: last * step,
            ticks: ticks.map(|value| (value, fixed(value, digits))).collect(),
            label: label.into(),
            bands: false,
        }
    }

    /// An axis of shares from 0 to at least `high`, in percent.
    pub(in crate::dossier) fn shares(high: f64, label: &str) -> Self {
        let mut axis = Self::linear(0.0, 100.0 * high, label);
        axis.ticks.iter_mut().for_each(|(value, label)| {
            *value /= 100.0;
            label.push('%');
        });
        axis.low /= 100.0;
        axis.high /= 100.0;
        axis
    }

    /// An axis of named bands, each one unit wide around 0, 1, ….
    pub(in crate::dossier) fn named(names: impl IntoIterator<Item = String>) -> Self {
        let ticks: Vec<_> = names.into_iter().enumerate().map(|(place, name)| (place as f64, name)).collect();
        Self { low: -0.5, high: ticks.len() as f64 - 0.5, ticks, label: String::new(), bands: true }
    }

    /// The same with labels for a low picture: at most four.
    pub(in crate::dossier) fn sparse(mut self) -> Self {
        let every = self.ticks.len().div_ceil(4).max(1);
        let zero = self.ticks.iter().position(|tick| tick.0.abs() < 1e-9).unwrap_or(0);
        let kept = self.ticks.into_iter().enumerate().filter(|(place, _)| place.abs_diff(zero).is_multiple_of(every));
        self.ticks = kept.map(|(_, tick)| tick).collect();
        self
    }

    /// The ends.
    pub(in crate::dossier) fn ends(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// Where a value lies between the ends, 0 to 1.
    pub(super) fn share(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// The smallest of 1, 2, 5 times a power of ten that is at least `step`.
fn round_step(step: f64) -> f64 {
    let power = libm::pow(10.0, libm::log10(step).floor());
    let round = [1.0, 2.0, 5.0].into_iter().map(|digit| digit * power).find(|round| *round >= step * (1.0 - 1e-9));
    round.unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_range() {
        let labels = |axis: Axis| axis.ticks.into_iter().map(|tick| tick.1).collect::<Vec<_>>();
        assert_eq!(labels(Axis::linear(0.0, 1.0, "")), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(Axis::linear(-0.7, 1.2, "")), ["−1.0", "−0.5", "0.0", "0.5", "1.0", "1.5"]);
        assert_eq!(labels(Axis::linear(481.0, 655.0, "")), ["450", "500", "550", "600", "650", "700"]);
        assert_eq!(labels(Axis::shares(0.3, "")), ["0%", "10%", "20%", "30%"]);
        let (low, high) = Axis::linear(3.0, 3.0, "").ends();
        assert!(low <= 3.0 && high > 3.0 && (high - low).is_finite());
    }
}
