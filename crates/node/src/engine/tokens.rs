//! Tokens of the scoring service: given out under the signatures of operators, shown once, kept as a digest.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tally_audit::Body;
use tally_crypto::sign::Signature;
use tally_crypto::transcript::Digest;

use super::{Engine, now};
use crate::api::{Grant, Scope, TokenTerms};
use crate::failure::{self, Failure};

/// Label under which operators sign a token's terms, or its end.
pub(crate) const TOKEN_LABEL: &str = "api-token";

/// A token as the store keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct TokenRecord {
    terms: TokenTerms,
    /// Who has signed the terms.
    signatures: Vec<(String, Signature)>,
    /// SHA-256 of what was given out; none until enough have signed.
    digest: Option<Digest>,
    /// When it was given out, Unix milliseconds.
    issued: Option<i64>,
    /// When it was ended.
    revoked: Option<i64>,
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
    pub(super) fn issue_token(
        &mut self,
        terms: &TokenTerms,
        operator: &str,
        signature: &Signature,
    ) -> Result<Value, Failure> {
        terms.check(now()).map_err(failure::usage)?;
        self.check_signed(operator, &terms.digest(), signature)?;
        let known = self.store.tokens::<TokenRecord>()?.into_iter().find(|record| record.terms.name == terms.name);
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
        if record.signatures.iter().any(|(name, _)| name == operator) {
            return Err(failure::refused(format!("operator `{operator}` has signed already: another one must sign")));
        }
        record.signatures.push((operator.into(), *signature));
        let needed = usize::from(self.config.api.clone().unwrap_or_default().token_approvals);
        if record.signatures.len() < needed {
            self.store.put_token(&terms.name, &record)?;
            return Ok(json!({ "name": terms.name, "signed": record.signers(), "needed": needed }));
        }
        self.give_out(record, operator)
    }

    fn give_out(&mut self, mut record: TokenRecord, operator: &str) -> Result<Value, Failure> {
        let token = format!("tst_{}", hex::encode(super::random_bytes::<32>()?));
        let digest = Digest::of_bytes(token.as_bytes());
        record.digest = Some(digest);
        record.issued = Some(now());
        let keys = record.signatures.iter().map(|(name, _)| Ok(self.store.operator(name)?.key.id()));
        let terms = &record.terms;
        let body = Body::TokenIssue {
            token: digest,
            caller: self.gate.pseudonym(&terms.name),
            scopes: terms.scopes.iter().map(Scope::to_string).collect(),
            expires: terms.ends(),
            keys: keys.collect::<Result<_, Failure>>()?,
        };
        self.step(|engine, step| {
            step.record(None, operator, body);
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
    pub(super) fn revoke_token(&mut self, name: &str, operator: &str, signature: &Signature) -> Result<Value, Failure> {
        self.check_signed(operator, &revocation_digest(name), signature)?;
        let known = self.store.tokens::<TokenRecord>()?.into_iter().find(|record| record.terms.name == name);
        let live = known.filter(|record| record.revoked.is_none());
        let Some(mut record) = live else {
            return Err(failure::data(format!("there is no live token `{name}`: see `tallystick token list`")));
        };
        record.revoked = Some(now());
        self.step(|engine, step| {
            if let Some(token) = record.digest {
                step.record(None, operator, Body::TokenRevoke { token });
            }
            engine.store.put_token(name, &record)
        })?;
        self.load_tokens()?;
        Ok(record.shown())
    }

    fn check_signed(&self, operator: &str, digest: &Digest, signature: &Signature) -> Result<(), Failure> {
        let person = self.store.operator(operator)?;
        if person.key.verify(TOKEN_LABEL, digest.as_bytes(), signature) {
            return Ok(());
        }
        Err(failure::refused(format!("the token is not signed by operator `{operator}`")))
    }
}

impl TokenRecord {
    fn of(terms: &TokenTerms) -> Self {
        Self { terms: terms.clone(), signatures: Vec::new(), digest: None, issued: None, revoked: None }
    }

    fn signers(&self) -> Vec<&str> {
        self.signatures.iter().map(|(name, _)| name.as_str()).collect()
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

/// What an operator signs to end a token.
pub(crate) fn revocation_digest(name: &str) -> Digest {
    Digest::of("tallystick/api-token-revocation/v1", &[name.as_bytes()])
}
