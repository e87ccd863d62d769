//! Consents and what happens to them: read from files, kept, counted, brought to bear on running sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rayon::prelude::*;
use serde_json::{Value, json};
use tally_audit::Body;
use tally_crypto::merkle::{Frontier, leaf_hash};
use tally_crypto::seed::Seed;
use tally_crypto::transcript::{Digest, commit};
use tally_policy::{Authority, EVENT_TYPE, Form, KeptConsent, State, VerifiedConsent, VerifiedEvent, verify_all};
use tally_protocol::session::Fault;

use super::clearance::of_each_day;
use super::step::Step;
use super::{Engine, now};
use crate::failure::{self, Failure, unless_fatal};
use crate::given_file::Lines;
use crate::store::SessionRecord;

/// Lines read at a time: bounds the memory of a large import.
const LINES_AT_A_TIME: usize = 16_384;

/// A file that is being taken in.
struct Intake<'a> {
    path: &'a Path,
    /// The log entry that covers its consents.
    entry: u64,
    lines: usize,
    /// Where in the file the lines at hand stand.
    numbers: Vec<usize>,
    consents: u64,
    events: u64,
    root: Frontier,
}

impl Intake<'_> {
    fn refuse(&self, place: usize, reason: &str) -> Failure {
        let line = self.numbers.get(place).copied().unwrap_or_default();
        failure::refused(format!("{}, line {line}: {reason}; nothing was imported", self.path.display()))
    }
}

impl Engine {
    /// Reads a file of consents and consent events, one a line: all of it, or nothing.
    pub(super) fn import_consents(&mut self, path: &Path) -> Result<Value, Failure> {
        let mark = self.register.mark();
        let taken = self.step(|engine, step| engine.take_in_consents(step, path));
        let taken = taken.inspect_err(|_| self.register.back_to(mark))?;
        self.look_again()?;
        let known = taken.lines as u64 - taken.consents - taken.events;
        Ok(json!({ "lines": taken.lines, "new": taken.consents, "events": taken.events, "known": known }))
    }

    fn take_in_consents<'a>(&mut self, step: &mut Step, path: &'a Path) -> Result<Intake<'a>, Failure> {
        let me = self.me().to_owned();
        let load = |count, root| Body::ConsentLoad { count, root };
        let entry = step.record(None, &me, load(0, Digest::default()));
        let mut intake =
            Intake { path, entry, lines: 0, numbers: Vec::new(), consents: 0, events: 0, root: Frontier::default() };
        let mut lines = Lines::open(path)?;
        loop {
            let chunk = lines.take(LINES_AT_A_TIME)?;
            // Consents are verified many at a time, and an event may follow its consent in the same file.
            for lines in chunk.chunk_by(|one, other| is_event(&one.1) == is_event(&other.1)) {
                let (numbers, lines): (_, Vec<String>) = lines.iter().cloned().unzip();
                intake.numbers = numbers;
                if is_event(&lines[0]) {
                    self.take_events(step, &lines, &mut intake)?;
                } else {
                    self.take_consents(step.now, &lines, &mut intake)?;
                }
                intake.lines += lines.len();
            }
            if chunk.is_empty() {
                step.amend(entry, load(intake.consents, intake.root.root()));
                return Ok(intake);
            }
        }
    }

    fn take_consents(&mut self, now: i64, lines: &[String], intake: &mut Intake<'_>) -> Result<(), Failure> {
        let me = self.me().to_owned();
        let registrars = self.registry.registrar_keys();
        let verified = verify_all(lines, Authority { registrars: &registrars, now })
            .map_err(|error| intake.refuse(error.line - 1, &error.reason))?;
        let (vault, storage) = (self.store.vault(), self.keys.storage());
        let kept = |(document, consent): (&String, &VerifiedConsent)| {
            let kept = KeptConsent { document: document.clone(), registrar: consent.registrar() };
            let sealed = vault.seal_consent(&consent.digest(), &kept)?;
            Ok((sealed, consent_leaf(&storage, &consent.digest())))
        };
        let kept = lines.par_iter().zip(&verified).map(kept).collect::<Result<Vec<_>, Failure>>()?;
        for (place, (consent, (sealed, leaf))) in verified.iter().zip(kept).enumerate() {
            let terms = consent.consent();
            let named = terms.grantee == me || terms.providers.contains(&me);
            if !self.is_platform() && !named {
                let reason = format!("a consent to {}, not to this bank: give it to that node", terms.grantee);
                return Err(intake.refuse(place, &reason));
            }
            if !named {
                let reason = format!("a consent that names {me} neither as a provider of data nor as who gets them");
                return Err(intake.refuse(place, &reason));
            }
            if !self.register.add(consent).map_err(|reason| intake.refuse(place, &reason))? {
                continue;
            }
            self.store.add_consent(&consent.digest(), intake.entry, &sealed)?;
            intake.root.append(leaf);
            intake.consents += 1;
        }
        Ok(())
    }

    fn take_events(&mut self, step: &mut Step, lines: &[String], intake: &mut Intake<'_>) -> Result<(), Failure> {
        let registrars = self.registry.registrar_keys();
        for (place, document) in lines.iter().enumerate() {
            let event = VerifiedEvent::open(document).map_err(|reason| intake.refuse(place, &reason))?;
            let happened = self.register.happen(&event, &registrars, step.now);
            if happened.map_err(|reason| intake.refuse(place, &reason))? {
                self.record_event(step, &event, document)?;
                intake.events += 1;
            }
        }
        Ok(())
    }

    fn record_event(&self, step: &mut Step, event: &VerifiedEvent, document: &str) -> Result<(), Failure> {
        self.store.add_consent_event(&event.digest(), document)?;
        let salt = super::random_bytes()?;
        let body = Body::ConsentChange {
            change: event.event().kind.to_string(),
            consent: commit("consent", &salt, event.event().consent.as_bytes()),
            event: commit("event", &salt, event.digest().as_bytes()),
            effective: event.event().time,
        };
        let entry = step.record(None, self.me(), body);
        let subject = self.register.subject(&event.event().consent).unwrap_or_default().to_owned();
        self.store.put_opening(entry, &self.subject_tag(&subject), &salt, &subject)
    }

    /// Keyed hash of a subject, by which the store finds what is about it.
    pub(super) fn subject_tag(&self, subject: &str) -> Digest {
        Digest(*self.keys.storage().derive("subject-tag", &[subject.as_bytes()]).expose())
    }

    pub(super) fn consent_status(&self) -> Result<Value, Failure> {
        let states = self.register.states(now());
        let active = states.iter().map(|(grantee, states)| (grantee.clone(), states.get(&State::Active).copied()));
        let in_force: std::collections::BTreeMap<_, _> =
            active.map(|(grantee, active)| (grantee, active.unwrap_or_default())).collect();
        Ok(json!({ "consents": self.register.len(), "in_force": in_force, "states": states }))
    }

    /// List, consents with their events and uses, as the store holds them. A consent whose registrar has left the registry
    /// is not in force.
    pub(super) fn load_registers(&mut self) -> Result<(), Failure> {
        self.load_lists()?;
        let registrars = self.registry.registrar_keys();
        let (mut void, mut after) = (0, 0);
        loop {
            let kept = self.store.consents(after, LINES_AT_A_TIME)?;
            let Some((last, _)) = kept.last() else { break };
            after = *last;
            let open = |(_, kept): &(u64, KeptConsent)| VerifiedConsent::kept(kept, &registrars);
            for consent in kept.par_iter().map(open).collect::<Vec<_>>() {
                let consent = consent.map_err(failure::internal)?;
                if consent.is_none_or(|consent| self.register.add(&consent).is_err()) {
                    void += 1;
                }
            }
        }
        if void > 0 {
            tracing::warn!(void, "consents without a registrar of the registry are not in force");
        }
        for document in self.store.consent_events()? {
            let event = VerifiedEvent::open(&document).map_err(failure::internal)?;
            // Those of void consents, and of registrars that have left.
            let _ = self.register.happen(&event, &registrars, now());
        }
        let register = &mut self.register;
        self.store.each_use(|consent, _, time| {
            register.count_use(&consent, 1, time);
        })
    }

    /// Looks again at what running sessions rest on: one whose fields the lists forbid by now ends, rows whose consents have
    /// ended since it began leave it.
    pub(super) fn look_again(&mut self) -> Result<(), Failure> {
        for record in self.store.sessions()? {
            if record.ended() || record.clearances.is_empty() {
                continue;
            }
            // One session that cannot be looked at hides no other.
            let name = record.session.clone();
            if let Err(failure) = unless_fatal(self.look_at(record))? {
                tracing::error!(session = name, %failure, "what a session rests on was not looked at again");
            }
        }
        Ok(())
    }

    fn look_at(&mut self, record: SessionRecord) -> Result<(), Failure> {
        if let Err(forbidden) = self.check_list(self.contract_of(&record)?.terms()) {
            let fault = Fault { culprit: self.me().into(), reason: forbidden.message };
            return self.step(|engine, step| engine.abort(step, record, fault, true));
        }
        for (grantee, entry) in record.clearances.clone() {
            let ended = self.ended_since(&record, &grantee, entry)?;
            if !ended.is_empty() {
                self.step(|engine, step| engine.withdraw(step, &record.session, &grantee, ended, 0))?;
            }
        }
        Ok(())
    }

    /// Takes in the events that the platform forwarded about rows of a session, and the rows of consents that have ended by now out
    /// of it. One entry in all, also where nothing was forwarded that this bank can open: others see how long the log is.
    pub(super) fn take_forwarded(&mut self, step: &mut Step, session: &str, events: &[String]) -> Result<(), Failure> {
        let mut forwarded = 0;
        for events in events {
            forwarded += self.take_chain(step, session, events)?;
        }
        let record = self.known_session(session)?;
        if record.ended() {
            return Ok(());
        }
        for (grantee, entry) in &record.clearances {
            let ended = self.ended_since(&record, grantee, *entry)?;
            self.withdraw(step, session, grantee, ended, std::mem::take(&mut forwarded))?;
        }
        Ok(())
    }

    /// Verifies the events of one consent and takes in those that the register does not have yet; says how many these are. What does
    /// not hold is passed over, without a word in the log.
    fn take_chain(&mut self, step: &mut Step, session: &str, events: &str) -> Result<u64, Failure> {
        step.mark(self.register.mark());
        let registrars = self.registry.registrar_keys();
        let mut chain = Vec::new();
        let (mut taken, mut refused) = (0, false);
        for document in events.lines() {
            match VerifiedEvent::open(document) {
                Ok(event) => chain.push((event, document)),
                Err(_) => refused = true,
            }
        }
        let known = |event: &VerifiedEvent| self.register.last_event(&event.event().consent) == Some(event.digest());
        let new = chain.iter().rposition(|(event, _)| known(event)).map_or(0, |last| last + 1);
        for (event, document) in &chain[new..] {
            match self.register.happen(event, &registrars, step.now) {
                Ok(true) => {
                    self.store.add_consent_event(&event.digest(), document)?;
                    taken += 1;
                }
                Ok(false) => {}
                Err(_) => refused = true,
            }
        }
        if refused {
            tracing::warn!(session, "an event that the platform forwarded does not hold, and was not taken in");
        }
        Ok(taken)
    }

    /// The signed events of these consents, in order.
    pub(super) fn events_of(&self, consents: &BTreeSet<Digest>) -> Result<BTreeMap<Digest, Vec<String>>, Failure> {
        let mut found: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
        for document in self.store.consent_events()? {
            let event = VerifiedEvent::open(&document).map_err(failure::internal)?;
            let consent = event.event().consent;
            if consents.contains(&consent) {
                found.entry(consent).or_default().push(document);
            }
        }
        Ok(found)
    }

    /// What the log says of consents that have ended: how many by an event, how many by themselves, and how many events were
    /// forwarded.
    pub(super) fn ended_in_the_log(&self, bank: &str, ended: &BTreeSet<(Digest, String)>, forwarded: u64) -> Body {
        let by_event = |consent: &Digest| {
            let state = self.register.state(consent, now());
            matches!(state, Some(State::Paused | State::Revoked))
        };
        let changed = ended.iter().filter(|(consent, _)| by_event(consent)).count() as u64;
        Body::ConsentEnded { bank: bank.into(), changed, expired: ended.len() as u64 - changed, forwarded }
    }

    /// Consents of a clearance that have ended, with their subjects, where no other consent stands in for them.
    fn ended_since(
        &self,
        record: &SessionRecord,
        grantee: &str,
        entry: u64,
    ) -> Result<BTreeSet<(Digest, String)>, Failure> {
        let contract = self.contract_of(record)?;
        let time = now();
        let fields = self.fields_read(contract.terms());
        let question = self.question(contract.terms(), grantee, &fields, Form::Binned, time)?;
        let questions = of_each_day(&question, contract.terms());
        let clearance = self.clearance_under(&contract.terms().list)?;
        let ended = |state| matches!(state, State::Paused | State::Revoked | State::Superseded | State::Expired);
        let mut found = BTreeSet::new();
        for consent in self.store.used_by(entry)? {
            let state = self.register.state(&consent, time);
            let (Some(subject), false) = (self.register.subject(&consent), record.withdrawn.contains(&consent)) else {
                continue;
            };
            let gone = state.is_some_and(ended) || state.is_none();
            // All rows of an enterprise leave together.
            if gone && questions.iter().any(|question| clearance.subject(subject, question).is_err()) {
                found.insert((consent, subject.to_owned()));
            }
        }
        Ok(found)
    }
}

/// The leaf of a consent under the root of its log entry: a commitment that only this node and the consent's receipt open.
pub(super) fn consent_leaf(storage: &Seed, consent: &Digest) -> Digest {
    leaf_hash(commit("consent", &consent_salt(storage, consent), consent.as_bytes()).as_bytes())
}

/// The salt of a consent's commitment.
pub(super) fn consent_salt(storage: &Seed, consent: &Digest) -> [u8; 16] {
    let derived = storage.derive("consent-salt", &[consent.as_bytes()]);
    let mut salt = [0; 16];
    salt.copy_from_slice(&derived.expose()[..16]);
    salt
}

/// Whether a line holds an event; what it really is, its verification tells.
fn is_event(line: &str) -> bool {
    line.contains(EVENT_TYPE)
}
