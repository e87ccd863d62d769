//! Single values as text: what the type says that they mean, in the fewest digits that mean it.

use std::fmt::Write as _;

use tally_policy::Day;

/// Whole numbers from here on are not all doubles: they are shown with an exponent, so that no code is taken for whole.
const NOT_ALL_WHOLE: f64 = 9_007_199_254_740_992.0;
/// The same of single floats.
const NOT_ALL_WHOLE_SINGLE: f32 = 16_777_216.0;

/// A double; NaN is no value.
pub(in crate::table) fn float(value: f64, text: &mut String) -> bool {
    if value.is_nan() {
        return true;
    }
    if value.is_finite() && value.abs() >= NOT_ALL_WHOLE {
        return text.write_str(&with_exponent(format!("{value:e}"))).is_ok();
    }
    write!(text, "{value}").is_ok()
}

/// A single float, as the shortest decimal that it prints as; NaN is no value.
pub(in crate::table) fn single(value: f32, text: &mut String) -> bool {
    if value.is_nan() {
        return true;
    }
    if value.is_finite() && value.abs() >= NOT_ALL_WHOLE_SINGLE {
        return text.write_str(&with_exponent(format!("{value:e}"))).is_ok();
    }
    write!(text, "{value}").is_ok()
}

fn with_exponent(text: String) -> String {
    text.replace('e', "e+")
}

/// IEEE 754 half precision, little-endian.
pub(in crate::table) fn half(bytes: &[u8], text: &mut String) -> bool {
    let Ok(bytes) = <[u8; 2]>::try_from(bytes) else { return false };
    let bits = u16::from_le_bytes(bytes);
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff));
    let magnitude = match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + fraction) * 2f32.powi(exponent - 25),
    };
    single(if bits >> 15 == 1 { -magnitude } else { magnitude }, text)
}

/// A two's complement integer, big-endian; `None` if it takes more than 16 bytes.
pub(in crate::table) fn integer(bytes: &[u8]) -> Option<i128> {
    let negative = bytes.first().is_some_and(|first| *first >= 0x80);
    let filling = if negative { 0xff } else { 0 };
    let more = bytes.len().saturating_sub(16);
    let (filled, bytes) = bytes.split_at(more);
    if !filled.iter().all(|byte| *byte == filling) {
        return None;
    }
    let mut whole = [filling; 16];
    whole[16 - bytes.len()..].copy_from_slice(bytes);
    let value = i128::from_be_bytes(whole);
    (value.is_negative() == negative).then_some(value)
}

/// A decimal by its value: the digits before and behind its point, without zeros at the end.
pub(in crate::table) fn decimal(value: i128, scale: u32, text: &mut String) -> bool {
    let scale = scale as usize;
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, part) = digits.split_at(digits.len() - scale);
    let part = part.trim_end_matches('0');
    let sign = if value < 0 { "-" } else { "" };
    let written = if part.is_empty() { write!(text, "{sign}{whole}") } else { write!(text, "{sign}{whole}.{part}") };
    written.is_ok()
}

/// Days since 1970-01-01 as YYYY-MM-DD.
pub(in crate::table) fn date(days: i64, text: &mut String) -> bool {
    const MOST: i64 = 2_900_000;
    (-MOST..MOST).contains(&days) && write!(text, "{}", Day::of(days * Day::MILLISECONDS)).is_ok()
}

/// A UUID.
pub(in crate::table) fn uuid(bytes: &[u8], text: &mut String) -> bool {
    let groups = bytes.iter().enumerate();
    bytes.len() == 16
        && groups
            .map(
                |(place, byte)| {
                    if [4, 6, 8, 10].contains(&place) {
                        write!(text, "-{byte:02x}")
                    } else {
                        write!(text, "{byte:02x}")
                    }
                },
            )
            .all(|written| written.is_ok())
}
