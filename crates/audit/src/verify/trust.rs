//! Whom a reader of checkpoints trusts.

use crate::note::{Checkpoint, Note, VerifierKey, standard_verifier};
use crate::policy::{Policy, Witnessed};
use crate::registry::Registry;

/// Whom a reader trusts; with both, both must hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trust<'a> {
    /// Names the parties and the keys of their logs.
    pub registry: Option<&'a Registry>,
    /// Names logs and witnesses, and how many of these must have cosigned. One without logs leaves them to the registry.
    pub policy: Option<&'a Policy>,
}

impl Trust<'_> {
    /// Checks a checkpoint: the log that it names has signed it, and the policy's quorum has cosigned it.
    ///
    /// # Errors
    /// Says what does not hold.
    pub fn check(&self, note: &Note) -> Result<Witnessed, String> {
        let checkpoint = Checkpoint::parse(note.text()).map_err(|error| error.to_string())?;
        let key = self.key(&checkpoint.origin)?;
        let verifier = standard_verifier(&key).ok_or("the log's key is of a type that cannot be verified here")?;
        let signed = note.verify_one(verifier.as_ref()).map_err(|error| error.to_string())?;
        signed.ok_or_else(|| format!("no valid signature by `{}`", checkpoint.origin))?;
        let cosigned = self.policy.map(|policy| policy.quorum(note)).transpose().map_err(|error| error.to_string())?;
        Ok(Witnessed { checkpoint, cosigned: cosigned.unwrap_or_default() })
    }

    /// The key of the log called `origin`.
    fn key(&self, origin: &str) -> Result<VerifierKey, String> {
        let named: Vec<_> = self.policy.into_iter().flat_map(Policy::logs).map(|(key, _)| key).collect();
        let mut key = named.iter().find(|key| key.name() == origin).copied().cloned();
        if !named.is_empty() && key.is_none() {
            return Err(format!("the policy does not know a log called `{origin}`"));
        }
        if let Some(registry) = self.registry {
            let unknown = || format!("the registry does not know a log called `{origin}`");
            let party = registry.party(origin).ok_or_else(unknown)?;
            let registered: VerifierKey = party.log_vkey.parse().map_err(|_| unknown())?;
            if key.is_some_and(|key| key != registered) {
                return Err(format!("registry and policy name different keys for `{origin}`"));
            }
            key = Some(registered);
        }
        key.ok_or_else(|| format!("no key is known of a log called `{origin}`"))
    }
}
