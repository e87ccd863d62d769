//! Tokens of the scoring service: given out under the signatures of operators, shown once, kept as a digest.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tally_audit::Body;
use tally_audit::order::{Decision, SignedOrder};
use tally_crypto::sign::Signature;
use tally_crypto::transcript::Digest;

use super::orders::Given;
use super::{Engine, now};
use crate::api::{Grant, Scope, TokenTerms};
use crate::failure::{self, Failure};

/// A token as the store keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct TokenRecord {
    terms: TokenTerms,
    /// Who has signed the terms, and when.
    signatures: Vec<Signed>,
    /// SHA-256 of what was given out; none until enough have signed.
    digest: Option<Digest>,
    /// When it was given out, Unix milliseconds.
    issued: Option<i64>,
    /// When it was ended.
    revoked: Option<i64>,
}

/// An operator's signature.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Signed {
    operator: String,
    /// When it was given, Unix milliseconds: it is signed with the terms.
    time: i64,
    signature: Signature,
    /// Digest of the order; an older release signed otherwise.
    #[serde(default)]
    order: Option<Digest>,
}

impl Engine {
    /// Tells the gate which tokens are good.
    pub(super) fn load_tokens(&mut self) -> Result<(), Failure> {
        let records: Vec<TokenRecord> = self.store.tokens()?;
        let grants = records.into_iter().filter(|record| record.revoked.is_none()).filter_map(|record| {
            let caller = self.gate.pseudonym(&record.terms.name);
            Some((record.digest?, Grant::new(caller, &record.terms)))
        });
        self.gate.admit_only(grants.collect());
        Ok(())
    }

    /// An operator signs a token's terms; with the last signature that it needs it is given out, this once.
    pub(super) fn issue_token(&mut self, terms: &TokenTerms, order: SignedOrder) -> Result<Value, Failure> {
        terms.check(now()).map_err(failure::usage)?;
        let given = self.given(order)?;
        let (time, operator) = (given.signed.order.time, given.person.name.as_str());
        if given.signed.order.decision != (Decision::TokenIssue { terms: terms.digest() }) {
            return Err(failure::refused(format!("operator `{operator}` signed something else than these terms")));
        }
        let known = self.known_token(&terms.name)?;
        known.as_ref().map_or(Ok(()), |record| record.check_later(time))?;
        let mut record = match known {
            Some(record) if record.revoked.is_some() => TokenRecord::of(terms),
            Some(record) if record.digest.is_some() => {
                let text = format!("token `{}` is given out already: revoke it, or choose another name", terms.name);
                return Err(failure::refused(text));
            }
            // Other terms than those that are waiting need every signature anew.
            Some(record) if record.terms == *terms => record,
            _ => TokenRecord::of(terms),
        };
        let signers: Vec<_> = record.signatures.iter().map(|signed| signed.operator.clone()).collect();
        self.check_another(&signers, &given.person)?;
        let (signature, order) = (given.signed.signature, Some(given.digest()));
        record.signatures.push(Signed { operator: operator.into(), time, signature, order });
        let needed = usize::from(self.config.api.clone().unwrap_or_default().token_approvals);
        if record.signatures.len() < needed {
            self.step(|engine, _| {
                engine.keep_order(&given, None)?;
                engine.store.put_token(&terms.name, &record)
            })?;
            return Ok(json!({ "name": terms.name, "signed": record.signers(), "needed": needed }));
        }
        self.give_out(record, &given)
    }

    fn give_out(&mut self, mut record: TokenRecord, given: &Given) -> Result<Value, Failure> {
        let token = format!("tst_{}", hex::encode(super::random_bytes::<32>()?));
        let digest = Digest::of_bytes(token.as_bytes());
        record.digest = Some(digest);
        record.issued = Some(now());
        let keys = record.signatures.iter().map(|signed| Ok(self.store.operator(&signed.operator)?.key.id()));
        let terms = &record.terms;
        let body = Body::TokenIssue {
            token: digest,
            caller: self.gate.pseudonym(&terms.name),
            scopes: terms.scopes.iter().map(Scope::to_string).collect(),
            expires: terms.ends(),
            keys: keys.collect::<Result<_, Failure>>()?,
            orders: record.signatures.iter().filter_map(|signed| signed.order).collect(),
        };
        self.step(|engine, step| {
            engine.keep_order(given, None)?;
            step.record(None, &given.person.name, body);
            engine.store.put_token(&record.terms.name, &record)
        })?;
        self.load_tokens()?;
        let (terms, signed) = (&record.terms, record.signers());
        Ok(json!({
            "name": terms.name, "scopes": terms.scopes, "expires": terms.expires, "signed": signed, "token": token,
        }))
    }

    pub(super) fn list_tokens(&self) -> Result<Value, Failure> {
        let records: Vec<TokenRecord> = self.store.tokens()?;
        Ok(records.iter().map(|record| record.shown()).collect())
    }

    /// Ends a token at once; one operator suffices.
    pub(super) fn revoke_token(&mut self, order: SignedOrder) -> Result<Value, Failure> {
        let given = self.given(order)?;
        let Decision::TokenRevoke { name } = given.signed.order.decision.clone() else {
            return Err(failure::usage("the order ends no token"));
        };
        let Some(mut record) = self.known_token(&name)?.filter(|record| record.revoked.is_none()) else {
            return Err(failure::data(format!("there is no live token `{name}`: see `tallystick token list`")));
        };
        record.check_later(given.signed.order.time)?;
        record.revoked = Some(now());
        self.step(|engine, step| {
            let order = Some(engine.keep_order(&given, None)?);
            if let Some(token) = record.digest {
                step.record(None, &given.person.name, Body::TokenRevoke { token, order });
            }
            engine.store.put_token(&name, &record)
        })?;
        self.load_tokens()?;
        Ok(record.shown())
    }

    fn known_token(&self, name: &str) -> Result<Option<TokenRecord>, Failure> {
        Ok(self.store.tokens::<TokenRecord>()?.into_iter().find(|record| record.terms.name == name))
    }
}

impl TokenRecord {
    fn of(terms: &TokenTerms) -> Self {
        Self { terms: terms.clone(), signatures: Vec::new(), digest: None, issued: None, revoked: None }
    }

    fn signers(&self) -> Vec<&str> {
        self.signatures.iter().map(|signed| signed.operator.as_str()).collect()
    }

    /// What was signed before the token was given out or ended says nothing of what came after.
    fn check_later(&self, time: i64) -> Result<(), Failure> {
        if self.issued.max(self.revoked).is_some_and(|changed| time <= changed) {
            let text = format!("token `{}` was given out or ended since this was signed: sign anew", self.terms.name);
            return Err(failure::refused(text));
        }
        Ok(())
    }

    fn shown(&self) -> Value {
        let state = match (self.digest, self.revoked) {
            (_, Some(_)) => "revoked",
            (None, None) => "awaits-signature",
            _ if self.terms.ends() <= now() => "expired",
            _ => "good",
        };
        json!({
            "name": self.terms.name,
            "scopes": self.terms.scopes,
            "expires": self.terms.expires,
            "certificate": self.terms.certificate,
            "signed": self.signers(),
            "issued": self.issued,
            "revoked": self.revoked,
            "state": state,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Old signatures neither give out a token that was ended, nor end one that was given out anew.
    #[test]
    fn what_was_signed_before_the_last_change_is_refused() {
        let terms = TokenTerms {
            name: "core".into(),
            scopes: [Scope::Score].into(),
            expires: "2099-12-31".parse().unwrap(),
            certificate: None,
        };
        let mut record = TokenRecord::of(&terms);
        assert!(record.check_later(0).is_ok());
        record.issued = Some(20);
        assert_eq!([19, 20, 21].map(|time| record.check_later(time).is_ok()), [false, false, true]);
        record.revoked = Some(30);
        assert_eq!([25, 30, 31].map(|time| record.check_later(time).is_ok()), [false, false, true]);
    }
}
