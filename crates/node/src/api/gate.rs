//! Who may call: tokens by their digest, certificates by their subject. The engine fills it, the service asks it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tally_crypto::seed::Seed;
use tally_crypto::transcript::Digest;

use super::problem::{Code, Problem};
use super::token::{Scope, TokenTerms};
use crate::http::bearer;

/// The gate.
pub(crate) struct Gate {
    /// Names callers in the log.
    key: Seed,
    grants: RwLock<HashMap<Digest, Grant>>,
    refused: Mutex<Refused>,
}

/// Refusals that the log tells of in sum.
#[derive(Debug, Default)]
struct Refused {
    counts: Counts,
    /// When they were told last.
    told: Option<Instant>,
}

/// How many, by caller and code.
pub(crate) type Counts = BTreeMap<(Option<Digest>, &'static str), u64>;

/// How often the log tells of refusals in sum.
const TOLD: Duration = Duration::from_secs(1);

/// What a token allows.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    caller: Digest,
    scopes: BTreeSet<Scope>,
    ends: i64,
    certificate: Option<String>,
}

/// A caller who has shown who it is.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Its pseudonym: a keyed hash of its name.
    pub(crate) pseudonym: Digest,
    scopes: BTreeSet<Scope>,
}

/// What a call shows of who makes it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shown<'a> {
    /// Subject name of the verified client certificate.
    pub(crate) certificate: Option<&'a str>,
    /// The header `Authorization`.
    pub(crate) authorization: Option<&'a str>,
}

impl Grant {
    pub(crate) fn new(caller: Digest, terms: &TokenTerms) -> Self {
        let certificate = terms.certificate.clone();
        Self { caller, scopes: terms.scopes.clone(), ends: terms.ends(), certificate }
    }
}

impl Caller {
    /// Whether it may do this.
    pub(crate) fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}

impl Gate {
    /// A gate that nobody passes; `root` is what pseudonyms are derived from.
    pub(crate) fn new(root: Seed) -> Self {
        Self { key: root.derive("api-caller", &[]), grants: RwLock::default(), refused: Mutex::default() }
    }

    /// How the log calls a caller.
    pub(crate) fn pseudonym(&self, name: &str) -> Digest {
        Digest(*self.key.derive("pseudonym", &[name.as_bytes()]).expose())
    }

    /// Puts these tokens, by their SHA-256, in the place of all before.
    pub(crate) fn admit_only(&self, grants: HashMap<Digest, Grant>) {
        *self.grants.write().unwrap_or_else(PoisonError::into_inner) = grants;
    }

    /// The caller, at `now` in Unix milliseconds: by its token, or by its certificate where `certificates` names it.
    pub(crate) fn caller(
        &self,
        shown: Shown<'_>,
        certificates: &BTreeMap<String, Vec<Scope>>,
        now: i64,
    ) -> Result<Caller, Problem> {
        let stranger = |why: &str| Problem::new(Code::Unauthorized, why);
        let Some(authorization) = shown.authorization else {
            let named = shown.certificate.and_then(|name| Some((name, certificates.get(name)?)));
            let (name, scopes) = named.ok_or_else(|| stranger("show a token: Authorization: Bearer tst_…"))?;
            return Ok(Caller { pseudonym: self.pseudonym(name), scopes: scopes.iter().copied().collect() });
        };
        let token = bearer(authorization).ok_or_else(|| stranger("the scheme is Bearer"))?;
        let digest = Digest::of_bytes(token.as_bytes());
        let grants = self.grants.read().unwrap_or_else(PoisonError::into_inner);
        // By its digest: how long the look-up takes says nothing of a token that is wrong.
        let grant = grants.get(&digest).ok_or_else(|| stranger("the token is not known here, or was revoked"))?;
        if grant.ends <= now {
            return Err(stranger("the token has expired"));
        }
        if grant.certificate.is_some() && grant.certificate.as_deref() != shown.certificate {
            return Err(stranger("the token belongs to another client certificate"));
        }
        Ok(Caller { pseudonym: grant.caller, scopes: grant.scopes.clone() })
    }

    /// Counts a refusal that the log tells of in sum.
    pub(crate) fn count_refused(&self, caller: Option<Digest>, code: Code) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused.counts.entry((caller, code.as_str())).or_default() += 1;
    }

    /// What was counted since the last time, once a second.
    pub(crate) fn refused_since(&self, now: Instant) -> Counts {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let due = refused.told.is_none_or(|told| now.duration_since(told) >= TOLD);
        if refused.counts.is_empty() || !due {
            return Counts::new();
        }
        refused.told = Some(now);
        std::mem::take(&mut refused.counts)
    }
}
