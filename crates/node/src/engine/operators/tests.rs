use std::path::Path;

use tally_audit::order::Order;
use tally_city::ca::Authority;
use tally_crypto::seed::Seed;
use tally_crypto::sign::SigningKey;

use super::*;
use crate::config::{Config, Role};
use crate::control::Command;
use crate::directory::Directory;
use crate::engine::now;
use crate::failure::FailureKind;
use crate::keys::NodeKeys;
use crate::node_directory;

/// A bank's node, at which so many must approve.
fn node(folder: &Path, approvals: u8) -> Engine {
    let mut authority = Authority::init(&folder.join("ca"), b"passphrase", (2026, 11, 1)).unwrap();
    let directory = Directory::new(folder.join("bank-1"));
    let link = ("dial = \"127.0.0.1:1\"\nplatform = \"platform\"", Some(authority.key()));
    node_directory::create(&directory, "bank-1", Role::Bank, link, b"passphrase").unwrap();
    node_directory::certify(&mut authority, &directory).unwrap();
    std::fs::copy(folder.join("ca/registry.json"), directory.path().join("registry.json")).unwrap();
    let mut config = Config::read(&directory.config()).unwrap();
    config.session.approvals = approvals;
    let keys = NodeKeys::read(&directory.node_keys(), b"passphrase").unwrap();
    Engine::open(directory, config, keys).unwrap()
}

fn key(name: &str) -> SigningKey {
    SigningKey::from_seed(&Seed::new(Digest::of_bytes(name.as_bytes()).0))
}

fn add(engine: &mut Engine, name: &str, key: &SigningKey) -> Result<Value, Failure> {
    let (name, key) = (name.to_owned(), key.verify_key());
    engine.ask(Command::OperatorAdd { name, key, role: OperatorRole::Development })
}

fn added(name: &str) -> Decision {
    Decision::OperatorAdd { name: name.into(), key: key(name).verify_key(), role: "development".into() }
}

fn order(who: &str, decision: Decision) -> SignedOrder {
    Order::new("bank-1", now(), decision).sign(who, &key(who))
}

fn sign(engine: &mut Engine, order: SignedOrder) -> Result<Value, Failure> {
    engine.ask(Command::OperatorSign { order })
}

fn refused(done: Result<Value, Failure>, word: &str) {
    let failure = done.unwrap_err();
    assert!(failure.kind == FailureKind::Refused && failure.message.contains(word), "{failure}");
}

fn acting(engine: &Engine) -> Vec<String> {
    engine.active().unwrap().into_iter().map(|one| one.name).collect()
}

/// Whoever reaches the socket makes up persons: one process under the node's account is then all of them.
#[test]
fn one_process_is_not_two_persons() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = node(folder.path(), 1);
    add(&mut engine, "wang", &key("wang")).unwrap();
    refused(add(&mut engine, "lin", &key("wang")), "the key is that of operator `wang`");
    let waits = add(&mut engine, "lin", &key("lin")).unwrap();
    assert_eq!(waits["needed"], 1);
    // Nor is another key put under a name that waits for a signature.
    refused(add(&mut engine, "lin", &key("evil")), "with another key or role");
    add(&mut engine, "lin", &key("lin")).unwrap();
    assert_eq!(acting(&engine), ["wang"]);
    // Not by the one it is about, nor by anybody unknown.
    refused(sign(&mut engine, order("lin", added("lin"))), "not known here");
    let mut forged = order("lin", added("lin"));
    forged.operator = "wang".into();
    refused(sign(&mut engine, forged), "not signed by operator `wang`");
    // Not with another key than the one that waits.
    let other = Decision::OperatorAdd { name: "lin".into(), key: key("zhao").verify_key(), role: "development".into() };
    refused(sign(&mut engine, order("wang", other)), "waits here");
    sign(&mut engine, order("wang", added("lin"))).unwrap();
    assert_eq!(acting(&engine), ["lin", "wang"]);
}

#[test]
fn where_two_approve_two_sign_for_the_third() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = node(folder.path(), 2);
    add(&mut engine, "wang", &key("wang")).unwrap();
    add(&mut engine, "lin", &key("lin")).unwrap();
    sign(&mut engine, order("wang", added("lin"))).unwrap();
    add(&mut engine, "zhao", &key("zhao")).unwrap();
    assert_eq!(sign(&mut engine, order("wang", added("zhao"))).unwrap()["signed"], json!(["wang"]));
    let again = Order::new("bank-1", now() + 1000, added("zhao")).sign("wang", &key("wang"));
    refused(sign(&mut engine, again), "a second person must");
    assert_eq!(acting(&engine), ["lin", "wang"]);
    sign(&mut engine, order("lin", added("zhao"))).unwrap();
    assert_eq!(acting(&engine), ["lin", "wang", "zhao"]);
    // Another role, and the end, likewise; as many as an approval takes remain.
    let validates = Decision::OperatorChange { name: "zhao".into(), role: "validation".into() };
    refused(sign(&mut engine, order("zhao", validates.clone())), "does not decide about");
    sign(&mut engine, order("wang", validates.clone())).unwrap();
    sign(&mut engine, order("lin", validates)).unwrap();
    assert_eq!(engine.store.operator("zhao").unwrap().role, OperatorRole::Validation);
    let end = |name: &str| Decision::OperatorEnd { name: name.into() };
    sign(&mut engine, order("wang", end("zhao"))).unwrap();
    sign(&mut engine, order("lin", end("zhao"))).unwrap();
    refused(sign(&mut engine, order("wang", end("lin"))), "fewer than the 2 operators");
    refused(sign(&mut engine, order("zhao", end("lin"))), "acts here no more");
    refused(add(&mut engine, "zhao", &key("hu")), "or did");
    refused(add(&mut engine, "hu", &key("zhao")), "the key is that of operator `zhao`");
    // All of it is proven by the log and the orders.
    let orders: Vec<SignedOrder> = engine.store.orders(None).unwrap();
    let entries = engine.store.entries(0, 100).unwrap();
    let entries: Vec<_> = entries.iter().map(|bytes| tally_audit::Entry::decode(bytes).unwrap()).collect();
    let checked = tally_audit::order::check(&entries, &orders);
    assert_eq!((checked.entries, checked.orders, checked.unsigned), (4, 7, 0), "{checked:?}");
    assert!(checked.findings.is_empty(), "{checked:?}");
}

/// What was signed last year, at another node, or once already is not good now.
#[test]
fn orders_are_for_this_node_for_ten_minutes_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = node(folder.path(), 1);
    for name in ["wang", "lin"] {
        add(&mut engine, name, &key(name)).unwrap();
    }
    sign(&mut engine, order("wang", added("lin"))).unwrap();
    let validates = || Decision::OperatorChange { name: "lin".into(), role: "validation".into() };
    let old = Order::new("bank-1", now() - 700_000, validates()).sign("wang", &key("wang"));
    refused(sign(&mut engine, old), "ten minutes");
    let elsewhere = Order::new("bank-2", now(), validates()).sign("wang", &key("wang"));
    refused(sign(&mut engine, elsewhere), "is for bank-2");
    let good = order("wang", validates());
    sign(&mut engine, good.clone()).unwrap();
    let back = Decision::OperatorChange { name: "lin".into(), role: "development".into() };
    sign(&mut engine, order("wang", back)).unwrap();
    refused(sign(&mut engine, good), "taken before");
}
