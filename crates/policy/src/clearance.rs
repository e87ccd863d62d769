//! The one place that decides whether data may be used: default deny, every condition named.
//!
//! Typed rules instead of a policy language: the conditions are few, fixed by law and by the sharing list, and each denial
//! must say which of them failed, which an engine that answers "no policy permitted" does not. What compliance staff read
//! and change is the sharing list and the consent, both signed documents; the rules below are the same for everyone.
//!
//! Protocol code takes [`Cleared`] values, which nothing but [`Clearance`] can make.

use std::collections::BTreeMap;

use tally_crypto::transcript::{Digest, Transcript};

use crate::register::Entry;
use crate::{Form, Level, Purpose, Register, SignedList};

/// A value that may be used: its field is private, only this module makes one.
#[derive(Clone, Debug)]
pub struct Cleared<T> {
    value: T,
    consents: Vec<Digest>,
    basis: Digest,
}

impl<T> Cleared<T> {
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
}

impl<T> Cleared<Vec<T>> {
    /// The same rows, each seen through `view`: what is cleared stays cleared.
    pub fn map_rows<U>(self, view: impl FnMut(T) -> U) -> Cleared<Vec<U>> {
        let value = self.value.into_iter().map(view).collect();
        Cleared { value, consents: self.consents, basis: self.basis }
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
    /// What for.
    pub purpose: Purpose,
    /// The platform's fields.
    pub fields: &'a [&'a str],
    /// In which form.
    pub form: Form,
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
    /// There is no consent to this institution.
    #[error("there is no consent to this institution")]
    NoConsent,
    /// The consent is for other purposes.
    #[error("the consent does not name this purpose")]
    ConsentPurpose,
    /// The consent is for other categories.
    #[error("the consent does not name the category `{0}`")]
    Category(String),
    /// The consent allows a more closed form only.
    #[error("the consent does not allow this form")]
    ConsentForm,
    /// The consent is not in force yet.
    #[error("the consent is not in force yet")]
    NotYet,
    /// The consent has expired.
    #[error("the consent has expired")]
    Expired,
    /// A later consent has replaced it.
    #[error("the consent was superseded")]
    Superseded,
    /// Every use that it allows is taken.
    #[error("the consent's uses are exhausted")]
    Exhausted,
}

impl Condition {
    /// A code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotListed(_) => "not-listed",
            Self::Form(_) | Self::ConsentForm => "form",
            Self::FieldPurpose(_) | Self::ConsentPurpose => "purpose",
            Self::NoConsent => "no-consent",
            Self::Category(_) => "category",
            Self::NotYet => "not-yet",
            Self::Expired => "expired",
            Self::Superseded => "superseded",
            Self::Exhausted => "exhausted",
        }
    }
}

/// How many rows were left out, by condition code.
pub type Denied = BTreeMap<&'static str, u64>;

/// The decision point: a list and a register.
pub struct Clearance<'a> {
    list: &'a SignedList,
    register: &'a Register,
}

impl<'a> Clearance<'a> {
    /// A decision point.
    pub fn new(list: &'a SignedList, register: &'a Register) -> Self {
        Self { list, register }
    }

    /// Whether the list allows the fields at all, whoever consents.
    ///
    /// # Errors
    /// Names the first condition that fails.
    pub fn fields(&self, question: &Question<'_>) -> Result<(), Condition> {
        for name in question.fields {
            let field = self.list.field(name).ok_or_else(|| Condition::NotListed((*name).into()))?;
            let level_allows = match field.level {
                Level::L1 => true,
                Level::L2 => question.form != Form::Raw,
                Level::L3 => question.form == Form::Sealed,
                Level::L4 => false,
            };
            if !level_allows || !field.forms.contains(&question.form) {
                return Err(Condition::Form((*name).into()));
            }
            if !field.purposes.contains(&question.purpose) {
                return Err(Condition::FieldPurpose((*name).into()));
            }
        }
        Ok(())
    }

    /// Whether one subject's data may be used; the consent that allows it.
    ///
    /// # Errors
    /// Names the condition that failed: of several consents, of the one that came closest.
    pub fn subject(&self, subject: &str, question: &Question<'_>) -> Result<Digest, Condition> {
        self.fields(question)?;
        self.consent(subject, question)
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
        let mut denied = Denied::new();
        let (mut value, mut consents) = (Vec::new(), Vec::new());
        for row in rows {
            match self.consent(subject(&row), question) {
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

    fn consent(&self, subject: &str, question: &Question<'_>) -> Result<Digest, Condition> {
        let mut closest = Condition::NoConsent;
        for entry in self.register.find(subject, question.grantee) {
            match self.judge(entry, question) {
                Ok(()) => return Ok(entry.digest),
                Err(condition) => closest = closest.max(condition),
            }
        }
        Err(closest)
    }

    fn judge(&self, entry: &Entry, question: &Question<'_>) -> Result<(), Condition> {
        let consent = &entry.consent;
        if !consent.purposes.contains(&question.purpose) {
            return Err(Condition::ConsentPurpose);
        }
        for category in question.fields.iter().filter_map(|name| Some(&self.list.field(name)?.category)) {
            if !consent.categories.iter().any(|named| named == category || named == "*") {
                return Err(Condition::Category(category.clone()));
            }
        }
        // Forms are ordered from the most open to the most closed.
        if question.form < consent.form {
            return Err(Condition::ConsentForm);
        }
        if question.time < consent.not_before {
            return Err(Condition::NotYet);
        }
        if question.time > consent.not_after {
            return Err(Condition::Expired);
        }
        if entry.superseded {
            return Err(Condition::Superseded);
        }
        if consent.max_uses().is_some_and(|most| entry.uses >= most) {
            return Err(Condition::Exhausted);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::*;
    use tally_crypto::seed::Seed;
    use tally_crypto::sign::SigningKey;
    use tally_model::text::Text;

    const REGISTRAR: [u8; 32] = [1; 32];
    const ENTERPRISE: [u8; 32] = [2; 32];

    fn key(seed: [u8; 32]) -> SigningKey {
        SigningKey::from_seed(&Seed::new(seed))
    }

    fn field(name: &str, level: Level, forms: &[Form]) -> ListField {
        ListField {
            name: name.into(),
            title: Text::new(name, name),
            owner: "tax".into(),
            category: "tax".into(),
            level,
            kind: FieldKind::Numeric,
            forms: forms.to_vec(),
            purposes: vec![Purpose::JointModelling],
            refresh_days: 30,
        }
    }

    fn list(fields: Vec<ListField>) -> Result<SignedList, ListError> {
        let list = SharingList { version: 1, city: Text::new("市", "city"), issued: "2026-01-01".into(), fields };
        let mut envelope = list.envelope();
        envelope.sign(&key([3; 32])).unwrap();
        SharingList::open(&envelope, &[key([3; 32]).verify_key()])
    }

    fn consent() -> Consent {
        Consent {
            consent_id: "c1".into(),
            version: 1,
            supersedes: None,
            subject_kind: SubjectKind::Enterprise,
            subject: "e".into(),
            signer: Signer {
                role: "legal-representative".into(),
                assurance: "e-licence".into(),
                key: key(ENTERPRISE).verify_key(),
            },
            grantee: "bank-1".into(),
            providers: vec!["platform".into()],
            purposes: vec![Purpose::JointModelling],
            categories: vec!["tax".into()],
            form: Form::Binned,
            not_before: 10,
            not_after: 20,
            fetch: Fetch::Periodic { max_uses: 2 },
            data_life_days: 30,
            notice: Notice { digest: Digest::default(), version: "1".into(), language: "zh".into() },
        }
    }

    fn signed(consent: &Consent, keys: &[[u8; 32]]) -> String {
        let mut envelope = consent.envelope();
        for seed in keys {
            envelope.sign(&key(*seed)).unwrap();
        }
        serde_json::to_string(&envelope).unwrap()
    }

    fn open(document: &str) -> Result<VerifiedConsent, String> {
        VerifiedConsent::open(document, &[key(REGISTRAR).verify_key()])
    }

    fn question<'a>(fields: &'a [&'a str]) -> Question<'a> {
        Question { grantee: "bank-1", purpose: Purpose::JointModelling, fields, form: Form::Binned, time: 15 }
    }

    #[test]
    fn every_condition_is_enforced_and_named() {
        let list =
            list(vec![field("paid", Level::L2, &[Form::Binned]), field("secret", Level::L3, &[Form::Sealed])]).unwrap();
        let mut register = Register::default();
        assert!(register.add(open(&signed(&consent(), &[ENTERPRISE, REGISTRAR])).unwrap()));
        let ask = |change: &dyn Fn(&mut Question<'_>), subject: &str| {
            let mut question = question(&["paid"]);
            change(&mut question);
            Clearance::new(&list, &register).subject(subject, &question)
        };
        assert!(ask(&|_| {}, "e").is_ok());
        assert_eq!(ask(&|_| {}, "other"), Err(Condition::NoConsent));
        assert_eq!(ask(&|q| q.grantee = "bank-2", "e"), Err(Condition::NoConsent));
        assert_eq!(ask(&|q| q.time = 21, "e"), Err(Condition::Expired));
        assert_eq!(ask(&|q| q.time = 9, "e"), Err(Condition::NotYet));
        assert_eq!(ask(&|q| q.form = Form::Raw, "e"), Err(Condition::Form("paid".into())));
        assert_eq!(ask(&|q| q.purpose = Purpose::Guarantee, "e"), Err(Condition::FieldPurpose("paid".into())));
        assert_eq!(ask(&|q| q.fields = &["secret"], "e"), Err(Condition::Form("secret".into())));
        assert_eq!(ask(&|q| q.fields = &["nothing"], "e"), Err(Condition::NotListed("nothing".into())));
        let digest = ask(&|_| {}, "e").unwrap();
        register.count_uses(&digest, 2);
        let exhausted = Clearance::new(&list, &register).subject("e", &question(&["paid"]));
        assert_eq!(exhausted, Err(Condition::Exhausted));
    }

    #[test]
    fn a_consent_needs_both_signatures() {
        assert!(open(&signed(&consent(), &[ENTERPRISE, REGISTRAR])).is_ok());
        assert!(open(&signed(&consent(), &[REGISTRAR])).unwrap_err().contains("enterprise"));
        assert!(open(&signed(&consent(), &[ENTERPRISE])).unwrap_err().contains("registrar"));
        assert!(open(&signed(&consent(), &[ENTERPRISE, [9; 32]])).unwrap_err().contains("registrar"));
        let lines = [signed(&consent(), &[ENTERPRISE, REGISTRAR]), "{}".into()];
        assert_eq!(verify_all(&lines, &[key(REGISTRAR).verify_key()]).unwrap_err().line, 2);
    }

    #[test]
    fn a_later_consent_supersedes() {
        let list = list(vec![field("paid", Level::L2, &[Form::Binned])]).unwrap();
        let mut register = Register::default();
        register.add(open(&signed(&consent(), &[ENTERPRISE, REGISTRAR])).unwrap());
        let narrower = Consent {
            consent_id: "c2".into(),
            supersedes: Some("c1".into()),
            purposes: vec![Purpose::Guarantee],
            ..consent()
        };
        register.add(open(&signed(&narrower, &[ENTERPRISE, REGISTRAR])).unwrap());
        let refused = Clearance::new(&list, &register).subject("e", &question(&["paid"]));
        assert_eq!(refused, Err(Condition::Superseded));
    }

    #[test]
    fn a_list_that_breaks_a_rule_is_refused() {
        assert!(list(vec![field("a", Level::L2, &[Form::Raw])]).is_err());
        assert!(list(vec![field("a", Level::L3, &[Form::Binned])]).is_err());
        assert!(list(vec![field("a", Level::L4, &[Form::Sealed])]).is_err());
        assert!(list(vec![field("a", Level::L1, &[Form::Raw]), field("a", Level::L1, &[Form::Raw])]).is_err());
    }

    #[test]
    fn rows_are_cleared_one_by_one() {
        let list = list(vec![field("paid", Level::L2, &[Form::Binned])]).unwrap();
        let mut register = Register::default();
        register.add(open(&signed(&consent(), &[ENTERPRISE, REGISTRAR])).unwrap());
        let (cleared, denied) =
            Clearance::new(&list, &register).rows(&question(&["paid"]), ["e", "f", "g"], |row| row).unwrap();
        assert_eq!(*cleared, ["e"]);
        assert_eq!(denied, Denied::from([("no-consent", 2)]));
    }
}
