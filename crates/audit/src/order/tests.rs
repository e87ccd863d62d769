use tally_crypto::seed::Seed;

use super::*;

const NODE: &str = "bank-1";
const TIME: i64 = 1_800_000_000_000;

fn key(name: &str) -> SigningKey {
    SigningKey::from_seed(&Seed::new(Digest::of_bytes(name.as_bytes()).0))
}

fn entry(index: u64, actor: &str, body: Body) -> Entry {
    let (node, time) = (NODE.into(), TIME);
    Entry { v: 1, index, time, node, actor: actor.into(), session: None, seq: None, prev: None, body }
}

fn added(name: &str, orders: Vec<Digest>) -> Body {
    let (name, role) = (Some(name.to_owned()), Some("development".to_owned()));
    Body::OperatorAdd { key: key(name.as_deref().unwrap_or_default()).verify_key().id(), name, role, orders }
}

fn add(name: &str) -> Decision {
    Decision::OperatorAdd { name: name.into(), key: key(name).verify_key(), role: "development".into() }
}

fn approve(contract: u8) -> Decision {
    Decision::SessionApprove { contract: Digest([contract; 32]), data: None }
}

fn approved(contract: u8, order: &SignedOrder) -> Body {
    Body::OperatorApprove { contract: Digest([contract; 32]), order: Some(order.digest()) }
}

fn signed(who: &str, decision: Decision) -> SignedOrder {
    Order::new(NODE, TIME - 1, decision).sign(who, &key(who))
}

/// The champion before becomes a challenger by the order that makes the new one; the order stands behind no further champion.
#[test]
fn an_order_for_a_champion_displaces_the_one_before() {
    let change = |model: u8, state: &str, order: &SignedOrder| Body::ModelState {
        model: Digest([model; 32]),
        state: state.into(),
        order: Some(order.digest()),
    };
    let champion = Decision::ModelState { model: Digest([2; 32]), state: "champion".into(), reason: None };
    let order = signed("lin", champion);
    let (mut entries, second) = log("lin", change(1, "challenger", &order));
    entries.push(entry(3, "lin", change(2, "champion", &order)));
    assert_eq!(check(&entries, &[order.clone(), second.clone()]).findings, [""; 0]);
    entries.push(entry(4, "lin", change(2, "champion", &order)));
    let found = check(&entries, &[order, second]).findings.join("; ");
    assert!(found.starts_with("entry 4 of bank-1: ") && found.contains("behind an earlier entry"), "{found}");
}

/// A log with two operators, the second added by the first, and the last entry as given.
fn log(actor: &str, last: Body) -> (Vec<Entry>, SignedOrder) {
    let second = signed("wang", add("lin"));
    let entries = vec![
        entry(0, NODE, added("wang", Vec::new())),
        entry(1, "wang", added("lin", vec![second.digest()])),
        entry(2, actor, last),
    ];
    (entries, second)
}

#[test]
fn decisions_are_proven_from_the_log_and_the_orders() {
    let order = signed("lin", approve(1));
    let (entries, second) = log("lin", approved(1, &order));
    let checked = check(&entries, &[order.clone(), second.clone()]);
    assert_eq!(checked, Checked { entries: 2, orders: 2, unsigned: 0, findings: Vec::new() });
    // They travel as JSON.
    let read: SignedOrder = serde_json::from_str(&serde_json::to_string(&order).unwrap()).unwrap();
    assert!(read == order && read.digest() == order.digest());
    // What an older release wrote has no orders, and is told as such.
    let older =
        |name: &str| Body::OperatorAdd { key: key(name).verify_key().id(), name: None, role: None, orders: Vec::new() };
    let approved = |contract: u8| Body::OperatorApprove { contract: Digest([contract; 32]), order: None };
    let mut entries =
        vec![entry(0, "wang", older("wang")), entry(1, "lin", older("lin")), entry(2, "lin", approved(2))];
    let by_order = Body::OperatorApprove { contract: Digest([1; 32]), order: Some(order.digest()) };
    entries.push(entry(3, "lin", by_order));
    let checked = check(&entries, std::slice::from_ref(&order));
    assert_eq!(checked, Checked { entries: 1, orders: 1, unsigned: 2, findings: Vec::new() });
    // Nothing without an order comes after one that has some.
    entries.push(entry(4, "lin", approved(2)));
    assert_eq!(check(&entries, &[order]).findings, ["entry 4 of bank-1: names no order"]);
}

#[test]
fn what_nobody_has_decided_is_found() {
    let finding = |actor: &str, body: Body, orders: &[SignedOrder]| {
        let (entries, second) = log(actor, body);
        check(&entries, &[orders, &[second]].concat()).findings.join("; ")
    };
    let order = signed("lin", approve(1));
    let mut forged = order.clone();
    forged.operator = "wang".into();
    let mut stranger = signed("zhao", approve(1));
    let elsewhere = Order::new("bank-2", TIME, approve(1)).sign("lin", &key("lin"));
    let old = Order::new(NODE, TIME - 600_001, approve(1)).sign("lin", &key("lin"));
    for (actor, body, orders, word) in [
        ("lin", approved(1, &order), vec![], "not handed out"),
        ("lin", approved(2, &order), vec![order.clone()], "about something else"),
        ("lin", approved(1, &elsewhere), vec![elsewhere.clone()], "about something else"),
        ("wang", approved(1, &order), vec![order.clone()], "names wang as who acted"),
        ("wang", approved(1, &forged), vec![forged.clone()], "not signed by the key"),
        ("zhao", approved(1, &stranger), vec![stranger.clone()], "was no operator"),
        ("lin", approved(1, &old), vec![old.clone()], "ten minutes"),
    ] {
        let found = finding(actor, body, &orders);
        assert!(found.starts_with("entry 2 of bank-1: ") && found.contains(word), "{word}: {found}");
    }
    // One order behind two entries.
    let (mut entries, second) = log("lin", approved(1, &order));
    entries.push(entry(3, "lin", approved(1, &order)));
    let found = check(&entries, &[order.clone(), second]).findings.join("; ");
    assert!(found.starts_with("entry 3 of bank-1: ") && found.contains("behind an earlier entry"), "{found}");
    // A second name with the first one's key.
    stranger.key = key("wang").verify_key();
    assert!(finding("zhao", approved(1, &stranger), &[stranger.clone()]).contains("not signed by the key"));
    let (one, two) = (signed("lin", add("zhao")), signed("lin", add("zhao")));
    let twice = Body::OperatorAdd {
        key: key("zhao").verify_key().id(),
        name: Some("zhao".into()),
        role: Some("development".into()),
        orders: vec![one.digest(), two.digest()],
    };
    assert!(finding("lin", twice, &[one, two]).contains("signed twice"));
}
