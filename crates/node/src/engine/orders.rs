//! Orders of operators at this node: checked, kept, and named in the log, so that an auditor sees who decided and can prove it.

use serde_json::{Value, json};
use tally_audit::order::SignedOrder;
use tally_crypto::transcript::Digest;

use super::{Engine, now};
use crate::failure::{self, Failure};
use crate::store::Operator;

/// An order that was checked: by an operator of this node, with that operator's key, for this node, given lately, and not
/// carried out before.
pub(super) struct Given {
    /// Who gave it.
    pub(super) person: Operator,
    /// As it was signed.
    pub(super) signed: SignedOrder,
}

impl Given {
    /// By what the log names it.
    pub(super) fn digest(&self) -> Digest {
        self.signed.digest()
    }
}

impl Engine {
    /// Checks an order by itself; what it decides, its command looks at.
    pub(super) fn given(&self, signed: SignedOrder) -> Result<Given, Failure> {
        let person = self.store.operator(&signed.operator)?;
        let refuse = |reason: String| Err(failure::refused(reason));
        if signed.order.node != self.me() {
            return refuse(format!("the order is for {}, and this is {}", signed.order.node, self.me()));
        }
        if person.key != signed.key || !signed.holds() {
            return refuse(format!("the order is not signed by operator `{}`", signed.operator));
        }
        if !signed.is_timely(now()) {
            return refuse("the order is more than ten minutes old: give it again".into());
        }
        if self.store.has_order(&signed.digest())? {
            return refuse("this very order was taken before: give it again".into());
        }
        Ok(Given { person, signed })
    }

    /// Keeps an order, which is not taken a second time; by what the log names it.
    pub(super) fn keep_order(&self, given: &Given, session: Option<&str>) -> Result<Digest, Failure> {
        let digest = given.digest();
        self.store.put_order(&digest, session, &given.signed)?;
        Ok(digest)
    }

    /// Of two who must decide, the second is another person: another name, and another key.
    pub(super) fn check_another(&self, earlier: &[String], person: &Operator) -> Result<(), Failure> {
        let all = self.store.operators()?;
        let same = |name: &String| {
            *name == person.name || all.iter().any(|known| known.name == *name && known.key == person.key)
        };
        match earlier.iter().find(|name| same(name)) {
            Some(name) if *name == person.name => {
                Err(failure::refused(format!("operator `{name}` has signed already: a second person must")))
            }
            Some(name) => Err(failure::refused(format!(
                "operators `{name}` and `{}` have one key, and `{name}` has signed already: a second person must",
                person.name
            ))),
            None => Ok(()),
        }
    }

    /// Orders that were carried out here or wait for more signatures, for an auditor; those of a session, where one is named.
    pub(super) fn orders(&self, session: Option<&str>) -> Result<Value, Failure> {
        let orders = self.store.orders(session)?;
        Ok(json!({ "orders": orders }))
    }
}
