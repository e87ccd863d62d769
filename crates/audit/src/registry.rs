//! The registry: who the parties are and which keys speak for them, signed by the consortium.

use serde::{Deserialize, Serialize};
use tally_crypto::sign::{Signature, SigningKey, VerifyKey};
use tally_crypto::transcript::Digest;

use crate::note;

/// The consortium's registry, `registry.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// Format: 2 where every node's TLS key is bound, 1 (not written) where an older release entered a node.
    #[serde(default = "unbound", skip_serializing_if = "is_unbound")]
    pub version: u32,
    /// The nodes.
    pub parties: Vec<RegistryParty>,
    /// Who countersigns consents.
    pub registrars: Vec<NamedKey>,
    /// Who signs sharing lists.
    pub list_authorities: Vec<NamedKey>,
    /// The consortium's key.
    pub ca_key: VerifyKey,
    /// By the consortium's key, over everything else.
    pub signature: Signature,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryParty {
    /// Party name.
    pub name: String,
    /// `platform` or `bank`.
    pub role: String,
    /// Key that signs contracts and rounds.
    pub node_key: VerifyKey,
    /// Verifier key of its log.
    pub log_vkey: String,
    /// SHA-256 of the public key (SubjectPublicKeyInfo, DER) of its certificate; entries of version 1 may have none, and then any
    /// certificate of the authority under the name is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<Digest>,
}

/// A key and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedKey {
    /// Whose.
    pub name: String,
    /// The key.
    pub key: VerifyKey,
}

/// Why a registry was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// Not a registry.
    #[error("not a registry: {0}")]
    Format(String),
    /// The consortium has not signed it like this.
    #[error("the consortium's signature does not hold: copy the registry from the consortium again")]
    Signature,
    /// Another consortium signed it.
    #[error("signed by another consortium ({found}) than the one asked for ({wanted})")]
    Authority {
        /// The key that signed it.
        found: String,
        /// The key that was asked for.
        wanted: String,
    },
    /// A key stands under two names: whoever has it would count twice.
    #[error(
        "`{first}` and `{second}` have the same {what}: each needs its own, the consortium issues the registry anew"
    )]
    SameKey {
        /// Which kind of key.
        what: &'static str,
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// An entry of version 2 without the key of its certificate.
    #[error("party `{0}` has no `tls_key`: the consortium issues its certificate anew")]
    Unbound(String),
    /// A party's entry is wrong.
    #[error("party `{0}`: the name stands twice or the log's verifier key is not one of that name")]
    Party(String),
}

const LABEL: &str = "registry";

/// Version of registries in which every TLS key is bound.
const BOUND: u32 = 2;

fn unbound() -> u32 {
    1
}

fn is_unbound(version: &u32) -> bool {
    *version == unbound()
}

impl Registry {
    /// An empty registry of the consortium with this key.
    pub fn new(key: &SigningKey) -> Self {
        let mut registry = Self {
            version: BOUND,
            parties: Vec::new(),
            registrars: Vec::new(),
            list_authorities: Vec::new(),
            ca_key: key.verify_key(),
            signature: Signature([0; 64]),
        };
        registry.sign(key);
        registry
    }

    /// Signs the registry as it stands.
    pub fn sign(&mut self, key: &SigningKey) {
        let bound = self.parties.iter().all(|party| party.tls_key.is_some());
        self.version = if bound { BOUND } else { unbound() };
        self.ca_key = key.verify_key();
        self.signature = key.sign(LABEL, &self.signed_text());
    }

    /// Reads a registry and checks its signature and entries.
    ///
    /// # Errors
    /// Says what does not hold.
    pub fn parse(text: &str) -> Result<Self, RegistryError> {
        let registry: Self = serde_json::from_str(text).map_err(|error| RegistryError::Format(error.to_string()))?;
        if !registry.ca_key.verify(LABEL, &registry.signed_text(), &registry.signature) {
            return Err(RegistryError::Signature);
        }
        if !(unbound()..=BOUND).contains(&registry.version) {
            let text = format!("version {}, this release reads up to {BOUND}", registry.version);
            return Err(RegistryError::Format(text));
        }
        for (place, party) in registry.parties.iter().enumerate() {
            let twice = registry.parties[..place].iter().any(|other| other.name == party.name);
            let named = note::parse_vkey(&party.log_vkey).is_ok_and(|(name, _)| name == party.name);
            if twice || !named {
                return Err(RegistryError::Party(party.name.clone()));
            }
            if registry.version == BOUND && party.tls_key.is_none() {
                return Err(RegistryError::Unbound(party.name.clone()));
            }
        }
        registry.check_distinct()?;
        Ok(registry)
    }

    /// Every key speaks for one name only.
    fn check_distinct(&self) -> Result<(), RegistryError> {
        let parties = || self.parties.iter().map(|party| party.name.as_str());
        let node_keys = self.parties.iter().map(|party| party.node_key);
        distinct("node key", parties().zip(node_keys))?;
        // A verifier key begins with the name: the key itself is what must differ.
        let log_keys = self.parties.iter().filter_map(|party| Some(note::parse_vkey(&party.log_vkey).ok()?.1));
        distinct("log key", parties().zip(log_keys))?;
        let tls_keys = self.parties.iter().filter_map(|party| Some((party.name.as_str(), party.tls_key?)));
        distinct("TLS key", tls_keys)?;
        for (what, named) in [("registrar's key", &self.registrars), ("list authority's key", &self.list_authorities)] {
            distinct(what, named.iter().map(|one| (one.name.as_str(), one.key)))?;
        }
        Ok(())
    }

    /// Checks that this very consortium signed it.
    ///
    /// # Errors
    /// Fails if another key did.
    pub fn demand(&self, ca_key: &VerifyKey) -> Result<(), RegistryError> {
        if self.ca_key == *ca_key {
            return Ok(());
        }
        Err(RegistryError::Authority { found: self.ca_key.to_string(), wanted: ca_key.to_string() })
    }

    /// The entry of `name`.
    pub fn party(&self, name: &str) -> Option<&RegistryParty> {
        self.parties.iter().find(|party| party.name == name)
    }

    /// Keys of the registrars.
    pub fn registrar_keys(&self) -> Vec<VerifyKey> {
        self.registrars.iter().map(|named| named.key).collect()
    }

    /// Keys of the list authorities.
    pub fn list_authority_keys(&self) -> Vec<VerifyKey> {
        self.list_authorities.iter().map(|named| named.key).collect()
    }

    fn signed_text(&self) -> Vec<u8> {
        let text = (&self.parties, &self.registrars, &self.list_authorities, &self.ca_key);
        let text = if self.version == unbound() {
            serde_json::to_vec(&text)
        } else {
            serde_json::to_vec(&(self.version, text))
        };
        // Panic safety: the types hold only texts, numbers and keys.
        text.expect("registries serialise")
    }
}

/// Refuses a key that stands under two names, by both.
fn distinct<'a, K: PartialEq>(
    what: &'static str,
    keys: impl Iterator<Item = (&'a str, K)>,
) -> Result<(), RegistryError> {
    let mut seen: Vec<(&str, K)> = Vec::new();
    for (name, key) in keys {
        if let Some((first, _)) = seen.iter().find(|(_, known)| *known == key) {
            return Err(RegistryError::SameKey { what, first: (*first).into(), second: name.into() });
        }
        seen.push((name, key));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
