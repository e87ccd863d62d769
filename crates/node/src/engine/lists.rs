//! Sharing lists: every version that this node took in, and which of them rules what.

use std::path::Path;

use serde_json::{Value, json};
use tally_crypto::sign::Envelope;
use tally_policy::list::difference;
use tally_policy::{Clearance, Day, Form, SharingList, SignedList};
use tally_protocol::session::{Contract, Holder, ListReference};

use super::{Engine, now};
use crate::failure::{self, Failure};

impl Engine {
    /// Takes in a newer version, or one that is here already.
    pub(super) fn import_list(&mut self, path: &Path) -> Result<Value, Failure> {
        let wrong = |error: &dyn std::fmt::Display| failure::refused(format!("{}: {error}", path.display()));
        let text = crate::given_file::text(path)?;
        let envelope: Envelope = serde_json::from_str(&text)
            .map_err(|error| failure::data(format!("{}: not a signed sharing list: {error}", path.display())))?;
        let list = SharingList::open(&envelope, &self.registry.list_authority_keys()).map_err(|error| wrong(&error))?;
        self.lists.admits(&list).map_err(|error| wrong(&error))?;
        self.step(|engine, step| {
            engine.store.put_list(list.version(), &envelope, step.now)?;
            let me = engine.me().to_owned();
            step.record(None, &me, tally_audit::Body::PolicyLoad { version: list.version(), list: list.digest() });
            Ok(())
        })?;
        let changes = self.lists.newest().ok().map(|before| difference(before.list(), list.list()));
        let shown = json!({
            "version": list.version(),
            "fields": list.fields().len(),
            "digest": list.digest(),
            "changes": changes,
        });
        self.lists.add(list).map_err(failure::internal)?;
        self.look_again()?;
        Ok(shown)
    }

    /// A version with what it says, and the versions that are here.
    pub(super) fn show_list(&self, version: Option<u32>) -> Result<Value, Failure> {
        let list = match version {
            Some(version) => self.lists.version(version).map_err(failure::data)?,
            None => self.sharing_list()?,
        };
        let mut shown = serde_json::to_value(list.list()).map_err(failure::internal)?;
        shown["digest"] = json!(list.digest());
        shown["versions"] = self.lists.iter().map(SignedList::version).collect();
        Ok(shown)
    }

    /// The list in force for new sessions.
    pub(crate) fn sharing_list(&self) -> Result<&SignedList, Failure> {
        self.lists.newest().map_err(failure::refused)
    }

    /// The version that a contract rests on.
    pub(super) fn pinned_list(&self, reference: &ListReference) -> Result<&SignedList, Failure> {
        self.lists.pinned(reference.version, &reference.digest).map_err(|error| {
            failure::refused(format!(
                "the contract rests on another sharing list: {error}; import that list, or propose a new session"
            ))
        })
    }

    /// The decision point for everything that happens under a contract: its own version of the list, and the newest one for
    /// what nobody may use any more.
    pub(super) fn clearance_under(&self, reference: &ListReference) -> Result<Clearance<'_>, Failure> {
        Ok(Clearance::new(self.pinned_list(reference)?, &self.register).under(self.sharing_list()?))
    }

    /// The contract must rest on a list that is here, with the levels that stand there, and name no field that the newest
    /// list puts at level 4.
    pub(super) fn check_list(&self, terms: &Contract) -> Result<(), Failure> {
        let (pinned, newest) = (self.pinned_list(&terms.list)?, self.sharing_list()?);
        for field in terms.fields_of(Holder::Platform) {
            let name = &field.name;
            if pinned.field(name).is_none_or(|listed| listed.level != field.level) {
                let text = format!("field `{name}` of the contract does not stand like that on the sharing list");
                return Err(failure::refused(text));
            }
            if newest.forbids(name) {
                let version = newest.version();
                return Err(failure::refused(format!(
                    "field `{name}` is at level 4 on version {version} of the sharing list: nobody may use it any more; \
                     propose a session without it"
                )));
            }
            let permitted = pinned.permits(name, Form::Binned, terms.purpose, Day::of(now()));
            permitted.map_err(|condition| failure::refused(format!("the sharing list forbids it: {condition}")))?;
        }
        Ok(())
    }

    /// Lists as the store holds them. An older one that no longer verifies, since its authority has left the registry, is not
    /// here any more; the newest one must.
    pub(super) fn load_lists(&mut self) -> Result<(), Failure> {
        let authorities = self.registry.list_authority_keys();
        let envelopes = self.store.lists()?;
        for (place, envelope) in envelopes.iter().enumerate() {
            match SharingList::open(envelope, &authorities) {
                Ok(list) => self.lists.add(list).map_err(failure::internal)?,
                Err(error) if place + 1 == envelopes.len() => return Err(failure::misconfigured(error)),
                Err(error) => tracing::warn!(%error, "an older sharing list is not in force"),
            }
        }
        Ok(())
    }
}
