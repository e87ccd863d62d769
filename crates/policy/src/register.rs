//! The consent register: what each enterprise allows each institution, and how often it was used.

use std::collections::{BTreeMap, HashMap};

use tally_crypto::transcript::Digest;

use crate::consent::{Consent, VerifiedConsent};

/// Consents by subject and grantee, in order of arrival.
#[derive(Debug, Default)]
pub struct Register {
    entries: Vec<Entry>,
    by_subject: HashMap<String, Vec<u32>>,
    by_digest: HashMap<Digest, u32>,
}

/// One consent with its uses.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) consent: Consent,
    pub(crate) digest: Digest,
    pub(crate) uses: u64,
    pub(crate) superseded: bool,
}

impl Register {
    /// Adds a consent; false if it is here already. A consent that it supersedes is void from now on.
    pub fn add(&mut self, verified: VerifiedConsent) -> bool {
        let digest = verified.digest();
        if self.by_digest.contains_key(&digest) {
            return false;
        }
        let consent = verified.consent().clone();
        if let Some(earlier) = &consent.supersedes {
            for entry in &mut self.entries {
                let same = entry.consent.subject == consent.subject && entry.consent.consent_id == *earlier;
                entry.superseded |= same;
            }
        }
        let Ok(place) = u32::try_from(self.entries.len()) else { return false };
        self.by_subject.entry(consent.subject.clone()).or_default().push(place);
        self.by_digest.insert(digest, place);
        self.entries.push(Entry { consent, digest, uses: 0, superseded: false });
        true
    }

    /// Counts uses of a consent.
    pub fn count_uses(&mut self, digest: &Digest, uses: u64) {
        if let Some(place) = self.by_digest.get(digest) {
            self.entries[*place as usize].uses += uses;
        }
    }

    /// Number of consents.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True without consents.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Consents in force at `time`, per grantee.
    pub fn in_force(&self, time: i64) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for entry in &self.entries {
            let consent = &entry.consent;
            if !entry.superseded && (consent.not_before..=consent.not_after).contains(&time) {
                *counts.entry(consent.grantee.clone()).or_default() += 1;
            }
        }
        counts
    }

    /// The consents of `subject` for `grantee`.
    pub(crate) fn find<'a>(&'a self, subject: &str, grantee: &'a str) -> impl Iterator<Item = &'a Entry> {
        let places = self.by_subject.get(subject).map(Vec::as_slice).unwrap_or_default();
        places.iter().map(|place| &self.entries[*place as usize]).filter(move |entry| entry.consent.grantee == grantee)
    }
}
