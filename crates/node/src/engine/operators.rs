//! Who may act at this node, and how that changes.
//!
//! The first operator is whom the node's account adds, before there is anybody who could sign. From then on a person is added,
//! changed or ended by orders of as many others as an approval takes (`session.approvals`), or of all others where there are
//! fewer: at a node where two must approve, the first operator signs for the second, and both for the third. Nobody decides about
//! themselves, a key is one person's, and a name is never given again. As many as an approval takes always remain.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tally_audit::Body;
use tally_audit::order::{Decision, SignedOrder};
use tally_crypto::sign::VerifyKey;
use tally_crypto::transcript::Digest;

use super::Engine;
use super::step::Step;
use crate::failure::{self, Failure};
use crate::store::{Operator, OperatorRole};

/// A change that waits for signatures.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Waiting {
    decision: Decision,
    orders: Vec<SignedOrder>,
}

impl Engine {
    /// Adds the first operator, or lets a later one wait for the others' signatures.
    pub(super) fn add_operator(&mut self, name: &str, key: VerifyKey, role: OperatorRole) -> Result<Value, Failure> {
        let known = self.store.operators()?;
        check_new(&known, name, &key)?;
        let decision = Decision::OperatorAdd { name: name.into(), key, role: role.to_string() };
        if known.is_empty() {
            let me = self.me().to_owned();
            return self.step(|engine, step| engine.carry_out(step, &decision, &me, Vec::new()));
        }
        let needed = self.needed(&decision)?;
        // Whoever reaches the socket must not put another key under a name that others are about to sign.
        if let Some(before) = self.store.operator_change::<Waiting>(name)?
            && before.decision != decision
        {
            return Err(failure::refused(format!(
                "operator `{name}` waits for signatures with another key or role: choose another name"
            )));
        }
        let waiting = Waiting { decision, orders: Vec::new() };
        self.step(|engine, _| engine.store.put_operator_change(name, &waiting))?;
        Ok(json!({ "operator": name, "key": key, "role": role, "signed": [], "needed": needed }))
    }

    /// An operator's signature under a change of the operators; with the last that it needs it is carried out.
    pub(super) fn change_operators(&mut self, order: SignedOrder) -> Result<Value, Failure> {
        let given = self.given(order)?;
        let decision = given.signed.order.decision.clone();
        let name = subject(&decision)?.to_owned();
        if name == given.person.name {
            return Err(failure::refused(format!(
                "operator `{name}` does not decide about `{name}`: another one must"
            )));
        }
        let needed = self.needed(&decision)?;
        let mut waiting = match self.store.operator_change::<Waiting>(&name)? {
            Some(waiting) if waiting.decision == decision => waiting,
            _ if matches!(decision, Decision::OperatorAdd { .. }) => {
                let text =
                    format!("no operator `{name}` with this key and role waits here: see `tallystick operator show`");
                return Err(failure::refused(text));
            }
            // Another change than the one that waits needs every signature anew.
            _ => Waiting { decision: decision.clone(), orders: Vec::new() },
        };
        // Who was ended since has no say.
        let active = self.active()?;
        waiting.orders.retain(|order| active.iter().any(|one| one.name == order.operator && one.key == order.key));
        let signed: Vec<_> = waiting.orders.iter().map(|order| order.operator.clone()).collect();
        self.check_another(&signed, &given.person)?;
        waiting.orders.push(given.signed.clone());
        let complete = waiting.orders.len() >= needed;
        self.step(|engine, step| {
            engine.keep_order(&given, None)?;
            if complete {
                let orders = waiting.orders.iter().map(SignedOrder::digest).collect();
                return engine.carry_out(step, &decision, &given.person.name, orders);
            }
            engine.store.put_operator_change(&name, &waiting)?;
            let signed: Vec<_> = waiting.orders.iter().map(|order| &order.operator).collect();
            Ok(json!({ "operator": name, "signed": signed, "needed": needed }))
        })
    }

    /// How many must sign.
    fn needed(&self, decision: &Decision) -> Result<usize, Failure> {
        let active = self.active()?;
        let approvals = usize::from(self.config.session.approvals);
        let name = subject(decision)?;
        let person = active.iter().find(|one| one.name == name);
        match decision {
            Decision::OperatorAdd { key, .. } => check_new(&self.store.operators()?, name, key)?,
            Decision::OperatorChange { role, .. } => {
                let role = role_of(role)?;
                let person = person.ok_or_else(|| unknown(name))?;
                if person.role == role {
                    return Err(failure::refused(format!("operator `{name}` has the {role} role already")));
                }
            }
            Decision::OperatorEnd { .. } => {
                person.ok_or_else(|| unknown(name))?;
                if active.len() <= approvals {
                    let text =
                        format!("then fewer than the {approvals} operators would be left that an approval takes");
                    return Err(failure::refused(format!("{text}: add another one before `{name}` ends")));
                }
            }
            _ => return Err(failure::usage("the order is no change of the operators")),
        }
        let others = active.iter().filter(|one| one.name != name).count();
        if others == 0 {
            return Err(failure::refused("there is no other operator who could sign: add one first"));
        }
        Ok(approvals.min(others))
    }

    fn carry_out(
        &mut self,
        step: &mut Step,
        decision: &Decision,
        actor: &str,
        orders: Vec<Digest>,
    ) -> Result<Value, Failure> {
        let name = subject(decision)?.to_owned();
        let body = match decision {
            Decision::OperatorAdd { key, role, .. } => {
                self.store.add_operator(&name, *key, role_of(role)?, step.now)?;
                let (key, named, role) = (key.id(), Some(name.clone()), Some(role.clone()));
                Body::OperatorAdd { key, name: named, role, orders }
            }
            Decision::OperatorChange { role, .. } => {
                self.store.change_operator(&name, role_of(role)?)?;
                Body::OperatorChange { name: name.clone(), role: role.clone(), orders }
            }
            _ => {
                self.store.end_operator(&name, step.now)?;
                Body::OperatorEnd { name: name.clone(), orders }
            }
        };
        self.store.forget_operator_change(&name)?;
        step.record(None, actor, body);
        let shown = self.store.operators()?.into_iter().find(|one| one.name == name);
        Ok(shown.as_ref().map(shown_as).unwrap_or_default())
    }

    pub(super) fn list_operators(&self) -> Result<Value, Failure> {
        let mut shown: Vec<_> = self.store.operators()?.iter().map(shown_as).collect();
        for (name, waiting) in self.store.operator_changes::<Waiting>()? {
            let signed: Vec<_> = waiting.orders.iter().map(|order| &order.operator).collect();
            // One that has become impossible since waits for nothing.
            let Ok(needed) = self.needed(&waiting.decision) else { continue };
            let waits = json!({ "decision": waiting.decision, "signed": signed, "needed": needed });
            match shown.iter_mut().find(|one| one["operator"] == name.as_str()) {
                Some(one) => one["waits"] = waits,
                None => shown.push(json!({ "operator": name, "waits": waits })),
            }
        }
        Ok(shown.into())
    }

    pub(super) fn active(&self) -> Result<Vec<Operator>, Failure> {
        Ok(self.store.operators()?.into_iter().filter(|one| one.ended.is_none()).collect())
    }
}

fn shown_as(one: &Operator) -> Value {
    json!({ "operator": one.name, "key": one.key, "role": one.role, "ended": one.ended })
}

/// Whom a change is about.
fn subject(decision: &Decision) -> Result<&str, Failure> {
    match decision {
        Decision::OperatorAdd { name, .. }
        | Decision::OperatorChange { name, .. }
        | Decision::OperatorEnd { name, .. } => Ok(name),
        _ => Err(failure::usage("the order is no change of the operators")),
    }
}

/// A name and a key that nobody has or had here.
fn check_new(known: &[Operator], name: &str, key: &VerifyKey) -> Result<(), Failure> {
    crate::config::check_name(name).map_err(failure::usage)?;
    if known.iter().any(|one| one.name == name) {
        return Err(failure::refused(format!("operator {name} exists already, or did: choose another name")));
    }
    if let Some(one) = known.iter().find(|one| one.key == *key) {
        let text = format!("the key is that of operator `{}`: each person has a key of their own", one.name);
        return Err(failure::refused(text));
    }
    Ok(())
}

fn role_of(text: &str) -> Result<OperatorRole, Failure> {
    serde_json::from_value(json!(text))
        .map_err(|_| failure::usage(format!("`{text}` is no role: development or validation")))
}

fn unknown(name: &str) -> Failure {
    failure::refused(format!("operator `{name}` is not known here, or was ended"))
}

#[cfg(test)]
mod tests;
