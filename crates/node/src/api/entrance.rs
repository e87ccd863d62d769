//! What every call goes through before anybody reads what it says, over REST and gRPC alike: who calls is known from the headers
//! alone, and only a caller's body is read, which may neither be too long nor come too slowly.

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http_body_util::LengthLimitError;

use super::gate::{Caller, Shown};
use super::grpc;
use super::problem::{Code, Problem};
use super::server::{Identity, PATIENCE};
use super::service::Service;
use super::token::Scope;

/// Longest body.
const BODY_BYTES: usize = 64 * 1024;

/// Lets a call with this scope in, with its [`Caller`]; others are refused in the form of their protocol.
pub(super) async fn enter(
    State((service, scope)): State<(Arc<Service>, Scope)>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    match admit(&service, scope, &parts, body).await {
        Ok((caller, body)) => {
            parts.extensions.insert(caller);
            next.run(Request::from_parts(parts, Body::from(body))).await
        }
        Err(problem) if is_grpc(&parts) => grpc::status_of(&problem).into_http(),
        Err(problem) => problem.into_response(),
    }
}

async fn admit(service: &Service, scope: Scope, parts: &Parts, body: Body) -> Result<(Caller, Bytes), Problem> {
    let identity = parts.extensions.get::<Identity>().cloned().unwrap_or_default();
    let shown = Shown {
        certificate: identity.certificate.as_deref(),
        authorization: parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()),
    };
    let caller = service.admit(shown, scope).await?;
    if let Some(pass) = &identity.pass {
        pass.keep();
    }
    match read(body).await {
        Ok(body) => Ok((caller, body)),
        Err(problem) => Err(service.refuse(&caller, problem).await),
    }
}

async fn read(body: Body) -> Result<Bytes, Problem> {
    let Ok(read) = tokio::time::timeout(PATIENCE, to_bytes(body, BODY_BYTES)).await else {
        return Err(Problem::of_field("body", "it did not come in time"));
    };
    read.map_err(|error| {
        let source = std::error::Error::source(&error);
        if source.is_some_and(|source| source.is::<LengthLimitError>()) {
            Problem::new(Code::TooLarge, format!("a body has at most {BODY_BYTES} bytes"))
        } else {
            Problem::of_field("body", "it broke off")
        }
    })
}

fn is_grpc(parts: &Parts) -> bool {
    parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}
