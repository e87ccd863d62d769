//! The consent register: what each enterprise allows each institution, what happened to it since, how often it was used.
//!
//! Nothing is overwritten: artefacts and events are added, uses are counted, and the state at any time is a fold over them
//! ([`Register::state`]). Terms that many consents share are kept once, so that a million consents of a city take a few
//! hundred bytes each and are found by subject in one step.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Serialize;
use tally_crypto::sign::VerifyKey;
use tally_crypto::transcript::Digest;

use crate::consent::{CLOCK_SKEW, Consent, Days, Fetch, Mode};
use crate::event::{EventKind, VerifiedEvent};
use crate::verify::VerifiedConsent;
use crate::{Day, Form, Level, Purpose};

/// Consents and their events, in order of arrival.
#[derive(Debug, Default)]
pub struct Register {
    entries: Vec<Entry>,
    scopes: Vec<Scope>,
    scope_of: HashMap<Scope, u32>,
    /// The newest consent of a subject; the others hang on it.
    newest: HashMap<Arc<str>, u32>,
    by_digest: HashMap<Digest, u32>,
    events: HashMap<u32, Vec<Happened>>,
    /// Whose events came, in order.
    arrivals: Vec<u32>,
}

/// What many consents have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    pub(crate) grantee: String,
    pub(crate) providers: Vec<String>,
    pub(crate) purposes: Vec<Purpose>,
    pub(crate) categories: Vec<String>,
    pub(crate) fields: Vec<String>,
    pub(crate) max_level: Level,
    pub(crate) form: Form,
    pub(crate) mode: Mode,
    pub(crate) data: Option<Days>,
    pub(crate) fetch: Fetch,
    pub(crate) data_life_days: u32,
}

/// One consent with its uses.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) digest: Digest,
    pub(crate) scope: u32,
    pub(crate) application: Option<Box<Digest>>,
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
    pub(crate) last_use: i64,
    subject: Arc<str>,
    id: Box<str>,
    signer: VerifyKey,
    granted: i64,
    uses: u32,
    /// The one that it amends, and when and by which it was amended.
    amends: Option<u32>,
    amended: Option<(i64, u32)>,
    /// The subject's consent before this one.
    before: Option<u32>,
}

/// One event in a consent's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Happened {
    /// When, Unix milliseconds.
    pub time: i64,
    /// What.
    pub kind: EventKind,
    /// Digest of the signed event.
    pub digest: Digest,
}

/// Where a consent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Its window has not begun.
    NotYet,
    /// In force.
    Active,
    /// Held back by the subject until resumed.
    Paused,
    /// Taken back.
    Revoked,
    /// Replaced by a later consent.
    Superseded,
    /// Its window is over.
    Expired,
    /// Every use that it allows is taken.
    Exhausted,
}

/// A consent as a report shows it.
#[derive(Clone, Debug, Serialize)]
pub struct Standing {
    /// The consent.
    pub consent: Digest,
    /// To whom.
    pub grantee: String,
    /// What for.
    pub purposes: Vec<Purpose>,
    /// Categories of the list.
    pub categories: Vec<String>,
    /// Most open form.
    pub form: Form,
    /// When it was given, from when and until when it holds, Unix milliseconds.
    pub window: [i64; 3],
    /// Where it stands now.
    pub state: State,
    /// Uses counted.
    pub uses: u32,
    /// Uses allowed; any number if absent.
    pub max_uses: Option<u32>,
    /// What happened to it, in order.
    pub events: Vec<Happened>,
}

/// What a consent's uses were before some were counted.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    place: u32,
    uses: u32,
    last_use: i64,
}

/// How far a register has come, to go back to if what was added does not last.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    entries: usize,
    arrivals: usize,
}

impl Register {
    /// Adds a consent; false if it is here already.
    ///
    /// # Errors
    /// Refuses another consent under a name that is taken, and an amendment that does not fit what it amends.
    pub fn add(&mut self, verified: &VerifiedConsent) -> Result<bool, String> {
        let (consent, digest) = (verified.consent(), verified.digest());
        if self.by_digest.contains_key(&digest) {
            return Ok(false);
        }
        if self.chain(&consent.subject).any(|(_, entry)| *entry.id == *consent.consent_id) {
            return Err("another consent of this subject has the same consent_id: ask for one with its own".into());
        }
        let amends = consent.supersedes.as_deref().map(|id| self.amended_by(consent, id)).transpose()?;
        let place = u32::try_from(self.entries.len()).map_err(|_| "the register is full")?;
        if let Some(amended) = amends {
            self.entries[amended as usize].amended = Some((consent.granted, place));
        }
        let known = self.newest.get_key_value(consent.subject.as_str()).map(|(subject, _)| subject.clone());
        let subject: Arc<str> = known.unwrap_or_else(|| consent.subject.as_str().into());
        let before = self.newest.insert(subject.clone(), place);
        self.by_digest.insert(digest, place);
        let application = consent.application.as_deref().map(|name| Box::new(application_digest(name)));
        let scope = self.scope(consent);
        self.entries.push(Entry {
            digest,
            scope,
            application,
            not_before: consent.not_before,
            not_after: consent.not_after,
            last_use: i64::MIN,
            subject,
            id: consent.consent_id.as_str().into(),
            signer: consent.signer.key,
            granted: consent.granted,
            uses: 0,
            amends,
            amended: None,
            before,
        });
        Ok(true)
    }

    /// Adds an event at `now`; false if it is the last one already.
    ///
    /// # Errors
    /// Says why it does not go on the consent's chain.
    pub fn happen(&mut self, verified: &VerifiedEvent, registrars: &[VerifyKey], now: i64) -> Result<bool, String> {
        let (event, digest) = (verified.event(), verified.digest());
        let place = *self.by_digest.get(&event.consent).ok_or("its consent is not here: import the consent first")?;
        let entry = &self.entries[place as usize];
        let chain = self.events.get(&place).map(Vec::as_slice).unwrap_or_default();
        let (last, since) = chain.last().map_or((entry.digest, entry.granted), |last| (last.digest, last.time));
        if last == digest {
            return Ok(false);
        }
        let status = folded(chain, i64::MAX);
        let follows = match event.kind {
            EventKind::Pause => status.is_none(),
            EventKind::Resume => status == Some(State::Paused),
            EventKind::Revoke => status != Some(State::Revoked),
        };
        let own = event.key == entry.signer || registrars.contains(&event.key);
        let holds = [
            (own, "signed by a key that is neither the consent's nor a registrar's: it changes nothing"),
            (
                event.previous == last,
                "does not follow the consent's last event: played again, or one is missing before it",
            ),
            (event.time >= since, "back-dated: it would lie before what happened last"),
            (event.time <= now + CLOCK_SKEW, "dated in the future: check the clocks of registrar and node"),
            (
                follows,
                "does not fit: only a consent in force is paused, only a paused one resumed, none after revocation",
            ),
        ];
        if let Some((_, reason)) = holds.into_iter().find(|(holds, _)| !holds) {
            return Err(reason.into());
        }
        self.events.entry(place).or_default().push(Happened { time: event.time, kind: event.kind, digest });
        self.arrivals.push(place);
        Ok(true)
    }

    /// How far the register has come.
    pub fn mark(&self) -> Mark {
        Mark { entries: self.entries.len(), arrivals: self.arrivals.len() }
    }

    /// Takes back everything that was added since.
    pub fn back_to(&mut self, mark: Mark) {
        for place in self.arrivals.drain(mark.arrivals.min(self.arrivals.len())..).rev() {
            self.events.entry(place).or_default().pop();
        }
        while self.entries.len() > mark.entries {
            let Some(entry) = self.entries.pop() else { break };
            self.by_digest.remove(&entry.digest);
            if let Some(amended) = entry.amends {
                self.entries[amended as usize].amended = None;
            }
            match entry.before {
                Some(before) => drop(self.newest.insert(entry.subject, before)),
                None => drop(self.newest.remove(&entry.subject)),
            }
        }
    }

    /// Counts uses of a consent at `time`, which the next decision sees; what to take back if they do not last. `None` if the
    /// consent is not here.
    pub fn count_use(&mut self, digest: &Digest, uses: u32, time: i64) -> Option<Counted> {
        let place = *self.by_digest.get(digest)?;
        let entry = &mut self.entries[place as usize];
        let before = Counted { place, uses: entry.uses, last_use: entry.last_use };
        entry.uses = entry.uses.saturating_add(uses);
        entry.last_use = entry.last_use.max(time);
        Some(before)
    }

    /// Takes back uses that were counted; the latest first, where there are several of one consent.
    pub fn take_back(&mut self, counted: Counted) {
        if let Some(entry) = self.entries.get_mut(counted.place as usize) {
            (entry.uses, entry.last_use) = (counted.uses, counted.last_use);
        }
    }

    /// Where a consent stands at a time: the fold over what is known of it; `None` if it is not here.
    pub fn state(&self, digest: &Digest, at: i64) -> Option<State> {
        let place = *self.by_digest.get(digest)?;
        Some(self.state_of(place, &self.entries[place as usize], at))
    }

    /// Whose consent it is; `None` if it is not here.
    pub fn subject(&self, digest: &Digest) -> Option<&str> {
        let place = *self.by_digest.get(digest)?;
        Some(&self.entries[place as usize].subject)
    }

    /// Until when a consent holds, Unix milliseconds; `None` if it is not here.
    pub fn not_after(&self, digest: &Digest) -> Option<i64> {
        let place = *self.by_digest.get(digest)?;
        Some(self.entries[place as usize].not_after)
    }

    /// The last link of a consent's chain, which its next event names; `None` if it is not here.
    pub fn last_event(&self, digest: &Digest) -> Option<Digest> {
        let place = *self.by_digest.get(digest)?;
        Some(self.events.get(&place).and_then(|chain| chain.last()).map_or(*digest, |last| last.digest))
    }

    /// The consents of a subject, the newest first.
    pub fn of_subject(&self, subject: &str, now: i64) -> Vec<Standing> {
        self.chain(subject).map(|(place, entry)| self.standing(place, entry, now)).collect()
    }

    /// Whether a subject has given a consent to a grantee, whatever became of it.
    pub fn holds(&self, subject: &str, grantee: &str) -> bool {
        self.find(subject, grantee).next().is_some()
    }

    /// Whether a consent of a subject to a grantee names this application, by its [name](application_digest).
    pub fn is_named(&self, subject: &str, grantee: &str, application: &Digest) -> bool {
        self.find(subject, grantee).any(|(_, entry)| entry.application.as_deref() == Some(application))
    }

    /// Number of consents.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True without consents.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Consents per grantee and state at `time`.
    pub fn states(&self, time: i64) -> BTreeMap<String, BTreeMap<State, u64>> {
        let mut counts: BTreeMap<String, BTreeMap<State, u64>> = BTreeMap::new();
        for (place, entry) in self.entries.iter().enumerate() {
            let grantee = &self.scopes[entry.scope as usize].grantee;
            let state = self.state_of(place as u32, entry, time);
            match counts.get_mut(grantee) {
                Some(states) => *states.entry(state).or_default() += 1,
                None => drop(counts.insert(grantee.clone(), BTreeMap::from([(state, 1)]))),
            }
        }
        counts
    }

    /// From when on the grantee must have deleted what it got under a consent, Unix milliseconds; `None` while the consent
    /// may still be used, or if it is not here.
    pub fn data_life_ends(&self, digest: &Digest, now: i64) -> Option<i64> {
        let place = *self.by_digest.get(digest)?;
        let entry = &self.entries[place as usize];
        let ended = match self.state_of(place, entry, now) {
            State::NotYet | State::Active | State::Paused => return None,
            State::Revoked => self.events.get(&place)?.last()?.time,
            State::Superseded => entry.amended?.0,
            State::Expired => entry.not_after,
            State::Exhausted => entry.last_use,
        };
        Some(ended + i64::from(self.scopes[entry.scope as usize].data_life_days) * Day::MILLISECONDS)
    }

    /// The consents of `subject` for `grantee`.
    pub(crate) fn find<'a>(
        &'a self,
        subject: &str,
        grantee: &'a str,
    ) -> impl Iterator<Item = (u32, &'a Entry)> + use<'a> {
        self.chain(subject).filter(move |(_, entry)| self.scopes[entry.scope as usize].grantee == grantee)
    }

    pub(crate) fn scope_at(&self, place: u32) -> &Scope {
        &self.scopes[place as usize]
    }

    pub(crate) fn state_of(&self, place: u32, entry: &Entry, at: i64) -> State {
        let chain = self.events.get(&place).map(Vec::as_slice).unwrap_or_default();
        let allowed = self.scopes[entry.scope as usize].fetch.max_uses();
        if let Some(state) = folded(chain, at).filter(|state| *state == State::Revoked) {
            return state;
        }
        if entry.amended.is_some_and(|(time, _)| at >= time) {
            return State::Superseded;
        }
        if at < entry.not_before {
            return State::NotYet;
        }
        if at > entry.not_after {
            return State::Expired;
        }
        if at >= entry.last_use && allowed.is_some_and(|most| entry.uses >= most) {
            return State::Exhausted;
        }
        folded(chain, at).unwrap_or(State::Active)
    }

    fn chain<'a>(&'a self, subject: &str) -> impl Iterator<Item = (u32, &'a Entry)> + use<'a> {
        let mut next = self.newest.get(subject).copied();
        std::iter::from_fn(move || {
            let place = next?;
            let entry = &self.entries[place as usize];
            next = entry.before;
            Some((place, entry))
        })
    }

    fn standing(&self, place: u32, entry: &Entry, now: i64) -> Standing {
        let scope = self.scope_at(entry.scope);
        Standing {
            consent: entry.digest,
            grantee: scope.grantee.clone(),
            purposes: scope.purposes.clone(),
            categories: scope.categories.clone(),
            form: scope.form,
            window: [entry.granted, entry.not_before, entry.not_after],
            state: self.state_of(place, entry, now),
            uses: entry.uses,
            max_uses: scope.fetch.max_uses(),
            events: self.events.get(&place).cloned().unwrap_or_default(),
        }
    }

    fn amended_by(&self, consent: &Consent, id: &str) -> Result<u32, String> {
        let (place, earlier) = self
            .chain(&consent.subject)
            .find(|(_, entry)| *entry.id == *id)
            .ok_or("amends a consent that is not here: import that one first")?;
        if self.scopes[earlier.scope as usize].grantee != consent.grantee {
            return Err("amends a consent to another institution".into());
        }
        if consent.granted < earlier.granted {
            return Err("back-dated: given before the consent that it amends".into());
        }
        if earlier.amended.is_some() {
            return Err("amends a consent that was amended already: amend the newest one".into());
        }
        Ok(place)
    }

    fn scope(&mut self, consent: &Consent) -> u32 {
        let scope = Scope {
            grantee: consent.grantee.clone(),
            providers: consent.providers.clone(),
            purposes: consent.purposes.clone(),
            categories: consent.categories.clone(),
            fields: consent.fields.clone(),
            max_level: consent.max_level,
            form: consent.form,
            mode: consent.mode,
            data: consent.data.clone(),
            fetch: consent.fetch,
            data_life_days: consent.data_life_days,
        };
        if let Some(known) = self.scope_of.get(&scope) {
            return *known;
        }
        let place = self.scopes.len() as u32;
        self.scopes.push(scope.clone());
        self.scope_of.insert(scope, place);
        place
    }
}

/// What the subject's events amount to at a time; `None` if they do not stand in the way.
fn folded(chain: &[Happened], at: i64) -> Option<State> {
    let last = chain.iter().rev().find(|event| event.time <= at)?;
    match last.kind {
        EventKind::Pause => Some(State::Paused),
        EventKind::Resume => None,
        EventKind::Revoke => Some(State::Revoked),
    }
}

/// Names an application, so that a bank need not tell the platform its number.
pub fn application_digest(application: &str) -> Digest {
    Digest::of("tallystick/application/v1", &[application.as_bytes()])
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotYet => "not-yet",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Revoked => "revoked",
            Self::Superseded => "superseded",
            Self::Expired => "expired",
            Self::Exhausted => "exhausted",
        })
    }
}
