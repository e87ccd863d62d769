//! Numbers as people write them, and what to write instead; short quotations from a file.

/// Most characters that a message shows of a value.
const SHOWN: usize = 40;

/// What stands for a missing value in files of other programs.
const NOTHING: [&str; 14] = ["null", "na", "n/a", "#n/a", "nan", "none", "nil", "\\n", "-", "--", "?", ".", "无", "空"];

/// A value for a message: on one line, of a field at most 40 characters.
pub fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).map(|one| if one.is_control() { ' ' } else { one }).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.pop();
        shown.push('…');
    }
    format!("`{shown}`")
}

/// The first of a category's values, for a message.
pub fn some_of(values: &[String]) -> String {
    const SHOWN: usize = 12;
    let first: Vec<_> = values.iter().take(SHOWN).map(String::as_str).collect();
    let more = values.len().saturating_sub(SHOWN);
    first.join(", ") + &if more > 0 { format!(", and {more} more") } else { String::new() }
}

/// Whether text is what other programs write where there is no value: `NULL`, `NA`, `\N` and the like.
pub fn stands_for_nothing(text: &str) -> bool {
    NOTHING.contains(&text.to_lowercase().as_str())
}

/// Reads a number; NaN where the text is empty.
///
/// # Errors
/// Says what to write instead.
pub fn number(text: &str) -> Result<f64, String> {
    if text.is_empty() {
        return Ok(f64::NAN);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err(not_a_number(text)),
    }
}

/// Whether text means a number that is written otherwise than files write them, or that no double holds.
pub fn nearly_number(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(|value| !value.is_nan()) || instead(text).is_some()
}

fn not_a_number(text: &str) -> String {
    let shown = quoted(text);
    if stands_for_nothing(text) {
        return format!("{shown} is not a number: leave the value empty where there is none");
    }
    if text.parse::<f64>().is_ok() {
        return format!(
            "{shown} is not a finite number: write the number that is meant, or nothing where there is none"
        );
    }
    match instead(text) {
        Some((what, plain)) => format!("{shown} has {what}: write {plain}"),
        None => {
            format!("{shown} is not a number: write digits with a decimal point, or nothing where there is no value")
        }
    }
}

/// What makes text not a number, and the number in plain digits.
fn instead(text: &str) -> Option<(&'static str, String)> {
    let plain = |text: &str| text.parse::<f64>().is_ok_and(f64::is_finite) && text.len() <= SHOWN;
    let narrow: String = text.chars().map(narrowed).collect();
    if narrow != text && plain(narrow.trim()) {
        return Some(("full-width characters", format!("{} in half-width digits", narrow.trim())));
    }
    let text = narrow.trim();
    if let Some(number) = text.strip_suffix('%').map(str::trim_end).and_then(without_commas) {
        return Some(("a percent sign", format!("{number} without it, if the field counts in percent")));
    }
    for (unit, places) in [('万', 4), ('亿', 8)] {
        let number = text.strip_suffix("元").unwrap_or(text).strip_suffix(unit).map(str::trim_end);
        if let Some(number) = number.and_then(without_commas) {
            return Some(("a unit of ten thousands", shifted(&number, places)?));
        }
    }
    let bare = text.trim_start_matches(['¥', '$', '€']).trim_end_matches('元').trim();
    if bare != text {
        return Some(("a currency", format!("{} alone", without_commas(bare)?)));
    }
    let number = without_commas(text)?;
    Some((
        "commas or blanks between its digits",
        format!("{number} with a decimal point and nothing between the digits"),
    ))
}

fn narrowed(character: char) -> char {
    match character {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(character as u32 - 0xfee0).unwrap_or(character),
        '\u{3000}' | '\u{a0}' | '\u{202f}' | '\u{2009}' => ' ',
        '\u{2212}' => '-',
        '\u{ffe5}' => '¥',
        other => other,
    }
}

/// A number without separators of thousands, or with a point for a decimal comma.
fn without_commas(text: &str) -> Option<String> {
    let plain = |text: String| (text.parse::<f64>().is_ok_and(f64::is_finite) && text.len() <= SHOWN).then_some(text);
    let grouped = |separator: char| {
        let whole = text.split('.').next().unwrap_or_default();
        whole.split(separator).skip(1).all(|group| group.len() == 3)
    };
    if let Some((whole, part)) = text.split_once(',')
        && !part.contains([',', '.'])
        && part.len() != 3
    {
        return plain(format!("{whole}.{part}"));
    }
    if !grouped(',') || !grouped(' ') {
        return None;
    }
    plain(text.replace([',', ' ', '\'', '_'], ""))
}

/// The digits of a number, its decimal point moved to the right.
fn shifted(number: &str, places: usize) -> Option<String> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if !part.bytes().all(|byte| byte.is_ascii_digit()) || number.contains(['e', 'E']) {
        return None;
    }
    let moved = format!("{part:0<places$}");
    let (more, rest) = moved.split_at(places.min(moved.len()));
    let rest = rest.trim_end_matches('0');
    let whole = format!("{whole}{more}");
    let bare = whole.trim_start_matches('0');
    let whole = if bare.is_empty() { "0" } else { bare };
    Some(if rest.is_empty() { whole.to_owned() } else { format!("{whole}.{rest}") })
}
