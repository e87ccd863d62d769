//! Trust policies (C2SP tlog-policy): which logs are known, and which witnesses must have cosigned a checkpoint.

mod parse;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::note::{Checkpoint, Note, NoteError, Signed, Verifier, VerifierKey};

pub use parse::PolicyParseError;

/// A trust policy.
pub struct Policy {
    logs: Vec<Known>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    quorum: Quorum,
}

/// A key of the policy; one of a type that is not known here never counts.
struct Known {
    key: VerifierKey,
    verifier: Option<Box<dyn Verifier>>,
    url: Option<String>,
}

struct Witness {
    name: Vec<u8>,
    known: Known,
}

/// Holds where `threshold` of its members do.
struct Group {
    name: Vec<u8>,
    threshold: usize,
    members: Vec<Member>,
}

/// A witness or an earlier group, by its place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Member {
    Witness(usize),
    Group(usize),
}

enum Quorum {
    None,
    Of(Member),
}

/// A cosignature that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// Name of the witness in the policy.
    pub witness: String,
    /// When it cosigned, in seconds since 1970, where its type says so.
    pub time: Option<u64>,
}

/// A checkpoint under a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnessed {
    /// What is stated.
    pub checkpoint: Checkpoint,
    /// The witnesses of the policy that have cosigned it.
    pub cosigned: Vec<Cosigned>,
}

/// Why a checkpoint does not satisfy a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The note does not hold.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// No log of the policy has this origin, or it has not signed.
    #[error("no log of the policy has signed the checkpoint of `{0}`")]
    Log(String),
    /// Too few witnesses.
    #[error("the quorum `{quorum}` is not reached: cosigned by {}", list(.cosigned))]
    Quorum {
        /// What the policy demands.
        quorum: String,
        /// The witnesses of the policy that have cosigned.
        cosigned: Vec<String>,
    },
}

impl Policy {
    /// Checks a checkpoint: a log of the policy has signed it under its own name, and the quorum has cosigned it.
    ///
    /// # Errors
    /// Refuses it, too, if any line of a key of the policy is wrong.
    pub fn check(&self, note: &Note) -> Result<Witnessed, PolicyError> {
        let checkpoint = Checkpoint::parse(note.text())?;
        let logs = self.logs.iter().filter(|log| log.key.name() == checkpoint.origin);
        let verifiers: Vec<_> = logs.filter_map(|log| log.verifier.as_deref()).collect();
        if !note.verify(&verifiers)?.iter().any(Option::is_some) {
            return Err(PolicyError::Log(checkpoint.origin));
        }
        let cosigned = self.quorum(note)?;
        Ok(Witnessed { checkpoint, cosigned })
    }

    /// Checks the cosignatures alone, for a checkpoint of a log that is known otherwise.
    ///
    /// # Errors
    /// Fails if a witness's line is wrong or the quorum is not reached.
    pub fn quorum(&self, note: &Note) -> Result<Vec<Cosigned>, PolicyError> {
        let signed = self.signed(note)?;
        let cosigned = self.named(&signed);
        if self.holds(&signed) {
            return Ok(cosigned);
        }
        let cosigned = cosigned.into_iter().map(|one| one.witness).collect();
        Err(PolicyError::Quorum { quorum: self.quorum_name(), cosigned })
    }

    /// The witnesses of the policy that have cosigned a note, whether they suffice or not.
    ///
    /// # Errors
    /// Fails if a witness's line is wrong.
    pub fn cosignatures(&self, note: &Note) -> Result<Vec<Cosigned>, NoteError> {
        Ok(self.named(&self.signed(note)?))
    }

    /// What each witness has signed, in the order of the policy.
    fn signed(&self, note: &Note) -> Result<Vec<Option<Signed>>, NoteError> {
        let verify = |witness: &Witness| match &witness.known.verifier {
            Some(verifier) => note.verify_one(verifier.as_ref()),
            None => Ok(None),
        };
        self.witnesses.iter().map(verify).collect()
    }

    fn named(&self, signed: &[Option<Signed>]) -> Vec<Cosigned> {
        let pairs = self.witnesses.iter().zip(signed);
        pairs.filter_map(|(witness, one)| Some(Cosigned { witness: text(&witness.name), time: (*one)?.time })).collect()
    }

    fn holds(&self, signed: &[Option<Signed>]) -> bool {
        let mut groups: Vec<bool> = Vec::new();
        let holds = |member: Member, groups: &[bool]| match member {
            Member::Witness(place) => signed[place].is_some(),
            Member::Group(place) => groups[place],
        };
        for group in &self.groups {
            let count = group.members.iter().filter(|member| holds(**member, &groups)).count();
            groups.push(count >= group.threshold);
        }
        match self.quorum {
            Quorum::None => true,
            Quorum::Of(member) => holds(member, &groups),
        }
    }

    fn quorum_name(&self) -> String {
        match self.quorum {
            Quorum::None => "none".into(),
            Quorum::Of(Member::Witness(place)) => text(&self.witnesses[place].name),
            Quorum::Of(Member::Group(place)) => text(&self.groups[place].name),
        }
    }

    /// Keys of the logs, with their addresses.
    pub fn logs(&self) -> impl Iterator<Item = (&VerifierKey, Option<&str>)> {
        self.logs.iter().map(|log| (&log.key, log.url.as_deref()))
    }

    /// Names, keys and addresses of the witnesses.
    pub fn witnesses(&self) -> impl Iterator<Item = (String, &VerifierKey, Option<&str>)> {
        self.witnesses.iter().map(|witness| (text(&witness.name), &witness.known.key, witness.known.url.as_deref()))
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policy({} logs, {} witnesses, quorum {})", self.logs.len(), self.witnesses.len(), self.quorum_name())
    }
}

/// Names are any bytes; people read them as UTF-8.
fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nobody".into() } else { names.join(", ") }
}
