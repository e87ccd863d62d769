//! Before an answer of the platform counts at a bank: whether it was asked there, and whether the consent that it names allows it.

use tally_crypto::transcript::Digest;
use tally_model::Fitted;
use tally_policy::{Condition, Form, Purpose, Question};

use super::scoring::Held;
use super::serving::Model;
use super::{Engine, now};
use crate::failure::{self, Failure};

impl Engine {
    /// Whether it was this peer, in this session, that was asked; what nobody waits for any more passes, and comes to nothing.
    pub(super) fn check_asked(&self, peer: &str, session: &str, request: &str) -> Result<(), Failure> {
        let waiting = self.waiting_scores.get(request).map(|waiting| waiting.held.session.clone());
        let asked = match waiting {
            Some(session) => Some(session),
            None => self.late_call(request)?.map(|held| held.session),
        };
        let Some(asked) = asked else { return Ok(()) };
        let platform = self.models.get(&asked).and_then(|model| model.contract.terms().platform());
        if asked == session && platform.is_none_or(|platform| platform.name == peer) {
            return Ok(());
        }
        Err(failure::refused(format!("{peer} answered in session {session} what it was not asked there")))
    }

    /// The consent that the platform names must allow it here too, by the very question that the platform asks: neither node
    /// alone can let data through. What was told `before` under a consent may be told again under that one, used up or not.
    pub(super) fn check_consent(
        &self,
        model: &Model,
        held: &Held,
        consent: Digest,
        before: Option<Digest>,
    ) -> Result<(), Failure> {
        let terms = model.contract.terms();
        let fields = self.fields_read(terms);
        let question = Question {
            application: held.seen.application(),
            consent: Some(consent),
            as_of: self.day_of_data(terms),
            ..self.question(terms, self.me(), &fields, form_of(&model.fitted), now())?
        };
        // Uses are counted, and kept apart, where the answer is given.
        let clearance = self.clearance_under(&terms.list)?.without_use();
        let allows = |purpose| {
            let question = Question { purpose, ..question.clone() };
            match before {
                None => clearance.subject(&held.subject, &question).map(drop),
                Some(before) if before == consent => {
                    clearance.again(&held.subject, &question).map(drop).ok_or(Condition::NoConsent)
                }
                Some(_) => Err(Condition::NoConsent),
            }
        };
        let allowed = match held.purpose {
            Some(purpose) => allows(purpose),
            None => Purpose::ALL.into_iter().map(allows).reduce(Result::or).unwrap_or(Err(Condition::NoConsent)),
        };
        allowed.map_err(|condition| {
            let code = condition.code();
            let text = format!(
                "no score ({code}): the platform answered under a consent that does not allow it by this node's register \
                 ({condition}): import the consents anew"
            );
            failure::refused(text).coded(code)
        })
    }
}

/// The form in which an answer tells of the platform's fields: a scorecard's points tell of no field by itself, of trees the
/// codes travel.
pub(super) fn form_of(fitted: &Fitted) -> Form {
    match fitted {
        Fitted::Scorecard(_) | Fitted::Statistics(_) => Form::Sealed,
        Fitted::Trees(_) => Form::Binned,
    }
}
