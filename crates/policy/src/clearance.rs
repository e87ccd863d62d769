//! The one place that decides whether data may be used: default deny, every condition named.
//!
//! Typed rules instead of a policy language (Cedar was tried): the conditions are few, fixed by law and by the sharing list,
//! and each denial must say which of them failed, which an engine that answers "no policy permitted" does not. What
//! compliance staff read and change is the sharing list and the consent, both signed documents; the rules below are the
//! same for everyone, and a build of 160 packages less.
//!
//! It is asked at five places: before rows enter an alignment, before features leave, at the start of a session and of each
//! of its rounds, before a score, before an export. Protocol code takes [`Cleared`] values, which nothing but [`Clearance`]
//! can make.

use std::collections::BTreeMap;

use tally_crypto::transcript::{Digest, Transcript};

use crate::consent::{Fetch, Mode};
use crate::register::{Entry, Scope, State};
use crate::{Day, Form, Purpose, Register, SignedList};

/// Binned fields that one institution holds of an enterprise and that count as telling it from all others.
pub const IDENTIFYING_FIELDS: usize = 6;

/// A value that may be used: its field is private, only this module makes one.
#[derive(Clone, Debug)]
pub struct Cleared<T> {
    value: T,
    consents: Vec<Digest>,
    basis: Digest,
}

impl<T> Cleared<T> {
    /// What was cleared before it was put into the node's own sealed journal, read back from there.
    pub fn journaled(value: T) -> Self {
        Self { value, consents: Vec::new(), basis: Digest::default() }
    }

    /// A holder's own rows for sums over several holders, of which no row leaves in any form: no consent is asked, and nothing
    /// but statistics takes them so.
    pub fn own(value: T) -> Self {
        Self::journaled(value)
    }

    /// Digest over the list version and the consents that it rests on.
    pub fn basis(&self) -> Digest {
        self.basis
    }

    /// The consents that it rests on, one a row: each has been used once.
    pub fn consents(&self) -> &[Digest] {
        &self.consents
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// The value in another shape: what is cleared stays cleared.
    pub fn map<U>(self, view: impl FnOnce(T) -> U) -> Cleared<U> {
        Cleared { value: view(self.value), consents: self.consents, basis: self.basis }
    }

    /// What the value names, taken from where it lies: what is cleared stays cleared.
    ///
    /// # Errors
    /// Those of `view`.
    pub fn try_map<U, E>(self, view: impl FnOnce(T) -> Result<U, E>) -> Result<Cleared<U>, E> {
        Ok(Cleared { value: view(self.value)?, consents: self.consents, basis: self.basis })
    }
}

impl<T> Cleared<Vec<T>> {
    /// The same rows, each seen through `view`: what is cleared stays cleared.
    pub fn map_rows<U>(self, view: impl FnMut(T) -> U) -> Cleared<Vec<U>> {
        let value = self.value.into_iter().map(view).collect();
        Cleared { value, consents: self.consents, basis: self.basis }
    }
}

impl<K: Ord, T> Cleared<BTreeMap<K, T>> {
    /// What was cleared for several, together.
    pub fn join(parts: impl IntoIterator<Item = (K, Cleared<T>)>) -> Self {
        let mut basis = Transcript::new("tallystick/clearances/v1");
        let (mut value, mut consents) = (BTreeMap::new(), Vec::new());
        for (key, part) in parts {
            basis.append(part.basis.as_bytes());
            consents.extend(part.consents);
            value.insert(key, part.value);
        }
        Self { value, consents, basis: basis.digest() }
    }
}

impl<T> std::ops::Deref for Cleared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// What somebody wants to do.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// Institution that will use the data.
    pub grantee: &'a str,
    /// Party that holds them.
    pub provider: &'a str,
    /// What for.
    pub purpose: Purpose,
    /// The platform's fields.
    pub fields: &'a [&'a str],
    /// In which form.
    pub form: Form,
    /// Binned fields that the grantee then holds of an enterprise, with what it got earlier.
    pub vector: usize,
    /// Day that the data are of; `None` if they are the grantee's own, or it is not known here.
    pub as_of: Option<Day>,
    /// The application that it is for, by its [name](crate::application_digest).
    pub application: Option<Digest>,
    /// The consent that the use must rest on; any that allows it if `None`.
    pub consent: Option<Digest>,
    /// When, Unix milliseconds.
    pub time: i64,
}

/// The condition that failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Condition {
    /// The field is not on the list.
    #[error("field `{0}` is not on the sharing list")]
    NotListed(String),
    /// The list does not allow this form.
    #[error("field `{0}` may not travel in this form")]
    Form(String),
    /// The list does not allow this purpose.
    #[error("field `{0}` may not be used for this purpose")]
    FieldPurpose(String),
    /// The list shares the field on other days.
    #[error("field `{0}` is not shared today: the sharing list names other days")]
    NotValid(String),
    /// The newest list puts the field at level 4.
    #[error("field `{0}` is at level 4 on the newest sharing list: nobody may use it any more")]
    Withdrawn(String),
    /// There is no consent to this institution.
    #[error("there is no consent to this institution")]
    NoConsent,
    /// A later consent has replaced it.
    #[error("the consent was superseded")]
    Superseded,
    /// The consent is to data of others.
    #[error("the consent does not name this provider of data")]
    Provider,
    /// The consent is for other purposes.
    #[error("the consent does not name this purpose")]
    ConsentPurpose,
    /// The consent is for other categories or fields.
    #[error("the consent does not name the field `{0}` or its category")]
    Category(String),
    /// The consent stops below this level.
    #[error("the consent does not reach the level of field `{0}`")]
    Level(String),
    /// The consent allows a more closed form only.
    #[error("the consent does not allow this form")]
    ConsentForm,
    /// The consent does not allow so many binned fields together.
    #[error("the consent does not allow a vector of binned fields, which may tell the enterprise from all others")]
    BinnedVector,
    /// The consent allows less than computing.
    #[error("the consent allows to look at results only")]
    Mode,
    /// The consent is to data of other days.
    #[error("the consent does not reach to data of this day")]
    DataRange,
    /// The consent is for another application.
    #[error("the consent is for another application")]
    Application,
    /// The consent is not in force yet.
    #[error("the consent is not in force yet")]
    NotYet,
    /// The consent has expired.
    #[error("the consent has expired")]
    Expired,
    /// The enterprise has revoked it.
    #[error("the consent was revoked")]
    Revoked,
    /// The enterprise has paused it.
    #[error("the consent is paused")]
    Paused,
    /// It was used too short a while ago.
    #[error("the consent was used too short a while ago")]
    TooSoon,
    /// Every use that it allows is taken.
    #[error("the consent's uses are exhausted")]
    Exhausted,
}

impl Condition {
    /// Whether it may come to hold by itself: time passes, or the enterprise resumes what it has paused.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::NotYet | Self::Paused | Self::TooSoon)
    }

    /// A code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotListed(_) => "not-listed",
            Self::Form(_) | Self::ConsentForm => "form",
            Self::FieldPurpose(_) | Self::ConsentPurpose => "purpose",
            Self::NotValid(_) => "not-valid",
            Self::Withdrawn(_) => "withdrawn",
            Self::NoConsent => "no-consent",
            Self::Provider => "provider",
            Self::Category(_) => "category",
            Self::Level(_) => "level",
            Self::BinnedVector => "binned-vector",
            Self::Mode => "mode",
            Self::DataRange => "data-range",
            Self::Application => "application",
            Self::NotYet => "not-yet",
            Self::Expired => "expired",
            Self::Superseded => "superseded",
            Self::Revoked => "revoked",
            Self::Paused => "paused",
            Self::TooSoon => "too-soon",
            Self::Exhausted => "exhausted",
        }
    }
}

/// How many rows were left out, by condition code.
pub type Denied = BTreeMap<&'static str, u64>;

/// The decision point: a list and a register.
pub struct Clearance<'a> {
    list: &'a SignedList,
    newest: &'a SignedList,
    register: &'a Register,
    /// Whether uses must lie apart as the consent says.
    spaced: bool,
}

/// What is known of scopes under one question: many consents share one.
type Judged = Vec<Option<Result<(), Condition>>>;

impl<'a> Clearance<'a> {
    /// A decision point.
    pub fn new(list: &'a SignedList, register: &'a Register) -> Self {
        Self { list, newest: list, register, spaced: true }
    }

    /// The same for what is no use itself, and may be followed by one later: how long ago the last use was does not matter.
    pub fn without_use(self) -> Self {
        Self { spaced: false, ..self }
    }

    /// The same under a newer list, whose fields at level 4 are refused whatever the other one says of them.
    pub fn under(self, newest: &'a SignedList) -> Self {
        Self { newest, ..self }
    }

    /// Whether the list allows the fields at all, whoever consents.
    ///
    /// # Errors
    /// Names the first condition that fails.
    pub fn fields(&self, question: &Question<'_>) -> Result<(), Condition> {
        let day = Day::of(question.time);
        for name in question.fields {
            if self.newest.forbids(name) {
                return Err(Condition::Withdrawn((*name).into()));
            }
            self.list.permits(name, question.form, question.purpose, day)?;
        }
        Ok(())
    }

    /// The subject, if its data may be used now.
    ///
    /// # Errors
    /// Names the condition that failed: of several consents, of the one that came closest.
    pub fn subject<'s>(&self, subject: &'s str, question: &Question<'_>) -> Result<Cleared<&'s str>, Condition> {
        self.fields(question)?;
        let consent = self.consent(subject, question, &mut Judged::new())?;
        let mut basis = Transcript::new("tallystick/clearance/v1");
        basis.append(self.list.digest().as_bytes());
        basis.append(consent.as_bytes());
        Ok(Cleared { value: subject, consents: vec![consent], basis: basis.digest() })
    }

    /// The subject, if what was told under a consent may be told again under it, corrected, or be taken in by whom it was told:
    /// its uses may be used up.
    pub fn again<'s>(&self, subject: &'s str, question: &Question<'_>) -> Option<Cleared<&'s str>> {
        let holds = |(place, entry): &(u32, &Entry)| {
            let state = self.register.state_of(*place, entry, question.time);
            let terms = self.judge_scope(self.register.scope_at(entry.scope), question);
            // A consent that is named was asked about its application when it was first used.
            let named = question.consent == Some(entry.digest);
            let application = entry.application.as_deref();
            let fits = application.is_none() || application == question.application.as_ref() || named;
            fits && matches!(state, State::Active | State::Exhausted) && terms.is_ok()
        };
        self.fields(question).ok()?;
        let consents: Vec<_> = self.consents(subject, question).filter(holds).map(|(_, entry)| entry.digest).collect();
        let basis = self.list.digest();
        (!consents.is_empty()).then_some(Cleared { value: subject, consents, basis })
    }

    /// The rows whose subjects allow the use, and how many do not, by reason.
    ///
    /// # Errors
    /// Fails if the list does not allow the fields.
    pub fn rows<T>(
        &self,
        question: &Question<'_>,
        rows: impl IntoIterator<Item = T>,
        subject: impl Fn(&T) -> &str,
    ) -> Result<(Cleared<Vec<T>>, Denied), Condition> {
        self.fields(question)?;
        let mut basis = Transcript::new("tallystick/clearance/v1");
        basis.append(self.list.digest().as_bytes());
        let (mut denied, mut judged) = (Denied::new(), Judged::new());
        let (mut value, mut consents) = (Vec::new(), Vec::new());
        for row in rows {
            match self.consent(subject(&row), question, &mut judged) {
                Ok(consent) => {
                    basis.append(consent.as_bytes());
                    value.push(row);
                    consents.push(consent);
                }
                Err(condition) => *denied.entry(condition.code()).or_default() += 1,
            }
        }
        Ok((Cleared { value, consents, basis: basis.digest() }, denied))
    }

    /// The consents that come into question.
    fn consents<'q>(
        &'q self,
        subject: &str,
        question: &'q Question<'_>,
    ) -> impl Iterator<Item = (u32, &'q Entry)> + use<'q, 'a> {
        let named = question.consent;
        let found = self.register.find(subject, question.grantee);
        found.filter(move |(_, entry)| named.is_none_or(|named| named == entry.digest))
    }

    fn consent(&self, subject: &str, question: &Question<'_>, judged: &mut Judged) -> Result<Digest, Condition> {
        let mut closest = Condition::NoConsent;
        for (place, entry) in self.consents(subject, question) {
            let scope = entry.scope as usize;
            if judged.len() <= scope {
                judged.resize(scope + 1, None);
            }
            let terms = judged[scope]
                .get_or_insert_with(|| self.judge_scope(self.register.scope_at(entry.scope), question))
                .clone();
            match terms.and_then(|()| self.judge_entry(place, entry, question)) {
                Ok(()) => return Ok(entry.digest),
                Err(condition) => closest = closest.max(condition),
            }
        }
        Err(closest)
    }

    /// What a consent allows, whoever gave it.
    fn judge_scope(&self, scope: &Scope, question: &Question<'_>) -> Result<(), Condition> {
        if !scope.providers.iter().any(|provider| provider == question.provider) {
            return Err(Condition::Provider);
        }
        if !scope.purposes.contains(&question.purpose) {
            return Err(Condition::ConsentPurpose);
        }
        for field in question.fields.iter().filter_map(|name| self.list.field(name)) {
            let category = scope.categories.iter().any(|named| *named == field.category || named == "*");
            if !category || !(scope.fields.is_empty() || scope.fields.contains(&field.name)) {
                return Err(Condition::Category(field.name.clone()));
            }
            if field.level > scope.max_level {
                return Err(Condition::Level(field.name.clone()));
            }
        }
        // Forms are ordered from the most open to the most closed.
        if question.form < scope.form {
            return Err(Condition::ConsentForm);
        }
        if question.form == Form::Binned && question.vector >= IDENTIFYING_FIELDS && scope.form > Form::BinnedVector {
            return Err(Condition::BinnedVector);
        }
        let computes = matches!(question.purpose, Purpose::JointModelling | Purpose::ModelValidation);
        if computes && scope.mode < Mode::Compute {
            return Err(Condition::Mode);
        }
        if let (Some(day), Some(days)) = (question.as_of, &scope.data)
            && !(days.from..=days.to).contains(&day)
        {
            return Err(Condition::DataRange);
        }
        Ok(())
    }

    fn judge_entry(&self, place: u32, entry: &Entry, question: &Question<'_>) -> Result<(), Condition> {
        if entry.application.is_some() && entry.application.as_deref() != question.application.as_ref() {
            return Err(Condition::Application);
        }
        match self.register.state_of(place, entry, question.time) {
            State::Active => {}
            State::NotYet => return Err(Condition::NotYet),
            State::Paused => return Err(Condition::Paused),
            State::Revoked => return Err(Condition::Revoked),
            State::Superseded => return Err(Condition::Superseded),
            State::Expired => return Err(Condition::Expired),
            State::Exhausted => return Err(Condition::Exhausted),
        }
        if self.spaced
            && let Fetch::Periodic { every_days, .. } = self.register.scope_at(entry.scope).fetch
            && question.time < entry.last_use.saturating_add(i64::from(every_days) * Day::MILLISECONDS)
        {
            return Err(Condition::TooSoon);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
