use tally_crypto::seed::Seed;
use tally_crypto::sign::SigningKey;

use super::*;
use crate::fixture::{Memory, ORIGIN, Stored, key, registry};
use crate::policy::Policy;
use crate::registry::NamedKey;
use std::collections::BTreeMap;

const SALT: [u8; 16] = [3; 16];

fn contract() -> Envelope {
    let mut envelope = Envelope::new("application/vnd.example+json", b"{\"terms\":1}");
    envelope.sign(&key()).unwrap();
    envelope
}

/// A log whose entry 1 names a contract, and entry 2 commits to a subject.
fn log() -> (Memory, Stored) {
    let (folder, mut stored) = (Memory::default(), Stored::of(1));
    let bodies = [
        Body::SessionContract {
            contract: contract().payload_digest().unwrap(),
            parties: vec![ORIGIN.into()],
            purpose: "loan-underwriting".into(),
            fields: BTreeMap::new(),
            list: 1,
            dataset: "snapshot".into(),
            as_of: "2026-01-31".into(),
            data: Digest::default(),
            min_cohort: 1,
        },
        Body::Decision {
            grantee: "bank-1".into(),
            purpose: "loan-underwriting".into(),
            subject: commit("subject", &SALT, b"91310000MA1K35X00X"),
            allow: true,
            failed: None,
            consent: Some(commit("consent", &SALT, &[9; 32])),
            list: 1,
        },
    ];
    let mut batch = stored.ledger.batch();
    for body in bodies {
        batch.append(Some("s"), 9, ORIGIN, body).unwrap();
    }
    let entries = &mut stored.entries;
    batch
        .commit(|bytes| {
            entries.extend_from_slice(bytes);
            Ok::<_, ()>(())
        })
        .unwrap();
    stored.grow(300);
    stored.resume(&folder).unwrap();
    (folder, stored)
}

fn trusted(registry: &Registry) -> Trust<'_> {
    Trust { registry: Some(registry), policy: None }
}

fn opening(field: &str, value: Value) -> Opening {
    Opening { field: field.into(), salt: hex::encode(SALT), value }
}

#[test]
fn evidence_verifies_alone() {
    let (folder, _) = log();
    let known = registry();
    let mut evidence = Evidence::gather(&folder, 2, trusted(&known)).unwrap();
    evidence.openings = vec![
        opening("subject", Value::Text("91310000MA1K35X00X".into())),
        opening("consent", Value::Hex(hex::encode([9; 32]))),
    ];
    let text = serde_json::to_string_pretty(&evidence).unwrap();
    drop(folder);
    let read = Evidence::parse_all(&text).unwrap().remove(0);
    assert_eq!(read, evidence);
    // The registry is in the file; its consortium's key is known from elsewhere.
    let inside = read.registry.clone().unwrap();
    inside.demand(&key().verify_key()).unwrap();
    let proven = read.verify(trusted(&inside)).unwrap();
    assert_eq!((proven.entry.index, proven.opened), (2, vec!["subject".into(), "consent".into()]));
    assert_eq!(proven.witnessed.checkpoint.size, 300);
    // Or the log's key alone.
    let policy = format!("log {}\nquorum none\n", known.parties[0].log_vkey);
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    assert!(read.verify(Trust { registry: None, policy: Some(&policy) }).is_ok());
    assert!(read.verify(Trust::default()).is_err(), "whom nobody trusts");
}

#[test]
fn a_contract_must_be_signed_by_its_parties() {
    let (folder, _) = log();
    let known = registry();
    let mut evidence = Evidence::gather(&folder, 1, trusted(&known)).unwrap();
    evidence.envelope = Some(contract());
    let document = Document { field: "contract".into(), signed_by: vec![ORIGIN.into()] };
    assert_eq!(evidence.verify(trusted(&known)).unwrap().document, Some(document));
    // A registrar that bears the party's name has not signed for it.
    let mut namesake = registry();
    namesake.registrars.push(NamedKey { name: ORIGIN.into(), key: key().verify_key() });
    namesake.parties[0].node_key = SigningKey::from_seed(&Seed::new([8; 32])).verify_key();
    let refused = evidence.verify(trusted(&namesake)).unwrap_err().to_string();
    assert!(refused.contains("is a party of the contract"), "{refused}");
    evidence.envelope.as_mut().unwrap().signatures[0].sig.0[5] ^= 1;
    assert!(matches!(evidence.verify(trusted(&known)), Err(EvidenceError::Document(_))));
    let mut other = Envelope::new("application/vnd.example+json", b"{\"terms\":2}");
    other.sign(&key()).unwrap();
    evidence.envelope = Some(other);
    assert!(matches!(evidence.verify(trusted(&known)), Err(EvidenceError::Document(_))));
}

#[test]
fn changed_evidence_is_refused() {
    let (folder, stored) = log();
    let known = registry();
    let evidence = Evidence::gather(&folder, 2, trusted(&known)).unwrap();
    let refused = |change: &dyn Fn(&mut Evidence)| {
        let mut changed = evidence.clone();
        change(&mut changed);
        assert_ne!(changed, evidence);
        changed.verify(trusted(&known)).unwrap_err().to_string()
    };
    let other = String::from_utf8(stored.entries[3].clone()).unwrap();
    refused(&|evidence| evidence.entry = other.clone());
    refused(&|evidence| evidence.entry = evidence.entry.replace("true", "false"));
    refused(&|evidence| evidence.entry.push(' '));
    refused(&|evidence| evidence.proof = evidence.proof.replace("index 2", "index 3"));
    refused(&|evidence| evidence.proof = evidence.proof.replace("\n300\n", "\n301\n"));
    for (field, value) in [("subject", "91310000MA1K35X00Y"), ("grantee", "bank-1"), ("consent", "91310000MA1K35X00X")]
    {
        let wrong = refused(&|evidence| evidence.openings.push(opening(field, Value::Text(value.into()))));
        assert!(wrong.contains(field), "{wrong}");
    }
    let salted = Opening { salt: "00".into(), ..opening("subject", Value::Text("91310000MA1K35X00X".into())) };
    refused(&|evidence| evidence.openings.push(salted.clone()));
    let stranger = SigningKey::from_seed(&Seed::new([8; 32]));
    let mut other = registry();
    other.parties[0].log_vkey = crate::note::vkey(ORIGIN, &stranger.verify_key());
    assert!(evidence.verify(trusted(&other)).is_err());
    assert!(Evidence::gather(&folder, 300, trusted(&known)).is_err());
    assert!(Evidence::gather(&folder, 2, trusted(&other)).is_err());
    let text = serde_json::to_string(&evidence).unwrap();
    assert!(Evidence::parse_all(&text.replace("evidence-v1", "evidence-v2")).is_err());
    assert!(Evidence::parse_all(&text.replacen('{', "{\"more\":1,", 1)).is_err());
}

#[test]
fn an_entry_concerns_who_acts_and_who_is_named() {
    let entry = |actor: &str, body: Body| Entry {
        v: 1,
        index: 0,
        time: 1,
        node: "platform".into(),
        actor: actor.into(),
        session: None,
        seq: None,
        prev: None,
        body,
    };
    let sum = |bank: &str| Body::RoundResult {
        round: 0,
        request: Digest::default(),
        sums: Digest::default(),
        cohort: vec!["bank-1".into(), bank.into()],
    };
    let noop = || Body::Noop { salt: Digest::default() };
    assert!(concerns(&entry("bank-2", noop()), "bank-2"));
    assert!(concerns(&entry("platform", sum("bank-2")), "bank-2"));
    assert!(!concerns(&entry("platform", sum("bank-22")), "bank-2"));
    // Its own name stands in every entry of a log and says nothing.
    assert!(!concerns(&entry("bank-1", noop()), "platform"));
}
