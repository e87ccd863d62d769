//! Bins of numbers: right-closed intervals `(a, b]`, code 0 for missing, then 1, 2, … upwards.

/// Equal-frequency cuts of the values at hand: the inner quantiles by linear interpolation, repeated ones once; none at the largest
/// value, above which no bin has a row.
///
/// Equal to `numpy.unique(numpy.nanquantile(values, linspace(0, 1, bins + 1)[1:-1]))` but for that one.
pub fn equal_frequency(values: &[f64], bins: u16) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return Vec::new() };
    let mut cuts: Vec<f64> = (1..bins)
        .map(|cut| {
            let place = last as f64 * f64::from(cut) / f64::from(bins);
            let below = place.floor() as usize;
            between(sorted[below], sorted[last.min(below + 1)], place.fract())
        })
        .filter(|cut| *cut < sorted[last])
        .collect();
    cuts.dedup();
    cuts
}

/// The number a share of the way from one to the next; never that, unless they are equal, so that what lies above the cut stays
/// above.
fn between(below: f64, above: f64, share: f64) -> f64 {
    if below == above {
        return below;
    }
    let gap = above - below;
    let number = if gap.is_finite() { below + gap * share } else { below * (1.0 - share) + above * share };
    number.clamp(below, above.next_down())
}

/// The code of a value: 0 for NaN, else one more than the number of cuts below it.
pub fn code(cuts: &[f64], value: f64) -> u16 {
    if value.is_nan() {
        return 0;
    }
    let below = cuts.partition_point(|cut| *cut < value);
    u16::try_from(below + 1).unwrap_or(u16::MAX)
}

/// The code of a value where special values have codes of their own, after those of the bins; they are in rising order.
pub fn code_apart(cuts: &[f64], special: &[f64], value: f64) -> u16 {
    match special.iter().position(|one| *one == value) {
        Some(place) => u16::try_from(cuts.len() + 2 + place).unwrap_or(u16::MAX),
        None => code(cuts, value),
    }
}

/// An integer whose order is the order of the numbers (IEEE 754 total order without NaN).
pub(crate) fn order_key(value: f64) -> u64 {
    // Minus zero and zero are one value.
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

/// The number with this [`order_key`]; keys beyond the finite numbers give the nearest finite one. No number has the key below that
/// of zero, where minus zero would be: it gives the number before.
pub(crate) fn from_order_key(key: u64) -> f64 {
    let key = if key == (1 << 63) - 1 { key - 1 } else { key };
    let bits = if key >> 63 == 1 { key & !(1 << 63) } else { !key };
    let value = f64::from_bits(bits);
    if value.is_finite() {
        value
    } else if key >> 63 == 1 {
        f64::MAX
    } else {
        f64::MIN
    }
}

/// A number with few digits that is at least `low` and below `high`; `low` itself where there is none other.
pub(crate) fn shortest_from(low: f64, high: f64) -> f64 {
    if low <= 0.0 && 0.0 < high {
        return 0.0;
    }
    let fits = |number: &f64| (low..high).contains(number);
    (0..17).find_map(|digits| rounded_up(low, digits).filter(fits)).unwrap_or(low)
}

/// The least number of so many digits after the first that is not below `value`.
fn rounded_up(value: f64, digits: usize) -> Option<f64> {
    let text = format!("{value:.digits$e}");
    let (mantissa, exponent) = text.split_once('e')?;
    let mantissa: i64 = mantissa.replace('.', "").parse().ok()?;
    let exponent = exponent.parse::<i64>().ok()? - digits as i64;
    let number = |mantissa: i64| format!("{mantissa}e{exponent}").parse::<f64>().ok();
    number(mantissa).filter(|nearest| *nearest >= value).or_else(|| number(mantissa + 1))
}

/// A number with few digits in `[low, high]`: an end, rounded as far as it stays inside.
pub(crate) fn roundest(low: f64, high: f64) -> f64 {
    if low <= 0.0 && 0.0 <= high {
        return 0.0;
    }
    for digits in 0..17 {
        for end in [high, low] {
            let rounded: f64 = format!("{end:.digits$e}").parse().unwrap_or(end);
            if (low..=high).contains(&rounded) {
                return rounded;
            }
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_codes_are_those_of_the_reference() {
        let values = [3.0, f64::NAN, 1.0, 2.0, 4.0, 4.0, 4.0];
        assert_eq!(equal_frequency(&values, 4), [2.25, 3.5]);
        assert_eq!(values.map(|value| code(&[2.25, 3.5, 4.0], value)), [2, 0, 1, 1, 3, 3, 3]);
        assert!(equal_frequency(&[f64::NAN], 4).is_empty());
    }

    #[test]
    fn order_keys_keep_order_and_come_back() {
        let sorted = [f64::MIN, -2.5, -1e-300, 0.0, 1e-300, 1.0, 1.0 + f64::EPSILON, f64::MAX];
        assert!(sorted.windows(2).all(|pair| order_key(pair[0]) < order_key(pair[1])));
        assert!(sorted.iter().all(|value| from_order_key(order_key(*value)) == *value));
        assert_eq!(order_key(-0.0), order_key(0.0));
        assert_eq!(from_order_key(u64::MAX), f64::MAX);
    }

    #[test]
    fn round_numbers_are_preferred() {
        assert_eq!(roundest(1999.98, 2000.01), 2000.0);
        assert_eq!(roundest(-0.1, 0.2), 0.0);
        assert_eq!(roundest(0.123_44, 0.123_461), 0.12346);
    }
}
