//! What may be shared, with whom, for what: the sharing list, consents, and the one place that decides.
//!
//! | module | what it holds |
//! |---|---|
//! | [`purpose`] | the closed set of purposes: financing support, nothing else |
//! | [`list`] | the signed, versioned sharing list |
//! | [`consent`] | the enterprise's signed consent, countersigned by a registrar |
//! | [`register`] | consents by enterprise and grantee, and the uses counted |
//! | [`clearance`] | the default-deny decision; [`Cleared`] values that only it can make |

pub mod clearance;
pub mod consent;
pub mod list;
pub mod purpose;
pub mod register;

pub use clearance::{Clearance, Cleared, Condition, Denied, Question};
pub use consent::{
    CONSENT_TYPE, Consent, ConsentError, Fetch, Notice, Signer, SubjectKind, VerifiedConsent, verify_all,
};
pub use list::{FieldKind, Form, LIST_TYPE, Level, ListError, ListField, SharingList, SignedList};
pub use purpose::Purpose;
pub use register::Register;
