//! What may be shared, with whom, for what: the sharing list, consents, and the one place that decides.
//!
//! | module | what it holds |
//! |---|---|
//! | [`purpose`] | the closed set of purposes: financing support, nothing else |
//! | [`list`] | the signed, versioned sharing list |
//! | [`day`] | days, without a clock |
//! | [`consent`] | the enterprise's signed consent, countersigned by a registrar |
//! | [`verify`] | its signatures, many at once |
//! | [`event`] | what happens to it afterwards: pause, resume, revoke |
//! | [`register`] | consents by enterprise and grantee, their state at any time, the uses counted |
//! | [`disclosure`] | how far a release tells enterprises apart, and when it is refused |
//! | [`clearance`] | the default-deny decision; [`Cleared`] values that only it can make |

pub mod clearance;
pub mod consent;
pub mod day;
pub mod disclosure;
pub mod event;
pub mod list;
pub mod purpose;
pub mod register;
pub mod verify;

pub use clearance::{Clearance, Cleared, Condition, Denied, Question};
pub use consent::{CONSENT_TYPE, Consent, Days, Fetch, Mode, Notice, Onward, Signer, SignerRole, SubjectKind};
pub use day::Day;
pub use event::{ConsentEvent, EVENT_TYPE, EventKind, VerifiedEvent};
pub use list::{
    FieldKind, Form, HistoryError, LIST_TYPE, Level, ListError, ListField, ListHistory, MOST_CATEGORIES, SharingList,
    SignedList,
};
pub use purpose::Purpose;
pub use register::{Counted, Happened, Mark, Register, Standing, State, application_digest};
pub use verify::{Authority, ConsentError, KeptConsent, VerifiedConsent, verify_all};
