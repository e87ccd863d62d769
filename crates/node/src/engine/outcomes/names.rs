//! Under which name an application is kept, and told to the platform.

use tally_crypto::transcript::Digest;
use tally_policy::application_digest;
use tally_protocol::outcome::Reported;

use super::super::Engine;
use super::Recorded;
use crate::failure::Failure;

impl Engine {
    /// Bank: the name under which an application of its own is kept, and told: a hash under a key of this node, so that nobody
    /// else finds a number behind it.
    pub(super) fn name_here(&self, application: &str) -> Digest {
        self.outcome_name(self.me(), &application_digest(application))
    }

    /// What is told of an application. The platform is told which one where a consent to it rests on that, and knows it from
    /// there; what was told under the digest of its number stays under that.
    pub(super) fn reported(&self, platform: &str, recorded: &Recorded) -> Reported {
        let Recorded { latest, told, .. } = recorded;
        let digest = application_digest(&latest.application);
        let application = match told {
            Some(told) => told.application.unwrap_or(digest),
            None => self.name_here(&latest.application),
        };
        let named = Some(digest).filter(|digest| self.register.is_named(&latest.subject, platform, digest));
        Reported { application, subject: latest.subject.clone(), named, coded: recorded.coded() }
    }

    /// Bank: what is recorded of an application by the name under which it was told.
    pub(super) fn recorded_under(&self, application: &Digest) -> Result<Option<(Digest, Recorded)>, Failure> {
        for name in [*application, self.outcome_name(self.me(), application)] {
            if let Some(recorded) = self.store.outcome(&name)? {
                return Ok(Some((name, recorded)));
            }
        }
        Ok(None)
    }

    /// Keyed hash of an application, by which the store finds its outcome.
    pub(super) fn outcome_name(&self, bank: &str, application: &Digest) -> Digest {
        let key = self.keys.storage().derive("outcome", &[bank.as_bytes(), application.as_bytes()]);
        Digest(*key.expose())
    }
}
