//! The registry: who the parties are and which keys speak for them, signed by the consortium.

use serde::{Deserialize, Serialize};
use tally_crypto::sign::{Signature, SigningKey, VerifyKey};

use crate::note;

/// The consortium's registry, `registry.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
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
    #[error("signed by another consortium than the one asked for")]
    Authority,
    /// A party's entry is wrong.
    #[error("party `{0}`: the name stands twice or the log's verifier key is not one of that name")]
    Party(String),
}

const LABEL: &str = "registry";

impl Registry {
    /// An empty registry of the consortium with this key.
    pub fn new(key: &SigningKey) -> Self {
        let mut registry = Self {
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
        for (place, party) in registry.parties.iter().enumerate() {
            let twice = registry.parties[..place].iter().any(|other| other.name == party.name);
            let named = note::parse_vkey(&party.log_vkey).is_ok_and(|(name, _)| name == party.name);
            if twice || !named {
                return Err(RegistryError::Party(party.name.clone()));
            }
        }
        Ok(registry)
    }

    /// Checks that this very consortium signed it.
    ///
    /// # Errors
    /// Fails if another key did.
    pub fn demand(&self, ca_key: &VerifyKey) -> Result<(), RegistryError> {
        if self.ca_key == *ca_key { Ok(()) } else { Err(RegistryError::Authority) }
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
        // Panic safety: the types hold only texts and keys.
        serde_json::to_vec(&text).expect("registries serialise")
    }
}
