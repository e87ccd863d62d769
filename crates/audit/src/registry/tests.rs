use tally_crypto::seed::Seed;

use super::*;

fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&Seed::new([number; 32]))
}

fn party(name: &str, number: u8) -> RegistryParty {
    RegistryParty {
        name: name.into(),
        role: "bank".into(),
        node_key: key(number).verify_key(),
        log_vkey: note::vkey(name, &key(number + 100).verify_key()),
        tls_key: Some(Digest([number; 32])),
    }
}

fn registry(change: impl FnOnce(&mut Registry)) -> Registry {
    let mut registry = Registry::new(&key(1));
    registry.parties = vec![party("bank-1", 11), party("bank-2", 12), party("bank-3", 13)];
    registry.registrars = vec![NamedKey { name: "office".into(), key: key(21).verify_key() }];
    registry.list_authorities = vec![NamedKey { name: "bureau".into(), key: key(22).verify_key() }];
    change(&mut registry);
    registry.sign(&key(1));
    registry
}

fn read(registry: &Registry) -> Result<Registry, RegistryError> {
    Registry::parse(&serde_json::to_string(registry).unwrap())
}

/// A consortium, or who has its key, signs three banks that are one.
#[test]
fn one_key_under_two_names_is_refused_by_both() {
    assert_eq!(read(&registry(|_| ())).unwrap().parties.len(), 3);
    let same = |what: &str, change: fn(&mut Registry)| {
        let error = read(&registry(change)).unwrap_err().to_string();
        assert!(error.contains("bank-1") && error.contains("bank-3") && error.contains(what), "{error}");
    };
    same("node key", |registry| registry.parties[2].node_key = key(11).verify_key());
    same("log key", |registry| registry.parties[2].log_vkey = note::vkey("bank-3", &key(111).verify_key()));
    same("TLS key", |registry| registry.parties[2].tls_key = Some(Digest([11; 32])));
    let twice =
        registry(|registry| registry.registrars.push(NamedKey { name: "other".into(), key: key(21).verify_key() }));
    assert!(matches!(read(&twice), Err(RegistryError::SameKey { .. })));
}

/// What an older release wrote reads as before; it is bound as soon as every node's certificate was issued anew.
#[test]
fn registries_of_version_1_read_and_those_of_version_2_are_bound() {
    let older = registry(|registry| registry.parties[0].tls_key = None);
    assert_eq!(older.version, 1);
    let text = serde_json::to_string(&older).unwrap();
    assert!(!text.contains("version"));
    assert_eq!(Registry::parse(&text).unwrap(), older);
    let bound = registry(|_| ());
    assert_eq!(bound.version, 2);
    let text = serde_json::to_string(&bound).unwrap();
    let stripped = text.replace("\"version\":2,", "");
    assert_eq!(Registry::parse(&stripped), Err(RegistryError::Signature), "the version is signed");
    let mut unbound = registry(|registry| registry.parties[0].tls_key = None);
    unbound.version = 2;
    unbound.signature = key(1).sign(LABEL, &unbound.signed_text());
    assert_eq!(read(&unbound), Err(RegistryError::Unbound("bank-1".into())));
    unbound.version = 3;
    unbound.signature = key(1).sign(LABEL, &unbound.signed_text());
    assert!(matches!(read(&unbound), Err(RegistryError::Format(_))));
}

#[test]
fn another_consortium_is_told_from_the_one_asked_for() {
    let registry = registry(|_| ());
    registry.demand(&key(1).verify_key()).unwrap();
    let error = registry.demand(&key(2).verify_key()).unwrap_err().to_string();
    assert!(error.contains(&key(1).verify_key().to_string()) && error.contains(&key(2).verify_key().to_string()));
}
