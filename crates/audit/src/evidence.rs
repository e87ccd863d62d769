//! Evidence: one entry with everything that proves it, in one file, to hand to a court, a notary or an enterprise.
//!
//! The file is JSON. It holds the entry as it was hashed, its proof of inclusion (which is a `.tlog-proof` file), the registry that
//! names the log's key, the openings that were disclosed, and the signed document that the entry names. Whoever trusts the
//! consortium's key, the log's key or a policy needs nothing else.

use serde::{Deserialize, Serialize};
use tally_crypto::sign::{Envelope, STATEMENT_TYPE, VerifyKey, predicate_type};
use tally_crypto::transcript::{Digest, commit};

use crate::entry::{Body, Entry};
use crate::files::{Folder, entry, inclusion_proof};
use crate::note::Note;
use crate::policy::Witnessed;
use crate::proof::Proof;
use crate::registry::Registry;
use crate::verify::Trust;
use tally_crypto::merkle::{leaf_hash, verify_inclusion};

#[cfg(test)]
mod tests;

/// How the URIs of what statements say begin.
const ATTESTATIONS: &str = "https://tallystick.example/attestation/";

/// What the field `format` says.
const FORMAT: &str = "tallystick-evidence-v1";

/// One entry with what proves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    format: String,
    /// The entry's bytes, which are one line of JSON.
    pub entry: String,
    /// Proof that it is in the log, in the format tlog-proof v1.
    pub proof: String,
    /// The consortium's registry; worth what its key is worth. Of several entries in a file the first carries it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<Registry>,
    /// What commitments of the entry were made to, as far as that was disclosed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub openings: Vec<Opening>,
    /// The signed document whose digest stands in the entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope: Option<Envelope>,
}

/// What a commitment was made to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// Field of the entry that holds the commitment; also the commitment's label.
    pub field: String,
    /// The salt, 32 hexadecimal digits.
    pub salt: String,
    /// The value.
    pub value: Value,
}

/// A committed value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// As text.
    Text(String),
    /// As bytes, in hexadecimal.
    Hex(String),
}

/// What evidence proves.
#[derive(Clone, Debug, PartialEq)]
pub struct Proven {
    /// The entry.
    pub entry: Entry,
    /// The checkpoint that covers it, and who has cosigned that.
    pub witnessed: Witnessed,
    /// Fields that were opened.
    pub opened: Vec<String>,
    /// The document that the entry names.
    pub document: Option<Document>,
}

/// A document that an entry names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Field of the entry that holds its digest.
    pub field: String,
    /// Those named in the registry whose signatures hold; of a contract all of its parties, of a fact all who are said to have
    /// signed it.
    pub signed_by: Vec<String>,
}

/// Why evidence was refused.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The log could not be read.
    #[error("the log: {0}")]
    Log(#[from] std::io::Error),
    /// Not of the form of evidence.
    #[error("not evidence: {0}")]
    Form(String),
    /// The proof is malformed, or does not hold.
    #[error("the proof: {0}")]
    Proof(String),
    /// The entry is not one of its log.
    #[error("the entry: {0}")]
    Entry(String),
    /// An opening does not fit.
    #[error("the opening of `{0}` is not what the entry commits to")]
    Opening(String),
    /// The document does not fit, or is not signed.
    #[error("the document: {0}")]
    Document(String),
}

impl Evidence {
    /// Gathers the evidence for entry `index` of the log in `folder`, under its present checkpoint.
    ///
    /// # Errors
    /// Fails if the log cannot be read or there is no such entry.
    pub fn gather(folder: &dyn Folder, index: u64, trust: Trust<'_>) -> Result<Self, EvidenceError> {
        let checkpoint = String::from_utf8(folder.read(std::path::Path::new("checkpoint"))?);
        let checkpoint = checkpoint.map_err(|error| EvidenceError::Proof(error.to_string()))?;
        let note = Note::parse(&checkpoint).map_err(|error| EvidenceError::Proof(error.to_string()))?;
        let size = trust.check(&note).map_err(EvidenceError::Proof)?.checkpoint.size;
        Ok(Self { registry: trust.registry.cloned(), ..Self::under(folder, index, &note, size)? })
    }

    /// The same under a checkpoint of `size` entries that was checked already; without a registry.
    ///
    /// # Errors
    /// As [`Evidence::gather`].
    pub fn under(folder: &dyn Folder, index: u64, checkpoint: &Note, size: u64) -> Result<Self, EvidenceError> {
        let text = String::from_utf8(entry(folder, index, size)?);
        let text = text.map_err(|error| EvidenceError::Entry(error.to_string()))?;
        let path = inclusion_proof(folder, index, size)?;
        let proof = Proof { extra: None, index, path, checkpoint: checkpoint.clone() };
        let (format, proof) = (FORMAT.into(), proof.to_string());
        Ok(Self { format, entry: text, proof, registry: None, openings: Vec::new(), envelope: None })
    }

    /// Reads a file of evidence of several entries, one behind the other; nothing is verified.
    ///
    /// # Errors
    /// Says what is malformed; also if there is none.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, EvidenceError> {
        let form = |error: serde_json::Error| EvidenceError::Form(error.to_string());
        let all = serde_json::Deserializer::from_str(text).into_iter::<Self>();
        let all = all.map(|one| one.map_err(form)).collect::<Result<Vec<_>, _>>()?;
        match all.iter().find(|one| one.format != FORMAT) {
            Some(other) => Err(EvidenceError::Form(format!("the format is `{}`", other.format))),
            None if all.is_empty() => Err(EvidenceError::Form("the file is empty".into())),
            None => Ok(all),
        }
    }

    /// Verifies everything in the file, under whom the reader trusts; the registry in the file counts only if `trust` holds it.
    ///
    /// # Errors
    /// Says what does not hold.
    pub fn verify(&self, trust: Trust<'_>) -> Result<Proven, EvidenceError> {
        let proof = Proof::parse(&self.proof).map_err(|error| EvidenceError::Proof(error.to_string()))?;
        let witnessed = trust.check(&proof.checkpoint).map_err(EvidenceError::Proof)?;
        let (leaf, checkpoint) = (leaf_hash(self.entry.as_bytes()), &witnessed.checkpoint);
        if !verify_inclusion(&leaf, proof.index, checkpoint.size, &proof.path, &checkpoint.root) {
            return Err(EvidenceError::Proof("does not lead from this entry to the checkpoint's root".into()));
        }
        let entry = Entry::decode(self.entry.as_bytes()).map_err(EvidenceError::Entry)?;
        if entry.index != proof.index || entry.node != checkpoint.origin {
            return Err(EvidenceError::Entry("is that of another place or node".into()));
        }
        let fields = fields(&entry);
        for opening in &self.openings {
            opening.verify(&fields)?;
        }
        let opened = self.openings.iter().map(|opening| opening.field.clone()).collect();
        let document = self.envelope.as_ref().map(|envelope| document(envelope, &entry, &fields, trust.registry));
        Ok(Proven { witnessed, opened, document: document.transpose()?, entry })
    }
}

impl Opening {
    fn verify(&self, fields: &[(String, Digest)]) -> Result<(), EvidenceError> {
        let wrong = || EvidenceError::Opening(self.field.clone());
        let mut salt = [0; 16];
        hex::decode_to_slice(&self.salt, &mut salt).map_err(|_| wrong())?;
        let value = match &self.value {
            Value::Text(text) => text.clone().into_bytes(),
            Value::Hex(digits) => hex::decode(digits).map_err(|_| wrong())?,
        };
        let committed = (self.field.clone(), commit(&self.field, &salt, &value));
        if fields.contains(&committed) { Ok(()) } else { Err(wrong()) }
    }
}

/// Whether an entry of another party's log concerns `party`: it acted, or a field of the entry names it.
pub fn concerns(entry: &Entry, party: &str) -> bool {
    fn named(value: &serde_json::Value, party: &str) -> bool {
        match value {
            serde_json::Value::String(text) => text == party,
            serde_json::Value::Array(items) => items.iter().any(|item| named(item, party)),
            serde_json::Value::Object(fields) => fields.values().any(|field| named(field, party)),
            _ => false,
        }
    }
    entry.actor == party || named(&serde_json::to_value(&entry.body).unwrap_or_default(), party)
}

/// The digests of an entry, by the names of their fields.
fn fields(entry: &Entry) -> Vec<(String, Digest)> {
    let body = serde_json::to_value(&entry.body).unwrap_or_default();
    let pairs = body.as_object().into_iter().flatten();
    pairs.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.parse().ok()?))).collect()
}

/// Everybody whom a registry names with a key that signs documents.
fn signers(registry: &Registry) -> impl Iterator<Item = (&str, &VerifyKey)> {
    let parties = registry.parties.iter().map(|party| (party.name.as_str(), &party.node_key));
    let others = registry.registrars.iter().chain(&registry.list_authorities);
    parties.chain(others.map(|named| (named.name.as_str(), &named.key)))
}

/// What kind of statement an envelope holds, if it holds one.
fn statement(envelope: &Envelope) -> Option<String> {
    let payload = envelope.unverified_payload().ok().filter(|_| envelope.payload_type == STATEMENT_TYPE)?;
    predicate_type(&payload)
}

fn document(
    envelope: &Envelope,
    entry: &Entry,
    fields: &[(String, Digest)],
    registry: Option<&Registry>,
) -> Result<Document, EvidenceError> {
    let wrong = |reason: String| EvidenceError::Document(reason);
    let digest = envelope.payload_digest().map_err(|error| wrong(error.to_string()))?;
    let field = fields.iter().find(|(_, known)| *known == digest);
    let (field, _) = field.ok_or_else(|| wrong("its digest does not stand in the entry".into()))?;
    let holds = |key: &VerifyKey| envelope.open(&envelope.payload_type, &[*key]).is_ok();
    let signed_by: Vec<_> = registry.into_iter().flat_map(signers).filter(|(_, key)| holds(key)).collect();
    let signed_by: Vec<_> = signed_by.into_iter().map(|(name, _)| name.to_owned()).collect();
    let (signers, what) = match &entry.body {
        Body::SessionContract { parties, .. } => (parties.as_slice(), "is a party of the contract"),
        Body::Attestation { signers, .. } => (signers.as_slice(), "stands in the entry as a signer"),
        _ => (&[][..], ""),
    };
    if let (Body::Attestation { fact, .. }, found) = (&entry.body, statement(envelope))
        && found.as_deref() != Some(format!("{ATTESTATIONS}{fact}/v1").as_str())
    {
        return Err(wrong(format!("is not a statement of `{fact}`")));
    }
    // Without a registry nobody's key is known. Registrars and authorities may bear a party's name: its own key counts.
    let signed = |registry: &Registry, party: &str| registry.party(party).is_some_and(|party| holds(&party.node_key));
    if let Some(party) = signers.iter().find(|party| registry.is_some_and(|registry| !signed(registry, party))) {
        return Err(wrong(format!("{party} {what} and has not signed it")));
    }
    Ok(Document { field: field.clone(), signed_by })
}
