//! Words in the reader's language, and numbers as they are printed.

use crate::metrics::Estimate;
use crate::request::FieldBins;
use crate::text::{Language, Text};

/// The reader's language.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words(pub(super) Language);

impl Words {
    /// The one of two wordings.
    pub(super) fn say<'a>(self, zh: &'a str, en: &'a str) -> &'a str {
        match self.0 {
            Language::Zh => zh,
            Language::En => en,
        }
    }

    /// A text from outside.
    pub(super) fn of(self, text: &Text) -> &str {
        text.in_language(self.0)
    }

    /// What a code of a field stands for.
    pub(super) fn bin(self, bins: &FieldBins, labels: &[String], code: usize) -> String {
        if code == 0 {
            return self.say("缺失", "missing").into();
        }
        match bins {
            FieldBins::Codes(_) => match labels.get(code - 1) {
                Some(label) => label.clone(),
                None => format!("{} {code}", self.say("分箱", "bin")),
            },
            FieldBins::Special { cuts, special } if code > cuts.len() + 1 => {
                let value = special.get(code - cuts.len() - 2).copied().unwrap_or(f64::NAN);
                format!("= {}", short(value))
            }
            FieldBins::Cuts(cuts) | FieldBins::Special { cuts, .. } => {
                match (cuts.get(code.wrapping_sub(2)), cuts.get(code - 1)) {
                    (None, None) => self.say("全部", "all").into(),
                    (None, Some(high)) => format!("≤ {}", short(*high)),
                    (Some(low), None) => format!("> {}", short(*low)),
                    (Some(low), Some(high)) => format!("({}, {}]", short(*low), short(*high)),
                }
            }
        }
    }
}

/// A figure with so many digits after the point and a true minus sign.
pub(super) fn fixed(value: f64, digits: usize) -> String {
    let rounded = format!("{value:.digits$}");
    let zero = rounded.trim_start_matches('-').chars().all(|character| character == '0' || character == '.');
    match rounded.strip_prefix('-') {
        Some(magnitude) if zero => magnitude.into(),
        Some(magnitude) => format!("−{magnitude}"),
        None => rounded,
    }
}

/// A share in percent.
pub(super) fn percent(share: f64) -> String {
    format!("{} %", fixed(100.0 * share, 1))
}

/// A count with its thousands apart.
pub(super) fn count(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    if value < 0 { format!("−{out}") } else { out }
}

/// An interval.
pub(super) fn interval(estimate: &Estimate, digits: usize) -> String {
    format!("{} – {}", fixed(estimate.low, digits), fixed(estimate.high, digits))
}

/// A signed figure.
pub(super) fn signed(value: f64, digits: usize) -> String {
    let printed = fixed(value, digits);
    let zero = printed.chars().all(|character| character == '0' || character == '.');
    if printed.starts_with('−') || zero { printed } else { format!("+{printed}") }
}

/// A p-value: four digits, or less than that.
pub(super) fn p_value(value: f64) -> String {
    if value < 0.0001 { "< 0.0001".into() } else { fixed(value, 4) }
}

/// A number of the data in few characters.
pub(crate) fn short(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= f64::MAX {
        return if value > 0.0 { "∞".into() } else { "−∞".into() };
    }
    if magnitude != 0.0 && !(1e-3..1e7).contains(&magnitude) {
        return format!("{value:.3e}").replace('-', "−");
    }
    let digits = if magnitude >= 1000.0 {
        1
    } else if magnitude >= 10.0 {
        2
    } else {
        4
    };
    let printed = fixed(value, digits);
    if printed.contains('.') { printed.trim_end_matches('0').trim_end_matches('.').into() } else { printed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(fixed(-0.00001, 2), "0.00");
        assert_eq!(fixed(-1.5, 1), "−1.5");
        assert_eq!(signed(0.25, 2), "+0.25");
        assert_eq!(signed(-0.001, 2), "0.00");
        assert_eq!(count(1_234_567).replace('\u{202f}', " "), "1 234 567");
        assert_eq!(short(2000.0), "2000");
        assert_eq!(short(0.25), "0.25");
        // The cut of a bin that is counted together with all above it.
        assert_eq!([short(f64::MAX), short(f64::MIN)], ["∞", "−∞"]);
        assert_eq!(short(-1.5e9), "−1.500e9");
        assert_eq!(p_value(1e-9), "< 0.0001");
    }

    #[test]
    fn bins_say_what_they_hold() {
        let words = Words(Language::En);
        let cuts = FieldBins::Cuts(vec![1.0, 2.5]);
        let named = |code| words.bin(&cuts, &[], code);
        assert_eq!([named(0), named(1), named(2), named(3)], ["missing", "≤ 1", "(1, 2.5]", "> 2.5"]);
        assert_eq!(words.bin(&FieldBins::Cuts(Vec::new()), &[], 1), "all");
        assert_eq!(words.bin(&FieldBins::Codes(2), &["own".into()], 1), "own");
        assert_eq!(words.bin(&FieldBins::Codes(2), &[], 2), "bin 2");
    }
}
