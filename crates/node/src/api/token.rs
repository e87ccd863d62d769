//! What a token of the scoring service allows.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;
use tally_policy::Day;

use crate::config::check_name;

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Score one applicant.
    Score,
    /// List the models that serve.
    Models,
}

/// The terms that operators sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenTerms {
    /// Name of the caller: a system, not a person.
    pub name: String,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
    /// Last day, UTC.
    pub expires: Day,
    /// Subject name of the client certificate without which the token is of no use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

impl TokenTerms {
    /// What operators' orders name them by.
    pub(crate) fn digest(&self) -> Digest {
        let scopes: Vec<_> = self.scopes.iter().map(Scope::to_string).collect();
        let certificate = self.certificate.as_deref().unwrap_or_default();
        let (scopes, expires) = (scopes.join(" "), self.expires.to_string());
        let parts = [self.name.as_str(), &scopes, &expires, certificate];
        Digest::of("tallystick/api-token/v3", &parts.map(str::as_bytes))
    }

    /// The end of its last day, Unix milliseconds.
    pub(crate) fn ends(&self) -> i64 {
        (Day::of(0).until(self.expires) + 1) * Day::MILLISECONDS
    }

    /// Says what is wrong with the terms at `now`, Unix milliseconds.
    pub(crate) fn check(&self, now: i64) -> Result<(), String> {
        check_name(&self.name).map_err(|_| {
            format!("`{}` is not a caller's name: lowercase letters, digits and inner hyphens", self.name)
        })?;
        if self.scopes.is_empty() {
            Err("a token needs a scope: score or models")?;
        }
        if self.ends() <= now {
            Err("the token would have expired already")?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Score => "score",
            Self::Models => "models",
        })
    }
}
