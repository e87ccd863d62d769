use tally_audit::{Body, Ledger};

use super::*;

/// Valid by their check characters, of nobody.
const CODE: &str = "91350100M000100Y43";
const IDENTITY: &str = "11010519491231002X";

fn whats(hits: &[Hit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.what.as_str()).collect()
}

#[test]
fn a_term_is_found_in_every_form_and_at_every_alignment() {
    let scanner = Scanner::new("first\n\n13912345678901\n");
    let term = b"13912345678901";
    let raw = |form: &[u8]| [b"{\"x\":\"".as_slice(), form, b"\"}"].concat();
    for (form, word) in [
        (raw(term), "as it is"),
        (raw(hex::encode(term).as_bytes()), "hexadecimal"),
        (raw(hex::encode_upper(term).as_bytes()), "hexadecimal"),
        (raw(Digest::of_bytes(term).to_string().as_bytes()), "SHA-256"),
        (raw(&Digest::of_bytes(term).0), "SHA-256"),
        (raw(BASE64.encode(term).as_bytes()), "base64"),
        (raw(BASE64.encode([b"a".as_slice(), term, b"b"].concat()).as_bytes()), "base64"),
        (raw(BASE64.encode([b"ab".as_slice(), term, b"bcd"].concat()).as_bytes()), "base64"),
    ] {
        let hits = scanner.bytes(&form);
        assert_eq!(hits.len(), 1, "{word}: {hits:?}");
        assert!(hits[0].what.contains("line 3") && hits[0].what.contains(word), "{hits:?}");
    }
    assert_eq!(scanner.bytes(b"{\"x\":\"1391234567890\"}"), []);
}

#[test]
fn identifiers_are_found_by_their_form() {
    let scanner = Scanner::new("");
    for (text, word) in [
        (format!("\"{CODE}\""), "credit code"),
        (format!("x_{CODE}."), "credit code"),
        (format!("\"{IDENTITY}\""), "identity number"),
        ("\"13912345678\"".into(), "mobile number"),
    ] {
        let hits = scanner.bytes(text.as_bytes());
        assert!(hits.len() == 1 && hits[0].what.contains(word), "{text}: {hits:?}");
    }
    // One character off, or a part of something longer.
    for text in ["91350100M000100Y44", "110105194912310021", "12912345678", "139123456789", "a13912345678"] {
        assert_eq!(scanner.bytes(text.as_bytes()), [], "{text}");
    }
    assert_eq!(scanner.bytes(Digest::of_bytes(b"x").to_string().as_bytes()), []);
}

#[test]
fn an_entry_says_names_digests_and_counts_only() {
    let scanner = Scanner::new("4711\nMiller\n");
    let entry = |body: Body| {
        let (mut ledger, mut bytes) = (Ledger::new("platform"), Vec::new());
        let mut batch = ledger.batch();
        batch.append(Some("1234567890123456"), 1, "platform", body).unwrap();
        batch
            .commit(|entries| {
                bytes = entries[0].clone();
                Ok::<_, ()>(())
            })
            .unwrap();
        bytes
    };
    let export = |format: &str| {
        entry(Body::Export { object: Digest::default(), format: format.into(), allow: true, failed: None })
    };
    assert_eq!(scanner.entry(&export("pmml"), 7), []);
    let genesis = Body::Genesis { role: "bank".into(), log_vkey: "a+b+c".into(), software: "0.1.0".into() };
    assert_eq!(scanner.entry(&entry(genesis), 7), []);
    assert_eq!(
        scanner.entry(&entry(Body::Erase { kind: "score".into(), count: 4711, certificate: Digest::default() }), 0),
        []
    );
    for (text, expected) in [
        ("4711", vec!["an entry: term of line 1", "an entry: a number in a text"]),
        ("Miller", vec!["an entry: term of line 2"]),
        ("12.5", vec!["an entry: a number in a text"]),
        ("a name", vec!["an entry: free text"]),
    ] {
        assert_eq!(whats(&scanner.entry(&export(text), 7)), expected);
    }
    let foreign = String::from_utf8(export("pmml")).unwrap().replace("\"allow\":true", "\"allow\":true,\"score\":0.25");
    assert_eq!(whats(&scanner.entry(foreign.as_bytes(), 0))[0], "an entry: a fraction");
    assert!(whats(&scanner.entry(foreign.as_bytes(), 0))[1].contains("closed schema"));
}
