//! REST.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{any_service, get, post};
use axum::{Extension, Router};

use super::gate::Caller;
use super::problem::{Code, PROBLEM_JSON, Problem};
use super::request::ScoreRequest;
use super::service::{Scored, Service};
use super::token::Scope;
use super::{entrance, grpc, openapi};

/// Header of an idempotency key (draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Every path.
pub(crate) fn router(service: Arc<Service>) -> Router {
    let with = |scope: Scope| from_fn_with_state((service.clone(), scope), entrance::enter);
    Router::new()
        .route("/v1/scores", post(score).route_layer(with(Scope::Score)))
        .route("/v1/models", get(models).route_layer(with(Scope::Models)))
        .route("/v1/openapi.json", get(|| async { json(StatusCode::OK, "application/json", openapi::text()) }))
        .route(grpc::PATH, any_service(grpc::server(service.clone())).layer(with(Scope::Score)))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .fallback(|| async { Problem::new(Code::NotFound, "see /v1/openapi.json") })
        .method_not_allowed_fallback(|| async { Problem::new(Code::MethodNotAllowed, "see /v1/openapi.json") })
        .with_state(service)
}

async fn ready(State(service): State<Arc<Service>>) -> Result<&'static str, Problem> {
    service.ready().await.map(|()| "ready\n")
}

async fn score(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let parsed = ScoreRequest::parse(&body).and_then(|request| Ok((request, idempotency_key(&headers)?)));
    let (request, key) = match parsed {
        Ok(parsed) => parsed,
        Err(problem) => return Err(service.refuse(&caller, problem).await),
    };
    let Scored { answer, replayed } = service.score(&caller, &request, key.as_deref()).await?;
    let mut response = json(StatusCode::OK, "application/json", answer.to_string());
    if replayed {
        response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    Ok(response)
}

async fn models(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Problem> {
    Ok(json(StatusCode::OK, "application/json", service.models(&caller).await?.to_string()))
}

/// The key, with or without the quotes that the draft asks for.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let key = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if (1..=255).contains(&key.len()) {
        return Ok(Some(key.to_owned()));
    }
    Err(Problem::of_field("Idempotency-Key", "from 1 to 255 visible ASCII characters"))
}

fn json(status: StatusCode, media_type: &'static str, text: impl Into<Body>) -> Response {
    let headers = [(CONTENT_TYPE, media_type), (CACHE_CONTROL, "no-store")];
    (status, headers, text.into()).into_response()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = json(status, PROBLEM_JSON, self.to_json().to_string());
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if self.code == Code::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
