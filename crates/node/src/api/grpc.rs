//! gRPC: the same calls, the same answers, the same code path.

use std::sync::Arc;

use prost::Message as _;
use serde_json::{Map, Value, json};
use tonic::{Code as Status, Request, Response};

use super::gate::Caller;
use super::problem::{Code, Problem};
use super::request::ScoreRequest;
use super::service::{Scored, Service};
use super::wire;
use super::wire::scoring_server::{Scoring, ScoringServer};

/// Path of the service, for the router.
pub(crate) const PATH: &str = "/tallystick.v1.Scoring/{method}";

/// The service for the router, which lets nobody but [`Caller`]s through.
pub(crate) fn server(service: Arc<Service>) -> ScoringServer<Grpc> {
    ScoringServer::new(Grpc(service))
}

/// The service over gRPC.
pub(crate) struct Grpc(Arc<Service>);

#[tonic::async_trait]
impl Scoring for Grpc {
    async fn score(&self, request: Request<wire::ScoreRequest>) -> Result<Response<wire::ScoreAnswer>, tonic::Status> {
        self.answer(request).await.map(Response::new).map_err(|problem| status_of(&problem))
    }
}

impl Grpc {
    async fn answer(&self, request: Request<wire::ScoreRequest>) -> Result<wire::ScoreAnswer, Problem> {
        let (_, extensions, message) = request.into_parts();
        let caller = extensions.get::<Caller>();
        let caller = caller.ok_or_else(|| Problem::new(Code::Unauthorized, "the call did not come by the entrance"))?;
        let (request, key) = match read(message) {
            Ok(read) => read,
            Err(problem) => return Err(self.0.refuse(caller, problem).await),
        };
        write(self.0.score(caller, &request, key.as_deref()).await?)
    }
}

/// The request as REST has it, so that the same rules hold.
pub(super) fn read(message: wire::ScoreRequest) -> Result<(ScoreRequest, Option<String>), Problem> {
    use wire::field_value::Kind;
    let value = |(name, value): (String, wire::FieldValue)| match value.kind {
        // JSON has no such numbers: it would be missing.
        Some(Kind::Number(number)) if !number.is_finite() => {
            Err(Problem::of_field(format!("fields.{name}"), "expected a finite number"))
        }
        Some(Kind::Number(number)) => Ok((name, json!(number))),
        Some(Kind::Text(text)) => Ok((name, json!(text))),
        None => Ok((name, Value::Null)),
    };
    let fields = message.fields.into_iter().map(value).collect::<Result<Map<_, _>, _>>()?;
    let request = json!({
        "applicant": message.applicant,
        "purpose": message.purpose,
        "consent": message.consent,
        "application": message.application,
        "fields": fields,
        "reasons": message.reasons,
        "model": message.model,
        "challenger": message.challenger,
    });
    let key = message.idempotency_key;
    if key.as_ref().is_some_and(|key| !(1..=255).contains(&key.len())) {
        return Err(Problem::of_field("idempotency_key", "from 1 to 255 characters"));
    }
    Ok((ScoreRequest::of(request)?, key))
}

fn write(scored: Scored) -> Result<wire::ScoreAnswer, Problem> {
    use wire::score_answer::Second;
    fn shaped<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Problem> {
        serde_json::from_value(value).map_err(|error| {
            tracing::error!(%error, "an answer does not have the shape of the proto");
            Problem::new(Code::Internal, "see the node's journal")
        })
    }
    let Scored { mut answer, replayed } = scored;
    let second = match answer.as_object_mut().and_then(|members| members.remove("challenger")) {
        None => None,
        Some(mut challenger) => Some(match challenger.get_mut("problem") {
            Some(problem) => Second::ChallengerProblem(shaped(problem.take())?),
            None => Second::Challenger(shaped(challenger)?),
        }),
    };
    Ok(wire::ScoreAnswer { score: Some(shaped(answer)?), second, replayed })
}

pub(super) fn status_of(problem: &Problem) -> tonic::Status {
    let code = match problem.code.status() {
        400 => Status::InvalidArgument,
        401 => Status::Unauthenticated,
        403 => Status::PermissionDenied,
        404 => Status::NotFound,
        405 => Status::Unimplemented,
        409 => Status::Aborted,
        410 => Status::FailedPrecondition,
        413 | 429 => Status::ResourceExhausted,
        503 => Status::Unavailable,
        504 => Status::DeadlineExceeded,
        _ => Status::Internal,
    };
    let details = rpc::details(code as i32, problem);
    tonic::Status::with_details(code, problem.detail.clone(), details.encode_to_vec().into())
}

/// The few messages of google.rpc (error_details.proto, status.proto) that a status carries.
mod rpc {
    use std::collections::HashMap;

    use prost::Message as _;

    use super::super::problem::Problem;

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Status {
        #[prost(int32, tag = "1")]
        code: i32,
        #[prost(string, tag = "2")]
        message: String,
        #[prost(message, repeated, tag = "3")]
        details: Vec<Any>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Any {
        #[prost(string, tag = "1")]
        type_url: String,
        #[prost(bytes = "vec", tag = "2")]
        value: Vec<u8>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct ErrorInfo {
        #[prost(string, tag = "1")]
        reason: String,
        #[prost(string, tag = "2")]
        domain: String,
        #[prost(map = "string, string", tag = "3")]
        metadata: HashMap<String, String>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct RetryInfo {
        #[prost(message, optional, tag = "1")]
        retry_delay: Option<Duration>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Duration {
        #[prost(int64, tag = "1")]
        seconds: i64,
    }

    pub(super) fn details(code: i32, problem: &Problem) -> Status {
        let any =
            |name: &str, value: Vec<u8>| Any { type_url: format!("type.googleapis.com/google.rpc.{name}"), value };
        let told = [
            ("code", Some(problem.code.as_str())),
            ("field", problem.field.as_deref()),
            ("condition", problem.condition.as_deref()),
        ];
        let metadata = told.into_iter().filter_map(|(name, value)| Some((name.into(), value?.into()))).collect();
        let reason = problem.code.as_str().to_uppercase().replace('-', "_");
        let info = ErrorInfo { reason, domain: "tallystick".into(), metadata };
        let mut details = vec![any("ErrorInfo", info.encode_to_vec())];
        if let Some(seconds) = problem.retry_after {
            let retry = RetryInfo { retry_delay: Some(Duration { seconds: seconds.try_into().unwrap_or(i64::MAX) }) };
            details.push(any("RetryInfo", retry.encode_to_vec()));
        }
        Status { code, message: problem.detail.clone(), details }
    }
}
