//! What a caller is told where there is no score: problem details (RFC 9457) with a stable code.

use serde_json::{Value, json};

use crate::engine::code_of;
use crate::failure::Failure;

/// Codes, their HTTP status and title.
macro_rules! codes {
    ($($name:ident $text:literal $status:literal $title:literal;)*) => {
        /// Why there is no score.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code {
            $(#[doc = $title] $name,)*
        }

        impl Code {
            /// All of them.
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable text.
            pub(crate) fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// HTTP status.
            pub(crate) fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// What it means, for people.
            pub(crate) fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    BadRequest "bad-request" 400 "the request is not well formed";
    TooLarge "too-large" 413 "the body is too long";
    Unauthorized "unauthorized" 401 "the caller did not show who it is";
    Forbidden "forbidden" 403 "the caller may not do this";
    NoConsent "no-consent" 403 "there is no consent in force";
    ConsentRevoked "consent-revoked" 403 "the consent was revoked";
    ConsentPaused "consent-paused" 403 "the consent is paused";
    ConsentExpired "consent-expired" 403 "the consent has expired";
    ConsentExhausted "consent-exhausted" 403 "every use that the consent allows now is taken";
    ConsentScope "consent-scope" 403 "the consent does not reach to what the model reads";
    OutOfPurpose "out-of-purpose" 403 "the purpose is not one that consent and sharing list allow";
    NotListed "not-listed" 403 "the sharing list does not allow it";
    NotFound "not-found" 404 "there is nothing here";
    MethodNotAllowed "method-not-allowed" 405 "the path has other methods";
    UnknownEnterprise "unknown-enterprise" 404 "the platform holds no data on this enterprise";
    UnknownModel "unknown-model" 404 "the model is not known";
    ModelRetired "model-retired" 410 "the model is retired";
    ModelUnfit "model-unfit" 503 "the model does not reproduce what it gave at its release";
    Conflict "conflict" 409 "the request conflicts with another one";
    RateLimited "rate-limited" 429 "too many calls";
    Overloaded "overloaded" 503 "the node has too much to do";
    PeerUnreachable "peer-unreachable" 503 "the platform is out of reach";
    Timeout "timeout" 504 "the platform did not answer in time";
    Internal "internal" 500 "the node failed";
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    /// What is wrong this time.
    pub(crate) detail: String,
    /// The member of the request that is wrong.
    pub(crate) field: Option<String>,
    /// The platform's own code, where it says more.
    pub(crate) condition: Option<String>,
    /// Seconds after which to try again.
    pub(crate) retry_after: Option<u64>,
}

/// Media type.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

impl Problem {
    /// A problem, with the time to wait that its code suggests.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        let retry_after = match code {
            Code::Overloaded | Code::Timeout => Some(1),
            Code::PeerUnreachable => Some(5),
            _ => None,
        };
        Self { code, detail: detail.into(), field: None, condition: None, retry_after }
    }

    /// A member of the request is wrong.
    pub(crate) fn of_field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..Self::new(Code::BadRequest, detail) }
    }

    /// Too many calls: when the next one will pass.
    pub(crate) fn limited(detail: &str, nanoseconds: u64) -> Self {
        let retry_after = Some(nanoseconds.div_ceil(1_000_000_000));
        Self { retry_after, ..Self::new(Code::RateLimited, detail) }
    }

    /// As JSON.
    pub(crate) fn to_json(&self) -> Value {
        let mut problem = json!({
            "type": format!("urn:tallystick:problem:{}", self.code.as_str()),
            "title": self.code.title(),
            "status": self.code.status(),
            "code": self.code.as_str(),
            "detail": self.detail,
        });
        if let Some(field) = &self.field {
            problem["field"] = json!(field);
        }
        if let Some(condition) = &self.condition {
            problem["condition"] = json!(condition);
        }
        if let Some(seconds) = self.retry_after {
            problem["retry_after"] = json!(seconds);
        }
        problem
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let named = code_of(&failure).to_owned();
        let code = code_named(&named);
        let condition = (code.as_str() != named).then_some(named);
        // What failed inside the node is for its operator, not for the caller.
        let detail = if code == Code::Internal { "see the node's journal".into() } else { failure.message };
        Self { field: failure.field, condition, ..Self::new(code, detail) }
    }
}

/// The code that a failure of the engine, a condition of the clearance or a refusal of the platform stands for.
pub(crate) fn code_named(name: &str) -> Code {
    match name {
        "revoked" => Code::ConsentRevoked,
        "paused" => Code::ConsentPaused,
        "expired" => Code::ConsentExpired,
        "exhausted" | "too-soon" => Code::ConsentExhausted,
        "not-yet" | "superseded" | "provider" => Code::NoConsent,
        "purpose" | "application" => Code::OutOfPurpose,
        "category" | "level" | "form" | "binned-vector" | "mode" | "data-range" => Code::ConsentScope,
        "not-valid" | "withdrawn" => Code::NotListed,
        "not-a-party" => Code::UnknownModel,
        name => Code::ALL.iter().copied().find(|code| code.as_str() == name).unwrap_or(Code::Forbidden),
    }
}
