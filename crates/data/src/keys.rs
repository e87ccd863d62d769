//! Identifiers: Unified Social Credit Codes (GB 32100-2015) with their check character, or any text.

/// What identifiers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentifierKind {
    /// Unified Social Credit Codes: 18 characters, the last a check character.
    Uscc,
    /// Any text, trimmed.
    Text,
}

/// What is wrong with an identifier. The identifier itself is not repeated: it may be personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing is there.
    #[error("the identifier is empty")]
    Empty,
    /// Not 18 characters.
    #[error("a credit code has 18 characters, this one {0}")]
    Length(usize),
    /// A character that the standard does not use.
    #[error("character {0} is not one that credit codes use")]
    Character(usize),
    /// A number that a spreadsheet has cut.
    #[error(
        "the identifier is a number with an exponent: its digits are lost; format the column as text where it comes from"
    )]
    Exponent,
    /// The check character does not fit.
    #[error("the check character does not fit: a character was mistyped")]
    Check,
}

/// The standard's characters in order of their values: no I, O, S, V, Z.
const ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";

impl IdentifierKind {
    /// The canonical spelling: trimmed, and for credit codes upper case, full-width characters narrowed, checked.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn canonical(self, text: &str) -> Result<String, KeyError> {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(KeyError::Empty);
        }
        if has_exponent(trimmed) {
            return Err(KeyError::Exponent);
        }
        match self {
            Self::Text => Ok(trimmed.to_owned()),
            Self::Uscc => check_code(trimmed.chars().map(narrow).collect()),
        }
    }
}

/// A number like `1.23E+17`: what spreadsheets make of long numbers.
fn has_exponent(text: &str) -> bool {
    let Some((digits, power)) = text.split_once("E+").or_else(|| text.split_once("e+")) else { return false };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let numeric = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !whole.is_empty() && !power.is_empty() && numeric(whole) && numeric(part) && numeric(power)
}

/// The check character of the first 17 characters of a credit code; `None` if they are not such characters.
pub fn check_character(body: &str) -> Option<char> {
    let values = body.bytes().map(value).collect::<Option<Vec<_>>>()?;
    // GB 32100-2015, section 4.6: weights are the powers of 3 modulo 31.
    let (sum, _) = values.iter().fold((0, 1), |(sum, weight), value| (sum + value * weight, weight * 3 % 31));
    (values.len() == 17).then(|| char::from(ALPHABET[(31 - sum % 31) % 31]))
}

fn check_code(code: String) -> Result<String, KeyError> {
    let length = code.chars().count();
    if length != 18 {
        return Err(KeyError::Length(length));
    }
    if let Some(place) = code.bytes().position(|byte| value(byte).is_none()) {
        return Err(KeyError::Character(place + 1));
    }
    if check_character(&code[..17]) == code.chars().last() { Ok(code) } else { Err(KeyError::Check) }
}

fn value(byte: u8) -> Option<usize> {
    ALPHABET.iter().position(|known| *known == byte)
}

fn narrow(character: char) -> char {
    let narrowed = match character {
        // Full-width forms lie at a fixed distance from ASCII.
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(character as u32 - 0xfee0).unwrap_or(character),
        _ => character,
    };
    narrowed.to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_codes_check_out() {
        // Published codes of well-known companies.
        for code in ["91440300708461136T", "91110000802100433B", "914403001922038216"] {
            assert_eq!(IdentifierKind::Uscc.canonical(code), Ok(code.into()));
        }
    }

    #[test]
    fn spelling_is_made_canonical_and_mistakes_are_named() {
        let canonical = |text: &str| IdentifierKind::Uscc.canonical(text);
        assert_eq!(canonical(" ９1440300708461136t "), Ok("91440300708461136T".into()));
        assert_eq!(canonical("91440300708461136A"), Err(KeyError::Check));
        assert_eq!(canonical("9144030070846113"), Err(KeyError::Length(16)));
        assert_eq!(canonical("9144030070846I136T"), Err(KeyError::Character(14)));
        assert_eq!(canonical("  "), Err(KeyError::Empty));
        assert_eq!(IdentifierKind::Text.canonical(" P5-1 "), Ok("P5-1".into()));
        for text in ["1.23E+17", "9e+10", "1.23456789012346E+17"] {
            assert_eq!(IdentifierKind::Text.canonical(text), Err(KeyError::Exponent), "{text}");
            assert_eq!(IdentifierKind::Uscc.canonical(text), Err(KeyError::Exponent), "{text}");
        }
        for text in ["12E3", "E+5", "P1E+5", "1E+", "1E-5"] {
            assert_eq!(IdentifierKind::Text.canonical(text), Ok(text.into()));
        }
    }
}
