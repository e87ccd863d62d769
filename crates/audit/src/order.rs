//! Orders: what persons decide at a node, signed with their own keys, kept by the node, named by digest in its log.
//!
//! | | |
//! |---|---|
//! | Parties | an operator, the node that carries the order out, an auditor |
//! | What is signed | node, kind, content, time: all of [`Order`], as one line of JSON, under the label `operator-order` |
//! | What a node does | refuses an order for another node, older than ten minutes, carried out before, or of another key than it knows |
//! | What an auditor needs | the log, and the orders that the node hands out: [`check`] |
//! | Assumptions | Ed25519; an operator's key file and passphrase are the operator's alone; the log shows which key is whose |
//! | What it does not show | that two names are two persons: keys differ, hands may not |

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tally_crypto::sign::{Signature, SigningKey, VerifyKey};
use tally_crypto::transcript::Digest;

use crate::entry::{Body, Entry};

/// How long an order may be carried out, in milliseconds before and after its time.
pub const LIFE: u64 = 600_000;

const LABEL: &str = "operator-order";

/// What a person decides, at which node, when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Format version, 1.
    pub v: u32,
    /// The node that is to carry it out.
    pub node: String,
    /// When it was given, Unix milliseconds.
    pub time: i64,
    /// What is decided.
    pub decision: Decision,
}

/// What is decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Decision {
    /// The node signs a contract, and brings these data.
    SessionApprove {
        /// Digest of the contract.
        contract: Digest,
        /// A bank's data; none where the contract names the data, or nothing is brought.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<Data>,
    },
    /// A model is passed into use, or out of it.
    ModelState {
        /// Digest of the model.
        model: Digest,
        /// `champion`, `challenger` or `retired`.
        state: String,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A token of the scoring service is given out.
    TokenIssue {
        /// Digest of its terms.
        terms: Digest,
    },
    /// A token is ended.
    TokenRevoke {
        /// Name of the caller that holds it.
        name: String,
    },
    /// A person may act at the node.
    OperatorAdd {
        /// The person.
        name: String,
        /// The person's key.
        key: VerifyKey,
        /// `development` or `validation`.
        role: String,
    },
    /// A person acts in another role.
    OperatorChange {
        /// The person.
        name: String,
        /// The new role.
        role: String,
    },
    /// A person acts no more.
    OperatorEnd {
        /// The person.
        name: String,
    },
}

/// A data set, value by value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Its name.
    pub dataset: String,
    /// Salted Merkle root over its rows.
    pub root: Digest,
}

/// An order with its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedOrder {
    /// What was signed.
    pub order: Order,
    /// Who signed, by name.
    pub operator: String,
    /// The key that signed.
    pub key: VerifyKey,
    /// Over the order and the operator's name.
    pub signature: Signature,
}

impl Order {
    /// An order of this format.
    pub fn new(node: &str, time: i64, decision: Decision) -> Self {
        Self { v: 1, node: node.into(), time, decision }
    }

    /// Signs it as the operator of this name.
    pub fn sign(self, operator: &str, key: &SigningKey) -> SignedOrder {
        let signature = key.sign(LABEL, &self.signed_text(operator));
        SignedOrder { order: self, operator: operator.into(), key: key.verify_key(), signature }
    }

    fn signed_text(&self, operator: &str) -> Vec<u8> {
        // Panic safety: the types hold only texts, numbers and keys.
        serde_json::to_vec(&(operator, self)).expect("orders serialise")
    }
}

impl SignedOrder {
    /// Whether the key that it names has signed it.
    pub fn holds(&self) -> bool {
        self.order.v == 1 && self.key.verify(LABEL, &self.order.signed_text(&self.operator), &self.signature)
    }

    /// By what the log names it.
    pub fn digest(&self) -> Digest {
        // Panic safety: the types hold only texts, numbers and keys.
        Digest::of_bytes(&serde_json::to_vec(self).expect("orders serialise"))
    }

    /// Whether it may be carried out at `now`, Unix milliseconds.
    pub fn is_timely(&self, now: i64) -> bool {
        now.abs_diff(self.order.time) <= LIFE
    }
}

/// What an auditor found of the orders that a log names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Entries that rest on orders, each of which was found and holds.
    pub entries: u64,
    /// Orders behind them.
    pub orders: u64,
    /// Entries of an older release, which name no order.
    pub unsigned: u64,
    /// What does not hold, each with its entry.
    pub findings: Vec<String>,
}

/// Checks that every decision of persons in a verified log rests on orders that they have signed: with the key that the log knew
/// as theirs at that time, about this very decision, at this node, not long before, and each by another person.
pub fn check(entries: &[Entry], orders: &[SignedOrder]) -> Checked {
    let known: BTreeMap<Digest, &SignedOrder> = orders.iter().map(|order| (order.digest(), order)).collect();
    let mut people = BTreeMap::<String, String>::new();
    let mut checked = Checked::default();
    // A release that has orders named one before, or the name of the first operator.
    let mut signs = false;
    let mut used = BTreeSet::new();
    for entry in entries {
        let Some(named) = named_by(&entry.body) else { continue };
        // Who is there first is added by nobody.
        let first = people.is_empty() && matches!(entry.body, Body::OperatorAdd { .. });
        let found = match named.is_empty() && !first {
            true if signs => Err("names no order".to_owned()),
            true => {
                checked.unsigned += 1;
                Ok(0)
            }
            false => signers(entry, &named, &known, &people).and_then(|count| match displaces(entry, &named, &known) {
                true => Ok(count),
                false => match named.iter().find(|digest| !used.insert(**digest)) {
                    Some(again) => Err(format!("order {} stands behind an earlier entry", again.short())),
                    None => Ok(count),
                },
            }),
        };
        signs |= !named.is_empty() || matches!(entry.body, Body::OperatorAdd { name: Some(_), .. });
        match found {
            Ok(count) if count > 0 => {
                checked.entries += 1;
                checked.orders += count;
            }
            Ok(_) => {}
            Err(reason) => checked.findings.push(format!("entry {} of {}: {reason}", entry.index, entry.node)),
        }
        follow(entry, &mut people);
    }
    checked
}

/// Whether an entry says which model the order for a new champion displaced: that order stands behind both.
fn displaces(entry: &Entry, named: &[Digest], known: &BTreeMap<Digest, &SignedOrder>) -> bool {
    let Body::ModelState { model, .. } = &entry.body else { return false };
    named
        .iter()
        .filter_map(|digest| known.get(digest))
        .any(|order| matches!(&order.order.decision, Decision::ModelState { model: champion, .. } if champion != model))
}

/// Orders that an entry names; none if it rests on no order of a person.
fn named_by(body: &Body) -> Option<Vec<Digest>> {
    match body {
        Body::OperatorApprove { order, .. } | Body::ModelState { order, .. } | Body::TokenRevoke { order, .. } => {
            Some(order.iter().copied().collect())
        }
        Body::TokenIssue { orders, .. }
        | Body::OperatorAdd { orders, .. }
        | Body::OperatorChange { orders, .. }
        | Body::OperatorEnd { orders, .. } => Some(orders.clone()),
        _ => None,
    }
}

fn signers(
    entry: &Entry,
    named: &[Digest],
    known: &BTreeMap<Digest, &SignedOrder>,
    people: &BTreeMap<String, String>,
) -> Result<u64, String> {
    let mut seen: Vec<&SignedOrder> = Vec::new();
    for digest in named {
        let order = *known.get(digest).ok_or_else(|| format!("order {} was not handed out", digest.short()))?;
        let who = &order.operator;
        if !order.holds() {
            return Err(format!("the order of {who} is not signed by the key that it names"));
        }
        if people.get(who) != Some(&order.key.id()) {
            return Err(format!("{who} was no operator of the node with that key then"));
        }
        if order.order.node != entry.node || !decides(&order.order.decision, &entry.body) {
            return Err(format!("the order of {who} is about something else"));
        }
        if seen.iter().any(|other| other.operator == *who || other.key == order.key) {
            return Err(format!("{who} has signed twice"));
        }
        seen.push(order);
    }
    // The last one is who caused the entry; those before waited for it.
    if let Some(last) = seen.last() {
        if !last.is_timely(entry.time) {
            return Err(format!("the order of {} was more than ten minutes old", last.operator));
        }
        if last.operator != entry.actor {
            return Err(format!("names {} as who acted, and {} has signed", entry.actor, last.operator));
        }
    }
    Ok(seen.len() as u64)
}

/// Whether an entry says what was decided.
fn decides(decision: &Decision, body: &Body) -> bool {
    match (decision, body) {
        (Decision::SessionApprove { contract, .. }, Body::OperatorApprove { contract: logged, .. }) => {
            contract == logged
        }
        // The champion before becomes a challenger by the same order.
        (Decision::ModelState { model, state, .. }, Body::ModelState { model: logged, state: new, .. }) => {
            (model == logged && state == new) || (state == "champion" && new == "challenger")
        }
        (Decision::TokenIssue { .. }, Body::TokenIssue { .. })
        | (Decision::TokenRevoke { .. }, Body::TokenRevoke { .. }) => true,
        (Decision::OperatorAdd { name, key, role }, Body::OperatorAdd { key: id, name: logged, role: as_what, .. }) => {
            key.id() == *id && logged.as_ref() == Some(name) && as_what.as_ref() == Some(role)
        }
        (Decision::OperatorChange { name, role }, Body::OperatorChange { name: logged, role: new, .. }) => {
            name == logged && role == new
        }
        (Decision::OperatorEnd { name }, Body::OperatorEnd { name: logged, .. }) => name == logged,
        _ => false,
    }
}

/// Whose key is whose after an entry.
fn follow(entry: &Entry, people: &mut BTreeMap<String, String>) {
    match &entry.body {
        // An older release wrote the new operator's name as who acted.
        Body::OperatorAdd { key, name, .. } => {
            people.insert(name.clone().unwrap_or_else(|| entry.actor.clone()), key.clone());
        }
        Body::OperatorEnd { name, .. } => drop(people.remove(name)),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
