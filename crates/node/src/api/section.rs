//! `[api]` of `node.toml`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::token::Scope;

/// The scoring service; every key is explained in `deploy/bank.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ApiSection {
    /// Address and port to listen on.
    pub(crate) listen: String,
    /// Certificate chain, PEM; the node's own if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<PathBuf>,
    /// Its private key, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<PathBuf>,
    /// Authority of clients' certificates, PEM: with it, nobody without such a certificate comes further than the handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_ca: Option<PathBuf>,
    /// Subject names (CN) of certificates that may call without a token, with their scopes.
    pub(crate) certificates: BTreeMap<String, Vec<Scope>>,
    /// Operators who must sign a token: 1 or 2.
    pub(crate) token_approvals: u8,
    /// Scores under way at once; more are refused.
    pub(crate) in_flight: u32,
    /// Milliseconds that a caller waits for a score.
    pub(crate) deadline_ms: u32,
    /// Hours for which an answer is kept under its idempotency key.
    pub(crate) idempotency_hours: u32,
    /// Days for which a score may be used, unless its consent ends earlier.
    pub(crate) validity_days: u32,
    /// The same of a fallback, which rests on nothing of the platform.
    pub(crate) fallback_validity_days: u32,
    /// Scores of one caller.
    pub(crate) caller: RateSection,
    /// Scores of one enterprise.
    pub(crate) enterprise: RateSection,
}

/// A limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RateSection {
    /// In the long run.
    pub(crate) per_minute: u32,
    /// At once, after a pause.
    pub(crate) burst: u32,
}

impl Default for ApiSection {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8443".into(),
            certificate: None,
            key: None,
            client_ca: None,
            certificates: BTreeMap::new(),
            token_approvals: 2,
            in_flight: 256,
            deadline_ms: 10_000,
            idempotency_hours: 24,
            validity_days: 30,
            fallback_validity_days: 7,
            caller: RateSection { per_minute: 60_000, burst: 1000 },
            enterprise: RateSection { per_minute: 6, burst: 6 },
        }
    }
}

impl ApiSection {
    /// Says which key is wrong and what to write instead.
    pub(crate) fn check(&self) -> Result<(), String> {
        let rates = [self.caller, self.enterprise];
        let holds = [
            (self.certificate.is_some() == self.key.is_some(), "api.certificate and api.key come together"),
            ((1..=2).contains(&self.token_approvals), "api.token_approvals is 1 or 2"),
            ((1..=100_000).contains(&self.in_flight), "api.in_flight is from 1 to 100000"),
            ((100..=60_000).contains(&self.deadline_ms), "api.deadline_ms is from 100 to 60000"),
            ((1..=720).contains(&self.idempotency_hours), "api.idempotency_hours is from 1 to 720"),
            ((1..=366).contains(&self.validity_days), "api.validity_days is from 1 to 366"),
            ((1..=366).contains(&self.fallback_validity_days), "api.fallback_validity_days is from 1 to 366"),
            (rates.iter().all(|rate| rate.per_minute > 0 && rate.burst > 0), "rates of [api] are at least 1"),
            (
                self.certificates.is_empty() || self.client_ca.is_some(),
                "api.certificates needs api.client_ca, which vouches for the names",
            ),
        ];
        match holds.into_iter().find(|(holds, _)| !holds) {
            Some((_, reason)) => Err(reason.into()),
            None => Ok(()),
        }
    }
}
