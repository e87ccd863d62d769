//! Looks for what must not stand in a log: given terms in every form that a program would write them in, and whatever has the
//! form of an identifier.
//!
//! Terms are found as they are, in hexadecimal, in base64 at any of its three alignments, and as their bare SHA-256, which a
//! dictionary undoes. A term shorter than six bytes is in random bytes by chance: it is compared with whole texts of entries only.
//! What has the form of a credit code, an identity number or a mobile number is found without any term.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use tally_audit::Entry;
use tally_crypto::transcript::Digest;
use tally_data::IdentifierKind;

#[cfg(test)]
mod tests;

/// Bytes that a form must have to be looked for anywhere.
const SHORTEST: usize = 6;

/// Something that must not be there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hit {
    /// Where it begins, in bytes from the beginning; of an entry, where the entry begins.
    pub(crate) place: usize,
    /// What it is. A term is named by its line, not repeated.
    pub(crate) what: String,
}

/// Terms, ready to be looked for.
#[derive(Default)]
pub(crate) struct Scanner {
    /// By its bytes, each form with the line of its term.
    forms: HashMap<Vec<u8>, Form>,
    /// By first bytes, the lengths of the forms that begin with them.
    lengths: HashMap<[u8; SHORTEST], Vec<usize>>,
    /// Terms that are compared with whole texts.
    words: HashMap<String, usize>,
}

struct Form {
    name: &'static str,
    line: usize,
}

impl Scanner {
    /// The terms of a file, one a line; empty lines count and mean nothing.
    pub(crate) fn new(terms: &str) -> Self {
        let mut scanner = Self::default();
        for (place, term) in terms.lines().enumerate() {
            let (term, line) = (term.trim(), place + 1);
            if term.is_empty() {
                continue;
            }
            scanner.words.entry(term.to_owned()).or_insert(line);
            if term.len() >= SHORTEST {
                scanner.add(term.as_bytes(), line);
            }
        }
        scanner
    }

    fn add(&mut self, term: &[u8], line: usize) {
        let digest = Digest::of_bytes(term);
        let mut forms = vec![
            (term.to_vec(), "as it is"),
            (hex::encode(term).into_bytes(), "in hexadecimal"),
            (hex::encode_upper(term).into_bytes(), "in hexadecimal"),
            (digest.to_string().into_bytes(), "as its bare SHA-256"),
            (digest.0.to_vec(), "as its bare SHA-256"),
            (BASE64.encode(digest.0).into_bytes(), "as its bare SHA-256"),
        ];
        forms.extend((0..3).map(|shift| (in_base64(term, shift), "in base64")));
        for (bytes, name) in forms {
            if let Some(first) = bytes.first_chunk() {
                let lengths = self.lengths.entry(*first).or_default();
                if !lengths.contains(&bytes.len()) {
                    lengths.push(bytes.len());
                }
                self.forms.entry(bytes).or_insert(Form { name, line });
            }
        }
    }

    /// What is found in the bytes of a file, whatever it holds.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Vec<Hit> {
        let mut hits = Vec::new();
        for (place, first) in bytes.windows(SHORTEST).enumerate() {
            let first: Option<&[u8; SHORTEST]> = first.try_into().ok();
            for length in first.and_then(|first| self.lengths.get(first)).into_iter().flatten() {
                if let Some(form) = bytes.get(place..place + length).and_then(|found| self.forms.get(found)) {
                    hits.push(Hit { place, what: format!("term of line {}, {}", form.line, form.name) });
                }
            }
        }
        let mut place = 0;
        for run in bytes.split(|byte| !byte.is_ascii_alphanumeric()) {
            hits.extend(identifier(run).map(|what| Hit { place, what: what.into() }));
            place += run.len() + 1;
        }
        hits
    }

    /// What an entry must not say: texts that are terms, numbers where the schema has texts, free text, fields of another schema.
    pub(crate) fn entry(&self, bytes: &[u8], place: usize) -> Vec<Hit> {
        let mut found = Vec::new();
        match serde_json::from_slice(bytes) {
            Ok(value) => self.value(&value, &mut found),
            Err(_) => found.push("not JSON".into()),
        }
        if let Err(reason) = Entry::decode(bytes) {
            found.push(format!("not of the closed schema: {reason}"));
        }
        found.into_iter().map(|what| Hit { place, what: format!("an entry: {what}") }).collect()
    }

    fn value(&self, value: &Value, found: &mut Vec<String>) {
        match value {
            Value::String(text) => self.text(text, found),
            Value::Array(items) => items.iter().for_each(|item| self.value(item, found)),
            Value::Object(fields) => {
                for (name, field) in fields {
                    self.text(name, found);
                    self.value(field, found);
                }
            }
            Value::Number(number) if !number.is_i64() && !number.is_u64() => found.push("a fraction".into()),
            Value::Number(_) | Value::Bool(_) | Value::Null => {}
        }
    }

    fn text(&self, text: &str, found: &mut Vec<String>) {
        if let Some(line) = self.words.get(text) {
            found.push(format!("term of line {line}"));
        }
        let hexadecimal = [16, 64].contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let version = text.bytes().filter(|byte| *byte == b'.').count() > 1;
        if !hexadecimal && !version && text.parse::<f64>().is_ok() {
            found.push("a number in a text".into());
        }
        if text.chars().any(char::is_whitespace) {
            found.push("free text".into());
        }
    }
}

/// The characters of base64 that `term` fixes when `shift` bytes stand before it in its group of three.
fn in_base64(term: &[u8], shift: usize) -> Vec<u8> {
    let encoded = BASE64.encode([&[0; 2][..shift], term].concat());
    let (from, to) = ((8 * shift).div_ceil(6), 8 * (shift + term.len()) / 6);
    encoded.as_bytes()[from..to].to_vec()
}

/// What a run of letters and digits has the form of.
fn identifier(run: &[u8]) -> Option<&'static str> {
    let text = std::str::from_utf8(run).ok()?;
    match run.len() {
        18 if is_identity_number(run) => Some("has the form of an identity number"),
        18 if text == text.to_uppercase() && IdentifierKind::Uscc.canonical(text).is_ok() => {
            Some("has the form of a credit code")
        }
        11 if is_mobile_number(run) => Some("has the form of a mobile number"),
        _ => None,
    }
}

/// GB 11643-1999: region, date of birth, and a check digit by ISO 7064 MOD 11-2.
fn is_identity_number(run: &[u8]) -> bool {
    let (Some((check, digits)), Some(date)) = (run.split_last(), run.get(6..14)) else { return false };
    if !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let number = |digits: &[u8]| digits.iter().fold(0, |sum, digit| 10 * sum + u32::from(digit - b'0'));
    let plausible = (1900..2100).contains(&number(&date[..4]))
        && (1..=12).contains(&number(&date[4..6]))
        && (1..=31).contains(&number(&date[6..]));
    let sum = digits.iter().fold(0, |sum, digit| (sum + u32::from(digit - b'0')) * 2 % 11);
    let expected = b"10X98765432"[(sum % 11) as usize];
    plausible && check.to_ascii_uppercase() == expected
}

fn is_mobile_number(run: &[u8]) -> bool {
    run.iter().all(u8::is_ascii_digit) && run[0] == b'1' && (b'3'..=b'9').contains(&run[1])
}
